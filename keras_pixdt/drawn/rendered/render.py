"""Whole sets of rendered products: drawn in memory, or written with LookBook's file names."""

from __future__ import annotations

import collections
import concurrent.futures
import dataclasses
import json
import os
import pathlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from PIL import Image

from keras_pixdt import progress
from keras_pixdt.drawn.rendered import figure, garment, truth
from keras_pixdt.drawn.rendered.product import Product, num_views, sample_product
from keras_pixdt.workers import process_pool

MIN_SIZE, MAX_SIZE = 32, 512

# Pixels per task: enough that handing it over costs little beside the drawing, few enough that the
# answers which wait stay small, and an interruption is quick. It makes 4 products of nine pictures
# at 64 pixels.
_TASK_PIXELS = 4 * 9 * 64**2
# Tasks that wait or are done but not yet taken, for each process.
_QUEUE = 3


@dataclasses.dataclass(frozen=True)
class RenderedProduct:
    """A product and its pictures.

    Attributes:
        product: what is shown.
        target: uint8 (size, size, 3): the product alone on white.
        sources: uint8 (views, photo size, photo size, 3): persons who wear it.
        mask: uint8 (size, size): where `target` shows the product, see `truth.draw_mask`; None if
            it was not asked for.
        flows: float16 (views, rows, rows, 2): where its points lie in `sources`, see `truth.flow`;
            None if they were not asked for.
    """

    product: Product
    target: np.ndarray
    sources: np.ndarray
    mask: np.ndarray | None = None
    flows: np.ndarray | None = None


class _Options(NamedTuple):
    image_size: int
    photo_size: int
    seed: int
    truth: bool


def _check_size(size: int, name: str = "image_size") -> None:
    if not MIN_SIZE <= size <= MAX_SIZE:
        raise ValueError(
            f"`{name}` must be from {MIN_SIZE} to {MAX_SIZE} pixels. Received: {name}={size}"
        )


def draw_product(product: Product, image_size: int = 64) -> np.ndarray:
    """Draws a product alone, lying flat on white.

    Args:
        product: what to draw.
        image_size: height and width in pixels, 32 to 512.

    Returns:
        uint8 (image_size, image_size, 3).

    Raises:
        ValueError: if `image_size` is outside its range.

    Example:
        >>> draw_product(sample_product(0), image_size=64).shape
        (64, 64, 3)
    """
    _check_size(image_size)
    return np.array(garment.draw_flat(product, image_size))


def draw_person(product: Product, view: int, image_size: int = 64) -> np.ndarray:
    """Draws a person who wears a product, before a background.

    Args:
        product: what the person wears.
        view: number of the picture, 0 or more; each shows another person in another place. The
            pictures of a set are those below `num_views(product)`.
        image_size: height and width in pixels, 32 to 512.

    Returns:
        uint8 (image_size, image_size, 3), which depends only on the arguments.

    Raises:
        ValueError: if `view` is negative or `image_size` is outside its range.

    Example:
        >>> draw_person(sample_product(0), view=2, image_size=64).shape
        (64, 64, 3)
    """
    _check_size(image_size)
    if view < 0:
        raise ValueError(f"`view` must be 0 or more. Received: view={view}")
    return figure.draw(product, view, image_size)


def _render_one(product_id: int, options: _Options) -> RenderedProduct:
    product = sample_product(product_id, options.seed)
    views = range(num_views(product))
    sources = np.stack([figure.draw(product, view, options.photo_size) for view in views])
    mask = flows = None
    if options.truth:
        mask = truth.draw_mask(product, options.image_size)
        flows = np.stack([truth.flow(product, view) for view in views])
    return RenderedProduct(product, draw_product(product, options.image_size), sources, mask, flows)


def _render_chunk(first: int, stop: int, options: _Options) -> list[RenderedProduct]:
    return [_render_one(product_id, options) for product_id in range(first, stop)]


def render(
    num_products: int,
    image_size: int = 64,
    seed: int = 0,
    processes: int | None = None,
    *,
    first_product: int = 0,
    photo_size: int | None = None,
    with_truth: bool = False,
) -> Iterator[RenderedProduct]:
    """Draws products and the persons who wear them, in the order of their ids.

    Args:
        num_products: how many products.
        image_size: height and width in pixels, 32 to 512.
        seed: seed of the set.
        processes: how many processes draw; None takes one per core. The pictures do not depend on
            it. More than one starts new Python processes, so that a script which calls this needs
            `if __name__ == "__main__":` around its main part.
        first_product: id of the first product.
        photo_size: height and width of the persons' pictures; None takes `image_size`.
        with_truth: whether masks and flows come with the pictures.

    Returns:
        Iterator over the products; only a few wait in memory at a time.

    Raises:
        ValueError: if an argument is outside its range.
        RuntimeError: while drawing, if the other processes cannot start.

    Example:
        >>> [drawn.sources.shape[1:] for drawn in render(2, image_size=64, processes=1)]
        [(64, 64, 3), (64, 64, 3)]
    """
    options = _Options(image_size, photo_size or image_size, seed, with_truth)
    _check_size(image_size)
    _check_size(options.photo_size, "photo_size")
    for name, value in (("num_products", num_products), ("first_product", first_product)):
        if value < 0:
            raise ValueError(f"`{name}` must be 0 or more. Received: {name}={value}")
    if processes is not None and processes < 1:
        raise ValueError(
            f"`processes` must be 1 or more, or None for one per core. "
            f"Received: processes={processes}"
        )
    stop = first_product + num_products
    step = max(1, _TASK_PIXELS // (9 * options.photo_size**2))
    bounds = [(a, min(a + step, stop)) for a in range(first_product, stop, step)]
    workers = min(processes or os.cpu_count() or 1, len(bounds))
    drawn = _render_parallel(bounds, options, workers)
    if workers <= 1:
        drawn = (_render_one(i, options) for i in range(first_product, stop))
    return iter(progress.bar("Drawing products", drawn, num_products))


def _render_parallel(
    bounds: list[tuple[int, int]], options: _Options, workers: int
) -> Iterator[RenderedProduct]:
    waiting: collections.deque[concurrent.futures.Future[list[RenderedProduct]]]
    waiting = collections.deque()
    todo = iter(bounds)
    with process_pool(workers) as pool:
        while True:
            while len(waiting) < workers * _QUEUE and (chunk := next(todo, None)) is not None:
                waiting.append(pool.submit(_render_chunk, *chunk, options))
            if not waiting:
                return
            yield from waiting.popleft().result()


def write_lookbook(
    directory: str | os.PathLike[str],
    num_products: int,
    image_size: int = 64,
    seed: int = 0,
    processes: int | None = None,
) -> None:
    """Writes a rendered set as a folder with LookBook's file names.

    `PID000012_CLEAN1_IID000096.jpg` is product 12 alone and `PID000012_CLEAN0_IID000097.jpg` a
    person who wears it; `products.json` lists `{"pid": 12, "category": ...}` with the attributes.

    Args:
        directory: where to write; it is made if it is missing.
        num_products: how many products.
        image_size: height and width in pixels, 32 to 512.
        seed: seed of the set.
        processes: as for `render`.

    Raises:
        ValueError: if an argument is outside its range.
    """
    folder = pathlib.Path(directory)
    drawn_products = render(num_products, image_size, seed, processes)
    folder.mkdir(parents=True, exist_ok=True)
    listed = []
    image_id = 0
    for drawn in drawn_products:
        product_id = drawn.product.product_id
        for clean, image in [(1, drawn.target), *((0, source) for source in drawn.sources)]:
            name = f"PID{product_id:06d}_CLEAN{clean}_IID{image_id:06d}.jpg"
            Image.fromarray(image).save(folder / name, quality=95)
            image_id += 1
        listed.append({"pid": product_id, **drawn.product.attributes()})
    (folder / "products.json").write_text(json.dumps(listed, indent=1) + "\n", encoding="utf-8")

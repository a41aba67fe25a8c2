"""From the name of a data set to its pairs, split by product."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import numpy as np
from absl import logging

from keras_pixdt.choices import Size, as_size
from keras_pixdt.data import duplicates
from keras_pixdt.data.files import Skipped
from keras_pixdt.data.index import Index, Pictures, Plan
from keras_pixdt.data.pairs import PairSet, allocate
from keras_pixdt.data.readers.layouts import LookBook, read_lookbook
from keras_pixdt.data.readers.tfds import TFDS, read_pairs

if TYPE_CHECKING:
    from keras_pixdt.drawn import rendered

NUM_PRODUCTS = 1600


def load_pairs(
    data: str | os.PathLike[str],
    image_size: Size = 64,
    *,
    splits: str | None = None,
    seed: int = 0,
    num_products: int = NUM_PRODUCTS,
    data_dir: str | None = None,
    resize: str = "letterbox",
    photo_size: Size | None = None,
    truth: bool = False,
    layout: str = "auto",
) -> dict[str, PairSet]:
    """Loads the pairs of a data set and splits them by product.

    Args:
        data: `"rendered"` draws the procedural LookBook; `"tfds:lookbook/rendered64"` reads what
            `tfds build` prepared; anything else is the path of a folder or an archive of files
            in a known layout, or of a CSV that names pairs.
        image_size: side of square images, or (height, width), in pixels.
        splits: `"yoo2016"` (train, validation, test of 90/5/5) or `"kwon2019"` (train, test of
            90/10, no validation). By default, the splits that the layout has (see `keep_splits`),
            otherwise `"yoo2016"`. Leave it out for TFDS data, which is already split as its config
            says.
        seed: which products `"rendered"` draws.
        num_products: how many products `"rendered"` draws.
        data_dir: where `"tfds:..."` was prepared; by default `~/tensorflow_datasets`.
        resize: how images of other shapes are brought to that size: "letterbox" keeps their aspect
            and fills up with white, "stretch" does not. TFDS data were resized when they were
            built, so it must match their config, and so must the proportions of rectangles.
        photo_size: the same as `image_size` for the person images; None takes `image_size`.
        truth: whether to add masks and flows (see `PairSet`): both of drawn products, and masks
            of files whose layout has them. TFDS data have them if their config does.
        layout: how files are named: `"lookbook"`, `"viton_hd"`, `"dress_code"`, `"in_shop"`,
            `"consumer_to_shop"` or `"csv"`, see docs/data.md. `"auto"` recognizes it, and logs why.

    Returns:
        Split name -> pairs. Splits share no product and no duplicate of one. Skipped files are
        logged; `read_lookbook` returns them. The images of TFDS data that were prepared as
        array_record are `keras_pixdt.data.stored.Stored`: they are decoded when they are indexed.

    Raises:
        FileNotFoundError: if there is nothing at the path, or nothing prepared under the name.
        ValueError: if there are no pairs, fewer products than splits, more than 1% of the images
            are unreadable or missing, the files do not have the `layout`, `splits` is given for
            TFDS data, these were built with another `resize`, a size is a rectangle where there
            are squares, or `layout` is given for data without files.

    Example:
    ```python
    pairs = load_pairs("LookBook.zip", image_size=64, splits="kwon2019")
    print(len(pairs["train"]), "pairs of", len(pairs["train"].targets), "products")
    ```
    """
    name = os.fspath(data)
    if layout != "auto" and (name == "rendered" or name.startswith(TFDS)):
        raise ValueError(
            f"`layout` says how files are named, and {name} has none. Leave it out. "
            f"Received: {layout!r}"
        )
    if name.startswith(TFDS):
        if splits is not None:
            raise ValueError(
                f"{name} was split when it was built. Leave `splits` out, and choose the config "
                f"by its splits (pairs64, pairs64_kwon2019). Received: splits={splits!r}"
            )
        loaded = read_pairs(
            name[len(TFDS) :], image_size, resize, data_dir, photo_size=photo_size, truth=truth
        )
    else:
        if name == "rendered":
            book = render_lookbook(num_products, image_size, seed, photo_size, truth)
        else:
            book = read_lookbook(name, image_size, resize, photo_size, layout, truth)
        loaded = {split: book.pairs.select(mask) for split, mask in book.split(splits).items()}
    for split, pairs in loaded.items():
        logging.info(
            "%s: %s has %d pairs, %d products", name, split, len(pairs), len(pairs.targets)
        )
    return loaded


def render_lookbook(
    num_products: int,
    image_size: Size,
    seed: int = 0,
    photo_size: Size | None = None,
    truth: bool = False,
) -> LookBook:
    """Draws the procedural LookBook, on all cores.

    Args:
        num_products: how many products; each has 8 person images on average.
        image_size: side of the images in pixels, which are squares.
        seed: selects the products.
        photo_size: side of the person images in pixels; None takes `image_size`.
        truth: whether the pairs have masks and flows.

    Raises:
        ValueError: a size is no square, or out of its range, or there are no products.
    """
    from keras_pixdt.drawn import rendered

    _check_count(num_products)
    image_side, photo_side = _sides(image_size, photo_size)
    views = [rendered.num_views(product) for product in _sample(num_products, seed)]
    sources = allocate((sum(views), photo_side, photo_side, 3))
    targets = allocate((num_products, image_side, image_side, 3))
    signatures: list[duplicates.Signature | None] = []
    masks: list[np.ndarray] = []
    flows: list[np.ndarray] = []
    start = 0
    every = rendered.render(num_products, image_side, seed, photo_size=photo_side, with_truth=truth)
    for row, drawn in enumerate(every):
        targets[row] = drawn.target
        sources[start : start + len(drawn.sources)] = drawn.sources
        start += len(drawn.sources)
        signatures += _signatures(drawn)
        if drawn.mask is not None and drawn.flows is not None:
            masks.append(drawn.mask)
            flows.append(drawn.flows)
    index = _index_drawn(num_products, seed, signatures)
    pairs = PairSet(
        sources=sources,
        targets=targets,
        target_index=index.target_index,
        product_id=index.product_id,
        group_id=index.group_id,
        attributes=index.attributes,
        masks=np.stack(masks) if truth else None,
        flows=np.concatenate(flows) if truth else None,
    )
    return LookBook(**vars(index), pairs=pairs)


def plan_drawings(
    num_products: int,
    image_size: Size,
    seed: int = 0,
    photo_size: Size | None = None,
    truth: bool = False,
) -> Plan:
    """Plans the procedural LookBook for workers that draw it; see `render_lookbook`."""
    _check_count(num_products)
    image_side, photo_side = _sides(image_size, photo_size)
    return Plan(
        [(product_id, product_id) for product_id in range(num_products)],
        _Drawer(image_side, seed, photo_side, truth),
        functools.partial(_index_drawn, num_products, seed),
    )


@dataclasses.dataclass(frozen=True)
class _Drawer:
    """Draws products by their ids; see `Plan`."""

    image_size: int
    seed: int
    photo_size: int
    truth: bool

    @contextlib.contextmanager
    def open(self) -> Iterator[Callable[[int], Pictures]]:
        yield self._draw

    def _draw(self, product_id: int) -> Pictures:
        from keras_pixdt.drawn import rendered

        (drawn,) = rendered.render(
            1,
            self.image_size,
            self.seed,
            processes=1,
            first_product=product_id,
            photo_size=self.photo_size,
            with_truth=self.truth,
        )
        flows = None if drawn.flows is None else list(drawn.flows)
        return Pictures(drawn.target, list(drawn.sources), _signatures(drawn), drawn.mask, flows)


def _check_count(num_products: int) -> None:
    if num_products < 1:
        raise ValueError(f"`num_products` must be at least 1. Received: {num_products}")


def _sides(image_size: Size, photo_size: Size | None) -> tuple[int, int]:
    """The sides of product images and of photos, which are squares."""
    image_side, photo_side = as_size(image_size), as_size(photo_size or image_size)
    if not isinstance(image_side, int) or not isinstance(photo_side, int):
        raise ValueError(
            "Drawn products and persons are squares: give a side. Files take rectangles. Received: "
            f"image_size={image_side}, photo_size={photo_side}"
        )
    return image_side, photo_side


def _sample(num_products: int, seed: int) -> list[rendered.Product]:
    from keras_pixdt.drawn import rendered

    return [rendered.sample_product(product_id, seed) for product_id in range(num_products)]


def _signatures(drawn: rendered.RenderedProduct) -> list[duplicates.Signature | None]:
    return [duplicates.signature(image) for image in (drawn.target, *drawn.sources)]


def _index_drawn(
    num_products: int, seed: int, signatures: list[duplicates.Signature | None]
) -> Index:
    """The index of drawn products; `signatures` are of each product and then of its persons."""
    from keras_pixdt.drawn import rendered

    products = _sample(num_products, seed)
    views = np.array([rendered.num_views(product) for product in products])
    rows = np.arange(num_products)
    target_index = np.repeat(rows, views)
    return Index(
        target_index=target_index,
        product_id=rows,
        group_id=duplicates.group_products(
            [signature for signature in signatures if signature], np.repeat(rows, views + 1), rows
        ),
        # A product's image and then its persons, numbered consecutively like LookBook's IIDs.
        source_id=np.arange(len(target_index)) + target_index + 1,
        target_id=np.cumsum(views + 1) - views - 1,
        skipped=Skipped(),
        attributes=tuple(product.attributes() for product in products),
    )

"""From the name of a data set to its pairs, split by product."""

from __future__ import annotations

import os

import numpy as np
from absl import logging

from keras_pixdt.choices import Size, as_size
from keras_pixdt.data import duplicates
from keras_pixdt.data.files import Skipped
from keras_pixdt.data.pairs import PairSet, allocate
from keras_pixdt.data.readers.layouts import LookBook, read_lookbook
from keras_pixdt.data.readers.tfds import TFDS, read_pairs

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
        logged; `read_lookbook` returns them.

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

    if num_products < 1:
        raise ValueError(f"`num_products` must be at least 1. Received: {num_products}")
    image_size, side = as_size(image_size), as_size(photo_size or image_size)
    if not isinstance(image_size, int) or not isinstance(side, int):
        raise ValueError(
            "Drawn products and persons are squares: give a side. Files take rectangles. Received: "
            f"image_size={image_size}, photo_size={side}"
        )
    views = [
        rendered.num_views(rendered.sample_product(index, seed)) for index in range(num_products)
    ]
    sources = allocate((sum(views), side, side, 3))
    targets = allocate((num_products, image_size, image_size, 3))
    product_id, attributes, target_signatures, source_signatures = [], [], [], []
    masks: list[np.ndarray] = []
    flows: list[np.ndarray] = []
    start = 0
    every = rendered.render(num_products, image_size, seed, photo_size=side, with_truth=truth)
    for row, drawn in enumerate(every):
        targets[row] = drawn.target
        sources[start : start + len(drawn.sources)] = drawn.sources
        start += len(drawn.sources)
        product_id.append(drawn.product.product_id)
        attributes.append(drawn.product.attributes())
        target_signatures.append(duplicates.signature(drawn.target))
        source_signatures += [duplicates.signature(source) for source in drawn.sources]
        if drawn.mask is not None and drawn.flows is not None:
            masks.append(drawn.mask)
            flows.append(drawn.flows)
    target_index = np.repeat(np.arange(num_products), views)
    ids = np.array(product_id, np.int64)
    pairs = PairSet(
        sources=sources,
        targets=targets,
        target_index=target_index,
        product_id=ids,
        group_id=duplicates.group_products(
            target_signatures + source_signatures,
            np.concatenate([np.arange(num_products), target_index]),
            ids,
        ),
        attributes=tuple(attributes),
        masks=np.stack(masks) if truth else None,
        flows=np.concatenate(flows) if truth else None,
    )
    # A product's image and then its persons, numbered consecutively like LookBook's IIDs.
    source_id = np.arange(len(sources)) + target_index + 1
    target_id = np.cumsum([0, *views[:-1]]) + np.arange(num_products)
    return LookBook(pairs, source_id, target_id, Skipped())

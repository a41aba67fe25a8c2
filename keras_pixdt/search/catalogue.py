"""The work of `pixdt index` and `pixdt search`: catalogue to index, and photo to products."""

from __future__ import annotations

import os
import pathlib
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np
from absl import logging

from keras_pixdt.atomic import load_model
from keras_pixdt.choices import Size
from keras_pixdt.data.images import read_image, resize
from keras_pixdt.data.load import load_pairs
from keras_pixdt.data.readers.tfds import TFDS
from keras_pixdt.search import page
from keras_pixdt.search.embedding import embed
from keras_pixdt.search.index import Changes, ProductIndex

if TYPE_CHECKING:
    import keras


def load_embedder(path: str | os.PathLike[str]) -> keras.Model:
    """Opens an embedder.

    Args:
        path: a `.keras` file.

    Raises:
        FileNotFoundError: there is none.
        ValueError: the file is damaged.
    """
    import keras_pixdt.judges.embedder  # noqa: F401, so that Keras knows the class

    if not pathlib.Path(path).is_file():
        raise FileNotFoundError(
            f"There is no embedder at {path}. Pass a .keras file, or the folder of a run."
        )
    return load_model(path)


def index_catalogue(
    catalogue: str | os.PathLike[str],
    embedder: keras.Model,
    out: str | os.PathLike[str],
    *,
    split: str | None = None,
    data_dir: str | None = None,
) -> tuple[ProductIndex, Changes]:
    """Makes the index of a catalogue, or updates it if there is one already.

    Args:
        catalogue: a folder or an archive of product photos; or "tfds:NAME", see `load_pairs`, whose
            product images are indexed under the number of the product.
        embedder: see `ProductIndex.build`.
        out: file of the index; its folder is made if it is missing. It is not written if nothing
            has changed.
        split: the split of TFDS data; all by default.
        data_dir: where TFDS data was prepared.

    Returns:
        The index, and what has changed.

    Raises:
        FileNotFoundError: there is no catalogue.
        ValueError: it has no products, there is no such split, or `out` is not an index or has
            another embedder.
    """
    out = pathlib.Path(out)
    if out.exists():
        index = ProductIndex.open(out, embedder)
    else:
        index = ProductIndex.empty(embedder)
    name = os.fspath(catalogue)
    if name.startswith(TFDS):
        pairs = load_pairs(name, index.image_size, data_dir=data_dir, resize=index.resize)
        if split is not None and split not in pairs:
            raise ValueError(
                f"`split` must be one of {', '.join(pairs)}, those of {name}. Received: {split!r}"
            )
        chosen = [part for key, part in pairs.items() if split in (None, key)]
        changes = index.update(
            (image for part in chosen for image in part.targets),
            (str(product) for part in chosen for product in part.product_id),
            embedder,
        )
    elif split is not None:
        raise ValueError(f"`split` needs TFDS data, {TFDS}NAME. Received: {split!r} of {name}")
    else:
        changes = index.update_from_folder(name, embedder)
    if changes.added or changes.changed or changes.removed or not out.exists():
        out.parent.mkdir(parents=True, exist_ok=True)
        index.save(out)
    logging.info(
        "%s: %d products (%d added, %d changed, %d unchanged); %d removed",
        out, len(index), changes.added, changes.changed, changes.unchanged, changes.removed,
    )  # fmt: skip
    return index, changes


def search_photo(
    index: ProductIndex,
    embedder: keras.Model,
    photo: str | os.PathLike[str],
    *,
    top: int = 10,
    convert: Callable[[np.ndarray], np.ndarray] | None = None,
    convert_size: Size | None = None,
    convert_resize: str = "letterbox",
    html: str | os.PathLike[str] | None = None,
) -> dict[str, Any]:
    """Finds the products nearest to a photo.

    Args:
        index: the catalogue.
        embedder: the embedder with which it was made.
        photo: an image file of any size.
        top: how many products.
        convert: maps uint8 `(1, height, width, 3)` to uint8 images of any one size: draws the
            product image of the photo, which is then used for the search.
        convert_size: the side of the images that it takes, or their (height, width).
        convert_resize: how the photo is brought to that size, "letterbox" or "stretch".
        html: file for a page of the results, with pictures.

    Returns:
        What JSON takes: `query`, `products` (how many were searched), `results` (each with `rank`,
        `id` and `score`, the cosine), and `milliseconds` of converting, embedding and searching,
        each at the second call, because the first one compiles.

    Raises:
        FileNotFoundError: there is no photo.
        ValueError: it cannot be read, `top` is below 1, or the embedder is another one.
    """
    index.check_embedder(embedder)
    original = read_image(photo)
    converted = None
    milliseconds = {}
    image = original
    if convert is not None:
        if convert_size is None:
            raise ValueError("`convert_size` must be given with `convert`. Received: None")
        if convert_resize != index.resize:
            logging.warning(
                "The photo is converted by %r, and the products of the index were made square by "
                "%r, so the drawn product has other proportions than they have. Use the model and "
                "the embedder of one run, or say with --resize what the model takes",
                convert_resize, index.resize,
            )  # fmt: skip
        batch = resize(original, convert_size, convert_resize)[None]
        drawn, milliseconds["convert"] = _timed(lambda: convert(batch))
        image = converted = drawn[0]
    square = resize(image, index.image_size, index.resize)[None]
    query, milliseconds["embed"] = _timed(lambda: embed(embedder, square))
    (rows, scores), milliseconds["search"] = _timed(lambda: index.nearest(query[0], top))
    found = {
        "query": os.fspath(photo),
        "products": len(index),
        "results": [
            {"rank": rank, "id": index.id(row), "score": float(score)}
            for rank, (row, score) in enumerate(zip(rows, scores, strict=True), 1)
        ],
        "milliseconds": milliseconds,
    }
    if html is not None:
        page.write_page(html, found, original, converted, [index.thumbnail(row) for row in rows])
    return found


def _timed(call: Callable[[], Any]) -> tuple[Any, float]:
    call()
    start = time.perf_counter()
    result = call()
    return result, 1e3 * (time.perf_counter() - start)

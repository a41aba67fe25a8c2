"""Reads products, compares them with an index, and embeds those that are new or changed."""

from __future__ import annotations

import functools
import hashlib
import io
import itertools
from collections.abc import Callable, Iterable, Iterator, Mapping, Sized
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from PIL import Image

from keras_pixdt import progress
from keras_pixdt.data.files import (
    UNREADABLE,
    Files,
    Skipped,
    decode,
)
from keras_pixdt.data.images import letterbox, resize
from keras_pixdt.search.embedding import BATCH, embed
from keras_pixdt.search.index_file import DIGEST_BYTES, Blobs, Rows, Settings, no_rows
from keras_pixdt.workers import thread_pool

if TYPE_CHECKING:
    import keras

# Results are shown at about 96 px on a phone. As JPEG of this quality they are 2.2 KB (PNG: 8 to
# 13 KB), so that a browser downloads 10,000 products in 25 MB, a tenth of it vectors.
THUMBNAIL_SIZE_PX = 96
_THUMBNAIL_QUALITY = 80
_NOT_UTF8 = "name_not_in_utf8"
_CHUNK = 8 * BATCH  # images held at once


class _Unchanged(Exception):
    """Raised by what loads a product whose image is the one that is indexed."""


class Product(NamedTuple):
    """A product whose image is still to be loaded."""

    id: str
    # From the digest that is indexed, if any, to the image and its digest; None if unreadable.
    load: Callable[[bytes | None], tuple[np.ndarray, bytes] | None]


def given(images: Iterable[np.ndarray], ids: Iterable[str]) -> Iterator[Product]:
    """Products whose images are arrays.

    Raises:
        ValueError: images and ids are not equally many, or an id is no text.
    """
    end = object()
    for row, (image, product) in enumerate(itertools.zip_longest(images, ids, fillvalue=end)):
        if image is end or product is end:
            raise ValueError(
                "`images` and `ids` must be equally many. Received: "
                f"{row} {'images' if image is end else 'ids'}, and more of the others"
            )
        if not isinstance(product, str) or not product:
            raise ValueError(
                "`ids` must be strings that are not empty, such as map(str, numbers). "
                f"Received: {product!r}"
            )
        try:
            product.encode()
        except UnicodeEncodeError as error:
            raise ValueError(f"`ids` must be text of Unicode. Received: {product!a}") from error
        yield Product(product, functools.partial(_load_array, np.asarray(image)))


def _load_array(image: np.ndarray, known: bytes | None) -> tuple[np.ndarray, bytes]:
    content = f"{image.dtype} {image.shape} ".encode() + image.tobytes()
    return image, _digest(content, known)


def listed(files: Files, folder: str, skipped: Skipped) -> list[Product]:
    """Products that are the image files of a folder or an archive.

    Args:
        files: what is in it.
        folder: its name, for the log.
        skipped: where the files that are left out are counted.
    """
    products = []
    for file in files.images(skipped):
        if file != file.encode(errors="replace").decode():
            skipped.add(_NOT_UTF8, ascii(file))
        else:
            products.append(Product(file, functools.partial(_load_file, files.read, file, folder)))
    return products


def _load_file(
    read: Callable[[str], bytes], name: str, folder: str, known: bytes | None
) -> tuple[np.ndarray, bytes] | None:
    digest = b""

    def read_changed() -> bytes:
        nonlocal digest
        content = read(name)
        digest = _digest(content, known)
        return content

    decoded = decode(read_changed, name, folder)
    return None if decoded is None else (decoded[0], digest)


def _digest(content: bytes, known: bytes | None) -> bytes:
    digest = hashlib.sha256(content).digest()
    if digest == known:
        raise _Unchanged
    return digest


def _thumbnail(image: np.ndarray, size: int) -> bytes:
    file = io.BytesIO()
    Image.fromarray(letterbox(image, size)).save(
        file, "JPEG", quality=_THUMBNAIL_QUALITY, optimize=True
    )
    return file.getvalue()


def take_in(
    products: Iterable[Product],
    rows: Rows,
    row_of: Mapping[str, int],
    settings: Settings,
    embedder: keras.Model,
    skipped: Skipped,
) -> tuple[list[int], list[str], Rows]:
    """Reads products, and embeds those that are new or have changed.

    Args:
        products: in the order of the catalogue.
        rows: what is indexed.
        row_of: id -> row in it.
        settings: of the index.
        embedder: what gives its vectors.
        skipped: where products whose image is unreadable are counted.

    Returns:
        The row of each product, where those that were embedded follow on `rows`; their ids; and
        their rows.

    Raises:
        ValueError: an id occurs twice, an image is not uint8 RGB, or the embedder gives no unit
            vectors.
    """
    order: list[int] = []
    seen: set[str] = set()
    ids: list[str] = []
    thumbnails, digests, vectors = [], [], []

    def prepare(product: Product) -> tuple[np.ndarray, bytes, bytes] | None:
        row = row_of.get(product.id)
        loaded = product.load(None if row is None else rows.digests[row].tobytes())
        if loaded is None:
            return None
        image, digest = loaded
        square = resize(image, settings.image_size, settings.resize)
        return square, _thumbnail(image, settings.thumbnail_size), digest

    iterator = iter(products)
    total = len(products) if isinstance(products, Sized) else None
    with thread_pool() as pool, progress.bar("Reading products", total=total) as shown:
        while chunk := list(itertools.islice(iterator, _CHUNK)):
            images = []
            for product, result in [(p, pool.submit(prepare, p)) for p in chunk]:
                shown.update()
                if product.id in seen:
                    raise ValueError(
                        f"`ids` must be different from one another. Received twice: {product.id!r}"
                    )
                seen.add(product.id)
                try:
                    prepared = result.result()
                except _Unchanged:
                    order.append(row_of[product.id])
                    continue
                if prepared is None:
                    skipped.add(UNREADABLE, product.id)
                    continue
                order.append(len(rows) + len(ids))
                ids.append(product.id)
                images.append(prepared[0])
                thumbnails.append(prepared[1])
                digests.append(prepared[2])
            if images:
                vectors.append(embed(embedder, np.stack(images)))
    if not ids:
        return order, ids, no_rows(settings.dimensions)
    fresh = Rows(
        np.concatenate(vectors),
        np.frombuffer(b"".join(digests), np.uint8).reshape(-1, DIGEST_BYTES),
        Blobs.of([product.encode() for product in ids]),
        Blobs.of(thumbnails),
    )
    return order, ids, fresh

"""Finds duplicate images, so that copies of one garment never straddle two splits.

Two images are duplicates if their files are equal byte for byte, or if both of these hold:

- their difference hashes (64 bits: does the gray level rise from one cell to the next, in a 9x8
  reduction, by more than the noise of compression) differ in at most 3 bits,
- their 16x16 RGB reductions differ by at most 3 levels on average.

The second criterion separates plain garments of the same shape but different colours. Products that
share a duplicate image, of the garment or of a person, form a group; groups are transitive.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from PIL import Image

from keras_pixdt.data import images

MAX_HASH_BITS = 3
MAX_MEAN_LEVELS = 3

_NOISE_LEVELS = 2
_CELLS = 16 * 16 * 3
# Four bands of 16 bits: two hashes that differ in at most 3 bits have an equal band.
_BANDS = MAX_HASH_BITS + 1
_BAND_BITS = 64 // _BANDS
# Number of candidate pairs compared at once; bounds the memory.
_CHUNK = 1 << 20


class Signature(NamedTuple):
    """The features of an image that are compared; independent of the training image size."""

    sha256: bytes
    """Digest of the file."""
    hash: int
    """Difference hash, 64 bits."""
    cells: np.ndarray
    """uint8 `(768,)`, the letterboxed image reduced to 16x16 RGB."""


def signature(image: np.ndarray, file: bytes | None = None) -> Signature:
    """Computes the signature of a uint8 `(height, width, 3)` image.

    Args:
        image: the decoded image, before it is letterboxed.
        file: the bytes that it was decoded from; by default the bytes of the pixels.
    """
    gray = Image.fromarray(image).convert("L").convert("F").resize((9, 8), Image.Resampling.BOX)
    rises = np.diff(np.asarray(gray), axis=1) > _NOISE_LEVELS
    return Signature(
        sha256=hashlib.sha256(image.tobytes() if file is None else file).digest(),
        hash=int.from_bytes(np.packbits(rises).tobytes(), "big"),
        cells=_reduce(image),
    )


def _reduce(image: np.ndarray) -> np.ndarray:
    side = Image.fromarray(images.letterbox(image, max(image.shape[:2])))
    return np.asarray(side.resize((16, 16), Image.Resampling.BOX)).reshape(-1)


def group_products(
    signatures: list[Signature],
    product_row: np.ndarray,
    product_id: np.ndarray,
    item: np.ndarray | None = None,
) -> np.ndarray:
    """Groups the products that share an image.

    Args:
        signatures: the signatures of all images, garments and persons.
        product_row: int `(images,)`, the row of `product_id` that each image belongs to.
        product_id: int64 `(products,)`.
        item: int64 `(products,)`, equal for products that belong together whatever their images.

    Returns:
        int64 `(products,)`: the smallest product id of the group that each product is in.
    """
    digests = np.array([item.sha256 for item in signatures], dtype="S32")
    # Equal files first, so that each is compared only once, however often it occurs.
    _, first, same = np.unique(digests, return_index=True, return_inverse=True)
    links = [np.stack([first[same], np.arange(len(signatures))])]
    distinct = [signatures[index] for index in first]
    for left, right in _near_pairs(
        np.array([item.hash for item in distinct], np.uint64),
        np.stack([item.cells for item in distinct]),
    ):
        links.append(np.stack([first[left], first[right]]))
    rows = np.unique(product_row[np.concatenate(links, axis=1)], axis=1)
    if item is not None:
        _, first, same = np.unique(item, return_index=True, return_inverse=True)
        rows = np.concatenate([rows, [first[same], np.arange(len(item))]], axis=1)
    return _smallest_linked(rows, product_id)


def _near_pairs(hashes: np.ndarray, cells: np.ndarray) -> Iterator[tuple[np.ndarray, np.ndarray]]:
    """Yields (left, right) index arrays of the pairs that meet both criteria.

    85,000 images would make 3.6 billion pairs. So it compares only pairs that share a band of the
    hash and whose sums over the cells are as close as the second criterion allows. If the images
    are sorted by (band, sum), these follow one another.
    """
    limit = MAX_MEAN_LEVELS * _CELLS
    sums = cells.sum(axis=1, dtype=np.int64)
    for band in range(_BANDS):
        value = (hashes >> np.uint64(band * _BAND_BITS)) & np.uint64((1 << _BAND_BITS) - 1)
        # The largest sum is 195,840, so 20 bits hold it with room for the limit.
        key = (value.astype(np.int64) << 20) + sums
        order = np.argsort(key, kind="stable")
        key = key[order]
        following = np.searchsorted(key, key + limit, "right") - np.arange(len(key)) - 1
        ends = np.cumsum(following)
        start = 0
        while start < len(key):
            done = ends[start - 1] if start else 0
            stop = max(start + 1, int(np.searchsorted(ends, done + _CHUNK, "right")))
            counts = following[start:stop]
            left = np.repeat(np.arange(start, stop), counts)
            offset = np.arange(len(left)) - np.repeat(np.cumsum(counts) - counts, counts)
            left, right = order[left], order[left + 1 + offset]
            near = _count_bits(hashes[left] ^ hashes[right]) <= MAX_HASH_BITS
            left, right = left[near], right[near]
            distance = np.abs(cells[left].astype(np.int16) - cells[right]).sum(axis=1)
            close = distance <= limit
            yield left[close], right[close]
            start = stop


def _count_bits(values: np.ndarray) -> np.ndarray:
    """Set bits of each uint64; `np.bitwise_count` needs NumPy 2."""
    return np.unpackbits(values[:, None].view(np.uint8), axis=1).sum(axis=1)


def _smallest_linked(links: np.ndarray, product_id: np.ndarray) -> np.ndarray:
    """Union-find: for each product, the smallest id among the products linked with it."""
    parent = list(range(len(product_id)))

    def root(row: int) -> int:
        while parent[row] != row:
            parent[row] = parent[parent[row]]
            row = parent[row]
        return row

    for left, right in links.T.tolist():
        left, right = root(left), root(right)
        if product_id[left] > product_id[right]:
            left, right = right, left
        parent[right] = left
    return product_id[[root(row) for row in range(len(product_id))]]

"""Images that stay in the records of a prepared set, and are decoded when they are indexed."""

from __future__ import annotations

import concurrent.futures
import functools
import hashlib
import os
from collections.abc import Callable, Iterator
from typing import Any, Protocol

import numpy as np

_TOGETHER = 4  # images that a thread decodes before it takes the next ones
_CHUNK = 64  # images that an iterator decodes at once
_SAMPLED = 32  # images that a digest reads


class Records(Protocol):
    """The records of a split; several threads read them."""

    def __getitem__(self, record: int) -> bytes:
        """The bytes of a record."""


class Stored:
    """Images in records, which are decoded when they are indexed.

    It can stand wherever an array of images can. `images[row]`, `images[first:last]` and
    `images[rows]` are new NumPy arrays, decoded on all cores. `np.asarray(images)` decodes all.

    Args:
        records: where the images are.
        decode: makes the image, or flow, of the bytes of a record and its number.
        rows: int64 `(n,)`, the record of each image.
        shape: of an image.
        dtype: of the images.

    Attributes:
        shape: `(n, *shape)`.
        dtype: of the images.
    """

    def __init__(
        self,
        records: Records,
        decode: Callable[[bytes, int], np.ndarray],
        rows: np.ndarray,
        shape: tuple[int, ...],
        dtype: Any = np.uint8,
    ) -> None:
        self._records, self._decode, self._rows = records, decode, rows
        self.shape = (len(rows), *shape)
        self.dtype = np.dtype(dtype)

    @property
    def ndim(self) -> int:
        """The number of dimensions, with that of the images."""
        return len(self.shape)

    def __len__(self) -> int:
        """The number of images."""
        return len(self._rows)

    def __getitem__(self, key: Any) -> np.ndarray:
        """Decodes one image, or those of a slice, an array of rows or a boolean mask."""
        if isinstance(key, tuple):
            raise IndexError(
                "Stored images are indexed by their rows only: take those first, as in "
                f"images[rows][:, y, x]. Received: {len(key)} indices"
            )
        chosen = self._rows[key]
        if not chosen.ndim:
            return self._image(int(chosen))
        records = chosen.ravel().tolist()
        found = np.empty((len(records), *self.shape[1:]), self.dtype)

        def fill(start: int) -> None:
            for i, record in enumerate(records[start : start + _TOGETHER], start):
                found[i] = self._image(record)

        list(_threads().map(fill, range(0, len(records), _TOGETHER)))
        return found.reshape(*chosen.shape, *self.shape[1:])

    def __iter__(self) -> Iterator[np.ndarray]:
        """The images in order, of which some are decoded at once."""
        for start in range(0, len(self), _CHUNK):
            yield from self[start : start + _CHUNK]

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> np.ndarray:
        """All images, in memory."""
        if copy is False:
            raise ValueError("Stored images are decoded into a new array: `copy` cannot be False.")
        return self[:].astype(self.dtype if dtype is None else dtype, copy=False)

    def select(self, rows: np.ndarray) -> Stored:
        """Some of the images, by their rows or a boolean mask; decodes nothing."""
        return Stored(self._records, self._decode, self._rows[rows], self.shape[1:], self.dtype)

    def changed(self, change: Callable[[np.ndarray], np.ndarray], shape: tuple[int, ...]) -> Stored:
        """The same images, each changed when it is decoded.

        Args:
            change: makes the new image of one.
            shape: of the new ones.
        """

        def decode(data: bytes, record: int) -> np.ndarray:
            return change(self._decode(data, record))

        return Stored(self._records, decode, self._rows, shape, self.dtype)

    def digest(self) -> bytes:
        """A digest that costs the same for any number of images.

        It sees their shape, in which records they are, and the pixels of images that are evenly
        spaced. It does not see the bytes of records, because each build of a set has others: the
        features of an example have no order.
        """
        digest = hashlib.sha256(f"{self.dtype}{self.shape}".encode())
        digest.update(np.ascontiguousarray(self._rows).data)
        sampled = np.linspace(0, len(self) - 1, min(_SAMPLED, len(self))).astype(int)
        digest.update(np.ascontiguousarray(self[sampled]).data)
        return digest.digest()

    def _image(self, record: int) -> np.ndarray:
        return self._decode(self._records[record], record)


def as_images(images: Any) -> Any:
    """Images as an array; stored ones stay where they are."""
    return images if isinstance(images, Stored) else np.asarray(images)


@functools.cache
def _threads() -> concurrent.futures.ThreadPoolExecutor:
    """A thread per core, two at least; they are kept, because starting them takes a while."""
    return concurrent.futures.ThreadPoolExecutor(max(2, os.cpu_count() or 1), "decode")

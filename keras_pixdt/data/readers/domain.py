"""The images of one domain before they are split, as the readers of domains return them."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import NamedTuple

import numpy as np

from keras_pixdt.choices import Size, as_height_width
from keras_pixdt.data import duplicates, images
from keras_pixdt.data.files import File, Skipped, decode_all
from keras_pixdt.data.pairs import Labels, allocate, take_rows

ALL = "all"  # key for the images of a domain without its own splits
TFDS_NAMES = "tfds:NAME for a set with labels, or tfds:NAME:ATTRIBUTE=1"
FIX = f"Pass a folder or an archive of images, an .npz file, {TFDS_NAMES}."


class Domain(NamedTuple):
    """All images of a domain before they are split, or the images of one of its own splits."""

    images: np.ndarray
    shapes: np.ndarray  # int (n, 2), proportional to the heights and widths inside the bars
    labels: Labels | None
    signatures: list[duplicates.Signature]  # empty if the domain has its own splits


def decode_domain(
    found: Iterable[File],
    most: int,
    image_size: Size,
    resize: str,
    path: str,
    skipped: Skipped,
    labels: Labels | None = None,
    cut: Callable[[str, np.ndarray], np.ndarray] = lambda name, image: image,
) -> Domain:
    """Decodes at most `most` images of a domain and brings them to a size.

    `labels` has one label for each image of `found`; `cut` crops an image, see `crops.cutter`. See
    `files.decode_all` for the other arguments.
    """
    pixels = allocate((most, *as_height_width(image_size, "image_size"), 3))
    shapes = np.empty((most, 2), np.int64)

    def use(row: int, name: str, image: np.ndarray) -> None:
        pixels[row], shapes[row] = _fitted(cut(name, image), image_size, resize)

    signatures = decode_all(found, use, path, skipped, most)
    skipped.log(path)
    kept = np.flatnonzero([signature is not None for signature in signatures])
    return Domain(
        take_rows(pixels[: len(signatures)], kept),
        shapes[kept],
        None if labels is None else labels.select(kept),
        [signature for signature in signatures if signature is not None],
    )


def resized(
    pictures: Iterable[np.ndarray], count: int, image_size: Size, resize: str = "letterbox"
) -> tuple[np.ndarray, np.ndarray]:
    """Brings images to a size: uint8 (height, width), with one channel or with three.

    Returns:
        The `images` and `shapes` of a `Domain`.
    """
    pixels = allocate((count, *as_height_width(image_size, "image_size"), 3))
    shapes = np.empty((count, 2), np.int64)
    for row, picture in enumerate(pictures):
        height, width = picture.shape[:2]
        rgb = np.broadcast_to(picture.reshape(height, width, -1), (height, width, 3))
        pixels[row], shapes[row] = _fitted(rgb, image_size, resize)
    return pixels, shapes


def _fitted(image: np.ndarray, image_size: Size, resize: str) -> tuple[np.ndarray, tuple[int, ...]]:
    """An image of this size, and its `Domain.shapes`: a stretched one has no bars."""
    fitted = images.resize(image, image_size, resize)
    return fitted, (fitted if resize == "stretch" else image).shape[:2]

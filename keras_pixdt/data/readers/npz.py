"""Reads a domain from an `.npz` file of x_train, y_train, x_test and y_test, as Keras has them."""

from __future__ import annotations

import os
import zipfile
import zlib

import numpy as np

from keras_pixdt.choices import Size, as_height_width
from keras_pixdt.data.pairs import Labels
from keras_pixdt.data.readers.domain import FIX, Domain, resized

_MOST_CLASSES = 100_000  # larger labels are identifiers, or damaged


def read_npz(path: str, image_size: Size) -> dict[str, Domain]:
    """Reads the training and the test images of an `.npz` file, with their labels.

    See `load_domains` for the arguments.
    """
    if not os.path.exists(path):
        raise FileNotFoundError(f"There is no file at {path}. {FIX}")
    labels = {split: _npz_labels(path, f"y_{split}") for split in ("train", "test")}
    classes = 1 + max(index.max() for index in labels.values())
    names = tuple(str(value) for value in range(classes))
    domains = {}
    for split, index in labels.items():
        pictures = _npz_pictures(path, f"x_{split}")
        if len(pictures) != len(index):
            raise ValueError(
                f"`x_{split}` and `y_{split}` in {path} must have one label for each image. "
                f"Received: {len(pictures)} images and {len(index)} labels"
            )
        sides = as_height_width(image_size, "image_size")
        if pictures.shape[1:] == (*sides, 3):
            pixels, shapes = pictures, np.tile(sides, (len(index), 1))
        else:
            pixels, shapes = resized(pictures, len(index), image_size)
        domains[split] = Domain(pixels, shapes, Labels(index, names), signatures=[])
    return domains


def _npz_labels(path: str, key: str) -> np.ndarray:
    index = _npz_array(path, key)
    if index.ndim != 1 or not len(index) or index.dtype.kind not in "iu":
        raise ValueError(
            f"`{key}` in {path} must be integers of shape (count,), one label for each image. "
            f"Received: {index.dtype} of shape {index.shape}"
        )
    if not 0 <= index.min() <= index.max() < _MOST_CLASSES:
        raise ValueError(
            f"`{key}` in {path} must be labels that count from 0, in [0, {_MOST_CLASSES}). "
            f"Received values from {index.min()} to {index.max()}"
        )
    return index.astype(np.int64)


def _npz_pictures(path: str, key: str) -> np.ndarray:
    pictures = _npz_array(path, key)
    shape = pictures.shape
    images = len(shape) in (3, 4) and min(shape[1:3]) > 0 and shape[3:] in ((), (3,))
    if pictures.dtype != np.uint8 or not images:
        raise ValueError(
            f"`{key}` in {path} must be uint8 of shape (count, height, width), gray, "
            f"or (count, height, width, 3), RGB. Received: {pictures.dtype} of shape {shape}"
        )
    return pictures


def _npz_array(path: str, key: str) -> np.ndarray:
    if not zipfile.is_zipfile(path):
        raise ValueError(
            f"{path} is no whole .npz file: {os.path.getsize(path):,} bytes that are no zip "
            "archive. Copy or write it again, by np.savez_compressed."
        )
    try:
        with np.load(path, allow_pickle=False) as file:
            found = file.files
            if key in found:
                return file[key]
    # NumPy raises these for pickled objects, and archives for a damaged member.
    except (ValueError, OSError, RuntimeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(
            f"`{key}` in {path} cannot be read: {error}. Copy or write the file again, by "
            "np.savez_compressed, with arrays of numbers."
        ) from error
    raise ValueError(
        f"{path} must have the arrays x_train, y_train, x_test and y_test. There is no `{key}`. "
        f"Found: {', '.join(found) or 'none'}"
    )

"""Reads a domain from a folder or archive of images with any names; folders can be labels."""

from __future__ import annotations

import functools
import os
import pathlib

import numpy as np

from keras_pixdt.choices import Size
from keras_pixdt.data.crops import cutter
from keras_pixdt.data.files import ENDINGS, Skipped, is_image, open_files
from keras_pixdt.data.pairs import Labels
from keras_pixdt.data.readers.domain import FIX, Domain, decode_domain


def read_folder(
    path: str, image_size: Size, resize: str, crop: str | os.PathLike[str] | None
) -> Domain:
    """Reads all images of a folder with its subfolders, or of an archive.

    See `load_domains` for the arguments.
    """
    with open_files(pathlib.Path(path), is_image, "images", FIX) as files:
        skipped = Skipped()
        listed = files.images(skipped)
        if not listed:
            raise ValueError(
                f"{path} has no images, which end in {ENDINGS}. "
                f"Found: {len(files.names)} file(s); left out: {str(skipped) or 'none'}"
            )
        found = ((file, functools.partial(files.read, file)) for file in listed)
        labels = _labels([file[len(files.top) :] for file in listed])
        cut = cutter(crop, {file: file for file in listed}, path)
        return decode_domain(found, len(listed), image_size, resize, path, skipped, labels, cut)


def _labels(names: list[str]) -> Labels | None:
    """The top-level folder of each file, if every file is in one and there are several."""
    parts = [pathlib.PurePosixPath(name).parts for name in names]
    classes, index = np.unique([first for first, *_ in parts], return_inverse=True)
    if len(classes) < 2 or any(len(part) < 2 for part in parts):
        return None
    return Labels(index.astype(np.int64), tuple(classes.tolist()))

"""Crops: a user's file says which part of each image to use."""

from __future__ import annotations

import collections
import json
import os
import pathlib
import unicodedata
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np

from keras_pixdt.data.images import ImageError


def cutter(
    path: str | os.PathLike[str] | None, names: Mapping[str, str], where: str
) -> Callable[[str, np.ndarray], np.ndarray]:
    """Opens a file of crops.

    It is a JSON object. Each entry names an image by its path within the folder or by the end of
    that path, such as its base name, as long as this fits no other image. Its value is the box to
    use: `[left, top, right, bottom]`, integers in pixels of the upright image, from its upper left
    corner. Images without an entry are used whole.

    Args:
        path: the file; None uses all images whole.
        names: the path of each image -> its path within the folder, with `/` between folders.
        where: the folder, for messages.

    Returns:
        A function that takes an image's path (a key of `names`) and the image, uint8 (height,
        width, 3), and returns the cropped part. If the box is not within the image, it raises an
        `ImageError` that names the file and the entry.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: the file has the wrong layout, or an entry fits no image or several.
    """
    boxes: dict[str, tuple[str, list[int]]] = {}
    if path is not None:
        by_base = collections.defaultdict(list)
        paths = {name: _path(name) for name in names}
        for name, whole in paths.items():
            by_base[whole.name].append(name)
        for entry, box in _read(path).items():
            end = _path(entry)
            alike = by_base[end.name]
            of = [name for name in alike if _path(names[name]) == end]
            if len(of) != 1:
                of = [name for name in alike if f"/{paths[name]}".endswith(f"/{end}")]
            if len(of) != 1 or of[0] in boxes:
                others = [entry, boxes[of[0]][0]] if len(of) == 1 else of
                raise ValueError(
                    f"{path}: the entry {entry!r} must be the path, or the end of the path, of one "
                    f"image in {where}, which no other entry names. "
                    f"Found: {', '.join(map(repr, others)) or 'none'}"
                )
            boxes[of[0]] = entry, box

    def cut(name: str, image: np.ndarray) -> np.ndarray:
        if name not in boxes:
            return image
        entry, (left, top, right, bottom) = boxes[name]
        height, width = image.shape[:2]
        if not (0 <= left < right <= width and 0 <= top < bottom <= height):
            raise ImageError(
                f"{path}: the box of {entry!r}, [left, top, right, bottom], must be within its "
                f"image, {width} px wide and {height} px high. "
                f"Received: {[left, top, right, bottom]}"
            )
        return image[top:bottom, left:right]

    return cut


def _path(name: str) -> pathlib.PurePosixPath:
    """One spelling for all systems: macOS splits accents off, and Windows has backslashes."""
    return pathlib.PurePosixPath(unicodedata.normalize("NFC", name).replace("\\", "/"))


def _read(path: str | os.PathLike[str]) -> dict[str, list[int]]:
    try:
        entries: Any = json.loads(pathlib.Path(path).read_bytes(), object_pairs_hook=_unique)
    except FileNotFoundError as error:
        raise FileNotFoundError(f"There is no file of crops at {path}.") from error
    except ValueError as error:
        raise ValueError(f"{path} must be a JSON object of crops: {error}") from error
    if not isinstance(entries, dict):
        raise ValueError(
            f"{path} must be a JSON object from names of images to [left, top, right, bottom]. "
            f"Received: {type(entries).__name__}"
        )
    for entry, box in entries.items():
        if isinstance(box, list):  # whole numbers may come as 40.0
            box = [int(e) if isinstance(e, float) and e.is_integer() else e for e in box]
            entries[entry] = box
        if not isinstance(box, list) or len(box) != 4 or any(type(edge) is not int for edge in box):
            raise ValueError(
                f"{path}: {entry!r} must have four integers, [left, top, right, bottom]. "
                f"Received: {box!r}"
            )
    return entries


def _unique(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    entries = dict(pairs)
    if len(entries) < len(pairs):
        twice = collections.Counter(key for key, _ in pairs).most_common(1)[0][0]
        raise ValueError(f"{twice!r} is in it twice")
    return entries

"""Photos in, product images out: files and folders of any size and format."""

from __future__ import annotations

import dataclasses
import itertools
import os
import pathlib
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from absl import logging

from keras_pixdt import data, progress
from keras_pixdt.data.crops import cutter
from keras_pixdt.data.files import IMAGE_SUFFIXES


@dataclasses.dataclass(frozen=True)
class Conversion:
    """The result of converting photos.

    Attributes:
        written: photo -> the file with its product image.
        failed: photo -> why it could not be converted.
    """

    written: dict[pathlib.Path, pathlib.Path]
    failed: dict[pathlib.Path, str]


def convert_photos(
    convert: Callable[[np.ndarray], np.ndarray],
    paths: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    image_size: int,
    batch_size: int = 32,
    distance: Callable[[np.ndarray], np.ndarray] | None = None,
    resize: str = "letterbox",
    crop: str | os.PathLike[str] | None = None,
) -> Conversion:
    """Converts photos and writes each product image as a PNG file.

    Args:
        convert: uint8 images (n, image_size, image_size, 3) to uint8 images of any one size.
        paths: photos, or folders, all of whose images are converted, subfolders included.
        out: folder for the results; made if it is missing. A photo `a.jpg` becomes `a.png`;
            if two photos have the same stem, the later one becomes `a_jpg.png`, `a_2.png` and so
            on.
        image_size: side of the images that `convert` takes.
        batch_size: photos converted at a time.
        distance: maps the images that `convert` takes to (n,) numbers: how far each image is from
            its product image. If given, each folder among the paths is one person, and only the
            product image with the smallest distance is written (Taigman et al. 2017, Eq. 8); the
            folder `anna` gives `anna.png`.
        resize: how photos are made square for `convert`, "letterbox" or "stretch".
        crop: a JSON file that says which part of each photo to use, see `keras_pixdt.data.crops`.
            It names photos by their paths within the folders, with the folder in front if several
            share a path, such as "anna/1.jpg". A photo that does not contain its box fails.

    Returns:
        What was written and what failed. If a photo is missing or cannot be read, its name is
        logged and the others are still converted.

    Raises:
        FileNotFoundError: none of the paths is a file or a folder with an image in it.
        ValueError: a crop names no photo, or several.
    """
    out = pathlib.Path(out)
    failed: dict[pathlib.Path, str] = {}
    photos = [(photo, path) for path in map(pathlib.Path, paths) for photo in _photos(path, failed)]
    if not photos:
        raise FileNotFoundError(
            f"No image in {', '.join(str(p) for p in paths)}. Give image files, or folders: of "
            f"these, files ending in {', '.join(sorted(IMAGE_SUFFIXES))} are taken."
        )
    within = {
        _full(photo): photo.relative_to(path).as_posix() if photo != path else photo.name
        for photo, path in photos
    }
    cut = cutter(crop, within, ", ".join(map(str, paths)))
    out.mkdir(parents=True, exist_ok=True)
    written: dict[pathlib.Path, pathlib.Path] = {}
    taken: set[str] = set()
    best: dict[pathlib.Path, tuple[float, pathlib.Path, np.ndarray]] = {}
    for start in progress.starts("Converting photos", len(photos), batch_size):
        read, images = [], []
        for photo, path in photos[start : start + batch_size]:
            try:
                image = cut(_full(photo), data.read_image(photo))
                images.append(data.resize(image, image_size, resize))
            except (data.ImageError, OSError) as error:
                _fail(failed, photo, str(error))
            else:
                read.append((photo, path))
        if not read:
            continue
        batch = np.stack(images)
        converted = convert(batch)
        if distance is None:
            for (photo, _), image in zip(read, converted, strict=True):
                written[photo] = out / _free_name(photo, taken)
                data.write_image(written[photo], image)
            continue
        for (photo, path), image, far in zip(read, converted, distance(batch), strict=True):
            if path not in best or far < best[path][0]:
                best[path] = (far, photo, image)
    for path, (_, photo, image) in best.items():
        written[photo] = out / _free_name(path, taken)
        data.write_image(written[photo], image)
    return Conversion(written, failed)


def _full(photo: pathlib.Path) -> str:
    return pathlib.Path(os.path.abspath(photo)).as_posix()


def _fail(failed: dict[pathlib.Path, str], path: pathlib.Path, reason: str) -> None:
    logging.error("%s", reason)
    failed[path] = reason


def _photos(path: pathlib.Path, failed: dict[pathlib.Path, str]) -> Iterator[pathlib.Path]:
    if path.is_dir():
        yield from sorted(
            p
            for p in path.rglob("*")
            if p.suffix.lower() in IMAGE_SUFFIXES
            and not p.name.startswith("._")  # what macOS adds to archives
            and not p.is_dir()
        )
    elif path.exists():
        yield path  # named by the user, whatever its ending
    else:
        _fail(failed, path, f"There is no file or folder {path}")


def _free_name(path: pathlib.Path, taken: set[str]) -> str:
    if path.is_dir():
        names = [pathlib.Path(os.path.abspath(path)).name]  # of "." and ".." as well
    else:
        names = [path.stem, f"{path.stem}_{path.suffix[1:].lower()}"]
    numbered = (f"{names[0]}_{count}" for count in itertools.count(2))
    name = next(name for name in itertools.chain(names, numbered) if name not in taken)
    taken.add(name)
    return f"{name}.png"

"""Photos in, product images out: files and folders of any size and format."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import itertools
import os
import pathlib
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from absl import logging

from keras_pixdt import data, progress
from keras_pixdt.atomic import replacing
from keras_pixdt.choices import Size
from keras_pixdt.data.archives import is_archive
from keras_pixdt.data.crops import cutter
from keras_pixdt.data.files import ENDINGS, Skipped, first_few, is_image, open_files

IN_OUT = "in_the_folder_of_results"
_LONGEST = 200  # bytes of a name without its ending


@dataclasses.dataclass(frozen=True)
class Conversion:
    """The result of converting photos.

    Attributes:
        written: photo -> the file with its product image.
        failed: photo -> why it could not be converted.
        skipped: folder or archive -> its files that were left out.
    """

    written: dict[pathlib.Path, pathlib.Path]
    failed: dict[pathlib.Path, str]
    skipped: dict[pathlib.Path, Skipped]


class _Photo(NamedTuple):
    path: pathlib.Path  # what results call it; in an archive, after the archive's path
    within: str  # its path within the folder
    given: pathlib.Path  # the argument that names it, or its folder
    read: Callable[[], bytes]

    @property
    def full(self) -> str:
        return _full(self.path)


def convert_photos(
    convert: Callable[[np.ndarray], np.ndarray],
    paths: Sequence[str | os.PathLike[str]],
    out: str | os.PathLike[str],
    image_size: Size | None,
    batch_size: int = 32,
    distance: Callable[[np.ndarray], np.ndarray] | None = None,
    resize: str = "letterbox",
    crop: str | os.PathLike[str] | None = None,
    overwrite: bool = False,
) -> Conversion:
    """Converts photos and writes each product image as a PNG file.

    Args:
        convert: uint8 images (n, height, width, 3) to uint8 images of any one size.
        paths: photos, or folders and archives, all of whose images are converted, subfolders
            included; see `data.files` for what is left out there.
        out: folder for the results; made if it is missing. A photo `a.jpg` becomes `a.png`;
            if two photos have the same stem, or a photo is there, the later one becomes
            `a_jpg.png`, `a_2.png` and so on. Images of a folder that lie here are left out.
        image_size: side of the images that `convert` takes, or their (height, width). None: it
            takes one photo at a time, of any size, and no `resize`.
        batch_size: photos converted at a time, if they have one size.
        distance: maps the images that `convert` takes to (n,) numbers: how far each image is from
            its product image. If given, each folder among the paths is one person, and only the
            product image with the smallest distance is written (Taigman et al. 2017, Eq. 8); the
            folder `anna` gives `anna.png`.
        resize: how photos are brought to that size, "letterbox" or "stretch".
        crop: a JSON file that says which part of each photo to use, see `keras_pixdt.data.crops`.
            It names photos by their paths within the folders, with the folder in front if several
            share a path, such as "anna/1.jpg". A photo that does not contain its box fails.
        overwrite: whether files in `out` may be replaced. Photos never are.

    Returns:
        What was written, what failed and what was left out. If a photo is missing or cannot be
        read, its name is logged and the others are still converted.

    Raises:
        FileNotFoundError: none of the paths is a photo, or a folder or archive with one.
        FileExistsError: a result would replace a file, without `overwrite`; nothing is written.
        ValueError: `out` is a file or one of the folders, or a crop names no photo, or several.
    """
    out = pathlib.Path(out)
    if out.exists() and not out.is_dir():
        raise ValueError(f"`out` must be a folder. Received: the file {out}. Pass another --out.")
    result = Conversion({}, {}, {})
    with contextlib.ExitStack() as stack:
        photos = _listed(list(map(pathlib.Path, paths)), out, result, stack, distance is not None)
        cut = cutter(crop, {p.full: p.within for p in photos}, ", ".join(map(str, paths)))
        names = _names(photos, out, distance is not None)
        _check_free(out, list(names.values()), overwrite)
        out.mkdir(parents=True, exist_ok=True)
        best: dict[pathlib.Path, tuple[float, _Photo, np.ndarray]] = {}
        at_once = 1 if image_size is None else batch_size
        for start in progress.starts("Converting photos", len(photos), at_once):
            read: dict[_Photo, np.ndarray] = {}
            for photo in photos[start : start + at_once]:
                try:
                    image = cut(photo.full, data.read_image(photo.read(), str(photo.path)))
                    read[photo] = (
                        image if image_size is None else data.resize(image, image_size, resize)
                    )
                except (data.ImageError, OSError) as error:
                    _fail(result.failed, photo.path, str(error))
            if not read:
                continue
            batch = np.stack(list(read.values()))
            converted = convert(batch)
            if distance is None:
                for photo, image in zip(read, converted, strict=True):
                    _write(result, photo, out / names[photo.path], image)
                continue
            for photo, image, far in zip(read, converted, distance(batch), strict=True):
                if photo.given not in best or far < best[photo.given][0]:
                    best[photo.given] = (far, photo, image)
        for given, (_, photo, image) in best.items():
            _write(result, photo, out / names[given], image)
    return result


def _write(result: Conversion, photo: _Photo, path: pathlib.Path, image: np.ndarray) -> None:
    if path.is_symlink():  # `replacing` would replace what it points to
        path.unlink()
    with replacing(path) as unfinished:
        data.write_image(unfinished, image)
    result.written[photo.path] = path


def _full(path: pathlib.Path) -> str:
    return pathlib.Path(os.path.abspath(path)).as_posix()


def _fail(failed: dict[pathlib.Path, str], path: pathlib.Path, reason: str) -> None:
    logging.error("%s", reason)
    failed[path] = reason


# Photos in


def _listed(
    paths: list[pathlib.Path],
    out: pathlib.Path,
    result: Conversion,
    stack: contextlib.ExitStack,
    by_folder: bool,
) -> list[_Photo]:
    """The photos, each once; `by_folder` once for each path."""
    if same := [path for path in paths if path.is_dir() and out.exists() and out.samefile(path)]:
        raise ValueError(
            "`out` must be another folder than that of the photos: there, the next command would "
            f"take product images for photos. Received: {out} for both"
            f"{'' if same[0] == out else f' ({same[0]})'}. Pass another --out."
        )
    found: dict[tuple[str, str], _Photo] = {}
    for path in dict.fromkeys(paths):
        try:
            for photo in _photos(path, out, result, stack):
                found.setdefault((photo.full, _full(path) if by_folder else ""), photo)
        except (ValueError, OSError) as error:
            _fail(result.failed, path, str(error))
    if not found:
        left_out = "; ".join(
            f"{path}: {what}" for path, what in result.skipped.items() if str(what)
        )
        raise FileNotFoundError(
            f"No image in {', '.join(map(str, paths))}. Give image files, folders or archives. "
            f"Images in these end in {ENDINGS}. Left out: {left_out or 'none'}"
        )
    return list(found.values())


def _photos(
    path: pathlib.Path, out: pathlib.Path, result: Conversion, stack: contextlib.ExitStack
) -> Iterator[_Photo]:
    if not path.exists():
        raise FileNotFoundError(f"There is no file or folder {path}")
    if not path.is_dir() and not is_archive(path.name):
        yield _Photo(path, path.name, path, path.read_bytes)  # whatever its ending
        return
    files = stack.enter_context(open_files(path, is_image, "images", "Pass photos."))
    skipped = result.skipped[path] = Skipped()
    results = os.path.realpath(out)
    for name in files.images(skipped):
        if os.path.dirname(os.path.realpath(path / name)) == results:
            skipped.add(IN_OUT, name)
        else:
            yield _Photo(path / name, name, path, functools.partial(files.read, name))
    skipped.log(str(path))


# Results out


def _names(photos: list[_Photo], out: pathlib.Path, by_folder: bool) -> dict[pathlib.Path, str]:
    """The name of each photo's result, or with `by_folder` of each path's, none that of a photo."""
    results = os.path.realpath(out)
    inputs = (place for photo in photos for place in _places(photo.path))
    taken = {_folded(name) for folder, name in map(os.path.split, inputs) if folder == results}
    names: dict[pathlib.Path, str] = {}
    for path in (photo.given if by_folder else photo.path for photo in photos):
        if path not in names:
            names[path] = _free_name(path, taken)
    return names


def _places(photo: pathlib.Path) -> tuple[str, str]:
    """Where a photo is, and where it would be if it is a link."""
    folder, name = os.path.split(os.path.abspath(photo))
    return os.path.realpath(photo), os.path.join(os.path.realpath(folder), name)


def _folded(name: str) -> str:
    """Equal for names that some file systems take for the same one."""
    return unicodedata.normalize("NFC", name).casefold()


def _free_name(path: pathlib.Path, taken: set[str]) -> str:
    if path.is_dir():
        stems = [_short(pathlib.Path(os.path.abspath(path)).name)]  # of "." and ".." as well
    else:
        stem, ending = _short(path.stem), path.suffix[1:].lower()
        stems = [stem, f"{stem}_{ending}"] if len(ending) in range(1, 9) else [stem]
    numbered = (f"{stems[0]}_{count}" for count in itertools.count(2))
    names = (f"{stem}.png" for stem in itertools.chain(stems, numbered))
    name = next(name for name in names if _folded(name) not in taken)
    taken.add(_folded(name))
    return name


def _short(stem: str) -> str:
    """Leaves room for what is added to names, also of unfinished files; 255 bytes are the most."""
    content = os.fsencode(stem)
    return stem if len(content) <= _LONGEST else content[:_LONGEST].decode(errors="ignore")


def _check_free(out: pathlib.Path, names: Iterable[str], overwrite: bool) -> None:
    """Refuses to replace what is there; folders in any case."""
    there = [name for name in names if os.path.lexists(out / name)]
    if overwrite:
        there = [name for name in there if (out / name).is_dir()]
    if there:
        raise FileExistsError(
            f"{out} already has {len(there)} of the files to write ({first_few(there)}). Pass "
            "another --out"
            f"{', or remove these folders.' if overwrite else ', or --overwrite to replace them.'}"
        )

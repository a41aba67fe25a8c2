"""Files of a folder or an archive, and their images; skipped files are counted and named."""

from __future__ import annotations

import itertools
import os
import pathlib
import shutil
import tarfile
import tempfile
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterable
from typing import BinaryIO, cast

import numpy as np
from absl import logging

from keras_pixdt import progress
from keras_pixdt.data import duplicates, images
from keras_pixdt.workers import thread_pool

# The formats of cameras, phones and shops that Pillow reads.
IMAGE_SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"))
MAX_UNREADABLE = 0.01
HIDDEN = "hidden_file"
NO_IMAGE = "no_image_by_its_name"
UNREADABLE = "unreadable"

_ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_EXAMPLES = 5
_CHUNK = 1024  # images decoded at once; bounds the memory

File = tuple[str, Callable[[], bytes]]  # its name, and a function that returns its bytes


class Skipped:
    """Files that were left out: how many for each reason, and the first few of each."""

    def __init__(self) -> None:
        self.counts: dict[str, int] = {}
        self.examples: dict[str, list[str]] = {}

    def add(self, reason: str, name: str) -> None:
        """Counts one file."""
        self.counts[reason] = self.counts.get(reason, 0) + 1
        examples = self.examples.setdefault(reason, [])
        if len(examples) < _EXAMPLES:
            examples.append(name)

    def log(self, path: str) -> None:
        """Logs one warning about the folder or the archive at `path`, if anything was left out."""
        if self.counts:
            logging.warning("%s: left out %s", path, self)

    def __str__(self) -> str:
        """One line: `2 wrong_name (notes.txt, a.jpg), 1 unreadable (...)`."""
        return ", ".join(
            f"{count} {reason} ({', '.join(self.examples[reason])}"
            f"{', ...' if count > _EXAMPLES else ''})"
            for reason, count in self.counts.items()
        )


def is_hidden(name: str) -> bool:
    """Whether a file was left behind by the system, not the user."""
    folder, _, base = name.rpartition("/")
    return base.startswith(".") or "__MACOSX" in folder.split("/")


def is_image(name: str) -> bool:
    """Whether a file name has an image extension."""
    return pathlib.PurePath(name).suffix.lower() in IMAGE_SUFFIXES


def decode(read: Callable[[], bytes], name: str, path: str) -> tuple[np.ndarray, bytes] | None:
    """Reads an image; if that fails, logs why.

    Args:
        read: returns the bytes of the file.
        name: the file's name.
        path: the folder or the archive, for the log.

    Returns:
        The image, uint8 `(height, width, 3)`, and the bytes; None if it cannot be read.
    """
    try:
        content = read()
        return images.read_image(content, name), content
    # Exceptions that archives raise for a damaged member, in addition to those of read_image.
    except (ValueError, OSError, RuntimeError, EOFError, zipfile.BadZipFile, zlib.error) as e:
        logging.warning("%s: skipped an unreadable image: %s", path, e)
        return None


def decode_all(
    found: Iterable[File],
    use: Callable[[int, str, np.ndarray], None],
    path: str,
    skipped: Skipped,
    total: int | None = None,
) -> list[duplicates.Signature | None]:
    """Decodes images with one thread per core.

    Args:
        found: the files of the images.
        use: called for each readable image, on any thread, with its position, name and pixels,
            uint8 `(height, width, 3)`.
        path: the folder or the archive, for messages.
        skipped: counts the images that cannot be read.
        total: how many files there are at most, to show progress.

    Returns:
        The signature of each image; None if it cannot be read.

    Raises:
        ValueError: if more than 1% cannot be read.
    """
    signatures: list[duplicates.Signature | None] = []
    bad: list[str] = []

    def read(item: tuple[int, File]) -> tuple[str, duplicates.Signature | None]:
        row, (name, content_of) = item
        decoded = decode(content_of, name, path)
        if decoded is None:
            return name, None
        use(row, name, decoded[0])
        return name, duplicates.signature(*decoded)

    items = enumerate(found)
    with thread_pool() as pool, progress.bar("Reading photos", total=total) as shown:
        while chunk := list(itertools.islice(items, _CHUNK)):
            for name, signature in pool.map(read, chunk):
                shown.update()
                signatures.append(signature)
                if signature is None:
                    skipped.add(UNREADABLE, name)
                    bad.append(name)
    if len(bad) > MAX_UNREADABLE * len(signatures):
        more = ", ..." if bad[_EXAMPLES:] else ""
        raise ValueError(
            f"{len(bad)} of {len(signatures)} images in {path} cannot be read, more than "
            f"{MAX_UNREADABLE:.0%}: {', '.join(bad[:_EXAMPLES])}{more}. "
            "The log says why for each. Copy or download the data again, or remove these files."
        )
    return signatures


class Files:
    """The files of a folder: their names, and the bytes of each, from any thread."""

    def __init__(
        self,
        names: Iterable[str],
        read: Callable[[str], bytes],
        close: Callable[[], None] = lambda: None,
    ) -> None:
        self.names = sorted(names)
        self.read = read
        self._close = close

    def images(self, skipped: Skipped) -> list[str]:
        """The names of images; all other files are counted in `skipped`."""
        listed = []
        for name in self.names:
            if is_hidden(name):
                skipped.add(HIDDEN, name)
            elif not is_image(name):
                skipped.add(NO_IMAGE, name)
            else:
                listed.append(name)
        return listed

    def __enter__(self) -> Files:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()


def open_files(path: pathlib.Path, wanted: Callable[[str], bool], what: str, fix: str) -> Files:
    """Opens a folder with its subfolders, or an archive.

    A folder that holds a single archive and none of the wanted files is the same as that archive.

    Args:
        path: a folder, or a zip or tar archive (also gzip, bzip2 or xz).
        wanted: takes a file name without its folder and returns whether the file is wanted.
        what: what the wanted files are, for the message.
        fix: what to do if there is nothing at `path`.

    Raises:
        FileNotFoundError: if there is nothing at `path`.
        ValueError: if it is no archive, or a folder with several.
    """
    if path.is_dir():
        found = [
            pathlib.Path(folder, name).relative_to(path).as_posix()
            for folder, _, names in os.walk(path)
            for name in names
        ]
        archives = sorted(name for name in found if _is_archive(name))
        if not archives or any(wanted(name.rpartition("/")[2]) for name in found):
            return Files(found, lambda name: (path / name).read_bytes())
        if len(archives) > 1:
            raise ValueError(
                f"{path} has {len(archives)} archives ({', '.join(archives[:_EXAMPLES])}) and no "
                f"{what} beside them. Pass one archive, or a folder with one."
            )
        path = path / archives[0]
    if not path.exists():
        raise FileNotFoundError(f"There is no folder or archive at {path}. {fix}")
    try:
        return _open_zip(path) if zipfile.is_zipfile(path) else _open_tar(path)
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise ValueError(
            f"{path} is neither a folder nor a whole zip or tar archive: {error}. "
            "Copy or download it again."
        ) from error


def _is_archive(name: str) -> bool:
    return name.lower().endswith(_ARCHIVES) and not name.rpartition("/")[2].startswith(".")


def _open_zip(path: pathlib.Path) -> Files:
    archive = zipfile.ZipFile(path)
    names = [info.filename for info in archive.infolist() if not info.is_dir()]
    return Files(names, archive.read, archive.close)


def _open_tar(path: pathlib.Path) -> Files:
    """Reads a plain tar in place; unpacks a compressed one first, because it cannot seek."""
    place: dict[str, tuple[int, int]] = {}
    try:
        with tarfile.open(path, "r:") as archive:
            for member in archive:
                if member.isfile():
                    place[member.name] = member.offset_data, member.size
        stream: BinaryIO = path.open("rb")
    except tarfile.TarError:
        with tarfile.open(path, "r|*") as archive:
            stream = cast(BinaryIO, tempfile.TemporaryFile())
            for member in archive:
                if content := archive.extractfile(member) if member.isfile() else None:
                    place[member.name] = stream.tell(), member.size
                    shutil.copyfileobj(content, stream)
    lock = threading.Lock()

    def read(name: str) -> bytes:
        offset, size = place[name]
        with lock:
            stream.seek(offset)
            return stream.read(size)

    return Files(place, read, stream.close)

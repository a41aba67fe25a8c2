"""Files of a folder or an archive, and their images; skipped files are counted and named."""

from __future__ import annotations

import heapq
import itertools
import os
import pathlib
from collections.abc import Callable, Iterable, Sequence

import numpy as np
from absl import logging
from PIL import Image

from keras_pixdt import progress
from keras_pixdt.data import duplicates, images
from keras_pixdt.data.archives import LINKED_AGAIN, NO_FILE, is_archive, open_archive
from keras_pixdt.workers import thread_pool

ENDINGS = ".bmp, .gif, .heic, .jpg, .png, .tif, .webp, or whatever else Pillow reads"
MAX_UNREADABLE = 0.01
HIDDEN = "hidden_file"
NO_IMAGE = "no_image_by_its_name"
UNREADABLE = "unreadable"
UNREADABLE_FOLDER = "unreadable_folder"

# Photos even where this Pillow cannot read them; each is then reported as unreadable.
_PHOTOS = frozenset((".avif", ".avifs", ".heic", ".heics", ".heif", ".heifs", ".hif", ".jfif"))
# Pillow recognizes these (films, weather and other arrays), but cannot decode them.
_NO_PICTURES = frozenset(("BUFR", "GRIB", "HDF5", "MPEG"))
# What systems, NAS boxes and cameras write beside files. Names that start with "." count too.
_HIDDEN = frozenset((
    "__macosx", "icon\r", "network trash folder", "temporary items",  # macOS
    "$recycle.bin", "recycler", "system volume information", "thumbs.db", "ehthumbs.db",
    "desktop.ini",  # Windows
    "@eadir", "@tmp", "#recycle", "#snapshot",  # Synology
    "@recycle", "@recently-snapshot",  # QNAP; its .@__thumb starts with "."
    "lost+found", "lost.dir",  # Linux, Android
))  # fmt: skip
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


def first_few(names: Sequence[str]) -> str:
    """The first few names, for messages that could name thousands."""
    return ", ".join(names[:_EXAMPLES]) + (", ..." if names[_EXAMPLES:] else "")


def is_hidden(name: str) -> bool:
    """Whether a file, or a folder that it is in, was left there by the system, not the user.

    Args:
        name: within a folder or an archive, with `/` between folders.
    """
    return any(part[:1] == "." or part.lower() in _HIDDEN for part in name.split("/"))


def is_image(name: str) -> bool:
    """Whether a file name has the extension of an image format that Pillow or a plugin reads."""
    suffix = pathlib.PurePath(name).suffix.lower()
    kind = Image.registered_extensions().get(suffix)
    # Pillow opens MPO by its reader of JPEG.
    return suffix in _PHOTOS or kind == "MPO" or (kind in Image.OPEN and kind not in _NO_PICTURES)


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
    except (images.ImageError, OSError) as e:
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

    def read(item: tuple[int, File]) -> tuple[str, duplicates.Signature | None]:
        row, (name, content_of) = item
        decoded = decode(content_of, name, path)
        if decoded is None:
            return name, None
        use(row, name, decoded[0])
        return name, duplicates.signature(*decoded)

    items = enumerate(found)
    names: list[str] = []
    with thread_pool() as pool, progress.bar("Reading photos", total=total) as shown:
        while chunk := list(itertools.islice(items, _CHUNK)):
            for name, signature in pool.map(read, chunk):
                shown.update()
                names.append(name)
                signatures.append(signature)
    count_unreadable(names, signatures, path, skipped)
    return signatures


def count_unreadable(
    names: Sequence[str],
    signatures: Sequence[duplicates.Signature | None],
    path: str,
    skipped: Skipped,
) -> None:
    """Counts the images that could not be read.

    Args:
        names: of the images' files.
        signatures: of the images; None for one that could not be read.
        path: the folder or the archive, for the message.
        skipped: counts the images that could not be read.

    Raises:
        ValueError: if they are more than 1%.
    """
    bad = [name for name, signature in zip(names, signatures, strict=True) if signature is None]
    for name in bad:
        skipped.add(UNREADABLE, name)
    if len(bad) > MAX_UNREADABLE * len(signatures):
        raise ValueError(
            f"{len(bad)} of {len(signatures)} images in {path} cannot be read, more than "
            f"{MAX_UNREADABLE:.0%}: {first_few(bad)}. "
            "The log says why for each. Copy or download the data again, or remove these files."
        )


class Files:
    """The files of a folder or an archive: their names, and the bytes of each, from any thread.

    Attributes:
        names: within the folder, with `/` between folders, sorted.
        read: name -> the bytes of the file. Raises an `OSError` or an `ImageError`.
        exists: name -> whether there is such a file.
        root: the folder or the archive that names are in; `open_root` opens it elsewhere.
        top: the one folder in which everything in an archive lies, as `photos/`; otherwise empty.
    """

    def __init__(
        self,
        root: pathlib.Path,
        names: Iterable[str],
        read: Callable[[str], bytes],
        close: Callable[[], None] = lambda: None,
        left_out: Iterable[tuple[str, str]] = (),
        is_packed: bool = False,
        exists: Callable[[str], bool] | None = None,
    ) -> None:
        self.root = root
        self.names = sorted(names)
        self.read = read
        self.exists = exists or frozenset(self.names).__contains__
        self.top = ""
        self._close = close
        self._left_out = left_out  # reason and name of what cannot be listed
        tops = {name.partition("/")[:2] for name in self.names if not is_hidden(name)}
        if is_packed and len(tops) == 1:
            (top,) = tops
            self.top = "".join(top) if top[1] else ""

    def visible(self, skipped: Skipped) -> list[str]:
        """The names of files that are not hidden; all others are counted in `skipped`."""
        for reason, name in self._left_out:
            skipped.add(HIDDEN if is_hidden(name) else reason, name)
        visible = []
        for name in self.names:
            if is_hidden(name):
                skipped.add(HIDDEN, name)
            else:
                visible.append(name)
        return visible

    def images(self, skipped: Skipped) -> list[str]:
        """The names of images; all other files are counted in `skipped`."""
        listed = []
        for name in self.visible(skipped):
            if is_image(name):
                listed.append(name)
            else:
                skipped.add(NO_IMAGE, name)
        return listed

    def __enter__(self) -> Files:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()


def open_files(path: pathlib.Path, wanted: Callable[[str], bool], what: str, fix: str) -> Files:
    """Opens a folder with its subfolders, or an archive.

    Links to folders are followed, but no folder is read twice. A folder that holds a single archive
    and none of the wanted files is the same as that archive.

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
        names, left_out = _walk(path)
        bases = {name: name.rpartition("/")[2] for name in names if not is_hidden(name)}
        archives = sorted(name for name, base in bases.items() if is_archive(base))
        if not archives or any(map(wanted, bases.values())):
            return Files(path, names, lambda name: (path / name).read_bytes(), left_out=left_out)
        if len(archives) > 1:
            raise ValueError(
                f"{path} has {len(archives)} archives ({first_few(archives)}) and no {what} beside "
                f"them. Pass one archive, or a folder with one."
            )
        path = path / archives[0]
    if not path.exists():
        raise FileNotFoundError(f"There is no folder or archive at {path}. {fix}")
    return Files(path, *open_archive(path), is_packed=True)


def open_root(root: pathlib.Path) -> Files:
    """Opens `Files.root` to read files whose names are known; a folder is not walked again."""
    if root.is_dir():
        return Files(root, [], lambda name: (root / name).read_bytes())
    return Files(root, *open_archive(root), is_packed=True)


def open_list(path: pathlib.Path) -> Files:
    """Opens a file that names others by their paths from its folder; lists only itself."""
    folder = path.parent
    return Files(
        folder,
        [path.name],
        lambda name: (folder / name).read_bytes(),
        exists=lambda name: (folder / name).is_file(),
    )


def _walk(root: pathlib.Path) -> tuple[list[str], list[tuple[str, str]]]:
    """All files below a folder, and what is left out there: its reason and name.

    No folder is read twice, so loops end. If several paths lead to a folder, it is named by the one
    with the fewest links, and by a hidden one only if there is no other.
    """
    names: list[str] = []
    left_out: list[tuple[str, str]] = []
    seen = set()
    folders = [(False, 0, "")]  # whether hidden, links on the way, name
    while folders:
        _, links, folder = heapq.heappop(folders)
        try:
            status = os.stat(root / folder)
            identity = status.st_dev, status.st_ino
            if identity in seen:
                left_out.append((LINKED_AGAIN, folder))
                continue
            seen.add(identity)
            entries = list(os.scandir(root / folder))
        except OSError as error:
            if not folder:
                raise
            logging.warning("%s: skipped an unreadable folder: %s", root, error)
            left_out.append((UNREADABLE_FOLDER, folder))
            continue
        for entry in entries:
            name = f"{folder}/{entry.name}" if folder else entry.name
            try:
                is_folder, is_file = entry.is_dir(), entry.is_file()
            except OSError:  # a link to itself
                is_folder = is_file = False
            if is_folder:
                heapq.heappush(folders, (is_hidden(name), links + entry.is_symlink(), name))
            elif is_file or not os.path.exists(entry):
                names.append(name)  # also a broken link, which is then unreadable
            else:
                left_out.append((NO_FILE, name))  # reading a pipe could take forever
    return names, left_out

"""Reads LookBook: a folder or an archive of files that say which photo shows which product.

`PID000012_CLEAN0_IID000034.jpg` is a person who wears product 12, `CLEAN1` the product itself
(Yoo et al. 2016). A `products.json` beside them, a list of `{"pid": 12, "category": "dress"}`,
adds the attributes `category`, `pattern` and `color`.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import re
import shutil
import tarfile
import tempfile
import threading
import zipfile
import zlib
from collections.abc import Callable, Iterable, Mapping
from concurrent import futures
from typing import BinaryIO, cast

import numpy as np
from absl import logging

from keras_pixdt.data import duplicates, images
from keras_pixdt.data.pairs import PairSet, allocate, take_rows

ATTRIBUTES = ("category", "pattern", "color")
MAX_UNREADABLE = 0.01

_NAME = re.compile(
    r"PID(?P<pid>\d+)_CLEAN(?P<clean>[01])_IID(?P<iid>\d+)\.(jpe?g|png|webp|bmp|gif|tiff?)",
    re.IGNORECASE,
)
_ARCHIVES = (".zip", ".tar", ".tar.gz", ".tgz", ".tar.bz2", ".tar.xz")
_EXAMPLES = 5

HIDDEN = "hidden_file"
WRONG_NAME = "wrong_name"
SAME_ID = "same_pid_and_iid"
SECOND_PRODUCT_IMAGE = "second_product_image"
NO_PRODUCT_IMAGE = "no_product_image"
NO_PERSON_IMAGE = "no_person_image"
UNREADABLE = "unreadable"


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

    def __str__(self) -> str:
        """One line: `2 wrong_name (notes.txt, a.jpg), 1 unreadable (...)`."""
        return ", ".join(
            f"{count} {reason} ({', '.join(self.examples[reason])}"
            f"{', ...' if count > _EXAMPLES else ''})"
            for reason, count in self.counts.items()
        )


@dataclasses.dataclass(frozen=True)
class LookBook:
    """All pairs of a data set, before they are split.

    Attributes:
        pairs: the pairs, products in the order of their ids.
        source_id: int64 `(n,)`, the IID of each person image.
        target_id: int64 `(m,)`, the IID of each product image.
        skipped: the files that were left out.
    """

    pairs: PairSet
    source_id: np.ndarray
    target_id: np.ndarray
    skipped: Skipped


@dataclasses.dataclass(frozen=True)
class _File:
    name: str
    product_id: int
    is_target: bool
    image_id: int


def read_lookbook(path: str | os.PathLike[str], image_size: int) -> LookBook:
    """Reads all pairs of a folder or an archive.

    A folder is searched with its subfolders; one that holds a single archive and no LookBook
    names is the same as that archive. Images are decoded by one thread per core and letterboxed.
    What cannot be used is left out, counted, and logged with its name.

    Args:
        path: a folder, or a zip or tar archive (also gzip, bzip2 or xz).
        image_size: side of the images in pixels.

    Returns:
        The pairs, grouped by `duplicates`, with what was skipped.

    Raises:
        FileNotFoundError: if there is nothing at `path`.
        ValueError: if it is no archive, there are no pairs, or more than 1% of the images cannot
            be read.
    """
    with _open(pathlib.Path(path)) as files:
        skipped = Skipped()
        listed = _index(files.names, skipped)
        if not listed:
            raise ValueError(
                f"{path} has no pairs. A pair is a person image PID000001_CLEAN0_IID000002.jpg "
                "with its product image PID000001_CLEAN1_IID000003.jpg, in the folder, in a "
                f"subfolder or in one archive. Found: {len(files.names)} file(s); left out: "
                f"{str(skipped) or 'none'}"
            )
        attributes = _read_attributes(files)
        book = _decode(files, listed, attributes, image_size, skipped, str(path))
    if skipped.counts:
        logging.warning("%s: left out %s", path, skipped)
    sizes = np.unique(book.pairs.group_id, return_counts=True)[1]
    logging.info(
        "%s: %d products in %d groups without duplicates, the largest of %d",
        path,
        sizes.sum(),
        len(sizes),
        sizes.max(),
    )
    return book


# Which files there are.


class _Files:
    """The files of a folder: their names, and the bytes of each, from any thread."""

    def __init__(self, names: Iterable[str], read: Callable[[str], bytes]) -> None:
        self.names = sorted(names)
        self.read = read
        self._close: Callable[[], None] = lambda: None

    def __enter__(self) -> _Files:
        return self

    def __exit__(self, *_: object) -> None:
        self._close()


def _open(path: pathlib.Path) -> _Files:
    if path.is_dir():
        found = [
            pathlib.Path(folder, name).relative_to(path).as_posix()
            for folder, _, names in os.walk(path)
            for name in names
        ]
        archives = sorted(name for name in found if _is_archive(name))
        if not archives or any(_NAME.fullmatch(name.rpartition("/")[2]) for name in found):
            return _Files(found, lambda name: (path / name).read_bytes())
        if len(archives) > 1:
            raise ValueError(
                f"{path} has {len(archives)} archives ({', '.join(archives[:_EXAMPLES])}) and no "
                "LookBook images beside them. Pass one archive, or a folder with one."
            )
        path = path / archives[0]
    if not path.exists():
        raise FileNotFoundError(
            f"There is no folder or archive at {path}. Pass the folder or the archive that has "
            "LookBook's files (PID000001_CLEAN0_IID000002.jpg)."
        )
    try:
        return _open_zip(path) if zipfile.is_zipfile(path) else _open_tar(path)
    except (tarfile.TarError, zipfile.BadZipFile, zlib.error, EOFError) as error:
        raise ValueError(
            f"{path} is neither a folder nor a whole zip or tar archive: {error}. "
            "Copy or download it again."
        ) from error


def _is_archive(name: str) -> bool:
    return name.lower().endswith(_ARCHIVES) and not name.rpartition("/")[2].startswith(".")


def _open_zip(path: pathlib.Path) -> _Files:
    archive = zipfile.ZipFile(path)
    files = _Files(
        (info.filename for info in archive.infolist() if not info.is_dir()), archive.read
    )
    files._close = archive.close
    return files


def _open_tar(path: pathlib.Path) -> _Files:
    """Reads a plain tar in place; a compressed one cannot be sought in and is unpacked first."""
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

    files = _Files(place, read)
    files._close = stream.close
    return files


# Which files belong together.


def _index(names: Iterable[str], skipped: Skipped) -> list[_File]:
    """The files of whole products by name: ids ascending, the product image before the persons."""
    found: dict[tuple[int, bool, int], _File] = {}
    targets: set[int] = set()
    for name in names:
        folder, _, base = name.rpartition("/")
        match = _NAME.fullmatch(base)
        if base.startswith(".") or "__MACOSX" in folder.split("/"):
            skipped.add(HIDDEN, name)
        elif match is None:
            if base != "products.json":
                skipped.add(WRONG_NAME, name)
        else:
            file = _File(name, int(match["pid"]), match["clean"] == "1", int(match["iid"]))
            identity = (file.product_id, not file.is_target, file.image_id)
            if identity in found:
                skipped.add(SAME_ID, name)
            elif file.is_target and file.product_id in targets:
                skipped.add(SECOND_PRODUCT_IMAGE, name)
            else:
                found[identity] = file
                if file.is_target:
                    targets.add(file.product_id)
    return _whole_products([found[identity] for identity in sorted(found)], skipped)


def _whole_products(files: list[_File], skipped: Skipped) -> list[_File]:
    """Leaves out the products that have no product image or no person image."""
    with_target = {file.product_id for file in files if file.is_target}
    with_source = {file.product_id for file in files if not file.is_target}
    whole = []
    for file in files:
        if file.product_id not in with_target:
            skipped.add(NO_PRODUCT_IMAGE, file.name)
        elif file.product_id not in with_source:
            skipped.add(NO_PERSON_IMAGE, file.name)
        else:
            whole.append(file)
    return whole


def _read_attributes(files: _Files) -> dict[int, dict[str, str]]:
    attributes: dict[int, dict[str, str]] = {}
    for name in files.names:
        if name.rpartition("/")[2] != "products.json":
            continue
        try:
            for entry in json.loads(files.read(name)):
                attributes[int(entry["pid"])] = {
                    key: str(entry[key]) for key in ATTRIBUTES if key in entry
                }
        except (ValueError, TypeError, KeyError) as error:
            raise ValueError(
                f'{name} must be a JSON list of {{"pid": 1, "category": "dress"}}: {error!r}. '
                "Correct or remove it."
            ) from error
    return attributes


# What is in the files.


def _decode(
    files: _Files,
    listed: list[_File],
    attributes: Mapping[int, Mapping[str, str]],
    image_size: int,
    skipped: Skipped,
    path: str,
) -> LookBook:
    is_target = np.array([file.is_target for file in listed])
    # The row of each file among the targets or among the sources.
    row = np.where(is_target, np.cumsum(is_target), np.cumsum(~is_target)) - 1
    images_of = {
        kind: allocate((int((is_target == kind).sum()), image_size, image_size, 3))
        for kind in (False, True)
    }

    def decode(index: int) -> duplicates.Signature | None:
        file = listed[index]
        try:
            data = files.read(file.name)
            image = images.read_image(data, file.name)
        # What archives raise for a damaged member, beside what read_image raises.
        except (ValueError, OSError, RuntimeError, EOFError, zipfile.BadZipFile, zlib.error) as e:
            logging.warning("%s: skipped an unreadable image: %s", path, e)
            return None
        images_of[file.is_target][row[index]] = images.letterbox(image, image_size)
        return duplicates.signature(image, data)

    with futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        decoded = list(pool.map(decode, range(len(listed))))
    signatures = {
        file: found for file, found in zip(listed, decoded, strict=True) if found is not None
    }
    _refuse_if_many([file.name for file in listed if file not in signatures], listed, skipped, path)
    kept = _whole_products(list(signatures), skipped)
    if not kept:
        raise ValueError(f"{path} has no pair whose images can both be read. Left out: {skipped}")

    kept_files = set(kept)
    is_kept = np.array([file in kept_files for file in listed])
    sources, targets = is_kept & ~is_target, is_kept & is_target
    image_id = np.array([file.image_id for file in listed], np.int64)
    owner = np.array([file.product_id for file in listed], np.int64)
    product_id = owner[targets]
    product_row = np.searchsorted(product_id, owner)
    pairs = PairSet(
        sources=take_rows(images_of[False], row[sources]),
        targets=take_rows(images_of[True], row[targets]),
        target_index=product_row[sources],
        product_id=product_id,
        group_id=duplicates.group_products(
            [signatures[file] for file in kept], product_row[is_kept], product_id
        ),
        attributes=tuple(attributes.get(int(product), {}) for product in product_id)
        if attributes
        else (),
    )
    return LookBook(pairs, image_id[sources], image_id[targets], skipped)


def _refuse_if_many(bad: list[str], listed: list[_File], skipped: Skipped, path: str) -> None:
    """Counts the unreadable images; raises ValueError where they are above 1%."""
    for name in bad:
        skipped.add(UNREADABLE, name)
    if len(bad) > MAX_UNREADABLE * len(listed):
        more = ", ..." if bad[_EXAMPLES:] else ""
        raise ValueError(
            f"{len(bad)} of {len(listed)} images in {path} cannot be read, more than "
            f"{MAX_UNREADABLE:.0%}: {', '.join(bad[:_EXAMPLES])}{more}. "
            "The log says why for each. Copy or download the data again, or remove these files."
        )

"""Reads LookBook: a folder or archive whose file names say which photo shows which product.

`PID000012_CLEAN0_IID000034.jpg` is a person who wears product 12, `CLEAN1` the product itself
(Yoo et al. 2016). A `products.json` beside them adds attributes, see `attributes`.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import pathlib
import re
from collections.abc import Iterable, Mapping

import numpy as np
from absl import logging

from keras_pixdt.data import duplicates, images
from keras_pixdt.data.files import Files, Skipped, decode_all, is_image, open_files
from keras_pixdt.data.pairs import PairSet, allocate, take_rows
from keras_pixdt.data.readers.attributes import ATTRIBUTES_FILE, id_of, read_attributes

_NAME = re.compile(
    r"PID(?P<pid>\d+)_CLEAN(?P<clean>[01])_IID(?P<iid>\d+)\.\w+", re.IGNORECASE | re.ASCII
)

WRONG_NAME = "wrong_name"
ID_TOO_LARGE = "id_too_large"
SAME_ID = "same_pid_and_iid"
SECOND_PRODUCT_IMAGE = "second_product_image"
NO_PRODUCT_IMAGE = "no_product_image"
NO_PERSON_IMAGE = "no_person_image"


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


def read_lookbook(
    path: str | os.PathLike[str],
    image_size: int,
    resize: str = "letterbox",
    photo_size: int | None = None,
) -> LookBook:
    """Reads all pairs of a folder or an archive.

    A folder is searched with its subfolders. A folder with a single archive and no LookBook names
    is treated like that archive. Images are decoded with one thread per core. Files that cannot be
    used are left out, counted, and logged by name.

    Args:
        path: a folder, or a zip or tar archive (also gzip, bzip2 or xz).
        image_size: side of the images in pixels.
        resize: how they are made square, "letterbox" or "stretch"; see `images.resize`.
        photo_size: side of the person images in pixels; None takes `image_size`.

    Returns:
        The pairs, grouped by `duplicates`, and the skipped files.

    Raises:
        FileNotFoundError: if there is nothing at `path`.
        ValueError: if it is no archive, there are no pairs, more than 1% of the images cannot be
            read, or `resize` is neither of the two.
    """
    fix = (
        "Pass the folder or the archive that has LookBook's files (PID000001_CLEAN0_IID000002.jpg)."
    )
    with open_files(pathlib.Path(path), _is_named, "LookBook images", fix) as files:
        skipped = Skipped()
        visible = files.visible(skipped)
        listed = _index(visible, skipped)
        if not listed:
            raise ValueError(
                f"{path} has no pairs. A pair is a person image PID000001_CLEAN0_IID000002.jpg "
                "with its product image PID000001_CLEAN1_IID000003.jpg, in the folder, in a "
                f"subfolder or in one archive. Found: {len(files.names)} file(s); left out: "
                f"{str(skipped) or 'none'}"
            )
        lists = [name for name in visible if _base(name) == ATTRIBUTES_FILE]
        attributes = read_attributes((name, files.read(name)) for name in lists)
        sizes = {True: image_size, False: photo_size or image_size}
        book = _decode(files, listed, attributes, sizes, resize, skipped, str(path))
    skipped.log(str(path))
    groups = np.unique(book.pairs.group_id, return_counts=True)[1]
    logging.info(
        "%s: %d products in %d groups without duplicates, the largest of %d",
        path, groups.sum(), len(groups), groups.max(),
    )  # fmt: skip
    return book


# Which files belong together.


def _base(name: str) -> str:
    return name.rpartition("/")[2]


def _is_named(name: str) -> bool:
    return _NAME.fullmatch(name) is not None and is_image(name)


def _index(names: Iterable[str], skipped: Skipped) -> list[_File]:
    """Files of complete products by name: ids ascending, the product image before the persons."""
    found: dict[tuple[int, bool, int], _File] = {}
    targets: set[int] = set()
    for name in names:
        base = _base(name)
        match = _NAME.fullmatch(base)
        if match is None or not is_image(base):
            if base != ATTRIBUTES_FILE:
                skipped.add(WRONG_NAME, name)
            continue
        product, image = id_of(match["pid"]), id_of(match["iid"])
        if product is None or image is None:
            skipped.add(ID_TOO_LARGE, name)
            continue
        file = _File(name, product, match["clean"] == "1", image)
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


# What is in the files.


def _decode(
    files: Files,
    listed: list[_File],
    attributes: Mapping[int, Mapping[str, str]],
    sizes: Mapping[bool, int],
    resize: str,
    skipped: Skipped,
    path: str,
) -> LookBook:
    """Decodes the files; `sizes` are those of targets (True) and of sources."""
    row: dict[_File, int] = {}  # each file's row among the targets or sources
    count = {False: 0, True: 0}
    for file in listed:
        row[file] = count[file.is_target]
        count[file.is_target] += 1
    images_of = {kind: allocate((count[kind], size, size, 3)) for kind, size in sizes.items()}

    def use(index: int, name: str, image: np.ndarray) -> None:
        file = listed[index]
        images_of[file.is_target][row[file]] = images.resize(image, sizes[file.is_target], resize)

    found = ((file.name, functools.partial(files.read, file.name)) for file in listed)
    decoded = decode_all(found, use, path, skipped, len(listed))
    signatures = {file: made for file, made in zip(listed, decoded, strict=True) if made}
    kept = _whole_products(list(signatures), skipped)
    if not kept:
        raise ValueError(f"{path} has no pair whose images can both be read. Left out: {skipped}")

    sources = [file for file in kept if not file.is_target]
    targets = [file for file in kept if file.is_target]
    product_id = np.array([file.product_id for file in targets], np.int64)
    product_row = {product: row for row, product in enumerate(product_id.tolist())}

    def rows(files: list[_File]) -> np.ndarray:
        return np.array([product_row[file.product_id] for file in files], np.int64)

    pairs = PairSet(
        sources=take_rows(images_of[False], np.array([row[file] for file in sources])),
        targets=take_rows(images_of[True], np.array([row[file] for file in targets])),
        target_index=rows(sources),
        product_id=product_id,
        group_id=duplicates.group_products(
            [signatures[file] for file in kept], rows(kept), product_id
        ),
        attributes=tuple(attributes.get(int(product), {}) for product in product_id)
        if attributes
        else (),
    )
    source_id, target_id = (
        np.array([file.image_id for file in files], np.int64) for files in (sources, targets)
    )
    return LookBook(pairs, source_id, target_id, skipped)

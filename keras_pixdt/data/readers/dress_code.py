"""Dress Code's layout: `upper_body`, `lower_body` and `dresses` with `images` and lists of pairs.

In `images`, `013563_0.jpg` is a person and `013563_1.jpg` the garment. Each folder has
`train_pairs.txt` and `test_pairs_paired.txt`, a person and a garment on each line, which
`data/dataset.py` of https://github.com/aimagelab/dress-code reads (Morelli et al. 2022). Other
copies have these lists beside the folders, with a third column: 0, 1 and 2 are `upper_body`,
`lower_body` and `dresses` (https://github.com/miccunifi/ladi-vton). `test_pairs_unpaired.txt` names
other garments, to dress the persons in, and is not used. The folder is the category; `masks`, where
a copy has them, are named as the garments (`013563_1.png`). There is no validation split.
"""

from __future__ import annotations

import pathlib
import re

from keras_pixdt.data.files import Files, Skipped
from keras_pixdt.data.readers.listing import (
    Layout,
    Listing,
    Pair,
    lines_of,
    list_pairs,
    number_of,
    one_root,
    parts_of,
)

CATEGORIES = ("upper_body", "lower_body", "dresses")  # their numbers in lists of all three
_LISTS = {"train": "train_pairs.txt", "test": "test_pairs_paired.txt"}
_UNUSED = "test_pairs_unpaired.txt"
_PLACE = re.compile(rf"((?:.*/)?)({'|'.join(CATEGORIES)})/images/[^/]+")
_NUMBER = re.compile(r"(\d{1,9})_1", re.ASCII)


def _roots(names: list[str]) -> dict[str, set[str]]:
    """Folder -> the categories that it has."""
    found = parts_of(names, _PLACE).items()
    return {root: {category for (category,) in parts} for root, parts in found}


def _why(files: Files, names: list[str]) -> str | None:
    for root, categories in _roots(names).items():
        return f"{root}{min(categories)}/images"
    return None


def _read(files: Files, names: list[str], skipped: Skipped) -> Listing:
    root, categories = one_root(LAYOUT, _roots(names))
    pairs: list[Pair] = []
    lists: list[str] = []
    for split, listed in _LISTS.items():
        own = {category: f"{root}{category}/{listed}" for category in sorted(categories)}
        there = {category: name for category, name in own.items() if files.exists(name)}
        if not there and files.exists(root + listed):
            lists.append(root + listed)
            pairs += _of_all(files, root, listed, split)
            continue
        if lost := sorted(set(own) - set(there)):
            raise ValueError(
                f"{', '.join(own[category] for category in lost)} is not there, though "
                f"{root}{lost[0]}/images is. It names a person and a garment on each line. Copy it "
                "from the data set, or list the pairs in a CSV."
            )
        for category, name in there.items():
            lists.append(name)
            pairs += [
                _pair(root, category, person, garment, split, files)
                for person, garment in lines_of(files, name, 2, "person_0.jpg garment_1.jpg")
            ]
    known = {f"{root}{folder}{name}" for name in (*_LISTS.values(), _UNUSED)
             for folder in ("", *(f"{category}/" for category in CATEGORIES))}  # fmt: skip
    others = [name for name in names if name not in known]
    return list_pairs(pairs, lists, files, others, skipped, "Unpack the data set again.")


def _of_all(files: Files, root: str, listed: str, split: str) -> list[Pair]:
    """The pairs of a list of all categories."""
    pairs = []
    form = "person_0.jpg garment_1.jpg 0"
    for person, garment, number in lines_of(files, root + listed, 3, form):
        category = CATEGORIES[int(number)] if number in ("0", "1", "2") else number
        if category not in CATEGORIES:
            raise ValueError(
                f"{root}{listed}: the third column must be 0, 1 or 2, for "
                f"{', '.join(CATEGORIES)}. Received: {number!r} for {person}"
            )
        pairs.append(_pair(root, category, person, garment, split, files))
    return pairs


def _pair(root: str, category: str, person: str, garment: str, split: str, files: Files) -> Pair:
    folder, stem = f"{root}{category}/", pathlib.PurePosixPath(garment).stem
    number = _NUMBER.fullmatch(stem)
    masks = [f"{folder}masks/{stem}{suffix}" for suffix in (".png", ".jpg")]
    return Pair(
        f"{folder}images/{person}",
        f"{folder}images/{garment}",
        # Categories may number alike.
        10 * int(number[1]) + CATEGORIES.index(category)
        if number
        else number_of(f"{category}/{stem}"),
        split,
        category,
        mask=next(filter(files.exists, masks), ""),
    )


LAYOUT = Layout(
    "dress_code",
    "upper_body/images, lower_body/images or dresses/images with train_pairs.txt and "
    "test_pairs_paired.txt",
    lambda name: name in _LISTS.values(),
    _why,
    _read,
)

"""VITON-HD's layout: `train/image`, `train/cloth`, `train_pairs.txt`, and the same for the test.

A line of a list is `00891_00.jpg 01430_00.jpg`, a person and a cloth. `test_pairs.txt` names
another cloth for each person, to dress them in. The cloth that they wear has the name of the
person: HR-VITON's `cp_dataset_test.py` has `c_names["paired"] = im_names`. The test takes that one.
`cloth-mask` is 128 or above where the product is (in the same file).

Choi et al. 2021 (11,647 and 2,032 pairs): https://github.com/shadow2496/VITON-HD and
https://github.com/sangyun884/HR-VITON. The clothes are tops; there are no categories and no
validation split.
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

_LISTS = {"train": "train_pairs.txt", "test": "test_pairs.txt"}
_PLACE = re.compile(r"((?:.*/)?)(train|test)/(image|cloth)/[^/]+")
_NUMBER = re.compile(r"(\d{1,9})_(\d\d)", re.ASCII)


def _roots(names: list[str]) -> dict[str, set[str]]:
    """Folder -> the splits of which it has persons and clothes."""
    return {
        root: splits
        for root, parts in parts_of(names, _PLACE).items()
        if (splits := {split for split in _LISTS if {(split, "image"), (split, "cloth")} <= parts})
    }


def _why(files: Files, names: list[str]) -> str | None:
    for root, splits in _roots(names).items():
        return f"{root}{'train' if 'train' in splits else 'test'}/image and .../cloth"
    return None


def _read(files: Files, names: list[str], skipped: Skipped) -> Listing:
    root, splits = one_root(LAYOUT, _roots(names))
    pairs = []
    for split in sorted(splits, reverse=True):
        listed = f"{root}{_LISTS[split]}"
        if not files.exists(listed):
            raise ValueError(
                f"{listed} is not there, though {root}{split}/image and {root}{split}/cloth are. "
                "It names a person and a cloth on each line. Copy it from the data set, or list "
                "the pairs in a CSV."
            )
        for person, cloth in lines_of(files, listed, 2, "person.jpg cloth.jpg"):
            cloth = person if split == "test" else cloth
            folder, stem = f"{root}{split}/", pathlib.PurePosixPath(cloth).stem
            number = _NUMBER.fullmatch(stem)
            masks = [f"{folder}cloth-mask/{stem}{suffix}" for suffix in (".jpg", ".png")]
            pairs.append(
                Pair(
                    f"{folder}image/{person}",
                    f"{folder}cloth/{cloth}",
                    int("".join(number.groups())) if number else number_of(stem),
                    split,
                    mask=next(filter(files.exists, masks), ""),
                )
            )
    return list_pairs(
        pairs,
        [f"{root}{_LISTS[split]}" for split in sorted(splits, reverse=True)],
        files,
        names,
        skipped,
        "In the test the cloth of a person has the person's name, whatever the list says. Unpack "
        "the data set again; if yours are other pairs, list them in a CSV.",
    )


LAYOUT = Layout(
    "viton_hd",
    "train/image, train/cloth and train_pairs.txt, and the same for test",
    lambda name: name in _LISTS.values(),
    _why,
    _read,
)

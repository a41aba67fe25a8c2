"""Makes a study that compares runs' drawings of the same photos."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from keras_pixdt.choices import Size, as_height_width
from keras_pixdt.data import to_float, to_uint8
from keras_pixdt.data.pairs import PairSet
from keras_pixdt.study import protocols
from keras_pixdt.study.page import write_study
from keras_pixdt.training.run import Run, load_run


def parse_methods(texts: Sequence[str]) -> dict[str, str]:
    """Reads "NAME=FOLDER", as the command line has it.

    Raises:
        ValueError: a text is not of this form, or a name is there twice.

    Example:
        `parse_methods(["C+RF=runs/a", "C+MSE=runs/b"])`
    """
    methods: dict[str, str] = {}
    for text in texts:
        name, _, folder = text.partition("=")
        if not name or not folder:
            raise ValueError(f"A method is NAME=FOLDER, such as C+RF=runs/a. Received: {text!r}")
        if name in methods:
            raise ValueError(
                f"Each method needs a name of its own. Received {name!r} twice: "
                f"{methods[name]} and {folder}"
            )
        methods[name] = folder
    return methods


def create(
    methods: Mapping[str, str | os.PathLike[str]],
    protocol: str,
    out: str | os.PathLike[str],
    *,
    split: str = "test",
    photos: int | None = None,
    seed: int = 0,
    checkpoint: str = "final",
) -> dict[str, Any]:
    """Writes a study of runs: a page for rating their drawings of the same photos, and its key.

    Photos are chosen at random. Runs may draw images of different sizes. The photos are shown in
    the largest of these sizes, stretched to a square only if all runs of that size stretch them.

    Args:
        methods: name -> folder of a run. All runs must have the same pairs as data.
        protocol: "yoo2016" (Sec. 5.4) or "kwon2019" (Sec. 5.3), whose photos are of different
            products.
        out: the page, such as `study.html`; the key is `study.key.json`.
        split: where the photos come from.
        photos: how many; by default as many as in the paper, 100 or 70.
        seed: decides on the photos, and which method gets which letter on the page.
        checkpoint: see `load_run`.

    Returns:
        What `write_study` returns.

    Raises:
        FileNotFoundError: a folder has no finished run.
        FileExistsError: `out` or its key is there already.
        ValueError: there are too few runs, too many, or runs of different data; one draws persons;
            or the split has fewer photos.

    Example:
        `create({"C+RF": "runs/a", "C+RF+DD": "runs/b"}, "yoo2016", "study.html", photos=20)`
    """
    asked = protocols.get(protocol)
    count = asked.photos if photos is None else photos
    if len(methods) < 2:
        raise ValueError(f"A study compares two or more methods. Received: {list(methods)}")
    opened = {name: load_run(folder, checkpoint) for name, folder in methods.items()}
    _check_same_data(opened)
    by_form: dict[tuple[Size, str], PairSet] = {}
    for run in opened.values():
        if _form(run) not in by_form:
            by_form[_form(run)] = _of_split(run, split)
    largest = by_form[max(by_form, key=_largest)]
    rows = _choose(largest, count, asked.different_products, split, seed)
    results = {
        name: to_uint8(run.convert(to_float(by_form[_form(run)].sources[rows])))
        for name, run in opened.items()
    }
    origin = {
        "split": split,
        "rows": rows.tolist(),
        "checkpoint": checkpoint,
        "runs": {name: str(folder) for name, folder in methods.items()},
    }
    return write_study(protocol, largest.sources[rows], results, out, seed=seed, origin=origin)


def _check_same_data(runs: Mapping[str, Run]) -> None:
    first, *others = runs
    for name, run in runs.items():
        if run.preset.reverse:
            raise ValueError(
                f"A study asks about products, and the run of {name!r}, {run.workdir}, draws "
                "persons. Leave it out."
            )
    data = {
        name: {k: v for k, v in run.data.items() if v is not None} for name, run in runs.items()
    }
    for name in others:
        if data[name] != data[first]:
            raise ValueError(
                "The runs of a study must be of the same data. "
                f"Received: {first!r} of {data[first]}, {name!r} of {data[name]}"
            )


def _form(run: Run) -> tuple[Size, str]:
    """The photos that a run takes: their size, and how they are brought to it."""
    return run.preset.image_size, run.preset.resize


def _largest(form: tuple[Size, str]) -> tuple[int, bool]:
    size, resize = form
    return max(as_height_width(size)), resize != "stretch"


def _of_split(run: Run, split: str) -> PairSet:
    pairs = run.pairs()
    if split not in pairs:
        raise ValueError(f"`split` must be one of {', '.join(pairs)}. Received: {split!r}")
    return pairs[split]


def _choose(
    pairs: PairSet, count: int, different_products: bool, split: str, seed: int
) -> np.ndarray:
    """Rows of random sources, in random order."""
    rows = np.random.default_rng(seed).permutation(len(pairs))
    what = "photos"
    if different_products:
        what = "products"
        # Duplicates of a product do not count as different products.
        _, first = np.unique(pairs.group_id[pairs.target_index[rows]], return_index=True)
        rows = rows[np.sort(first)]
    if not 1 <= count <= len(rows):
        raise ValueError(
            f"`photos` must be from 1 to {len(rows)}, the number of {what} in split {split!r}. "
            f"Received: {count}"
        )
    return rows[:count]

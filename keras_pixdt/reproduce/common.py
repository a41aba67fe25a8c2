"""What all experiments share: what is kept of a training, the rows of a table, the command.

What a row trains is kept in `OUT/rows`, in files whose names have a digest of all that decides on
it: an interrupted table goes on where it was, and a changed setting trains anew.
"""

from __future__ import annotations

import argparse
import contextlib
import hashlib
import json
import pathlib
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from absl import logging

from keras_pixdt.atomic import replacing, write_json
from keras_pixdt.reproduce import BUDGETS, OUT, environment
from keras_pixdt.reproduce.result import Result, Row

# What is kept

_HASHED_AT_ONCE = 1 << 24  # bytes


class Kept(NamedTuple):
    """A model that has been trained.

    Attributes:
        path: its `.keras` file.
        found: what its training told, with "minutes", how long it took.
    """

    path: pathlib.Path
    found: dict[str, Any]

    def load(self) -> keras.Model:
        """The model."""
        return keras.models.load_model(self.path)


class NotKept(LookupError):
    """A model that is not there, where none may be trained."""


class Cache:
    """Models that are trained once.

    Args:
        out: folder of the tables; models are in its folder `rows`.
    """

    def __init__(self, out: pathlib.Path) -> None:
        self.folder = out / "rows"
        self._trains = True

    @contextlib.contextmanager
    def reading(self) -> Iterator[None]:
        """Context in which nothing is trained: `model` raises `NotKept` instead."""
        self._trains = False
        try:
            yield
        finally:
            self._trains = True

    def model(
        self,
        name: str,
        train: Callable[[], tuple[keras.Model, dict[str, Any]]],
        **parts: Any,
    ) -> Kept:
        """A model, trained if it is not there.

        Args:
            name: begins the name of its files.
            train: returns the model and what its training told, ready for JSON.
            **parts: all that decides on it besides versions and code, ready for JSON.

        Raises:
            NotKept: within `reading`, if it is not there.
        """
        key = environment.digest(
            training=environment.TRAINING_VERSION,
            versions=environment.versions(),
            **parts,
        )
        path, told = (self.folder / f"{name}-{key}{suffix}" for suffix in (".keras", ".json"))
        if not told.exists():  # which is written last
            if not self._trains:
                raise NotKept(path.stem)
            logging.info("Training %s", path.stem)
            start = time.monotonic()
            model, found = train()
            minutes = (time.monotonic() - start) / 60
            self.folder.mkdir(parents=True, exist_ok=True)
            with replacing(path) as unfinished:
                model.save(unfinished)
            write_json(told, {**found, "minutes": round(minutes, 2)})
        return Kept(path, json.loads(told.read_text("utf-8")))


def fingerprint(*arrays: np.ndarray) -> str:
    """A digest of arrays, their shapes and types; they may be larger than the memory."""
    digest = hashlib.sha256()
    for array in arrays:
        digest.update(f"{array.dtype}{array.shape}".encode())
        rows = max(1, _HASHED_AT_ONCE // max(1, array[:1].nbytes))
        for start in range(0, len(array), rows):
            digest.update(np.ascontiguousarray(array[start : start + rows]).data)
    return digest.hexdigest()[:12]


# The rows of a table


def check(rows: Iterable[str], known: Sequence[str], seeds: int) -> None:
    """Checks what is to be run.

    Raises:
        ValueError: an unknown row, or less than one seed.
    """
    unknown = sorted(set(rows) - set(known))
    if unknown:
        raise ValueError(f"`rows` must be of {', '.join(known)}. Received: {', '.join(unknown)}")
    if seeds < 1:
        raise ValueError(f"`seeds` must be at least 1. Received: {seeds}")


def fill(
    result: Result,
    out: pathlib.Path,
    rows: Iterable[str],
    seeds: int,
    score: Callable[[Row, int], Mapping[str, Any]],
    after: Callable[[int], None] | None = None,
    others: Iterable[str] = (),
    cache: Cache | None = None,
) -> None:
    """Runs rows of a table, and writes it after each.

    Args:
        result: the table.
        out: its folder.
        rows: keys of the rows.
        seeds: how many, from 0.
        score: trains and scores a row with a seed.
        after: called when all rows of a seed are there.
        others: keys of rows that are in the table as well if all their models are kept in `cache`:
            who runs one row again does not lose the rest.
        cache: where `score` has its models from.
    """
    out.mkdir(parents=True, exist_ok=True)
    chosen = set(rows)
    kept = set(others) - chosen if cache is not None else set()
    for seed in range(seeds):  # all rows once, before any twice
        for row in result.rows:
            if row.key not in chosen | kept:
                continue
            try:
                with cache.reading() if cache and row.key in kept else contextlib.nullcontext():
                    row.seeds[seed] = dict(score(row, seed))
            except NotKept:
                kept.remove(row.key)
                row.seeds.clear()
                continue
            values = ((s, row.seeds[seed].get(s.key)) for s in result.scores)
            told = ", ".join(f"{s.title} {v:{s.form}}" for s, v in values if v is not None)
            logging.info("%s, seed %d: %s", row.title, seed, told)
            result.write(out)
        if after is not None:
            after(seed)
    result.write(out)


# The command


def parser(
    name: str, description: str, rows: Sequence[str] | None = None
) -> argparse.ArgumentParser:
    """A parser with the options that all of these experiments have."""
    parser = argparse.ArgumentParser(f"pixdt reproduce {name}", description=description)
    parser.add_argument("--budget", choices=BUDGETS, default="cpu", help="default: %(default)s")
    parser.add_argument("--seeds", type=int, help="instead of the budget's")
    if rows is not None:
        parser.add_argument("--rows", nargs="+", choices=rows, help="default: all")
    parser.add_argument("--out", default=OUT, help="folder (default: %(default)s)")
    return parser


def tell(result: Result, out: pathlib.Path) -> None:
    """Logs the table, and where it is."""
    logging.info("\n%s", result.markdown())
    logging.info("Written: %s", out / f"{result.name}.html")

"""A cache of trainings: each is done once, and is found by everything that determines it.

It is in the tables' folder `rows`, under names with a digest. So an interrupted table continues
where it was, a changed setting trains again, and tables share their rows.
"""

from __future__ import annotations

import contextlib
import json
import pathlib
import time
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

import keras
from absl import logging

from keras_pixdt.atomic import locked, save_model, write_json
from keras_pixdt.reproduce import environment


class Kept(NamedTuple):
    """A model that has been trained.

    Attributes:
        path: its `.keras` file.
        found: results of its training, including "minutes", its duration.
    """

    path: pathlib.Path
    found: dict[str, Any]

    def load(self) -> keras.Model:
        """The model."""
        return keras.models.load_model(self.path)


class NotKept(LookupError):
    """Something is missing, and nothing may be trained."""


class Cache:
    """Models that are trained once.

    Args:
        out: folder of the tables; models are in its folder `rows`.
    """

    def __init__(self, out: pathlib.Path) -> None:
        self.folder = out / "rows"
        self._only_reads = False

    @contextlib.contextmanager
    def reading(self, only: bool = True) -> Iterator[None]:
        """Context in which nothing is trained, if `only`: what is missing raises `NotKept`."""
        before, self._only_reads = self._only_reads, only
        try:
            yield
        finally:
            self._only_reads = before

    def missing(self, name: str) -> None:
        """Called before making something that is missing.

        Raises:
            NotKept: within `reading`.
        """
        if self._only_reads:
            raise NotKept(name)

    def path(self, name: str, **parts: Any) -> pathlib.Path:
        """Where something is kept, without a suffix; arguments are those of `model`."""
        key = environment.digest(
            training=environment.TRAINING_VERSION, versions=environment.versions(), **parts
        )
        return self.folder / f"{name}-{key}"

    def model(
        self,
        name: str,
        train: Callable[[], tuple[keras.Model, dict[str, Any]]],
        **parts: Any,
    ) -> Kept:
        """A model, trained if it is not there.

        Args:
            name: begins the name of its files.
            train: returns the model and the results of its training, ready for JSON.
            **parts: everything that determines it besides versions and code, ready for JSON.

        Raises:
            NotKept: within `reading`, if it is not there.
        """
        stem = self.path(name, **parts).name
        path, told = (self.folder / f"{stem}{suffix}" for suffix in (".keras", ".json"))
        if not told.exists():  # which is written last
            self.missing(stem)
            with locked(self.folder / f".{stem}.lock"):
                if not told.exists():  # nor has another process trained it meanwhile
                    logging.info("Training %s", stem)
                    start = time.monotonic()
                    model, found = train()
                    minutes = (time.monotonic() - start) / 60
                    save_model(path, model)
                    write_json(told, {**found, "minutes": round(minutes, 2)})
        return Kept(path, json.loads(told.read_text("utf-8")))

"""The base of all experiments: budget, loop that trains and scores rows, and command."""

from __future__ import annotations

import argparse
import dataclasses
import os
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import keras
from absl import logging

from keras_pixdt import data, presets
from keras_pixdt.reproduce import BUDGETS, OUT
from keras_pixdt.reproduce.cache import Cache, NotKept
from keras_pixdt.reproduce.result import Result, Row
from keras_pixdt.training.callbacks import StopOnDivergence
from keras_pixdt.training.inputs import averaged_weights
from keras_pixdt.training.schedule import Schedule


@dataclasses.dataclass(frozen=True)
class Budget:
    """The budget for each row of a table; an experiment says which of these it needs.

    Attributes:
        samples: pairs or images that a row sees, about the same for all rows, in whole epochs; None
            keeps each preset's own epochs.
        epochs: of a row's training, where rows are compared by these.
        steps: the same.
        seeds: how often each row is trained.
        drawn: how many products, images or objects are drawn, where no data are given.
        small: whether rows are of the small presets.
        fields: of the presets, that are to differ.
        function_epochs: of the training of f.
        judge_epochs: of the training of what scores the rows.
    """

    samples: int | None = None
    epochs: int = 0
    steps: int = 0
    seeds: int = 1
    drawn: tuple[int, ...] = ()
    small: bool = True
    fields: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    function_epochs: int = 0
    judge_epochs: int = 0


def chosen(
    known: Iterable[str], rows: Sequence[str] | None, given: Budget, seeds: int | None
) -> tuple[list[str], int]:
    """Chooses what to run.

    Args:
        known: keys of the rows that there are.
        rows: keys of those to run; by default all.
        given: the budget.
        seeds: how many, from 0, instead of the budget's.

    Returns:
        The keys and the number of seeds.

    Raises:
        ValueError: an unknown row, or less than one seed.
    """
    known = list(known)
    unknown = sorted(set(rows or ()) - set(known))
    if unknown:
        raise ValueError(f"`rows` must be of {', '.join(known)}. Received: {', '.join(unknown)}")
    seeds = given.seeds if seeds is None else seeds
    if seeds < 1:
        raise ValueError(f"`seeds` must be at least 1. Received: {seeds}")
    return list(rows or known), seeds


class Experiment:
    """Trains and scores the rows of tables, in a folder.

    Args:
        out: the folder of the tables.
        verbose: as in `keras.Model.fit`.

    Attributes:
        out: the same.
        cache: what has been trained.
        verbose: the same.
    """

    def __init__(self, out: str | os.PathLike[str], verbose: str | int = "auto") -> None:
        self.out = pathlib.Path(out)
        self.cache = Cache(self.out)
        self.verbose = verbose

    def fill(
        self,
        result: Result,
        rows: Iterable[str],
        seeds: int,
        score: Callable[[Row, int], Mapping[str, Any]],
        after: Callable[[int], None] | None = None,
        others: Iterable[str] = (),
    ) -> None:
        """Runs rows of a table, and writes it after each.

        Args:
            result: the table.
            rows: keys of the rows.
            seeds: how many, from 0.
            score: trains and scores a row with a seed.
            after: called when all rows of a seed are there.
            others: keys of rows that are in the table as well if `cache` has all that they need, so
                that running one row again does not lose the rest.
        """
        self.out.mkdir(parents=True, exist_ok=True)
        asked = set(rows)
        kept = set(others) - asked
        for seed in range(seeds):  # all rows once, before any twice
            for row in result.rows:
                if row.key not in asked | kept:
                    continue
                try:
                    with self.cache.reading(row.key in kept):
                        row.seeds[seed] = dict(score(row, seed))
                except NotKept:
                    kept.remove(row.key)
                    row.seeds.clear()
                    continue
                values = ((s, row.seeds[seed].get(s.key)) for s in result.scores)
                told = ", ".join(f"{s.title} {v:{s.form}}" for s, v in values if v is not None)
                logging.info("%s, seed %d: %s", row.title, seed, told)
                result.write(self.out)
            if after is not None:
                after(seed)
        result.write(self.out)


def train_unpaired(
    preset: presets.Preset,
    domains: data.DomainSet,
    *,
    epochs: int,
    seed: int = 0,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    verbose: str | int = "auto",
) -> keras.Model:
    """Trains a model of two domains without pairs, without a folder of a run.

    Args:
        preset: the model and how it is trained.
        domains: the images.
        epochs: how long.
        seed: of weights and batches.
        callbacks: further Keras callbacks.
        verbose: as in `keras.Model.fit`.

    Returns:
        The trained model.

    Raises:
        ValueError: less than one epoch.
    """
    keras.utils.set_random_seed(seed)
    batches = data.unpaired(domains, preset.batch_sizes, seed, mirror=preset.mirror)
    model = preset.model(seed)
    model.compile(preset.optimizers(model.players))
    averages = averaged_weights(domains, preset)
    model.fit(
        batches,
        epochs=epochs,
        verbose=verbose,
        shuffle=False,  # `batches` does, by `seed`
        callbacks=[
            Schedule(preset, batches, epochs=epochs),
            StopOnDivergence(),
            *([averages] if averages else []),
            *callbacks,
        ],
    )
    return model


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


def tell(result: Result, out: str | os.PathLike[str]) -> None:
    """Logs the table, and where it is."""
    logging.info("\n%s", result.markdown())
    logging.info("Written: %s", pathlib.Path(out) / f"{result.name}.html")

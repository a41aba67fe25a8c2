"""Checkpoints: a model and its progress in one file, written completely or not at all.

`checkpoints/last.keras` continues an interrupted run, `checkpoints/best.keras` is the model of the
epoch with the best score, and `model.keras` continues a finished run. A run with averaged weights
is continued from `last.keras` instead, because its `model.keras` has the averages.
`checkpoints/stage1.keras` and so on are models after the last epoch of each stage but the last. All
are ordinary `.keras` files with one more member, the progress, so that weights and progress cannot
disagree.
"""

from __future__ import annotations

import contextlib
import dataclasses
import json
import os
import pathlib
import zipfile
from collections.abc import Iterator, Mapping
from typing import Any

import keras
from absl import logging

from keras_pixdt.atomic import replacing, write_json
from keras_pixdt.choices import SCORES
from keras_pixdt.training.callbacks import AveragedWeights, check_finite
from keras_pixdt.training.schedule import Progress

_PROGRESS = "progress.json"


def save(model: keras.Model, path: pathlib.Path, progress: Progress) -> None:
    """Saves model, optimizers, random generators and progress as one file.

    Raises:
        PlayerDivergedError: a value is not finite; nothing is written.
    """
    check_finite(model, f"in epoch {progress.epoch + 1}")
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as unfinished:
        model.save(unfinished)
        with zipfile.ZipFile(unfinished, "a") as archive:
            archive.writestr(_PROGRESS, json.dumps(dataclasses.asdict(progress)))


def read_progress(path: pathlib.Path) -> Progress:
    """Reads the progress of a checkpoint's run.

    Raises:
        ValueError: the file is damaged.
    """
    with _naming(path), zipfile.ZipFile(path) as archive:
        damaged = archive.testzip()
        if damaged is not None:
            raise zipfile.BadZipFile(f"its part {damaged} is damaged")
        content = json.loads(archive.read(_PROGRESS))
        best = content.pop("best")
        return Progress(**content, best=None if best is None else tuple(best))


def load(model: keras.Model, path: pathlib.Path) -> None:
    """Gives a compiled model the state of a checkpoint.

    Raises:
        ValueError: the file is damaged, or belongs to another model.
    """
    with _naming(path):
        model.load_weights(path)


@contextlib.contextmanager
def _naming(path: pathlib.Path) -> Iterator[None]:
    try:
        yield
    except (zipfile.BadZipFile, KeyError, TypeError, ValueError, OSError) as error:
        raise ValueError(
            f"{path} is not a whole checkpoint of this run ({error}). Put a copy of it back, or "
            "remove the folder of the run to train from the start."
        ) from error


class Checkpoint(keras.callbacks.Callback):
    """Saves `last.keras` after each epoch and every `save_every` batches, and the other models.

    In a distributed run every worker needs this callback, because variables may be read from all of
    them.

    Args:
        workdir: the run's folder: the files go to `checkpoints/` there, the logs of the finished
            epochs to `history.json`.
        progress: the run's progress, kept up to date by a `Schedule` that comes earlier.
        best: the score that selects `best.keras`, one of `SCORES`; None keeps no best model. Only
            epochs of a model's last stage are compared.
        save_every: batches between two saves within an epoch; None saves at its end only.
        averages: whose weights `best.keras` and the stages have; by default, the model's own.

    Raises:
        ValueError: `best` is no score, or `save_every` is less than 1.
    """

    def __init__(
        self,
        workdir: str | os.PathLike[str],
        progress: Progress,
        *,
        best: str | None = "val_rmse",
        save_every: int | None = None,
        averages: AveragedWeights | None = None,
    ) -> None:
        super().__init__()
        self._averages = averages
        check_options(best, save_every)
        self._workdir = pathlib.Path(workdir)
        self._progress = progress
        self._best, self._save_every = best, save_every

    def on_train_begin(self, logs: Any = None) -> None:
        """Writes the history, of which the file may lack the last epoch."""
        self._workdir.mkdir(parents=True, exist_ok=True)
        self._write_history()

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Lets the mean losses of an interrupted epoch go on, which `fit` has reset."""
        for variable, value in zip(_means(self.model), self._progress.means, strict=False):
            variable.assign(value)
        self._progress.means = []
        self._saved = self._progress.batch

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Saves the state before this batch, if it is its turn."""
        done = self._progress.batch
        if self._save_every and done // self._save_every > self._saved // self._save_every:
            # Keras leaves them out of its files.
            means = [float(keras.ops.convert_to_numpy(v)) for v in _means(self.model)]
            progress = dataclasses.replace(self._progress, means=means)
            save(self.model, last_path(self._workdir), progress)
            self._saved = done

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Keeps the logs, and saves.

        Raises:
            ValueError: the logs lack the score.
        """
        logs = logs or {}
        if self._best is not None and self._best not in logs:
            raise ValueError(
                f"`best` must be a score of the logs: {', '.join(logs)}. Received: {self._best!r}"
            )
        for name, value in logs.items():
            self._progress.history.setdefault(name, []).append(float(value))
        if not self.model.at_last_stage:
            self._save_averages(stage_path(self._workdir, self.model.stage))
        elif self._best is not None:
            self._keep_best(epoch, self._best, float(logs[self._best]))
        save(self.model, last_path(self._workdir), self._progress)
        self._write_history()

    def _keep_best(self, epoch: int, name: str, score: float) -> None:
        before = self._progress.best
        if before is not None and before[0] == name:  # an interrupted run may go by another score
            if score >= before[1] if SCORES[name] else score <= before[1]:
                return
        self._progress.best = name, score
        self._save_averages(best_path(self._workdir))
        logging.info("Epoch %d has the best %s: %.4f", epoch + 1, name, score)

    def _save_averages(self, path: pathlib.Path) -> None:
        with self._averages.applied() if self._averages else contextlib.nullcontext():
            save(self.model, path, self._progress)

    def _write_history(self) -> None:
        write_json(self._workdir / "history.json", self._progress.history)


def last_path(workdir: pathlib.Path) -> pathlib.Path:
    """The checkpoint that continues a run."""
    return workdir / "checkpoints" / "last.keras"


def latest_path(workdir: pathlib.Path) -> pathlib.Path | None:
    """The checkpoint that a run continues from; None if there is none."""
    last, final = last_path(workdir), workdir / "model.keras"
    if last.exists():
        return last
    if zipfile.is_zipfile(final):
        with zipfile.ZipFile(final) as archive:
            return final if _PROGRESS in archive.namelist() else None
    return None


def best_path(workdir: pathlib.Path) -> pathlib.Path:
    """The model of the epoch with the best score."""
    return workdir / "checkpoints" / "best.keras"


def stage_path(workdir: pathlib.Path, stage: int) -> pathlib.Path:
    """The model after the last epoch of a stage, from 1, that is not the last stage."""
    return workdir / "checkpoints" / f"stage{stage}.keras"


def check_options(best: str | None, save_every: int | None) -> None:
    """Checks the options of `Checkpoint`.

    Raises:
        ValueError: `best` is no score, or `save_every` is less than 1.
    """
    if best is not None and best not in SCORES:
        raise ValueError(f"`best` must be one of {', '.join(SCORES)}. Received: {best!r}")
    if save_every is not None and save_every < 1:
        raise ValueError(f"`save_every` must be at least 1. Received: {save_every}")


def _means(model: keras.Model) -> list[keras.Variable]:
    """What the losses in the logs, means since the epoch began, are made of."""
    means = [metric for metric in model.metrics if isinstance(metric, keras.metrics.Mean)]
    return [variable for mean in means for variable in mean.variables]

"""Trains: checks options, builds and fits a model, fills the run's folder (see `run`)."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.metadata
import importlib.util
import os
import pathlib
import platform
import tempfile
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from absl import logging

from keras_pixdt import atomic, presets
from keras_pixdt.data import matching
from keras_pixdt.data.pairs import DomainSet, PairSet
from keras_pixdt.engine.model import AdversarialModel
from keras_pixdt.judges import classifier
from keras_pixdt.metrics.pixel import SSIM, ColorSSIM, RootMeanSquaredError
from keras_pixdt.training import checkpoint, devices, inputs, record, start
from keras_pixdt.training.callbacks import (
    EpochsForTensorBoard,
    ImageGrid,
    StopOnDivergence,
    check_finite,
)
from keras_pixdt.training.judging import SOURCE_CLASSIFIER
from keras_pixdt.training.run import Run
from keras_pixdt.training.schedule import Progress, Schedule, check_length

FUNCTION = "function.keras"
GRID_IMAGES = 32
_ENDLESS = 1_000_000  # epochs
_LOCK = ".lock"
_BUSY = "another training writes there ({}). Wait for it, stop it, or choose another --workdir."


def train(
    preset: presets.Preset | str,
    data: str = "rendered",
    workdir: str | os.PathLike[str] = "runs/train",
    *,
    data_options: Mapping[str, Any] | None = None,
    splits: Mapping[str, PairSet] | Mapping[str, DomainSet] | None = None,
    minutes: float | None = None,
    epochs: int | None = None,
    seed: int = 0,
    distribution: devices.Distribution | None = None,
    best: str | None = None,
    save_every: int | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    verbose: str | int = "auto",
) -> Run:
    """Trains a preset on a data set and keeps everything in a folder.

    If the folder holds an interrupted run, the run continues. With the same options it ends as if
    it had not been interrupted, bit for bit on a CPU, unless its length is given in `minutes`.
    Devices, `best` and `save_every` may change in between, and the data may have moved: they are
    known again by their content.

    A finished run continues if `epochs` or `minutes` are more than it has. The preset's phases are
    over by then, so the rest is trained as the end of the last one is. With one phase and `epochs`,
    it ends as if it had been trained for all of them at once.

    Args:
        preset: a preset or its name.
        data: "rendered", files in a known layout (see `data.load_pairs`), or "tfds:NAME". Presets
            without pairs take these as two domains, persons and products; or, with `target_data`
            or `edges` among the `data_options`, the first domain of
            `keras_pixdt.data.load_domains`, or its photos.
        workdir: the run's folder. All workers of a distributed run must see it; the first one
            writes.
        data_options: further options of `keras_pixdt.data.load_pairs`; or `target_data`, the
            second domain, or `edges`, with further options of `keras_pixdt.data.load_domains`.
        splits: the data of these two, if already read.
        minutes: time limit, in all; the preset's phases are stretched over it.
        epochs: number of epochs instead of the preset's, in all; its phases are stretched.
        seed: of weights, batches and random draws.
        distribution: the devices, from `training.devices.start`; by default one.
        best: the score that selects `checkpoints/best.keras`: val_rmse (the default), val_ssim or
            val_c_ssim. Data without a validation split and presets without pairs have no best
            model.
        save_every: batches between two checkpoints within an epoch, in addition to those at its
            end.
        callbacks: further Keras callbacks.
        verbose: as in `keras.Model.fit`.

    Returns:
        The run.

    Raises:
        FileNotFoundError: there is nothing at the preset's `start`.
        BlockingIOError: another process trains in `workdir`; names it.
        ValueError: an argument out of its range, both `minutes` and `epochs`, batches that the
            replicas cannot share, data that the preset does not learn from, or a `workdir` with a
            finished run that is no shorter, one of other options or data, or a damaged checkpoint.
        PlayerDivergedError: a loss is not finite.
    """
    preset = presets.get(preset) if isinstance(preset, str) else preset
    folder = pathlib.Path(workdir)
    distribution = devices.start() if distribution is None else distribution
    busy = f"{folder}: {_BUSY}"
    with atomic.locked(folder / _LOCK, busy) if distribution.is_chief else contextlib.nullcontext():
        trainer = Trainer(
            preset=dataclasses.replace(preset, start=start.absolute(preset.start)),
            workdir=folder,
            data=inputs.absolute({"data": data, **(data_options or {})}),
            seed=seed,
            epochs=epochs,
            minutes=minutes,
            distribution=distribution,
            best=best,
            save_every=save_every,
        )
        loaded: dict[str, Any] = dict(splits or inputs.load(trainer.preset, trainer.data))
        model = trainer.fit(loaded, callbacks, verbose)
    return Run(folder, trainer.preset, trainer.data, seed, model, loaded)


@dataclasses.dataclass(kw_only=True)
class Trainer:
    """One training with its options, which are checked first; see `train`.

    Attributes:
        data: options of `inputs.load`, with absolute paths.
        progress: progress of an earlier training in the same folder; otherwise the start.
        longer: whether the folder holds a finished run, which is trained for longer.
    """

    preset: presets.Preset
    workdir: pathlib.Path
    data: dict[str, Any]
    seed: int
    epochs: int | None
    minutes: float | None
    distribution: devices.Distribution
    best: str | None
    save_every: int | None
    progress: Progress = dataclasses.field(init=False)
    longer: bool = dataclasses.field(init=False)
    _latest: pathlib.Path | None = dataclasses.field(init=False)
    _kept: dict[str, Any] = dataclasses.field(init=False)  # options of an earlier training

    def __post_init__(self) -> None:
        """Checks the options as far as possible without data."""
        preset, minutes = self.preset, self.minutes
        given = self.epochs is not None or minutes is not None
        if not given:
            self.epochs = preset.epochs
        check_length(self.epochs, minutes)
        if self.best is not None and not preset.paired:
            raise ValueError(
                f"`best` is a score of pairs, and preset {preset.name!r} learns without: leave it "
                f"out. Received: {self.best!r}"
            )
        checkpoint.check_options(self.best, self.save_every)
        if minutes is not None and self.distribution.workers > 1:
            raise ValueError(
                "`minutes` cannot be the length of a run with several workers, whose clocks "
                f"differ. Give `epochs`. Received: {minutes} minutes, "
                f"{self.distribution.workers} workers"
            )
        for size in preset.batch_sizes:
            self.distribution.check_batch_size(size)
        self._kept = record.check_free(self.workdir, self._options())
        latest = self._latest = checkpoint.latest_path(self.workdir)
        self.progress = Progress() if latest is None else checkpoint.read_progress(latest)
        finished = record.is_finished(self.workdir, self._kept)
        self.longer = finished or self._kept.get("longer", False)
        if finished:
            self._check_longer(given)
        if preset.start is not None and latest is None:
            start.check(preset.start)
            if preset.function_training() and preset.options()["function"] is None:
                raise ValueError(
                    f"Preset {preset.name!r}: the weights of `start` (--from) fit only the f "
                    "that they were trained with. Give it too: `function` (--function), "
                    f"{FUNCTION} of that run."
                )

    def _check_longer(self, given: bool) -> None:
        """Refuses to train a finished run again, unless for longer than it was."""
        progress, name = self.progress, self.workdir
        if self._latest is None:
            raise ValueError(
                f"{name} holds a finished run of an earlier version, which cannot be continued. "
                f"Start another one from its weights: --from {name}, with another --workdir."
            )
        more = (
            self.epochs > progress.epoch
            if self.epochs is not None
            else self.minutes is not None and self.minutes > progress.minutes
        )
        if not given or not more:
            raise ValueError(
                f"{name} holds a finished run, of {progress.epoch} epochs in "
                f"{progress.minutes:.3g} minutes. Choose another --workdir, remove this one, or "
                f"continue it: --epochs or --minutes of more than that, such as --epochs "
                f"{2 * progress.epoch}, counted from its start."
            )
        logging.info(
            "%s is trained for longer. What was made with it stays as it is: exported files, and "
            "its search embedder, so that indices can still be searched",
            name,
        )

    def fit(
        self,
        splits: dict[str, Any],
        callbacks: Sequence[keras.callbacks.Callback],
        verbose: str | int,
    ) -> AdversarialModel:
        """Trains on the data from `inputs.load`; fills the folder, except for what `Run` trains."""
        preset, progress, distribution = self.preset, self.progress, self.distribution
        parts: dict[str, Any] = splits if preset.paired else inputs.domains(splits, preset)
        train, held_out = parts["train"], parts.get("validation")
        self._choose_best(parts)
        found = record.describe(splits)
        if self._kept:
            moved = self._kept["data"] != self.data
            record.check_data(self._kept, found, self.workdir, moved=moved, strict=True)
        ready = self._with_function(train)
        keras.utils.set_random_seed(self.seed)
        if preset.batch_options().get("truth"):
            train = matching.with_placements(train)
            known = train.placements
            placed = 0 if known is None else zlib.crc32(np.isfinite(known[:, 0, 0]).tobytes())
            distribution.agree(placed, "checksum of which product images are found in their photos")
        batches = inputs.batches(train, preset, self.seed)
        validation = scores = None
        if preset.paired:
            if held_out is not None:
                validation = distribution.feed(inputs.in_order(held_out, preset))
            scores = [RootMeanSquaredError(), SSIM(), ColorSSIM()]
        with distribution.scope():
            model = ready.model(self.seed)
            model.compile(preset.optimizers(model.players), metrics=scores)
        schedule = Schedule(
            preset,
            batches,
            epochs=self.epochs,
            minutes=self.minutes,
            progress=progress,
            over=self.longer,
        )
        # Saving reads variables from all workers, so all of them must save.
        own = contextlib.nullcontext(self.workdir)
        with own if distribution.is_chief else tempfile.TemporaryDirectory() as name:
            folder = pathlib.Path(name)
            averages = inputs.averaged_weights(train, preset)
            saver = checkpoint.Checkpoint(
                folder, progress, best=self.best, save_every=self.save_every, averages=averages
            )
            self._begin(model)
            for directory in (folder, folder / "checkpoints"):
                directory.mkdir(parents=True, exist_ok=True)
                atomic.remove_unfinished(directory)
            more: dict[str, Any] = {"contents": found, **({"longer": True} if self.longer else {})}
            self._write_options(folder, **more)
            grid = inputs.examples(held_out or train, preset, GRID_IMAGES)
            with distribution.watch():
                model.fit(
                    distribution.feed(batches),
                    validation_data=validation,
                    initial_epoch=progress.epoch,
                    epochs=self._end(),
                    verbose=verbose,
                    shuffle=False,  # `batches` does by `seed`; Keras would by Python's global one
                    callbacks=[
                        *_bar(verbose),
                        schedule,
                        StopOnDivergence(),
                        *([averages] if averages else []),
                        ImageGrid(grid, folder / "grids", averages=averages),
                        *_tensorboard(folder / "logs"),
                        saver,
                        *callbacks,
                    ],
                )
                logging.info("Trained for %.1f minutes", progress.minutes)
                check_finite(model, "at the end")
                checkpoint.save(model, folder / "model.keras", progress)
                if not averages:  # which have replaced the weights
                    checkpoint.last_path(folder).unlink(missing_ok=True)
            self._write_options(folder, **more, trained_minutes=progress.minutes)
        return model

    def _choose_best(self, parts: Mapping[str, Any]) -> None:
        """Sets the score of the best model, which never comes from the test split."""
        if self.preset.paired and "validation" in parts:
            self.best = self.best or "val_rmse"
        elif self.best is not None:
            raise ValueError(
                "`best` is chosen on the validation split, and these data have none, only "
                f"{', '.join(parts)}. Leave it out, or take splits='yoo2016' (--splits yoo2016). "
                f"Received: {self.best!r}"
            )

    def _with_function(self, train: DomainSet) -> presets.Preset:
        """The preset with an f, if its model takes one; trains f if none is given."""
        preset, path = self.preset, self.workdir / FUNCTION
        options = preset.function_training()
        if options is None or preset.options()["function"] is not None:
            return preset
        if not path.exists():
            self._train_function(train.exchanged() if preset.reverse else train, options)
        return dataclasses.replace(preset, **{"function": str(path)})  # type: ignore[arg-type]

    def _train_function(self, domains: DomainSet, options: Mapping[str, Any]) -> None:
        """Trains f on the labels of the first domain, and keeps it in the run's folder."""
        preset, labels = self.preset, domains.source_labels
        if self.distribution.workers > 1:
            raise ValueError(
                f"Preset {preset.name!r}: several workers need `function` (--function), the file "
                f"of an f. A run of one worker trains one, and keeps it as {FUNCTION}."
            )
        if labels is None:
            raise ValueError(
                f"Preset {preset.name!r} needs an f. The images of the first domain have no labels "
                "to train one on: give them (a subfolder for each class, `category` in "
                "products.json, y_train in a .npz file), or the file of a Keras model as "
                "`function` (--function)."
            )
        logging.info("Training f on the labels of the first domain's training images")
        trained = classifier.train_classifier(
            domains.sources, labels.index, len(labels.names), seed=self.seed, **options
        )
        self.workdir.mkdir(parents=True, exist_ok=True)
        atomic.save_model(self.workdir / SOURCE_CLASSIFIER, trained)
        # f last, so that a run interrupted before this has no f.
        atomic.save_model(self.workdir / FUNCTION, trained.get_layer("f"))

    def _begin(self, model: AdversarialModel) -> None:
        """Continues from the latest checkpoint, or starts from the preset's `start`."""
        if self._latest is not None:
            checkpoint.load(model, self._latest)
            logging.info(
                "Continuing %s from epoch %d, batch %d",
                self.workdir, self.progress.epoch + 1, self.progress.batch + 1,
            )  # fmt: skip
        elif self.preset.start is not None:
            checksum = start.load(model, self.preset.start)
            self.distribution.agree(checksum, "checksum of the weights that they start from")
        steps = int(keras.ops.convert_to_numpy(model.optimizer.iterations))
        self.distribution.agree(steps, "number of steps that are trained")

    def _end(self) -> int:
        """The epoch that ends the training."""
        if self.minutes is None:
            assert self.epochs is not None
            return self.epochs
        logging.info("Training ends after %g minutes, whatever the epoch", self.minutes)
        over = self.progress.minutes >= self.minutes and not self.progress.batch
        return self.progress.epoch if over else _ENDLESS

    def _options(self) -> dict[str, Any]:
        """The options that determine the result, as in `run.json`."""
        options = {"preset": self.preset.options(), "data": self.data}
        return options | {"seed": self.seed, "epochs": self.epochs, "minutes": self.minutes}

    def _write_options(self, folder: pathlib.Path, **more: Any) -> None:
        packages = ("keras-pixdt", "keras", "pillow")
        versions = {name: importlib.metadata.version(name) for name in packages}
        machine = {
            "python": platform.python_version(),
            "backend": keras.backend.backend(),
            "strategy": self.distribution.strategy,
            "replicas": self.distribution.replicas,
            "workers": self.distribution.workers,
            "precision": self.preset.dtype,
            **versions,
        }
        options = {**self._options(), "versions": machine, **more}
        atomic.write_json(folder / "run.json", options)


def _bar(verbose: str | int) -> list[keras.callbacks.Callback]:
    """Keras' bar, first: where Keras adds it, last, lines that other callbacks log tear it."""
    bar = keras.callbacks.ProgbarLogger()
    bar.async_safe = True  # as Keras takes its own to be
    return [bar] if verbose else []


def _tensorboard(directory: pathlib.Path) -> list[keras.callbacks.Callback]:
    if importlib.util.find_spec("tensorflow") is None:
        logging.info("No TensorBoard logs: they are written by TensorFlow, which is not installed")
        return []
    return [EpochsForTensorBoard(directory)]

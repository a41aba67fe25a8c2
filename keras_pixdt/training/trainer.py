"""The work of `run.train`: checks options, builds and fits a model, fills the run's folder."""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.metadata
import importlib.util
import json
import pathlib
import platform
import tempfile
import zlib
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from absl import logging

from keras_pixdt import atomic, metrics, presets
from keras_pixdt.data import matching
from keras_pixdt.data.pairs import DomainSet
from keras_pixdt.engine.model import AdversarialModel
from keras_pixdt.judges import classifier
from keras_pixdt.training import checkpoint, devices, inputs, start
from keras_pixdt.training.callbacks import (
    EpochsForTensorBoard,
    ImageGrid,
    StopOnDivergence,
    check_finite,
)
from keras_pixdt.training.schedule import Progress, Schedule, check_length

FUNCTION = "function.keras"
SOURCE_CLASSIFIER = "source_classifier.keras"
GRID_IMAGES = 32
_ENDLESS = 1_000_000  # epochs


@dataclasses.dataclass(kw_only=True)
class Trainer:
    """One training with its options, which are checked first; see `run.train`.

    Attributes:
        data: options of `inputs.load`, with absolute paths.
        started: the devices; None starts one.
        progress: progress of an interrupted training in the same folder; otherwise the start.
    """

    preset: presets.Preset
    workdir: pathlib.Path
    data: dict[str, Any]
    seed: int
    epochs: int | None
    minutes: float | None
    started: dataclasses.InitVar[devices.Distribution | None]
    best: str | None
    save_every: int | None
    distribution: devices.Distribution = dataclasses.field(init=False)
    progress: Progress = dataclasses.field(init=False)

    def __post_init__(self, started: devices.Distribution | None) -> None:
        """Checks the options as far as possible without data, and finds the devices."""
        preset, minutes = self.preset, self.minutes
        if self.epochs is None and minutes is None:
            self.epochs = preset.epochs
        check_length(self.epochs, minutes)
        if self.best is not None and not preset.paired:
            raise ValueError(
                f"`best` is a score of pairs, and preset {preset.name!r} learns without: leave it "
                f"out. Received: {self.best!r}"
            )
        checkpoint.check_options(self.best, self.save_every)
        self.distribution = devices.start() if started is None else started
        if minutes is not None and self.distribution.workers > 1:
            raise ValueError(
                "`minutes` cannot be the length of a run with several workers, whose clocks "
                f"differ. Give `epochs`. Received: {minutes} minutes, "
                f"{self.distribution.workers} workers"
            )
        for size in preset.batch_sizes:
            self.distribution.check_batch_size(size)
        check_free(self.workdir, self._options())
        last = checkpoint.last_path(self.workdir)
        self.progress = checkpoint.read_progress(last) if last.exists() else Progress()
        if preset.start is not None and not last.exists():
            start.check(preset.start)
            if preset.function_training() and preset.options()["function"] is None:
                raise ValueError(
                    f"Preset {preset.name!r}: the weights of `start` (--from) fit the f only with "
                    "which they were trained. Give it too: `function` (--function), "
                    f"{FUNCTION} of that run."
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
        ready = self._with_function(train)
        keras.utils.set_random_seed(self.seed)
        if preset.batch_options().get("truth"):
            train = matching.with_placements(train)
            known = train.placements
            found = 0 if known is None else zlib.crc32(np.isfinite(known[:, 0, 0]).tobytes())
            distribution.agree(found, "checksum of which product images are found in their photos")
        batches = inputs.batches(train, preset, self.seed)
        validation = scores = None
        if preset.paired:
            if held_out is not None:
                validation = distribution.feed(inputs.in_order(held_out, preset))
            scores = [metrics.RootMeanSquaredError(), metrics.SSIM(), metrics.ColorSSIM()]
        with distribution.scope():
            model = ready.model(self.seed)
            model.compile(preset.optimizers(model.players), metrics=scores)
        schedule = Schedule(
            preset, batches, epochs=self.epochs, minutes=self.minutes, progress=progress
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
            self._write_options(folder)
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
                atomic.save_model(folder / "model.keras", model)
                checkpoint.last_path(folder).unlink(missing_ok=True)
            self._write_options(folder, trained_minutes=progress.minutes)
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
        """Continues from the last checkpoint, or starts from the preset's `start`."""
        last = checkpoint.last_path(self.workdir)
        if last.exists():
            checkpoint.load(model, last)
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
        versions = {name: importlib.metadata.version(name) for name in ("keras-pixdt", "keras")}
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
    """Keras' bar. Its own would come last, and be torn by what other callbacks log."""
    bar = keras.callbacks.ProgbarLogger()
    bar.async_safe = True  # as Keras takes its own to be
    return [bar] if verbose else []


def check_free(workdir: pathlib.Path, options: dict[str, Any]) -> None:
    """Refuses a folder that belongs to another run."""
    path = workdir / "run.json"
    if (workdir / "model.keras").exists():
        raise ValueError(
            f"{workdir} holds a finished run. Choose another --workdir, or remove this one."
        )
    if path.exists():
        now = _fields(json.loads(json.dumps(options)))  # tuples as JSON has them
        kept = json.loads(path.read_text())
        there = _fields({**kept, "preset": completed(kept["preset"])})
        different = [
            f"{field}: {there.get(field)} there, {now.get(field)} here"
            for field in {**there, **now}
            if there.get(field) != now.get(field)
        ]
        if different:
            raise ValueError(
                f"{workdir} holds an interrupted run with other options ({'; '.join(different)}). "
                "Choose another --workdir, remove this one, or repeat its options."
            )


def completed(kept: Mapping[str, Any]) -> dict[str, Any]:
    """A preset's fields as a run saved them, plus fields that its version did not have.

    The defaults of those match that version's behaviour; its row may have another value by now.
    """
    known = dataclasses.fields(presets.get(kept["name"]))
    defaults = {f.name: f.default for f in known if f.default is not dataclasses.MISSING}
    return {**defaults, **kept}


def _fields(options: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that determines the result of a run, flattened to one level."""
    fields = {**options["preset"], **options["data"]}
    fields["preset"] = fields.pop("name")
    fields["data_seed"] = options["data"].get("seed")
    return fields | {key: options.get(key) for key in ("seed", "epochs", "minutes")}


def _tensorboard(directory: pathlib.Path) -> list[keras.callbacks.Callback]:
    if importlib.util.find_spec("tensorflow") is None:
        logging.info("No TensorBoard logs: they are written by TensorFlow, which is not installed")
        return []
    return [EpochsForTensorBoard(directory)]

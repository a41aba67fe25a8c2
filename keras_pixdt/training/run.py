"""A run: a preset trained on a data set, in a folder that holds all that belongs to it.

| in the folder | |
| --- | --- |
| `run.json` | preset, data, seed, versions: what `load_run` needs to build it again |
| `model.keras` | the trained model with its optimizers; with averages of weights in their place |
| `checkpoints/best.keras` | the model after the epoch with the best validation score |
| `checkpoints/last.keras` | what an interrupted run continues from |
| `history.json` | losses and validation scores of each epoch |
| `grids/epoch_NNN.png` | source, converted, target of the same validation images after each epoch |
| `logs/` | TensorBoard |
| `embedder.keras` | the embedder that `evaluate` compares images with |
"""

from __future__ import annotations

import contextlib
import dataclasses
import importlib.metadata
import importlib.util
import json
import os
import pathlib
import platform
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from absl import logging

import keras_pixdt.registered  # noqa: F401
from keras_pixdt import data as data_module
from keras_pixdt import metrics, presets, search
from keras_pixdt.data.batches import Triplets
from keras_pixdt.data.pairs import PairSet
from keras_pixdt.models.adversarial_model import AdversarialModel
from keras_pixdt.training import callbacks as callbacks_module
from keras_pixdt.training import checkpoint as checkpoint_module
from keras_pixdt.training import distribution as distribution_module
from keras_pixdt.training import evaluation
from keras_pixdt.training.distribution import Distribution
from keras_pixdt.training.schedule import Progress, Schedule, check_length

GRID_IMAGES = 32
STATISTICS_IMAGES = 256
CHECKPOINTS = ("final", "best")
EMBEDDERS = ("trained", "densenet121")
_ENDLESS = 1_000_000  # epochs
EMBEDDER_SEED = 0  # the same for all runs, so that their scores compare


@dataclasses.dataclass
class Run:
    """A trained model with the data that it was trained on.

    Attributes:
        workdir: the run's folder.
        preset: how it was trained.
        data: options of `keras_pixdt.data.load_pairs` that give its pairs.
        seed: of weights, batches and selection.
        model: the trained model.
    """

    workdir: pathlib.Path
    preset: presets.Preset
    data: dict[str, Any]
    seed: int
    model: AdversarialModel
    _pairs: dict[str, PairSet] | None = None

    def pairs(self) -> dict[str, PairSet]:
        """The run's pairs by split; read once."""
        if self._pairs is None:
            self._pairs = data_module.load_pairs(image_size=self.preset.image_size, **self.data)
        return self._pairs

    def convert(self, source: np.ndarray) -> np.ndarray:
        """Converts images, (n, size, size, 3) float32 in [-1, 1], to the same."""
        return np.asarray(self.model.predict_on_batch(source))

    def embedder(self, kind: str = "trained") -> keras.Model:
        """The embedder of product images that images are compared with.

        Args:
            kind: "trained", on the run's training products, once; or "densenet121", where its
                weights are present.
        """
        if kind not in EMBEDDERS:
            raise ValueError(f"`kind` must be one of {EMBEDDERS}. Received: {kind!r}")
        if kind == "densenet121":
            return search.densenet121_embedder()
        path = self.workdir / "embedder.keras"
        if path.exists():
            return keras.models.load_model(path)
        logging.info("Training the embedder on the training products")
        embedder = search.train_embedder(self.pairs()["train"].targets, seed=EMBEDDER_SEED)
        with checkpoint_module.replacing(path) as unfinished:
            embedder.save(unfinished)
        return embedder

    def evaluate(
        self, split: str = "test", gallery: str = "split", embedder: str = "trained"
    ) -> dict[str, Any]:
        """The scores of the run; `keras_pixdt.training.evaluate` defines them."""
        scores = evaluation.evaluate(
            self.convert,
            self.pairs(),
            split=split,
            gallery=gallery,
            embedder=None if self.preset.reverse else self.embedder(embedder),
            reverse=self.preset.reverse,
        )
        return scores | {"embedder": embedder}

    def history(self) -> dict[str, list[float]]:
        """Losses and validation scores of each epoch."""
        return json.loads((self.workdir / "history.json").read_text())


def train(
    preset: presets.Preset | str,
    data: str = "rendered",
    workdir: str | os.PathLike[str] = "runs/train",
    *,
    data_options: Mapping[str, Any] | None = None,
    minutes: float | None = None,
    epochs: int | None = None,
    seed: int = 0,
    distribution: Distribution | None = None,
    best: str = "val_rmse",
    save_every: int | None = None,
    callbacks: Sequence[keras.callbacks.Callback] = (),
    verbose: str | int = "auto",
) -> Run:
    """Trains a preset on a data set and keeps everything in a folder.

    The folder of an interrupted run continues it: with the same options it ends as if it had not
    been interrupted, bit for bit on a CPU, unless `minutes` is its length. Devices, `best` and
    `save_every` may change in between.

    Args:
        preset: a preset or its name.
        data: "rendered", a folder or archive with LookBook's file names, or "tfds:NAME".
        workdir: the run's folder. All workers of a distributed run must see it; the first writes.
        data_options: further options of `keras_pixdt.data.load_pairs`.
        minutes: time limit, over which the preset's phases are stretched.
        epochs: number of epochs in the place of the preset's; its phases are stretched.
        seed: of weights, batches and selection.
        distribution: the devices, from `training.distribution.start`; by default one.
        best: the score that decides on `checkpoints/best.keras`: val_rmse, val_ssim, val_c_ssim.
        save_every: batches between two checkpoints within an epoch, besides those at its end.
        callbacks: further Keras callbacks.
        verbose: as in `keras.Model.fit`.

    Returns:
        The run.

    Raises:
        ValueError: an argument out of its range, both `minutes` and `epochs`, batches that the
            replicas cannot share, or a `workdir` that holds a finished run, one with other
            options, or a damaged checkpoint.
        PlayerDivergedError: a loss is not finite.
    """
    preset = presets.get(preset) if isinstance(preset, str) else preset
    if epochs is None and minutes is None:
        epochs = preset.epochs
    check_length(epochs, minutes)
    checkpoint_module.check_options(best, save_every)
    if distribution is None:
        distribution = distribution_module.start()
    if minutes is not None and distribution.workers > 1:
        raise ValueError(
            "`minutes` cannot be the length of a run with several workers, whose clocks differ. "
            f"Give `epochs`. Received: {minutes} minutes, {distribution.workers} workers"
        )
    for size in preset.batch_sizes:
        distribution.check_batch_size(size)
    workdir = pathlib.Path(workdir)
    options: dict[str, Any] = {
        "preset": preset.options(),
        "data": _absolute({"data": data, **(data_options or {})}),
        "seed": seed,
        "epochs": epochs,
        "minutes": minutes,
    }
    _check_free(workdir, options)
    last = checkpoint_module.last_path(workdir)
    progress = checkpoint_module.read_progress(last) if last.exists() else Progress()
    pairs = data_module.load_pairs(image_size=preset.image_size, **options["data"])

    keras.utils.set_random_seed(seed)
    batches = data_module.triplets(
        pairs["train"],
        preset.batch_sizes,
        seed,
        irrelevant=preset.irrelevant_pairs,
        reverse=preset.reverse,
        mirror=preset.mirror,
        passes=preset.passes,
    )
    validation = _in_order(pairs.get("validation", pairs["test"]), preset)
    with distribution.scope():
        model = preset.model(seed)
        model.compile(
            preset.optimizers(model.players),
            metrics=[metrics.RootMeanSquaredError(), metrics.SSIM(), metrics.ColorSSIM()],
        )
    schedule = Schedule(preset, batches, epochs=epochs, minutes=minutes, progress=progress)

    with contextlib.ExitStack() as stack:
        folder = workdir
        if not distribution.is_chief:  # reads from all workers' variables need all to save
            folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        averages = None
        if preset.ema_momentum is not None:
            averages = callbacks_module.AveragedWeights(
                _examples(batches, STATISTICS_IMAGES)["source"]
            )
        saver = checkpoint_module.Checkpoint(
            folder, progress, best=best, save_every=save_every, averages=averages
        )
        if last.exists():
            checkpoint_module.load(model, last)
            logging.info(
                "Continuing %s from epoch %d, batch %d",
                workdir, progress.epoch + 1, progress.batch + 1,
            )  # fmt: skip
        steps = int(keras.ops.convert_to_numpy(model.optimizer.iterations))
        distribution.agree(steps, "number of steps that are trained")
        for directory in (folder, folder / "checkpoints"):
            directory.mkdir(parents=True, exist_ok=True)
            checkpoint_module.remove_unfinished(directory)
        machine = _machine(distribution, preset)
        checkpoint_module.write_json(folder / "run.json", {**options, "versions": machine})

        if minutes is None:
            end = epochs
        else:
            over = progress.minutes >= minutes and not progress.batch
            end = progress.epoch if over else _ENDLESS
            logging.info("Training ends after %g minutes, whatever the epoch", minutes)
        with distribution.watch():
            model.fit(
                distribution.feed(batches),
                validation_data=distribution.feed(validation),
                initial_epoch=progress.epoch,
                epochs=end,
                verbose=verbose,
                shuffle=False,  # Triplets does, by `seed`; Keras would by Python's global generator
                callbacks=[
                    schedule,
                    callbacks_module.StopOnDivergence(),
                    *([averages] if averages else []),
                    callbacks_module.ImageGrid(
                        _examples(validation, GRID_IMAGES), folder / "grids", averages=averages
                    ),
                    *_tensorboard(folder / "logs"),
                    saver,
                    *callbacks,
                ],
            )
            logging.info("Trained for %.1f minutes", progress.minutes)
            callbacks_module.check_finite(model, "at the end")
            with checkpoint_module.replacing(folder / "model.keras") as path:
                model.save(path)
            checkpoint_module.last_path(folder).unlink(missing_ok=True)
    return Run(workdir, preset, options["data"], seed, model, pairs)


def load_run(workdir: str | os.PathLike[str], checkpoint: str = "final") -> Run:
    """Opens the folder of a run.

    Args:
        workdir: the folder.
        checkpoint: which model: "final", of a finished run, or "best", which an interrupted one
            has as well.

    Raises:
        FileNotFoundError: there is none, or its training has not ended.
        ValueError: `checkpoint` is none of the two.
    """
    workdir = pathlib.Path(workdir)
    if checkpoint not in CHECKPOINTS:
        raise ValueError(f"`checkpoint` must be one of {CHECKPOINTS}. Received: {checkpoint!r}")
    path = (
        workdir / "model.keras" if checkpoint == "final" else checkpoint_module.best_path(workdir)
    )
    for needed in (workdir / "run.json", path):
        if not needed.exists():
            raise FileNotFoundError(
                f"{workdir} holds no finished run: {needed.relative_to(workdir)} is missing. "
                f"`pixdt train --workdir {workdir}` makes one."
            )
    options = json.loads((workdir / "run.json").read_text())
    fields = {k: _tuples(v) for k, v in options["preset"].items()}
    preset = dataclasses.replace(presets.get(fields["name"]), **fields)
    model = keras.models.load_model(path)
    return Run(workdir, preset, options["data"], options["seed"], model)


def _machine(distribution: Distribution, preset: presets.Preset) -> dict[str, Any]:
    versions = {name: importlib.metadata.version(name) for name in ("keras-pixdt", "keras")}
    return {
        "python": platform.python_version(),
        "backend": keras.backend.backend(),
        "strategy": distribution.strategy,
        "replicas": distribution.replicas,
        "workers": distribution.workers,
        "precision": preset.dtype,
        **versions,
    }


def _absolute(data_options: dict[str, Any]) -> dict[str, Any]:
    """Paths as they are from any folder, since a run is opened from others as well."""
    data = str(data_options["data"])
    if data != "rendered" and not data.startswith("tfds:"):
        data = os.path.abspath(data)
    options = {**data_options, "data": data}
    if options.get("data_dir") is not None:
        options["data_dir"] = os.path.abspath(options["data_dir"])
    return options


def _check_free(workdir: pathlib.Path, options: dict[str, Any]) -> None:
    """Refuses a folder that belongs to another run."""
    path = workdir / "run.json"
    if (workdir / "model.keras").exists():
        raise ValueError(
            f"{workdir} holds a finished run. Choose another --workdir, or remove this one."
        )
    if path.exists():
        now = _fields(json.loads(json.dumps(options)))  # tuples as JSON has them
        there = _fields(json.loads(path.read_text()))
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


def _fields(options: Mapping[str, Any]) -> dict[str, Any]:
    """All that decides on the result of a run, in one level."""
    fields = {**options["preset"], **options["data"]}
    fields["preset"] = fields.pop("name")
    fields["data_seed"] = options["data"].get("seed")
    return fields | {key: options.get(key) for key in ("seed", "epochs", "minutes")}


def _in_order(pairs: PairSet, preset: presets.Preset) -> Triplets:
    return data_module.triplets(
        pairs,
        preset.batch_size,
        shuffle=False,
        irrelevant=False,
        drop_remainder=False,
        reverse=preset.reverse,
    )


def _examples(batches: Triplets, count: int) -> dict[str, np.ndarray]:
    """Pairs spread evenly over a split, so that they are of many products."""
    pairs = batches.pairs
    rows = np.linspace(0, len(pairs) - 1, min(count, len(pairs))).astype(int)
    persons = data_module.to_float(pairs.sources[rows])
    products = data_module.to_float(pairs.targets[pairs.target_index[rows]])
    source, target = (products, persons) if batches.reverse else (persons, products)
    return {"source": source, "target": target}


def _tensorboard(directory: pathlib.Path) -> list[keras.callbacks.Callback]:
    if importlib.util.find_spec("tensorflow") is None:
        logging.info("No TensorBoard logs: they are written by TensorFlow, which is not installed")
        return []
    return [callbacks_module.EpochsForTensorBoard(directory)]


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value

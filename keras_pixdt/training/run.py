"""A run: a preset trained on a data set, in a folder that holds all that belongs to it.

| in the folder | |
| --- | --- |
| `run.json` | preset, data, seed, versions: what `load_run` needs to build it again |
| `model.keras` | the trained model with its optimizers |
| `history.json` | losses and validation scores of each epoch |
| `grids/epoch_NNN.png` | source, converted, target of the same validation images after each epoch |
| `logs/` | TensorBoard |
| `embedder.keras` | the embedder that `evaluate` compares images with |
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import importlib.util
import json
import os
import pathlib
import platform
import time
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
from keras_pixdt.training import evaluation

GRID_IMAGES = 32
EMBEDDERS = ("trained", "densenet121")
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
        _save(embedder, path)
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
    callbacks: Sequence[keras.callbacks.Callback] = (),
    verbose: str | int = "auto",
) -> Run:
    """Trains a preset on a data set and keeps everything in a folder.

    Args:
        preset: a preset or its name.
        data: "rendered", a folder or archive with LookBook's file names, or "tfds:NAME".
        workdir: the run's folder. An interrupted run with the same options is continued from its
            last epoch.
        data_options: further options of `keras_pixdt.data.load_pairs`.
        minutes: time limit, over which the preset's learning rate phases are stretched.
        epochs: number of epochs in the place of the preset's.
        seed: of weights, batches and selection.
        callbacks: further Keras callbacks.
        verbose: as in `keras.Model.fit`.

    Returns:
        The run.

    Raises:
        ValueError: both `minutes` and `epochs`, or `workdir` holds another or a finished run.
        PlayerDivergedError: a loss is not finite.
    """
    if minutes is not None and epochs is not None:
        raise ValueError(
            f"Give `minutes` or `epochs`, not both. Received: {minutes} minutes, {epochs} epochs"
        )
    if epochs is not None and epochs < 1:
        raise ValueError(f"`epochs` must be at least 1. Received: {epochs}")
    preset = presets.get(preset) if isinstance(preset, str) else preset
    limit: keras.callbacks.Callback
    if minutes is not None:
        limit = callbacks_module.TimeBudget(preset, minutes)
        epochs = 1_000_000
        logging.info("Training ends after %g minutes, whatever the epoch", minutes)
    else:
        epochs = preset.epochs if epochs is None else epochs
        limit = callbacks_module.PhasedLearningRate(preset, epochs)
    workdir = pathlib.Path(workdir)
    options: dict[str, Any] = {
        "preset": preset.options(),
        "data": _absolute({"data": data, **(data_options or {})}),
        "seed": seed,
    }
    _check_free(workdir, options)
    pairs = data_module.load_pairs(image_size=preset.image_size, **options["data"])
    workdir.mkdir(parents=True, exist_ok=True)
    versions = {name: importlib.metadata.version(name) for name in ("keras-pixdt", "keras")}
    machine = {"python": platform.python_version(), "backend": keras.backend.backend(), **versions}
    _write_json(workdir / "run.json", {**options, "versions": machine})

    keras.utils.set_random_seed(seed)
    model = preset.model(seed)
    model.compile(
        preset.optimizer(),
        metrics=[metrics.RootMeanSquaredError(), metrics.SSIM(), metrics.ColorSSIM()],
    )
    batches = data_module.triplets(
        pairs["train"], preset.batch_size, seed, reverse=preset.reverse, mirror=preset.mirror
    )
    validation = _in_order(pairs.get("validation", pairs["test"]), preset)

    start = time.monotonic()
    model.fit(
        batches,
        validation_data=validation,
        epochs=epochs,
        verbose=verbose,
        shuffle=False,  # Triplets does, by `seed`; Keras would by Python's global generator
        callbacks=[
            limit,
            _EpochOfData(batches),
            callbacks_module.StopOnDivergence(),
            callbacks_module.ImageGrid(_examples(validation), workdir / "grids"),
            _History(workdir / "history.json"),
            keras.callbacks.BackupAndRestore(str(workdir / "backup")),
            *_tensorboard(workdir / "logs"),
            *callbacks,
        ],
    )
    logging.info("Trained for %.1f minutes", (time.monotonic() - start) / 60)
    _save(model, workdir / "model.keras")
    return Run(workdir, preset, options["data"], seed, model, pairs)


def load_run(workdir: str | os.PathLike[str]) -> Run:
    """Opens the folder of a finished run.

    Raises:
        FileNotFoundError: there is none, or its training has not ended.
    """
    workdir = pathlib.Path(workdir)
    for name in ("run.json", "model.keras"):
        if not (workdir / name).exists():
            raise FileNotFoundError(
                f"{workdir} holds no finished run: {name} is missing. "
                f"`pixdt train --workdir {workdir}` makes one."
            )
    options = json.loads((workdir / "run.json").read_text())
    fields = {k: _tuples(v) for k, v in options["preset"].items()}
    preset = dataclasses.replace(presets.get(fields["name"]), **fields)
    model = keras.models.load_model(workdir / "model.keras")
    return Run(workdir, preset, options["data"], options["seed"], model)


class _EpochOfData(keras.callbacks.Callback):
    """Draws the batches of the epoch that is trained, also where an interrupted run continues."""

    def __init__(self, batches: Triplets) -> None:
        super().__init__()
        self._batches = batches

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        self._batches.epoch = epoch


class _History(keras.callbacks.Callback):
    """Keeps the logs of each epoch in a file, which a continued run goes on with."""

    def __init__(self, path: pathlib.Path) -> None:
        super().__init__()
        self._path = path

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        history = json.loads(self._path.read_text()) if epoch and self._path.exists() else {}
        for name, value in (logs or {}).items():
            # An epoch that was interrupted after this line is trained, and written, again.
            history[name] = [*history.get(name, [])[:epoch], float(value)]
        _write_json(self._path, history)


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
        options = json.loads(json.dumps(options))  # tuples as JSON has them
        before = json.loads(path.read_text())
        different = [k for k in options if before.get(k) != options[k]]
        if different:
            raise ValueError(
                f"{workdir} holds an interrupted run with another {' and '.join(different)}. "
                "Choose another --workdir, remove this one, or repeat its options: "
                + ", ".join(f"{k} {before.get(k)}" for k in different)
            )


def _in_order(pairs: PairSet, preset: presets.Preset) -> Triplets:
    return data_module.triplets(
        pairs,
        preset.batch_size,
        shuffle=False,
        irrelevant=False,
        drop_remainder=False,
        reverse=preset.reverse,
    )


def _examples(batches: Triplets) -> dict[str, np.ndarray]:
    """Pairs spread evenly over a split, so that the grid shows many products."""
    pairs = batches.pairs
    rows = np.linspace(0, len(pairs) - 1, min(GRID_IMAGES, len(pairs))).astype(int)
    persons = data_module.to_float(pairs.sources[rows])
    products = data_module.to_float(pairs.targets[pairs.target_index[rows]])
    source, target = (products, persons) if batches.reverse else (persons, products)
    return {"source": source, "target": target}


def _tensorboard(directory: pathlib.Path) -> list[keras.callbacks.Callback]:
    if importlib.util.find_spec("tensorflow") is None:
        logging.info("No TensorBoard logs: they are written by TensorFlow, which is not installed")
        return []
    return [keras.callbacks.TensorBoard(str(directory))]


def _save(model: keras.Model, path: pathlib.Path) -> None:
    """Saves so that a kill leaves the old file or the new one."""
    unfinished = path.with_name(f"unfinished_{path.name}")
    model.save(unfinished)
    os.replace(unfinished, path)


def _write_json(path: pathlib.Path, content: Any) -> None:
    """Writes so that a kill leaves the old file or the new one."""
    unfinished = path.with_name(f"unfinished_{path.name}")
    unfinished.write_text(json.dumps(content, indent=1) + "\n")
    os.replace(unfinished, path)


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value

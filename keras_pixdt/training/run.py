"""A run: a preset trained on a data set, in a folder that holds all that belongs to it.

| in the folder | |
| --- | --- |
| `run.json` | preset, data, seed, versions: what `load_run` needs to build it again |
| `model.keras` | the trained model with its optimizers; with averages of weights in their place |
| `checkpoints/best.keras` | the model after the epoch with the best validation score (below) |
| `checkpoints/last.keras` | what an interrupted run continues from |
| `history.json` | losses and validation scores of each epoch |
| `grids/epoch_NNN.png` | source, converted, target of the same images after each epoch (below) |
| `logs/` | TensorBoard |
| `embedder.keras` | the embedder that `evaluate` compares images with |
| `search_embedder.keras` | the embedder that `index`, `search` and `export` take |
| `upscaler_x2.keras` | what `convert --super-resolution 2` enlarges images with |
| `function.keras` | f of a Domain Transfer Network, if it was trained for the run |
| `source_classifier.keras` | the classifier that this f was taken from |
| `judge.keras` | the classifier that `evaluate` judges converted images by |

Which images a Domain Transfer Network's run takes for what (Taigman et al. 2017, Sec. 5.1). Nothing
else learns from what the judge learns from; the paper's judge knows the training images of MNIST,
and G the test images:

| | |
| --- | --- |
| f | the first domain's images of "train", with their labels |
| G | both domains' images of "train", without labels |
| the judge | the second domain's images of all splits but "train", with their labels |
| what is judged | the first domain's images of the split that is scored, converted |

With `reverse` the two domains change places but for f, which is still of the first. A
`target_classifier.keras` of an earlier version learned from the images that G had learned from; it
is not taken.

The best model is chosen on the validation split. There is none where the data have no such split
(Kwon et al.'s 90/10), and for presets that learn from two domains without pairs. With stages, only
the epochs of the last one are compared. Grids show images of the validation split, else of the
training split; without pairs, source, converted, and what is converted back.
"""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import importlib.metadata
import importlib.util
import json
import os
import pathlib
import platform
import tempfile
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from absl import logging

import keras_pixdt.registered  # noqa: F401
from keras_pixdt import atomic, metrics, presets, search
from keras_pixdt import data as data_module
from keras_pixdt.data.batches import Batches, Triplets
from keras_pixdt.data.pairs import DomainSet, PairSet
from keras_pixdt.engine.model import AdversarialModel, reverse_network
from keras_pixdt.judges import classifier, upscaler
from keras_pixdt.presets.domain_transfer import DomainTransferPreset
from keras_pixdt.training import callbacks as callbacks_module
from keras_pixdt.training import checkpoint as checkpoint_module
from keras_pixdt.training import devices, evaluation
from keras_pixdt.training.devices import Distribution
from keras_pixdt.training.schedule import Progress, Schedule, check_length

GRID_IMAGES = 32
_STATISTICS_IMAGES = 256
_CONVERTED_FOR_SEARCH = 2000  # training photos
_CONVERT_BATCH = 128
# 16, 32, 64 and 64 filters. With it, the `dynamic` file of a half-width PixelDTGAN has less than
# 10 MB, and that of a quarter-width one less than 3.
_SEARCH_WIDTH = 2 / 3
FUNCTION = "function.keras"
SOURCE_CLASSIFIER = "source_classifier.keras"
JUDGE = "judge.keras"
CHECKPOINTS = ("final", "best")
EMBEDDERS = ("trained", "search", "densenet121")
_ENDLESS = 1_000_000  # epochs
CLASSIFIER_SEED = 0
_JUDGE_STEPS = 200  # however few images the other splits have
EMBEDDER_SEED = 0  # the same for all runs, so that their scores compare


@dataclasses.dataclass
class Run:
    """A trained model with the data that it was trained on.

    Attributes:
        workdir: the run's folder.
        preset: how it was trained.
        data: options of `keras_pixdt.data.load_pairs` that give its pairs; or, with `target_data`
            or `edges`, of `keras_pixdt.data.load_domains` that give its two domains.
        seed: of weights, batches and random draws.
        model: the trained model.
    """

    workdir: pathlib.Path
    preset: presets.Preset
    data: dict[str, Any]
    seed: int
    model: AdversarialModel
    _splits: dict[str, PairSet] | dict[str, DomainSet] | None = None

    def splits(self) -> dict[str, PairSet] | dict[str, DomainSet]:
        """What the run's data are, by split; read once."""
        if self._splits is None:
            self._splits = _load(self.preset, self.data)
        return self._splits

    def pairs(self) -> dict[str, PairSet]:
        """The run's pairs by split.

        Raises:
            ValueError: its data have none.
        """
        pairs = {k: v for k, v in self.splits().items() if isinstance(v, PairSet)}
        if not pairs:
            raise ValueError(
                f"The run {self.workdir} has no pairs: its data are two domains. Use domains()."
            )
        return pairs

    def domains(self) -> dict[str, DomainSet]:
        """The run's images by split, first those that are converted."""
        return _domains(self.splits(), self.preset)

    def convert(self, source: np.ndarray, reverse: bool = False) -> np.ndarray:
        """Converts images.

        Args:
            source: (n, size, size, 3), float32 in [-1, 1], of the first domain.
            reverse: whether to go the way back: from images of the second domain to the first.
                (The preset's field `reverse` says which domain is the first.)

        Returns:
            Images of the other domain, of the same shape and range.

        Raises:
            ValueError: `reverse`, and the model has no way back.
        """
        if reverse:
            back = reverse_network(self.model)(source, training=False)
            return keras.ops.convert_to_numpy(back)
        return np.asarray(self.model.predict_on_batch(source))

    def reconstruct(self, source: np.ndarray) -> np.ndarray:
        """Converts images and converts them back, where the model has a way back."""
        return keras.ops.convert_to_numpy(self.model.reconstruct(source))

    def embedder(self, kind: str = "trained") -> keras.Model:
        """The embedder that images are compared with.

        Args:
            kind: "trained", on the run's training targets (products), once; "search", see
                `search_embedder`, which knows how this run draws and so flatters it beside others;
                or "densenet121", where its weights are present.
        """
        if kind not in EMBEDDERS:
            raise ValueError(f"`kind` must be one of {EMBEDDERS}. Received: {kind!r}")
        if kind == "densenet121":
            return search.densenet121_embedder()
        if kind == "search":
            return self.search_embedder()
        path = self.workdir / "embedder.keras"
        if path.exists():
            return keras.models.load_model(path)
        logging.info("Training the embedder on the training targets")
        embedder = search.train_embedder(
            self.domains()["train"].targets, seed=EMBEDDER_SEED, resize=self.preset.resize
        )
        with atomic.replacing(path) as unfinished:
            embedder.save(unfinished)
        return embedder

    def search_embedder(self) -> keras.Model:
        """The embedder that products are searched with.

        It is trained once, on the training products and on what the run's model draws of some of
        the training photos. Where nothing draws products of photos that are known to show them, in
        a run without pairs and in one in reverse, it is `embedder()`: trained on the training
        images of the second domain only.
        """
        path = self.workdir / "search_embedder.keras"
        if path.exists():  # the data may be gone
            return keras.models.load_model(path)
        unpaired = self.data.get("target_data") or self.data.get("edges")  # without reading them
        if self.preset.reverse or unpaired:
            return self.embedder()
        if not isinstance(next(iter(self.splits().values())), PairSet):
            return self.embedder()
        pairs = self.pairs()["train"]
        rows = np.linspace(0, len(pairs) - 1, min(_CONVERTED_FOR_SEARCH, len(pairs))).astype(int)
        logging.info("Training the search embedder on products and %d drawn images", len(rows))
        generated = [
            data_module.to_uint8(self.convert(data_module.to_float(pairs.sources[batch])))
            for batch in np.split(rows, range(_CONVERT_BATCH, len(rows), _CONVERT_BATCH))
        ]
        embedder = search.train_embedder(
            pairs.targets,
            generated=np.concatenate(generated),
            generated_index=pairs.target_index[rows],
            seed=EMBEDDER_SEED,
            width=_SEARCH_WIDTH,
            resize=self.preset.resize,
        )
        with atomic.replacing(path) as unfinished:
            embedder.save(unfinished)
        return embedder

    def upscaler(self, factor: int = 2) -> keras.Model:
        """The network that enlarges what the model draws, trained once on the training targets.

        It takes images of the model's `drawn_size`, as `drawing` gives them: what has been enlarged
        before has no more detail, and would be sharpened as if it had.

        Args:
            factor: how many times larger images become.
        """
        path, size = self.workdir / f"upscaler_x{factor}.keras", self.model.drawn_size
        if path.exists():
            network = keras.models.load_model(path)
            if network.image_size == size:
                return network
            logging.warning(
                "%s was trained for images of %d px, and the model draws %d: another is trained",
                path, network.image_size, size,
            )  # fmt: skip
        logging.info("Training super-resolution on the training targets: about a minute")
        targets = self.domains()["train"].targets
        network = upscaler.train_upscaler(targets, factor, size, seed=self.seed)
        with atomic.replacing(path) as unfinished:
            network.save(unfinished)
        return network

    def evaluate(
        self,
        split: str = "test",
        gallery: str = "split",
        embedder: str = "trained",
        *,
        convert: Callable[[np.ndarray], np.ndarray] | None = None,
        reverse: Callable[[np.ndarray], np.ndarray] | None = None,
    ) -> dict[str, Any]:
        """The scores of the run; `keras_pixdt.training.evaluation` defines them.

        Args:
            split: which split to score.
            gallery: where products are searched, "split" or "all"; of pairs only.
            embedder: see `embedder`.
            convert: what is scored instead of the run's `convert`, such as a file that was
                exported from it.
            reverse: the same for the way back. With `convert` alone, what is converted there and
                back is not scored.

        Raises:
            ValueError: an argument is not one of the choices.
        """
        converts = convert or self.convert
        domains = self.domains()
        if isinstance(next(iter(self.splits().values())), PairSet):
            scores = evaluation.evaluate(
                converts,
                self.pairs(),
                split=split,
                gallery=gallery,
                embedder=None if self.preset.reverse else self.embedder(embedder),
                reverse=self.preset.reverse,
            )
        elif gallery != "split":
            raise ValueError(
                "`gallery` is where the products of pairs are searched; this run has no pairs. "
                f"Leave it out. Received: {gallery!r}"
            )
        else:
            scores = evaluation.evaluate_domains(
                converts, domains, split=split, embedder=self.embedder(embedder)
            )
        parts = [scores]
        classifiers = self._classifiers(domains)
        if classifiers:
            parts.append(evaluation.evaluate_labels(converts, domains, *classifiers, split=split))
        if convert is None and reverse is None and callbacks_module.has_reconstruction(self.model):
            reverse = functools.partial(self.convert, reverse=True)
        if reverse is not None:
            back = reverse
            parts.append(
                evaluation.evaluate_reconstruction(
                    lambda source: back(converts(source)), domains[split].sources
                )
            )
        errors = [part.pop("standard_errors") for part in parts]
        return {
            **{name: value for part in parts for name, value in part.items()},
            "standard_errors": {name: e for part in errors for name, e in part.items()},
            "embedder": embedder,
        }

    def _classifiers(
        self, domains: Mapping[str, DomainSet]
    ) -> tuple[keras.Model, keras.Model | None] | None:
        """What judges converted images by their labels, and what f was taken from, if it is there.

        Only for a run with f, whose two domains have the same classes.
        """
        preset, train = self.preset, domains["train"]
        target, source = train.target_labels, train.source_labels
        if not isinstance(preset, DomainTransferPreset) or target is None or source is None:
            return None
        if target.names != source.names:
            return None
        path = self.workdir / JUDGE
        if not path.exists():
            unseen = [
                (part.targets, part.target_labels.index)
                for split, part in domains.items()
                if split != "train" and part.target_labels is not None
            ]
            if not unseen:
                logging.warning(
                    "Converted images are not judged: only the split 'train' has labels"
                )
                return None
            logging.info("Training the judge on targets that the model has not seen")
            images, labels = zip(*unseen, strict=True)
            trained = classifier.train_classifier(
                np.concatenate(images),
                np.concatenate(labels),
                len(target.names),
                least_steps=_JUDGE_STEPS,
                width=preset.function_width,  # of f's architecture (Sec. 5.1)
                seed=CLASSIFIER_SEED,
            )
            with atomic.replacing(path) as unfinished:
                trained.save(unfinished)
        own = self.workdir / SOURCE_CLASSIFIER
        has_own = own.exists() and not preset.reverse
        return keras.models.load_model(path), keras.models.load_model(own) if has_own else None

    def history(self) -> dict[str, list[float]]:
        """Losses and validation scores of each epoch."""
        return json.loads((self.workdir / "history.json").read_text())


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
    distribution: Distribution | None = None,
    best: str | None = None,
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
        data: "rendered", a folder or archive with LookBook's file names, or "tfds:NAME". Presets
            without pairs take these as two domains, persons and products; or, with `target_data`
            or `edges` among the `data_options`, the first domain of
            `keras_pixdt.data.load_domains`, or its photos.
        workdir: the run's folder. All workers of a distributed run must see it; the first writes.
        data_options: further options of `keras_pixdt.data.load_pairs`; or `target_data`, the
            second domain, or `edges`, with further options of `keras_pixdt.data.load_domains`.
        splits: what these two name, if it has been read already.
        minutes: time limit, over which the preset's phases are stretched.
        epochs: number of epochs instead of the preset's; its phases are stretched.
        seed: of weights, batches and random draws.
        distribution: the devices, from `training.distribution.start`; by default one.
        best: the score that decides on `checkpoints/best.keras`: val_rmse (the default), val_ssim
            or val_c_ssim. Data without a validation split and presets without pairs have none.
        save_every: batches between two checkpoints within an epoch, besides those at its end.
        callbacks: further Keras callbacks.
        verbose: as in `keras.Model.fit`.

    Returns:
        The run.

    Raises:
        ValueError: an argument out of its range, both `minutes` and `epochs`, batches that the
            replicas cannot share, data that the preset does not learn from, or a `workdir` that
            holds a finished run, one with other options, or a damaged checkpoint.
        PlayerDivergedError: a loss is not finite.
    """
    preset = presets.get(preset) if isinstance(preset, str) else preset
    if epochs is None and minutes is None:
        epochs = preset.epochs
    check_length(epochs, minutes)
    if best is not None and not preset.paired:
        raise ValueError(
            f"`best` is a score of pairs, and preset {preset.name!r} learns without: leave it out. "
            f"Received: {best!r}"
        )
    checkpoint_module.check_options(best, save_every)
    if distribution is None:
        distribution = devices.start()
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
    loaded: dict[str, Any] = dict(splits or _load(preset, options["data"]))
    parts: dict[str, Any] = loaded if preset.paired else _domains(loaded, preset)
    held_out = parts.get("validation")  # never the test split, which would choose what it scores
    if preset.paired and held_out is not None:
        best = best or "val_rmse"
    elif best is not None:
        raise ValueError(
            "`best` is chosen on the validation split, and these data have none, only "
            f"{', '.join(parts)}. Leave it out, or take splits='yoo2016' (--splits yoo2016). "
            f"Received: {best!r}"
        )

    ready = preset
    if isinstance(preset, DomainTransferPreset):
        ready = _with_function(preset, parts["train"], workdir, seed, distribution)
    keras.utils.set_random_seed(seed)
    batches = _batches(parts["train"], preset, seed)
    validation = scores = None
    if preset.paired:
        if held_out is not None:
            validation = distribution.feed(_in_order(held_out, preset))
        scores = [metrics.RootMeanSquaredError(), metrics.SSIM(), metrics.ColorSSIM()]
    with distribution.scope():
        model = ready.model(seed)
        model.compile(preset.optimizers(model.players), metrics=scores)
    schedule = Schedule(preset, batches, epochs=epochs, minutes=minutes, progress=progress)

    with contextlib.ExitStack() as stack:
        folder = workdir
        if not distribution.is_chief:  # reads from all workers' variables need all to save
            folder = pathlib.Path(stack.enter_context(tempfile.TemporaryDirectory()))
        averages = averaged_weights(parts["train"], preset)
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
            atomic.remove_unfinished(directory)
        machine = _machine(distribution, preset)
        atomic.write_json(folder / "run.json", {**options, "versions": machine})

        if minutes is None:
            end = epochs
        else:
            over = progress.minutes >= minutes and not progress.batch
            end = progress.epoch if over else _ENDLESS
            logging.info("Training ends after %g minutes, whatever the epoch", minutes)
        with distribution.watch():
            model.fit(
                distribution.feed(batches),
                validation_data=validation,
                initial_epoch=progress.epoch,
                epochs=end,
                verbose=verbose,
                shuffle=False,  # Batches does, by `seed`; Keras would by Python's global generator
                callbacks=[
                    schedule,
                    callbacks_module.StopOnDivergence(),
                    *([averages] if averages else []),
                    callbacks_module.ImageGrid(
                        _examples(held_out or parts["train"], preset, GRID_IMAGES),
                        folder / "grids",
                        averages=averages,
                    ),
                    *_tensorboard(folder / "logs"),
                    saver,
                    *callbacks,
                ],
            )
            logging.info("Trained for %.1f minutes", progress.minutes)
            callbacks_module.check_finite(model, "at the end")
            with atomic.replacing(folder / "model.keras") as path:
                model.save(path)
            checkpoint_module.last_path(folder).unlink(missing_ok=True)
        atomic.write_json(
            folder / "run.json",
            {**options, "versions": machine, "trained_minutes": progress.minutes},
        )
    return Run(workdir, preset, options["data"], seed, model, loaded)


def load_run(workdir: str | os.PathLike[str], checkpoint: str = "final") -> Run:
    """Opens the folder of a run.

    Args:
        workdir: the folder.
        checkpoint: which model: "final", of a finished run, or "best", which an interrupted one
            has as well.

    Raises:
        FileNotFoundError: there is none, or its training has not ended.
        ValueError: `checkpoint` is none of the two, or the run is of a version with other options.
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
                f"`pixdt train --workdir {workdir}` makes one. (A best model needs pairs with a "
                "validation split and, with stages, an epoch of the last one.)"
            )
    options = json.loads((workdir / "run.json").read_text())
    preset = presets.get(options["preset"]["name"])
    fields = {k: _tuples(v) for k, v in _completed(options["preset"]).items()}
    unknown = sorted(set(fields) - {field.name for field in dataclasses.fields(preset)})
    if unknown:
        raise ValueError(
            f"{workdir / 'run.json'} is of keras-pixdt {options['versions']['keras-pixdt']}. This "
            f"one, {importlib.metadata.version('keras-pixdt')}, does not know its options: "
            f"{', '.join(unknown)}. Open it with the version that trained it."
        )
    preset = dataclasses.replace(preset, **fields)
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


def _with_function(
    preset: DomainTransferPreset,
    domains: DomainSet,
    workdir: pathlib.Path,
    seed: int,
    distribution: Distribution,
) -> DomainTransferPreset:
    """The preset with an f, which is trained in the run's folder where none is given."""
    path = workdir / FUNCTION
    if preset.function is not None:
        return preset
    if not path.exists():
        if distribution.workers > 1:
            raise ValueError(
                f"Preset {preset.name!r}: several workers need `function` (--function), the file "
                f"of an f. A run of one worker trains one, and keeps it as {FUNCTION}."
            )
        domains = domains.exchanged() if preset.reverse else domains
        labels = domains.source_labels
        if labels is None:
            raise ValueError(
                f"Preset {preset.name!r} needs an f. The images of the first domain have no labels "
                "to train one on: give them (a subfolder for each class, `category` in "
                "products.json, y_train in a .npz file), or the file of a Keras model as "
                "`function` (--function)."
            )
        logging.info("Training f on the labels of the first domain's training images")
        trained = classifier.train_classifier(
            domains.sources,
            labels.index,
            len(labels.names),
            width=preset.function_width,
            plain=preset.function_plain,
            seed=seed,
        )
        workdir.mkdir(parents=True, exist_ok=True)
        # f last: a run that was interrupted before it has none.
        for name, model in ((SOURCE_CLASSIFIER, trained), (FUNCTION, trained.get_layer("f"))):
            with atomic.replacing(workdir / name) as unfinished:
                model.save(unfinished)
    return dataclasses.replace(preset, function=str(path))


def _absolute(data_options: dict[str, Any]) -> dict[str, Any]:
    """Paths as they are from any folder, since a run is opened from others as well."""
    options = dict(data_options)
    paths = {"data", "target_data", "data_dir", "crop", "target_crop"}
    for name in paths & {k for k, v in options.items() if v}:
        path = str(options[name])
        known = name != "data_dir" and (path == "rendered" or path.startswith("tfds:"))
        options[name] = path if known else os.path.abspath(path)
    return options


def _load(
    preset: presets.Preset, options: Mapping[str, Any]
) -> dict[str, PairSet] | dict[str, DomainSet]:
    """The pairs or the two domains that the options name."""
    options = {name: value for name, value in options.items() if value is not None}
    two = {name: options[name] for name in ("target_data", "edges") if options.get(name)}
    crops = {name: options[name] for name in ("crop", "target_crop") if name in options}
    if crops and not two:
        raise ValueError(
            "`crop` and `target_crop` are of two domains: name the second one by `target_data`, or "
            f"leave them out. Received: {crops}"
        )
    if not two:
        try:
            return data_module.load_pairs(
                image_size=preset.image_size, resize=preset.resize, **options
            )
        except ValueError as error:
            if preset.paired:
                raise
            raise ValueError(
                f"{error} Preset {preset.name!r} needs no pairs: name a second domain by "
                "`target_data`, or give `edges` for the edges of photos."
            ) from error
    if preset.paired:
        unpaired = [name for name in presets.names() if not presets.get(name).paired]
        raise ValueError(
            f"Preset {preset.name!r} learns from pairs, and `target_data` and `edges` give two "
            f"domains without. Leave them out, or choose {', '.join(unpaired)}. Received: {two}"
        )
    for name in ("splits", "num_products"):
        if name in options:
            raise ValueError(
                f"`{name}` is of sets with pairs; two domains are split 90/5/5. Leave it out. "
                f"Received: {options[name]!r}"
            )
    renamed = {"data": "source", "target_data": "target"}
    arguments = {renamed.get(name, name): value for name, value in options.items()}
    return data_module.load_domains(image_size=preset.image_size, resize=preset.resize, **arguments)


def _domains(splits: Mapping[str, Any], preset: presets.Preset) -> dict[str, DomainSet]:
    """The images of each split, first those that the preset converts.

    Those of pairs are labelled by the categories of the products.
    """
    pairs = [part for part in splits.values() if isinstance(part, PairSet)]
    names = sorted({a["category"] for part in pairs for a in part.attributes if "category" in a})
    domains = {
        split: part.domains(names) if isinstance(part, PairSet) else part
        for split, part in splits.items()
    }
    return {k: v.exchanged() for k, v in domains.items()} if preset.reverse else domains


def _batches(part: PairSet | DomainSet, preset: presets.Preset, seed: int) -> Batches:
    """What the preset is trained on."""
    options = {"mirror": preset.mirror, "passes": preset.passes}
    if not preset.paired:
        return data_module.unpaired(part, preset.batch_sizes, seed, **options)
    options |= {"irrelevant": preset.irrelevant_pairs, "reverse": preset.reverse}
    return data_module.triplets(part, preset.batch_sizes, seed, **options)


def _check_free(workdir: pathlib.Path, options: dict[str, Any]) -> None:
    """Refuses a folder that belongs to another run."""
    path = workdir / "run.json"
    if (workdir / "model.keras").exists():
        raise ValueError(
            f"{workdir} holds a finished run. Choose another --workdir, or remove this one."
        )
    if path.exists():
        now = _fields(json.loads(json.dumps(options)))  # tuples as JSON has them
        kept = json.loads(path.read_text())
        there = _fields({**kept, "preset": _completed(kept["preset"])})
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


def _completed(kept: Mapping[str, Any]) -> dict[str, Any]:
    """A preset's fields as a run kept them, with those that its version did not have.

    Their defaults are what that version did; its row may have another value by now.
    """
    known = dataclasses.fields(presets.get(kept["name"]))
    defaults = {f.name: f.default for f in known if f.default is not dataclasses.MISSING}
    return {**defaults, **kept}


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


def averaged_weights(train: Any, preset: presets.Preset) -> callbacks_module.AveragedWeights | None:
    """The averages of a preset that has some.

    Args:
        train: training split, of pairs or of domains.
        preset: says whether, by `ema_momentum`.
    """
    if preset.ema_momentum is None:
        return None
    if preset.paired:
        source = _examples(train, preset, _STATISTICS_IMAGES)["source"]
        return callbacks_module.AveragedWeights(source)
    count = min(_STATISTICS_IMAGES, len(train))  # the smaller domain is repeated, as in training
    domains = (train.sources, train.targets)
    images = (data_module.to_float(domain[_spread(len(domain), count)]) for domain in domains)
    return callbacks_module.AveragedWeights(*images)


def _examples(part: Any, preset: presets.Preset, count: int) -> dict[str, np.ndarray]:
    """Sources spread evenly over a split, so that they are of many products; of pairs, targets."""
    rows = _spread(len(part.sources), min(count, len(part.sources)))
    if not preset.paired:
        return {"source": data_module.to_float(part.sources[rows])}
    persons = data_module.to_float(part.sources[rows])
    products = data_module.to_float(part.targets[part.target_index[rows]])
    source, target = (products, persons) if preset.reverse else (persons, products)
    return {"source": source, "target": target}


def _spread(length: int, count: int) -> np.ndarray:
    """So many of the rows from 0 to `length`, evenly."""
    return np.linspace(0, length - 1, count).astype(int)


def _tensorboard(directory: pathlib.Path) -> list[keras.callbacks.Callback]:
    if importlib.util.find_spec("tensorflow") is None:
        logging.info("No TensorBoard logs: they are written by TensorFlow, which is not installed")
        return []
    return [callbacks_module.EpochsForTensorBoard(directory)]


def _tuples(value: Any) -> Any:
    return tuple(_tuples(v) for v in value) if isinstance(value, list) else value

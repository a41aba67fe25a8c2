"""A run: a preset trained on a data set, in a folder that holds everything about it.

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

A Domain Transfer Network's run uses its images as follows (Taigman et al. 2017, Sec. 5.1). Nothing
else learns from the judge's images. (In the paper, the judge learns from the training images of
MNIST, and G from the test images.)

| | |
| --- | --- |
| f | the first domain's images of "train", with their labels |
| G | both domains' images of "train", without labels |
| the judge | the second domain's images of all splits but "train", with their labels |
| what is judged | the first domain's images of the split that is scored, converted |

With `reverse` the two domains change places, except that f still belongs to the first. A
`target_classifier.keras` from an earlier version learned from the same images as G, so it is
ignored.

The best model is chosen on the validation split. There is no best model if the data have no such
split (Kwon et al.'s 90/10), or if the preset learns from two domains without pairs. With stages,
only epochs of the last stage are compared. Grids show images of the validation split or, without
one, of the training split. Without pairs they show the source, the converted image, and the image
converted back.
"""

from __future__ import annotations

import dataclasses
import functools
import importlib.metadata
import json
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from absl import logging

from keras_pixdt import atomic, presets, search
from keras_pixdt.choices import CHECKPOINTS, EMBEDDERS
from keras_pixdt.data.images import resize, to_float, to_uint8
from keras_pixdt.data.pairs import DomainSet, PairSet
from keras_pixdt.engine.model import AdversarialModel, reverse_network
from keras_pixdt.judges import classifier, upscaler
from keras_pixdt.training import evaluation, inputs, start
from keras_pixdt.training.callbacks import has_reconstruction
from keras_pixdt.training.checkpoint import best_path
from keras_pixdt.training.devices import Distribution
from keras_pixdt.training.trainer import SOURCE_CLASSIFIER, Trainer, completed

_CONVERTED_FOR_SEARCH = 2000  # training photos
_CONVERT_BATCH = 128
# 16, 32, 64 and 64 filters. With these, the `dynamic` file of a half-width PixelDTGAN has less than
# 10 MB, and a quarter-width one less than 3 MB.
_SEARCH_WIDTH = 2 / 3
JUDGE = "judge.keras"
CLASSIFIER_SEED = 0
_JUDGE_STEPS = 200  # however few images the other splits have
EMBEDDER_SEED = 0  # the same for all runs, so that their scores can be compared


@dataclasses.dataclass
class Run:
    """A trained model, and the data that it was trained on.

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
        """The run's data by split; read once."""
        if self._splits is None:
            self._splits = inputs.load(self.preset, self.data)
        return self._splits

    def pairs(self) -> dict[str, PairSet]:
        """The run's pairs by split.

        Raises:
            ValueError: its data have no pairs.
        """
        pairs = {k: v for k, v in self.splits().items() if isinstance(v, PairSet)}
        if not pairs:
            raise ValueError(
                f"The run {self.workdir} has no pairs: its data are two domains. Use domains()."
            )
        return pairs

    def domains(self) -> dict[str, DomainSet]:
        """The run's images by split; the domain that is converted comes first."""
        return inputs.domains(self.splits(), self.preset)

    def _has_pairs(self) -> bool:
        if self.data.get("target_data") or self.data.get("edges"):  # without reading them
            return False
        return isinstance(next(iter(self.splits().values())), PairSet)

    def convert(self, source: np.ndarray, reverse: bool = False) -> np.ndarray:
        """Converts images.

        Args:
            source: (n, size, size, 3), float32 in [-1, 1], of the first domain.
            reverse: whether to convert back, from images of the second domain to the first. (The
                preset's field `reverse` says which domain is the first.)

        Returns:
            Images of the other domain, in the same range; of the size that the model draws.

        Raises:
            ValueError: `reverse` is set, but the model cannot convert back.
        """
        if reverse:
            return keras.ops.convert_to_numpy(reverse_network(self.model)(source, training=False))
        return np.asarray(self.model.predict_on_batch(source))

    def convert_photo(self, photo: np.ndarray, size: int | None = None) -> np.ndarray:
        """Converts one photo, uint8 RGB (height, width, 3), to uint8 (size, size, 3).

        By default `size` is the side that the model draws. Another one needs a model that moves the
        photo's own pixels (`AppearanceFlow`), of which it takes four times `size`, 2,048 at most.

        Raises:
            ValueError: the model draws at one size only.
        """
        if size is None or (size == self.model.drawn_size and not self.model.scalable):
            square = resize(photo, self.model.converter.input_shape[1], self.preset.resize)
            return to_uint8(self.convert(to_float(square[None])))[0]
        if not self.model.scalable:
            raise ValueError(
                f"`size` needs a model that moves the photo's own pixels, such as flow-64; "
                f"{self.preset.name} draws {self.model.drawn_size} px. Received: {size}"
            )
        square = to_float(resize(photo, self.model.photo_side(size), self.preset.resize)[None])
        return to_uint8(keras.ops.convert_to_numpy(self.model.draw_at(square, size)))[0]

    def reconstruct(self, source: np.ndarray) -> np.ndarray:
        """Converts images and converts them back, if the model can."""
        return keras.ops.convert_to_numpy(self.model.reconstruct(source))

    def embedder(self, kind: str = "trained") -> keras.Model:
        """The embedder for comparing images.

        Args:
            kind: "trained", which is trained once on the run's training targets (products);
                "search", see `search_embedder`, which has learned how this run draws and so favours
                it over others; or "densenet121", if its weights are present.
        """
        if kind not in EMBEDDERS:
            raise ValueError(f"`kind` must be one of {EMBEDDERS}. Received: {kind!r}")
        if kind != "trained":
            return (
                search.densenet121_embedder() if kind == "densenet121" else self.search_embedder()
            )

        def trained() -> keras.Model:
            logging.info("Training the embedder on the training targets")
            targets = self.domains()["train"].targets
            return search.train_embedder(targets, seed=EMBEDDER_SEED, resize=self.preset.resize)

        return atomic.load_or_train(self.workdir / "embedder.keras", trained)

    def search_embedder(self) -> keras.Model:
        """The embedder for searching products.

        It is trained once, on the training products and on the model's drawings of some of the
        training photos. A run without pairs or in reverse has no drawings of known products, so
        there it is `embedder()`, trained only on the training images of the second domain.
        """
        path = self.workdir / "search_embedder.keras"  # if it exists, the data may be gone
        if not path.exists() and (self.preset.reverse or not self._has_pairs()):
            return self.embedder()
        return atomic.load_or_train(path, self._train_search_embedder)

    def _train_search_embedder(self) -> keras.Model:
        pairs = self.pairs()["train"]
        rows = np.linspace(0, len(pairs) - 1, min(_CONVERTED_FOR_SEARCH, len(pairs))).astype(int)
        logging.info("Training the search embedder on products and %d drawn images", len(rows))
        generated = [
            to_uint8(self.convert(to_float(pairs.sources[batch])))
            for batch in np.split(rows, range(_CONVERT_BATCH, len(rows), _CONVERT_BATCH))
        ]
        return search.train_embedder(
            pairs.targets,
            generated=np.concatenate(generated),
            generated_index=pairs.target_index[rows],
            seed=EMBEDDER_SEED,
            width=_SEARCH_WIDTH,
            resize=self.preset.resize,
        )

    def upscaler(self, factor: int = 2) -> keras.Model:
        """The network that enlarges the model's images, trained once on the training targets.

        It takes images of the model's `drawn_size`, as `drawing` gives them. Images that were
        already enlarged have no more detail, but would be sharpened as if they had.

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
        atomic.save_model(path, network)
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
        """The scores of the run; see `keras_pixdt.training.evaluation` for their definitions.

        Args:
            split: which one.
            gallery: where products are searched, "split" or "all"; only for pairs.
            embedder: see `embedder`.
            convert: function to score instead of the run's `convert`, such as an exported file.
            reverse: the same for converting back, which is not scored with `convert` alone.

        Raises:
            ValueError: an argument is not an allowed choice.
        """
        converts = convert or self.convert
        domains = self.domains()
        if self._has_pairs():
            scores = evaluation.evaluate(
                converts,
                self.pairs(),
                split=split,
                gallery=gallery,
                embedder=None if self.preset.reverse else self.embedder(embedder),
                find_masks=self.model.find_masks if convert is None else None,
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
        if convert is None and reverse is None and has_reconstruction(self.model):
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
        """The judge of converted images by their labels, and f's classifier, if there is one.

        Only for a run with f whose two domains have the same classes.
        """
        training = self.preset.function_training()
        target, source = domains["train"].target_labels, domains["train"].source_labels
        if training is None or target is None or source is None or target.names != source.names:
            return None
        unseen = [
            (part.targets, part.target_labels.index)
            for split, part in domains.items()
            if split != "train" and part.target_labels is not None
        ]
        path, own = self.workdir / JUDGE, self.workdir / SOURCE_CLASSIFIER
        if not unseen and not path.exists():
            logging.warning("Converted images are not judged: only the split 'train' has labels")
            return None

        def trained() -> keras.Model:
            logging.info("Training the judge on targets that the model has not seen")
            images, labels = map(np.concatenate, zip(*unseen, strict=True))
            return classifier.train_classifier(
                images,
                labels,
                len(target.names),
                least_steps=_JUDGE_STEPS,
                width=training["width"],  # of f's architecture (Sec. 5.1)
                seed=CLASSIFIER_SEED,
            )

        judge = atomic.load_or_train(path, trained)
        has_own = own.exists() and not self.preset.reverse
        return judge, keras.models.load_model(own) if has_own else None

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

    If the folder holds an interrupted run, the run continues. With the same options it ends as if
    it had not been interrupted, bit for bit on a CPU, unless its length is given in `minutes`.
    Devices, `best` and `save_every` may change in between.

    Args:
        preset: a preset or its name.
        data: "rendered", a folder or archive with LookBook's file names, or "tfds:NAME". Presets
            without pairs take these as two domains, persons and products; or, with `target_data`
            or `edges` among the `data_options`, the first domain of
            `keras_pixdt.data.load_domains`, or its photos.
        workdir: the run's folder. All workers of a distributed run must see it; the first one
            writes.
        data_options: further options of `keras_pixdt.data.load_pairs`; or `target_data`, the
            second domain, or `edges`, with further options of `keras_pixdt.data.load_domains`.
        splits: the data of these two, if already read.
        minutes: time limit; the preset's phases are stretched over it.
        epochs: number of epochs instead of the preset's; its phases are stretched.
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
        ValueError: an argument out of its range, both `minutes` and `epochs`, batches that the
            replicas cannot share, data that the preset does not learn from, or a `workdir` that
            holds a finished run, one with other options, or a damaged checkpoint.
        PlayerDivergedError: a loss is not finite.
    """
    preset = presets.get(preset) if isinstance(preset, str) else preset
    trainer = Trainer(
        preset=dataclasses.replace(preset, start=start.absolute(preset.start)),
        workdir=pathlib.Path(workdir),
        data=inputs.absolute({"data": data, **(data_options or {})}),
        seed=seed,
        epochs=epochs,
        minutes=minutes,
        started=distribution,
        best=best,
        save_every=save_every,
    )
    loaded: dict[str, Any] = dict(splits or inputs.load(trainer.preset, trainer.data))
    model = trainer.fit(loaded, callbacks, verbose)
    return Run(trainer.workdir, trainer.preset, trainer.data, seed, model, loaded)


def load_run(workdir: str | os.PathLike[str], checkpoint: str = "final") -> Run:
    """Opens the folder of a run.

    Args:
        workdir: the folder.
        checkpoint: which model: "final", from a finished run, or "best", which an interrupted run
            has too.

    Raises:
        FileNotFoundError: there is no run, or its training has not ended.
        ValueError: `checkpoint` is neither of the two, or the run is from a version with other
            options.
    """
    workdir = pathlib.Path(workdir)
    if checkpoint not in CHECKPOINTS:
        raise ValueError(f"`checkpoint` must be one of {CHECKPOINTS}. Received: {checkpoint!r}")
    path = workdir / "model.keras" if checkpoint == "final" else best_path(workdir)
    for needed in (workdir / "run.json", path):
        if not needed.exists():
            raise FileNotFoundError(
                f"{workdir} holds no finished run: {needed.relative_to(workdir)} is missing. "
                f"`pixdt train --workdir {workdir}` makes one. (A best model needs pairs with a "
                "validation split and, with stages, an epoch of the last one.)"
            )
    options = json.loads((workdir / "run.json").read_text())
    preset = presets.get(options["preset"]["name"])
    fields = completed(options["preset"])
    unknown = sorted(set(fields) - {field.name for field in dataclasses.fields(preset)})
    if unknown:
        raise ValueError(
            f"{workdir / 'run.json'} is of keras-pixdt {options['versions']['keras-pixdt']}. This "
            f"one, {importlib.metadata.version('keras-pixdt')}, does not know its options: "
            f"{', '.join(unknown)}. Open it with the version that trained it."
        )
    model = keras.models.load_model(path)
    preset = dataclasses.replace(preset, **fields)
    return Run(workdir, preset, options["data"], options["seed"], model)

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
| `judge.keras` | the classifier that `evaluate` judges converted images by (see `judging`) |

The best model is chosen on the validation split. There is no best model if the data have no such
split (Kwon et al.'s 90/10), or if the preset learns from two domains without pairs. With stages,
only epochs of the last stage are compared. Grids show images of the validation split or, without
one, of the training split. Without pairs they show source, converted, and converted back.
"""

from __future__ import annotations

import dataclasses
import functools
import json
import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
from absl import logging

from keras_pixdt import atomic, presets, progress, search
from keras_pixdt.choices import CHECKPOINTS, EMBEDDERS, Size, shown_size
from keras_pixdt.data.images import resize, to_float, to_uint8
from keras_pixdt.data.pairs import DomainSet, PairSet
from keras_pixdt.engine.model import AdversarialModel, reverse_network
from keras_pixdt.judges import upscaler
from keras_pixdt.metrics import perceptual
from keras_pixdt.training import evaluation, inputs, judging, record
from keras_pixdt.training.callbacks import has_reconstruction
from keras_pixdt.training.checkpoint import best_path

_CONVERTED_FOR_SEARCH = 2000  # training photos
_CONVERT_BATCH = 128
# 16, 32, 64 and 64 filters. With these, the `dynamic` file of a half-width PixelDTGAN has less than
# 10 MB, and a quarter-width one less than 3 MB.
_SEARCH_WIDTH = 2 / 3
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
        keeps: whether networks that it trains once, such as embedders, are saved in the folder.
    """

    workdir: pathlib.Path
    preset: presets.Preset
    data: dict[str, Any]
    seed: int
    model: AdversarialModel
    keeps: bool = dataclasses.field(default=True, kw_only=True)
    _splits: dict[str, PairSet] | dict[str, DomainSet] | None = None
    _kept: dict[str, Any] | None = None  # the content of run.json

    def splits(self) -> dict[str, PairSet] | dict[str, DomainSet]:
        """The run's data by split; read once, and compared with those that it was trained on.

        Raises:
            FileNotFoundError: they are no longer there.
            ValueError: they are now in another place, see `load_run`, and are others. If they are
                others in the same place, a warning says so.
        """
        if self._splits is None:
            try:
                splits = inputs.load(self.preset, self.data)
            except FileNotFoundError as error:
                raise FileNotFoundError(
                    f"The data of the run {self.workdir} are missing: {error} If they have moved, "
                    "say where they are now: `pixdt evaluate --embedder search`, after which "
                    "`index` and `search` need no data, and `pixdt export` take --data, "
                    "`load_run` takes data=."
                ) from error
            if self._kept is not None:
                moved = self._kept["data"] != self.data
                found = record.describe(splits)
                record.check_data(self._kept, found, self.workdir, moved=moved, strict=moved)
            self._splits = splits
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
        if self._splits is None:  # without reading them
            return not self.data.get("target_data") and not self.data.get("edges")
        return isinstance(next(iter(self._splits.values())), PairSet)

    def convert(self, source: np.ndarray, reverse: bool = False) -> np.ndarray:
        """Converts images.

        Args:
            source: (n, height, width, 3), float32 in [-1, 1], of the first domain.
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

    def convert_photo(self, photo: np.ndarray, size: Size | None = None) -> np.ndarray:
        """Converts one photo, uint8 RGB of any size, to uint8 (height, width, 3).

        By default this is the size that the model draws. Another `size`, the side of a square or
        the longer side of a rectangle, needs a model that moves the photo's own pixels
        (`AppearanceFlow`), of which it takes four times `size`, 2,048 at most.

        Raises:
            ValueError: the model draws at one size only.
        """
        if size is None or (size == self.model.drawn_size and not self.model.scalable):
            fitted = resize(photo, self.model.converter.input_shape[1:3], self.preset.resize)
            return to_uint8(self.convert(to_float(fitted[None])))[0]
        if not self.model.scalable:
            raise ValueError(
                f"`size` needs a model that moves the photo's own pixels, such as flow-64; "
                f"{self.preset.name} draws {shown_size(self.model.drawn_size)} px. Received: {size}"
            )
        side = self.model.photo_side(size, photo.shape[:2])
        fitted = to_float(resize(photo, side, self.preset.resize)[None])
        return to_uint8(keras.ops.convert_to_numpy(self.model.draw_at(fitted, size)))[0]

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

        return self.load_or_train("embedder.keras", trained)

    def load_or_train(self, name: str, train: Callable[[], keras.Model], **options: Any) -> Any:
        """`atomic.load_or_train` in the run's folder; says what is missing without the data."""
        try:
            return atomic.load_or_train(self.workdir / name, train, keep=self.keeps, **options)
        except FileNotFoundError as error:
            raise FileNotFoundError(
                f"{self.workdir} has no usable {name}, which is trained once on the run's data. "
                f"{error}"
            ) from error

    def search_embedder(self) -> keras.Model:
        """The embedder for searching products.

        It is trained once, on the training products and on the model's drawings of some of the
        training photos. A run without pairs or in reverse has no drawings of known products, so
        there it is `embedder()`, trained only on the training images of the second domain.
        """
        if self.preset.reverse or not self._has_pairs():
            return self.embedder()
        return self.load_or_train("search_embedder.keras", self._train_search_embedder)

    def _train_search_embedder(self) -> keras.Model:
        pairs = self.pairs()["train"]
        rows = np.linspace(0, len(pairs) - 1, min(_CONVERTED_FOR_SEARCH, len(pairs))).astype(int)
        logging.info("Training the search embedder on products and %d drawn images", len(rows))
        batches = np.split(rows, range(_CONVERT_BATCH, len(rows), _CONVERT_BATCH))
        generated = [
            to_uint8(self.convert(to_float(pairs.sources[batch])))
            for batch in progress.bar("Drawing photos", batches)
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

        It takes squares of the model's `drawn_size`, as `drawing` gives them. Images that were
        already enlarged have no more detail, but would be sharpened as if they had.

        Args:
            factor: how many times larger images become.
        """
        path, size = self.workdir / f"upscaler_x{factor}.keras", self.model.drawn_size

        def trained() -> keras.Model:
            if path.exists():
                logging.warning(
                    "%s was trained for images of %d px, and the model draws %d: a new one is made",
                    path, atomic.load_model(path).image_size, size,
                )  # fmt: skip
            logging.info("Training super-resolution on the training targets: about a minute")
            targets = self.domains()["train"].targets
            return upscaler.train_upscaler(targets, factor, size, seed=self.seed)

        return self.load_or_train(path.name, trained, usable=lambda x: x.image_size == size)

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
                perceptual=perceptual.load_present(),
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
        classifiers = judging.classifiers(self, domains)
        if classifiers:
            parts.append(judging.evaluate_labels(converts, domains, *classifiers, split=split))
        if convert is None and reverse is None and has_reconstruction(self.model):
            reverse = functools.partial(self.convert, reverse=True)
        if reverse is not None:
            back = reverse
            sources = domains[split].sources
            parts.append(evaluation.evaluate_reconstruction(lambda x: back(converts(x)), sources))
        errors = [part.pop("standard_errors") for part in parts]
        return {
            **{name: value for part in parts for name, value in part.items()},
            "standard_errors": {name: e for part in errors for name, e in part.items()},
            "embedder": embedder,
        }

    def history(self) -> dict[str, list[float]]:
        """Losses and validation scores of each epoch."""
        path = self.workdir / "history.json"
        try:
            return json.loads(path.read_text("utf-8"))
        except (ValueError, RecursionError) as error:
            raise ValueError(f"{path} is damaged ({error}). Put a copy of it back.") from error


def load_run(
    workdir: str | os.PathLike[str],
    checkpoint: str = "final",
    *,
    data: str | None = None,
    data_options: Mapping[str, Any] | None = None,
) -> Run:
    """Opens the folder of a run. Its data are read when they are needed, not before.

    Args:
        workdir: the folder.
        checkpoint: which model: "final", from a finished run, or "best", which an interrupted run
            has too.
        data: where its data are now, if they have moved. They must be the same: see `Run.splits`.
        data_options: the same for `target_data`, `data_dir`, `crop` and `target_crop`.

    Raises:
        FileNotFoundError: there is no run, or its training has not ended.
        ValueError: `checkpoint` is neither of the two, `data_options` has other names, or the run
            is from a version with other options.
    """
    workdir = pathlib.Path(workdir)
    if checkpoint not in CHECKPOINTS:
        raise ValueError(f"`checkpoint` must be one of {CHECKPOINTS}. Received: {checkpoint!r}")
    moved = dict(data_options or {}) | ({} if data is None else {"data": data})
    if unknown := sorted(moved.keys() - set(inputs.PATHS)):
        raise ValueError(
            f"`data_options` say where the data of a run are now: {', '.join(inputs.PATHS)}. "
            f"Everything else is as it was trained. Received: {', '.join(unknown)}"
        )
    path = workdir / "model.keras" if checkpoint == "final" else best_path(workdir)
    for needed in (workdir / "run.json", path):
        if not needed.exists():
            raise FileNotFoundError(
                f"{workdir} holds no finished run: {needed.relative_to(workdir)} is missing. "
                f"`pixdt train --workdir {workdir}` makes one. (A best model needs pairs with a "
                "validation split and, with stages, an epoch of the last one.)"
            )
    preset, kept = record.kept_preset(workdir)
    model = atomic.load_model(path)
    now = {**kept["data"], **inputs.absolute(moved)}
    return Run(workdir, preset, now, kept["seed"], model, _kept=kept)

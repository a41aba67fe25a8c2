"""Networks that learn from pairs, each trained and scored once, and the networks that score them.

A network is a run in a folder. The folder's name has a digest of everything that determines the
weights: preset, length, seed, the images themselves, and versions.
"""

from __future__ import annotations

import dataclasses
import json
import os
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
from absl import logging

from keras_pixdt import data, presets, search
from keras_pixdt.atomic import write_json
from keras_pixdt.data.pairs import PairSet
from keras_pixdt.judges import attributes
from keras_pixdt.reproduce import environment
from keras_pixdt.reproduce.experiment import Experiment
from keras_pixdt.training import checkpoint, evaluation, trainer
from keras_pixdt.training.record import fingerprint
from keras_pixdt.training.run import Run, load_run

Convert = Callable[[np.ndarray], np.ndarray]

# Roughly the most epochs of a run. Each costs a validation, a picture and a checkpoint.
_EPOCHS = 24
_SEED = 0  # of what scores: the same for all rows


@dataclasses.dataclass(frozen=True)
class Length:
    """The length of a run.

    Attributes:
        epochs: of the run.
        passes: through the pairs in each epoch.
        samples: pairs that are seen.
        minutes: the length in time, instead of epochs and samples.
    """

    epochs: int
    passes: int
    samples: int
    minutes: float | None = None


def length(samples: int, pairs: int, at_least: int = 1) -> Length:
    """Epochs and passes for about a number of samples.

    Args:
        samples: pairs to be seen.
        pairs: in the training split.
        at_least: epochs, so that each stage has one.
    """
    total = max(1, round(samples / pairs))
    passes = max(1, round(total / max(_EPOCHS, at_least)))
    epochs = max(at_least, round(total / passes))
    return Length(epochs, passes, epochs * passes * pairs)


class PairedExperiment(Experiment):
    """Runs of one data set, and what they are scored with, in a folder.

    Args:
        out: the folder.
        data_options: of `keras_pixdt.data.load_pairs`, `data` among them.
        verbose: as in `keras.Model.fit`.
        embedder: what images are compared with: "trained" on the training products, or
            "densenet121", of ImageNet.

    Raises:
        FileNotFoundError: "densenet121", whose weights are not present.
    """

    def __init__(
        self,
        out: str | os.PathLike[str],
        data_options: Mapping[str, Any],
        verbose: str | int = "auto",
        embedder: str = "trained",
    ) -> None:
        super().__init__(out, verbose)
        # At once: rows that take hours must not be trained before its weights are missed.
        self._imagenet = search.densenet121_embedder() if embedder == "densenet121" else None
        self.embedder_name = embedder
        self.data_options = dict(data_options)
        self._pairs: dict[Any, dict[str, PairSet]] = {}
        self._digests: dict[Any, str] = {}

    def pairs(self, preset: presets.Preset) -> dict[str, PairSet]:
        """The pairs by split, in the sizes of a preset and resized as it says; read once."""
        form = _form(preset)
        if form not in self._pairs:
            self._pairs[form] = data.load_pairs(
                image_size=preset.image_size,
                resize=preset.resize,
                **preset.data_options(),
                **self.data_options,
            )
        return self._pairs[form]

    def refusal(self, preset: presets.Preset) -> str:
        """Why the data are not of the form that a preset learns from; empty if they are."""
        try:
            self.pairs(preset)
        except ValueError as error:
            return str(error)
        return ""

    def data_digest(self, preset: presets.Preset) -> str:
        """A digest of all images of all splits, and of what belongs to what."""
        form = _form(preset)
        if form not in self._digests:
            self._digests[form] = environment.digest(
                **{
                    name: [
                        fingerprint(part.target_index, part.sources, part.targets),
                        [dict(attributes) for attributes in part.attributes],
                    ]
                    for name, part in self.pairs(preset).items()
                }
            )
        return self._digests[form]

    def length(self, preset: presets.Preset, samples: int | None, at_least: int = 1) -> Length:
        """The length of a run of a preset.

        Args:
            preset: the row.
            samples: pairs to be seen; None takes the preset's own epochs.
            at_least: epochs.
        """
        pairs = len(self.pairs(preset)["train"])
        if samples is None:
            seen = preset.epochs * preset.passes * pairs
            return Length(preset.epochs, preset.passes, seen)
        return length(samples, pairs, at_least)

    def run(self, preset: presets.Preset, size: Length, seed: int) -> Run:
        """The run of a row, trained if it is not there.

        Args:
            preset: the row.
            size: of `length`.
            seed: of weights and batches.

        Raises:
            NotKept: within `Cache.reading`, if it is not there.
        """
        preset = dataclasses.replace(preset, passes=size.passes)
        length: dict[str, Any] = (
            {"epochs": size.epochs} if size.minutes is None else {"minutes": size.minutes}
        )
        workdir = self.cache.path(
            f"{preset.name}-seed{seed}",
            preset=environment.of_preset(preset),
            **length,
            seed=seed,
            data=self.data_digest(preset),
        )
        if (workdir / "model.keras").exists():
            return load_run(workdir)
        self.cache.missing(workdir.name)
        logging.info("Training %s", workdir.name)
        return trainer.train(
            preset,
            self.data_options["data"],
            workdir,
            data_options={name: v for name, v in self.data_options.items() if name != "data"},
            splits=self.pairs(preset),
            **length,
            seed=seed,
            verbose=self.verbose,
        )

    def trained_for(self, run: Run) -> dict[str, Any]:
        """Passes through the pairs, pairs and updates of a run whose length was in minutes."""
        progress = checkpoint.read_progress(run.workdir / "model.keras")
        pairs = len(self.pairs(run.preset)["train"])
        return {
            "epochs": round(progress.samples / pairs, 1),
            "samples": progress.samples,
            "steps": progress.steps,
        }

    def embedder(self, preset: presets.Preset) -> keras.Model:
        """The embedder that rows on the data of a preset are compared with."""
        if self._imagenet is not None:
            return self._imagenet
        return self.scorer(
            "embedder", preset, lambda train: search.train_embedder(train.targets, seed=_SEED)
        )

    def attribute_classifier(self, preset: presets.Preset) -> keras.Model | None:
        """What judges category, pattern and colour; None where the data do not have these."""
        if not any(self.pairs(preset)["train"].attributes):
            return None
        return self.scorer(
            "attributes",
            preset,
            lambda train: attributes.train_attribute_classifier(
                train.targets, train.attributes, seed=_SEED
            ),
        )

    def scorer(
        self, name: str, preset: presets.Preset, train: Callable[[PairSet], keras.Model]
    ) -> keras.Model:
        """A network that scores, trained if it is not there.

        Args:
            name: begins the name of its file.
            preset: of the rows, whose data it is trained on.
            train: makes it of the training split.
        """
        return self.cache.model(
            name,
            lambda: (train(self.pairs(preset)["train"]), {}),
            data=environment.digest(
                **{
                    split: [fingerprint(part.targets), [dict(each) for each in part.attributes]]
                    for split, part in self.pairs(preset).items()
                }
            ),
            scores=environment.SCORES_VERSION,
        ).load()

    def scores(
        self,
        run: Run,
        gallery: str = "split",
        method: str = "convert",
        convert: Callable[[Run, Mapping[str, PairSet]], Convert] | None = None,
        more: Callable[[Run, Mapping[str, PairSet]], Mapping[str, float]] | None = None,
    ) -> dict[str, Any]:
        """The scores of a run on the test split, computed once.

        Args:
            run: of this folder.
            gallery: see `keras_pixdt.training.evaluation.evaluate`.
            method: name of what is scored, for the file.
            convert: makes what is scored of the run and the pairs; by default its `convert`.
            more: further scores of the run and the pairs.

        Raises:
            NotKept: within `Cache.reading`, if they have not been computed.
        """
        preset, reverse = run.preset, run.preset.reverse
        key = environment.digest(
            gallery=gallery, embedder=self.embedder_name, scores=environment.SCORES_VERSION
        )
        path = run.workdir / f"scores-{method}-{key}.json"
        if not path.exists():
            self.cache.missing(path.name)
            pairs = self.pairs(preset)
            scores = evaluation.evaluate(
                run.convert if convert is None else convert(run, pairs),
                pairs,
                gallery=gallery,
                embedder=None if reverse else self.embedder(preset),
                attribute_classifier=None if reverse else self.attribute_classifier(preset),
                find_masks=None if convert else run.model.find_masks,
                reverse=reverse,
            )
            if more is not None:
                scores |= more(run, pairs)
            write_json(path, scores)
        return json.loads(path.read_text("utf-8"))


def _form(preset: presets.Preset) -> tuple[Any, ...]:
    """What a preset says about the pairs that it learns from."""
    return preset.image_size, preset.resize, *sorted(preset.data_options().items())

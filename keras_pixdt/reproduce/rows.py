"""Trains what a table compares, each row once: an interrupted table goes on where it was.

A row's network is a run in a folder whose name has a digest of all that decides on its weights:
preset, length, seed, the images themselves, versions. Tables share the folder, so that a
row of one is there for another.
"""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
from collections.abc import Callable, Mapping
from typing import Any

import keras
from absl import logging

from keras_pixdt import data, presets, search
from keras_pixdt.atomic import write_json
from keras_pixdt.data.pairs import PairSet
from keras_pixdt.judges import attributes
from keras_pixdt.reproduce import common, environment
from keras_pixdt.training import evaluation
from keras_pixdt.training import run as run_module
from keras_pixdt.training.run import Run

# Validation, a picture and a checkpoint come with each epoch: so many at most, about.
_EPOCHS = 24
_SEED = 0  # of what scores: the same for all rows


@dataclasses.dataclass(frozen=True)
class Length:
    """How long a run is.

    Attributes:
        epochs: of the run.
        passes: through the pairs in each epoch.
        samples: pairs that are seen.
    """

    epochs: int
    passes: int
    samples: int


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


class Rows:
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
        # At once: rows that take hours must not be trained before its weights are missed.
        self._imagenet = search.densenet121_embedder() if embedder == "densenet121" else None
        self.embedder_name = embedder
        self.folder = pathlib.Path(out) / "rows"
        self.data_options = dict(data_options)
        self._verbose = verbose
        self._pairs: dict[tuple[int, str], dict[str, PairSet]] = {}
        self._digests: dict[tuple[int, str], str] = {}

    def pairs(self, preset: presets.Preset) -> dict[str, PairSet]:
        """The pairs by split, in the size of a preset and resized as it says; read once."""
        form = preset.image_size, preset.resize
        if form not in self._pairs:
            self._pairs[form] = data.load_pairs(
                image_size=preset.image_size, resize=preset.resize, **self.data_options
            )
        return self._pairs[form]

    def data_digest(self, preset: presets.Preset) -> str:
        """A digest of all images of all splits, and of what belongs to what."""
        form = preset.image_size, preset.resize
        if form not in self._digests:
            self._digests[form] = environment.digest(
                **{
                    name: [
                        common.fingerprint(part.target_index, part.sources, part.targets),
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
        """
        preset = dataclasses.replace(preset, passes=size.passes)
        splits = self.pairs(preset)
        workdir = self._workdir(preset, size, seed)
        if not (workdir / "model.keras").exists():
            logging.info("Training %s, seed %d, in %s", preset.name, seed, workdir)
            options = {name: v for name, v in self.data_options.items() if name != "data"}
            return run_module.train(
                preset,
                self.data_options["data"],
                workdir,
                data_options=options,
                splits=splits,
                epochs=size.epochs,
                seed=seed,
                verbose=self._verbose,
            )
        return run_module.load_run(workdir)

    def _workdir(self, preset: presets.Preset, size: Length, seed: int) -> pathlib.Path:
        key = environment.digest(
            preset=preset.options(),
            epochs=size.epochs,
            seed=seed,
            data=self.data_digest(preset),
            training=environment.TRAINING_VERSION,
            versions=environment.versions(),
        )
        return self.folder / f"{preset.name}-seed{seed}-{key}"

    def is_kept(
        self, preset: presets.Preset, size: Length, seed: int, gallery: str, method: str
    ) -> bool:
        """Whether `run` has been trained and `scores` computed, so that both only read files."""
        preset = dataclasses.replace(preset, passes=size.passes)
        workdir = self._workdir(preset, size, seed)
        return self._scores_path(workdir, gallery, method).exists()

    def embedder(self, preset: presets.Preset) -> keras.Model:
        """The embedder that rows on the data of a preset are compared with."""
        if self._imagenet is not None:
            return self._imagenet
        return self._kept(
            "embedder",
            preset,
            lambda train: search.train_embedder(train.targets, seed=_SEED),
        )

    def attribute_classifier(self, preset: presets.Preset) -> keras.Model | None:
        """What judges category, pattern and colour; None where the data do not have these."""
        if not any(self.pairs(preset)["train"].attributes):
            return None
        return self._kept(
            "attributes",
            preset,
            lambda train: attributes.train_attribute_classifier(
                train.targets, train.attributes, seed=_SEED
            ),
        )

    def _kept(
        self, name: str, preset: presets.Preset, train: Callable[[PairSet], keras.Model]
    ) -> keras.Model:
        kept = common.Cache(self.folder.parent).model(
            name,
            lambda: (train(self.pairs(preset)["train"]), {}),
            data=self.data_digest(preset),
            scores=environment.SCORES_VERSION,
        )
        return kept.load()

    def scores(
        self,
        run: Run,
        gallery: str = "split",
        method: str = "convert",
        convert: Callable[[Run, Mapping[str, PairSet]], Any] | None = None,
        more: Callable[[Run, Mapping[str, PairSet]], Mapping[str, float]] | None = None,
    ) -> dict[str, Any]:
        """The scores of a run on the test split, computed once.

        Args:
            run: of this folder.
            gallery: see `keras_pixdt.training.evaluation.evaluate`.
            method: name of what is scored, for the file.
            convert: makes what is scored of the run and the pairs; by default its `convert`.
            more: further scores of the run and the pairs.
        """
        preset, reverse = run.preset, run.preset.reverse
        path = self._scores_path(run.workdir, gallery, method)
        if not path.exists():
            pairs = self.pairs(preset)
            scores = evaluation.evaluate(
                run.convert if convert is None else convert(run, pairs),
                pairs,
                gallery=gallery,
                embedder=None if reverse else self.embedder(preset),
                attribute_classifier=None if reverse else self.attribute_classifier(preset),
                reverse=reverse,
            )
            if more is not None:
                scores |= more(run, pairs)
            write_json(path, scores)
        return json.loads(path.read_text("utf-8"))

    def _scores_path(self, workdir: pathlib.Path, gallery: str, method: str) -> pathlib.Path:
        key = environment.digest(
            gallery=gallery,
            embedder=self.embedder_name,
            scores=environment.SCORES_VERSION,
        )
        return workdir / f"scores-{method}-{key}.json"

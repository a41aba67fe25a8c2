"""Drawn persons for the face experiments of Taigman et al. 2017, Secs. 5.2 and 5.3, and their f.

Six sets of persons, of which no two share a person (see `keras_pixdt.drawn.portraits`):

| | |
| --- | --- |
| `f` | f learns to tell them apart by their photos |
| `embedder` | another network of this kind, which searches, learns to tell these apart |
| `s` | photos without names, which are converted in training |
| `t` | persons of the other domain |
| `test` | several photos x of each, and one more, x', to be found |
| `distractors` | one photo of each |

Differs from the paper:
- The paper's f, DeepFace, learned from four million photos of faces. Here f is a classifier with
  the architecture of Sec. 5.1 (`keras_pixdt.judges.classifier`), which learns from some thousand
  photos of drawn persons. It has fewer than the 256 numbers of DeepFace.
- The paper searches with the VGG face descriptor (Parkhi et al. 2015). Here another classifier does
  it, which is like f but learned from other persons, so that it shares nothing with f either.
"""

from __future__ import annotations

import dataclasses
import os
from typing import Any

import keras
import numpy as np

from keras_pixdt import data, presets
from keras_pixdt.choices import as_height_width
from keras_pixdt.drawn import portraits
from keras_pixdt.judges.classifier import train_classifier
from keras_pixdt.presets.domain_transfer import DomainTransferPreset
from keras_pixdt.reproduce import environment, settings
from keras_pixdt.reproduce.cache import Kept
from keras_pixdt.reproduce.experiment import Budget, Experiment, train_unpaired
from keras_pixdt.training.measures import in_batches
from keras_pixdt.training.record import fingerprint

NOTE = "Faces and avatars are drawn; they are not the paper's."
BATCH = 64  # of predictions

# Sets of persons: the seed of each, and the photos of each person.
SETS = {
    "f": (0, 6), "embedder": (1, 6), "s": (2, 3), "t": (3, 1), "test": (4, 5), "distractors": (5, 1)
}  # fmt: skip

# Chosen by the traits read off converted photos of s, after 12,000 samples: with the preset's
# weight of L_CONST, 15, avatars have colourful speckles; with 1, blond hair becomes gray.
_SMALL = {"image_size": 32, "alpha": 3.0}
# `drawn` has the number of persons of each of `SETS`. The paper has a million photos in s, photos
# of 118 persons that are converted, and 100,000 distractors.
BUDGETS = {
    "smoke": Budget(
        samples=2_000, drawn=(40, 40, 40, 120, 20, 40), function_epochs=20,
        fields={**_SMALL, "width": 0.25},
    ),
    "cpu": Budget(
        samples=36_000, drawn=(300, 200, 300, 900, 100, 300), function_epochs=40, fields=_SMALL,
    ),
    "gpu": Budget(
        samples=300_000, drawn=(1_000, 1_000, 2_000, 6_000, 118, 4_000), small=False, seeds=2,
        function_epochs=30,
    ),
    "paper": Budget(
        drawn=(4_000, 4_000, 20_000, 60_000, 118, 100_000), small=False, seeds=3,
        function_epochs=30,
    ),
}  # fmt: skip


def preset_of(given: Budget) -> DomainTransferPreset:
    """What the networks are trained with."""
    preset = presets.get("taigman2017-small" if given.small else "taigman2017-faces")
    assert isinstance(preset, DomainTransferPreset)
    return dataclasses.replace(preset, **given.fields)


class PortraitExperiment(Experiment):
    """The drawn persons, f, the embedder, and networks that are kept under their f and data.

    Args:
        out: the folder of the tables.
        given: numbers of persons, and how the networks are trained.
        verbose: as in `keras.Model.fit`.
        processes: how many draw; see `portraits.draw_photos`.

    Attributes:
        given: the same.
        preset: what networks are trained with, without f.
    """

    def __init__(
        self,
        out: str | os.PathLike[str],
        given: Budget,
        verbose: str | int = "auto",
        processes: int | None = None,
    ) -> None:
        super().__init__(out, verbose)
        self.given = given
        self.preset = preset_of(given)
        self._processes = processes
        self._photos: dict[str, np.ndarray] = {}

    def classifier(
        self, name: str, images: np.ndarray, labels: np.ndarray, classes: int, seed: int = 0
    ) -> Kept:
        """The f of a classifier of labelled images, uint8 (n, size, size, 3) and int (n,).

        Args:
            name: begins the name of its file.
            images: what it learns from.
            labels: their classes.
            classes: how many there are.
            seed: of weights and order.
        """
        options: dict[str, Any] = {
            "epochs": self.given.function_epochs, "width": self.preset.function_width,
            "plain": self.preset.function_plain, "seed": seed,
        }  # fmt: skip

        def train() -> tuple[keras.Model, dict[str, Any]]:
            whole = train_classifier(images, labels, classes, **options)
            return whole.get_layer("f"), {}

        return self.cache.model(name, train, data=fingerprint(images, labels), **options)

    def network(self, name: str, domains: data.DomainSet, function: Kept, seed: int) -> Kept:
        """A network from the first domain to the second; `found` has its settings too.

        Args:
            name: begins the name of its file.
            domains: S and T.
            function: f.
            seed: of weights and batches.
        """
        epochs = self.preset.epochs
        if self.given.samples is not None:
            epochs = max(1, round(self.given.samples / len(domains)))

        def train() -> tuple[keras.Model, dict[str, Any]]:
            preset = dataclasses.replace(self.preset, function=str(function.path))
            model = train_unpaired(preset, domains, epochs=epochs, seed=seed, verbose=self.verbose)
            return model, {}

        kept = self.cache.model(
            f"{name}-seed{seed}",
            train,
            preset=environment.of_preset(self.preset),
            function=function.path.name,
            data=fingerprint(domains.sources, domains.targets),
            epochs=epochs,
            seed=seed,
        )
        trained = settings.of_training(self.preset, epochs, epochs * len(domains))
        return kept._replace(found={**kept.found, **trained})

    def people(self, name: str) -> list[portraits.Person]:
        """The persons of a set, a key of `SETS`."""
        seed, _ = SETS[name]
        return portraits.sample_people(self.given.drawn[list(SETS).index(name)], seed)

    def photos(self, name: str) -> np.ndarray:
        """Photos of a set, a key of `SETS`: uint8 (persons, views, size, size, 3)."""
        if name not in self._photos:
            size, _ = as_height_width(self.preset.image_size)
            self._photos[name] = portraits.draw_photos(
                self.people(name), SETS[name][1], size, self._processes
            )
        return self._photos[name]

    def avatars(self, name: str) -> np.ndarray:
        """The avatars of a set, uint8 (persons, size, size, 3)."""
        size, _ = as_height_width(self.preset.image_size)
        return portraits.draw_avatars([one.traits for one in self.people(name)], size)

    def identities(self, name: str, seed: int = 0) -> Kept:
        """The features of a classifier of the persons of a set: f, or the embedder."""
        photos = self.photos(name)
        persons, views = photos.shape[:2]
        labels = np.repeat(np.arange(persons), views)
        return self.classifier(f"portraits-{name}", flat(photos), labels, persons, seed)


def flat(photos: np.ndarray) -> np.ndarray:
    """All photos of all persons, (persons * views, size, size, 3)."""
    return photos.reshape(-1, *photos.shape[2:])


def features(network: keras.Model, images: np.ndarray) -> np.ndarray:
    """What a network says of images, uint8 (n, size, size, 3): float32 (n, d)."""
    return in_batches(lambda x: np.asarray(network.predict_on_batch(x)), [images], BATCH)

"""Taigman et al. 2017, Sec. 5.2 on drawn persons: from photos of heads to flat avatars.

    pixdt reproduce taigman2017-avatars --budget cpu

No photo has its avatar in training. But the right one is known: avatars show seven traits of a
person, and nothing else (`keras_pixdt.drawn.portraits`). So there are two kinds of scores.

- *Traits*: the avatar nearest to G(x), pixel by pixel, is sought among the avatars of all
  combinations of traits. The score is the share of its traits that the person has. Traits of other
  persons give the row of chance.
- Table 4's: G(x) is the query by which another photo x' of the same person is sought among photos
  of distractors, with a network that shares nothing with f. The person's right avatar stands for
  the one that people made.

Eq. 8 chooses, of several photos of a person, the one that G changes least by f. Its row has one
image for each person; the row above has all.

Differs from the paper:
- Annotators made the avatars that the paper's Table 4 compares G(x) with. Here the right avatar is
  drawn from the same traits as the photo, and the traits read off G(x) are scored too.
- The paper enlarges G(x) by super-resolution, which scores do not need.
"""

from __future__ import annotations

import functools
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_pixdt import data, metrics
from keras_pixdt.drawn import portraits as drawn
from keras_pixdt.drawn.azimuth.head import Traits
from keras_pixdt.reproduce import experiment, pictures
from keras_pixdt.reproduce.experiment import chosen
from keras_pixdt.reproduce.face_retrieval import PAPER, retrieve, scores_of
from keras_pixdt.reproduce.face_retrieval import SCORES as RANKS
from keras_pixdt.reproduce.portraits import (
    BATCH,
    BUDGETS,
    NOTE,
    PortraitExperiment,
    features,
    flat,
)
from keras_pixdt.reproduce.result import Claim, Result, Row, Score
from keras_pixdt.training.measures import in_batches

NAME = "taigman2017-avatars"
TITLE = "Sec. 5.2 of Taigman et al. 2017, with Table 4 and Eq. 8"
TRAITS = Score("traits", "Traits, %", "higher", ".1f")
EACH_TRAIT = tuple(
    Score(name, f"{name.capitalize()}, %", "higher", ".1f") for name in Traits._fields
)
RMSE = Score("rmse", "RMSE to the right avatar", "lower", ".3f")
# Key -> title and the paper's figures.
ROWS = {
    "converted": ("G(x)", PAPER["converted"]),
    "best": ("G(x) of each person's best photo (Eq. 8)", {}),
    "nearest": ("(avatar of t whose f is nearest to f(x))", {}),
    "right": ("the right avatar, as people would make it", PAPER["drawn"]),
    "other": ("(the avatar of another person)", {}),
    "photo": ("(the photo x)", {}),
}
TRAINED = ("converted", "best")
CLAIMS = (
    *(Claim("converted", "right", score.key) for score in RANKS),
    Claim("converted", "other", "traits"),
    Claim("best", "converted", "traits"),  # Eq. 8 "seems to work well in practice"
)


def read_traits(images: np.ndarray) -> np.ndarray:
    """The traits of the avatar that is nearest to each image, by Euclidean distance.

    Args:
        images: uint8 (n, size, size, 3).

    Returns:
        int64 (n, 7), in the order of `Traits`.
    """
    every, avatars = _every_avatar(images.shape[1])
    return every[metrics.nearest_rows(_vectors(images), avatars)]


@functools.lru_cache(maxsize=1)
def _every_avatar(image_size: int) -> tuple[np.ndarray, np.ndarray]:
    """All combinations of traits, and the pixels of their avatars."""
    every = drawn.all_traits()
    return np.array(every), _vectors(drawn.draw_avatars(every, image_size))


def _vectors(images: np.ndarray) -> np.ndarray:
    return data.to_float(images).reshape(len(images), -1)


class _Test:
    """The test persons, what is sought, and how images are scored."""

    def __init__(self, experiment: PortraitExperiment) -> None:
        photos = experiment.photos("test")
        self.photos = photos[:, :-1]  # x
        self.traits = np.array([person.traits for person in experiment.people("test")])
        self.avatars = experiment.avatars("test")
        self._embedder = experiment.identities("embedder", seed=1).load()
        self._counterparts = features(self._embedder, photos[:, -1])  # x'
        self._distractors = features(self._embedder, flat(experiment.photos("distractors")))

    def ranks(self, images: np.ndarray, persons: np.ndarray) -> dict[str, Any]:
        """Table 4's scores of queries, uint8 (n, size, size, 3), with the person of each, (n,)."""
        found = retrieve(
            features(self._embedder, images), self._counterparts[persons], self._distractors
        )
        return scores_of(found.rank, persons)

    def scores(self, images: np.ndarray, persons: np.ndarray) -> dict[str, Any]:
        """All scores; arguments are those of `ranks`."""
        right = read_traits(images) == self.traits[persons]
        distance = metrics.rmse(data.to_float(images), data.to_float(self.avatars[persons]))
        values = {
            TRAITS.key: 100.0 * right.mean(axis=1),
            **{score.key: 100.0 * right[:, i] for i, score in enumerate(EACH_TRAIT)},
            RMSE.key: np.asarray(distance),
        }
        errors = {key: metrics.standard_error(value, persons) for key, value in values.items()}
        ranks = self.ranks(images, persons)
        known = {key: error for key, error in errors.items() if error is not None}
        return {
            **{key: float(value.mean()) for key, value in values.items()},
            **ranks,
            "standard_errors": {**ranks["standard_errors"], **known},
        }


def run(experiment: PortraitExperiment, *, seeds: int | None = None, budget: str = "") -> Result:
    """Trains the network, converts the test persons' photos, and writes the table.

    Args:
        experiment: the persons, and where networks are kept.
        seeds: of the network, how many, from 0, instead of the budget's.
        budget: its name, for the table.

    Raises:
        ValueError: less than one seed.
    """
    _, seeds = chosen((), None, experiment.given, seeds)
    test, function = _Test(experiment), experiment.identities("f")
    count, views = test.photos.shape[:2]
    every, person = np.repeat(np.arange(count), views), np.arange(count)
    photos = flat(test.photos)
    result = Result(
        NAME,
        TITLE,
        (TRAITS, *EACH_TRAIT, RMSE, *RANKS),
        [Row(key, title, paper, trained=key in TRAINED) for key, (title, paper) in ROWS.items()],
        CLAIMS,
        settings={
            "budget": budget, "data": "drawn", "seeds": seeds, "persons": count,
            "photos of each": views, "gallery": len(experiment.photos("distractors")) + 1,
            "photos of s": len(flat(experiment.photos("s"))),
            "avatars of t": len(experiment.people("t")),
        },
        notes=(NOTE, "Rows in brackets are yardsticks."),
    )  # fmt: skip
    f, of_t = function.load(), experiment.avatars("t")
    nearest = of_t[metrics.nearest_rows(features(f, photos), features(f, of_t))]
    result.add(
        {
            "nearest": test.scores(nearest, every),
            "right": test.scores(test.avatars, person),
            "other": test.scores(np.roll(test.avatars, 1, axis=0), person),
            "photo": test.ranks(photos, every),
        }
    )
    domains = data.DomainSet(flat(experiment.photos("s")), of_t)
    shown = pictures.spread(count)

    @functools.lru_cache(maxsize=1)
    def converted(seed: int) -> tuple[np.ndarray, np.ndarray, dict[str, Any]]:
        """G(x) of all photos, the row of each person's best photo, and the network's settings."""
        kept = experiment.network(NAME, domains, function, seed)
        model = kept.load()
        drawn_images = data.to_uint8(in_batches(model.predict_on_batch, [photos], BATCH))
        return drawn_images, best_rows(model, photos, views), kept.found

    def score(row: Row, seed: int) -> dict[str, Any]:
        images, best, found = converted(seed)
        if row.key == "best":
            return {**test.scores(images[best], person), **found}
        return {**test.scores(images, every), **found}

    def draw(seed: int) -> None:
        if seed:
            return
        images, best, _ = converted(seed)
        first = person * views
        lines = {
            "x": photos[first], "G(x)": images[first], "best x": photos[best],
            "G(best x)": images[best], "nearest f in t": nearest[first], "right": test.avatars,
        }  # fmt: skip
        pictures.add_lines(
            result,
            experiment.out,
            [(name, column[shown]) for name, column in lines.items()],
            "A photo of each person, what the network of seed 0 makes of it, the same for the "
            "photo that Eq. 8 chooses, the avatar of t nearest to the first by f, the right one",
        )

    experiment.fill(result, TRAINED, seeds, score, draw)
    return result


def best_rows(model: keras.Model, photos: np.ndarray, views: int) -> np.ndarray:
    """Of each person's photos, the row of the one that Eq. 8 chooses.

    Args:
        model: a Domain Transfer Network.
        photos: uint8 (persons * views, size, size, 3), person after person.
        views: photos of each person.

    Returns:
        int64 (persons,), rows of `photos`.
    """
    distance = in_batches(
        lambda x: keras.ops.convert_to_numpy(model.constancy(x)), [photos], BATCH
    ).reshape(-1, views)
    return distance.argmin(axis=1) + views * np.arange(len(distance))


def main(argv: Sequence[str]) -> None:
    """Runs the experiment with the arguments of the command."""
    options = experiment.parser(NAME, f"{TITLE}, on drawn persons.").parse_args(argv)
    portraits = PortraitExperiment(options.out, BUDGETS[options.budget], verbose=2)
    result = run(portraits, seeds=options.seeds, budget=options.budget)
    experiment.tell(result, options.out)

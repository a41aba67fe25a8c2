"""Table 4 of Taigman et al. 2017 on garments instead of faces.

A Domain Transfer Network from persons to products, whose f knows categories, converts a photo of
each test product; x' is another photo of the same product, and photos of the validation products
are the distractors. The search uses an embedder trained on the training products and photos, which
has seen neither f nor G.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any, NamedTuple

import numpy as np

from keras_pixdt import data, presets, search
from keras_pixdt.data.pairs import PairSet
from keras_pixdt.reproduce import face_retrieval, pictures, settings
from keras_pixdt.reproduce.experiment import Budget, chosen
from keras_pixdt.reproduce.face_retrieval import measures, retrieve, scores_of
from keras_pixdt.reproduce.paired_experiment import PairedExperiment
from keras_pixdt.reproduce.result import Result, Row
from keras_pixdt.training.measures import in_batches

_BATCH = 64

PRESET = "taigman2017-small"
BUDGETS = {
    "smoke": Budget(samples=2_000, drawn=(80,), fields={"image_size": 32, "function_width": 0.25}),
    "cpu": Budget(samples=16_000, drawn=(600,)),
    "gpu": Budget(samples=300_000, drawn=(1_600,), seeds=3),
    # The paper's own, of a million faces, is not available: the preset's epochs on as many
    # garments as LookBook has.
    "paper": Budget(drawn=(9_732,), seeds=3, fields={"width": 1.0, "function_width": 1.0}),
}
GARMENTS_NOTE = (
    "A stand-in for faces: garments on persons (x, x' and distractors), converted to products. "
    "People drew nothing here. The paper measured other images, with another gallery."
)


class Garments(NamedTuple):
    """The images of the stand-in, uint8.

    Attributes:
        photos: x, one of each test product of which there are two.
        counterparts: x', another of the same product.
        distractors: all photos of the validation products.
    """

    photos: np.ndarray
    counterparts: np.ndarray
    distractors: np.ndarray


def garments(pairs: Mapping[str, PairSet]) -> Garments:
    """The first two photos of each test product, and the photos of the validation products.

    Raises:
        ValueError: there is no validation split, or no test product has two photos.
    """
    if "validation" not in pairs:
        raise ValueError(
            "The distractors are photos of the validation split, which these data do not have. "
            f"Choose others. Received the splits: {', '.join(pairs)}"
        )
    test = pairs["test"]
    rows = [np.flatnonzero(test.target_index == product) for product in range(len(test.targets))]
    first_two = np.array([row[:2] for row in rows if len(row) >= 2], int).reshape(-1, 2)
    if not len(first_two):
        raise ValueError(
            "No product of the test split has two photos, x and x'. "
            f"Received: {len(test)} photos of {len(test.targets)} products"
        )
    x, other = first_two.T
    return Garments(test.sources[x], test.sources[other], np.asarray(pairs["validation"].sources))


def run(experiment: PairedExperiment, budget: str = "cpu", *, seeds: int | None = None) -> Result:
    """Trains the network of the garments, searches by it, and writes the table.

    Args:
        experiment: the data, and where networks are kept.
        budget: a key of `BUDGETS`.
        seeds: of the network, how many, instead of the budget's.

    Raises:
        ValueError: as `garments`, or less than one seed.
    """
    given = BUDGETS[budget]
    _, seeds = chosen((), None, given, seeds)
    preset = dataclasses.replace(presets.get(PRESET), **given.fields)
    images = garments(experiment.pairs(preset))
    length = experiment.length(preset, given.samples)
    embedder = experiment.scorer(
        "garments-embedder",
        preset,
        lambda train: search.train_embedder(
            train.targets, generated=train.sources, generated_index=train.target_index
        ),
    )
    counterparts, distractors = (
        in_batches(embedder.predict_on_batch, [pixels], _BATCH)
        for pixels in (images.counterparts, images.distractors)
    )

    def search_by(pixels: np.ndarray) -> face_retrieval.Retrieved:
        return retrieve(
            in_batches(embedder.predict_on_batch, [pixels], _BATCH), counterparts, distractors
        )

    result = face_retrieval.table(
        {
            "budget": budget, "data": str(experiment.data_options["data"]), "seeds": seeds,
            "samples": length.samples, "photos": len(images.photos),
            "gallery": len(distractors) + 1,
        },
        (GARMENTS_NOTE,),
    )  # fmt: skip
    result.add(
        {
            "photo": scores_of(search_by(images.photos).rank),
            "chance": measures(np.arange(1, len(distractors) + 2)),
        }
    )

    def score(row: Row, seed: int) -> dict[str, Any]:
        run = experiment.run(preset, length, seed)
        converted = data.to_uint8(in_batches(run.convert, [images.photos], _BATCH))
        found = search_by(converted)
        if seed == 0:
            nearest = images.distractors[found.nearest]
            nearest[found.rank == 1] = images.counterparts[found.rank == 1]
            shown = pictures.spread(len(converted))
            columns = {
                "x": images.photos, "G(x)": converted, "nearest": nearest,
                "x'": images.counterparts,
            }  # fmt: skip
            pictures.add_lines(
                result,
                experiment.out,
                [(name, column[shown]) for name, column in columns.items()],
                "Photos, what the network of seed 0 makes of them, the nearest photo of the "
                "gallery, and the one that should be found",
            )
        return {
            **scores_of(found.rank),
            "ranks": found.rank.tolist(),
            **settings.of_training(preset, length.epochs, length.samples, length.passes),
        }

    experiment.fill(result, ["converted"], seeds, score)
    return result

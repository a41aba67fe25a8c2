"""Table 2 of Taigman et al. 2017: unsupervised domain adaptation by the Domain Transfer Network.

    pixdt reproduce taigman2017-table2 --data tfds:svhn_cropped --target-data tfds:mnist

Images of S are transferred to T, where they keep their labels. Images of T, of which no label was
used, then get that of their nearest neighbour among them (Sec. 5.1). The neighbours are the
training images of S, or its test images, which the network has not seen either.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_pixdt import data
from keras_pixdt.metrics import nearest_rows
from keras_pixdt.reproduce import common, digits
from keras_pixdt.reproduce.result import Claim, Result, Row

NAME = "taigman2017-table2"
# Title and the paper's figure (SVHN to MNIST), of the methods that it compares with too.
ROWS = {
    "sa": ("SA (Fernando et al. 2013)", "59.32%"),
    "dann": ("DANN (Ganin et al. 2016)", "73.85%"),
    "train": ("DTN, transferring the train split", "84.44%"),
    "test": ("DTN, transferring the test split", "79.72%"),
    "train-unconverted": ("(train split as it is)", None),
    "test-unconverted": ("(test split as it is)", None),
    "f": ("(classifier that f is of)", "76.08%"),
}
OURS = ("train", "test")
CLAIMS = (
    Claim("train", "test", "accuracy"),
    *(Claim(split, "f", "accuracy") for split in OURS),
)


def nearest_neighbor(neighbors: digits.Images, queries: digits.Images) -> dict[str, Any]:
    """Accuracy of a 1-nearest-neighbour classifier in the space of gray pixels.

    Args:
        neighbors: labelled images.
        queries: images that are classified.

    Returns:
        As `digits.share_of`.
    """
    rows = nearest_rows(_vectors(queries.pixels), _vectors(neighbors.pixels))
    return digits.share_of(neighbors.labels[rows] == queries.labels)


def _vectors(pixels: np.ndarray) -> np.ndarray:
    return data.to_float(pixels).mean(axis=-1).reshape(len(pixels), -1)


def run(
    experiment: digits.Experiment,
    *,
    seeds: int | None = None,
    rows: Sequence[str] | None = None,
) -> Result:
    """Classifies the images of T, and writes the table.

    Args:
        experiment: data and budget.
        seeds: of the network, how many, from 0, instead of the budget's.
        rows: "train", "test": which split of S is transferred; by default both.

    Raises:
        ValueError: an unknown row, or less than one seed.
    """
    seeds = experiment.given.seeds if seeds is None else seeds
    names = list(rows or OURS)
    common.check(names, OURS, seeds)
    result = experiment.result(
        NAME,
        "Table 2 of Taigman et al. 2017",
        [
            Row(key, title, {"Accuracy": paper} if paper else {}, trained=key in OURS)
            for key, (title, paper) in ROWS.items()
        ],
        CLAIMS,
        notes=(
            "SA and DANN are not run here. In brackets: neighbours that are not transferred, and "
            "f's classifier.",
        ),
    )
    result.settings = {**result.settings, "seeds": seeds}
    t = experiment.digits.t
    splits = {"train": experiment.digits.s, "test": experiment.digits.s_test}
    known = {
        **{f"{name}-unconverted": nearest_neighbor(splits[name], t) for name in names},
        "f": digits.accuracy(experiment.classifier().load(), t),
    }
    for row in result.rows:
        if row.key in known:
            row.seeds[0] = known[row.key]
    shown: list[tuple[str, keras.Model]] = []

    def score(row: Row, seed: int) -> dict[str, Any]:
        kept, images = experiment.network(seed=seed), splits[row.key]
        model = kept.load()
        if not shown:
            shown.append(("DTN", model))
        transferred = digits.Images(digits.transfer(model, images.pixels), images.labels)
        return {**nearest_neighbor(transferred, t), **kept.found}

    draw = digits.lines_drawer(result, experiment.out, experiment.digits.s_test, shown)
    common.fill(result, experiment.out, names, seeds, score, draw)
    return result


def main(argv: Sequence[str]) -> None:
    """Runs the experiment with the arguments of the command."""
    parser = digits.parser(NAME, "Table 2 of Taigman et al. 2017.", OURS)
    options = parser.parse_args(argv)
    experiment = digits.open_experiment(options)
    common.tell(run(experiment, seeds=options.seeds, rows=options.rows), experiment.out)

"""Table 2 of Taigman et al. 2017: unsupervised domain adaptation by the Domain Transfer Network.

    pixdt reproduce taigman2017-table2 --data tfds:svhn_cropped --target-data tfds:mnist

Images of S are transferred to T, where they keep their labels. Images of T, of which no label was
used, then get that of their nearest neighbour among them (Sec. 5.1). The neighbours are the
training images of S, or its test images, which the network has not seen either.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from absl import logging

from keras_pixdt import data
from keras_pixdt.atomic import write_json
from keras_pixdt.metrics import nearest_rows
from keras_pixdt.reproduce import digits, tables

# The paper's figures (SVHN to MNIST), in %; of the methods that it compares with too.
PAPER = {
    "SA (Fernando et al. 2013)": 59.32,
    "DANN (Ganin et al. 2016)": 73.85,
    "train": 84.44,
    "test": 79.72,
}


def nearest_neighbor(neighbors: digits.Images, queries: digits.Images) -> float:
    """Accuracy of a 1-nearest-neighbour classifier in the space of gray pixels.

    Args:
        neighbors: labelled images.
        queries: images that are classified.
    """
    rows = nearest_rows(_vectors(queries.pixels), _vectors(neighbors.pixels))
    return float((neighbors.labels[rows] == queries.labels).mean())


def _vectors(pixels: np.ndarray) -> np.ndarray:
    return data.to_float(pixels).mean(axis=-1).reshape(len(pixels), -1)


def run(experiment: digits.Experiment, seed: int = 0) -> dict[str, float]:
    """Classifies the images of T.

    Args:
        experiment: data and settings; its folder gets `table2.json`.
        seed: of the network.

    Returns:
        Accuracies on the set t: "train" and "test", with these images of S transferred as
        neighbours; "train_unconverted" and "test_unconverted", with them as they are; "f", that of
        f's own classifier.
    """
    model = experiment.network(seed=seed)
    t = experiment.digits.t
    found = {"f": digits.accuracy(keras.models.load_model(experiment.classifier()), t)}
    for name, images in (("train", experiment.digits.s), ("test", experiment.digits.s_test)):
        found[f"{name}_unconverted"] = nearest_neighbor(images, t)
        transferred = digits.Images(digits.transfer(model, images.pixels), images.labels)
        found[name] = nearest_neighbor(transferred, t)
    write_json(experiment.out / "table2.json", found)
    return found


def table(found: Mapping[str, Any]) -> str:
    """What `run` found, as lines of text beside the paper's figures."""
    rows = [("method", "accuracy", "paper")]
    rows += [(name, "", f"{PAPER[name]:.2f}%") for name in PAPER if name not in found]
    for split in ("train", "test"):
        name = f"DTN, transferring the {split} split"
        rows.append((name, f"{found[split]:.2%}", f"{PAPER[split]:.2f}%"))
    for split in ("train", "test"):
        rows.append((f"({split} split as it is)", f"{found[f'{split}_unconverted']:.2%}", ""))
    return tables.aligned([*rows, ("(classifier that f is of)", f"{found['f']:.2%}", "")])


def main(argv: Sequence[str]) -> None:
    """Runs the experiment with the arguments of the command."""
    parser = argparse.ArgumentParser(
        "pixdt reproduce taigman2017-table2", description="Table 2 of Taigman et al. 2017."
    )
    digits.add_arguments(parser)
    parser.add_argument("--seed", type=int, default=0, help="of the network (default: 0)")
    options = parser.parse_args(argv)
    logging.info("\n%s", table(run(digits.from_arguments(options), options.seed)))

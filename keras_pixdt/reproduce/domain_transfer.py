"""Taigman et al. 2017: Tables 1 to 3, Fig. 9a; `faces`, `basis`, `avatars` and `style` have others.

    pixdt reproduce taigman2017-table1 --data tfds:svhn_cropped --target-data tfds:mnist
    pixdt reproduce taigman2017-table2 --budget cpu
    pixdt reproduce taigman2017-table3 --budget cpu
    pixdt reproduce taigman2017-fig9 --budget cpu

Table 1: which part of the Domain Transfer Network does what? Each row is a network. Images of S are
transferred to T, and a classifier of T, which recognizes nearly all of T's images, says which digit
it sees. See `keras_pixdt.reproduce.digits` for the sets.

Table 2 is unsupervised domain adaptation. Images of S are transferred to T and keep their labels.
Images of T, whose labels are not used, then get the label of their nearest neighbour among them
(Sec. 5.1). The neighbours are the training images of S, or its test images, which the network has
not seen either. `keras_pixdt.reproduce.adaptation` has the methods that it is compared with.

Table 3 and Fig. 3 are about an unseen digit. The digit 3 is left out of the set s, of t, of both,
and also of f's training images. The judge then only looks at S's transferred test images of this
digit (Sec. 5.1.1).

Fig. 9a goes the other way, from T to S, with the same f. The paper shows pictures, and finds them
"less appealing". Here a classifier of S says which digit it sees.

Differs from the paper:
- The paper quotes the figures of SA and DANN from Ganin et al. 2016. Here both are run, with f's
  architecture. SA aligns f's numbers, and the nearest neighbour says the class, as in the other
  rows; Ganin et al. train a support vector machine. The number of dimensions is chosen by
  cross-validation on S.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np

from keras_pixdt import data
from keras_pixdt.metrics import nearest_rows
from keras_pixdt.presets.domain_transfer import ROWS as PRESET_ROWS
from keras_pixdt.reproduce import (
    adaptation,
    avatars,
    basis,
    digits,
    digits_experiment,
    faces,
    style,
)
from keras_pixdt.reproduce.digits_experiment import DTN, DigitsExperiment
from keras_pixdt.reproduce.experiment import chosen
from keras_pixdt.reproduce.result import Claim, Result, Row

# Table 1

_NAME1, _TITLE1 = "taigman2017-table1", "Table 1 of Taigman et al. 2017"
# The paper's figures (SVHN to MNIST).
_PAPER1 = {
    "baseline": "13.71%",
    "dtn": "90.66%",
    "no-tid": "88.40%",
    "no-const": "74.55%",
    "no-f": "36.90%",
    "no-gan": "34.70%",
    "no-const-no-tid": "5.28%",
}
# Key of a row -> what the name of its preset has after the paper's.
SUFFIXES = {suffix.removeprefix("-") or "dtn": suffix for suffix in PRESET_ROWS}
# What needs no network: key -> title and the paper's figure.
_BASELINES = {
    "original": ("Original image of S", "40.06%"),
    "f": ("(f on S's test images)", "95.05%"),
    "f-on-t": ("(f on t)", "76.08%"),
    "judge": ("(the judge on t)", "99.4%"),
}
_CLAIMS1 = (
    *(Claim("dtn", other, "accuracy") for other in SUFFIXES if other != "dtn"),
    Claim("dtn", "original", "accuracy"),
    Claim("no-tid", "no-const", "accuracy"),  # "L_TID seems less crucial"
    # "at least one of them is required"
    Claim("no-tid", "no-const-no-tid", "accuracy"),
    Claim("no-const", "no-const-no-tid", "accuracy"),
)


def table1(
    experiment: DigitsExperiment, *, seeds: int | None = None, rows: Sequence[str] | None = None
) -> Result:
    """Trains the networks, once for each seed, judges them, and writes the table.

    Args:
        experiment: data and budget.
        seeds: how many, from 0, instead of the budget's.
        rows: keys of `SUFFIXES`; by default all. Others are in the table as well if they are kept.

    Raises:
        ValueError: an unknown row, or less than one seed.
    """
    names, seeds = chosen(SUFFIXES, rows, experiment.given, seeds)
    result = experiment.result(
        _NAME1,
        _TITLE1,
        [
            Row(name, PRESET_ROWS[suffix][0], {"Accuracy": _PAPER1[name]})
            for name, suffix in SUFFIXES.items()
        ]
        + [
            Row(name, title, {"Accuracy": paper}, trained=False)
            for name, (title, paper) in _BASELINES.items()
        ],
        _CLAIMS1,
        notes=("Rows in brackets show classifiers: f's, and the judge.",),
        seeds=seeds,
    )
    result.add(experiment.baselines())
    experiment.fill_networks(
        result,
        names,
        seeds,
        lambda key, seed: experiment.network(f"{DTN}{SUFFIXES[key]}", seed),
        lambda key, model: experiment.judged(model),
        shown=dict.fromkeys(SUFFIXES, ("S", experiment.digits.s_test)),
        others=SUFFIXES,
    )
    return result


# Table 2

_NAME2, _TITLE2 = "taigman2017-table2", "Table 2 of Taigman et al. 2017"
# Title and the paper's figure (SVHN to MNIST), of the methods that it compares with too.
_ROWS2 = {
    "sa": ("SA (Fernando et al. 2013)", "59.32%"),
    "dann": ("DANN (Ganin et al. 2016)", "73.85%"),
    "dann-s": ("(DANN's network without reversal)", None),
    "train": ("DTN, transferring the train split", "84.44%"),
    "test": ("DTN, transferring the test split", "79.72%"),
    "train-unconverted": ("(train split as it is)", None),
    "test-unconverted": ("(test split as it is)", None),
    "f": ("(classifier that f is of)", "76.08%"),
}
_SPLITS = ("train", "test")
_DANN = {"dann": 1.0, "dann-s": 0.0}  # what lambda rises to
_TRAINED2 = (*_DANN, *_SPLITS)
_CLAIMS2 = (
    Claim("train", "test", "accuracy"),
    *(Claim(split, other, "accuracy") for split in _SPLITS for other in ("sa", "dann", "f")),
    *(Claim("dann", other, "accuracy") for other in ("sa", "dann-s")),
)
_DIMENSIONS = (2, 5, 10, 20, 40, 80)  # of SA's subspaces, those that f has


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


def subspace_alignment(function: keras.Model, s: digits.Images, t: digits.Images) -> dict[str, Any]:
    """Accuracy on T of the nearest neighbours in S, after f's numbers have been aligned.

    Args:
        function: f.
        s: labelled images of S.
        t: images of T; their labels only score.

    Returns:
        As `digits.share_of`, and the "dimensions".
    """
    of_s, of_t = (
        function.predict(data.to_float(images.pixels), batch_size=256, verbose=0)
        for images in (s, t)
    )
    most = min(of_s.shape[1], len(of_s) // 2 - 1, len(of_t) - 1)
    dimensions = adaptation.choose_dimensions(
        of_s, s.labels, [count for count in _DIMENSIONS if count <= most]
    )
    neighbors, queries = adaptation.align(of_s, of_t, dimensions)
    right = s.labels[nearest_rows(queries, neighbors)] == t.labels
    return {**digits.share_of(right), "dimensions": dimensions}


def _vectors(pixels: np.ndarray) -> np.ndarray:
    return data.to_float(pixels).mean(axis=-1).reshape(len(pixels), -1)


def table2(
    experiment: DigitsExperiment, *, seeds: int | None = None, rows: Sequence[str] | None = None
) -> Result:
    """Classifies the images of T, and writes the table.

    Args:
        experiment: data and budget.
        seeds: of the network, how many, from 0, instead of the budget's.
        rows: "train", "test", which split of S is transferred, "dann", and "dann-s", the same
            without reversal; by default all.

    Raises:
        ValueError: an unknown row, or less than one seed.
    """
    names, seeds = chosen(_TRAINED2, rows, experiment.given, seeds)
    result = experiment.result(
        _NAME2,
        _TITLE2,
        [
            Row(key, title, {"Accuracy": paper} if paper else {}, trained=key in _TRAINED2)
            for key, (title, paper) in _ROWS2.items()
        ],
        _CLAIMS2,
        notes=("In brackets: neighbours that are not transferred, and f's classifier.",),
        seeds=seeds,
    )
    t, s_test = experiment.digits.t, experiment.digits.s_test
    splits = {"train": experiment.digits.s, "test": s_test}
    unconverted = {f"{name}-unconverted": nearest_neighbor(splits[name], t) for name in splits}
    classifier = experiment.classifier().load()
    aligned = subspace_alignment(classifier.get_layer("f"), experiment.digits.s, t)
    result.add({**unconverted, "f": digits.accuracy(classifier, t), "sa": aligned})

    def judged(key: str, model: keras.Model) -> dict[str, Any]:
        if key in _DANN:
            return digits.accuracy(model, t)
        transferred = digits.transfer(model, splits[key].pixels)
        return nearest_neighbor(digits.Images(transferred, splits[key].labels), t)

    experiment.fill_networks(
        result,
        names,
        seeds,
        lambda key, seed: (
            experiment.dann(_DANN[key], seed) if key in _DANN else experiment.network(seed=seed)
        ),
        judged,
        shown=dict.fromkeys(_SPLITS, ("S", s_test)),
        title="DTN",
        others=_TRAINED2,
    )
    return result


# Table 3

_NAME3, _TITLE3 = "taigman2017-table3", "Table 3 of Taigman et al. 2017"
DIGIT = 3
# Key -> title, what the digit is left out of, the paper's figure (SVHN to MNIST, of the digit 3).
_ROWS3: dict[str, tuple[str, tuple[str, ...], str]] = {
    "dtn": ("DTN", (), "94.67%"),
    "s": ("not shown in s", ("s",), "93.33%"),
    "t": ("not shown in t", ("t",), "40.13%"),
    "s-t": ("not shown in s and t", ("s", "t"), "60.02%"),
    "s-t-f": ("not shown in s, t, and to f", ("s", "t", "f"), "4.52%"),
}
_CLAIMS3 = (
    *(Claim("dtn", other, "accuracy") for other in _ROWS3 if other != "dtn"),
    Claim("s", "t", "accuracy"),  # "much less detrimental"
    Claim("s-t", "t", "accuracy"),
    Claim("s-t", "s-t-f", "accuracy"),
)


def table3(
    experiment: DigitsExperiment,
    *,
    digit: int = DIGIT,
    seeds: int | None = None,
    rows: Sequence[str] | None = None,
) -> Result:
    """Trains the networks, judges them on the digit, and writes the table.

    Args:
        experiment: data and budget.
        digit: which one.
        seeds: how many, from 0, instead of the budget's.
        rows: keys of the rows; by default all. Others are in the table as well if they are kept.

    Raises:
        ValueError: there is no such digit, an unknown row, or less than one seed.
    """
    count = len(experiment.digits.names)
    if not 0 <= digit < count:
        raise ValueError(f"`digit` must be in [0, {count}), the classes. Received: {digit}")
    names, seeds = chosen(_ROWS3, rows, experiment.given, seeds)
    result = experiment.result(
        _NAME3,
        _TITLE3,
        [
            Row(key, title, {"Accuracy of '3'": paper} if digit == DIGIT else {})
            for key, (title, _, paper) in _ROWS3.items()
        ],
        _CLAIMS3,
        notes=(f"The judge's accuracy on S's test images of {digit}, transferred.",),
        digit=digit,
        seeds=seeds,
    )
    s_test = experiment.digits.s_test
    experiment.fill_networks(
        result,
        names,
        seeds,
        lambda key, seed: experiment.network(seed=seed, without=digit, left_out_of=_ROWS3[key][1]),
        lambda key, model: experiment.judged(model, digit),
        shown=dict.fromkeys(_ROWS3, ("S", s_test.select(s_test.labels == digit))),
        others=_ROWS3,
    )
    return result


# Fig. 9a

_NAME9, _TITLE9 = "taigman2017-fig9", "Fig. 9a of Taigman et al. 2017"
_REVERSE = "reverse"
# Key -> title, and the preset of those that are networks.
_ROWS9: dict[str, tuple[str, str | None]] = {
    _REVERSE: ("DTN from T to S", f"{DTN}-reverse"),
    "forward": ("DTN from S to T, by the judge of T", DTN),
    "original": ("Original image of T", None),
    "f": ("(f on T)", None),
    "judge": ("(the judge on s)", None),
}
_TRAINED9 = tuple(key for key, (_, preset) in _ROWS9.items() if preset)
_CLAIMS9 = (
    Claim("forward", _REVERSE, "accuracy"),  # "less appealing results"
    Claim(_REVERSE, "original", "accuracy"),
)


def fig9(
    experiment: DigitsExperiment, *, seeds: int | None = None, rows: Sequence[str] | None = None
) -> Result:
    """Trains the network from T to S, judges it, and pictures it.

    Args:
        experiment: data and budget.
        seeds: how many, from 0, instead of the budget's.
        rows: "reverse", and "forward", which is Table 1's DTN; by default both.

    Raises:
        ValueError: an unknown row, or less than one seed.
    """
    names, seeds = chosen(_TRAINED9, rows, experiment.given, seeds)
    result = experiment.result(
        _NAME9,
        _TITLE9,
        [Row(key, title, trained=bool(preset)) for key, (title, preset) in _ROWS9.items()],
        _CLAIMS9,
        notes=(
            "The judge of S learns from S's test images. What is converted to S are images of T "
            "that no network has seen. The paper has pictures only.",
        ),
        seeds=seeds,
    )
    unseen = experiment.digits.judged
    result.add(
        {
            "original": digits.accuracy(experiment.reverse_judge, unseen),
            "f": digits.accuracy(experiment.classifier().load(), unseen),
            "judge": digits.accuracy(experiment.reverse_judge, experiment.digits.s),
        }
    )
    experiment.fill_networks(
        result,
        names,
        seeds,
        lambda key, seed: experiment.network(_ROWS9[key][1] or DTN, seed),
        lambda key, model: (
            experiment.judged_reverse(model) if key == _REVERSE else experiment.judged(model)
        ),
        shown={_REVERSE: ("T", unseen), "forward": ("S", experiment.digits.s_test)},
        others=_TRAINED9,
    )
    return result


# The commands


_DIGIT_OPTION = {"digit": {"type": int, "default": DIGIT, "help": "default: %(default)s"}}
COMMANDS: dict[str, Callable[[Sequence[str]], None]] = {
    "taigman2017-table1": lambda argv: digits_experiment.main(
        table1, _NAME1, _TITLE1, SUFFIXES, argv
    ),
    "taigman2017-table2": lambda argv: digits_experiment.main(
        table2, _NAME2, _TITLE2, _TRAINED2, argv
    ),
    "taigman2017-table3": lambda argv: digits_experiment.main(
        table3, _NAME3, _TITLE3, _ROWS3, argv, _DIGIT_OPTION
    ),
    "taigman2017-table4": faces.main,
    "taigman2017-avatars": avatars.main,
    "taigman2017-style": style.main,
    "taigman2017-fig8": basis.main,
    "taigman2017-fig9": lambda argv: digits_experiment.main(fig9, _NAME9, _TITLE9, _TRAINED9, argv),
}

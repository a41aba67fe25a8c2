"""Table 1 of Taigman et al. 2017: which part of the Domain Transfer Network does what?

    pixdt reproduce taigman2017-table1 --data tfds:svhn_cropped --target-data tfds:mnist

Each row is a network: images of S are transferred to T, and a classifier of T, which knows next to
all of T's images, says which digit it sees. `keras_pixdt.reproduce.digits` has the sets.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from keras_pixdt.presets.domain_transfer import ROWS
from keras_pixdt.reproduce import common, digits
from keras_pixdt.reproduce.result import Claim, Result, Row

NAME = "taigman2017-table1"
# The paper's figures (SVHN to MNIST).
PAPER = {
    "baseline": "13.71%",
    "dtn": "90.66%",
    "no-tid": "88.40%",
    "no-const": "74.55%",
    "no-f": "36.90%",
    "no-gan": "34.70%",
    "no-const-no-tid": "5.28%",
}
# Key of a row -> what the name of its preset has after the paper's.
SUFFIXES = {suffix.removeprefix("-") or "dtn": suffix for suffix in ROWS}
# What needs no network: key -> title and the paper's figure.
BASELINES = {
    "original": ("Original image of S", "40.06%"),
    "f": ("(f on S's test images)", "95.05%"),
    "f-on-t": ("(f on t)", "76.08%"),
    "judge": ("(the judge on t)", "99.4%"),
}
CLAIMS = (
    *(Claim("dtn", other, "accuracy") for other in SUFFIXES if other != "dtn"),
    Claim("dtn", "original", "accuracy"),
    Claim("no-tid", "no-const", "accuracy"),  # "L_TID seems less crucial"
    # "at least one of them is required"
    Claim("no-tid", "no-const-no-tid", "accuracy"),
    Claim("no-const", "no-const-no-tid", "accuracy"),
)


def run(
    experiment: digits.Experiment,
    *,
    seeds: int | None = None,
    rows: Sequence[str] | None = None,
) -> Result:
    """Trains the networks, once for each seed, judges them, and writes the table.

    Args:
        experiment: data and budget.
        seeds: how many, from 0, instead of the budget's.
        rows: keys of `SUFFIXES`; by default all. Others are in the table as well if they are kept.

    Raises:
        ValueError: an unknown row, or less than one seed.
    """
    seeds = experiment.given.seeds if seeds is None else seeds
    names = list(rows or SUFFIXES)
    common.check(names, list(SUFFIXES), seeds)
    result = experiment.result(
        NAME,
        "Table 1 of Taigman et al. 2017",
        [Row(name, ROWS[suffix][0], {"Accuracy": PAPER[name]}) for name, suffix in SUFFIXES.items()]
        + [
            Row(name, title, {"Accuracy": paper}, trained=False)
            for name, (title, paper) in BASELINES.items()
        ],
        CLAIMS,
        notes=("Rows in brackets are of classifiers: f's, and the judge.",),
    )
    result.settings = {**result.settings, "seeds": seeds}
    shares = experiment.baselines()
    for row in result.rows:
        if row.key in shares:
            row.seeds[0] = shares[row.key]
    shown: list[tuple[str, keras.Model]] = []

    def score(row: Row, seed: int) -> dict[str, Any]:
        kept = experiment.network(f"{digits.DTN}{SUFFIXES[row.key]}", seed)
        model = kept.load()
        if seed == 0:
            shown.append((row.title, model))
        return {**experiment.judged(model), **kept.found}

    draw = digits.lines_drawer(result, experiment.out, experiment.digits.s_test, shown)
    common.fill(result, experiment.out, names, seeds, score, draw, SUFFIXES, experiment.cache)
    return result


def main(argv: Sequence[str]) -> None:
    """Runs the experiment with the arguments of the command."""
    parser = digits.parser(NAME, "Table 1 of Taigman et al. 2017.", list(SUFFIXES))
    options = parser.parse_args(argv)
    experiment = digits.open_experiment(options)
    common.tell(run(experiment, seeds=options.seeds, rows=options.rows), experiment.out)

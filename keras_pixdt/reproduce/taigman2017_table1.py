"""Table 1 of Taigman et al. 2017: which part of the Domain Transfer Network does what?

    pixdt reproduce taigman2017-table1 --data tfds:svhn_cropped --target-data tfds:mnist --seeds 2

Each row is a network: images of S are transferred to T, and a classifier of T, which knows next to
all of T's images, says which digit it sees. `keras_pixdt.reproduce.digits` has the sets.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from absl import logging

from keras_pixdt.atomic import write_json
from keras_pixdt.presets.taigman2017 import ROWS
from keras_pixdt.reproduce import digits, tables

NAMES = {f"{digits.DTN}{suffix}": row for suffix, (row, _) in ROWS.items()}
# The paper's figures (SVHN to MNIST), in %.
PAPER = {
    "-baseline": 13.71,
    "": 90.66,
    "-no-tid": 88.40,
    "-no-const": 74.55,
    "-no-f": 36.90,
    "-no-gan": 34.70,
    "-no-const-no-tid": 5.28,
}
PAPER_F, PAPER_F_ON_T, PAPER_JUDGE, PAPER_UNCONVERTED = 95.05, 76.08, 99.4, 40.06


def run(
    experiment: digits.Experiment, seeds: int = 1, rows: Sequence[str] = tuple(NAMES)
) -> dict[str, Any]:
    """Trains the networks, once for each seed, and judges them.

    Args:
        experiment: data and settings; its folder gets `table1.json` and `table1.png`, in which the
            first row is S's test images, and each other one a network's, of seed 0.
        seeds: how many, from 0.
        rows: names of presets, keys of `NAMES`.

    Returns:
        "baselines", as of `Experiment.baselines`; "rows": preset -> the accuracy of each seed.

    Raises:
        ValueError: an unknown row, or less than one seed.
    """
    unknown = sorted(set(rows) - set(NAMES))
    if unknown or not rows:
        raise ValueError(
            f"`rows` must be one or more of {', '.join(NAMES)}. "
            f"Received: {', '.join(unknown) or 'none'}"
        )
    if seeds < 1:
        raise ValueError(f"`seeds` must be at least 1. Received: {seeds}")
    found: dict[str, Any] = {
        "baselines": experiment.baselines(),
        "rows": {name: [] for name in rows},
    }
    shown = []
    for seed in range(seeds):  # all rows once, before any twice
        for name in rows:
            model = experiment.network(name, seed)
            share = experiment.judged(model)
            found["rows"][name].append(share)
            logging.info("%s, seed %d: %.2f%%", NAMES[name], seed, 100 * share)
            write_json(experiment.out / "table1.json", found)
            if seed == 0:
                shown.append(model)
    digits.write_picture(
        experiment.out / "table1.png", digits.examples(experiment.digits.s_test), shown
    )
    return found


def table(found: Mapping[str, Any]) -> str:
    """What `run` found, as lines of text beside the paper's figures."""
    paper = {f"{digits.DTN}{suffix}": figure for suffix, figure in PAPER.items()}
    rows = [("method", "preset", "accuracy", "each seed", "paper")]
    for name, shares in found["rows"].items():
        each = ", ".join(f"{share:.2%}" for share in shares)
        rows.append((NAMES[name], name, f"{np.mean(shares):.2%}", each, f"{paper[name]:.2f}%"))
    baselines = found["baselines"]
    for name, key, figure in (
        ("Original image of S", "judge_unconverted", PAPER_UNCONVERTED),
        ("(f on S's test images)", "f", PAPER_F),
        ("(f on t)", "f_on_t", PAPER_F_ON_T),
        ("(the judge on t)", "judge_on_t", PAPER_JUDGE),
    ):
        rows.append((name, "", f"{baselines[key]:.2%}", "", f"{figure:.2f}%"))
    return tables.aligned(rows)


def main(argv: Sequence[str]) -> None:
    """Runs the experiment with the arguments of the command."""
    parser = argparse.ArgumentParser(
        "pixdt reproduce taigman2017-table1", description="Table 1 of Taigman et al. 2017."
    )
    digits.add_arguments(parser)
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--rows", nargs="+", choices=NAMES, default=list(NAMES))
    options = parser.parse_args(argv)
    found = run(digits.from_arguments(options), options.seeds, options.rows)
    logging.info("\n%s", table(found))

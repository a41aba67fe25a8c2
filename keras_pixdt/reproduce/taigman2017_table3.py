"""Table 3 and Fig. 3 of Taigman et al. 2017: a digit that was not seen.

    pixdt reproduce taigman2017-table3 --data tfds:svhn_cropped --target-data tfds:mnist

The digit 3 is left out of the set s, of t, of both, and of what f is trained on as well. The judge
then looks at S's test images of this digit alone, transferred (Sec. 5.1.1).
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping, Sequence
from typing import Any

from absl import logging

from keras_pixdt.atomic import write_json
from keras_pixdt.reproduce import digits, tables

DIGIT = 3
# What is left out of what, with the paper's figure (SVHN to MNIST), in %.
ROWS: dict[str, tuple[tuple[str, ...], float]] = {
    "DTN": ((), 94.67),
    "not shown in s": (("s",), 93.33),
    "not shown in t": (("t",), 40.13),
    "not shown in s and t": (("s", "t"), 60.02),
    "not shown in s, t, and to f": (("s", "t", "f"), 4.52),
}


def run(experiment: digits.Experiment, digit: int = DIGIT, seed: int = 0) -> dict[str, float]:
    """Trains the networks, and judges them on the digit.

    Args:
        experiment: data and settings; its folder gets `table3.json` and `table3.png`, in which the
            first row is S's test images of the digit, and each other one a network's.
        digit: which one.
        seed: of the networks.

    Returns:
        Row -> the judge's accuracy.

    Raises:
        ValueError: there is no such digit.
    """
    count = len(experiment.digits.names)
    if not 0 <= digit < count:
        raise ValueError(f"`digit` must be in [0, {count}), the classes. Received: {digit}")
    found, models = {}, []
    for row, (places, _) in ROWS.items():
        model = experiment.network(seed=seed, without=digit, left_out_of=places)
        found[row] = experiment.judged(model, digit)
        logging.info("%d %s: %.2f%%", digit, row, 100 * found[row])
        models.append(model)
        write_json(experiment.out / "table3.json", {"digit": digit, "rows": found})
    s_test = experiment.digits.s_test
    shown = digits.examples(s_test.select(s_test.labels == digit))
    digits.write_picture(experiment.out / "table3.png", shown, models)
    return found


def table(found: Mapping[str, Any], digit: int = DIGIT) -> str:
    """What `run` found, as lines of text beside the paper's figures, which are of the digit 3."""
    rows = [("method", f"accuracy of {digit}", "paper")]
    for row, share in found.items():
        rows.append((row, f"{share:.2%}", f"{ROWS[row][1]:.2f}%" if digit == DIGIT else ""))
    return tables.aligned(rows)


def main(argv: Sequence[str]) -> None:
    """Runs the experiment with the arguments of the command."""
    parser = argparse.ArgumentParser(
        "pixdt reproduce taigman2017-table3", description="Table 3 of Taigman et al. 2017."
    )
    digits.add_arguments(parser)
    parser.add_argument("--digit", type=int, default=DIGIT, help="default: %(default)s")
    parser.add_argument("--seed", type=int, default=0, help="of the networks (default: 0)")
    options = parser.parse_args(argv)
    found = run(digits.from_arguments(options), options.digit, options.seed)
    logging.info("\n%s", table(found, options.digit))

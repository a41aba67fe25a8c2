"""Table 3 and Fig. 3 of Taigman et al. 2017: a digit that was not seen.

    pixdt reproduce taigman2017-table3 --data tfds:svhn_cropped --target-data tfds:mnist

The digit 3 is left out of the set s, of t, of both, and of what f is trained on as well. The judge
then looks at S's test images of this digit alone, transferred (Sec. 5.1.1).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import keras

from keras_pixdt.reproduce import common, digits
from keras_pixdt.reproduce.result import Claim, Result, Row

NAME = "taigman2017-table3"
DIGIT = 3
# Key -> title, what the digit is left out of, the paper's figure (SVHN to MNIST, of the digit 3).
ROWS: dict[str, tuple[str, tuple[str, ...], str]] = {
    "dtn": ("DTN", (), "94.67%"),
    "s": ("not shown in s", ("s",), "93.33%"),
    "t": ("not shown in t", ("t",), "40.13%"),
    "s-t": ("not shown in s and t", ("s", "t"), "60.02%"),
    "s-t-f": ("not shown in s, t, and to f", ("s", "t", "f"), "4.52%"),
}
CLAIMS = (
    *(Claim("dtn", other, "accuracy") for other in ROWS if other != "dtn"),
    Claim("s", "t", "accuracy"),  # "much less detrimental"
    Claim("s-t", "t", "accuracy"),
    Claim("s-t", "s-t-f", "accuracy"),
)


def run(
    experiment: digits.Experiment,
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
        rows: keys of `ROWS`; by default all. Others are in the table as well if they are kept.

    Raises:
        ValueError: there is no such digit, an unknown row, or less than one seed.
    """
    count = len(experiment.digits.names)
    if not 0 <= digit < count:
        raise ValueError(f"`digit` must be in [0, {count}), the classes. Received: {digit}")
    seeds = experiment.given.seeds if seeds is None else seeds
    names = list(rows or ROWS)
    common.check(names, list(ROWS), seeds)
    result = experiment.result(
        NAME,
        "Table 3 of Taigman et al. 2017",
        [
            Row(key, title, {"Accuracy of '3'": paper} if digit == DIGIT else {})
            for key, (title, _, paper) in ROWS.items()
        ],
        CLAIMS,
        notes=(f"The judge's accuracy on S's test images of {digit}, transferred.",),
    )
    result.settings = {**result.settings, "digit": digit, "seeds": seeds}
    shown: list[tuple[str, keras.Model]] = []

    def score(row: Row, seed: int) -> dict[str, Any]:
        kept = experiment.network(seed=seed, without=digit, left_out_of=ROWS[row.key][1])
        model = kept.load()
        if seed == 0:
            shown.append((row.title, model))
        return {**experiment.judged(model, digit), **kept.found}

    s_test = experiment.digits.s_test
    of_digit = s_test.select(s_test.labels == digit)
    draw = digits.lines_drawer(result, experiment.out, of_digit, shown)
    common.fill(result, experiment.out, names, seeds, score, draw, ROWS, experiment.cache)
    return result


def main(argv: Sequence[str]) -> None:
    """Runs the experiment with the arguments of the command."""
    parser = digits.parser(NAME, "Table 3 of Taigman et al. 2017.", list(ROWS))
    parser.add_argument("--digit", type=int, default=DIGIT, help="default: %(default)s")
    options = parser.parse_args(argv)
    experiment = digits.open_experiment(options)
    result = run(experiment, digit=options.digit, seeds=options.seeds, rows=options.rows)
    common.tell(result, experiment.out)

"""Fig. 8 of Kim et al. 2017: chairs to cars, and cars to faces.

    pixdt reproduce kim2017-fig8 --budget cpu

The domains look nothing alike, and share the azimuth alone (Sec. 3.2.3). `kim2017-fig5` says how it
is measured, and with what.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Sequence
from typing import Any

from keras_pixdt.reproduce import OUT, common, kim2017_fig5
from keras_pixdt.reproduce.result import Result

NAME = "kim2017-fig8"
PAIRS = (("chair", "car"), ("car", "head"))
NOTES = ("Fig. 8 shows DiscoGAN only; the other models are those that Fig. 5 compares it with.",)


def run(out: str | os.PathLike[str] = OUT, budget: str = "cpu", **options: Any) -> Result:
    """Chairs to cars and cars to heads.

    Args:
        out: folder.
        budget: a key of `kim2017_fig5.BUDGETS`.
        **options: further ones of `kim2017_fig5.run_pairs`.
    """
    return kim2017_fig5.run_pairs(
        NAME, "Fig. 8 of Kim et al. 2017", PAIRS, out, budget, notes=NOTES, **options
    )


def main(argv: Sequence[str]) -> None:
    """Runs the experiment with the arguments of the command."""
    rows = [kim2017_fig5.key(pair, model) for pair in PAIRS for model in kim2017_fig5.MODELS]
    parser = common.parser(NAME, "Fig. 8 of Kim et al. 2017.", rows)
    kim2017_fig5.add_arguments(parser)
    options = vars(parser.parse_args(argv))
    common.tell(run(**options, verbose=2), pathlib.Path(options["out"]))

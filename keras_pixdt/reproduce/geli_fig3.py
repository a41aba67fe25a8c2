"""Fig. 3 of Ge & Li: RMSE and SSIM over the training, with one discriminator and with both.

    pixdt reproduce geli-fig3 --data LookBook/ --budget paper

The networks are those of `geli-table1`; the curves are of the validation split.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from keras_pixdt.reproduce import geli_table1, paired
from keras_pixdt.reproduce.result import Result
from keras_pixdt.reproduce.rows import Rows


def curves_of(name: str, title: str, keys: Sequence[str]) -> paired.Table:
    """A figure that shows rows of Table 1 over their training."""
    return dataclasses.replace(
        geli_table1.TABLE,
        name=name,
        title=title,
        methods=tuple(m for m in geli_table1.METHODS if m.key in keys),
        claims=tuple(
            claim
            for claim in geli_table1.TABLE.claims
            if claim.better in keys and claim.worse in keys
        ),
        notes=("The scores are of the test split after training, the curves of validation.",),
    )


def draw(result: Result, shown: Sequence[paired.Trained], rows: Rows) -> None:
    """Adds the curves of seed 0."""
    del rows
    for score, title in (("val_rmse", "RMSE"), ("val_ssim", "SSIM")):
        result.curves[title] = {t.method.title: t.run.history()[score] for t in shown}


TABLE = curves_of("geli-fig3", "Fig. 3 of Ge & Li", ("only-a", "only-d", "a-d-adam"))


def main(argv: Sequence[str]) -> None:
    """Runs the experiment with the arguments of the command."""
    paired.main(TABLE, argv, draw)

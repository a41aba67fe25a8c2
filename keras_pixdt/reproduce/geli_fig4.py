"""Fig. 4 of Ge & Li: RMSE and SSIM over the training, with and without residual blocks.

    pixdt reproduce geli-fig4 --data LookBook/ --budget paper

The networks are those of `geli-table1`; the curves are of the validation split.
"""

from __future__ import annotations

from collections.abc import Sequence

from keras_pixdt.reproduce import geli_fig3, paired

TABLE = geli_fig3.curves_of("geli-fig4", "Fig. 4 of Ge & Li", ("a-d-sgd", "a-d-adam", "a-d-resnet"))


def main(argv: Sequence[str]) -> None:
    """Runs the experiment with the arguments of the command."""
    paired.main(TABLE, argv, geli_fig3.draw)

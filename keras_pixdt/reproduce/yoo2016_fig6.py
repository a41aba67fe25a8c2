"""Fig. 6 of Yoo et al. 2016: from a product to a person who wears it.

    pixdt reproduce yoo2016-fig6 --data LookBook/ --budget paper

The same network, learnt the other way round, for 65 and 5 epochs (Sec. 5.5). The paper shows
chosen results. Which of the persons is drawn is not determined: the scores compare with each.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from keras_pixdt import presets
from keras_pixdt.reproduce import paired, pictures, yoo2016_table3
from keras_pixdt.reproduce.paired import C_SSIM, RMSE, SSIM
from keras_pixdt.reproduce.result import Result
from keras_pixdt.reproduce.rows import Rows

_PRESET = "yoo2016-product-to-human"

TABLE = paired.Table(
    name="yoo2016-fig6",
    title="Fig. 6 of Yoo et al. 2016",
    methods=(
        paired.Method(
            "product-to-human",
            "C+RF+DD, product to human",
            presets.get(_PRESET),
            yoo2016_table3.small(_PRESET),
        ),
    ),
    scores=(RMSE, SSIM, C_SSIM),
    notes=("The paper has pictures only, of chosen results; here they are not chosen.",),
)


def draw(result: Result, shown: Sequence[paired.Trained], rows: Rows) -> None:
    """Adds the picture: products, and the persons that are drawn of them."""
    (ours,) = shown
    test = rows.pairs(ours.run.preset)["test"]
    picked = pictures.spread(len(test.targets), 2 * pictures.COLUMNS)
    lines = []
    for half in np.array_split(picked, 2):
        products = test.targets[half]
        lines += [("product", products), ("drawn", ours.drawn(products))]
    name = f"{result.name}.png"
    pictures.write_lines(rows.folder.parent / name, lines)
    result.pictures[name] = "Products of the test split, and the persons that are drawn of them"


def main(argv: Sequence[str]) -> None:
    """Runs the experiment with the arguments of the command."""
    paired.main(TABLE, argv, draw)

"""Fig. 4 of Yoo et al. 2016: are drawings of one product, worn by several persons, alike?

    pixdt reproduce yoo2016-fig4 --data LookBook/ --budget paper

The figure shows them; Eq. 4 says what it should show: of three drawings, two of one product and
one of another, the two are more alike. The column is the share of triplets of which that is true.
The photos themselves, unconverted, are the row to compare with. The networks are those of
`yoo2016-table3`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from keras_pixdt.data.pairs import PairSet
from keras_pixdt.reproduce import paired, pictures, yoo2016_table3
from keras_pixdt.reproduce.result import Claim, Result, Score
from keras_pixdt.reproduce.rows import Rows
from keras_pixdt.training.run import Run

_PRODUCTS = 6  # in the picture
_PERSONS = 8  # of each, at most

CONSISTENCY = Score("consistency", "Eq. 4 holds", "higher", ".3f")


def unconverted(run: Run, pairs: Mapping[str, PairSet]) -> paired.Convert:
    """The photos as they are."""
    del run, pairs
    return lambda sources: sources


_OURS = next(m for m in yoo2016_table3.METHODS if m.key == yoo2016_table3.OURS)
_KEYS = ("c-rf", "c-mse", "c-rf-dd-neg", yoo2016_table3.OURS)

TABLE = paired.Table(
    name="yoo2016-fig4",
    title="Fig. 4 and Eq. 4 of Yoo et al. 2016",
    methods=(
        dataclasses.replace(
            _OURS,
            key="photo",
            title="the photos themselves",
            paper={},
            convert=unconverted,
            trained=False,
        ),
        *(dataclasses.replace(m, paper={}) for m in yoo2016_table3.METHODS if m.key in _KEYS),
    ),
    scores=(CONSISTENCY,),
    claims=(
        Claim(_OURS.key, "photo", CONSISTENCY.key),
        Claim(_OURS.key, "c-rf", CONSISTENCY.key),
    ),
    notes=(
        "The paper has no figures for this. Similarity is the cosine of the features of "
        "{embedder}.",
    ),
)


def draw(result: Result, shown: Sequence[paired.Trained], rows: Rows) -> None:
    """Adds the picture: persons who wear one product, and below what is drawn of them."""
    ours = next((t for t in shown if t.method.key == _OURS.key), shown[-1])
    test = rows.pairs(ours.run.preset)["test"]
    counts = np.bincount(test.target_index, minlength=len(test.targets))
    count = min(_PERSONS, int(counts.max()))
    products = np.flatnonzero(counts >= count)
    picked = products[pictures.spread(len(products), _PRODUCTS)]
    lines = []
    for product in picked:
        persons = np.flatnonzero(test.target_index == product)[:count]
        sources = test.sources[persons]
        truth = test.targets[product][None]
        white = np.full_like(truth, 255)
        lines.append(("photos, product", np.concatenate([sources, truth])))
        lines.append((ours.method.title, np.concatenate([ours.drawn(sources), white])))
    name = f"{result.name}.png"
    pictures.write_lines(rows.folder.parent / name, lines)
    result.pictures[name] = "Persons who wear one product, and what is drawn of each"


def main(argv: Sequence[str]) -> None:
    """Runs the experiment with the arguments of the command."""
    paired.main(TABLE, argv, draw)

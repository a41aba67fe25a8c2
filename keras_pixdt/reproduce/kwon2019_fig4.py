"""Fig. 4 of Kwon et al. 2019: what a search by the drawn image finds.

    pixdt reproduce kwon2019-fig4 --data LookBook/ --splits kwon2019 --budget paper

The photo, what the network draws of it, and the ten products of the test split that are nearest to
that; the right one has a red frame. The network is that of `kwon2019-table1`.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

from keras_pixdt import search
from keras_pixdt.reproduce import kwon2019_table1, paired, pictures
from keras_pixdt.reproduce.paired import recall
from keras_pixdt.reproduce.result import Result
from keras_pixdt.reproduce.rows import Rows

_QUERIES = 12
_FOUND = 10
_RED = (215, 30, 40)

TABLE = dataclasses.replace(
    kwon2019_table1.TABLE,
    name="kwon2019-fig4",
    title="Fig. 4 of Kwon et al. 2019",
    methods=tuple(
        dataclasses.replace(m, paper={"Recall@60": m.paper["Recall@60"]})
        for m in kwon2019_table1.METHODS
        if m.key == kwon2019_table1.OURS
    ),
    scores=tuple(map(recall, (1, 10, 60))),
    claims=(),
)


def draw(result: Result, shown: Sequence[paired.Trained], rows: Rows) -> None:
    """Adds the picture: photo, drawn image, the nearest products."""
    (ours,) = shown
    preset = ours.run.preset
    test, embedder = rows.pairs(preset)["test"], rows.embedder(preset)
    # Duplicates of a product are one entry, as where Recall is computed.
    _, first, group = np.unique(test.group_id, return_index=True, return_inverse=True)
    gallery = test.targets[first]
    picked = pictures.spread(len(test), _QUERIES)
    drawn = ours.drawn(test.sources[picked])
    similarity = search.embed(embedder, drawn) @ search.embed(embedder, gallery).T
    nearest = np.argsort(-similarity, axis=1, kind="stable")[:, :_FOUND]
    lines = []
    for row, photo in enumerate(picked):
        found = gallery[nearest[row]].copy()
        for place in np.flatnonzero(nearest[row] == group[test.target_index[photo]]):
            found[place] = _framed(found[place])
        lines.append(
            (f"{row + 1}", np.concatenate([test.sources[photo][None], drawn[row][None], found]))
        )
    name = f"{result.name}.png"
    pictures.write_lines(rows.folder.parent / name, lines)
    result.pictures[name] = (
        "Test photo, drawn image, the nearest products of the test split; red: the right one"
    )


def _framed(image: np.ndarray) -> np.ndarray:
    framed, width = image.copy(), max(1, image.shape[0] // 24)
    for edge in (np.s_[:width], np.s_[-width:], np.s_[:, :width], np.s_[:, -width:]):
        framed[edge] = _RED
    return framed


def main(argv: Sequence[str]) -> None:
    """Runs the experiment with the arguments of the command."""
    paired.main(TABLE, argv, draw)

"""Table 4 of Taigman et al. 2017: the rows, their ranks and scores; `faces` and `garments` fill it.

Each photo x has a gallery: another photo x' of the same person, and distractors. The query is G(x),
an image of x drawn by people, or x itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_pixdt.metrics import retrieval, standard_error
from keras_pixdt.reproduce.result import Claim, Result, Row, Score

_SIMILARITIES = 2**24  # held at once: 64 MiB
NAME = "taigman2017-table4"
TITLE = "Table 4 of Taigman et al. 2017"

PAPER_PHOTOS, PAPER_GALLERY = 118, 100_001
SCORES = (
    Score("median_rank", "Median rank", "lower", ",.1f"),
    Score("mean_rank", "Mean rank", "lower", ",.2f"),
    Score("rank_1_accuracy", "Rank-1 accuracy", "higher", ".2%"),
    Score("rank_5_accuracy", "Rank-5 accuracy", "higher", ".2%"),
)
_HEAD = tuple(score.title for score in SCORES)
PAPER = {
    "drawn": dict(zip(_HEAD, ("16311", "27,992.34", "0%", "0%"), strict=True)),
    "converted": dict(zip(_HEAD, ("16", "535.47", "22.88%", "34.75%"), strict=True)),
}
CLAIMS = tuple(Claim("converted", "drawn", score.key) for score in SCORES)
TITLES = {"drawn": "drawn by people", "converted": "G(x)", "photo": "the photo", "chance": "chance"}


class Retrieved(NamedTuple):
    """What is found.

    Attributes:
        rank: int64 (n,), of each probe's counterpart, from 1.
        nearest: int64 (n,), the row of the most similar distractor, or counterpart where there are
            no distractors. A probe of rank 1 is nearer to its own counterpart.
    """

    rank: np.ndarray
    nearest: np.ndarray


def retrieve(probes: np.ndarray, counterparts: np.ndarray, distractors: np.ndarray) -> Retrieved:
    """Searches for each probe among the distractors and its own counterpart, by cosine similarity.

    Ties count against the probe, as in `metrics.retrieval.ranks`.

    Args:
        probes: features (n, d).
        counterparts: features (n, d), row by row of what the probes should find.
        distractors: features (m, d). Where m is 0, the counterparts of the other probes are used
            instead.

    Returns:
        Ranks from 1 to m + 1, or to n without distractors.

    Raises:
        ValueError: shapes disagree, a feature is not finite, or there is nothing to be told from:
            neither distractors nor a second probe.
    """
    probes, counterparts, distractors = (
        retrieval.unit_vectors(features, name)
        for features, name in (
            (probes, "probes"),
            (counterparts, "counterparts"),
            (distractors, "distractors"),
        )
    )
    if probes.shape != counterparts.shape or probes.shape[1] != distractors.shape[1]:
        raise ValueError(
            "`probes` (n, d), `counterparts` (n, d) and `distractors` (m, d) disagree. "
            f"Received: {probes.shape}, {counterparts.shape} and {distractors.shape}"
        )
    of_others = not len(distractors)
    if of_others and len(probes) < 2:
        raise ValueError(
            "A gallery needs distractors, or the counterparts of several probes. "
            f"Received: {len(probes)} probes, no distractors"
        )
    others = counterparts if of_others else distractors
    right = np.sum(probes * counterparts, axis=1)
    rank, nearest = np.empty((2, len(probes)), np.int64)
    step = max(1, _SIMILARITIES // len(others))
    for start in range(0, len(probes), step):
        rows = np.arange(start, min(start + step, len(probes)))
        similarity = probes[rows] @ others.T
        if of_others:
            similarity[rows - start, rows] = -np.inf
        closer = similarity >= right[rows, None] - retrieval.TOLERANCE
        rank[rows] = 1 + closer.sum(axis=1)
        nearest[rows] = similarity.argmax(axis=1)
    return Retrieved(rank, nearest)


def measures(rank: np.ndarray) -> dict[str, float]:
    """The rows of Table 4, of ranks (n,) from 1."""
    return {
        "median_rank": retrieval.median_rank(rank),
        "mean_rank": float(np.mean(rank)),
        "rank_1_accuracy": retrieval.recall_at_k(rank, 1),
        "rank_5_accuracy": retrieval.recall_at_k(rank, 5),
    }


def scores_of(rank: np.ndarray, persons: np.ndarray | None = None) -> dict[str, Any]:
    """`measures`, and the standard errors of all but the median; a single person has none.

    Args:
        rank: (n,), from 1.
        persons: (n,), who is on each photo. By default all photos are of different persons.
    """
    values = {"mean_rank": rank, "rank_1_accuracy": rank <= 1, "rank_5_accuracy": rank <= 5}
    errors = {name: standard_error(v, persons) for name, v in values.items()}
    known = {name: error for name, error in errors.items() if error is not None}
    return {**measures(rank), "standard_errors": known}


def table(settings: Mapping[str, Any], notes: Sequence[str]) -> Result:
    """The table of which nothing has been run yet."""
    return Result(
        NAME,
        TITLE,
        SCORES,
        [
            Row(role, title, PAPER.get(role, {}), trained=role == "converted")
            for role, title in TITLES.items()
        ],
        CLAIMS,
        settings=settings,
        notes=notes,
    )

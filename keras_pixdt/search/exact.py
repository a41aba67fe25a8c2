"""The exact search: every vector is compared, and the best are ranked by exact sums."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeAlias

import numpy as np

from keras_pixdt.search.embedding import check_unit

Queries: TypeAlias = "np.ndarray | Sequence[float] | Sequence[Sequence[float]]"

_BLOCK = 4096  # rows compared at once
_MAX_SIMILARITIES = 1 << 24  # held at once: 64 MiB, or one query's
# OpenBLAS uses threads for matrix products with more than `_UNTHREADED` multiplications, and these
# spin while they wait. On a machine that also does something else, a product can then take 25 times
# as long. From `_THREADED` on, the wait is short compared with the product, and threads save a
# third of the time.
_UNTHREADED = 1 << 18
_THREADED = 1 << 24


def check(vectors: np.ndarray, queries: Queries, k: int, name: str) -> tuple[np.ndarray, int]:
    """Checks the arguments of a search; returns queries as float32 `(q, d)`, and `k` up to `n`.

    Arguments and errors are as for `nearest`.
    """
    if isinstance(k, bool) or not isinstance(k, (int, np.integer)) or k < 1:
        raise ValueError(f"`k` must be an integer of 1 or more. Received: {k!r}")
    count, dimensions = vectors.shape
    if not count:
        raise ValueError(f"{name} has no products yet. Call `update` first.")
    queries = np.asarray(queries, np.float32)
    if queries.ndim not in (1, 2) or queries.shape[-1] != dimensions:
        raise ValueError(
            f"`queries` must have the shape ({dimensions},) or (q, {dimensions}), because the "
            f"vectors of {name} have {dimensions} numbers. Received: {queries.shape}"
        )
    queries = np.atleast_2d(queries)
    check_unit(queries, "`queries`")
    return queries, min(int(k), count)


def nearest(
    vectors: np.ndarray, queries: Queries, k: int, name: str
) -> tuple[np.ndarray, np.ndarray]:
    """The rows of an index that are nearest to queries.

    Args:
        vectors: float32 `(n, d)`, those of the index.
        queries: `(q, d)` or `(d,)`, unit vectors.
        k: how many rows; all, if there are fewer.
        name: of the index, for messages.

    Returns:
        Rows, int64 `(q, k)` or `(k,)`, and their cosines, float32 of that shape, falling.

    Raises:
        ValueError: the index is empty, queries are not finite unit vectors of its length, `k` is
            below 1, or one of its vectors is not finite.
    """
    checked, k = check(vectors, queries, k, name)
    count, dimensions = vectors.shape
    rows = np.empty((len(checked), k), np.int64)
    scores = np.empty((len(checked), k), np.float32)
    groups = min(count, 16 * k)
    # Twice the rounding errors of a sum of d products in float32, for both sums compared: within
    # this margin, exact sums decide the order.
    slack = np.float32(2 * (dimensions + 2) * np.finfo(np.float32).eps)
    for start in range(0, len(checked), most := max(1, _MAX_SIMILARITIES // count)):
        similarities = _similarities(vectors, checked[start : start + most])
        for i, similarity in enumerate(similarities, start):
            if not np.isfinite(similarity.sum()):
                _refuse_damaged(vectors, name)
            # Each of k groups of rows has a row as near as the k-th of the groups' nearest rows. So
            # that row is a cheap bound on the k-th of all rows. A group takes every `groups`-th,
            # so that near rows are in different groups even if the catalogue is sorted by kind. The
            # last rows are left out if there is not one for each group.
            best = similarity[: count - count % groups].reshape(-1, groups).max(axis=0)
            bound = np.partition(best, groups - k)[groups - k]
            candidates = np.flatnonzero(similarity >= bound - slack)
            rows[i], scores[i] = rank(vectors, checked[i], candidates, k)
    return (rows[0], scores[0]) if np.ndim(queries) == 1 else (rows, scores)


def _similarities(vectors: np.ndarray, queries: np.ndarray) -> np.ndarray:
    """float32 (q, n)."""
    similarities = np.empty((len(queries), len(vectors)), np.float32)
    work = len(queries) * vectors.shape[1]  # multiplications for a row
    block = len(vectors) if work * len(vectors) >= _THREADED else max(1, _UNTHREADED // work)
    for start in range(0, len(vectors), block):
        rows = slice(start, start + block)
        np.matmul(queries, vectors[rows].T, out=similarities[:, rows])
    return similarities


def rank(
    vectors: np.ndarray, query: np.ndarray, candidates: np.ndarray, k: int
) -> tuple[np.ndarray, np.ndarray]:
    """The best `k` of some rows, int64 `(k,)`, by exact scores, float32 `(k,)`, then by row."""
    scores = np.empty(len(candidates), np.float32)
    for start in range(0, len(candidates), _BLOCK):
        part = slice(start, start + _BLOCK)
        scores[part] = (vectors[candidates[part]].astype(np.float64) * query).sum(axis=1)
    best = np.lexsort((candidates, -scores))[:k]
    return candidates[best], scores[best]


def _refuse_damaged(vectors: np.ndarray, name: str) -> None:
    for start in range(0, len(vectors), _BLOCK):
        check_unit(
            vectors[start : start + _BLOCK],
            f"{name} from row {start} on; copy the file, or index the catalogue, again",
        )
    raise ValueError(f"The vectors of {name} are damaged. Index the catalogue again.")

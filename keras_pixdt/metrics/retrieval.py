"""Whether a converted image finds its product (Kwon et al. 2019, Section 4).

NumPy only: any network computes the features once, and they are ranked here.
"""

from __future__ import annotations

import numpy as np

# Similarities this close count as equal: float32 features of equal images differ by this much.
TOLERANCE = 1e-6
# Similarities held at once: 64 MiB in float32.
_CHUNK_SIMILARITIES = 2**24


def unit_vectors(features: np.ndarray, name: str = "features") -> np.ndarray:
    """Scales each row to length 1, so that inner products are cosines; a row of zeros stays.

    Args:
        features: `(n, d)`, any real dtype.
        name: what the features are called in errors.

    Returns:
        float32 `(n, d)`.

    Raises:
        ValueError: not a matrix, or not finite.
    """
    features = np.asarray(features, dtype=np.float32)
    if features.ndim != 2:
        raise ValueError(f"`{name}` must have shape (n, d). Received: {features.shape}.")
    finite = np.isfinite(features).all(axis=1)
    if not finite.all():
        raise ValueError(
            f"`{name}` must be finite, {np.sum(~finite)} of its {len(features)} rows are not "
            f"(the first is row {np.argmin(finite)}). Look for NaN in the images that they were "
            "computed from."
        )
    norms = np.linalg.norm(features, axis=1, keepdims=True)
    return features / np.where(norms > 0, norms, 1)


def ranks(queries: np.ndarray, gallery: np.ndarray, truth: np.ndarray) -> np.ndarray:
    """The rank of the right gallery row for each query, by cosine similarity.

    Ties count against the query: rows as similar as the right one (within 1e-6) are ranked
    before it, so that a network that draws the same image for everything gains nothing.

    Args:
        queries: features `(q, d)` of the converted images.
        gallery: features `(g, d)` of the product images.
        truth: int `(q,)`, the row of `gallery` that belongs to each query.

    Returns:
        int64 `(q,)`, 1 for a query whose nearest product is the right one, at most g.

    Raises:
        ValueError: shapes disagree, a row of `truth` is not in the gallery, or a feature is not
            finite.
    """
    queries, gallery = unit_vectors(queries, "queries"), unit_vectors(gallery, "gallery")
    truth = np.asarray(truth)
    if queries.shape[1] != gallery.shape[1] or truth.shape != (len(queries),):
        raise ValueError(
            "`queries` (q, d), `gallery` (g, d) and `truth` (q,) disagree. "
            f"Received: {queries.shape}, {gallery.shape} and {truth.shape}."
        )
    if len(truth) and not (0 <= truth.min() and truth.max() < len(gallery)):
        raise ValueError(
            f"`truth` must hold rows of the gallery, 0 to {len(gallery) - 1}. "
            f"Received: {truth.min()} to {truth.max()}."
        )
    result = np.empty(len(queries), dtype=np.int64)
    chunk = max(1, _CHUNK_SIMILARITIES // max(1, len(gallery)))
    for start in range(0, len(queries), chunk):
        rows = slice(start, start + chunk)
        similarity = queries[rows] @ gallery.T
        right = np.take_along_axis(similarity, truth[rows, None], axis=1)
        # The right row is itself among those counted, which makes the rank 1-based.
        result[rows] = np.sum(similarity >= right - TOLERANCE, axis=1)
    return result


def nearest_rows(queries: np.ndarray, gallery: np.ndarray) -> np.ndarray:
    """The row of the gallery that is nearest to each query, by Euclidean distance.

    With labels, this is a 1-nearest-neighbour classifier: `labels[nearest_rows(queries, images)]`.

    Args:
        queries: `(q, d)`.
        gallery: `(g, d)`, with at least one row.

    Returns:
        int64 `(q,)`; of equally near rows, the first.

    Raises:
        ValueError: shapes disagree, or the gallery is empty.
    """
    queries, gallery = np.asarray(queries, np.float32), np.asarray(gallery, np.float32)
    if queries.ndim != 2 or gallery.ndim != 2 or queries.shape[1] != gallery.shape[1]:
        raise ValueError(
            "`queries` (q, d) and `gallery` (g, d) disagree. "
            f"Received: {queries.shape} and {gallery.shape}."
        )
    if not len(gallery):
        raise ValueError("`gallery` needs at least one row. Received: none.")
    # |q - g|^2 without |q|^2, which is the same for all rows of the gallery.
    squares = np.square(gallery).sum(axis=1)
    chunk = max(1, _CHUNK_SIMILARITIES // len(gallery))
    return np.concatenate(
        [np.empty(0, np.int64)]
        + [
            (squares - 2 * (queries[start : start + chunk] @ gallery.T)).argmin(axis=1)
            for start in range(0, len(queries), chunk)
        ]
    )


def recall_at_k(rank: np.ndarray, k: int) -> float:
    """Share of queries whose right product is among the first k (Recall@K, Kwon et al. 2019).

    Args:
        rank: 1-based `(q,)`, as from `ranks`.
        k: number of results to look at, 1 or more.

    Returns:
        0 to 1. A random order gives k / (size of the gallery).

    Raises:
        ValueError: there are no queries, or k is below 1.
    """
    if len(rank) == 0 or k < 1:
        raise ValueError(f"Recall@K needs queries and k >= 1. Received: {len(rank)} and k={k}.")
    return float(np.mean(np.asarray(rank) <= k))


def median_rank(rank: np.ndarray) -> float:
    """Median of the ranks: 1 is perfect, (size of the gallery + 1) / 2 is chance.

    Args:
        rank: 1-based `(q,)`, as from `ranks`.

    Raises:
        ValueError: there are no queries.
    """
    if len(rank) == 0:
        raise ValueError("The median rank needs at least one query. Received: none.")
    return float(np.median(rank))

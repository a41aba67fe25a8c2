"""Agreement between raters."""

from __future__ import annotations

import numpy as np

LEVELS = ("nominal", "ordinal")


def krippendorff_alpha(ratings: np.ndarray, level: str) -> float | None:
    """Krippendorff's alpha: 1 is full agreement, 0 is chance agreement, below 0 is less.

    Krippendorff, "Computing Krippendorff's Alpha-Reliability", 2011: Sec. C (coincidences, missing
    data) and D (differences).

    Args:
        ratings: numbers `(raters, units)`, NaN where a rater gave none.
        level: "nominal", values differ or do not; or "ordinal", they differ by how many ratings
            lie between them.

    Returns:
        alpha; None where it is not defined: no unit has two ratings, or all of these are equal.

    Raises:
        ValueError: an argument is not of its kind.

    Example:
        `krippendorff_alpha(np.array([[1, 2, 3], [1, 2, np.nan]]), "ordinal")`
    """
    if level not in LEVELS:
        raise ValueError(f"`level` must be one of {LEVELS}. Received: {level!r}")
    ratings = np.asarray(ratings, np.float64)
    if ratings.ndim != 2:
        raise ValueError(f"`ratings` must be (raters, units). Received shape: {ratings.shape}")
    values = np.unique(ratings[~np.isnan(ratings)])
    # How many raters gave each unit each value.
    counts = (ratings[:, :, None] == values).sum(0).astype(np.float64)
    raters = counts.sum(1)
    counts, raters = counts[raters > 1], raters[raters > 1]
    weights = 1 / (raters - 1)
    coincidences = (counts * weights[:, None]).T @ counts - np.diag(weights @ counts)
    totals = coincidences.sum(1)
    if np.count_nonzero(totals) < 2:
        return None
    if level == "nominal":
        differences = 1 - np.eye(len(values))
    else:
        # The ratings from one value to the other, of both values half.
        middles = totals.cumsum() - totals / 2
        differences = (middles[:, None] - middles) ** 2
    expected = np.outer(totals, totals) / (totals.sum() - 1)  # equal values differ by 0
    return float(1 - (coincidences * differences).sum() / (expected * differences).sum())

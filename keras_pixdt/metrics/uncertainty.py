"""The standard error of a score: how far it may be from the score over all such photos."""

from __future__ import annotations

import math

import numpy as np


def standard_error(values: np.ndarray, groups: np.ndarray | None = None) -> float | None:
    """Standard error of the mean of values, some of which belong together.

    Photos of one product give similar images, so ten of them say less than ten photos of ten
    products. The sandwich formula for n values in G groups,

        sqrt(G / (G - 1)) * sqrt(sum over groups of (sum of residuals)^2) / n,

    treats the groups as random draws, not their values. With one value in each group it is the
    sample standard deviation over sqrt(n).

    Args:
        values: `(n,)`, the scores of single photos.
        groups: `(n,)`, the product of each; without it, each value is its own group.

    Returns:
        More than 0. Equal values would give 0, which a few photos do not justify. Shares that are
        all 0 or all 1 therefore get about the error that they would have if one group were
        different, 1 / G for groups of one size. None for other equal values, and for fewer than two
        groups, which say nothing about the next one.

    Raises:
        ValueError: the shapes disagree.
    """
    values = np.asarray(values, np.float64)
    groups = np.arange(len(values)) if groups is None else np.asarray(groups)
    if values.ndim != 1 or groups.shape != values.shape:
        raise ValueError(
            "`values` and `groups` must both have shape (n,). "
            f"Received: {values.shape} and {groups.shape}"
        )
    distinct, group = np.unique(groups, return_inverse=True)
    count = len(distinct)
    if count < 2:
        return None
    if np.ptp(values) == 0:
        if values[0] not in (0, 1):
            return None
        sizes = np.bincount(group)
        return math.sqrt(np.square(sizes).sum() / count) / len(values)
    sums = np.bincount(group, values - values.mean())
    return math.sqrt(count / (count - 1) * np.square(sums).sum()) / len(values)

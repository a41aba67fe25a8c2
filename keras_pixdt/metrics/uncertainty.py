"""How far a score of some photos is from that of all of their kind: its standard error."""

from __future__ import annotations

import math

import numpy as np


def standard_error(values: np.ndarray, groups: np.ndarray | None = None) -> float | None:
    """Standard error of the mean of values, some of which belong together.

    Photos of one product are converted alike, so that ten of them say less than ten of ten
    products. The sandwich formula for n values in G groups,

        sqrt(G / (G - 1)) * sqrt(sum over groups of (sum of residuals)^2) / n,

    takes groups as drawn at random, not their values. With one value in each group it is the
    sample standard deviation over sqrt(n).

    Args:
        values: `(n,)`, the scores of single photos.
        groups: `(n,)`, the product of each; without, each value is a group of its own.

    Returns:
        More than 0. Equal values would give 0, which a few photos do not prove: shares that are all
        0 or all 1 get about the error that they would have if one group were of the other kind,
        1 / G for groups of one size. None for other equal values, and where there are fewer than
        two groups, which say nothing of the next.

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

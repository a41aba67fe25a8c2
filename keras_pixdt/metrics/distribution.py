"""Whether converted images are distributed as product images are.

RMSE and Recall@K reward the blurred average of all plausible garments; a distance between
distributions does not.
"""

from __future__ import annotations

import numpy as np


def kid(
    features_a: np.ndarray,
    features_b: np.ndarray,
    *,
    subset_size: int = 1000,
    subsets: int = 100,
    seed: int = 0,
) -> tuple[float, float]:
    """Kernel distance between two sets of features (KID).

    Binkowski et al. 2018, Demystifying MMD GANs, Section 4: the squared maximum mean
    discrepancy with the kernel k(x, y) = (x.y / d + 1)^3, by the unbiased estimator

        mean of k(a, a') over a != a'  +  mean of k(b, b') over b != b'  -  2 mean of k(a, b),

    averaged over random subsets. Its expectation does not depend on the number of images, and
    it is 0, so that estimates may be negative, when both sets come from one distribution.

    Args:
        features_a: `(n, d)`, such as those of converted images. The kernel presumes features
            of the order of 1 in each dimension.
        features_b: `(m, d)`, such as those of product images.
        subset_size: rows of each set that one estimate takes, without replacement.
        subsets: number of estimates.
        seed: chooses the subsets.

    Returns:
        Mean and standard deviation over the subsets. The latter says how much an estimate of
        this size varies, not how uncertain the mean is.

    Raises:
        ValueError: shapes disagree, a feature is not finite, or a set is smaller than
            `subset_size`.
    """
    a, b = np.asarray(features_a, np.float64), np.asarray(features_b, np.float64)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise ValueError(
            f"KID compares features (n, d) and (m, d). Received: {a.shape} and {b.shape}."
        )
    if not 2 <= subset_size <= min(len(a), len(b)):
        raise ValueError(
            f"KID needs `subset_size` (={subset_size}) of at least 2, and as many features in "
            f"each set. Received: {len(a)} and {len(b)}. Score more images or lower "
            "`subset_size`."
        )
    if subsets < 1:
        raise ValueError(f"`subsets` must be at least 1. Received: {subsets}.")
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError("KID needs finite features. Look for NaN in the images.")
    rng = np.random.default_rng(seed)
    estimates = [
        _squared_mmd(
            a[rng.choice(len(a), subset_size, replace=False)],
            b[rng.choice(len(b), subset_size, replace=False)],
        )
        for _ in range(subsets)
    ]
    return float(np.mean(estimates)), float(np.std(estimates))


def _squared_mmd(a: np.ndarray, b: np.ndarray) -> float:
    """Unbiased estimate from two sets of the same size."""

    def kernel(x, y):
        return (x @ y.T / x.shape[1] + 1.0) ** 3

    def mean_of_distinct(x):
        matrix = kernel(x, x)
        return (matrix.sum() - np.trace(matrix)) / (len(x) * (len(x) - 1))

    return mean_of_distinct(a) + mean_of_distinct(b) - 2.0 * kernel(a, b).mean()

"""Whether converted images have the same distribution as product images.

RMSE and Recall@K reward a blurred average of all plausible garments; a distance between
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

    averaged over random subsets. Its expectation does not depend on the number of images. If both
    sets come from the same distribution the expectation is 0, so estimates may be negative.

    Args:
        features_a: `(n, d)`, such as those of converted images. The kernel assumes features of the
            order of 1 in each dimension.
        features_b: `(m, d)`, such as those of product images.
        subset_size: rows of each set for one estimate, drawn without replacement.
        subsets: number of estimates.
        seed: chooses the subsets.

    Returns:
        Mean and standard deviation over the subsets. The latter says how much an estimate of
        this size varies, not how uncertain the mean is.

    Raises:
        ValueError: shapes disagree, a feature is not finite, or a set is smaller than
            `subset_size`.
    """
    a, b = _checked("KID", features_a, features_b)
    if not 2 <= subset_size <= min(len(a), len(b)):
        raise ValueError(
            f"KID needs `subset_size` (={subset_size}) of at least 2, and as many features in "
            f"each set. Received: {len(a)} and {len(b)}. Score more images or lower "
            "`subset_size`."
        )
    if subsets < 1:
        raise ValueError(f"`subsets` must be at least 1. Received: {subsets}.")
    rng = np.random.default_rng(seed)
    estimates = [
        _squared_mmd(
            a[rng.choice(len(a), subset_size, replace=False)],
            b[rng.choice(len(b), subset_size, replace=False)],
        )
        for _ in range(subsets)
    ]
    return float(np.mean(estimates)), float(np.std(estimates))


def fid(features_a: np.ndarray, features_b: np.ndarray) -> float:
    """Fréchet distance between the Gaussians of two sets of features (FID).

    Heusel et al. 2017, GANs Trained by a Two Time-Scale Update Rule, Eq. 6:

        |m_a - m_b|^2 + trace(C_a + C_b - 2 (C_a C_b)^(1/2)),

    with means m and covariances C. The trace of the root equals that of the symmetric (C_a^(1/2)
    C_b C_a^(1/2))^(1/2), which has the same eigenvalues.

    It is biased: it is larger for fewer images, and above 0 even for two sets from one distribution
    (Binkowski et al. 2018, Section 3). Compare it only between sets of the same sizes, and use many
    more images than dimensions; `kid` has no bias. The papers compute FID over the features of one
    Inception network; other features give another scale.

    Args:
        features_a: `(n, d)`, such as those of converted images.
        features_b: `(m, d)`, such as those of product images.

    Returns:
        The distance, 0 or more, in squared units of the features.

    Raises:
        ValueError: shapes disagree, a feature is not finite, or a set has fewer than two.
    """
    a, b = _checked("FID", features_a, features_b)
    if min(len(a), len(b)) < 2:
        raise ValueError(
            f"FID needs two or more features in each set. Received: {len(a)} and {len(b)}."
        )
    covariance_a, covariance_b = (np.atleast_2d(np.cov(x, rowvar=False)) for x in (a, b))
    values, vectors = np.linalg.eigh(covariance_a)
    # Rounding can make zero eigenvalues negative.
    root_a = vectors * np.sqrt(np.maximum(values, 0.0)) @ vectors.T
    product = np.linalg.eigvalsh(root_a @ covariance_b @ root_a)
    trace_of_root = np.sqrt(np.maximum(product, 0.0)).sum()
    mean = np.square(a.mean(axis=0) - b.mean(axis=0)).sum()
    distance = mean + np.trace(covariance_a) + np.trace(covariance_b) - 2.0 * trace_of_root
    return max(0.0, float(distance))


def _checked(
    name: str, features_a: np.ndarray, features_b: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Checks that both can be compared, and returns them as float64."""
    a, b = np.asarray(features_a, np.float64), np.asarray(features_b, np.float64)
    if a.ndim != 2 or b.ndim != 2 or a.shape[1] != b.shape[1]:
        raise ValueError(
            f"{name} compares features (n, d) and (m, d). Received: {a.shape} and {b.shape}."
        )
    if not (np.isfinite(a).all() and np.isfinite(b).all()):
        raise ValueError(f"{name} needs finite features. Look for NaN in the images.")
    return a, b


def _squared_mmd(a: np.ndarray, b: np.ndarray) -> float:
    """Unbiased estimate from two sets of the same size."""

    def kernel(x: np.ndarray, y: np.ndarray) -> np.ndarray:
        return (x @ y.T / x.shape[1] + 1.0) ** 3

    def mean_of_distinct(x: np.ndarray) -> float:
        matrix = kernel(x, x)
        return (matrix.sum() - np.trace(matrix)) / (len(x) * (len(x) - 1))

    return mean_of_distinct(a) + mean_of_distinct(b) - 2.0 * kernel(a, b).mean()

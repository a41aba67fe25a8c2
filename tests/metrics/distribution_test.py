import itertools

import numpy as np
import pytest

from keras_pixdt.metrics import kid


def kid_by_loops(a, b):
    """The estimator as Binkowski et al. write it: sums over all ordered pairs."""

    def k(x, y):
        return (float(np.dot(x, y)) / len(x) + 1.0) ** 3

    within = [
        sum(k(x, y) for x, y in itertools.permutations(s, 2)) / (len(s) * (len(s) - 1))
        for s in (a, b)
    ]
    return sum(within) - 2 * sum(k(x, y) for x in a for y in b) / (len(a) * len(b))


def normal(n, d=6, shift=0.0, seed=0):
    return np.random.default_rng(seed).normal(shift, 1.0, (n, d))


def test_equals_the_definition():
    a, b = normal(9), normal(9, shift=0.5, seed=1)
    # Subsets of the whole size are the whole set in another order.
    mean, std = kid(a, b, subset_size=9, subsets=3)
    np.testing.assert_allclose(mean, kid_by_loops(a, b), rtol=1e-12)
    np.testing.assert_allclose(std, 0.0, atol=1e-12)


def test_by_hand():
    # d = 1. k(a, a') = (0 + 1)^3, k(b, b') = (2 + 1)^3, k(a, b) = 1 throughout.
    mean, _ = kid([[0.0], [0.0]], [[1.0], [2.0]], subset_size=2, subsets=1)
    assert mean == 1.0 + 27.0 - 2.0


def test_subsets_are_unbiased_and_reproducible():
    a, b = normal(300), normal(300, seed=1)
    mean, std = kid(a, b, subset_size=40, subsets=200, seed=3)
    whole, _ = kid(a, b, subset_size=300, subsets=1)
    assert (mean, std) == kid(a, b, subset_size=40, subsets=200, seed=3)
    assert (mean, std) != kid(a, b, subset_size=40, subsets=200, seed=4)
    # The mean over subsets estimates the statistic of the whole sets, whatever their size.
    assert abs(mean - whole) < 4 * std / np.sqrt(200)


def test_tells_distributions_apart():
    a = normal(200)
    same, std = kid(a, normal(200, seed=1), subset_size=100)
    shifted, _ = kid(a, normal(200, shift=0.5, seed=1), subset_size=100)
    collapsed, _ = kid(a, np.repeat(a[:1], 200, axis=0), subset_size=100)
    assert abs(same) < 3 * std
    assert min(shifted, collapsed) > 5 * abs(same)


def test_bad_arguments_are_named():
    with pytest.raises(ValueError, match=r"`subset_size` \(=1000\).*Received: 20 and 30"):
        kid(normal(20), normal(30))
    with pytest.raises(ValueError, match=r"Received: \(20, 6\) and \(20, 5\)"):
        kid(normal(20), normal(20, d=5))
    with pytest.raises(ValueError, match="finite"):
        kid(np.full((5, 2), np.nan), np.zeros((5, 2)), subset_size=5)

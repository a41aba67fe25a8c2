import itertools

import numpy as np
import pytest

from keras_pixdt.metrics import fid, kid


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


def test_fid_by_hand():
    # One dimension: (m_a - m_b)^2 + (s_a - s_b)^2, here with variances 2 and 32.
    assert fid([[0.0], [2.0]], [[1.0], [9.0]]) == pytest.approx(16 + 2 + 32 - 2 * 8)


def test_fid_of_diagonal_covariances():
    """Between Gaussians with diagonal covariances: of the means and of the deviations."""
    rng = np.random.default_rng(0)
    # Orthogonal columns of mean 0: covariances are exactly diagonal.
    unit = np.linalg.qr(np.column_stack([np.ones(50), rng.normal(size=(50, 4))]))[0][:, 1:] * 7
    means, deviations = rng.normal(size=(2, 4)), rng.uniform(0.1, 3.0, (2, 4))
    a, b = (unit * s + m for m, s in zip(means, deviations, strict=True))
    expected = np.square(means[0] - means[1]).sum() + np.square(np.subtract(*deviations)).sum()
    assert fid(a, b) == pytest.approx(expected, rel=1e-10)


def test_fid_equals_the_definition():
    linalg = pytest.importorskip("scipy.linalg")
    rng = np.random.default_rng(1)
    a, b = (rng.normal(shift, 1, (60, 8)) @ rng.normal(size=(8, 8)) for shift in (0, 1))
    covariances = [np.cov(x, rowvar=False) for x in (a, b)]
    root = linalg.sqrtm(covariances[0] @ covariances[1])
    expected = np.square(a.mean(0) - b.mean(0)).sum()
    expected += np.trace(covariances[0] + covariances[1] - 2 * root.real)
    assert fid(a, b) == pytest.approx(expected, rel=1e-8)
    assert fid(b, a) == pytest.approx(expected, rel=1e-8)


def test_fid_is_0_for_a_set_and_itself_and_falls_with_the_number_of_images():
    a = normal(40)
    assert fid(a, a[::-1]) == pytest.approx(0.0, abs=1e-6)
    # Fewer images than dimensions: eigenvalues that rounding makes negative.
    few = normal(5, d=20)
    assert fid(few, few) == pytest.approx(0.0, abs=1e-6)
    few, many = (fid(normal(n), normal(n, seed=1)) for n in (20, 2000))
    assert few > 10 * many > 0


def test_bad_arguments_of_fid_are_named():
    with pytest.raises(ValueError, match=r"FID compares .* Received: \(20, 6\) and \(20, 5\)"):
        fid(normal(20), normal(20, d=5))
    with pytest.raises(ValueError, match="FID needs finite"):
        fid(np.full((5, 2), np.nan), np.zeros((5, 2)))
    with pytest.raises(ValueError, match="two or more features .* Received: 1 and 20"):
        fid(normal(1), normal(20))

import math

import numpy as np
import pytest

from keras_pixdt.metrics import standard_error


def test_values_of_their_own_by_hand():
    # 1, 2, 6: mean 3, residuals -2, -1, 3, sample variance 14 / 2 = 7.
    assert standard_error([1, 2, 6]) == pytest.approx(math.sqrt(7 / 3))
    assert standard_error([1, 2, 6], [4, 0, 9]) == pytest.approx(math.sqrt(7 / 3))


def test_groups_by_hand():
    # Residuals of 1, 3, 2, 6 are -2, 0, -1, 3: sums -2, 2 of the groups, in any order of the rows.
    expected = math.sqrt(2 / 1) * math.sqrt(4 + 4) / 4
    assert standard_error([1, 3, 2, 6], [7, 7, 8, 8]) == pytest.approx(expected)
    assert standard_error([6, 1, 2, 3], ["b", "a", "b", "a"]) == pytest.approx(expected)
    # Groups of several sizes: residuals -2, -1, 3, sums -3 and 3.
    assert standard_error([1, 2, 6], [0, 0, 1]) == pytest.approx(math.sqrt(2 * 18) / 3)


def test_equal_copies_say_nothing_new():
    values = np.random.default_rng(0).normal(size=20)
    once = standard_error(values)
    assert once == pytest.approx(values.std(ddof=1) / np.sqrt(20))
    assert standard_error(np.repeat(values, 7), np.repeat(np.arange(20), 7)) == pytest.approx(once)


def test_it_is_the_deviation_of_means_of_new_products():
    """By simulation: 30 products of a mean of their own, with 4 photos that vary less."""
    rng = np.random.default_rng(1)
    values = rng.normal(size=(2000, 30, 1)) + 0.3 * rng.normal(size=(2000, 30, 4))
    means = values.mean(axis=(1, 2))
    groups = np.repeat(np.arange(30), 4)
    errors = [standard_error(v.ravel(), groups) for v in values[:200]]
    assert np.mean(errors) == pytest.approx(means.std(), rel=0.05)


def test_one_group_says_nothing_of_the_next():
    assert standard_error([1.0]) is None and standard_error([1, 2, 3], [5, 5, 5]) is None
    assert standard_error([]) is None


def test_shapes_that_disagree():
    with pytest.raises(ValueError, match=r"shape \(n,\). Received: \(3,\) and \(2,\)"):
        standard_error([1, 2, 3], [0, 0])


@pytest.mark.parametrize("value", [0, 1, True])
def test_equal_shares_are_as_sure_as_if_one_were_another(value):
    """So that two photos that are both right do not prove anything."""
    assert standard_error([value] * 9) == pytest.approx(1 / 9)
    assert standard_error([value] * 9) == pytest.approx(standard_error([1 - value] + [value] * 8))
    groups = [0, 0, 1, 1, 2, 2]
    assert standard_error([value] * 6, groups) == pytest.approx(1 / 3)
    # Of groups of any sizes, whatever they are called: sqrt((1 + 1 + 16) / 3) / 6.
    for groups in ([0, 1, 2, 2, 2, 2], [2, 1, 0, 0, 0, 0]):
        assert standard_error([value] * 6, groups) == pytest.approx(np.sqrt(6) / 6)


def test_other_equal_values_have_none():
    assert standard_error([5.0, 5.0]) is None

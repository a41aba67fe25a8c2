import math

import numpy as np
import pytest

from keras_pixdt.study import krippendorff_alpha

NONE = math.nan

# Krippendorff, "Computing Krippendorff's Alpha-Reliability", 2011.
BINARY = [[0, 1, 0, 0, 0, 0, 0, 0, 1, 0], [1, 1, 1, 0, 0, 1, 0, 0, 0, 0]]
TWO_RATERS = [[ord(letter) for letter in row] for row in ("aabbdcccedda", "babbbccceddd")]
FOUR_RATERS = [
    [1, 2, 3, 3, 2, 1, 4, 1, 2, NONE, NONE, NONE],
    [1, 2, 3, 3, 2, 2, 4, 1, 2, 5, NONE, 3],
    [NONE, 3, 3, 3, 2, 3, 4, 2, 2, 5, 1, NONE],
    [1, 2, 3, 3, 2, 4, 4, 1, 2, 5, 1, NONE],
]


@pytest.mark.parametrize(
    ("ratings", "level", "alpha"),
    [
        (BINARY, "nominal", 0.095),  # Sec. A
        (TWO_RATERS, "nominal", 0.692),  # Sec. B
        (FOUR_RATERS, "nominal", 0.743),  # Sec. C
        (FOUR_RATERS, "ordinal", 0.815),  # Sec. D
    ],
)
def test_published_examples(ratings, level, alpha):
    assert krippendorff_alpha(np.array(ratings), level) == pytest.approx(alpha, abs=5e-4)


def from_the_definition(ratings, level):
    """1 - observed / expected disagreement, pair by pair."""
    raters, units = ratings.shape
    rated = [[v for v in ratings[:, u] if not math.isnan(v)] for u in range(units)]
    rated = [values for values in rated if len(values) > 1]
    everything = [value for values in rated for value in values]

    def difference(a, b):
        if level == "nominal":
            return float(a != b)
        low, high = min(a, b), max(a, b)
        between = sum(low <= value <= high for value in everything)
        return (between - (everything.count(low) + everything.count(high)) / 2) ** 2 * (a != b)

    observed = sum(
        difference(a, b) / (len(values) - 1)
        for values in rated
        for i, a in enumerate(values)
        for j, b in enumerate(values)
        if i != j
    )
    expected = sum(difference(a, b) for a in everything for b in everything)
    return 1 - (observed / len(everything)) / (expected / (len(everything) * (len(everything) - 1)))


@pytest.mark.parametrize("level", ["nominal", "ordinal"])
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_is_what_its_definition_gives(level, seed):
    random = np.random.default_rng(seed)
    ratings = random.integers(0, 4, (3, 9)).astype(float)
    ratings[random.random(ratings.shape) < 0.3] = np.nan
    assert krippendorff_alpha(ratings, level) == pytest.approx(from_the_definition(ratings, level))


@pytest.mark.parametrize("level", ["nominal", "ordinal"])
def test_full_agreement_is_1(level):
    assert krippendorff_alpha(np.array([[0, 1, 2, 2]] * 3), level) == 1


def test_opposite_ranks_are_worse_than_chance():
    assert krippendorff_alpha(np.array([[1, 2, 3], [3, 2, 1]]), "ordinal") < 0


@pytest.mark.parametrize(
    "ratings",
    [
        [[0, 1, 2]],  # one rater
        [[0, NONE], [NONE, 1]],  # no unit in common
        [[1, 1], [1, 1]],  # no variation
        [[1, 1, 2], [1, 1, NONE]],  # none in what two have rated
        [[NONE, NONE], [NONE, NONE]],
    ],
)
@pytest.mark.parametrize("level", ["nominal", "ordinal"])
def test_is_not_defined(ratings, level):
    assert krippendorff_alpha(np.array(ratings), level) is None


def test_refuses_what_it_cannot_take():
    with pytest.raises(ValueError, match=r"`level` must be one of .*Received: 'interval'"):
        krippendorff_alpha(np.zeros((2, 2)), "interval")
    with pytest.raises(ValueError, match=r"\(raters, units\). Received shape: \(2,\)"):
        krippendorff_alpha(np.zeros(2), "nominal")

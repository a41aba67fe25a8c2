import numpy as np
import pytest

from keras_pixdt.metrics import consistency_share, cosine, sample_triplets
from keras_pixdt.metrics.consistency import triplet_shares


def test_comparisons_by_hand():
    first = np.array([[1.0, 0.0], [1.0, 0.0], [1.0, 0.0]])
    second = np.array([[3.0, 1.0], [0.0, 1.0], [1.0, 1.0]])
    other = np.array([[0.0, 1.0], [1.0, 1.0], [9.0, 1.0]])
    # Row 0: 0.949 > 0 and 0.949 > 0.316: both hold. Row 1: 0 > 0.707 twice: none.
    # Row 2: 0.707 > 0.994 does not, 0.707 > 0.781 does not.
    assert consistency_share(first, second, other) == pytest.approx(2 / 6)
    np.testing.assert_array_equal(triplet_shares(first, second, other), [1, 0, 0])
    # One comparison of two: s(+, (+)) = 0.6 is above s(+, -) = 0 and below s((+), -) = 0.8.
    assert consistency_share([[1.0, 0.0]], [[0.6, 0.8]], [[0.0, 1.0]]) == 0.5


def test_one_image_for_every_photo_scores_zero():
    rng = np.random.default_rng(0)
    features = np.ones((30, 16)) + rng.normal(size=(30, 16)) * 1e-5  # the noise of float32
    assert consistency_share(features[:10], features[10:20], features[20:]) == 0.0


def test_unrelated_images_score_a_half():
    features = np.random.default_rng(0).normal(size=(3, 4000, 8))
    assert consistency_share(*features) == pytest.approx(0.5, abs=0.03)


def test_similarity_is_replaceable():
    def negative_distance(a, b):
        return -np.linalg.norm(np.subtract(a, b), axis=1)

    triplet = [[1.0, 0.0]], [[2.0, 0.0]], [[1.0, 0.5]]
    # By angle the first two agree; by distance (1, 0) is nearer to (1, 0.5), (2, 0) is not.
    assert consistency_share(*triplet) == 1.0
    assert consistency_share(*triplet, similarity=negative_distance) == 0.5


def test_cosine_of_rows():
    np.testing.assert_allclose(
        cosine([[2.0, 0.0], [0.0, 0.0]], [[1.0, 1.0], [1.0, 0.0]]), [0.5**0.5, 0]
    )


def test_triplets_follow_the_labels():
    labels = np.array([7, 3, 7, 3, 3, 5, 7, 9])
    triplets = sample_triplets(labels, 2000, seed=1)
    assert triplets.shape == (2000, 3)
    first, second, other = triplets.T
    assert (first != second).all()
    np.testing.assert_array_equal(labels[first], labels[second])
    assert (labels[first] != labels[other]).all()
    # Every image that may take a place takes it, those without a partner only the third.
    assert set(first) == set(second) == {0, 1, 2, 3, 4, 6}
    assert set(other) == set(range(8))
    pairs = {(a, b) for a, b in zip(first, second, strict=True)}
    assert len(pairs) == 2 * 3 * 2


def test_triplets_follow_the_seed():
    labels = np.repeat(np.arange(10), 3)
    np.testing.assert_array_equal(sample_triplets(labels, 50, 1), sample_triplets(labels, 50, 1))
    assert (sample_triplets(labels, 50, 1) != sample_triplets(labels, 50, 2)).any()


@pytest.mark.parametrize("labels", [[1, 1, 1], [1, 2, 3], []])
def test_impossible_triplets_are_refused(labels):
    with pytest.raises(ValueError, match="a product with two images, and a second product"):
        sample_triplets(np.array(labels, int), 5)


def test_bad_shapes_are_refused():
    with pytest.raises(ValueError, match="triplets"):
        consistency_share(np.ones((2, 3)), np.ones((2, 3)), np.ones((1, 3)))

import numpy as np
import pytest

from keras_pixdt.metrics import retrieval


def test_ranks_by_hand():
    gallery = np.array([[1.0, 0.0], [0.0, 1.0], [1.0, 1.0], [-1.0, 0.0]])
    queries = np.array([[5.0, 0.1], [5.0, 0.1], [5.0, 0.1], [5.0, 0.1], [0.0, 0.01]])
    # Cosines of (5, 0.1) fall from (1, 0) over (1, 1) and (0, 1) to (-1, 0), whatever the lengths.
    result = retrieval.ranks(queries, gallery, np.array([0, 2, 1, 3, 1]))
    assert result.dtype == np.int64
    np.testing.assert_array_equal(result, [1, 2, 3, 4, 1])


def test_ties_count_against_the_query():
    collapsed = np.ones((3, 8), "float32")
    np.testing.assert_array_equal(retrieval.ranks(collapsed, np.ones((7, 8)), [0, 3, 6]), 7)
    # A query of zeros is equally similar to everything.
    gallery = np.random.default_rng(0).normal(size=(5, 8))
    np.testing.assert_array_equal(retrieval.ranks(np.zeros((1, 8)), gallery, [2]), 5)


def test_chunks_agree_with_a_sort(monkeypatch):
    rng = np.random.default_rng(0)
    queries, gallery = rng.normal(size=(50, 6)), rng.normal(size=(23, 6))
    truth = rng.integers(0, 23, 50)
    cosines = queries @ (gallery / np.linalg.norm(gallery, axis=1, keepdims=True)).T
    expected = [
        1 + list(np.argsort(-row)).index(right) for row, right in zip(cosines, truth, strict=True)
    ]
    np.testing.assert_array_equal(retrieval.ranks(queries, gallery, truth), expected)
    monkeypatch.setattr(retrieval, "_CHUNK_SIMILARITIES", 100)  # four queries at a time
    np.testing.assert_array_equal(retrieval.ranks(queries, gallery, truth), expected)


def test_recall_and_median_rank():
    rank = np.array([1, 2, 2, 10, 11])
    assert retrieval.recall_at_k(rank, 1) == 0.2
    assert retrieval.recall_at_k(rank, 2) == 0.6
    assert retrieval.recall_at_k(rank, 10) == 0.8
    assert retrieval.median_rank(rank) == 2.0
    assert retrieval.median_rank(rank[:4]) == 2.0


def test_bad_arguments_are_named():
    features = np.eye(4)
    with pytest.raises(ValueError, match=r"rows of the gallery, 0 to 3\. Received: 0 to 4"):
        retrieval.ranks(features[:2], features, [0, 4])
    with pytest.raises(ValueError, match="disagree"):
        retrieval.ranks(features, features[:, :3], np.arange(4))
    features[2, 1] = np.nan
    with pytest.raises(ValueError, match=r"`queries` must be finite, 1 of its 4 .*row 2"):
        retrieval.ranks(features, np.eye(4), np.arange(4))
    with pytest.raises(ValueError, match="k >= 1"):
        retrieval.recall_at_k(np.array([1]), 0)
    with pytest.raises(ValueError, match="at least one query"):
        retrieval.median_rank(np.array([]))


def test_nearest_rows_by_euclidean_distance():
    gallery = np.array([[0.0, 0.0], [3.0, 0.0], [3.0, 0.0], [0.0, 10.0]])
    queries = np.array([[1.4, 0.0], [1.6, 0.0], [0.0, 5.1], [100.0, 0.0]])
    assert retrieval.nearest_rows(queries, gallery).tolist() == [0, 1, 3, 1]
    rng = np.random.default_rng(0)
    queries, gallery = rng.normal(size=(50, 7)), rng.normal(size=(30, 7))
    distances = np.linalg.norm(queries[:, None] - gallery, axis=2)
    assert (retrieval.nearest_rows(queries, gallery) == distances.argmin(axis=1)).all()
    assert retrieval.nearest_rows(np.empty((0, 7)), gallery).shape == (0,)


def test_nearest_rows_needs_matrices_that_fit():
    with pytest.raises(ValueError, match=r"disagree. Received: \(2, 3\) and \(2, 4\)"):
        retrieval.nearest_rows(np.zeros((2, 3)), np.zeros((2, 4)))
    with pytest.raises(ValueError, match="`gallery` needs at least one row"):
        retrieval.nearest_rows(np.zeros((2, 3)), np.zeros((0, 3)))

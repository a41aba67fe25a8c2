import dataclasses

import numpy as np
import pytest

from keras_pixdt.data import pairs


def make_pairs() -> pairs.PairSet:
    rng = np.random.default_rng(0)
    return pairs.PairSet(
        sources=rng.integers(0, 256, (6, 4, 4, 3), np.uint8),
        targets=rng.integers(0, 256, (3, 4, 4, 3), np.uint8),
        target_index=np.array([0, 0, 1, 2, 2, 2]),
        product_id=np.array([10, 20, 30]),
        group_id=np.array([10, 10, 30]),
        attributes=({"category": "dress"}, {"category": "coat"}, {}),
    )


@pytest.mark.parametrize("products", [np.array([2, 0]), np.array([True, False, True])])
def test_select_keeps_the_pairs_of_the_products(products):
    every = make_pairs()
    some = every.select(products)
    assert len(some) == 5 and some.image_size == 4
    assert sorted(some.product_id) == [10, 30]
    np.testing.assert_array_equal(some.sources, every.sources[[0, 1, 3, 4, 5]])
    np.testing.assert_array_equal(some.product_id[some.target_index], [10, 10, 30, 30, 30])
    row = list(some.product_id).index(10)
    np.testing.assert_array_equal(some.targets[row], every.targets[0])
    assert some.attributes[row] == {"category": "dress"}


def test_large_sets_go_to_a_file(monkeypatch):
    monkeypatch.setattr(pairs, "_MAX_MEMORY_BYTES", 10)
    every = make_pairs()
    some = every.select(np.array([1, 2]))
    assert isinstance(some.sources, np.memmap)
    np.testing.assert_array_equal(some.sources, every.sources[2:])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"sources": np.zeros((6, 4, 4, 3), np.float32)}, "`sources` must be uint8.*float32"),
        ({"targets": np.zeros((3, 4, 5, 3), np.uint8)}, "`targets` must be uint8.*4, 5"),
        ({"targets": np.zeros((3, 8, 8, 3), np.uint8)}, "one image size"),
        ({"target_index": np.array([0, 0, 1, 2, 2, 3])}, r"\[0, 3\).*from 0 to 3"),
        ({"product_id": np.array([10, 10, 30])}, "unique"),
        ({"group_id": np.array([10, 30])}, r"`group_id` must be int64 of shape \(3,\)"),
        ({"attributes": ({},)}, r"one mapping per product \(3\). Received: 1"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(make_pairs(), **change)

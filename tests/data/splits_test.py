import hashlib

import numpy as np
import pytest

from keras_pixdt.choices import SCHEMES
from keras_pixdt.data import splits


def test_splits_cover_all_products_once_in_the_given_shares():
    group_id = np.arange(20_000)
    for scheme, shares in SCHEMES.items():
        masks = splits.split_groups(group_id, scheme)
        assert list(masks) == list(shares)
        np.testing.assert_array_equal(sum(mask.astype(int) for mask in masks.values()), 1)
        for name, share in shares.items():
            assert masks[name].mean() == pytest.approx(share, abs=0.01)


def test_split_of_a_product_is_what_its_hash_says():
    masks = splits.split_groups(np.arange(1000))
    for group in (0, 1, 17, 999):
        digest = hashlib.sha256(f"lookbook:{group}".encode()).hexdigest()
        fraction = int(digest[:12], 16) / 16**12
        name = "train" if fraction < 0.9 else "validation" if fraction < 0.95 else "test"
        assert masks[name][group]


def test_split_depends_on_no_other_product():
    every = splits.split_groups(np.arange(1000))
    some = splits.split_groups(np.arange(1000)[::-2])
    for name, mask in some.items():
        np.testing.assert_array_equal(mask, every[name][::-2])


def test_groups_stay_together():
    masks = splits.split_groups(np.arange(3000) // 3)
    for mask in masks.values():
        assert set(mask.reshape(-1, 3).sum(axis=1)) <= {0, 3}


def test_tiny_sets_leave_no_split_empty():
    for products in (3, 4, 10):
        masks = splits.split_groups(np.arange(products))
        assert all(mask.any() for mask in masks.values())
        assert sum(mask.sum() for mask in masks.values()) == products


def test_errors_say_what_is_wrong():
    with pytest.raises(ValueError, match="at least 3 groups.*2 group.*from 4 product"):
        splits.split_groups(np.array([5, 5, 5, 9]))
    with pytest.raises(ValueError, match="kwon2019.*yoo2016.*Received: 'random'"):
        splits.split_groups(np.arange(9), "random")


def test_official_splits_are_kept_without_duplicates_of_later_ones():
    official = np.array(["train", "train", "validation", "validation", "test", "train", "test"])
    group_id = np.array([10, 20, 10, 20, 20, 30, 40])
    masks = splits.keep_splits(official, group_id)
    assert {name: mask.nonzero()[0].tolist() for name, mask in masks.items()} == {
        "train": [5],
        "validation": [2],
        "test": [4, 6],
    }


def test_validation_is_taken_from_training_products_by_the_same_hash():
    official = np.array(["train"] * 900 + ["test"] * 100)
    masks = splits.keep_splits(official, np.arange(1000))
    assert list(masks) == ["train", "validation", "test"]
    np.testing.assert_array_equal(masks["test"], official == "test")
    for group in range(900):
        digest = hashlib.sha256(f"lookbook:{group}".encode()).hexdigest()
        is_train = int(digest[:12], 16) / 16**12 < 0.9 / 0.95
        assert masks["train" if is_train else "validation"][group]
    two = splits.keep_splits(np.array(["train", "train", "test"]), np.array([5, 5, 9]))
    assert list(two) == ["train", "test"]  # one group cannot be both


def test_official_splits_without_training_are_an_error():
    with pytest.raises(ValueError, match="each of 2 has a duplicate.*--splits yoo2016"):
        splits.keep_splits(np.array(["train", "train", "test"]), np.array([7, 7, 7]))

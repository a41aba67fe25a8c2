import collections
import logging

import numpy as np
import pytest

from keras_pixdt import data
from keras_pixdt.drawn import rendered
from keras_pixdt.drawn.rendered import truth


def check_splits(loaded: dict[str, data.PairSet]) -> None:
    """No product and no group is in two splits."""
    for key in ("product_id", "group_id"):
        seen = collections.Counter(
            number for pairs in loaded.values() for number in set(getattr(pairs, key).tolist())
        )
        assert set(seen.values()) == {1}


def test_rendered_is_split_by_product():
    loaded = data.load_pairs("rendered", 32, seed=5, num_products=6)
    assert list(loaded) == ["train", "validation", "test"]
    check_splits(loaded)
    assert sum(len(pairs.targets) for pairs in loaded.values()) == 6
    pairs = loaded["train"]
    product = rendered.sample_product(int(pairs.product_id[0]), 5)
    np.testing.assert_array_equal(pairs.targets[0], rendered.draw_product(product, 32))
    views = np.flatnonzero(pairs.target_index == 0)
    assert len(views) == rendered.num_views(product)
    np.testing.assert_array_equal(pairs.sources[views[1]], rendered.draw_person(product, 1, 32))
    assert pairs.attributes[0]["category"] == product.category


def test_a_rendered_folder_is_what_the_rendered_set_is(tmp_path):
    rendered.write_lookbook(tmp_path, 6, 32, 5, processes=1)
    folder = data.load_pairs(tmp_path, 32)
    drawn = data.load_pairs("rendered", 32, seed=5, num_products=6)
    for split, pairs in folder.items():
        np.testing.assert_array_equal(pairs.product_id, drawn[split].product_id)
        np.testing.assert_array_equal(pairs.target_index, drawn[split].target_index)
        assert [item["color"] for item in pairs.attributes] == [
            item["color"] for item in drawn[split].attributes
        ]
        difference = np.abs(pairs.sources.astype(int) - drawn[split].sources)
        assert difference.mean() < 12  # JPEG.


def test_kwon2019_has_no_validation_split(tmp_path):
    rendered.write_lookbook(tmp_path, 6, 32, 5, processes=1)
    loaded = data.load_pairs(tmp_path, 32, splits="kwon2019")
    assert list(loaded) == ["train", "test"]
    check_splits(loaded)


def test_counts_are_logged(tmp_path, caplog):
    rendered.write_lookbook(tmp_path, 6, 32, 5, processes=1)
    (tmp_path / "holiday.jpg").write_bytes(b"")
    with caplog.at_level(logging.INFO, "absl"):
        logging.getLogger("absl").addHandler(caplog.handler)
        data.load_pairs(tmp_path, 32)
        logging.getLogger("absl").removeHandler(caplog.handler)
    assert "left out 1 wrong_name (holiday.jpg)" in caplog.text


def test_errors_name_the_fix():
    with pytest.raises(ValueError, match="`num_products` must be at least 1. Received: 0"):
        data.load_pairs("rendered", num_products=0)
    with pytest.raises(FileNotFoundError, match="no folder or archive at rendred"):
        data.load_pairs("rendred")


def test_street_photos(shared_data):
    loaded = data.load_pairs(shared_data / "street_lookbook")
    check_splits(loaded)
    assert {split: len(pairs.targets) for split, pairs in loaded.items()} == {
        "train": 525,
        "validation": 32,
        "test": 38,
    }
    for pairs in loaded.values():
        assert len(pairs) == 3 * len(pairs.targets)
        assert all(item["category"] for item in pairs.attributes)
        # A product is a garment cut out on white: its corners are; a person's are not.
        assert (pairs.targets[:, 0, 0] > 250).mean() > 0.95


def test_photos_larger_than_drawings(tmp_path):
    drawn = data.load_pairs("rendered", 32, seed=5, num_products=6, photo_size=64, truth=True)
    plain = data.load_pairs("rendered", 32, seed=5, num_products=6)
    for split, pairs in drawn.items():
        assert (pairs.photo_size, pairs.image_size) == (64, 32)
        np.testing.assert_array_equal(pairs.targets, plain[split].targets)
        assert plain[split].masks is None and plain[split].flows is None
        for row, product_id in enumerate(pairs.product_id.tolist()):
            product = rendered.sample_product(product_id, 5)
            np.testing.assert_array_equal(pairs.masks[row], truth.draw_mask(product, 32))
            views = np.flatnonzero(pairs.target_index == row)
            photo = rendered.draw_person(product, 1, 64)
            np.testing.assert_array_equal(pairs.sources[views[1]], photo)
            np.testing.assert_array_equal(pairs.flows[views[1]], truth.flow(product, 1))
    rendered.write_lookbook(tmp_path, 6, 64, 5, processes=1)
    folder = data.load_pairs(tmp_path, 32, photo_size=48, truth=True)
    for split, pairs in folder.items():
        assert pairs.sources.shape == (len(drawn[split]), 48, 48, 3)
        assert pairs.targets.shape[1:] == (32, 32, 3) and pairs.masks is None

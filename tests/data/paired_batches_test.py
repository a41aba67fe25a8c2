import collections
import dataclasses
import json
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest

from keras_pixdt import data
from keras_pixdt.data import augment
from keras_pixdt.data.pairs import PairSet
from keras_pixdt.data.placement import Placement

ROOT = pathlib.Path(__file__).parents[2]


def make_pairs(products: int = 12, views: int = 5, products_per_group: int = 3) -> PairSet:
    """Every image is one level that says what it shows: product p is p, its persons 100 + p."""
    product_id = np.arange(products) + 1000
    target_index = np.repeat(np.arange(products), views)

    def level(values):
        return np.broadcast_to(values[:, None, None, None], (len(values), 2, 2, 3)).astype(np.uint8)

    return PairSet(
        sources=level(target_index + 100),
        targets=level(np.arange(products)),
        target_index=target_index,
        product_id=product_id,
        group_id=1000 + np.arange(products) // products_per_group,
    )


def levels(images: np.ndarray) -> np.ndarray:
    """Inverts to_float, independently of it."""
    return np.rint((images[:, 0, 0, 0] + 1) * 127.5).astype(int)


def rows(dataset, key="source"):
    return [levels(batch[key]).tolist() for batch in dataset]


def test_batches_have_the_contract_s_keys_shapes_and_types():
    dataset = data.triplets(make_pairs(), batch_size=8)
    assert len(dataset) == dataset.num_batches == 7
    for batch in dataset:
        assert sorted(batch) == ["irrelevant", "product_id", "source", "target"]
        for key in ("source", "target", "irrelevant"):
            assert batch[key].shape == (8, 2, 2, 3) and batch[key].dtype == np.float32
        assert batch["product_id"].shape == (8,) and batch["product_id"].dtype == np.int64


def test_an_epoch_has_each_pair_once_with_its_own_target_and_id():
    dataset = data.triplets(make_pairs(), batch_size=7, drop_remainder=False)
    batches = list(dataset)
    assert [len(batch["source"]) for batch in batches] == [7] * 8 + [4]
    source, target, product_id = (
        np.concatenate(parts)
        for parts in (
            [levels(batch["source"]) for batch in batches],
            [levels(batch["target"]) for batch in batches],
            [batch["product_id"] for batch in batches],
        )
    )
    np.testing.assert_array_equal(target, source - 100)
    np.testing.assert_array_equal(product_id, target + 1000)
    assert collections.Counter(source.tolist()) == {100 + product: 5 for product in range(12)}
    assert source.tolist() != sorted(source)


def test_irrelevant_is_of_another_group_and_uniform_over_all_of_them():
    # Groups of different sizes: 4, 3, 1, 2 products.
    pairs = make_pairs(products=10, products_per_group=1)
    group = np.array([0, 0, 0, 0, 1, 1, 1, 2, 3, 3])[np.random.default_rng(0).permutation(10)]
    pairs = PairSet(**{**vars(pairs), "group_id": group.astype(np.int64)})
    dataset = data.triplets(pairs, batch_size=50)
    drawn = np.zeros((10, 10), int)
    for dataset.epoch in range(400):
        for batch in dataset:
            np.add.at(drawn, (levels(batch["target"]), levels(batch["irrelevant"])), 1)
    other = group[:, None] != group[None]
    assert (drawn[~other] == 0).all()
    expected = 2000 / other.sum(axis=1, keepdims=True)
    chi_square = (((drawn - expected) ** 2 / expected) * other).sum()
    # 10 rows of (candidates - 1) degrees of freedom each; the bound is six standard deviations.
    freedom = other.sum() - 10
    assert chi_square < freedom + 6 * np.sqrt(2 * freedom)


def test_an_epoch_is_a_function_of_seed_and_epoch():
    first, second = (data.triplets(make_pairs(), batch_size=10, seed=3) for _ in range(2))
    start = {key: rows(first, key) for key in ("source", "irrelevant")}
    first.on_epoch_end()
    assert first.epoch == 1
    assert rows(first) != start["source"]
    assert rows(first, "irrelevant") != start["irrelevant"]
    second.epoch = 1
    assert rows(second) == rows(first) and rows(second, "irrelevant") == rows(first, "irrelevant")
    second.epoch = 0
    assert {key: rows(second, key) for key in start} == start
    other = data.triplets(make_pairs(), batch_size=10, seed=4)
    assert rows(other) != start["source"]


def test_an_epoch_of_several_passes_has_each_pair_once_a_pass():
    pairs = make_pairs()  # 60 pairs, groups of 3 products
    dataset = data.triplets(pairs, batch_size=25, drop_remainder=False, passes=3)
    batches = list(dataset)
    assert [len(batch["source"]) for batch in batches] == [25] * 7 + [5]
    ids, target, irrelevant = (
        np.concatenate([batch["product_id"] for batch in batches]),
        np.concatenate([levels(batch["target"]) for batch in batches]),
        np.concatenate([levels(batch["irrelevant"]) for batch in batches]),
    )
    passes = ids.reshape(3, 60)
    for ids_of_pass in passes:
        assert collections.Counter(ids_of_pass) == dict.fromkeys(range(1000, 1012), 5)
    assert not np.array_equal(passes[0], passes[1]) and not np.array_equal(passes[1], passes[2])
    np.testing.assert_array_equal(target, ids - 1000)
    assert (irrelevant // 3 != target // 3).all()
    assert len(set(map(tuple, irrelevant.reshape(3, 60)))) == 3
    flipped = data.triplets(pairs, 60, passes=3, mirror=True)
    assert len(flipped) == 3 and rows(flipped) == rows(data.triplets(pairs, 60, passes=3))


def test_reverse_exchanges_source_and_target():
    pairs = make_pairs()
    group = dict(zip(range(12), pairs.group_id.tolist(), strict=True))
    for batch in data.triplets(pairs, batch_size=10, reverse=True):
        np.testing.assert_array_equal(levels(batch["target"]), levels(batch["source"]) + 100)
        np.testing.assert_array_equal(batch["product_id"], levels(batch["source"]) + 1000)
        for product, person in zip(
            levels(batch["source"]), levels(batch["irrelevant"]), strict=True
        ):
            assert person >= 100 and group[person - 100] != group[product]


def test_mirror_flips_half_of_the_triplets_whole_and_leaves_the_pairs_alone():
    pairs = make_pairs(products=40, views=10)
    left_right = np.array([0, 255], np.uint8)[None, None, :, None]
    pairs.sources[:], pairs.targets[:] = left_right, left_right
    dataset = data.triplets(pairs, batch_size=400, mirror=True)
    batch = dataset[0]
    flipped = {key: batch[key][:, 0, 0, 0] > 0 for key in ("source", "target", "irrelevant")}
    assert 150 < flipped["source"].sum() < 250
    np.testing.assert_array_equal(flipped["source"], flipped["target"])
    np.testing.assert_array_equal(flipped["source"], flipped["irrelevant"])
    assert (batch["source"][:, :, 0] == -batch["source"][:, :, 1]).all()
    assert (pairs.sources == left_right).all() and (pairs.targets == left_right).all()


def test_evaluation_goes_through_the_pairs_in_their_order():
    dataset = data.triplets(
        make_pairs(), batch_size=25, shuffle=False, irrelevant=False, drop_remainder=False
    )
    batches = list(dataset)
    assert all(sorted(batch) == ["product_id", "source", "target"] for batch in batches)
    assert sum(rows(dataset), []) == np.repeat(np.arange(100, 112), 5).tolist()
    assert [len(batch["source"]) for batch in batches] == [25, 25, 10]


def test_errors_name_the_argument_and_the_fix():
    pairs = make_pairs()
    with pytest.raises(ValueError, match="`batch_size` must be at least 1. Received: 0"):
        data.triplets(pairs, batch_size=0)
    with pytest.raises(ValueError, match="`passes` must be at least 1. Received: 0"):
        data.triplets(pairs, batch_size=4, passes=0)
    with pytest.raises(ValueError, match=r"at most the number of pairs \(60\).*Received: 61"):
        data.triplets(pairs, batch_size=61)
    with pytest.raises(ValueError, match="another product group.*all 12 products.*one group"):
        data.triplets(make_pairs(products_per_group=12), batch_size=4)
    with pytest.raises(ValueError, match="no pairs"):
        data.triplets(pairs.select(np.zeros(12, bool)), batch_size=4)
    with pytest.raises(IndexError, match=r"\[0, 60\).*Received: 60"):
        data.triplets(pairs, batch_size=1)[60]


def test_to_tf_dataset_repeats_through_the_epochs():
    dataset = data.triplets(make_pairs(), batch_size=10)
    tf_dataset = dataset.to_tf_dataset()
    assert int(tf_dataset.cardinality()) == 6
    assert tf_dataset.element_spec["source"].shape == (10, 2, 2, 3)
    assert tf_dataset.element_spec["product_id"].dtype == "int64"
    found = rows(tf_dataset.repeat(2).as_numpy_iterator())
    first = rows(dataset)
    dataset.on_epoch_end()
    assert found == first + rows(dataset)


def test_to_tf_dataset_goes_on_from_the_epoch_that_was_set():
    dataset = data.triplets(make_pairs(), batch_size=10)
    tf_dataset = dataset.to_tf_dataset()
    assert rows(tf_dataset.as_numpy_iterator()) == rows(dataset)
    for dataset.epoch in (5, 2):
        assert rows(tf_dataset.as_numpy_iterator()) == rows(dataset)


def test_to_tf_dataset_has_the_last_batch_that_is_smaller():
    dataset = data.triplets(make_pairs(), batch_size=16, drop_remainder=False)
    tf_dataset = dataset.to_tf_dataset()
    assert int(tf_dataset.cardinality()) == 4
    assert tf_dataset.element_spec["source"].shape[0] is None
    assert rows(tf_dataset.as_numpy_iterator()) == rows(dataset)


def test_shares_are_even_consecutive_parts_of_each_batch():
    dataset = data.triplets(make_pairs(), batch_size=16, drop_remainder=False, mirror=True)
    dataset.start_epoch(3, first_batch=1)
    for index, batch in enumerate(dataset):  # 60 examples: 16, 16, 16, 12
        shares = [dataset.share(index, share, 4) for share in range(4)]
        assert [len(s["source"]) for s in shares] == [3 if index == 2 else 4] * 4
        for key, rows_of_batch in batch.items():
            np.testing.assert_array_equal(np.concatenate([s[key] for s in shares]), rows_of_batch)
    assert index == 2
    uneven = data.triplets(make_pairs(), batch_size=59, drop_remainder=False)
    sizes = [[len(uneven.share(i, share, 4)["source"]) for share in range(4)] for i in range(2)]
    assert sizes == [[14, 15, 15, 15], [0, 0, 0, 1]]


@pytest.mark.parametrize("share", [-1, 2])
def test_shares_that_there_are_not_are_refused(share):
    with pytest.raises(ValueError, match=rf"`share` must be in \[0, 2\).*Received: {share}"):
        data.triplets(make_pairs(), batch_size=10).share(0, share, 2)


def test_an_epoch_may_start_within_and_have_its_own_batch_size():
    dataset = data.triplets(make_pairs(), batch_size=(10, 20))
    small, irrelevant = rows(dataset), rows(dataset, "irrelevant")
    dataset.start_epoch(0, batch_size=20)
    assert (len(dataset), dataset.batch_size) == (3, 20)
    assert sum(rows(dataset), []) == sum(small, [])  # the order does not depend on the size
    dataset.start_epoch(0, batch_size=10, first_batch=4)
    assert (len(dataset), dataset.num_batches, dataset.first_batch) == (2, 2, 4)
    assert rows(dataset) == small[4:]
    tf_dataset = dataset.to_tf_dataset()
    assert tf_dataset.element_spec["source"].shape[0] is None
    assert rows(tf_dataset.as_numpy_iterator(), "irrelevant") == irrelevant[4:]
    dataset.start_epoch(1)
    assert (len(dataset), dataset.batch_size, dataset.first_batch) == (6, 10, 0)
    assert rows(tf_dataset.as_numpy_iterator()) == rows(dataset)


def test_start_epoch_refuses_what_the_epoch_does_not_have():
    dataset = data.triplets(make_pairs(), batch_size=(10, 20))
    with pytest.raises(ValueError, match=r"one of \(10, 20\).*Received: 30"):
        dataset.start_epoch(0, batch_size=30)
    with pytest.raises(ValueError, match=r"`first_batch` must be in \[0, 6\).*Received: 6"):
        dataset.start_epoch(0, first_batch=6)
    assert (dataset.batch_size, dataset.first_batch) == (10, 0)
    with pytest.raises(ValueError, match=r"at most the number of pairs \(60\)"):
        data.triplets(make_pairs(), batch_size=(10, 61))


class LabelledTriplets(data.Triplets):
    """Makes the products the labels, so that a loss can tell which batch it was given."""

    def __getitem__(self, index):
        batch = super().__getitem__(index)
        return batch["source"], batch["product_id"].astype(np.float32)


class SeenProducts(keras.losses.Loss):
    """Makes the loss of a batch a number that depends on the order of its products."""

    def call(self, y_true, y_pred):
        position = keras.ops.cast(keras.ops.arange(keras.ops.shape(y_true)[0]), "float32")
        return (y_true - 1000.0) * (position + 1.0) + 0.0 * keras.ops.mean(y_pred)


def batches_that_fit_sees() -> list[list[float]]:
    """Per epoch, the loss of each batch: a fingerprint of its products in their order."""
    dataset = LabelledTriplets(make_pairs(), batch_size=10)
    model = keras.Sequential([keras.layers.Flatten(), keras.layers.Dense(1)])
    model.compile(optimizer="sgd", loss=SeenProducts())
    seen: list[list[float]] = []

    class Record(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            seen.append([])
            self.total = 0.0

        def on_train_batch_end(self, batch, logs=None):
            # The loss in the logs is the mean since the epoch began.
            total = float(logs["loss"]) * (batch + 1)
            seen[-1].append(round(total - self.total, 1))
            self.total = total

    model.fit(dataset, epochs=3, shuffle=False, verbose=0, callbacks=[Record()])
    return seen


def batches_drawn_directly() -> list[list[float]]:
    dataset = LabelledTriplets(make_pairs(), batch_size=10)
    epochs = []
    for dataset.epoch in (1, 2, 3):
        weight = np.arange(10) + 1
        epochs.append([round(float(((ids - 1000) * weight).mean()), 1) for _, ids in dataset])
    return epochs


def test_each_epoch_of_fit_is_the_next_epoch():
    expected = batches_drawn_directly()
    assert len(expected[0]) == 6 and expected[0] != expected[1]
    np.testing.assert_allclose(batches_that_fit_sees(), expected, atol=0.2)


def test_fit_sees_the_same_batches_with_jax_where_tensorflow_is_not_imported():
    program = (
        "import json, sys; from tests.data import paired_batches_test; "
        "seen = paired_batches_test.batches_that_fit_sees(); "
        "assert 'tensorflow' not in sys.modules; print(json.dumps(seen))"
    )
    result = subprocess.run(
        [sys.executable, "-c", program],
        cwd=ROOT,
        env={**os.environ, "KERAS_BACKEND": "jax"},
        capture_output=True,
        text=True,
    )
    assert result.returncode == 0, result.stderr
    seen = json.loads(result.stdout.splitlines()[-1])
    np.testing.assert_allclose(seen, batches_drawn_directly(), atol=0.2)


# Truth and augmentation


def known_pairs(products=6, views=4, photo=8, size=4, rows=2) -> PairSet:
    """Random pictures; each mask and flow says whose it is."""
    rng = np.random.default_rng(0)
    count = products * views
    flows = np.broadcast_to(np.arange(count)[:, None, None, None] / 100, (count, rows, rows, 2))
    flows = flows.astype(np.float16)
    flows[:, 0, 0] = np.nan
    return PairSet(
        sources=rng.integers(0, 256, (count, photo, photo, 3), np.uint8),
        targets=rng.integers(0, 256, (products, size, size, 3), np.uint8),
        target_index=np.repeat(np.arange(products), views),
        product_id=np.arange(products),
        group_id=np.arange(products),
        masks=np.repeat(np.arange(products, dtype=np.uint8), size * size).reshape(-1, size, size),
        flows=flows,
    )


def test_photos_may_be_larger_and_truth_comes_with_its_pair():
    pairs = known_pairs()
    assert (pairs.photo_size, pairs.image_size) == (8, 4)
    dataset = data.triplets(pairs, 5, irrelevant=False, drop_remainder=False, truth=True)
    for batch in dataset:
        count = len(batch["source"])
        assert {key: (value.shape, value.dtype) for key, value in batch.items()} == {
            "source": ((count, 8, 8, 3), np.float32),
            "target": ((count, 4, 4, 3), np.float32),
            "mask": ((count, 4, 4, 1), np.float32),
            "flow": ((count, 2, 2, 2), np.float32),
            "product_id": ((count,), np.int64),
        }
        np.testing.assert_allclose(batch["mask"][:, 0, 0, 0], batch["product_id"] / 255, rtol=1e-6)
        assert np.isnan(batch["flow"][:, 0, 0]).all()
        index = np.rint(batch["flow"][:, 1, 1, 0] * 100).astype(int)
        np.testing.assert_array_equal(batch["source"], data.to_float(pairs.sources[index]))
    assert "flow" not in data.triplets(pairs, 5, irrelevant=False)[0]
    unknown = PairSet(**{**vars(pairs), "masks": None, "flows": None})
    assert {"mask", "flow"}.isdisjoint(data.triplets(unknown, 5, irrelevant=False, truth=True)[0])
    some = pairs.select(np.array([4, 1]))
    np.testing.assert_array_equal(some.masks[:, 0, 0], [4, 1])
    np.testing.assert_array_equal(some.flows, pairs.flows[[4, 5, 6, 7, 16, 17, 18, 19]])


def test_a_flipped_pair_has_flipped_truth():
    pairs = known_pairs()
    plain = data.triplets(pairs, 24, shuffle=False, irrelevant=False, truth=True)[0]
    mirrored = data.triplets(pairs, 24, shuffle=False, irrelevant=False, truth=True, mirror=True)[0]
    flipped = (mirrored["target"] != plain["target"]).any(axis=(1, 2, 3))
    assert 4 < flipped.sum() < 20
    for key in ("source", "target", "mask", "flow"):
        expected = plain[key].copy()
        expected[flipped] = expected[flipped, :, ::-1]
        if key == "flow":
            expected[flipped, ..., 0] *= -1
        np.testing.assert_array_equal(mirrored[key], expected, err_msg=key)


def test_augmented_pairs_are_changed_as_drawn():
    pairs = known_pairs()
    options = {"shuffle": False, "irrelevant": False, "truth": True}
    first, again = (data.triplets(pairs, 8, seed=3, augment=True, **options) for _ in range(2))
    batch = first[1]
    rng = np.random.default_rng((3, 0))
    changes = augment.draw(rng, 24)[8:16]
    for i, change in enumerate(changes):
        source = 8 + i
        photo, product, flow, _ = augment.change_pair(
            augment.Pair(pairs.sources[source], pairs.targets[source // 4], pairs.flows[source]),
            change,
        )
        np.testing.assert_array_equal(batch["source"][i], data.to_float(photo))
        np.testing.assert_array_equal(batch["target"][i], data.to_float(product))
        np.testing.assert_allclose(batch["flow"][i], flow, atol=1e-3)
    masks = batch["mask"][:, 0, 0, 0] * 255
    np.testing.assert_allclose(masks, pairs.target_index[8:16], rtol=1e-6)
    for key, value in again[1].items():
        np.testing.assert_array_equal(value, batch[key])
    first.on_epoch_end()
    assert (first[1]["source"] != batch["source"]).any()
    # The data themselves stay.
    np.testing.assert_array_equal(pairs.sources, known_pairs().sources)
    np.testing.assert_array_equal(pairs.flows, known_pairs().flows)


def cut_out_pairs():
    """Pairs of which every other product was cut out of its photos."""
    pairs = known_pairs()
    placements = np.full((len(pairs), 2, 2), np.nan, np.float32)
    placements[pairs.target_index % 2 == 0] = [[0.6, 0.5], [0.1, -0.2]]
    return dataclasses.replace(pairs, flows=None, masks=None, placements=placements)


def test_cut_out_garments_are_changed_apart_and_have_the_flow_of_what_is_left_of_them():
    pairs = cut_out_pairs()
    options = {"shuffle": False, "irrelevant": False, "truth": True, "augment": True}
    batches = data.triplets(pairs, 8, seed=3, **options)
    batch = batches[1]
    assert "mask" not in batch
    rng = np.random.default_rng((3, 0))
    changes, others = augment.draw(rng, 24)[8:16], rng.integers(24, size=24)[8:16]
    for i, (change, other) in enumerate(zip(changes, others, strict=True)):
        source = 8 + i
        placement = Placement(*pairs.placements[source].astype(float))
        found = augment.change_pair(
            augment.Pair(
                pairs.sources[source],
                pairs.targets[source // 4],
                placement=placement if placement.known else None,
            ),
            change,
            augment.Pair(pairs.sources[other], pairs.targets[other // 4])
            if other // 4 != source // 4
            else None,
        )
        np.testing.assert_array_equal(batch["source"][i], data.to_float(found.photo))
        np.testing.assert_array_equal(batch["target"][i], data.to_float(found.product))
        flow = (found.placement or placement).flow(found.product)
        np.testing.assert_allclose(batch["flow"][i], flow, atol=1e-6)
        assert np.isfinite(batch["flow"][i]).any() == placement.known
    for key, value in batches.share(1, 1, 2).items():
        np.testing.assert_array_equal(value, batch[key][4:])
    np.testing.assert_array_equal(pairs.sources, known_pairs().sources)
    np.testing.assert_array_equal(pairs.targets, known_pairs().targets)
    half = pairs.select(np.array([2, 3]))
    np.testing.assert_array_equal(half.placements, pairs.placements[8:16])


def test_cut_out_garments_that_are_not_augmented_have_their_flow_too():
    pairs = cut_out_pairs()
    options = {"shuffle": False, "irrelevant": False}
    batch = data.triplets(pairs, 8, truth=True, **options)[0]
    np.testing.assert_allclose(
        batch["flow"][0], Placement(*pairs.placements[0]).flow(pairs.targets[0]), atol=1e-6
    )
    assert "flow" not in data.triplets(pairs, 8, **options)[0]


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"augment": True}, "pass irrelevant=False, reverse=False.*irrelevant=True"),
        ({"augment": True, "irrelevant": False, "reverse": True}, "Received.*reverse=True"),
        ({"truth": True, "reverse": True}, "known of products.*reverse=False"),
    ],
)
def test_what_augmentation_and_truth_need(options, message):
    with pytest.raises(ValueError, match=message):
        data.triplets(known_pairs(), 4, **options)

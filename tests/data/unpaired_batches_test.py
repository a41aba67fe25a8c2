import collections

import numpy as np
import pytest

from keras_pixdt import data
from tests.data.paired_batches_test import levels, make_pairs, rows


def make_domains(sources: int = 20, targets: int = 7) -> data.DomainSet:
    """Every image is one level that says which it is: sources from 100, targets from 0."""

    def level(values):
        return np.broadcast_to(values[:, None, None, None], (len(values), 2, 2, 3)).astype(np.uint8)

    return data.DomainSet(level(100 + np.arange(sources)), level(np.arange(targets)))


def epoch_of(dataset, key):
    return sum(rows(dataset, key), [])


def test_batches_have_the_contract_s_keys_shapes_and_types():
    dataset = data.unpaired(make_domains(), batch_size=8)
    assert len(dataset) == dataset.num_batches == 2
    for batch in dataset:
        assert sorted(batch) == ["source", "target"]
        for images in batch.values():
            assert images.shape == (8, 2, 2, 3) and images.dtype == np.float32


@pytest.mark.parametrize(("sources", "targets"), [(20, 7), (7, 20), (20, 20)])
def test_an_epoch_goes_once_through_the_larger_domain_and_repeats_the_other(sources, targets):
    dataset = data.unpaired(make_domains(sources, targets), batch_size=8, drop_remainder=False)
    assert [len(batch["source"]) for batch in dataset] == [8, 8, 4]
    for key, count, first in (("source", sources, 100), ("target", targets, 0)):
        drawn = epoch_of(dataset, key)
        every = list(range(first, first + count))
        for start in range(0, 20, count):
            part = drawn[start : start + count]
            assert part != every[: len(part)] and len(set(part)) == len(part)
            assert set(part) <= set(every)
        if count == 7:  # each time in another order
            assert drawn[:7] != drawn[7:14]


def test_rows_of_the_two_domains_have_nothing_to_do_with_each_other():
    dataset = data.unpaired(make_domains(4, 4), batch_size=4)
    together = np.zeros((4, 4), int)
    for dataset.epoch in range(900):
        batch = dataset[0]
        np.add.at(together, (levels(batch["source"]) - 100, levels(batch["target"])), 1)
    assert np.abs(together - 225).max() < 6 * np.sqrt(225)


def test_an_epoch_is_a_function_of_seed_and_epoch():
    first, second = (data.unpaired(make_domains(), 5, seed=3, mirror=True) for _ in range(2))
    start = {key: rows(first, key) for key in ("source", "target")}
    first.on_epoch_end()
    assert first.epoch == 1
    assert all(rows(first, key) != start[key] for key in start)
    second.epoch = 1
    assert {key: rows(second, key) for key in start} == {key: rows(first, key) for key in start}
    second.epoch = 0
    assert {key: rows(second, key) for key in start} == start
    assert rows(data.unpaired(make_domains(), 5, seed=4)) != start["source"]


def test_reverse_exchanges_the_domains():
    batch = data.unpaired(make_domains(), 20, reverse=True)[0]
    assert sorted(levels(batch["target"])) == list(range(100, 120))
    assert set(levels(batch["source"])) == set(range(7))


def test_mirror_flips_half_of_each_domain_independently():
    left_right = np.broadcast_to(np.array([0, 255], np.uint8)[:, None], (400, 2, 2, 3)).copy()
    domains = data.DomainSet(left_right, left_right.copy())
    batch = data.unpaired(domains, 400, mirror=True)[0]
    flipped = {key: images[:, 0, 0, 0] > 0 for key, images in batch.items()}
    counts = collections.Counter(zip(*(f.tolist() for f in flipped.values()), strict=True))
    assert set(counts) == {(a, b) for a in (False, True) for b in (False, True)}
    assert min(counts.values()) > 60  # of 100 expected
    assert (domains.sources == left_right).all() and (domains.targets == left_right).all()


def test_evaluation_goes_through_the_domains_in_their_order():
    dataset = data.unpaired(make_domains(), 8, shuffle=False, drop_remainder=False)
    assert epoch_of(dataset, "source") == list(range(100, 120))
    assert epoch_of(dataset, "target") == [*range(7), *range(7), *range(6)]


def test_shares_sizes_and_first_batches_are_those_of_all_batches():
    dataset = data.unpaired(make_domains(), batch_size=(4, 8), mirror=True)
    small = {key: rows(dataset, key) for key in ("source", "target")}
    for index, batch in enumerate(dataset):
        shares = [dataset.share(index, share, 3) for share in range(3)]
        for key, images in batch.items():
            np.testing.assert_array_equal(np.concatenate([s[key] for s in shares]), images)
    dataset.start_epoch(0, batch_size=8)
    assert epoch_of(dataset, "source") == sum(small["source"], [])[:16]
    dataset.start_epoch(0, batch_size=4, first_batch=3)
    assert rows(dataset, "target") == small["target"][3:]


def test_to_tf_dataset_repeats_through_the_epochs():
    dataset = data.unpaired(make_domains(), batch_size=10)
    tf_dataset = dataset.to_tf_dataset()
    assert int(tf_dataset.cardinality()) == 2
    assert {key: spec.shape for key, spec in tf_dataset.element_spec.items()} == {
        "source": (10, 2, 2, 3),
        "target": (10, 2, 2, 3),
    }
    found = rows(tf_dataset.repeat(2).as_numpy_iterator(), "target")
    first = rows(dataset, "target")
    dataset.on_epoch_end()
    assert found == first + rows(dataset, "target")


def test_errors_name_the_argument_and_the_fix():
    domains = make_domains()
    with pytest.raises(ValueError, match="`batch_size` must be at least 1. Received: 0"):
        data.unpaired(domains, batch_size=0)
    with pytest.raises(ValueError, match=r"images of the larger domain \(20\).*Received: 21"):
        data.unpaired(domains, batch_size=21)
    with pytest.raises(ValueError, match="sizes that Unpaired was made with. Received: 3"):
        data.unpaired(domains, batch_size=4).start_epoch(0, batch_size=3)
    with pytest.raises(ValueError, match=r"`targets` has no images.*\(0, 2, 2, 3\)"):
        data.DomainSet(domains.sources, domains.targets[:0])
    with pytest.raises(ValueError, match="`sources` must be uint8.*float32"):
        data.DomainSet(domains.sources.astype(np.float32), domains.targets)
    with pytest.raises(ValueError, match="one image size"):
        data.unpaired(data.DomainSet(np.zeros((20, 4, 4, 3), np.uint8), domains.targets), 4)


def test_pairs_can_be_used_without_their_pairing():
    pairs = make_pairs()
    domains = pairs.domains()
    assert domains.sources is pairs.sources and domains.targets is pairs.targets
    assert (len(domains), domains.image_size) == (60, 2)


def test_labels_leave_the_batches_as_they_are():
    plain = make_domains()
    labels = data.Labels(np.arange(20) % 3, ("0", "1", "2"))
    labelled = data.DomainSet(plain.sources, plain.targets, labels)
    for reverse in (False, True):
        expected, found = (data.unpaired(each, 5, reverse=reverse) for each in (plain, labelled))
        for key in ("source", "target"):
            assert rows(found, key) == rows(expected, key)
        assert sorted(found[0]) == ["source", "target"]

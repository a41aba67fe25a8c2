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
        ({"targets": np.zeros((3, 4, 5), np.uint8)}, "`targets` must be uint8.*4, 5"),
        ({"masks": np.zeros((3, 8, 4), np.uint8)}, r"`masks` must be.*\(3, 4, 4\).*\(3, 8, 4\)"),
        ({"flows": np.zeros((6, 2, 2, 2))}, r"`flows` must be.*float16.*float64"),
        ({"target_index": np.array([0, 0, 1, 2, 2, 3])}, r"\[0, 3\).*from 0 to 3"),
        ({"product_id": np.array([10, 10, 30])}, "unique"),
        ({"group_id": np.array([10, 30])}, r"`group_id` must be int64 of shape \(3,\)"),
        ({"attributes": ({},)}, r"one mapping per product \(3\). Received: 1"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(make_pairs(), **change)


# Labels


def make_labels(*index: int) -> pairs.Labels:
    return pairs.Labels(np.array(index, np.int64), ("coat", "dress", "hat"))


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"names": ()}, r"`names` must be one or more different names.*Received: \(\)"),
        ({"names": ("coat", "hat", "coat")}, "different names of classes.*'hat', 'coat'"),
        ({"index": np.array([0, 1], np.int32)}, "`index` must be int64.*int32 of shape"),
        ({"index": np.array([0.0, 1.0])}, "float64"),
        ({"index": np.array([[0, 1]])}, r"\(count,\).*of shape \(1, 2\)"),
        ({"index": np.array([0, 3])}, r"in \[0, 3\), the rows of `names`.*from 0 to 3"),
        ({"index": np.array([2, -1])}, "from -1 to 2"),
    ],
)
def test_labels_that_do_not_fit_are_refused(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(make_labels(0, 2), **change)


def test_domains_have_a_label_for_each_image_or_none():
    every = make_pairs()
    for name, count in (("source_labels", 6), ("target_labels", 3)):
        message = f"`{name}` must be None or one label for each of the {count} images. Received: 2"
        with pytest.raises(ValueError, match=message):
            pairs.DomainSet(every.sources, every.targets, **{name: make_labels(0, 1)})
    assert pairs.DomainSet(every.sources, every.targets).source_labels is None


@pytest.mark.parametrize("rows", [np.array([3, 1]), np.array([False, True, False, True])])
def test_selected_labels_keep_their_names(rows):
    labels = make_labels(2, 0, 1, 1)
    some = labels.select(rows)
    assert sorted(some.index) == [0, 1] and some.names == labels.names
    assert some.index[list(rows).index(1) if rows.dtype != bool else 0] == 0


def test_exchanged_domains_exchange_their_labels():
    every = make_pairs()
    sources, targets = make_labels(0, 1, 2, 0, 1, 2), make_labels(2, 1, 0)
    both = pairs.DomainSet(every.sources, every.targets, sources, targets).exchanged()
    assert both.sources is every.targets and both.source_labels is targets
    assert both.targets is every.sources and both.target_labels is sources
    one = pairs.DomainSet(every.sources, every.targets, target_labels=targets).exchanged()
    assert one.source_labels is targets and one.target_labels is None


# Labels of products


def with_categories(*categories: str) -> pairs.PairSet:
    attributes = tuple({"category": name} if name else {} for name in categories)
    return dataclasses.replace(make_pairs(), attributes=attributes)


def test_categories_that_lack_one_of_a_product_are_refused():
    with pytest.raises(ValueError, match="every product; hat missing. Received: coat, dress"):
        with_categories("coat", "hat", "coat").domains(["coat", "dress"])
    with pytest.raises(ValueError, match="different names of classes"):
        with_categories("coat", "coat", "coat").domains(["coat", "coat"])


def test_categories_of_products_are_labels_of_products_and_persons():
    domains = with_categories("hat", "coat", "hat").domains()
    for labels, index in (
        (domains.target_labels, [1, 0, 1]),
        (domains.source_labels, [1, 1, 0, 1, 1, 1]),  # of the products 0, 0, 1, 2, 2, 2
    ):
        assert labels.names == ("coat", "hat")
        np.testing.assert_array_equal(labels.index, index)


def test_given_categories_name_the_labels_of_every_split_alike():
    categories = ["hat", "dress", "coat"]
    for names, index in ((("hat", "coat", "hat"), [0, 2, 0]), (("dress",) * 3, [1, 1, 1])):
        labels = with_categories(*names).domains(categories).target_labels
        assert labels.names == ("hat", "dress", "coat")
        np.testing.assert_array_equal(labels.index, index)


@pytest.mark.parametrize("names", [("hat", "", "coat"), ("hat", "hat", "hat"), ()])
def test_pairs_of_unknown_categories_or_of_one_have_no_labels(names):
    domains = with_categories(*names).domains()
    assert domains.source_labels is None and domains.target_labels is None

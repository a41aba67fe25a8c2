import threading

import numpy as np
import pytest

from keras_pixdt.data.stored import Stored, as_images

COUNT, SHAPE = 7, (2, 3)


class Records:
    """Record n is two bytes of n; counts what is read."""

    def __init__(self):
        self.read, self.changed = [], {}

    def __getitem__(self, record):
        self.read.append(record)
        return self.changed.get(record, bytes([record, record]))


def decode(data, record):
    assert data[0] == record
    return np.full(SHAPE, data[1], np.uint8)


def stored(records=None, rows=None, dtype=np.uint8):
    rows = np.arange(COUNT)[::-1].copy() if rows is None else np.array(rows)
    return Stored(records or Records(), decode, rows, SHAPE, dtype)


def array(rows=None):
    rows = range(COUNT)[::-1] if rows is None else rows
    return np.stack([np.full(SHAPE, row, np.uint8) for row in rows])


@pytest.mark.parametrize(
    "key",
    [
        0, -1, np.int64(3), slice(None), slice(1, 6, 2), slice(None, None, -1), slice(0, 0),
        [5, 0, 5], np.array([[0, 1], [6, 2]]), np.arange(COUNT) % 2 == 0, np.array([], int),
    ],
    ids=str,
)  # fmt: skip
def test_is_indexed_like_an_array(key):
    found, expected = stored()[key], array()[key]
    assert (found.shape, found.dtype) == (expected.shape, expected.dtype)
    np.testing.assert_array_equal(found, expected)
    found[...] = 99  # a new array each time
    np.testing.assert_array_equal(stored()[key], expected)


def test_looks_like_an_array():
    images, expected = stored(), array()
    for name in ("shape", "ndim", "dtype"):
        assert getattr(images, name) == getattr(expected, name)
    assert len(images) == COUNT
    np.testing.assert_array_equal(np.asarray(images), expected)
    assert np.asarray(images, np.float32).dtype == np.float32
    np.testing.assert_array_equal(np.stack(list(images)), expected)
    assert stored(dtype=np.float16)[1:3].dtype == np.float16
    assert as_images(images) is images and isinstance(as_images([[1]]), np.ndarray)
    with pytest.raises(ValueError, match="`copy` cannot be False"):
        np.asarray(images, copy=False)


def test_a_selection_reads_nothing_until_it_is_indexed():
    records = Records()
    images = stored(records).select(np.array([6, 1, 1])).select(np.array([True, False, True]))
    assert records.read == [] and images.shape == (2, *SHAPE)
    np.testing.assert_array_equal(images[:], array([0, 5]))
    assert sorted(records.read) == [0, 5]


@pytest.mark.parametrize("key", [COUNT, [0, -COUNT - 1], np.ones(3, bool)], ids=str)
def test_there_are_no_other_rows(key):
    with pytest.raises(IndexError):
        stored()[key]


def test_other_indices_than_rows_are_refused():
    with pytest.raises(IndexError, match="rows only.*Received: 2 indices"):
        stored()[:, 0]


def test_an_error_of_a_thread_reaches_the_caller():
    records = Records()
    records.changed[4] = bytes([5, 5])
    with pytest.raises(AssertionError):
        stored(records)[:]


def test_images_are_decoded_by_several_threads():
    both = threading.Barrier(2, timeout=60)

    def decode_together(data, record):
        if record in (0, 100):  # tasks of different threads
            both.wait()
        return np.zeros(SHAPE, np.uint8)

    images = Stored(Records(), decode_together, np.arange(101), SHAPE)
    assert images[:].shape == (101, *SHAPE)


def test_the_digest_sees_what_differs_and_reads_a_few_records():
    digest = stored().digest()
    same, changed = Records(), Records()
    same.changed[6], changed.changed[6] = b"\6\6 and what is no image", b"\6x"
    assert stored(same).digest() == digest
    others = [
        stored(changed), stored(rows=range(COUNT)), stored(rows=range(COUNT - 1)),
        stored(dtype=np.int8),
    ]  # fmt: skip
    assert len({digest, *(each.digest() for each in others)}) == 5
    many = Records()
    Stored(many, decode, np.arange(200), SHAPE).digest()
    assert len(many.read) == 32 and min(many.read) == 0 and max(many.read) == 199

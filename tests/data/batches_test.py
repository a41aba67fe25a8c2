import threading

import numpy as np
import pytest

from keras_pixdt import data
from keras_pixdt.data.batches import Ahead


def pairs(count=10):
    levels = np.random.default_rng(0).integers(0, 256, (count, 8, 8, 3), np.uint8)
    ids = np.arange(count)
    return data.PairSet(levels, levels, ids, ids, ids)


def batches():
    return data.triplets(pairs(), (3, 2), seed=1, drop_remainder=False, mirror=True)


def assert_equal(found, expected):
    assert found.keys() == expected.keys()
    for key, rows in expected.items():
        np.testing.assert_array_equal(found[key], rows, err_msg=key)


def test_batches_are_the_same_in_every_epoch():
    alone, ahead = batches(), Ahead(batches())
    assert ahead.batch_sizes == (3, 2)
    for _ in range(2):
        assert int(ahead.num_batches) == len(alone) == 4
        for index in range(4):
            assert_equal(ahead[index], alone[index])
        alone.on_epoch_end()
        ahead.on_epoch_end()


def test_any_batch_may_be_asked_for_and_the_epoch_may_be_set():
    alone, inner = batches(), batches()
    ahead = Ahead(inner)
    for index in (2, 3, 0, 0, 1):
        assert_equal(ahead[index], alone[index])
    for each in (alone, inner):
        each.start_epoch(3, 2, first_batch=1)
    assert int(ahead.num_batches) == 4
    for index in (2, 3):  # 2 was begun in the other epoch
        assert_equal(ahead[index], alone[index])
    with pytest.raises(IndexError, match=r"`index` must be in \[0, 4\)"):
        ahead[4]


def test_the_next_batch_is_begun_before_it_is_asked_for():
    made = threading.Event()

    class Watched(data.Triplets):
        def _rows(self, draws):
            if threading.current_thread() is not threading.main_thread():
                made.set()
            return super()._rows(draws)

    ahead = Ahead(Watched(pairs(), 5))
    ahead[0]
    assert made.wait(60)


def test_an_error_while_making_it_comes_with_it():
    class Broken(data.Triplets):
        broken = True

        def _rows(self, draws):
            if len(draws["pair"]) == 4 and self.broken:
                raise OSError("no more")
            return super()._rows(draws)

    batches = Broken(pairs(), 6, drop_remainder=False)
    ahead = Ahead(batches)
    ahead[0]
    with pytest.raises(OSError, match="no more"):
        ahead[1]
    batches.broken = False
    assert len(ahead[1]["source"]) == 4  # made again


def test_on_tensorflow_fit_makes_batches_during_steps():
    """What `Distribution.feed` relies on, when it hands over batches as they are."""
    import keras

    made = [threading.Event() for _ in range(5)]

    class Watched(data.Triplets):
        def __getitem__(self, index):
            batch = super().__getitem__(index)
            if ready.is_set():  # before, Keras looks at the shapes of some
                made[index].set()
            return batch

    ready = threading.Event()

    class Waits(keras.callbacks.Callback):
        def on_epoch_begin(self, epoch, logs=None):
            ready.set()

        def on_train_batch_end(self, batch, logs=None):
            if batch == 0:
                assert made[1].wait(60)  # although nobody asks for it meanwhile

    class Nothing(keras.Model):
        def train_step(self, batch):
            return {"loss": keras.ops.mean(batch["source"])}

    model = Nothing()
    model.compile()
    model.fit(Watched(pairs(), 2), shuffle=False, verbose=0, callbacks=[Waits()])
    assert all(each.is_set() for each in made)

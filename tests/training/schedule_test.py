import dataclasses
import types

import keras
import numpy as np
import pytest

from keras_pixdt import data, presets
from keras_pixdt.models.pixel_dtgan import PixelDTGAN
from keras_pixdt.presets import Phase
from keras_pixdt.training import schedule
from keras_pixdt.training.schedule import Progress, Schedule
from tests.data.batches_test import make_pairs
from tests.samples import batch_of


class StubModel:
    """What schedules touch of a model, with the optional method for stages."""

    def __init__(self):
        self.optimizer = types.SimpleNamespace(learning_rate=None)
        self.stop_training = False
        self.phases = []

    def on_phase(self, index, progress):
        self.phases.append((index, progress))


def staged(*phases):
    """A preset with the phases, of 60 pairs' batches."""
    return dataclasses.replace(presets.get("yoo2016"), phases=phases, batch_size=30)


def started(preset, **length):
    batches = data.triplets(make_pairs(), batch_size=preset.batch_sizes)
    found = Schedule(preset, batches, **length)
    found.set_model(StubModel())
    return found, batches


def by_epoch(preset, epochs):
    """(rate, batch size) of each epoch."""
    found, batches = started(preset, epochs=epochs)
    rows = []
    for epoch in range(epochs):
        found.on_epoch_begin(epoch)
        rows.append((found.model.optimizer.learning_rate, batches.batch_size))
        assert batches.epoch == epoch
        found.on_epoch_end(epoch)
    return rows, found.model.phases


YOO = staged((25, 2e-4), (5, 2e-5))


def test_yoo2016_lowers_the_rate_after_25_of_30_epochs():
    assert presets.get("yoo2016").phases == YOO.phases
    rows, phases = by_epoch(YOO, 30)
    assert rows == [(2e-4, 30)] * 25 + [(2e-5, 30)] * 5
    assert [index for index, _ in phases] == [0] * 25 + [1] * 5


def test_phases_stretch_over_a_run_of_other_length():
    assert by_epoch(YOO, 60)[0] == [(2e-4, 30)] * 50 + [(2e-5, 30)] * 10
    assert by_epoch(YOO, 6)[0] == [(2e-4, 30)] * 5 + [(2e-5, 30)]


def test_stages_have_batches_of_their_own_size_and_tell_the_model_how_far_they_are():
    """As Kwon et al. 2019 grow their network: batches of 60, 40, 20."""
    kwon = staged((2, 1e-3, 60), (4, 1e-3), (2, 1e-3, 20))
    rows, phases = by_epoch(kwon, 8)
    assert rows == [(1e-3, 60)] * 2 + [(1e-3, 30)] * 4 + [(1e-3, 20)] * 2
    assert [index for index, _ in phases] == [0] * 2 + [1] * 4 + [2] * 2
    shares = [0, 0.5, 0, 0.25, 0.5, 0.75, 0, 0.5]
    np.testing.assert_allclose([share for _, share in phases], shares, atol=1e-9)


def test_the_rate_reaches_every_player():
    model = PixelDTGAN(image_size=16, width=1 / 32)
    model.compile(keras.optimizers.SGD(1e-3))
    found = Schedule(YOO, data.triplets(make_pairs(), 30), epochs=30)
    found.set_model(model)
    for epoch, rate in ((0, 2e-4), (25, 2e-5)):
        found.on_epoch_begin(epoch)
        for player in model.players:
            assert float(model.optimizer[player].learning_rate) == pytest.approx(rate)


# Minutes


@pytest.fixture
def clock(monkeypatch):
    """The time that the callbacks see, in minutes."""
    clock = types.SimpleNamespace(minutes=1000.0)
    monkeypatch.setattr(schedule.time, "monotonic", lambda: clock.minutes * 60)
    return clock


def test_minutes_start_after_the_first_batch_and_stretch_the_phases(clock):
    found, _ = started(YOO, minutes=60)  # 25 of 30 epochs: 50 minutes
    found.on_epoch_begin(0)
    found.on_train_batch_begin(0)
    clock.minutes += 500  # tracing and compiling
    for batch, (minutes, rate, stopped) in enumerate(
        ((0, 2e-4, False), (49.9, 2e-4, False), (50.1, 2e-5, False), (59.9, 2e-5, False),
         (60, 2e-5, True))
    ):  # fmt: skip
        clock.minutes = 1500 + minutes
        found.on_train_batch_begin(1 + batch)
        assert found.model.optimizer.learning_rate == rate, minutes
        assert found.model.stop_training == stopped, minutes
        assert found.progress.minutes == pytest.approx(minutes)


def test_with_minutes_the_batch_size_changes_at_the_first_epoch_after_its_time(clock):
    found, batches = started(staged((1, 1e-3, 20), (1, 1e-4, 10)), minutes=10)
    found.on_epoch_begin(0)
    found.on_train_batch_begin(0)
    found.on_train_batch_begin(1)
    clock.minutes += 6
    found.on_train_batch_begin(2)
    assert (found.model.optimizer.learning_rate, batches.batch_size) == (1e-4, 20)
    found.on_epoch_end(0)
    found.on_epoch_begin(1)
    assert batches.batch_size == 10


def test_an_interrupted_run_goes_on_with_its_clock_and_its_batch(clock):
    preset = staged((1, 1e-3, 20), (1, 1e-4, 10))
    progress = Progress(epoch=3, batch=2, batch_size=20, minutes=6.0)
    found, batches = started(preset, minutes=10, progress=progress)
    # 3 batches of 20, 2 of them done: `fit` asks before the epoch begins.
    assert (batches.epoch, len(batches)) == (3, 1)
    batches.on_epoch_end()  # Keras does before the first epoch
    found.on_epoch_begin(3)
    assert (batches.epoch, batches.batch_size, batches.first_batch) == (3, 20, 2)
    assert found.model.optimizer.learning_rate == 1e-4
    found.on_train_batch_begin(0)
    clock.minutes += 100  # tracing
    found.on_epoch_end(3)
    found.on_epoch_begin(4)
    assert (batches.batch_size, batches.first_batch) == (10, 0)
    found.on_train_batch_begin(0)
    found.on_train_batch_begin(1)
    clock.minutes += 3
    found.on_train_batch_begin(2)
    assert (found.progress.minutes, found.model.stop_training) == (pytest.approx(9), False)
    clock.minutes += 1
    found.on_train_batch_begin(3)
    assert found.model.stop_training


def test_minutes_end_fit_within_an_epoch(clock):
    class Tick(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            clock.minutes += 1
            seen.append(batch)

    seen = []
    model = PixelDTGAN(image_size=16, width=1 / 32)
    model.compile(keras.optimizers.SGD(1e-3), run_eagerly=True)
    limit = Schedule(YOO, data.triplets(make_pairs(), 30), minutes=2)
    model.fit(batch_of(10), batch_size=2, epochs=4, callbacks=[Tick(), limit], verbose=0)
    assert seen == [0, 1, 2, 3]  # the clock starts with batch 1; batch 3 begins 2 minutes later


@pytest.mark.parametrize(
    ("length", "message"),
    [
        ({"minutes": 0}, r"`minutes` must be positive\. Received: 0"),
        ({"minutes": float("nan")}, r"`minutes` must be positive\. Received: nan"),
        ({"epochs": 0}, r"`epochs` must be at least 1\. Received: 0"),
        ({}, "either `minutes` or `epochs`"),
        ({"epochs": 1, "minutes": 1}, "either `minutes` or `epochs`"),
    ],
)
def test_wrong_lengths_are_refused(length, message):
    with pytest.raises(ValueError, match=message):
        started(YOO, **length)


def test_phases_may_be_plain_tuples():
    assert YOO.phases == (Phase(25, 2e-4, None), Phase(5, 2e-5))

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
from tests.data.paired_batches_test import make_pairs
from tests.samples import batch_of


class StubModel:
    """What schedules touch of a model, with the optional method for stages."""

    def __init__(self):
        self.optimizer = types.SimpleNamespace(learning_rate=None)
        self.stop_training = False
        self.phases = []

    def _attach_state(self):
        pass

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


def by_step(preset, epochs, **options):
    """Of each epoch, and within it of each step: (rate, batch size, phase, share of it)."""
    found, batches = started(preset, epochs=epochs, **options)
    rows = []
    for epoch in range(epochs):
        found.on_epoch_begin(epoch)
        assert batches.epoch == epoch
        rows.append([])
        for batch in range(len(batches)):
            found.on_train_batch_begin(batch)
            rate, size = found.model.optimizer.learning_rate, batches.batch_size
            rows[-1].append((rate, size, *found.model.phases[-1]))
        found.on_epoch_end(epoch)
    return rows


def by_epoch(preset, epochs):
    """(rate, batch size) of each epoch, the same in all of its steps."""
    rows = [{step[:2] for step in epoch} for epoch in by_step(preset, epochs)]
    return [row for (row,) in rows]


YOO = staged((25, 2e-4), (5, 2e-5))


def test_yoo2016_lowers_the_rate_after_25_of_30_epochs():
    assert presets.get("yoo2016").phases == YOO.phases
    assert by_epoch(YOO, 30) == [(2e-4, 30)] * 25 + [(2e-5, 30)] * 5


def test_phases_stretch_over_a_run_of_other_length():
    assert by_epoch(YOO, 60) == [(2e-4, 30)] * 50 + [(2e-5, 30)] * 10
    assert by_epoch(YOO, 6) == [(2e-4, 30)] * 5 + [(2e-5, 30)]


def test_stages_have_batches_of_their_own_size_and_tell_the_model_how_far_they_are():
    """As Kwon et al. 2019 grow their network: batches of 60, 40, 20."""
    kwon = staged((2, 1e-3, 60), (4, 1e-3), (2, 1e-3, 20))
    assert by_epoch(kwon, 8) == [(1e-3, 60)] * 2 + [(1e-3, 30)] * 4 + [(1e-3, 20)] * 2
    steps = by_step(kwon, 8)
    assert [{step[2] for step in epoch} for epoch in steps] == [{0}] * 2 + [{1}] * 4 + [{2}] * 2
    # 60 pairs: 1 step in an epoch of the first phase, 2 of the second, 3 of the third.
    shares = [[step[3] for step in epoch] for epoch in steps]
    expected = [[1], [2]], [[1, 2], [3, 4], [5, 6], [7, 8]], [[1, 2, 3], [4, 5, 6]]
    lengths = (2, 8, 6)
    for found, step in zip(
        sum(shares, []),
        [k / length for phase, length in zip(expected, lengths, strict=True)
         for k in sum(phase, [])],
        strict=True,
    ):  # fmt: skip
        assert found == pytest.approx(step)


def test_a_fade_in_of_one_epoch_rises_with_every_step_from_above_0_to_1():
    (fade_in, stabilization) = by_step(staged((1, 1e-3, 6), (1, 1e-3, 6)), 2)
    np.testing.assert_allclose([step[3] for step in fade_in], np.arange(1, 11) / 10)
    assert [step[2] for step in fade_in + stabilization] == [0] * 10 + [1] * 10


@pytest.mark.parametrize("epochs", [1, 2, 3, 4, 5, 7, 10])
def test_no_phase_is_left_out_however_long_the_run_is(epochs):
    """In steps, each has its share of the run; rates follow within epochs too."""
    preset = staged((1, 1e-3), (1, 5e-4), (1, 3e-4), (3, 1e-4))
    preset = dataclasses.replace(preset, batch_size=2)  # 30 steps in an epoch
    steps = sum(by_step(preset, epochs), [])
    counts = np.bincount([index for _, _, index, _ in steps])
    np.testing.assert_allclose(counts, 30 * epochs * np.array([1, 1, 1, 3]) / 6, atol=1)
    assert all(rate == preset.phases[index].learning_rate for rate, _, index, _ in steps)
    assert all(0 < share <= 1 for *_, share in steps)


def test_a_phase_shorter_than_a_step_is_left_out():
    steps = sum(by_step(staged((1, 1e-3, 30), (1, 5e-4, 30), (2, 1e-4, 30)), 1), [])
    assert [index for _, _, index, _ in steps] == [0, 2]


def test_an_epoch_has_the_smallest_batches_of_the_phases_that_it_touches():
    """What fits into memory in a later stage decides, not the stage in which the epoch begins."""
    preset = staged((1, 1e-3, 30), (2, 5e-4, 10), (1, 1e-4, 20))
    sizes = {1: [10], 2: [10, 10], 3: [10, 10, 10], 4: [30, 10, 10, 20], 8: 2 * [30] + 4 * [10]}
    for epochs, expected in sizes.items():
        found = [{step[1] for step in epoch} for epoch in by_step(preset, epochs)]
        assert found[: len(expected)] == [{size} for size in expected]
        assert [preset.epoch_batch_size(i, epochs) for i in range(len(expected))] == expected


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
    assert (found.progress.steps, found.progress.samples) == (3, 3 * 20)
    found.on_train_batch_begin(0)
    found.on_train_batch_begin(1)
    found.on_epoch_end(1)
    assert (found.progress.steps, found.progress.samples) == (5, 3 * 20 + 2 * 10)


def test_with_minutes_a_stage_begins_within_an_epoch_and_never_at_0(clock):
    found, _ = started(staged((1, 1e-3, 20), (1, 1e-4, 10)), minutes=10)
    found.on_epoch_begin(0)
    seen = []
    for batch, minutes in enumerate((0, 0, 2.5, 5, 7.5)):
        clock.minutes = 1000 + minutes
        found.on_train_batch_begin(batch)
        seen.append(found.model.phases[-1])
    assert [index for index, _ in seen] == [0, 0, 0, 1, 1]
    assert [share for _, share in seen] == pytest.approx([1e-3, 1e-3, 0.5, 1e-3, 0.5])


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
    assert (found.progress.steps, found.progress.samples) == (3, 60)  # with the 2 before
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


def test_what_is_trained_after_all_phases_is_the_end_of_the_last():
    """Not a phase that is over: small images would come back, and large rates."""
    preset = staged((2, 1e-3, 30), (1, 1e-4, 20))
    rows = by_step(preset, 2, over=True)
    assert [set(epoch) for epoch in rows] == [{(1e-4, 20, 1, 1.0)}] * 2
    assert [len(epoch) for epoch in rows] == [3, 3]
    limited, batches = started(preset, minutes=9e9, over=True)
    limited.on_epoch_begin(0)
    limited.on_train_batch_begin(0)
    assert (limited.model.optimizer.learning_rate, batches.batch_size) == (1e-4, 20)
    assert set(limited.model.phases) == {(1, 1.0)} and not limited.model.stop_training

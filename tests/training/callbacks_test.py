import types

import keras
import numpy as np
import pytest

from keras_pixdt import data, presets
from keras_pixdt.models.pixel_dtgan import PixelDTGAN
from keras_pixdt.training import callbacks
from keras_pixdt.training.callbacks import (
    ImageGrid,
    PhasedLearningRate,
    PlayerDivergedError,
    StopOnDivergence,
    TimeBudget,
)

PLAYERS = ["real_fake_discriminator", "domain_discriminator", "converter"]


def tiny_model():
    model = PixelDTGAN(image_size=16, width=1 / 32, seed=0)
    model.compile(keras.optimizers.SGD(1e-3), run_eagerly=True)
    return model


def batch_of(count):
    rng = np.random.default_rng(0)
    return {
        key: rng.uniform(-1, 1, (count, 16, 16, 3)).astype("float32")
        for key in ("source", "target", "irrelevant")
    }


def stub_model():
    """What schedules touch of a model."""
    return types.SimpleNamespace(
        optimizer=types.SimpleNamespace(learning_rate=None), stop_training=False
    )


# StopOnDivergence


class Spoil(keras.callbacks.Callback):
    """Sets a player's weights to NaN before a batch."""

    def __init__(self, player, epoch, batch):
        super().__init__()
        self.player, self.place = player, (epoch, batch)

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_begin(self, batch, logs=None):
        if (self.epoch, batch) == self.place:
            for variable in self.model.player_variables(self.player):
                variable.assign(np.full(variable.shape, np.nan))


@pytest.mark.parametrize("player", PLAYERS[:2])
def test_divergence_names_the_player_the_epoch_and_the_batch(player):
    model = tiny_model()
    stop = [Spoil(player, epoch=1, batch=1), StopOnDivergence()]
    with pytest.raises(PlayerDivergedError) as error:
        model.fit(batch_of(8), batch_size=4, epochs=3, callbacks=stop, verbose=0)
    message = str(error.value)
    # Losses after it are NaN too: the first one is named.
    assert message.startswith(f"The loss of the player '{player}' became nan in epoch 2, batch 2.")
    assert "learning rate" in message  # what to do


def test_a_diverging_converter_is_named_although_it_spoils_the_losses_of_all():
    model = tiny_model()
    stop = [Spoil("converter", epoch=0, batch=1), StopOnDivergence()]
    with pytest.raises(PlayerDivergedError, match="'converter' became nan in epoch 1, batch 2"):
        model.fit(batch_of(8), batch_size=4, callbacks=stop, verbose=0)


class SpoilGradient(keras.optimizers.SGD):
    """An optimizer whose updates are not finite."""

    def update_step(self, gradient, variable, learning_rate):
        self.assign(variable, np.full(variable.shape, np.inf, "float32"))


@pytest.mark.parametrize("player", PLAYERS)
def test_an_update_that_is_not_finite_is_named_before_it_spoils_a_loss(player):
    model = PixelDTGAN(image_size=16, width=1 / 32, seed=0)
    optimizers = {name: keras.optimizers.SGD(1e-3) for name in PLAYERS}
    model.compile({**optimizers, player: SpoilGradient(1e-3)}, run_eagerly=True)
    if player == "converter":  # the last to be updated: no loss has seen it yet
        message = "weights of the player 'converter' became not finite in epoch 1, batch 1"
    else:  # the converter's loss has
        message = "in epoch 1, batch 1"
    with pytest.raises(PlayerDivergedError, match=message):
        model.fit(batch_of(4), batch_size=4, callbacks=[StopOnDivergence()], verbose=0)


def test_an_exploding_objective_stops_with_the_players_name():
    model = PixelDTGAN(image_size=16, width=1 / 32, mse_weight=1e39)  # over float32's largest
    model.compile(keras.optimizers.SGD(1e-3), run_eagerly=True)
    with pytest.raises(PlayerDivergedError, match="'converter' became inf in epoch 1, batch 1"):
        model.fit(batch_of(4), batch_size=4, callbacks=[StopOnDivergence()], verbose=0)


def test_finite_losses_do_not_stop():
    history = tiny_model().fit(
        batch_of(8), batch_size=4, epochs=2, callbacks=[StopOnDivergence()], verbose=0
    )
    assert len(history.epoch) == 2


# Learning rates


def rates_by_epoch(preset, epochs):
    schedule = PhasedLearningRate(preset, epochs)
    schedule.set_model(stub_model())
    rates = []
    for epoch in range(epochs):
        schedule.on_epoch_begin(epoch)
        rates.append(schedule.model.optimizer.learning_rate)
    return rates


def test_yoo2016_lowers_the_rate_after_25_of_30_epochs():
    assert rates_by_epoch(presets.get("yoo2016"), 30) == [2e-4] * 25 + [2e-5] * 5


def test_phases_stretch_over_a_run_of_other_length():
    assert rates_by_epoch(presets.get("yoo2016"), 60) == [2e-4] * 50 + [2e-5] * 10
    assert rates_by_epoch(presets.get("yoo2016"), 6) == [2e-4] * 5 + [2e-5]


def test_the_rate_reaches_every_player():
    model = tiny_model()
    schedule = PhasedLearningRate(presets.get("yoo2016"), 30)
    schedule.set_model(model)
    for epoch, rate in ((0, 2e-4), (25, 2e-5)):
        schedule.on_epoch_begin(epoch)
        for name in PLAYERS:
            assert float(model.optimizer[name].learning_rate) == pytest.approx(rate)


@pytest.fixture
def clock(monkeypatch):
    """The time that the callbacks see, in minutes."""
    clock = types.SimpleNamespace(minutes=1000.0)
    monkeypatch.setattr(callbacks.time, "monotonic", lambda: clock.minutes * 60)
    return clock


def test_time_budget_starts_after_the_first_batch_and_stretches_the_phases(clock):
    budget = TimeBudget(presets.get("yoo2016"), minutes=60)  # 25 of 30 epochs: 50 minutes
    budget.set_model(stub_model())
    clock.minutes += 500  # tracing and compiling
    for minutes, rate, stopped in (
        (0, 2e-4, False),
        (49.9, 2e-4, False),
        (50.1, 2e-5, False),
        (59.9, 2e-5, False),
        (60, 2e-5, True),
    ):
        clock.minutes = 1500 + minutes
        budget.on_train_batch_end(0)
        assert budget.model.optimizer.learning_rate == rate, minutes
        assert budget.model.stop_training == stopped, minutes


def test_time_budget_ends_fit_within_an_epoch(clock):
    class Tick(keras.callbacks.Callback):
        def on_train_batch_begin(self, batch, logs=None):
            clock.minutes += 1

    seen = []
    count = keras.callbacks.LambdaCallback(
        on_train_batch_end=lambda batch, logs: seen.append(batch)
    )
    budget = TimeBudget(presets.get("yoo2016"), minutes=2)
    tiny_model().fit(
        batch_of(10), batch_size=2, epochs=4, callbacks=[Tick(), budget, count], verbose=0
    )
    assert seen == [0, 1, 2]  # the clock starts after batch 0; batch 2 ends 2 minutes later


@pytest.mark.parametrize("minutes", [0, -1.5, float("nan")])
def test_time_budget_refuses_no_time(minutes):
    with pytest.raises(ValueError, match=rf"`minutes` must be positive\. Received: {minutes}"):
        TimeBudget(presets.get("yoo2016"), minutes)


# ImageGrid


def flat_images(levels, size=6):
    """One image of one gray level for each of `levels`, in [-1, 1]."""
    levels = np.asarray(levels, "float32")[:, None, None, None]
    return data.to_float(np.broadcast_to(levels, (len(levels), size, size, 3)).astype("uint8"))


def cells(path, rows, columns, size=6, gap=2):
    """The gray level of every cell, once the picture is found to have them all."""
    picture = data.read_image(path)
    assert picture.shape == (rows * (size + gap) - gap, columns * (size + gap) - gap, 3)
    levels = []
    for row in range(rows):
        for column in range(columns):
            top, left = row * (size + gap), column * (size + gap)
            cell = picture[top : top + size, left : left + size]
            assert (cell == cell[0, 0, 0]).all()
            levels.append(int(cell[0, 0, 0]))
    return np.reshape(levels, (rows, columns)).tolist()


def test_image_grid_shows_source_converted_target(tmp_path):
    batch = {"source": flat_images([10, 11, 12, 13]), "target": flat_images([30, 31, 32, 33])}

    def convert(source):  # 10 levels lighter
        return source + 10 / 127.5

    grid = ImageGrid(batch, tmp_path / "new" / "grids", columns=2)
    grid.set_model(types.SimpleNamespace(predict_on_batch=convert))
    grid.on_epoch_end(0)
    grid.on_epoch_end(11)
    written = sorted(path.name for path in (tmp_path / "new" / "grids").iterdir())
    assert written == ["epoch_001.png", "epoch_012.png"]
    # Two triples side by side; down the columns the examples follow one another.
    assert cells(tmp_path / "new" / "grids" / "epoch_001.png", rows=2, columns=6) == [
        [10, 20, 30, 12, 22, 32],
        [11, 21, 31, 13, 23, 33],
    ]


def test_image_grid_of_fewer_examples_than_columns(tmp_path):
    batch = {"source": flat_images([1, 2]), "target": flat_images([5, 6])}
    grid = ImageGrid(batch, tmp_path, columns=4)
    grid.set_model(types.SimpleNamespace(predict_on_batch=lambda source: source))
    grid.on_epoch_end(0)
    assert cells(tmp_path / "epoch_001.png", rows=1, columns=6) == [[1, 1, 5, 2, 2, 6]]

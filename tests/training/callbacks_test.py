import dataclasses
import types

import keras
import numpy as np
import pytest

from keras_pixdt import data, metrics, presets
from keras_pixdt.layers import normalizations
from keras_pixdt.models.discogan import DiscoGAN
from keras_pixdt.models.domain_transfer import DomainTransferNetwork
from keras_pixdt.models.pixel_dtgan import PixelDTGAN
from keras_pixdt.training import callbacks, checkpoint, schedule
from keras_pixdt.training.callbacks import (
    ImageGrid,
    PlayerDivergedError,
    StopOnDivergence,
)
from tests.samples import batch_of, images

PLAYERS = ["real_fake_discriminator", "domain_discriminator", "converter"]


def tiny_model():
    model = PixelDTGAN(image_size=16, width=1 / 32)
    model.compile(keras.optimizers.SGD(1e-3), run_eagerly=True)
    return model


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
    model = PixelDTGAN(image_size=16, width=1 / 32)
    optimizers = {name: keras.optimizers.SGD(1e-3) for name in PLAYERS}
    model.compile({**optimizers, player: SpoilGradient(1e-3)}, run_eagerly=True)
    if player == "converter":  # the last to be updated: no loss has seen it yet
        message = "weights of the player 'converter' became not finite at the end of epoch 1"
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


def test_losses_that_arrive_late_and_in_another_order_name_the_first_batch():
    stop = StopOnDivergence()
    stop.set_model(types.SimpleNamespace(players=PLAYERS, steps_per_execution=1))
    stop.on_epoch_begin(4)
    losses = {f"{player}_loss": 1.0 for player in PLAYERS}
    spoiled = {f"{player}_loss": np.nan for player in PLAYERS}
    for batch in range(3):
        stop.on_train_batch_begin(batch)
    stop.on_train_batch_end(2, spoiled)
    stop.on_train_batch_begin(3)  # batch 3 is bad, but 2 and 1 are not there yet
    stop.on_train_batch_end(1, {**spoiled, "real_fake_discriminator_loss": 1.0})
    stop.on_train_batch_begin(4)
    stop.on_train_batch_end(0, losses)
    message = "'domain_discriminator' became nan in epoch 5, batch 2"
    with pytest.raises(PlayerDivergedError, match=message):
        stop.on_train_batch_begin(5)


def test_fit_does_not_wait_for_losses_because_of_the_callbacks():
    """On JAX Keras waits for each batch if a callback looks at its end and is not async_safe."""
    batches = types.SimpleNamespace(start_epoch=None)
    progress = schedule.Progress()
    given = [
        StopOnDivergence(),
        ImageGrid(batch_of(2), "grids"),
        callbacks.EpochsForTensorBoard("logs"),
        callbacks.AveragedWeights(batch_of(2)["source"]),
        schedule.Schedule(presets.get("yoo2016"), batches, minutes=1.0, progress=progress),
        checkpoint.Checkpoint("run", progress, save_every=1),
    ]
    for callback in given:
        for hook in (callback.on_batch_end, callback.on_train_batch_end):
            assert getattr(callback, "async_safe", False) or hook._is_default, callback


# Averages


def test_averages_are_those_of_the_hand_and_take_part_only_where_they_should(tmp_path):
    preset = dataclasses.replace(
        presets.get("demo"), image_size=16, width=1 / 32, phases=((1, 1e-2),), ema_momentum=0.75
    )
    model = preset.model(seed=0)
    model.compile(preset.optimizers(model.players), [metrics.RootMeanSquaredError()])
    initial = [np.array(w) for w in model.converter.get_weights()]
    raw, seen = [], []

    class Look(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            raw.append([np.array(v) for v in self.model.converter.trainable_variables])

        def on_epoch_end(self, epoch, logs=None):
            seen.append(logs["val_rmse"])
            np.testing.assert_array_equal(
                raw[-1][0], self.model.converter.trainable_variables[0]
            )  # training goes on with the raw ones

    batch = batch_of(12)
    averages = callbacks.AveragedWeights(batch["source"])
    grid = ImageGrid(batch_of(4), tmp_path, averages=averages)
    model.fit(
        batch, validation_data=batch, batch_size=4, epochs=1, shuffle=False, verbose=0,
        callbacks=[averages, grid, Look()],
    )  # fmt: skip
    expected = raw[0]
    for step in raw[1:]:
        expected = [0.75 * mean + 0.25 * new for mean, new in zip(expected, step, strict=True)]
    found = model.converter.trainable_variables  # after fit: the averages
    assert not np.array_equal(raw[-1][0], expected[0])
    for mean, variable in zip(expected, found, strict=True):
        np.testing.assert_allclose(mean, variable, rtol=0, atol=1e-7)
    assert not np.array_equal(initial[0], found[0])
    assert seen == [pytest.approx(model.evaluate(batch, batch_size=4, verbose=0), rel=1e-6)]
    picture = tmp_path / "again.png"
    callbacks.write_grid(
        picture, grid._batch["source"], model.predict_on_batch(grid._batch["source"]),
        grid._batch["target"],
    )  # fmt: skip
    np.testing.assert_array_equal(
        data.read_image(picture), data.read_image(tmp_path / "epoch_001.png")
    )
    assert not model.optimizer["real_fake_discriminator"].use_ema
    # The statistics are those of the images under the averages: both modes draw the same.
    drawn, trained = (
        np.array(model.converter(batch["source"], training=mode)) for mode in (False, True)
    )
    np.testing.assert_allclose(drawn, trained, atol=1e-4)


def test_averages_reach_the_statistics_of_networks_within_the_converter_but_for_frozen_ones():
    """The Domain Transfer Network's converter is two networks: f, which stays, and g.

    f has noise, which would be in what is measured if it were in training mode there.
    """
    image = keras.Input((16, 16, 3))
    nested = keras.Sequential([keras.layers.RandomFlip(), keras.layers.Dropout(0.5)])
    x = keras.layers.GaussianNoise(1.0)(nested(image))
    x = keras.layers.SpectralNormalization(keras.layers.Conv2D(4, 3, strides=2))(x)
    x = keras.layers.BatchNormalization(name="own")(x)
    function = keras.Model(image, keras.layers.GlobalAveragePooling2D()(x), name="f")
    function.get_layer("own").moving_mean.assign([0.1, -0.2, 0.3, 0.0])
    function.layers[-3].layer.kernel.assign(2 * np.array(function.layers[-3].layer.kernel))
    given = [np.array(w) for w in function.weights]
    model = DomainTransferNetwork(function, 16, 1 / 32)
    optimizer = keras.optimizers.Adam(1e-2, use_ema=True, ema_momentum=0.75)
    optimizers = {"discriminator": keras.optimizers.Adam(1e-2), "converter": optimizer}
    model.compile(optimizers, run_eagerly=True)
    batch = {key: batch_of(8)[key] for key in ("source", "target")}
    averages = callbacks.AveragedWeights(batch["source"])
    seen = []

    class Look(keras.callbacks.Callback):
        def on_epoch_end(self, epoch, logs=None):
            before = [np.array(w) for w in self.model.converter.weights]
            with averages.applied():
                seen.append(drawn_in_both_modes(model, batch["source"]))
            for a, b in zip(before, self.model.converter.weights, strict=True):
                np.testing.assert_array_equal(a, b)

    model.fit(batch, batch_size=4, shuffle=False, verbose=0, callbacks=[averages, Look()])
    after = drawn_in_both_modes(model, batch["source"])
    np.testing.assert_allclose(*after, atol=1e-4)
    np.testing.assert_allclose(seen[0], after, atol=1e-4)
    assert after[0].std() > 1e-3  # above the tolerance
    for a, b in zip(given, model.function.weights, strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("coupled", [True, False])
def test_averages_have_the_statistics_of_all_that_a_network_sees_in_a_step(coupled):
    """Kim et al. 2017, Fig. 2c: G_AB normalizes x_A and x_BA, G_BA x_B and x_AB; 2b: x_A and x_AB.

    A is dark and B bright; an untrained generator draws gray.
    """
    keras.utils.set_random_seed(0)
    model = DiscoGAN(image_size=16, width=1 / 16, coupled=coupled)
    adam = keras.optimizers.Adam
    model.compile({"discriminator": adam(1e-3), "converter": adam(1e-3, use_ema=True)})
    x_a, x_b = images(140) * 0.25 - 0.75, images(140, seed=1) * 0.25 + 0.75  # two batches
    x_a[:70] *= 0.5  # sorted: batches are of both kinds
    averages = callbacks.AveragedWeights(x_a, x_b)
    batch = {"source": x_a, "target": x_b}
    model.fit(batch, batch_size=70, verbose=0, callbacks=[averages], shuffle=False)

    def normalized(network, x):
        """What each BatchNorm of a network takes in training, and what the network draws."""
        twin = keras.models.clone_model(network)
        twin.set_weights(network.get_weights())
        inputs = [layer.input for layer in normalizations(twin)]
        *values, drawn = keras.Model(twin.input, [*inputs, twin.output])(x, training=True)
        return [np.asarray(v, "float64") for v in values], np.asarray(drawn)

    passes = {model.converter: [], model.reverse_converter: []}

    def run(network, x):
        values, drawn = normalized(network, x)
        passes[network].append(values)
        return drawn

    for rows in (slice(0, None, 2), slice(1, None, 2)):
        x_ab = run(model.converter, x_a[rows])
        run(model.reverse_converter, x_ab)
        if coupled:
            x_ba = run(model.reverse_converter, x_b[rows])
            run(model.converter, x_ba)
    first = [values[0].mean((0, 1, 2)) for values in passes[model.reverse_converter]]
    assert not coupled or np.abs(first[1] - first[0]).max() > 0.1  # of x_B and of x_AB
    for network, found in passes.items():
        assert len(found) == (4 if coupled else 2)
        for layer, *inputs in zip(normalizations(network), *found, strict=True):
            mean = np.mean([x.mean((0, 1, 2)) for x in inputs], 0)
            variance = np.mean([x.var((0, 1, 2)) for x in inputs], 0)
            np.testing.assert_allclose(layer.moving_mean, mean, atol=1e-5, err_msg=layer.path)
            np.testing.assert_allclose(layer.moving_variance, variance, rtol=1e-4, atol=1e-7)


def test_a_model_of_both_directions_is_measured_on_both_domains():
    model = DiscoGAN(image_size=16, width=1 / 16)
    optimizer = keras.optimizers.Adam(1e-3, use_ema=True)
    model.compile({"discriminator": keras.optimizers.Adam(1e-3), "converter": optimizer})
    batch = {"source": images(4), "target": images(4, seed=1)}
    with pytest.raises(ValueError, match="those of the second as `target`. Received: source"):
        averages = callbacks.AveragedWeights(batch["source"])
        model.fit(batch, batch_size=4, verbose=0, callbacks=[averages])


def drawn_in_both_modes(model, source):
    return [np.array(model.converter(source, training=mode)) for mode in (False, True)]


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
    grid.set_model(types.SimpleNamespace(predict_on_batch=convert, players=[]))
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
    grid.set_model(types.SimpleNamespace(predict_on_batch=lambda source: source, players=[]))
    grid.on_epoch_end(0)
    assert cells(tmp_path / "epoch_001.png", rows=1, columns=6) == [[1, 1, 5, 2, 2, 6]]

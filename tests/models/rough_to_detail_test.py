import dataclasses

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from keras_pixdt import data, presets
from keras_pixdt.layers import FadeIn
from keras_pixdt.metrics import RootMeanSquaredError
from keras_pixdt.models.image_filters import laplacian, pyramid
from keras_pixdt.models.rough_to_detail import (
    RoughToDetailGAN,
    build_converter,
    build_discriminator,
)
from keras_pixdt.training import trainer
from keras_pixdt.training.schedule import Schedule
from tests.models.checks import step, values_of
from tests.samples import Snapshot, images

SIZE = 32
TINY = {"image_size": SIZE, "stages": 3, "width": 1 / 16}  # stages at 8, 16 and 32 px
SIZES = [8, 16, 32]


def batch_of(count=4, seed=0):
    return {
        key: images(count, SIZE, seed=10 * seed + i) for i, key in enumerate(("source", "target"))
    }


def pair_batches(count):
    """Batches of 2 pairs of noise."""
    rng = np.random.default_rng(0)
    sources, targets = rng.integers(0, 256, (2, count, SIZE, SIZE, 3), dtype="uint8")
    ids = np.arange(count)
    pairs = data.PairSet(sources, targets, ids, ids, ids)
    return data.triplets(pairs, 2, seed=0, irrelevant=False)


def compiled(optimizer=None, **kwargs):
    keras.utils.set_random_seed(0)
    model = RoughToDetailGAN(**{**TINY, "seed": 0, **kwargs})
    optimizer = optimizer or keras.optimizers.Adam(1e-3, beta_1=0.0, beta_2=0.99)
    model.compile(optimizer, metrics=[RootMeanSquaredError()], run_eagerly=True)
    return model


def state_of(model):
    return values_of([*model.variables, *model.optimizer.variables, model.places.state])


def moved(before, variables):
    return {v.path for old, v in zip(before, variables, strict=True) if (old != v.numpy()).any()}


# Networks


def outputs_of(network, kind):
    return {x.name: x.output.shape[1:] for x in network.layers if isinstance(x, kind)}


def test_networks_at_256_px_are_those_of_the_docstring():
    converter = build_converter(256, stages=3, width=1 / 32)
    maps = outputs_of(converter, layers.Conv2D)
    # Filters 64, 128, 256 and then 512, at a width of 1/32.
    expected = zip((128, 64, 32, 16, 8, 4, 2, 1), (2, 4, 8, 16, 16, 16, 16, 16), strict=True)
    assert [maps[f"encoder{i}"] for i in range(1, 9)] == [(s, s, n) for s, n in expected]
    ups = outputs_of(converter, layers.Conv2DTranspose)
    expected = zip((2, 4, 8, 16, 32, 64, 128, 256), (16, 16, 16, 16, 8, 4, 2, 2), strict=True)
    assert [ups[f"decoder{j}_conv1"] for j in range(1, 9)] == [(s, s, n) for s, n in expected]
    # Stages 1 to 3 add the blocks that end at 64, 128 and 256 px: these have an alpha.
    assert outputs_of(converter, FadeIn) == {
        "decoder6_add": (64, 64, 4),
        "decoder7_add": (128, 128, 2),
        "decoder8_add": (256, 256, 3),
    }
    assert [x.shape for x in converter.outputs] == [(None, s, s, 3) for s in (64, 128, 256)]
    # Every block of the decoder but the first gets the encoder's map of its size.
    joined = {x.name: x.output.shape[1:] for x in converter.layers if "concat" in x.name}
    expected = zip((2, 4, 8, 16, 32, 64, 128), (16, 16, 16, 16, 8, 4, 2), strict=True)
    assert joined == {f"decoder{j}_concat": (s, s, 2 * n) for j, (s, n) in enumerate(expected, 2)}
    # ToRGB at every stage but the last.
    assert {name for name in maps if "to_rgb" in name} == {"to_rgb1_conv", "to_rgb2_conv"}


def test_number_of_parameters():
    # 8 px, filters 4, 8 and 16, one stage: each line is one layer with its bias or BatchNorm.
    converter = build_converter(8, stages=1, width=1 / 16)
    encoder = (16 * 3 * 4 + 4) + (16 * 4 * 8 + 2 * 8) + (16 * 8 * 16 + 16)
    decoder = [
        (16 * 8 + 8) + (16 * 16 * 8 + 16) + (9 * 8 * 8 + 16),  # 1 to 2 px: skip, conv1, conv2
        (16 * 4 + 4) + (16 * 16 * 4 + 8) + (9 * 4 * 4 + 8),  # 2 to 4 px, 8 + 8 channels
        (8 * 3 + 3) + (16 * 8 * 4 + 8) + (9 * 4 * 3 + 3),  # 4 to 8 px, 4 + 4 channels
    ]
    trainable = sum(int(np.prod(v.shape)) for v in converter.trainable_variables)
    assert trainable == encoder + sum(decoder)


def test_discriminator_judges_patches_of_70_px_of_any_image():
    critic = build_discriminator(1 / 16)
    for size in (16, 64):
        assert critic(np.zeros((1, size, size, 6), "float32")).shape == (1, size // 8, size // 8, 1)
    field = 1
    for layer in reversed([x for x in critic.layers if isinstance(x, layers.Conv2D)]):
        field = (field - 1) * layer.strides[0] + layer.kernel_size[0]
    assert field == 70
    assert not any(isinstance(x, layers.BatchNormalization) for x in critic.layers)


@pytest.mark.parametrize("width", [3 / 64, 0.05])
def test_a_narrow_block_with_three_filters_is_not_taken_for_the_last(width):
    """At this width the block before the last has as many filters as an image has channels."""
    converter = build_converter(16, stages=1, width=width)
    names = {layer.name for layer in converter.layers}
    assert converter.get_layer("decoder3_conv2").filters == 3
    assert isinstance(converter.get_layer("decoder3_detail"), layers.BatchNormalization)
    assert converter.get_layer("decoder4_detail").use_bias
    assert {name for name in names if name.endswith("_conv2")} == {
        f"decoder{j}_conv2" for j in (1, 2, 3)
    }


# Images


def test_pyramid_is_a_blurred_half():
    photo = images(2, 8)
    levels = pyramid(photo, 3)
    assert [x.shape for x in levels] == [(2, 8, 8, 3), (2, 4, 4, 3), (2, 2, 2, 3)]
    np.testing.assert_array_equal(levels[0], photo)
    padded = np.pad(photo.astype("float64"), ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    weights = np.array([1, 3, 3, 1]) / 8
    for row, column in ((0, 0), (1, 2), (3, 3)):
        window = padded[:, 2 * row : 2 * row + 4, 2 * column : 2 * column + 4]
        expected = np.einsum("nijc,i,j->nc", window, weights, weights)
        np.testing.assert_allclose(levels[1][:, row, column], expected, atol=1e-6)


def test_pyramid_lies_on_its_upsampling():
    ramp = np.broadcast_to(np.arange(8.0, dtype="float32")[None, :, None, None], (1, 8, 8, 3))
    half = np.asarray(pyramid(ramp, 2)[1])[0, :, 0, 0]
    np.testing.assert_allclose(half[1:-1], [2.5, 4.5])  # between pixels 2 and 3, 4 and 5


def test_laplacian_is_a_difference_of_gaussians():
    photo = images(1, 16)
    place = np.arange(-4, 5)

    def gaussian(sigma):
        weights = np.exp(-(place**2) / (2 * sigma**2))
        return np.outer(weights, weights) / weights.sum() ** 2

    window = photo[0, 3:12, 4:13].astype("float64")  # around pixel (7, 8)
    expected = np.einsum("ijc,ij->c", window, gaussian(1.0) - gaussian(1.6))
    np.testing.assert_allclose(np.asarray(laplacian(photo))[0, 7, 8], expected, atol=1e-6)
    flat = np.asarray(laplacian(np.ones((1, 16, 16, 3), "float32")))
    np.testing.assert_allclose(flat[:, 4:-4, 4:-4], 0.0, atol=1e-6)


# Stages


def test_a_new_model_stands_at_the_last_stage_with_all_blocks_faded_in():
    model = RoughToDetailGAN(**TINY)
    assert model.stage == 3
    assert [float(x.alpha) for x in model._fade_ins()] == [1.0, 1.0, 1.0]


def test_only_the_last_stage_is_the_last():
    model = RoughToDetailGAN(**TINY)
    found = []
    for stage in (1, 2, 3):
        model.set_stage(stage)
        found.append(model.at_last_stage)
    assert found == [False, False, True]


def test_phases_are_a_fade_in_and_a_stabilization_of_each_stage():
    model = RoughToDetailGAN(**TINY)
    seen = []
    for index, progress in ((0, 0.0), (0, 0.5), (1, 0.5), (2, 0.25), (3, 0.0), (4, 0.75), (5, 0.9)):
        model.on_phase(index, progress)
        seen.append((model.stage, [float(x.alpha) for x in model._fade_ins()][: model.stage]))
    assert seen == [
        (1, [0.0]), (1, [0.5]), (1, [1.0]),
        (2, [1.0, 0.25]), (2, [1.0, 1.0]),
        (3, [1.0, 1.0, 0.75]), (3, [1.0, 1.0, 1.0]),
    ]  # fmt: skip
    with pytest.raises(ValueError, match="stages=3 has 6 phases.*phase 7"):
        model.on_phase(6, 0.0)


def test_alpha_weighs_the_detail():
    model = RoughToDetailGAN(**TINY)
    source = images(2, SIZE)
    detail = model.converter.get_layer("decoder5_detail")
    detail.kernel.assign(100.0 * detail.kernel)  # small in a new model

    def drawn(alpha):
        model.set_stage(3, alpha)
        return np.arctanh(np.asarray(model(source), "float64"))  # what the last block adds up

    skip, half, whole = drawn(0.0), drawn(0.5), drawn(1.0)
    assert np.abs(whole - skip).max() > 0.1
    np.testing.assert_allclose(half, (skip + whole) / 2, atol=1e-5)
    detail.kernel.assign(-detail.kernel)
    np.testing.assert_array_equal(drawn(0.0), skip)
    np.testing.assert_allclose(drawn(1.0) - skip, skip - whole, atol=1e-5)


@pytest.mark.parametrize("stage", [1, 2, 3])
def test_images_of_all_stages_have_the_full_size(stage):
    model = RoughToDetailGAN(**TINY)
    model.set_stage(stage)
    source = images(2, SIZE)
    drawn = np.asarray(model({"source": source}))
    assert drawn.shape == (2, SIZE, SIZE, 3) and np.abs(drawn).max() <= 1
    own = np.asarray(model.stage_networks[stage - 1](source))
    assert own.shape == (2, SIZES[stage - 1], SIZES[stage - 1], 3)
    assert drawn.mean() == pytest.approx(own.mean(), abs=0.02)


@pytest.mark.parametrize(("stage", "alpha"), [(1, 1.0), (2, 0.3), (3, 0.0), (3, 0.7), (3, 1.0)])
def test_plain_converter_draws_the_same_without_alpha_or_unused_blocks(stage, alpha):
    model = compiled()
    for _ in range(2):
        step(model, batch_of())  # statistics of BatchNorm, which are 0 and 1 at first
    model.set_stage(stage, alpha)
    plain = model.plain_converter()
    source = images(3, SIZE, seed=5)
    np.testing.assert_allclose(plain(source), model(source), atol=2e-6)
    assert not any(isinstance(layer, FadeIn) for layer in plain.layers)
    unused = {f"to_rgb{i}" for i in range(1, 4) if i != stage}
    assert not unused & {layer.name.split("_conv")[0] for layer in plain.layers}
    assert len(plain.outputs) == 1
    if stage == 3:  # nothing but Keras' own layers, which need no custom objects
        config = keras.saving.serialize_keras_object(plain)
        assert "FadeIn" not in str(config) and "alpha" not in str([w.path for w in plain.weights])


def test_a_stage_that_begins_forgets_moments_and_keeps_weights():
    model = compiled()
    model.on_phase(0, 0.5)
    step(model, batch_of())
    weights, critic = values_of(model.converter.weights), values_of(model.discriminator.weights)
    assert int(model.optimizer.iterations) == 1
    model.on_phase(1, 0.0)  # the same stage
    assert int(model.optimizer.iterations) == 1
    model.on_phase(2, 0.0)
    assert int(model.optimizer.iterations) == 0
    for player in model.players:
        assert all(
            not np.any(v.numpy())
            for v in model.optimizer[player].variables
            if "learning_rate" not in v.path
        )
        assert float(model.optimizer[player].learning_rate) == pytest.approx(1e-3)
    alphas = {x.alpha.path for x in model._fade_ins()}
    assert moved(weights, model.converter.weights) <= alphas
    assert not moved(critic, model.discriminator.weights)


class Moves(keras.callbacks.Callback):
    """How far each step moves the converter's weights, in units of the rate."""

    def __init__(self):
        super().__init__()
        self.alphas, self.every, self.block = [], [], []

    def on_train_batch_begin(self, batch, logs=None):
        self.variables = self.model.active_variables("converter")
        self.before = values_of(self.variables)

    def on_train_batch_end(self, batch, logs=None):
        rate = float(self.model.optimizer["converter"].learning_rate)
        moves = [
            np.abs(a - b).ravel() / rate
            for a, b in zip(self.before, values_of(self.variables), strict=True)
        ]
        fade_in = self.model._fade_ins()[self.model.stage - 1]
        block = fade_in.name.removesuffix("add")
        added = [
            move
            for move, variable in zip(moves, self.variables, strict=True)
            if block in variable.path and "skip" not in variable.path  # what alpha weighs
        ]
        self.alphas.append((self.model.stage, round(float(fade_in.alpha), 6)))
        self.every.append(np.concatenate(moves).max())
        self.block.append(np.median(np.concatenate(added)))


def test_no_step_of_adam_exceeds_its_rate_when_a_stage_begins_or_has_been_faded_in():
    """With a beta_2 of 0.99, six steps without a gradient would make the next 2.6 times as large.

    While alpha rises, a gradient is up to sqrt(3) times the root mean square of those before it.
    """
    preset = tiny_preset(stages=2, batch_size=2, phases=[(1, 1e-3)] * 4)
    model, batches, moves = compiled(stages=2), pair_batches(12), Moves()
    schedule = Schedule(preset, batches, epochs=4)
    model.fit(batches, epochs=4, shuffle=False, verbose=0, callbacks=[schedule, moves])
    rising = [round(k / 6, 6) for k in (1, 2, 3, 4, 5, 6)] + [1.0] * 6
    assert moves.alphas == [(stage, alpha) for stage in (1, 2) for alpha in rising]
    for first in (0, 12):  # of a stage: what fades in moves at once, and nothing moves too far
        assert 0.9 < moves.block[first] <= moves.every[first] < 1.5
    assert 0.5 < min(moves.block) and max(moves.block) < 1.8


# The step


def test_a_step_moves_what_its_stage_uses():
    model = compiled()
    model.on_phase(2, 0.5)
    before = values_of(model.converter.trainable_variables)
    critic = values_of(model.discriminator.trainable_variables)
    logs = step(model, batch_of())
    assert list(logs) == ["converter_loss", "discriminator_loss"]
    found = moved(before, model.converter.trainable_variables)
    assert found == {v.path for v in model.stage_networks[1].trainable_variables}
    assert any("to_rgb2" in path for path in found)
    assert not any("decoder5" in path or "to_rgb1" in path for path in found)
    assert moved(critic, model.discriminator.trainable_variables)


def numpy_pyramid(photo, levels):
    for _ in range(levels):
        photo = np.pad(photo, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
        weights = np.array([1, 3, 3, 1]) / 8
        photo = sum(
            weights[i] * weights[j] * photo[:, i : -3 + i or None : 2, j : -3 + j or None : 2]
            for i in range(4)
            for j in range(4)
        )
    return photo


def test_losses_of_a_step_are_eq_1_to_4():
    model, twin = compiled(keras.optimizers.SGD(0.0)), RoughToDetailGAN(**{**TINY, "seed": 0})
    model.on_phase(2, 0.5)
    batch = batch_of(3)
    small, target = (numpy_pyramid(batch[key], 1) for key in ("source", "target"))
    network = model.stage_networks[1]
    normalizations = [x for x in network.layers if isinstance(x, layers.BatchNormalization)]
    statistics = [values_of((x.moving_mean, x.moving_variance)) for x in normalizations]
    drawn = np.asarray(network(batch["source"], training=True))
    for layer, (mean, variance) in zip(normalizations, statistics, strict=True):
        layer.moving_mean.assign(mean)
        layer.moving_variance.assign(variance)

    def scores(image):
        return model.discriminator(tf.concat([small, image], -1)).numpy()

    losses = step(model, batch)
    blurred = np.asarray(laplacian((target - drawn).astype("float32")))
    expected = -scores(drawn).mean() + np.abs(target - drawn).mean() + np.abs(blurred).mean()
    assert losses["converter_loss"] == pytest.approx(expected, rel=1e-4)

    place = keras.random.uniform((3, 1, 1, 1), seed=twin.places).numpy()
    between = tf.Variable(place * target + (1 - place) * drawn, dtype="float32")
    with tf.GradientTape() as tape:
        patches = tf.reduce_sum(model.discriminator(tf.concat([small, between], -1)))
    slope = tape.gradient(patches, between).numpy().reshape(3, -1)
    penalty = ((np.sqrt((slope**2).sum(1)) - 1) ** 2).mean()
    expected = scores(drawn).mean() - scores(target).mean() + 10 * penalty
    assert losses["discriminator_loss"] == pytest.approx(expected, rel=1e-4)


def test_weights_of_eq_4_weigh():
    target, drawn = images(2, 8), images(2, 8, seed=1)
    content = np.abs(target - drawn).mean()
    for weights, expected in (
        ({"content_weight": 2.0, "laplacian_weight": 0.0}, 2 * content),
        (
            {"content_weight": 0.0, "laplacian_weight": 3.0},
            3 * np.abs(np.asarray(laplacian(target - drawn))).mean(),
        ),
    ):
        model = RoughToDetailGAN(**TINY, adversarial_weight=0.0, **weights)
        assert list(model.players) == ["converter"]
        assert float(model.converter_loss(target, target, drawn)) == pytest.approx(expected)


def test_the_penalty_pulls_the_critics_slope_to_1():
    model = compiled(keras.optimizers.Adam(1e-2))
    same = {"source": images(4, SIZE), "target": images(4, SIZE, seed=1)}
    place = tf.constant(same["target"])
    for _ in range(30):  # real and drawn alike: nothing but the penalty is left
        model.minimize(
            "discriminator",
            lambda: model.discriminator_loss(same["source"], place, place),
        )
    slope = model.gradient(lambda image: model._scores(same["source"], image), place)
    norms = np.sqrt((slope.numpy() ** 2).sum((1, 2, 3)))
    np.testing.assert_allclose(norms, 1.0, atol=0.25)


# Training


def tiny_preset(**fields):
    fields = {
        "image_size": SIZE,
        "width": 1 / 16,
        "batch_size": 8,
        "phases": [(1, 1e-3, size) for size in (12, 12, 10, 10, 8, 8)],
        **fields,
    }
    return dataclasses.replace(presets.get("kwon2019"), **fields)


class Recorder(keras.callbacks.Callback):
    def __init__(self):
        super().__init__()
        self.seen = []

    def on_epoch_end(self, epoch, logs=None):
        alpha = float(self.model._fade_ins()[self.model.stage - 1].alpha)
        self.seen.append((self.model.stage, alpha, int(self.model.optimizer.iterations)))


@pytest.mark.slow
def test_the_curriculum_is_one_run_also_when_it_is_interrupted(small_lookbook, tmp_path):
    preset = tiny_preset(
        stages=2,
        batch_size=30,
        phases=[(2, 1e-3, 60), (1, 1e-3, 60), (2, 1e-3, 40), (1, 1e-3)],
        ema_momentum=0.9,
    )
    arguments = {"preset": preset, "data": str(small_lookbook), "verbose": 0}
    recorder = Recorder()
    interrupted = tmp_path / "interrupted"  # while stage 2 fades in
    snapshot = Snapshot(tmp_path / "whole", interrupted, epoch=3, batch=3)
    whole = trainer.train(
        workdir=tmp_path / "whole", callbacks=[recorder, snapshot], save_every=2, **arguments
    )
    pairs = len(whole.pairs()["train"])
    first, second, third = pairs // 60, pairs // 40, pairs // 30
    assert recorder.seen == [
        (1, 0.5, first), (1, 1.0, 2 * first), (1, 1.0, 3 * first),
        (2, 0.5, second), (2, 1.0, 2 * second), (2, 1.0, 2 * second + third),
    ]  # fmt: skip
    assert all(np.isfinite(values).all() for values in whole.history().values())

    resumed = trainer.train(workdir=interrupted, **arguments)
    for a, b in zip(state_of(whole.model), state_of(resumed.model), strict=True):
        np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("stage", [2, 3])
def test_saved_and_loaded_it_goes_on_at_its_stage(stage, tmp_path):
    model = compiled()
    model.set_stage(stage, 0.25)
    step(model, batch_of())
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.stage == stage and loaded.get_config() == model.get_config()
    source = images(2, SIZE, seed=7)
    np.testing.assert_array_equal(loaded(source), model(source))
    loaded.run_eagerly = True
    model.reset_metrics()  # losses are means since then
    for batch in (batch_of(seed=1), batch_of(seed=2)):
        assert step(model, batch) == step(loaded, batch)
    for a, b in zip(state_of(model), state_of(loaded), strict=True):
        np.testing.assert_array_equal(a, b)


# Two replicas and JAX: backends_test.py

CURRICULUM = '''
import sys
import keras
import numpy as np
from keras_pixdt import RoughToDetailGAN

class Portable(RoughToDetailGAN):
    def draw(self, sample, like):  # backends draw different random numbers
        places = keras.ops.arange(keras.ops.shape(like)[0], dtype="float32") / 4.0
        return places[:, None, None, None]

class Grows(keras.callbacks.Callback):
    """The last stage begins with the second batch; on JAX, state is not in the variables then."""

    def on_train_batch_begin(self, batch, logs=None):
        self._model.on_phase(3 + batch, 0.5)

def trained(stored, **options):
    keras.utils.set_random_seed(0)
    model = Portable(image_size=32, stages=3, width=1 / 16)
    model.set_weights([stored[f"weight_{i}"] for i in range(len(model.weights))])
    model.compile(keras.optimizers.SGD(1e-3, momentum=0.5), **options)
    batch = {key: stored[key] for key in ("source", "target")}
    losses = []
    for index in (0, 1, 2):  # of the phase: `fit` traces what changes with the stage
        model.on_phase(index, 0.5)
        history = model.fit(batch, batch_size=4, shuffle=False, verbose=0).history
        losses.append([history[key][0] for key in sorted(history)])
    model.fit(batch, batch_size=4, shuffle=False, verbose=0, callbacks=[Grows()])
    return model, losses

if __name__ == "__main__":
    model, losses = trained(np.load(sys.argv[1]))
    model.save(sys.argv[2] + ".keras")
    weights = {f"after_{i}": w for i, w in enumerate(model.get_weights())}
    drawn = model.predict(np.load(sys.argv[1])["source"])
    np.savez(sys.argv[2], losses=losses, drawn=drawn, **weights)
'''


def save_initial(path):
    """What the curriculum starts from on both backends."""
    keras.utils.set_random_seed(0)
    weights = RoughToDetailGAN(**TINY).get_weights()
    np.savez(path, **batch_of(8), **{f"weight_{i}": w for i, w in enumerate(weights)})


def compare_with_jax(folder, monkeypatch):
    names = {"__name__": "curriculum"}
    exec(CURRICULUM, names)
    here, losses = names["trained"](np.load(folder / "initial.npz"), run_eagerly=True)
    there = np.load(folder / "jax.npz")
    np.testing.assert_allclose(there["losses"], losses, rtol=2e-3)
    for i, weight in enumerate(here.get_weights()):
        np.testing.assert_allclose(there[f"after_{i}"], weight, atol=2e-4)
    loaded = keras.models.load_model(
        folder / "jax.keras", custom_objects={"Portable": names["Portable"]}
    )
    drawn = loaded.predict(batch_of(8)["source"], verbose=0)
    np.testing.assert_allclose(drawn, there["drawn"], atol=1e-4)


def replicated():
    """What places of the penalty, statistics and gradients are of; the last batch is 2 and 1."""
    model = RoughToDetailGAN(**{**TINY, "stages": 2}, seed=0)
    model.compile(keras.optimizers.SGD(1e-3))
    return model


def fit_replicated(model):
    """Stage 2 begins with the last batch, within `fit`."""
    grow = keras.callbacks.LambdaCallback(
        on_train_batch_begin=lambda batch, logs: model.on_phase(2 * batch, 0.5)
    )
    fitted = model.fit(batch_of(7), batch_size=4, shuffle=False, verbose=0, callbacks=[grow])
    assert model.stage == 2
    return list(fitted.history.values())


def test_mixed_precision_keeps_images_and_scores_in_float32():
    model = compiled(dtype="mixed_bfloat16")
    assert all(x.dtype == "float32" for x in model.converter.outputs)
    assert model.discriminator.output.dtype == "float32"
    assert model.converter.get_layer("decoder4_conv1").compute_dtype == "bfloat16"
    model.on_phase(2, 0.5)
    assert all(np.isfinite(x) for x in step(model, batch_of()).values())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image_size": 96}, "power of two.*image_size=96"),
        ({"image_size": 16, "stages": 3}, "must have 8 px.*image_size=16, stages=3"),
        ({"stages": 0}, "stages=0"),
        ({"width": 0.0}, "`width` must be positive. Received: 0.0"),
        ({"discriminator_width": -1.0}, "`discriminator_width` must be positive"),
        ({"content_weight": -1.0}, "must not be negative"),
        (
            {"adversarial_weight": 0.0, "content_weight": 0.0, "laplacian_weight": 0.0},
            "not all 0",
        ),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        RoughToDetailGAN(**arguments)

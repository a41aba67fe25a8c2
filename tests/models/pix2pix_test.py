import re

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from keras_pixdt.layers import Dropout
from keras_pixdt.metrics import RootMeanSquaredError
from keras_pixdt.models.pix2pix import Pix2Pix, build_converter, build_discriminator
from tests.models import checks
from tests.models.checks import assert_same_state, step, trainable, values_of
from tests.samples import batch_of as full_batch_of
from tests.samples import images

SIZE = 16
TINY = {"image_size": SIZE, "width": 1 / 16}  # filters 4, 8, 16, 32
PLAYERS = ["discriminator", "converter"]


def batch_of(count=6, seed=0):
    return full_batch_of(count, seed, ("source", "target"))


def compiled(optimizer=None, metrics=None, **kwargs):
    """A tiny model with weights and noise of seed 0, run eagerly: nothing is traced."""
    keras.utils.set_random_seed(0)
    model = Pix2Pix(**{**TINY, "seed": 0, **kwargs})
    model.compile(optimizer or keras.optimizers.SGD(0.05), metrics=metrics, run_eagerly=True)
    return model


def twin_of(model):
    """Another model of the same weights, that draws the same noise."""
    twin = Pix2Pix.from_config(model.get_config())
    twin.set_weights(model.get_weights())
    return twin


def noise_of(network):
    return [layer for layer in network.layers if isinstance(layer, Dropout)]


# Networks: Sec. 6.1. Ck is a convolution with BatchNorm and k filters, CDk one with dropout too.


def described(network):
    """The layers in the paper's notation, with what it says in words: strides, activations."""
    rows = []
    for layer in network.layers:
        if isinstance(layer, (layers.Conv2D, layers.Conv2DTranspose)):
            up = isinstance(layer, layers.Conv2DTranspose)
            assert layer.kernel_size == (4, 4) and layer.padding == "same"
            rows.append(f"{'up ' if up else ''}C{layer.filters} /{layer.strides[0]}")
            rows[-1] += " bias" * layer.use_bias
        elif isinstance(layer, layers.BatchNormalization):
            assert (layer.momentum, layer.epsilon) == (0.9, 1e-5)
            rows[-1] += " norm"
        elif isinstance(layer, Dropout):
            rows[-1] += f" dropout {layer.rate}"
        elif isinstance(layer, layers.LeakyReLU):
            rows.append(f"leaky {layer.negative_slope:.1f}")
        elif isinstance(layer, layers.ReLU):
            rows.append("relu")
        elif isinstance(layer, layers.Concatenate):
            rows.append("skip")
        elif isinstance(layer, layers.Activation):
            rows.append(layer.activation.__name__)
        elif not isinstance(layer, layers.InputLayer):
            raise AssertionError(f"the paper has no {type(layer).__name__}")
    return rows


@pytest.fixture(scope="module")
def full():
    """The paper's generator, at full width."""
    keras.utils.set_random_seed(0)
    return build_converter(256, 1.0)


def test_layers_of_the_unet(full):
    leaky = "leaky 0.2"
    assert described(full) == [
        "C64 /2 bias", leaky, "C128 /2 norm", leaky, "C256 /2 norm", leaky,
        *["C512 /2 norm", leaky] * 4, "C512 /2 bias",  # 1x1: without BatchNorm
        "relu", "up C512 /2 norm dropout 0.5",
        *["skip", "relu", "up C512 /2 norm dropout 0.5"] * 2,
        "skip", "relu", "up C512 /2 norm",
        "skip", "relu", "up C256 /2 norm",
        "skip", "relu", "up C128 /2 norm",
        "skip", "relu", "up C64 /2 norm",
        "skip", "relu", "up C3 /2 bias", "tanh",
    ]  # fmt: skip


def test_maps_halve_to_1x1_and_double_to_the_image(full):
    maps = [
        tuple(layer.output.shape[1:])
        for layer in full.layers
        if isinstance(layer, (layers.Conv2D, layers.Conv2DTranspose, layers.Concatenate))
    ]
    assert maps == [
        (128, 128, 64), (64, 64, 128), (32, 32, 256), (16, 16, 512), (8, 8, 512), (4, 4, 512),
        (2, 2, 512), (1, 1, 512),
        # CD512-CD1024-CD1024-C1024-C1024-C512-C256-C128, the paper's list of what goes in
        (2, 2, 512), (2, 2, 1024), (4, 4, 512), (4, 4, 1024), (8, 8, 512), (8, 8, 1024),
        (16, 16, 512), (16, 16, 1024), (32, 32, 256), (32, 32, 512), (64, 64, 128),
        (64, 64, 256), (128, 128, 64), (128, 128, 128), (256, 256, 3),
    ]  # fmt: skip


def test_parameters_of_the_unet(full):
    encoder = 16 * (3 * 64 + 64 * 128 + 128 * 256 + 256 * 512 + 4 * 512 * 512)
    decoder = 16 * (512 * 512 + 3 * 1024 * 512 + 1024 * 256 + 512 * 128 + 256 * 64 + 128 * 3)
    norms = 2 * (128 + 256 + 4 * 512) + 2 * (4 * 512 + 256 + 128 + 64)
    biases = 64 + 512 + 3  # where there is no BatchNorm
    assert encoder + decoder + norms + biases == 54_414_531
    assert trainable(full) == 54_414_531


def test_rectangles_are_halved_as_often_as_both_sides_can_be():
    model = Pix2Pix((64, 48), 1 / 16)
    encoder = [x for x in model.converter.layers if re.fullmatch(r"encoder\d", x.name)]
    assert [x.output.shape[1:3] for x in encoder] == [(32, 24), (16, 12), (8, 6), (4, 3)]
    assert model.discriminator.output_shape == (None, 8, 6, 1)
    assert model.drawn_size == model.get_config()["image_size"] == (64, 48)
    batch = {
        key: np.random.default_rng(seed).uniform(-1, 1, (2, 64, 48, 3)).astype("float32")
        for seed, key in enumerate(("source", "target"))
    }
    model.compile(keras.optimizers.Adam(1e-3))
    before = [np.array(w) for w in model.trainable_variables]
    model.fit(batch, batch_size=2, verbose=0)
    moved = [(a != b).any() for a, b in zip(before, model.trainable_variables, strict=True)]
    assert all(moved)
    assert model.predict(batch["source"], verbose=0).shape == (2, 64, 48, 3)


@pytest.mark.parametrize(
    ("image_size", "width", "filters"),
    [
        (16, 1 / 16, [4, 8, 16, 32]),
        (64, 1 / 32, [2, 4, 8, 16, 16, 16]),
        (128, 1 / 32, [2, 4, 8, 16, 16, 16, 16]),
        (16, 0.001, [1, 1, 1, 1]),  # never less than one
    ],
)
def test_other_sizes_and_widths(image_size, width, filters):
    model = Pix2Pix(image_size, width)
    down = sum(a * b for a, b in zip([3, *filters], filters, strict=False))
    # The innermost layer of the decoder has one input, the others two of the same width.
    up = filters[-1] * filters[-2] + 2 * sum(
        a * b for a, b in zip(filters[:-1], [3, *filters], strict=False)
    )
    norms = 2 * sum(filters[1:-1]) + 2 * sum(filters[:-1])
    biases = filters[0] + filters[-1] + 3
    assert trainable(model.converter) == 16 * (down + up) + norms + biases
    assert model.converter.get_layer(f"encoder{len(filters)}").output.shape[1:3] == (1, 1)
    assert [layer.name for layer in noise_of(model.converter)] == [
        f"decoder{i}_noise" for i in (1, 2, 3)
    ]
    assert model.generated_shape() == (None, image_size, image_size, 3)
    converted = np.asarray(model(images(2, image_size)))
    assert converted.shape == (2, image_size, image_size, 3)
    assert np.abs(converted).max() <= 1
    assert trainable(model) == sum(trainable(getattr(model, name)) for name in PLAYERS)


def test_layers_and_parameters_of_the_discriminator():
    network = build_discriminator(256, 1.0)
    leaky = "leaky 0.2"
    assert described(network) == [
        "C64 /2 bias", leaky, "C128 /2 norm", leaky, "C256 /2 norm", leaky, "C512 /1 norm", leaky,
        "C1 /1 bias", "linear",
    ]  # fmt: skip
    weights = 16 * (6 * 64 + 64 * 128 + 128 * 256 + 256 * 512 + 512)
    assert weights + 2 * (128 + 256 + 512) + 64 + 1 == 2_768_705
    assert trainable(network) == 2_768_705
    assert network.output_shape == (None, 32, 32, 1)  # 256 / 2 / 2 / 2
    for size, side in ((16, 2), (64, 8), (128, 16)):
        assert build_discriminator(size, 1 / 64).output_shape == (None, side, side, 1)


def test_a_verdict_sees_70x70_pixels():
    """The last layer sees 4, then each before it (seen - 1) * stride + 4: 7, 16, 34, 70."""
    network = build_discriminator(128, 1 / 64)
    for layer in network.layers:
        if isinstance(layer, layers.Conv2D):
            layer.kernel.assign(np.ones(layer.kernel.shape))
    x = tf.zeros((1, 128, 128, 6))
    with tf.GradientTape() as tape:
        tape.watch(x)
        verdict = network(x, training=False)[0, 8, 8, 0]
    seen = np.any(tape.gradient(verdict, x).numpy()[0], axis=2)
    expected = np.zeros((128, 128), bool)
    expected[41:111, 41:111] = True  # 1 px of padding before each layer: from 8 * 8 - 23
    np.testing.assert_array_equal(seen, expected)


def test_weights_start_from_a_gaussian_of_002(full):
    kernels = [np.asarray(v) for v in full.trainable_variables if v.path.endswith("kernel")]
    assert len(kernels) == 16
    for kernel in kernels:
        tolerance = 5 * 0.02 / np.sqrt(kernel.size)  # 5 standard errors
        assert abs(kernel.mean()) < tolerance
        assert abs(kernel.std() - 0.02) < tolerance
    scales = [np.asarray(v) for v in full.trainable_variables if v.path.endswith("gamma")]
    scales = np.concatenate(scales)
    assert abs(scales.mean() - 1) < 5 * 0.02 / np.sqrt(scales.size)
    assert abs(scales.std() - 0.02) < 5 * 0.02 / np.sqrt(scales.size)


# The U-Net once more, in NumPy


def numpy_strided(x, kernel):
    """4x4, stride 2, one pixel of padding on each side."""
    padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
    side = x.shape[1] // 2
    return sum(
        padded[:, i : i + 2 * side : 2, j : j + 2 * side : 2] @ kernel[i, j]
        for i in range(4)
        for j in range(4)
    )


def numpy_transposed(x, kernel):
    """Its transpose: each value spreads over 4x4, and the rim of one pixel is cut off."""
    batch, side = x.shape[:2]
    spread = np.zeros((batch, 2 * side + 2, 2 * side + 2, kernel.shape[2]))
    for i in range(4):
        for j in range(4):
            spread[:, i : i + 2 * side : 2, j : j + 2 * side : 2] += x @ kernel[i, j].T
    return spread[:, 1:-1, 1:-1]


def numpy_converter(network, x, noise=True):
    def weights(name):
        return [w.astype("float64") for w in network.get_layer(name).get_weights()]

    def norm(x, name):
        gamma, beta, mean, variance = weights(f"{name}_bn")
        return gamma * (x - mean) / np.sqrt(variance + 1e-5) + beta

    e1 = numpy_strided(x, weights("encoder1")[0]) + weights("encoder1")[1]
    maps = [e1]
    for i in (2, 3):
        x = numpy_strided(np.maximum(maps[-1], 0.2 * maps[-1]), weights(f"encoder{i}")[0])
        maps.append(norm(x, f"encoder{i}"))
    e1, e2, e3 = maps
    x = numpy_strided(np.maximum(e3, 0.2 * e3), weights("encoder4")[0]) + weights("encoder4")[1]
    for i, skip in ((1, e3), (2, e2), (3, e1)):
        x = norm(numpy_transposed(np.maximum(x, 0), weights(f"decoder{i}")[0]), f"decoder{i}")
        if noise:
            layer = network.get_layer(f"decoder{i}_noise")
            x = x * np.asarray(layer(np.ones((1, *x.shape[1:]), "float32"), training=False))
        x = np.concatenate([x, skip], axis=3)
    kernel, bias = weights("decoder4")
    return np.tanh(numpy_transposed(np.maximum(x, 0), kernel) + bias)


@pytest.fixture(scope="module")
def uneven():
    """A model of which no weight and no statistic is at a value where it has no effect."""
    keras.utils.set_random_seed(0)
    model = Pix2Pix(**TINY, seed=0)
    rng = np.random.default_rng(0)
    for variable in model.converter.weights:
        drawn = rng.normal(0, 0.2, variable.shape)
        if variable.path.endswith(("gamma", "moving_variance")):
            drawn = np.abs(drawn) + 0.5
        variable.assign(drawn)
    return model


def test_the_converter_equals_its_definition(uneven):
    x = images(3)
    expected = numpy_converter(uneven.converter, x)
    assert expected.std() > 0.1
    np.testing.assert_allclose(uneven(x, training=False), expected, atol=1e-5)


def test_the_plain_converter_is_the_unet_without_noise(uneven):
    plain = uneven.plain_converter()
    assert not noise_of(plain) and len(noise_of(uneven.converter)) == 3
    x = images(3)
    drawn = np.asarray(plain(x, training=False))
    np.testing.assert_allclose(drawn, numpy_converter(uneven.converter, x, False), atol=1e-5)
    assert np.abs(drawn - np.asarray(uneven(x))).max() > 0.1  # noise matters
    for layer in noise_of(uneven.converter):
        assert layer.rate == 0.5
        layer.rate = 0.0  # switched off in the converter itself: the very same function
    np.testing.assert_array_equal(drawn, uneven.converter(x, training=False))
    for layer in noise_of(uneven.converter):
        layer.rate = 0.5
    again = keras.models.clone_model(plain)  # from its config alone
    again.set_weights(plain.get_weights())
    np.testing.assert_array_equal(again(x, training=False), drawn)


# Noise


def test_noise_differs_between_training_steps_and_not_at_test_time(uneven):
    x = images(3)
    first, second = (np.asarray(uneven(x, training=True)) for _ in range(2))
    assert np.abs(first - second).mean() > 0.01
    drawn = np.asarray(uneven(x))
    np.testing.assert_array_equal(uneven(x, training=False), drawn)
    # An image is drawn alike wherever it stands, and whatever the batch is.
    np.testing.assert_allclose(uneven(x[::-1])[::-1], drawn, atol=1e-5)
    np.testing.assert_allclose(uneven(x[1:2]), drawn[1:2], atol=1e-5)


def test_each_noisy_layer_draws_its_own(uneven):
    ones = np.ones((4, 2, 2, 64), "float32")
    for training in (True, False):
        noise = noise_of(uneven.converter)
        masks = [np.asarray(layer(ones, training=training)) for layer in noise]
        for i in range(3):
            assert 0.3 < (masks[i] != masks[i - 1]).mean() < 0.7  # as independent ones do


def test_noise_follows_the_seed():
    keras.utils.set_random_seed(0)
    model = Pix2Pix(**TINY, seed=0)
    first = [np.asarray(m(images(3), training=True)) for m in (model, twin_of(model))]
    np.testing.assert_array_equal(*first)
    other = Pix2Pix(**TINY, seed=9)
    other.set_weights(model.get_weights())
    assert np.abs(np.asarray(other(images(3), training=True)) - first[0]).max() > 1e-4


# Objective


def sigmoid(logits):
    return 1 / (1 + np.exp(-np.asarray(logits, "float64")))


def verdicts(model, source, image):
    pair = np.concatenate([source, np.asarray(image)], axis=3)
    return sigmoid(model.discriminator(pair, training=True))


def test_losses_are_eq_1_and_eq_4():
    model = compiled(keras.optimizers.SGD(0.0), gan_weight=0.7, l1_weight=3.0)
    head = model.discriminator.get_layer("conv5").kernel
    head.assign(50 * np.asarray(head))  # verdicts far from 1/2
    twin, batch = twin_of(model), batch_of(5)
    source, target = batch["source"], batch["target"]
    converted = np.asarray(twin.converter(source, training=True))
    real, fake = verdicts(twin, source, target), verdicts(twin, source, converted)
    assert real.shape == fake.shape == (5, 2, 2, 1) and fake.std() > 0.05
    l1 = np.abs(target.astype("float64") - converted).mean()
    assert step(model, batch) == {
        "discriminator_loss": pytest.approx(
            -(np.log(real).mean() + np.log(1 - fake).mean()) / 2, rel=1e-4
        ),
        "converter_loss": pytest.approx(-0.7 * np.log(fake).mean() + 3.0 * l1, rel=1e-4),
    }


def reference_step(twin, batch, rate):
    """Sec. 3.3 once more, as plainly as TensorFlow allows."""
    cross_entropy = tf.nn.sigmoid_cross_entropy_with_logits
    source, target = tf.constant(batch["source"]), tf.constant(batch["target"])
    d, g = twin.discriminator, twin.converter
    with tf.GradientTape() as tape:
        converted = g(source, training=True)
        fixed = tf.constant(converted.numpy())
        with tf.GradientTape() as own:
            real = d(tf.concat([source, target], 3), training=True)
            fake = d(tf.concat([source, fixed], 3), training=True)
            d_loss = tf.reduce_mean(cross_entropy(tf.ones_like(real), real)) / 2
            d_loss += tf.reduce_mean(cross_entropy(tf.zeros_like(fake), fake)) / 2
        update(d, own.gradient(d_loss, [v.value for v in d.trainable_variables]), rate)
        g_loss = twin.l1_weight * tf.reduce_mean(tf.abs(target - converted))
        fake = d(tf.concat([source, converted], 3), training=True)
        g_loss += twin.gan_weight * tf.reduce_mean(cross_entropy(tf.ones_like(fake), fake))
    update(g, tape.gradient(g_loss, [v.value for v in g.trainable_variables]), rate)
    return {"discriminator_loss": float(d_loss), "converter_loss": float(g_loss)}


def update(network, gradients, rate):
    for variable, gradient in zip(network.trainable_variables, gradients, strict=True):
        variable.assign(variable - rate * gradient)


def test_two_steps_equal_an_independent_implementation():
    model = compiled(keras.optimizers.SGD(0.1), l1_weight=10.0)
    twin = twin_of(model)
    before = values_of(model.trainable_variables)
    for i in range(2):
        batch = batch_of(8, seed=i)
        model.reset_metrics()
        expected = reference_step(twin, batch, 0.1)
        assert step(model, batch) == pytest.approx(expected, rel=1e-5)
    for a, b in zip(model.weights, twin.weights, strict=True):  # statistics too
        np.testing.assert_allclose(a, b, atol=2e-6, rtol=1e-5, err_msg=a.path)
    moved = [np.abs(a - b).max() for a, b in zip(before, model.trainable_variables, strict=True)]
    assert min(moved) > 1e-7  # every weight learns: none is out of the objective's reach


@pytest.mark.parametrize("player", PLAYERS)
def test_each_update_moves_the_weights_of_its_player_only(player):
    model = compiled({name: keras.optimizers.SGD(0.1 * (name == player)) for name in PLAYERS})
    before = {name: values_of(model.player_variables(name)) for name in PLAYERS}
    step(model, batch_of())
    for name in PLAYERS:
        for a, b in zip(before[name], model.player_variables(name), strict=True):
            assert np.array_equal(a, b) == (name != player), b.path


def test_without_the_adversarial_term_there_is_no_discriminator():
    model = compiled(gan_weight=0.0, l1_weight=2.0)
    assert list(model.players) == ["converter"] and not hasattr(model, "discriminator")
    batch = batch_of()
    converted = np.asarray(twin_of(model).converter(batch["source"], training=True))
    expected = 2.0 * np.abs(converted - batch["target"]).mean()
    assert step(model, batch) == {"converter_loss": pytest.approx(expected, rel=1e-5)}


def test_the_discriminator_may_have_a_width_of_its_own():
    model = Pix2Pix(SIZE, 1 / 16, discriminator_width=1 / 32)
    assert trainable(model.converter) == trainable(Pix2Pix(SIZE, 1 / 16).converter)
    assert trainable(model.discriminator) == trainable(build_discriminator(SIZE, 1 / 32))


def test_the_converter_learns_a_colour():
    """The whole step pulls in the right direction: towards the targets, all of one colour."""
    colour = np.array([0.6, -0.4, 0.1], "float32")
    batch = {**batch_of(8), "target": np.broadcast_to(colour, (8, SIZE, SIZE, 3)).copy()}
    model = compiled()
    model.compile(keras.optimizers.Adam(0.02, beta_1=0.5))
    before = np.abs(model(batch["source"], training=True) - colour).mean()
    model.fit(batch, batch_size=8, epochs=25, verbose=0)
    after = np.abs(model(batch["source"], training=True) - colour).mean()
    assert after < before / 3


# Evaluation, saving


def train(model, epochs, initial_epoch=0):
    """Two steps an epoch: momenta, statistics and the noise all matter."""
    return model.fit(
        batch_of(8, seed=4),
        batch_size=4,
        epochs=epochs,
        initial_epoch=initial_epoch,
        shuffle=False,
        verbose=0,
    )


def test_evaluate_compares_targets_with_what_predict_draws():
    model = compiled(metrics=[RootMeanSquaredError()])
    train(model, 1)
    batch = {**batch_of(5, seed=2), "product_id": np.arange(5)}
    drawn = model.predict(batch, verbose=0)
    np.testing.assert_allclose(drawn, model.converter(batch["source"], training=False), atol=1e-6)
    squared = ((drawn - batch["target"]) / 2).astype("float64") ** 2  # on [0, 1]
    expected = pytest.approx(np.sqrt(squared.mean((1, 2, 3))).mean(), rel=1e-5)
    for size in (5, 3):  # the noise does not depend on the batch
        scores = model.evaluate(batch, batch_size=size, verbose=0, return_dict=True)
        assert {name: float(score) for name, score in scores.items()} == {"rmse": expected}


def test_a_saved_model_continues_bit_for_bit(tmp_path):
    model = compiled(keras.optimizers.Adam(1e-2))
    train(model, epochs=1)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.get_config() == model.get_config()
    assert_same_state(loaded, model)
    np.testing.assert_array_equal(loaded(images(2)), model(images(2)))
    states = values_of(model._seed_states())
    assert [state.tolist()[1] for state in states] == [2, 2, 2]  # steps, of each noisy layer
    for continued in (model, loaded):
        continued.run_eagerly = True
        train(continued, epochs=2, initial_epoch=1)
    assert_same_state(loaded, model)
    for before, after in zip(states, model._seed_states(), strict=True):
        np.testing.assert_array_equal(before + [0, 2], after)


def test_config_mirrors_the_arguments():
    arguments = {
        "image_size": 32, "width": 1 / 16, "discriminator_width": 1 / 32, "gan_weight": 0.1,
        "l1_weight": 0.4, "seed": 5,
    }  # fmt: skip
    config = Pix2Pix(**arguments, name="mine", dtype="mixed_bfloat16").get_config()
    again = Pix2Pix.from_config(config)
    assert {key: getattr(again, key) for key in arguments} == arguments
    assert again.name == "mine"
    assert again.converter.get_layer("encoder1").compute_dtype == "bfloat16"
    assert Pix2Pix(**TINY).get_config()["l1_weight"] == 100.0  # Sec. 6.2


# Mixed precision, devices, backends


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_moves_all_weights_as_float32_does(dtype):
    # With the paper's 100, float16 overflows at its first loss scale and skips steps.
    arguments = {"optimizer": keras.optimizers.SGD(0.05), "l1_weight": 1.0}
    expected, mixed = compiled(**arguments), compiled(**arguments, dtype=dtype)
    batch = batch_of(8)
    checks.assert_step_moves_alike(expected, mixed, batch)
    assert mixed.converter.get_layer("encoder2").compute_dtype == dtype.removeprefix("mixed_")
    assert mixed(batch["source"], training=False).dtype == "float32"
    assert mixed.plain_converter().output.dtype == "float32"
    assert mixed.discriminator.output.dtype == "float32"


# Two replicas and JAX: backends_test.py


def replicated():
    """What noise, statistics and gradients are of; the last batch is shared as 2 and 1."""
    model = Pix2Pix(**TINY, seed=0)
    model.compile(keras.optimizers.SGD(0.05))
    return model


def fit_replicated(model):
    fitted = model.fit(batch_of(7), batch_size=4, epochs=2, shuffle=False, verbose=0)
    return fitted.history.values()


JAX_ARGUMENTS = {**TINY, "seed": 0}
JAX = """
from keras_pixdt.models.pix2pix import Pix2Pix
batch = batch_of(8, keys=("source", "target"))
model = Pix2Pix(**arguments)
model.compile(keras.optimizers.Adam(1e-2))
before = model.get_weights()
logs = [model.fit(batch, batch_size=4, epochs=1, verbose=0).history for _ in range(2)]
assert np.isfinite([list(l.values()) for l in logs]).all(), logs
assert all(np.abs(a - b).max() > 0 for a, b in zip(before, model.get_weights()))
assert [np.asarray(s).tolist()[1] for s in model._seed_states()] == [4, 4, 4]
first, second = (np.asarray(model(batch["source"], training=True)) for _ in range(2))
assert np.abs(first - second).max() > 1e-3
for weight in model.converter.weights:
    if weight.name == "beta":
        weight.assign(np.ones(weight.shape))  # noise does not show in units that are dead
model.save(f"{folder}/model.keras")
np.savez(
    f"{folder}/drawn.npz",
    noisy=model.predict(batch["source"], verbose=0),
    plain=model.plain_converter().predict(batch["source"], verbose=0),
)
"""


def compare_with_jax(folder, monkeypatch):
    """It trains with noise of its own there, and draws the same here."""
    drawn = np.load(folder / "drawn.npz")
    model = keras.models.load_model(folder / "model.keras")
    source = batch_of(8)["source"]
    np.testing.assert_allclose(model(source, training=False), drawn["noisy"], atol=1e-4)
    plain = model.plain_converter()
    np.testing.assert_allclose(plain(source, training=False), drawn["plain"], atol=1e-4)
    assert np.abs(drawn["noisy"] - drawn["plain"]).max() > 0.05  # far above the tolerance


# Errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image_size": 48}, r"`image_size` must be a power of two from 16.*Received: 48"),
        ({"image_size": (48, 40)}, r"greatest common divisor is one. Received: \(48, 40\)"),
        ({"image_size": 8}, r"`image_size` must be a power of two from 16.*Received: 8"),
        ({"width": 0}, r"`width` must be positive\. Received: 0"),
        ({"discriminator_width": -1.0}, r"`discriminator_width` must be positive\. Received: -1"),
        ({"l1_weight": -1.0}, r"not be negative.*'l1_weight': -1\.0"),
        ({"gan_weight": 0, "l1_weight": 0}, r"not all 0.*'gan_weight': 0, 'l1_weight': 0"),
    ],
)
def test_arguments_out_of_range_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        Pix2Pix(**{**TINY, **arguments})

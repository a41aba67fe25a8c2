import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers, ops

from keras_pixdt.metrics import RootMeanSquaredError
from keras_pixdt.models.pixel_dtgan import build_converter
from keras_pixdt.models.residual_pixel_dtgan import (
    ResidualPixelDTGAN,
    build_residual_converter,
    discriminator_loss,
)
from tests.models import checks
from tests.models.checks import state_of, step, trainable, values_of

SIZE = 32
TINY = {"image_size": SIZE, "width": 1 / 32}
PLAYERS = ["real_fake_discriminator", "association_discriminator", "converter"]


def images(count, size=SIZE, seed=0):
    values = np.random.default_rng(seed).uniform(-1.0, 1.0, (count, size, size, 3))
    return values.astype("float32")


def batch_of(count=4, seed=0):
    return {"source": images(count, seed=2 * seed), "target": images(count, seed=2 * seed + 1)}


def compiled(optimizer=None, metrics=None, **kwargs):
    """A tiny model with weights of seed 0, run eagerly: nothing is traced."""
    keras.utils.set_random_seed(0)
    model = ResidualPixelDTGAN(**{**TINY, **kwargs})
    optimizer = optimizer or keras.optimizers.SGD(0.002, momentum=0.5)
    model.compile(optimizer, metrics=metrics, run_eagerly=True)
    return model


def moved_alike(a, b, before):
    """Whether two variables moved, and by the same within a thousandth and rounding."""
    a, b = np.asarray(a), np.asarray(b)
    moved = np.abs(a - before).max()
    rounding = 4 * np.finfo(before.dtype).eps * np.abs(before).max()
    return moved > 10 * rounding and np.abs(a - b).max() < 1e-3 * moved + rounding


# Networks. He et al. 2016, Table 1: (stage, side of its map at 64 px without max pooling, blocks,
# filters).

STAGES = [(2, 32, 3, 64), (3, 16, 4, 128), (4, 8, 6, 256), (5, 4, 3, 512)]


@pytest.fixture(scope="module")
def full():
    """The paper's converter, at full width."""
    keras.utils.set_random_seed(0)
    return build_residual_converter(64, 1.0)


def halves(converter):
    """The layers of the encoder and those of the decoder."""
    names = [layer.name for layer in converter.layers]
    encoder = names.index("conv5_3_relu") + 1
    return converter.layers[:encoder], converter.layers[encoder:]


def convolution(size, inputs, outputs):
    """Parameters of a convolution without biases and of the offset and scale after it."""
    return size * size * inputs * outputs + 2 * outputs


def test_parameters_of_the_encoder_are_those_of_resnet_50(full):
    expected, inputs = convolution(7, 3, 64), 64
    for _, _, blocks, filters in STAGES:
        outputs = 4 * filters
        expected += convolution(1, inputs, outputs)  # the projection on the first shortcut
        for _ in range(blocks):
            expected += convolution(1, inputs, filters)
            expected += convolution(3, filters, filters)
            expected += convolution(1, filters, outputs)
            inputs = outputs
    # What implementations of ResNet-50 report: 25,557,032 with the classifier's 2049 * 1000.
    assert expected == 25_557_032 - 2049 * 1000 == 23_508_032
    assert trainable(halves(full)[0]) == expected


def test_parameters_of_the_decoder_are_those_of_resnet_34_reversed(full):
    # ResNet-34 has 21,797,672 with the classifier's 513 * 1000. Reversed, the second convolution
    # and the shortcut of a strided block have its inputs as outputs: half of the channels, of
    # which each has an offset and a scale. conv1 has 3 biases instead of 64 of each.
    reversed_resnet = 21_797_672 - 513 * 1000 - 2 * 2 * (256 + 128 + 64) - 2 * 64 + 3
    # The first block has the encoder's 2048 channels as inputs, and a projection.
    expected = reversed_resnet + 3 * 3 * (2048 - 512) * 512 + convolution(1, 2048, 512)
    assert expected == 29_410_243
    assert trainable(halves(full)[1]) == expected

    # Once more, block by block.
    total, inputs = 0, 2048
    for stage, _, blocks, filters in reversed(STAGES):
        for block in range(blocks):
            up = stage > 2 and block == blocks - 1
            outputs = filters // 2 if up else filters
            total += convolution(3, inputs, filters) + convolution(3, filters, outputs)
            total += convolution(1, inputs, outputs) if inputs != outputs else 0
            inputs = outputs
    assert total + 7 * 7 * 64 * 3 + 3 == expected


def test_maps_of_the_stages(full):
    def shape(name):
        return tuple(full.get_layer(name).output.shape[1:])

    assert shape("conv1") == (32, 32, 64)
    for stage, side, blocks, filters in STAGES:
        for block in range(1, blocks + 1):
            assert shape(f"conv{stage}_{block}_relu") == (side, side, 4 * filters)
            # Backwards: ResNet-34 strides in a stage's first block, which is the last one here.
            up = stage > 2 and block == 1
            expected = (2 * side, 2 * side, filters // 2) if up else (side, side, filters)
            assert shape(f"reversed_conv{stage}_{block}_relu") == expected
    names = [layer.name for layer in full.layers if layer.name.endswith("_sum")]
    encoder = [f"conv{s}_{b}_sum" for s, _, n, _ in STAGES for b in range(1, n + 1)]
    assert names == encoder + [
        f"reversed_conv{s}_{b}_sum" for s, _, n, _ in reversed(STAGES) for b in range(n, 0, -1)
    ]
    assert full.input_shape == full.output_shape == (None, 64, 64, 3)


def test_there_is_no_pooling_and_all_convolutions_but_the_last_have_batch_norm(full):
    kinds = {type(layer).__name__ for layer in full.layers}
    assert not any("Pool" in kind for kind in kinds)
    convolutions = [
        layer for layer in full.layers if isinstance(layer, (layers.Conv2D, layers.Conv2DTranspose))
    ]
    # ResNet-50: 1 + 16 * 3 and 4 projections. ResNet-34: 16 * 2 + 1, and 3 + 1 projections.
    assert len(convolutions) == 53 + 37
    *inner, last = convolutions
    for layer in inner:
        assert not layer.use_bias
        norm = full.get_layer(f"{layer.name}_bn")
        assert norm.input is layer.output and (norm.momentum, norm.epsilon) == (0.9, 1e-5)
    assert last.use_bias and (last.filters, last.kernel_size) == (3, (7, 7))
    transposed = [x.name for x in convolutions if isinstance(x, layers.Conv2DTranspose)]
    assert transposed == [f"reversed_conv{s}_1_b" for s in (5, 4, 3)] + ["reversed_conv1"]
    strided = [x.name for x in convolutions if x.strides == (2, 2) and x.name not in transposed]
    expected = [f"conv{s}_1_{x}" for s in (3, 4, 5) for x in ("shortcut", "a")]
    assert strided[0] == "conv1" and sorted(strided[1:]) == sorted(expected)


def assign_norms(converter):
    """Statistics, offsets and scales that matter, with which inference does not saturate."""
    rng = np.random.default_rng(0)
    for variable in converter.variables:
        if not variable.path.endswith("kernel"):
            variable.assign(rng.uniform(0.2, 0.6, variable.shape))


def independent_converter(converter, x):
    """The forward pass of inference with TensorFlow's functions alone."""

    def norm(name, x):
        gamma, beta, mean, variance = (np.asarray(v) for v in converter.get_layer(name).variables)
        return (x - mean) / np.sqrt(variance + 1e-5) * gamma + beta

    def conv(name, x, strides=1):
        kernel = converter.get_layer(name).kernel
        return norm(f"{name}_bn", tf.nn.conv2d(x, kernel, strides, "SAME"))

    def transposed(name, x):
        kernel = converter.get_layer(name).kernel
        shape = [x.shape[0], 2 * x.shape[1], 2 * x.shape[2], kernel.shape[2]]
        return tf.nn.conv2d_transpose(x, kernel, shape, 2)

    x = tf.nn.relu(conv("conv1", x, 2))
    for stage, _, blocks, _ in STAGES:
        for block in range(1, blocks + 1):
            name = f"conv{stage}_{block}"
            strides = 2 if block == 1 and stage > 2 else 1
            y = tf.nn.relu(conv(f"{name}_a", x, strides))
            y = conv(f"{name}_c", tf.nn.relu(conv(f"{name}_b", y)))
            x = tf.nn.relu(y + (conv(f"{name}_shortcut", x, strides) if block == 1 else x))
    for stage, _, blocks, _ in reversed(STAGES):
        for block in range(blocks, 0, -1):
            name = f"reversed_conv{stage}_{block}"
            up = block == 1 and stage > 2
            y = tf.nn.relu(conv(f"{name}_a", x))
            y = norm(f"{name}_b_bn", transposed(f"{name}_b", y)) if up else conv(f"{name}_b", y)
            projected = up or (stage == 5 and block == blocks)
            shortcut = conv(f"{name}_shortcut", x) if projected else x
            if up:
                shortcut = np.asarray(shortcut).repeat(2, axis=1).repeat(2, axis=2)
            x = tf.nn.relu(y + shortcut)
    return tf.tanh(transposed("reversed_conv1", x) + converter.get_layer("reversed_conv1").bias)


def test_converter_equals_an_independent_forward_pass():
    converter = build_residual_converter(SIZE, 1 / 16, "float64")
    assign_norms(converter)
    source = images(2).astype("float64")
    expected = np.asarray(independent_converter(converter, source))
    assert expected.std() > 0.1 and np.mean(np.abs(expected) < 0.9) > 0.5
    np.testing.assert_allclose(converter(source, training=False), expected, atol=1e-6)


def test_kernels_start_as_those_of_resnet():
    converter = build_residual_converter(SIZE, 1 / 8)
    *inner, last = [np.asarray(v) for v in converter.trainable_variables if v.path.endswith("nel")]
    assert len(inner) == 53 + 36
    for kernel in inner:
        height, width, inputs, _ = kernel.shape
        expected = np.sqrt(2 / (height * width * inputs))  # He et al. 2015
        error = expected / np.sqrt(kernel.size)
        assert abs(kernel.mean()) < 5 * error and abs(kernel.std() - expected) < 5 * error
    assert abs(last.std() - 0.02) < 5 * 0.02 / np.sqrt(last.size)
    # Layers of one shape must not start as copies of each other.
    same = [kernel.ravel() for kernel in inner if kernel.shape == (3, 3, 32, 32)]
    assert len(same) == len(np.unique(same, axis=0)) == 6 + 11


@pytest.mark.parametrize(
    ("image_size", "width", "filters"),
    [(64, 1 / 32, [2, 4, 8, 16]), (128, 0.03, [2, 4, 8, 15]), (32, 0.001, [1, 1, 1, 1])],
)
def test_other_sizes_and_widths(image_size, width, filters):
    converter = build_residual_converter(image_size, width)
    assert [converter.get_layer(f"conv{i}_1_a").filters for i in (2, 3, 4, 5)] == filters
    side = image_size // 16
    outputs = max(1, round(width * 2048))
    assert converter.get_layer("conv5_3_relu").output.shape[1:] == (side, side, outputs)
    converted = np.asarray(converter(images(2, image_size)))
    assert converted.shape == (2, image_size, image_size, 3)
    assert np.abs(converted).max() <= 1


def test_discriminators_are_those_of_sec_3_1():
    model = ResidualPixelDTGAN(width=1 / 32)
    for name, channels in zip(PLAYERS[:2], (3, 6), strict=True):
        network = getattr(model, name)
        assert network.input_shape == (None, 64, 64, channels)
        assert network.output_shape == (None, 1)
        *strided, verdict = [x for x in network.layers if isinstance(x, layers.Conv2D)]
        assert [x.filters * 32 for x in strided] == [128, 256, 512, 1024]
        assert strided[-1].output.shape[1:3] == (4, 4) and verdict.filters == 1


def test_normal_generator_is_that_of_pixel_dtgan():
    keras.utils.set_random_seed(0)
    model = ResidualPixelDTGAN(**TINY, residual=False, real_fake_weight=0.0)
    assert not hasattr(model, PLAYERS[0])
    expected = build_converter(SIZE, 1 / 32)
    assert [x.name for x in model.converter.layers] == [x.name for x in expected.layers]
    assert trainable(model.converter) == trainable(expected)
    assert model.generated_shape() == (None, SIZE, SIZE, 3)


def test_discriminators_may_have_a_width_of_their_own():
    mixed = ResidualPixelDTGAN(SIZE, 1 / 32, discriminator_width=1 / 16, residual=False)
    wide = ResidualPixelDTGAN(SIZE, 1 / 16, residual=False)
    for name in PLAYERS[:2]:
        assert trainable(getattr(mixed, name)) == trainable(getattr(wide, name))
    assert trainable(mixed.converter) < trainable(wide.converter)


# Objective


def test_discriminator_loss_sums_both_terms():
    rng = np.random.default_rng(0)
    real, generated = rng.normal(0, 3, (2, 50, 1)).astype("float32")
    d_real, d_generated = (1 / (1 + np.exp(-x.astype("float64"))) for x in (real, generated))
    expected = -np.log(d_real).mean() - np.log(1 - d_generated).mean()
    assert float(discriminator_loss(real, generated)) == pytest.approx(expected, rel=1e-6)


def constant_verdicts(model, **logits):
    """Makes discriminators return one logit whatever they see."""
    for name, logit in logits.items():
        verdict = getattr(model, name).get_layer("conv4")
        verdict.kernel.assign(ops.zeros_like(verdict.kernel))
        verdict.bias.assign([logit])


def test_converter_loss_is_half_of_each_discriminator():
    model = ResidualPixelDTGAN(**TINY, residual=False)
    constant_verdicts(model, real_fake_discriminator=1.3, association_discriminator=-0.4)
    # Opposite labels: -log sigmoid(logit) = log(1 + exp(-logit)).
    expected = 0.5 * np.log1p(np.exp(-1.3)) + 0.5 * np.log1p(np.exp(0.4))
    source, target, converted = (images(3, seed=i) for i in range(3))
    assert float(model.converter_loss(source, target, converted)) == pytest.approx(expected)


def test_converter_loss_sums_the_weighted_terms():
    weights = {"real_fake_weight": 0.25, "association_weight": 2.0, "l1_weight": 0.7}
    model = ResidualPixelDTGAN(**TINY, **weights, residual=False)
    constant_verdicts(model, real_fake_discriminator=0.0, association_discriminator=2.0)
    source, target, converted = (images(3, seed=i) for i in range(3))
    expected = 0.25 * np.log(2) + 2.0 * np.log1p(np.exp(-2.0))
    expected += 0.7 * np.abs((converted - target).astype("float64")).mean()
    assert float(model.converter_loss(source, target, converted)) == pytest.approx(expected)


# The step


class Reference:
    """Algorithm 1 once more, as plainly as TensorFlow allows: a forward pass for each use."""

    def __init__(self, model, rate, momentum):
        self.rate, self.momentum = rate, momentum
        twin = ResidualPixelDTGAN.from_config(model.get_config())
        twin.set_weights(model.get_weights())
        self.half_d, self.half_a = model.real_fake_weight, model.association_weight
        self.l1 = model.l1_weight
        self.g = twin.converter
        self.d = getattr(twin, PLAYERS[0], None)
        self.a = getattr(twin, PLAYERS[1], None)
        networks = [n for n in (self.d, self.a, self.g) if n is not None]
        self.velocity = {
            id(v): tf.zeros(v.shape, v.dtype) for n in networks for v in n.trainable_weights
        }

    def sgd(self, tape, loss, network):
        variables = network.trainable_weights
        gradients = tape.gradient(loss, [v.value for v in variables])
        for variable, gradient in zip(variables, gradients, strict=True):
            velocity = self.momentum * self.velocity[id(variable)] - self.rate * gradient
            self.velocity[id(variable)] = velocity
            variable.assign(variable + velocity)

    @staticmethod
    def minus_log_d(logits):
        return tf.reduce_mean(tf.math.softplus(-logits))

    @staticmethod
    def minus_log_1_minus_d(logits):
        return tf.reduce_mean(tf.math.softplus(logits))

    def discriminate(self, network, real, generated):
        with tf.GradientTape() as tape:
            loss = self.minus_log_d(network(real, training=True))
            loss += self.minus_log_1_minus_d(network(generated, training=True))
        self.sgd(tape, loss, network)
        return float(loss)

    def step(self, batch):
        z, x = batch["source"], batch["target"]
        drawn = self.g(z, training=True).numpy()
        losses = {}
        if self.d:
            losses[f"{PLAYERS[0]}_loss"] = self.discriminate(self.d, x, drawn)
        if self.a:
            real, generated = (np.concatenate([z, image], axis=3) for image in (x, drawn))
            losses[f"{PLAYERS[1]}_loss"] = self.discriminate(self.a, real, generated)
        with tf.GradientTape() as tape:
            drawn = self.g(z, training=True)
            loss = self.l1 * tf.reduce_mean(tf.abs(drawn - x))
            if self.d:
                loss += self.half_d * self.minus_log_d(self.d(drawn, training=True))
            if self.a:
                pair = tf.concat([z, drawn], axis=3)
                loss += self.half_a * self.minus_log_d(self.a(pair, training=True))
        self.sgd(tape, loss, self.g)
        losses["converter_loss"] = float(loss)
        return losses


VARIANTS = {
    "Only A": {"residual": False, "real_fake_weight": 0.0, "association_weight": 1.0},
    "Only D": {"residual": False, "real_fake_weight": 1.0, "association_weight": 0.0},
    "A + D": {"residual": False},
    "A + D (ResNet)": {},
    "all terms": {"residual": False, "l1_weight": 2.0},
}
EXPECTED_PLAYERS = {"Only A": PLAYERS[1:], "Only D": [PLAYERS[0], PLAYERS[2]]}


@pytest.mark.usefixtures("few_blocks")
@pytest.mark.parametrize("variant", VARIANTS)
def test_steps_equal_an_independent_implementation(variant):
    # In float64: 50 BatchNorms on few pixels make much of the rounding of float32.
    model = compiled(**VARIANTS[variant], dtype="float64")
    assert list(model.players) == EXPECTED_PLAYERS.get(variant, PLAYERS)
    for name in PLAYERS[:2]:
        assert hasattr(model, name) == (name in model.players)
    reference = Reference(model, rate=0.002, momentum=0.5)
    before = values_of(model.trainable_variables)
    for i in range(2):
        batch = batch_of(seed=i)
        model.reset_metrics()
        assert step(model, batch) == pytest.approx(reference.step(batch), rel=1e-4)
    networks = [n for n in (reference.d, reference.a, reference.g) if n is not None]
    expected = [v for network in networks for v in network.trainable_variables]
    for a, b, c in zip(model.trainable_variables, expected, before, strict=True):
        assert moved_alike(a, b, c), a.path


@pytest.mark.usefixtures("few_blocks")
@pytest.mark.parametrize("player", PLAYERS)
def test_each_update_moves_the_weights_of_its_player_only(player):
    rates = {name: keras.optimizers.SGD(0.1 * (name == player)) for name in PLAYERS}
    model = compiled(rates)
    before = {name: values_of(model.player_variables(name)) for name in PLAYERS}
    step(model, batch_of())
    for name in PLAYERS:
        for a, b in zip(before[name], model.player_variables(name), strict=True):
            assert np.array_equal(a, b) == (name != player), b.path


@pytest.mark.usefixtures("few_blocks")
def test_statistics_of_the_converter_move_once_a_step():
    model = compiled()
    batch = batch_of()
    norm = model.converter.get_layer("conv1_bn")
    probe = keras.Model(model.converter.input, norm.input)
    seen = np.asarray(probe(batch["source"]), "float64")
    step(model, batch)
    # From 0 and 1, with momentum 0.9, towards those of this batch.
    np.testing.assert_allclose(norm.moving_mean, 0.1 * seen.mean((0, 1, 2)), atol=1e-6)
    variance = 0.9 + 0.1 * seen.var((0, 1, 2))
    np.testing.assert_allclose(norm.moving_variance, variance, rtol=1e-5)


@pytest.mark.usefixtures("few_blocks")
def test_fit_learns_and_validates():
    """The whole step pulls in the right direction: towards the targets, all of one colour."""
    colour = np.array([0.6, -0.4, 0.1], "float32")
    batch = batch_of(8)
    batch["target"] = np.broadcast_to(colour, (8, SIZE, SIZE, 3)).copy()
    keras.utils.set_random_seed(0)
    model = ResidualPixelDTGAN(**TINY, l1_weight=10.0)
    adam = keras.optimizers.Adam(0.02, beta_1=0.5)
    model.compile(adam, metrics=[RootMeanSquaredError()])
    before = np.abs(model(batch["source"], training=True) - colour).mean()
    history = model.fit(
        batch, validation_data=batch, batch_size=8, epochs=25, verbose=0, shuffle=False
    ).history
    assert np.abs(model(batch["source"], training=True) - colour).mean() < before / 3
    assert set(history) == {f"{name}_loss" for name in PLAYERS} | {"val_rmse"}


# Saving


@pytest.mark.usefixtures("few_blocks")
def test_a_saved_model_continues_bit_for_bit(tmp_path):
    model = compiled(keras.optimizers.Adam(1e-3), [RootMeanSquaredError()])
    step(model, batch_of())
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert type(loaded) is ResidualPixelDTGAN and loaded.get_config() == model.get_config()
    loaded.run_eagerly = True
    for continued in (model, loaded):
        continued.reset_metrics()
    assert step(loaded, batch_of(seed=1)) == step(model, batch_of(seed=1))
    for a, b in zip(state_of(loaded), state_of(model), strict=True):
        np.testing.assert_array_equal(a, b)


def test_config_mirrors_the_arguments():
    arguments = {
        "image_size": 64, "width": 1 / 16, "discriminator_width": 1 / 32, "residual": False,
        "real_fake_weight": 0.1, "association_weight": 0.2, "l1_weight": 0.4,
    }  # fmt: skip
    config = ResidualPixelDTGAN(**arguments, name="mine", dtype="mixed_bfloat16").get_config()
    again = ResidualPixelDTGAN.from_config(config)
    assert {key: getattr(again, key) for key in arguments} == arguments
    assert again.name == "mine" and again.dtype_policy.name == "mixed_bfloat16"


# Mixed precision


@pytest.mark.usefixtures("few_blocks")
def test_mixed_bfloat16_computes_in_bfloat16_and_draws_in_float32():
    mixed, batch = compiled(dtype="mixed_bfloat16"), batch_of()
    assert np.isfinite(list(step(mixed, batch).values())).all()
    *inner, last = mixed.converter.layers[1:]
    for layer in inner:
        assert layer.compute_dtype == "bfloat16", layer.name
    assert last.compute_dtype == "float32"
    drawn = mixed(batch["source"], training=False)
    assert drawn.dtype == "float32"
    for name in PLAYERS[:2]:
        assert getattr(mixed, name).output.dtype == "float32"
    for variable in mixed.trainable_variables:
        assert variable.dtype == "float32" and np.isfinite(np.asarray(variable)).all()


# JAX

JAX_SCRIPT = """
import sys
sys.modules["tensorflow"] = None

import json

import keras
import numpy as np

from keras_pixdt.models.residual_pixel_dtgan import ResidualPixelDTGAN

arrays = np.load(sys.argv[1])
model = ResidualPixelDTGAN(**json.loads(sys.argv[2]))
model.set_weights([arrays[f"before_{i}"] for i in range(len(model.weights))])
model.compile(keras.optimizers.SGD(0.002, momentum=0.5))
batch = {key: arrays[key] for key in ("source", "target")}
history = model.fit(batch, batch_size=len(batch["source"]), verbose=0).history
losses = {key: float(value[0]) for key, value in history.items()}
after = {f"after_{i}": np.asarray(w) for i, w in enumerate(model.weights)}
np.savez(sys.argv[3], losses=json.dumps(losses), **after)
"""


@pytest.mark.slow
def test_one_step_on_jax_equals_tensorflows(tmp_path):
    # Of the normal generator: XLA compiles the residual one's step for minutes on two cores.
    model = compiled(residual=False, dtype="float64")
    batch, before = batch_of(), model.get_weights()
    weights = {f"before_{i}": w for i, w in enumerate(before)}
    np.savez(tmp_path / "before.npz", **batch, **weights)
    options = json.dumps({**TINY, "residual": False, "dtype": "float64"})
    files = tmp_path / "before.npz", options, tmp_path / "after.npz"
    checks.run_on_jax(JAX_SCRIPT, *files, JAX_ENABLE_X64="1")
    jax = np.load(tmp_path / "after.npz")
    assert json.loads(str(jax["losses"])) == pytest.approx(step(model, batch), rel=1e-5)
    trained = {id(v) for v in model.trainable_variables}
    for i, (weight, old) in enumerate(zip(model.weights, before, strict=True)):
        after = jax[f"after_{i}"]
        if id(weight) in trained:
            assert moved_alike(after, weight, old), weight.path
        else:  # statistics
            np.testing.assert_allclose(after, weight, rtol=1e-5, atol=1e-7, err_msg=weight.path)


# Errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image_size": 48}, r"`image_size` must be a power of two from 32.*Received: 48"),
        ({"image_size": 16}, r"`image_size` must be a power of two from 32.*Received: 16"),
        ({"width": 0}, r"`width` must be positive\. Received: 0"),
        ({"discriminator_width": -1.0}, r"`discriminator_width` must be positive.*-1\.0"),
        ({"l1_weight": -1.0}, r"not be negative.*'l1_weight': -1\.0"),
        (
            {"real_fake_weight": 0, "association_weight": 0},
            r"not all 0.*'real_fake_weight': 0, 'association_weight': 0, 'l1_weight': 0\.0",
        ),
    ],
)
def test_arguments_out_of_range_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        ResidualPixelDTGAN(**{**TINY, **arguments})

import functools
import json
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from keras_pixdt.losses import total_variation
from keras_pixdt.models.domain_transfer import DomainTransferNetwork
from keras_pixdt.models.domain_transfer_networks import (
    build_classifier,
    build_discriminator,
    build_encoder,
    build_function,
    build_generator,
)
from tests.models import checks
from tests.models.checks import assert_same_state, step, trainable, values_of
from tests.models.pix2pix_test import numpy_strided, numpy_transposed
from tests.samples import batch_of as full_batch_of
from tests.samples import images

GOLDEN = Path(__file__).parents[1] / "golden" / "domain_transfer"
SIZE = 16
TINY = {"image_size": SIZE, "width": 1 / 32}  # filters 16, 8 of g, and 2, 4, 8, 16 of D
TABLE_1 = {
    "baseline": {
        "through_f": False,
        "ternary": False,
        "beta": 0.0,
        "converter_objective": "saturating",
    },
    "dtn": {},
    "no_tid": {"beta": 0.0},
    "no_const": {"alpha": 0.0},
    "no_f": {"through_f": False},
    "no_gan": {"adversarial": False},
    "no_const_no_tid": {"alpha": 0.0, "beta": 0.0},
}


def batch_of(count=6, seed=0):
    return full_batch_of(count, seed, ("source", "target"))


@functools.cache
def plain_function():
    """f of the paper, at 16 px: 8 numbers of either sign."""
    keras.utils.set_random_seed(1)
    function = build_function(SIZE, 1 / 16)
    function.get_layer("conv3").bias.assign(np.full(8, -1.5))
    return function


@functools.cache
def free_function():
    """An f of another kind: of any size, with statistics that mean something, and with noise."""
    keras.utils.set_random_seed(1)
    image = keras.Input((None, None, 3))
    x = layers.Conv2D(6, 3, strides=2, activation="relu")(image)
    x = layers.BatchNormalization()(x)
    x = layers.Dropout(0.5)(x)
    function = keras.Model(image, layers.GlobalAveragePooling2D()(x), name="any_size")
    norm = next(layer for layer in function.layers if hasattr(layer, "moving_variance"))
    rng = np.random.default_rng(1)
    norm.moving_mean.assign(rng.normal(0, 0.3, 6))
    norm.moving_variance.assign(rng.uniform(0.05, 0.3, 6))
    return function


FUNCTIONS = {"plain": plain_function, "free": free_function}


def compiled(optimizer=None, function=None, **kwargs):
    """A tiny model with weights of seed 0, run eagerly: nothing is traced."""
    function = function or plain_function()
    keras.utils.set_random_seed(0)
    model = DomainTransferNetwork(function, **{**TINY, **kwargs})
    model.compile(optimizer or keras.optimizers.SGD(0.05), run_eagerly=True)
    return model


def networks_of(model):
    """All that a step may move."""
    return [getattr(model, name) for networks in model.players.values() for name in networks]


def uneven(network):
    """Gives no weight and no statistic a value where it has no effect."""
    rng = np.random.default_rng(0)
    for variable in network.weights:
        drawn = rng.normal(0, 0.2, variable.shape)
        if variable.path.endswith(("gamma", "moving_variance")):
            drawn = np.abs(drawn) + 0.5
        variable.assign(drawn)
    return network


def uneven_model(optimizer=None, **kwargs):
    model = compiled(optimizer, **kwargs)
    for network in networks_of(model):
        uneven(network)
    return model


def twin_of(model):
    """Another model of the same weights."""
    twin = DomainTransferNetwork.from_config(model.get_config())
    twin.set_weights(model.get_weights())
    return twin


# Networks: Sec. 5.1 for digits, 5.2 for faces


def described(network):
    """The layers in short: up for transposed ones, filters, kernel, strides, bias, what follows."""
    rows = []
    for layer in network.layers:
        if isinstance(layer, (layers.Conv2D, layers.Conv2DTranspose)):
            up = isinstance(layer, layers.Conv2DTranspose)
            side, stride = layer.kernel_size[0], layer.strides[0]
            valid = (up and stride == 1) or side == 1  # from 1x1 to 4x4; of one pixel
            assert layer.padding == ("valid" if valid else "same")
            rows.append(f"{'up ' if up else ''}{layer.filters} {side}x{side} /{stride}")
            rows[-1] += " bias" * layer.use_bias
        elif isinstance(layer, layers.BatchNormalization):
            assert (layer.momentum, layer.epsilon) == (0.99, 1e-5)
            rows[-1] += " norm"
        elif isinstance(layer, layers.MaxPooling2D):
            assert layer.pool_size == layer.strides
            rows[-1] += f" pool {layer.pool_size[0]}"
        elif isinstance(layer, layers.LeakyReLU):
            rows[-1] += f" leaky {layer.negative_slope:.1f}"
        elif isinstance(layer, layers.ReLU):
            rows[-1] += " relu"
        elif isinstance(layer, layers.Activation):
            rows[-1] += f" {layer.activation.__name__}"
        elif isinstance(layer, layers.Dense):
            assert layer.use_bias
            rows.append(f"dense {layer.units}")
        elif isinstance(layer, layers.Concatenate):
            rows.append("three channels")
        elif not isinstance(layer, (layers.InputLayer, layers.Flatten, layers.Reshape)):
            raise AssertionError(f"the paper has no {type(layer).__name__}")
    return rows


def test_layers_and_parameters_of_f():
    """Four convolutions, max pooling and ReLU; 128x1x1 after the pooling, before the ReLU."""
    network = build_function()
    assert described(network) == [
        "64 3x3 /1 bias pool 2 relu",
        "128 3x3 /1 bias pool 2 relu",
        "256 3x3 /1 bias pool 2 relu",
        "128 3x3 /1 bias pool 4",
    ]
    kernels = 9 * (3 * 64 + 64 * 128 + 128 * 256 + 256 * 128)
    assert trainable(network) == kernels + 64 + 128 + 256 + 128 == 665_856
    assert network.get_layer("pool4").output.shape == (None, 1, 1, 128)
    assert network.output_shape == (None, 128)


@pytest.mark.parametrize(
    ("image_size", "filters", "rest"),
    [
        (16, [4, 8, 8], 4),
        (32, [4, 8, 16, 8], 4),
        (64, [4, 8, 16, 16, 8], 4),
        (38, [4, 8, 16, 8], 4),  # 19, 9, 4
        (152, [4, 8, 16, 16, 16, 8], 4),  # faces: 76, 38, 19, 9, 4
        (24, [4, 8, 8], 6),  # 12, 6: three are too few
        (31, [4, 8, 8], 7),  # 15, 7
    ],
)
def test_f_of_other_sizes(image_size, filters, rest):
    network = build_function(image_size, 1 / 16)
    pools = [2] * (len(filters) - 1) + [rest]
    assert network.layers[-2].output.shape == (None, 1, 1, 8)
    found = [row.removesuffix(" relu") for row in described(network)]
    assert found == [f"{n} 3x3 /1 bias pool {p}" for n, p in zip(filters, pools, strict=True)]
    assert network.output_shape == (None, 8)


def test_the_classifier_has_the_relu_that_f_leaves_out_and_shares_its_weights():
    function = plain_function()
    classifier = build_classifier(function, 10)
    assert trainable(classifier.layers[2:]) == 8 * 10 + 10
    assert classifier.get_layer("f") is function
    found = np.asarray(function(images(3)), "float64")
    assert (found < 0).any() and (found > 0).any()
    kernel, bias = classifier.get_layer("logits").get_weights()
    expected = np.maximum(found, 0) @ kernel + bias
    np.testing.assert_allclose(classifier(images(3)), expected, atol=1e-5)
    decayed = build_classifier(function, 10, decay=0.5)
    decayed.set_weights(classifier.get_weights())
    np.testing.assert_allclose(decayed(images(3)), expected, atol=1e-5)
    penalty = 0.5 * ((found**2).sum(axis=1).mean() + (np.float64(kernel) ** 2).sum())
    assert float(sum(decayed.losses)) == pytest.approx(penalty, rel=1e-5)
    assert float(sum(classifier.losses)) == 0.0


G_32 = [
    "up 512 4x4 /1 norm relu",
    "up 256 4x4 /2 norm relu",
    "up 128 4x4 /2 norm relu",
    "up 3 4x4 /2 bias tanh",
]


def test_layers_and_parameters_of_g():
    """Sec. 5.1: four blocks, from 128 numbers to 32 px."""
    network = build_generator(128, 32, 1.0)
    assert described(network) == G_32
    norms = 2 * (512 + 256 + 128)
    kernels = 16 * (128 * 512 + 512 * 256 + 256 * 128 + 128 * 3)
    assert trainable(network) == kernels + norms + 3 == 3_677_955
    sides = [network.get_layer(f"up{i}").output.shape[1] for i in (1, 2, 3, 4)]
    assert sides == [4, 8, 16, 32]
    assert network.output_shape == (None, 32, 32, 3)


def test_g_of_gray_images_draws_one_channel():
    network = build_generator(8, 16, 1 / 32, gray=True)
    assert described(network)[-2:] == ["up 1 4x4 /2 bias tanh", "three channels"]
    assert trainable(network) == 16 * (8 * 16 + 16 * 8 + 8) + 2 * (16 + 8) + 1
    drawn = np.asarray(uneven(network)(np.random.normal(size=(2, 8))))
    assert drawn.shape == (2, 16, 16, 3) and drawn.std() > 0.1
    np.testing.assert_array_equal(drawn, drawn[..., :1].repeat(3, axis=-1))


def test_g_of_faces_is_nine_layers_deep():
    """Sec. 5.2: five blocks from 256 numbers to 64 px, and 1x1 convolutions."""
    network = build_generator(256, 64, 1.0, pointwise=True)
    counts = [512, 256, 128, 64]
    blocks = [f"up {n} 4x4 /{1 if n == 512 else 2} norm relu" for n in counts]
    ones = [f"{n} 1x1 /1 bias relu" for n in counts]
    expected = [row for pair in zip(blocks, ones, strict=True) for row in pair]
    assert described(network) == [*expected, "up 3 4x4 /2 bias tanh"]
    assert len(described(network)) == 9
    kernels = 16 * (256 * 512 + 512 * 256 + 256 * 128 + 128 * 64 + 64 * 3)
    pointwise = sum(n * n + n for n in counts)
    assert trainable(network) == kernels + 2 * sum(counts) + 3 + pointwise == 5_203_779
    assert network.output_shape == (None, 64, 64, 3)


def test_layers_and_parameters_of_the_discriminator():
    network = build_discriminator(32, 1.0)
    counts = [64, 128, 256, 512]
    first, *others = [f"{n} 4x4 /2 norm leaky 0.0" for n in counts]
    assert described(network) == [first.replace("norm", "bias"), *others, "dense 3 linear"]
    kernels = 16 * (3 * 64 + 64 * 128 + 128 * 256 + 256 * 512)
    norms = 64 + 2 * sum(counts[1:])
    assert trainable(network) == kernels + norms + 2 * 2 * 512 * 3 + 3 == 2_763_587
    assert network.output_shape == (None, 3)


def test_layers_and_parameters_of_the_discriminator_of_faces():
    """Sec. 5.2: 152 px, six blocks, slope 0.2; the maps are 76, 38, 19, 10, 5 and 3 px."""
    network = build_discriminator(152, 1 / 16, blocks=6, leak=0.2)
    counts = [4, 8, 16, 32, 32, 32]
    first, *others = [f"{n} 4x4 /2 norm leaky 0.2" for n in counts]
    assert described(network) == [first.replace("norm", "bias"), *others, "dense 3 linear"]
    kernels = 16 * (3 * 4 + 4 * 8 + 8 * 16 + 16 * 32 + 2 * 32 * 32)
    assert trainable(network) == kernels + 4 + 2 * sum(counts[1:]) + 3 * 3 * 32 * 3 + 3


def test_all_layers_of_the_discriminator_may_be_normalized():
    """As all of Sec. 5.1's are, and those of the six blocks of Sec. 5.2."""
    model = DomainTransferNetwork(plain_function(), **TINY, discriminator_first_norm=True)
    counts = [2, 4, 8, 16]
    rows = [f"{n} 4x4 /2 norm leaky 0.0" for n in counts]
    assert described(model.discriminator) == [*rows, "dense 3 linear"]
    kernels = 16 * (3 * 2 + 2 * 4 + 4 * 8 + 8 * 16)
    assert trainable(model.discriminator) == kernels + 2 * sum(counts) + 16 * 3 + 3


def test_the_baseline_has_a_discriminator_of_two_classes():
    assert build_discriminator(SIZE, 1 / 32, classes=2).output_shape == (None, 2)


def test_layers_and_parameters_of_the_encoder():
    network = build_encoder(32, 1.0, 128)
    counts = [64, 128, 256]
    assert described(network) == [f"{n} 4x4 /2 norm leaky 0.0" for n in counts] + ["dense 128"]
    kernels = 16 * (3 * 64 + 64 * 128 + 128 * 256)
    assert trainable(network) == kernels + 2 * sum(counts) + 4 * 4 * 256 * 128 + 128 == 1_183_744
    assert network.output_shape == (None, 128)


def test_weights_start_from_a_gaussian_of_002():
    """Radford et al. 2015, whose networks these are."""
    for network in (build_generator(64, 32, 0.25), build_discriminator(32, 0.25)):
        for variable in network.trainable_variables:
            if variable.path.endswith("kernel") and np.size(variable) > 5000:
                value = np.asarray(variable)
                tolerance = 5 * 0.02 / value.size**0.5  # 5 standard errors
                assert abs(value.mean()) < tolerance and abs(value.std() - 0.02) < tolerance


# The networks once more, in NumPy


def weights_of(network, name):
    return [w.astype("float64") for w in network.get_layer(name).get_weights()]


def numpy_norm(network, x, name):
    gamma, beta, mean, variance = weights_of(network, f"{name}_bn")
    return gamma * (x - mean) / np.sqrt(variance + 1e-5) + beta


def numpy_pool(x, side):
    batch, height, width, channels = x.shape
    x = x.reshape(batch, height // side, side, width // side, side, channels)
    return x.max(axis=(2, 4))


def numpy_function(network, x):
    depth = sum(isinstance(layer, layers.Conv2D) for layer in network.layers)
    for i in range(1, depth + 1):
        kernel, bias = weights_of(network, f"conv{i}")
        padded = np.pad(x, ((0, 0), (1, 1), (1, 1), (0, 0)))
        side = x.shape[1]
        x = bias + sum(
            padded[:, r : r + side, c : c + side] @ kernel[r, c] for r in range(3) for c in range(3)
        )
        x = numpy_pool(x, len(x[0])) if i == depth else np.maximum(numpy_pool(x, 2), 0)
    return x[:, 0, 0]


def numpy_generator(network, code, pointwise=False):
    """For 16 px."""
    x = np.einsum("bc,ijdc->bijd", code, weights_of(network, "up1")[0])
    for i in (1, 2):
        x = np.maximum(numpy_norm(network, x, f"up{i}"), 0)
        if pointwise:
            kernel, bias = weights_of(network, f"pointwise{i}")
            x = np.maximum(x @ kernel[0, 0] + bias, 0)
        x = numpy_transposed(x, weights_of(network, f"up{i + 1}")[0])
    return np.tanh(x + weights_of(network, "up3")[1])


def numpy_encoded(network, x, depth, leak, last):
    for i in range(1, depth + 1):
        kernel, *bias = weights_of(network, f"conv{i}")
        x = numpy_strided(x, kernel)
        x = x + bias[0] if bias else numpy_norm(network, x, f"conv{i}")
        x = np.maximum(x, leak * x)
    kernel, bias = weights_of(network, last)
    return x.reshape(len(x), -1) @ kernel + bias


def assert_draws(found, expected):
    assert expected.std() > 0.1
    np.testing.assert_allclose(found, expected, atol=2e-5)


@pytest.mark.parametrize("size", [32, 24])
def test_f_equals_its_definition(size):
    network = uneven(build_function(size, 1 / 32))
    assert_draws(network(images(2, size)), numpy_function(network, images(2, size)))


def test_f_leaves_an_odd_row_and_column_out():
    """Of 38 px, 19 are halved to 9: the last row and column of the second map."""
    network = build_function(38, 1 / 16)
    second = keras.Model(network.input, network.get_layer("conv2").output)
    pooled = keras.Model(network.input, network.get_layer("pool2").output)
    maps = np.asarray(second(images(2, 38)))
    assert maps.shape[1] == 19
    np.testing.assert_array_equal(pooled(images(2, 38)), numpy_pool(maps[:, :18, :18], 2))


@pytest.mark.parametrize("pointwise", [False, True])
def test_g_equals_its_definition(pointwise):
    network = uneven(build_generator(8, 16, 1 / 32, pointwise=pointwise))
    code = np.random.normal(size=(3, 8))
    assert_draws(network(code, training=False), numpy_generator(network, code, pointwise))


def test_the_discriminator_equals_its_definition():
    network = uneven(build_discriminator(16, 1 / 32, leak=0.2))
    head = network.get_layer("classes").kernel
    head.assign(10 * np.asarray(head))
    expected = numpy_encoded(network, images(3), 4, 0.2, "classes")
    assert_draws(network(images(3), training=False), expected)


def test_the_encoder_equals_its_definition():
    network = uneven(build_encoder(16, 1 / 32, 5))
    assert_draws(
        network(images(3), training=False), numpy_encoded(network, images(3), 2, 0.0, "code")
    )


# G


@pytest.mark.parametrize("name", FUNCTIONS)
def test_the_converter_is_g_after_f(name):
    function = FUNCTIONS[name]()
    model = uneven_model(function=function)
    x = images(3)
    code = np.asarray(function(x, training=False))
    np.testing.assert_array_equal(model.function(x, training=False), code)
    assert_draws(model(x, training=False), numpy_generator(model.generator, code))
    np.testing.assert_array_equal(model({"source": x}), model(x))
    assert model.generated_shape() == (None, SIZE, SIZE, 3)


def test_without_f_the_converter_is_g_after_the_encoder():
    model = uneven_model(through_f=False)
    code = numpy_encoded(model.encoder, images(3), 2, 0.0, "code")
    assert_draws(model(images(3), training=False), numpy_generator(model.generator, code))


class Noise(layers.Layer):
    """A layer whose own layer is not told the mode: Keras hands it down."""

    def __init__(self, **kwargs):
        super().__init__(**kwargs)
        self.inner = layers.GaussianNoise(1.0)

    def call(self, x):
        return self.inner(x)


# What is another in training than in inference.
ACTIVE = {
    "noise": lambda: layers.GaussianNoise(1.0),
    "alpha dropout": lambda: layers.AlphaDropout(0.5),
    "spatial dropout": lambda: layers.SpatialDropout2D(0.5),
    "statistics": layers.BatchNormalization,
    "spectral norm": lambda: layers.SpectralNormalization(layers.Conv2D(6, 3)),
    "augmentation": lambda: layers.RandomTranslation(0.5, 0.5),
    "nested": lambda: keras.Sequential(
        [keras.Input((None, None, 6)), layers.RandomFlip(), layers.Dropout(0.5)]
    ),
    "nested twice": lambda: keras.Sequential(
        [keras.Input((None, None, 6)), keras.Sequential([layers.Dropout(0.5)])]
    ),
    "within": Noise,
}


def active_function(name):
    """An f that has such a layer, and weights that differ from what training would make of them."""
    keras.utils.set_random_seed(1)
    image = keras.Input((None, None, 3))
    x = ACTIVE[name]()(layers.Conv2D(6, 3, strides=2, activation="relu")(image))
    function = keras.Model(image, layers.Flatten()(layers.Resizing(2, 2)(x)))
    # The flattened map tells where things are, so that moved images differ.
    return uneven(function)


@pytest.mark.parametrize("name", ACTIVE)
def test_f_is_in_inference_mode_where_g_is_in_training_mode(name, tmp_path):
    """In calls, in copies as `AveragedWeights` and exports make them, and in loaded models."""
    with keras.saving.custom_object_scope({"Noise": Noise}):
        function, x = active_function(name), images(4)
        model = uneven_model(function=function)
        code = np.asarray(model.function(x, training=False))
        assert np.abs(np.asarray(function(x, training=True)) - code).max() > 0.01  # it is active
        before = values_of(model.function.variables)
        expected = np.asarray(model.generator(code, training=True))
        clone = keras.models.clone_model(model.converter)
        clone.set_weights(model.converter.get_weights())
        model.save(tmp_path / "model.keras")
        model.plain_converter().save(tmp_path / "converter.keras")
        drawers = [model, model.converter, clone, model.drawing()]
        for path in ("model.keras", "converter.keras"):
            drawers.append(keras.models.load_model(tmp_path / path))
        drawers.append(drawers[-2].converter)
        for drawer in drawers:
            np.testing.assert_allclose(drawer(x, training=True), expected, atol=1e-5)
        assert np.abs(expected - np.asarray(model(x))).max() > 0.1  # g's own mode has changed
        traced = tf.function(lambda x: model.converter(x, training=True))
        np.testing.assert_allclose(traced(x), expected, atol=1e-5)
        step(model, batch_of(4))
    for a, b in zip(before, model.function.variables, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_copy_in_another_precision_has_a_constant_f_too():
    """What `export` makes of a model of half precision."""
    from export import verification

    model = uneven_model(function=active_function("noise"), dtype="mixed_bfloat16")
    copy = verification.in_precision(model.plain_converter(), "float32")
    assert copy is not model.converter
    code = model.function(images(4), training=False)
    drawn = np.asarray(copy(images(4), training=True))
    np.testing.assert_allclose(drawn, copy.layers[2](code, training=True), atol=1e-5)


def numpy_enlarged(x, size):
    """Bilinear, one axis at a time; outside, the border's pixels go on."""
    for axis in (1, 2):
        before = x.shape[axis]
        at = np.clip((np.arange(size) + 0.5) * before / size - 0.5, 0, before - 1)
        low = np.minimum(at.astype(int), before - 2)
        share = (at - low).reshape((-1, 1, 1) if axis == 1 else (-1, 1))
        x = (1 - share) * x.take(low, axis) + share * x.take(low + 1, axis)
    return x


def test_the_converter_of_faces_enlarges_what_g_draws():
    """Sec. 5.2: g draws 64 px, D takes 152."""
    model = DomainTransferNetwork(
        free_function(), 152, 1 / 64, generated_size=64, pointwise=True, discriminator_blocks=6
    )
    uneven(model.generator)
    assert model.generator.output_shape == (None, 64, 64, 3)
    assert model.generated_shape() == model.discriminator.input_shape == (None, 152, 152, 3)
    x = images(1, 152)
    drawn = np.asarray(model.generator(model.function(x)))
    assert drawn.std() > 0.1
    np.testing.assert_allclose(model(x), numpy_enlarged(drawn, 152), atol=1e-5)


def test_the_plain_converter_stands_alone(tmp_path):
    """What is exported: a functional model, without D, that draws what the model draws."""
    model = uneven_model(function=free_function(), gray=True)
    plain = model.plain_converter()
    assert [tuple(x.shape) for x in (*plain.inputs, *plain.outputs)] == [(None, SIZE, SIZE, 3)] * 2
    np.testing.assert_array_equal(plain(images(3)), model(images(3)))
    plain.save(tmp_path / "plain.keras")
    loaded = keras.models.load_model(tmp_path / "plain.keras")
    np.testing.assert_array_equal(loaded(images(3)), model(images(3)))
    assert len(loaded.weights) == len(model.function.weights) + len(model.generator.weights)


def test_constancy_is_the_distance_of_eq_8():
    model = uneven_model()
    x = images(4)
    before, after = (numpy_function(model.function, v) for v in (x, np.asarray(model(x))))
    expected = np.sqrt(((before - after) ** 2).sum(axis=1))
    assert expected.min() > 0.1
    np.testing.assert_allclose(model.constancy(x), expected, rtol=1e-4)


@pytest.mark.parametrize("arguments", [{}, {"image_size": 32, "generated_size": 16}])
def test_the_basis_is_what_g_draws_of_unit_vectors(arguments):
    """Appendix C, in the size that g draws."""
    model = uneven_model(function=free_function(), **arguments)
    assert_draws(model.basis(), numpy_generator(model.generator, np.eye(6)))


# Objective and step


def test_total_variation_against_a_hand_calculation():
    image = np.array([[0, 3, 3], [4, 0, 1], [0, 0, 0]], "float32")
    # To the right and down, of the four pixels that have both: (3, 4), (0, -3), (-4, -4), (1, 0).
    expected = (5 + 3 + 32**0.5 + 1) / 4
    assert float(total_variation(image[None, :, :, None])) == pytest.approx(expected)
    two = np.stack([image, np.zeros_like(image)])[..., None]
    assert float(total_variation(two)) == pytest.approx(expected / 2)  # of both images
    channels = np.concatenate([two, 2 * two], axis=-1)
    assert float(total_variation(channels)) == pytest.approx(3 * expected / 4)  # of both channels


def test_total_variation_is_eq_7_and_has_its_gradient():
    z = images(2, size=5)
    z[1] = 0.3  # constant: the root has no derivative there
    z[0, :2, :2, 0] = -1.0  # so are some pixels
    steps = np.zeros(z.shape)
    total = 0.0
    for n, i, j, c in np.ndindex(2, 4, 4, 3):
        down, right = (float(z[n, i + a, j + 1 - a, c]) - float(z[n, i, j, c]) for a in (1, 0))
        length = (down**2 + right**2) ** 0.5
        total += length
        if length:
            steps[n, i + 1, j, c] += down / length
            steps[n, i, j + 1, c] += right / length
            steps[n, i, j, c] -= (down + right) / length
    x = tf.constant(z)
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = total_variation(x)
    count = 2 * 4 * 4 * 3
    assert float(value) == pytest.approx(total / count, rel=1e-5)
    gradient = tape.gradient(value, x).numpy()
    assert not gradient[1].any()
    np.testing.assert_allclose(gradient, steps / count, atol=1e-6)


def softmax(logits):
    powers = np.exp(np.asarray(logits, "float64"))
    return powers / powers.sum(axis=1, keepdims=True)


@pytest.mark.parametrize("ternary", [True, False])
def test_losses_are_eqs_3_to_7(ternary):
    """And, with two classes, those of Sec. 3, of which G's is log(1 - D(G(x)))."""
    objective = "non_saturating" if ternary else "saturating"
    model = uneven_model(
        ternary=ternary, converter_objective=objective, alpha=3.0, beta=5.0, gamma=1.0
    )
    x_t, x_s, of_s, of_t = (images(4, seed=i) for i in range(4))
    of_s, of_t = 0.9 * of_s, 0.5 * of_t
    transfers = np.concatenate([of_s, of_t])
    d_s, d_t, d_real = (softmax(model.discriminator(x, training=True)) for x in (of_s, of_t, x_t))
    assert min(d.std() for d in (d_s, d_t, d_real)) > 0.05
    real = 2 if ternary else 1
    assert d_s.shape == (4, real + 1)
    d_loss = -np.log(d_s[:, 0]).mean() - np.log(d_real[:, real]).mean()
    gan = np.log(1 - d_s[:, 1]).mean()
    if ternary:
        d_loss -= np.log(d_t[:, 1]).mean()
        gan = -np.log(d_s[:, 2]).mean() - np.log(d_t[:, 2]).mean()
    assert float(model.discriminator_loss(x_t, transfers)) == pytest.approx(d_loss, rel=1e-4)
    f_s, f_of_s = (numpy_function(model.function, x) for x in (x_s, of_s))
    const = np.square(f_s - f_of_s).mean()
    tid = np.square(x_t.astype("float64") - of_t).mean()
    tv = float(total_variation(of_s))
    found = model.converter_loss(x_t, f_s.astype("float32"), transfers)
    expected = gan + 3.0 * const + 5.0 * tid + tv
    assert min(abs(gan), 3.0 * const, 5.0 * tid, tv) > 0.02 * expected
    assert float(found) == pytest.approx(expected, rel=1e-4)


def numpy_cosine(x, y):
    x, y = (np.asarray(v, "float64").reshape(len(v), -1) for v in (x, y))
    return 1 - np.mean((x * y).sum(1) / (np.linalg.norm(x, axis=1) * np.linalg.norm(y, axis=1)))


def test_the_distances_of_f_and_of_images_are_what_was_chosen():
    """d of L_CONST, d_2 of L_TID; by default MSE, see above."""
    x_t, x_s, of_s, of_t = (images(4, seed=i) for i in range(4))
    transfers = np.concatenate([of_s, of_t])

    def terms(distance, target_distance):
        chosen = {"distance": distance, "target_distance": target_distance}
        model = uneven_model(adversarial=False, alpha=3.0, beta=5.0, **chosen)
        f_s, f_of_s = (numpy_function(model.function, x) for x in (x_s, of_s))
        return float(model.converter_loss(x_t, f_s.astype("float32"), transfers)), f_s, f_of_s

    found, f_s, f_of_s = terms("cosine", "mae")
    expected = 3 * numpy_cosine(f_s, f_of_s), 5 * np.abs(x_t.astype("float64") - of_t).mean()
    assert min(expected) > 0.1
    assert found == pytest.approx(sum(expected), rel=1e-4)
    found, _, _ = terms("hinge", "cosine")
    const = np.maximum(np.abs(f_s - f_of_s) - 0.1, 0).mean()
    assert found == pytest.approx(3 * const + 5 * numpy_cosine(x_t, of_t), rel=1e-4)


class Logits(layers.Layer):
    """A D whose logits are the first two numbers of each image, for the calculation by hand."""

    def call(self, x, training=False):
        return x[:, 0, 0, :2]


def adversarial_term(objective, logits):
    """The value of g's term of D, and its gradient with respect to D's logits."""
    model = DomainTransferNetwork(
        plain_function(),
        **TINY,
        ternary=False,
        alpha=0.0,
        beta=0.0,
        converter_objective=objective,
    )
    model.discriminator = Logits()
    transfers = np.zeros((len(logits), SIZE, SIZE, 3), "float32")
    transfers[:, 0, 0, :2] = logits
    x = tf.constant(transfers)
    with tf.GradientTape() as tape:
        tape.watch(x)
        value = model.converter_loss(images(len(logits)), None, x)
    return float(value), tape.gradient(value, x).numpy()[:, 0, 0, :2]


def test_the_saturating_objective_against_a_hand_calculation():
    """Eq. 1: log(1 - D(G(x))), whose slope -D vanishes where D is sure, and which has no log(0).

    D, the probability of the last of two classes, is 1/4, and then as good as 0 and 1.
    """
    logits = np.array([[np.log(3.0), 0.0], [200.0, 0.0], [0.0, 200.0]])
    value, slope = adversarial_term("saturating", logits)
    assert value == pytest.approx((np.log(3 / 4) + 0 - 200) / 3, rel=1e-5)
    expected = np.array([[1 / 4, -1 / 4], [0, 0], [1, -1]]) / 3
    np.testing.assert_allclose(slope, expected, atol=1e-6)
    # The other objective, -log D, learns most where this one does not.
    value, slope = adversarial_term("non_saturating", logits)
    assert value == pytest.approx((np.log(4) + 200 + 0) / 3, rel=1e-5)
    expected = np.array([[3 / 4, -3 / 4], [1, -1], [0, 0]]) / 3
    np.testing.assert_allclose(slope, expected, atol=1e-6)


def test_with_two_classes_g_can_still_minimize_minus_log_d():
    """What a model without `converter_objective` did, and does."""
    model = uneven_model(ternary=False, alpha=0.0, beta=0.0)
    d = softmax(model.discriminator(images(4), training=True))
    found = float(model.converter_loss(images(4, seed=1), None, images(4)))
    assert found == pytest.approx(-np.log(d[:, 1]).mean(), rel=1e-4)


@pytest.mark.parametrize("row", TABLE_1)
def test_the_rows_of_table_1_have_their_networks(row):
    changed = TABLE_1[row]
    model = DomainTransferNetwork(plain_function(), **TINY, **changed)
    through_f, adversarial = changed.get("through_f", True), changed.get("adversarial", True)
    learned = ["generator"] if through_f else ["generator", "encoder"]
    players = {"discriminator": ["discriminator"]} if adversarial else {}
    assert model.players == {**players, "converter": learned}
    assert list(model.players)[-1] == "converter"  # it is updated through the updated D
    assert hasattr(model, "encoder") != through_f
    assert hasattr(model, "discriminator") == adversarial
    if adversarial:
        assert model.discriminator.output_shape[-1] == (3 if changed.get("ternary", True) else 2)
    learns = {id(v) for v in model.trainable_variables}
    assert learns == {id(v) for name in model.players for v in model.player_variables(name)}
    assert not any(id(v) in learns for v in model.function.weights)


def reference_step(twin, row, batch, rate):
    """Sec. 4 once more, as plainly as TensorFlow allows; f is computed wherever it is named."""
    x_s, x_t = tf.constant(batch["source"]), tf.constant(batch["target"])
    d, g, f = getattr(twin, "discriminator", None), twin.generator, twin.function
    encode = twin.encoder if row in ("baseline", "no_f") else f
    uses_t = row != "baseline"
    real_class = 2 if uses_t else 1

    def d_term(x, place):
        labels = tf.fill([len(x)], place)
        logits = d(x, training=True)
        return tf.reduce_mean(tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits))

    losses = {}
    with tf.GradientTape() as tape:
        if uses_t:  # its statistics are not kept
            before = twin.get_weights()
            of_t = g(encode(x_t, training=encode is not f), training=True)
            twin.set_weights(before)
        of_s = g(encode(x_s, training=encode is not f), training=True)
        if d is not None:
            with tf.GradientTape() as own:
                d_loss = d_term(tf.constant(of_s.numpy()), 0) + 0.0
                if uses_t:
                    d_loss += d_term(tf.constant(of_t.numpy()), 1)
                d_loss += d_term(x_t, real_class)
            update(twin, "discriminator", own, d_loss, rate)
            losses["discriminator_loss"] = float(d_loss)
        g_loss = 0.0
        if row == "baseline":
            g_loss += tf.reduce_mean(tf.math.log(1 - tf.nn.softmax(d(of_s, training=True))[:, 1]))
        elif d is not None:
            g_loss += d_term(of_s, real_class)
            if uses_t:
                g_loss += d_term(of_t, real_class)
        if row not in ("no_const", "no_const_no_tid"):
            g_loss += 15.0 * tf.reduce_mean((f(x_s) - f(of_s)) ** 2)
        if row not in ("baseline", "no_tid", "no_const_no_tid"):
            g_loss += 15.0 * tf.reduce_mean((x_t - of_t) ** 2)
    update(twin, "converter", tape, g_loss, rate)
    return {**losses, "converter_loss": float(g_loss)}


def update(twin, player, tape, loss, rate):
    variables = twin.player_variables(player)
    gradients = tape.gradient(loss, [v.value for v in variables])
    for variable, gradient in zip(variables, gradients, strict=True):
        variable.assign(variable - rate * gradient)


@pytest.mark.parametrize("row", TABLE_1)
def test_a_step_of_each_row_equals_an_independent_implementation(row):
    """And moves all weights and statistics of the players' networks, and none of f's."""
    model = uneven_model(keras.optimizers.SGD(0.01), **TABLE_1[row])
    twin = twin_of(model)
    before = values_of(model.weights)
    batch = batch_of(4)
    assert step(model, batch) == pytest.approx(reference_step(twin, row, batch, 0.01), rel=1e-4)
    for a, b in zip(model.weights, twin.weights, strict=True):  # statistics too
        np.testing.assert_allclose(a, b, atol=1e-5, rtol=1e-4, err_msg=a.path)
    moved = {
        id(v) for v, old in zip(model.weights, before, strict=True) if not np.array_equal(old, v)
    }
    assert moved == {id(v) for network in networks_of(model) for v in network.weights}


@pytest.mark.parametrize("player", ["discriminator", "converter"])
def test_each_update_moves_the_weights_of_its_player_only(player):
    players = ("discriminator", "converter")
    rates = {name: keras.optimizers.SGD(0.01 * (name == player)) for name in players}
    model = uneven_model(rates, through_f=False)
    before = {name: values_of(model.player_variables(name)) for name in players}
    step(model, batch_of(4))
    for name in players:
        for a, b in zip(before[name], model.player_variables(name), strict=True):
            assert np.array_equal(a, b) == (name != player), b.path


def test_f_stays_as_it_is_given():
    """Neither a step nor a later training of the user's f reaches the other's."""
    function = keras.models.clone_model(free_function())
    function.set_weights(free_function().get_weights())
    model = uneven_model(function=function)
    given = values_of(function.weights)
    step(model, batch_of(4))
    for variables in (function.weights, model.function.weights):
        for a, b in zip(given, variables, strict=True):
            np.testing.assert_array_equal(a, b)
    assert function.trainable and len(function.trainable_variables) == 4
    assert not model.function.trainable_variables
    function(images(4), training=True)  # moves its statistics
    function.trainable_variables[0].assign_add(np.ones(function.trainable_variables[0].shape))
    for a, b in zip(given, model.function.weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_smoothness_term_reaches_g():
    """gamma alone changes the step; of images of S only."""
    plain, smooth = uneven_model(), uneven_model(gamma=1.0)
    batch = batch_of(4)
    model = twin_of(plain)
    drawn = model.generator(model.function(batch["source"]), training=True)
    expected = step(plain, batch)["converter_loss"] + float(total_variation(drawn))
    assert step(smooth, batch)["converter_loss"] == pytest.approx(expected, rel=1e-4)
    a, b = (np.asarray(m.generator.get_layer("up3").kernel) for m in (plain, smooth))
    assert np.abs(a - b).max() > 1e-5


def test_g_learns_to_keep_f_and_the_images_of_t():
    """The whole step pulls in the right direction; T has two images, and S the same, tinted."""
    rng = np.random.default_rng(0)
    patterns = -np.ones((2, SIZE, SIZE, 3), "float32")
    patterns[0, 3:13, 6:10], patterns[1, 6:10, 3:13] = 1.0, 1.0
    x_t = patterns[rng.integers(0, 2, 64)]
    x_s = 0.7 * patterns[rng.integers(0, 2, 64)] + rng.uniform(-0.2, 0.2, (64, 1, 1, 3))
    x_s = x_s.astype("float32")
    keras.utils.set_random_seed(0)
    model = DomainTransferNetwork(plain_function(), SIZE, 1 / 16)
    model.compile(keras.optimizers.Adam(5e-3, beta_1=0.5))

    def terms():
        tid = np.square(np.asarray(model(x_t, training=True)) - x_t).mean()
        f_s, f_of_s = (model.function(x) for x in (x_s, model(x_s, training=True)))
        return np.array([tid, np.square(np.asarray(f_s) - np.asarray(f_of_s)).mean()])

    before = terms()
    model.fit({"source": x_s, "target": x_t}, batch_size=16, epochs=18, verbose=0)
    assert (terms() < before / 3).all(), (before, terms())


# Saving


def train(model, epochs, initial_epoch=0):
    """Two steps an epoch: moments and statistics both matter."""
    model.fit(
        batch_of(8, seed=4),
        batch_size=4,
        epochs=epochs,
        initial_epoch=initial_epoch,
        shuffle=False,
        verbose=0,
    )


@pytest.mark.parametrize(("row", "function"), [("dtn", "free"), ("no_f", "plain")])
def test_a_saved_model_continues_bit_for_bit(row, function, tmp_path):
    arguments = {**TABLE_1[row], "function": FUNCTIONS[function]()}
    model = compiled(keras.optimizers.Adam(1e-2), **arguments)
    train(model, epochs=1)
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.get_config() == model.get_config()
    assert_same_state(loaded, model)
    np.testing.assert_array_equal(loaded(images(2)), model(images(2)))
    for continued in (model, loaded):
        continued.run_eagerly = True
        train(continued, epochs=2, initial_epoch=1)
    assert_same_state(loaded, model)
    # Through all of it f is what it was.
    for a, b in zip(loaded.function.weights, arguments["function"].weights, strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_file_that_was_saved_long_ago_draws_what_it_drew():
    """`golden/domain_transfer/make_golden.py`; and goes on from the step where it ended."""
    model = keras.models.load_model(GOLDEN / "model.keras")
    with np.load(GOLDEN / "golden.npz") as file:
        golden = dict(file)
    assert golden["drawn"].std() > 0.1
    for found in (model.predict_on_batch(golden["x"]), model.converter(golden["x"])):
        np.testing.assert_allclose(found, golden["drawn"], rtol=0, atol=1e-5)
    found = model.function(golden["x"], training=False)
    np.testing.assert_allclose(found, golden["f"], rtol=0, atol=1e-5)
    assert int(model.optimizer.iterations) == 2
    assert all(np.any(model.optimizer[name]._momentums[-1]) for name in model.players)


def test_config_mirrors_the_arguments():
    arguments = {
        "image_size": 24, "width": 1 / 16, "alpha": 2.0, "beta": 0.0, "gamma": 0.1,
        "through_f": False, "ternary": False, "gray": True, "generated_size": 16,
        "pointwise": True, "discriminator_blocks": 2, "discriminator_leak": 0.3,
        "discriminator_width": 1 / 32, "adversarial": True, "converter_objective": "saturating",
        "distance": "cosine", "target_distance": "huber", "discriminator_first_norm": True,
    }  # fmt: skip
    model = DomainTransferNetwork(free_function(), **arguments, name="mine", dtype="mixed_bfloat16")
    config = json.loads(json.dumps(model.get_config()))
    again = DomainTransferNetwork.from_config(config)
    assert set(config) == {*arguments, "function", "name", "dtype", "trainable"}
    assert {key: getattr(again, key) for key in arguments} == arguments
    assert again.get_config() == model.get_config()
    assert again.generator.get_layer("up2").compute_dtype == "bfloat16"
    assert again.encoder.get_layer("conv1").compute_dtype == "bfloat16"
    assert trainable(again.discriminator) == trainable(
        build_discriminator(24, 1 / 32, blocks=2, classes=2, first_norm=True)
    )
    assert [tuple(w.shape) for w in again.weights] == [tuple(w.shape) for w in model.weights]


def test_defaults_are_those_of_the_paper_for_digits():
    model = DomainTransferNetwork(build_function(32, 1 / 64), width=1 / 64)
    assert (model.image_size, model.alpha, model.beta, model.gamma) == (32, 15.0, 15.0, 0.0)
    assert model.through_f and model.ternary and model.adversarial
    assert model.converter_objective == "non_saturating"
    assert model.distance == model.target_distance == "mse"
    assert not model.discriminator_first_norm
    assert (model.discriminator_blocks, model.discriminator_leak) == (4, 0.0)


# Mixed precision, devices, backends


@pytest.mark.parametrize(
    ("dtype", "width"), [("mixed_float16", 1 / 32), ("mixed_bfloat16", 1 / 16)]
)
def test_mixed_precision_moves_all_weights_as_float32_does(dtype, width):
    # With the paper's 15, or wider, float16 overflows at its first loss scale and skips steps;
    # bfloat16 rounds narrow sums too far, and statistics of maps of 1x1: D ends at 4x4.
    arguments = {"alpha": 1.0, "beta": 1.0, "discriminator_blocks": 2, "width": width}
    expected, mixed = compiled(**arguments), compiled(**arguments, dtype=dtype)
    batch = batch_of(8)
    code = np.asarray(expected.function(batch["source"]))
    found = mixed.function(batch["source"])
    assert found.dtype == "float32"  # f is what it was
    np.testing.assert_array_equal(found, code)
    checks.assert_step_moves_alike(expected, mixed, batch)
    half = dtype.removeprefix("mixed_")
    assert mixed.generator.get_layer("up2").compute_dtype == half
    assert mixed.discriminator.get_layer("conv2").compute_dtype == half
    assert mixed(batch["source"], training=False).dtype == "float32"
    assert mixed.plain_converter().output.dtype == "float32"
    assert mixed.discriminator.output.dtype == "float32"


# Two replicas and JAX: backends_test.py


def replicated():
    """What statistics and gradients are of; the last batch is shared as 2 and 1."""
    model = DomainTransferNetwork(plain_function(), **TINY, gamma=1e-3)
    for network in networks_of(model):
        uneven(network)
    model.compile(keras.optimizers.SGD(0.01))
    return model


def fit_replicated(model):
    fitted = model.fit(batch_of(7), batch_size=4, epochs=2, shuffle=False, verbose=0)
    return fitted.history.values()


JAX_ARGUMENTS = {**TINY, "gamma": 1e-3}
JAX = """
from keras_pixdt.models.domain_transfer import DomainTransferNetwork
from keras_pixdt.models.domain_transfer_networks import build_function
batch = batch_of(8, keys=("source", "target"))
model = DomainTransferNetwork(build_function(16, 1 / 16), **arguments)
model.compile(keras.optimizers.SGD(0.01))
model.save(f"{folder}/before.keras")
before = [np.array(v) for v in model.weights]  # several networks have variables of one path
logs = model.fit(batch, batch_size=4, epochs=1, shuffle=False, verbose=0).history
moved = {id(v) for v, old in zip(model.weights, before) if not np.array_equal(old, v)}
assert moved == {id(v) for n in (model.generator, model.discriminator) for v in n.weights}
model.save(f"{folder}/after.keras")
np.savez(
    f"{folder}/drawn.npz",
    drawn=model.predict(batch["source"], verbose=0),
    constancy=model.constancy(batch["source"]),
    basis=model.basis(),
    **logs,
)
"""


def compare_with_jax(folder, monkeypatch):
    batch = batch_of(8)
    after, found = checks.assert_steps_equal_those_on_jax(folder, batch)
    np.testing.assert_allclose(after.constancy(batch["source"]), found["constancy"], rtol=1e-3)
    np.testing.assert_allclose(after.basis(), found["basis"], atol=1e-4)


# Errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image_size": 24}, r"`image_size` must be a power of two from 16.*Received: 24"),
        ({"generated_size": 24}, r"`generated_size` must be a power of two from 16.*Received: 24"),
        ({"generated_size": 8}, r"`generated_size` must be a power of two from 16.*Received: 8"),
        ({"width": 0}, r"`width` must be positive\. Received: 0"),
        ({"discriminator_width": -1.0}, r"`discriminator_width` must be positive\. Received: -1"),
        ({"alpha": -1.0}, r"`alpha` must not be negative\. Received: -1\.0"),
        ({"beta": -2}, r"`beta` must not be negative\. Received: -2"),
        ({"gamma": -3}, r"`gamma` must not be negative\. Received: -3"),
        ({"distance": "l2"}, r"`distance` must be one of mae, mse, .*Received: 'l2'"),
        ({"target_distance": "gan"}, r"`target_distance` must be one of mae.*Received: 'gan'"),
        ({"discriminator_blocks": 0}, r"`discriminator_blocks` must be at least 1\. Received: 0"),
        (
            {"adversarial": False, "alpha": 0, "beta": 0, "gamma": 1.0},
            r"Without a discriminator G needs `alpha` or `beta`.*adversarial=False, alpha=0",
        ),
        (
            {"converter_objective": "saturated"},
            r"`converter_objective` must be one of .*, saturating.*Received: 'saturated'",
        ),
        (
            {"converter_objective": "saturating"},
            r"needs a D of two classes.*set ternary=False and.*Received: ternary=True",
        ),
        (
            {"converter_objective": "saturating", "ternary": False, "adversarial": False},
            r"needs a D of two classes.*Received: ternary=False, adversarial=False",
        ),
    ],
)
def test_arguments_out_of_range_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        DomainTransferNetwork(free_function(), **{**TINY, **arguments})


def function_with(takes, gives):
    """A model of inputs and outputs of these shapes."""
    image = keras.Input(takes)
    features = layers.Dense(4)(layers.GlobalAveragePooling2D()(image))
    outputs = {"vector": features, "two": [features, features], "map": layers.Conv2D(4, 1)(image)}
    return keras.Model(image, outputs[gives])


@pytest.mark.parametrize(
    ("takes", "gives", "received"),
    [
        ((32, 32, 3), "vector", r"\(None, 32, 32, 3\)"),
        ((16, 16, 1), "vector", r"\(None, 16, 16, 1\)"),
        ((16, 16, 3), "map", r"gives \(None, 16, 16, 4\)"),
        ((16, 16, 3), "two", r"gives \[\(None, 4\), \(None, 4\)\]"),
    ],
)
def test_an_f_that_does_not_fit_is_refused(takes, gives, received):
    message = (
        rf"`function` must be .* that takes images \(None, 16, 16, 3\).*one vector.*{received}"
    )
    with pytest.raises(ValueError, match=message):
        DomainTransferNetwork(function_with(takes, gives), **TINY)


def test_an_f_that_is_not_built_is_refused():
    with pytest.raises(ValueError, match="`function` must be a functional or.*takes None"):
        DomainTransferNetwork(keras.Sequential([layers.Flatten(), layers.Dense(3)]), **TINY)


def test_image_sizes_that_networks_do_not_take_are_refused():
    with pytest.raises(ValueError, match="power of two from 16.*`generated_size`.*Received: 48"):
        build_generator(4, 48, 0.1)
    with pytest.raises(ValueError, match="`image_size` must be at least 16 px. Received: 15"):
        build_function(15)

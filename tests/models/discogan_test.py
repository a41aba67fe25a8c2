import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import layers

from keras_pixdt.metrics import RootMeanSquaredError
from keras_pixdt.models.discogan import DiscoGAN, build_converter, build_discriminator
from keras_pixdt.models.point_discogan import PointDiscoGAN, build_mlp
from tests.models import checks
from tests.models.checks import assert_same_state, step, trainable, values_of
from tests.models.pix2pix_test import numpy_strided, numpy_transposed
from tests.samples import batch_of as full_batch_of
from tests.samples import images

SIZE = 16
TINY = {"image_size": SIZE, "width": 1 / 16}  # filters 4, 8
PLAYERS = ["discriminator", "converter"]
FIG_2 = {
    "disco": {},
    "reconstruction": {"coupled": False},
    "standard": {"coupled": False, "reconstruction_weight": 0.0},
}
NETWORKS = {  # of the discriminators' player, and of the generators'
    "disco": (["discriminator", "reverse_discriminator"], ["converter", "reverse_converter"]),
    "reconstruction": (["discriminator"], ["converter", "reverse_converter"]),
    "standard": (["discriminator"], ["converter"]),
}


def batch_of(count=6, seed=0):
    return full_batch_of(count, seed, ("source", "target"))


def points_of(count=6, seed=0):
    values = np.random.default_rng(seed).normal(size=(2, count, 2)).astype("float32")
    return {"source": values[0], "target": values[1] + 1.0}


def compiled(optimizer=None, metrics=None, cls=DiscoGAN, **kwargs):
    """A tiny model with weights of seed 0, run eagerly: nothing is traced."""
    keras.utils.set_random_seed(0)
    # Fewer units than 32 may all be 0 for a point, and with them all that follows.
    model = cls(**{**(TINY if cls is DiscoGAN else {"units": 32}), **kwargs})
    model.compile(optimizer or keras.optimizers.SGD(0.05), metrics=metrics, run_eagerly=True)
    return model


def twin_of(model):
    """Another model of the same weights."""
    twin = type(model).from_config(model.get_config())
    twin.set_weights(model.get_weights())
    return twin


# Networks: Sec. 2.2, with the numbers of the authors' code


def described(network):
    """The layers in short: up for transposed ones, filters, strides, BatchNorm, activations."""
    rows = []
    for layer in network.layers:
        if isinstance(layer, (layers.Conv2D, layers.Conv2DTranspose)):
            up = isinstance(layer, layers.Conv2DTranspose)
            assert layer.kernel_size == (4, 4) and not layer.use_bias
            assert layer.padding == ("same" if layer.strides == (2, 2) else "valid")
            rows.append(f"{'up ' if up else ''}{layer.filters} /{layer.strides[0]}")
        elif isinstance(layer, layers.BatchNormalization):
            assert (layer.momentum, layer.epsilon) == (0.9, 1e-5)
            rows[-1] += " norm"
        elif isinstance(layer, layers.LeakyReLU):
            rows.append(f"leaky {layer.negative_slope:.1f}")
        elif isinstance(layer, layers.ReLU):
            rows.append("relu")
        elif isinstance(layer, layers.Activation):
            rows.append(layer.activation.__name__)
        elif not isinstance(layer, (layers.InputLayer, layers.Flatten)):
            raise AssertionError(f"the paper has no {type(layer).__name__}")
    return rows


LEAKY = "leaky 0.2"
ENCODER = ["64 /2", LEAKY, "128 /2 norm", LEAKY, "256 /2 norm", LEAKY, "512 /2 norm", LEAKY]
DECODER = ["up 256 /2 norm", "relu", "up 128 /2 norm", "relu", "up 64 /2 norm", "relu", "up 3 /2"]
# Of 4x4 kernels without biases; two parameters of BatchNorm for each filter that has it.
ENCODER_WEIGHTS = 16 * (3 * 64 + 64 * 128 + 128 * 256 + 256 * 512) + 2 * (128 + 256 + 512)
DECODER_WEIGHTS = 16 * (512 * 256 + 256 * 128 + 128 * 64 + 64 * 3) + 2 * (256 + 128 + 64)


def test_layers_and_parameters_of_the_generator():
    network = build_converter(64, 1.0)
    assert described(network) == [*ENCODER, *DECODER, "tanh"]
    assert trainable(network) == ENCODER_WEIGHTS + DECODER_WEIGHTS == 5_513_856
    assert network.get_layer("encoder4").output.shape[1:] == (4, 4, 512)
    assert network.output_shape == (None, 64, 64, 3)


def test_layers_and_parameters_of_the_generator_with_five_layers():
    network = build_converter(64, 1.0, extra_layer=True)
    extra = ["100 /1 norm", LEAKY, "up 512 /1 norm", "relu"]
    assert described(network) == [*ENCODER, *extra, *DECODER, "tanh"]
    more = 16 * 2 * 512 * 100 + 2 * (100 + 512)
    assert trainable(network) == ENCODER_WEIGHTS + DECODER_WEIGHTS + more == 7_153_480
    assert network.get_layer("encoder5").output.shape[1:] == (1, 1, 100)
    assert network.get_layer("decoder1").output.shape[1:] == (4, 4, 512)
    assert network.output_shape == (None, 64, 64, 3)


def test_layers_and_parameters_of_the_discriminator():
    network = build_discriminator(64, 1.0)
    assert described(network) == [*ENCODER, "1 /1", "linear"]
    assert trainable(network) == ENCODER_WEIGHTS + 16 * 512 == 2_765_568
    assert network.output_shape == (None, 1)


@pytest.mark.parametrize(
    ("image_size", "width", "filters"),
    [
        (16, 1 / 16, [4, 8]),
        (32, 1 / 32, [2, 4, 8]),
        (128, 1 / 32, [2, 4, 8, 16, 16]),
        (16, 0.001, [1, 1]),  # never less than one
    ],
)
@pytest.mark.parametrize("extra", [False, True])
def test_other_sizes_and_widths(image_size, width, filters, extra):
    model = DiscoGAN(image_size, width, extra_layer=extra)
    inner = max(1, round(100 * width))
    down = 16 * sum(a * b for a, b in zip([3, *filters], filters, strict=False))
    norms = 2 * sum(filters[1:])
    up = down + 2 * sum(filters[:-1])  # the same kernels, transposed
    more = (16 * 2 * filters[-1] * inner + 2 * (inner + filters[-1])) * extra
    assert trainable(model.discriminator) == down + norms + 16 * filters[-1]
    for network in (model.converter, model.reverse_converter):
        assert trainable(network) == down + norms + up + more
        assert network.get_layer(f"encoder{len(filters)}").output.shape[1:3] == (4, 4)
    assert model.generated_shape() == (None, image_size, image_size, 3)
    converted = np.asarray(model(images(2, image_size)))
    assert converted.shape == (2, image_size, image_size, 3)
    assert np.abs(converted).max() <= 1


def test_layers_and_parameters_of_the_networks_for_points():
    """Sec. 3.1: three linear layers, and five."""
    model = PointDiscoGAN(units=128)
    for network in (model.converter, model.reverse_converter):
        assert trainable(network) == (2 + 1) * 128 + (128 + 1) * 128 + (128 + 1) * 2
    for network in (model.discriminator, model.reverse_discriminator):
        assert trainable(network) == (2 + 1) * 128 + 3 * (128 + 1) * 128 + (128 + 1)
    linear = [layer for layer in model.discriminator.layers if isinstance(layer, layers.Dense)]
    assert [layer.activation.__name__ for layer in linear] == ["relu"] * 4 + ["linear"]
    assert model.generated_shape() == (None, 2)


def test_an_mlp_equals_its_definition():
    network = build_mlp(2, units=5, depth=3, outputs=1)
    for variable in network.weights:
        variable.assign(np.random.normal(size=variable.shape))
    x = np.random.normal(size=(7, 2))
    a, b, c, d, e, f = (w.astype("float64") for w in network.get_weights())
    expected = np.maximum(np.maximum(x @ a + b, 0) @ c + d, 0) @ e + f
    np.testing.assert_allclose(network(x), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize(("name", "inputs"), [("encoder2", 16 * 16), ("decoder1", 16 * 32)])
def test_weights_start_from_pytorchs_uniform_distribution(name, inputs):
    kernel = np.asarray(build_converter(16, 1 / 4).get_layer(name).kernel)  # filters 16, 32
    bound = inputs**-0.5
    assert 0.99 * bound < np.abs(kernel).max() <= bound
    assert kernel.std() == pytest.approx(bound / 3**0.5, rel=0.02)


def randomize(network):
    """Gives no weight and no statistic a value where it has no effect."""
    rng = np.random.default_rng(0)
    for variable in network.weights:
        drawn = rng.normal(0, 0.2, variable.shape)
        if variable.path.endswith(("gamma", "moving_variance")):
            drawn = np.abs(drawn) + 0.5
        variable.assign(drawn)


def weights_of(network, name):
    return [w.astype("float64") for w in network.get_layer(name).get_weights()]


def numpy_norm(network, x, name):
    gamma, beta, mean, variance = weights_of(network, f"{name}_bn")
    return gamma * (x - mean) / np.sqrt(variance + 1e-5) + beta


def leaky(x):
    return np.maximum(x, 0.2 * x)


def test_the_generator_equals_its_definition():
    network = build_converter(16, 1 / 16, extra_layer=True)
    randomize(network)
    source = images(3)
    x = leaky(numpy_strided(source, weights_of(network, "encoder1")[0]))
    x = numpy_strided(x, weights_of(network, "encoder2")[0])
    x = leaky(numpy_norm(network, x, "encoder2"))
    x = np.einsum("bijc,ijcd->bd", x, weights_of(network, "encoder3")[0])[:, None, None]
    x = leaky(numpy_norm(network, x, "encoder3"))
    x = np.einsum("bc,ijdc->bijd", x[:, 0, 0], weights_of(network, "decoder1")[0])
    x = np.maximum(numpy_norm(network, x, "decoder1"), 0)
    x = numpy_transposed(x, weights_of(network, "decoder2")[0])
    x = np.maximum(numpy_norm(network, x, "decoder2"), 0)
    expected = np.tanh(numpy_transposed(x, weights_of(network, "decoder3")[0]))
    assert expected.std() > 0.1
    np.testing.assert_allclose(network(source, training=False), expected, atol=1e-5)


def test_the_discriminator_equals_its_definition():
    network = build_discriminator(16, 1 / 16)
    randomize(network)
    x = leaky(numpy_strided(images(3), weights_of(network, "conv1")[0]))
    x = numpy_strided(x, weights_of(network, "conv2")[0])
    x = leaky(numpy_norm(network, x, "conv2"))
    expected = np.einsum("bijc,ijcd->bd", x, weights_of(network, "conv3")[0])
    assert expected.std() > 0.1
    np.testing.assert_allclose(network(images(3), training=False), expected, atol=1e-5)


@pytest.mark.parametrize("kind", FIG_2)
def test_the_models_have_the_networks_of_fig_2(kind):
    model = DiscoGAN(**TINY, **FIG_2[kind])
    assert model.players == dict(zip(PLAYERS, NETWORKS[kind], strict=True))
    for name in ("reverse_converter", "reverse_discriminator"):
        assert hasattr(model, name) == any(name in networks for networks in NETWORKS[kind])
    assert trainable(model) == sum(
        trainable(getattr(model, name)) for networks in NETWORKS[kind] for name in networks
    )


def test_the_discriminators_may_have_a_width_of_their_own():
    model = DiscoGAN(**TINY, discriminator_width=1 / 32)
    assert trainable(model.converter) == trainable(build_converter(SIZE, 1 / 16))
    for network in (model.discriminator, model.reverse_discriminator):
        assert trainable(network) == trainable(build_discriminator(SIZE, 1 / 32))


# Reconstruction (Eq. 3)


def test_reconstruct_goes_to_the_other_domain_and_back():
    model, x = DiscoGAN(**TINY), images(3)
    x_ab = np.asarray(model(x, training=False))
    np.testing.assert_array_equal(x_ab, model.converter(x, training=False))
    x_aba = model.reverse_converter(x_ab, training=False)
    np.testing.assert_array_equal(model.reconstruct(x), x_aba)
    np.testing.assert_array_equal(model.reconstruct({"source": x}), x_aba)
    with pytest.raises(ValueError, match="standard GAN: it has no generator back"):
        DiscoGAN(**TINY, **FIG_2["standard"]).reconstruct(x)


# Objective and step


def sigmoid(logits):
    return 1 / (1 + np.exp(-np.asarray(logits, "float64")))


def test_losses_are_eq_7_and_eq_8():
    rates = keras.optimizers.SGD(0.0)
    model = compiled(rates, reconstruction="mae", reconstruction_weight=3.0)
    for network in (model.discriminator, model.reverse_discriminator):
        head = network.get_layer("conv3").kernel
        head.assign(5 * np.asarray(head))  # verdicts far from 1/2
    twin, batch = twin_of(model), batch_of(5)
    x_a, x_b = batch["source"], batch["target"]
    x_ab, x_ba = twin.converter(x_a, training=True), twin.reverse_converter(x_b, training=True)
    x_aba, x_bab = twin.reverse_converter(x_ab, training=True), twin.converter(x_ba, training=True)
    a, fake_a = (sigmoid(twin.reverse_discriminator(x, training=True)) for x in (x_a, x_ba))
    b, fake_b = (sigmoid(twin.discriminator(x, training=True)) for x in (x_b, x_ab))
    assert min(v.std() for v in (a, fake_a, b, fake_b)) > 0.05
    d_loss = -sum(np.log(v).mean() for v in (a, b, 1 - fake_a, 1 - fake_b))
    gan = -np.log(fake_a).mean() - np.log(fake_b).mean()
    const = np.abs(x_aba - x_a).mean() + np.abs(x_bab - x_b).mean()
    assert step(model, batch) == {
        "discriminator_loss": pytest.approx(d_loss, rel=1e-4),
        "converter_loss": pytest.approx(gan + 3.0 * const, rel=1e-4),
    }


def reference_step(twin, kind, batch, rate):
    """Sec. 2.4 once more, as plainly as TensorFlow allows, with SGD and weight decay."""
    x_a, x_b = tf.constant(batch["source"]), tf.constant(batch["target"])
    g_ab, d_b = twin.converter, twin.discriminator
    g_ba, d_a = getattr(twin, "reverse_converter", None), getattr(twin, "reverse_discriminator", 0)
    with tf.GradientTape() as tape:
        x_ab = g_ab(x_a, training=True)
        x_aba = g_ba(x_ab, training=True) if g_ba else None
        if kind == "disco":
            x_ba = g_ba(x_b, training=True)
            x_bab = g_ab(x_ba, training=True)
        with tf.GradientTape() as own:
            d_loss = d_term(d_b, x_b, tf.constant(x_ab.numpy()))
            if kind == "disco":
                d_loss += d_term(d_a, x_a, tf.constant(x_ba.numpy()))
        update(twin, "discriminator", own, d_loss, rate)
        g_loss = -tf.reduce_mean(tf.math.log_sigmoid(d_b(x_ab, training=True)))
        if kind != "standard":
            g_loss += twin.reconstruction_weight * tf.reduce_mean((x_aba - x_a) ** 2)
        if kind == "disco":
            g_loss -= tf.reduce_mean(tf.math.log_sigmoid(d_a(x_ba, training=True)))
            g_loss += twin.reconstruction_weight * tf.reduce_mean((x_bab - x_b) ** 2)
    update(twin, "converter", tape, g_loss, rate)
    return {"discriminator_loss": float(d_loss), "converter_loss": float(g_loss)}


def d_term(network, real, fake):
    real, fake = network(real, training=True), network(fake, training=True)
    real, fake = tf.math.log_sigmoid(real), tf.math.log_sigmoid(-fake)
    return -tf.reduce_mean(real) - tf.reduce_mean(fake)


def update(twin, player, tape, loss, rate):
    variables = twin.player_variables(player)
    gradients = tape.gradient(loss, [v.value for v in variables])
    for variable, gradient in zip(variables, gradients, strict=True):
        variable.assign(variable - rate * (gradient + twin.weight_decay * variable))


@pytest.mark.parametrize("kind", FIG_2)
@pytest.mark.parametrize("cls", [DiscoGAN, PointDiscoGAN])
def test_two_steps_equal_an_independent_implementation(kind, cls):
    model = compiled(keras.optimizers.SGD(0.1), cls=cls, weight_decay=0.3, **FIG_2[kind])
    twin = twin_of(model)
    before = values_of(model.trainable_variables)
    for i in range(2):
        batch = batch_of(8, seed=i) if cls is DiscoGAN else points_of(8, seed=i)
        model.reset_metrics()
        expected = reference_step(twin, kind, batch, 0.1)
        assert step(model, batch) == pytest.approx(expected, rel=1e-5)
    for a, b in zip(model.weights, twin.weights, strict=True):  # statistics too
        np.testing.assert_allclose(a, b, atol=2e-6, rtol=1e-5, err_msg=a.path)
    moved = [np.abs(a - b).max() for a, b in zip(before, model.trainable_variables, strict=True)]
    assert min(moved) > 1e-7  # every weight learns: none is out of the objective's reach


@pytest.mark.parametrize("player", PLAYERS)
@pytest.mark.parametrize("kind", FIG_2)
def test_each_update_moves_the_weights_of_its_player_only(player, kind):
    rates = {name: keras.optimizers.SGD(0.1 * (name == player)) for name in PLAYERS}
    model = compiled(rates, **FIG_2[kind])
    before = {name: values_of(model.player_variables(name)) for name in PLAYERS}
    step(model, batch_of())
    for name in PLAYERS:
        for a, b in zip(before[name], model.player_variables(name), strict=True):
            assert np.array_equal(a, b) == (name != player), b.path


def test_weight_decay_goes_through_adams_moments():
    """Where it is all of the gradient, Adam's first step is as long as the rate, not as the weight.

    That of AdamW were rate * weight_decay * weight.
    """
    model = compiled(keras.optimizers.Adam(1e-3), cls=PointDiscoGAN, weight_decay=1e6)
    before = values_of(model.trainable_variables)
    step(model, points_of())
    for old, new in zip(before, model.trainable_variables, strict=True):
        if np.any(old):  # biases begin at 0
            np.testing.assert_allclose(old - new, 1e-3 * np.sign(old), rtol=1e-3)


def test_the_generators_learn_where_the_other_domain_is():
    """The whole step pulls in the right direction, in both domains, and back."""
    model = compiled(cls=PointDiscoGAN, units=32)
    model.compile(keras.optimizers.Adam(2e-3, beta_1=0.5))
    rng = np.random.default_rng(0)
    x_a = 0.1 * rng.normal(size=(2048, 2)).astype("float32") + np.array([-1, 0], "float32")
    x_b = 0.1 * rng.normal(size=(2048, 2)).astype("float32") + np.array([0, 1], "float32")
    model.fit({"source": x_a, "target": x_b}, batch_size=32, epochs=5, verbose=0)
    to_b, to_a = model.converter(x_a), model.reverse_converter(x_b)
    assert np.linalg.norm(np.mean(to_b, 0) - [0, 1]) < 0.4
    assert np.linalg.norm(np.mean(to_a, 0) - [-1, 0]) < 0.4
    assert np.abs(model.reconstruct(x_a) - x_a).mean() < 0.2


# Evaluation, saving


def train(model, epochs, initial_epoch=0):
    """Two steps an epoch: moments and statistics both matter."""
    return model.fit(
        batch_of(8, seed=4),
        batch_size=4,
        epochs=epochs,
        initial_epoch=initial_epoch,
        shuffle=False,
        verbose=0,
    )


def test_evaluate_compares_targets_with_what_predict_draws():
    """For data of which the pairs are known, although training did not use them."""
    model = compiled(metrics=[RootMeanSquaredError()])
    train(model, 1)
    batch = {**batch_of(5, seed=2), "product_id": np.arange(5)}
    drawn = model.predict(batch, verbose=0)
    np.testing.assert_allclose(drawn, model.converter(batch["source"], training=False), atol=1e-6)
    squared = ((drawn - batch["target"]) / 2).astype("float64") ** 2  # on [0, 1]
    scores = model.evaluate(batch, batch_size=3, verbose=0, return_dict=True)
    assert float(scores["rmse"]) == pytest.approx(np.sqrt(squared.mean((1, 2, 3))).mean(), rel=1e-5)


@pytest.mark.parametrize("kind", FIG_2)
def test_a_saved_model_continues_bit_for_bit(kind, tmp_path):
    model = compiled(keras.optimizers.Adam(1e-2), **FIG_2[kind])
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


def test_the_converter_is_what_is_exported():
    model = DiscoGAN(**TINY)
    assert model.plain_converter() is model.converter


@pytest.mark.parametrize(
    ("cls", "arguments"),
    [
        (
            DiscoGAN,
            {"image_size": 32, "width": 1 / 16, "discriminator_width": 1 / 32, "extra_layer": True},
        ),
        (PointDiscoGAN, {"units": 9}),
    ],
)
def test_config_mirrors_the_arguments(cls, arguments, tmp_path):
    arguments = {
        **arguments, "coupled": False, "reconstruction": "huber", "reconstruction_weight": 0.4,
        "weight_decay": 0.01,
    }  # fmt: skip
    model = cls(**arguments, name="mine", dtype="mixed_bfloat16")
    again = cls.from_config(model.get_config())
    assert {key: getattr(again, key) for key in arguments} == arguments
    assert again.name == "mine"
    assert again.converter.layers[1].compute_dtype == "bfloat16"
    model.save(tmp_path / "model.keras")
    assert type(keras.models.load_model(tmp_path / "model.keras")) is cls


def test_defaults_are_those_of_the_paper():
    config = DiscoGAN(width=1 / 64).get_config()
    assert (config["image_size"], config["weight_decay"]) == (64, 1e-4)  # Sec. 3.2
    assert (config["coupled"], config["reconstruction_weight"]) == (True, 1.0)  # Eq. 7


# Mixed precision, devices, backends


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
def test_mixed_precision_moves_all_weights_as_float32_does(dtype):
    expected, mixed = compiled(weight_decay=0.3), compiled(weight_decay=0.3, dtype=dtype)
    batch = batch_of(8)
    checks.assert_step_moves_alike(expected, mixed, batch)
    assert mixed.converter.get_layer("encoder2").compute_dtype == dtype.removeprefix("mixed_")
    assert mixed(batch["source"], training=False).dtype == "float32"
    assert mixed.discriminator.output.dtype == "float32"


# Two replicas and JAX: backends_test.py


def replicated():
    """What statistics, gradients and weight decay are of; the last batch is shared as 2 and 1."""
    model = DiscoGAN(**TINY, weight_decay=0.3)
    model.compile(keras.optimizers.SGD(0.05))
    return model


def fit_replicated(model):
    fitted = model.fit(batch_of(7), batch_size=4, epochs=2, shuffle=False, verbose=0)
    return fitted.history.values()


JAX_ARGUMENTS = {**TINY, "weight_decay": 0.3}
JAX = """
from keras_pixdt.models.discogan import DiscoGAN
batch = batch_of(8, keys=("source", "target"))
model = DiscoGAN(**arguments)
model.compile(keras.optimizers.SGD(0.05))
model.save(f"{folder}/before.keras")
before = model.get_weights()
logs = model.fit(batch, batch_size=4, epochs=1, shuffle=False, verbose=0).history
assert all(np.abs(a - b).max() > 0 for a, b in zip(before, model.get_weights()))
model.save(f"{folder}/after.keras")
np.savez(f"{folder}/drawn.npz", drawn=model.predict(batch["source"], verbose=0), **logs)
"""


def compare_with_jax(folder, monkeypatch):
    checks.assert_steps_equal_those_on_jax(folder, batch_of(8))


# Errors


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image_size": 48}, r"`image_size` must be a power of two from 16.*Received: 48"),
        ({"image_size": 8}, r"`image_size` must be a power of two from 16.*Received: 8"),
        ({"width": 0}, r"`width` must be positive\. Received: 0"),
        ({"discriminator_width": -1.0}, r"`discriminator_width` must be positive\. Received: -1"),
        ({"reconstruction": "l1"}, "must be one of mae, mse, huber, cosine, hinge. Received: 'l1'"),
        ({"reconstruction_weight": -1.0}, "`reconstruction_weight` must be positive.*-1.0"),
        ({"reconstruction_weight": 0}, "coupled=False for the standard GAN.*0 with coupled=True"),
        ({"weight_decay": -0.1}, "`weight_decay` must not be negative. Received: -0.1"),
    ],
)
def test_arguments_out_of_range_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        DiscoGAN(**{**TINY, **arguments})


def test_points_need_hidden_units():
    with pytest.raises(ValueError, match="`units` must be at least 1. Received: 0"):
        PointDiscoGAN(0)

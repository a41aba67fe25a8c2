import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops

from keras_pixdt.layers import BatchNormalization

OPTIONS = {"momentum": 0.9, "epsilon": 1e-5}


def images(dtype="float32", seed=0):
    return tf.constant(np.random.default_rng(seed).normal(2.0, 3.0, (4, 5, 5, 3)), dtype)


def pair(dtype):
    """The layer and Keras' own, with the same offsets and scales, which are not 0 and 1."""
    layers = [BatchNormalization(dtype=dtype, **OPTIONS)]
    layers.append(keras.layers.BatchNormalization(dtype=dtype, **OPTIONS))
    for layer in layers:
        layer.build((None, 5, 5, 3))
        layer.gamma.assign([0.5, 1.0, -2.0])
        layer.beta.assign([1.0, 0.0, 3.0])
    return layers


def run(layer, x, weights):
    """Outputs, gradients, and what the layer keeps, of one step in training."""
    with tf.GradientTape() as tape:
        tape.watch(x)
        outputs = layer(x, training=True)
        loss = tf.reduce_sum(weights * tf.cast(outputs, weights.dtype) ** 2)
    sources = [x, layer.gamma.value, layer.beta.value]
    state = [layer.moving_mean.value, layer.moving_variance.value]
    return [outputs, *tape.gradient(loss, sources), *state]


@pytest.mark.parametrize(
    ("dtype", "fused", "rtol"),
    [("float32", True, 1e-4), ("mixed_bfloat16", True, 2e-2), ("float64", False, 1e-12)],
)
def test_equals_keras_layer_in_training(dtype, fused, rtol):
    ours, kerass = pair(dtype)
    x = tf.cast(images("float64"), ours.compute_dtype)
    weights = tf.cast(images("float64", seed=1), "float64" if dtype == "float64" else "float32")
    assert ours._can_fuse(x) == fused
    expected = run(kerass, x, weights)
    for found, value in zip(run(ours, x, weights), expected, strict=True):
        scale = float(tf.reduce_max(tf.abs(tf.cast(value, "float64"))))
        found, value = (ops.convert_to_numpy(ops.cast(v, "float64")) for v in (found, value))
        np.testing.assert_allclose(found, value, rtol=rtol, atol=rtol * scale)


def test_moving_statistics_by_hand():
    layer = BatchNormalization(**OPTIONS)
    x = np.array([1.0, 3.0, 5.0, 7.0], "float32").reshape(1, 2, 2, 1)
    layer(x, training=True)
    # Mean 4 and variance (9 + 1 + 1 + 9) / 4 = 5; they start at 0 and 1.
    np.testing.assert_allclose(layer.moving_mean, [0.9 * 0 + 0.1 * 4], rtol=1e-6)
    np.testing.assert_allclose(layer.moving_variance, [0.9 * 1 + 0.1 * 5], rtol=1e-6)


def test_uses_the_moving_statistics_outside_training():
    layer = BatchNormalization(**OPTIONS)
    layer.build((None, 5, 5, 3))
    layer.moving_mean.assign([1.0, 2.0, 3.0])
    layer.moving_variance.assign([4.0, 9.0, 16.0])
    expected = (images() - [1.0, 2.0, 3.0]) / np.sqrt([4.0, 9.0, 16.0])
    np.testing.assert_allclose(layer(images(), training=False), expected, rtol=1e-4)
    layer.trainable = False  # as Keras has it, a frozen layer keeps its statistics
    np.testing.assert_allclose(layer(images(), training=True), expected, rtol=1e-4)
    np.testing.assert_allclose(layer.moving_mean, [1.0, 2.0, 3.0])


def test_gradients_of_gradients():
    """A gradient penalty goes through the layer twice."""
    found = []
    for layer in pair("float32"):
        x = images()
        with tf.GradientTape() as outer:
            outer.watch(x)
            with tf.GradientTape() as tape:
                tape.watch(x)
                y = tf.reduce_sum(layer(x, training=True) ** 3)
            penalty = tf.reduce_sum(tape.gradient(y, x) ** 2)
        found.append(outer.gradient(penalty, x).numpy())
    np.testing.assert_allclose(found[0], found[1], rtol=1e-3, atol=1e-3 * np.abs(found[1]).max())


def test_config_round_trip_and_loading():
    layer = BatchNormalization(name="norm", **OPTIONS)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert isinstance(again, BatchNormalization)
    assert again.get_config() == layer.get_config()
    assert (again.momentum, again.epsilon, again.name) == (0.9, 1e-5, "norm")

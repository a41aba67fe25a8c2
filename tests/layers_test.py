import keras
import numpy as np
import pytest
import tensorflow as tf
from keras import ops
from scipy import ndimage

from keras_pixdt import data
from keras_pixdt.engine import replicas
from keras_pixdt.layers import (
    AffineFlow,
    BatchNormalization,
    Dropout,
    PadToSquare,
    Warp,
    warp,
)

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


# Dropout


def test_dropout_keeps_the_mean_and_scales_what_stays():
    layer = Dropout(0.25, seed=0)
    ones = np.ones((40, 5, 5, 64), "float32")
    for training in (True, False):
        dropped = np.asarray(layer(ones, training=training))
        np.testing.assert_allclose(np.unique(dropped), [0.0, 4 / 3], rtol=1e-6)
        drawn = dropped if training else dropped[:1]  # one mask serves all images
        share = (drawn == 0).mean()
        assert abs(share - 0.25) < 5 * np.sqrt(0.25 * 0.75 / drawn.size)  # 5 standard errors


def test_dropout_draws_each_value_anew_in_training():
    layer, twin = Dropout(0.5, seed=3), Dropout(0.5, seed=3)
    ones = np.ones((4, 3, 3, 16), "float32")
    first, second = (np.asarray(layer(ones, training=True)) for _ in range(2))
    for one, other in ((first, second), (first[0], first[1]), (first[:, 0], first[:, 1])):
        assert 0.3 < (one != other).mean() < 0.7  # independent ones differ in half the places
    np.testing.assert_array_equal(twin(ones, training=True), first)
    np.testing.assert_array_equal(twin(ones, training=True), second)


def test_dropout_at_test_time_is_the_same_for_all_images_and_calls():
    layer = Dropout(0.5, name="noise")
    x = np.random.default_rng(0).uniform(1.0, 2.0, (4, 3, 3, 16)).astype("float32")
    state = np.asarray(layer.generator.state).copy()
    dropped = np.asarray(layer(x, training=False))
    assert 0.3 < (dropped == 0).mean() < 0.7
    layer(x, training=True)
    np.testing.assert_array_equal(layer(x), dropped)  # what training drew does not matter
    np.testing.assert_array_equal(layer(x[2:3], training=False), dropped[2:3])
    np.testing.assert_array_equal(Dropout(0.5, name="noise")(x), dropped)
    other = np.asarray(Dropout(0.5, name="other")(x))  # layers of one network drop other values
    assert 0.3 < ((other == 0) != (dropped == 0)).mean() < 0.7
    np.testing.assert_array_equal(state + [0, 1], layer.generator.state)  # of one draw


def test_dropout_of_replicas_is_that_of_the_whole_batch():
    ones = np.ones((5, 3, 3, 8), "float32")
    whole = np.asarray(Dropout(0.5, seed=1)(ones, training=True))
    for first, rows in ((0, 3), (3, 2)):  # as two replicas share five images
        with replicas.step(replicas.Part(first, rows, 5)):
            part = Dropout(0.5, seed=1)(ones[first : first + rows], training=True)
        np.testing.assert_array_equal(part, whole[first : first + rows])


@pytest.mark.parametrize("training", [True, False])
def test_dropout_passes_gradients_where_it_passes_values(training):
    x = tf.ones((2, 3, 3, 8))
    with tf.GradientTape() as tape:
        tape.watch(x)
        dropped = Dropout(0.5, seed=0)(x, training=training)
    np.testing.assert_array_equal(tape.gradient(dropped, x), dropped)  # 0 or 2, both


@pytest.mark.parametrize("dtype", ["mixed_float16", "mixed_bfloat16"])
def test_dropout_in_half_precision_drops_what_it_does_in_float32(dtype):
    ones = np.ones((8, 5, 5, 64), "float32")
    half, full = Dropout(0.5, seed=0, dtype=dtype), Dropout(0.5, seed=0)
    dropped = half(ones, training=True)
    assert dropped.dtype == dtype.removeprefix("mixed_")
    np.testing.assert_array_equal(ops.cast(dropped, "float32"), full(ones, training=True))


def test_dropout_of_rate_0_changes_nothing():
    ones = np.ones((2, 3), "float32")
    np.testing.assert_array_equal(Dropout(0)(ones, training=True), ones)


def test_dropout_config_round_trip():
    layer = Dropout(0.25, seed=7, name="noise", dtype="mixed_bfloat16")
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(layer))
    assert isinstance(again, Dropout)
    assert again.get_config() == layer.get_config()
    assert (again.rate, again.seed, again.name) == (0.25, 7, "noise")
    assert again(keras.Input((4, 4, 3))).shape == (None, 4, 4, 3)


@pytest.mark.parametrize("rate", [-0.1, 1, 1.5])
def test_dropout_refuses_rates_out_of_range(rate):
    with pytest.raises(ValueError, match=rf"`rate` must be in \[0, 1\)\. Received: {rate}"):
        Dropout(rate)


# Warp


def corners(*points):
    """A flow of one row."""
    return np.array(points, "float32")[None, None]


FOUR = np.array([[1.0, 2.0], [3.0, 5.0]], "float32")[None, ..., None]  # (1, 2, 2, 1)


def test_warp_is_bilinear_between_the_middles_of_pixels():
    # Of two pixels, the middles are at -0.5 and 0.5.
    flow = corners((-0.5, -0.5), (0.5, -0.5), (-0.5, 0.5), (0.5, 0.5), (0, 0), (-0.25, 0.5))
    found = np.asarray(warp(FOUR, flow)).ravel()
    np.testing.assert_allclose(found, [1, 2, 3, 5, 11 / 4, 3 + 2 / 4], rtol=1e-6)


def test_warp_takes_the_border_beyond_it():
    flow = corners((-9, -9), (9, -0.5), (-1, 1), (9, 9), (0, -9))
    found = np.asarray(warp(FOUR, flow)).ravel()
    np.testing.assert_allclose(found, [1, 2, 3, 5, 1.5], rtol=1e-6)
    one = np.full((1, 1, 1, 2), 7.0, "float32")
    np.testing.assert_array_equal(warp(one, flow), np.full((1, 1, 5, 2), 7.0))


def test_gradients_of_warp():
    images, flow = tf.constant(FOUR), tf.constant(corners((-0.25, 0.0), (9.0, 0.25)))
    with tf.GradientTape() as tape:
        tape.watch([images, flow])
        total = tf.reduce_sum(warp(images, flow) * [[[[1.0], [10.0]]]])
    to_images, to_flow = tape.gradient(total, [images, flow])
    # The first point is a quarter of the way to the right and half of it down; the second is beyond
    # the right edge, and three quarters of the way down.
    expected = [[3 / 8, 1 / 8 + 10 / 4], [3 / 8, 1 / 8 + 10 * 3 / 4]]
    np.testing.assert_allclose(to_images[0, ..., 0], expected, rtol=1e-6)
    # A pixel is 1 wide in flow: across (3/4 of) the slopes 1 and 2, halved; down 2 and 3.
    np.testing.assert_allclose(to_flow[0, 0, 0], [1.5, 2 * 3 / 4 + 3 / 4], rtol=1e-6)
    np.testing.assert_allclose(to_flow[0, 0, 1], [0, 30], rtol=1e-6)


def test_warp_equals_scipys_interpolation():
    rng = np.random.default_rng(0)
    images = rng.normal(size=(3, 7, 5, 2)).astype("float32")
    flow = rng.uniform(-1.3, 1.3, (3, 4, 6, 2)).astype("float32")
    x, y = (flow[..., 0] + 1) * 5 / 2 - 0.5, (flow[..., 1] + 1) * 7 / 2 - 0.5
    expected = [
        [ndimage.map_coordinates(image[..., c], [v, u], order=1, mode="nearest") for c in range(2)]
        for image, u, v in zip(images, x, y, strict=True)
    ]
    found = Warp()([images, flow])
    np.testing.assert_allclose(found, np.moveaxis(expected, 1, -1), atol=1e-5)


def test_warp_keeps_the_flow_in_float32():
    images = np.zeros((1, 256, 256, 1), "float32")
    images[0, 0, 200:] = 1.0
    flow = corners((200.5 / 128 - 1, -1), (199.5 / 128 - 1, -1))  # bfloat16 has them as one
    found = Warp(dtype="mixed_bfloat16")([tf.cast(images, "bfloat16"), flow])
    assert found.dtype == tf.bfloat16
    np.testing.assert_array_equal(tf.cast(found, tf.float32)[0, 0, :, 0], [1, 0])


def test_the_flow_of_an_affine_map():
    found = AffineFlow(2)(np.array([[0.5, 0.0, 0.25, 1.0, 2.0, 0.0]], "float32"))
    # (x, y) -> (x / 2 + 1 / 4, x + 2 y) of the middles of four pixels
    expected = [[[0, -1.5], [0.5, -0.5]], [[0, 0.5], [0.5, 1.5]]]
    np.testing.assert_allclose(found, [expected], rtol=1e-6)
    still = AffineFlow(8)(np.array([[1.0, 0, 0, 0, 1, 0]], "float32"))
    images = np.random.default_rng(0).normal(size=(1, 8, 8, 3)).astype("float32")
    np.testing.assert_allclose(warp(images, still), images, atol=1e-6)


def test_warp_of_rectangles_by_hand_and_as_of_a_square_with_bars():
    images = np.random.default_rng(0).normal(size=(2, 8, 6, 3)).astype("float32")
    x, y = ((np.arange(n, dtype="float32") + 0.5) * (2 / n) - 1 for n in (6, 8))
    still = np.stack(np.meshgrid(x, y), -1)[None].repeat(2, 0)
    np.testing.assert_allclose(warp(images, still), images, atol=1e-6)
    # Two pixels to the right and three down: of 6 and of 8, which are 2 long in a flow.
    shift = np.array([2 * 2 / 6, 3 * 2 / 8], "float32")
    moved = np.asarray(warp(images, still + shift))
    np.testing.assert_allclose(moved[:, :5, :4], images[:, 3:, 2:], atol=1e-5)
    # With a bar of a pixel at both sides, a point is at 6 / 8 of its x.
    flow = np.random.default_rng(1).uniform(-0.8, 0.8, (2, 5, 4, 2)).astype("float32")
    square = np.pad(images, ((0, 0), (0, 0), (1, 1), (0, 0)), constant_values=1.0)
    expected = warp(square, flow * np.array([6 / 8, 1], "float32"))
    np.testing.assert_allclose(warp(images, flow), expected, atol=1e-5)


@pytest.mark.parametrize("shape", [(5, 8), (8, 5), (7, 7), (4, 8)])
def test_padding_to_a_square_is_that_of_images(shape):
    pixels = np.random.default_rng(0).integers(0, 256, (2, *shape, 3), np.uint8)
    expected = data.to_float(np.stack([data.images.as_square(image) for image in pixels]))
    inputs = keras.Input((None, None, 3))  # as of an embedder, which learns shapes from images
    layer = PadToSquare()
    network = keras.Model(inputs, layer(inputs))
    np.testing.assert_array_equal(network.predict_on_batch(data.to_float(pixels)), expected)
    np.testing.assert_array_equal(layer(data.to_float(pixels)), expected)
    assert layer.compute_output_shape((None, *shape, 3)) == (None, max(shape), max(shape), 3)

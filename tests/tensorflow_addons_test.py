"""Nothing of TensorFlow Addons is lost: what Keras 3 has instead computes the same.

TensorFlow Addons ended in May 2024 and cannot be imported beside Keras 3. The golden vectors are
of tensorflow-addons 0.23 on TensorFlow 2.15.1 (`golden/tensorflow_addons/make_golden.py`).

| TensorFlow Addons | here | to be equal |
| --- | --- | --- |
| `InstanceNormalization()` | `GroupNormalization(groups=-1)` | the same defaults |
| `SpectralNormalization(layer)` | `SpectralNormalization(layer)` | both overwrite the kernel |
| `gaussian_filter2d(x, k, sigma)` | `ops.image.gaussian_blur` | reflect first: it pads with zeros |
| `MovingAverage(sgd, d)` | `SGD(use_ema=True, ema_momentum=d)` | is `start_step=1` of the former |
"""

from pathlib import Path

import keras
import numpy as np
import pytest
from keras import ops

GOLDEN = Path(__file__).parent / "golden" / "tensorflow_addons" / "golden.npz"


@pytest.fixture(scope="module")
def golden():
    with np.load(GOLDEN) as file:
        return dict(file)


def assert_equal(actual, expected):
    actual = ops.convert_to_numpy(actual)
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual, expected, rtol=0, atol=1e-5)


def test_instance_normalization(golden):
    """`GroupNormalization(groups=-1)`, whose default epsilon is that of Addons, 1e-3."""
    expected = {
        name.split("/")[1]: value
        for name, value in golden.items()
        if name.startswith("instance_normalization/")
    }
    layer = keras.layers.GroupNormalization(groups=-1)
    assert layer.epsilon == pytest.approx(float(expected["epsilon"]))
    layer.build(expected["x"].shape)
    layer.gamma.assign(expected["gamma"])
    layer.beta.assign(expected["beta"])
    assert_equal(layer(expected["x"]), expected["y"])


@pytest.mark.parametrize("kind", ["conv", "dense"])
def test_spectral_normalization(golden, kind):
    """In both, a training call overwrites the kernel with the divided one; inference changes none.

    `vector_u` starts from the golden one: both libraries draw it from a truncated N(0, 0.02).
    """
    expected = {
        name.split(f"/{kind}_")[1]: value
        for name, value in golden.items()
        if name.startswith(f"spectral_normalization/{kind}_")
    }
    inner = keras.layers.Conv2D(6, 3, strides=2) if kind == "conv" else keras.layers.Dense(5)
    layer = keras.layers.SpectralNormalization(inner, power_iterations=int(expected["iterations"]))
    layer.build(expected["x"].shape)
    inner.kernel.assign(expected["kernel"])
    inner.bias.assign(expected["bias"])
    layer.vector_u.assign(expected["u"])
    for step, update in enumerate(expected["updates"]):
        assert_equal(layer(expected["x"], training=True), expected["ys"][step])
        assert_equal(inner.kernel.value, expected["kernels"][step])
        assert_equal(layer.vector_u.value, expected["us"][step])
        inner.kernel.assign_add(update)
    assert_equal(layer(expected["x"], training=False), expected["inference"])


@pytest.mark.parametrize("size, sigma", [(3, 1.0), (5, 0.8), (7, 2.5), (11, 1.6)])
def test_gaussian_filter2d(golden, size, sigma):
    """`ops.image.gaussian_blur` has the same kernel, but pads with zeros, which darkens borders.

    Reflected borders as in Addons: pad first, and cut off what the zeros reached.
    """
    edge = size // 2
    x = ops.pad(
        golden["gaussian_filter2d/x"], [(0, 0), (edge,) * 2, (edge,) * 2, (0, 0)], "reflect"
    )
    blurred = ops.image.gaussian_blur(
        x, kernel_size=(size, size), sigma=(sigma, sigma), data_format="channels_last"
    )
    actual = blurred[:, edge:-edge, edge:-edge, :]
    assert_equal(actual, golden[f"gaussian_filter2d/y_{size}_{sigma}"])


def keras_averages(start, gradients, decay):
    """Weights and their averages after every step, by what `fit` does at the end of training."""
    weight = keras.Variable(start)
    sgd = keras.optimizers.SGD(0.1, momentum=0.5, use_ema=True, ema_momentum=decay)
    weights, averages = [], []
    for gradient in gradients:
        sgd.apply([ops.convert_to_tensor(gradient)], [weight])
        weights.append(weight.numpy().copy())
        sgd.finalize_variable_values([weight])  # the weight becomes its average
        averages.append(weight.numpy().copy())
        weight.assign(weights[-1])
    return np.stack(weights), np.stack(averages)


@pytest.mark.parametrize("decay", [0.9, 0.99])
def test_moving_average(golden, decay):
    """Keras' average starts as the weights after the first step: `start_step=1` of Addons."""
    start, gradients = golden["moving_average/start"], golden["moving_average/gradients"]
    weights, averages = keras_averages(start, gradients, decay)
    assert_equal(weights, golden[f"moving_average/weights_{decay}_1"])
    assert_equal(averages, golden[f"moving_average/averages_{decay}_1"])


def test_moving_average_from_the_initial_weights(golden):
    """The default `start_step=0` of Addons starts as the initial weights.

    The two averages then differ by `decay**steps * (initial - first)` and by nothing else.
    """
    start, gradients = golden["moving_average/start"], golden["moving_average/gradients"]
    weights, averages = keras_averages(start, gradients, 0.9)
    steps = np.arange(1, len(gradients) + 1)[:, None, None]
    memory = 0.9**steps * (start - weights[0])
    assert np.abs(memory[-1]).max() > 0.01
    assert_equal(averages + memory, golden["moving_average/averages_0.9_0"])

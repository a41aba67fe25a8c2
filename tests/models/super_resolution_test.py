import keras
import numpy as np
import pytest
from PIL import Image

from keras_pixdt.models.super_resolution import SuperResolution
from tests.samples import images


def with_random_weights(model, scale=0.3, seed=0):
    """Untrained, the network would add nothing."""
    rng = np.random.default_rng(seed)
    model.set_weights([rng.normal(0, scale, w.shape) for w in model.get_weights()])
    return model


def pillow_bicubic(image, factor):
    height, width, _ = image.shape
    size = (factor * width, factor * height)
    channels = [Image.fromarray(channel) for channel in np.moveaxis(image, 2, 0)]
    enlarged = [np.asarray(c.resize(size, Image.Resampling.BICUBIC)) for c in channels]
    return np.stack(enlarged, axis=2)


def convolve(image, kernel, bias):
    """Without padding; (height, width, channels) with (size, size, channels, filters)."""
    windows = np.lib.stride_tricks.sliding_window_view(image, kernel.shape[:2], axis=(0, 1))
    return np.einsum("hwcij,ijco->hwo", windows, kernel) + bias


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"image_size": 2}, "`image_size` must be an integer from 3 on. Received: 2"),
        ({"factor": 1}, "`factor` must be an integer from 2 on. Received: 1"),
        ({"factor": 1.5}, "`factor` must be an integer from 2 on. Received: 1.5"),
        ({"width": 0}, "`width` must be above 0. Received: 0"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        SuperResolution(**{"image_size": 8, **arguments})


def test_number_of_parameters():
    """Sec. 4.3.2: 8,032 weights, without biases, in 9-1-5 on one channel."""

    def weights(channels):
        return 9 * 9 * channels * 64 + 64 * 32 + 5 * 5 * 32 * channels

    assert weights(1) == 8032
    model = SuperResolution(8)
    assert model.count_params() == weights(3) + 64 + 32 + 3 == 20_099
    kernels = [layer.kernel.shape for layer in model.layers if hasattr(layer, "kernel")]
    assert [tuple(k) for k in kernels] == [(9, 9, 3, 64), (1, 1, 64, 32), (5, 5, 32, 3)]


@pytest.mark.parametrize(("factor", "size"), [(2, 8), (2, 3), (3, 5)])
def test_untrained_network_is_bicubic_interpolation(factor, size):
    source = np.random.default_rng(0).uniform(-1, 1, (2, size, size, 3)).astype("float32")
    expected = np.stack([pillow_bicubic(image, factor) for image in source])
    assert np.abs(expected).max() > 1  # it overshoots
    model = SuperResolution(size, factor, width=1 / 16)
    enlarged = np.asarray(model.predict_on_batch(source))
    assert enlarged.shape == (2, factor * size, factor * size, 3)
    # TensorFlow looks the cubic up at 1/1024ths of a pixel.
    np.testing.assert_allclose(
        enlarged, np.clip(expected, -1, 1), atol=2e-3 if factor == 3 else 1e-5
    )


def test_network_by_numpy():
    source = images(2, size=6)
    model = with_random_weights(SuperResolution(6, 2, width=1 / 16))
    first, first_bias, second, second_bias, third, third_bias = model.get_weights()
    expected = []
    for image in source:
        bicubic = pillow_bicubic(image, 2)
        x = np.pad(bicubic, ((6, 6), (6, 6), (0, 0)), mode="symmetric")
        x = np.maximum(convolve(x, first, first_bias), 0)
        x = np.maximum(convolve(x, second, second_bias), 0)
        expected.append(bicubic + convolve(x, third, third_bias))
    assert np.abs(expected).max() > 1.5
    unclipped = model.unclipped().predict_on_batch(source)
    np.testing.assert_allclose(unclipped, expected, rtol=1e-4, atol=1e-4)
    enlarged = model.predict_on_batch(source)
    np.testing.assert_allclose(enlarged, np.clip(expected, -1, 1), rtol=1e-4, atol=1e-4)


def test_weights_follow_the_seed_and_the_policy_is_float32():
    first, again, other = (
        SuperResolution(8, width=1 / 16, seed=s).get_weights() for s in (1, 1, 2)
    )
    for a, b in zip(first, again, strict=True):
        np.testing.assert_array_equal(a, b)
    assert np.abs(first[0] - other[0]).max() > 0.01
    try:
        keras.config.set_dtype_policy("mixed_bfloat16")
        model = SuperResolution(8, width=1 / 16)
    finally:
        keras.config.set_dtype_policy("float32")
    assert {layer.compute_dtype for layer in model.layers if layer.weights} == {"float32"}
    assert model.output.dtype == "float32"


def test_saved_network_is_the_same(tmp_path):
    model = with_random_weights(SuperResolution(6, 3, width=1 / 16, seed=5))
    model.save(tmp_path / "upscaler.keras")
    restored = keras.models.load_model(tmp_path / "upscaler.keras")
    assert isinstance(restored, SuperResolution)
    assert restored.get_config() == model.get_config()
    assert (restored.image_size, restored.factor, restored.seed) == (6, 3, 5)
    source = images(1, size=6)
    np.testing.assert_array_equal(restored.predict_on_batch(source), model.predict_on_batch(source))


def test_other_size_has_the_same_weights():
    """A constant image has no borders to differ by."""
    model = with_random_weights(SuperResolution(6, width=1 / 16))
    other = model.for_size(9)
    assert other.output_shape == (None, 18, 18, 3) and other.get_config()["image_size"] == 9
    small = model.predict_on_batch(np.full((1, 6, 6, 3), 0.1, "float32"))
    large = other.predict_on_batch(np.full((1, 9, 9, 3), 0.1, "float32"))
    np.testing.assert_allclose(large[0, :12, :12], small[0], atol=1e-5)

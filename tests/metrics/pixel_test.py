import keras
import numpy as np
import pytest
from skimage.color import rgb2gray
from skimage.metrics import structural_similarity

from keras_pixdt.metrics import pixel

WANG = {
    "gaussian_weights": True,
    "sigma": 1.5,
    "use_sample_covariance": False,
    "data_range": 1.0,
}


def random_images(*shape, seed=0):
    return np.random.default_rng(seed).uniform(-1.0, 1.0, shape).astype("float32")


def smooth_pairs():
    """Pairs as a converter makes them: a white background, a garment, a blurred, tinted copy."""
    a = np.ones((3, 40, 32, 3), "float32")
    rng = np.random.default_rng(1)
    for i, image in enumerate(a):
        image[8:34, 6:26] = rng.uniform(-1.0, 1.0, 3)
        image[8:34, 6:26:4] *= 0.5 + 0.2 * i
    b = (a + np.roll(a, 1, 1) + np.roll(a, 2, 2)) / 3.0
    b[:, 10:30, 8:24] += 0.1
    return a, np.clip(b, -1.0, 1.0).astype("float32")


def reference_ssim(a, b):
    a, b = (np.asarray(x, "float64") / 2 + 0.5 for x in (a, b))
    return [
        structural_similarity(rgb2gray(x), rgb2gray(y), **WANG) for x, y in zip(a, b, strict=True)
    ]


def reference_color_ssim(a, b):
    a, b = (np.asarray(x, "float64") / 2 + 0.5 for x in (a, b))
    return [structural_similarity(x, y, channel_axis=-1, **WANG) for x, y in zip(a, b, strict=True)]


PAIRS = {
    "noise": (random_images(2, 24, 30, 3), random_images(2, 24, 30, 3, seed=1)),
    "garments": smooth_pairs(),
    "smallest": (random_images(1, 11, 11, 3), random_images(1, 11, 11, 3, seed=1)),
    "constant": (np.full((1, 64, 64, 3), 1.0), np.full((1, 64, 64, 3), 0.99)),
    "constant and noise": (np.full((1, 64, 64, 3), 1.0), random_images(1, 64, 64, 3)),
    "faint noise on white": (
        1.0 - 0.02 * np.abs(random_images(1, 64, 64, 3)),
        1.0 - 0.02 * np.abs(random_images(1, 64, 64, 3, seed=1)),
    ),
    "black and white": (np.full((1, 20, 20, 3), -1.0), np.full((1, 20, 20, 3), 1.0)),
    "inverted": (random_images(1, 20, 20, 3), -random_images(1, 20, 20, 3)),
}


@pytest.mark.parametrize("name", PAIRS)
def test_ssim_equals_scikit_image(name):
    a, b = PAIRS[name]
    gray = keras.ops.convert_to_numpy(pixel.ssim(a, b))
    color = keras.ops.convert_to_numpy(pixel.color_ssim(a, b))
    assert gray.shape == color.shape == (len(a),)
    np.testing.assert_allclose(gray, reference_ssim(a, b), rtol=0, atol=1e-4)
    np.testing.assert_allclose(color, reference_color_ssim(a, b), rtol=0, atol=1e-4)


def test_equal_images_score_perfectly():
    a, _ = PAIRS["garments"]
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(pixel.rmse(a, a)), 0.0)
    for function in (pixel.ssim, pixel.color_ssim):
        np.testing.assert_allclose(keras.ops.convert_to_numpy(function(a, a)), 1.0, atol=1e-6)


def test_rmse_is_per_image_on_the_unit_scale():
    a = np.full((3, 2, 2, 3), -1.0, "float32")
    b = a.copy()
    b[1] = 1.0  # black against white: the largest error there is
    b[2, 0, 0] = 1.0  # one pixel of four: sqrt(1 / 4)
    np.testing.assert_allclose(keras.ops.convert_to_numpy(pixel.rmse(a, b)), [0.0, 1.0, 0.5])


METRICS = {
    "rmse": (pixel.RootMeanSquaredError, pixel.rmse),
    "ssim": (pixel.SSIM, pixel.ssim),
    "c_ssim": (pixel.ColorSSIM, pixel.color_ssim),
}


@pytest.mark.parametrize("name", METRICS)
def test_metric_is_the_mean_over_images_of_uneven_batches(name):
    metric_class, function = METRICS[name]
    a, b = random_images(5, 16, 16, 3), random_images(5, 16, 16, 3, seed=1)
    metric = metric_class()
    assert metric.name == name
    metric.update_state(a[:4], b[:4])
    metric.update_state(a[4:], b[4:])
    scores = keras.ops.convert_to_numpy(function(a, b))
    np.testing.assert_allclose(float(metric.result()), scores.mean(), rtol=1e-6)
    metric.reset_state()
    metric.update_state(a, b, sample_weight=np.array([1.0, 0.0, 3.0, 0.0, 0.0]))
    np.testing.assert_allclose(
        float(metric.result()), (scores[0] + 3 * scores[2]) / 4, rtol=1e-6, atol=1e-7
    )


@pytest.mark.parametrize("name", METRICS)
def test_metric_is_restored_by_keras(name):
    metric = METRICS[name][0](name="other")
    restored = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(metric))
    assert type(restored) is type(metric)
    assert restored.name == "other"


@pytest.mark.parametrize("name", METRICS)
def test_half_precision_predictions_are_scored_in_float32(name):
    metric_class, function = METRICS[name]
    a, b = PAIRS["garments"]
    half = b.astype("float16")
    expected = keras.ops.convert_to_numpy(function(a, half.astype("float32")))
    scores = function(a, half)
    assert keras.backend.standardize_dtype(scores.dtype) == "float32"
    np.testing.assert_array_equal(keras.ops.convert_to_numpy(scores), expected)
    try:
        keras.config.set_dtype_policy("mixed_float16")
        metric = metric_class()
        metric.update_state(a, keras.ops.cast(half, "float16"))
        np.testing.assert_allclose(float(metric.result()), expected.mean(), rtol=1e-6)
    finally:
        keras.config.set_dtype_policy("float32")


def test_metrics_run_inside_fit():
    a, b = random_images(6, 12, 12, 3), random_images(6, 12, 12, 3, seed=1)
    model = keras.Sequential([keras.Input((None, None, 3)), keras.layers.Rescaling(1.0)])
    model.compile(loss="mse", metrics=[metric_class() for metric_class, _ in METRICS.values()])
    history = model.fit(a, b, batch_size=4, verbose=0, validation_data=(a, b)).history
    for name, (_, function) in METRICS.items():
        expected = keras.ops.convert_to_numpy(function(b, a)).mean()
        np.testing.assert_allclose(history[name], expected, rtol=1e-5)
        np.testing.assert_allclose(history[f"val_{name}"], expected, rtol=1e-5)


@pytest.mark.parametrize("function", [pixel.ssim, pixel.color_ssim])
def test_images_smaller_than_the_window_are_refused(function):
    with pytest.raises(ValueError, match=r"at least 11x11 .*\(1, 10, 64, 3\)"):
        function(np.zeros((1, 10, 64, 3)), np.zeros((1, 10, 64, 3)))


@pytest.mark.parametrize("function", [pixel.rmse, pixel.ssim, pixel.color_ssim])
def test_images_that_cannot_be_compared_are_refused(function):
    with pytest.raises(ValueError, match=r"RGB images .*\(2, 16, 16, 1\)"):
        function(np.zeros((2, 16, 16, 1)), np.zeros((2, 16, 16, 1)))
    with pytest.raises(ValueError, match="RGB images"):
        function(np.zeros((16, 16, 3)), np.zeros((16, 16, 3)))
    with pytest.raises(ValueError, match="one shape"):
        function(np.zeros((2, 16, 16, 3)), np.zeros((1, 16, 16, 3)))


def test_overlap_of_masks():
    a, b = np.zeros((3, 2, 2, 1), "float32"), np.zeros((3, 2, 2, 1), "float32")
    a[0, 0], b[0, :, 0] = 0.6, 1.0  # one pixel of three
    a[1, 1, 1] = 0.5  # not more than half: no pixel
    a[2], b[2] = 0.9, 0.7
    np.testing.assert_allclose(pixel.mask_iou(a, b), [1 / 3, 1, 1])
    with pytest.raises(ValueError, match=r"at one size. Received: \(3, 2, 2, 1\) and"):
        pixel.mask_iou(a, b[:2])

import numpy as np
import pytest
import tensorflow as tf

from keras_pixdt import losses
from keras_pixdt.losses import binary_cross_entropy
from tests.samples import images


def test_is_eq_2_of_yoo2016():
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 3, (50, 1)).astype("float32")
    t = rng.integers(0, 2, (50, 1)).astype("float32")
    d = 1 / (1 + np.exp(-logits.astype("float64")))
    expected = (-t * np.log(d) + (t - 1) * np.log(1 - d)).mean()  # as Eq. 2 prints it
    assert float(binary_cross_entropy(t, logits)) == pytest.approx(expected, rel=1e-6)


def test_of_sure_verdicts_is_not_rounded_to_0():
    logits = np.array([[20.0]], "float32")
    loss = float(binary_cross_entropy(np.ones((1, 1), "float32"), logits))
    assert loss == pytest.approx(np.exp(-20.0), rel=1e-4, abs=0)


def test_does_not_overflow():
    logits = tf.constant([[1000.0], [-1000.0]])
    for labels, expected, slope in (
        ([[1.0], [0.0]], 0.0, [0.0, 0.0]),
        ([[0.0], [1.0]], 1000.0, [0.5, -0.5]),
    ):
        with tf.GradientTape() as tape:
            tape.watch(logits)
            loss = binary_cross_entropy(tf.constant(labels), logits)
        assert float(loss) == expected
        gradient = tape.gradient(loss, logits)
        np.testing.assert_array_equal(np.ravel(gradient), slope)


@pytest.mark.parametrize("label", [0.0, 1.0])
def test_a_discriminator_that_cannot_tell_learns(label):
    """At a logit of exactly 0, which a dead layer gives, D = 0.5 and the slope is D - t."""
    logits = tf.zeros((1, 1))
    with tf.GradientTape() as tape:
        tape.watch(logits)
        loss = binary_cross_entropy(tf.constant([[label]]), logits)
    assert float(loss) == pytest.approx(np.log(2), rel=1e-6)
    assert tape.gradient(loss, logits).numpy().item() == 0.5 - label


def test_distances_against_hand_calculations():
    x = np.array([[3.0, 4.0], [0.0, 1.0]], "float32")
    y = np.array([[3.0, 2.0], [1.0, 0.95]], "float32")  # errors 0, 2, 1 and 0.05
    cosines = [(9 + 8) / (5 * 13**0.5), 0.95 / (1 + 0.95**2) ** 0.5]
    expected = {
        "mae": 3.05 / 4,
        "mse": (4 + 1 + 0.0025) / 4,
        "huber": (1.5 + 0.5 + 0.00125) / 4,
        "cosine": 1 - sum(cosines) / 2,
        "hinge": (1.9 + 0.9) / 4,
    }
    found = {name: float(fn(x, y)) for name, fn in losses.DISTANCES.items()}
    assert found == pytest.approx(expected, rel=1e-5)
    for fn in losses.DISTANCES.values():
        assert float(fn(x, x)) == pytest.approx(0.0, abs=1e-6)


def test_the_cosine_is_that_of_whole_images():
    x, y = images(3), images(3, seed=1)
    flat = [v.reshape(3, -1).astype("float64") for v in (x, y)]
    cosines = np.sum(flat[0] * flat[1], 1) / np.prod(np.linalg.norm(flat, axis=2), axis=0)
    assert float(losses.cosine_distance(x, y)) == pytest.approx(1 - cosines.mean(), rel=1e-5)


def test_the_cosine_does_not_see_lengths_and_has_a_slope_everywhere():
    x = tf.constant([[3.0, 4.0], [0.0, 0.0]])
    y = tf.constant([[0.6, 0.8], [1.0, 0.0]])
    with tf.GradientTape() as tape:
        tape.watch(x)
        distance = losses.cosine_distance(x, y)
    assert float(distance) == pytest.approx(0.5)  # of a vector of no length, 1
    slope = tape.gradient(distance, x).numpy()
    np.testing.assert_allclose(slope[0], 0.0, atol=1e-7)
    assert np.isfinite(slope).all()

import numpy as np
import pytest
import tensorflow as tf

from keras_pixdt.losses import binary_cross_entropy


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

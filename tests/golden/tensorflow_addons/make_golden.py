"""Makes `golden.npz`: what tensorflow-addons 0.23 computed, the last version there was.

It needs TensorFlow 2.15 (Python 3.9 to 3.11), which cannot be installed beside Keras 3:

    python3.11 -m venv .venv-tfa
    .venv-tfa/bin/pip install tensorflow==2.15.1 tensorflow-addons==0.23
    .venv-tfa/bin/python tests/golden/tensorflow_addons/make_golden.py

`tests/tensorflow_addons_test.py` compares the file with what keras_pixdt uses instead. Inputs
are stored beside outputs, so that the test depends on no random generator.
"""

from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_addons as tfa

BLURS = ((3, 1.0), (5, 0.8), (7, 2.5), (11, 1.6))  # kernel size in px, sigma in px


def normal(rng, *shape):
    return rng.normal(size=shape).astype(np.float32)


def instance_normalization(rng):
    """Per image and channel, with a scale and an offset that are not 1 and 0."""
    x = normal(rng, 3, 6, 5, 4) * 3 + 1
    x[0, :, :, 0] = 0.25  # a constant map: epsilon alone keeps it finite
    gamma, beta = normal(rng, 4), normal(rng, 4)
    layer = tfa.layers.InstanceNormalization()
    layer.build(x.shape)
    layer.set_weights([gamma, beta])
    return {"x": x, "gamma": gamma, "beta": beta, "y": layer(x), "epsilon": layer.epsilon}


def spectral_normalization(rng):
    """Four training calls, each from the kernel that the one before left, then inference.

    Between two calls the kernel gets an addition, as an optimizer would make it.
    """
    out = {}
    for name, make, x, iterations in (
        ("conv", lambda: tf.keras.layers.Conv2D(6, 3, strides=2), normal(rng, 2, 9, 9, 4), 1),
        ("dense", lambda: tf.keras.layers.Dense(5), normal(rng, 3, 7), 3),
    ):
        layer = tfa.layers.SpectralNormalization(make(), power_iterations=iterations)
        layer.build(x.shape)
        kernel, bias, u = (normal(rng, *w.shape) for w in (layer.w, layer.layer.bias, layer.u))
        layer.w.assign(kernel)
        layer.layer.bias.assign(bias)
        layer.u.assign(u)
        updates = 0.1 * normal(rng, 4, *kernel.shape)
        kernels, us, ys = [], [], []
        for update in updates:
            ys.append(layer(x, training=True))
            kernels.append(layer.w.numpy())
            us.append(layer.u.numpy())
            layer.w.assign_add(update)
        out |= {
            f"{name}_x": x,
            f"{name}_iterations": iterations,
            f"{name}_kernel": kernel,
            f"{name}_bias": bias,
            f"{name}_u": u,
            f"{name}_updates": updates,
            f"{name}_kernels": np.stack(kernels),
            f"{name}_us": np.stack(us),
            f"{name}_ys": np.stack(ys),
            f"{name}_inference": layer(x, training=False),
        }
    return out


def gaussian_filter2d(rng):
    """Its default padding, REFLECT."""
    x = rng.uniform(-1, 1, (2, 13, 16, 3)).astype(np.float32)
    ys = {
        f"y_{size}_{sigma}": tfa.image.gaussian_filter2d(x, filter_shape=size, sigma=sigma)
        for size, sigma in BLURS
    }
    return {"x": x, **ys}


def moving_average(rng):
    """SGD with momentum on given gradients, the average of the weights after every step."""
    start, gradients = normal(rng, 4, 3), normal(rng, 8, 4, 3)
    out = {"start": start, "gradients": gradients}
    for decay, start_step in ((0.9, 0), (0.9, 1), (0.99, 1)):
        weight = tf.Variable(start)
        optimizer = tfa.optimizers.MovingAverage(
            tf.keras.optimizers.legacy.SGD(0.1, momentum=0.5),
            average_decay=decay,
            start_step=start_step,
        )
        weights, averages = [], []
        for gradient in gradients:
            optimizer.apply_gradients([(tf.constant(gradient), weight)])
            weights.append(weight.numpy())
            averages.append(optimizer.get_slot(weight, "average").numpy())
        optimizer.assign_average_vars([weight])
        np.testing.assert_array_equal(weight.numpy(), averages[-1])
        out[f"weights_{decay}_{start_step}"] = np.stack(weights)
        out[f"averages_{decay}_{start_step}"] = np.stack(averages)
    return out


def main():
    rng = np.random.default_rng(0)
    vectors = {"versions": np.array([tf.__version__, tfa.__version__])}
    for component in (
        instance_normalization,
        spectral_normalization,
        gaussian_filter2d,
        moving_average,
    ):
        for key, value in component(rng).items():
            vectors[f"{component.__name__}/{key}"] = np.asarray(value)
    np.savez_compressed(Path(__file__).with_name("golden.npz"), **vectors)


if __name__ == "__main__":
    main()

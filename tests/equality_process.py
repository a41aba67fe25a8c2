"""One process of `equality_test.py`: trains the same small PixelDTGAN on its share of the devices.

Run as: python -m tests.equality_process FOLDER NAME STRATEGY REPLICAS CASES...
"""

import json
import pathlib
import sys

import keras
import numpy as np
from keras.src.backend.common import dtypes

dtypes.BIT64_TO_BIT32_DTYPE.pop("float64", None)  # Keras' own operations end at 32 bits on JAX
keras.config.set_floatx("float64")

from keras_pixdt import PixelDTGAN, data, metrics  # noqa: E402
from keras_pixdt.training import distribution  # noqa: E402

BATCH = 8
STEPS = 3
PAIRS = BATCH * STEPS + 3  # evaluation ends with a batch of 3
SIZE = 16


class DoubleGAN(PixelDTGAN):
    """In float64 throughout, for images come in float32."""

    def adversarial_step(self, batch):
        images = ("source", "target", "irrelevant")
        return super().adversarial_step({k: keras.ops.cast(batch[k], "float64") for k in images})

    def evaluation_pair(self, batch):
        return tuple(keras.ops.cast(x, "float64") for x in super().evaluation_pair(batch))


class PortableGAN(DoubleGAN):
    """Selects the same on all backends, which draw different random numbers."""

    def draw(self, sample, like):
        step = keras.ops.cast(self.selection.next()[1], "int32")
        row = keras.ops.arange(keras.ops.shape(like)[0])
        return ((7 * row * row + 13 * (step + 1) * (row + 3)) % 11 % 3)[:, None]


def pairs():
    rng = np.random.default_rng(0)
    levels = rng.integers(0, 256, (PAIRS, SIZE, SIZE, 3), dtype="uint8")
    ids = np.arange(5)
    return data.PairSet(levels, levels[:5], np.arange(PAIRS) % 5, ids, ids)


def build(folder, kind=DoubleGAN):
    model = kind(SIZE, width=1 / 32, l1_weight=0.5, seed=3, dtype="float64")
    for network in ("converter", "real_fake_discriminator", "domain_discriminator"):
        for layer in getattr(model, network).layers:
            layer.dtype_policy = "float64"  # outputs are float32 in every policy
    model.compile(
        keras.optimizers.SGD(0.125, momentum=0.5),
        metrics=[metrics.RootMeanSquaredError(), metrics.SSIM(), metrics.ColorSSIM()],
    )
    weights = folder / "before.npz"
    if weights.exists():
        stored = np.load(weights)
        model.set_weights([stored[f"arr_{i}"] for i in range(len(stored.files))])
    else:
        np.savez(weights, *model.get_weights())
    return model


def train(model, devices, case):
    """Two epochs with validation; returns the history."""
    options = {"drop_remainder": case != "uneven"}
    batches = data.triplets(pairs(), BATCH, seed=1, **options)
    validation = data.triplets(pairs(), BATCH, shuffle=False, drop_remainder=False)
    if case == "fed":
        batches, validation = devices.feed(batches), devices.feed(validation)
    fitted = model.fit(batches, validation_data=validation, shuffle=False, verbose=0, epochs=2)
    return {name: [float(x) for x in values] for name, values in fitted.history.items()}


def main():
    folder, name, strategy, replicas, *cases = sys.argv[1:]
    folder = pathlib.Path(folder)
    devices = distribution.start(strategy, replicas=int(replicas) or None, worker_timeout_s=60)
    histories = {}
    for case in cases:
        with devices.scope():
            model = build(folder, PortableGAN if case == "portable" else DoubleGAN)
        histories[case] = train(model, devices, case)
        if case == cases[0]:
            images = data.to_float(pairs().sources)
            predicted = model.predict(images, batch_size=8, verbose=0)
            on_batch = model.predict_on_batch(images[:5])
        weights = [keras.ops.convert_to_numpy(w) for w in model.weights]
        np.savez(folder / f"{name}_{case}.npz", *weights)
    np.savez(folder / f"{name}_predicted.npz", predicted, on_batch)
    (folder / f"{name}.json").write_text(json.dumps(histories))


if __name__ == "__main__":
    main()

"""One process of `equality_test.py`: trains the same small PixelDTGAN on its share of the devices.

Run as: python -m tests.equality_process FOLDER NAME STRATEGY REPLICAS CASES...
"""

import json
import pathlib
import sys

import keras
import numpy as np

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


def pairs():
    rng = np.random.default_rng(0)
    levels = rng.integers(0, 256, (PAIRS, SIZE, SIZE, 3), dtype="uint8")
    ids = np.arange(5)
    return data.PairSet(levels, levels[:5], np.arange(PAIRS) % 5, ids, ids)


def build(folder):
    model = DoubleGAN(SIZE, width=1 / 32, l1_weight=0.5, seed=3, dtype="float64")
    for network in ("converter", "real_fake_discriminator", "domain_discriminator"):
        for layer in getattr(model, network).layers:
            layer.dtype_policy = "float64"  # outputs are float32 in every policy
    model.compile(
        keras.optimizers.SGD(0.1, momentum=0.5),
        metrics=[metrics.RootMeanSquaredError(), metrics.SSIM(), metrics.ColorSSIM()],
    )
    weights = folder / "before.npz"
    if weights.exists():
        stored = np.load(weights)
        model.set_weights([stored[f"arr_{i}"] for i in range(len(stored.files))])
    else:
        np.savez(weights, *model.get_weights())
    return model


def main():
    folder, name, strategy, replicas, *feeds = sys.argv[1:]
    folder = pathlib.Path(folder)
    devices = distribution.start(strategy, replicas=int(replicas) or None, worker_timeout_s=60)
    with devices.scope():
        model = build(folder)
    results = {}
    before = model.get_weights()
    for feed in feeds:
        model.set_weights(before)
        for optimizer in model.optimizer._all():
            for variable in optimizer.variables:
                if "momentum" in variable.path:
                    variable.assign(np.zeros(variable.shape))
        model.selection.state.assign([3, 0])
        train = data.triplets(pairs(), BATCH, seed=1)
        validation = data.triplets(pairs(), BATCH, shuffle=False, drop_remainder=False)
        uneven = data.triplets(pairs(), BATCH, seed=1, drop_remainder=False)
        if feed == "fed":
            train, validation = devices.feed(train), devices.feed(validation)
        if feed == "uneven":
            train = devices.feed(uneven) if devices.workers > 1 else uneven
        history = model.fit(
            train, validation_data=validation, shuffle=False, verbose=0, epochs=2
        ).history
        weights = [np.asarray(keras.ops.convert_to_numpy(w)) for w in model.weights]
        np.savez(folder / f"{name}_{feed}.npz", *weights)
        results[feed] = {k: [float(x) for x in v] for k, v in history.items()}
    images = data.to_float(pairs().sources)
    predicted = model.predict(images, batch_size=8, verbose=0)
    np.savez(folder / f"{name}_predicted.npz", predicted, model.predict_on_batch(images[:5]))
    (folder / f"{name}.json").write_text(json.dumps(results))


if __name__ == "__main__":
    main()

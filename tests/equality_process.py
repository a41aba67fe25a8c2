"""One process of `equality_test.py`: trains a small PixelDTGAN on its share of the devices.

    python -m tests.equality_process FOLDER NAME STRATEGY REPLICAS CASE...

The first process writes the initial weights that all start from. Each writes what it found.
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
from keras_pixdt.training import devices  # noqa: E402

BATCH = 8
PAIRS = 27  # each epoch ends with a batch of 3, which two replicas share as 1 and 2
SIZE = 16


class DoubleGAN(PixelDTGAN):
    """In float64 throughout, for images come in float32."""

    def adversarial_step(self, batch):
        images = ("source", "target", "irrelevant")
        return super().adversarial_step({k: keras.ops.cast(batch[k], "float64") for k in images})

    def evaluation_pair(self, batch):
        return tuple(keras.ops.cast(x, "float64") for x in super().evaluation_pair(batch))


class Saves(keras.callbacks.Callback):
    """What runs do after an epoch, on every worker: on JAX, reading the state takes them all."""

    def __init__(self, path):
        super().__init__()
        self.path = path

    def on_epoch_end(self, epoch, logs=None):
        self.model.predict_on_batch(data.to_float(pairs().sources[:3]))
        self.model.save(self.path)


def pairs():
    levels = np.random.default_rng(0).integers(0, 256, (PAIRS, SIZE, SIZE, 3), dtype="uint8")
    ids = np.arange(5)
    return data.PairSet(levels, levels[:5], np.arange(PAIRS) % 5, ids, ids)


def build(folder):
    model = DoubleGAN(SIZE, width=1 / 32, l1_weight=0.5)
    for network in (model.converter, model.real_fake_discriminator, model.domain_discriminator):
        for layer in network.layers:
            layer.dtype_policy = "float64"  # outputs are float32 in every policy
            if isinstance(layer, keras.layers.LeakyReLU):
                layer.negative_slope = 0.25  # TensorFlow keeps it in float32, also in float64
    model.compile(
        keras.optimizers.SGD(0.125, momentum=0.5),
        metrics=[metrics.RootMeanSquaredError(), metrics.SSIM(), metrics.ColorSSIM()],
    )
    path = folder / "initial.npz"
    if path.exists():
        stored = np.load(path)
        model.set_weights([stored[f"arr_{i}"] for i in range(len(stored.files))])
    else:
        np.savez(path, *model.get_weights())
    return model


def train(folder, name, distribution, case):
    """Two epochs with validation. Returns what was reported; saves weights and predictions."""
    with distribution.scope():
        model = build(folder)
    batches = data.triplets(pairs(), BATCH, seed=1, drop_remainder=False)
    validation = data.triplets(pairs(), BATCH, shuffle=False, drop_remainder=False)
    callbacks = []
    if case == "fed":
        batches, validation = distribution.feed(batches), distribution.feed(validation)
        callbacks = [Saves(folder / f"{name}.keras")]
    with distribution.watch():
        history = model.fit(
            batches,
            validation_data=validation,
            epochs=2,
            shuffle=False,
            verbose=0,
            callbacks=callbacks,
        ).history
    found = {key: [float(x) for x in values] for key, values in history.items()}
    found |= {f"evaluate_{k}": [v] for k, v in evaluated(model, validation).items()}
    images = data.to_float(pairs().sources)
    outputs = {
        **{f"weight_{i}": keras.ops.convert_to_numpy(w) for i, w in enumerate(model.weights)},
        "predicted": model.predict(images, batch_size=BATCH, verbose=0),
        "predicted_on_batch": model.predict_on_batch(images[:3]),
    }
    np.savez(folder / f"{name}_{case}.npz", **outputs)
    if case == "fed":
        chiefs = folder / f"{name[:-1]}0.keras"
        distribution.agree(len(history), "history")  # the chief has saved
        with distribution.scope():
            loaded = keras.models.load_model(chiefs, custom_objects={"DoubleGAN": DoubleGAN})
        found["loaded_equal"] = [
            float(np.array_equal(*map(keras.ops.convert_to_numpy, pair)))
            for pair in zip(model.variables, loaded.variables, strict=True)
        ]
    return found


def evaluated(model, validation):
    return model.evaluate(validation, verbose=0, return_dict=True)


def overflow(distribution):
    """The left player's last sample, on the last replica, overflows float16."""
    from tests.engine.model_test import Duel, batch_of

    keras.config.set_floatx("float32")
    with distribution.scope():
        model = Duel(dtype="mixed_float16")
        model.compile(keras.optimizers.SGD(0.1))
    batch = batch_of(x=(1.0, 1.0, 1.0, 1.0), right_factor=0.5)
    batch["left_factor"][:, 0] = [1, 1, 1, 1e5]
    model.fit(batch, batch_size=4, shuffle=False, verbose=0)
    scales = [model.optimizer[player].dynamic_scale for player in model.players]
    return {
        "weights": model.weights_a_b,
        "scales": [keras.ops.convert_to_numpy(scale).item() for scale in scales],
    }


def main():
    folder, name, strategy, replicas, *cases = sys.argv[1:]
    folder = pathlib.Path(folder)
    distribution = devices.start(strategy, replicas=int(replicas), worker_timeout_s=60)
    found = {
        case: overflow(distribution)
        if case == "overflow"
        else train(folder, name, distribution, case)
        for case in cases
    }
    (folder / f"{name}.json").write_text(json.dumps(found))


if __name__ == "__main__":
    main()

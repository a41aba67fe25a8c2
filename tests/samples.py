"""What several tests use: images and batches for models, narrow embedders, runs cut short."""

import contextlib
import shutil
import warnings

import keras
import numpy as np
import pytest

from keras_pixdt import search
from keras_pixdt.data.stored import Stored


def images(count, size=16, seed=0):
    values = np.random.default_rng(seed).uniform(-1.0, 1.0, (count, size, size, 3))
    return values.astype("float32")


def batch_of(count=6, seed=0, keys=("source", "target", "irrelevant")):
    return {key: images(count, seed=10 * seed + i) for i, key in enumerate(keys)}


class InBatches(Stored):
    """Images that are never all decoded at once, but at most `most` of them."""

    def __init__(self, images, most):
        class Records:
            sizes = (images.nbytes,)

            def __getitem__(self, record):
                return images[record].tobytes()

        def decode(data, record):
            return np.frombuffer(data, images.dtype).reshape(images.shape[1:])

        super().__init__(Records(), decode, np.arange(len(images)), images.shape[1:], images.dtype)
        self._most = most

    def __getitem__(self, key):
        rows = np.arange(len(self))[key]
        assert rows.size <= self._most, f"{rows.size} images are decoded at once"
        return super().__getitem__(key)

    def __iter__(self):
        return (self[row] for row in range(len(self)))

    def __array__(self, dtype=None, copy=None):
        raise AssertionError("all images are decoded at once")

    def select(self, rows):
        return InBatches(
            np.stack([self[int(row)] for row in np.arange(len(self))[rows]]), self._most
        )


class Snapshot(keras.callbacks.Callback):
    """Copies a run's folder within an epoch: what is there if a machine goes down then.

    The run itself goes on, and is what a run that continues the copy is compared with. An
    interrupted run of its own would be a third training, with functions to compile again.
    """

    def __init__(self, workdir, copy, epoch, batch):
        super().__init__()
        self.workdir, self.copy, self.place = workdir, copy, (epoch, batch)

    def on_epoch_begin(self, epoch, logs=None):
        self.epoch = epoch

    def on_train_batch_begin(self, batch, logs=None):
        if (self.epoch, batch) == self.place:
            shutil.copytree(self.workdir, self.copy)


@contextlib.contextmanager
def eagerly():
    """Context in which Keras compiles nothing: tracing a function takes as long as many steps.

    For tests whose subject is not the training, of few steps. What is compiled is tested with the
    models.
    """
    import tensorflow as tf

    before = tf.config.functions_run_eagerly()
    tf.config.run_functions_eagerly(True)
    try:
        with warnings.catch_warnings():
            warnings.filterwarnings("ignore", ".*run_functions_eagerly.*tf.data")
            yield
    finally:
        tf.config.run_functions_eagerly(before)


def smooth(pictures):
    """Without the steps between pixels, at which slopes of moved pixels jump."""
    for axis in (1, 2, 1, 2):
        pictures = sum(np.roll(pictures, shift, axis) for shift in range(-2, 3)) / 5
    return np.clip(4 * pictures, -1, 1).astype("float32")


def flow_batch(count=6, seed=0, truth=True, photo=32, size=16):
    """A batch for `AppearanceFlow`."""
    rng = np.random.default_rng(seed)
    batch = {
        "source": smooth(images(count, photo, seed)),
        "target": smooth(images(count, size, seed + 9)),
    }
    if truth:
        flow = rng.uniform(-0.9, 0.9, (count, 8, 8, 2)).astype("float32")
        flow[:, :3] = np.nan
        mask = rng.uniform(0, 1, (count, size, size, 1)).astype("float32")
        batch |= {"mask": mask, "flow": flow}
    return batch


def uneven(model, seed=0):
    """Gives every weight a value at which it has an effect; those that start from 0 too."""
    rng = np.random.default_rng(seed)
    for variable in model.parts.weights:
        drawn = rng.normal(0, 0.1, variable.shape)
        if variable.path.endswith(("gamma", "moving_variance")):
            drawn = np.abs(drawn) + 0.5
        elif variable.path.endswith("affine/bias"):
            drawn += [1, 0, 0, 0, 1, 0]
        variable.assign(drawn)
    return model


@contextlib.contextmanager
def narrow_embedders():
    """Context in which runs train embedders that take a second, and know little."""
    with pytest.MonkeyPatch.context() as patch:
        train = search.train_embedder

        def narrow(*images, **options):
            with eagerly():
                return train(*images, **{**options, "width": 1 / 8, "steps": 3})

        patch.setattr(search, "train_embedder", narrow)
        yield

"""What several tests use: images and batches in the form that models take, narrow embedders."""

import contextlib

import numpy as np
import pytest

from keras_pixdt import search


def images(count, size=16, seed=0):
    values = np.random.default_rng(seed).uniform(-1.0, 1.0, (count, size, size, 3))
    return values.astype("float32")


def batch_of(count=6, seed=0, keys=("source", "target", "irrelevant")):
    return {key: images(count, seed=10 * seed + i) for i, key in enumerate(keys)}


@contextlib.contextmanager
def narrow_embedders():
    """Context in which runs train embedders that take a second, and know little."""
    with pytest.MonkeyPatch.context() as patch:
        train = search.train_embedder

        def narrow(*images, **options):
            return train(*images, **{**options, "width": 1 / 8, "steps": 10})

        patch.setattr(search, "train_embedder", narrow)
        yield

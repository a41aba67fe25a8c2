"""Random images and batches in the form in which models take them."""

import numpy as np


def images(count, size=16, seed=0):
    values = np.random.default_rng(seed).uniform(-1.0, 1.0, (count, size, size, 3))
    return values.astype("float32")


def batch_of(count=6, seed=0, keys=("source", "target", "irrelevant")):
    return {key: images(count, seed=10 * seed + i) for i, key in enumerate(keys)}

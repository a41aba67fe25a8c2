"""Training helpers that all judges share."""

from __future__ import annotations

import functools
from typing import Any

import keras
import numpy as np

from keras_pixdt import progress
from keras_pixdt.data.images import as_square
from keras_pixdt.data.stored import Stored


def check_images(images: np.ndarray, least: int, rule: str) -> None:
    """Raises a ValueError with the rule unless there are `least` uint8 images of three channels."""
    whole = images.ndim == 4 and images.shape[3] == 3 and images.dtype == np.uint8
    if not whole or len(images) < least:
        raise ValueError(f"{rule}. Received: {images.dtype} of shape {images.shape}")


def squares(images: Any, how: str) -> Any:
    """Uint8 images as squares of their longer side, if they are rectangles."""
    if images.shape[1] == images.shape[2]:
        return images
    if isinstance(images, Stored):
        side = max(images.shape[1:3])
        return images.changed(functools.partial(as_square, how=how), (side, side, 3))
    return np.stack([as_square(image, how) for image in images])


def check_network(image_size: int, width: float) -> None:
    """Raises a ValueError for a side that cannot be halved four times, or for no filters."""
    if image_size < 16 or image_size % 16:
        raise ValueError(f"`image_size` must be a multiple of 16. Received: {image_size}")
    if width <= 0:
        raise ValueError(f"`width` must be above 0. Received: {width}")


def fit(
    model: keras.Model,
    batches: keras.utils.PyDataset,
    learning_rate: float,
    loss: Any,
    epochs: int = 1,
    **options: Any,
) -> float:
    """Trains with Adam, whose rate falls to 0 along a cosine; returns the last loss.

    `batches` set their own order. `loss` and `options` are as in `keras.Model.compile`.
    """
    rate = keras.optimizers.schedules.CosineDecay(learning_rate, epochs * len(batches))
    model.compile(keras.optimizers.Adam(rate), loss, **options)
    # Keras would shuffle the batches with Python's global generator.
    with progress.bar("Training", total=epochs * len(batches)) as shown:
        steps = keras.callbacks.LambdaCallback(on_train_batch_begin=lambda *_, **__: shown.update())
        history = model.fit(batches, epochs=epochs, verbose=0, shuffle=False, callbacks=[steps])
    return history.history["loss"][-1]

"""Batches that are made while a step runs."""

from __future__ import annotations

import concurrent.futures
from typing import Any

import keras
import numpy as np

from keras_pixdt.data.batches import Batches


class Ahead(keras.utils.PyDataset):
    """The same batches, of which the next one is made while the last one is trained on.

    For Keras on JAX, which makes each batch between two steps. On TensorFlow, `fit` does so itself.

    Args:
        batches: the batches; their epoch may be set at any time.
    """

    def __init__(self, batches: Batches) -> None:
        super().__init__()
        self._batches = batches
        self.batch_sizes = batches.batch_sizes
        self._thread = concurrent.futures.ThreadPoolExecutor(1, "ahead")
        self._next: tuple[Any, int, concurrent.futures.Future[Any]] | None = None

    @property
    def num_batches(self) -> Any:
        """Number of batches of the current epoch."""
        return self._batches.num_batches

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        """Batch `index` of the current epoch; begins with the one after it."""
        plan, made = self._batches._plan, self._next
        self._next = None  # also if it failed, so that it is made again
        if made is not None and made[0] is plan and made[1] == index:
            batch = made[2].result()
        else:
            batch = self._batches._batch(plan, index)
        if index + 1 < self._batches._count(plan):
            making = self._thread.submit(self._batches._batch, plan, index + 1)
            self._next = plan, index + 1, making
        return batch

    def on_epoch_end(self) -> None:
        """Moves on to the next epoch; Keras calls it."""
        self._batches.on_epoch_end()

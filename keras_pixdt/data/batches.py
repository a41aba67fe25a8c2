"""Batches of source, associated target and irrelevant target, for every Keras backend."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING, Any, NamedTuple

import keras
import numpy as np

from keras_pixdt.data import images
from keras_pixdt.data.pairs import PairSet

if TYPE_CHECKING:
    import tensorflow as tf


class _Plan(NamedTuple):
    """What an epoch draws: each row is one example."""

    epoch: int
    order: np.ndarray
    irrelevant: np.ndarray | None
    flipped: np.ndarray | None


class Triplets(keras.utils.PyDataset):
    """Batches for `model.fit`: each pair once per epoch, with an irrelevant target beside it.

    A batch is a dict of arrays:

    | key | |
    | --- | --- |
    | `source` | float32 `(batch, size, size, 3)` in [-1, 1], the person |
    | `target` | the same shape, the product image that belongs to it |
    | `irrelevant` | the same shape, drawn uniformly from the product images of all other groups |
    | `product_id` | int64 `(batch,)` of the source |

    An irrelevant image is never of the same product, nor of a duplicate of it. Order, irrelevant
    images and mirroring are a function of `(seed, epoch)` alone. How Keras 3.15 goes through it:

    - `fit` advances `epoch` by `on_epoch_end`, which it also calls once before the first epoch. So
      `fit(initial_epoch=k)` after `dataset.epoch = k` draws what the run that it continues would
      have drawn; a callback that sets `epoch` when an epoch begins gets the same.
    - `fit` shuffles the order of whole batches once more, by Python's global `random`. Pass
      `shuffle=False` to it, or call `keras.utils.set_random_seed`, to reproduce a run exactly.
    - `steps_per_epoch` cuts an epoch off while the next batches are being prefetched. Pass
      `to_tf_dataset().repeat()` together with it.

    Args:
        pairs: the pairs of one split.
        batch_size: examples per batch, at least 1.
        seed: makes every draw reproducible.
        shuffle: whether to permute the pairs, anew every epoch.
        irrelevant: whether batches have the key `irrelevant`.
        drop_remainder: whether to leave out the last batch where it is smaller.
        reverse: whether to exchange source and target (product to human); `irrelevant` is then a
            person image of another group.
        mirror: whether to flip half of the triplets left to right, all three images of each.

    Raises:
        ValueError: if there are no pairs, fewer than one whole batch, or if irrelevant images are
            wanted and all products belong to one group.

    Example:
    ```python
    train = data.triplets(data.load_pairs("rendered")["train"], batch_size=128)
    model.fit(train, epochs=30, shuffle=False)
    ```
    """

    def __init__(
        self,
        pairs: PairSet,
        batch_size: int = 128,
        seed: int = 0,
        *,
        shuffle: bool = True,
        irrelevant: bool = True,
        drop_remainder: bool = True,
        reverse: bool = False,
        mirror: bool = False,
    ) -> None:
        # Without workers: a batch takes a few milliseconds, less than handing it over costs.
        super().__init__()
        if batch_size < 1:
            raise ValueError(f"`batch_size` must be at least 1. Received: {batch_size}")
        if not len(pairs):
            raise ValueError("`pairs` has no pairs: there is nothing to draw batches from.")
        if drop_remainder and len(pairs) < batch_size:
            raise ValueError(
                f"`batch_size` must be at most the number of pairs ({len(pairs)}) with "
                f"drop_remainder=True. Received: {batch_size}"
            )
        self.pairs = pairs
        self.batch_size = batch_size
        self.seed = seed
        self.shuffle = shuffle
        self.irrelevant = irrelevant
        self.drop_remainder = drop_remainder
        self.reverse = reverse
        self.mirror = mirror
        self._source_group = pairs.group_id[pairs.target_index]
        candidate_group = self._source_group if reverse else pairs.group_id
        # Candidates sorted by group: those of one group are one interval, which a draw skips.
        self._candidates = np.argsort(candidate_group, kind="stable")
        sorted_group = candidate_group[self._candidates]
        self._group_start = np.searchsorted(sorted_group, self._source_group, "left")
        self._group_size = (
            np.searchsorted(sorted_group, self._source_group, "right") - self._group_start
        )
        if irrelevant and (self._group_size == len(sorted_group)).any():
            raise ValueError(
                "An irrelevant image must come from another product group, and all "
                f"{len(pairs.targets)} products of `pairs` are of one group. Pass more products, "
                "or irrelevant=False."
            )
        self.epoch = 0

    @property
    def epoch(self) -> int:
        """The epoch whose batches `__getitem__` returns; set it to resume."""
        return self._plan.epoch

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        # One assignment: threads that draw batches see the old epoch or the new one.
        self._plan = self._plan_of(epoch)

    def _plan_of(self, epoch: int) -> _Plan:
        """Every draw of an epoch, in the order in which the batches use them."""
        rng = np.random.default_rng((self.seed, epoch))
        count = len(self.pairs)
        order = rng.permutation(count) if self.shuffle else np.arange(count)
        return _Plan(
            epoch=epoch,
            order=order,
            irrelevant=self._draw_irrelevant(rng)[order] if self.irrelevant else None,
            flipped=rng.random(count) < 0.5 if self.mirror else None,
        )

    def _draw_irrelevant(self, rng: np.random.Generator) -> np.ndarray:
        """For each pair, a row of the candidates, uniform over all that are of another group."""
        position = rng.integers(len(self._candidates) - self._group_size)
        position += np.where(position >= self._group_start, self._group_size, 0)
        return self._candidates[position]

    @property
    def num_batches(self) -> int:
        """Batches per epoch."""
        whole, rest = divmod(len(self.pairs), self.batch_size)
        return whole if self.drop_remainder or not rest else whole + 1

    def __len__(self) -> int:
        """Batches per epoch."""
        return self.num_batches

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        """Batch `index` of the current epoch."""
        return self._batch(self._plan, index)

    def _batch(self, plan: _Plan, index: int) -> dict[str, np.ndarray]:
        if not 0 <= index < self.num_batches:
            raise IndexError(
                f"`index` must be in [0, {self.num_batches}), the batches of an epoch. "
                f"Received: {index}"
            )
        place = slice(index * self.batch_size, (index + 1) * self.batch_size)
        source_rows = plan.order[place]
        target_rows = self.pairs.target_index[source_rows]
        persons = self.pairs.sources[source_rows]
        products = self.pairs.targets[target_rows]
        batch = {"source": persons, "target": products}
        if self.reverse:
            batch = {"source": products, "target": persons}
        if plan.irrelevant is not None:
            candidates = self.pairs.sources if self.reverse else self.pairs.targets
            batch["irrelevant"] = candidates[plan.irrelevant[place]]
        for key, pixels in batch.items():
            if plan.flipped is not None:
                rows = plan.flipped[place]
                pixels[rows] = pixels[rows, :, ::-1]
            batch[key] = images.to_float(pixels)
        batch["product_id"] = self.pairs.product_id[target_rows]
        return batch

    def on_epoch_end(self) -> None:
        """Moves on to the next epoch; Keras calls it."""
        self.epoch += 1

    def to_tf_dataset(self) -> tf.data.Dataset:
        """The same batches as a `tf.data.Dataset`, prefetched, with its cardinality set.

        Each pass over the dataset is the next epoch, counted from the current `epoch`, whatever
        `on_epoch_end` does meanwhile; so `.repeat()` and `steps_per_epoch` are safe with it.
        """
        import tensorflow as tf

        next_epoch = self.epoch
        size = self.pairs.image_size
        batch = self.batch_size if self.drop_remainder else None
        image = tf.TensorSpec((batch, size, size, 3), tf.float32)
        signature = {key: image for key in self[0] if key != "product_id"}
        signature["product_id"] = tf.TensorSpec((batch,), tf.int64)

        def one_epoch() -> Iterator[dict[str, np.ndarray]]:
            nonlocal next_epoch
            plan = self._plan_of(next_epoch)
            next_epoch += 1
            for index in range(self.num_batches):
                yield self._batch(plan, index)

        dataset = tf.data.Dataset.from_generator(one_epoch, output_signature=signature)
        dataset = dataset.apply(tf.data.experimental.assert_cardinality(self.num_batches))
        return dataset.prefetch(tf.data.AUTOTUNE)


def triplets(pairs: PairSet, batch_size: int = 128, seed: int = 0, **options: Any) -> Triplets:
    """The batches of one split; `options` are the keyword arguments of `Triplets`."""
    return Triplets(pairs, batch_size, seed, **options)

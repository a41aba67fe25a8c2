"""Batches of images for every Keras backend: the base of paired and unpaired ones."""

from __future__ import annotations

import concurrent.futures
import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import keras
import numpy as np

from keras_pixdt.data import images

if TYPE_CHECKING:
    import tensorflow as tf


class _Plan(NamedTuple):
    """The random draws of an epoch."""

    epoch: int
    batch_size: int
    first_batch: int
    draws: Mapping[str, np.ndarray]  # one element for each example


@functools.total_ordering
class _NumBatches:
    """The number of batches of the current epoch.

    Keras' `fit` asks for the number once and uses it for every epoch. If epochs differ, it gets
    this number, which changes with the epoch. It supports the operations that `fit` and the
    progress bar use.
    """

    def __init__(self, number: Callable[[], int]) -> None:
        self._number = number

    def __index__(self) -> int:
        return self._number()

    def __eq__(self, other: Any) -> bool:
        return self._number() == other

    def __lt__(self, other: Any) -> bool:
        return self._number() < other

    def __sub__(self, other: Any) -> Any:
        return self._number() - other

    def __rtruediv__(self, other: Any) -> Any:
        return other / self._number()

    def __repr__(self) -> str:
        return str(self._number())


class Batches(keras.utils.PyDataset):
    """Base of the data sets of batches: epochs, batch sizes, workers' shares.

    A subclass draws an epoch (`_draw`), makes the rows of a batch from these draws (`_rows`), and
    ends its constructor with `start_epoch`. All draws depend only on `(seed, epoch)`. Keras 3.15
    iterates over it as follows:

    - `fit` advances `epoch` by `on_epoch_end`, which it also calls once before the first epoch. So
      `fit(initial_epoch=k)` after `dataset.epoch = k` draws the same as the run that it continues
      would have drawn, and so does a callback that sets `epoch` when an epoch begins.
    - `fit` shuffles the order of whole batches again, with Python's global `random`. To reproduce a
      run exactly, pass `shuffle=False` to it or call `keras.utils.set_random_seed`.
    - If batches change their size between epochs, `num_batches` is a number that changes with them,
      because `fit` asks for it only once; `len()` is always an int.
    - `steps_per_epoch` cuts off an epoch while the next batches are being prefetched. Use it
      together with `to_tf_dataset().repeat()`.

    Args:
        num_examples: number of examples in a pass.
        what: what the examples are, for messages.

    See `paired_batches.Triplets` for the other arguments.

    Raises:
        ValueError: a pass is smaller than one whole batch, or `batch_size` or `passes` is below 1.
    """

    def __init__(
        self,
        num_examples: int,
        what: str,
        batch_size: int | Sequence[int],
        seed: int,
        shuffle: bool,
        drop_remainder: bool,
        reverse: bool,
        mirror: bool,
        passes: int,
    ) -> None:
        # No workers: making a batch takes a few milliseconds, less than passing it between
        # processes.
        super().__init__()
        sizes = (batch_size,) if isinstance(batch_size, int) else tuple(batch_size)
        if not sizes or min(sizes) < 1:
            raise ValueError(f"`batch_size` must be at least 1. Received: {batch_size}")
        if drop_remainder and num_examples < max(sizes):
            raise ValueError(
                f"`batch_size` must be at most the number of {what} ({num_examples}) with "
                f"drop_remainder=True. Received: {batch_size}"
            )
        if passes < 1:
            raise ValueError(f"`passes` must be at least 1. Received: {passes}")
        self.num_examples = passes * num_examples
        self.passes = passes
        self.batch_sizes = sizes
        self.seed = seed
        self.shuffle = shuffle
        self.drop_remainder = drop_remainder
        self.reverse = reverse
        self.mirror = mirror

    def _draw(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        """All draws of an epoch, one element per example, in the order of the batches."""
        raise NotImplementedError

    def _rows(self, draws: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The rows of a batch, from what was drawn for them."""
        raise NotImplementedError

    def _order(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Rows of a set of `count`, repeated as often as an epoch needs."""
        orders = [
            rng.permutation(count) if self.shuffle else np.arange(count)
            for _ in range(-(-self.num_examples // count))
        ]
        return np.concatenate(orders)[: self.num_examples]

    @staticmethod
    def _flip(pixels: np.ndarray, flipped: np.ndarray | None) -> np.ndarray:
        """Flips some images left to right, in place."""
        if flipped is not None:
            pixels[flipped] = pixels[flipped, :, ::-1]
        return pixels

    @classmethod
    def _to_float(cls, pixels: np.ndarray, flipped: np.ndarray | None) -> np.ndarray:
        """Images in [-1, 1], some of them flipped left to right; changes `pixels` in place."""
        return images.to_float(cls._flip(pixels, flipped))

    @property
    def epoch(self) -> int:
        """The epoch whose batches `__getitem__` returns; set it to resume."""
        return self._plan.epoch

    @epoch.setter
    def epoch(self, epoch: int) -> None:
        self.start_epoch(epoch)

    @property
    def batch_size(self) -> int:
        """Examples per batch in the current epoch."""
        return self._plan.batch_size

    @property
    def first_batch(self) -> int:
        """Number of batches skipped in the current epoch, because they were trained on before."""
        return self._plan.first_batch

    def start_epoch(self, epoch: int, batch_size: int | None = None, first_batch: int = 0) -> None:
        """Draws an epoch, whose batches `__getitem__` returns from now on.

        Args:
            epoch: index of the epoch; the order depends on it and on `seed`, not on the batch size.
            batch_size: one of `batch_sizes`; None leaves it as it is.
            first_batch: where to start within the epoch, so that an interrupted epoch continues
                with the batches that it had not seen.

        Raises:
            ValueError: the size was not given to the constructor, or the epoch has no such batch.
        """
        batch_size = self.batch_size if batch_size is None else batch_size
        if batch_size not in self.batch_sizes:
            raise ValueError(
                f"`batch_size` must be one of {self.batch_sizes}, the sizes that "
                f"{type(self).__name__} was made with. Received: {batch_size}"
            )
        plan = self._plan_of(epoch, batch_size)
        if not 0 <= first_batch < self._count(plan):
            raise ValueError(
                f"`first_batch` must be in [0, {self._count(plan)}), the batches of an epoch. "
                f"Received: {first_batch}"
            )
        # One assignment: threads that draw batches see the old epoch or the new one.
        self._plan = plan._replace(first_batch=first_batch)

    def _plan_of(self, epoch: int, batch_size: int) -> _Plan:
        draws = self._draw(np.random.default_rng((self.seed, epoch)))
        return _Plan(epoch, batch_size, first_batch=0, draws=draws)

    @property
    def num_batches(self) -> Any:
        """Number of batches of the current epoch; if epochs differ, it changes with the epoch."""
        if len(self.batch_sizes) > 1 or self.first_batch:
            return _NumBatches(self.__len__)
        return len(self)

    def __len__(self) -> int:
        """Batches of the current epoch."""
        return self._count(self._plan)

    def _count(self, plan: _Plan) -> int:
        whole, rest = divmod(self.num_examples, plan.batch_size)
        batches = whole if self.drop_remainder or not rest else whole + 1
        return batches - plan.first_batch

    def __getitem__(self, index: int) -> dict[str, np.ndarray]:
        """Batch `index` of the current epoch."""
        return self._batch(self._plan, index)

    def share(self, index: int, share: int, shares: int) -> dict[str, np.ndarray]:
        """The part of batch `index` that one of several workers needs; makes no other rows.

        Args:
            index: the batch's number in the current epoch.
            share: index of the part among `shares` consecutive parts of the batch, counted from 0.
            shares: number of parts. Their sizes differ by at most one row.

        Raises:
            ValueError: `share` is not one of them.
        """
        if not 0 <= share < shares:
            raise ValueError(f"`share` must be in [0, {shares}), the shares. Received: {share}")
        return self._batch(self._plan, index, share, shares)

    def _batch(
        self, plan: _Plan, index: int, share: int = 0, shares: int = 1
    ) -> dict[str, np.ndarray]:
        """Batch `index` of a plan, or one of the `shares` consecutive parts of it."""
        if not 0 <= index < self._count(plan):
            raise IndexError(
                f"`index` must be in [0, {self._count(plan)}), the batches of an epoch. "
                f"Received: {index}"
            )
        start = (plan.first_batch + index) * plan.batch_size
        count = min(plan.batch_size, self.num_examples - start)
        place = slice(start + share * count // shares, start + (share + 1) * count // shares)
        return self._rows({name: drawn[place] for name, drawn in plan.draws.items()})

    def on_epoch_end(self) -> None:
        """Moves on to the next epoch; Keras calls it."""
        self.epoch += 1

    def to_tf_dataset(self) -> tf.data.Dataset:
        """The same batches as a `tf.data.Dataset`, prefetched.

        Each pass over the dataset is the next epoch, counted from the one that was current or set
        last, so `.repeat()` and `steps_per_epoch` are safe with it. Its cardinality is set and its
        batch dimension is constant, unless epochs or batches differ in size.
        """
        import tensorflow as tf

        constant = len(self.batch_sizes) == 1 and self.drop_remainder
        batch = self.batch_size if constant else None
        signature = {
            key: tf.TensorSpec((batch, *rows.shape[1:]), rows.dtype)
            for key, rows in self.share(0, 0, self.batch_size).items()
        }
        current, passes = self._plan, 0

        def one_epoch() -> Iterator[dict[str, np.ndarray]]:
            nonlocal current, passes
            if current is not self._plan:
                current, passes = self._plan, 0
            plan = current
            if passes:
                plan = self._plan_of(current.epoch + passes, current.batch_size)
            passes += 1
            for index in range(self._count(plan)):
                yield self._batch(plan, index)

        dataset = tf.data.Dataset.from_generator(one_epoch, output_signature=signature)
        if len(self.batch_sizes) == 1 and not self.first_batch:
            dataset = dataset.apply(tf.data.experimental.assert_cardinality(len(self)))
        return dataset.prefetch(tf.data.AUTOTUNE)


class Ahead(keras.utils.PyDataset):
    """The same batches, each made while the one before it is trained on.

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

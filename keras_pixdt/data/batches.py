"""Batches of images, for every Keras backend: what all share, and those of pairs."""

from __future__ import annotations

import functools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, NamedTuple

import keras
import numpy as np

from keras_pixdt.data import images
from keras_pixdt.data.pairs import PairSet

if TYPE_CHECKING:
    import tensorflow as tf


class _Plan(NamedTuple):
    """What an epoch draws."""

    epoch: int
    batch_size: int
    first_batch: int
    draws: Mapping[str, np.ndarray]  # one element for each example


@functools.total_ordering
class _NumBatches:
    """The number of batches of the current epoch.

    Keras' `fit` asks for the number once and counts every epoch by the answer. Where epochs
    differ, it gets this one, which follows. It does what `fit` and the progress bar do with it.
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
    """What the data sets of batches share: epochs, sizes, shares of workers.

    A subclass draws an epoch (`_draw`), makes the rows of a batch from what was drawn (`_rows`),
    and ends its constructor with `start_epoch`. All draws are a function of `(seed, epoch)` alone.
    Keras 3.15 goes through it as follows:

    - `fit` advances `epoch` by `on_epoch_end`, which it also calls once before the first epoch. So
      `fit(initial_epoch=k)` after `dataset.epoch = k` draws what the run that it continues would
      have drawn; a callback that sets `epoch` when an epoch begins gets the same.
    - `fit` shuffles the order of whole batches once more, by Python's global `random`. Pass
      `shuffle=False` to it, or call `keras.utils.set_random_seed`, to reproduce a run exactly.
    - Where batches change their size between epochs, `num_batches` is a number that follows, since
      `fit` asks for it once; `len()` is always an int.
    - `steps_per_epoch` cuts an epoch off while the next batches are being prefetched. Pass
      `to_tf_dataset().repeat()` together with it.

    Args:
        num_examples: examples in a pass.
        what: what they are, for messages.

    `Triplets` has the other arguments.

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
        # Without workers: a batch takes a few milliseconds, less than handing it over costs.
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
        """Every draw of an epoch, one element for each example, in the order of the batches."""
        raise NotImplementedError

    def _rows(self, draws: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        """The rows of a batch, from what was drawn for them."""
        raise NotImplementedError

    def _order(self, rng: np.random.Generator, count: int) -> np.ndarray:
        """Rows of a set of `count`: all of them, and again, as far as an epoch goes."""
        orders = [
            rng.permutation(count) if self.shuffle else np.arange(count)
            for _ in range(-(-self.num_examples // count))
        ]
        return np.concatenate(orders)[: self.num_examples]

    @staticmethod
    def _to_float(pixels: np.ndarray, flipped: np.ndarray | None) -> np.ndarray:
        """Images in [-1, 1], some of them flipped left to right; `pixels` is changed."""
        if flipped is not None:
            pixels[flipped] = pixels[flipped, :, ::-1]
        return images.to_float(pixels)

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
        """Batches of the current epoch that are left out, because they were trained before."""
        return self._plan.first_batch

    def start_epoch(self, epoch: int, batch_size: int | None = None, first_batch: int = 0) -> None:
        """Draws an epoch: what `__getitem__` returns from now on.

        Args:
            epoch: which one; its order is a function of it and of `seed`, whatever the size.
            batch_size: one of `batch_sizes`; None leaves it as it is.
            first_batch: where to start within the epoch: an interrupted one goes on with the
                batches that it had not seen.

        Raises:
            ValueError: a size that was not given to the constructor, or a batch that the epoch
                does not have.
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
        """Batches of the current epoch; where epochs differ, a number that follows."""
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
        """The part of batch `index` that one of several workers needs; no other rows are made.

        Args:
            index: the batch's number in the current epoch.
            share: which of the `shares` consecutive parts of the batch, counted from 0.
            shares: their number. They differ by one row at most.

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
        last; so `.repeat()` and `steps_per_epoch` are safe with it. Its cardinality is set, and
        its batch dimension is constant, unless epochs or batches differ in size.
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


class Triplets(Batches):
    """Batches for `model.fit`: each pair once per pass, together with an irrelevant target.

    A batch is a dict of arrays:

    | key | |
    | --- | --- |
    | `source` | float32 `(batch, size, size, 3)` in [-1, 1], the person |
    | `target` | the same shape, the product image that belongs to it |
    | `irrelevant` | the same shape, drawn uniformly from the product images of all other groups |
    | `product_id` | int64 `(batch,)` of the source |

    An irrelevant image is never of the same product, nor of a duplicate of it. Order, irrelevant
    images and mirroring are a function of `(seed, epoch)` alone; `Batches` says how `fit` goes
    through them.

    Args:
        pairs: the pairs of one split.
        batch_size: examples per batch, at least 1; or all sizes that `start_epoch` may set, the
            first of which is set now.
        seed: makes every draw reproducible.
        shuffle: whether to permute the pairs, anew every pass.
        irrelevant: whether batches have the key `irrelevant`.
        drop_remainder: whether to leave out the last batch where it is smaller.
        reverse: whether to exchange source and target (product to human); `irrelevant` is then a
            person image of another group.
        mirror: whether to flip half of the triplets left to right, all three images of each.
        passes: how often an epoch goes through the pairs. With few pairs, several passes are
            worth the time that scores, pictures and checkpoints take between epochs.

    Raises:
        ValueError: if there are no pairs, fewer than one whole batch, less than one pass, or if
            irrelevant images are wanted and all products belong to one group.

    Example:
    ```python
    train = data.triplets(data.load_pairs("rendered")["train"], batch_size=128)
    model.fit(train, epochs=30, shuffle=False)
    ```
    """

    def __init__(
        self,
        pairs: PairSet,
        batch_size: int | Sequence[int] = 128,
        seed: int = 0,
        *,
        shuffle: bool = True,
        irrelevant: bool = True,
        drop_remainder: bool = True,
        reverse: bool = False,
        mirror: bool = False,
        passes: int = 1,
    ) -> None:
        if not len(pairs):
            raise ValueError("`pairs` has no pairs: there is nothing to draw batches from.")
        super().__init__(
            len(pairs), "pairs", batch_size, seed, shuffle, drop_remainder, reverse, mirror, passes
        )
        self.pairs = pairs
        self.irrelevant = irrelevant
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
        self.start_epoch(0, self.batch_sizes[0])

    def _draw(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        order = self._order(rng, len(self.pairs))
        draws = {"pair": order}
        if self.irrelevant:
            passes = np.split(order, self.passes)
            draws["irrelevant"] = np.concatenate([self._draw_irrelevant(rng)[p] for p in passes])
        if self.mirror:
            draws["flipped"] = rng.random(self.num_examples) < 0.5
        return draws

    def _draw_irrelevant(self, rng: np.random.Generator) -> np.ndarray:
        """For each pair, a row of the candidates, uniform over all that are of another group."""
        position = rng.integers(len(self._candidates) - self._group_size)
        position += np.where(position >= self._group_start, self._group_size, 0)
        return self._candidates[position]

    def _rows(self, draws: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        target_rows = self.pairs.target_index[draws["pair"]]
        persons = self.pairs.sources[draws["pair"]]
        products = self.pairs.targets[target_rows]
        batch = {"source": persons, "target": products}
        if self.reverse:
            batch = {"source": products, "target": persons}
        if self.irrelevant:
            candidates = self.pairs.sources if self.reverse else self.pairs.targets
            batch["irrelevant"] = candidates[draws["irrelevant"]]
        flipped = draws.get("flipped")
        batch = {key: self._to_float(pixels, flipped) for key, pixels in batch.items()}
        batch["product_id"] = self.pairs.product_id[target_rows]
        return batch


triplets = Triplets  # reads well as `data.triplets(...)`

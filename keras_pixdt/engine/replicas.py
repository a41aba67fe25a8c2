"""What a replica must know about the others during its part of a training step."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Callable, Iterator
from typing import Any, NamedTuple

from keras import ops

Tensor = Any


class Part(NamedTuple):
    """A replica's rows of the global batch.

    Attributes:
        first: index of the first row, int32.
        rows: their number, int32.
        all_rows: number of rows of all replicas.
    """

    first: Tensor
    rows: Tensor
    all_rows: Tensor


# For the step that this thread traces. tf.distribute traces each replica in its own thread; if this
# were stored on the model, replicas would overwrite each other's part.
_step = threading.local()


@contextlib.contextmanager
def step(part: Part | None) -> Iterator[None]:
    """Context for tracing a step for a part of the batch, or for all of it (None)."""
    _step.part = part
    try:
        yield
    finally:
        _step.part = None


def part() -> Part | None:
    """The part of the batch in the traced step; None if one program has the whole batch."""
    return getattr(_step, "part", None)


def draw(sample: Callable[[Tensor], Tensor], like: Tensor) -> Tensor:
    """Draws random numbers, each row for one row of the global batch.

    Every replica draws for the whole batch with the same seed and keeps its own rows, so the result
    does not depend on the number of replicas.

    Args:
        sample: number of rows -> a tensor with as many, from a `SeedGenerator`.
        like: a tensor of the step's batch; the result has one row for each of its rows.
    """
    own = part()
    if own is None:
        return sample(ops.shape(like)[0])
    return sample(own.all_rows)[own.first : own.first + own.rows]

"""One script for a laptop, several devices, several machines, in any precision.

Two lines before the model is built, and `fit` takes the same data with the same global batch size:

    ```python
    distribution = keras_pixdt.training.distribution.start("mirrored", "mixed_bfloat16")
    with distribution.scope():
        model = keras_pixdt.PixelDTGAN()
        model.compile("adam")
    model.fit(train, epochs=30, shuffle=False)
    ```

| strategy | devices | TensorFlow | JAX |
| --- | --- | --- | --- |
| `none` | one | the default | the default |
| `mirrored` | those of this machine | `MirroredStrategy` | `DataParallel` |
| `multi_worker` | those of the machines in `TF_CONFIG` | `MultiWorkerMirroredStrategy` | `DataParallel` |
| `tpu` | a TPU's cores | `TPUStrategy` | `DataParallel` |
"""

from __future__ import annotations

import contextlib
from collections.abc import Iterator
from typing import Any

import keras

STRATEGIES = ("none", "mirrored", "multi_worker", "tpu")
PRECISIONS = ("float32", "mixed_float16", "mixed_bfloat16")
WORKER_TIMEOUT_S = 300.0  # schedulers start the tasks of a job minutes apart


class WorkerLostError(RuntimeError):
    """Another worker of a multi-worker run has ended or cannot be reached any more."""


class Distribution:
    """The devices of a run; `start` makes it.

    Attributes:
        strategy: one of `STRATEGIES`.
        replicas: devices that share a batch, over all workers.
        workers: processes that train together.
        worker: index of this one.
    """

    def __init__(
        self, strategy: str, replicas: int = 1, workers: int = 1, worker: int = 0
    ) -> None:
        self.strategy = strategy
        self.replicas = replicas
        self.workers = workers
        self.worker = worker

    @property
    def is_chief(self) -> bool:
        """Whether this worker is the one that writes files."""
        return self.worker == 0

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """Context in which models are built, loaded and compiled."""
        return contextlib.nullcontext()

    def check_batch_size(self, batch_size: int, what: str = "batch size") -> None:
        """Refuses a global batch that the replicas cannot share equally.

        Raises:
            ValueError: names the replicas and the two nearest sizes that fit.
        """
        if batch_size % self.replicas:
            lower = batch_size // self.replicas * self.replicas
            fits = [str(size) for size in (lower, lower + self.replicas) if size]
            raise ValueError(
                f"The {what} is that of all replicas together and must be a multiple of their "
                f"number, {self.replicas}. Received: {batch_size}. "
                f"The nearest that fit: {' and '.join(fits)}"
            )

    def feed(self, batches: Any) -> Any:
        """What `fit` and `evaluate` take of `batches`: every worker draws its own rows only."""
        return batches

    def agree(self, value: int, what: str) -> None:
        """Checks that all workers hold the same value.

        Raises:
            ValueError: they do not; on all of them.
        """

    @contextlib.contextmanager
    def watch(self) -> Iterator[None]:
        """Context around training: a lost worker ends it with `WorkerLostError`."""
        yield


def start(
    strategy: str = "none",
    precision: str | None = None,
    *,
    replicas: int | None = None,
    worker_timeout_s: float = WORKER_TIMEOUT_S,
) -> Distribution:
    """Prepares this process for training on its devices; call it before any model is built.

    Args:
        strategy: one of `STRATEGIES`.
        precision: one of `PRECISIONS`, set as Keras' global dtype policy; None leaves that.
        replicas: number of devices of this machine; None takes all its accelerators, else one
            CPU. On a machine without accelerators, the CPU is divided into as many devices.
        worker_timeout_s: how long `multi_worker` waits for the other workers to start.

    Returns:
        The distribution.
    """
    if strategy not in STRATEGIES:
        raise ValueError(f"`strategy` must be one of {STRATEGIES}. Received: {strategy!r}")
    if precision is not None and precision not in PRECISIONS:
        raise ValueError(f"`precision` must be one of {PRECISIONS}. Received: {precision!r}")
    if precision is not None:
        keras.config.set_dtype_policy(precision)
    return Distribution(strategy)

"""One script for a laptop, several devices and several machines, in any precision.

Add two lines before the model is built; the rest of a Keras script, and its batch size, stay the
same:

    ```python
    distribution = keras_pixdt.training.devices.start("mirrored", "mixed_bfloat16")
    with distribution.scope():
        model = keras_pixdt.PixelDTGAN()
        model.compile("adam")
    model.fit(train, epochs=30, shuffle=False)
    ```

| strategy | devices | TensorFlow | JAX |
| --- | --- | --- | --- |
| `none` | one | the default | the default |
| `mirrored` | of this machine | `MirroredStrategy` | `DataParallel` |
| `multi_worker` | of all in `TF_CONFIG` | `MultiWorkerMirroredStrategy` | `DataParallel` |
| `tpu` | a TPU's cores | `TPUStrategy` | `DataParallel` |

The workers of `multi_worker` connect before the runtime starts, and keep their own connections to
each other (`keras_pixdt.training.peers`).
"""

from __future__ import annotations

import contextlib
import os
import pathlib
import re
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import keras
from absl import logging

from keras_pixdt.choices import PRECISIONS, STRATEGIES, check_batch_size
from keras_pixdt.data.batches import Ahead, Batches
from keras_pixdt.training.peers import Peers, WorkerLostError, cluster

WORKER_TIMEOUT_S = 300.0  # schedulers start the tasks of a job minutes apart
_CPU = pathlib.Path("/proc/cpuinfo")  # on Linux; elsewhere the CPU is not looked at
_BACKEND = keras.backend.backend()


class Distribution:
    """The devices of a run; made by `start`.

    Attributes:
        strategy: one of `STRATEGIES`.
        replicas: number of devices that share a batch, over all workers.
        workers: number of processes that train together.
        worker: index of this one.
    """

    def __init__(
        self,
        strategy: str,
        replicas: int = 1,
        tf_strategy: Any = None,
        peers: Peers | None = None,
    ) -> None:
        self.strategy = strategy
        self.replicas = replicas
        self.workers = 1 if peers is None else len(peers.addresses)
        self.worker = 0 if peers is None else peers.worker
        self._tf_strategy = tf_strategy
        self._peers = peers

    @property
    def is_chief(self) -> bool:
        """Whether this worker is the one that writes files."""
        return self.worker == 0

    def scope(self) -> contextlib.AbstractContextManager[Any]:
        """Context in which models are built, loaded and compiled."""
        return contextlib.nullcontext() if self._tf_strategy is None else self._tf_strategy.scope()

    def check_batch_size(self, batch_size: int) -> None:
        """See `keras_pixdt.choices.check_batch_size`."""
        check_batch_size(batch_size, self.replicas)

    def feed(self, batches: Batches) -> Any:
        """Wraps batches for `fit` and `evaluate`.

        On TensorFlow, each worker then draws only its own rows; on JAX, the next batch is made
        during a step. `fit` and `evaluate` also take plain `batches`.
        """
        if _BACKEND == "jax":
            return Ahead(batches)
        if self.workers == 1 or self._tf_strategy is None:
            return batches
        from keras_pixdt.engine import tensorflow_step

        return tensorflow_step.own_rows(batches, self._tf_strategy, self.worker, self.workers)

    def agree(self, value: int, what: str) -> None:
        """Checks that all workers hold the same value; every worker has to call it.

        Raises:
            ValueError: the values differ; raised on all workers.
            WorkerLostError: a worker has ended.
        """
        if self._peers is not None:
            self._peers.check_equal(value, what)

    @contextlib.contextmanager
    def watch(self) -> Iterator[None]:
        """Context for training in which losing a worker raises a `WorkerLostError`.

        If the runtime waits forever for the lost worker, the process is ended.
        """
        if self._peers is None:
            yield
            return
        try:
            yield
        except WorkerLostError:
            raise
        except Exception as error:
            # The runtime may have noticed before the connection did.
            if lost := self._peers.lost(wait_s=2.0):
                raise WorkerLostError(lost) from error
            self._peers.leave_in_error()
            raise
        except BaseException:
            self._peers.leave_in_error()
            raise


_started: dict[tuple[str, int | None], Distribution] = {}


def start(
    strategy: str = "none",
    precision: str | None = None,
    *,
    replicas: int | None = None,
    worker_timeout_s: float = WORKER_TIMEOUT_S,
) -> Distribution:
    """Prepares this process for its devices; call it before anything is computed or built.

    Args:
        strategy: one of `STRATEGIES`. `multi_worker` reads the environment variable `TF_CONFIG`.
        precision: one of `PRECISIONS`, set as Keras' global dtype policy; None leaves that as is.
        replicas: number of devices of this machine; None takes all its accelerators or, without
            any, one CPU. A CPU is divided into this many devices, which is useful for trying things
            out and for tests.
        worker_timeout_s: how long `multi_worker` waits for the other workers.

    Returns:
        The distribution. A second call with the same devices returns the same.

    Raises:
        ValueError: an unknown strategy or precision, devices that this machine does not have, or
            a `TF_CONFIG` that is missing or wrong.
        RuntimeError: the process has already computed something, or was started with another
            strategy.
        TimeoutError: workers could not be reached.
    """
    _check_choice("strategy", strategy, STRATEGIES)
    if precision is not None:
        _check_choice("precision", precision, PRECISIONS)
    if replicas is not None and replicas < 1:
        raise ValueError(f"`replicas` must be at least 1. Received: {replicas}")
    if strategy == "none" and (replicas or 1) > 1:
        raise ValueError(
            f"strategy 'none' is one device. Received: replicas={replicas}. "
            "Choose 'mirrored' for several devices of this machine."
        )
    key = (strategy, replicas)
    if _started and key not in _started:
        ((before, before_replicas),) = _started
        raise RuntimeError(
            f"This process was started with strategy {before!r}, replicas={before_replicas}; "
            f"there can be no other in the same process. Received: {strategy!r}, {replicas}"
        )
    if key in _started:
        distribution = _started[key]
    else:
        starters: dict[str, Callable[[int | None, float], Distribution]] = {
            "none": lambda *_: Distribution("none"),
            "mirrored": _start_mirrored,
            "multi_worker": _start_workers,
            "tpu": _start_tpu,
        }
        distribution = starters[strategy](replicas, worker_timeout_s)
        if strategy != "none":
            _started[key] = distribution
    if precision is not None:
        keras.config.set_dtype_policy(precision)
        if precision != "float32" and not _accelerators():
            _warn_of_slow_cpu(precision)
    return distribution


def _warn_of_slow_cpu(precision: str) -> None:
    if precision == "mixed_float16":
        logging.warning(
            "mixed_float16 is slower than float32 on a CPU, which computes in float16 by "
            "converting to float32 and back. Choose mixed_bfloat16 on a CPU with bfloat16 "
            "instructions (AMX, AVX512_BF16), float32 on any other."
        )
        return
    if _CPU.exists() and not re.search(r"\b(avx512_bf16|amx_bf16|bf16)\b", _CPU.read_text()):
        logging.warning(
            "mixed_bfloat16 is many times slower than float32 on this CPU, which has no bfloat16 "
            "instructions (AMX, AVX512_BF16). Choose float32."
        )


def _check_choice(name: str, value: str, choices: Sequence[str]) -> None:
    if value not in choices:
        raise ValueError(f"`{name}` must be one of {', '.join(choices)}. Received: {value!r}")


# Devices


def _accelerators() -> list[str]:
    """The accelerators of this machine, as "GPU:0" on TensorFlow and "gpu:0" on JAX."""
    if _BACKEND == "jax":
        import jax

        found = jax.local_devices()
        return [f"{d.platform}:{d.id}" for d in found if d.platform != "cpu"]
    import tensorflow as tf

    return [f"GPU:{i}" for i in range(len(tf.config.list_physical_devices("GPU")))]


def _too_late(what: str) -> RuntimeError:
    return RuntimeError(
        f"{what} after {_BACKEND} had begun to compute. Call devices.start() first, before "
        "any model, dataset or random seed is made."
    )


def _divide_cpu(count: int) -> None:
    """Makes several devices of this machine's CPU."""
    too_late = _too_late(f"{count} devices of the CPU were asked for")
    if _BACKEND == "jax":
        import jax

        try:  # may only be called before jax is asked for its devices
            jax.config.update("jax_num_cpu_devices", count)
        except RuntimeError:
            if len(jax.local_devices(backend="cpu")) < count:
                raise too_late from None
        return
    import tensorflow as tf

    cpu = tf.config.list_physical_devices("CPU")[0]
    if len(tf.config.get_logical_device_configuration(cpu) or [None]) != count:
        try:
            tf.config.set_logical_device_configuration(
                cpu, [tf.config.LogicalDeviceConfiguration()] * count
            )
        except RuntimeError:
            raise too_late from None


def _local_devices(replicas: int | None) -> list[str]:
    """The devices of this machine that take part."""
    if _BACKEND == "jax" or not _accelerators():
        _divide_cpu(replicas or 1)
    devices = _accelerators()
    if not devices:
        return [f"cpu:{i}" for i in range(replicas or 1)]
    if (replicas or 1) > len(devices):
        raise ValueError(
            f"This machine has {len(devices)} accelerators: {', '.join(devices)}. "
            f"Received: replicas={replicas}"
        )
    return devices[:replicas]


def _start_mirrored(replicas: int | None, worker_timeout_s: float) -> Distribution:
    devices = _local_devices(replicas)
    if _BACKEND == "jax":
        return _data_parallel("mirrored", devices)
    import tensorflow as tf

    from keras_pixdt.engine import tensorflow_step

    strategy = tensorflow_step.exact(tf.distribute.MirroredStrategy)(devices)
    return Distribution("mirrored", strategy.num_replicas_in_sync, strategy)


def _start_tpu(replicas: int | None, worker_timeout_s: float) -> Distribution:
    if _BACKEND == "jax":
        devices = [name for name in _accelerators() if name.startswith("tpu")]
        if not devices:
            raise ValueError("strategy 'tpu' found no TPU on this machine. " + _INSTEAD_OF_TPU)
        return _data_parallel("tpu", devices[:replicas])
    import tensorflow as tf

    if replicas is not None:
        raise ValueError(f"strategy 'tpu' uses all cores. Received: replicas={replicas}")
    try:
        resolver = tf.distribute.cluster_resolver.TPUClusterResolver()
        tf.config.experimental_connect_to_cluster(resolver)
        tf.tpu.experimental.initialize_tpu_system(resolver)
    except (ValueError, tf.errors.OpError) as error:
        raise ValueError(
            "strategy 'tpu' found no TPU: set the environment variable TPU_NAME to its name, or to "
            f"'local' on a TPU machine. {_INSTEAD_OF_TPU} TensorFlow said: {error}"
        ) from error
    strategy = tf.distribute.TPUStrategy(resolver)
    return Distribution("tpu", strategy.num_replicas_in_sync, strategy)


_INSTEAD_OF_TPU = "For GPUs and CPUs choose 'mirrored', or 'multi_worker' for several machines."


def _start_workers(replicas: int | None, worker_timeout_s: float) -> Distribution:
    addresses, worker = cluster(os.environ.get("TF_CONFIG"))
    if _BACKEND == "tensorflow" and not _accelerators() and (replicas or 1) > 1:
        raise ValueError(
            "strategy 'multi_worker' has one replica for each worker on CPUs. "
            f"Received: replicas={replicas}. Start more workers instead."
        )
    if _BACKEND == "jax":
        return _start_jax_workers(addresses, worker, replicas, worker_timeout_s)
    import tensorflow as tf

    from keras_pixdt.engine import tensorflow_step

    if not _accelerators():
        _check_kernels()
    devices = _local_devices(replicas)
    peers = Peers(addresses, worker, worker_timeout_s)
    peers.check_equal(len(devices), "number of devices")
    try:
        gpus = tf.config.list_physical_devices("GPU")
        tf.config.set_visible_devices(gpus[: len(devices)], "GPU")
        strategy = tensorflow_step.exact(tf.distribute.MultiWorkerMirroredStrategy)()
    except RuntimeError as error:
        raise _too_late("strategy 'multi_worker' was started") from error
    return Distribution("multi_worker", strategy.num_replicas_in_sync, strategy, peers)


def _start_jax_workers(
    addresses: Sequence[str], worker: int, replicas: int | None, worker_timeout_s: float
) -> Distribution:
    import jax

    _divide_cpu(replicas or 1)
    # Otherwise each worker's CPU would run independent computations in its own order, and gloo
    # would mix up their messages.
    jax.config.update("jax_cpu_enable_async_dispatch", False)
    peers = Peers(addresses, worker, worker_timeout_s)
    try:
        keras.distribution.initialize(addresses[0], len(addresses), worker)
    except RuntimeError as error:
        raise _too_late("strategy 'multi_worker' was started") from error
    count = jax.local_device_count()
    if replicas not in (None, count):
        raise ValueError(
            f"strategy 'multi_worker' takes all devices of a machine on JAX, here {count}. "
            f"Received: replicas={replicas}"
        )
    peers.check_equal(count, "number of devices")
    return _data_parallel("multi_worker", keras.distribution.list_devices(), peers)


def _check_kernels() -> None:
    """Refuses oneDNN on CPUs of several workers.

    With them, TensorFlow 2.21 gives a convolution the input of another one: "input depth must be
    evenly divisible by filter depth". On one worker they work with any number of devices.
    """
    choice = os.environ.get("TF_ENABLE_ONEDNN_OPTS")
    by_itself = _CPU.exists() and re.search(r"\b(avx512\w*|avx_vnni|amx_\w+)\b", _CPU.read_text())
    if choice != "0" and (choice is not None or by_itself):
        raise ValueError(
            "strategy 'multi_worker' on CPUs needs the environment variable "
            "TF_ENABLE_ONEDNN_OPTS=0, set before TensorFlow is imported: its oneDNN kernels fail "
            f"there. Received: {choice!r}"
        )


def _data_parallel(
    strategy: str, devices: Sequence[str], peers: Peers | None = None
) -> Distribution:
    keras.distribution.set_distribution(
        keras.distribution.DataParallel(devices=list(devices), auto_shard_dataset=False)
    )
    return Distribution(strategy, len(devices), peers=peers)

"""One script for a laptop, several devices and several machines, in any precision.

Two lines before the model is built; the rest of a Keras script, and its batch size, stay:

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

The workers of `multi_worker` meet before the runtime starts, and keep a connection to each other
beside it: it tells within moments which worker was lost, where the runtime may wait for ever.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import pathlib
import queue
import re
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from concurrent import futures
from typing import Any

import keras
from absl import logging
from keras.src.trainers.data_adapters import py_dataset_adapter

from keras_pixdt.data.batches import Batches
from keras_pixdt.engine import adversarial_model
from keras_pixdt.training.choices import PRECISIONS, STRATEGIES

WORKER_TIMEOUT_S = 300.0  # schedulers start the tasks of a job minutes apart
_LAST_WORDS_S = 20.0  # for the main thread to end by itself after a worker was lost
_CPU = pathlib.Path("/proc/cpuinfo")  # Linux; of others we do not know
_BACKEND = keras.backend.backend()

TF_CONFIG_EXAMPLE = json.dumps(
    {
        "cluster": {"worker": ["10.0.0.1:12345", "10.0.0.2:12345"]},
        "task": {"type": "worker", "index": 0},
    }
)


class WorkerLostError(RuntimeError):
    """Another worker of a multi-worker run has ended or cannot be reached any more."""


class Distribution:
    """The devices of a run; `start` makes it.

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
        peers: _Peers | None = None,
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

    def check_batch_size(self, batch_size: int, what: str = "batch size") -> None:
        """Refuses a global batch that the replicas cannot share equally.

        Raises:
            ValueError: names the replicas and the two nearest sizes that fit.
        """
        adversarial_model.check_batch_size(batch_size, self.replicas, what)

    def feed(self, batches: Batches) -> Any:
        """What `fit` and `evaluate` take, so that each worker draws no rows but its own.

        They take `batches` themselves as well: each worker then draws them all, and keeps its own.
        """
        if self.workers == 1 or self._tf_strategy is None:
            return batches
        return _own_rows(batches, self)

    def agree(self, value: int, what: str) -> None:
        """Checks that all workers hold the same value; all of them have to call it.

        Raises:
            ValueError: they do not; on all of them.
            WorkerLostError: a worker has ended.
        """
        if self._peers is not None:
            self._peers.check_equal(value, what)

    @contextlib.contextmanager
    def watch(self) -> Iterator[None]:
        """Context around training, in which the loss of a worker is a `WorkerLostError`.

        Where the runtime waits for the lost worker for ever, the process is ended.
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
        replicas: number of devices of this machine; None takes all its accelerators, else one
            CPU. A CPU is divided into as many devices, which is of use for trying out and tests.
        worker_timeout_s: how long `multi_worker` waits for the other workers.

    Returns:
        The distribution. A second call with the same devices returns the same.

    Raises:
        ValueError: an unknown strategy or precision, devices that this machine does not have, or
            a `TF_CONFIG` that is missing or wrong.
        RuntimeError: the process has computed before, or was started with another strategy.
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
        f"{what} after {_BACKEND} had begun to compute. Call distribution.start() first, before "
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

    strategy = _exact(tf.distribute.MirroredStrategy)(devices)
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
    addresses, worker = _cluster(os.environ.get("TF_CONFIG"))
    if _BACKEND == "tensorflow" and not _accelerators() and (replicas or 1) > 1:
        raise ValueError(
            "strategy 'multi_worker' has one replica for each worker on CPUs. "
            f"Received: replicas={replicas}. Start more workers instead."
        )
    if _BACKEND == "jax":
        return _start_jax_workers(addresses, worker, replicas, worker_timeout_s)
    import tensorflow as tf

    if _BACKEND == "tensorflow" and not _accelerators():
        _check_kernels()
    devices = _local_devices(replicas)
    peers = _Peers(addresses, worker, worker_timeout_s)
    peers.check_equal(len(devices), "number of devices")
    try:
        gpus = tf.config.list_physical_devices("GPU")
        tf.config.set_visible_devices(gpus[: len(devices)], "GPU")
        strategy = _exact(tf.distribute.MultiWorkerMirroredStrategy)()
    except RuntimeError as error:
        raise _too_late("strategy 'multi_worker' was started") from error
    return Distribution("multi_worker", strategy.num_replicas_in_sync, strategy, peers)


def _start_jax_workers(
    addresses: Sequence[str], worker: int, replicas: int | None, worker_timeout_s: float
) -> Distribution:
    import jax

    _divide_cpu(replicas or 1)
    # Each worker's CPU would else run independent computations in an order of its own, and gloo
    # take a message of one for that of another.
    jax.config.update("jax_cpu_enable_async_dispatch", False)
    peers = _Peers(addresses, worker, worker_timeout_s)
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

    TensorFlow 2.21 then gives a convolution the input of another one: "input depth must be evenly
    divisible by filter depth". It is right on one worker with any number of devices.
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
    strategy: str, devices: Sequence[str], peers: _Peers | None = None
) -> Distribution:
    keras.distribution.set_distribution(
        keras.distribution.DataParallel(devices=list(devices), auto_shard_dataset=False)
    )
    return Distribution(strategy, len(devices), peers=peers)


# Data


def _exact(strategy_class: Any) -> Any:
    """A strategy that cuts each batch into even consecutive parts, one for each replica.

    TensorFlow's own way depends on what it can find out about a dataset: a last batch may leave
    replicas without rows, and workers may get parts of different batches.
    """

    class Exact(strategy_class):
        def experimental_distribute_dataset(self, dataset: Any, options: Any = None) -> Any:
            def own(context: Any) -> Any:
                local = self.num_replicas_in_sync // context.num_input_pipelines
                first = context.input_pipeline_id * local
                return _pieces(dataset, range(first, first + local), self.num_replicas_in_sync)

            return self.distribute_datasets_from_function(own, options)

    Exact.__name__ = strategy_class.__name__
    return Exact


def _pieces(dataset: Any, own: range, count: int) -> Any:
    """Of each batch, those of its `count` even consecutive pieces that are `own`, one by one."""
    import tensorflow as tf

    def cut(*batch: Any) -> Any:
        rows = tf.shape(tf.nest.flatten(batch)[0], out_type=tf.int64)[0]

        def piece(index: Any) -> Any:
            place = slice(index * rows // count, (index + 1) * rows // count)
            cut_batch = tf.nest.map_structure(lambda x: x[place], batch)
            return cut_batch if isinstance(dataset.element_spec, tuple) else cut_batch[0]

        return tf.data.Dataset.range(own.start, own.stop).map(piece)

    return dataset.flat_map(cut).prefetch(tf.data.AUTOTUNE)


def _own_rows(batches: Batches, distribution: Distribution) -> Any:
    """`batches`, of which this worker draws its part only, as Keras' adapter of them."""

    class OwnRows(keras.utils.PyDataset):
        batch_sizes = batches.batch_sizes

        @property
        def num_batches(self) -> Any:
            return batches.num_batches

        def __getitem__(self, index: int) -> Any:
            return batches.share(index, distribution.worker, distribution.workers)

        def on_epoch_end(self) -> None:
            batches.on_epoch_end()

    class Adapter(py_dataset_adapter.PyDatasetAdapter):
        def get_tf_dataset(self) -> Any:
            dataset = super().get_tf_dataset()
            local = distribution.replicas // distribution.workers
            return distribution._tf_strategy.distribute_datasets_from_function(
                lambda _: _pieces(dataset, range(local), local)
            )

    return Adapter(OwnRows())


# Workers


def _cluster(tf_config: str | None) -> tuple[list[str], int]:
    """Addresses of all workers, the chief's first, and this worker's index among them."""

    def wrong(rule: str) -> ValueError:
        return ValueError(
            f"strategy 'multi_worker' needs the environment variable TF_CONFIG: {rule}. "
            f"For the first of two workers: TF_CONFIG='{TF_CONFIG_EXAMPLE}'. "
            f"Received: {tf_config!r}"
        )

    if not tf_config:
        raise wrong("it is not set")
    try:
        config = json.loads(tf_config)
        cluster, task = config["cluster"], config["task"]
        kind, index = task["type"], int(task["index"])
        hosts = {name: list(addresses) for name, addresses in cluster.items()}
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise wrong("it must be JSON with 'cluster' and 'task'") from error
    if not set(hosts) <= {"chief", "worker"}:
        raise wrong("its cluster may have the jobs 'chief' and 'worker' only")
    if kind not in hosts or not 0 <= index < len(hosts[kind]):
        raise wrong(f"its task, {kind} {index}, is not in its cluster")
    addresses = [*hosts.get("chief", []), *hosts.get("worker", [])]
    for address in addresses:
        if not (isinstance(address, str) and address.rpartition(":")[2].isdigit()):
            raise wrong(f"an address must be host:port, {address!r} is not")
    if len(set(addresses)) < len(addresses):
        raise wrong("an address may occur once only")
    return addresses, index + (len(hosts.get("chief", [])) if kind == "worker" else 0)


class _Peers:
    """Connections to all other workers: to meet, to agree, and to notice who is lost.

    Each pair of workers has one. A worker that ends says goodbye; a connection that closes
    without tells that its process was killed, or failed.

    Args:
        addresses: host:port of all workers. Only while they meet, each listens on its own: later
            the runtime does.
        worker: this worker's index.
        timeout_s: how long to wait for the others.

    Raises:
        TimeoutError: names the workers that were reached and those that were not.
    """

    def __init__(self, addresses: Sequence[str], worker: int, timeout_s: float) -> None:
        self.addresses = list(addresses)
        self.worker = worker
        self._answers: dict[int, queue.Queue[int | None]] = {}
        self._lost: list[int] = []
        self._any_lost = threading.Event()
        self._left = False
        self._connections = self._meet(timeout_s)
        for peer, connection in self._connections.items():
            self._answers[peer] = queue.Queue()
            threading.Thread(target=self._listen, args=(peer, connection), daemon=True).start()
        atexit.register(self._at_exit)

    def _meet(self, timeout_s: float) -> dict[int, socket.socket]:
        """Connects to the workers before this one, and waits for those after it."""
        deadline = time.monotonic() + timeout_s
        port = int(self.addresses[self.worker].rpartition(":")[2])
        try:
            listener = socket.create_server(("", port), backlog=len(self.addresses))
        except OSError as error:
            raise OSError(
                f"Worker {self.worker} cannot listen on its address {self.addresses[self.worker]}: "
                f"{error}. Is it another process', perhaps of an earlier run?"
            ) from error
        met: dict[int, socket.socket] = {}
        hello = json.dumps([self.worker, self.addresses])

        def call(peer: int) -> None:
            host, _, peer_port = self.addresses[peer].rpartition(":")
            while (left := deadline - time.monotonic()) > 0:
                with contextlib.suppress(OSError):
                    connection = socket.create_connection((host, int(peer_port)), timeout=left)
                    connection.sendall(f"{hello}\n".encode())
                    if _read_line(connection) == hello:
                        met[peer] = connection
                        return
                    connection.close()
                time.sleep(min(0.2, left))

        def answer() -> None:
            while len([p for p in met if p > self.worker]) < len(self.addresses) - self.worker - 1:
                left = deadline - time.monotonic()
                if left <= 0:
                    return
                with contextlib.suppress(OSError, ValueError, TypeError):
                    listener.settimeout(left)
                    connection, _ = listener.accept()
                    connection.settimeout(5.0)
                    line = _read_line(connection)
                    peer, addresses = json.loads(line)
                    if addresses == self.addresses and peer > self.worker:
                        connection.sendall(f"{line}\n".encode())
                        met[peer] = connection
                    else:
                        connection.close()

        with listener, futures.ThreadPoolExecutor(len(self.addresses)) as threads:
            jobs = [threads.submit(call, peer) for peer in range(self.worker)]
            for job in [*jobs, threads.submit(answer)]:
                job.result()
        others = [i for i in range(len(self.addresses)) if i != self.worker]
        if missing := [i for i in others if i not in met]:
            reached = [self._name(i) for i in others if i in met]
            raise TimeoutError(
                f"Worker {self.worker} waited {timeout_s:g} s for the others. "
                f"Reached: {', '.join(reached) or 'none'}. "
                f"Not reached: {', '.join(self._name(i) for i in missing)}. "
                "Are they running, with the same cluster in TF_CONFIG, and are their ports open?"
            )
        for connection in met.values():
            connection.settimeout(None)
            _keep_alive(connection)
        return met

    def _name(self, peer: int) -> str:
        return f"worker {peer} ({self.addresses[peer]})"

    def check_equal(self, value: int, what: str) -> None:
        """What `Distribution.agree` does."""
        for connection in self._connections.values():
            with contextlib.suppress(OSError):  # the listening thread finds out as well
                connection.sendall(f"{value}\n".encode())
        values = {self.worker: value}
        for peer, answers in self._answers.items():
            answer = answers.get()
            if answer is None:
                raise WorkerLostError(self._message([peer]))
            values[peer] = answer
        if len(set(values.values())) > 1:
            held = ", ".join(f"worker {i}: {values[i]}" for i in sorted(values))
            raise ValueError(f"All workers must have the same {what}. Received: {held}")

    def _listen(self, peer: int, connection: socket.socket) -> None:
        while line := _read_line(connection):
            if line == "bye":
                self._answers[peer].put(None)
                return
            self._answers[peer].put(int(line))
        if self._left:
            return
        self._lost.append(peer)
        self._any_lost.set()
        self._answers[peer].put(None)
        logging.error("%s", self._message(self._lost))
        time.sleep(_LAST_WORDS_S)
        if not self._left:
            logging.error("This worker ends: it waits for what the lost one does not send.")
            _end_process()

    def lost(self, wait_s: float) -> str:
        """What to tell if a worker is lost; empty if none is."""
        return self._message(self._lost) if self._any_lost.wait(wait_s) else ""

    def _message(self, lost: Sequence[int]) -> str:
        return (
            f"Lost {' and '.join(self._name(peer) for peer in lost)}: the process ended, or its "
            "machine cannot be reached. Start all workers again with the same command: the run "
            "continues from its last checkpoint."
        )

    def leave_in_error(self) -> None:
        """Leaves without a goodbye, so that the others do not wait for this worker."""
        self._left = True
        for connection in self._connections.values():
            with contextlib.suppress(OSError):
                connection.shutdown(socket.SHUT_RDWR)

    def _at_exit(self) -> None:
        if self._lost:
            _end_process()  # the runtime would wait for the lost worker to shut down with it
        if getattr(sys, "last_value", None) is None and not self._left:  # no uncaught exception
            for connection in self._connections.values():
                with contextlib.suppress(OSError):
                    connection.sendall(b"bye\n")
        self._left = True


def _read_line(connection: socket.socket) -> str:
    """A line without its end; empty where the connection was closed."""
    line = b""
    with contextlib.suppress(OSError):
        while not line.endswith(b"\n"):
            byte = connection.recv(1)
            if not byte:
                return ""
            line += byte
    return line.decode(errors="replace").strip()


def _keep_alive(connection: socket.socket) -> None:
    """Notices within half a minute that a machine is gone, where the system lets us ask for it."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 4)):
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _end_process() -> None:
    logging.flush()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)

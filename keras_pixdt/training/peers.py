"""Workers of one run, which keep their own connections to each other beside the runtime's.

Neither TensorFlow nor JAX does these things by itself: report which workers could not be reached at
the start, compare a value between all of them, report within moments which one was lost, and end a
process that would wait for it forever. This module uses only sockets and imports no backend.
"""

from __future__ import annotations

import atexit
import contextlib
import json
import os
import queue
import socket
import sys
import threading
import time
from collections.abc import Sequence
from concurrent import futures

from absl import logging

_LAST_WORDS_S = 20.0  # time for the main thread to end by itself after a worker was lost

TF_CONFIG_EXAMPLE = json.dumps(
    {
        "cluster": {"worker": ["10.0.0.1:12345", "10.0.0.2:12345"]},
        "task": {"type": "worker", "index": 0},
    }
)


class WorkerLostError(RuntimeError):
    """Another worker of a multi-worker run has ended or can no longer be reached."""


def cluster(tf_config: str | None) -> tuple[list[str], int]:
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


class Peers:
    """Connections to all other workers, to meet, to agree on values, and to notice who is lost.

    Each pair of workers has a connection. A worker that ends says goodbye; if a connection closes
    without a goodbye, its process was killed or failed.

    Args:
        addresses: host:port of all workers. Each worker listens on its own address only while they
            meet; later the runtime uses it.
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
        """See `Distribution.agree`."""
        for connection in self._connections.values():
            with contextlib.suppress(OSError):  # the listening thread notices as well
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
        """The message if a worker is lost; empty if none is."""
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
            _end_process()  # the runtime would wait to shut down together with the lost worker
        if getattr(sys, "last_value", None) is None and not self._left:  # no uncaught exception
            for connection in self._connections.values():
                with contextlib.suppress(OSError):
                    connection.sendall(b"bye\n")
        self._left = True


def _read_line(connection: socket.socket) -> str:
    """A line without its line end; empty if the connection was closed."""
    line = b""
    with contextlib.suppress(OSError):
        while not line.endswith(b"\n"):
            byte = connection.recv(1)
            if not byte:
                return ""
            line += byte
    return line.decode(errors="replace").strip()


def _keep_alive(connection: socket.socket) -> None:
    """Makes a lost machine noticed within half a minute, if the system supports it."""
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
    for name, value in (("TCP_KEEPIDLE", 10), ("TCP_KEEPINTVL", 5), ("TCP_KEEPCNT", 4)):
        if hasattr(socket, name):
            connection.setsockopt(socket.IPPROTO_TCP, getattr(socket, name), value)


def _end_process() -> None:
    logging.flush()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(1)

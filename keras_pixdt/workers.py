"""Processes and threads that share work; an interruption drops what they have not begun."""

from __future__ import annotations

import concurrent.futures
import concurrent.futures.process
import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from typing import Any


@contextlib.contextmanager
def thread_pool() -> Iterator[concurrent.futures.ThreadPoolExecutor]:
    """A pool of one thread per core; tasks not yet begun are dropped at the end of the context."""
    pool = concurrent.futures.ThreadPoolExecutor(os.cpu_count())
    try:
        yield pool
    finally:
        pool.shutdown(cancel_futures=True)


@contextlib.contextmanager
def process_pool(count: int) -> Iterator[concurrent.futures.ProcessPoolExecutor]:
    """A pool of new Python processes; tasks not yet begun are dropped at the end of the context.

    They end when this process ends, in whatever way. Ctrl-C, which a terminal sends to all of
    them, reaches this process only.

    Args:
        count: their number.

    Raises:
        RuntimeError: one cannot start, or was killed.
    """
    # "spawn" because a fork of a process in which TensorFlow runs may hang.
    context = multiprocessing.get_context("spawn")
    pool = _Processes(count, mp_context=context, initializer=_end_with_parent)
    try:
        yield pool
    except concurrent.futures.process.BrokenProcessPool as error:
        raise RuntimeError(
            "A process that draws could not start or was killed. Put the main part of the script "
            'under `if __name__ == "__main__":`, or pass processes=1. '
            f"Received: {count} processes"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)


class _Processes(concurrent.futures.ProcessPoolExecutor):
    def submit(self, *task: Any, **arguments: Any) -> concurrent.futures.Future[Any]:
        # Starts processes, which inherit the blocked signal. It reaches this one afterwards.
        if not hasattr(signal, "pthread_sigmask"):  # on Windows
            return super().submit(*task, **arguments)
        before = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
        try:
            return super().submit(*task, **arguments)
        finally:
            signal.pthread_sigmask(signal.SIG_SETMASK, before)


def _end_with_parent() -> None:
    """Ends this process with the one that started it, as a killed one cannot say goodbye."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()

"""Processes and threads that share work; an interruption drops what they have not begun."""

from __future__ import annotations

import concurrent.futures
import concurrent.futures.process
import contextlib
import multiprocessing
import os
import signal
import threading
from collections.abc import Callable, Iterator
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
        with _interrupted_afterwards():  # the first ones start processes
            return super().submit(*task, **arguments)


@contextlib.contextmanager
def _interrupted_afterwards() -> Iterator[None]:
    """Handles signals at the end of the context; processes started in it never get SIGINT.

    Half a start would leave a process that looks for semaphores which are gone.
    """
    received: list[tuple[int, Any]] = []
    handlers: dict[int, Callable[[int, Any], Any]] = {}
    if threading.current_thread() is threading.main_thread():  # Python calls handlers in no other
        numbers = (signal.SIGINT, signal.SIGTERM)
        handlers = {n: handler for n in numbers if callable(handler := signal.getsignal(n))}
    try:
        with contextlib.ExitStack() as before:  # calls all, also if a handler raises in one
            for number, handler in handlers.items():
                before.callback(signal.signal, number, handler)
                signal.signal(number, lambda *told: received.append(told))
            if hasattr(signal, "pthread_sigmask"):  # not on Windows
                # New processes inherit it. Other threads of this one still get the signal.
                mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
                before.callback(signal.pthread_sigmask, signal.SIG_SETMASK, mask)
            yield
    finally:
        for number, frame in received:
            handlers[number](number, frame)


def _end_with_parent() -> None:
    """Ends this process with the one that started it, as a killed one cannot say goodbye."""
    parent = multiprocessing.parent_process()
    assert parent is not None

    def wait() -> None:
        parent.join()
        os._exit(1)

    threading.Thread(target=wait, daemon=True).start()

"""Processes that draw, for the sets that the project renders."""

from __future__ import annotations

import concurrent.futures
import concurrent.futures.process
import contextlib
import multiprocessing
from collections.abc import Iterator


@contextlib.contextmanager
def drawing_pool(workers: int) -> Iterator[concurrent.futures.ProcessPoolExecutor]:
    """A pool of new Python processes; tasks not yet begun are dropped at the end of the context.

    Args:
        workers: their number.

    Raises:
        RuntimeError: one cannot start, or was killed.
    """
    # "spawn" because a fork of a process in which TensorFlow runs may hang.
    context = multiprocessing.get_context("spawn")
    pool = concurrent.futures.ProcessPoolExecutor(workers, mp_context=context)
    try:
        yield pool
    except concurrent.futures.process.BrokenProcessPool as error:
        raise RuntimeError(
            "A process that draws could not start or was killed. Put the main part of the script "
            'under `if __name__ == "__main__":`, or pass processes=1. '
            f"Received: {workers} processes"
        ) from error
    finally:
        pool.shutdown(cancel_futures=True)

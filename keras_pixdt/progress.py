"""Progress bars of long loops, on a terminal only."""

from __future__ import annotations

import functools
import logging as std_logging
import sys
from collections.abc import Callable, Iterable, Iterator
from typing import Any

_DELAY_S = 1.0  # shorter loops show no bar


def bar(what: str, items: Iterable[Any] | None = None, total: int | None = None) -> Any:
    """A bar that shows how far a loop is, and disappears at its end.

    It is written to stderr if that is a terminal, once the loop has taken a second. Elsewhere, as
    in a pipe or a notebook, nothing is written. Lines that are logged meanwhile go above it.

    Args:
        what: what is done, such as "Reading photos".
        items: what the loop goes over; without, the loop calls `update`.
        total: how many items there are; by default the length of `items`, if it has one.

    Returns:
        A `tqdm`: to iterate over; or a context with the method `update(count=1)`.

    Example:
        >>> for photo in bar("Reading photos", photos): ...
        >>> with bar("Reading photos", total=2) as shown:
        ...     shown.update()
    """
    from tqdm import tqdm

    shown = sys.stderr is not None and sys.stderr.isatty()
    if shown:
        _log_above_bars()
    return tqdm(
        items, what, total, leave=False, delay=_DELAY_S, dynamic_ncols=True, disable=not shown
    )


def starts(what: str, count: int, step: int) -> Iterator[int]:
    """`range(0, count, step)`, the first rows of batches, with a bar of rows."""
    with bar(what, total=count) as shown:
        for start in range(0, count, step):
            yield start
            shown.update(min(step, count - start))


def close() -> None:
    """Removes the bars of loops that an exception has ended."""
    if "tqdm" in sys.modules:
        for shown in list(getattr(sys.modules["tqdm"].tqdm, "_instances", ())):
            shown.close()


def _log_above_bars() -> None:
    """Lets the handlers of log lines make room; bars, once displayed, come back by themselves."""
    from absl import logging

    for handler in (logging.get_absl_handler().python_handler, *std_logging.getLogger().handlers):
        if isinstance(handler, std_logging.StreamHandler) and "emit" not in vars(handler):
            handler.emit = functools.partial(_emit_above, handler.emit)  # type: ignore[method-assign]


def _emit_above(emit: Callable[[Any], None], record: std_logging.LogRecord) -> None:
    from tqdm import tqdm

    with tqdm.get_lock():  # threads log too
        for shown in getattr(tqdm, "_instances", ()):
            if hasattr(shown, "start_t") and shown.last_print_t >= shown.start_t + shown.delay:
                shown.clear(nolock=True)
        emit(record)

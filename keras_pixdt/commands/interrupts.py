"""Ctrl-C ends a command at any moment, with one line.

All files are written whole or not at all (see `atomic`), so a process may end anywhere.
"""

from __future__ import annotations

import atexit
import contextlib
import os
import signal
import socket
import sys
import threading
from collections.abc import Callable
from typing import Any, NoReturn

SIGNALS = (signal.SIGINT, signal.SIGTERM)
_PATIENCE_S = 5.0  # for contexts to remove what is temporary, and for threads to end


class Interrupts:
    """The signals that interrupt this process; made once, in its main thread.

    The first raises `KeyboardInterrupt`, which unwinds as always. The process ends at once at the
    second, if unwinding takes longer than `_PATIENCE_S` (the main thread may be inside a library
    call that does not return), or if Python swallows the exception.

    Args:
        line: gives the line that such an end writes to stderr.

    Attributes:
        received: number of the signal; 0 if there was none.
        told: whether the line has been written already.
    """

    def __init__(self, line: Callable[[], str]) -> None:
        self.received = 0
        self.told = False
        self._line = line
        self._ending = threading.RLock()
        self._stderr = os.dup(2)  # it is redirected while Keras is imported
        for number in SIGNALS:
            # A shell without job control ignores SIGINT in the background, and so does `nohup`.
            if signal.getsignal(number) is not signal.SIG_IGN:
                signal.signal(number, self._interrupt)
        # A handler waits for the main thread to return to Python; bytes come right away.
        receiver, sender = socket.socketpair()
        sender.setblocking(False)
        signal.set_wakeup_fd(sender.fileno(), warn_on_full_buffer=False)
        self._kept = sender
        threading.Thread(target=self._watch, args=(receiver,), daemon=True).start()
        atexit.register(self._leave)  # as the first, it is called last
        self._report_swallowed, sys.unraisablehook = sys.unraisablehook, self._swallowed

    @property
    def status(self) -> int:
        """The exit status, as shells have it: 130 after Ctrl-C."""
        return 128 + (self.received or signal.SIGINT)

    def _interrupt(self, number: int, frame: Any) -> None:
        if self.received:
            self._end()
        self.received = number
        raise KeyboardInterrupt

    def _watch(self, receiver: socket.socket) -> None:
        number = 0
        while number not in SIGNALS:
            number = receiver.recv(1)[0]
        receiver.settimeout(_PATIENCE_S)
        try:
            while receiver.recv(1)[0] not in SIGNALS:
                pass
        except TimeoutError:
            pass
        self.received = self.received or number
        self._end()

    def _swallowed(self, unraisable: Any) -> None:
        """Called for exceptions in places that cannot raise any, such as `__del__`."""
        if issubclass(unraisable.exc_type, KeyboardInterrupt):
            self._end()
        self._report_swallowed(unraisable)

    def _leave(self) -> None:
        """Ends before Python removes its modules: some wait forever then, and nothing watches."""
        if self.told:
            for stream in filter(None, (sys.stdout, sys.stderr)):
                with contextlib.suppress(OSError, ValueError):  # nobody reads it, or it is closed
                    stream.flush()
            os._exit(self.status)

    def _end(self) -> NoReturn:
        with self._ending:  # the watching thread and the main one may both be here
            if not self.told:
                os.write(self._stderr, f"{self._line()}\n".encode())
            os._exit(self.status)

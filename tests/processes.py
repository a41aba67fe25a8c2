"""Commands in processes of their own, which are interrupted as by Ctrl-C in a terminal."""

import os
import subprocess
import sys
from typing import NamedTuple

# A shell without job control ignores the signal in the background.
_START = """
import os, signal, sys
signal.signal(signal.SIGINT, signal.default_int_handler)
def interrupt(number=signal.SIGINT):
    os.killpg(0, number)  # all processes of the group
"""
_COMMAND = """
if __name__ == "__main__":
    from keras_pixdt import commands
    sys.exit(commands.main())
"""


class Ended(NamedTuple):
    status: int
    stdout: str
    stderr: str


def script(code, *arguments, timeout=60):
    """Runs code that may call `interrupt`. It has ended when all of its processes have."""
    process = subprocess.Popen(
        [sys.executable, "-c", _START + code, *map(str, arguments)],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    try:
        stdout, stderr = process.communicate(timeout=timeout)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, 9)
        raise
    return Ended(process.returncode, stdout, stderr)


def interrupted(arguments, where, timeout=300):
    """Runs a command; `where` is code that runs first and has `interrupt` called at some time."""
    return script(where + _COMMAND, *arguments, timeout=timeout)

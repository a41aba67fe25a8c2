import fcntl
import os
import pty
import re
import struct
import subprocess
import sys
import termios

import pytest

from keras_pixdt import progress

LOOPS = """
import threading, time
from absl import logging
from keras_pixdt import commands, progress
commands._log_for_users()
progress._DELAY_S = 0.1
def other():
    logging.warning("from a thread")
logging.warning("before")
for i in progress.bar("Short", range(3)):
    logging.warning("short")
for i in progress.bar("Reading photos", range(8)):
    time.sleep(0.11)
    if i == 4:
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
with progress.bar("Indexing", total=200) as shown:
    for i in range(5):
        time.sleep(0.11)
        shown.update(40)
for start in progress.starts("Converting", 70, 32):
    time.sleep(0.11)
logging.warning("after")
"""


def on_terminal(code, *arguments):
    """What a process writes to a terminal of 80 columns."""
    process, terminal = pty.fork()
    if process == 0:
        fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
        os.execv(sys.executable, [sys.executable, "-c", code, *arguments])
    written = b""
    while True:
        try:
            read = os.read(terminal, 4096)
        except OSError:  # how Linux ends it
            break
        written += read
    os.close(terminal)
    assert os.waitpid(process, 0)[1] == 0, written
    return written.decode()


def screen(written):
    """The lines that are left on a screen."""
    lines = []
    for line in re.sub(r"\x1b\[\d+m|\x08", "", written).split("\r\n"):
        shown = ""
        for part in line.split("\r"):
            shown = part + shown[len(part) :]
        lines.append(shown.rstrip())
    return lines


def test_bars_are_shown_on_a_terminal_and_leave_nothing():
    written = on_terminal(LOOPS)
    assert "Short" not in written
    assert "Reading photos:  62%" in written and "| 5/8 " in written
    assert "Indexing: 100%" in written and "| 200/200 " in written
    assert "Converting:  91%" in written and "| 64/70 " in written
    lines = ["before", "short", "short", "short", "from a thread", "after", ""]
    assert screen(written) == lines


def test_nothing_is_written_into_a_pipe():
    done = subprocess.run(
        [sys.executable, "-c", LOOPS], capture_output=True, text=True, check=True, timeout=60
    )
    assert done.stdout == ""
    assert done.stderr == "before\nshort\nshort\nshort\nfrom a thread\nafter\n"


def test_a_bar_that_is_not_shown_gives_the_items(capfd):
    assert list(progress.bar("Reading", iter("ab"), 2)) == ["a", "b"]
    assert list(progress.starts("Reading", 7, 3)) == [0, 3, 6]
    with pytest.raises(KeyError), progress.bar("Reading", total=2) as shown:
        shown.update()
        raise KeyError
    progress.close()
    assert capfd.readouterr() == ("", "")


@pytest.mark.slow
def test_lines_that_are_logged_do_not_tear_the_bar_of_a_training(small_lookbook, tmp_path):
    arguments = ["train", "--data", str(small_lookbook), "--workdir", str(tmp_path / "run")]
    arguments += ["--preset", "demo", "--image-size", "32", "--width", "0.03125"]
    arguments += ["--batch-size", "8", "--epochs", "2"]
    code = "import sys; from keras_pixdt import commands; sys.exit(commands.main())"
    lines = screen(on_terminal(code, *arguments))
    assert any(line.startswith("Epoch 1 has the best val_rmse: ") for line in lines), lines
    assert sum("val_rmse: " in line and "━" in line for line in lines) == 2
    assert not [line for line in lines if "━" in line and "has the best" in line]

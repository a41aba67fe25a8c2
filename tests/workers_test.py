import threading

import pytest

from keras_pixdt import workers
from tests.processes import script


def test_threads_drop_what_they_have_not_begun():
    done, interrupted = [], threading.Event()

    def work(number):
        done.append(number)
        interrupted.wait(60)

    with pytest.raises(KeyboardInterrupt):
        with workers.thread_pool() as pool:
            jobs = [pool.submit(work, number) for number in range(1024)]
            try:
                raise KeyboardInterrupt
            finally:
                threading.Timer(0.1, interrupted.set).start()
    assert len(done) < 1024 and sum(job.cancelled() for job in jobs) == 1024 - len(done)


DRAWS = """
from keras_pixdt.drawn import rendered
if __name__ == "__main__":
    for number, drawn in enumerate(rendered.render(2000, 32, processes=2)):
        if number == 5:
            {}
"""


def test_drawing_processes_are_quiet_after_ctrl_c():
    """Ctrl-C reaches all processes of a terminal, also while some of them start."""
    ended = script(DRAWS.format("interrupt()"))
    assert ended.stderr.count("Traceback") == 1 and ended.stderr.endswith("KeyboardInterrupt\n")
    starting = (
        "import time\nimport multiprocessing.popen_spawn_posix as popen\n"
        "launch = popen.Popen._launch\n"
        "def launch_interrupted(*process):\n"
        "    launch(*process)\n"
        "    interrupt()\n"
        "    time.sleep(0.01)  # for a handler to be called here\n"
        "popen.Popen._launch = launch_interrupted\n"
    )
    ended = script(starting + DRAWS.format("pass"))
    assert ended.stderr.count("Traceback") == 1 and ended.stderr.endswith("KeyboardInterrupt\n")


def test_drawing_processes_end_with_the_one_that_started_them():
    """`script` waits for all of them."""
    assert script(DRAWS.format("os.kill(os.getpid(), signal.SIGKILL)")).status == -9

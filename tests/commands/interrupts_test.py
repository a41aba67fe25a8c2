import json
import shlex
import signal

import keras
import numpy as np
import pytest

from keras_pixdt import commands
from tests.processes import interrupted, script

LISTENING = """
import time
from keras_pixdt.commands.interrupts import Interrupts
if __name__ == "__main__":
    interrupts = Interrupts(lambda: "the line")
"""


# The signals


def test_the_first_signal_unwinds():
    ended = script(
        LISTENING + "    try:\n        interrupt()\n        time.sleep(60)\n"
        "    except KeyboardInterrupt:\n"
        "        print(interrupts.received, interrupts.status)"
    )
    assert ended == (0, f"{signal.SIGINT} 130\n", "")


def test_the_second_ends_at_once():
    ended = script(
        LISTENING + "    try:\n        interrupt()\n        time.sleep(60)\n"
        "    finally:\n        interrupt()\n        time.sleep(60)"
    )
    assert ended == (130, "", "the line\n")


def test_the_line_is_told_once():
    ended = script(
        LISTENING + "    try:\n        interrupt()\n        time.sleep(60)\n"
        "    except KeyboardInterrupt:\n        interrupts.told = True\n        interrupt()\n"
        "        time.sleep(60)"
    )
    assert ended == (130, "", "")


def test_the_end_of_python_is_not_waited_for():
    """After the line, evaluate could hang there, where no signal is caught any more."""
    ended = script(
        LISTENING + "    class Waits:\n        def __del__(self, wait=time.sleep):\n"
        "            wait(20)\n"
        "    waits = Waits()\n    try:\n        interrupt()\n        time.sleep(60)\n"
        "    except KeyboardInterrupt:\n        interrupts.told = True\n        print('said')"
    )
    assert ended == (130, "said\n", "")


NEVER_RETURNS = "hashlib.pbkdf2_hmac('sha256', b'', b'', 2**31 - 1)"


def test_a_library_that_does_not_return_is_left_after_a_while():
    ended = script(
        LISTENING + "    import hashlib, threading\n"
        "    sys.modules[Interrupts.__module__]._PATIENCE_S = 0.1\n"
        f"    threading.Timer(0.2, interrupt).start()\n    {NEVER_RETURNS}"
    )
    assert ended == (130, "", "the line\n")


def test_the_second_signal_leaves_it_at_once():
    ended = script(
        LISTENING + "    import hashlib, threading\n"
        "    sys.modules[Interrupts.__module__]._PATIENCE_S = 1000\n"
        "    threading.Timer(0.2, interrupt).start()\n    threading.Timer(0.4, interrupt).start()\n"
        f"    {NEVER_RETURNS}"
    )
    assert ended == (130, "", "the line\n")


def test_an_exception_that_python_swallows_ends_the_process():
    ended = script(
        LISTENING + "    class Swallows:\n        def __del__(self):\n"
        "            interrupt()\n            time.sleep(60)\n"
        "    Swallows()\n    time.sleep(60)"
    )
    assert ended == (130, "", "the line\n")


def test_a_scheduler_has_its_own_status():
    parsing = "import argparse\nargparse.ArgumentParser.parse_args = lambda *_: interrupt(15)\n"
    ended = interrupted(["--help"], parsing)
    assert ended == (143, "", "Interrupted. To start again: pixdt --help\n")


def test_what_a_shell_ignores_stays_ignored():
    ended = script(
        "signal.signal(signal.SIGINT, signal.SIG_IGN)\n" + LISTENING + "    interrupt()\n"
        "    print(interrupts.received)"
    )
    assert ended == (0, "0\n", "")


# The commands


def test_a_call_within_python_is_told_the_same(caplog, monkeypatch, tmp_path):
    from keras_pixdt.commands import train

    def run(arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(train, "run", run)
    workdir = tmp_path / "my run"
    assert commands.main(["train", "--workdir", str(workdir)]) == 130
    again = f"pixdt train --workdir '{workdir}'"
    assert caplog.messages == [
        f"Interrupted. {workdir} has no checkpoint yet. To start again: {again}"
    ]
    (workdir / "checkpoints").mkdir(parents=True)
    (workdir / "checkpoints" / "last.keras").touch()
    (workdir / "run.json").write_text("{}")
    assert commands.main(["train", "--workdir", str(workdir)]) == 130
    assert caplog.messages[1:] == [
        f"Interrupted. {workdir} is whole. To continue from its last checkpoint: {again}"
    ]
    (workdir / "run.json").write_text('{"trained_minutes": 1, "minutes": null, "epochs": 3}')
    assert commands.main(["train", "--workdir", str(workdir)]) == 130
    assert commands.main(["train", "--workdir", str(workdir), "--epochs", "4"]) == 130
    assert caplog.messages[2:] == [
        f"Interrupted. {workdir} is finished. Next: pixdt evaluate --workdir '{workdir}'",
        f"Interrupted. {workdir} is whole. To continue from its last checkpoint: {again} "
        "--epochs 4",
    ]


@pytest.mark.parametrize("name", commands._COMMANDS)
def test_every_command_tells_how_to_go_on(name, tmp_path, capsys, caplog, monkeypatch):
    with pytest.raises(SystemExit):
        commands.main([name, "--help"])
    _, _, *arguments = shlex.split(capsys.readouterr().out.partition("example:\n")[2])
    monkeypatch.chdir(tmp_path)

    def run(arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(f"keras_pixdt.commands.{name}.run", run)
    assert commands.main([name, *arguments]) == 130
    (message,) = caplog.messages
    assert message.startswith("Interrupted. ")
    again = shlex.join(["pixdt", name, *arguments])
    if name == "convert":  # some of its files are there
        again += " --overwrite"
    assert message.endswith(f": {again}")


IN_IMPORT = """
class Finder:
    def find_spec(self, name, *_):
        if name == "tensorflow.python.keras" or name == "tensorflow.python.eager":
            interrupt()
sys.meta_path.insert(0, Finder())
"""


def test_import_of_tensorflow(tmp_path):
    arguments = ["index", "catalogue", "--embedder", "e.keras", "--out", str(tmp_path / "i")]
    ended = interrupted(arguments, IN_IMPORT)
    told = (
        f"{tmp_path / 'i'} is not written yet. To start again: {shlex.join(['pixdt', *arguments])}"
    )
    assert ended == (130, "", f"Interrupted. {told}\n")


def continued(ended):
    """Runs the command that the line names, in this process."""
    assert "Traceback" not in ended.stderr
    line = ended.stderr.splitlines()[-1]
    program, *arguments = shlex.split(line.rpartition(": ")[2])
    assert line.startswith("Interrupted. ") and program == "pixdt"
    assert commands.main(arguments) == 0
    return line


# Without Grappler, like the run that it is compared with (see `pytest_runtest_setup`).
AT_CHECKPOINT = """
import tensorflow as tf
tf.config.optimizer.set_experimental_options({"disable_meta_optimizer": True})
from keras_pixdt.training import checkpoint
def interrupting(model, path, progress):
    save(model, path, progress)
    interrupt()
save, checkpoint.save = checkpoint.save, interrupting
"""


@pytest.mark.slow
def test_train_continues_to_the_same_end(small_lookbook, small_run, tmp_path):
    workdir = tmp_path / "run"
    arguments = ["train", "--data", str(small_lookbook), "--workdir", str(workdir)]
    arguments += ["--preset", "demo", "--image-size", "32", "--width", "0.03125"]
    arguments += ["--batch-size", "8", "--epochs", "1", "--save-every", "9"]
    ended = interrupted(arguments, AT_CHECKPOINT)
    assert ended.status == 130
    assert not (workdir / "model.keras").exists()
    line = continued(ended)
    assert f"{workdir} is whole. To continue from its last checkpoint: " in line
    assert json.loads((workdir / "history.json").read_text()) == json.loads(
        (small_run / "history.json").read_text()
    )
    models = [keras.models.load_model(f / "model.keras") for f in (workdir, small_run)]
    for weights in zip(*(model.get_weights() for model in models), strict=True):
        np.testing.assert_array_equal(*weights)


AT_EMBED = """
from keras_pixdt.search import ingest
def interrupting(*_):
    interrupt()
ingest.embed = interrupting
"""


@pytest.mark.slow
def test_index_is_whole(small_lookbook, small_run, tmp_path):
    out = tmp_path / "catalogue.index"
    arguments = ["index", str(small_lookbook), "--embedder", str(small_run), "--out", str(out)]
    ended = interrupted(arguments, AT_EMBED)
    assert ended.status == 130 and not list(tmp_path.iterdir())
    assert f"{out} is not written yet" in continued(ended)
    before = out.read_bytes()
    ended = interrupted(arguments, AT_EMBED.replace(".embed =", ".take_in ="))
    assert ended.status == 130 and out.read_bytes() == before
    assert f"{out} is whole. To bring it up to date: pixdt index" in continued(ended)
    assert out.read_bytes() == before


AT_TABLE = """
from keras_pixdt.reproduce.result import Result
write = Result.write
def interrupting(*arguments):
    write(*arguments)
    interrupt()
Result.write = interrupting
"""


@pytest.mark.slow
def test_reproduce_keeps_what_has_been_trained(tmp_path, caplog):
    arguments = ["reproduce", "kim2017-fig4", "--budget", "smoke", "--iterations", "6"]
    arguments += ["--rows", "standard", "disco", "--out", str(tmp_path)]
    ended = interrupted(arguments, AT_TABLE)
    assert ended.status == 130
    assert "What has been trained is kept. To continue: pixdt reproduce" in continued(ended)
    trained = [line for line in caplog.messages if line.startswith("Training ")]
    assert ["disco" in line for line in trained] == [True]
    assert "Training kim2017-fig4-standard" in ended.stderr
    rows = json.loads((tmp_path / "kim2017-fig4.json").read_text())["rows"]
    assert [len(row["seeds"]) for row in rows] == [1, 0, 1]

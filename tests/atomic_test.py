import collections
import multiprocessing
import os
import pathlib
import signal
import socket
import stat
import subprocess
import sys
import threading
import zipfile

import pytest

from keras_pixdt import atomic

ROOT = pathlib.Path(__file__).parents[1]
# Holds a lock until it is killed, or a file that is half written.
HOLDER = """
import pathlib, sys, time
from keras_pixdt import atomic
what, path = sys.argv[1], pathlib.Path(sys.argv[2])
with atomic.locked(path) if what == "lock" else atomic.replacing(path) as unfinished:
    if unfinished:
        unfinished.write_text("half")
    print("there", flush=True)
    time.sleep(600)
"""


@pytest.fixture
def held():
    """Starts processes that hold something; returns each as soon as it does."""
    processes = []

    def start(what, path):
        command = [sys.executable, "-c", HOLDER, what, str(path)]
        process = subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)
        processes.append(process)
        assert process.stdout.readline() == "there\n"
        return process

    yield start
    for process in processes:
        process.kill()
        process.communicate()


def write_many(letter, path, results):
    """Writes archives of one letter to a file that others write too, and reads what is there."""
    for _ in range(60):
        with atomic.replacing(path) as unfinished, zipfile.ZipFile(unfinished, "w") as archive:
            for part in range(10):
                archive.writestr(f"part{part}", letter * 50_000)
        with zipfile.ZipFile(path) as archive:
            found = {archive.read(name)[:1] for name in archive.namelist()}
            whole = archive.testzip() is None and len(found) == 1
        results.put("whole" if whole else "damaged")


def test_two_writers_of_one_file_leave_a_whole_one_at_any_time(tmp_path):
    """Both wrote to the same temporary name: files were damaged, or gone when they got theirs."""
    context = multiprocessing.get_context("fork" if sys.platform == "linux" else "spawn")
    results = context.Queue()
    arguments = (tmp_path / "last.keras", results)
    both = [context.Process(target=write_many, args=(letter, *arguments)) for letter in "AB"]
    for process in both:
        process.start()
    found = collections.Counter(results.get(timeout=60) for _ in range(120))
    for process in both:
        process.join()
    assert found == {"whole": 120}
    assert [p.name for p in tmp_path.iterdir()] == ["last.keras"]


def test_two_calls_have_names_of_their_own_with_the_suffix(tmp_path):
    path = tmp_path / "last.keras"
    with atomic.replacing(path) as a, atomic.replacing(path) as b:
        a.write_text("a")
        b.write_text("b")
        assert a != b and a.parent == b.parent == tmp_path
        assert all(p.name.startswith("unfinished_") and p.suffix == ".keras" for p in (a, b))
        assert not path.exists()
    assert path.read_text() == "a"  # it was finished last


def test_an_exception_leaves_the_old_file_and_nothing_else(tmp_path):
    path = tmp_path / "file.json"
    atomic.write_json(path, [1])
    with pytest.raises(RuntimeError), atomic.replacing(path) as unfinished:
        unfinished.write_text("half")
        raise RuntimeError
    assert path.read_text() == "[\n 1\n]\n"
    assert [p.name for p in tmp_path.iterdir()] == ["file.json"]


def test_permissions_stay_and_new_files_get_those_of_others(tmp_path):
    shared, new = tmp_path / "shared.json", tmp_path / "new.json"
    shared.write_text("{}")
    os.chmod(shared, 0o664)
    before = os.umask(0o027)
    try:
        atomic.write_json(shared, [1])
        atomic.write_json(new, [1])
    finally:
        os.umask(before)
    assert stat.S_IMODE(shared.stat().st_mode) == 0o664
    assert stat.S_IMODE(new.stat().st_mode) == 0o640


def test_a_link_stays_a_link(tmp_path):
    (tmp_path / "other").mkdir()
    file, link = tmp_path / "other" / "file.json", tmp_path / "link.json"
    file.write_text("{}")
    link.symlink_to(file)
    atomic.write_json(link, [1])
    assert link.is_symlink() and file.read_text() == "[\n 1\n]\n"
    assert [p.name for p in file.parent.iterdir()] == ["file.json"]


def test_a_system_that_does_not_flush_folders_is_no_obstacle(tmp_path, monkeypatch):
    flush = os.fsync

    def fsync(descriptor):
        if stat.S_ISDIR(os.fstat(descriptor).st_mode):
            raise OSError(22, "Invalid argument")
        flush(descriptor)

    monkeypatch.setattr(os, "fsync", fsync)
    atomic.write_json(tmp_path / "file.json", [1])
    assert (tmp_path / "file.json").exists()


def test_what_a_kill_left_is_removed_and_what_is_being_written_is_not(tmp_path, held):
    left = held("file", tmp_path / "left.json")
    writing = held("file", tmp_path / "writing.json")
    (tmp_path / "unfinished_run.json").write_text("of an earlier version")
    left.kill()
    left.wait()
    assert len(list(tmp_path.iterdir())) == 3
    atomic.remove_unfinished(tmp_path)
    (there,) = tmp_path.iterdir()
    assert there.name.endswith("_writing.json") and writing.poll() is None


# Locks


def test_a_lock_names_who_holds_it_and_is_freed_when_that_process_is_killed(tmp_path, held):
    path = tmp_path / "run" / ".lock"
    holder = held("lock", path)
    with pytest.raises(BlockingIOError) as error, atomic.locked(path, "busy: {}"):
        pass
    who = f"busy: process {holder.pid} on host {socket.gethostname()}, since 20"
    assert str(error.value).startswith(who)
    os.kill(holder.pid, signal.SIGKILL)
    holder.wait()
    assert path.exists()  # it locks nothing any more
    with atomic.locked(path, "busy: {}"):
        assert f"process {os.getpid()} " in path.read_text()
    assert not path.exists() and path.parent.exists()


def test_a_lock_is_between_threads_too(tmp_path):
    path = tmp_path / ".lock"
    refused = []

    def other():
        with pytest.raises(BlockingIOError) as error, atomic.locked(path, "{}"):
            pass
        refused.append(str(error.value))

    with atomic.locked(path, "{}"):
        thread = threading.Thread(target=other)
        thread.start()
        thread.join()
    assert f"process {os.getpid()} " in refused[0]


def test_a_lock_makes_its_folder_and_removes_it_if_nothing_else_is_there(tmp_path):
    path = tmp_path / "a" / "b" / ".lock"
    with pytest.raises(RuntimeError), atomic.locked(path):
        raise RuntimeError
    assert not list(tmp_path.iterdir())
    with atomic.locked(path):
        (tmp_path / "a" / "file").touch()
    assert [p.name for p in (tmp_path / "a").iterdir()] == ["file"]


def test_who_waits_for_a_lock_gets_it_afterwards(tmp_path, caplog):
    path, order = tmp_path / ".lock", []
    entered = threading.Event()

    def first():
        with atomic.locked(path):
            entered.set()
            while "Waiting for process" not in caplog.text:
                pass
            order.append("first")

    thread = threading.Thread(target=first)
    with caplog.at_level("INFO", "absl"):
        thread.start()
        entered.wait()
        with atomic.locked(path):
            order.append("second")
        thread.join()
    assert order == ["first", "second"]
    assert not list(tmp_path.iterdir())


def test_systems_without_locks_are_told(tmp_path, caplog, monkeypatch):
    def flock(descriptor, how):
        raise OSError(95, "Operation not supported")

    monkeypatch.setattr(atomic.fcntl, "flock", flock)
    with atomic.locked(tmp_path / ".lock", "{}"):
        atomic.write_json(tmp_path / "file.json", [1])
    assert "no locks (Operation not supported): nothing keeps two processes apart" in caplog.text
    monkeypatch.setattr(atomic, "fcntl", None)  # Windows
    with atomic.locked(tmp_path / ".lock", "{}"):
        atomic.write_json(tmp_path / "file.json", [2])
    atomic.remove_unfinished(tmp_path)
    assert "This system has no file locks" in caplog.text
    assert [p.name for p in tmp_path.iterdir()] == ["file.json"]


# Models that are trained once


class Model:
    def __init__(self, name):
        self.name = name

    def save(self, path):
        pathlib.Path(path).write_text(self.name)


@pytest.fixture
def loading(monkeypatch):
    import keras

    load = lambda path: Model(pathlib.Path(path).read_text())  # noqa: E731
    monkeypatch.setattr(keras.models, "load_model", load)


@pytest.mark.usefixtures("loading")
def test_a_model_is_trained_once_and_again_only_if_it_is_of_no_use(tmp_path):
    path, trained = tmp_path / "model.keras", []

    def train():
        trained.append(len(trained))
        return Model(str(trained[-1]))

    assert [atomic.load_or_train(path, train).name for _ in range(2)] == ["0", "0"]
    usable = lambda model: model.name == "1"  # noqa: E731
    assert [atomic.load_or_train(path, train, usable).name for _ in range(2)] == ["1", "1"]
    assert trained == [0, 1] and [p.name for p in tmp_path.iterdir()] == ["model.keras"]


@pytest.mark.usefixtures("loading")
def test_who_needs_a_model_that_another_is_training_waits_for_it(tmp_path):
    path, found, training = tmp_path / "model.keras", [], threading.Event()

    def train():
        training.set()
        second.start()
        while not (tmp_path / ".model.keras.lock").exists():
            pass
        return Model("first")

    second = threading.Thread(
        target=lambda: found.append(atomic.load_or_train(path, lambda: Model("second")).name)
    )
    assert atomic.load_or_train(path, train).name == "first"
    second.join()
    assert found == ["first"] and path.read_text() == "first"


@pytest.mark.usefixtures("loading")
@pytest.mark.parametrize("where", ["lock", "file"])
def test_a_model_that_cannot_be_kept_is_used_with_a_warning(tmp_path, caplog, monkeypatch, where):
    """A folder that is read-only, and a disk that is full."""
    make, path = os.open, tmp_path / "model.keras"

    def refuse(name, flags, *mode):
        if flags & os.O_CREAT and (where == "lock") == str(name).endswith(".lock"):
            raise OSError(30, "Read-only file system", str(name))
        return make(name, flags, *mode)

    monkeypatch.setattr(os, "open", refuse)
    assert atomic.load_or_train(path, lambda: Model("new")).name == "new"
    assert f"{path} cannot be written (Read-only file system)" in caplog.text
    assert not path.exists()


def test_a_folder_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "file").touch()
    message = f"{tmp_path / 'file' / 'run'} must be a folder that can be written: choose another"
    with pytest.raises(NotADirectoryError, match=message):
        with atomic.locked(tmp_path / "file" / "run" / ".lock", "busy: {}"):
            pass


@pytest.mark.parametrize("part", [0.5, 1.0])
def test_models_that_are_damaged_are_named(tmp_path, part):
    """Keras says "File not found" of one that is cut off, and names no file of others."""
    path = tmp_path / "model.keras"
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("config.json", "[]")
    path.write_bytes(path.read_bytes()[: int(part * path.stat().st_size)])
    for use in (atomic.load_model, lambda path: atomic.load_or_train(path, lambda: None)):
        with pytest.raises(ValueError, match="model.keras cannot be opened as a Keras model: "):
            use(path)
    assert os.listdir(tmp_path) == ["model.keras"]

"""Files that are written whole or not at all, even if processes are killed or write together."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
import secrets
import socket
import stat
import time
import zipfile
from collections.abc import Callable, Iterator
from typing import Any

from absl import logging

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]

UNFINISHED = "unfinished_"
_LONGEST = 500  # characters of an error of Keras, which may have a whole configuration


@contextlib.contextmanager
def replacing(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Context that gives a temporary name to write to; the file then replaces `path` at once.

    The name is another one at each call, so that several processes may write the same file: the
    last one wins, and readers find a whole file at any time. The new file has the permissions of
    the old one, and if `path` is a link, the file that it points to is replaced.

    An exception removes the temporary file. If the process is killed, the file stays until
    `remove_unfinished` removes it.
    """
    path = pathlib.Path(os.path.realpath(path))
    unfinished = path.with_name(f"{UNFINISHED}{secrets.token_hex(4)}_{path.name}")
    descriptor = os.open(unfinished, os.O_RDWR | os.O_CREAT | os.O_EXCL, 0o666)
    try:
        if fcntl is None:
            os.close(descriptor)  # Windows renames no file that is open
        else:
            _lock(descriptor, wait=False)  # so that `remove_unfinished` leaves it
        yield unfinished
        _flush(unfinished)
        with contextlib.suppress(OSError):  # there is no old one, or the system has no permissions
            os.chmod(unfinished, stat.S_IMODE(path.stat().st_mode))
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
        if fcntl is not None:
            os.close(descriptor)
    with contextlib.suppress(OSError):  # not every system flushes folders
        _flush(path.parent)


def _flush(path: pathlib.Path) -> None:
    descriptor = os.open(path, os.O_RDWR if path.is_file() else os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def remove_unfinished(directory: pathlib.Path) -> None:
    """Removes what a kill within `replacing` left behind, but nothing that is being written."""
    for path in directory.glob(f"{UNFINISHED}*"):
        with contextlib.suppress(FileNotFoundError, BlockingIOError):  # another process has it
            descriptor = os.open(path, os.O_RDWR)
            try:
                _lock(descriptor, wait=False)
            finally:
                os.close(descriptor)
            path.unlink()


@contextlib.contextmanager
def locked(path: pathlib.Path, busy: str | None = None) -> Iterator[None]:
    """Context that only one process, or thread, can be in; the system frees it if that one dies.

    The lock is the system's (`flock`), on a file that says who holds it and is removed at the end.
    A file that a killed process left behind locks nothing. On NFS it also holds between machines,
    unless the mount has no locks. Where there are none, as on Windows, a warning says so.

    Args:
        path: the file; its folder is made, and removed again if nothing else was put into it.
        busy: the error if another process holds it, with "{}" for which one; None waits for it.

    Raises:
        BlockingIOError: another process holds it, and `busy` is given.
        OSError: the file cannot be made there.
    """
    made = [folder for folder in path.parents if not folder.exists()]
    descriptor = _acquire(path, busy)
    try:
        os.ftruncate(descriptor, 0)
        since = time.strftime("%Y-%m-%d %H:%M:%S")
        holder = f"process {os.getpid()} on host {socket.gethostname()}, since {since}"
        os.write(descriptor, holder.encode())
        yield
    finally:
        if fcntl is None:
            os.close(descriptor)
        path.unlink(missing_ok=True)  # while it is still held
        if fcntl is not None:
            os.close(descriptor)
        with contextlib.suppress(OSError):  # it holds something
            for folder in made:
                folder.rmdir()


def _acquire(path: pathlib.Path, busy: str | None) -> int:
    """Opens and locks the file of `locked`."""
    told = False
    while True:
        try:
            path.parent.mkdir(parents=True, exist_ok=True)
            descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
        except OSError as error:
            if busy is None:
                raise
            raise type(error)(
                f"{path.parent} must be a folder that can be written: choose another one. "
                f"Received: {error.strerror}"
            ) from error
        try:
            try:
                _lock(descriptor, wait=False)
            except BlockingIOError:
                holder = os.read(descriptor, 1000).decode(errors="replace") or "another process"
                if busy is not None:
                    raise BlockingIOError(busy.format(holder)) from None
                if not told:
                    logging.info("Waiting for %s, which is at work on this too", holder)
                told = True
                _lock(descriptor, wait=True)
            if os.path.samestat(os.fstat(descriptor), os.stat(path)):
                return descriptor
        except FileNotFoundError:  # who held it has removed it
            pass
        except BaseException:
            os.close(descriptor)
            raise
        os.close(descriptor)


def _lock(descriptor: int, wait: bool) -> None:
    if fcntl is None:
        logging.log_first_n(
            logging.WARNING, "This system has no file locks: nothing keeps two processes apart", 1
        )
        return
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        raise
    except OSError as error:
        logging.log_first_n(
            logging.WARNING,
            "This file system has no locks (%s): nothing keeps two processes apart",
            1,
            error.strerror,
        )


def write_json(path: pathlib.Path, content: Any) -> None:
    """Writes so that a kill leaves the old file or the new one."""
    with replacing(path) as unfinished:
        unfinished.write_text(json.dumps(content, indent=1) + "\n")


def save_model(path: pathlib.Path, model: Any) -> None:
    """Saves a Keras model so that a kill leaves the old file or the new one."""
    with replacing(path) as unfinished:
        model.save(unfinished)


def load_model(path: str | os.PathLike[str], **options: Any) -> Any:
    """`keras.models.load_model`, whose errors are of many kinds and may not name the file.

    Raises:
        ValueError: the file is damaged, or holds no model that can be opened here.
    """
    import keras  # takes seconds, which `pixdt --help` should not pay for

    try:
        return keras.models.load_model(path, **options)
    except Exception as error:
        reason = " ".join(f"{type(error).__name__}: {error}".split())
        if not zipfile.is_zipfile(path):
            reason = "it is not a whole zip file"  # which Keras would call missing
        raise ValueError(
            f"{path} cannot be opened as a Keras model: {reason[:_LONGEST]}. Copy or make it again."
        ) from error


def load_or_train(
    path: pathlib.Path,
    train: Callable[[], Any],
    usable: Callable[[Any], bool] = lambda model: True,
    keep: bool = True,
) -> Any:
    """Loads the Keras model in a file; if there is none, `train` makes it and it is saved there.

    Another process that needs it at the same time waits for it. If it cannot be saved, for example
    because the folder is read-only, a warning says so, and the model serves this process alone.

    Args:
        path: the `.keras` file.
        train: makes the model.
        usable: whether the model in the file is the one that is needed; if not, it is replaced.
        keep: whether it is saved.
    """

    def kept() -> Any:
        model = load_model(path) if path.exists() else None
        return model if model is not None and usable(model) else None

    model = kept()
    if model is not None:
        return model
    if not keep:
        return train()
    with contextlib.ExitStack() as stack:
        try:
            stack.enter_context(locked(path.with_name(f".{path.name}.lock")))
        except OSError as error:
            _warn_of_loss(path, error)
            return train()
        model = kept()  # which another process has made meanwhile
        if model is None:
            model = train()
            try:
                save_model(path, model)
            except OSError as error:
                _warn_of_loss(path, error)
    return model


def _warn_of_loss(path: pathlib.Path, error: OSError) -> None:
    logging.warning(
        "%s cannot be written (%s), so it is made again each time. Copy the folder to a place that "
        "can be written, and run this once there, to keep it",
        path, error.strerror or error,
    )  # fmt: skip

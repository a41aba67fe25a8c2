"""Files that are written whole or not at all, even if the process is interrupted."""

from __future__ import annotations

import contextlib
import json
import os
import pathlib
from collections.abc import Callable, Iterator
from typing import Any

UNFINISHED = "unfinished_"


@contextlib.contextmanager
def replacing(path: pathlib.Path) -> Iterator[pathlib.Path]:
    """Context that gives a temporary name to write to; the file then replaces `path` at once.

    An exception removes the temporary file. If the process is killed, the file stays until
    `remove_unfinished` removes it.
    """
    unfinished = path.with_name(UNFINISHED + path.name)
    try:
        yield unfinished
        _flush(unfinished)
        os.replace(unfinished, path)
    finally:
        unfinished.unlink(missing_ok=True)
    _flush(path.parent)


def _flush(path: pathlib.Path) -> None:
    descriptor = os.open(path, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def write_json(path: pathlib.Path, content: Any) -> None:
    """Writes so that a kill leaves the old file or the new one."""
    with replacing(path) as unfinished:
        unfinished.write_text(json.dumps(content, indent=1) + "\n")


def save_model(path: pathlib.Path, model: Any) -> None:
    """Saves a Keras model so that a kill leaves the old file or the new one."""
    with replacing(path) as unfinished:
        model.save(unfinished)


def load_or_train(path: pathlib.Path, train: Callable[[], Any]) -> Any:
    """Loads the Keras model in a file; if there is none, `train` makes it and it is saved there."""
    if path.exists():
        import keras  # takes seconds, which `pixdt --help` should not pay for

        return keras.models.load_model(path)
    model = train()
    save_model(path, model)
    return model


def remove_unfinished(directory: pathlib.Path) -> None:
    """Removes what a kill within `replacing` left behind."""
    for path in directory.glob(f"{UNFINISHED}*"):
        path.unlink()

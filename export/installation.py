"""Replaces earlier files by finished ones, all or nothing."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path


def install(made: Path, directory: Path, owned: Sequence[str], retired: Path) -> None:
    """Moves the entries of a folder into another, where they replace earlier ones.

    Whoever reads a file meanwhile finds the old one or the new one. After an error everything is as
    it was.

    Args:
        made: the folder with the new entries.
        directory: where they go; made if it is missing.
        owned: names of earlier entries there that leave it, whether they are replaced or not.
        retired: a new folder on the same disk for these.
    """
    retired.mkdir()
    directory.mkdir(exist_ok=True)
    done = []
    try:
        for name in owned:
            old, new = directory / name, retired / name
            if old.exists():
                _retire(old, new, stays=(made / name).exists())
                done.append((old, new))
        for entry in list(made.iterdir()):
            entry.rename(directory / entry.name)
            done.append((entry, directory / entry.name))
    except BaseException:  # not even an interrupt may cost the earlier entries
        for old, new in reversed(done):
            new.rename(old)
        raise


def _retire(old: Path, new: Path, stays: bool) -> None:
    """Moves an entry, or gives it a second name if it stays in its place until it is replaced."""
    if stays:
        try:
            new.hardlink_to(old)
            return
        except OSError:  # it is a folder, or the disk has no links
            pass
    old.rename(new)

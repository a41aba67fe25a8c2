"""The environment of a result: versions of numbers and packages, and the machine."""

from __future__ import annotations

import contextlib
import hashlib
import importlib.metadata
import json
import os
import pathlib
import platform
import subprocess
from typing import Any

import keras

from keras_pixdt import presets
from keras_pixdt.training import start

# Networks and scores of rows are cached under these. Raise one by hand when a change alters the
# weights that training gives, or the scores of given weights; `tests/reproduce/numbers_test.py`
# reminds you. Other changes keep the cache.
TRAINING_VERSION = 1
SCORES_VERSION = 1

PACKAGE = pathlib.Path(__file__).resolve().parents[1]
_PACKAGES = ("keras-pixdt", "keras", "tensorflow", "jax", "numpy", "pillow")


def digest(**parts: Any) -> str:
    """A short digest of what JSON can hold, for names of files."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]


def of_preset(preset: presets.Preset) -> dict[str, Any]:
    """What a preset says about the weights that it trains, ready for JSON.

    Fields that presets got later are left out where they change nothing, so that networks that were
    kept before are still found. The weights that come with the package are known by their content.
    """
    options = preset.options()
    if options["start"] is None:
        del options["start"]
    elif options["start"] == start.RENDERED:
        options["start"] = f"{start.RENDERED} {start.rendered_checksum()}"
    return options


def versions() -> dict[str, str]:
    """The versions of Python and of the installed packages that results depend on."""
    found = {"python": platform.python_version(), "backend": keras.backend.backend()}
    for name in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def made_with() -> dict[str, Any]:
    """Machine, versions and commit (of a clone), ready for JSON."""
    found: dict[str, Any] = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}",
        "versions": versions(),
        "numbers": f"training {TRAINING_VERSION}, scores {SCORES_VERSION}",
    }
    with contextlib.suppress(OSError):
        commit = subprocess.run(
            ["git", "describe", "--always", "--dirty"],
            capture_output=True,
            text=True,
            check=False,
            cwd=PACKAGE,
        ).stdout.strip()
        # An installed package may lie in a clone of something else, which has no setup.cfg of it.
        if commit and (PACKAGE.parent / "setup.cfg").exists():
            found["commit"] = commit
    return found

"""What a result depends on beside its settings: the code, the versions, the machine."""

from __future__ import annotations

import ast
import contextlib
import functools
import hashlib
import importlib.metadata
import json
import os
import pathlib
import platform
import subprocess
import sys
from typing import Any

import keras

PACKAGE = pathlib.Path(__file__).resolve().parents[1]
# What decides on trained weights, and what on their scores as well.
_TRAINS = (
    "data", "layers.py", "losses.py", "models", "replicas.py", "reproduce/unpaired.py", "training",
)  # fmt: skip
_SCORES = ("metrics", "search")
_ONLY_SCORES = ("attributes.py", "evaluation.py")  # of training/
_PACKAGES = ("keras-pixdt", "keras", "tensorflow", "jax", "numpy", "pillow")


@functools.cache
def code_version(scores: bool = False) -> str:
    """A digest of the code that trains; comments, docstrings and layout do not count.

    Args:
        scores: whether of the code that scores as well.
    """
    digest = hashlib.sha256()
    for name in (*_TRAINS, *(_SCORES if scores else ())):
        place = PACKAGE / name
        for path in sorted(place.rglob("*.py")) if place.is_dir() else [place]:
            if not scores and path.name in _ONLY_SCORES:
                continue
            digest.update(f"{path.relative_to(PACKAGE)}\n{_code(path)}\n".encode())
    return digest.hexdigest()[:12]


def module_version(name: str) -> str:
    """A digest of the code of an imported module; what does not count, see `code_version`."""
    return digest(code=_code(pathlib.Path(str(sys.modules[name].__file__))))


def _code(path: pathlib.Path) -> str:
    tree = ast.parse(path.read_text("utf-8"))
    for node in ast.walk(tree):
        body = getattr(node, "body", None)
        if not isinstance(body, list):
            continue
        # Docstrings, and those below attributes.
        node.body = [  # type: ignore[attr-defined]
            child
            for child in body
            if not (isinstance(child, ast.Expr) and isinstance(child.value, ast.Constant))
        ]
    return ast.dump(tree)


def digest(**parts: Any) -> str:
    """A short digest of what JSON can hold, for names of files."""
    return hashlib.sha256(json.dumps(parts, sort_keys=True).encode()).hexdigest()[:12]


def versions() -> dict[str, str]:
    """Of Python and of the packages that results depend on, those that are installed."""
    found = {"python": platform.python_version(), "backend": keras.backend.backend()}
    for name in _PACKAGES:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            found[name] = importlib.metadata.version(name)
    return found


def made_with() -> dict[str, Any]:
    """Machine, versions, commit (of a clone) and code version, ready for JSON."""
    found: dict[str, Any] = {
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}",
        "versions": versions(),
        "code": code_version(scores=True),
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

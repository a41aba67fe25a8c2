"""What every benchmark writes beside its figures."""

from __future__ import annotations

import contextlib
import importlib.metadata
import json
import os
import pathlib
import platform
import subprocess
from collections.abc import Sequence
from typing import Any


def write_json(
    path: pathlib.Path | None, results: Any, options: dict[str, Any], packages: Sequence[str]
) -> None:
    """Writes results with machine, versions and commit; does nothing without a path.

    Args:
        path: the JSON file; its folder is made if it is missing.
        results: the figures.
        options: how the benchmark was called.
        packages: the distributions on which the figures depend; what is not installed is left out.
    """
    if path is None:
        return
    commit = subprocess.run(
        ["git", "rev-parse", "--short", "HEAD"],
        capture_output=True,
        text=True,
        check=False,
        cwd=pathlib.Path(__file__).parent,
    ).stdout.strip()
    report = {
        "results": results,
        "options": {
            name: str(value) if isinstance(value, pathlib.Path) else value
            for name, value in options.items()
            if name != "output"
        },
        "machine": f"{platform.machine()}, {os.cpu_count()} cores, {platform.system()}",
        "python": platform.python_version(),
        "versions": _versions(packages),
        "commit": commit or "unknown",
    }
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(report, indent=1) + "\n", encoding="utf-8")


def _versions(packages: Sequence[str]) -> dict[str, str]:
    versions = {}
    for name in packages:
        with contextlib.suppress(importlib.metadata.PackageNotFoundError):
            versions[name] = importlib.metadata.version(name)
    return versions

"""Public names that are imported when they are first used (PEP 562).

Importing Keras, and TensorFlow behind it, takes ten seconds. Processes that only draw or
decode images, and `pixdt --help`, should not pay for it, and with `KERAS_BACKEND=jax` no module of
this package imports TensorFlow unless you use something that needs it.

The names are listed in `__init__.pyi`, where type checkers and editors find them.
`lazy_loader.attach_stub` does the same, but only for names from a package's own modules; ours also
come from other packages.
"""

from __future__ import annotations

import ast
import importlib
import pathlib
import sys
from collections.abc import Callable
from typing import Any


def attach(package: str, file: str) -> tuple[Callable[[str], Any], Callable[[], list[str]], Any]:
    """Makes the names in a package's stub attributes of the package, without importing them yet.

    Args:
        package: the package's `__name__`.
        file: the package's `__file__`; the stub beside it has lines
            `from module import name as name`, with absolute names of modules, or
            `from package import *`.

    Returns:
        `__getattr__`, `__dir__` and `__all__` for the package to assign.
    """
    home = homes(file)

    def __getattr__(name: str) -> Any:
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        if home[name] == package:
            return importlib.import_module(f"{package}.{name}")  # sets the attribute itself
        value = getattr(importlib.import_module(home[name]), name)
        setattr(sys.modules[package], name, value)
        return value

    def __dir__() -> list[str]:
        return sorted({*vars(sys.modules[package]), *home})

    return __getattr__, __dir__, sorted(home)


def homes(file: str) -> dict[str, str]:
    """Public name -> module that defines it, in the stub's order; `file` as in `attach`."""
    found: dict[str, str] = {}
    stub = ast.parse(pathlib.Path(file).with_suffix(".pyi").read_text("utf-8"))
    for node in stub.body:
        if isinstance(node, ast.ImportFrom):
            module = str(node.module)
            if node.names[0].name == "*":
                found |= homes(str(importlib.import_module(module).__file__))
            else:
                found |= {alias.name: module for alias in node.names}
    return found

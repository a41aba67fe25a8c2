"""Public names that are imported when they are first used (PEP 562).

Importing Keras, and TensorFlow behind it, takes ten seconds. Processes that only draw or
decode images, and `pixdt --help`, should not pay for it, and with `KERAS_BACKEND=jax` no
module of this package imports TensorFlow unless it is asked for something that needs it.
"""

from __future__ import annotations

import importlib
import sys
from collections.abc import Callable, Mapping, Sequence
from typing import Any


def attach(
    package: str, names: Mapping[str, Sequence[str]], subpackages: Sequence[str] = ()
) -> tuple[Callable[[str], Any], Callable[[], list[str]], list[str]]:
    """Makes the names of submodules attributes of a package, without importing them yet.

    Args:
        package: the package's `__name__`.
        names: absolute module name -> the public names that it defines.
        subpackages: names of subpackages that are attributes as well.

    Returns:
        `__getattr__`, `__dir__` and `__all__` for the package to assign.
    """
    home = {name: module for module, defined in names.items() for name in defined}

    def __getattr__(name: str) -> Any:
        if name in subpackages:
            return importlib.import_module(f"{package}.{name}")  # sets the attribute itself
        if name not in home:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        value = getattr(importlib.import_module(home[name]), name)
        setattr(sys.modules[package], name, value)
        return value

    def __dir__() -> list[str]:
        return sorted({*vars(sys.modules[package]), *home, *subpackages})

    return __getattr__, __dir__, sorted([*home, *subpackages])

"""One frozen dataclass for each row of a paper's table, and the demo's."""

from __future__ import annotations

import importlib
import importlib.util

from keras_pixdt import models
from keras_pixdt._lazy import homes
from keras_pixdt.presets.preset import Phase, Preset

__all__ = ["Phase", "Preset", "get", "names", "of_paper"]

# A paper's presets are in a module with the same name as its model.
_MODELS = dict.fromkeys(
    module.removeprefix("keras_pixdt.models.") for module in homes(models.__file__).values()
)
_MODULES = [
    importlib.import_module(f"{__name__}.{name}")
    for name in _MODELS
    if "." not in name and importlib.util.find_spec(f"{__name__}.{name}")
]
_PRESETS: dict[str, Preset] = {
    preset.name: preset for module in _MODULES for preset in module.PRESETS
}
# Preset for smaller machines -> the preset of the paper's row that it stands for.
_STANDS_FOR = {
    small: row for module in _MODULES for small, row in getattr(module, "STANDS_FOR", {}).items()
}


def names() -> list[str]:
    """The names of all presets."""
    return list(_PRESETS)


def get(name: str) -> Preset:
    """The preset with a given name.

    Raises:
        ValueError: there is none; the message lists all.
    """
    if name not in _PRESETS:
        raise ValueError(f"No preset has the name {name!r}. There are: {', '.join(names())}")
    return _PRESETS[name]


def of_paper(name: str) -> Preset:
    """The preset of the paper's row that a preset stands for; most presets stand for themselves.

    Raises:
        ValueError: there is no preset of this name; the message lists all.
    """
    return get(_STANDS_FOR.get(name, name))

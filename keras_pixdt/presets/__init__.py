"""One frozen dataclass for each row of a paper's table, and the demo's."""

from __future__ import annotations

from keras_pixdt.presets.discogan import PRESETS as _KIM2017
from keras_pixdt.presets.domain_transfer import PRESETS as _TAIGMAN2017
from keras_pixdt.presets.pix2pix import PRESETS as _ISOLA2017
from keras_pixdt.presets.pixel_dtgan import PRESETS as _YOO2016
from keras_pixdt.presets.preset import Phase, Preset
from keras_pixdt.presets.residual_pixel_dtgan import PRESETS as _GELI
from keras_pixdt.presets.rough_to_detail import PRESETS as _KWON2019

__all__ = ["Phase", "Preset", "get", "names", "of_paper"]

_PRESETS: dict[str, Preset] = {
    preset.name: preset
    for preset in (*_YOO2016, *_GELI, *_KWON2019, *_ISOLA2017, *_KIM2017, *_TAIGMAN2017)
}

# What is for smaller machines -> the preset of the paper's row that it stands for.
_STANDS_FOR = {
    "demo": "yoo2016",
    "kwon2019-64": "kwon2019",
    "kwon2019-64-n2": "kwon2019-n2",
    "kwon2019-64-n1": "kwon2019-n1",
    "pix2pix-64": "pix2pix-256",
    "pix2pix-128": "pix2pix-256",
    "kim2017-small": "kim2017",
    "kim2017-small-reconstruction": "kim2017-reconstruction",
    "kim2017-small-standard": "kim2017-standard",
    "taigman2017-small": "taigman2017-faces",
}


def names() -> list[str]:
    """The names of all presets."""
    return list(_PRESETS)


def get(name: str) -> Preset:
    """The preset of a name.

    Raises:
        ValueError: there is none; the message lists all.
    """
    if name not in _PRESETS:
        raise ValueError(f"No preset has the name {name!r}. There are: {', '.join(names())}")
    return _PRESETS[name]


def of_paper(name: str) -> Preset:
    """The preset of the paper's row that a preset stands for; most stand for themselves.

    Raises:
        ValueError: there is no preset of this name; the message lists all.
    """
    return get(_STANDS_FOR.get(name, name))

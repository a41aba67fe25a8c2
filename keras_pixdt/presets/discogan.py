"""DiscoGAN as Kim et al. 2017 trained it, and the two models that they compare it with."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

from keras_pixdt.presets.preset import Phase, Preset


@dataclasses.dataclass(frozen=True, kw_only=True)
class DiscoGANPreset(Preset):
    """A model of Kim et al.'s Fig. 2; the defaults are those of Sec. 3.2.

    `pixdt train --preset NAME --data FOLDER_A --target-data FOLDER_B` runs it; with `reverse=True`
    it goes from B to A. The fields that `Preset` does not describe are arguments of `DiscoGAN`.
    """

    model_class: ClassVar[str] = "discogan:DiscoGAN"
    paired: ClassVar[bool] = False

    batch_size: int = 200
    phases: tuple[Phase, ...] = (Phase(5000, 2e-4),)  # epochs not in the paper: the authors' code's
    width: float = 1.0
    discriminator_width: float | None = None
    extra_layer: bool = False
    coupled: bool = True
    reconstruction: str = "mse"
    reconstruction_weight: float = 1.0
    weight_decay: float = 1e-4


# The models of Fig. 2: the suffix of the preset's name, and the fields that are set.
_MODELS: dict[str, tuple[str, dict[str, Any]]] = {
    "": ("2c, DiscoGAN", {}),
    "-reconstruction": ("2b, GAN with a reconstruction loss", {"coupled": False}),
    "-standard": ("2a, standard GAN", {"coupled": False, "reconstruction_weight": 0.0}),
}
# With the paper's weight of 1, all cars became one of four pictures in 1,500 steps of the small
# network (with five layers): by then the squared error is about 0.1, while the GAN's losses are
# near 1.
_SMALL_RECONSTRUCTION_WEIGHT = 10.0


def _row(suffix: str) -> DiscoGANPreset:
    figure, changed = _MODELS[suffix]
    return DiscoGANPreset(
        name=f"kim2017{suffix}", reference=f"Kim et al. 2017, Fig. {figure}", **changed
    )


def _small(suffix: str) -> DiscoGANPreset:
    """A preset for minutes on two cores. It is not in the paper, but keeps its other numbers."""
    figure, changed = _MODELS[suffix]
    return DiscoGANPreset(
        name=f"kim2017-small{suffix}",
        reference=f"none: Kim et al. 2017, Fig. {figure}, for minutes on two cores",
        width=0.25,
        batch_size=32,
        phases=(Phase(100, 2e-4),),
        passes=5,  # an epoch of hundreds of images takes seconds, and its pictures take as long
        **{"reconstruction_weight": _SMALL_RECONSTRUCTION_WEIGHT, **changed},
    )


PRESETS = (*map(_row, _MODELS), *map(_small, _MODELS))

STANDS_FOR = {
    "kim2017-small": "kim2017",
    "kim2017-small-reconstruction": "kim2017-reconstruction",
    "kim2017-small-standard": "kim2017-standard",
}

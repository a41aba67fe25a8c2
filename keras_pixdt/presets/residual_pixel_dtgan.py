"""Residual PixelDTGAN as Ge & Li trained it: the rows of their Table 1."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from keras_pixdt.presets.preset import Phase, SGDOrAdamPreset


@dataclasses.dataclass(frozen=True, kw_only=True)
class ResidualPixelDTGANPreset(SGDOrAdamPreset):
    """A row of Ge & Li's Table 1; the defaults are those of A + D (ResNet).

    `pixdt train --preset NAME --data LOOKBOOK` runs it. The fields that
    `SGDOrAdamPreset` does not describe are arguments of `ResidualPixelDTGAN`.

    The paper gives the size of the images and the names of the optimizers, but no numbers for the
    training.
    """

    model_class: ClassVar[str] = "residual_pixel_dtgan:ResidualPixelDTGAN"

    # not in the paper: these are from Yoo et al. 2016, on which it builds (Sec. 5.2: 128, 2e-4,
    # momentum 0.5). Adam with 2e-4 and beta_1 0.5 is from DCGAN, its reference [9]. SGD is the
    # default by Sec. 4.2.2: "only SGD optimizer in residual network".
    batch_size: int = 128
    phases: tuple[Phase, ...] = (Phase(25, 2e-4), Phase(5, 2e-5))
    width: float = 1.0
    discriminator_width: float | None = None
    residual: bool = True
    real_fake_weight: float = 0.5
    association_weight: float = 0.5
    l1_weight: float = 0.0


PRESETS = (
    # not in the paper: the optimizer of the rows with one discriminator. Sec. 4.2.1 says that A + D
    # is better than either alone; in Table 1 that is true of A + D (Adam), not of A + D (SGD). not
    # in the paper: the weight of the only discriminator; 1 keeps the sum of the two halves.
    ResidualPixelDTGANPreset(
        name="geli-only-a",
        reference="Ge & Li, Table 1, Only A",
        residual=False,
        real_fake_weight=0.0,
        association_weight=1.0,
        optimizer_name="adam",
    ),
    ResidualPixelDTGANPreset(
        name="geli-only-d",
        reference="Ge & Li, Table 1, Only D",
        residual=False,
        real_fake_weight=1.0,
        association_weight=0.0,
        optimizer_name="adam",
    ),
    ResidualPixelDTGANPreset(
        name="geli-a-d-sgd", reference="Ge & Li, Table 1, A + D (SGD)", residual=False
    ),
    ResidualPixelDTGANPreset(
        name="geli-a-d-adam",
        reference="Ge & Li, Table 1, A + D (Adam)",
        residual=False,
        optimizer_name="adam",
    ),
    ResidualPixelDTGANPreset(name="geli-a-d-resnet", reference="Ge & Li, Table 1, A + D (ResNet)"),
)

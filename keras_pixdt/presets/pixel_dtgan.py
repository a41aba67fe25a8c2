"""PixelDTGAN as Yoo et al. 2016 trained it, its baselines (Table 2), and the demo."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING, Any, ClassVar

from keras_pixdt.presets.preset import Phase, SGDOrAdamPreset

if TYPE_CHECKING:
    from keras_pixdt.engine.model import AdversarialModel


@dataclasses.dataclass(frozen=True, kw_only=True)
class PixelDTGANPreset(SGDOrAdamPreset):
    """A row of Yoo et al.'s tables; the defaults are those of Sec. 5.2, except for the step.

    `pixdt train --preset NAME --data LOOKBOOK` runs it. The paper's rows use the step as printed
    (`PRINTED`); the default is the step that works better in minutes. The fields that
    `SGDOrAdamPreset` does not describe are arguments of `PixelDTGAN`.
    """

    model_class: ClassVar[str] = "pixel_dtgan:PixelDTGAN"

    phases: tuple[Phase, ...] = (Phase(25, 2e-4), Phase(5, 2e-5))
    width: float = 1.0
    discriminator_width: float | None = None
    real_fake_weight: float = 0.5
    domain_weight: float = 0.5
    irrelevant_pairs: bool = True
    mse_weight: float = 0.0
    l1_weight: float = 0.0
    selection: str = "kinds"
    converter_objective: str = "non_saturating"

    def model(self, seed: int | None = None) -> AdversarialModel:
        """The network of the row, not compiled; `seed` is for the selection, if there is one."""
        return super().model(seed if self.selection == "sample" else None)


# Algorithm 1 and Eq. 6.
PRINTED: dict[str, Any] = {"selection": "sample", "converter_objective": "saturating"}
# Another step, which learns faster in minutes on small networks (see `PixelDTGAN`).
FASTER: dict[str, Any] = {"selection": "kinds", "converter_objective": "non_saturating"}

PRESETS = (
    PixelDTGANPreset(
        name="yoo2016", reference="Yoo et al. 2016, Table 3, C+RF+DD (Ours)", **PRINTED
    ),
    # not in the paper: the weight of the only discriminator; 1 keeps the sum of Eq. 6's weights.
    PixelDTGANPreset(
        name="yoo2016-c-rf",
        reference="Yoo et al. 2016, Table 3, C+RF",
        real_fake_weight=1.0,
        domain_weight=0.0,
        **PRINTED,
    ),
    PixelDTGANPreset(
        name="yoo2016-c-mse",
        reference="Yoo et al. 2016, Table 3, C+MSE",
        real_fake_weight=0.0,
        domain_weight=0.0,
        mse_weight=1.0,
        **PRINTED,
    ),
    PixelDTGANPreset(
        name="yoo2016-c-rf-dd-neg",
        reference="Yoo et al. 2016, Table 3, C+RF+DD-Neg",
        irrelevant_pairs=False,
        **PRINTED,
    ),
    PixelDTGANPreset(
        name="yoo2016-product-to-human",
        reference="Yoo et al. 2016, Fig. 6 and Sec. 5.5",
        phases=(Phase(65, 2e-4), Phase(5, 2e-5)),
        reverse=True,
        **PRINTED,
    ),
    # Not in the paper: sized so that garments appear after ten minutes on two cores. It has Adam
    # and the L1 term, because a pure GAN needs far longer. It has a quarter of the width, a
    # sixteenth for the discriminators, which would otherwise be half of a step, and small batches,
    # because the number of updates matters most. With an L1 weight of 100, garments have ragged
    # edges after three epochs. With 400 they lose the texture that the discriminators ask for, but
    # RMSE and SSIM are better.
    PixelDTGANPreset(
        name="demo",
        reference="none: PixelDTGAN for ten minutes on two cores",
        batch_size=32,
        phases=(Phase(8, 1e-3), Phase(2, 1e-4)),
        mirror=True,
        width=0.25,
        discriminator_width=0.0625,
        l1_weight=200.0,
        optimizer_name="adam",
        **FASTER,
    ),
)

STANDS_FOR = {"demo": "yoo2016"}

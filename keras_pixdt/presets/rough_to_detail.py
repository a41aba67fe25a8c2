"""The rough-to-detail GAN as Kwon et al. 2019 trained it, and the rows of its Table 2."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from keras_pixdt.presets.preset import Phase, Preset

if TYPE_CHECKING:
    import keras

    from keras_pixdt.models.rough_to_detail import RoughToDetailGAN

STAGE_EPOCHS = 40  # of the fade-in, and again of the stabilization (Sec. 4.1)
LEARNING_RATE = 2e-4
RESIZE = "stretch"  # Sec. 4: "we resize all images to 256 x 256"
BATCH_SIZES = (60, 40, 20)  # of the stages at 64, 128 and 256 px


def _phases(stages: int) -> tuple[Phase, ...]:
    """Fade-in and stabilization of each stage; the last stage is the one at full size."""
    sizes = BATCH_SIZES[-stages:]
    return tuple(Phase(STAGE_EPOCHS, LEARNING_RATE, size) for size in sizes for _ in range(2))


@dataclasses.dataclass(frozen=True, kw_only=True)
class RoughToDetailPreset(Preset):
    """A row of Kwon et al.'s tables; the defaults are those of Sec. 4.1.

    `pixdt train --preset NAME --data LOOKBOOK --splits kwon2019` runs it. With `image_size=64` the
    stages are at 16, 32 and 64 px. The fields that `Preset` does not describe are arguments of
    `RoughToDetailGAN`.
    """

    image_size: int = 256
    batch_size: int = 20
    stages: int = 3
    width: float = 1.0
    discriminator_width: float | None = None
    adversarial_weight: float = 1.0
    content_weight: float = 1.0
    laplacian_weight: float = 1.0

    def __post_init__(self) -> None:
        """Checks the phases; `RoughToDetailGAN` checks its own arguments."""
        super().__post_init__()
        if len(self.phases) != 2 * self.stages:
            self._refuse(
                "phases", f"must be a fade-in and a stabilization for each of {self.stages} stages"
            )

    def model(self, seed: int | None = None) -> RoughToDetailGAN:
        """The network of the row, not compiled."""
        from keras_pixdt.models.rough_to_detail import RoughToDetailGAN

        return RoughToDetailGAN(
            image_size=self.image_size,
            stages=self.stages,
            width=self.width,
            discriminator_width=self.discriminator_width,
            adversarial_weight=self.adversarial_weight,
            content_weight=self.content_weight,
            laplacian_weight=self.laplacian_weight,
            seed=seed,
            dtype=self.dtype,
        )

    def optimizer(self) -> keras.optimizers.Optimizer:
        """The optimizer of each player, at the first phase's rate."""
        import keras

        return keras.optimizers.Adam(self.phases[0].learning_rate, beta_1=0.0, beta_2=0.99)


# For minutes on two cores: of the fade-in and the stabilization of the stages at 16, 32 and 64 px.
_SMALL_RATES = ((1e-3, 1e-3), (5e-4, 5e-4), (3e-4, 1e-4))


def _small(stages: int) -> RoughToDetailPreset:
    """64 px for minutes on two cores; not of the paper, whose other numbers are kept.

    A quarter of the width, and an eighth for the discriminator, half of whose work is the penalty.
    The critic's term counts for more the smaller the images are (see the class): with its weight
    of 1, stages of 16 px show coloured noise, with 0.25 the colours of garments are hardly right.

    A small data set is soon known by heart, and the scores of products that are not in it jump
    from epoch to epoch: so photos are mirrored, rates fall over the stages, and weights are
    averaged. Rates of a third of these gave garments of false colours and a lower Recall. The last
    stage, whose steps take longest, gets three times the epochs of the others.
    """
    paces = zip(_SMALL_RATES[-stages:], BATCH_SIZES[-stages:], strict=True)
    phases = tuple(
        Phase(3 if rates is _SMALL_RATES[-1] else 1, rate, size)
        for rates, size in paces
        for rate in rates
    )
    return RoughToDetailPreset(
        name="kwon2019-64" if stages == 3 else f"kwon2019-64-n{stages}",
        reference=f"none: Kwon et al. 2019, Table 2, N = {stages}, for minutes on two cores",
        image_size=64,
        mirror=True,
        resize=RESIZE,
        width=0.25,
        discriminator_width=0.125,
        adversarial_weight=0.05,
        stages=stages,
        phases=phases,
        passes=6,
        ema_momentum=0.998,
    )


PRESETS = (
    RoughToDetailPreset(
        name="kwon2019",
        reference="Kwon et al. 2019, Table 1, Ours (3 stages); Table 2, N = 3",
        phases=_phases(3),
        resize=RESIZE,
    ),
    RoughToDetailPreset(
        name="kwon2019-n2",
        reference="Kwon et al. 2019, Table 2, N = 2",
        stages=2,
        phases=_phases(2),
        resize=RESIZE,
    ),
    RoughToDetailPreset(
        name="kwon2019-n1",
        reference="Kwon et al. 2019, Table 2, N = 1",
        stages=1,
        phases=_phases(1),
        resize=RESIZE,
    ),
    *map(_small, (3, 2, 1)),
)

STANDS_FOR = {
    "kwon2019-64": "kwon2019",
    "kwon2019-64-n2": "kwon2019-n2",
    "kwon2019-64-n1": "kwon2019-n1",
}

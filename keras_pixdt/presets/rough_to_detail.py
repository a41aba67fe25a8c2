"""The rough-to-detail GAN as Kwon et al. 2019 trained it, and the rows of its Table 2."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from keras_pixdt.presets.preset import Phase, Preset

RESIZE = "stretch"  # Sec. 4: "we resize all images to 256 x 256"

# Fade-in and stabilization of the stages at 64, 128 and 256 px (Sec. 4.1). Models with fewer stages
# use the last ones.
_PHASES = tuple(Phase(40, 2e-4, size) for size in (60, 60, 40, 40, 20, 20))
# For minutes on two cores, with stages at 16, 32 and 64 px.
_SMALL_PHASES = (
    Phase(1, 1e-3, 60), Phase(1, 1e-3, 60),
    Phase(1, 5e-4, 40), Phase(1, 5e-4, 40),
    Phase(3, 3e-4, 20), Phase(3, 1e-4, 20),
)  # fmt: skip


@dataclasses.dataclass(frozen=True, kw_only=True)
class RoughToDetailPreset(Preset):
    """A row of Kwon et al.'s tables; the defaults are those of Sec. 4.1.

    `pixdt train --preset NAME --data LOOKBOOK --splits kwon2019` runs it. With `image_size=64` the
    stages are at 16, 32 and 64 px. The fields that `Preset` does not describe are arguments of
    `RoughToDetailGAN`.
    """

    model_class: ClassVar[str] = "rough_to_detail:RoughToDetailGAN"
    adam: ClassVar[tuple[float, float]] = (0.0, 0.99)

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


def _row(stages: int) -> RoughToDetailPreset:
    row = "Table 1, Ours (3 stages); Table 2, N = 3" if stages == 3 else f"Table 2, N = {stages}"
    return RoughToDetailPreset(
        name="kwon2019" if stages == 3 else f"kwon2019-n{stages}",
        reference=f"Kwon et al. 2019, {row}",
        stages=stages,
        phases=_PHASES[-2 * stages :],
        resize=RESIZE,
    )


def _small(stages: int) -> RoughToDetailPreset:
    """64 px for minutes on two cores; not in the paper, but with its other numbers.

    It has a quarter of the width, and an eighth for the discriminator, half of whose work is the
    penalty. The critic's term counts for more the smaller the images are (see the class): with a
    weight of 1, stages of 16 px show coloured noise, and with 0.25 the garments' colours are hardly
    right. A small data set is soon memorized, and the scores of products outside it jump from epoch
    to epoch, so photos are mirrored, rates fall over the stages, and weights are averaged. With a
    third of these rates, garments had wrong colours and Recall was lower. The last stage, whose
    steps take longest, gets three times the epochs of the others.
    """
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
        phases=_SMALL_PHASES[-2 * stages :],
        passes=6,
        ema_momentum=0.998,
    )


PRESETS = (*map(_row, (3, 2, 1)), *map(_small, (3, 2, 1)))

STANDS_FOR = {
    "kwon2019-64": "kwon2019",
    "kwon2019-64-n2": "kwon2019-n2",
    "kwon2019-64-n1": "kwon2019-n1",
}

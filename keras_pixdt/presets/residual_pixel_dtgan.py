"""Residual PixelDTGAN as Ge & Li trained it: the rows of their Table 1."""

from __future__ import annotations

import dataclasses
from typing import TYPE_CHECKING

from keras_pixdt.presets.preset import Phase, Preset

if TYPE_CHECKING:
    import keras

    from keras_pixdt.models.residual_pixel_dtgan import ResidualPixelDTGAN


@dataclasses.dataclass(frozen=True, kw_only=True)
class ResidualPixelDTGANPreset(Preset):
    """A row of Ge & Li's Table 1; the defaults are those of A + D (ResNet).

    `pixdt train --preset NAME --data LOOKBOOK` runs it. The fields that `Preset` does not
    describe are arguments of `ResidualPixelDTGAN`, or of the optimizer: SGD with `momentum`
    ("sgd"), or Adam with it as beta_1 ("adam").

    The paper gives the images' size and the optimizers' names, but no number for the training.
    """

    # not in the paper: those of Yoo et al. 2016, its base (Sec. 5.2: 128, 2e-4, momentum 0.5).
    # Adam with 2e-4 and beta_1 0.5 is that of DCGAN, its reference [9].
    batch_size: int = 128
    phases: tuple[Phase, ...] = (Phase(25, 2e-4), Phase(5, 2e-5))
    optimizer_name: str = "sgd"  # Sec. 4.2.2: "only SGD optimizer in residual network"
    momentum: float = 0.5
    width: float = 1.0
    discriminator_width: float | None = None
    residual: bool = True
    real_fake_weight: float = 0.5
    association_weight: float = 0.5
    l1_weight: float = 0.0

    def __post_init__(self) -> None:
        """Checks the optimizer; `ResidualPixelDTGAN` checks its own arguments."""
        super().__post_init__()
        if self.optimizer_name not in ("sgd", "adam"):
            self._refuse("optimizer_name", "must be 'sgd' or 'adam'")

    def model(self, seed: int | None = None) -> ResidualPixelDTGAN:
        """The network of the row, not compiled; its step draws nothing, so `seed` is unused."""
        from keras_pixdt.models.residual_pixel_dtgan import ResidualPixelDTGAN

        return ResidualPixelDTGAN(
            image_size=self.image_size,
            width=self.width,
            discriminator_width=self.discriminator_width,
            residual=self.residual,
            real_fake_weight=self.real_fake_weight,
            association_weight=self.association_weight,
            l1_weight=self.l1_weight,
            dtype=self.dtype,
        )

    def optimizer(self) -> keras.optimizers.Optimizer:
        """The optimizer of each player, at the first phase's rate."""
        import keras

        rate = self.phases[0].learning_rate
        if self.optimizer_name == "sgd":
            return keras.optimizers.SGD(rate, momentum=self.momentum)
        return keras.optimizers.Adam(rate, beta_1=self.momentum)


PRESETS = (
    # not in the paper: the optimizer of the rows with one discriminator. Sec. 4.2.1 has A + D
    # better than either, which in Table 1 is true of A + D (Adam) and not of A + D (SGD).
    # not in the paper: the weight of the only discriminator; 1 keeps the sum of the two halves.
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

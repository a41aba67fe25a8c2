"""Appearance flow, for minutes on two cores; from none of the papers."""

from __future__ import annotations

import dataclasses
from typing import Any, ClassVar

from keras_pixdt.choices import as_height_width, scaled_size, shown_size
from keras_pixdt.presets.preset import Phase, Preset


@dataclasses.dataclass(frozen=True, kw_only=True)
class AppearanceFlowPreset(Preset):
    """How `AppearanceFlow` is trained; the defaults are those for drawings of 64 px.

    `pixdt train --preset NAME --data LOOKBOOK` runs it. The fields that neither `Preset` nor these
    lines describe are arguments of `AppearanceFlow`.

    Attributes:
        augment: whether photos are zoomed and shifted, and colours changed, at random, and with
            `truth` cut-out garments apart from the photo; see `keras_pixdt.data.augment`.
        truth: whether masks and flows are learned from where the data know them, and flows where
            product images were cut out of their photos; see `keras_pixdt.data.matching`.
    """

    model_class: ClassVar[str] = "appearance_flow:AppearanceFlow"
    adam: ClassVar[tuple[float, float]] = (0.5, 0.99)
    rectangles: ClassVar[bool] = True

    reference: str = "none: photos' own pixels, moved"
    photo_size: int | tuple[int, int] = 128
    batch_size: int = 32
    phases: tuple[Phase, ...] = (Phase(5, 2e-3), Phase(3, 1e-3), Phase(2, 2e-4))
    mirror: bool = True
    augment: bool = True
    truth: bool = True
    ema_momentum: float | None = 0.99
    width: float = 0.5
    discriminator_width: float | None = 0.25
    l1_weight: float = 10.0
    garment_weight: float = 3.0
    paint_weight: float = 0.3
    mask_weight: float = 5.0
    overlap_weight: float = 0.0
    warp_weight: float = 3.0
    bending_weight: float = 20.0
    flow_weight: float = 20.0
    gan_weight: float = 0.0
    gan_phase: int = 1
    mask_sharpness: float = 1.0
    moves: bool = True
    warped_skips: bool = True

    def __post_init__(self) -> None:
        """Checks what the model's constructor cannot."""
        super().__post_init__()
        self._take_size("photo_size")
        drawn, read = as_height_width(self.image_size), as_height_width(self.photo_size)
        if drawn[0] * read[1] != drawn[1] * read[0]:
            fitting = shown_size(scaled_size(self.image_size, max(read)))
            self._refuse(
                "photo_size",
                f"must have the proportions of `image_size`, {shown_size(self.image_size)}, such "
                f"as {fitting} (--set photo_size={fitting})",
            )
        for field in ("reverse", "irrelevant_pairs"):
            if getattr(self, field):
                self._refuse(field, "must be false: the network draws a product from its photo")
        if self.gan_weight and not 0 <= self.gan_phase < len(self.phases):
            self._refuse("gan_phase", f"must be one of the {len(self.phases)} phases, from 0")

    def data_options(self) -> dict[str, Any]:
        """Photos are larger than drawings; masks and flows are read where they are known."""
        return {"photo_size": self.photo_size, "truth": True}  # masks are scored in any case

    def batch_options(self) -> dict[str, Any]:
        """The base's, with augmentation and truth."""
        return {**super().batch_options(), "augment": self.augment, "truth": self.truth}


# Settings for drawn persons. Their masks are sure, and a discriminator makes the outlines sharp.
DRAWN = ("overlap_weight=0", "gan_weight=0.1", "mask_sharpness=1")

PRESETS = tuple(
    AppearanceFlowPreset(
        name=f"flow-{size}",
        image_size=size,
        photo_size=photo_size,
        start="rendered",
        overlap_weight=3.0,
        mask_sharpness=2.0,
    )
    for size, photo_size in ((64, 128), (128, 256), (256, 256))
)

STANDS_FOR: dict[str, str] = {}

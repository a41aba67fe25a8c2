"""pix2pix as Isola et al. 2017 trained it, the baseline of Kwon et al. 2019 (Table 1)."""

from __future__ import annotations

import dataclasses
from typing import ClassVar

from keras_pixdt.presets import rough_to_detail
from keras_pixdt.presets.preset import Phase, Preset


@dataclasses.dataclass(frozen=True, kw_only=True)
class Pix2PixPreset(Preset):
    """The row "Pix2Pix" of Kwon et al.'s Table 1, which is at 256 px.

    `pixdt train --preset NAME --data LOOKBOOK` runs it. Kwon et al. "follow the training protocols
    described in" Isola et al., who have a protocol for each of their sets. The defaults are those
    for edges to shoes (Sec. 6.2), with 50,000 products on white. The fields that `Preset` does not
    describe are arguments of `Pix2Pix`; Adam is that of Sec. 3.3.
    """

    model_class: ClassVar[str] = "pix2pix:Pix2Pix"
    rectangles: ClassVar[bool] = True

    reference: str = "Isola et al. 2017; Kwon et al. 2019, Table 1, Pix2Pix"
    batch_size: int = 4
    phases: tuple[Phase, ...] = (Phase(15, 2e-4),)
    width: float = 1.0
    discriminator_width: float | None = None
    gan_weight: float = 1.0
    l1_weight: float = 100.0


# not in the papers: 64 and 128 px, for machines that cannot train the row's 256 px. There, photos
# are mirrored, because a network soon memorizes the few that such machines can go through.
PRESETS = (
    Pix2PixPreset(name="pix2pix-64", image_size=64, mirror=True, resize=rough_to_detail.RESIZE),
    Pix2PixPreset(name="pix2pix-128", image_size=128, mirror=True, resize=rough_to_detail.RESIZE),
    Pix2PixPreset(name="pix2pix-256", image_size=256, resize=rough_to_detail.RESIZE),
)

STANDS_FOR = {"pix2pix-64": "pix2pix-256", "pix2pix-128": "pix2pix-256"}

"""Table 1 of Kwon et al. 2019: the rough-to-detail GAN against PixelDTGAN and pix2pix.

    pixdt reproduce kwon2019-table1 --data LookBook/ --splits kwon2019 --budget paper

PixelDTGAN draws images of 64 px, the others of 256; each is scored at its own size. All learn from
images that are stretched to squares (Sec. 4). Small budgets have 64 px for all. The
paper searches products by the features of a DenseNet of ImageNet: `--embedder densenet121`, where
its weights are present. Without, an embedder is trained on the training products.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from keras_pixdt import presets
from keras_pixdt.presets.pix2pix import Pix2PixPreset
from keras_pixdt.presets.rough_to_detail import RESIZE
from keras_pixdt.reproduce import paired, yoo2016_table3
from keras_pixdt.reproduce.paired import KID, RMSE, SSIM, recall
from keras_pixdt.reproduce.result import Claim

SCORES = (RMSE, SSIM, recall(10), recall(60), KID)
COMPARED = SCORES[:-1]  # what the paper has, and Recall@10 where a gallery has few products


def paper(rmse: str, ssim: str, recall_at_60: str) -> dict[str, str]:
    """A row's figures."""
    return {"RMSE": rmse, "SSIM": ssim, "Recall@60": recall_at_60}


def _pix2pix() -> Pix2PixPreset:
    """pix2pix for minutes on two cores: at the size and the width of the other rows."""
    preset = presets.get("pix2pix-64")
    assert isinstance(preset, Pix2PixPreset)
    return dataclasses.replace(preset, width=0.25)


def _pldt(preset: presets.Preset) -> presets.Preset:
    """Yoo et al. letterbox photos; here all images are resized alike (Sec. 4)."""
    return dataclasses.replace(preset, resize=RESIZE)


OURS = "ours"
METHODS = (
    paired.Method(
        "pldt", "PLDT (Yoo et al. 2016)", _pldt(presets.get("yoo2016")),
        _pldt(yoo2016_table3.small("yoo2016")),
        paper("0.2921", "0.4096", "0.1787"),
    ),
    paired.Method(
        "pix2pix", "Pix2Pix (Isola et al. 2017)", presets.get("pix2pix-256"),
        _pix2pix(),
        paper("0.3009", "0.5570", "0.1873"),
    ),
    paired.Method(
        OURS, "Ours (3 stages)", presets.get("kwon2019"), presets.get("kwon2019-64"),
        paper("0.2590", "0.5967", "0.3373"),
    ),
)  # fmt: skip

NOTES = (
    "Products are searched among those of the test split by {embedder}; the paper has a DenseNet "
    "of ImageNet, and 939 products.",
)

TABLE = paired.Table(
    name="kwon2019-table1",
    title="Table 1 of Kwon et al. 2019",
    methods=METHODS,
    scores=SCORES,
    claims=tuple(
        Claim(OURS, other, score.key) for other in ("pldt", "pix2pix") for score in COMPARED
    ),
    notes=NOTES,
)


def main(argv: Sequence[str]) -> None:
    """Runs the experiment with the arguments of the command."""
    paired.main(TABLE, argv)

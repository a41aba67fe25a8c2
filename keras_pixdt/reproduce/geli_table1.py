"""Table 1 of Ge & Li: one discriminator or two, which optimizer, and residual blocks.

    pixdt reproduce geli-table1 --data LookBook/ --budget paper

Its RMSE are of another scale than those of the other papers, which it does not give; only their
order compares.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from keras_pixdt import presets
from keras_pixdt.presets import Phase
from keras_pixdt.presets.residual_pixel_dtgan import ResidualPixelDTGANPreset
from keras_pixdt.reproduce import paired
from keras_pixdt.reproduce.paired import RMSE, SSIM
from keras_pixdt.reproduce.result import Claim

# not in the paper, which has no rates. SGD needs larger steps than Adam to move as far.
_RATES = {"adam": 5e-4, "sgd": 1e-2}


def small(name: str) -> ResidualPixelDTGANPreset:
    """A preset of the paper for minutes on two cores; objective and kind of optimizer are kept."""
    preset = presets.get(name)
    assert isinstance(preset, ResidualPixelDTGANPreset)
    rate = _RATES[preset.optimizer_name]
    return dataclasses.replace(
        preset,
        width=0.25,
        discriminator_width=0.125,
        batch_size=32,
        phases=(Phase(4, rate), Phase(1, rate / 10)),
        mirror=True,
    )


def _method(key: str, title: str, rmse: str, ssim: str) -> paired.Method:
    name = f"geli-{key}"
    return paired.Method(key, title, presets.get(name), small(name), {"RMSE": rmse, "SSIM": ssim})


METHODS = (
    _method("only-a", "Only A", "0.98", "0.22"),
    _method("only-d", "Only D", "1.0", "0.20"),
    _method("a-d-sgd", "A + D (SGD)", "1.03", "0.12"),
    _method("a-d-adam", "A + D (Adam)", "0.94", "0.23"),
    _method("a-d-resnet", "A + D (ResNet)", "0.92", "0.28"),
)


def _claims(*pairs: tuple[str, str]) -> tuple[Claim, ...]:
    return tuple(Claim(*pair, score.key) for pair in pairs for score in (RMSE, SSIM))


TABLE = paired.Table(
    name="geli-table1",
    title="Table 1 of Ge & Li",
    methods=METHODS,
    scores=(RMSE, SSIM),
    claims=_claims(
        ("only-a", "only-d"),
        ("a-d-adam", "only-a"),
        ("a-d-adam", "only-d"),
        ("a-d-adam", "a-d-sgd"),
        ("a-d-resnet", "a-d-adam"),
    ),
    notes=("The paper's RMSE are of another scale, which it does not give.",),
)


def main(argv: Sequence[str]) -> None:
    """Runs the experiment with the arguments of the command."""
    paired.main(TABLE, argv)

"""Ge & Li: Table 1, and Figs. 3 and 4.

    pixdt reproduce geli-table1 --data LookBook/ --budget paper
    pixdt reproduce geli-fig3 --data LookBook/ --budget paper

Table 1 compares one discriminator with two, optimizers, and residual blocks. The paper's RMSEs are
on a different scale from the other papers' and it does not give the scale, so only their order can
be compared.

The figures show RMSE and SSIM of the same networks on the validation split over the training: Fig.
3 with one discriminator and with both, Fig. 4 with and without residual blocks.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

from keras_pixdt import presets
from keras_pixdt.presets import Phase
from keras_pixdt.presets.residual_pixel_dtgan import ResidualPixelDTGANPreset
from keras_pixdt.reproduce import appearance_flow, paired
from keras_pixdt.reproduce.paired import RMSE, SSIM
from keras_pixdt.reproduce.paired_experiment import PairedExperiment
from keras_pixdt.reproduce.result import Claim, Result

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


TABLE1 = paired.Table(
    name="geli-table1",
    title="Table 1 of Ge & Li",
    methods=(*METHODS, *appearance_flow.rows()),
    scores=(RMSE, SSIM),
    claims=_claims(
        ("only-a", "only-d"),
        ("a-d-adam", "only-a"),
        ("a-d-adam", "only-d"),
        ("a-d-adam", "a-d-sgd"),
        ("a-d-resnet", "a-d-adam"),
    ),
    notes=(
        "The paper's RMSE are of another scale, which it does not give.",
        appearance_flow.NOTE,
    ),
)


def draw_curves(
    result: Result, shown: Sequence[paired.Trained], experiment: PairedExperiment
) -> None:
    """Adds the curves of seed 0."""
    del experiment
    for score, title in (("val_rmse", "RMSE"), ("val_ssim", "SSIM")):
        result.curves[title] = {t.method.title: t.run.history()[score] for t in shown}


def _curves_of(name: str, title: str, *keys: str) -> paired.Table:
    """A figure that shows rows of Table 1 over their training."""
    return dataclasses.replace(
        TABLE1,
        name=name,
        title=title,
        methods=tuple(m for m in METHODS if m.key in keys),
        claims=tuple(c for c in TABLE1.claims if {c.better, c.worse} <= set(keys)),
        notes=("The scores are of the test split after training, the curves of validation.",),
        finish=draw_curves,
    )


TABLES = (
    TABLE1,
    _curves_of("geli-fig3", "Fig. 3 of Ge & Li", "only-a", "only-d", "a-d-adam"),
    _curves_of("geli-fig4", "Fig. 4 of Ge & Li", "a-d-sgd", "a-d-adam", "a-d-resnet"),
)
COMMANDS = paired.commands(*TABLES)

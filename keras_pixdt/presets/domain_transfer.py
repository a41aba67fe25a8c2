"""The Domain Transfer Network as Taigman et al. 2016 trained it, and the rows of their Table 1."""

from __future__ import annotations

import dataclasses
import os
from typing import TYPE_CHECKING, Any, ClassVar

from keras_pixdt.presets.preset import Phase, Preset

if TYPE_CHECKING:
    from keras_pixdt.engine.model import AdversarialModel


@dataclasses.dataclass(frozen=True, kw_only=True)
class DomainTransferPreset(Preset):
    """A row of Taigman et al.'s Table 1; the defaults are those of Sec. 5.1, for digits.

    `pixdt train --preset NAME --data S --target-data T` runs it. f is the model in the file
    `function`; without one it is trained first, on the labels of the training images of S (with
    `reverse=True` too, where images of T are converted).

    The fields that `Preset` does not describe are arguments of `DomainTransferNetwork`, except
    `function_width` and `function_plain`, which are `width` and `plain` of
    `keras_pixdt.training.train_classifier`.
    """

    model_class: ClassVar[str] = "domain_transfer:DomainTransferNetwork"
    paired: ClassVar[bool] = False

    image_size: int = 32
    # not in the paper: batch and rates. Among batches of 16, 32 and 64 on two cores, 16 got
    # furthest in the same time. At a constant rate, accuracies of Table 1 go up and down by 5%.
    batch_size: int = 16
    phases: tuple[Phase, ...] = (Phase(50, 1e-3), Phase(25, 3e-4), Phase(25, 1e-4))
    function: str | None = None
    function_width: float = 1.0
    function_plain: bool = False
    width: float = 1.0
    discriminator_width: float | None = None
    alpha: float = 15.0
    beta: float = 15.0
    gamma: float = 0.0
    distance: str = "mse"
    target_distance: str = "mse"
    through_f: bool = True
    ternary: bool = True
    adversarial: bool = True
    converter_objective: str = "non_saturating"
    gray: bool = False
    generated_size: int | None = None
    pointwise: bool = False
    discriminator_blocks: int = 4
    discriminator_leak: float = 0.0
    discriminator_first_norm: bool = False

    def model(self, seed: int | None = None) -> AdversarialModel:
        """The network of the row, not compiled; only its initial weights are random.

        Raises:
            ValueError: no `function` is given.
            FileNotFoundError: there is no such file.
        """
        import keras

        if self.function is None:
            self._refuse("function", "must be the .keras file of f; `training.train` makes one")
        if not os.path.exists(self.function):
            raise FileNotFoundError(
                f"Preset {self.name!r}: `function` must be the .keras file of f. There is no "
                f"{self.function}"
            )
        return self._build(function=keras.models.load_model(self.function))

    def function_training(self) -> dict[str, Any]:
        """The options of f's architecture and loss."""
        return {"width": self.function_width, "plain": self.function_plain}


# not in the paper. Competing networks go round in circles: after 1,400 steps, averages over some
# hundred steps were more accurate than the last weights, by 2% with L_TID and 7% without.
EMA_MOMENTUM = 0.998

# The rows of Table 1: the suffix of the preset's name, and the fields that are set.
ROWS: dict[str, tuple[str, dict[str, Any]]] = {
    "-baseline": (
        "Baseline method (Sec. 3)",
        {
            "through_f": False,
            "ternary": False,
            "beta": 0.0,
            "converter_objective": "saturating",  # Eq. 1
        },
    ),
    "": ("DTN", {}),
    "-no-tid": ("DTN w/o L_TID", {"beta": 0.0}),
    "-no-const": ("DTN w/o L_CONST", {"alpha": 0.0}),
    "-no-f": ("DTN, G does not contain f", {"through_f": False}),
    "-no-gan": ("DTN w/o L_D and L_GANG", {"adversarial": False}),
    "-no-const-no-tid": ("DTN w/o L_CONST and L_TID", {"alpha": 0.0, "beta": 0.0}),
}


def _row(suffix: str) -> DomainTransferPreset:
    row, changed = ROWS[suffix]
    return DomainTransferPreset(
        name=f"taigman2017{suffix}",
        reference=f"Taigman et al. 2017, Table 1, {row}",
        gray=True,
        # not in the paper, which does not give the filters. When D was as wide as g, it told all of
        # g's images from images of T within a hundred steps.
        discriminator_width=0.25,
        ema_momentum=EMA_MOMENTUM,
        **changed,
    )


# Appendix D, Fig. 9a: f is still trained on S, and images of T become images of S, in colour.
_REVERSE = dataclasses.replace(
    _row(""),
    name="taigman2017-reverse",
    reference="Taigman et al. 2017, Fig. 9a, MNIST to SVHN",
    reverse=True,
    gray=False,
)

# Sec. 5.2. g draws 64 px, and D takes 152.
_FACES = DomainTransferPreset(
    name="taigman2017-faces",
    reference="Taigman et al. 2017, Sec. 5.2, faces to emoji",
    image_size=152,
    generated_size=64,
    pointwise=True,
    discriminator_blocks=6,
    discriminator_leak=0.2,
    alpha=100.0,
    beta=1.0,
    gamma=0.05,
)

# Not in the paper: for photos of 64 px, and for minutes on two cores.
_SMALL = DomainTransferPreset(
    name="taigman2017-small",
    reference="none: Taigman et al. 2017 for photos, and for minutes on two cores",
    image_size=64,
    function_width=0.5,
    width=0.5,
    discriminator_width=0.25,
    # Without L_TV, photos become chequerboards, because whatever f does not see is free to change.
    gamma=5.0,
    ema_momentum=0.99,  # there are only some hundred steps in all
)

PRESETS = (*map(_row, ROWS), _REVERSE, _FACES, _SMALL)

STANDS_FOR = {"taigman2017-small": "taigman2017-faces"}

"""What all presets share: data shape, batches, phases of the learning rate."""

from __future__ import annotations

import abc
import dataclasses
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import keras

    from keras_pixdt.models.adversarial_model import AdversarialModel


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preset(abc.ABC):
    """How one row of a table is trained. `dataclasses.replace` changes single fields.

    Attributes:
        name: what `--preset` takes.
        reference: the paper and the row of its table.
        image_size: side of the images, px.
        batch_size: pairs in a batch, over all replicas.
        phases: (epochs, learning rate) one after the other.
        reverse: whether source and target are exchanged.
        mirror: whether triplets are flipped at random.
        dtype: dtype policy of the networks.

    Raises:
        ValueError: a field is out of its range; the message names the preset and the field.
    """

    name: str
    reference: str
    image_size: int = 64
    batch_size: int = 128
    phases: tuple[tuple[int, float], ...]
    reverse: bool = False
    mirror: bool = False
    dtype: str = "float32"

    def __post_init__(self) -> None:
        """Checks the fields that no other constructor checks."""
        if self.batch_size < 2:
            self._refuse("batch_size", "must be at least 2, for BatchNorm")
        if not self.phases or any(epochs < 1 or rate <= 0 for epochs, rate in self.phases):
            self._refuse("phases", "must hold (epochs >= 1, learning rate > 0)")

    def _refuse(self, field: str, rule: str) -> None:
        raise ValueError(
            f"Preset {self.name!r}: `{field}` {rule}. Received: {getattr(self, field)!r}"
        )

    @property
    def epochs(self) -> int:
        """Epochs of all phases."""
        return sum(epochs for epochs, _ in self.phases)

    def learning_rate(self, progress: float) -> float:
        """The learning rate at a share of the training.

        Args:
            progress: from 0 (start) to 1 (end); epoch / epochs in a run without a time limit.
        """
        end = 0
        for epochs, rate in self.phases:
            end += epochs
            if progress * self.epochs < end - 1e-6:
                return rate
        return self.phases[-1][1]

    @abc.abstractmethod
    def model(self, seed: int | None = None) -> AdversarialModel:
        """The network of the row, not compiled."""

    @abc.abstractmethod
    def optimizer(self) -> keras.optimizers.Optimizer:
        """The optimizer of each player, at the first phase's rate."""

    def options(self) -> dict[str, Any]:
        """All fields, as JSON can hold them."""
        return dataclasses.asdict(self)

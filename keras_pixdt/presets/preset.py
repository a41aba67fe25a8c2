"""The base of all presets: shape of the data, batches, phases of the training."""

from __future__ import annotations

import dataclasses
import inspect
import json
import pkgutil
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any, ClassVar, NamedTuple, NoReturn

from keras_pixdt.choices import RESIZES, as_size, parse_size

if TYPE_CHECKING:
    import keras

    from keras_pixdt.engine.model import AdversarialModel


_LEAST_SIDE = 11  # of rectangles, px: the window of SSIM, by which runs are validated
_SIDES = "tuple[int, int]"  # the kind of fields that take rectangles
_TOLERANCE = 1e-6  # epochs by which a phase may begin early, because shares are rounded


class Phase(NamedTuple):
    """A part of the training with its own settings.

    Attributes:
        epochs: its length in epochs, at least 1.
        learning_rate: learning rate of all players, positive.
        batch_size: pairs in a batch, at least 2; None takes the preset's.
    """

    epochs: int
    learning_rate: float
    batch_size: int | None = None


@dataclasses.dataclass(frozen=True, kw_only=True)
class Preset:
    """How one row of a table is trained. `dataclasses.replace` changes single fields.

    A new field, also in a subclass, must default to what the code did before, because runs of
    earlier versions lack the field and are read with its default.

    Attributes:
        name: what `--preset` takes.
        reference: the paper and the row of its table.
        image_size: side of the images, px; or (height, width) for models that take rectangles.
        batch_size: pairs in a batch, over all replicas.
        phases: the phases in order; plain tuples (epochs, learning rate[, batch size]) work too.
        reverse: whether source and target are exchanged.
        mirror: whether triplets are flipped at random.
        resize: how images are brought to that size: "letterbox" keeps their aspect and fills up
            with white, "stretch" does not.
        passes: how often an epoch goes through the pairs, at least 1.
        irrelevant_pairs: whether batches hold an irrelevant target too.
        dtype: dtype policy of the networks.
        ema_momentum: share that the average of the converter's weights keeps at each update.
            Validation, pictures and the trained model then use the averages. None means no
            averages.
        start: whose weights the training starts from, see `keras_pixdt.training.start`: "rendered",
            a run's folder or a `.keras` file. None means new weights.
        model_class: "module:name" of the model's class in `keras_pixdt.models`. Like the next
            three, it is a class attribute, not a field.
        adam: beta_1 and beta_2 of the optimizer.
        rectangles: whether its model takes them.
        paired: whether its model learns from pairs; if not, it learns from two domains, in batches
            from `keras_pixdt.data.unpaired`.

    Raises:
        ValueError: a field is out of its range; the message names the preset and the field.
    """

    name: str
    reference: str
    image_size: int | tuple[int, int] = 64
    batch_size: int = 128
    phases: tuple[Phase, ...]
    reverse: bool = False
    mirror: bool = False
    resize: str = "letterbox"
    passes: int = 1
    irrelevant_pairs: bool = False
    dtype: str = "float32"
    ema_momentum: float | None = None
    start: str | None = None
    model_class: ClassVar[str]
    adam: ClassVar[tuple[float, float]] = (0.5, 0.999)
    rectangles: ClassVar[bool] = False
    paired: ClassVar[bool] = True

    def __post_init__(self) -> None:
        """Checks the fields that the model's constructor does not check."""
        if not all(_is_phase(phase) for phase in self.phases):
            self._refuse("phases", "must hold (epochs, learning rate[, batch size])")
        if self.batch_size < 2:
            self._refuse("batch_size", "must be at least 2, for BatchNorm")
        phases = tuple(Phase(*phase) for phase in self.phases)
        if not phases or any(phase.epochs < 1 or not phase.learning_rate > 0 for phase in phases):
            self._refuse("phases", "must hold (epochs >= 1, learning rate > 0)")
        if any(phase.batch_size is not None and phase.batch_size < 2 for phase in phases):
            self._refuse("phases", "must hold batch sizes of at least 2, for BatchNorm")
        if self.resize not in RESIZES:
            self._refuse("resize", f"must be one of {', '.join(RESIZES)}")
        object.__setattr__(self, "phases", phases)  # plain tuples, as JSON gives them, are taken
        self._take_size("image_size")
        if not isinstance(self.image_size, int):
            if not self.rectangles:
                rule = "must be the side of a square; flow-* and pix2pix-* take rectangles"
                self._refuse("image_size", rule)
            if min(self.image_size) < _LEAST_SIDE:
                rule = f"must have {_LEAST_SIDE} px or more on each side, as SSIM needs them"
                self._refuse("image_size", rule)
        if self.ema_momentum is not None and not 0 <= self.ema_momentum < 1:
            self._refuse("ema_momentum", "must be in [0, 1), or None")

    def _take_size(self, field: str) -> None:
        """Brings a field to the form of `choices.Size`: JSON has lists where it has tuples."""
        try:
            object.__setattr__(self, field, as_size(getattr(self, field)))
        except ValueError:
            self._refuse(field, "must be the side of a square or (height, width), in px")

    def _refuse(self, field: str, rule: str) -> NoReturn:
        raise ValueError(
            f"Preset {self.name!r}: `{field}` {rule}. Received: {getattr(self, field)!r}"
        )

    @property
    def epochs(self) -> int:
        """Total number of epochs of all phases."""
        return sum(phase.epochs for phase in self.phases)

    @property
    def batch_sizes(self) -> tuple[int, ...]:
        """Pairs in a batch, of each phase."""
        return tuple(phase.batch_size or self.batch_size for phase in self.phases)

    def epoch_batch_size(self, epoch: int, epochs: int) -> int:
        """Batch size of an epoch: the smallest size of the phases that it touches.

        Args:
            epoch: counted from 0.
            epochs: length of the run; the phases are stretched over it.
        """
        first, _ = self.phase_at(epoch / epochs)
        last, _ = self.phase_at((epoch + 1) / epochs - 2 * _TOLERANCE / self.epochs)
        return min(self.batch_sizes[first : last + 1])

    def phase_at(self, progress: float) -> tuple[int, float]:
        """Finds the phase at a point of the training.

        Args:
            progress: from 0 (start) to 1 (end); epoch / epochs in a run without a time limit.

        Returns:
            The phase's index, and the share of the phase that is over, in [0, 1].
        """
        start, last = 0, len(self.phases) - 1
        for index, phase in enumerate(self.phases):
            over = (progress * self.epochs - start) / phase.epochs
            if over < 1 - _TOLERANCE / phase.epochs or index == last:
                break
            start += phase.epochs
        return index, min(max(over, 0.0), 1.0)

    def learning_rate(self, progress: float) -> float:
        """The learning rate at a point of the training, given as a share from 0 to 1."""
        return self.phases[self.phase_at(progress)[0]].learning_rate

    def model(self, seed: int | None = None) -> AdversarialModel:
        """The network of the row, not compiled; `seed` is for its random draws, if it makes any."""
        return self._build(seed=seed)

    def _build(self, **given: Any) -> AdversarialModel:
        """Builds the model from `given` and the fields that are arguments of its class.

        Fields match arguments by name; `name` and `dtype` are not in the classes' signatures.
        """
        model_class = pkgutil.resolve_name(f"keras_pixdt.models.{self.model_class}")
        arguments = inspect.signature(model_class.__init__).parameters
        values = {**vars(self), **given}
        known = {name: value for name, value in values.items() if name in arguments}
        return model_class(**known, dtype=self.dtype)

    def data_options(self) -> dict[str, Any]:
        """Options of `keras_pixdt.data.load_pairs` that the model needs beyond the base's."""
        return {}

    def batch_options(self) -> dict[str, Any]:
        """Options of the batches, of `Triplets` or `Unpaired`."""
        options: dict[str, Any] = {"mirror": self.mirror, "passes": self.passes}
        if self.paired:
            options |= {"irrelevant": self.irrelevant_pairs, "reverse": self.reverse}
        return options

    def function_training(self) -> dict[str, Any] | None:
        """How to train the model's f: options of `training.train_classifier`.

        None if the model takes no f. If it does, the field `function` names the file of f, or is
        None until there is one.
        """
        return None

    def optimizer(self) -> keras.optimizers.Optimizer:
        """The optimizer of each player, at the first phase's rate."""
        import keras

        return keras.optimizers.Adam(self.phases[0].learning_rate, *self.adam)

    def optimizers(self, players: Iterable[str]) -> dict[str, keras.optimizers.Optimizer]:
        """One optimizer per player; with `ema_momentum`, the converter's averages its weights."""
        optimizers = {player: self.optimizer() for player in players}
        if self.ema_momentum is not None:
            plain = optimizers["converter"]
            average = {"use_ema": True, "ema_momentum": self.ema_momentum}
            optimizers["converter"] = type(plain).from_config({**plain.get_config(), **average})
        return optimizers

    def options(self) -> dict[str, Any]:
        """All fields, as JSON can hold them."""
        return dataclasses.asdict(self)

    def changed(self, settings: Iterable[str], **given: Any) -> Preset:
        """The preset with other values for some fields, given as text.

        Args:
            settings: such as "selection=sample", "mirror=false", "discriminator_width=null",
                "photo_size=256x192" or "phases=[[2, 0.001], [1, 0.0001]]": values are JSON, strings
                without their quotes, and sizes as for --image-size.
            **given: values of further fields, as they are.

        Raises:
            ValueError: no such field, or a value that is not of its type.
        """
        fields = {field.name: str(field.type) for field in dataclasses.fields(self)}
        del fields["name"], fields["reference"]
        values = {}
        for setting in settings:
            name, equals, text = setting.partition("=")
            if name not in fields or not equals:
                raise ValueError(
                    f"Preset {self.name!r} takes FIELD=VALUE of the fields {', '.join(fields)}. "
                    f"Received: {setting!r}"
                )
            try:
                value = json.loads(text)
            except ValueError:
                value = text
            kinds = fields[name].split(" | ")
            if _SIDES in kinds and isinstance(value, str):
                value = _sides(value)
            if not any(_is_of(value, kind) for kind in kinds):
                raise ValueError(
                    f"Preset {self.name!r}: `{name}` must be {' or '.join(kinds)}, written as "
                    f"true, 1, 0.5 or null{', or as 256x192' * (_SIDES in kinds)}. "
                    f"Received: {text!r}"
                )
            values[name] = value
        return dataclasses.replace(self, **{**values, **given})


@dataclasses.dataclass(frozen=True, kw_only=True)
class SGDOrAdamPreset(Preset):
    """A preset with a choice of the optimizer.

    Attributes:
        optimizer_name: SGD with `momentum` ("sgd"), or Adam with it as beta_1 ("adam").
        momentum: see `optimizer_name`.
    """

    optimizer_name: str = "sgd"
    momentum: float = 0.5

    def __post_init__(self) -> None:
        """Checks the optimizer; the model checks its own arguments."""
        super().__post_init__()
        if self.optimizer_name not in ("sgd", "adam"):
            self._refuse("optimizer_name", "must be 'sgd' or 'adam'")

    def optimizer(self) -> keras.optimizers.Optimizer:
        """The optimizer of each player, at the first phase's rate."""
        import keras

        rate = self.phases[0].learning_rate
        if self.optimizer_name == "sgd":
            return keras.optimizers.SGD(rate, momentum=self.momentum)
        return keras.optimizers.Adam(rate, beta_1=self.momentum)


def _is_phase(values: Any) -> bool:
    """Whether these are an integer, a number and, if there is a third, an integer or None."""
    if not isinstance(values, (tuple, list)) or not 2 <= len(values) <= 3:
        return False
    epochs, rate, *size = values
    return (
        type(epochs) is int
        and type(rate) in (int, float)
        and all(value is None or type(value) is int for value in size)
    )


def _sides(text: str) -> list[int] | str:
    """What JSON would have for the text of a size; other text as it is."""
    try:
        size = parse_size(text)
    except ValueError:
        return text
    return [size, size] if isinstance(size, int) else [*size]


def _is_of(value: Any, kind: str) -> bool:
    """Whether a value from JSON has a field's type."""
    if isinstance(value, bool) or value is None:
        return kind == {True: "bool", False: "bool", None: "None"}[value]
    types: dict[str, Any] = {"int": int, "float": (int, float), "str": str}
    return isinstance(value, types.get(kind, list if kind.startswith("tuple") else ()))

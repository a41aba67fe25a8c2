"""One optimizer for each player, which look like a single optimizer to Keras."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import keras
from keras import ops

from keras_pixdt.engine.replicas import Tensor

# Keras' private names used here, tested up to Keras 3.15.1: `_learning_rate`,
# `_trainable_variables`, `_model_variables_moving_average` and `_variables` of an optimizer.

LossScaleOptimizer = keras.optimizers.LossScaleOptimizer


def _inner(optimizer: keras.optimizers.Optimizer) -> keras.optimizers.Optimizer:
    """The optimizer under a loss scale."""
    return getattr(optimizer, "inner_optimizer", optimizer)


@keras.saving.register_keras_serializable("keras_pixdt")
class PlayerOptimizers(keras.optimizers.Optimizer):
    """One optimizer for each player, behind the interface of a single one.

    Keras' trainers and savers only know one optimizer. With this composite they carry, save and
    restore the state of all of them. If the optimizers were plain attributes of the model, loading
    would skip them and, on JAX, they would never leave their initial state.

    Args:
        optimizers: player name -> `keras.optimizers.Optimizer` or what `keras.optimizers.get`
            takes. No optimizer object may serve two players.
        name: name of the composite.

    Raises:
        ValueError: a player has the name of an attribute of `Optimizer`, or two players share one
            optimizer object.
    """

    def __init__(self, optimizers: Mapping[str, Any], name: str = "player_optimizers") -> None:
        super().__init__(learning_rate=0.0, name=name)
        self._names = tuple(optimizers)
        built = {key: keras.optimizers.get(value) for key, value in optimizers.items()}
        if len({id(o) for o in built.values()}) < len(built):
            raise ValueError(
                "Each player needs an optimizer object of its own: its moments belong to its "
                f"variables. Received one object for several of: {', '.join(built)}"
            )
        for key, optimizer in built.items():  # as attributes, they are saved under their names
            if key in dir(self):  # hasattr would run properties, which need all players
                raise ValueError(f"{key!r} cannot be the name of a player: Optimizer has it")
            setattr(self, key, optimizer)
        self._ratios = self._current_ratios()

    @property
    def names(self) -> tuple[str, ...]:
        """The players, in the given order."""
        return self._names

    def __getitem__(self, name: str) -> keras.optimizers.Optimizer:
        return getattr(self, name)

    def _all(self) -> list[keras.optimizers.Optimizer]:
        return [self[name] for name in self._names]

    def scale_losses(self) -> None:
        """Gives each player its own dynamic loss scale, for mixed_float16."""
        for name in self._names:
            if not isinstance(self[name], LossScaleOptimizer):
                setattr(self, name, LossScaleOptimizer(self[name]))

    def restart(self) -> None:
        """Resets the moments and step counts; keeps learning rates and loss scales.

        Use this when training continues with other variables. Otherwise new variables would be
        corrected for the bias of steps that they did not take, and move up to 1 / sqrt(1 - beta_2)
        times too far.
        """
        for optimizer in self._all():
            inner = _inner(optimizer)
            for variable in inner.variables:
                if variable is not inner._learning_rate:
                    variable.assign(ops.zeros(variable.shape, variable.dtype))

    def build_players(self, variables: Mapping[str, Sequence[keras.Variable]]) -> None:
        """Creates each optimizer's state for its player's variables."""
        for name in self._names:
            if not self[name].built:
                self[name].build(variables[name])
        self.built = True

    def build(self, variables: Sequence[keras.Variable]) -> None:
        """Part of Keras' interface: `fit` and loaders call it after `compile` has built all."""
        if not self.built:
            raise RuntimeError("AdversarialModel.compile() builds the optimizers of the players")

    def apply(self, grads: Sequence[Tensor], trainable_variables: Any = None) -> None:
        """Part of Keras' interface, refused: players are updated one at a time."""
        raise RuntimeError("players are updated one at a time, by AdversarialModel.minimize()")

    @property
    def variables(self) -> list[keras.Variable]:
        """State of all the optimizers, which the JAX trainer carries from step to step."""
        return self._variables + [v for o in self._all() for v in o.variables]

    @property
    def iterations(self) -> keras.Variable:
        """Steps taken, as counted by the first player."""
        return self._all()[0].iterations

    @property
    def learning_rate(self) -> Any:
        """The first player's rate. Setting it keeps the ratios of the players' rates.

        So a callback that halves it halves all of them. At 0, which has no ratios, the last ones
        count.

        Raises:
            TypeError: a player's rate, or what is set, is a `LearningRateSchedule`.
            ValueError: the first player's rate was 0 from the start.
        """
        return self._all()[0].learning_rate

    @learning_rate.setter
    def learning_rate(self, value: Any) -> None:
        optimizers = self._all()
        if callable(value) or any(callable(_inner(o)._learning_rate) for o in optimizers):
            raise TypeError(
                "A `LearningRateSchedule` belongs to one player: give it to the player's optimizer "
                "in compile(). The rates of all players can be set only where all are numbers. "
                f"Received: {value}"
            )
        self._ratios = self._current_ratios() or self._ratios
        if self._ratios is None:
            raise ValueError(
                f"The players' rates follow that of {self._names[0]!r}, which is 0. Set those of "
                f"the others as model.optimizer[player].learning_rate. Received: {value}"
            )
        for optimizer, ratio in zip(optimizers, self._ratios, strict=True):
            optimizer.learning_rate = value * ratio

    def _current_ratios(self) -> tuple[float, ...] | None:
        """Each player's rate, divided by that of the first; None if the first has none or 0."""
        if any(callable(_inner(o)._learning_rate) for o in self._all()):
            return None
        rates = [float(ops.convert_to_numpy(o.learning_rate)) for o in self._all()]
        return tuple(rate / rates[0] for rate in rates) if rates[0] else None

    # `keras.callbacks.SwapEMAWeights` swaps these two lists.

    def _averaging(self) -> list[keras.optimizers.Optimizer]:
        return [o for o in map(_inner, self._all()) if o.use_ema]

    @property
    def _trainable_variables(self) -> list[keras.Variable]:
        return [v for o in self._averaging() for v in o._trainable_variables]

    @_trainable_variables.setter
    def _trainable_variables(self, value: Any) -> None:
        pass  # Keras' constructor sets an empty list

    @property
    def _model_variables_moving_average(self) -> list[keras.Variable]:
        if not self._averaging():
            raise AttributeError("No player's optimizer has use_ema=True")
        return [v for o in self._averaging() for v in o._model_variables_moving_average]

    def finalize_variable_values(self, var_list: Sequence[keras.Variable]) -> None:
        """Overwrites each player's variables with their average, if its optimizer keeps one."""
        for optimizer in self._averaging():
            averages = optimizer._model_variables_moving_average
            for variable, average in zip(optimizer._trainable_variables, averages, strict=True):
                # A copy, because Keras lets the two share memory on JAX, where the next `fit` would
                # give it away twice.
                variable.assign(ops.copy(average))

    def save_own_variables(self, store: Any) -> None:
        """Saves nothing itself: the players' optimizers are saved as children."""

    def load_own_variables(self, store: Any) -> None:
        """Loads nothing itself: the players' optimizers are loaded as children."""

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        optimizers = {n: keras.saving.serialize_keras_object(self[n]) for n in self._names}
        return {"optimizers": optimizers, "name": self.name}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> PlayerOptimizers:
        """Builds the composite from `get_config`'s result."""
        optimizers = {
            name: keras.saving.deserialize_keras_object(optimizer, custom_objects)
            for name, optimizer in config["optimizers"].items()
        }
        return cls(optimizers, config["name"])

"""The training step on JAX: gradients, updates, and batches that devices share.

Keras' private names used here, tested up to Keras 3.15.1: `_symbolic_build`, the `data_adapter` of
the iterator that it gets, `_purge_model_variables` and `data_adapters`.
"""

from __future__ import annotations

import contextlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

import jax
import keras
import numpy as np
from keras.src.trainers.data_adapters import data_adapter

from keras_pixdt.engine.replicas import Tensor


class _Shared(NamedTuple):
    """A batch from which every device gets the same number of rows.

    Attributes:
        batch: the batch, filled up with copies of its last row.
        counted: an array of zero bytes; its second dimension says how many rows count.
    """

    batch: Any
    counted: Any


class _SharedBatches(data_adapter.DataAdapter):
    """The batches of another adapter, shared by the devices of `keras.distribution`.

    Keras wants batches that divide evenly among the devices, and only its own rows from each
    process.
    """

    def __init__(self, adapter: Any) -> None:
        self._adapter = adapter

    def get_jax_iterator(self) -> Iterator[_Shared]:
        devices = keras.distribution.distribution().num_model_replicas
        processes = jax.process_count()
        for batch in self._adapter.get_jax_iterator():
            count = len(keras.tree.flatten(batch)[0])
            own = -(-count // devices) * devices // processes
            rows = np.minimum(jax.process_index() * own + np.arange(own), count - 1)
            own_batch = keras.tree.map_structure(lambda x, rows=rows: np.asarray(x)[rows], batch)
            yield _Shared(own_batch, np.zeros((devices // processes, count, 0), "int8"))

    @property
    def num_batches(self) -> Any:
        return self._adapter.num_batches

    @property
    def batch_size(self) -> Any:
        return self._adapter.batch_size

    def on_epoch_begin(self) -> None:
        self._adapter.on_epoch_begin()

    def on_epoch_end(self) -> None:
        self._adapter.on_epoch_end()


def _counted(data: Any) -> Any:
    """The rows of a batch that count."""
    if not isinstance(data, _Shared):
        return data
    count = data.counted.shape[1]
    return keras.tree.map_structure(lambda x: x[:count], data.batch)


class Step(keras.Model):
    """The JAX part of `AdversarialModel`; state goes into each step and comes out of it."""

    _predict_function_alone: Callable[..., Tensor] | None = None

    def _scope(self) -> contextlib.AbstractContextManager[None]:
        return contextlib.nullcontext()

    def _replicas(self) -> int:
        distribution = keras.distribution.distribution()
        return 1 if distribution is None else distribution.num_model_replicas

    def _workers(self) -> int:
        return jax.process_count()

    def _attach_state(self) -> None:
        """Within `fit`, gives the variables their values, and makes the next step use them."""
        self.jax_state_sync()

    def _of_shape(self, x: Tensor, shape: Sequence[int | None]) -> Tensor:
        return x  # shapes are always known

    def _purge_model_variables(self, **groups: Any) -> None:
        pass  # steps take over the memory of variables anyway; one that is refused leaves it

    def _weigh(self, loss: Tensor) -> tuple[Tensor, Tensor]:
        return loss, loss  # keras.distribution shards one program; nothing is summed by hand

    def _state(self) -> tuple[list[keras.Variable], ...]:
        return (
            self.trainable_variables,
            self.non_trainable_variables,
            self.optimizer.variables,
            self.metrics_variables,
        )

    def _stateless(
        self,
        step: Callable[[Any], Any],
        groups: Sequence[Sequence[keras.Variable]],
        state: Any,
        data: Any,
    ) -> tuple[Any, tuple[list[Tensor], ...]]:
        mapping = [
            pair
            for group, values in zip(groups, state, strict=True)
            for pair in zip(group, values, strict=True)
        ]
        with keras.StatelessScope(mapping) as scope:
            logs = step(data)
        return logs, tuple([scope.get_current_value(v) for v in group] for group in groups)

    def _symbolic_build(self, iterator: Any = None, data_batch: Any = None) -> None:
        # Everything is built; `fit` and `evaluate` pass their iterator here.
        if self._replicas() > 1 and iterator is not None:
            if not isinstance(iterator.data_adapter, _SharedBatches):
                iterator.data_adapter = _SharedBatches(iterator.data_adapter)
        super()._symbolic_build(iterator, data_batch)

    def train_step(self, state: Any, data: Any) -> Any:
        """Takes one training step, for `fit`."""
        return self._stateless(self._train, self._state(), state, _counted(data))

    def test_step(self, state: Any, data: Any) -> Any:
        """Scores one batch, for `evaluate`."""
        trainable, non_trainable, _, metrics = self._state()
        groups = (trainable, non_trainable, metrics)
        return self._stateless(self._test, groups, state, _counted(data))

    def _predict_alone(self, x: Tensor) -> Tensor:
        if self._predict_function_alone is None:
            self._predict_function_alone = jax.jit(
                lambda *arguments: self.stateless_call(*arguments, training=False)[0]
            )
        own = [
            [v.value.addressable_data(0) for v in variables]
            for variables in (self.trainable_variables, self.non_trainable_variables)
        ]
        return self._predict_function_alone(*own, x)

    def _pure(
        self, fn: Callable[..., Any], variables: Sequence[keras.Variable] = ()
    ) -> tuple[Callable[..., Any], list[keras.Variable]]:
        """`fn` as a function of the values of `variables` that also returns the new state."""
        state: list[keras.Variable] = sum(self._state(), [])
        before = [(v, v.value) for v in state]

        def pure(values: list[Tensor], *inputs: Tensor) -> tuple[Any, list[Tensor]]:
            mapping = before + list(zip(variables, values, strict=True))
            with keras.StatelessScope(mapping) as scope:
                outputs = fn(*inputs)
            return outputs, [scope.get_current_value(v) for v in state]

        return pure, state

    def _assign(self, variables: list[keras.Variable], values: list[Tensor]) -> None:
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)

    def _pass(
        self, fn: Callable[[], Tensor], variables: Sequence[keras.Variable]
    ) -> tuple[Tensor, Callable[[Tensor], list[Tensor]]]:
        pure, state = self._pure(fn, variables)
        outputs, vjp, new = jax.vjp(pure, [v.value for v in variables], has_aux=True)
        self._assign(state, new)
        return outputs, lambda cotangents: vjp(cotangents)[0]

    def _gradients(
        self, fn: Callable[..., Any], variables: Sequence[keras.Variable] | None, *inputs: Tensor
    ) -> tuple[Any, Any]:
        pure, state = self._pure(fn, variables or ())

        def scalar(values: list[Tensor], inputs: Sequence[Tensor]) -> Any:
            (value, aux), new = pure(values, *inputs)
            return value, (aux, new)

        gradient = jax.grad(scalar, argnums=1 if variables is None else 0, has_aux=True)
        gradients, (aux, new) = gradient([v.value for v in variables or ()], inputs)
        self._assign(state, new)
        return (gradients[0] if variables is None else gradients), aux

    def _apply(
        self, optimizer: Any, gradients: list[Tensor], variables: list[keras.Variable]
    ) -> None:
        own = optimizer.variables
        new, new_own = optimizer.stateless_apply(
            [v.value for v in own], gradients, [v.value for v in variables]
        )
        self._assign([*variables, *own], [*new, *new_own])

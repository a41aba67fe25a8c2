"""The training step on TensorFlow: gradients, updates, and the rows of a batch that replicas get.

Keras' private names, tested up to Keras 3.15.1: `_compile_metrics`, `_maybe_symbolic_build`,
`_get_metrics_result_or_logs` and `data_adapters`; of TensorFlow 2.21, `extended._num_workers`.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import keras
import tensorflow as tf
from keras.src.trainers.data_adapters import py_dataset_adapter

from keras_pixdt.engine import replicas
from keras_pixdt.engine.optimizers import LossScaleOptimizer
from keras_pixdt.engine.replicas import Tensor


class Step(keras.Model):
    """The TensorFlow part of `AdversarialModel`."""

    _predict_function_alone: Callable[..., Tensor] | None = None

    def _scope(self) -> Any:
        return self.distribute_strategy.scope()

    def _replicas(self) -> int:
        return self.distribute_strategy.num_replicas_in_sync

    def _workers(self) -> int:
        return getattr(self.distribute_strategy.extended, "_num_workers", 1)

    def _attach_state(self) -> None:
        pass  # variables always have it

    def _maybe_symbolic_build(self, iterator: Any = None, data_batch: Any = None) -> None:
        pass  # all is built; Keras' own breaks under MultiWorkerMirroredStrategy (issue 20585)

    def train_step(self, data: Any) -> Any:
        """Takes one training step, for `fit`."""
        with replicas.step(self._part(data)):
            return self._reducible(self._train(data))

    def test_step(self, data: Any) -> Any:
        """Scores one batch, for `evaluate`."""
        return self._reducible(self._test(data))

    def _predict_alone(self, x: Tensor) -> Tensor:
        if self._predict_function_alone is None:
            self._predict_function_alone = tf.function(
                lambda data: self(data, training=False), reduce_retracing=True
            )
        return self._predict_function_alone(x)

    def _reducible(self, logs: dict[str, Tensor]) -> dict[str, Tensor]:
        if isinstance(self.distribute_strategy, tf.distribute.MultiWorkerMirroredStrategy):
            return {k: v[None] for k, v in logs.items()}  # Keras reduces these along axis 0
        return logs

    def _get_metrics_result_or_logs(self, logs: dict[str, Tensor]) -> dict[str, Tensor]:
        # Over all samples; the logs that Keras would take are the mean over the replicas.
        trained = logs.keys() <= {tracker.name for tracker in self._trackers.values()}
        return self._player_losses() if trained else self._compile_metrics.result()

    def _part(self, data: Any) -> replicas.Part | None:
        """Which rows of the global batch these are; replicas may have different numbers."""
        if self._replicas() == 1:
            return None
        context = tf.distribute.get_replica_context()
        replica = context.replica_id_in_sync_group
        rows = tf.cast(tf.shape(tf.nest.flatten(data)[0])[0], "float32")
        rows_of = context.all_reduce("SUM", tf.one_hot(replica, self._replicas()) * rows)
        rows_of = tf.cast(rows_of, "int32")  # int32 would be reduced on the host of a GPU
        return replicas.Part(
            tf.cumsum(rows_of, exclusive=True)[replica], rows_of[replica], tf.reduce_sum(rows_of)
        )

    def _of_shape(self, x: Tensor, shape: Sequence[int | None]) -> Tensor:
        """A tensor of this shape, which is compared at run time where a graph does not know it."""
        known = x.shape.rank is not None and None not in x.shape[1:]
        return x if known else tf.ensure_shape(x, shape)

    def _weigh(self, loss: Tensor) -> tuple[Tensor, Tensor]:
        """A loss as this replica's term of the sum over all, and as its mean."""
        part = replicas.part()
        if part is None:
            return loss / tf.distribute.get_strategy().num_replicas_in_sync, loss
        loss = tf.where(part.rows > 0, loss, tf.zeros_like(loss))  # a mean of no rows is NaN
        return loss * (tf.cast(part.rows, loss.dtype) / tf.cast(part.all_rows, loss.dtype)), loss

    def _pass(
        self, fn: Callable[[], Tensor], variables: Sequence[keras.Variable]
    ) -> tuple[Tensor, Callable[[Tensor], list[Tensor]]]:
        values = [v.value for v in variables]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(values)
            outputs = fn()
        return outputs, lambda cotangents: tape.gradient(outputs, values, cotangents)

    def _gradients(
        self, fn: Callable[..., Any], variables: Sequence[keras.Variable] | None, *inputs: Tensor
    ) -> tuple[Any, Any]:
        sources = list(inputs) if variables is None else [v.value for v in variables]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(sources)
            value, aux = fn(*inputs)
        # An objective may leave a network's output unused, but an unused variable is a mistake,
        # which the optimizer then reports.
        unconnected = "zero" if variables is None else "none"
        gradients = tape.gradient(value, sources, unconnected_gradients=unconnected)
        return (gradients[0] if variables is None else gradients), aux

    def _apply(
        self, optimizer: Any, gradients: list[Tensor], variables: list[keras.Variable]
    ) -> None:
        if (
            isinstance(optimizer, LossScaleOptimizer)
            and tf.distribute.get_strategy().num_replicas_in_sync > 1
        ):
            # Keras lets each replica judge its own gradients before they are summed, so with one
            # bad replica some would update while others skip.
            bad = 1.0 - tf.cast(optimizer.check_finite(gradients), "float32")
            bad = tf.distribute.get_replica_context().all_reduce("SUM", bad) > 0
            gradients = [
                g if g is None else tf.where(bad, tf.constant(float("nan"), g.dtype), g)
                for g in gradients
            ]
        optimizer.apply(gradients, variables)


def exact(strategy_class: Any) -> Any:
    """A class of strategies that cut each batch into even consecutive parts, one per replica.

    What TensorFlow does by itself depends on what it can find out about a dataset: a last batch may
    leave replicas without rows, and workers may get parts of different batches.
    """

    class Exact(strategy_class):
        def experimental_distribute_dataset(self, dataset: Any, options: Any = None) -> Any:
            def own(context: Any) -> Any:
                local = self.num_replicas_in_sync // context.num_input_pipelines
                first = context.input_pipeline_id * local
                return _pieces(dataset, range(first, first + local), self.num_replicas_in_sync)

            return self.distribute_datasets_from_function(own, options)

    Exact.__name__ = strategy_class.__name__
    return Exact


def own_rows(batches: Any, strategy: Any, worker: int, workers: int) -> Any:
    """Keras' adapter of `batches`, which draws only the rows of this worker.

    Args:
        batches: `keras_pixdt.data.batches.Batches`.
        strategy: the `tf.distribute` strategy of all workers.
        worker: index of this one.
        workers: their number.
    """

    class OwnRows(keras.utils.PyDataset):
        batch_sizes = batches.batch_sizes

        @property
        def num_batches(self) -> Any:
            return batches.num_batches

        def __getitem__(self, index: int) -> Any:
            return batches.share(index, worker, workers)

        def on_epoch_end(self) -> None:
            batches.on_epoch_end()

    class Adapter(py_dataset_adapter.PyDatasetAdapter):
        def get_tf_dataset(self) -> Any:
            dataset = super().get_tf_dataset()
            local = strategy.num_replicas_in_sync // workers
            return strategy.distribute_datasets_from_function(
                lambda _: _pieces(dataset, range(local), local)
            )

    return Adapter(OwnRows())


def _pieces(dataset: Any, own: range, count: int) -> Any:
    """Yields, of each batch's `count` even consecutive pieces, those in `own`."""

    def cut(*batch: Any) -> Any:
        rows = tf.shape(tf.nest.flatten(batch)[0], out_type=tf.int64)[0]

        def piece(index: Any) -> Any:
            place = slice(index * rows // count, (index + 1) * rows // count)
            cut_batch = tf.nest.map_structure(lambda x: x[place], batch)
            return cut_batch if isinstance(dataset.element_spec, tuple) else cut_batch[0]

        return tf.data.Dataset.range(own.start, own.stop).map(piece)

    return dataset.flat_map(cut).prefetch(tf.data.AUTOTUNE)

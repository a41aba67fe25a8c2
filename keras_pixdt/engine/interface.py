"""What users of Keras call: `compile`, `fit`, `predict`, `export`, saving and loading."""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops
from keras.src.trainers import data_adapters

from keras_pixdt.choices import check_batch_size
from keras_pixdt.engine import contract
from keras_pixdt.engine.optimizers import PlayerOptimizers

# Keras' private names used here, tested up to Keras 3.15.1: `_compile_metrics`, `_flatten_layers`,
# `_seed_generators` and `data_adapters`.

if keras.backend.backend() == "tensorflow":
    from keras_pixdt.engine.tensorflow_step import Step
elif keras.backend.backend() == "jax":
    from keras_pixdt.engine.jax_step import Step
else:
    raise ImportError(
        "keras_pixdt trains on the Keras backends 'tensorflow' and 'jax'. Received: "
        f"{keras.backend.backend()!r}. Set the environment variable KERAS_BACKEND before the first "
        "import of keras."
    )


def _given(method: Any, *args: Any, **kwargs: Any) -> dict[str, Any]:
    """Arguments by name, also those that are given by position."""
    return dict(inspect.signature(method).bind(*args, **kwargs).arguments)


class Interface(Step):
    """The part of `AdversarialModel` that is called like any Keras model."""

    _trackers: dict[str, keras.metrics.Mean]

    def _contract(self) -> contract.Contract:
        return contract.Contract(type(self).__name__, self.batch_shapes())

    def _batch(self, data: Any) -> dict[str, Any]:
        """The batch in what Keras hands to a step."""
        shapes, batch = self.batch_shapes(), self._contract().batch(data)
        return {k: self._of_shape(x, shapes[k]) if k in shapes else x for k, x in batch.items()}

    def source_of(self, inputs: Any) -> Any:
        """Source images, given as they are or as a batch that holds them under "source".

        Raises:
            ValueError: they do not fit the model; names the data contract.
        """
        given = self._contract()
        return self._of_shape(given.source(inputs), given.shapes["source"])

    def _check_metrics(self) -> None:
        if self._compile_metrics is None:
            raise ValueError(
                "evaluate() and validation_data need metrics: compile(metrics=[...]), for example "
                "keras_pixdt.metrics.RootMeanSquaredError()"
            )

    # `compile`, `fit`, `predict`

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """The players' losses and the metrics of `compile`; Keras' own "loss" has no meaning."""
        compiled = [] if self._compile_metrics is None else [self._compile_metrics]
        return [*self._trackers.values(), *compiled]

    def compile(
        self,
        optimizer: Any = "adam",
        metrics: Sequence[Any] | None = None,
        *,
        loss: Any = None,
        loss_weights: Any = None,
        auto_scale_loss: bool = True,
        **kwargs: Any,
    ) -> None:
        """Configures training.

        Args:
            optimizer: player name -> optimizer for every player, or one optimizer (object, name
                or config), which is copied for each player.
            metrics: `keras.metrics.Metric`s of (real, generated) images in [-1, 1], updated by
                `evaluate` and validation.
            loss: refused, because the model has its own losses.
            loss_weights: refused too.
            auto_scale_loss: whether the players' losses are scaled in mixed_float16.
            **kwargs: `run_eagerly`, `steps_per_execution`, `jit_compile`, `weighted_metrics` as in
                `keras.Model`.

        Raises:
            ValueError: a player has no optimizer, an optimizer no player, or `loss` or
                `loss_weights` was given.
        """
        for name, value in (("loss", loss), ("loss_weights", loss_weights)):
            if value is not None:
                raise ValueError(
                    f"{type(self).__name__} brings its objective: give weights of its terms to its "
                    f"constructor instead of compile({name}={value!r})"
                )
        with self._scope():
            optimizers = self._player_optimizers(optimizer)
            if auto_scale_loss and self.dtype_policy.name == "mixed_float16":
                optimizers.scale_losses()
            super().compile(optimizer=optimizers, metrics=metrics, auto_scale_loss=False, **kwargs)
            optimizers.build_players({name: self.player_variables(name) for name in self.players})
            if self._compile_metrics is not None:
                images = keras.KerasTensor(self.generated_shape(), dtype="float32")
                self._compile_metrics.build(images, images)

    def fit(
        self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any
    ) -> keras.callbacks.History:
        """Trains like `keras.Model.fit`; batches are shared by all replicas.

        Raises:
            ValueError: data or an argument do not fit the model; names the data contract. Or a
                batch size of `x`, a `Triplets`, is not a multiple of the number of replicas.
        """
        # Keras drops weights that come without targets, wherever they stand.
        owner, given = type(self).__name__, _given(super().fit, x, y, *args, **kwargs).get
        contract.refuse_weights(
            owner, class_weight=given("class_weight"), sample_weight=given("sample_weight")
        )
        contract.check_callbacks(owner, given("callbacks"), list(self._player_losses()))
        if x is None:
            self._contract().batch(None)  # refuses it
        self._contract().check_early((x, y))
        if given("validation_data") is not None or given("validation_split"):
            self._check_metrics()
            self._contract().check_early(given("validation_data"))
        batches = getattr(x, "py_dataset", x)
        for size in getattr(batches, "batch_sizes", ()):
            check_batch_size(size, self._replicas())
        if isinstance(batches, keras.utils.PyDataset) and self._workers() > 1 and not args:
            # Keras shuffles whole batches with Python's generator, which differs between workers.
            kwargs.setdefault("shuffle", False)
        return super().fit(x, y, *args, **kwargs)

    def train_on_batch(
        self,
        x: Any,
        y: Any = None,
        sample_weight: Any = None,
        class_weight: Any = None,
        return_dict: bool = False,
    ) -> Any:
        """Takes one step, as `keras.Model.train_on_batch` does.

        Raises:
            ValueError: as for `fit`.
        """
        contract.refuse_weights(type(self).__name__, class_weight=class_weight)
        self._contract().check_early((x, y, sample_weight))
        return super().train_on_batch(x, y, sample_weight, None, return_dict)

    def evaluate(self, x: Any = None, y: Any = None, *args: Any, **kwargs: Any) -> Any:
        """Scores like `keras.Model.evaluate`.

        Raises:
            ValueError: data or an argument do not fit the model, or it has no metrics.
        """
        self._check_metrics()
        given = _given(super().evaluate, x, y, *args, **kwargs)
        self._contract().check_early((x, y, given.get("sample_weight")))
        return super().evaluate(x, y, *args, **kwargs)

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: str | int = "auto",
        steps: int | None = None,
        callbacks: Any = None,
    ) -> Any:
        """Predicts like `keras.Model.predict`; with several workers, each predicts on its own."""
        self._contract().check_source_early(x)
        if self._replicas() == 1:
            return super().predict(x, batch_size, verbose, steps, callbacks)
        # Keras would return the rows of several workers in a different order, and on JAX it would
        # refuse a last batch that does not divide evenly among the devices.
        adapter = data_adapters.get_data_adapter(x, batch_size=batch_size, steps_per_epoch=steps)
        batches = itertools.islice(adapter.get_numpy_iterator(), steps)
        rows = [keras.utils.unpack_x_y_sample_weight(batch)[0] for batch in batches]
        return np.concatenate([self.predict_on_batch(x) for x in rows])

    def predict_on_batch(self, x: Any) -> Any:
        """Predicts one batch, on one device: no worker waits for another."""
        self._contract().check_source_early(x)
        if self._replicas() == 1:
            return super().predict_on_batch(x)
        return ops.convert_to_numpy(self._predict_alone(x))

    def _player_optimizers(self, optimizer: Any) -> PlayerOptimizers:
        if not isinstance(optimizer, PlayerOptimizers):
            if not isinstance(optimizer, Mapping) or "class_name" in optimizer:
                config = keras.saving.serialize_keras_object(keras.optimizers.get(optimizer))
                optimizer = {
                    name: keras.saving.deserialize_keras_object(config) for name in self.players
                }
            optimizer = PlayerOptimizers(optimizer)
        if set(optimizer.names) != set(self.players):
            raise ValueError(
                f"{type(self).__name__} needs one optimizer for each of its players "
                f"{sorted(self.players)}. Received: {sorted(optimizer.names)}"
            )
        return optimizer

    def compile_from_config(self, config: dict[str, Any]) -> None:
        """Compiles like the saved model, except for options that its machine had resolved."""
        config = keras.saving.deserialize_keras_object(config)
        config.pop("jit_compile", None)  # "auto" was resolved on the machine that saved it
        self.compile(**config, auto_scale_loss=False)  # the saved optimizers scale if they did

    def _retrace(self) -> None:
        """Makes `fit`, `evaluate` and `predict` trace their functions again: the step changed."""
        if self.train_function is not None:
            self.make_train_function(force=True)  # `fit` looks it up for each batch
        self.test_function = self.predict_function = self._predict_function_alone = None

    # Saving

    def export(
        self,
        filepath: Any,
        format: str = "tf_saved_model",
        verbose: bool | None = None,
        input_signature: Any = None,
        **kwargs: Any,
    ) -> None:
        """Exports `call` like `keras.Model.export`, whether the model was called before or not."""
        if input_signature is None:
            input_signature = [keras.InputSpec("float32", self.batch_shapes()["source"])]
        super().export(filepath, format, verbose, input_signature, **kwargs)

    def _seed_states(self) -> list[keras.Variable]:
        layers = self._flatten_layers(include_self=True)
        return [generator.state for layer in layers for generator in layer._seed_generators]

    def save_own_variables(self, store: Any) -> None:
        """Saves the states of the random generators, which Keras does not save.

        Without them, a resumed run would draw different samples than an uninterrupted one.
        """
        for i, state in enumerate(self._seed_states()):
            store[str(i)] = state

    def load_own_variables(self, store: Any) -> None:
        """Restores the states that `save_own_variables` saved."""
        for i, state in enumerate(self._seed_states()):
            state.assign(store[str(i)])

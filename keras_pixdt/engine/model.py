"""The base of every model: players, their optimizers, one training step.

A paper's class declares the players and defines `adversarial_step`, which reads like the paper's
algorithm. Everything that is not specific to the paper is here: updating one player at a time,
trackers, the test step, saving and exact restoring. `tensorflow_step` and `jax_step` have the parts
that differ between TensorFlow and JAX.
"""

from __future__ import annotations

import inspect
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops
from keras.src.trainers import data_adapters

from keras_pixdt.engine import replicas
from keras_pixdt.engine.optimizers import PlayerOptimizers
from keras_pixdt.engine.replicas import Tensor

# Keras' private names used here, tested up to Keras 3.15.1: `_compile_metrics`, `_flatten_layers`,
# `_seed_generators` and `data_adapters`.

if keras.backend.backend() == "tensorflow":
    from keras_pixdt.engine.tensorflow_step import Step
elif keras.backend.backend() == "jax":
    from keras_pixdt.engine.jax_step import Step  # type: ignore[assignment]
else:
    raise ImportError(
        "keras_pixdt trains on the Keras backends 'tensorflow' and 'jax'. Received: "
        f"{keras.backend.backend()!r}. Set the environment variable KERAS_BACKEND before the first "
        "import of keras."
    )


def train_pass(network: keras.Model, inputs: Tensor) -> Tensor:
    """Runs a network in training mode."""
    return network(inputs, training=True)


def source_of(inputs: Tensor | Mapping[str, Tensor]) -> Tensor:
    """Source images, given as they are or as a batch that holds them under "source"."""
    return inputs["source"] if isinstance(inputs, Mapping) else inputs


class Forward(NamedTuple):
    """A forward pass of one player, kept so that its update does not have to repeat it.

    Attributes:
        outputs: what the player's networks returned.
        pull: cotangents of `outputs` -> gradients of the player's variables.
    """

    outputs: Tensor
    pull: Callable[[Tensor], list[Tensor]]


class AdversarialModel(Step):
    """Base of the package's models: several networks that are updated in turn.

    A subclass
      - stores each constructor argument under its own name, builds all its networks with
        `dtype=self.dtype_policy`, and ends `__init__` with `set_players`;
      - defines `adversarial_step(batch)`, which calls `minimize` and returns each player's loss.

    Its `converter` is the network that draws: `predict` applies it to source images. A model that
    computes something else overrides `call` and `generated_shape`.

    `fit`, `evaluate`, `predict`, callbacks, `.keras` files and `tf.distribute` then work as for
    any Keras model. The optimizer of `compile` may be a mapping from players to optimizers, a
    `PlayerOptimizers`, or a single optimizer, which is copied for each player.
    """

    players: dict[str, list[str]]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._trackers: dict[str, keras.metrics.Mean] = {}

    def set_players(self, players: Mapping[str, Sequence[str]]) -> None:
        """Declares the players once all networks exist, at the end of the subclass's `__init__`.

        Args:
            players: player name -> names of the attributes that hold its networks, in the order
                of their updates. A player's loss appears in the logs as `<player>_loss`.
        """
        self.players = {name: list(networks) for name, networks in players.items()}
        self._trackers = {name: keras.metrics.Mean(name=f"{name}_loss") for name in players}
        self.built = True  # every network is built: nothing waits for a first batch

    # A paper defines these

    def adversarial_step(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """One step of the paper's algorithm.

        Args:
            batch: a batch as in the data contract: float32 images in [-1, 1], (batch, size, size,
                channels).

        Returns:
            Player name -> its scalar loss, as `minimize` returned it.
        """
        raise NotImplementedError

    def call(self, inputs: Tensor | Mapping[str, Tensor], training: bool = False) -> Tensor:
        """Target images of source images.

        Args:
            inputs: source images, (batch, side, side, 3) in [-1, 1], or a batch that holds them
                under "source".
            training: whether layers behave as in training: BatchNorm uses the batch's statistics,
                and noise, if the model has any, is drawn anew.

        Returns:
            The converted images, float32 (batch, `drawn_size`, `drawn_size`, 3) in [-1, 1].
        """
        return self.converter(source_of(inputs), training=training)

    def generated_shape(self) -> tuple[int | None, ...]:
        """Shape of the images of `evaluation_pair`, with None for the batch."""
        return self.converter.output_shape

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        config = super().get_config()
        for name in inspect.signature(type(self).__init__).parameters:
            if name not in config and name in vars(self):
                config[name] = getattr(self, name)
        return config

    def evaluation_pair(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Real and generated images that the metrics of `compile` compare."""
        return batch["target"], self(batch["source"], training=False)

    def converter_passes(
        self, batch: Mapping[str, Tensor], run: Callable[[keras.Model, Tensor], Tensor] = train_pass
    ) -> list[Tensor]:
        """The passes of a training step on whose statistics converted images depend.

        With averaged weights, BatchNorm's statistics are measured in these passes. By default this
        is one pass of the converter on `source`. A model that also converts other images overrides
        this method.

        Args:
            batch: as for `adversarial_step`.
            run: takes a network of the model and its input, and returns the network's output in
                training mode. To measure statistics, the caller passes a function that runs copies
                of the networks.

        Returns:
            The output of each pass.
        """
        return [run(self.converter, batch["source"])]

    def player_variables(self, name: str) -> list[keras.Variable]:
        """The trainable variables that the player's optimizer updates."""
        return [v for n in self.players[name] for v in getattr(self, n).trainable_variables]

    def active_variables(self, name: str) -> list[keras.Variable]:
        """Those of the player's variables that the step uses now; the others get zero gradients."""
        return self.player_variables(name)

    @property
    def at_last_stage(self) -> bool:
        """Whether the model is trained as a whole, so that scores of epochs can be compared."""
        return True

    def plain_converter(self) -> keras.Model:
        """The converter to export: a functional model without parts that only training needs."""
        return self.converter

    @property
    def drawn_size(self) -> int:
        """Side in px of the images that `drawing` draws."""
        return self.generated_shape()[1]  # type: ignore[return-value]

    @property
    def scalable(self) -> bool:
        """Whether the model draws at any size, by `draw_at`."""
        return False

    # A model that cuts garments out has a method of this name: photos to masks in [0, 1].
    find_masks: Callable[[Tensor], Tensor] | None = None

    def drawing(self) -> keras.Model:
        """The model that converts images, at the size it draws, before any mere enlargement.

        Returns:
            A model that maps float32 images in [-1, 1], as `call` takes them, to (batch,
            `drawn_size`, `drawn_size`, 3). If the model does not enlarge its images, this is the
            model itself.
        """
        return self

    # The training step

    def forward(self, name: str, fn: Callable[[], Tensor]) -> Forward:
        """Runs a player's networks, so that its update does not have to run them again.

        The papers' models run the converter once per step, and update discriminators and converter
        from this pass. None of its weights change in between, and its BatchNorm statistics move
        only once.

        Args:
            name: the player.
            fn: returns the output of its networks, one tensor.
        """
        return Forward(*self._pass(fn, self.active_variables(name)))

    def minimize(
        self,
        name: str,
        loss_fn: Callable[..., Tensor],
        through: Forward | None = None,
        penalty: Callable[[], Tensor] | None = None,
    ) -> Tensor:
        """Updates one player.

        Args:
            name: the player.
            loss_fn: returns the player's scalar loss, the mean over this replica's samples.
            through: a `forward` of the same player; `loss_fn` then takes its outputs, and its pass
                is used for the gradients. Terms that depend on the player's weights in any other
                way get no gradient.
            penalty: returns a scalar that depends only on the player's weights, such as weight
                decay. Its gradient is added, but it is not part of the returned loss.

        Returns:
            The loss before the update, float32, not scaled.
        """
        variables, optimizer = self.active_variables(name), self.optimizer[name]

        def scaled(fn):
            def term(*inputs):
                # In float32: the scale of mixed_float16 overflows half precision by design.
                own_term, loss = self._weigh(ops.cast(fn(*inputs), keras.config.floatx()))
                return optimizer.scale_loss(own_term), loss

            return term

        if through is None:
            gradients, loss = self._gradients(scaled(loss_fn), variables)
        else:
            cotangents, loss = self._gradients(scaled(loss_fn), None, through.outputs)
            gradients = through.pull(cotangents)
        if penalty is not None:
            added, _ = self._gradients(scaled(penalty), variables)
            # If the loss has no gradient, it stays missing, and the optimizer reports the mistake.
            gradients = [
                g if g is None or p is None else g + p
                for g, p in zip(gradients, added, strict=True)
            ]
        gradient_of = {id(v): gradient for v, gradient in zip(variables, gradients, strict=True)}
        every = self.player_variables(name)
        if len(variables) < len(every):
            gradients = [gradient_of.get(id(v), ops.zeros(v.shape, v.dtype)) for v in every]
        self._apply(optimizer, gradients, every)
        return loss

    def draw(self, sample: Callable[[Tensor], Tensor], like: Tensor) -> Tensor:
        """See `keras_pixdt.engine.replicas.draw`."""
        return replicas.draw(sample, like)

    def gradient(self, fn: Callable[[Tensor], Tensor], x: Tensor) -> Tensor:
        """Computes d sum(fn(x)) / dx, itself differentiable: for gradient penalties."""
        return self._gradients(lambda x: (ops.sum(fn(x)), None), None, x)[0]

    def _train(self, data: Any) -> dict[str, Tensor]:
        batch = keras.utils.unpack_x_y_sample_weight(data)[0]
        rows = ops.shape(keras.tree.flatten(batch)[0])[0]
        for name, loss in self.adversarial_step(batch).items():
            self._trackers[name].update_state(loss, sample_weight=rows)
        return self._player_losses()

    def _player_losses(self) -> dict[str, Tensor]:
        return {tracker.name: tracker.result() for tracker in self._trackers.values()}

    def _test(self, data: Any) -> dict[str, Tensor]:
        batch = keras.utils.unpack_x_y_sample_weight(data)[0]
        if self._compile_metrics is None:
            raise ValueError(
                "evaluate() and validation_data need metrics: compile(metrics=[...]), for example "
                "keras_pixdt.metrics.RootMeanSquaredError()"
            )
        self._compile_metrics.update_state(*self.evaluation_pair(batch))
        return self._compile_metrics.result()

    # `compile`, `fit`, `predict`

    @property
    def metrics(self) -> list[keras.metrics.Metric]:
        """The players' losses and the metrics of `compile`; Keras' own "loss" has no meaning."""
        compiled = [] if self._compile_metrics is None else [self._compile_metrics]
        return [*self._trackers.values(), *compiled]

    def compile(
        self, optimizer: Any = "adam", metrics: Sequence[Any] | None = None, **kwargs: Any
    ) -> None:
        """Configures training.

        Args:
            optimizer: player name -> optimizer for every player, or one optimizer (object, name
                or config), which is copied for each player.
            metrics: `keras.metrics.Metric`s of (real, generated) images in [-1, 1], updated by
                `evaluate` and validation.
            **kwargs: `run_eagerly`, `steps_per_execution`, `jit_compile` as in `keras.Model`. The
                model has its own losses, so `loss` is refused.

        Raises:
            ValueError: a player has no optimizer, an optimizer no player, or `loss` was given.
        """
        if kwargs.get("loss") is not None:
            raise ValueError(
                f"{type(self).__name__} brings its objective: give weights of its terms to its "
                f"constructor instead of compile(loss={kwargs['loss']!r})"
            )
        kwargs.pop("auto_scale_loss", None)  # done here, for each player
        with self._scope():
            optimizers = self._player_optimizers(optimizer)
            if self.dtype_policy.name == "mixed_float16":
                optimizers.scale_losses()
            super().compile(optimizer=optimizers, metrics=metrics, auto_scale_loss=False, **kwargs)
            optimizers.build_players({name: self.player_variables(name) for name in self.players})
            if self._compile_metrics is not None:
                images = keras.KerasTensor(self.generated_shape(), dtype="float32")
                self._compile_metrics.build(images, images)

    def fit(self, x: Any = None, *args: Any, **kwargs: Any) -> keras.callbacks.History:
        """Trains like `keras.Model.fit`; batches are shared by all replicas.

        Raises:
            ValueError: a batch size of `x`, a `Triplets`, is not a multiple of the number of
                replicas.
        """
        batches = getattr(x, "py_dataset", x)
        for size in getattr(batches, "batch_sizes", ()):
            replicas.check_batch_size(size, self._replicas())
        if isinstance(batches, keras.utils.PyDataset) and self._workers() > 1 and not args:
            # Keras shuffles whole batches with Python's generator, which differs between workers.
            kwargs.setdefault("shuffle", False)
        return super().fit(x, *args, **kwargs)

    def predict(
        self,
        x: Any,
        batch_size: int | None = None,
        verbose: str | int = "auto",
        steps: int | None = None,
        callbacks: Any = None,
    ) -> Any:
        """Predicts like `keras.Model.predict`; with several workers, each predicts on its own."""
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
        self.compile(**config)

    def _retrace(self) -> None:
        """Makes `fit`, `evaluate` and `predict` trace their functions again: the step changed."""
        if self.train_function is not None:
            self.make_train_function(force=True)  # `fit` looks it up for each batch
        self.test_function = self.predict_function = self._predict_function_alone = None

    # Saving

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


def reverse_network(model: keras.Model) -> keras.Model:
    """The network of a model that converts images of the second domain back to the first.

    Raises:
        ValueError: the model has no such network.
    """
    network = getattr(model, "reverse_converter", None)
    if network is None:
        raise ValueError(
            "Only a model with a network for the way back, its `reverse_converter`, converts back. "
            f"This {type(model).__name__} has none. A DiscoGAN has one, unless its "
            "`reconstruction_weight` is 0."
        )
    return network

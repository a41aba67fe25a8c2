"""What every model of the package shares: players, their optimizers, one training step.

A paper's class says who the players are and writes `adversarial_step`, which reads like the
paper's algorithm. Everything that is not the paper is here: updates of one player at a time,
trackers, the test step, saving and exact restoring. What differs between TensorFlow and JAX is in
`tensorflow_step` and `jax_step`.
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

# Keras' private names here, tested up to Keras 3.15.1: `_compile_metrics`, `_flatten_layers`,
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
    """A forward pass of one player, kept so that its update need not repeat it.

    Attributes:
        outputs: what the player's networks returned.
        pull: cotangents of `outputs` -> gradients of the player's variables.
    """

    outputs: Tensor
    pull: Callable[[Tensor], list[Tensor]]


class AdversarialModel(Step):
    """Base of the package's models: several networks that are updated in turns.

    A subclass
      - keeps each argument of its constructor under the argument's name, builds all its networks
        with `dtype=self.dtype_policy`, and ends `__init__` with `set_players`;
      - writes `adversarial_step(batch)`: calls of `minimize`, returning each player's loss.

    Its `converter` is the network that draws: `predict` computes what it makes of source images.
    A model that computes something else overrides `call`, and `generated_shape` with it.

    `fit`, `evaluate`, `predict`, callbacks, `.keras` files and `tf.distribute` then work as for
    any Keras model. The optimizer of `compile` may be a mapping from players to optimizers, a
    `PlayerOptimizers`, or a single optimizer, which is copied for each player.
    """

    players: dict[str, list[str]]

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(**kwargs)
        self._trackers: dict[str, keras.metrics.Mean] = {}

    def set_players(self, players: Mapping[str, Sequence[str]]) -> None:
        """Declares the players once all networks exist; the subclass's `__init__` ends with it.

        Args:
            players: player name -> names of the attributes that hold its networks, in the order
                of their updates. A player's loss appears in the logs as `<player>_loss`.
        """
        self.players = {name: list(networks) for name, networks in players.items()}
        self._trackers = {name: keras.metrics.Mean(name=f"{name}_loss") for name in players}
        self.built = True  # every network is: nothing waits for a first batch

    # What a paper has

    def adversarial_step(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """One step of the paper's algorithm.

        Args:
            batch: the data contract: float32 images in [-1, 1], (batch, size, size, channels).

        Returns:
            Player name -> its scalar loss, as `minimize` returned it.
        """
        raise NotImplementedError

    def call(self, inputs: Tensor | Mapping[str, Tensor], training: bool = False) -> Tensor:
        """Target images of source images.

        Args:
            inputs: source images, (batch, size, size, 3) in [-1, 1], or a batch that holds them
                under "source".
            training: whether layers behave as in training: BatchNorm uses the batch's statistics,
                and the noise of a model that has some is drawn anew.

        Returns:
            What the converter makes of them, float32: images of the same shape and range.
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
        """The passes of a training step whose statistics converted images depend on.

        BatchNorm's statistics of averaged weights are measured in them. Here it is one pass, of the
        converter on `source`. A model that converts other images too overrides it.

        Args:
            batch: as for `adversarial_step`.
            run: takes a network of the model and its input, and returns what the network draws of
                it in training mode. Whoever measures gives one that runs copies of the networks.

        Returns:
            What each pass draws.
        """
        return [run(self.converter, batch["source"])]

    def player_variables(self, name: str) -> list[keras.Variable]:
        """The trainable variables that the player's optimizer updates."""
        return [v for n in self.players[name] for v in getattr(self, n).trainable_variables]

    def active_variables(self, name: str) -> list[keras.Variable]:
        """Those of them that the step uses now; the others get gradients of zero."""
        return self.player_variables(name)

    @property
    def at_last_stage(self) -> bool:
        """Whether the model is trained as a whole, so that the scores of epochs compare."""
        return True

    def plain_converter(self) -> keras.Model:
        """The converter as it is exported: a functional model without what only training needs."""
        return self.converter

    @property
    def drawn_size(self) -> int:
        """Side in px of what `drawing` draws."""
        return self.generated_shape()[1]  # type: ignore[return-value]

    def drawing(self) -> keras.Model:
        """What converts images, in the size that is drawn: before any mere enlargement.

        Returns:
            A model of float32 images in [-1, 1] as `call` takes them, to (batch, `drawn_size`,
            `drawn_size`, 3); the model itself where it does not enlarge what it draws.
        """
        return self

    # The training step

    def forward(self, name: str, fn: Callable[[], Tensor]) -> Forward:
        """Runs a player's networks, for an update that need not run them again.

        The papers' models run the converter once a step, and update discriminators and converter
        from this pass. No weight of it changes in between, and its BatchNorm statistics move once.

        Args:
            name: the player.
            fn: returns what its networks draw, one tensor.
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
            through: a `forward` of the same player; `loss_fn` then takes its outputs, and its
                pass is used for the gradients. Terms that depend on the player's weights in
                another way than through these outputs get no gradient.
            penalty: returns a scalar of the player's weights alone, such as weight decay. Its
                gradient is added; it is no part of the loss that is returned.

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
            # Where the loss has none, it stays missing: the optimizer reports the mistake.
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
        """As `keras_pixdt.engine.replicas.draw`."""
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
            **kwargs: `run_eagerly`, `steps_per_execution`, `jit_compile` as in `keras.Model`.
                Losses are the model's own: `loss` is refused.

        Raises:
            ValueError: a player has no optimizer, an optimizer no player, or `loss` was given.
        """
        if kwargs.get("loss") is not None:
            raise ValueError(
                f"{type(self).__name__} brings its objective: give weights of its terms to its "
                f"constructor instead of compile(loss={kwargs['loss']!r})"
            )
        kwargs.pop("auto_scale_loss", None)  # done here, by player
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
        """Trains as `keras.Model.fit` does; batches are those of all replicas together.

        Raises:
            ValueError: a batch size of `x`, a `Triplets`, is no multiple of the replicas' number.
        """
        batches = getattr(x, "py_dataset", x)
        for size in getattr(batches, "batch_sizes", ()):
            replicas.check_batch_size(size, self._replicas())
        if isinstance(batches, keras.utils.PyDataset) and self._workers() > 1 and not args:
            # Keras shuffles whole batches by Python's generator, which differs between workers.
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
        """Predicts as `keras.Model.predict` does; each of several workers predicts on its own."""
        if self._replicas() == 1:
            return super().predict(x, batch_size, verbose, steps, callbacks)
        # Keras would have the rows of several workers in another order, and on JAX refuse a last
        # batch that the devices cannot share.
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
        """Compiles as the saved model was, except for what its machine had resolved."""
        config = keras.saving.deserialize_keras_object(config)
        config.pop("jit_compile", None)  # "auto" was resolved on the machine that saved it
        self.compile(**config)

    def _retrace(self) -> None:
        """Has the functions of `fit`, `evaluate` and `predict` traced anew: the step changed."""
        if self.train_function is not None:
            self.make_train_function(force=True)  # `fit` looks it up for each batch
        self.test_function = self.predict_function = self._predict_function_alone = None

    # Saving

    def _seed_states(self) -> list[keras.Variable]:
        layers = self._flatten_layers(include_self=True)
        return [generator.state for layer in layers for generator in layer._seed_generators]

    def save_own_variables(self, store: Any) -> None:
        """Saves the states of the random generators, which Keras leaves out.

        Without them a resumed run would draw other samples than an uninterrupted one.
        """
        for i, state in enumerate(self._seed_states()):
            store[str(i)] = state

    def load_own_variables(self, store: Any) -> None:
        """Restores what `save_own_variables` saved."""
        for i, state in enumerate(self._seed_states()):
            state.assign(store[str(i)])


def reverse_network(model: keras.Model) -> keras.Model:
    """The network of a model that converts images of the second domain back to the first.

    Raises:
        ValueError: the model has none.
    """
    network = getattr(model, "reverse_converter", None)
    if network is None:
        raise ValueError(
            "Only a model with a network for the way back, its `reverse_converter`, converts back. "
            f"This {type(model).__name__} has none; a DiscoGAN has one, unless its "
            "`reconstruction_weight` is 0."
        )
    return network

"""The base of every model: players, their optimizers, one training step.

A paper's class declares the players and defines `adversarial_step`, which reads like the paper's
algorithm. Everything that is not specific to the paper is below it: here, updating one player at a
time, trackers and the test step; in `interface` what users call. `tensorflow_step` and `jax_step`
have the parts that differ between TensorFlow and JAX.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import keras
from keras import ops

from keras_pixdt.choices import Size, as_size
from keras_pixdt.engine import contract, replicas
from keras_pixdt.engine.interface import Interface
from keras_pixdt.engine.replicas import Tensor as Tensor  # models take it from here

# Keras' private name used here, tested up to Keras 3.15.1: `_compile_metrics`.


def train_pass(network: keras.Model, inputs: Tensor) -> Tensor:
    """Runs a network in training mode."""
    return network(inputs, training=True)


class Forward(NamedTuple):
    """A forward pass of one player, kept so that its update does not have to repeat it.

    Attributes:
        outputs: what the player's networks returned.
        pull: cotangents of `outputs` -> gradients of the player's variables.
    """

    outputs: Tensor
    pull: Callable[[Tensor], list[Tensor]]


class AdversarialModel(Interface):
    """Base of the package's models: several networks that are updated in turn.

    A subclass
      - stores each constructor argument under its own name, builds all its networks with
        `dtype=self.dtype_policy`, and ends `__init__` with `set_players`;
      - defines `adversarial_step(batch)`, which calls `minimize` and returns each player's loss.

    Its `converter` is the network that draws: `predict` applies it to source images. A model that
    computes something else overrides `call`, `generated_shape` and `batch_shapes`.

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
            batch: a batch as in the data contract: float32 images in [-1, 1], (batch, height,
                width, channels).

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
            The converted images, float32 (batch, height, width, 3) in [-1, 1].
        """
        return self.converter(self.source_of(inputs), training=training)

    def generated_shape(self) -> contract.Shape:
        """Shape of the images of `evaluation_pair`, with None for the batch."""
        return self.converter.output_shape

    def batch_shapes(self) -> dict[str, contract.Shape]:
        """Key -> shape of what the model reads of a batch, with None for the batch.

        `source` and `target` are always there. A model that reads more adds it.
        """
        photo = {"source": self.converter.input_shape} if hasattr(self, "converter") else {}
        return {**photo, "target": self.generated_shape()}

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
    def drawn_size(self) -> Size:
        """Side in px of the images that `drawing` draws, or (height, width) of rectangles."""
        _, height, width, _ = self.generated_shape()
        return as_size((height, width))  # type: ignore[arg-type]

    @property
    def scalable(self) -> bool:
        """Whether the model draws at any size, by `draw_at`."""
        return False

    # A model that cuts garments out has a method of this name: photos to masks in [0, 1].
    find_masks: Callable[[Tensor], Tensor] | None = None

    def drawing(self) -> keras.Model:
        """The model that converts images, at the size it draws, before any mere enlargement.

        Returns:
            A model that maps float32 images in [-1, 1], as `call` takes them, to (batch, height,
            width, 3), of `drawn_size`. If the model does not enlarge its images, this is the
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

        def scaled(fn: Callable[..., Tensor]) -> Callable[..., tuple[Tensor, Tensor]]:
            def term(*inputs: Tensor) -> tuple[Tensor, Tensor]:
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
        batch = self._batch(data)
        rows = ops.shape(keras.tree.flatten(batch)[0])[0]
        for name, loss in self.adversarial_step(batch).items():
            self._trackers[name].update_state(loss, sample_weight=rows)
        return self._player_losses()

    def _player_losses(self) -> dict[str, Tensor]:
        return {tracker.name: tracker.result() for tracker in self._trackers.values()}

    def _test(self, data: Any) -> dict[str, Tensor]:
        self._check_metrics()
        batch = self._batch(data)
        self._compile_metrics.update_state(*self.evaluation_pair(batch))
        return self._compile_metrics.result()


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

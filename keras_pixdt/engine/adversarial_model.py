"""What every model of the package shares: players, their optimizers, one training step.

A paper's class says who the players are and writes `adversarial_step`, which reads like the
paper's algorithm. Everything that is not the paper is here: gradients on TensorFlow and JAX,
one optimizer and one loss scale for each player, replicas and their parts of a batch, trackers,
the test step, saving and exact restoring.
"""

from __future__ import annotations

import contextlib
import itertools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops
from keras.src.trainers import data_adapters

from keras_pixdt.engine import replicas

_BACKEND = keras.backend.backend()
if _BACKEND == "tensorflow":
    import tensorflow as tf
elif _BACKEND == "jax":
    import jax
else:
    raise ImportError(
        f"keras_pixdt trains on the Keras backends 'tensorflow' and 'jax'. Received: {_BACKEND!r}. "
        "Set the environment variable KERAS_BACKEND before the first import of keras."
    )

Tensor = Any  # a tensor of the Keras backend in use
LossScaleOptimizer = keras.optimizers.LossScaleOptimizer


@keras.saving.register_keras_serializable("keras_pixdt")
class PlayerOptimizers(keras.optimizers.Optimizer):
    """One optimizer for each player, behind the interface of a single one.

    Trainers and savers of Keras know one optimizer. With this composite they carry, save and
    restore the state of all of them; as plain attributes of the model they would be skipped on
    loading and, on JAX, never leave their initial state.

    Args:
        optimizers: player name -> `keras.optimizers.Optimizer` or what `keras.optimizers.get`
            takes. No optimizer object may serve two players.
        name: name of the composite.

    Raises:
        ValueError: a player's name is that of an attribute of `Optimizer`, or two players share
            one optimizer object.
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

    @property
    def names(self) -> tuple[str, ...]:
        """The players, in the order in which they were given."""
        return self._names

    def __getitem__(self, name: str) -> keras.optimizers.Optimizer:
        return getattr(self, name)

    def _all(self) -> list[keras.optimizers.Optimizer]:
        return [self[name] for name in self._names]

    def scale_losses(self) -> None:
        """Gives each player a dynamic loss scale of its own, for mixed_float16."""
        for name in self._names:
            if not isinstance(self[name], LossScaleOptimizer):
                setattr(self, name, LossScaleOptimizer(self[name]))

    def restart(self) -> None:
        """Forgets the moments and step counts; learning rates and loss scales stay.

        For training that goes on with other variables: what joins would else be corrected for
        the bias of steps that it did not take, and move up to 1 / sqrt(1 - beta_2) times too far.
        """
        for optimizer in self._all():
            inner = getattr(optimizer, "inner_optimizer", optimizer)  # under a loss scale
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
        """State of all the optimizers: what the JAX trainer carries from step to step."""
        return self._variables + [v for o in self._all() for v in o.variables]

    @property
    def iterations(self) -> keras.Variable:
        """Steps taken, as the first player counts them."""
        return self._all()[0].iterations

    @property
    def learning_rate(self) -> Any:
        """The first player's rate; setting it sets that of all, as schedules expect."""
        return self._all()[0].learning_rate

    @learning_rate.setter
    def learning_rate(self, value: float) -> None:
        for optimizer in self._all():
            optimizer.learning_rate = value

    def finalize_variable_values(self, var_list: Sequence[keras.Variable]) -> None:
        """Overwrites each player's variables with their average, where its optimizer has one."""
        for optimizer in self._all():
            optimizer.finalize_variable_values(optimizer._trainable_variables)

    def save_own_variables(self, store: Any) -> None:
        """Nothing of its own: the players' optimizers are saved as children."""

    def load_own_variables(self, store: Any) -> None:
        """Nothing of its own: the players' optimizers are loaded as children."""

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


def train_pass(network: keras.Model, inputs: Tensor) -> Tensor:
    """Runs a network in training mode."""
    return network(inputs, training=True)


def check_batch_size(batch_size: int, replicas: int, what: str = "batch size") -> None:
    """Refuses a global batch that replicas cannot share equally.

    Raises:
        ValueError: names the replicas and the two nearest sizes that fit.
    """
    if batch_size % replicas:
        lower = batch_size // replicas * replicas
        fits = [str(size) for size in (lower, lower + replicas) if size]
        raise ValueError(
            f"The {what} is that of all {replicas} replicas together and must be a multiple of "
            f"their number. Received: {batch_size}. Nearest: {' or '.join(fits)}"
        )


class Forward(NamedTuple):
    """A forward pass of one player, kept so that its update need not repeat it.

    Attributes:
        outputs: what the player's networks returned.
        pull: cotangents of `outputs` -> gradients of the player's variables.
    """

    outputs: Tensor
    pull: Callable[[Tensor], list[Tensor]]


class _TensorFlowEngine(keras.Model):
    """Gradients and updates on TensorFlow, the one place of the models that touches it."""

    _predict_function_alone: Callable[..., Tensor] | None = None

    def _scope(self):
        return self.distribute_strategy.scope()

    def _replicas(self) -> int:
        return self.distribute_strategy.num_replicas_in_sync

    def _workers(self) -> int:
        extended = self.distribute_strategy.extended
        return getattr(extended, "_num_workers", 1)

    def _attach_state(self):
        pass  # variables always have it

    def _maybe_symbolic_build(self, iterator=None, data_batch=None):
        pass  # all is built; Keras' own breaks under MultiWorkerMirroredStrategy (issue 20585)

    def train_step(self, data):
        with replicas.step(self._part(data)):
            return self._reducible(self._train(data))

    def test_step(self, data):
        return self._reducible(self._test(data))

    def _predict_alone(self, x):
        if self._predict_function_alone is None:
            self._predict_function_alone = tf.function(
                lambda data: self(data, training=False), reduce_retracing=True
            )
        return self._predict_function_alone(x)

    def _reducible(self, logs):
        if isinstance(self.distribute_strategy, tf.distribute.MultiWorkerMirroredStrategy):
            return {k: v[None] for k, v in logs.items()}  # Keras reduces these along axis 0
        return logs

    def _get_metrics_result_or_logs(self, logs):
        # Of all samples; the logs that Keras would take are the mean of what replicas have.
        trained = logs.keys() <= {tracker.name for tracker in self._trackers.values()}
        if not trained:
            return self._compile_metrics.result()
        return {tracker.name: tracker.result() for tracker in self._trackers.values()}

    def _part(self, data) -> replicas.Part | None:
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

    def _weigh(self, loss):
        """A loss as this replica's term of the sum over all, and as its mean."""
        part = replicas.part()
        if part is None:
            return loss / tf.distribute.get_strategy().num_replicas_in_sync, loss
        loss = tf.where(part.rows > 0, loss, tf.zeros_like(loss))  # a mean of no rows is NaN
        return loss * (tf.cast(part.rows, loss.dtype) / tf.cast(part.all_rows, loss.dtype)), loss

    def forward(self, name, fn):
        variables = [v.value for v in self.active_variables(name)]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(variables)
            outputs = fn()
        return Forward(outputs, lambda cotangents: tape.gradient(outputs, variables, cotangents))

    def _gradients(self, fn, variables, *inputs):
        sources = list(inputs) if variables is None else [v.value for v in variables]
        with tf.GradientTape(watch_accessed_variables=False) as tape:
            tape.watch(sources)
            value, aux = fn(*inputs)
        # An objective may leave an output of a network unused; a variable that it leaves unused
        # is a mistake, which the optimizer then reports.
        unconnected = "zero" if variables is None else "none"
        gradients = tape.gradient(value, sources, unconnected_gradients=unconnected)
        return (gradients[0] if variables is None else gradients), aux

    def _apply(self, optimizer, gradients, variables):
        if (
            isinstance(optimizer, LossScaleOptimizer)
            and tf.distribute.get_strategy().num_replicas_in_sync > 1
        ):
            # Keras lets each replica judge its own gradients, before they are summed: one bad
            # replica would then update while the others skip.
            bad = 1.0 - tf.cast(optimizer.check_finite(gradients), "float32")
            bad = tf.distribute.get_replica_context().all_reduce("SUM", bad) > 0
            gradients = [
                g if g is None else tf.where(bad, tf.constant(float("nan"), g.dtype), g)
                for g in gradients
            ]
        optimizer.apply(gradients, variables)


class _Shared(NamedTuple):
    """A batch of which every device gets as many rows.

    Attributes:
        batch: the batch, filled up with copies of its last row.
        counted: of no bytes; its second dimension says how many rows count.
    """

    batch: Any
    counted: Any


class _SharedBatches(data_adapters.data_adapter.DataAdapter):
    """The batches of another adapter, shared by the devices of `keras.distribution`.

    Keras wants batches that they can share equally, and of several processes each its own rows.
    """

    def __init__(self, adapter) -> None:
        self._adapter = adapter

    def get_jax_iterator(self):
        devices = keras.distribution.distribution().num_model_replicas
        processes = jax.process_count()
        for batch in self._adapter.get_jax_iterator():
            count = len(keras.tree.flatten(batch)[0])
            own = -(-count // devices) * devices // processes
            rows = np.minimum(jax.process_index() * own + np.arange(own), count - 1)
            own_batch = keras.tree.map_structure(lambda x, rows=rows: np.asarray(x)[rows], batch)
            yield _Shared(own_batch, np.zeros((devices // processes, count, 0), "int8"))

    @property
    def num_batches(self):
        return self._adapter.num_batches

    @property
    def batch_size(self):
        return self._adapter.batch_size

    def on_epoch_begin(self):
        self._adapter.on_epoch_begin()

    def on_epoch_end(self):
        self._adapter.on_epoch_end()


def _counted(data):
    """The rows of a batch that count."""
    if not isinstance(data, _Shared):
        return data
    count = data.counted.shape[1]
    return keras.tree.map_structure(lambda x: x[:count], data.batch)


class _JAXEngine(keras.Model):
    """The same on JAX, where state is a value that goes in and comes out of each step."""

    _predict_function_alone: Callable[..., Tensor] | None = None

    def _scope(self):
        return contextlib.nullcontext()

    def _replicas(self) -> int:
        distribution = keras.distribution.distribution()
        return 1 if distribution is None else distribution.num_model_replicas

    def _workers(self) -> int:
        return jax.process_count()

    def _attach_state(self):
        """Within `fit`, gives the variables their values, and has the next step take these."""
        self.jax_state_sync()

    def _weigh(self, loss):
        return loss, loss  # keras.distribution shards one program; nothing is summed by hand

    def _state(self):
        return (
            self.trainable_variables,
            self.non_trainable_variables,
            self.optimizer.variables,
            self.metrics_variables,
        )

    def _stateless(self, step, groups, state, data):
        mapping = [
            pair
            for group, values in zip(groups, state, strict=True)
            for pair in zip(group, values, strict=True)
        ]
        with keras.StatelessScope(mapping) as scope:
            logs = step(data)
        return logs, tuple([scope.get_current_value(v) for v in group] for group in groups)

    def _symbolic_build(self, iterator=None, data_batch=None):
        # All is built; this is where `fit` and `evaluate` hand over what they iterate.
        if self._replicas() > 1 and iterator is not None:
            if not isinstance(iterator.data_adapter, _SharedBatches):
                iterator.data_adapter = _SharedBatches(iterator.data_adapter)
        super()._symbolic_build(iterator, data_batch)

    def train_step(self, state, data):
        return self._stateless(self._train, self._state(), state, _counted(data))

    def test_step(self, state, data):
        trainable, non_trainable, _, metrics = self._state()
        groups = (trainable, non_trainable, metrics)
        return self._stateless(self._test, groups, state, _counted(data))

    def _predict_alone(self, x):
        if self._predict_function_alone is None:
            self._predict_function_alone = jax.jit(
                lambda *arguments: self.stateless_call(*arguments, training=False)[0]
            )
        own = [
            [v.value.addressable_data(0) for v in variables]
            for variables in (self.trainable_variables, self.non_trainable_variables)
        ]
        return self._predict_function_alone(*own, x)

    def _pure(self, fn, variables=()):
        """`fn` as a function of the values of `variables` that also returns the new state."""
        state: list[keras.Variable] = sum(self._state(), [])
        before = [(v, v.value) for v in state]

        def pure(values, *inputs):
            mapping = before + list(zip(variables, values, strict=True))
            with keras.StatelessScope(mapping) as scope:
                outputs = fn(*inputs)
            return outputs, [scope.get_current_value(v) for v in state]

        return pure, state

    def _assign(self, variables, values):
        for variable, value in zip(variables, values, strict=True):
            variable.assign(value)

    def forward(self, name, fn):
        variables = self.active_variables(name)
        pure, state = self._pure(fn, variables)
        outputs, vjp, new = jax.vjp(pure, [v.value for v in variables], has_aux=True)
        self._assign(state, new)
        return Forward(outputs, lambda cotangents: vjp(cotangents)[0])

    def _gradients(self, fn, variables, *inputs):
        pure, state = self._pure(fn, variables or ())

        def scalar(values, inputs):
            (value, aux), new = pure(values, *inputs)
            return value, (aux, new)

        gradient = jax.grad(scalar, argnums=1 if variables is None else 0, has_aux=True)
        gradients, (aux, new) = gradient([v.value for v in variables or ()], inputs)
        self._assign(state, new)
        return (gradients[0] if variables is None else gradients), aux

    def _apply(self, optimizer, gradients, variables):
        own = optimizer.variables
        new, new_own = optimizer.stateless_apply(
            [v.value for v in own], gradients, [v.value for v in variables]
        )
        self._assign([*variables, *own], [*new, *new_own])


class AdversarialModel(
    _TensorFlowEngine if _BACKEND == "tensorflow" else _JAXEngine  # type: ignore[misc]
):
    """Base of the package's models: several networks that are updated in turns.

    A subclass
      - builds all its networks in `__init__`, with `dtype=self.dtype_policy`, and then assigns
        `players` (player name -> names of the attributes that hold its networks), in the order
        in which the step updates them;
      - writes `adversarial_step(batch)`: calls of `minimize`, returning each player's loss;
      - writes `call(inputs, training)`, what `predict` computes.

    `fit`, `evaluate`, `predict`, callbacks, `.keras` files and `tf.distribute` then work as for
    any Keras model. The optimizer of `compile` may be a mapping from players to optimizers, a
    `PlayerOptimizers`, or a single optimizer, of which each player gets a copy.
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

    def _retrace(self) -> None:
        """Has the functions of `fit`, `evaluate` and `predict` traced anew: the step changed."""
        if self.train_function is not None:
            self.make_train_function(force=True)  # `fit` looks it up for each batch
        self.test_function = self.predict_function = self._predict_function_alone = None

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
                or config) of which each player gets a copy of its own.
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
            check_batch_size(size, self._replicas())
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
        """Predicts as `keras.Model.predict` does; of several workers, each on its own."""
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

    def adversarial_step(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """One step of the paper's algorithm.

        Args:
            batch: the data contract: float32 images in [-1, 1], (batch, size, size, channels).

        Returns:
            Player name -> its scalar loss, as `minimize` returned it.
        """
        raise NotImplementedError

    def evaluation_pair(self, batch: Mapping[str, Tensor]) -> tuple[Tensor, Tensor]:
        """Real and generated images that the metrics of `compile` compare."""
        return batch["target"], self(batch["source"], training=False)

    def generated_shape(self) -> tuple[int | None, ...]:
        """Shape of the images of `evaluation_pair`, with None for the batch."""
        raise NotImplementedError

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

    def _train(self, data: Any) -> dict[str, Tensor]:
        batch = keras.utils.unpack_x_y_sample_weight(data)[0]
        rows = ops.shape(keras.tree.flatten(batch)[0])[0]
        for name, loss in self.adversarial_step(batch).items():
            self._trackers[name].update_state(loss, sample_weight=rows)
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


def reverse_network(model: keras.Model) -> keras.Model:
    """The network of a model that converts images of the second domain back to the first.

    Raises:
        ValueError: the model has none.
    """
    network = getattr(model, "reverse_converter", None)
    if network is None:
        raise ValueError(
            "Only a model with a network for the way back converts back, and this "
            f"{type(model).__name__} has none. A DiscoGAN has one (presets kim2017, kim2017-small "
            "and their -reconstruction), but for the standard GAN (reconstruction_weight=0)."
        )
    return network

"""Keras callbacks: image grids, divergence, averaged weights.

`fit` waits for the losses of every step, to hand them to callbacks, as soon as one of these looks
at the end of a batch. On an accelerator that costs more than the callbacks themselves. So the ones
here work at the beginning of a batch, or say `async_safe`: then Keras reads the losses in other
threads.
"""

from __future__ import annotations

import collections
import contextlib
import math
import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import keras
import numpy as np
from absl import logging

from keras_pixdt import data
from keras_pixdt.layers import moving_statistics, normalizations


class PlayerDivergedError(FloatingPointError):
    """A player's loss is not finite; the message says which player's."""


class StopOnDivergence(keras.callbacks.Callback):
    """Raises `PlayerDivergedError` where a batch left a loss, or an epoch a weight, not finite.

    The logs hold one loss for each player, in the order of their updates, so the first one that
    is not finite in the first such batch is the one to look at: it spoils those after it. Where
    all of several are, what they share is at fault: the images of the last player.

    Losses are looked at when they are there, which may be some batches later, and all of them at
    the end of the epoch.
    """

    async_safe = True

    def __init__(self) -> None:
        super().__init__()
        self._epoch = 0
        # Keras may report batches from several threads, in any order.
        self._started: collections.deque[int] = collections.deque()
        self._losses: dict[int, dict[str, float]] = {}

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Keeps the epoch for the message."""
        self._epoch = epoch
        self._started.clear()
        self._losses.clear()

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Looks at the losses that are there.

        Raises:
            PlayerDivergedError: one is NaN or infinite.
        """
        self._check()
        self._started.append(batch + self._model.steps_per_execution - 1)

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Keeps the losses of a batch."""
        self._losses[batch] = {name: float(value) for name, value in (logs or {}).items()}

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Looks at the remaining losses, and at the weights.

        Raises:
            PlayerDivergedError: one is NaN or infinite.
        """
        self._check()
        check_finite(self.model, f"at the end of epoch {epoch + 1}")

    def _check(self) -> None:
        while self._started and self._started[0] in self._losses:
            batch = self._started.popleft()
            logs = self._losses.pop(batch)
            players = list(self._model.players)
            losses = {player: logs.get(f"{player}_loss", 0.0) for player in players}
            bad = [player for player, loss in losses.items() if not math.isfinite(loss)]
            if bad:
                player = bad[-1] if len(bad) == len(players) > 2 else bad[0]
                raise _diverged(
                    f"The loss of the player {player!r} became {losses[player]}",
                    f"in epoch {self._epoch + 1}, batch {batch + 1}",
                )


def check_finite(model: keras.Model, when: str) -> None:
    """Looks at all that is saved of a model.

    Args:
        model: an `AdversarialModel`.
        when: for the message.

    Raises:
        PlayerDivergedError: a variable of the model or of an optimizer has a NaN or infinity.
    """
    for player in model.players:
        if not _all_finite([*model.player_variables(player), *model.optimizer[player].variables]):
            raise _diverged(f"The weights of the player {player!r} became not finite", when)
    if not _all_finite(model.variables):
        raise _diverged("A statistic of the networks became not finite", when)


def _all_finite(variables: list[keras.Variable]) -> bool:
    # In NumPy: operations of a backend on hundreds of small variables, one by one, take longer than
    # all else that happens between short epochs.
    floats = [v for v in variables if "float" in keras.backend.standardize_dtype(v.dtype)]
    return all(bool(np.isfinite(keras.ops.convert_to_numpy(v)).all()) for v in floats)


def _diverged(what: str, when: str) -> PlayerDivergedError:
    return PlayerDivergedError(
        f"{what} {when}. Lower its learning rate, or check the data for values that are not "
        "finite; what was saved before is not affected."
    )


class AveragedWeights(keras.callbacks.Callback):
    """Replaces the converter's weights by their averages wherever the model is looked at.

    For a converter whose optimizer keeps them (`use_ema`); for others it does nothing. Validation
    sees the averages, `applied` lets others see them, and training goes on with the raw weights.
    At the end of `fit` Keras puts the averages in their place for good.

    BatchNorm's moving statistics are those of the raw weights, and neither they nor an average of
    them fit the averaged weights while these still move. So they are measured anew, on images in
    training mode: in every pass that a training step makes (`AdversarialModel.converter_passes`),
    each with the same weight. RMSE on validation images of a demo-like preset (32 px, 150 products,
    momentum 0.999) after 600, 1000, 2000 and 3000 steps: with the raw statistics 0.279, 0.231,
    0.166, 0.155; with averaged ones 0.334, 0.267, 0.182, 0.154; measured anew 0.188, 0.159, 0.147,
    0.151; of the raw weights 0.162, 0.166, 0.161, 0.161. So an average pays once training is longer
    than the 1 / (1 - momentum) steps that it spans.

    Args:
        source: images to measure with, (n, size, size, 3) in [-1, 1].
        target: of a model that converts in both directions, images of the second domain too.
    """

    _BATCH = 64

    def __init__(self, source: np.ndarray, target: np.ndarray | None = None) -> None:
        super().__init__()
        self._images = {"source": source} | ({} if target is None else {"target": target})
        self._context: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
        self._measured: list[tuple[keras.Variable, np.ndarray]] | None = None

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Forgets the statistics: the weights will change."""
        self._measured = None

    def on_test_begin(self, logs: Any = None) -> None:
        """Puts the averages in place of the weights."""
        self._measured = None  # the weights have changed
        self._context = self.applied()
        self._context.__enter__()

    def on_test_end(self, logs: Any = None) -> None:
        """Puts the weights back."""
        self._context.__exit__(None, None, None)

    def on_train_end(self, logs: Any = None) -> None:
        """Gives the averages, which Keras has put in place, their statistics."""
        averages = self._averages()
        for weight, average in averages:  # on JAX, Keras has let the two share their memory
            weight.assign(_copy(average))
        for variable, value in self._measure() if averages else []:
            variable.assign(value)

    @contextlib.contextmanager
    def applied(self) -> Iterator[None]:
        """Context in which the model has the averages and their statistics."""
        averages = self._averages()
        raw = [(weight, _copy(weight)) for weight, _ in averages]
        try:
            for weight, average in averages:
                weight.assign(_copy(average))
            if averages and self._measured is None:
                self._measured = self._measure()
            for variable, value in self._measured or []:
                raw.append((variable, _copy(variable)))
                variable.assign(value)
            yield
        finally:
            for variable, value in raw:
                variable.assign(value)

    def _averages(self) -> list[tuple[keras.Variable, keras.Variable]]:
        """Each weight with its average, where there are averages."""
        optimizer = self.model.optimizer["converter"]
        optimizer = getattr(optimizer, "inner_optimizer", optimizer)  # under a loss scale
        if not optimizer.use_ema:
            return []
        averages = optimizer._model_variables_moving_average
        return list(zip(optimizer._trainable_variables, averages, strict=True))

    def _measure(self) -> list[tuple[keras.Variable, np.ndarray]]:
        """BatchNorm's statistics, with what they are under the weights that the networks have."""
        networks: dict[keras.Model, _Measured] = {}

        def run(network: keras.Model, inputs: Any) -> Any:
            if network not in networks:
                networks[network] = _Measured(network)
            return networks[network](inputs)

        parts = max(1, min(map(len, self._images.values())) // self._BATCH)
        for part in range(parts):  # each over all of the images, which may be sorted by class
            batch = {key: images[part::parts] for key, images in self._images.items()}
            self.model.converter_passes(batch, run)
        return [pair for measured in networks.values() for pair in measured.means()]


class _Measured:
    """A copy of a network that adds up BatchNorm's statistics of the passes that it makes."""

    def __init__(self, network: keras.Model) -> None:
        self._variables = moving_statistics(network)
        # On one device, whatever the strategy; a new one each time, with its random generators as a
        # resumed run would have them.
        self._network = keras.models.clone_model(network)
        self._network.set_weights([_copy(weight) for weight in network.weights])
        self._sums = [np.zeros(variable.shape) for variable in self._variables]
        self._passes = 0

    def __call__(self, inputs: Any) -> Any:
        """What the network draws in training mode."""
        for variable in moving_statistics(self._network):
            variable.assign(np.zeros(variable.shape))
        drawn = self._network(inputs, training=True)
        found = [
            _copy(variable) / (1 - layer.momentum)
            for layer in normalizations(self._network)
            for variable in (layer.moving_mean, layer.moving_variance)
        ]
        self._sums = [total + value for total, value in zip(self._sums, found, strict=True)]
        self._passes += 1
        return drawn

    def means(self) -> list[tuple[keras.Variable, np.ndarray]]:
        """Each statistic of the network itself, with its mean over the passes."""
        means = (total / self._passes for total in self._sums)
        return list(zip(self._variables, means, strict=True))


def _copy(variable: keras.Variable) -> np.ndarray:
    """The value in memory of its own: on JAX, `evaluate` gives that of variables away."""
    return np.array(keras.ops.convert_to_numpy(variable), copy=True)


class ImageGrid(keras.callbacks.Callback):
    """Writes `epoch_NNN.png` after each epoch: source | converted | target.

    Without pairs it is source | converted | reconstruction, if the model has a way back.

    Args:
        batch: a batch of the data contract with "source" and, of pairs, "target"; the same one for
            all epochs, so that pictures can be compared.
        directory: where the pictures go; made if it is missing.
        columns: how many triples stand side by side.
        averages: whose weights are shown; by default, the model's own.
    """

    def __init__(
        self,
        batch: Mapping[str, np.ndarray],
        directory: str | os.PathLike[str],
        columns: int = 4,
        averages: AveragedWeights | None = None,
    ) -> None:
        super().__init__()
        self._averages = averages
        self._batch = batch
        self._directory = pathlib.Path(directory)
        self._columns = columns

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Converts the batch and writes the picture."""
        source = self._batch["source"]
        with self._averages.applied() if self._averages else contextlib.nullcontext():
            converted = self.model.predict_on_batch(source)
            third = self._batch.get("target")
            if third is None and has_reconstruction(self.model):
                third = keras.ops.convert_to_numpy(self.model.reconstruct(source))
        path = self._directory / f"epoch_{epoch + 1:03d}.png"
        write_grid(path, source, converted, third, self._columns)
        logging.debug("wrote %s", path)


class EpochsForTensorBoard(keras.callbacks.Callback):
    """Writes the logs of each epoch for TensorBoard, as Keras' callback does.

    That one looks at every batch too, so that `fit` waits for each step's losses.

    Args:
        directory: gets the folders `train` and `validation`.
    """

    def __init__(self, directory: str | os.PathLike[str]) -> None:
        super().__init__()
        self._directory = pathlib.Path(directory)
        self._writers: dict[str, Any] = {}

    def on_epoch_end(self, epoch: int, logs: Mapping[str, float] | None = None) -> None:
        """Writes them."""
        import tensorflow as tf

        for name, value in (logs or {}).items():
            split = "validation" if name.startswith("val_") else "train"
            if split not in self._writers:
                self._writers[split] = tf.summary.create_file_writer(str(self._directory / split))
            with self._writers[split].as_default():
                tf.summary.scalar(f"epoch_{name.removeprefix('val_')}", value, step=epoch)
        for writer in self._writers.values():
            writer.flush()

    def on_train_end(self, logs: Any = None) -> None:
        """Closes the files."""
        for writer in self._writers.values():
            writer.close()


def has_reconstruction(model: keras.Model) -> bool:
    """Whether a model converts back what it has converted, by `reconstruct`."""
    return hasattr(model, "reverse_converter")


def write_grid(
    path: str | os.PathLike[str],
    source: np.ndarray,
    converted: np.ndarray,
    target: np.ndarray | None = None,
    columns: int = 4,
) -> None:
    """Writes triples source | converted | target as one picture.

    Args:
        path: a PNG file; its folder is made if it is missing.
        source: (n, size, size, 3) in [-1, 1].
        converted: the same shape.
        target: the same shape; None leaves it out.
        columns: how many triples stand side by side; n is cut to a multiple of it.
    """
    shown = [source, converted] if target is None else [source, converted, target]
    columns = min(columns, len(source))
    rows = len(source) // columns
    strips = []
    for column in range(columns):
        place = slice(column * rows, (column + 1) * rows)
        strips += [data.to_uint8(np.asarray(x[place])) for x in shown]
    pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
    data.write_image(path, data.image_grid(strips))

"""Keras callbacks: image grids, divergence, averaged weights.

If any callback looks at the end of a batch, `fit` waits for the losses of every step to pass them
on. On an accelerator that costs more than the callbacks themselves. The callbacks here therefore
work at the beginning of a batch, or set `async_safe`, so that Keras reads the losses in other
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
from keras_pixdt.atomic import replacing
from keras_pixdt.layers import moving_statistics, normalizations


class PlayerDivergedError(FloatingPointError):
    """A player's loss is not finite; the message names the player."""


class StopOnDivergence(keras.callbacks.Callback):
    """Raises `PlayerDivergedError` if a batch's loss or an epoch's weight is not finite.

    The logs hold one loss for each player, in the order of their updates. In the first bad batch,
    the first loss that is not finite names the player to look at, because it spoils the later ones.
    If all of several losses are bad, the fault is in the images of the last player, which they
    share.

    Losses are checked when they are available, which may be some batches later, and all of them at
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
        """Stores the epoch for the message."""
        self._epoch = epoch
        self._started.clear()
        self._losses.clear()

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Checks the losses that are available.

        Raises:
            PlayerDivergedError: one is NaN or infinite.
        """
        self._check()
        self._started.append(batch + self._model.steps_per_execution - 1)

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Keeps the losses of a batch."""
        self._losses[batch] = {name: float(value) for name, value in (logs or {}).items()}

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Checks the remaining losses, and the weights.

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
    """Checks everything that is saved of a model.

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
    # In NumPy, because backend operations on hundreds of small variables, one by one, take longer
    # than everything else between short epochs.
    floats = [v for v in variables if "float" in keras.backend.standardize_dtype(v.dtype)]
    return all(bool(np.isfinite(keras.ops.convert_to_numpy(v)).all()) for v in floats)


def _diverged(what: str, when: str) -> PlayerDivergedError:
    return PlayerDivergedError(
        f"{what} {when}. Lower its learning rate, or check the data for values that are not "
        "finite; what was saved before is not affected."
    )


class AveragedWeights(keras.callbacks.Callback):
    """Replaces the converter's weights by their averages wherever the model is used.

    This needs an optimizer that keeps averages (`use_ema`); otherwise it does nothing. Validation
    uses the averages, `applied` lets others use them, and training continues with the raw weights.
    At the end of `fit` Keras replaces the weights by the averages for good.

    BatchNorm's moving statistics belong to the raw weights. Neither they nor an average of them fit
    the averaged weights while these still move. So the statistics are measured again, on images in
    training mode, in every pass of a training step (`AdversarialModel.converter_passes`), each with
    the same weight. RMSE on validation images of a demo-like preset (32 px, 150 products, momentum
    0.999) after 600, 1000, 2000 and 3000 steps: with the raw statistics 0.279, 0.231, 0.166, 0.155;
    with averaged ones 0.334, 0.267, 0.182, 0.154; measured anew 0.188, 0.159, 0.147, 0.151; of the
    raw weights 0.162, 0.166, 0.161, 0.161. So an average pays once training is longer than the 1 /
    (1 - momentum) steps that it spans.

    Args:
        source: images to measure with, (n, height, width, 3) in [-1, 1].
        target: images of the second domain, for a model that converts in both directions.
    """

    _BATCH = 64

    def __init__(self, source: np.ndarray, target: np.ndarray | None = None) -> None:
        super().__init__()
        self._images = {"source": source} | ({} if target is None else {"target": target})
        self._context: contextlib.AbstractContextManager[None] = contextlib.nullcontext()
        self._measured: list[tuple[keras.Variable, np.ndarray]] | None = None

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Discards the statistics, because the weights will change."""
        self._measured = None

    def on_test_begin(self, logs: Any = None) -> None:
        """Replaces the weights by the averages."""
        self._measured = None  # the weights have changed
        self._context = self.applied()
        self._context.__enter__()

    def on_test_end(self, logs: Any = None) -> None:
        """Restores the weights."""
        self._context.__exit__(None, None, None)

    def on_train_end(self, logs: Any = None) -> None:
        """Sets the statistics of the averages, which Keras has put in place."""
        averages = self._averages()
        for weight, average in averages:  # on JAX, Keras lets the two share memory
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
        """Each weight with its average, if there are averages."""
        optimizer = self.model.optimizer["converter"]
        optimizer = getattr(optimizer, "inner_optimizer", optimizer)  # under a loss scale
        if not optimizer.use_ema:
            return []
        averages = optimizer._model_variables_moving_average
        return list(zip(optimizer._trainable_variables, averages, strict=True))

    def _measure(self) -> list[tuple[keras.Variable, np.ndarray]]:
        """BatchNorm's statistics, with their values under the networks' current weights."""
        networks: dict[keras.Model, _Measured] = {}

        def run(network: keras.Model, inputs: Any) -> Any:
            if network not in networks:
                networks[network] = _Measured(network)
            return networks[network](inputs)

        parts = max(1, min(map(len, self._images.values())) // self._BATCH)
        for part in range(parts):  # each spread over all images, which may be sorted by class
            batch = {key: images[part::parts] for key, images in self._images.items()}
            self.model.converter_passes(batch, run)
        return [pair for measured in networks.values() for pair in measured.means()]


class _Measured:
    """A copy of a network that sums BatchNorm's statistics over its passes."""

    def __init__(self, network: keras.Model) -> None:
        self._variables = moving_statistics(network)
        # On one device, whatever the strategy; a new copy each time, so that its random generators
        # are as in a resumed run.
        self._network = keras.models.clone_model(network)
        self._network.set_weights([_copy(weight) for weight in network.weights])
        self._sums = [np.zeros(variable.shape) for variable in self._variables]
        self._passes = 0

    def __call__(self, inputs: Any) -> Any:
        """The output of the network in training mode."""
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
        """Each statistic of the original network, with its mean over the passes."""
        means = (total / self._passes for total in self._sums)
        return list(zip(self._variables, means, strict=True))


def _copy(variable: keras.Variable) -> np.ndarray:
    """A copy of the value: on JAX, `evaluate` gives away the memory of variables."""
    return np.array(keras.ops.convert_to_numpy(variable), copy=True)


class ImageGrid(keras.callbacks.Callback):
    """Writes `epoch_NNN.png` after each epoch: source | converted | target.

    Without pairs it is source | converted | reconstruction, if the model has a way back.

    Args:
        batch: a batch of the data contract with "source" and, for pairs, "target". All epochs use
            it, so that pictures can be compared.
        directory: folder for the pictures; made if it is missing.
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
    """Writes the logs of each epoch for TensorBoard, like Keras' callback.

    Keras' callback also looks at every batch, which makes `fit` wait for each step's losses.

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
    """Whether a model can convert back what it has converted, with `reconstruct`."""
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
        source: (n, photo height, photo width, 3) in [-1, 1]; larger photos are reduced.
        converted: (n, height, width, 3) in [-1, 1].
        target: the same shape; None leaves it out.
        columns: number of triples side by side; n is cut to a multiple of it.
    """
    size = converted.shape[1:3]
    if source.shape[1:3] != size:
        source = keras.ops.convert_to_numpy(
            keras.ops.image.resize(source, size, "bilinear", antialias=True)
        )
    shown = [source, converted] if target is None else [source, converted, target]
    columns = min(columns, len(source))
    rows = len(source) // columns
    strips = []
    for column in range(columns):
        place = slice(column * rows, (column + 1) * rows)
        strips += [data.to_uint8(np.asarray(x[place])) for x in shown]
    path = pathlib.Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    with replacing(path) as unfinished:  # it may be on a screen
        data.write_image(unfinished, data.image_grid(strips))

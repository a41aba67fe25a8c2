"""Keras callbacks: image grids, learning rates by phase, a time budget, divergence."""

from __future__ import annotations

import math
import os
import pathlib
import time
from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from absl import logging

from keras_pixdt import data
from keras_pixdt.presets import Preset


class PlayerDivergedError(FloatingPointError):
    """A player's loss is not finite; the message says which player's."""


class StopOnDivergence(keras.callbacks.Callback):
    """Raises `PlayerDivergedError` at the first batch that leaves a loss or a weight not finite.

    The logs hold one loss for each player, in the order of their updates, so the first one that
    is not finite is the one to look at: in the same step it spoils those after it. Where all of
    several are, what they share is at fault: the images of the last player. Weights are looked
    at too (the smallest variable of each player): a gradient that is not finite shows there one
    step before it spoils the losses of others.
    """

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Keeps the epoch for the message."""
        self._epoch = epoch

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        """Looks at losses and weights.

        Raises:
            PlayerDivergedError: one is NaN or infinite.
        """
        logs = logs or {}
        players = list(self.model.players)
        losses = {player: float(logs.get(f"{player}_loss", 0.0)) for player in players}
        bad = [player for player, loss in losses.items() if not math.isfinite(loss)]
        if bad:
            player = bad[-1] if len(bad) == len(players) > 2 else bad[0]
            self._stop(f"The loss of the player {player!r} became {losses[player]}", batch)
        for player in players:
            smallest = min(self.model.player_variables(player), key=lambda v: math.prod(v.shape))
            if not np.isfinite(keras.ops.convert_to_numpy(smallest)).all():
                self._stop(f"The weights of the player {player!r} became not finite", batch)

    def _stop(self, what: str, batch: int) -> None:
        raise PlayerDivergedError(
            f"{what} in epoch {self._epoch + 1}, batch {batch + 1}. Lower its learning rate, or "
            "check the batch for values that are not finite; weights saved before this epoch are "
            "not affected."
        )


class PhasedLearningRate(keras.callbacks.Callback):
    """Sets the rate of all players to the preset's, at the start of each epoch.

    Args:
        preset: gives `learning_rate(progress)` and `epochs`.
        epochs: epochs of the run, over which the preset's phases are stretched.
    """

    def __init__(self, preset: Preset, epochs: int) -> None:
        super().__init__()
        self._preset, self._epochs = preset, epochs

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Sets the rate of the epoch."""
        self.model.optimizer.learning_rate = self._preset.learning_rate(epoch / self._epochs)


class TimeBudget(keras.callbacks.Callback):
    """Ends training when its minutes are over, with the preset's phases stretched over them.

    Args:
        preset: gives `learning_rate(progress)`.
        minutes: from the end of the first batch, which also traces and compiles, to the end.
    """

    def __init__(self, preset: Preset, minutes: float) -> None:
        super().__init__()
        if not minutes > 0:
            raise ValueError(f"`minutes` must be positive. Received: {minutes}")
        self._preset, self._minutes = preset, minutes
        self._start: float | None = None
        self._rate: float | None = None

    def on_train_batch_end(self, batch: int, logs: Any = None) -> None:
        """Sets the rate; stops when the time is over."""
        if self._start is None:
            self._start = time.monotonic()
        progress = (time.monotonic() - self._start) / 60 / self._minutes
        rate = self._preset.learning_rate(min(progress, 1.0))
        if rate != self._rate:  # assigning on a device is not free
            self.model.optimizer.learning_rate = self._rate = rate
        if progress >= 1:
            self.model.stop_training = True


class ImageGrid(keras.callbacks.Callback):
    """Writes `epoch_NNN.png` after each epoch: source | converted | target.

    Args:
        batch: a batch of the data contract with "source" and "target"; the same one for all
            epochs, so that pictures can be compared.
        directory: where the pictures go; made if it is missing.
        columns: how many triples stand side by side.
    """

    def __init__(
        self, batch: Mapping[str, np.ndarray], directory: str | os.PathLike[str], columns: int = 4
    ) -> None:
        super().__init__()
        self._batch = batch
        self._directory = pathlib.Path(directory)
        self._columns = columns

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Converts the batch and writes the picture."""
        converted = self.model.predict_on_batch(self._batch["source"])
        path = self._directory / f"epoch_{epoch + 1:03d}.png"
        write_grid(path, self._batch["source"], converted, self._batch["target"], self._columns)
        logging.debug("wrote %s", path)


def write_grid(
    path: str | os.PathLike[str],
    source: np.ndarray,
    converted: np.ndarray,
    target: np.ndarray,
    columns: int = 4,
) -> None:
    """Writes triples source | converted | target as one picture.

    Args:
        path: a PNG file; its folder is made if it is missing.
        source: (n, size, size, 3) in [-1, 1].
        converted: the same shape.
        target: the same shape.
        columns: how many triples stand side by side; n is cut to a multiple of it.
    """
    columns = min(columns, len(source))
    rows = len(source) // columns
    strips = []
    for column in range(columns):
        place = slice(column * rows, (column + 1) * rows)
        strips += [data.to_uint8(np.asarray(x[place])) for x in (source, converted, target)]
    pathlib.Path(path).parent.mkdir(parents=True, exist_ok=True)
    data.write_image(path, data.image_grid(strips))

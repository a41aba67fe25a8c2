"""The progress of a run, and its preset's settings at each point."""

from __future__ import annotations

import dataclasses
import time
from typing import Any

import keras

from keras_pixdt.data.batches import Batches
from keras_pixdt.presets import Preset

_SMALLEST_SHARE = 1e-3  # of a phase, if the clock says how much of it is over


@dataclasses.dataclass
class Progress:
    """The progress of a run.

    Attributes:
        epoch: the current epoch, counted from 0.
        batch: number of its finished batches.
        batch_size: its batch size, once it has begun.
        means: the numbers from which the epoch's mean losses are computed.
        minutes: training time so far.
        samples: training examples of the finished epochs.
        steps: updates in these.
        best: name and value of the best score so far.
        history: the logs of the finished epochs.
    """

    epoch: int = 0
    batch: int = 0
    batch_size: int | None = None
    means: list[float] = dataclasses.field(default_factory=list)
    minutes: float = 0.0
    best: tuple[str, float] | None = None
    history: dict[str, list[float]] = dataclasses.field(default_factory=dict)
    samples: int = 0
    steps: int = 0


class Schedule(keras.callbacks.Callback):
    """Follows a preset's phases: learning rate, batch size, and the model's own stages.

    Before each step it sets the learning rate of all players. If the model has a method
    `on_phase(index, progress)`, it passes the phase's index and the share of it that will be over
    after the step, above 0 and at most 1. A phase can begin within an epoch, so that a short run
    does not skip any phase that is at least one step long. All batches of an epoch have the same
    size, the smallest of the phases that it touches. With a time limit
    nobody knows how long a step will take. Then the share is what is over before the step, the
    batch size is that of the phase in which the epoch begins, and training ends with the first
    batch that begins after the time is over.

    Example:
        ```python
        train = data.triplets(pairs["train"], preset.batch_sizes)
        schedule = Schedule(preset, train, epochs=30)
        model.fit(train, epochs=30, shuffle=False, callbacks=[schedule])
        ```

    Args:
        preset: gives the phases, which are stretched over the run.
        batches: the batches for `fit`, made with all sizes of the phases; the schedule sets their
            epoch.
        epochs: length of the run; None with `minutes`.
        minutes: length of the run in time, counted from the second batch, because the first one
            traces and compiles.
        progress: progress of an interrupted run, which is kept up to date; by default, the start.
        over: whether the phases are over, as in a finished run that is trained for longer. All of
            it then has the settings of the last phase's end.

    Raises:
        ValueError: not exactly one of `epochs` and `minutes`, or they are not positive.
    """

    def __init__(
        self,
        preset: Preset,
        batches: Batches,
        *,
        epochs: int | None = None,
        minutes: float | None = None,
        progress: Progress | None = None,
        over: bool = False,
    ) -> None:
        super().__init__()
        check_length(epochs, minutes)
        self._preset, self._batches = preset, batches
        self._epochs, self._minutes, self._over = epochs, minutes, over
        self.progress = Progress() if progress is None else progress
        self._minutes_before = self.progress.minutes
        self._start: float | None = None
        self._rate: float | None = None
        self._steps = 1  # of the current epoch
        self._first_batch = self.progress.batch
        if self._first_batch:  # `fit` asks for the number before it begins the epoch
            batches.start_epoch(self.progress.epoch, self.progress.batch_size, self._first_batch)

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """Sets the batch size, the rate and the model's phase."""
        progress = self.progress
        if progress.epoch != epoch:
            progress.epoch, progress.batch = epoch, 0
        if not progress.batch:
            progress.batch_size = self._batch_size()
        self._first_batch = progress.batch
        self._batches.start_epoch(epoch, progress.batch_size, progress.batch)
        self._steps = progress.batch + len(self._batches)
        self._follow()

    def on_train_batch_begin(self, batch: int, logs: Any = None) -> None:
        """Counts, sets the rate and the model's phase, and stops when the time is over."""
        self.progress.batch = self._first_batch + batch
        if self._start is not None:
            self.progress.minutes = self._minutes_before + (time.monotonic() - self._start) / 60
        elif batch > 0:
            self._start = time.monotonic()
        self._follow()
        if self._minutes is not None and self._share() >= 1:
            self._model.stop_training = True  # after this batch

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """Counts; an epoch may have been cut off by the time limit."""
        steps = self.progress.batch + 1
        self.progress.steps += steps
        self.progress.samples += steps * (self.progress.batch_size or 0)
        self.progress.epoch, self.progress.batch, self.progress.batch_size = epoch + 1, 0, None

    def _share(self) -> float:
        """Share of the run that is over."""
        if self._minutes is not None:
            return min(self.progress.minutes / self._minutes, 1.0)
        assert self._epochs is not None
        return (self.progress.epoch + self.progress.batch / self._steps) / self._epochs

    def _batch_size(self) -> int:
        """Of the epoch that begins."""
        if self._over:
            return self._preset.batch_sizes[-1]
        if self._epochs is not None:
            return self._preset.epoch_batch_size(self.progress.epoch, self._epochs)
        index, _ = self._preset.phase_at(self._share())
        return self._preset.batch_sizes[index]

    def _follow(self) -> None:
        """Applies the phase's settings to the next step."""
        preset = self._preset
        index, over = preset.phase_at(1.0 if self._over else self._share())
        rate = preset.phases[index].learning_rate
        if rate != self._rate:  # assigning on a device is not free
            self._model._attach_state()
            self.model.optimizer.learning_rate = self._rate = rate
        if not hasattr(self._model, "on_phase"):
            return
        if self._minutes is None:
            assert self._epochs is not None
            over += preset.epochs / (self._epochs * self._steps * preset.phases[index].epochs)
        # With a time limit, a share of 0 would give the fading block no gradient.
        self._model.on_phase(index, min(max(over, _SMALLEST_SHARE), 1.0))


def check_length(epochs: int | None, minutes: float | None) -> None:
    """Checks the length of a run.

    Raises:
        ValueError: not exactly one is given, or it is not positive.
    """
    if (minutes is None) == (epochs is None):
        raise ValueError(
            f"Give either `minutes` or `epochs`. Received: {minutes} minutes, {epochs} epochs"
        )
    if epochs is not None and epochs < 1:
        raise ValueError(f"`epochs` must be at least 1. Received: {epochs}")
    if minutes is not None and not minutes > 0:
        raise ValueError(f"`minutes` must be positive. Received: {minutes}")

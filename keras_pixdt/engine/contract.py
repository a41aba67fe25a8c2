"""What models take from users of Keras: the data contract, and what is refused, never ignored.

Dtypes and shapes are checked while a step is traced, on both backends, which costs nothing in the
steps that follow.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops

from keras_pixdt.engine.replicas import Tensor

Shape = tuple[int | None, ...]  # None for the batch, and where any size is right

NEEDED = ("source", "target")
_LARGEST = 2.0  # bicubic interpolation goes beyond 1 a little
_ROWS = 8  # as many are looked at


class Contract(NamedTuple):
    """What a batch of a model must be.

    Attributes:
        owner: name of the model's class, for messages.
        shapes: key -> shape of all that the model reads. A batch must have `NEEDED`.
    """

    owner: str
    shapes: Mapping[str, Shape]

    def batch(self, data: Any) -> dict[str, Tensor]:
        """The batch in what an adapter of Keras yields, other floats cast to float32.

        Args:
            data: x, or a tuple (x, y, sample_weight).

        Raises:
            ValueError: the batch is no dict, lacks a key, or has another dtype or shape, or
                targets or weights come with it.
        """
        batch = self._checked(data)
        images = [key for key in self.shapes if key in batch]
        return {**batch, **{key: ops.cast(batch[key], "float32") for key in images}}

    def source(self, inputs: Any) -> Tensor:
        """Source images, given as they are or as a batch that holds them under "source".

        Raises:
            ValueError: there are none, or they have another dtype or shape.
        """
        own = Contract(self.owner, {key: s for key, s in self.shapes.items() if key == "source"})
        given = inputs if isinstance(inputs, Mapping) else {"source": inputs}
        if not hasattr(given.get("source"), "dtype"):
            raise own._refusal(inputs, "Or give the source images alone.")
        own._check_image(given, "source")
        return given["source"]

    def check_early(self, data: Any) -> None:
        """Checks arrays, or the specification of a `tf.data.Dataset`, before they are used.

        Steps check their batches. But those of validation come after an epoch, a step that is
        traced sees no values, and one that is traced again sees no sizes. Other data pass here.

        Args:
            data: as for `batch`.

        Raises:
            ValueError: as for `batch`, or the first images are far outside [-1, 1].
        """
        x, y, weights = keras.utils.unpack_x_y_sample_weight(data)
        x = getattr(x, "element_spec", x)
        if _is_there(x):
            self._checked(x if y is None and weights is None else (x, y, weights))
            self._check_range(x)

    def check_source_early(self, inputs: Any) -> None:
        """Checks what `predict` gets, as `check_early` does for `fit`.

        Raises:
            ValueError: as for `source`, or the first images are far outside [-1, 1].
        """
        if hasattr(inputs, "element_spec"):
            inputs = keras.utils.unpack_x_y_sample_weight(inputs.element_spec)[0]
        if _is_there(inputs):
            self.source(inputs)
            self._check_range(inputs)

    def _check_range(self, x: Any) -> None:
        given = x if isinstance(x, Mapping) else {"source": x}
        for key, shape in self.shapes.items():
            images = given.get(key)
            if not isinstance(images, np.ndarray) or len(shape) != 4 or shape[-1] != 3:
                continue
            rows = images[:_ROWS]
            if rows.size and rows.dtype.kind == "f" and np.nanmax(np.abs(rows)) > _LARGEST:
                raise ValueError(
                    f"{self.owner} takes images in [-1, 1], as keras_pixdt.data.to_float makes "
                    f"them of uint8 images: `x / 127.5 - 1`. Received: `{key}` from "
                    f"{np.nanmin(rows):.4g} to {np.nanmax(rows):.4g}"
                )

    def _checked(self, data: Any) -> Mapping[str, Any]:
        batch, y, weights = keras.utils.unpack_x_y_sample_weight(data)
        if weights is not None:
            refuse_weights(self.owner, sample_weight=weights)
        if y is not None or not isinstance(batch, Mapping):
            raise self._refusal(
                batch if y is None else (batch, y),
                'Make a pair a dict: {"source": source, "target": target}, with `map` in a '
                "tf.data.Dataset.",
            )
        if any(key not in batch for key in NEEDED):
            raise self._refusal(batch, "Rename the keys.")
        for key in self.shapes:
            if key in batch:
                self._check_image(batch, key)
        counts = {batch[key].shape[0] for key in self.shapes if key in batch and _known(batch[key])}
        if len(counts - {None}) > 1:
            raise ValueError(
                "`source` and `target` of a batch must have as many images. Received: "
                f"{_described(batch)}"
            )
        return batch

    def _check_image(self, batch: Mapping[str, Any], key: str) -> None:
        x = batch[key]
        if "float" not in keras.backend.standardize_dtype(x.dtype):
            raise self._refusal(
                batch,
                "keras_pixdt.data.to_float makes float32 of uint8 images; in a tf.data.Dataset, "
                '`tf.cast(x, "float32") / 127.5 - 1.0` does.',
            )
        shape = self.shapes.get(key)
        if shape is None or not _known(x):
            return
        fits = (
            None in sides or len(set(sides)) == 1 for sides in zip(x.shape, shape, strict=False)
        )
        if len(x.shape) != len(shape) or not all(fits):
            raise self._refusal(
                batch,
                "keras_pixdt.data.resize brings images to a size, or make the model for theirs.",
            )

    def _refusal(self, given: Any, fix: str) -> ValueError:
        def wanted(keys: Any) -> str:
            sides = {key: ["batch", *(s or "any" for s in self.shapes[key][1:])] for key in keys}
            return ", ".join(f"`{key}` ({', '.join(map(str, sides[key]))})" for key in keys)

        others = wanted([key for key in self.shapes if key not in NEEDED])
        images = any(len(shape) == 4 for shape in self.shapes.values())
        return ValueError(
            f"{self.owner} takes dicts of float32{' in [-1, 1]' * images} with "
            f"{wanted([key for key in NEEDED if key in self.shapes])}"
            f"{' and, where it uses them, ' * bool(others)}{others}, as "
            "keras_pixdt.data.triplets and keras_pixdt.data.unpaired make them. "
            f"{fix} Received: {_described(given)}"
        )


def _is_there(x: Any) -> bool:
    """Whether these are arrays or their specifications, no generator that will yield them."""
    return all(hasattr(leaf, "shape") for leaf in keras.tree.flatten(x))


def _known(x: Any) -> bool:
    """Whether the number of dimensions is known, which in a graph it need not be."""
    return getattr(x.shape, "rank", 0) is not None


def _described(given: Any) -> str:
    if isinstance(given, Mapping):
        return "{" + ", ".join(f"`{key}`: {_described(x)}" for key, x in given.items()) + "}"
    if isinstance(given, tuple | list):
        return f"a {type(given).__name__} of {', '.join(map(_described, given)) or 'nothing'}"
    if hasattr(given, "dtype") and hasattr(given, "shape"):
        shape = tuple(given.shape) if _known(given) else "of any shape"
        return f"{keras.backend.standardize_dtype(given.dtype)} {shape}"
    return type(given).__name__


def refuse_weights(owner: str, **given: Any) -> None:
    """Refuses weights of samples and of classes, unless they are None.

    Raises:
        ValueError: names the argument.
    """
    for name, value in given.items():
        if value is not None:
            raise ValueError(
                f"{owner} does not weigh samples: the objectives of its players are means over a "
                "batch. Leave samples out, or repeat them in the data, instead of giving "
                f"`{name}`. Received: {_described(value)}"
            )


def check_callbacks(owner: str, callbacks: Any, losses: list[str]) -> None:
    """Refuses callbacks of Keras that cannot work with several players.

    Some look at a `loss`, which no model here reports. `OrbaxCheckpoint` needs variables whose
    paths differ, but the networks of the players have layers of the same names.

    Args:
        owner: name of the model's class, for messages.
        callbacks: as for `fit`.
        losses: names of the losses that the model reports.

    Raises:
        ValueError: names the callback, and what to give instead.
    """
    given = getattr(callbacks, "callbacks", callbacks)  # of a CallbackList
    for callback in [] if given is None else keras.tree.flatten(given):
        name = type(callback).__name__
        if isinstance(callback, keras.callbacks.TerminateOnNaN):
            raise ValueError(
                f"{name} looks at `loss`, but {owner} has a loss for each player. Give "
                "keras_pixdt.training.StopOnDivergence() instead, which looks at all of them."
            )
        if isinstance(callback, getattr(keras.callbacks, "OrbaxCheckpoint", ())):
            raise ValueError(
                f"{name} needs variables whose paths differ, but networks of {owner} have layers "
                "of the same names. Give keras.callbacks.ModelCheckpoint, or "
                "keras_pixdt.training.Checkpoint, which resumes within an epoch."
            )
        decides = keras.callbacks.EarlyStopping, keras.callbacks.ReduceLROnPlateau
        if isinstance(callback, decides) or getattr(callback, "save_best_only", False):
            if getattr(callback, "monitor", None) in ("loss", "val_loss"):
                raise ValueError(
                    f"{name} looks at `{callback.monitor}`, but {owner} has a loss for each "
                    'player. Give it a score, for example monitor="val_rmse" with compile(metrics='
                    "[keras_pixdt.metrics.RootMeanSquaredError()]) and validation_data, or one of "
                    f'{", ".join(losses)} with mode="min".'
                )

"""Pretrained weights: a training starts from those of another network, copied by name.

`RENDERED` names the weights that come with the package for the presets `flow-*`. They were trained
on drawn products (see `make_start`); what they learned there helps with photos, see
docs/appearance-flow.md.
"""

from __future__ import annotations

import importlib.resources
import os
import pathlib
from collections.abc import Mapping

import keras
import numpy as np
from absl import logging

from keras_pixdt.atomic import replacing
from keras_pixdt.engine.model import AdversarialModel
from keras_pixdt.layers import moving_statistics

RENDERED = "rendered"
_NONE = "none"
_FILE = importlib.resources.files("keras_pixdt.training") / "start.npz"
_LEAST_SHARE = 0.5  # of the converter's values that must come from the start


def absolute(start: str | None) -> str | None:
    """A start as a run keeps it: an absolute path, `RENDERED` or None.

    Args:
        start: `RENDERED`, a run's folder, a `.keras` file; "none" or None for new weights.
    """
    if start is None or start == _NONE:
        return None
    return start if start == RENDERED else os.path.abspath(start)


def check(start: str) -> None:
    """Looks whether a start is there.

    Raises:
        FileNotFoundError: there is no such run or file.
    """
    path = _model_file(start)
    if start != RENDERED and not path.is_file():
        raise FileNotFoundError(
            f"`start` (--from) must be {RENDERED!r}, {_NONE!r}, the folder of a finished run, or a "
            f".keras file. Received: {start!r}, and there is no {path}"
        )


def load(model: AdversarialModel, start: str) -> None:
    """Copies the weights of another network, wherever name and shape are equal.

    Learning rates, moments and random draws stay those of a new model.

    Args:
        model: a new model.
        start: see `absolute`.

    Raises:
        ValueError: less than half of the converter's values would come from the start; the model
            stays as it is.
    """
    values, weights = _read(start), _weights(model)
    known = {
        name: values[name]
        for name, weight in weights.items()
        if name in values and values[name].shape == tuple(weight.shape)
    }
    converter = tuple(f"{network}/" for network in model.players["converter"])
    share = _size(known, converter) / _size(weights, converter)
    if share < _LEAST_SHARE:
        made = {"image_size": model.image_size, "width": getattr(model, "width", None)}
        raise ValueError(
            f"The weights of {start!r} fit {share:.0%} of this {type(model).__name__} ({made}): "
            "names and shapes of its layers must be those of the network that they come from. "
            "Leave options such as --width and --image-size out, or train from new weights: "
            "start=None (--from none)."
        )
    for name, value in known.items():
        weights[name].assign(value.astype(weights[name].dtype))
    logging.info("Starting from %s, which has %.0f%% of the weights", start, 100 * share)
    logging.debug("Initialized anew: %s", ", ".join(sorted(weights.keys() - known.keys())))


def save(model: AdversarialModel, path: pathlib.Path) -> None:
    """Writes a model's weights as `RENDERED` is read: matrices in half precision.

    Args:
        model: a trained model.
        path: the `.npz` file.
    """
    values = {name: keras.ops.convert_to_numpy(w) for name, w in _weights(model).items()}
    halved = {k: v.astype("float16") if v.ndim > 1 else v for k, v in values.items()}
    with replacing(path) as unfinished, open(unfinished, "wb") as file:
        np.savez_compressed(file, **halved)


def _model_file(start: str) -> pathlib.Path:
    path = pathlib.Path(start)
    return path / "model.keras" if path.is_dir() else path


def _read(start: str) -> Mapping[str, np.ndarray]:
    if start == RENDERED:
        with importlib.resources.as_file(_FILE) as path, np.load(path) as archive:
            return dict(archive)
    model = keras.models.load_model(_model_file(start), compile=False)
    if not isinstance(model, AdversarialModel):
        raise ValueError(
            f"`start` must be a model of this package. Received: {start!r}, which holds a "
            f"{type(model).__name__}"
        )
    return {name: keras.ops.convert_to_numpy(w) for name, w in _weights(model).items()}


def _weights(model: AdversarialModel) -> dict[str, keras.Variable]:
    """All that the players learn and BatchNorm's statistics, by network and layer."""
    networks = {name: getattr(model, name) for own in model.players.values() for name in own}
    return {
        f"{name}/{weight.path}": weight
        for name, network in networks.items()
        for weight in (*network.trainable_variables, *moving_statistics(network))
    }


def _size(values: Mapping[str, keras.Variable | np.ndarray], prefixes: tuple[str, ...]) -> int:
    return sum(int(np.prod(v.shape)) for name, v in values.items() if name.startswith(prefixes))

"""Pretrained weights: a training starts from those of another network, copied by name.

`RENDERED` names the weights that come with the package for the presets `flow-*`. They were trained
on drawn products (see `make_start`); what they learned there helps with photos, see
docs/appearance-flow.md.
"""

from __future__ import annotations

import importlib.resources
import os
import pathlib
import zlib
from collections.abc import Mapping

import keras
import numpy as np
from absl import logging

from keras_pixdt.atomic import load_model, replacing
from keras_pixdt.engine.model import AdversarialModel
from keras_pixdt.layers import moving_statistics

RENDERED = "rendered"
_NONE = "none"
_FILE = importlib.resources.files("keras_pixdt.training") / "start.npz"
_LEAST_SHARE = 0.5  # of the converter's weights that must come from the start


def absolute(start: str | None) -> str | None:
    """A start as a run keeps it: an absolute path, `RENDERED` or None.

    Args:
        start: `RENDERED`, a run's folder, a `.keras` file; "none" or None for new weights.
    """
    if start is None or start == _NONE:
        return None
    return start if start == RENDERED else os.path.abspath(start)


def rendered_checksum() -> str:
    """What tells the weights called `RENDERED` from those of another version."""
    return f"{zlib.crc32(_FILE.read_bytes()):08x}"


def check(start: str) -> None:
    """Looks whether a start is there.

    Raises:
        FileNotFoundError: there is no such run or file.
        ValueError: the file is another one.
    """
    path = _model_file(start)
    rule = (
        f"`start` (--from) must be {RENDERED!r}, {_NONE!r}, the folder of a finished run, or a "
        f".keras file. Received: {start!r}"
    )
    if start != RENDERED and not path.is_file():
        raise FileNotFoundError(f"{rule}, and there is no {path}")
    if start != RENDERED and path.suffix != ".keras":
        raise ValueError(rule)


def load(model: AdversarialModel, start: str) -> int:
    """Copies the weights of another network, wherever name and shape are equal.

    Layers that the start lacks stay new, such as those of larger drawings. Learning rates, moments
    and random draws stay those of a new model, and so does a discriminator of another width.

    Args:
        model: a new model.
        start: see `absolute`.

    Returns:
        A checksum of all weights, for workers to compare.

    Raises:
        ValueError: a layer of the converter has another shape than in the start, or most of its
            layers are not there; the model stays as it is.
    """
    values, weights = _read(start), _weights(model)
    fitting = {
        name: values[name]
        for name, weight in weights.items()
        if name in values and values[name].shape == tuple(weight.shape)
    }
    converter = tuple(f"{network}/" for network in model.players["converter"])
    own = {name for name in weights if name.startswith(converter)}
    misfits = sorted((own & values.keys()) - fitting.keys())
    if misfits or len(own & fitting.keys()) < _LEAST_SHARE * len(own):
        why = f"the shape of {misfits[0]} differs" if misfits else "most of its layers are missing"
        raise ValueError(
            f"The weights of {start!r} do not fit this {type(model).__name__}: {why}. Take those "
            "of the same preset and leave out what changes its network, such as --width and "
            "--image-size; or train from new weights: start=None (--from none)."
        )
    for name, value in fitting.items():
        weights[name].assign(value.astype(weights[name].dtype))
    logging.info("Starting from %s: %d of %d weights", start, len(fitting), len(weights))
    logging.debug("Initialized anew: %s", ", ".join(sorted(weights.keys() - fitting.keys())))
    return zlib.crc32(b"".join(fitting[name].tobytes() for name in sorted(fitting)))


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
    model = load_model(_model_file(start), compile=False)
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

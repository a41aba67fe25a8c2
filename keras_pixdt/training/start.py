"""What a training starts from: the weights of another network, taken over by name.

`RENDERED` names the network that the package brings for the presets `flow-*`. It was trained on
drawn products (see `make_start`), and what it learnt there helps with photos: see
docs/appearance-flow.md.
"""

from __future__ import annotations

import importlib.resources
import pathlib
from collections.abc import Mapping

import keras
import numpy as np
from absl import logging

from keras_pixdt.atomic import replacing
from keras_pixdt.engine.model import AdversarialModel
from keras_pixdt.layers import moving_statistics

RENDERED = "rendered"
_FILE = importlib.resources.files("keras_pixdt.training") / "start.npz"
_LEAST = 0.5  # of the converter's values that a start must have


def load(model: AdversarialModel, start: str) -> None:
    """Gives a model the weights of another one, wherever name and shape are equal.

    Learning rates, moments and random draws stay those of a new model.

    Args:
        model: a new model.
        start: `RENDERED`, the folder of a run, or a `.keras` file of one of the package's models.

    Raises:
        FileNotFoundError: there is no such run or file.
        ValueError: the weights do not fit: less than half of the converter's values would come
            from them.
    """
    values = _read(start)
    weights = _weights(model)
    known = {
        name: values[name]
        for name, weight in weights.items()
        if name in values and values[name].shape == tuple(weight.shape)
    }
    for name, value in known.items():
        weights[name].assign(value.astype(weights[name].dtype))
    converter = tuple(f"{network}/" for network in model.players["converter"])
    share = _size(known, converter) / _size(weights, converter)
    if share < _LEAST:
        raise ValueError(
            "`start` must have at least half of the converter's weights. Received: "
            f"{start!r}, which has {share:.0%} of them by name and shape. Take a network of the "
            "same preset and width, or start=None (--from none)."
        )
    new = ", ".join(sorted({name.rpartition("/")[0] for name in weights.keys() - known.keys()}))
    logging.info(
        "Starting from %s: %d of %d weights%s",
        start, len(known), len(weights), f"; new are those of {new}" if new else "",
    )  # fmt: skip


def save(model: AdversarialModel, path: pathlib.Path) -> None:
    """Writes a model's weights as `load` reads the package's own: matrices in half precision.

    Args:
        model: a trained model.
        path: the `.npz` file.
    """
    values = {name: keras.ops.convert_to_numpy(w) for name, w in _weights(model).items()}
    halved = {k: v.astype("float16") if v.ndim > 1 else v for k, v in values.items()}
    with replacing(path) as unfinished, open(unfinished, "wb") as file:
        np.savez_compressed(file, **halved)


def _read(start: str) -> Mapping[str, np.ndarray]:
    if start == RENDERED:
        with importlib.resources.as_file(_FILE) as path, np.load(path) as archive:
            return dict(archive)
    path = pathlib.Path(start)
    path = path / "model.keras" if path.is_dir() else path
    if not path.is_file():
        raise FileNotFoundError(
            f"`start` must be {RENDERED!r}, the folder of a finished run, or a .keras file. "
            f"Received: {start!r}, and there is no {path}"
        )
    model = keras.models.load_model(path)
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

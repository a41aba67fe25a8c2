"""An embedder's unit vectors of images, and a fingerprint that identifies it."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import numpy as np

from keras_pixdt.data.images import to_float

if TYPE_CHECKING:
    import keras

BATCH = 32  # images embedded at once
_UNIT = 1e-3  # how far from 1 the length of a unit vector may be

# A class's module is part of the fingerprints in index files, which must stay when it moves.
_MOVED = {"keras_pixdt.judges.embedder": "keras_pixdt.search.embedder"}
# Keys of Keras' configurations under which names of layers stand.
_HOLD_NAMES = ("name", "keras_history", "input_layers", "output_layers")


def fingerprint(embedder: keras.Model) -> str:
    """SHA-256 of an embedder's computation: its layers and its weights.

    Names do not count, because Keras numbers them within a process, and neither does how a model is
    compiled. Saving and loading do not change the fingerprint.

    Args:
        embedder: a built Keras model.

    Returns:
        64 hexadecimal digits.
    """
    import keras

    config = _canonical(keras.saving.serialize_keras_object(embedder), {})
    digest = hashlib.sha256(json.dumps(config, sort_keys=True).encode())
    for weights in embedder.get_weights():
        digest.update(f"{weights.dtype} {weights.shape} ".encode())
        digest.update(weights.tobytes())
    return digest.hexdigest()


def _canonical(config: Any, names: dict[str, str], renamed: bool = False) -> Any:
    """A configuration whose layers are numbered, without how the model was built and compiled.

    Args:
        config: what Keras saves, or a part of it.
        names: name of a layer -> its number; new ones are added.
        renamed: whether strings in this part are names of layers.
    """
    if isinstance(config, dict):
        return {
            key: value if key == "dtype" else _canonical(value, names, key in _HOLD_NAMES)
            for key, value in sorted(config.items())
            if key not in ("build_config", "compile_config")
        }  # the policy under "dtype" has a name too, and that one counts
    if isinstance(config, (list, tuple)):
        return [_canonical(value, names, renamed) for value in config]
    if renamed and isinstance(config, str):
        return names.setdefault(config, f"#{len(names)}")
    return _MOVED.get(config, config) if isinstance(config, str) else config


def embed(embedder: keras.Model, images: np.ndarray) -> np.ndarray:
    """Embeds images, and checks the vectors.

    Args:
        embedder: a Keras model from float images `(batch, height, width, 3)` in [-1, 1] to unit
            vectors `(batch, d)`, such as `ProductEmbedder`.
        images: uint8 `(n, height, width, 3)`.

    Returns:
        float32 `(n, d)`, of length 1.

    Raises:
        ValueError: the embedder gives anything else.
    """
    vectors = np.concatenate(
        [
            np.asarray(embedder.predict_on_batch(to_float(images[start : start + BATCH])))
            for start in range(0, len(images), BATCH)
        ]
    ).astype(np.float32)
    if vectors.ndim != 2 or len(vectors) != len(images):
        raise ValueError(
            f"An embedder must give one vector for each image, ({len(images)}, d). "
            f"Received from {embedder.name}: {vectors.shape}"
        )
    check_unit(vectors, f"the vectors that {embedder.name} gives")
    return vectors


def check_unit(vectors: np.ndarray, name: str) -> None:
    """Raises a `ValueError` that names the first of some vectors that is not finite, or not 1 long.

    Args:
        vectors: float32 `(n, d)`.
        name: what they are, for the message.
    """
    length = np.linalg.norm(vectors, axis=1)
    if len(bad := np.flatnonzero(~np.isfinite(length))):
        raise ValueError(
            f"Vectors must be finite, and {len(bad)} of {len(vectors)} of {name} are not (the "
            f"first is row {bad[0]}). Look for NaN in the weights, or in the images."
        )
    if len(bad := np.flatnonzero(np.abs(length - 1) > _UNIT)):
        raise ValueError(
            f"Vectors must be of length 1, and {len(bad)} of {len(vectors)} of {name} are not (row "
            f"{bad[0]}: {length[bad[0]]:.4g}). End the embedder with "
            "keras.layers.UnitNormalization(), or divide by the length."
        )


def image_size(embedder: Any) -> int:
    """Side in pixels of the images that an embedder takes.

    Raises:
        ValueError: it takes any size.
    """
    size = getattr(embedder, "image_size", None)
    if size is None:
        _, height, width, _ = embedder.input_shape
        size = height if height == width else None
    if size is None:
        raise ValueError(
            f"The embedder {embedder.name} takes images of any size, {embedder.input_shape}. Say "
            "which side in pixels they must have: image_size=64"
        )
    return size

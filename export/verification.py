"""What an exported file must show before it gets its final name.

Differences are measured in levels: the [-1, 1] that the network draws, on the scale 0 to 255
and before it is rounded to bytes. So rounding neither hides a difference nor makes one of it,
and one level is one step of an 8-bit channel. The reference is the Keras model itself, run in
float32 on the same photos.
"""

from __future__ import annotations

import dataclasses
from pathlib import Path

import numpy as np
from ai_edge_litert import schema_py_generated as schema

from export.runtime import TFLiteConverter
from keras_pixdt.data.images import to_float

LEVELS_PER_UNIT = 127.5  # [-1, 1] holds 255 levels
_PSNR_LIMIT_DB = 200.0  # of equal images; JSON has no infinity


class ExportError(RuntimeError):
    """A model that cannot be exported, or a file that does not do what the model does."""


@dataclasses.dataclass(frozen=True)
class Variant:
    """One kind of TFLite file and the floors that it must reach.

    Attributes:
        quantize_weights: 8-bit weights with float activations (dynamic-range quantization).
        bytes_per_weight: what a weight takes in the file; a file of less than half of it
            cannot hold the network.
        max_difference_levels: the largest difference of any channel of any pixel.
        psnr_mean_db: the least mean over the images of the PSNR against Keras (peak 255).
        psnr_min_db: the least PSNR of any image.
    """

    quantize_weights: bool
    bytes_per_weight: int
    max_difference_levels: float
    psnr_mean_db: float = 0.0
    psnr_min_db: float = 0.0


# The floors of `dynamic` tell a converted network from a broken one (a posterized one has 21 dB)
# and must hold for narrow and briefly trained ones, where 8-bit activations cost more. Measured
# on unseen street photos, mean, worst image and largest difference: full width after 15 minutes
# of training 58 dB, 54 dB, 5 levels; quarter width after 80 s 57 dB, 44 dB, 11 levels; eighth
# width after 60 s 53 dB, 42 dB, 13 levels. On the demo's test split: 54 dB, 46 dB, 24 levels. The
# largest difference is one pixel of a million, at an edge, so its floor is the widest.
VARIANTS = {
    "float32": Variant(False, 4, max_difference_levels=1e-4 * LEVELS_PER_UNIT),
    "dynamic": Variant(True, 1, max_difference_levels=64.0, psnr_mean_db=45.0, psnr_min_db=35.0),
}


def reference_levels(converter, images: np.ndarray) -> np.ndarray:
    """What Keras draws for the photos, before rounding.

    Args:
        converter: float32 Keras model, (n, s, s, 3) in [-1, 1] to the same range.
        images: uint8 (n, s, s, 3).

    Returns:
        float32 (n, s, s, 3) in [0, 255].

    Raises:
        ExportError: the converter draws NaN or infinity.
    """
    drawn = np.concatenate(
        [
            np.asarray(converter(to_float(images[i : i + 16]), training=False))
            for i in range(0, len(images), 16)
        ]
    )
    if not np.isfinite(drawn).all():
        raise ExportError(
            f"the converter draws NaN or infinity for {_count_not_finite(drawn)} of "
            f"{len(images)} images; export a checkpoint from before its training diverged"
        )
    return np.clip((drawn + 1.0) * LEVELS_PER_UNIT, 0.0, 255.0)


def verify_saved_model(path: Path, images: np.ndarray, reference: np.ndarray) -> None:
    """Runs the SavedModel's signature `convert` and compares it with the reference.

    Raises:
        ExportError: a byte is not the rounding of a value within 1e-4 (on [-1, 1]) of Keras'.
    """
    import tensorflow as tf

    convert = tf.saved_model.load(str(path)).signatures["convert"]
    converted = np.concatenate(
        [convert(image=tf.constant(image[None]))["image"].numpy() for image in images]
    )
    limit = 0.5 + VARIANTS["float32"].max_difference_levels
    difference = float(np.abs(converted - reference).max())
    if difference > limit:
        raise ExportError(
            f"{path.name} differs from Keras by {difference:.4f} levels before rounding; at most "
            f"{limit:.4f} is allowed (half a level is the rounding)"
        )


def verify_tflite(
    path: Path, variant: str, parameter_count: int, images: np.ndarray, reference: np.ndarray
) -> dict[str, float | int]:
    """Runs a TFLite file on photos and compares it with the reference.

    Args:
        path: the file.
        variant: a key of `VARIANTS`.
        parameter_count: how many weights the Keras model has.
        images: uint8 (n, s, s, 3).
        reference: what `reference_levels` returned for them.

    Returns:
        `max_difference_levels`, `mean_difference_levels`, `psnr_mean_db`, `psnr_min_db`
        (before rounding, as the floors), and `max_difference_bytes` (after rounding).

    Raises:
        ExportError: the file is too small to hold the network, has a dynamic dimension, draws
            NaN or infinity, or misses a floor of its variant.
    """
    floor = VARIANTS[variant]
    content = path.read_bytes()
    least = parameter_count * floor.bytes_per_weight // 2
    if len(content) < least:
        raise ExportError(
            f"{path.name} has {len(content)} bytes, but the {parameter_count} weights of the "
            f"network need at least {least}: the conversion lost them"
        )
    levels_tensor = _inspect(content, path.name)

    model = TFLiteConverter(path, num_threads=2)
    converted, levels = np.empty(reference.shape, np.uint8), np.empty_like(reference)
    for row, image in enumerate(images):
        converted[row] = model(image)
        levels[row] = np.clip(model.interpreter.get_tensor(levels_tensor)[0] - 0.5, 0.0, 255.0)
    if not np.isfinite(levels).all():
        raise ExportError(
            f"{path.name} draws NaN or infinity for {_count_not_finite(levels)} of {len(images)} "
            "images, where Keras does not"
        )

    difference = np.abs(levels.astype(np.float64) - reference)
    mse = np.mean(difference**2, axis=(1, 2, 3))
    psnr = 10 * np.log10(255.0**2 / np.maximum(mse, 255.0**2 * 10 ** (-_PSNR_LIMIT_DB / 10)))
    measured = {
        "max_difference_levels": float(difference.max()),
        "mean_difference_levels": float(difference.mean()),
        "max_difference_bytes": int(np.abs(converted - np.rint(reference)).max()),
        "psnr_mean_db": float(psnr.mean()),
        "psnr_min_db": float(psnr.min()),
    }
    # That the bytes are these levels, rounded, also proves that the right tensor was read.
    if np.abs(converted - levels).max() > 0.5:
        raise ExportError(f"{path.name}: the output is not what the network drew, rounded")
    if (
        measured["max_difference_levels"] > floor.max_difference_levels
        or measured["psnr_mean_db"] < floor.psnr_mean_db
        or measured["psnr_min_db"] < floor.psnr_min_db
    ):
        raise ExportError(
            f"{path.name} does not draw what Keras draws on {len(images)} images. The variant "
            f"{variant!r} allows max_difference_levels {floor.max_difference_levels:.4g} and needs "
            f"psnr_mean_db {floor.psnr_mean_db:g} and psnr_min_db {floor.psnr_min_db:g}. "
            f"Received: {measured}"
        )
    return measured


def _count_not_finite(images: np.ndarray) -> int:
    return int((~np.isfinite(images)).any(axis=(1, 2, 3)).sum())


def _inspect(content: bytes, name: str) -> int:
    """Refuses dynamic dimensions; returns the tensor that the last CAST rounds to bytes."""
    graph = schema.Model.GetRootAs(content, 0).Subgraphs(0)
    for index in range(graph.TensorsLength()):
        tensor = graph.Tensors(index)
        if tensor.ShapeSignatureLength() and -1 in tensor.ShapeSignatureAsNumpy():
            raise ExportError(
                f"{name}: tensor {tensor.Name().decode()!r} has the dynamic shape "
                f"{tensor.ShapeSignatureAsNumpy().tolist()}; every dimension must be fixed"
            )
    last = graph.Operators(graph.OperatorsLength() - 1)
    return int(last.Inputs(0))

"""Checks that an exported file must pass before it gets its final name.

Differences are measured in levels: the network's output in [-1, 1], scaled to 0 to 255, before it
is rounded to bytes. So rounding neither hides nor adds a difference, and one level is one step of
an 8-bit channel. (`int8` draws bytes, so there the rounding is included.)

The reference is the Keras model computed in float64, without the rounding of float32 (except for
flows, which Keras' layers keep in float32). Keras' own
difference from it in float32 is measured too, because no float32 file can do better: fifty
BatchNorms of a barely trained network turn one part in ten million into a hundredth of a level, in
Keras and in TFLite.
"""

from __future__ import annotations

import dataclasses
import math
from pathlib import Path
from typing import Any

import keras
import numpy as np
from absl import logging
from ai_edge_litert import schema_py_generated as schema

from export.differences import cosines_of, image_differences, map_differences
from export.runtime import (
    EMBED,
    EMBEDDING,
    IMAGE,
    MAPS,
    SIGNATURE,
    TFLiteConverter,
    compose,
)
from keras_pixdt import progress
from keras_pixdt.data.images import to_float

LEVELS_PER_UNIT = 127.5  # [-1, 1] holds 255 levels
_BATCH = 16
# TFLite adds in a different order from Keras, folds BatchNorm into weights and approximates tanh,
# so it rounds differently. The largest of a million differences was 3.7 times Keras' own.
_ROUNDING_MARGIN = 8.0


class ExportError(RuntimeError):
    """A model that cannot be exported, or a file that does not do what the model does."""


@dataclasses.dataclass(frozen=True)
class Floor:
    """The floor that a file must reach.

    Attributes:
        max_difference_levels: the largest difference of any channel of any pixel.
        psnr_mean_db: the least mean over the images of the PSNR against Keras (peak 255).
        psnr_min_db: the least PSNR of any image.
        embedding_cosine: the least cosine of any image's embedding with that of Keras.
    """

    max_difference_levels: float = math.inf
    psnr_mean_db: float = 0.0
    psnr_min_db: float = 0.0
    embedding_cosine: float = 0.0

    def is_met(self, measured: dict[str, Any]) -> bool:
        """Whether the measurements reach the floor."""
        return (
            measured["max_difference_levels"] <= self.max_difference_levels
            and measured["psnr_mean_db"] >= self.psnr_mean_db
            and measured["psnr_min_db"] >= self.psnr_min_db
            and measured.get("embedding_cosine_min", 1.0) >= self.embedding_cosine
        )

    def __str__(self) -> str:
        """The limits that are set."""
        limits = {k: v for k, v in dataclasses.asdict(self).items() if v and v != math.inf}
        return ", ".join(f"{name} {limit:.5g}" for name, limit in limits.items())


# Floors that a failed conversion misses, at any width and after any training. A posterized output
# has 21 dB. The worst correct ones, of quarter-width networks after minutes of training, had 44 dB
# (dynamic) and 43 dB (int8) on average, and 34 dB for the worst photo; of networks that move pixels
# 38 dB, and 25 dB for the worst photo: where a mask is not sure, 8 bits decide otherwise about some
# of its pixels. A mean of 30 dB is an error of 8 levels, a third of the error of posterizing. The
# largest difference has no limit, because it is one pixel in a million, at an edge.
BROKEN = Floor(psnr_mean_db=30.0, psnr_min_db=20.0, embedding_cosine=0.98)


@dataclasses.dataclass(frozen=True)
class Variant:
    """One kind of TFLite file.

    Attributes:
        bytes_per_weight: bytes per weight in the file; a file with less than half of that cannot
            hold the network.
        full: the floor that a trained network of full width reaches. A file that misses it is still
            written, and its report says `"floor": "reduced"`.
        least: the floor below which a file is refused.
    """

    bytes_per_weight: int
    full: Floor
    least: Floor = BROKEN


# | variant | weights | size | |
# | --- | --- | --- | --- |
# | `float32` | as in Keras | 1 | the reference |
# | `float16` | 16 bits, computed in float32 | 1/2 | as fast as float32, equal to a byte |
# | `dynamic` | 8 bits, activations quantized anew for each image | 1/4 | the best choice |
# | `int8` | 8 bits, activation ranges from `representative` | 1/4 | for integer hardware |
#
# Measured on 200 unseen photos with a network of full width after 15 minutes of training, worst
# image: float32 128 dB, float16 90 dB and 0.08 levels, dynamic 54 dB and 5.2 levels, int8 44.2 dB
# and 10.2 levels.
VARIANTS = {
    "float32": Variant(
        4,
        full=Floor(max_difference_levels=1e-4 * LEVELS_PER_UNIT, embedding_cosine=0.99999),
        least=Floor(max_difference_levels=1e-4 * LEVELS_PER_UNIT, embedding_cosine=0.9999),
    ),
    "float16": Variant(2, full=Floor(max_difference_levels=0.25, embedding_cosine=0.9999)),
    "dynamic": Variant(1, full=Floor(8.0, 55.0, 50.0, embedding_cosine=0.999)),
    "int8": Variant(1, full=Floor(12.0, 45.0, 42.0, embedding_cosine=0.999)),
}
# The errors of 8-bit activations add up over the layers, and larger images need more layers. So
# only the mean has a floor.
_INT8_LARGE = Floor(psnr_mean_db=38.0, embedding_cosine=0.999)
_LARGE_PX = 256


@dataclasses.dataclass(frozen=True)
class Reference:
    """Keras' drawings of the photos with which files are verified.

    Attributes:
        levels: float32 (n, h, w, 3) in [0, 255], computed in float64, not rounded to bytes.
        float32_difference_levels: the largest difference of Keras' own float32 from them.
        embeddings: float32 (n, d), of the `products`; None without an embedder.
        maps: float32 (n, h, w, 7), what the levels are composed of, for `flow`; None for the
            others.
    """

    levels: np.ndarray
    float32_difference_levels: float = 0.0
    embeddings: np.ndarray | None = None
    maps: np.ndarray | None = None

    @property
    def products(self) -> np.ndarray:
        """The levels as bytes, uint8 (n, h, w, 3), which are embedded."""
        return np.rint(self.levels).astype(np.uint8)

    def floors(self, variant: str) -> tuple[Floor, Floor]:
        """The floor below which a variant's file is refused, and the floor at full width."""
        least, full = VARIANTS[variant].least, VARIANTS[variant].full
        if variant == "float32":
            allowed = min(1.0, _ROUNDING_MARGIN * self.float32_difference_levels)
            limit = max(least.max_difference_levels, allowed)
            least = dataclasses.replace(least, max_difference_levels=limit)
        if variant == "int8" and max(self.levels.shape[1:3]) >= _LARGE_PX:
            full = _INT8_LARGE
        return least, full


def compute_reference(
    converter: keras.Model, images: np.ndarray, embedder: keras.Model | None = None
) -> Reference:
    """Runs a float32 Keras model on uint8 photos (n, h, w, 3), and an embedder on the result.

    Raises:
        ExportError: a model gives NaN or infinity.
    """
    drawn = _batched(converter, images)
    if not np.isfinite(drawn).all():
        raise ExportError(
            f"the converter draws NaN or infinity for {_count_not_finite(drawn)} of "
            f"{len(images)} images; export a checkpoint from before its training diverged"
        )
    levels = _levels(_batched(in_precision(converter, "float64"), images))
    reference = Reference(levels, float(np.abs(_levels(drawn) - levels).max()))
    if embedder is None:
        return reference
    embeddings = _batched(embedder, reference.products)
    if not np.isfinite(embeddings).all():
        raise ExportError("the embedder gives NaN or infinity for converted images; train it anew")
    return dataclasses.replace(reference, embeddings=embeddings)


def with_maps(reference: Reference, network: keras.Model, images: np.ndarray) -> Reference:
    """The reference of `flow`, from that of `convert`: both must draw the same.

    Args:
        reference: of the converter.
        network: the float32 Keras model that finds `appearance_flow.Parts`.
        images: the photos of the reference.
    """
    maps = _batched(in_precision(network, "float64"), images)[..., : sum(MAPS.values())]
    return dataclasses.replace(reference, embeddings=None, maps=maps.astype(np.float32))


def _batched(network: keras.Model, images: np.ndarray) -> np.ndarray:
    rows = progress.starts("Drawing with Keras", len(images), _BATCH)
    return np.concatenate(
        [np.asarray(network(to_float(images[i : i + _BATCH]), training=False)) for i in rows]
    )


def _levels(drawn: np.ndarray) -> np.ndarray:
    return np.clip((drawn + 1.0) * LEVELS_PER_UNIT, 0.0, 255.0).astype(np.float32)


def in_precision(network: keras.Model, dtype: str) -> keras.Model:
    """A network with the same weights whose layers all compute in a dtype; itself if they do.

    TFLite has no half-precision transposed convolution. Under the mixed policies the weights are
    float32 anyway, so nothing is lost in float32.
    """

    def replace(config: Any) -> Any:
        if isinstance(config, dict):
            return {
                key: dtype if key == "dtype" and _is_float(value) else replace(value)
                for key, value in config.items()
            }
        if isinstance(config, (list, tuple)):
            return type(config)(replace(item) for item in config)
        return config

    if {layer.dtype_policy.name for layer in network._flatten_layers(include_self=False)} == {
        dtype
    }:
        return network
    copy = type(network).from_config(replace(network.get_config()))
    copy.set_weights(network.get_weights())
    return copy


def _is_float(dtype: Any) -> bool:
    """Whether a layer's saved dtype, a name or a policy, is or contains a float."""
    if isinstance(dtype, dict):
        dtype = dtype.get("config", {}).get("name", "")
    return isinstance(dtype, str) and "float" in dtype


def verify_saved_model(
    path: Path, images: np.ndarray, reference: Reference, signature: str = SIGNATURE
) -> None:
    """Runs a SavedModel and compares its images and embeddings with the reference.

    See `verify_tflite` for the arguments.

    Raises:
        ExportError: a byte is not the rounded value of an output within the float32 floor, what
            maps are composed to differs, or an embedding differs.
    """
    import tensorflow as tf

    signatures = tf.saved_model.load(str(path)).signatures
    least, _ = reference.floors("float32")

    def run(signature: str, images: np.ndarray, *outputs: str) -> np.ndarray:
        shown = progress.bar("Verifying", images)
        rows = [signatures[signature](image=tf.constant(image[None])) for image in shown]
        return np.concatenate([np.concatenate([r[name] for name in outputs], -1) for r in rows])

    if reference.maps is not None:
        levels, rounding = _composed(images, run(signature, images, *MAPS)), 0.0
    else:
        levels, rounding = run(signature, images, IMAGE), 0.5
    limit = rounding + least.max_difference_levels
    difference = float(np.abs(levels - reference.levels).max())
    if not difference <= limit:
        raise ExportError(
            f"{_place(path, signature)} differs from Keras by {difference:.4f} levels before "
            f"rounding; at most {limit:.4f} is allowed ({rounding} of it is the rounding)"
        )
    if reference.embeddings is not None:
        cosine = cosines_of(run(EMBED, reference.products, EMBEDDING), reference.embeddings).min()
        if not cosine >= least.embedding_cosine:
            raise ExportError(
                f"{path.name}: an embedding has the cosine {cosine:.6f} with that of Keras; at "
                f"least {least.embedding_cosine} is needed"
            )


def _composed(images: np.ndarray, maps: np.ndarray) -> np.ndarray:
    """The levels of what maps are composed to, at their own size."""
    pairs = zip(images, maps, strict=True)
    return _levels(np.stack([compose(image, found, found.shape[:2]) for image, found in pairs]))


def _place(path: Path, signature: str) -> str:
    """The subject of a message."""
    return path.name if signature == SIGNATURE else f"{path.name} ({signature!r})"


def verify_tflite(
    path: Path,
    variant: str,
    parameter_count: int,
    images: np.ndarray,
    reference: Reference,
    signature: str = SIGNATURE,
) -> dict[str, Any]:
    """Runs a TFLite file on photos and compares it with the reference.

    Args:
        path: the file.
        variant: a key of `VARIANTS`.
        parameter_count: how many weights the networks that draw have.
        images: uint8 (n, h, w, 3).
        reference: the result of `compute_reference` for them and the signature's network, for
            `flow` with `with_maps`.
        signature: the signature that draws the images, or "flow", whose maps are composed to them.

    Returns:
        `max_difference_levels`, `mean_difference_levels`, `psnr_mean_db`, `psnr_min_db`
        (before rounding, except for int8), `max_difference_bytes` (after rounding), with an
        embedder `embedding_cosine_min` and `embedding_cosine_mean`, with maps
        `max_difference_maps`, and `floor`: "full" if the file reaches the floor of a trained
        network of full width, else "reduced".

    Raises:
        ExportError: the file is too small to hold the network, has a dynamic dimension or an
            operation that is not builtin, gives NaN or infinity, or misses the least floor of its
            variant.
    """
    content = path.read_bytes()
    least_bytes = parameter_count * VARIANTS[variant].bytes_per_weight // 2
    if len(content) < least_bytes:
        raise ExportError(
            f"{path.name} has {len(content)} bytes, but the {parameter_count} weights of the "
            f"network need at least {least_bytes}: the conversion lost them"
        )
    _refuse_what_phones_lack(content, path.name)

    model, place = TFLiteConverter(path, num_threads=2), _place(path, signature)
    measured: dict[str, Any] = {}
    if reference.maps is not None:
        maps = model.run(signature, images)
        levels = _composed(images, maps)
        converted = np.rint(levels)
        measured["max_difference_maps"] = map_differences(maps, reference.maps)
    else:
        converted, levels = _draw(model, content, images, variant, signature)
    if not np.isfinite(levels).all():
        raise ExportError(
            f"{place} draws NaN or infinity for {_count_not_finite(levels)} of {len(images)} "
            "images, where Keras does not"
        )
    # If the bytes are these levels, rounded, the right tensor was read.
    if np.abs(converted - levels).max() > 0.5:
        raise ExportError(f"{place}: the output is not what the network drew, rounded")

    measured |= image_differences(converted, levels, reference.levels)
    if reference.embeddings is not None:
        embeddings = model.embed(reference.products)
        if not np.isfinite(embeddings).all():
            raise ExportError(f"{path.name} embeds images as NaN or infinity, where Keras does not")
        cosines = cosines_of(embeddings, reference.embeddings)
        measured["embedding_cosine_min"] = float(cosines.min())
        measured["embedding_cosine_mean"] = float(cosines.mean())
    least, full = reference.floors(variant)
    if not least.is_met(measured):
        raise ExportError(
            f"{place} does not draw what Keras draws on {len(images)} images. The variant "
            f"{variant!r} is refused beyond {least}. Received: {measured}"
        )
    if full.is_met(measured):
        return {**measured, "floor": "full"}
    logging.warning(
        "%r of %s does not reach the floor of a trained network of full width (%s). That is usual "
        "for narrow or briefly trained ones", signature, path.name, full,
    )  # fmt: skip
    return {**measured, "floor": "reduced"}


def _count_not_finite(images: np.ndarray) -> int:
    return int((~np.isfinite(images)).any(axis=(1, 2, 3)).sum())


def _refuse_what_phones_lack(content: bytes, name: str) -> None:
    model = schema.Model.GetRootAs(content, 0)
    for index in range(model.OperatorCodesLength()):
        code = model.OperatorCodes(index)
        if code.CustomCode():
            raise ExportError(
                f"{name} uses {code.CustomCode().decode()!r}, which is not a builtin operation of "
                "TFLite (select operations of TensorFlow are in no phone and no browser)"
            )
    for graph in map(model.Subgraphs, range(model.SubgraphsLength())):
        for tensor in map(graph.Tensors, range(graph.TensorsLength())):
            if tensor.ShapeSignatureLength() and -1 in tensor.ShapeSignatureAsNumpy():
                raise ExportError(
                    f"{name}: tensor {tensor.Name().decode()!r} has the dynamic shape "
                    f"{tensor.ShapeSignatureAsNumpy().tolist()}; every dimension must be fixed"
                )


def _draw(
    model: TFLiteConverter, content: bytes, images: np.ndarray, variant: str, signature: str
) -> tuple[np.ndarray, np.ndarray]:
    """The bytes that a file draws, and the levels before they are rounded to bytes."""
    if variant == "int8":
        runner = model.interpreter.get_signature_runner(signature)
        for details in (runner.get_input_details()[IMAGE], runner.get_output_details()[IMAGE]):
            scale, zero_point = details["quantization"]
            ends = scale * (np.array([0, 255]) - zero_point)
            if np.abs(ends - (-1.0, 1.0)).max() > 0.01:  # tanh ends at 127/128
                raise ExportError(
                    "the bytes 0 and 255 of an int8 file must stand for -1 and 1, but stand for "
                    f"{ends[0]:.3f} and {ends[1]:.3f}: let the converter end in tanh"
                )
        converted = model.run(signature, images)
        return converted, converted.astype(np.float32)
    index = _subgraph(content, signature)
    graph = schema.Model.GetRootAs(content, 0).Subgraphs(index)
    # The last operation casts to bytes, which truncates; half a level was added before it.
    last = int(graph.Operators(graph.OperatorsLength() - 1).Inputs(0))
    drawn: list[np.ndarray] = []
    levels: list[np.ndarray] = []
    for image in progress.bar("Verifying", images):
        drawn.append(model.run(signature, image))
        levels.append(np.clip(model.interpreter.get_tensor(last, index)[0] - 0.5, 0.0, 255.0))
    return np.stack(drawn), np.stack(levels)


def _subgraph(content: bytes, signature: str) -> int:
    """The subgraph of a file that a signature runs."""
    model = schema.Model.GetRootAs(content, 0)
    signatures = map(model.SignatureDefs, range(model.SignatureDefsLength()))
    return next(s.SubgraphIndex() for s in signatures if s.SignatureKey().decode() == signature)

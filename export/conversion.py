"""Converts Keras networks to SavedModel and TFLite: the graph around a network, and its bytes."""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np

from export.runtime import EMBEDDING, IMAGE, MAPS
from export.verification import LEVELS_PER_UNIT, ExportError
from keras_pixdt.data.images import to_float
from keras_pixdt.layers import PadToSquare
from keras_pixdt.models.appearance_flow_networks import Parts


def upsampled_by_xnnpack(network: keras.Model) -> keras.Model:
    """The network with a different operation wherever it upsamples by 2 to nearest neighbours.

    Keras repeats rows, then columns. Each takes a TILE, which XNNPACK lacks, so the graph would
    fall apart. Four copies of the channels, moved to the pixels of a two by two square, give the
    same result to the bit, and XNNPACK can compute them. The other layers are shared with the
    network.
    """
    import tensorflow as tf

    def doubles(layer: keras.layers.Layer) -> bool:
        return (
            isinstance(layer, keras.layers.UpSampling2D)
            and layer.interpolation == "nearest"
            and layer.size == (2, 2)  # XNNPACK concatenates no more than five
        )

    def double(x: Any) -> Any:
        return tf.nn.depth_to_space(tf.concat([x] * 4, axis=-1), 2)

    def replace(layer: keras.layers.Layer) -> keras.layers.Layer:
        return keras.layers.Lambda(double, name=layer.name) if doubles(layer) else layer

    if not any(map(doubles, network.layers)):
        return network
    return keras.models.clone_model(network, clone_function=replace)


def convert_bytes(network: keras.Model, image: Any) -> dict[str, Any]:
    """The graph of a signature that draws: uint8 in, uint8 out, halves rounded up."""
    import tensorflow as tf

    drawn = network(_scale(image), training=False)
    # The cast truncates, so adding half a level rounds. A separate rounding operation would hide
    # the network's output from the verification.
    levels = tf.clip_by_value(drawn * LEVELS_PER_UNIT + (LEVELS_PER_UNIT + 0.5), 0.0, 255.5)
    return {IMAGE: tf.cast(levels, tf.uint8)}


def convert_floats(network: keras.Model, image: Any) -> dict[str, Any]:
    """No scaling in the graph: quantized to 8 bits, it and the clip would posterize the image."""
    return {IMAGE: network(image, training=False)}


def find_maps(network: keras.Model, image: Any) -> dict[str, Any]:
    """The graph of `flow`: what drawings are composed of, before sigmoid and tanh."""
    parts = Parts.of(network(_scale(image), training=False))
    return {name: getattr(parts, name) for name in MAPS}


def _scale(image: Any) -> Any:
    import tensorflow as tf

    return tf.cast(image, tf.float32) / LEVELS_PER_UNIT - 1.0


def embed_function(
    embedder: keras.Model, shape: tuple[int, ...]
) -> Callable[[Any], dict[str, Any]]:
    """The graph of `embed` for images of a shape, with builtin operations only.

    TFLite has no resizing with antialiasing. Resizing is linear and the same along both axes, so it
    is a product with one matrix from each side, whose columns are the resized unit vectors. Where
    the embedder fills rectangles up to squares, white is added first.

    Raises:
        ValueError: the embedder does not map images of this shape to vectors, or resizes outside
            its first layer.
    """
    import tensorflow as tf

    takes, gives = embedder.input_shape, embedder.output_shape
    if len(gives) != 2 or any(
        theirs not in (None, ours) for theirs, ours in zip(takes[1:], shape, strict=True)
    ):
        raise ValueError(
            f"embedder must take images of shape (n, {str(shape)[1:]}, as the converter draws "
            f"them, to vectors (n, dimensions). Received: {embedder.name!r} from {takes} to {gives}"
        )
    resizing = [x for x in embedder.layers if isinstance(x, keras.layers.Resizing)]
    if not resizing:
        return lambda image: {EMBEDDING: embedder(_scale(image), training=False)}
    layer, before = resizing[0], embedder.layers[1 : embedder.layers.index(resizing[0])]
    kinds = {type(x) for x in before}
    if len(resizing) > 1 or not kinds <= {PadToSquare} or layer.crop_to_aspect_ratio:
        raise ValueError(
            "embedder may resize only in its first layer, once, without crop_to_aspect_ratio. "
            f"Received: {embedder.name!r} with {[x.name for x in embedder.layers]}"
        )
    network = keras.Model(layer.output, embedder.output, name=embedder.name)
    side = layer.height
    pads = kinds and shape[0] != shape[1]
    height, width = (max(shape[:2]),) * 2 if pads else shape[:2]

    def matrix(size: int) -> np.ndarray:
        unit_vectors = np.eye(size, dtype=np.float32)[None, :, :, None]
        resized = keras.ops.image.resize(
            unit_vectors, (side, size), layer.interpolation, antialias=layer.antialias
        )
        return np.asarray(resized)[0, :, :, 0]

    down, along = matrix(height), matrix(width)

    def embed(image: Any) -> dict[str, Any]:
        pixels = _scale(image)
        if pads:
            pixels = PadToSquare()(pixels)
        if (height, width) != (side, side):
            rows = tf.matmul(down, tf.reshape(pixels, (height, width * 3)))
            columns = tf.matmul(along, tf.reshape(rows, (side, width, 3)))
            pixels = tf.reshape(columns, (1, side, side, 3))
        return {EMBEDDING: network(pixels, training=False)}

    return embed


def write_saved_model(
    functions: Mapping[str, Callable[[Any], dict[str, Any]]],
    shapes: Mapping[str, tuple[int, ...]],
    dtype: str,
    path: Path,
) -> None:
    """Writes a SavedModel whose signatures take one image `(1, height, width, 3)` of a dtype."""
    import tensorflow as tf

    # The endpoints track their variables themselves; `archive.track(network)` would store each one
    # twice.
    archive = keras.export.ExportArchive()
    for signature, function in functions.items():
        image = tf.TensorSpec((1, *shapes[signature]), dtype, name=IMAGE)
        archive.add_endpoint(signature, function, input_signature=[image])
    archive.write_out(str(path), verbose=False)


def to_tflite(
    saved_model: Path, signature: str, variant: str, representative: np.ndarray | None = None
) -> bytes:
    """Converts one signature of a SavedModel.

    With `representative`, which are uint8 photos, everything is in 8 bits, with bytes in and out.
    The embedder of an `int8` file is converted without it, so it returns floats and is as exact as
    in `dynamic`.

    Raises:
        ExportError: TFLite lacks an operation.
    """
    import tensorflow as tf

    builder = tf.lite.TFLiteConverter.from_saved_model(str(saved_model), signature_keys=[signature])
    if variant != "float32":
        builder.optimizations = [tf.lite.Optimize.DEFAULT]
    if variant == "float16":
        builder.target_spec.supported_types = [tf.float16]
    if representative is not None:
        # Two pixels fix the input range to that of bytes, whatever is in the photos.
        photos = representative.copy()
        photos[0, 0, 0], photos[0, 0, 1] = 0, 255
        builder.representative_dataset = lambda: ([image[None]] for image in to_float(photos))
        builder.target_spec.supported_ops = [tf.lite.OpsSet.TFLITE_BUILTINS_INT8]
        builder.inference_input_type = builder.inference_output_type = tf.uint8
    try:
        return builder.convert()
    except Exception as error:  # TensorFlow's ConverterError is not public
        operations = sorted(set(re.findall(r"\btf\.(\w+)", str(error))))
        raise ExportError(
            f"TFLite cannot run {signature!r} with its builtin operations (variant {variant!r}); "
            f"replace what uses: {', '.join(operations) or str(error)}"
        ) from error

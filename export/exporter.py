"""Writes a converter as SavedModel and TFLite, and verifies the files before they are named."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib.metadata
import json
import os
import re
import shutil
import statistics
import tempfile
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import keras
import numpy as np
from absl import logging

from export import metadata, verification
from export.metadata import ModelCard
from export.runtime import EMBED, EMBEDDING, IMAGE, REVERSE, SIGNATURE, load_tflite
from export.verification import LEVELS_PER_UNIT, VARIANTS, ExportError, Reference
from keras_pixdt import search
from keras_pixdt.data.images import to_float
from keras_pixdt.engine.model import reverse_network

if TYPE_CHECKING:
    from keras_pixdt.training.run import Run

SAVED_MODEL = "saved_model"
REPORT = "export.json"
VERIFIED_PHOTOS = 64  # of a run's test split; more take minutes at full width
REPRESENTATIVE_PHOTOS = 128  # of a run's training split
DEFAULT_VARIANTS = ("float32", "dynamic")
LATENCY_ROUNDS = 9


class _Direction(NamedTuple):
    """A signature that draws images: its network, and what that is verified with."""

    signature: str
    network: keras.Model  # in float32
    images: np.ndarray
    representative: np.ndarray | None
    reference: Reference

    def part(self, report: dict[str, Any]) -> dict[str, Any]:
        """What a report, or that of a variant, tells of this direction."""
        return report if self.signature == SIGNATURE else report.setdefault(self.signature, {})


def export_converter(
    converter: keras.Model,
    directory: str | os.PathLike[str],
    *,
    images: np.ndarray,
    variants: Sequence[str] = DEFAULT_VARIANTS,
    name: str = "converter",
    embedder: keras.Model | None = None,
    representative: np.ndarray | None = None,
    reverse_converter: keras.Model | None = None,
    reverse_images: np.ndarray | None = None,
    reverse_representative: np.ndarray | None = None,
    card: ModelCard | None = None,
) -> dict[str, Any]:
    """Writes `saved_model/`, one `NAME_VARIANT.tflite` per variant, and `export.json`.

    Every file has the signature `convert` with one input and one output, both named `image`,
    uint8 RGB `(1, size, size, 3)`: the scaling to [-1, 1] and back, the clip and the
    rounding (halves up) are in the graph; in `int8`, the quantization of input and output is the
    scaling. With an embedder there is a second signature, `embed`, from such an image to
    `embedding`, float32 `(1, dimensions)`, in all variants. With a converter back there is the
    signature `reverse`, which has the form of `convert` and is verified like it. The batch is fixed
    to 1, in the SavedModel too: with a free batch the transposed convolutions would leave the fast
    path of TFLite (XNNPACK). Convert batches with the Keras model. BatchNorm uses its moving
    statistics, and a model under a mixed-precision policy is exported in float32. Only TFLite's
    builtin operations are used. The files say what they are (`read_metadata`).

    | variant | weights | size | |
    | --- | --- | --- | --- |
    | `float32` | as in Keras | 1 | the reference |
    | `float16` | 16 bits, computed in float32 | 1/2 | as fast as float32, equal to a byte |
    | `dynamic` | 8 bits, with activations quantized anew for each image | 1/4 | to be preferred |
    | `int8` | 8 bits, with activations as `representative` has them | 1/4 | for integer hardware |

    All files are made in a temporary folder beside `directory`, run, and compared with Keras
    (floors: `export.verification.VARIANTS`); only then are they moved to their names, where
    they replace an earlier export of the same name. When anything fails, nothing in `directory`
    changes. The same converter gives the same `.tflite` bytes every time; TensorFlow numbers
    the parts of a SavedModel anew each time, so there only the content is the same.

    Example:
        ```python
        report = export.export_converter(model.converter, "runs/demo/export", images=photos)
        convert = export.load_tflite("runs/demo/export/converter_dynamic.tflite")
        ```

    Args:
        converter: Keras model, float `(batch, size, size, 3)` in [-1, 1] to the same range,
            with a fixed size.
        directory: folder for the files; made if missing, other files in it stay.
        images: uint8 `(n, size, size, 3)`, RGB: the photos to verify with, all of them. Take
            real ones that the converter was not trained on: 100 tell enough, and each takes up
            to 0.5 s at full width.
        variants: which TFLite files, of `float32`, `float16`, `dynamic` and `int8`.
        name: how the TFLite file names start.
        embedder: Keras model, float32 `(batch, size, size, 3)` in [-1, 1] to `(batch,
            dimensions)`, such as a `ProductEmbedder`. Where its first layer resizes, the file does
            the same by a product of matrices; TFLite's own resizing does not average.
        representative: uint8 `(m, size, size, 3)`: photos that the converter was trained on, from
            which `int8` takes the ranges of the activations. 100 tell enough.
        reverse_converter: Keras model from the images that `converter` draws to those that it
            takes, of the same shapes.
        reverse_images: as `images`, of the second domain; needed with `reverse_converter`.
        reverse_representative: as `representative`, of the second domain.
        card: where the model comes from, for the metadata.

    Returns:
        What `export.json` holds: files with bytes, SHA-256, differences from Keras, the floor that
        they reach, the share of the graph inside XNNPACK, peak memory, and median milliseconds per
        image with the ratio to Keras; what goes in and out, and the versions that made them. What
        is measured of `reverse` stands under this name, in each variant and beside them.
        `format_report` makes a table of it.

    Raises:
        ValueError: an argument that breaks its rule above.
        ExportError: the converter draws NaN, has a free image size, needs operations that TFLite
            lacks, or a file failed its verification.
    """
    directory = Path(directory)
    _check_arguments(directory, variants, name)
    _check_network(converter, images, representative, variants)
    given: list[tuple[str, keras.Model, Any, Any]] = [
        (SIGNATURE, converter, images, representative)
    ]
    if reverse_converter is not None:
        back = (reverse_converter, reverse_images, reverse_representative)
        _check_network(*back, variants, prefix="reverse_", size=converter.input_shape[1])
        given.append((REVERSE, *back))
    card = card or ModelCard()
    size = images.shape[1]
    embed = None if embedder is None else _embed_function(embedder, size)
    directions = []
    for signature, network, photos, representatives in given:
        network = verification.in_precision(network, "float32")
        reference = verification.compute_reference(
            network, photos, embedder if signature == SIGNATURE else None
        )
        directions.append(_Direction(signature, network, photos, representatives, reference))
    embeddings = directions[0].reference.embeddings
    parameters = sum(d.network.count_params() for d in directions)

    directory.parent.mkdir(parents=True, exist_ok=True)
    stage = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
    try:
        made = stage / "made"
        made.mkdir()
        networks = {d.signature: _upsampled_by_xnnpack(d.network) for d in directions}
        functions: dict[str, Callable] = {
            signature: functools.partial(_convert_bytes, network)
            for signature, network in networks.items()
        }
        if embed is not None:  # in the second place, with and without the way back
            functions = {SIGNATURE: functions.pop(SIGNATURE), EMBED: embed, **functions}
        _write_saved_model(functions, size, "uint8", made / SAVED_MODEL)
        for d in directions:
            verification.verify_saved_model(made / SAVED_MODEL, d.images, d.reference, d.signature)
        if "int8" in variants:
            floats = {
                signature: functools.partial(_convert_floats, network)
                for signature, network in networks.items()
            }
            _write_saved_model(floats, size, "float32", stage / "floats")
        report: dict[str, Any] = {
            "name": name,
            "signature": SIGNATURE,
            "input": _describe(images.shape[1:], f"photo, {card.photo()}"),
            "output": _describe(directions[0].reference.levels.shape[1:], "converted image, RGB"),
            "embedding_dimensions": None if embeddings is None else embeddings.shape[1],
            "card": {**dataclasses.asdict(card), "categories": list(card.categories)},
        }
        for d in directions[1:]:
            d.part(report).update(
                input=_describe(d.images.shape[1:], "image of the second domain, RGB"),
                output=_describe(d.reference.levels.shape[1:], "image of the first domain, RGB"),
            )
        for d in directions:
            d.part(report).update(
                parameters=d.network.count_params(),
                verified_images=len(d.images),
                keras_float32_difference_levels=d.reference.float32_difference_levels,
            )
        report |= {
            "saved_model": {"file": SAVED_MODEL, "bytes": _size(made / SAVED_MODEL)},
            "variants": {},
            "versions": {
                package: importlib.metadata.version(package)
                for package in ("keras", "tensorflow", "ai-edge-litert")
            },
        }
        calibration = {d.signature: d.representative for d in directions}
        for variant in variants:
            path = made / f"{name}_{variant}.tflite"
            parts = [
                _to_tflite(stage / "floats", signature, variant, calibration[signature])
                if variant == "int8" and signature != EMBED
                else _to_tflite(made / SAVED_MODEL, signature, variant)
                for signature in functions
            ]
            content = metadata.assemble(parts, name=name, variant=variant, card=card)
            path.write_bytes(content)
            of = report["variants"][variant] = {
                "file": path.name,
                "bytes": len(content),
                "sha256": hashlib.sha256(content).hexdigest(),
            }
            for d in directions:
                measured = verification.verify_tflite(
                    path, variant, parameters, d.images, d.reference, d.signature
                )
                d.part(of).update(measured)
                if measured["floor"] == "reduced":
                    logging.warning(
                        "%r of %s does not reach the floor of a trained network of full width "
                        "(%s). That is usual for narrow or briefly trained ones",
                        d.signature,
                        path.name,
                        VARIANTS[variant].full,
                    )
            of["xnnpack"] = {
                signature: verification.delegation(content, graph)
                for graph, signature in enumerate(functions)
            }
            for d in directions:
                d.part(of)["peak_memory_mb"] = verification.peak_memory_mb(path, d.signature)
        _add_latencies(report, directions, made)
        (made / REPORT).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        _install(stage, directory, name)
    finally:
        shutil.rmtree(stage)
    logging.info("Verified on %d photos:\n%s", len(images), format_report(report))
    return report


def export_run(
    run: Run,
    directory: str | os.PathLike[str],
    variants: Sequence[str] = DEFAULT_VARIANTS,
    *,
    reverse: bool = False,
    licence: str = metadata.LICENCE,
) -> dict[str, Any]:
    """Exports the converter and search embedder of a run, verified on photos of its test split.

    A run of a preset in reverse, from products to persons, has no embedder of what it draws.
    That field of the preset exchanges the domains for training; `reverse` here writes the way back
    into the files, beside the way that was asked for.

    Args:
        run: what `keras_pixdt.load_run` returns.
        directory: see `export_converter`.
        variants: see `export_converter`.
        reverse: whether the files have the signature `reverse` too.
        licence: of the files, for the metadata.

    Returns:
        What `export_converter` returns.

    Raises:
        ValueError: `reverse`, and the run's model has no way back.
        ExportError: see `export_converter`.
    """
    domains = run.domains()
    back: dict[str, Any] = {}
    if reverse:
        back = {
            "reverse_converter": reverse_network(run.model),
            "reverse_images": _spread(domains["test"].targets, VERIFIED_PHOTOS),
            "reverse_representative": _spread(domains["train"].targets, REPRESENTATIVE_PHOTOS),
        }
    labels = domains["train"].target_labels
    embedder = None if run.preset.reverse else run.search_embedder()
    card = ModelCard(
        preset=run.preset.name,
        data=_data_name(run.data),
        categories=() if labels is None else labels.names,
        licence=licence,
        embedder_fingerprint="" if embedder is None else search.fingerprint(embedder),
        resize=run.preset.resize,
    )
    return export_converter(
        run.model.plain_converter(),
        directory,
        images=_spread(domains["test"].sources, VERIFIED_PHOTOS),
        variants=variants,
        embedder=embedder,
        representative=_spread(domains["train"].sources, REPRESENTATIVE_PHOTOS),
        **back,
        card=card,
    )


def format_report(report: Mapping[str, Any]) -> str:
    """A report as a table for a terminal.

    Args:
        report: what `export_converter` returned, or an `export.json`.

    Returns:
        One line for each variant, and one for its way back if there is one, under a header, then
        Keras.
    """
    rows = [
        ["variant", "floor", "MB", "max", "mean", "PSNR", "min", "cosine", "XNNPACK", "outside"]
        + ["1 thread", "2 threads", "memory"]
    ]
    for variant, whole in report["variants"].items():
        graphs = dict(whole["xnnpack"])
        back = [graphs.pop(REVERSE)] if REVERSE in graphs else []
        directions = [(variant, f"{whole['bytes'] / 1e6:.2f}", whole, list(graphs.values()))]
        if back:
            directions.append((f"{variant}, {REVERSE}", "-", whole[REVERSE], back))
        for label, megabytes, of, own in directions:
            outside = sorted({name for graph in own for name in graph["outside"]})
            share = sum(g["inside"] for g in own) / sum(g["operations"] for g in own)
            rows.append(
                [
                    label,
                    of["floor"],
                    megabytes,
                    f"{of['max_difference_levels']:.3g}",
                    f"{of['mean_difference_levels']:.2g}",
                    f"{of['psnr_mean_db']:.1f}",
                    f"{of['psnr_min_db']:.1f}",
                    f"{of['embedding_cosine_min']:.5f}" if "embedding_cosine_min" in of else "-",
                    f"{share:.0%}",
                    " ".join(outside) or "-",
                    f"{of['one_thread_ms']:.1f} ms ({of['one_thread_speedup']:.1f}x)",
                    f"{of['two_threads_ms']:.1f} ms ({of['two_threads_speedup']:.1f}x)",
                    f"{of['peak_memory_mb']:.0f} MB",
                ]
            )
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    lines = ["  ".join(map(str.ljust, row, widths)).rstrip() for row in rows]
    return "\n".join(
        [
            *lines,
            f"max, mean: differences from Keras in levels of 255; PSNR in dB. Keras predict: "
            f"{report['keras_predict_ms']:.1f} ms, in turns with the files; (x) is its ratio.",
        ]
    )


def _spread(images: np.ndarray, count: int) -> np.ndarray:
    """About so many of the images, over all of them, so that they are of many products."""
    return images[:: max(1, len(images) // count)]


def _data_name(data: Mapping[str, Any]) -> str:
    """What a run was trained on, without where that lies on this machine."""
    names = [data["data"], data.get("target_data")]
    names = [name if str(name).startswith("tfds:") else Path(name).name for name in names if name]
    return " and ".join(names)


def _check_arguments(directory: Path, variants: Sequence[str], name: str) -> None:
    if keras.backend.backend() != "tensorflow":
        raise ExportError(
            "TFLite files are made with TensorFlow: export with KERAS_BACKEND=tensorflow. "
            f"Received the backend {keras.backend.backend()!r}"
        )
    unknown = set(variants) - set(VARIANTS)
    if unknown or not variants:
        raise ValueError(
            f"variants must be some of {', '.join(VARIANTS)}. Received: {tuple(variants)}"
        )
    if not re.fullmatch(r"\w[\w.-]*", name):
        raise ValueError(
            "name must be letters, digits, '_', '-' and '.', as it starts the file names. "
            f"Received: {name!r}"
        )
    if directory.exists() and not directory.is_dir():
        raise ValueError(f"directory must be a folder, but {str(directory)!r} is a file")


def _check_network(
    network: keras.Model,
    images: np.ndarray | None,
    representative: np.ndarray | None,
    variants: Sequence[str],
    prefix: str = "",
    size: int | None = None,
) -> None:
    """Checks a converter and its photos; `prefix` is how its arguments' names start."""
    shape = network.input_shape[1:]
    if None in shape or shape != (shape[0], shape[0], 3):
        raise ExportError(
            f"the {prefix}converter must take square RGB images of a fixed size: build it with "
            f"keras.Input((64, 64, 3)), or 128 or 256. Received the shape {network.input_shape}"
        )
    if size is not None and shape[0] != size:
        raise ValueError(
            f"the {prefix}converter must take images of the side {size}, as the converter does. "
            f"Received the shape {network.input_shape}"
        )
    if images is None:
        raise ValueError(
            f"{prefix}images must be given with a {prefix}converter: the photos to verify it with. "
            "Received: None"
        )
    _check_images(f"{prefix}images", images, shape)
    if representative is None and "int8" in variants:
        raise ValueError(
            f"{prefix}representative must be given for the variant 'int8': photos that the "
            "converter was trained on, from which it takes the ranges of the activations. "
            "Received: None"
        )
    if representative is not None:
        _check_images(f"{prefix}representative", representative, shape)


def _check_images(argument: str, images: np.ndarray, size: tuple[int, ...]) -> None:
    if images.dtype != np.uint8 or images.ndim != 4 or not len(images) or images.shape[1:] != size:
        raise ValueError(
            f"{argument} must be uint8 of shape (n, {', '.join(map(str, size))}), as the converter "
            f"takes them, with n at least 1. Received: {images.dtype} {images.shape}"
        )


def _upsampled_by_xnnpack(converter: keras.Model) -> keras.Model:
    """The converter, of its own layers, but for those that double the image to nearest neighbours.

    Keras repeats rows, then columns: a TILE each, which XNNPACK lacks, so that the graph falls
    apart. Pixels of two by two copies of their channels are the same to the bit, and inside.
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

    if not any(map(doubles, converter.layers)):
        return converter
    return keras.models.clone_model(converter, clone_function=replace)


def _convert_bytes(converter: keras.Model, image: Any) -> dict[str, Any]:
    import tensorflow as tf

    drawn = converter(_scale(image), training=False)
    # The cast truncates, so that half a level more rounds. A rounding operation of its own
    # would hide from the verification what the network drew.
    levels = tf.clip_by_value(drawn * LEVELS_PER_UNIT + (LEVELS_PER_UNIT + 0.5), 0.0, 255.5)
    return {IMAGE: tf.cast(levels, tf.uint8)}


def _convert_floats(converter: keras.Model, image: Any) -> dict[str, Any]:
    """Without the scaling: quantized to 8 bits, it and the clip would posterize the image."""
    return {IMAGE: converter(image, training=False)}


def _scale(image: Any) -> Any:
    import tensorflow as tf

    return tf.cast(image, tf.float32) / LEVELS_PER_UNIT - 1.0


def _embed_function(embedder: keras.Model, size: int) -> Callable[[Any], dict[str, Any]]:
    """The graph of `embed`, by builtin operations only.

    TFLite has no resizing with antialiasing. It is linear, and the same along both axes: a
    product with one matrix from either side, whose columns are the resized unit vectors.
    """
    import tensorflow as tf

    takes, gives = embedder.input_shape, embedder.output_shape
    if len(gives) != 2 or any(
        theirs not in (None, ours) for theirs, ours in zip(takes[1:], (size, size, 3), strict=True)
    ):
        raise ValueError(
            f"embedder must take images of shape (n, {size}, {size}, 3), as the converter draws "
            f"them, to vectors (n, dimensions). Received: {embedder.name!r} from {takes} to {gives}"
        )
    resizing = [x for x in embedder.layers if isinstance(x, keras.layers.Resizing)]
    if not resizing:
        return lambda image: {EMBEDDING: embedder(_scale(image), training=False)}
    layer = resizing[0]
    if len(resizing) > 1 or layer is not embedder.layers[1] or layer.crop_to_aspect_ratio:
        raise ValueError(
            "embedder may resize only in its first layer, once, without crop_to_aspect_ratio. "
            f"Received: {embedder.name!r} with {[x.name for x in embedder.layers]}"
        )
    network = keras.Model(layer.output, embedder.output, name=embedder.name)
    side = layer.height
    unit_vectors = np.eye(size, dtype=np.float32)[None, :, :, None]
    matrix = np.asarray(
        keras.ops.image.resize(
            unit_vectors, (side, size), layer.interpolation, antialias=layer.antialias
        )
    )[0, :, :, 0]

    def embed(image: Any) -> dict[str, Any]:
        pixels = _scale(image)
        if side != size:
            rows = tf.matmul(matrix, tf.reshape(pixels, (size, size * 3)))
            columns = tf.matmul(matrix, tf.reshape(rows, (side, size, 3)))
            pixels = tf.reshape(columns, (1, side, side, 3))
        return {EMBEDDING: network(pixels, training=False)}

    return embed


def _write_saved_model(
    functions: Mapping[str, Callable[[Any], dict[str, Any]]], size: int, dtype: str, path: Path
) -> None:
    import tensorflow as tf

    # The endpoints track their variables themselves; `archive.track(converter)` would store each
    # of them a second time.
    archive = keras.export.ExportArchive()
    image = tf.TensorSpec((1, size, size, 3), dtype, name=IMAGE)
    for signature, function in functions.items():
        archive.add_endpoint(signature, function, input_signature=[image])
    archive.write_out(str(path), verbose=False)


def _to_tflite(
    saved_model: Path, signature: str, variant: str, representative: np.ndarray | None = None
) -> bytes:
    """One signature of a SavedModel.

    With `representative`, all in 8 bits, bytes in and out. The embedder beside an `int8` converter
    is converted without: it returns floats, and is as exact as in `dynamic`.
    """
    import tensorflow as tf

    builder = tf.lite.TFLiteConverter.from_saved_model(str(saved_model), signature_keys=[signature])
    if variant != "float32":
        builder.optimizations = [tf.lite.Optimize.DEFAULT]
    if variant == "float16":
        builder.target_spec.supported_types = [tf.float16]
    if representative is not None:
        # Two pixels fix the range of the input to that of bytes, whatever the photos hold.
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


def _describe(shape: tuple[int, ...], content: str) -> dict[str, Any]:
    return {"name": IMAGE, "dtype": "uint8", "shape": [1, *shape], "content": content}


def _size(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


def _add_latencies(
    report: dict[str, Any], directions: Sequence[_Direction], directory: Path
) -> None:
    """Median milliseconds of an image, in turns, so that other work of the machine hits all."""
    contenders: dict[tuple[str, str, str], Callable[[], object]] = {}
    for d in directions:
        contenders["keras", "", d.signature] = functools.partial(
            d.network.predict, to_float(d.images[:1]), verbose=0
        )
    for variant, of in report["variants"].items():
        for num_threads, threads in ((1, "one_thread"), (2, "two_threads")):
            model = load_tflite(directory / of["file"], num_threads)
            for d in directions:
                convert = model if d.signature == SIGNATURE else model.reverse
                contenders[variant, threads, d.signature] = functools.partial(convert, d.images[0])
    seconds: dict[tuple[str, str, str], list[float]] = {contender: [] for contender in contenders}
    for repeat in range(LATENCY_ROUNDS + 1):
        for contender, run in contenders.items():
            start = time.perf_counter()
            run()
            if repeat:  # the first call compiles or allocates
                seconds[contender].append(time.perf_counter() - start)
    median = {contender: 1e3 * statistics.median(of) for contender, of in seconds.items()}
    for d in directions:
        keras_ms = median.pop(("keras", "", d.signature))
        d.part(report)["keras_predict_ms"] = round(keras_ms, 3)
        for (variant, threads, signature), ms in median.items():
            if signature == d.signature:
                of = d.part(report["variants"][variant])
                of[f"{threads}_ms"] = round(ms, 3)
                of[f"{threads}_speedup"] = round(keras_ms / ms, 2)


def _install(stage: Path, directory: Path, name: str) -> None:
    """Moves `stage/made` into `directory`, where it replaces an earlier export; all or nothing."""
    made, retired = stage / "made", stage / "retired"
    retired.mkdir()
    directory.mkdir(exist_ok=True)
    # Also the variants that were not asked for this time: they are of an older converter.
    owned = [SAVED_MODEL, REPORT, *(f"{name}_{variant}.tflite" for variant in VARIANTS)]
    moves = [(directory / entry, retired / entry) for entry in owned]
    moves += [(entry, directory / entry.name) for entry in made.iterdir()]
    done = []
    try:
        for old, new in moves:
            if old.exists():
                old.rename(new)
                done.append((old, new))
    except BaseException:  # an interrupt, too, must not cost the earlier export
        for old, new in reversed(done):
            new.rename(old)
        raise

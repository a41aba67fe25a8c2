"""Writes a converter as SavedModel and TFLite, and verifies the files before they are named."""

from __future__ import annotations

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
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from absl import logging

from export import verification
from export.runtime import IMAGE, SIGNATURE, load_tflite
from export.verification import LEVELS_PER_UNIT, VARIANTS, ExportError
from keras_pixdt.data.images import to_float

if TYPE_CHECKING:
    from keras_pixdt.training.run import Run

SAVED_MODEL = "saved_model"
REPORT = "export.json"
VERIFIED_PHOTOS = 64  # of a run's test split; more take minutes at full width


def export_converter(
    converter: keras.Model,
    directory: str | os.PathLike[str],
    *,
    images: np.ndarray,
    variants: Sequence[str] = ("float32", "dynamic"),
    name: str = "converter",
) -> dict[str, Any]:
    """Writes `saved_model/`, one `NAME_VARIANT.tflite` per variant, and `export.json`.

    Every file has the signature `convert` with one input and one output, both named `image`,
    uint8 RGB `(1, size, size, 3)`: the scaling to [-1, 1] and back, the clip and the
    rounding (halves up) are in the graph. The batch is fixed to 1, in the SavedModel too: it is
    the very graph that the TFLite files are made from, and with a free batch the transposed
    convolutions would leave the fast path of TFLite (XNNPACK). Convert batches with the Keras
    model. BatchNorm uses its moving statistics, and a model under a mixed-precision policy is
    exported in float32. Only TFLite's builtin operations are used.

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
            to 0.3 s at full width.
        variants: which TFLite files, of `float32` and `dynamic` (8-bit weights, a quarter of
            the size, and the fastest).
        name: how the TFLite file names start.

    Returns:
        What `export.json` holds: files with bytes, SHA-256, differences from Keras and median
        milliseconds per image, what goes in and out, and the versions that made them.

    Raises:
        ValueError: an argument that breaks its rule above.
        ExportError: the converter draws NaN, has a free image size, needs operations that TFLite
            lacks, or a file failed its verification.
    """
    directory = Path(directory)
    _check_arguments(converter, directory, images, variants, name)
    converter = _in_float32(converter)
    reference = verification.reference_levels(converter, images)

    directory.parent.mkdir(parents=True, exist_ok=True)
    stage = Path(tempfile.mkdtemp(prefix=f".{directory.name}-", dir=directory.parent))
    try:
        made = stage / "made"
        made.mkdir()
        _write_saved_model(converter, images.shape[1:], made / SAVED_MODEL)
        verification.verify_saved_model(made / SAVED_MODEL, images, reference)
        report: dict[str, Any] = {
            "name": name,
            "signature": SIGNATURE,
            "input": _describe(images.shape[1:], "photo, RGB, letterboxed on white"),
            "output": _describe(reference.shape[1:], "converted image, RGB"),
            "parameters": converter.count_params(),
            "verified_images": len(images),
            "keras_predict_ms": _median_ms(
                lambda: converter.predict(to_float(images[:1]), verbose=0)
            ),
            "saved_model": {"file": SAVED_MODEL, "bytes": _size(made / SAVED_MODEL)},
            "variants": {},
            "versions": {
                package: importlib.metadata.version(package)
                for package in ("keras", "tensorflow", "ai-edge-litert")
            },
        }
        for variant in variants:
            path = made / f"{name}_{variant}.tflite"
            content = _to_tflite(made / SAVED_MODEL, variant)
            path.write_bytes(content)
            measured = verification.verify_tflite(
                path, variant, converter.count_params(), images, reference
            )
            report["variants"][variant] = {
                "file": path.name,
                "bytes": len(content),
                "sha256": hashlib.sha256(content).hexdigest(),
                **measured,
                **_latency(path, images[0]),
            }
            logging.info(
                "Verified %s: %.2f MB, at most %.2f of 255 levels from Keras on %d photos, "
                "%.1f ms on one thread (Keras predict: %.1f ms)",
                path.name,
                len(content) / 1e6,
                measured["max_difference_levels"],
                len(images),
                report["variants"][variant]["one_thread_ms"],
                report["keras_predict_ms"],
            )
        (made / REPORT).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")
        _install(stage, directory, name)
    finally:
        shutil.rmtree(stage)
    return report


def export_run(
    run: Run, directory: str | os.PathLike[str], variants: Sequence[str] = ("float32", "dynamic")
) -> dict[str, Any]:
    """Exports the converter of a run, verified on photos of its test split.

    Args:
        run: what `keras_pixdt.load_run` returns.
        directory: as of `export_converter`.
        variants: as of `export_converter`.

    Returns:
        What `export_converter` returns.
    """
    photos = run.domains()["test"].sources
    spread = photos[:: max(1, len(photos) // VERIFIED_PHOTOS)]  # over all its products
    return export_converter(
        run.model.plain_converter(), directory, images=spread, variants=variants
    )


def _check_arguments(
    converter: keras.Model, directory: Path, images: np.ndarray, variants: Sequence[str], name: str
) -> None:
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
    size = converter.input_shape[1:]
    if None in size or size != (size[0], size[0], 3):
        raise ExportError(
            "the converter must take square RGB images of a fixed size: build it with "
            f"keras.Input((64, 64, 3)), or 128 or 256. Received the shape {converter.input_shape}"
        )
    if images.dtype != np.uint8 or images.ndim != 4 or not len(images) or images.shape[1:] != size:
        raise ValueError(
            f"images must be uint8 of shape (n, {', '.join(map(str, size))}), as the converter "
            f"takes them, with n at least 1. Received: {images.dtype} {images.shape}"
        )


def _in_float32(converter: keras.Model) -> keras.Model:
    """The converter itself, or a float32 copy if it computes in lower precision.

    TFLite has no half-precision transposed convolution, and the weights are float32 under the
    mixed policies anyway: the copy loses nothing.
    """

    def replace(config: Any) -> Any:
        if isinstance(config, dict):
            return {
                key: "float32" if key == "dtype" and _is_low_precision(value) else replace(value)
                for key, value in config.items()
            }
        if isinstance(config, (list, tuple)):
            return type(config)(replace(item) for item in config)
        return config

    config = converter.get_config()
    float_config = replace(config)
    if float_config == config:
        return converter
    copy = type(converter).from_config(float_config)
    copy.set_weights(converter.get_weights())
    return copy


def _is_low_precision(dtype: Any) -> bool:
    """Whether a layer's saved dtype, a name or a policy, is or contains a 16-bit float."""
    if isinstance(dtype, dict):
        dtype = dtype.get("config", {}).get("name", "")
    return isinstance(dtype, str) and dtype.endswith("float16")


def _write_saved_model(converter: keras.Model, shape: tuple[int, ...], path: Path) -> None:
    import tensorflow as tf

    def convert(image: tf.Tensor) -> dict[str, tf.Tensor]:
        drawn = converter(tf.cast(image, tf.float32) / LEVELS_PER_UNIT - 1.0, training=False)
        # The cast truncates, so that half a level more rounds. A rounding operation of its own
        # would hide from the verification what the network drew.
        levels = tf.clip_by_value(drawn * LEVELS_PER_UNIT + (LEVELS_PER_UNIT + 0.5), 0.0, 255.5)
        return {IMAGE: tf.cast(levels, tf.uint8)}

    # The endpoint tracks its variables itself; `archive.track(converter)` would store each of
    # them a second time.
    archive = keras.export.ExportArchive()
    archive.add_endpoint(
        SIGNATURE, convert, input_signature=[tf.TensorSpec((1, *shape), tf.uint8, name=IMAGE)]
    )
    archive.write_out(str(path), verbose=False)


def _to_tflite(saved_model: Path, variant: str) -> bytes:
    import tensorflow as tf

    builder = tf.lite.TFLiteConverter.from_saved_model(str(saved_model), signature_keys=[SIGNATURE])
    if VARIANTS[variant].quantize_weights:
        builder.optimizations = [tf.lite.Optimize.DEFAULT]
    try:
        return builder.convert()
    except Exception as error:  # TensorFlow's ConverterError is not public
        operations = sorted(set(re.findall(r"\btf\.(\w+)", str(error))))
        raise ExportError(
            f"TFLite cannot run this converter with its builtin operations (variant {variant!r}); "
            f"replace what uses: {', '.join(operations) or str(error)}"
        ) from error


def _describe(shape: tuple[int, ...], content: str) -> dict[str, Any]:
    return {"name": IMAGE, "dtype": "uint8", "shape": [1, *shape], "content": content}


def _size(directory: Path) -> int:
    return sum(path.stat().st_size for path in directory.rglob("*") if path.is_file())


def _latency(path: Path, image: np.ndarray) -> dict[str, float]:
    one, two = (functools.partial(load_tflite(path, num_threads), image) for num_threads in (1, 2))
    return {"one_thread_ms": _median_ms(one), "two_threads_ms": _median_ms(two)}


def _median_ms(run: Callable[[], object], repeats: int = 9) -> float:
    run()  # the first call compiles or allocates
    seconds = []
    for _ in range(repeats):
        start = time.perf_counter()
        run()
        seconds.append(time.perf_counter() - start)
    return round(1e3 * statistics.median(seconds), 3)


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

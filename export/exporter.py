"""Writes a converter as SavedModel and TFLite, and verifies the files before naming them."""

from __future__ import annotations

import dataclasses
import functools
import hashlib
import importlib.metadata
import json
import os
import re
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras
import numpy as np
from absl import logging

from export import conversion, metadata, performance, verification
from export.installation import install
from export.metadata import ModelCard
from export.runtime import EMBED, FLOW, IMAGE, MAPS, REVERSE, SIGNATURE
from export.table import format_report
from export.verification import VARIANTS, ExportError, Reference
from keras_pixdt import search
from keras_pixdt.engine.model import reverse_network
from keras_pixdt.layers import Warp
from keras_pixdt.models.appearance_flow import AppearanceFlow

if TYPE_CHECKING:
    from keras_pixdt.training.run import Run

SAVED_MODEL = "saved_model"
REPORT = "export.json"
VERIFIED_PHOTOS = 64  # from a run's test split; more take minutes at full width
REPRESENTATIVE_PHOTOS = 128  # from a run's training split
DEFAULT_VARIANTS = ("float32", "dynamic")


@dataclasses.dataclass(frozen=True)
class _Direction:
    """A signature that draws images or gives maps: its network, and what verifies the files."""

    signature: str
    converter: keras.Model
    images: np.ndarray
    representative: np.ndarray | None
    embedder: keras.Model | None = None  # embeds the images that it draws
    composed: _Direction | None = None  # draws what the maps of this one are composed to

    @property
    def takes(self) -> tuple[int, ...]:
        """Shape of the images that it takes, (height, width, 3)."""
        return self.converter.input_shape[1:]

    @property
    def draws(self) -> tuple[int, ...]:
        """Shape of the images that it draws."""
        return (*self.converter.output_shape[1:3], 3)

    @functools.cached_property
    def network(self) -> keras.Model:
        return verification.in_precision(self.converter, "float32")

    @functools.cached_property
    def exported(self) -> keras.Model:
        return conversion.upsampled_by_xnnpack(self.network)

    @property
    def function(self) -> Callable[[Any], dict[str, Any]]:
        """Its graph."""
        function = conversion.convert_bytes if self.composed is None else conversion.find_maps
        return functools.partial(function, self.exported)

    @functools.cached_property
    def reference(self) -> Reference:
        if self.composed is not None:
            return verification.with_maps(self.composed.reference, self.network, self.images)
        return verification.compute_reference(self.network, self.images, self.embedder)

    def part(self, report: dict[str, Any]) -> dict[str, Any]:
        """The part of a report, or of a variant's report, for this direction."""
        return report if self.signature == SIGNATURE else report.setdefault(self.signature, {})

    def check(self, variants: Sequence[str], shape: tuple[int, ...]) -> None:
        """Refuses a converter that takes other images than of `shape`, and other photos."""
        moves = any(isinstance(x, Warp) for x in self.converter.layers)
        if "int8" in variants and moves:
            raise ValueError(
                "the variant 'int8' cannot hold a flow: in 8 bits, places in the photo are pixels "
                f"apart. Leave it out; 'dynamic' is as small. Received: {tuple(variants)}"
            )
        if self.composed is not None:
            self._check_maps(self.composed.converter, moves)
            return
        prefix = "" if self.signature == SIGNATURE else f"{self.signature}_"
        if None in self.takes or len(self.takes) != 3 or self.takes[2] != 3:
            raise ExportError(
                f"the {prefix}converter must take RGB images of a fixed size: build it with "
                "keras.Input((64, 64, 3)), or 128, 256 or (256, 192, 3). Received the shape "
                f"{self.converter.input_shape}"
            )
        if self.takes != shape:
            raise ValueError(
                f"the {prefix}converter must take images of the shape {shape}, as the converter "
                f"does. Received the shape {self.converter.input_shape}"
            )
        if self.representative is None and "int8" in variants:
            raise ValueError(
                f"{prefix}representative must be given for the variant 'int8': photos that the "
                "converter was trained on, from which it takes the ranges of the activations. "
                "Received: None"
            )
        for argument, images in (
            (f"{prefix}images", self.images),
            (f"{prefix}representative", self.representative),
        ):
            if images is not None and (
                images.dtype != np.uint8 or not len(images) or images.shape[1:] != shape
            ):
                raise ValueError(
                    f"{argument} must be uint8 of shape (n, {str(shape)[1:]}, as the converter "
                    f"takes them, with n at least 1. Received: {images.dtype} {images.shape}"
                )

    def _check_maps(self, converter: keras.Model, moves: bool) -> None:
        channels = sum(MAPS.values()) + 3  # and the moved photo
        expected = converter.input_shape, (*converter.output_shape[:-1], channels)
        received = self.converter.input_shape, self.converter.output_shape
        if received != expected or not moves:
            raise ValueError(
                "flow must be `finder` of the AppearanceFlow whose converter is exported, which "
                f"moves pixels, from {expected[0]} to {expected[1]}. Received: from {received[0]} "
                f"to {received[1]}{'' if moves else ', without a layer that moves pixels'}"
            )


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
    flow: keras.Model | None = None,
    card: ModelCard | None = None,
) -> dict[str, Any]:
    """Writes `saved_model/`, one `NAME_VARIANT.tflite` per variant, and `export.json`.

    See `help(export)` for the content of the files. They are made in a temporary folder beside
    `directory`, run, and compared with Keras (for the floors see `export.verification.VARIANTS`).
    Only then do they replace an earlier export with the same name. If anything fails, nothing in
    `directory` changes.

    Args:
        converter: Keras model from float `(batch, height, width, 3)` in [-1, 1], of a fixed size,
            to images of the same range, of the same or another size.
        directory: folder for the files; made if missing, other files in it stay.
        images: uint8 `(n, height, width, 3)`, RGB: the photos to verify with; all are used. Take
            real photos that the converter was not trained on. 100 are enough, and each takes up to
            0.5 s at full width.
        variants: which TFLite files to write, out of `float32`, `float16`, `dynamic` and `int8`.
        name: prefix of the TFLite file names.
        embedder: Keras model from float32 `(batch, height, width, 3)` in [-1, 1] to `(batch,
            dimensions)`, such as a `ProductEmbedder`. Only its first layer may resize.
        representative: uint8 `(m, height, width, 3)`: photos that the converter was trained on,
            from which `int8` takes the ranges of the activations. 100 are enough.
        reverse_converter: Keras model from images that `converter` draws back to images that it
            takes, with the same shapes.
        reverse_images: as `images`, of the second domain; needed with `reverse_converter`.
        reverse_representative: as `representative`, of the second domain.
        flow: `finder` of the `AppearanceFlow` whose converter is exported, for the signature
            `flow`.
        card: information about the model's origin, for the metadata.

    Returns:
        The content of `export.json`. For each file it has the size in bytes, SHA-256, differences
        from Keras, the floor that it reaches, the share of the graph inside XNNPACK, peak memory,
        and median milliseconds per image with the ratio to Keras. It also describes the input, the
        output, and the versions that made the files. The keys `reverse` and `flow`, here and in
        each variant, hold the same for these signatures.

    Raises:
        ValueError: an argument that breaks its rule above.
        ExportError: the converter draws NaN, has a free image size, or needs operations that TFLite
            lacks, or a file failed its verification.
    """
    directory, card = Path(directory), card or ModelCard()
    _check_arguments(directory, variants, name)
    directions = [_Direction(SIGNATURE, converter, images, representative, embedder)]
    if reverse_converter is not None:
        if reverse_images is None:
            raise ValueError(
                "reverse_images must be given with a reverse_converter: the images of the second "
                "domain to verify it with. Received: None"
            )
        back = _Direction(REVERSE, reverse_converter, reverse_images, reverse_representative)
        directions.append(back)
    if flow is not None:
        directions.append(_Direction(FLOW, flow, images, None, composed=directions[0]))
    for direction in directions:
        direction.check(variants, converter.input_shape[1:])
    embed = embedder and conversion.embed_function(embedder, directions[0].draws)
    report = _about(directions, name, card)  # runs the Keras models
    directory.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix=f".{directory.name}-", dir=directory.parent) as stage:
        _make_files(Path(stage), directions, embed, variants, card, report)
        # Also variants that were not asked for this time: they come from an older converter.
        owned = [SAVED_MODEL, REPORT, *(f"{name}_{variant}.tflite" for variant in VARIANTS)]
        install(Path(stage, "made"), directory, owned, Path(stage, "retired"))
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
    """Exports a run's converter and search embedder, verified on photos of its test split.

    Files of a model that moves the photo's own pixels also get the signature `flow`.

    A run whose preset has `reverse` set goes from products to persons and has no embedder for its
    images. That field of the preset exchanges the domains for training, while the argument
    `reverse` adds the reverse direction to the files, next to the direction that the run was
    trained for.

    Args:
        run: what `keras_pixdt.load_run` returns.
        directory: see `export_converter`.
        variants: see `export_converter`.
        reverse: whether the files also get the signature `reverse`.
        licence: licence of the files, for the metadata.

    Returns:
        The result of `export_converter`.

    Raises:
        ValueError: `reverse` is set, but the run's model cannot convert back.
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
    model = run.model
    moves = isinstance(model, AppearanceFlow) and model.scalable
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
        model.plain_converter(),
        directory,
        images=_spread(domains["test"].sources, VERIFIED_PHOTOS),
        variants=variants,
        embedder=embedder,
        representative=_spread(domains["train"].sources, REPRESENTATIVE_PHOTOS),
        **back,
        flow=model.finder if moves else None,
        card=card,
    )


def _make_files(
    stage: Path,
    directions: Sequence[_Direction],
    embed: Callable[[Any], dict[str, Any]] | None,
    variants: Sequence[str],
    card: ModelCard,
    report: dict[str, Any],
) -> None:
    """Makes and verifies all files in `stage/made`, including the completed report."""
    made = stage / "made"
    made.mkdir()
    name = report["name"]
    shapes = {d.signature: d.takes for d in directions}
    shapes[EMBED] = directions[0].draws
    functions: dict[str, Callable[[Any], dict[str, Any]]] = {}
    for d in directions:
        functions[d.signature] = d.function
        if embed is not None:  # in second place, whatever comes after
            functions[EMBED] = embed
    conversion.write_saved_model(functions, shapes, "uint8", made / SAVED_MODEL)
    for d in directions:
        verification.verify_saved_model(made / SAVED_MODEL, d.images, d.reference, d.signature)
    if "int8" in variants:
        floats = {
            d.signature: functools.partial(conversion.convert_floats, d.exported)
            for d in directions
        }
        conversion.write_saved_model(floats, shapes, "float32", stage / "floats")
    saved = [path for path in (made / SAVED_MODEL).rglob("*") if path.is_file()]
    packages = ("keras", "tensorflow", "ai-edge-litert")
    report |= {
        "saved_model": {"file": SAVED_MODEL, "bytes": sum(path.stat().st_size for path in saved)},
        "variants": {},
        "versions": {package: importlib.metadata.version(package) for package in packages},
    }
    calibration = {d.signature: d.representative for d in directions}
    files = {variant: made / f"{name}_{variant}.tflite" for variant in variants}
    for variant, path in files.items():
        parts = {
            signature: conversion.to_tflite(
                stage / "floats", signature, variant, calibration[signature]
            )
            if variant == "int8" and signature != EMBED
            else conversion.to_tflite(made / SAVED_MODEL, signature, variant)
            for signature in functions
        }
        content = metadata.assemble([*parts.values()], name=name, variant=variant, card=card)
        path.write_bytes(content)
        report["variants"][variant] = _verified(path, variant, directions, parts)
    for d in directions:
        keras_ms, times = performance.latencies(files, d.network, d.images[0], d.signature)
        d.part(report)["keras_predict_ms"] = keras_ms
        for variant, measured in times.items():
            d.part(report["variants"][variant]).update(measured)
    (made / REPORT).write_text(json.dumps(report, indent=2) + "\n", encoding="utf-8")


def _verified(
    path: Path, variant: str, directions: Sequence[_Direction], parts: Mapping[str, bytes]
) -> dict[str, Any]:
    """Verifies a TFLite file and returns its part of the report, except the latencies."""
    content = path.read_bytes()
    report = {
        "file": path.name,
        "bytes": len(content),
        "sha256": hashlib.sha256(content).hexdigest(),
    }
    drawing = [d for d in directions if d.composed is None]  # others have the same weights
    parameters = sum(d.network.count_params() for d in drawing)
    for d in directions:
        d.part(report).update(
            verification.verify_tflite(
                path, variant, parameters, d.images, d.reference, d.signature
            )
        )
    report["xnnpack"] = {name: performance.delegation(part) for name, part in parts.items()}
    for d in directions:
        d.part(report)["peak_memory_mb"] = performance.peak_memory_mb(path, d.signature)
    return report


def _about(directions: Sequence[_Direction], name: str, card: ModelCard) -> dict[str, Any]:
    """The parts of a report that are known before measuring the files."""

    def about_images(images: np.ndarray, content: str) -> dict[str, Any]:
        shape = [1, *images.shape[1:]]
        return {"name": IMAGE, "dtype": "uint8", "shape": shape, "content": content}

    there, *others = directions
    embeddings = there.reference.embeddings
    report: dict[str, Any] = {
        "name": name,
        "signature": SIGNATURE,
        "input": about_images(there.images, f"photo, {card.photo(there.takes)}"),
        "output": about_images(there.reference.levels, "converted image, RGB"),
        "embedding_dimensions": None if embeddings is None else embeddings.shape[1],
        "card": {**dataclasses.asdict(card), "categories": list(card.categories)},
    }
    for other in others:
        if other.composed is not None:
            shape = [1, *other.draws[:2]]
            maps = {name: [*shape, channels] for name, channels in MAPS.items()}
            report[FLOW] = {"input": report["input"], "outputs": maps}
            continue
        report[REVERSE] = {
            "input": about_images(other.images, "image of the second domain, RGB"),
            "output": about_images(other.reference.levels, "image of the first domain, RGB"),
        }
    for d in directions:
        d.part(report).update(
            parameters=d.network.count_params(),
            verified_images=len(d.images),
            keras_float32_difference_levels=d.reference.float32_difference_levels,
        )
    return report


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
    for folder in (directory, next(p for p in directory.absolute().parents if p.exists())):
        if folder.exists() and not os.access(folder, os.W_OK):
            raise PermissionError(f"directory (--out) must not be read-only. Received: {directory}")


def _spread(images: np.ndarray, count: int) -> np.ndarray:
    """About that many images, spread over all of them, so that they show many products."""
    return images[:: max(1, len(images) // count)]


def _data_name(data: Mapping[str, Any]) -> str:
    """The data that a run was trained on, without its location on this machine."""
    names = [data["data"], data.get("target_data")]
    names = [name if str(name).startswith("tfds:") else Path(name).name for name in names if name]
    return " and ".join(names)

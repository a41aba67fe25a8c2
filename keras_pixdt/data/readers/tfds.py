"""Reads sets that TFDS has prepared: pairs of `tfds_lookbook`, and domains of any set."""

from __future__ import annotations

import functools
import importlib.util
import os
from collections.abc import Iterator
from typing import Any

import numpy as np
from absl import logging

from keras_pixdt import progress
from keras_pixdt.choices import (
    RESIZES,
    SCHEMES,
    Size,
    as_height_width,
    as_size,
    scaled_size,
    shown_size,
)
from keras_pixdt.data import images
from keras_pixdt.data.files import File, Skipped
from keras_pixdt.data.pairs import Labels, PairSet, allocate
from keras_pixdt.data.readers import array_record
from keras_pixdt.data.readers.attributes import ATTRIBUTES
from keras_pixdt.data.readers.domain import ALL, TFDS_NAMES, Domain, decode_domain, resized

TFDS = "tfds:"


def _open(name: str, data_dir: str | os.PathLike[str] | None, command: str) -> Any:
    """The builder of a set that `command` prepared."""
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder(name, data_dir=data_dir)
        prepared = bool(builder.info.splits)
    except tfds.core.DatasetNotFoundError:
        prepared = False
    if not prepared:
        raise FileNotFoundError(
            f"TFDS has not prepared {name!r} in {data_dir or 'its default folder'}. Build it with "
            f"`{command}`, and pass the same data_dir."
        )
    return builder


def read_pairs(
    name: str,
    image_size: Size,
    resize: str,
    data_dir: str | os.PathLike[str] | None,
    *,
    photo_size: Size | None = None,
    truth: bool = False,
) -> dict[str, PairSet]:
    """Reads the splits of a set of `tfds_lookbook`; see `load_pairs` for the arguments."""
    builder = _open(name, data_dir, f"tfds build {name} --imports tfds_lookbook")
    _check_resize(builder, resize)
    _check_proportions(builder, target=image_size, source=photo_size or image_size)
    stored = as_size(builder.info.features["source"].shape[:2])
    asked = as_height_width(photo_size or stored, "photo_size")
    if max(asked) > max(as_height_width(stored)):
        raise ValueError(
            f"`photo_size` must be at most {shown_size(stored)} for "
            f"{TFDS}{builder.info.full_name}, whose photos have {shown_size(stored)} px. Received: "
            f"{shown_size(as_size(asked))}. Take a set with larger photos (rendered64_flow, "
            "pairs64_photo256), or smaller ones (pixdt train --set "
            f"photo_size={shown_size(stored)})."
        )
    # TFDS lists them alphabetically.
    splits = [split for split in SCHEMES["yoo2016"] if split in builder.info.splits]
    sizes = image_size, photo_size or image_size
    if builder.info.file_format.value == array_record.FORMAT:
        return {s: array_record.open_pairs(builder, s, *sizes, resize, truth) for s in splits}
    return {split: _read_pairs(builder, split, *sizes, resize, truth) for split in splits}


def _check_proportions(builder: Any, **asked: Size) -> None:
    """Refuses rectangles of other proportions than those of the set: they would get bars twice."""
    for image, size in asked.items():
        stored = as_size(builder.info.features[image].shape[:2])
        if not isinstance(size, int) and as_size(size) != scaled_size(stored, max(size)):
            name = "image_size" if image == "target" else "photo_size"
            raise ValueError(
                f"`{name}` must be a square, or have the proportions of the images that "
                f"{TFDS}{builder.info.full_name} holds, {shown_size(stored)} px. Received: "
                f"{shown_size(size)}. Take a set of these proportions (pairs256x192)."
            )


def _check_resize(builder: Any, resize: str) -> None:
    """Refuses a set whose images were resized the other way."""
    # Sets built before there were two ways do not say; they were letterboxed. Drawings are always
    # square.
    prepared = (builder.info.metadata or {}).get("resize", RESIZES[0])
    if prepared in (None, resize) or (builder.info.config_name or "").startswith("rendered"):
        return
    raise ValueError(
        f"`resize` must be {prepared!r} for {TFDS}{builder.info.full_name}, whose images were "
        f"resized so when it was built. Received: {resize!r}. Take that (pixdt train --set "
        f"resize={prepared}), or data that were built the other way: pairs256 is letterboxed, "
        "pairs256_kwon2019 stretched since its version 2.0.0."
    )


def _read_pairs(
    builder: Any, split: str, image_size: Size, photo_size: Size, resize: str, truth: bool
) -> PairSet:
    import tensorflow_datasets as tfds

    if importlib.util.find_spec("tensorflow") is None:
        raise ModuleNotFoundError(
            f"{TFDS}{builder.info.full_name} was prepared as {builder.info.file_format.value}, "
            "which TensorFlow reads, and it is not installed. Build the set with "
            f"--file_format={array_record.FORMAT}, or install TensorFlow."
        )
    # Every example repeats its product image, so it is decoded only once per product.
    skip = {"target": tfds.decode.SkipDecoding()}
    has_masks, has_flows = (truth and name in builder.info.features for name in ("mask", "flow"))
    if has_masks:
        skip["mask"] = tfds.decode.SkipDecoding()
    examples = builder.as_dataset(split=split, decoders=skip)
    count = builder.info.splits[split].num_examples
    sources = allocate((count, *as_height_width(photo_size), 3))
    targets, product_id, group_id, attributes, masks, flows = [], [], [], [], [], []
    row_of: dict[int, int] = {}
    target_index = np.empty(len(sources), np.int64)
    examples = progress.bar(f"Reading {split}", tfds.as_numpy(examples), len(sources))
    for index, example in enumerate(examples):
        product = int(example["product_id"])
        if product not in row_of:
            row_of[product] = len(row_of)
            product_id.append(product)
            group_id.append(int(example["group_id"]))
            attributes.append(
                {key: example[key].decode() for key in ATTRIBUTES if example.get(key)}
            )
            targets.append(images.resize(images.read_image(example["target"]), image_size, resize))
            if has_masks:
                mask = images.read_image(example["mask"])
                masks.append(images.resize_mask(mask, image_size, resize))
        target_index[index] = row_of[product]
        sources[index] = images.resize(example["source"], photo_size, resize)
        if has_flows:
            flows.append(example["flow"])
    return PairSet(
        sources=sources,
        targets=np.stack(targets),
        target_index=target_index,
        product_id=np.array(product_id, np.int64),
        group_id=np.array(group_id, np.int64),
        attributes=tuple(attributes) if any(attributes) else (),
        masks=np.stack(masks) if masks else None,
        flows=np.stack(flows) if flows else None,
    )


def read_domain(
    name: str, image_size: Size, resize: str, data_dir: str | os.PathLike[str] | None
) -> dict[str, Domain]:
    """Reads the splits of a set with labels, or the images with an attribute, under `ALL`.

    See `load_domains` for the arguments.
    """
    dataset = name[len(TFDS) :]
    if dataset and ":" not in dataset and "=" not in dataset:
        return _read_splits(dataset, image_size, resize, data_dir)
    return {ALL: _read_attribute(name, image_size, resize, data_dir)}


def _read_splits(
    dataset: str, image_size: Size, resize: str, data_dir: str | os.PathLike[str] | None
) -> dict[str, Domain]:
    """The splits of a TFDS set with labels, as they are."""
    import tensorflow_datasets as tfds

    builder = _open(dataset, data_dir, f"tfds build {dataset}")
    features, parts = builder.info.features, builder.info.splits
    image, label = (features[key] if key in features else None for key in ("image", "label"))
    if not (
        isinstance(image, tfds.features.Image)
        and image.np_dtype == np.uint8
        and image.shape[-1] in (1, 3)
        and isinstance(label, tfds.features.ClassLabel)
    ):
        kinds = (f"{key} ({type(features[key]).__name__})" for key in sorted(features))
        raise ValueError(
            f"{dataset} must have the features 'image', uint8 with 1 or 3 channels, and 'label', a "
            f"ClassLabel. It has {', '.join(kinds)}. A set without labels is named with an "
            f"attribute, such as tfds:celeb_a:Blond_Hair=1. Received: {TFDS}{dataset}"
        )
    train = "extra" if "extra" in parts else "train"
    if not {train, "test"} <= set(parts):
        raise ValueError(
            f"{dataset} must have the splits 'train' (or 'extra') and 'test'. "
            f"It has {', '.join(sorted(parts))}"
        )
    if unused := sorted(set(parts) - {train, "test"}):
        logging.warning(
            "%s: '%s' is the training split; left out %s", dataset, train, ", ".join(unused)
        )
    return {
        split: _read_split(builder, part, image_size, resize)
        for split, part in (("train", train), ("test", "test"))
    }


def _read_split(builder: Any, part: str, image_size: Size, resize: str) -> Domain:
    import tensorflow_datasets as tfds

    index = np.empty(builder.info.splits[part].num_examples, np.int64)

    def pictures() -> Iterator[np.ndarray]:
        # TensorFlow's decoders turn no photo, and convert no colours.
        skip = {"image": tfds.decode.SkipDecoding()}
        examples = builder.as_dataset(split=part, decoders=skip)
        shown = progress.bar(f"Reading {part}", tfds.as_numpy(examples), len(index))
        for row, example in enumerate(shown):
            index[row] = example["label"]
            yield images.read_image(example["image"], f"{part} {row}")

    pixels, shapes = resized(pictures(), len(index), image_size, resize)
    if unlabelled := int((index < 0).sum()):  # TFDS marks a missing label with -1
        raise ValueError(
            f"{builder.info.full_name} must have a label for each image. In its split {part!r}, "
            f"{unlabelled} of {len(index)} have none."
        )
    return Domain(
        pixels, shapes, Labels(index, tuple(builder.info.features["label"].names)), signatures=[]
    )


def _read_attribute(
    name: str, image_size: Size, resize: str, data_dir: str | os.PathLike[str] | None
) -> Domain:
    """The images of all splits of a TFDS set that have, or lack, an attribute."""
    dataset, _, condition = name[len(TFDS) :].rpartition(":")
    attribute, _, value = condition.partition("=")
    if not dataset or value not in ("0", "1"):
        raise ValueError(
            f"A domain from TFDS is named {TFDS_NAMES}, or =0, such as "
            f"tfds:celeb_a:Blond_Hair=1. Received: {name}"
        )
    import tensorflow_datasets as tfds

    builder = _open(dataset, data_dir, f"tfds build {dataset}")
    features = builder.info.features
    known = features["attributes"] if "image" in features and "attributes" in features else {}
    if attribute not in known:
        raise ValueError(
            f"{dataset} must have the feature 'image', and {attribute!r} among its 'attributes'. "
            f"It has the features {', '.join(sorted(features))}, and the attributes "
            f"{', '.join(sorted(known)) or 'none'}"
        )
    parts = builder.info.splits

    def found() -> Iterator[File]:
        skip = {"image": tfds.decode.SkipDecoding()}
        for part in sorted(parts):
            examples = builder.as_dataset(split=part, decoders=skip).filter(
                lambda example: example["attributes"][attribute] == bool(int(value))
            )
            for index, example in enumerate(tfds.as_numpy(examples)):
                yield f"{name}, {part} {index}", functools.partial(bytes, example["image"])

    most = sum(part.num_examples for part in parts.values())
    domain = decode_domain(found(), most, image_size, resize, name, Skipped())
    if not domain.signatures:
        raise ValueError(f"{name} has no images: none of its {most} has {condition}.")
    return domain

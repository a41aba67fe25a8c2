"""Two domains of images without pairs: from folders, archives, edges of photos, .npz files, TFDS.

Needs NumPy and Pillow only, unless images come from TFDS.
"""

from __future__ import annotations

import functools
import itertools
import os
import pathlib
import zipfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
from typing import NamedTuple

import numpy as np
from absl import logging

from keras_pixdt.data import duplicates, images
from keras_pixdt.data.crops import cutter
from keras_pixdt.data.files import HIDDEN, Skipped, decode, is_hidden, open_files, skip_unreadable
from keras_pixdt.data.load import TFDS, open_tfds
from keras_pixdt.data.pairs import DomainSet, Labels, allocate, take_rows
from keras_pixdt.data.splits import SCHEMES, split_groups

# What Pillow reads of the formats that cameras, phones and shops use.
IMAGE_SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"))
NO_IMAGE = "no_image_by_its_name"

_TFDS_NAMES = "tfds:NAME for a set with labels, or tfds:NAME:ATTRIBUTE=1"
_SCHEME = "yoo2016"  # 90/5/5
_SCHEME_BESIDE_OWN = "kwon2019"  # 90/10, for a domain beside one that has train and test
_ALL = "all"  # the images of a domain that has no splits of its own
_MOST_CLASSES = 100_000  # labels beyond are identifiers, or damaged
_CHUNK = 1024  # images decoded or drawn at once; bounds the memory


def load_domains(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str] | None = None,
    image_size: int = 64,
    *,
    edges: bool = False,
    seed: int = 0,
    data_dir: str | os.PathLike[str] | None = None,
    resize: str = "letterbox",
    crop: str | os.PathLike[str] | None = None,
    target_crop: str | os.PathLike[str] | None = None,
) -> dict[str, DomainSet]:
    """Loads two domains and splits them, 90/5/5, so that no duplicate is in two splits.

    A domain is one of these:

    - a folder (with its subfolders) or an archive of images of any names and sizes. If each image
      is in one of two or more first subfolders, these are the labels, as in
      `keras.utils.image_dataset_from_directory`;
    - `"tfds:celeb_a:Blond_Hair=1"`, those images of a set that TFDS has prepared of which a boolean
      attribute is 1, or 0;
    - `"tfds:svhn_cropped"`, a set that TFDS has prepared with the features `image` and `label`, in
      its own splits: `test`, and for training `extra` where there is one (Taigman et al. 2017,
      Sec. 5.1, for SVHN), else `train`;
    - an `.npz` file of `x_train`, `y_train`, `x_test` and `y_test`, as Keras' data sets are called,
      in these splits: images uint8 `(n, size, size)` or `(n, size, size, 3)`, labels int `(n,)`
      from 0, whose names are "0", "1" and so on.

    Gray images are replicated to three channels. An image keeps its split when others are added.
    What cannot be used is left out, counted, and logged with its name.
    A set of TFDS with an attribute is split anew: of CelebA's persons, who have several photos
    each, one may be in two splits.

    Parts of the images of a folder or an archive can be taken, such as their faces: `crop` and
    `target_crop` are JSON files like `{"anna/1.jpg": [40, 20, 192, 172]}`, with the left, top,
    right and bottom edge in pixels of the upright image; images that are not named are taken whole.
    `keras_pixdt.data.crops` has the rules. Splits are those of the whole images.

    Splits that a domain has of its own are kept, and no duplicates of its images are looked for,
    neither in it nor in the other domain. There is no validation split then, and a domain without
    splits beside it is split 90/10.

    Differs from the paper:
      - Taigman et al. 2017 (Sec. 5.2) find the irides and the nose of each emoji by heuristics,
        and centre and scale it by these. Here faces are where the caller's `crop` and
        `target_crop` say, since the heuristics are not given.

    Args:
        source: the first domain; with `edges`, the photos.
        target: the second domain.
        image_size: side of the images in pixels.
        edges: whether there are only photos, and the first domain are their edges. Then the
            training photos are halved: the edges are those of one half, the photos those of the
            other, so that no edges have their photo beside them. In the other splits both are of
            all photos, in the same order.
        seed: of the halves.
        data_dir: where TFDS sets were prepared; by default `~/tensorflow_datasets`.
        resize: how images are made square: "letterbox" keeps their aspect and fills up with white,
            "stretch" does not.
        crop: which parts of the first domain's images are taken; by default all are taken whole.
        target_crop: the same of the second domain.

    Returns:
        Split name (train, validation, test; or train, test) -> domains, with the labels that are
        known.

    Raises:
        FileNotFoundError: if there is nothing at a path, or nothing prepared under a TFDS name.
        ValueError: not exactly one of `target` and `edges`, an attribute, feature or split that the
            TFDS set does not have, an `.npz` file that is damaged or has other arrays, too few
            images for the splits, more than 1% that cannot be read, or a crop that is of no image,
            of several, or not within its image.

    Example:
    ```python
    domains = load_domains("photos/dress", "photos/t-shirt", image_size=64)
    print(len(domains["train"].sources), len(domains["train"].targets))
    digits = load_domains("tfds:svhn_cropped", "mnist.npz", image_size=32)
    print(digits["test"].source_labels.names)
    ```
    """
    if edges == (target is not None):
        raise ValueError(
            "Two domains are two folders, `source` and `target`, or one folder of photos with "
            f"edges=True. Received: target={target!r}, edges={edges}"
        )
    if edges and target_crop is not None:
        raise ValueError(
            "`target_crop` is of a second domain: with edges=True give `crop`, for the photos. "
            f"Received: {os.fspath(target_crop)}"
        )
    names = [os.fspath(path) for path in (source, target) if path is not None]
    crops = (crop, target_crop)
    read = [_read(name, image_size, resize, data_dir, crops[i]) for i, name in enumerate(names)]
    parts = _split_domains(names, read)
    if edges:
        domains = _edges_and_photos(names[0], parts[0], seed)
    else:
        domains = {}
        for split in parts[0]:
            (sources, source_labels), (targets, target_labels) = (
                _take(name, split, own[split].domain, own[split].mask)
                for name, own in zip(names, parts, strict=True)
            )
            domains[split] = DomainSet(sources, targets, source_labels, target_labels)
    for split, domain in domains.items():
        logging.info(
            "%s: %s has %d and %d images",
            " and ".join(names), split, len(domain.sources), len(domain.targets),
        )  # fmt: skip
    return domains


# Images of one domain


class _Domain(NamedTuple):
    """All images of a domain before they are split, or of one of its own splits."""

    images: np.ndarray
    shapes: np.ndarray  # int (n, 2), proportional to the heights and widths inside the bars
    labels: Labels | None
    signatures: list[duplicates.Signature]  # empty in own splits


def _read(
    name: str,
    image_size: int,
    resize: str,
    data_dir: str | os.PathLike[str] | None,
    crop: str | os.PathLike[str] | None,
) -> dict[str, _Domain]:
    """The domain's own splits, or all its images under the name `_ALL`."""
    of_files = not name.startswith(TFDS) and not _is_npz(name)
    if crop is not None and not of_files:
        raise ValueError(
            f"A file of crops is for the images of a folder or an archive, and {name} is none. "
            f"Leave it out. Received: {os.fspath(crop)}"
        )
    if name.startswith(TFDS):
        dataset, colon, condition = name[len(TFDS) :].rpartition(":")
        if condition and not colon and "=" not in condition:
            return _read_tfds_splits(condition, image_size, resize, data_dir)
        return {_ALL: _read_tfds_attribute(name, dataset, condition, image_size, resize, data_dir)}
    if _is_npz(name):
        return _read_npz(name, image_size)
    return {_ALL: _read_files(name, image_size, resize, crop)}


def _is_npz(name: str) -> bool:
    return name.lower().endswith(".npz") and not os.path.isdir(name)


def _read_files(
    name: str, image_size: int, resize: str, crop: str | os.PathLike[str] | None
) -> _Domain:
    fix = f"Pass a folder or an archive of images, an .npz file, {_TFDS_NAMES}."
    with open_files(pathlib.Path(name), _is_image, "images", fix) as files:
        skipped = Skipped()
        listed = []
        for file in files.names:
            if is_hidden(file):
                skipped.add(HIDDEN, file)
            elif not _is_image(file):
                skipped.add(NO_IMAGE, file)
            else:
                listed.append(file)
        if not listed:
            raise ValueError(
                f"{name} has no images, which end in {', '.join(sorted(IMAGE_SUFFIXES))}. "
                f"Found: {len(files.names)} file(s); left out: {str(skipped) or 'none'}"
            )
        found = ((file, functools.partial(files.read, file)) for file in listed)
        labels = _labels_of_files(listed)
        cut = cutter(crop, {file: file for file in listed}, name)
        return _decode(found, len(listed), image_size, resize, name, skipped, labels, cut)


def _is_image(name: str) -> bool:
    return pathlib.PurePath(name).suffix.lower() in IMAGE_SUFFIXES


def _labels_of_files(names: list[str]) -> Labels | None:
    """The first folder of each file, if each is in one, and there are several."""
    parts = [pathlib.PurePosixPath(name).parts for name in names]
    classes, index = np.unique([first for first, *_ in parts], return_inverse=True)
    if len(classes) < 2 or any(len(part) < 2 for part in parts):
        return None
    return Labels(index.astype(np.int64), tuple(classes.tolist()))


def _decode(
    found: Iterable[tuple[str, Callable[[], bytes]]],
    most: int,
    image_size: int,
    resize: str,
    path: str,
    skipped: Skipped,
    labels: Labels | None = None,
    cut: Callable[[str, np.ndarray], np.ndarray] = lambda name, image: image,
) -> _Domain:
    """Decodes images, with their labels, by one thread per core, `most` at most."""
    pixels = allocate((most, image_size, image_size, 3))
    shapes: list[tuple[int, ...]] = []
    signatures: list[duplicates.Signature] = []
    kept: list[int] = []
    bad = []

    def read(named: tuple[str, Callable[[], bytes]]):
        name, content_of = named
        decoded = decode(content_of, name, path)
        if decoded is None:
            return name, None
        image, content = decoded
        signature = duplicates.signature(image, content)
        return name, (*_square(cut(name, image), image_size, resize), signature)

    with futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for chunk in _chunks(found):
            for name, decoded in pool.map(read, chunk):
                if decoded is None:
                    bad.append(name)
                else:
                    kept.append(len(kept) + len(bad))
                    pixels[len(signatures)] = decoded[0]
                    shapes.append(decoded[1])
                    signatures.append(decoded[2])
    skip_unreadable(bad, len(bad) + len(signatures), skipped, path)
    if skipped.counts:
        logging.warning("%s: left out %s", path, skipped)
    if labels is not None:
        labels = labels.select(np.array(kept))
    return _Domain(pixels[: len(signatures)], np.array(shapes), labels, signatures)


def _chunks(items: Iterable[tuple[str, Callable[[], bytes]]]) -> Iterator[list]:
    iterator = iter(items)
    while chunk := list(itertools.islice(iterator, _CHUNK)):
        yield chunk


def _square(image: np.ndarray, image_size: int, resize: str) -> tuple[np.ndarray, tuple[int, ...]]:
    """An image as a square, and its `_Domain.shapes`: a stretched one has no bars."""
    square = images.resize(image, image_size, resize)
    return square, (square if resize == "stretch" else image).shape[:2]


def _squares(
    pictures: Iterable[np.ndarray], count: int, image_size: int, resize: str = "letterbox"
) -> tuple[np.ndarray, np.ndarray]:
    """Images, uint8 (height, width), with one channel or with three, and their shapes."""
    pixels = allocate((count, image_size, image_size, 3))
    shapes = np.empty((count, 2), np.int64)
    for row, picture in enumerate(pictures):
        height, width = picture.shape[:2]
        rgb = np.broadcast_to(picture.reshape(height, width, -1), (height, width, 3))
        pixels[row], shapes[row] = _square(rgb, image_size, resize)
    return pixels, shapes


# .npz files


def _read_npz(path: str, image_size: int) -> dict[str, _Domain]:
    if not os.path.exists(path):
        raise FileNotFoundError(
            f"There is no file at {path}. Pass a folder or an archive of images, an .npz file, "
            f"{_TFDS_NAMES}."
        )
    labels = {split: _npz_labels(path, f"y_{split}") for split in ("train", "test")}
    classes = 1 + max(index.max() for index in labels.values())
    names = tuple(str(value) for value in range(classes))
    domains = {}
    for split, index in labels.items():
        pictures = _npz_pictures(path, f"x_{split}")
        if len(pictures) != len(index):
            raise ValueError(
                f"`x_{split}` and `y_{split}` in {path} must have one label for each image. "
                f"Received: {len(pictures)} images and {len(index)} labels"
            )
        if pictures.shape[1:] == (image_size, image_size, 3):
            pixels, shapes = pictures, np.full((len(index), 2), image_size)
        else:
            pixels, shapes = _squares(pictures, len(index), image_size)
        domains[split] = _Domain(pixels, shapes, Labels(index, names), signatures=[])
    return domains


def _npz_labels(path: str, key: str) -> np.ndarray:
    index = _npz_array(path, key)
    if index.ndim != 1 or not len(index) or index.dtype.kind not in "iu":
        raise ValueError(
            f"`{key}` in {path} must be integers of shape (count,), one label for each image. "
            f"Received: {index.dtype} of shape {index.shape}"
        )
    if not 0 <= index.min() <= index.max() < _MOST_CLASSES:
        raise ValueError(
            f"`{key}` in {path} must be labels that count from 0, in [0, {_MOST_CLASSES}). "
            f"Received values from {index.min()} to {index.max()}"
        )
    return index.astype(np.int64)


def _npz_pictures(path: str, key: str) -> np.ndarray:
    pictures = _npz_array(path, key)
    shape = pictures.shape
    square = len(shape) in (3, 4) and 0 < shape[1] == shape[2] and shape[3:] in ((), (3,))
    if pictures.dtype != np.uint8 or not square:
        raise ValueError(
            f"`{key}` in {path} must be uint8 of shape (count, size, size), gray, or "
            f"(count, size, size, 3), RGB. Received: {pictures.dtype} of shape {shape}"
        )
    return pictures


def _npz_array(path: str, key: str) -> np.ndarray:
    if not zipfile.is_zipfile(path):
        raise ValueError(
            f"{path} is no whole .npz file: {os.path.getsize(path):,} bytes that are no zip "
            "archive. Copy or write it again, by np.savez_compressed."
        )
    try:
        with np.load(path, allow_pickle=False) as file:
            found = file.files
            if key in found:
                return file[key]
    # What NumPy raises for pickled objects, and archives for a damaged member.
    except (ValueError, OSError, RuntimeError, EOFError, zipfile.BadZipFile, zlib.error) as error:
        raise ValueError(
            f"`{key}` in {path} cannot be read: {error}. Copy or write the file again, by "
            "np.savez_compressed, with arrays of numbers."
        ) from error
    raise ValueError(
        f"{path} must have the arrays x_train, y_train, x_test and y_test. There is no `{key}`. "
        f"Found: {', '.join(found) or 'none'}"
    )


# TFDS


def _read_tfds_splits(
    dataset: str, image_size: int, resize: str, data_dir: str | os.PathLike[str] | None
) -> dict[str, _Domain]:
    """The splits of a TFDS set with labels, as they are."""
    import tensorflow_datasets as tfds

    builder = open_tfds(dataset, data_dir, f"tfds build {dataset}")
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
        split: _read_tfds_split(builder, part, image_size, resize)
        for split, part in (("train", train), ("test", "test"))
    }


def _read_tfds_split(builder, part: str, image_size: int, resize: str) -> _Domain:
    import tensorflow_datasets as tfds

    index = np.empty(builder.info.splits[part].num_examples, np.int64)

    def pictures() -> Iterator[np.ndarray]:
        for row, example in enumerate(tfds.as_numpy(builder.as_dataset(split=part))):
            index[row] = example["label"]
            yield example["image"]

    pixels, shapes = _squares(pictures(), len(index), image_size, resize)
    if unlabelled := int((index < 0).sum()):  # -1 is how TFDS says so
        raise ValueError(
            f"{builder.info.full_name} must have a label for each image. In its split {part!r}, "
            f"{unlabelled} of {len(index)} have none."
        )
    return _Domain(
        pixels, shapes, Labels(index, tuple(builder.info.features["label"].names)), signatures=[]
    )


def _read_tfds_attribute(
    name: str,
    dataset: str,
    condition: str,
    image_size: int,
    resize: str,
    data_dir: str | os.PathLike[str] | None,
) -> _Domain:
    """The images of all splits of a TFDS set that have an attribute, or have it not."""
    attribute, _, value = condition.partition("=")
    if not dataset or value not in ("0", "1"):
        raise ValueError(
            f"A domain from TFDS is named {_TFDS_NAMES}, or =0, such as "
            f"tfds:celeb_a:Blond_Hair=1. Received: {name}"
        )
    import tensorflow_datasets as tfds

    builder = open_tfds(dataset, data_dir, f"tfds build {dataset}")
    features = builder.info.features
    known = features["attributes"] if "image" in features and "attributes" in features else {}
    if attribute not in known:
        raise ValueError(
            f"{dataset} must have the feature 'image', and {attribute!r} among its 'attributes'. "
            f"It has the features {', '.join(sorted(features))}, and the attributes "
            f"{', '.join(sorted(known)) or 'none'}"
        )
    parts = builder.info.splits

    def found() -> Iterator[tuple[str, Callable[[], bytes]]]:
        skip = {"image": tfds.decode.SkipDecoding()}
        for part in sorted(parts):
            examples = builder.as_dataset(split=part, decoders=skip).filter(
                lambda example: example["attributes"][attribute] == bool(int(value))
            )
            for index, example in enumerate(tfds.as_numpy(examples)):
                yield f"{name}, {part} {index}", functools.partial(bytes, example["image"])

    most = sum(part.num_examples for part in parts.values())
    domain = _decode(found(), most, image_size, resize, name, Skipped())
    if not domain.signatures:
        raise ValueError(f"{name} has no images: none of its {most} has {condition}.")
    return domain


# Splits


def _groups(signatures: list[list[duplicates.Signature]]) -> list[np.ndarray]:
    """For each image of each domain, the group of duplicates, over all domains, that it is in.

    A group is called by what its images hold, so that it keeps its name when others are added.
    """
    every = list(itertools.chain.from_iterable(signatures))
    content = np.array([int.from_bytes(s.sha256[:8], "big") >> 1 for s in every], np.int64)
    group = duplicates.group_products(every, np.arange(len(every)), content)
    return np.split(group, np.cumsum([len(s) for s in signatures])[:-1])


class _Part(NamedTuple):
    """One split of a domain."""

    domain: _Domain
    mask: np.ndarray  # over the domain's images
    group: np.ndarray  # of duplicates, of each of them


def _split_domains(names: list[str], read: list[dict[str, _Domain]]) -> list[dict[str, _Part]]:
    """For each domain the parts of its splits, which are its own, or by groups of duplicates."""
    parts = [
        {
            split: _Part(domain, np.ones(len(domain.images), bool), np.arange(len(domain.images)))
            for split, domain in own.items()
        }
        for own in read
    ]
    undivided = [position for position, own in enumerate(read) if _ALL in own]
    if not undivided:
        return parts
    groups = _groups([read[position][_ALL].signatures for position in undivided])
    if len(undivided) == 2:
        masks = _split_both(names, *groups)
    else:
        scheme = _SCHEME if len(read) == 1 else _SCHEME_BESIDE_OWN
        masks = [_split(names[undivided[0]], groups[0], scheme)]
    for position, group, own_masks in zip(undivided, groups, masks, strict=True):
        domain = read[position][_ALL]
        parts[position] = {split: _Part(domain, mask, group) for split, mask in own_masks.items()}
    return parts


def _split(name: str, group: np.ndarray, scheme: str) -> dict[str, np.ndarray]:
    distinct = len(np.unique(group))
    if distinct < len(SCHEMES[scheme]):
        raise ValueError(
            f"{name} must have at least {len(SCHEMES[scheme])} different images, one for each of "
            f"{', '.join(SCHEMES[scheme])}. Received: {distinct} of {len(group)}"
        )
    return split_groups(group, scheme)


def _split_both(
    names: list[str], source: np.ndarray, target: np.ndarray
) -> list[dict[str, np.ndarray]]:
    """Masks over each domain's images. For groups of both, the domain that has fewer decides."""
    group = source, target
    masks = [_split(name, own, _SCHEME) for name, own in zip(names, group, strict=True)]
    few, many = (0, 1) if len(np.unique(source)) <= len(np.unique(target)) else (1, 0)
    shared = np.isin(group[many], group[few])
    for split, own in masks[few].items():
        decided = np.isin(group[many], group[few][own])
        masks[many][split] = np.where(shared, decided, masks[many][split])
    return masks


def _take(
    name: str, split: str, domain: _Domain, mask: np.ndarray
) -> tuple[np.ndarray, Labels | None]:
    """The images under a mask, and their labels."""
    rows = np.flatnonzero(mask)
    if not len(rows):
        raise ValueError(
            f"{name} has no image left for the split {split!r}: of its {len(mask)}, duplicates "
            "stay together in one split, and with edges=True in one half. Add images."
        )
    labels = None if domain.labels is None else domain.labels.select(rows)
    return take_rows(domain.images, rows), labels


# Edges

BLUR_PX = 1.0  # standard deviation
STRONG, WEAK = 0.25, 0.1  # of the steepest gradient in the photo


def draw_edges(photo: np.ndarray) -> np.ndarray:
    """Draws the edges of a photo, black lines of one pixel on white.

    Canny 1986, A Computational Approach to Edge Detection: gradients of the gray levels under a
    Gaussian, thinned to their ridges; of these, the strong ones and what is connected with them
    among the weaker ones.

    Args:
        photo: uint8 `(height, width, 3)`.

    Returns:
        uint8, the same shape, each pixel 0 or 255.
    """
    gray = photo @ np.array([0.299, 0.587, 0.114], np.float32)
    steps = np.arange(-3, 4)
    gaussian = np.exp(-0.5 * (steps / BLUR_PX) ** 2)
    gaussian /= gaussian.sum()
    gray = _filter(gray, gaussian, gaussian)
    smooth, slope = np.array([1, 2, 1]) / 4, np.array([-1, 0, 1]) / 2
    down, right = _filter(gray, slope, smooth), _filter(gray, smooth, slope)
    steep = np.hypot(down, right)

    # A ridge is steeper than its neighbours along the gradient, of which there are four directions.
    direction = np.rint(np.arctan2(down, right) / (np.pi / 4)).astype(int) % 4
    ridge = np.zeros(steep.shape, bool)
    for index, (dy, dx) in enumerate(((0, 1), (1, 1), (1, 0), (1, -1))):
        before, after = _shift(steep, -dy, -dx), _shift(steep, dy, dx)
        ridge |= (direction == index) & (steep > before) & (steep >= after)

    weak, edge = (ridge & (steep > share * steep.max()) for share in (WEAK, STRONG))
    while True:
        beside = edge | _shift(edge, 0, 1) | _shift(edge, 0, -1)
        grown = weak & (beside | _shift(beside, 1, 0) | _shift(beside, -1, 0))
        if (grown == edge).all():
            return np.repeat(np.where(edge, 0, images.WHITE).astype(np.uint8)[..., None], 3, axis=2)
        edge = grown


def _filter(pixels: np.ndarray, along_y: np.ndarray, along_x: np.ndarray) -> np.ndarray:
    """Correlates `(height, width)` with a separable kernel; the borders are continued."""
    for axis, weights in ((0, along_y), (1, along_x)):
        half = len(weights) // 2
        padded = np.pad(pixels, [(half, half) if i == axis else (0, 0) for i in (0, 1)], "edge")
        size = pixels.shape[axis]
        parts = [padded.take(range(start, start + size), axis) for start in range(len(weights))]
        pixels = np.tensordot(weights, np.stack(parts), 1)
    return pixels


def _shift(pixels: np.ndarray, dy: int, dx: int) -> np.ndarray:
    """What is `(dy, dx)` pixels away from each; 0 outside."""
    height, width = pixels.shape
    return np.pad(pixels, 1)[1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width]


def _edges_of(photos: np.ndarray, shapes: np.ndarray) -> np.ndarray:
    """Edges of photos inside bars; these shapes say where, and the bars have none."""
    size = photos.shape[1]
    drawn = allocate(photos.shape)

    def draw(row: int) -> None:
        height, width = np.maximum(1, np.round(shapes[row] * (size / shapes[row].max())))
        top, left = int(size - height) // 2, int(size - width) // 2
        inside = slice(top, top + int(height)), slice(left, left + int(width))
        drawn[row] = images.WHITE
        drawn[row][inside] = draw_edges(photos[row][inside])

    with futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for _ in pool.map(draw, range(len(photos))):
            pass
    return drawn


def _edges_and_photos(name: str, parts: dict[str, _Part], seed: int) -> dict[str, DomainSet]:
    domains = {}
    for split, (photos, mask, group) in parts.items():
        sources = targets = mask
        if split == "train":
            groups = np.random.default_rng(seed).permutation(np.unique(group[mask]))
            half = np.isin(group, groups[: len(groups) // 2])
            sources, targets = mask & half, mask & ~half
        drawn, source_labels = _take(name, split, photos, sources)
        others, target_labels = _take(name, split, photos, targets)
        edges = _edges_of(drawn, photos.shapes[sources])
        domains[split] = DomainSet(edges, others, source_labels, target_labels)
    return domains

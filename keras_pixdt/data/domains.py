"""Two domains of images without pairs: from folders, archives, edges of photos, attributes of TFDS.

Needs NumPy and Pillow only, unless images come from TFDS.
"""

from __future__ import annotations

import functools
import itertools
import os
import pathlib
from collections.abc import Callable, Iterable, Iterator
from concurrent import futures
from typing import NamedTuple

import numpy as np
from absl import logging

from keras_pixdt.data import duplicates, images
from keras_pixdt.data.files import HIDDEN, Skipped, decode, is_hidden, open_files, skip_unreadable
from keras_pixdt.data.load import TFDS, open_tfds
from keras_pixdt.data.pairs import DomainSet, allocate, take_rows
from keras_pixdt.data.splits import SCHEMES, split_groups

# What Pillow reads of the formats that cameras, phones and shops use.
IMAGE_SUFFIXES = frozenset((".jpg", ".jpeg", ".png", ".webp", ".bmp", ".gif", ".tif", ".tiff"))
NO_IMAGE = "no_image_by_its_name"

_SCHEME = "yoo2016"  # 90/5/5
_CHUNK = 1024  # images decoded or drawn at once; bounds the memory


def load_domains(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str] | None = None,
    image_size: int = 64,
    *,
    edges: bool = False,
    seed: int = 0,
    data_dir: str | os.PathLike[str] | None = None,
) -> dict[str, DomainSet]:
    """Loads two domains and splits them, 90/5/5, so that no duplicate is in two splits.

    A domain is a folder (with its subfolders) or an archive of images of any names and sizes,
    which are letterboxed on white; or `"tfds:celeb_a:Blond_Hair=1"`, those images of a set that
    TFDS has prepared of which a boolean attribute is 1, or 0.

    An image keeps its split when others are added. What cannot be used is left out, counted, and
    logged with its name. A set of TFDS is split anew: of CelebA's persons, who have several
    photos each, one may be in two splits.

    Args:
        source: the first domain; with `edges`, the photos.
        target: the second domain.
        image_size: side of the images in pixels.
        edges: whether there is one folder of photos, and the first domain are their edges. Then
            the training photos are halved: the edges are those of one half, the photos those of
            the other, so that no edges have their photo beside them. In the other splits both are
            of all photos, in the same order.
        seed: of the halves.
        data_dir: where TFDS sets were prepared; by default `~/tensorflow_datasets`.

    Returns:
        Split name (train, validation, test) -> domains.

    Raises:
        FileNotFoundError: if there is nothing at a path, or nothing prepared under a TFDS name.
        ValueError: not exactly one of `target` and `edges`, an attribute that the TFDS set does
            not have, too few images for three splits, or more than 1% that cannot be read.

    Example:
    ```python
    domains = load_domains("photos/dress", "photos/t-shirt", image_size=64)
    print(len(domains["train"].sources), len(domains["train"].targets))
    ```
    """
    if edges == (target is not None):
        raise ValueError(
            "Two domains are two folders, `source` and `target`, or one folder of photos with "
            f"edges=True. Received: target={target!r}, edges={edges}"
        )
    names = [os.fspath(path) for path in (source, target) if path is not None]
    read = [_read(name, image_size, data_dir) for name in names]
    groups = _groups([domain.signatures for domain in read])
    if edges:
        domains = _edges_and_photos(names[0], read[0], groups[0], seed)
    else:
        masks = _split_both(names, *groups)
        domains = {
            split: _select(names, split, *((d.images, m) for d, m in zip(read, both, strict=True)))
            for split, both in masks.items()
        }
    for split, domain in domains.items():
        logging.info(
            "%s: %s has %d and %d images",
            " and ".join(names), split, len(domain.sources), len(domain.targets),
        )  # fmt: skip
    return domains


# Images of one domain


class _Domain(NamedTuple):
    """All images of a domain, before they are split."""

    images: np.ndarray
    shapes: np.ndarray  # int (n, 2), heights and widths before they were letterboxed
    signatures: list[duplicates.Signature]


def _read(name: str, image_size: int, data_dir: str | os.PathLike[str] | None) -> _Domain:
    if name.startswith(TFDS):
        return _read_tfds(name, image_size, data_dir)
    fix = "Pass a folder or an archive of images, or tfds:NAME:ATTRIBUTE=1."
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
        return _decode(found, len(listed), image_size, name, skipped)


def _is_image(name: str) -> bool:
    return pathlib.PurePath(name).suffix.lower() in IMAGE_SUFFIXES


def _decode(
    found: Iterable[tuple[str, Callable[[], bytes]]],
    most: int,
    image_size: int,
    path: str,
    skipped: Skipped,
) -> _Domain:
    """Decodes images by one thread per core, `most` at most."""
    pixels = allocate((most, image_size, image_size, 3))
    shapes: list[tuple[int, ...]] = []
    signatures: list[duplicates.Signature] = []
    bad = []

    def read(named: tuple[str, Callable[[], bytes]]):
        name, content_of = named
        decoded = decode(content_of, name, path)
        if decoded is None:
            return name, None
        image, content = decoded
        signature = duplicates.signature(image, content)
        return name, (images.letterbox(image, image_size), image.shape[:2], signature)

    with futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for chunk in _chunks(found):
            for name, decoded in pool.map(read, chunk):
                if decoded is None:
                    bad.append(name)
                else:
                    pixels[len(signatures)] = decoded[0]
                    shapes.append(decoded[1])
                    signatures.append(decoded[2])
    skip_unreadable(bad, len(bad) + len(signatures), skipped, path)
    if skipped.counts:
        logging.warning("%s: left out %s", path, skipped)
    return _Domain(pixels[: len(signatures)], np.array(shapes), signatures)


def _chunks(items: Iterable[tuple[str, Callable[[], bytes]]]) -> Iterator[list]:
    iterator = iter(items)
    while chunk := list(itertools.islice(iterator, _CHUNK)):
        yield chunk


def _read_tfds(name: str, image_size: int, data_dir: str | os.PathLike[str] | None) -> _Domain:
    """The images of all splits of a TFDS set that have an attribute, or have it not."""
    dataset, _, condition = name[len(TFDS) :].rpartition(":")
    attribute, _, value = condition.partition("=")
    if not dataset or value not in ("0", "1"):
        raise ValueError(
            "A domain from TFDS is named tfds:NAME:ATTRIBUTE=1, or =0, such as "
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
    domain = _decode(found(), most, image_size, name, Skipped())
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


def _split(name: str, group: np.ndarray) -> dict[str, np.ndarray]:
    distinct = len(np.unique(group))
    if distinct < len(SCHEMES[_SCHEME]):
        raise ValueError(
            f"{name} must have at least {len(SCHEMES[_SCHEME])} different images, one for each of "
            f"{', '.join(SCHEMES[_SCHEME])}. Received: {distinct} of {len(group)}"
        )
    return split_groups(group, _SCHEME)


def _split_both(
    names: list[str], source: np.ndarray, target: np.ndarray
) -> dict[str, tuple[np.ndarray, np.ndarray]]:
    """Split -> masks over both domains. For groups of both, the domain that has fewer decides."""
    masks = [_split(name, group) for name, group in zip(names, (source, target), strict=True)]
    few, many = (0, 1) if len(np.unique(source)) <= len(np.unique(target)) else (1, 0)
    group = source, target
    shared = np.isin(group[many], group[few])
    for split, own in masks[few].items():
        decided = np.isin(group[many], group[few][own])
        masks[many][split] = np.where(shared, decided, masks[many][split])
    return {split: (masks[0][split], masks[1][split]) for split in masks[0]}


def _select(names: list[str], split: str, *domains: tuple[np.ndarray, np.ndarray]) -> DomainSet:
    """The images under each domain's mask."""
    for name, (_, mask) in zip(names, domains, strict=False):
        if not mask.any():
            raise ValueError(
                f"{name} has no image for the split {split!r}: each of its "
                f"{len(mask)} has duplicates, which are in other splits. Add images."
            )
    return DomainSet(*(take_rows(pixels, np.flatnonzero(mask)) for pixels, mask in domains))


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
    """Edges of letterboxed photos, which were of these shapes: the bars beside them have none."""
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


def _edges_and_photos(
    name: str, photos: _Domain, group: np.ndarray, seed: int
) -> dict[str, DomainSet]:
    domains = {}
    for split, mask in _split(name, group).items():
        sources = targets = mask
        if split == "train":
            groups = np.random.default_rng(seed).permutation(np.unique(group[mask]))
            half = np.isin(group, groups[: len(groups) // 2])
            sources, targets = mask & half, mask & ~half
        domain = _select([name], split, (photos.images, sources), (photos.images, targets))
        edges = _edges_of(domain.sources, photos.shapes[sources])
        domains[split] = DomainSet(edges, domain.targets)
    return domains

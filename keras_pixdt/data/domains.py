"""Two domains of images without pairs: from folders, archives, edges of photos, .npz files, TFDS.

A domain is one of these:

- a folder (with its subfolders) or an archive of images with any names and sizes. If there are two
  or more top-level subfolders and each image is in one of them, these are the labels, as in
  `keras.utils.image_dataset_from_directory`;
- `"tfds:celeb_a:Blond_Hair=1"`, the images of a set prepared by TFDS that have a boolean attribute
  equal to 1, or to 0;
- `"tfds:svhn_cropped"`, a set prepared by TFDS with the features `image` and `label`. It keeps its
  own splits: `test`, and for training `extra` if there is one (Taigman et al. 2017, Sec. 5.1, for
  SVHN), otherwise `train`;
- an `.npz` file of `x_train`, `y_train`, `x_test` and `y_test`, as Keras names its data sets, which
  keeps these splits. Images are uint8 `(n, height, width)` or `(n, height, width, 3)`, labels int
  `(n,)` from 0, whose names are "0", "1" and so on.

Gray images are replicated to three channels. Files that cannot be used are left out, counted, and
logged by name.

Images are split 90/5/5 so that no duplicate is in two splits; an image keeps its split when others
are added. A TFDS set with an attribute is split anew. CelebA has several photos of each person, so
a person may be in two splits. A domain that has its own splits keeps them, and its images are not
checked for duplicates, neither within it nor against the other domain. There is then no validation
split, and the other domain, if it has no splits, is split 90/10.

This module only needs NumPy and Pillow, unless images come from TFDS.
"""

from __future__ import annotations

import itertools
import os
from typing import NamedTuple

import numpy as np
from absl import logging

from keras_pixdt.choices import SCHEMES, Size
from keras_pixdt.data import duplicates
from keras_pixdt.data.edges import draw_edges, edges_of, soft_edges
from keras_pixdt.data.pairs import DomainSet, Labels, take_rows
from keras_pixdt.data.readers.domain import ALL, Domain
from keras_pixdt.data.readers.folder import read_folder
from keras_pixdt.data.readers.npz import read_npz
from keras_pixdt.data.readers.tfds import TFDS, read_domain
from keras_pixdt.data.splits import split_groups

_EDGES = {True: draw_edges, "soft": soft_edges}
_SCHEME = "yoo2016"  # 90/5/5
_SCHEME_BESIDE_OWN = "kwon2019"  # 90/10, for a domain whose partner has train and test splits


def load_domains(
    source: str | os.PathLike[str],
    target: str | os.PathLike[str] | None = None,
    image_size: Size = 64,
    *,
    edges: bool | str = False,
    seed: int = 0,
    data_dir: str | os.PathLike[str] | None = None,
    resize: str = "letterbox",
    crop: str | os.PathLike[str] | None = None,
    target_crop: str | os.PathLike[str] | None = None,
) -> dict[str, DomainSet]:
    """Loads two domains and splits them; see `keras_pixdt.data.domains` for what a domain may be.

    Differs from the paper:
      - Taigman et al. 2017 (Sec. 5.2) find the irides and the nose of each emoji with heuristics,
        and use these to centre and scale it. Here the caller says where faces are, with `crop` and
        `target_crop`, because the paper does not give the heuristics.

    Args:
        source: the first domain; with `edges`, the photos.
        target: the second domain.
        image_size: side of square images, or (height, width), in pixels.
        edges: whether `source` has only photos, and their edges are the first domain. The edges
            then come from one half of the training photos and the photos from the other half, so
            that no photo is used together with its own edges. In the other splits both come from
            all photos, in the same order. "soft" draws `soft_edges` instead of thin lines.
        seed: decides which photos are in which half.
        data_dir: where TFDS sets were prepared; by default `~/tensorflow_datasets`.
        resize: how images of other shapes are brought to that size: "letterbox" keeps their aspect
            and fills up with white, "stretch" does not.
        crop: a JSON file that says which parts of the first domain's images to use, such as their
            faces: `{"anna/1.jpg": [40, 20, 192, 172]}` gives the left, top, right and bottom edge
            in pixels of the upright image. It only works for a folder or an archive. Images that it
            does not name are used whole. Cropping does not change the splits. See
            `keras_pixdt.data.crops` for the rules.
        target_crop: the same for the second domain.

    Returns:
        Split name (train, validation, test; or train, test) -> domains, with the known labels.

    Raises:
        FileNotFoundError: there is nothing at a path, or nothing prepared under a TFDS name.
        ValueError: not exactly one of `target` and `edges`; an attribute, feature or split that the
            TFDS set does not have; a damaged `.npz` file, or one with other arrays; too few images
            for the splits; more than 1% that cannot be read; or a crop that fits no image or
            several, or lies outside its image.

    Example:
    ```python
    domains = load_domains("tfds:svhn_cropped", "mnist.npz", image_size=32)
    print(len(domains["train"].sources), domains["test"].source_labels.names)
    ```
    """
    _check_second(target, edges, target_crop)
    names = [os.fspath(path) for path in (source, target) if path is not None]
    crops = (crop, target_crop)
    read = [_read(name, image_size, resize, data_dir, crops[i]) for i, name in enumerate(names)]
    parts = _split_domains(names, read)
    domains = {}
    for split in parts[0]:
        first, second = _halves(parts[0], split, seed) if edges else (own[split] for own in parts)
        sources, source_labels = _take(names[0], split, first)
        targets, target_labels = _take(names[-1], split, second)
        if edges:
            sources = edges_of(sources, first.domain.shapes[first.mask], _EDGES[edges])
        domains[split] = DomainSet(sources, targets, source_labels, target_labels)
        counts = len(sources), len(targets)
        logging.info("%s: %s has %d and %d images", " and ".join(names), split, *counts)
    return domains


def _check_second(
    target: str | os.PathLike[str] | None,
    edges: bool | str,
    target_crop: str | os.PathLike[str] | None,
) -> None:
    """Requires one second domain: `target`, or the edges."""
    if edges not in (*_EDGES, False):
        raise ValueError(f"`edges` must be True, False or 'soft'. Received: {edges!r}")
    if bool(edges) == (target is not None):
        raise ValueError(
            "Two domains are two folders, `source` and `target`, or one folder of photos with "
            f"edges=True. Received: target={target!r}, edges={edges}"
        )
    if edges and target_crop is not None:
        raise ValueError(
            "`target_crop` is for a second domain: with edges=True give `crop`, for the photos. "
            f"Received: {os.fspath(target_crop)}"
        )


def _read(
    name: str,
    image_size: Size,
    resize: str,
    data_dir: str | os.PathLike[str] | None,
    crop: str | os.PathLike[str] | None,
) -> dict[str, Domain]:
    """The domain's own splits, or all its images under the name `ALL`."""
    is_tfds = name.startswith(TFDS)
    is_npz = name.lower().endswith(".npz") and not os.path.isdir(name)
    if crop is not None and (is_tfds or is_npz):
        raise ValueError(
            f"A file of crops is for the images of a folder or an archive, and {name} is neither. "
            f"Leave it out. Received: {os.fspath(crop)}"
        )
    if is_tfds:
        return read_domain(name, image_size, resize, data_dir)
    if is_npz:
        return read_npz(name, image_size)
    return {ALL: read_folder(name, image_size, resize, crop)}


def _groups(signatures: list[list[duplicates.Signature]]) -> list[np.ndarray]:
    """For each image of each domain, its group of duplicates over all domains.

    A group's name depends on the content of its images, so it stays the same when others are added.
    """
    every = list(itertools.chain.from_iterable(signatures))
    content = np.array([int.from_bytes(s.sha256[:8], "big") >> 1 for s in every], np.int64)
    group = duplicates.group_products(every, np.arange(len(every)), content)
    return np.split(group, np.cumsum([len(s) for s in signatures])[:-1])


class _Part(NamedTuple):
    """One split of a domain."""

    domain: Domain
    mask: np.ndarray  # over the domain's images
    group: np.ndarray  # each image's group of duplicates


def _split_domains(names: list[str], read: list[dict[str, Domain]]) -> list[dict[str, _Part]]:
    """For each domain, the parts of its splits: its own splits, or by groups of duplicates."""
    parts = [
        {
            split: _Part(domain, np.ones(len(domain.images), bool), np.arange(len(domain.images)))
            for split, domain in own.items()
        }
        for own in read
    ]
    undivided = [position for position, own in enumerate(read) if ALL in own]
    if not undivided:
        return parts
    groups = _groups([read[position][ALL].signatures for position in undivided])
    if len(undivided) == 2:
        masks = _split_both(names, *groups)
    else:
        scheme = _SCHEME if len(read) == 1 else _SCHEME_BESIDE_OWN
        masks = [_split(names[undivided[0]], groups[0], scheme)]
    for position, group, own_masks in zip(undivided, groups, masks, strict=True):
        domain = read[position][ALL]
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
    """Masks over each domain's images. For groups in both domains, the smaller domain decides."""
    group = source, target
    masks = [_split(name, own, _SCHEME) for name, own in zip(names, group, strict=True)]
    few, many = (0, 1) if len(np.unique(source)) <= len(np.unique(target)) else (1, 0)
    shared = np.isin(group[many], group[few])
    for split, own in masks[few].items():
        decided = np.isin(group[many], group[few][own])
        masks[many][split] = np.where(shared, decided, masks[many][split])
    return masks


def _halves(parts: dict[str, _Part], split: str, seed: int) -> tuple[_Part, _Part]:
    """Which photos give edges and which stay photos: different halves of the training photos."""
    part = parts[split]
    if split != "train":
        return part, part
    groups = np.random.default_rng(seed).permutation(np.unique(part.group[part.mask]))
    half = np.isin(part.group, groups[: len(groups) // 2])
    return part._replace(mask=part.mask & half), part._replace(mask=part.mask & ~half)


def _take(name: str, split: str, part: _Part) -> tuple[np.ndarray, Labels | None]:
    """The images of one split of a domain, and their labels."""
    rows = np.flatnonzero(part.mask)
    if not len(rows):
        raise ValueError(
            f"{name} has no image left for the split {split!r}: of its {len(part.mask)}, "
            "duplicates stay together in one split, and with edges=True in one half. Add images."
        )
    labels = part.domain.labels
    return take_rows(part.domain.images, rows), None if labels is None else labels.select(rows)

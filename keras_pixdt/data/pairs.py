"""Images of one split: pairs of person and product, or two domains without pairs, with labels."""

from __future__ import annotations

import dataclasses
import tempfile
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from absl import logging

from keras_pixdt.choices import Size, as_size
from keras_pixdt.data.stored import Stored

# Images up to this total size are kept in memory, more in a temporary file.
_MAX_MEMORY_BYTES = 4 << 30


def allocate(shape: tuple[int, ...], dtype: Any = np.uint8) -> np.ndarray:
    """An array to fill with images: in memory, or in a file if above 4 GiB.

    The file has no name, is in `$TMPDIR`, and disappears with the array.
    """
    if np.prod(shape, dtype=np.int64) * np.dtype(dtype).itemsize <= _MAX_MEMORY_BYTES:
        return np.empty(shape, dtype)
    with tempfile.TemporaryFile() as file:
        return np.memmap(file, dtype, "w+", shape=shape)


def take_rows(images: np.ndarray, rows: np.ndarray) -> Any:
    """`images[rows]` through `allocate`; returns `images` itself for all rows in order.

    Stored images stay where they are.
    """
    if isinstance(images, Stored):
        return images.select(rows)
    if len(rows) == len(images) and (rows == np.arange(len(rows))).all():
        return images
    taken = allocate((len(rows), *images.shape[1:]), images.dtype)
    for start in range(0, len(rows), 1024):
        place = slice(start, start + 1024)
        taken[place] = images[rows[place]]
    return taken


def check_images(sources: np.ndarray, targets: np.ndarray) -> None:
    """Checks that two sets of images are uint8 RGB.

    Raises:
        ValueError: if they are not.
    """
    for name, images in (("sources", sources), ("targets", targets)):
        if not _has_shape(images, np.uint8, (None, None, None, 3)):
            raise ValueError(
                f"`{name}` must be uint8 of shape (count, height, width, 3); resize() brings "
                f"images to one size. Received: {images.dtype} of shape {images.shape}"
            )


def _check_rows(name: str, index: np.ndarray, count: int, of: str) -> None:
    if len(index) and not 0 <= index.min() <= index.max() < count:
        raise ValueError(
            f"`{name}` must be in [0, {count}), the rows of `{of}`. "
            f"Received values from {index.min()} to {index.max()}"
        )


def _has_shape(array: np.ndarray, dtype: Any, shape: tuple[int | None, ...]) -> bool:
    """Whether an array has a dtype and a shape, in which None is any length."""
    return (
        array.dtype == dtype
        and array.ndim == len(shape)
        and all(n in (None, m) for n, m in zip(shape, array.shape, strict=True))
    )


@dataclasses.dataclass(frozen=True)
class Labels:
    """The class of each image of a domain.

    Attributes:
        index: int64 `(n,)`, the class of each image, a row of `names`.
        names: names of the classes; they are the same in all splits of a data set.

    Raises:
        ValueError: if these do not fit together, there are no names, or two are equal.
    """

    index: np.ndarray
    names: tuple[str, ...]

    def __post_init__(self) -> None:
        """Checks that the classes have names."""
        if not self.names or len(set(self.names)) != len(self.names):
            raise ValueError(
                f"`names` must be one or more different names of classes. Received: {self.names}"
            )
        if self.index.ndim != 1 or self.index.dtype != np.int64:
            raise ValueError(
                "`index` must be int64 of shape (count,). "
                f"Received: {self.index.dtype} of shape {self.index.shape}"
            )
        _check_rows("index", self.index, len(self.names), "names")

    def select(self, rows: np.ndarray) -> Labels:
        """The labels of some images, given as indices or as a boolean mask; keeps the names."""
        return Labels(self.index[rows], self.names)


@dataclasses.dataclass(frozen=True)
class DomainSet:
    """The images of two domains without pairs, for one split.

    Images are uint8 RGB in memory, in a `np.memmap` or `keras_pixdt.data.stored.Stored`.

    Attributes:
        sources: uint8 `(n, photo_height, photo_width, 3)`, images of the first domain.
        targets: uint8 `(m, height, width, 3)`, images of the second domain.
        source_labels: labels of the first domain's `n` images, if they are known.
        target_labels: labels of the second domain's `m` images, if they are known.

    Raises:
        ValueError: the images have another shape, or a domain has no images, or not one label each.
    """

    sources: np.ndarray
    targets: np.ndarray
    source_labels: Labels | None = None
    target_labels: Labels | None = None

    def __post_init__(self) -> None:
        """Checks that the arrays fit together."""
        check_images(self.sources, self.targets)
        for name in ("sources", "targets"):
            if not len(getattr(self, name)):
                raise ValueError(
                    f"`{name}` has no images: both domains need some. "
                    f"Received shape: {getattr(self, name).shape}"
                )
        for name, labels, images in (
            ("source_labels", self.source_labels, self.sources),
            ("target_labels", self.target_labels, self.targets),
        ):
            if labels is not None and len(labels.index) != len(images):
                raise ValueError(
                    f"`{name}` must be None or one label for each of the {len(images)} images. "
                    f"Received: {len(labels.index)}"
                )

    @property
    def image_size(self) -> Size:
        """Side of the targets in pixels, or their (height, width) if they are not square."""
        return as_size(self.targets.shape[1:3])

    def exchanged(self) -> DomainSet:
        """The same images with the second domain first."""
        return DomainSet(self.targets, self.sources, self.target_labels, self.source_labels)

    def __len__(self) -> int:
        """The number of images in the larger domain, which an epoch goes through once."""
        return max(len(self.sources), len(self.targets))


@dataclasses.dataclass(frozen=True)
class PairSet:
    """The pairs of one split, from which batches are drawn.

    A product has one target and one or more sources. Images are uint8 RGB in memory or in a
    `np.memmap`, or `keras_pixdt.data.stored.Stored`, which decodes those that are indexed.

    Attributes:
        sources: uint8 `(n, photo_height, photo_width, 3)`, the person images.
        targets: uint8 `(m, height, width, 3)`, one product image per product.
        target_index: int64 `(n,)`, the row of `targets` that belongs to each source.
        product_id: int64 `(m,)`, unique.
        group_id: int64 `(m,)`, equal for products that are duplicates of one another.
        attributes: one mapping per product (`category`, `pattern`, `color`, as far as known), or
            empty.
        masks: uint8 `(m, height, width)`, where each target shows its product, from 0 to 255;
            None if this is not known.
        flows: float16 `(n, rows, columns, 2)`, where the points of the target lie in each source,
            as `keras_pixdt.layers.warp` takes it, NaN where the target shows its ground; None if
            this is not known.
        placements: float32 `(n, 2, 2)`, scale and shift of each source's
            `keras_pixdt.data.placement.Placement`, NaN where the target was not cut out of it; None
            if this is not known.

    Raises:
        ValueError: if the arrays do not fit together.
    """

    sources: np.ndarray
    targets: np.ndarray
    target_index: np.ndarray
    product_id: np.ndarray
    group_id: np.ndarray
    attributes: tuple[Mapping[str, str], ...] = ()
    masks: np.ndarray | None = None
    flows: np.ndarray | None = None
    placements: np.ndarray | None = None

    def __post_init__(self) -> None:
        """Checks that the arrays fit together."""
        check_images(self.sources, self.targets)
        products = len(self.targets)
        lengths = {
            "target_index": len(self.sources),
            "product_id": products,
            "group_id": products,
        }
        for name, length in lengths.items():
            array = getattr(self, name)
            if array.shape != (length,) or array.dtype != np.int64:
                raise ValueError(
                    f"`{name}` must be int64 of shape ({length},). "
                    f"Received: {array.dtype} of shape {array.shape}"
                )
        _check_rows("target_index", self.target_index, products, "targets")
        if len(np.unique(self.product_id)) != products:
            raise ValueError("`product_id` must be unique: one target per product.")
        if self.attributes and len(self.attributes) != products:
            raise ValueError(
                f"`attributes` must be empty or one mapping per product ({products}). "
                f"Received: {len(self.attributes)}"
            )
        known = {
            "masks": (self.masks, np.uint8, self.targets.shape[:3]),
            "flows": (self.flows, np.float16, (len(self.sources), None, None, 2)),
            "placements": (self.placements, np.float32, (len(self.sources), 2, 2)),
        }
        for name, (array, dtype, shape) in known.items():
            if array is not None and not _has_shape(array, dtype, shape):
                raise ValueError(
                    f"`{name}` must be None or {np.dtype(dtype)} of shape {shape}. "
                    f"Received: {array.dtype} of shape {array.shape}"
                )

    @property
    def image_size(self) -> Size:
        """Side of the targets in pixels, or their (height, width) if they are not square."""
        return as_size(self.targets.shape[1:3])

    @property
    def photo_size(self) -> Size:
        """The same of the sources."""
        return as_size(self.sources.shape[1:3])

    def __len__(self) -> int:
        """The number of pairs, which is the number of person images."""
        return len(self.sources)

    def domains(self, categories: Sequence[str] | None = None) -> DomainSet:
        """The same images as two domains without pairs: persons and products.

        If each product has the attribute `category`, and there are at least two categories, they
        are the labels of the products and of the persons who wear them.

        Args:
            categories: names of the labels, so that all splits of a data set have the same labels;
                by default the categories of these pairs, sorted.

        Raises:
            ValueError: if there are no pairs, or the category of a product is not one of
                `categories`.
        """
        found = [attributes.get("category", "") for attributes in self.attributes]
        names = tuple(sorted(set(found)) if categories is None else categories)
        if any(found) and not all(found):
            logging.warning(
                "%d of %d products have no category, so the images have no labels",
                found.count(""), len(found),
            )  # fmt: skip
        if not found or not all(found) or len(names) < 2:
            return DomainSet(self.sources, self.targets)
        if unknown := sorted(set(found) - set(names)):
            raise ValueError(
                "`categories` must have the category of every product; "
                f"{', '.join(unknown)} missing. Received: {', '.join(names)}"
            )
        products = Labels(np.array([names.index(name) for name in found], np.int64), names)
        return DomainSet(
            self.sources,
            self.targets,
            source_labels=products.select(self.target_index),
            target_labels=products,
        )

    def select(self, products: np.ndarray) -> PairSet:
        """The pairs of some products.

        Args:
            products: rows of `targets`, as indices or as a boolean mask; the result keeps their
                order, and the order of the sources.
        """
        rows = np.arange(len(self.targets))[products]
        new_row = np.full(len(self.targets), -1, np.int64)
        new_row[rows] = np.arange(len(rows))
        target_index = new_row[self.target_index]
        kept = np.flatnonzero(target_index >= 0)
        return PairSet(
            sources=take_rows(self.sources, kept),
            targets=take_rows(self.targets, rows),
            target_index=target_index[kept],
            product_id=self.product_id[rows],
            group_id=self.group_id[rows],
            attributes=tuple(self.attributes[row] for row in rows) if self.attributes else (),
            masks=None if self.masks is None else take_rows(self.masks, rows),
            flows=None if self.flows is None else take_rows(self.flows, kept),
            placements=None if self.placements is None else self.placements[kept],
        )

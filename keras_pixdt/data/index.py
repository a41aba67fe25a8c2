"""What is known about the pairs of a data set without their pixels, and how workers make those."""

from __future__ import annotations

import contextlib
import dataclasses
from collections.abc import Callable, Iterator, Mapping
from typing import Any, NamedTuple, Protocol

import numpy as np

from keras_pixdt.data.duplicates import Signature
from keras_pixdt.data.files import Skipped
from keras_pixdt.data.splits import keep_splits, split_groups

DUPLICATE = "duplicate_of_another_split"


class Product(NamedTuple):
    """A product and the photos of it.

    Attributes:
        row: its row among the products.
        sources: the rows of its photos.
        product_id: its id.
        target_id: the id of its product image.
        group_id: equal for products that are duplicates of one another.
        attributes: those that are known.
        source_ids: the ids of its photos.
    """

    row: int
    sources: list[int]
    product_id: int
    target_id: int
    group_id: int
    attributes: Mapping[str, str]
    source_ids: list[int]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Index:
    """The pairs of a data set without their pixels, before they are split.

    Attributes:
        target_index: int64 `(n,)`, the row of each photo's product.
        product_id: int64 `(m,)`, unique, ascending.
        group_id: int64 `(m,)`, equal for products that are duplicates of one another.
        source_id: int64 `(n,)`, the IID of each person image, or its number if it has no IID.
        target_id: int64 `(m,)`, the same of each product image.
        skipped: the files that were left out.
        attributes: one mapping per product, or empty; see `PairSet`.
        official: str `(m,)`, the split of each product, "train", "validation" or "test"; None if
            the data set has no splits of its own.
    """

    target_index: np.ndarray
    product_id: np.ndarray
    group_id: np.ndarray
    source_id: np.ndarray
    target_id: np.ndarray
    skipped: Skipped
    attributes: tuple[Mapping[str, str], ...] = ()
    official: np.ndarray | None = None

    def split(self, scheme: str | None = None) -> dict[str, np.ndarray]:
        """Splits the products.

        Args:
            scheme: of `split_groups`, for all products. None keeps the splits that the data set
                has, see `keep_splits`, or takes "yoo2016" if it has none.

        Returns:
            Split name -> boolean mask over the products. Products that are in none, because
            another split has a duplicate of them, are logged and added to `skipped`.

        Raises:
            ValueError: see `split_groups` and `keep_splits`.
        """
        if scheme or self.official is None:
            return split_groups(self.group_id, scheme or "yoo2016")
        masks = keep_splits(self.official, self.group_id)
        if DUPLICATE in self.skipped.counts:  # of an earlier call
            return masks
        dropped = Skipped()
        for row in np.flatnonzero(~np.logical_or.reduce(list(masks.values()))):
            for skipped in (dropped, self.skipped):
                skipped.add(DUPLICATE, f"{self.official[row]} product {self.product_id[row]}")
        dropped.log("Official splits")
        return masks

    def products(self, mask: np.ndarray) -> Iterator[Product]:
        """The products that a boolean mask selects, in the order of their rows."""
        order = np.argsort(self.target_index, kind="stable")
        bounds = np.searchsorted(self.target_index[order], np.arange(len(self.product_id) + 1))
        for row in np.flatnonzero(mask).tolist():
            sources = order[bounds[row] : bounds[row + 1]]
            yield Product(
                row=row,
                sources=sources.tolist(),
                product_id=int(self.product_id[row]),
                target_id=int(self.target_id[row]),
                group_id=int(self.group_id[row]),
                attributes=self.attributes[row] if self.attributes else {},
                source_ids=self.source_id[sources].tolist(),
            )


class Pictures(NamedTuple):
    """The images of one product.

    Attributes:
        target: uint8 `(height, width, 3)`, the product image; None if it cannot be read.
        sources: uint8 `(photo_height, photo_width, 3)` each, the photos that can be read.
        signatures: of the product image and of each photo; None for one that cannot be read.
        mask: of the product image, see `PairSet`.
        flows: of the drawn photos, see `PairSet`.
    """

    target: np.ndarray | None
    sources: list[np.ndarray]
    signatures: list[Signature | None]
    mask: np.ndarray | None = None
    flows: list[np.ndarray] | None = None


class Maker(Protocol):
    """Makes the pictures of products on a worker; it is small and can be pickled."""

    def open(self) -> contextlib.AbstractContextManager[Callable[[Any], Pictures]]:
        """Opens what they are made from; the context takes the second part of a plan's product."""


@dataclasses.dataclass(frozen=True)
class Plan:
    """How to make the pictures of a data set, one product at a time, on any machine.

    Attributes:
        products: the id of each product, ascending, and what its pictures are made from.
        maker: makes them.
        index: takes the signatures of all pictures, in the order of `products`, and returns what is
            known of the pairs. Raises a `ValueError` if more than 1% cannot be read.
    """

    products: list[tuple[int, Any]]
    maker: Maker
    index: Callable[[list[Signature | None]], Index]

"""The examples of `tfds_lookbook`: what the images of a product become."""

from __future__ import annotations

import io
from collections.abc import Iterable, Iterator, Sequence
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from keras_pixdt.data.index import Pictures, Product
from keras_pixdt.data.readers.attributes import ATTRIBUTES


class Encoded(NamedTuple):
    """The encoded images of a product, and the flows of its photos; see `Pictures`."""

    target: bytes | None
    sources: Iterable[bytes]
    mask: bytes | None = None
    flows: Iterable[np.ndarray] | None = None


def image_format(shape: Sequence[int]) -> str:
    """The format of images of a shape, (height, width, ...): "PNG" or "JPEG"."""
    # PNG is lossless and small enough at 64 px; at 256 px it is three times the size of JPEG.
    return "PNG" if max(shape[:2]) <= 64 else "JPEG"


def encode(pictures: Pictures) -> Encoded:
    """Encodes the images of a product, its photos one after the other as they are taken."""
    return Encoded(
        # Encoded only once, although every example of the product repeats it.
        target=None if pictures.target is None else _encode(pictures.target),
        sources=map(_encode, pictures.sources),
        mask=None if pictures.mask is None else _encode(pictures.mask, "PNG"),
        flows=pictures.flows,
    )


def _encode(image: np.ndarray, encoding: str | None = None) -> bytes:
    file = io.BytesIO()
    Image.fromarray(image).save(file, encoding or image_format(image.shape), quality=95)
    return file.getvalue()


def examples_of(product: Product, encoded: Encoded) -> Iterator[tuple[str, dict[str, Any]]]:
    """The examples of a product, one for each photo, with their keys."""
    flows = iter(encoded.flows or ())
    for source_id, source in zip(product.source_ids, encoded.sources, strict=True):
        truth: dict[str, Any] = {}
        if encoded.mask is not None:
            truth["mask"] = encoded.mask
        if encoded.flows is not None:
            truth["flow"] = next(flows)
        yield (
            f"PID{product.product_id:06d}_IID{source_id:06d}",
            {
                "source": source,
                "target": encoded.target,
                "product_id": product.product_id,
                "source_id": source_id,
                "target_id": product.target_id,
                "group_id": product.group_id,
                **{name: product.attributes.get(name, "") for name in ATTRIBUTES},
                **truth,
            },
        )

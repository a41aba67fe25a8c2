"""What is known of rendered pictures: where a product lies in its picture and in each photo.

The product and the person who wears it are drawn from the same sheets. A pixel of the product's
picture therefore shows a point of a sheet, and this point lies at a known place in each photo, even
if an arm or a bag hides it there.
"""

from __future__ import annotations

import functools
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageChops

from keras_pixdt.drawn.rendered import garment
from keras_pixdt.drawn.rendered.figure import Figure, back_stretch, person_of
from keras_pixdt.drawn.rendered.product import Product
from keras_pixdt.drawn.rendered.sleeve import Part, sleeve_parts

FLOW_SIZE = 32
_SIDE = 256  # of the canvas on which points are found, pixels
_OPAQUE = 128  # alpha from which a pixel shows a piece


def draw_mask(product: Product, image_size: int) -> np.ndarray:
    """Draws where the product's picture shows it.

    Args:
        product: what the picture shows.
        image_size: side of the picture, px.

    Returns:
        uint8 (image_size, image_size), from 0 (ground) to 255.
    """
    factor = garment.supersampling(image_size)
    mask = Image.new("L", (image_size * factor,) * 2, 0)
    for _, alpha in _pieces(product, garment.Flat.of(product, mask.width)):
        mask = ImageChops.screen(mask, alpha)
    return np.array(mask.reduce(factor))


def _pieces(product: Product, flat: garment.Flat) -> Iterator[tuple[str, Image.Image]]:
    """Yields name and alpha of each piece of a product's picture, from back to front."""
    pieces = garment.sheets(product, flat.side / 5.0)
    if pieces.back is not None:
        yield "back", flat.lay(pieces.back).getchannel("A")
    for name, part in _sleeves(product, flat):
        alpha = Image.new("L", (flat.side, flat.side), 0)
        alpha.paste(part.mask, part.corner)
        yield name, alpha
    yield "front", flat.lay(pieces.front).getchannel("A")


def _sleeves(product: Product, on: garment.Flat | Figure) -> Iterator[tuple[str, Part]]:
    """Yields name and place of each part of the sleeves, lying or worn."""
    sleeve = garment.sheets(product, _SIDE / 5.0).sleeve
    if sleeve is None:
        return
    for sign in garment.SIDES:
        for number, part in enumerate(sleeve_parts(sleeve, *on.joints(sign), on.scale)):
            yield f"sleeve {sign} {number}", part


class _Seen(NamedTuple):
    """The pixels of a product's picture that show a piece.

    Attributes:
        cells: their rows and columns.
        points: which points of the piece they show: (u, v), or (along, across) on a sleeve.
    """

    cells: tuple[np.ndarray, np.ndarray]
    points: tuple[np.ndarray, np.ndarray]


@functools.lru_cache(maxsize=4)
def _seen(product: Product, size: int) -> dict[str, _Seen]:
    """For each piece, what of it is seen."""
    flat = garment.Flat.of(product, _SIDE)
    middles = (np.arange(size) + 0.5) * (_SIDE / size)
    place = middles.astype(int)
    piece_of = np.zeros((size, size), np.int8)
    names = [""]
    for name, alpha in _pieces(product, flat):
        piece_of[np.asarray(alpha)[np.ix_(place, place)] >= _OPAQUE] = len(names)
        names.append(name)
    sleeves = dict(_sleeves(product, flat))
    seen = {}
    for number, name in enumerate(names[1:], start=1):
        rows, columns = np.nonzero(piece_of == number)
        inverse = sleeves[name].inverse if name in sleeves else flat.inverse
        seen[name] = _Seen((rows, columns), inverse(middles[columns], middles[rows]))
    return seen


def flow(product: Product, view: int, size: int = FLOW_SIZE) -> np.ndarray:
    """Computes where the points of the product's picture lie in a photo.

    Args:
        product: what both show.
        view: number of the photo, see `draw_person`.
        size: rows and columns of the result.

    Returns:
        float16 (size, size, 2): for the middle of each cell of the product's picture, x and y in
        the photo, -1 at its left and upper edge, 1 at the others; beyond that where the photo cuts
        the garment off. NaN where the product's picture shows its white ground.
    """
    person, _ = person_of(product, view)
    figure = Figure(product, person, _SIDE)
    sleeves = dict(_sleeves(product, figure))
    found = np.full((size, size, 2), np.nan, np.float32)
    for name, seen in _seen(product, size).items():
        a, b = seen.points
        if name in sleeves:
            place = sleeves[name].at(a, b)
        else:
            place = figure.at_many(a, b * (back_stretch(product) if name == "back" else 1.0))
        found[seen.cells] = np.stack(place, axis=-1) * (2 / _SIDE) - 1
    return found.astype(np.float16)

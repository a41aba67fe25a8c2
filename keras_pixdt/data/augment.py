"""Random changes of pairs that keep the product image right for its photo.

The photo is zoomed and shifted. Photo and product image change their colours alike, because a
garment's colours are copied from the photo.

Where the product image was cut out of the photo (`keras_pixdt.data.matching`), the garment's
outline in the photo is known. Then more can change: the garment gets colours of its own and the
pattern of another product, and a piece of another photo hides a part of it. So a network learns
outlines from the garment's shape, and not from the few colours and patterns of a small set.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from keras_pixdt.choices import GARMENT_BELOW
from keras_pixdt.data.images import WHITE, garment_of
from keras_pixdt.data.placement import Placement, view

_ZOOM = (0.85, 1.2)  # sides of the part of the photo that is seen, as shares of its sides
_STRETCH = (0.93, 1.07)  # its share of the height in relation to that of the width
_SHIFT = 0.06  # of its middle, as a share of the sides, at most
_GAMMA = 0.25  # of the logarithm of each channel's exponent, at most
_TURNED = 0.3  # share of the pairs whose channels change places, red to green to blue to red
# Shares of the garments that were cut out
_RECOLOURED, _PATTERNED, _HIDDEN = 0.7, 0.8, 0.7
_TILE = (0.6, 1.4)  # sides of another product's pattern, as shares of the product image's
_PIECE = (0.08, 0.35)  # half axes of what hides a garment, as shares of the root of its area
_ORIGIN = (0.35, 0.65)  # middle of the piece in its own photo, which may have bars at the sides
_SHADE = (0.5, 1.6)  # brightness of a garment's pixel in relation to its mean
_LEVELS = np.arange(256) / 255

_COLOURS = [("gamma", float, 3), ("turn", int)]
CHANGE = np.dtype(
    [
        ("zoom", float, 2),  # width and height of what is seen, as shares of the photo's
        ("shift", float, 2),  # of its middle to the right and down, as shares of the sides
        ("colours", _COLOURS),  # exponents on [0, 1]; by how many places channels move
        # Of garments that were cut out:
        ("recoloured", bool),
        ("own_colours", _COLOURS),
        ("patterned", bool),
        ("tile", float),
        ("hidden", bool),
        ("middle", float),  # which of the garment's pixels the piece lies on, in [0, 1)
        ("axes", float, 2),  # half axes of the piece, an ellipse; see `_PIECE`
        ("angle", float),  # from x to y
        ("origin", float, 2),  # of its middle in the other photo, as shares of the sides
    ]
)


class Pair(NamedTuple):
    """A photo and a product image.

    Attributes:
        photo: uint8 (photo_height, photo_width, 3).
        product: uint8 (height, width, 3).
        flow: (rows, columns, 2), where the points of the product image lie in the photo, NaN where
            this is not known; or None.
        placement: where the product image lies in the photo, if it was cut out of it; NaN or None
            if this is not known.
    """

    photo: np.ndarray
    product: np.ndarray
    flow: np.ndarray | None = None
    placement: Placement | None = None


def draw(rng: np.random.Generator, count: int) -> np.ndarray:
    """Draws changes at random.

    Args:
        rng: the generator.
        count: how many.

    Returns:
        A structured array of `CHANGE`.
    """
    changes = np.zeros(count, CHANGE)
    width = rng.uniform(*_ZOOM, count)
    changes["zoom"] = np.stack([width, width * rng.uniform(*_STRETCH, count)], -1)
    changes["shift"] = rng.uniform(-_SHIFT, _SHIFT, (count, 2))
    for colours in (changes["colours"], changes["own_colours"]):
        colours["gamma"] = np.exp(rng.uniform(-_GAMMA, _GAMMA, (count, 3)))
        colours["turn"] = np.where(rng.random(count) < _TURNED, rng.integers(1, 3, count), 0)
    changes["recoloured"] = rng.random(count) < _RECOLOURED
    changes["patterned"] = rng.random(count) < _PATTERNED
    changes["tile"] = rng.uniform(*_TILE, count)
    changes["hidden"] = rng.random(count) < _HIDDEN
    changes["middle"] = rng.random(count)
    changes["axes"] = rng.uniform(*_PIECE, (count, 2))
    changes["angle"] = rng.uniform(0, np.pi, count)
    changes["origin"] = rng.uniform(*_ORIGIN, (count, 2))
    return changes


def change_pair(pair: Pair, change: Any, other: Pair | None = None) -> Pair:
    """Changes a pair.

    Args:
        pair: the pair.
        change: an element of what `draw` gives.
        other: a pair of another product, of the same sizes, from which patterns and pieces are
            taken. None leaves both out.

    Returns:
        The pair, changed.
    """
    placement, flow = pair.placement, pair.flow
    cut_out = placement if placement is not None and placement.known else None
    if cut_out is not None and other is not None:
        if change["patterned"]:
            pair = _patterned(pair, cut_out, other.product, change)
        if change["hidden"]:
            pair = _hidden(pair, cut_out, other.photo, change)
    colours = change["colours"]
    photo = recolour(pair.photo, colours)
    if cut_out is not None and change["recoloured"]:
        colours = change["own_colours"]
        photo = _composed(recolour(pair.photo, colours), photo, pair.product, cut_out)
    if flow is not None:
        flow = (flow - 2.0 * change["shift"]) / change["zoom"]
    if placement is not None:
        shift = (placement.shift - 2.0 * change["shift"]) / change["zoom"]
        placement = Placement(placement.scale / change["zoom"], shift)
    return Pair(move(photo, change), recolour(pair.product, colours), flow, placement)


def move(photo: np.ndarray, change: Any) -> np.ndarray:
    """Zooms and shifts a photo; white comes in from outside.

    Args:
        photo: uint8 (height, width, 3).
        change: has `zoom` and `shift`.

    Returns:
        The same shape.
    """
    height, width = size = photo.shape[:2]
    first = (0.5 + change["shift"] - change["zoom"] / 2) * (width, height)
    return view(photo, first, first + change["zoom"] * (width, height), size, WHITE)


def recolour(image: np.ndarray, colours: Any) -> np.ndarray:
    """Changes the colours of a photo or a product image; white stays white.

    Args:
        image: uint8 (height, width, 3).
        colours: has `gamma` and `turn`.

    Returns:
        The same shape.
    """
    tables = np.rint(255 * _LEVELS[None] ** colours["gamma"][:, None]).astype(np.uint8)
    changed = np.empty_like(image)
    for i, table in enumerate(tables):
        place = changed[..., (i + colours["turn"]) % 3]
        np.take(table, image[..., i], out=place, mode="clip")  # the mode that needs no copy
    return changed


def _composed(
    garment: np.ndarray, photo: np.ndarray, product: np.ndarray, placement: Placement
) -> np.ndarray:
    """A photo in which the garment of a product image has other pixels, uint8."""
    mask = np.where(garment_of(product), WHITE, 0).astype(np.uint8)
    cover = placement.in_photo(mask, photo.shape[:2])[..., None] * np.float32(1 / WHITE)
    return np.rint(photo + cover * (garment - photo.astype(np.float32))).astype(np.uint8)


def _gray(image: np.ndarray) -> np.ndarray:
    """Mean of the channels, plus 8, so that noise in black is not amplified."""
    return image @ np.full(3, 1 / 3, np.float32) + np.float32(8)


def _patterned(pair: Pair, placement: Placement, other: np.ndarray, change: Any) -> Pair:
    """The garment with the pattern of another product, shaded as it was."""
    (height, width), inside = pair.product.shape[:2], garment_of(pair.product)
    down, along = height // 4, width // 4
    piece = other[down:-down, along:-along]
    known = garment_of(piece)
    if not inside.any() or known.mean() < 0.5:
        return pair
    piece = np.where(known[..., None], piece, piece[known].mean(0)).astype(np.uint8)
    sides = [max(2, round(change["tile"] * size)) for size in (width, height)]
    tile = np.asarray(Image.fromarray(piece).resize(sides, Image.Resampling.BILINEAR))
    right, below = max(0, width - sides[0]), max(0, height - sides[1])
    pattern = np.pad(tile, ((0, below), (0, right), (0, 0)), "symmetric")[:height, :width]
    gray = _gray(pair.product)
    mean = gray[inside].mean()

    def shaded(pattern: np.ndarray, gray: np.ndarray) -> np.ndarray:
        # No pixel becomes white, or it would be ground.
        return np.minimum(pattern * np.clip(gray / mean, *_SHADE)[..., None], GARMENT_BELOW - 6)

    garment = np.rint(shaded(pattern, gray)).astype(np.uint8)
    product = np.where(inside[..., None], garment, pair.product)
    in_photo = shaded(placement.in_photo(pattern, pair.photo.shape[:2]), _gray(pair.photo))
    photo = _composed(in_photo, pair.photo, pair.product, placement)
    return pair._replace(photo=photo, product=product)


def _hidden(pair: Pair, placement: Placement, other: np.ndarray, change: Any) -> Pair:
    """A piece of another photo lies over the garment; there the product image is white."""
    (height, width), inside = pair.photo.shape[:2], garment_of(pair.product)
    if not inside.any():
        return pair
    pixels = placement.pixels_in_photo(pair.product.shape[:2], (height, width))
    middle = pixels[:, inside][:, int(change["middle"] * inside.sum())]
    share = inside.mean() * placement.scale.prod()
    axes = change["axes"] * math.sqrt(share) * math.sqrt(height * width)
    cos, sin = math.cos(change["angle"]), math.sin(change["angle"])

    def covered(pixels: np.ndarray) -> np.ndarray:
        x, y = pixels - middle[:, None, None]
        return ((x * cos + y * sin) / axes[0]) ** 2 + ((y * cos - x * sin) / axes[1]) ** 2 < 1

    piece = covered(np.stack(np.meshgrid(np.arange(width), np.arange(height))))
    x, y = np.rint(middle - change["origin"] * (width, height)).astype(int)
    photo, product = pair.photo.copy(), pair.product.copy()
    photo[piece] = np.roll(other, (y, x), (0, 1))[piece]
    product[covered(pixels)] = WHITE
    return pair._replace(photo=photo, product=product)

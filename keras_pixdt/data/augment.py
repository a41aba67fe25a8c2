"""Random changes of pairs that keep the product image right for its photo.

The photo is zoomed and shifted. Photo and product image change their colours alike, because a
garment's colours are copied from the photo.

Where the product image was cut out of the photo (`keras_pixdt.data.matching`), the garment's
outline in the photo is known. Then more can change: the garment gets colours of its own and the
pattern of another product, and a piece of another photo hides a part of it. So outlines are learnt
from the garment's shape, not from the few colours and patterns that meet there in a small set.
"""

from __future__ import annotations

import math
from typing import Any, NamedTuple

import numpy as np
from PIL import Image

from keras_pixdt.data.images import GARMENT_BELOW, WHITE

_ZOOM = (0.85, 1.2)  # sides of the part of the photo that is seen, as shares of its side
_STRETCH = (0.93, 1.07)  # its height in relation to its width
_SHIFT = 0.06  # of its middle, as a share of the side, at most
_GAMMA = 0.25  # of the logarithm of each channel's exponent, at most
_TURNED = 0.3  # share of the pairs whose channels change places, red to green to blue to red
# Shares of the garments with a known outline
_RECOLOURED, _PATTERNED, _HIDDEN = 0.7, 0.8, 0.7
_TILE = (0.6, 1.4)  # side of another product's pattern, as a share of the product image's
_PIECE = (0.08, 0.35)  # half axes of what hides a garment, as shares of the root of its area
_ORIGIN = (0.35, 0.65)  # of it in the other photo, which may have bars at the sides
_SHADE = (0.5, 1.6)  # brightness of a garment's pixel in relation to its mean
_MAX_BENT = 0.01  # distance of a flow from a scale and a shift that counts as none, in [-1, 1]
_LEVELS = np.arange(256) / 255

_COLOURS = [("gamma", float, 3), ("turn", int)]
CHANGE = np.dtype(
    [
        ("zoom", float, 2),  # width and height of what is seen, as shares of the photo's side
        ("shift", float, 2),  # of its middle to the right and down, as shares of the side
        ("colours", _COLOURS),  # exponents on [0, 1]; by how many places channels move
        # Of garments with a known outline:
        ("recoloured", bool),
        ("own_colours", _COLOURS),
        ("patterned", bool),
        ("tile", float),
        ("hidden", bool),
        ("place", float),  # which of the garment's pixels the piece lies on, in [0, 1)
        ("axes", float, 2),
        ("angle", float),
        ("origin", float, 2),  # of its middle in the other photo, as shares of the side
    ]
)


class Pair(NamedTuple):
    """A photo and a product image.

    Attributes:
        photo: uint8 (side, side, 3).
        product: uint8 (size, size, 3).
        flow: (rows, rows, 2), where the points of the product image lie in the photo, NaN where
            this is not known; or None.
    """

    photo: np.ndarray
    product: np.ndarray
    flow: np.ndarray | None = None


def draw(rng: np.random.Generator, count: int) -> np.ndarray:
    """Draws changes at random.

    Args:
        rng: the generator.
        count: how many.

    Returns:
        A record array of `CHANGE`.
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
    changes["place"] = rng.random(count)
    changes["axes"] = rng.uniform(*_PIECE, (count, 2))
    changes["angle"] = rng.uniform(0, np.pi, count)
    changes["origin"] = rng.uniform(*_ORIGIN, (count, 2))
    return changes


def change_pair(pair: Pair, other: Pair, change: Any, cut_out: bool = False) -> Pair:
    """Changes a pair.

    Args:
        pair: the pair.
        other: another one of the same sizes, from which patterns and pieces are taken.
        change: an element of what `draw` gives.
        cut_out: whether a flow that is a scale and a shift means that the product image was cut out
            of the photo.

    Returns:
        The pair, changed.
    """
    outline = Outline.of(pair.flow) if cut_out and pair.flow is not None else None
    if outline is not None:
        if change["patterned"]:
            pair = _patterned(pair, other.product, outline, change)
        if change["hidden"]:
            pair = _hidden(pair, other.photo, outline, change)
    colours = change["colours"]
    photo = recolour(pair.photo, colours)
    if outline is not None and change["recoloured"]:
        colours = change["own_colours"]
        photo = outline.composed(recolour(pair.photo, colours), photo, pair.product)
    flow = None if pair.flow is None else move_flow(pair.flow, change)
    return Pair(move(photo, change), recolour(pair.product, colours), flow)


def move(photo: np.ndarray, change: Any) -> np.ndarray:
    """Zooms and shifts a photo; white comes in from outside.

    Args:
        photo: uint8 (side, side, 3).
        change: has `zoom` and `shift`.

    Returns:
        The same shape.
    """
    side = len(photo)
    first = (0.5 + change["shift"] - change["zoom"] / 2) * side
    last = first + change["zoom"] * side
    border = max(0, math.ceil(max(*-first, *(last - side))))
    # A box of a larger picture, because `resize` is several times as fast as `transform`.
    framed = Image.new("RGB", (side + 2 * border, side + 2 * border), (WHITE, WHITE, WHITE))
    framed.paste(Image.fromarray(photo), (border, border))
    box = (*(first + border), *(last + border))
    return np.asarray(framed.resize((side, side), Image.Resampling.BILINEAR, box))


def move_flow(flow: np.ndarray, change: Any) -> np.ndarray:
    """Where the points of a flow lie in the photo that `move` gives.

    Args:
        flow: (rows, columns, 2), x and y in [-1, 1].
        change: what is done with the photo.

    Returns:
        The same shape.
    """
    return (flow - 2.0 * change["shift"]) / change["zoom"]


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


class Outline(NamedTuple):
    """Where a product image lies in the photo that it was cut out of.

    Its point p lies at `scale * p + shift`; both are in [-1, 1].
    """

    scale: np.ndarray
    shift: np.ndarray

    @classmethod
    def of(cls, flow: np.ndarray) -> Outline | None:
        """The outline of a flow that is a scale and a shift.

        Of all others the outline in the photo is not known: the garment is folded, bent or partly
        hidden there.

        Args:
            flow: (rows, rows, 2), NaN where it is not known.
        """
        rows, columns = np.nonzero(np.isfinite(flow).all(-1))
        if not len(rows):
            return None
        at = (np.stack([columns, rows], -1) + 0.5) * (2 / len(flow)) - 1
        points = flow[rows, columns].astype(float)
        spread = ((at - at.mean(0)) ** 2).mean(0)
        if not spread.all():
            return None
        scale = ((at - at.mean(0)) * (points - points.mean(0))).mean(0) / spread
        shift = points.mean(0) - scale * at.mean(0)
        bent = abs(scale * at + shift - points).max()
        return None if bent > _MAX_BENT or scale.min() <= 0 else cls(scale, shift)

    def in_photo(self, image: np.ndarray, side: int) -> np.ndarray:
        """A picture in the product image's frame, as it lies in a photo; 0 outside.

        Args:
            image: uint8 (size, size) or (size, size, 3).
            side: of the photo, px.
        """
        size = len(image)
        step = size / (side * self.scale)
        start = (1 - (1 + self.shift) / self.scale) * size / 2
        data = (step[0], 0.0, start[0], 0.0, step[1], start[1])
        moved = Image.fromarray(image).transform(
            (side, side), Image.Transform.AFFINE, data, Image.Resampling.BILINEAR
        )
        return np.asarray(moved)

    def from_photo(self, side: int, size: int) -> np.ndarray:
        """Where the product image's pixels lie in a photo, px: (2, size, size), x and y."""
        middles = (np.arange(size) + 0.5) * (2 / size) - 1
        at = self.scale[:, None] * middles + self.shift[:, None]
        return np.stack(np.meshgrid(*((at + 1) * side / 2 - 0.5)))

    def composed(self, garment: np.ndarray, photo: np.ndarray, product: np.ndarray) -> np.ndarray:
        """A photo in which the garment has other pixels.

        Args:
            garment: (side, side, 3), those pixels, in [0, 255].
            photo: uint8 (side, side, 3).
            product: uint8 (size, size, 3), whose outline it has.

        Returns:
            uint8 (side, side, 3).
        """
        mask = np.where(_garment(product), WHITE, 0).astype(np.uint8)
        cover = self.in_photo(mask, len(photo))[..., None] * np.float32(1 / WHITE)
        return np.rint(photo + cover * (garment - photo.astype(np.float32))).astype(np.uint8)


def _garment(product: np.ndarray) -> np.ndarray:
    """Where a product image shows its garment, bool (size, size)."""
    red, green, blue = np.moveaxis(product, -1, 0)
    # Several times as fast as a minimum over the last axis.
    return np.minimum(np.minimum(red, green), blue) < GARMENT_BELOW


def _gray(image: np.ndarray) -> np.ndarray:
    """Mean of the channels; a little more, so that what is black is not divided by its noise."""
    return image @ np.full(3, 1 / 3, np.float32) + np.float32(8)


def _patterned(pair: Pair, other: np.ndarray, outline: Outline, change: Any) -> Pair:
    """The garment with the pattern of another product, shaded as it was."""
    size, inside = len(pair.product), _garment(pair.product)
    quarter = size // 4
    piece = other[quarter:-quarter, quarter:-quarter]
    known = _garment(piece)
    if not inside.any() or known.mean() < 0.5:
        return pair
    piece = np.where(known[..., None], piece, piece[known].mean(0)).astype(np.uint8)
    side = max(2, round(change["tile"] * size))
    tile = np.asarray(Image.fromarray(piece).resize((side, side), Image.Resampling.BILINEAR))
    rest = max(0, size - side)
    pattern = np.pad(tile, ((0, rest), (0, rest), (0, 0)), "symmetric")[:size, :size]
    gray = _gray(pair.product)
    mean = gray[inside].mean()

    def shaded(pattern: np.ndarray, gray: np.ndarray) -> np.ndarray:
        # No pixel becomes white, or it would be ground.
        return np.minimum(pattern * np.clip(gray / mean, *_SHADE)[..., None], GARMENT_BELOW - 6)

    product = np.where(inside[..., None], shaded(pattern, gray), pair.product).astype(np.uint8)
    in_photo = outline.in_photo(pattern, len(pair.photo))
    garment = shaded(in_photo, _gray(pair.photo))
    return pair._replace(photo=outline.composed(garment, pair.photo, pair.product), product=product)


def _hidden(pair: Pair, other: np.ndarray, outline: Outline, change: Any) -> Pair:
    """A piece of another photo lies over the garment; there the product image is white."""
    side, size = len(pair.photo), len(pair.product)
    points = outline.from_photo(side, size)
    inside = _garment(pair.product)
    area = inside.mean() * outline.scale.prod() * side**2
    if not inside.any():
        return pair
    middle = points[:, inside][:, int(change["place"] * inside.sum())]
    turned = np.array([math.cos(change["angle"]), math.sin(change["angle"])])
    axes = change["axes"] * math.sqrt(area)

    def covered(points: np.ndarray) -> np.ndarray:
        x, y = points - middle[:, None, None]
        along, across = x * turned[0] + y * turned[1], y * turned[0] - x * turned[1]
        return (along / axes[0]) ** 2 + (across / axes[1]) ** 2 < 1

    place = covered(np.stack(np.meshgrid(np.arange(side), np.arange(side))))
    x, y = np.rint(middle - change["origin"] * side).astype(int)
    photo, product = pair.photo.copy(), pair.product.copy()
    photo[place] = np.roll(other, (y, x), (0, 1))[place]
    product[covered(points)] = WHITE
    return pair._replace(photo=photo, product=product)

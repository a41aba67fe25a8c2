"""Random changes of pairs that keep the product image right for its photo.

The photo is zoomed and shifted. Photo and product image change their colours alike, because a
garment's colours are copied from the photo.
"""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from PIL import Image

from keras_pixdt.data.images import WHITE

_ZOOM = (0.85, 1.2)  # sides of the part of the photo that is seen, as shares of its side
_STRETCH = (0.93, 1.07)  # its height in relation to its width
_SHIFT = 0.06  # of its middle, as a share of the side, at most
_GAMMA = 0.25  # of the logarithm of each channel's exponent, at most
_TURNED = 0.3  # share of the pairs whose channels change places, red to green to blue to red
_LEVELS = np.arange(256) / 255


class Change(NamedTuple):
    """How one pair is changed.

    Attributes:
        zoom: width and height of the part of the photo that is seen, as shares of its side.
        shift: of its middle to the right and down, as shares of the side.
        gamma: exponents of red, green and blue on [0, 1].
        turn: by how many places channels move, 0, 1 or 2.
    """

    zoom: np.ndarray
    shift: np.ndarray
    gamma: np.ndarray
    turn: int

    @classmethod
    def of(cls, row: np.ndarray) -> Change:
        """From a row of `draw`."""
        return cls(row[:2], row[2:4], row[4:7], int(row[7]))


def draw(rng: np.random.Generator, count: int) -> np.ndarray:
    """Draws changes at random.

    Args:
        rng: the generator.
        count: how many.

    Returns:
        float64 (count, 8), one `Change` in each row.
    """
    width = rng.uniform(*_ZOOM, (count, 1))
    height = width * rng.uniform(*_STRETCH, (count, 1))
    shift = rng.uniform(-_SHIFT, _SHIFT, (count, 2))
    gamma = np.exp(rng.uniform(-_GAMMA, _GAMMA, (count, 3)))
    turn = np.where(rng.random((count, 1)) < _TURNED, rng.integers(1, 3, (count, 1)), 0)
    return np.concatenate([width, height, shift, gamma, turn], axis=1)


def move(photo: np.ndarray, change: Change) -> np.ndarray:
    """Zooms and shifts a photo; white comes in from outside.

    Args:
        photo: uint8 (side, side, 3).
        change: what to do.

    Returns:
        The same shape.
    """
    side = len(photo)
    first = (0.5 + change.shift - change.zoom / 2) * side
    last = first + change.zoom * side
    border = max(0, math.ceil(max(*-first, *(last - side))))
    # A box of a larger picture, because `resize` is several times as fast as `transform`.
    framed = Image.new("RGB", (side + 2 * border, side + 2 * border), (WHITE, WHITE, WHITE))
    framed.paste(Image.fromarray(photo), (border, border))
    box = (*(first + border), *(last + border))
    return np.asarray(framed.resize((side, side), Image.Resampling.BILINEAR, box))


def move_flow(flow: np.ndarray, change: Change) -> np.ndarray:
    """Where the points of a flow lie in the photo that `move` gives.

    Args:
        flow: (rows, columns, 2), x and y in [-1, 1].
        change: what is done with the photo.

    Returns:
        The same shape.
    """
    return (flow - 2.0 * change.shift) / change.zoom


def recolour(image: np.ndarray, change: Change) -> np.ndarray:
    """Changes the colours of a photo or a product image; white stays white.

    Args:
        image: uint8 (height, width, 3).
        change: what to do.

    Returns:
        The same shape.
    """
    tables = np.rint(255 * _LEVELS[None] ** change.gamma[:, None]).astype(np.uint8)
    changed = np.empty_like(image)
    for i, table in enumerate(tables):
        place = changed[..., (i + change.turn) % 3]
        np.take(table, image[..., i], out=place, mode="clip")  # the mode that needs no copy
    return changed

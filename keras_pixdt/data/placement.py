"""Where a product image lies in the photo that it was cut out of."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from PIL import Image

from keras_pixdt.data.images import garment_of

ROWS = 32  # of flows, as in those of drawn products


def view(image: np.ndarray, first: np.ndarray, last: np.ndarray, side: int, ground: int):
    """A box of an image, at another size; the box may reach beyond the image.

    Args:
        image: uint8 (size, size) or (size, size, 3).
        first: x and y of the box's upper left corner, px.
        last: of its lower right corner.
        side: of the result, px.
        ground: what is beyond the image.

    Returns:
        uint8 (side, side) or (side, side, 3).
    """
    size = len(image)
    border = max(0, math.ceil(max(*-first, *(last - size))))
    # A box of a larger picture, because `resize` is several times as fast as `transform`.
    mode = "RGB" if image.ndim == 3 else "L"
    colour = (ground,) * 3 if image.ndim == 3 else ground
    framed = Image.new(mode, (size + 2 * border, size + 2 * border), colour)
    framed.paste(Image.fromarray(image), (border, border))
    box = (*(first + border), *(last + border))
    return np.asarray(framed.resize((side, side), Image.Resampling.BILINEAR, box))


class Placement(NamedTuple):
    """A scale and a shift: the product image's point p lies at `scale * p + shift` in the photo.

    Points are x and y in [-1, 1], where -1 and 1 are the edges of an image.

    Attributes:
        scale: of x and y.
        shift: of x and y.
    """

    scale: np.ndarray
    shift: np.ndarray

    @property
    def known(self) -> bool:
        """Whether it is known; if not, it is NaN."""
        return bool(np.isfinite(self.scale).all())

    def in_photo(self, image: np.ndarray, side: int) -> np.ndarray:
        """A picture in the product image's frame, as it lies in the photo; 0 outside.

        Args:
            image: uint8 (size, size) or (size, size, 3).
            side: of the photo, px.

        Returns:
            uint8 (side, side) or (side, side, 3).
        """
        edges = (np.array([[-1.0], [1.0]]) - self.shift) / self.scale
        first, last = (edges + 1) * (len(image) / 2)
        return view(image, first, last, side, 0)

    def pixels_in_photo(self, size: int, side: int) -> np.ndarray:
        """Where the product image's pixels lie in the photo.

        Args:
            size: of the product image, px.
            side: of the photo, px.

        Returns:
            float64 (2, size, size): x and y, px.
        """
        x, y = (self._middles(size) + 1) * (side / 2) - 0.5
        return np.stack(np.meshgrid(x, y))

    def flow(self, product: np.ndarray) -> np.ndarray:
        """The flow of a product image.

        Args:
            product: uint8 (size, size, 3).

        Returns:
            float32 (rows, rows, 2), with `ROWS` rows if they divide the size, otherwise `size`; NaN
            where the product image shows its ground, and everywhere if the placement is not known.
        """
        rows = ROWS if len(product) % ROWS == 0 else len(product)
        flow = np.stack(np.meshgrid(*self._middles(rows)), -1).astype(np.float32)
        cells = garment_of(product).reshape(rows, len(product) // rows, rows, -1).mean((1, 3))
        flow[cells < 0.5] = np.nan
        return flow

    def _middles(self, size: int) -> np.ndarray:
        """Where the middles of columns and rows lie, (2, size)."""
        middles = (np.arange(size) + 0.5) * (2 / size) - 1
        return self.scale[:, None] * middles + self.shift[:, None]

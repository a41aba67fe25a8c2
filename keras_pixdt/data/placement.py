"""Where a product image lies in the photo that it was cut out of."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from PIL import Image

from keras_pixdt.choices import Size, as_height_width
from keras_pixdt.data.images import garment_of

ROWS = 32  # of flows, as in those of drawn products


def view(
    image: np.ndarray, first: np.ndarray, last: np.ndarray, size: Size, ground: int
) -> np.ndarray:
    """A box of an image, at another size; the box may reach beyond the image.

    Args:
        image: uint8 (rows, columns) or (rows, columns, 3).
        first: x and y of the box's upper left corner, px.
        last: of its lower right corner.
        size: of the result, px.
        ground: what is beyond the image.

    Returns:
        uint8 (height, width) or (height, width, 3) of `size`.
    """
    height, width = as_height_width(size)
    rows, columns = image.shape[:2]
    border = max(0, math.ceil(max(*-first, *(last - (columns, rows)))))
    # A box of a larger picture, because `resize` is several times as fast as `transform`.
    mode = "RGB" if image.ndim == 3 else "L"
    colour = (ground,) * 3 if image.ndim == 3 else ground
    framed = Image.new(mode, (columns + 2 * border, rows + 2 * border), colour)
    framed.paste(Image.fromarray(image), (border, border))
    box = (*(first + border), *(last + border))
    return np.asarray(framed.resize((width, height), Image.Resampling.BILINEAR, box))


class Placement(NamedTuple):
    """A scale and a shift: the product image's point p lies at `scale * p + shift` in the photo.

    Points are x and y in [-1, 1], where -1 and 1 are the edges of an image, whatever its shape.

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

    def in_photo(self, image: np.ndarray, size: Size) -> np.ndarray:
        """A picture in the product image's frame, as it lies in the photo; 0 outside.

        Args:
            image: uint8 (rows, columns) or (rows, columns, 3).
            size: of the photo, px.

        Returns:
            uint8 (height, width) or (height, width, 3) of the photo.
        """
        edges = (np.array([[-1.0], [1.0]]) - self.shift) / self.scale
        first, last = (edges + 1) * (np.array(image.shape[1::-1]) / 2)
        return view(image, first, last, size, 0)

    def pixels_in_photo(self, product: Size, photo: Size) -> np.ndarray:
        """Where the product image's pixels lie in the photo.

        Args:
            product: size of the product image, px.
            photo: size of the photo, px.

        Returns:
            float64 (2, height, width) of the product image: x and y, px.
        """
        height, width = as_height_width(photo)
        x, y = self._middles(*as_height_width(product))
        return np.stack(np.meshgrid((x + 1) * (width / 2) - 0.5, (y + 1) * (height / 2) - 0.5))

    def flow(self, product: np.ndarray) -> np.ndarray:
        """The flow of a product image.

        Args:
            product: uint8 (height, width, 3).

        Returns:
            float32 (rows, columns, 2), one point for each square cell of the product image, with
            `ROWS` rows if such cells fit into it, otherwise one for each pixel; NaN where the
            product image shows its ground, and everywhere if the placement is not known.
        """
        height, width = product.shape[:2]
        cell = height // ROWS if height % ROWS == 0 and width % (height // ROWS) == 0 else 1
        rows, columns = height // cell, width // cell
        flow = np.stack(np.meshgrid(*self._middles(rows, columns)), -1).astype(np.float32)
        cells = garment_of(product).reshape(rows, cell, columns, cell).mean((1, 3))
        flow[cells < 0.5] = np.nan
        return flow

    def _middles(self, rows: int, columns: int) -> tuple[np.ndarray, np.ndarray]:
        """Where the middles of columns (x) and of rows (y) lie."""
        x, y = ((np.arange(count) + 0.5) * (2 / count) - 1 for count in (columns, rows))
        return self.scale[0] * x + self.shift[0], self.scale[1] * y + self.shift[1]

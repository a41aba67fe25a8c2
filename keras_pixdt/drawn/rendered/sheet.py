"""A sheet on which one piece of a garment is drawn, then shaded, folded and cut out.

Points are the garment's own: u across (0 in the middle), v down from the base of the neck, in units
of half the shoulder width.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from keras_pixdt.drawn.rendered import fabric
from keras_pixdt.drawn.rendered.product import Color, Product
from keras_pixdt.drawn.rendered.shapes import Point, around, curve

# What the sheets of front and back cover.
U_MAX = 2.1
V_MIN = -0.95
V_MAX = 5.7


@dataclasses.dataclass(frozen=True)
class Piece:
    """A piece in (u, v), cut out of its sheet.

    Attributes:
        image: RGBA.
        u: where its left edge lies.
        v: where its upper edge lies.
        pixels: pixels per unit.
    """

    image: Image.Image
    u: float
    v: float
    pixels: float

    @property
    def corners(self) -> list[Point]:
        """The four corners in (u, v)."""
        right = self.u + self.image.width / self.pixels
        low = self.v + self.image.height / self.pixels
        return [(self.u, self.v), (right, self.v), (right, low), (self.u, low)]


class Sheet:
    """A drawing in (u, v): colours and outline of one piece."""

    def __init__(self, product: Product, pixels: float):
        self.product = product
        self.pixels = pixels
        width, height = round(2 * U_MAX * pixels), round((V_MAX - V_MIN) * pixels)
        u = np.linspace(-U_MAX, U_MAX, width, dtype=np.float32)[None, :]
        v = np.linspace(V_MIN, V_MAX, height, dtype=np.float32)[:, None]
        color = fabric.cloth(product, u, v, printed=True)
        self.image = Image.fromarray(np.clip(color, 0, 255).astype(np.uint8))
        self.mask = Image.new("L", (width, height), 0)
        self.draw = ImageDraw.Draw(self.image)
        self.mask_draw = ImageDraw.Draw(self.mask)

    def at(self, points: Sequence[Point]) -> list[Point]:
        """Where points lie on the image."""
        return [((u + U_MAX) * self.pixels, (v - V_MIN) * self.pixels) for u, v in points]

    def cut(self, points: Sequence[Point], fill: int = 255) -> None:
        """Adds an area to the piece, or takes it away with `fill` 0."""
        self.mask_draw.polygon(self.at(points), fill=fill)

    def area(self, points: Sequence[Point], color: Color) -> None:
        """Colours the part of an area that lies on the piece."""
        self.draw.polygon(self.at(points), fill=color)

    def patch(self, points: Sequence[Point], color: Color, line: Color | None = None) -> None:
        """Adds a piece of another colour on top, outlined with `line`."""
        self.cut(points)
        self.area(points, color)
        if line is not None:
            self.line([*points, points[0]], line, 0.045)

    def line(self, points: Sequence[Point], color: Color, width: float) -> None:
        """Draws a line, `width` units wide."""
        self.draw.line(self.at(points), color, max(1, round(width * self.pixels)), joint="curve")

    def dot(self, u: float, v: float, radius: float, color: Color) -> None:
        """Draws a disc."""
        self.draw.ellipse(around(self.at([(u, v)])[0], radius * self.pixels), fill=color)

    def finish(self, *, depth: float = 1.0, folds: int | None = None) -> Piece:
        """Shades the piece as a soft body, `depth` strong, and cuts it out.

        `folds` says which folds it has also when it lies flat.
        """
        margin = 2
        left, top, right, low = self.mask.getbbox() or (0, 0, 1, 1)
        box = (max(0, left - margin), max(0, top - margin), right + margin, low + margin)
        mask, image = self.mask.crop(box), self.image.crop(box)
        blurred = mask.filter(ImageFilter.BoxBlur(0.2 * self.pixels))
        inner = mask.filter(ImageFilter.BoxBlur(0.045 * self.pixels))
        soft = np.asarray(blurred, np.float32) / 255
        edge = np.asarray(inner, np.float32) / 255
        # Darker towards the sides and darkest in a thin outline, which lets white read on white.
        light = (0.72 + 0.3 * soft) * (0.5 + 0.5 * np.clip((edge - 0.45) * 2.4, 0, 1))
        light = 1 - depth * (1 - light)
        color = np.asarray(image, np.float32) * light[..., None]
        image = Image.fromarray(np.clip(color, 0, 255).astype(np.uint8))
        image.putalpha(mask)
        piece = Piece(
            image, box[0] / self.pixels - U_MAX, box[1] / self.pixels + V_MIN, self.pixels
        )
        return piece if folds is None else folded(piece, folds)


@functools.lru_cache(maxsize=96)
def _fold_map(pixels: float, kind: int, side: int) -> Image.Image:
    """Soft folds and light from one side to multiply a front with: RGBA, white where none is."""
    rng = np.random.RandomState(100 + kind)
    size = (round(2 * U_MAX * pixels), round((V_MAX - V_MIN) * pixels))
    image = Image.new("L", size, 255)
    draw = ImageDraw.Draw(image)
    width = max(1, round(0.1 * pixels))
    for _ in range(9):
        # From the armpits and from the waist, where cloth is gathered.
        out = rng.choice((-1, 1))
        u, v = out * rng.uniform(0.5, 1.0), rng.choice((1.1, 1.9, 2.4, 3.4))
        v += rng.uniform(-0.2, 0.2)
        du, dv = -out * rng.uniform(0.3, 0.8), rng.uniform(-0.15, 0.5)
        points = curve((u, v), (u + du * 0.5, v + dv * 0.1), (u + du, v + dv), 5)
        draw.line(
            [((a + U_MAX) * pixels, (b - V_MIN) * pixels) for a, b in points],
            fill=int(rng.randint(172, 214)),
            width=width,
        )
    image = image.filter(ImageFilter.GaussianBlur(0.07 * pixels))
    # The body is about half as wide as the sheet.
    ramp = np.clip(np.linspace(-2, 2, size[0], dtype=np.float32) * side, 0, 1)
    image = Image.fromarray((np.asarray(image) * (1 - 0.3 * ramp)).astype(np.uint8))
    return Image.merge("RGBA", (image, image, image, Image.new("L", size, 255)))


def folded(piece: Piece, kind: int, side: int = 0) -> Piece:
    """Returns a piece with soft folds; it is dark from `side`: -1 or 1, or 0 for neither."""
    x, y = round((piece.u + U_MAX) * piece.pixels), round((piece.v - V_MIN) * piece.pixels)
    folds = _fold_map(piece.pixels, kind, side)
    part = folds.crop((x, y, x + piece.image.width, y + piece.image.height))
    return dataclasses.replace(piece, image=ImageChops.multiply(piece.image, part))

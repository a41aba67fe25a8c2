"""Garments as sheets: the pieces of a product, cut from its cloth, ready to lay on a figure.

A garment has a front, a back (what is seen inside the neckline, a hood, a lining) and sleeves. The
flat product image and every person image are made from the same sheets, so that a person wears
exactly the product. `sheet` says what u and v are.
"""

from __future__ import annotations

import functools
import math
from collections.abc import Iterator, Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image

from keras_pixdt.drawn.rendered import fabric
from keras_pixdt.drawn.rendered.product import Color, Product
from keras_pixdt.drawn.rendered.shapes import Point, curve, mirrored, path
from keras_pixdt.drawn.rendered.sheet import Piece, Sheet
from keras_pixdt.drawn.rendered.sleeve import Sleeve, arm, draw_sleeve, sleeve_of

SHOULDER = (0.82, 0.55)
SIDES = (-1, 1)  # of a body, or of the product: at the picture's left and right


class Sheets(NamedTuple):
    """The drawn pieces of a product."""

    front: Piece
    back: Piece | None  # what lies behind the neck; None if nothing is seen of it
    sleeve: Sleeve | None


def _neckline(product: Product) -> list[Point]:
    """Right half of the neckline, from its lowest point in the middle to the shoulder seam."""
    kind = product.neckline
    if kind == "v":
        depth = 0.95 if product.sleeve == "none" else 0.8
        return curve((0, depth), (0.3, 0.3), (0.44, 0.0), 6)
    if kind == "boat":
        return curve((0, 0.2), (0.5, 0.24), (0.66, 0.1))
    if kind == "scoop":
        return curve((0, 0.78), (0.5, 0.8), (0.54, 0.05))
    if kind == "square":
        return [(0, 0.62), (0.46, 0.62), (0.52, 0.04)]
    if kind == "turtle":
        return curve((0, 0.12), (0.3, 0.12), (0.38, -0.05))
    if kind == "hood":
        return curve((0, 0.42), (0.34, 0.34), (0.46, -0.02))
    if kind in ("collar", "lapel"):
        return curve((0, 0.3), (0.26, 0.2), (0.4, 0.0))
    return curve((0, 0.36), (0.4, 0.36), (0.44, 0.0))  # crew


def _side(product: Product) -> list[Point]:
    """Right half of the outline from the shoulder to the hem's middle."""
    length, hem = product.length, product.hem
    if product.sleeve == "none":
        armhole = path([(0.74, 0.14)], ((0.52, 0.72), (0.92, 1.12), 8))
    else:
        armhole = [(1.02, 0.27), (1.0, 0.6), (0.96, 1.05)]
    if product.category == "dress":
        waist = 0.66 + 0.06 * product.details[1]
        if product.details[0] < 0.3:  # a shift dress instead of a flared skirt
            hem, waist = 1.0 + 0.1 * product.details[1], 0.86
        return path(
            armhole,
            ((waist, 1.5), (waist, 1.9), 6),
            ((waist + 0.24, 2.6), (hem, length - 0.1), 8),
            ((hem * 0.55, length + 0.12), (0, length + 0.1), 6),
        )
    waist = {
        "t-shirt": 0.93, "long sleeve": 0.78, "shirt": 0.9, "sweater": 1.0, "hoodie": 1.06,
        "tank top": 0.78, "coat": 0.94,
    }[product.category]  # fmt: skip
    side = path(armhole, ((waist, 1.5), (waist, 1.9), 6))
    if product.category == "shirt":  # the tails are longer in front than at the sides
        tail = ((hem, 2.3), (hem, length - 0.45), 6), ((hem * 0.86, length), (0.4, length), 8)
        return [*path(side, *tail), (0, length)]
    if product.category in ("sweater", "hoodie"):  # the ribbed hem draws the cloth in
        side = path(side, ((hem + 0.1, 2.3), (hem + 0.02, length - 0.34), 6))
        return [*side, (hem - 0.13, length - 0.26), (hem - 0.15, length), (0, length + 0.03)]
    side = path(side, ((hem - 0.03, 2.4), (hem, length - 0.04), 6))
    return [*side, (hem * 0.5, length + 0.03), (0, length + 0.04)]


def _band_between(upper: Sequence[Point], by: float) -> list[Point]:
    """Closed band along a neckline's right half and its mirror image, `by` wide."""
    full = [*((-u, v) for u, v in reversed(upper)), *upper]
    widened = []
    for u, v in full:
        # Away from the point where the neck is.
        du, dv = u, v + 0.12
        norm = math.hypot(du, dv) or 1.0
        widened.append((u + by * du / norm, v + by * dv / norm))
    return [*full, *reversed(widened)]


def _both_sides(points: Sequence[Point]) -> Iterator[list[Point]]:
    """Points at the picture's left, and then at its right."""
    for side in (-1, 1):
        yield [(side * u, v) for u, v in points]


def _rib_lines(sheet: Sheet, u_half: float, top: float, bottom: float, color: Color) -> None:
    steps = round(u_half / 0.11)
    for i in range(-steps, steps + 1):
        u = i * u_half / steps
        sheet.line([(u, top), (u, bottom)], color, 0.03)


def _draw_placket(sheet: Sheet, top: float, bottom: float) -> None:
    product = sheet.product
    line = fabric.detail(product.rgb, 0.4)
    for u in (-0.11, 0.11):
        sheet.line([(u, top), (u, bottom)], line, 0.035)
    button = (60, 56, 58) if sum(product.rgb) > 330 else (244, 240, 230)
    v = top + 0.14
    while v < bottom - 0.15:
        sheet.dot(0.0, v, 0.065, button)
        v += 0.42


def _draw_collar(sheet: Sheet) -> None:
    product = sheet.product
    color = fabric.shade(product.rgb, 1.05)
    if product.pattern != "plain" and product.details[0] < 0.4:
        color = fabric.mix(product.rgb, (250, 250, 250), 0.85)  # a white collar
    line = fabric.detail(product.rgb, 0.55)
    for points in _both_sides(
        [(0.02, 0.34), (0.2, 0.12), (0.36, -0.16), (0.56, 0.04), (0.46, 0.56)]
    ):
        sheet.patch(points, color, line)


def _draw_lapels(sheet: Sheet, gap: float) -> None:
    product = sheet.product
    line = fabric.detail(product.rgb, 0.6)
    lapel = fabric.shade(product.rgb, 1.08) if sum(product.rgb) < 600 else product.rgb
    outline = [
        (gap + 0.02, 1.72), (0.34, 0.3), (0.38, -0.12), (0.58, 0.02), (0.62, 0.36), (0.82, 0.44),
        (0.68, 0.82),
    ]  # fmt: skip
    for points in _both_sides(outline):
        sheet.patch(points, lapel, line)
        sheet.line([points[1], points[4]], line, 0.045)
    button = fabric.detail(product.rgb, 0.75)
    for v in (2.0, 2.55, 3.1):
        sheet.dot(gap + 0.16, v, 0.085, button)
    for points in _both_sides([(0.55, 2.7), (0.92, 2.62)]):
        sheet.line(points, line, 0.07)


def _draw_hoodie(sheet: Sheet) -> None:
    product = sheet.product
    line = fabric.detail(product.rgb, 0.5)
    pocket = mirrored([(0, 1.95), (0.42, 1.95), (0.74, 2.35), (0.74, 2.6), (0, 2.6)])
    bottom = product.length - 0.34
    pocket = [(u, min(v, bottom)) for u, v in pocket]
    sheet.area(pocket, fabric.shade(product.rgb, 0.93))
    sheet.line([*pocket, pocket[0]], line, 0.05)
    if product.details[0] < 0.35 and not product.print:  # with a zip
        sheet.line([(0, 0.4), (0, product.length)], fabric.detail(product.rgb, 0.7), 0.07)
    cord = (244, 242, 236) if sum(product.rgb) < 560 else (70, 70, 76)
    for side in (-1, 1):
        sheet.line([(side * 0.17, 0.4), (side * 0.2, 1.0)], cord, 0.06)
        sheet.dot(side * 0.2, 1.03, 0.055, cord)


def _front(product: Product, pixels: float) -> Piece:
    sheet = Sheet(product, pixels)
    neckline = _neckline(product)
    sheet.cut(mirrored([*neckline, *_side(product)]))
    line = fabric.detail(product.rgb, 0.45)
    trim = product.second_rgb if product.trim == "ribs" else fabric.shade(product.rgb, 0.9)
    length = product.length
    if product.category in ("sweater", "hoodie"):
        sheet.area([(-2, length - 0.28), (2, length - 0.28), (2, 6), (-2, 6)], trim)
        _rib_lines(sheet, product.hem, length - 0.27, length + 0.1, fabric.detail(trim, 0.3))
    if product.category == "shirt":
        _draw_placket(sheet, 0.4, length)
        if product.details[1] < 0.6:
            pocket = [(0.34, 0.98), (0.76, 0.98), (0.76, 1.36), (0.55, 1.46), (0.34, 1.36)]
            sheet.line([*pocket, pocket[0]], line, 0.04)
        _draw_collar(sheet)
    elif product.category == "hoodie":
        _draw_hoodie(sheet)
        sheet.patch(_band_between(neckline, 0.17), trim, line)
    elif product.category == "coat":
        gap = 0.1 + 0.14 * product.details[0]
        opening = [(0, -0.5), (0.3, -0.2), (0.3, 0.3), (gap, 1.7), (gap + 0.06, 6), (0, 6)]
        sheet.cut(mirrored(opening), 0)
        _draw_lapels(sheet, gap)
    elif product.neckline == "turtle":
        roll = mirrored([(0, -0.42), (0.36, -0.4), (0.43, 0.02), (0.3, 0.16), (0, 0.2)])
        sheet.patch(roll, trim, line)
        for i in range(-3, 4):
            sheet.line([(i * 0.1, -0.38), (i * 0.11, 0.14)], fabric.detail(trim, 0.25), 0.025)
    elif product.neckline != "square":
        wide = 0.15 if product.category == "sweater" else 0.1
        band = _band_between(neckline, wide)
        sheet.patch(band, trim)
        sheet.line(band[len(neckline) * 2 :], line, 0.035)
    if product.category == "dress":
        if product.details[2] < 0.5:  # a belt
            sheet.area([(-1, 1.82), (1, 1.82), (1, 2.0), (-1, 2.0)], fabric.shade(trim, 0.8))
        else:
            sheet.line([(-1, 1.9), (1, 1.9)], line, 0.05)
        for i in (-3, -2, -1, 1, 2, 3):  # the pleats of the skirt
            foot = i * product.hem / 4.2
            pleat = [(foot * 0.45, 2.15), (foot, length + 0.1)]
            sheet.line(pleat, fabric.shade(product.rgb, 0.8), 0.035)
    return sheet.finish(folds=product.product_id % 5)


def _back(product: Product, pixels: float) -> Piece | None:
    """What is seen behind the neckline: the inside of the back, the hood, the lining."""
    sheet = Sheet(product, pixels)
    inside = fabric.shade(product.rgb, 0.55)
    if product.category == "hoodie":
        hood = path([(0, -0.86)], ((0.62, -0.86), (0.76, -0.25), 8), ((0.8, 0.15), (0.5, 0.5), 6))
        color, line = fabric.shade(product.rgb, 0.96), fabric.detail(product.rgb, 0.5)
        sheet.patch(mirrored([*hood, (0, 0.6)]), color, line)
        opening = path([(0, -0.6)], ((0.4, -0.6), (0.48, -0.15), 6), ((0.46, 0.3), (0, 0.5), 6))
        sheet.area(mirrored(opening), fabric.shade(product.rgb, 0.5))
        return sheet.finish(depth=0.9)
    if product.category == "coat":
        low = product.length - 0.1
        sheet.patch(mirrored([(0, 0.02), (0.42, -0.06), (0.5, 0.3), (0.45, low), (0, low)]), inside)
        collar = mirrored([(0, -0.16), (0.36, -0.16), (0.44, 0.1), (0, 0.16)])
        sheet.patch(collar, fabric.shade(product.rgb, 0.8))
        return sheet.finish(depth=0.5)
    if product.category == "shirt":
        sheet.patch(mirrored([(0, -0.22), (0.34, -0.18), (0.44, 0.12), (0, 0.5)]), inside)
        return sheet.finish(depth=0.5)
    if product.neckline == "turtle":
        return None
    neckline = _neckline(product)
    u, v = neckline[-1]
    nape = curve((0, 0.1 + v), (u * 0.8, 0.1 + v), (u, v - 0.02), 6)
    sheet.patch(mirrored([*nape, *reversed(neckline)]), inside)
    return sheet.finish(depth=0.5)


@functools.lru_cache(maxsize=8)
def sheets(product: Product, pixels: float) -> Sheets:
    """Returns the pieces of a product at `pixels` per unit; those last drawn are kept."""
    return Sheets(_front(product, pixels), _back(product, pixels), sleeve_of(product, pixels))


def supersampling(image_size: int) -> int:
    """Returns how many times larger than the image a garment or figure is drawn."""
    return 4 if image_size <= 80 else 3 if image_size <= 160 else 2


class Flat(NamedTuple):
    """How a product lies in its own picture.

    Attributes:
        product: what lies there.
        side: side of the picture, pixels.
        scale: pixels per unit.
        center: the pixel where the point (0, 0) lies.
        arms: angles of upper arm and forearm, degrees.
    """

    product: Product
    side: int
    scale: float
    center: Point
    arms: tuple[float, float]

    @classmethod
    def of(cls, product: Product, side: int) -> Flat:
        """Fits a product into a picture."""
        upper, fore = (40.0, 40.0) if product.sleeve == "short" else (22.0, 16.0)
        half_width, top, low = max(product.hem, 1.0), -0.2, product.length + 0.1
        if product.sleeve != "none":
            end_u, end_v = arm(SHOULDER, 1, upper, fore, 1.0)[product.sleeve == "long"]
            half_width, low = max(half_width, end_u + 0.28), max(low, end_v + 0.1)
        if product.category == "hoodie":
            top = -0.88
        elif product.neckline == "turtle":
            top = -0.42
        scale = 0.92 * side / max(2 * half_width, low - top)
        center = side / 2, side / 2 - scale * (low + top) / 2
        return cls(product, side, scale, center, (upper, fore))

    def joints(self, sign: int) -> tuple[Point, Point, Point]:
        """Returns shoulder, elbow and wrist of a sleeve: 1 at the picture's right, or -1."""
        shoulder = (
            self.center[0] + sign * SHOULDER[0] * self.scale,
            self.center[1] + SHOULDER[1] * self.scale,
        )
        return shoulder, *arm(shoulder, sign, *self.arms, self.scale)

    def inverse(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns which points (u, v) of front and back lie at pixels of the picture."""
        return (x - self.center[0]) / self.scale, (y - self.center[1]) / self.scale

    def lay(self, piece: Piece) -> Image.Image:
        """Returns a piece as it lies in the picture: RGBA."""
        ratio = piece.pixels / self.scale
        return piece.image.transform(
            (self.side, self.side),
            Image.Transform.AFFINE,
            (
                ratio, 0, -piece.u * piece.pixels - self.center[0] * ratio,
                0, ratio, -piece.v * piece.pixels - self.center[1] * ratio,
            ),
            Image.Resampling.BILINEAR,
        )  # fmt: skip


def draw_flat(product: Product, image_size: int) -> Image.Image:
    """Draws the product alone, lying flat on white: RGB, `image_size` on each side."""
    factor = supersampling(image_size)
    side = image_size * factor
    pieces = sheets(product, side / 5.0)
    flat = Flat.of(product, side)
    canvas = Image.new("RGBA", (side, side), (255, 255, 255, 255))
    if pieces.back is not None:
        canvas.alpha_composite(flat.lay(pieces.back))
    if pieces.sleeve is not None:
        for sign in SIDES:
            draw_sleeve(canvas, pieces.sleeve, *flat.joints(sign), flat.scale)
    canvas.alpha_composite(flat.lay(pieces.front))
    return canvas.convert("RGB").reduce(factor)

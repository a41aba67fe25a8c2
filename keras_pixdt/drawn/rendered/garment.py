"""Garments as sheets: the pieces of a product, cut from its cloth, ready to lay on a figure.

A garment has a front, a back (what is seen inside the neckline, a hood, a lining) and a sleeve.
Each is an image in the garment's own coordinates: u across (0 in the middle), v down from the base
of the neck, in units of half the shoulder width. The flat product image and every person image are
made from the same sheets, so that a person wears exactly the product.
"""

from __future__ import annotations

import dataclasses
import functools
import math
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageChops, ImageDraw, ImageFilter

from keras_pixdt.drawn.rendered import fabric
from keras_pixdt.drawn.rendered.product import Color, Product

Point = tuple[float, float]

# What the sheets of front and back cover.
U_MAX = 2.1
V_MIN = -0.95
V_MAX = 5.7
# What the sheet of a sleeve covers: along the arm from the shoulder, and across it.
ALONG_MIN = -0.6
ALONG_MAX = 3.3
ACROSS_MAX = 0.75

UPPER_ARM = 1.5
FOREARM = 1.35
SHOULDER = (0.82, 0.55)

_SLEEVE_LENGTH = {"none": 0.0, "short": 0.92, "long": UPPER_ARM + FOREARM - 0.1}


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


@dataclasses.dataclass(frozen=True)
class Sheets:
    """The drawn pieces of a product.

    Attributes:
        front: what lies before the body.
        back: what lies behind the neck; None if nothing is seen of it.
        sleeve: RGB sheet in (along, across), or None for a garment without sleeves.
        sleeve_length: how far along the arm the sleeve reaches.
        sleeve_width: half widths at shoulder, elbow and wrist.
        pixels: pixels per unit.
    """

    front: Piece
    back: Piece | None
    sleeve: Image.Image | None
    sleeve_length: float
    sleeve_width: tuple[float, float, float]
    pixels: float


def curve(start: Point, control: Point, end: Point, steps: int = 10) -> list[Point]:
    """Returns points of a quadratic Bezier curve, both ends included."""
    points = []
    for i in range(steps + 1):
        t = i / steps
        a, b, c = (1 - t) ** 2, 2 * t * (1 - t), t * t
        points.append(
            (
                a * start[0] + b * control[0] + c * end[0],
                a * start[1] + b * control[1] + c * end[1],
            )
        )
    return points


def mirrored(right_half: Sequence[Point]) -> list[Point]:
    """Returns the closed outline whose right half goes from the top middle to the bottom middle."""
    return [*right_half, *((-u, v) for u, v in reversed(right_half))]


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
        armhole = [(0.74, 0.14), *curve((0.74, 0.14), (0.52, 0.72), (0.92, 1.12), 8)[1:]]
    else:
        armhole = [(1.02, 0.27), (1.0, 0.6), (0.96, 1.05)]
    if product.category == "dress":
        waist = 0.66 + 0.06 * product.details[1]
        straight = product.details[0] < 0.3  # a shift dress instead of a flared skirt
        if straight:
            hem, waist = 1.0 + 0.1 * product.details[1], 0.86
        return [
            *armhole,
            *curve(armhole[-1], (waist, 1.5), (waist, 1.9), 6)[1:],
            *curve((waist, 1.9), (waist + 0.24, 2.6), (hem, length - 0.1), 8)[1:],
            *curve((hem, length - 0.1), (hem * 0.55, length + 0.12), (0, length + 0.1), 6)[1:],
        ]
    waist = {
        "t-shirt": 0.93, "long sleeve": 0.78, "shirt": 0.9, "sweater": 1.0, "hoodie": 1.06,
        "tank top": 0.78, "coat": 0.94,
    }[product.category]  # fmt: skip
    side = [*armhole, *curve(armhole[-1], (waist, 1.5), (waist, 1.9), 6)[1:]]
    if product.category == "shirt":  # the tails are longer in front than at the sides
        return [
            *side,
            *curve(side[-1], (hem, 2.3), (hem, length - 0.45), 6)[1:],
            *curve((hem, length - 0.45), (hem * 0.86, length), (0.4, length), 8)[1:],
            (0, length),
        ]
    if product.category in ("sweater", "hoodie"):  # the ribbed hem draws the cloth in
        return [
            *side,
            *curve(side[-1], (hem + 0.1, 2.3), (hem + 0.02, length - 0.34), 6)[1:],
            (hem - 0.13, length - 0.26),
            (hem - 0.15, length),
            (0, length + 0.03),
        ]
    return [
        *side,
        *curve(side[-1], (hem - 0.03, 2.4), (hem, length - 0.04), 6)[1:],
        (hem * 0.5, length + 0.03),
        (0, length + 0.04),
    ]


class _Sheet:
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
        return [((u + U_MAX) * self.pixels, (v - V_MIN) * self.pixels) for u, v in points]

    def cut(self, points: Sequence[Point], fill: int = 255) -> None:
        """Adds an area to the piece, or takes it away with `fill` 0."""
        self.mask_draw.polygon(self.at(points), fill=fill)

    def area(self, points: Sequence[Point], color: Color) -> None:
        self.draw.polygon(self.at(points), fill=color)

    def patch(self, points: Sequence[Point], color: Color, line: Color | None = None) -> None:
        """Adds a piece of another colour on top, outlined with `line`."""
        self.cut(points)
        self.area(points, color)
        if line is not None:
            self.line([*points, points[0]], line, 0.045)

    def line(self, points: Sequence[Point], color: Color, width: float) -> None:
        self.draw.line(
            self.at(points), fill=color, width=max(1, round(width * self.pixels)), joint="curve"
        )

    def dot(self, u: float, v: float, radius: float, color: Color) -> None:
        (x, y), r = self.at([(u, v)])[0], radius * self.pixels
        self.draw.ellipse((x - r, y - r, x + r, y + r), fill=color)

    def finish(self, *, depth: float = 1.0, folds: int | None = None) -> Piece:
        """Shades the piece as a soft body and cuts it out.

        Args:
            depth: how strong the shading is.
            folds: which folds it has also when it lies flat.
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


def _rib_lines(sheet: _Sheet, u_half: float, top: float, bottom: float, color: Color) -> None:
    steps = round(u_half / 0.11)
    for i in range(-steps, steps + 1):
        u = i * u_half / steps
        sheet.line([(u, top), (u, bottom)], color, 0.03)


def _draw_placket(sheet: _Sheet, top: float, bottom: float) -> None:
    product = sheet.product
    line = fabric.detail(product.rgb, 0.4)
    for u in (-0.11, 0.11):
        sheet.line([(u, top), (u, bottom)], line, 0.035)
    light = sum(product.rgb) > 330
    button = (60, 56, 58) if light else (244, 240, 230)
    v = top + 0.14
    while v < bottom - 0.15:
        sheet.dot(0.0, v, 0.065, button)
        v += 0.42


def _draw_collar(sheet: _Sheet) -> None:
    product = sheet.product
    color = fabric.shade(product.rgb, 1.05)
    if product.pattern != "plain" and product.details[0] < 0.4:
        color = fabric.mix(product.rgb, (250, 250, 250), 0.85)  # a white collar
    line = fabric.detail(product.rgb, 0.55)
    for side in (-1, 1):
        points = [(0.02, 0.34), (0.2, 0.12), (0.36, -0.16), (0.56, 0.04), (0.46, 0.56)]
        sheet.patch([(side * u, v) for u, v in points], color, line)


def _draw_lapels(sheet: _Sheet, gap: float) -> None:
    product = sheet.product
    line = fabric.detail(product.rgb, 0.6)
    lapel = fabric.shade(product.rgb, 1.08) if sum(product.rgb) < 600 else product.rgb
    for side in (-1, 1):
        points = [
            (gap + 0.02, 1.72), (0.34, 0.3), (0.38, -0.12), (0.58, 0.02), (0.62, 0.36),
            (0.82, 0.44), (0.68, 0.82),
        ]  # fmt: skip
        sheet.patch([(side * u, v) for u, v in points], lapel, line)
        sheet.line([(side * 0.34, 0.3), (side * 0.62, 0.36)], line, 0.045)
    button = fabric.detail(product.rgb, 0.75)
    for v in (2.0, 2.55, 3.1):
        sheet.dot(gap + 0.16, v, 0.085, button)
    for side in (-1, 1):
        sheet.line([(side * 0.55, 2.7), (side * 0.92, 2.62)], line, 0.07)


def _draw_hoodie(sheet: _Sheet) -> None:
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
    sheet = _Sheet(product, pixels)
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
        sheet.cut(
            mirrored([(0, -0.5), (0.3, -0.2), (0.3, 0.3), (gap, 1.7), (gap + 0.06, 6), (0, 6)]), 0
        )
        _draw_lapels(sheet, gap)
    elif product.neckline == "turtle":
        roll = mirrored([(0, -0.42), (0.36, -0.4), (0.43, 0.02), (0.3, 0.16), (0, 0.2)])
        sheet.patch(roll, trim, line)
        for i in range(-3, 4):
            sheet.line([(i * 0.1, -0.38), (i * 0.11, 0.14)], fabric.detail(trim, 0.25), 0.025)
    elif product.neckline != "square":
        wide = 0.15 if product.category == "sweater" else 0.1
        sheet.patch(_band_between(neckline, wide), trim)
        sheet.line(_band_between(neckline, wide)[len(neckline) * 2 :], line, 0.035)
    if product.category == "dress":
        belt = product.details[2] < 0.5
        if belt:
            sheet.area([(-1, 1.82), (1, 1.82), (1, 2.0), (-1, 2.0)], fabric.shade(trim, 0.8))
        else:
            sheet.line([(-1, 1.9), (1, 1.9)], line, 0.05)
        for i in (-3, -2, -1, 1, 2, 3):  # the pleats of the skirt
            foot = i * product.hem / 4.2
            sheet.line(
                [(foot * 0.45, 2.15), (foot, length + 0.1)], fabric.shade(product.rgb, 0.8), 0.035
            )
    return sheet.finish(folds=product.product_id % 5)


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
    """Returns a piece with soft folds.

    Args:
        piece: which piece.
        kind: which folds.
        side: from which side it is dark: -1 or 1, or 0 for neither.
    """
    x, y = round((piece.u + U_MAX) * piece.pixels), round((piece.v - V_MIN) * piece.pixels)
    folds = _fold_map(piece.pixels, kind, side)
    part = folds.crop((x, y, x + piece.image.width, y + piece.image.height))
    return dataclasses.replace(piece, image=ImageChops.multiply(piece.image, part))


def _back(product: Product, pixels: float) -> Piece | None:
    """What is seen behind the neckline: the inside of the back, the hood, the lining."""
    sheet = _Sheet(product, pixels)
    inside = fabric.shade(product.rgb, 0.55)
    if product.category == "hoodie":
        line = fabric.detail(product.rgb, 0.5)
        hood = mirrored(
            [
                (0, -0.86),
                *curve((0, -0.86), (0.62, -0.86), (0.76, -0.25), 8)[1:],
                *curve((0.76, -0.25), (0.8, 0.15), (0.5, 0.5), 6)[1:],
                (0, 0.6),
            ]
        )
        sheet.patch(hood, fabric.shade(product.rgb, 0.96), line)
        opening = mirrored(
            [
                (0, -0.6),
                *curve((0, -0.6), (0.4, -0.6), (0.48, -0.15), 6)[1:],
                *curve((0.48, -0.15), (0.46, 0.3), (0, 0.5), 6)[1:],
            ]
        )
        sheet.area(opening, fabric.shade(product.rgb, 0.5))
        return sheet.finish(depth=0.9)
    if product.category == "coat":
        lining = mirrored(
            [
                (0, 0.02),
                (0.42, -0.06),
                (0.5, 0.3),
                (0.45, product.length - 0.1),
                (0, product.length - 0.1),
            ]
        )
        sheet.patch(lining, inside)
        sheet.patch(
            mirrored([(0, -0.16), (0.36, -0.16), (0.44, 0.1), (0, 0.16)]),
            fabric.shade(product.rgb, 0.8),
        )
        return sheet.finish(depth=0.5)
    if product.category == "shirt":
        sheet.patch(mirrored([(0, -0.22), (0.34, -0.18), (0.44, 0.12), (0, 0.5)]), inside)
        return sheet.finish(depth=0.5)
    if product.neckline == "turtle":
        return None
    neckline = _neckline(product)
    u, v = neckline[-1]
    sheet.patch(
        mirrored(
            [
                (0, 0.1 + v),
                *curve((0, 0.1 + v), (u * 0.8, 0.1 + v), (u, v - 0.02), 6),
                *reversed(neckline),
            ]
        ),
        inside,
    )
    return sheet.finish(depth=0.5)


def sleeve_widths(product: Product) -> tuple[float, float, float]:
    """Returns half the width of the sleeve at shoulder, elbow and wrist."""
    return {
        "t-shirt": (0.37, 0.42, 0.4),
        "long sleeve": (0.32, 0.26, 0.19),
        "shirt": (0.36, 0.31, 0.24) if product.sleeve == "long" else (0.37, 0.42, 0.4),
        "sweater": (0.39, 0.37, 0.26),
        "hoodie": (0.41, 0.39, 0.27),
        "dress": (0.33, 0.36, 0.3),
        "coat": (0.42, 0.38, 0.33),
    }[product.category]


def _sleeve_sheet(product: Product, pixels: float, length: float) -> Image.Image:
    along = np.arange(ALONG_MIN, ALONG_MAX, 1 / pixels, dtype=np.float32)
    across = np.arange(-ACROSS_MAX, ACROSS_MAX, 1 / pixels, dtype=np.float32)
    if product.trim == "sleeves":
        plain = dataclasses.replace(product, pattern="plain", rgb=product.second_rgb)
        cloth = fabric.cloth(plain, along[None, :], across[:, None], printed=False)
    else:
        # The cloth's v runs down the sleeve.
        cloth = fabric.cloth(product, across[None, :], along[:, None], printed=False)
        cloth = cloth.transpose(1, 0, 2)
    base = product.second_rgb if product.trim == "sleeves" else product.rgb
    cuff = {"sweater": 0.3, "hoodie": 0.3, "shirt": 0.26, "coat": 0.0}.get(product.category, 0.1)
    trim = product.second_rgb if product.trim == "ribs" else fabric.shade(base, 0.9)
    in_cuff = (along > length - cuff) & (cuff > 0)
    cloth[:, in_cuff] = trim
    if product.category in ("sweater", "hoodie"):
        ribs = np.mod(across / 0.11, 1.0) < 0.3
        cloth[np.ix_(ribs, in_cuff)] = fabric.detail(trim, 0.3)
    cloth[:, np.abs(along - (length - cuff)) < 0.025] = fabric.detail(base, 0.4)
    top, elbow, wrist = sleeve_widths(product)
    half = np.interp(along, (0, UPPER_ARM, UPPER_ARM + FOREARM), (top, elbow, wrist))
    inside = np.clip(np.abs(across[:, None]) / half[None, :], 0, 1)
    # Nothing separates the sleeve from the shoulder; further down its sides are dark.
    depth = np.clip((along[None, :] + 0.05) / 0.5, 0.15, 1)
    light = 1.02 - 0.3 * depth * inside**2.5
    # The outline, and a little less light on one side.
    light = light * np.where(inside > 1 - 0.05 / half[None, :], 1 - 0.38 * depth, 1.0)
    light = light * (1 - 0.1 * across[:, None] / ACROSS_MAX)
    light[:, np.abs(along - length) < 0.05] *= 0.65
    # Folds at the elbow.
    for at, strength in (
        (UPPER_ARM - 0.2, 0.09),
        (UPPER_ARM + 0.12, 0.13),
        (UPPER_ARM + 0.5, 0.07),
    ):
        bend = (along[None, :] - at - 0.25 * across[:, None]) / 0.07
        light = light * (1 - strength * np.exp(-(bend**2)))
    color = np.clip(cloth * light[..., None], 0, 255).astype(np.uint8)
    return Image.fromarray(color)


@functools.lru_cache(maxsize=8)
def sheets(product: Product, pixels: float) -> Sheets:
    """Returns the pieces of a product at `pixels` per unit; those last drawn are kept."""
    length = _SLEEVE_LENGTH[product.sleeve]
    return Sheets(
        front=_front(product, pixels),
        back=_back(product, pixels),
        sleeve=_sleeve_sheet(product, pixels, length) if length else None,
        sleeve_length=length,
        sleeve_width=sleeve_widths(product) if length else (0.0, 0.0, 0.0),
        pixels=pixels,
    )


def supersampling(image_size: int) -> int:
    """Returns how many times larger than the image a garment or figure is drawn."""
    return 4 if image_size <= 80 else 3 if image_size <= 160 else 2


def _affine(
    origin: Point, direction: Point, start: float, along: float, across: float, pixels: float
) -> tuple[float, float, float, float, float, float]:
    """Coefficients that take canvas pixels to pixels of the sleeve sheet.

    Args:
        origin: pixel of the canvas that the sheet's point (`start`, 0) goes to.
        direction: unit vector of the arm on the canvas.
        start: position along the sleeve.
        along: pixels of the canvas per unit of length.
        across: pixels of the canvas per unit of width.
        pixels: pixels of the sheet per unit.
    """
    (x, y), (dx, dy) = origin, direction
    long, wide = pixels / along, pixels / across
    return (
        dx * long, dy * long, (start - ALONG_MIN) * pixels - (dx * x + dy * y) * long,
        -dy * wide, dx * wide, ACROSS_MAX * pixels - (-dy * x + dx * y) * wide,
    )  # fmt: skip


def draw_sleeve(
    canvas: Image.Image, pieces: Sheets, shoulder: Point, elbow: Point, wrist: Point, scale: float
) -> None:
    """Draws a sleeve along an arm.

    Args:
        canvas: RGBA image to draw on.
        pieces: the garment; nothing is drawn if it has no sleeves.
        shoulder: in pixels of the canvas.
        elbow: in pixels of the canvas.
        wrist: in pixels of the canvas.
        scale: pixels of the canvas per unit.
    """
    if pieces.sleeve is None:
        return
    top, middle, end = pieces.sleeve_width
    reach = pieces.sleeve_length
    parts = [(shoulder, elbow, 0.0, UPPER_ARM, top, middle)]
    if reach > UPPER_ARM:
        parts.append((elbow, wrist, UPPER_ARM, FOREARM, middle, end))
    for start, stop, along, full, width_start, width_stop in parts:
        length = math.hypot(stop[0] - start[0], stop[1] - start[1]) or 1.0
        direction = ((stop[0] - start[0]) / length, (stop[1] - start[1]) / length)
        share = min(1.0, (reach - along) / full)
        finish = (start[0] + (stop[0] - start[0]) * share, start[1] + (stop[1] - start[1]) * share)
        width_stop = width_start + (width_stop - width_start) * share
        rounded = share == 1.0 and reach > UPPER_ARM and along == 0.0
        a, b = width_start * scale, width_stop * scale
        x0 = math.floor(min(start[0] - a, finish[0] - b)) - 1
        y0 = math.floor(min(start[1] - a, finish[1] - b)) - 1
        x1 = math.ceil(max(start[0] + a, finish[0] + b)) + 1
        y1 = math.ceil(max(start[1] + a, finish[1] + b)) + 1
        mask = Image.new("L", (x1 - x0, y1 - y0), 0)
        draw = ImageDraw.Draw(mask)
        nx, ny = -direction[1], direction[0]
        draw.polygon(
            [
                (start[0] + nx * a - x0, start[1] + ny * a - y0),
                (finish[0] + nx * b - x0, finish[1] + ny * b - y0),
                (finish[0] - nx * b - x0, finish[1] - ny * b - y0),
                (start[0] - nx * a - x0, start[1] - ny * a - y0),
            ],
            fill=255,
        )
        sx, sy = start[0] - x0, start[1] - y0
        draw.ellipse((sx - a, sy - a, sx + a, sy + a), fill=255)
        if rounded:
            fx, fy = finish[0] - x0, finish[1] - y0
            draw.ellipse((fx - b, fy - b, fx + b, fy + b), fill=255)
        texture = pieces.sleeve.transform(
            mask.size,
            Image.Transform.AFFINE,
            _affine((sx, sy), direction, along, length / full, scale, pieces.pixels),
            Image.Resampling.BILINEAR,
        )
        canvas.paste(texture, (x0, y0), mask)


def arm(
    shoulder: Point, side: int, upper: float, fore: float, scale: float, shorten: float = 1.0
) -> tuple[Point, Point]:
    """Returns elbow and wrist of an arm in pixels.

    Args:
        shoulder: in pixels.
        side: 1 for the arm at the picture's right, -1 for the other.
        upper: angle of the upper arm in degrees, 0 straight down, positive outwards.
        fore: angle of the forearm, likewise.
        scale: pixels per unit.
        shorten: length of the arm as it points towards the viewer, 1 if it does not.
    """
    a, b = math.radians(upper), math.radians(fore)
    first, second = UPPER_ARM * scale * shorten, FOREARM * scale
    elbow = (shoulder[0] + side * math.sin(a) * first, shoulder[1] + math.cos(a) * first)
    wrist = (elbow[0] + side * math.sin(b) * second, elbow[1] + math.cos(b) * second)
    return elbow, wrist


def draw_flat(product: Product, image_size: int) -> Image.Image:
    """Draws the product alone, lying flat on white.

    Args:
        product: what to draw.
        image_size: height and width in pixels.

    Returns:
        RGB image.
    """
    factor = supersampling(image_size)
    side = image_size * factor
    pieces = sheets(product, side / 5.0)
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
    center_u, center_v = side / 2, side / 2 - scale * (low + top) / 2
    canvas = Image.new("RGBA", (side, side), (255, 255, 255, 255))

    def lay(piece: Piece) -> None:
        ratio = piece.pixels / scale
        laid = piece.image.transform(
            canvas.size,
            Image.Transform.AFFINE,
            (
                ratio, 0, -piece.u * piece.pixels - center_u * ratio,
                0, ratio, -piece.v * piece.pixels - center_v * ratio,
            ),
            Image.Resampling.BILINEAR,
        )  # fmt: skip
        canvas.alpha_composite(laid)

    if pieces.back is not None:
        lay(pieces.back)
    for sign in (-1, 1):
        shoulder = (center_u + sign * SHOULDER[0] * scale, center_v + SHOULDER[1] * scale)
        elbow, wrist = arm(shoulder, sign, upper, fore, scale)
        draw_sleeve(canvas, pieces, shoulder, elbow, wrist, scale)
    lay(pieces.front)
    return canvas.convert("RGB").reduce(factor)

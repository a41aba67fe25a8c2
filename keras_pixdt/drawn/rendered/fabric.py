"""Fabric: the colour of a garment's cloth at each point, with its pattern and print."""

from __future__ import annotations

import functools
import math

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from keras_pixdt.drawn.rendered.product import Color, Product

# Half the size of a print on the chest, in units of half the shoulder width.
_PRINT_HALF = 0.6


@functools.lru_cache(maxsize=64)
def smooth_noise(height: int, width: int, cells: int, seed: int) -> np.ndarray:
    """Returns smooth noise.

    Args:
        height: rows.
        width: columns.
        cells: number of bumps along the longer side.
        seed: which noise.

    Returns:
        float32 (height, width), mostly within [-1, 1].
    """
    # RandomState because its stream is frozen: the pictures must not change with NumPy.
    coarse = np.random.RandomState(seed).standard_normal(
        (max(2, cells * height // max(height, width)), max(2, cells * width // max(height, width)))
    )
    image = Image.fromarray(coarse.astype(np.float32) * 0.5)
    return np.asarray(image.resize((width, height), Image.Resampling.BICUBIC))


def _band(x: np.ndarray, period: float, share: float) -> np.ndarray:
    """1 where x lies in a band of `share` of each period, else 0."""
    return (np.mod(x / period, 1.0) < share).astype(np.float32)


def _stripes(product: Product, x: np.ndarray) -> np.ndarray:
    period, share = product.period, product.share
    if product.variant == 0:
        return _band(x, period, share)
    if product.variant == 1:  # a thin line beside each broad one
        return np.maximum(_band(x, period, share), _band(x - period * 0.68, period, 0.14))
    return _band(x, period * 0.62, 0.45)


def _checks(product: Product, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    period = product.period
    # The bands are centred, so that the pattern is the same on both sides of the garment.
    across, down = _band(u + period / 4, period, 0.5), _band(v, period, 0.5)
    if product.variant == 0:  # gingham
        return (across + down) / 2
    if product.variant == 1:  # tartan: soft bands with thin lines on them
        lines = np.maximum(
            _band(u + period * 0.04, period, 0.1), _band(v - period * 0.22, period, 0.1)
        )
        return np.maximum((across + down) * 0.32, lines * 0.95)
    return np.maximum(_band(u + period * 0.09, period, 0.18), _band(v, period, 0.18))  # windowpane


def _dots(product: Product, u: np.ndarray, v: np.ndarray) -> np.ndarray:
    period = product.period * 0.9
    radius = period * (0.22 + 0.2 * product.share)
    # Every second row is shifted by half a period.
    row = np.floor(v / period * 2)
    du = np.mod(u / period + 0.5 * np.mod(row, 2), 1.0) - 0.5
    dv = (v / period * 2 - row - 0.5) / 2
    near = (du**2 + dv**2) * period**2 < radius**2 * 0.5
    return near.astype(np.float32)


def _regular(n: int, radius: float, inner: float | None = None) -> list[tuple[float, float]]:
    """Corners of a polygon with n points, or of a star with n points if `inner` is given."""
    steps = n if inner is None else 2 * n
    points = []
    for i in range(steps):
        r, angle = radius if inner is None or i % 2 == 0 else inner, 2 * math.pi * i / steps
        points.append((r * math.sin(angle), -r * math.cos(angle)))
    return points


def _logo_shapes(name: str) -> list[list[tuple[float, float]]]:
    """Polygons of a logo within [-1, 1] both ways."""
    if name == "star":
        return [_regular(5, 1.0, 0.42)]
    if name == "triangle":
        return [_regular(3, 1.0)]
    if name == "diamond":
        return [_regular(4, 1.0)]
    if name == "bolt":
        return [[(0.25, -1), (-0.6, 0.15), (-0.05, 0.15), (-0.3, 1), (0.6, -0.25), (0.05, -0.25)]]
    if name == "mountain":
        return [[(-1, 0.7), (-0.35, -0.6), (0.05, 0.1), (0.35, -0.3), (1, 0.7)]]
    if name == "heart":
        t = np.linspace(0, 2 * math.pi, 40)
        x = np.sin(t) ** 3
        y = -(13 * np.cos(t) - 5 * np.cos(2 * t) - 2 * np.cos(3 * t) - np.cos(4 * t)) / 16
        return [list(zip(x.tolist(), y.tolist(), strict=True))]
    if name == "flower":
        centres = _regular(6, 0.58)
        return [
            [(x + 0.42 * dx, y + 0.42 * dy) for dx, dy in _regular(16, 1.0)] for x, y in centres
        ]
    return [_regular(40, 0.9)]  # circle, ring


def _print_mask(product: Product, size: int) -> Image.Image:
    """The print as an L image of (size, size) that covers `_PRINT_HALF` around its centre."""
    mask = Image.new("L", (size, size), 0)
    draw = ImageDraw.Draw(mask)
    half = size / 2
    if product.pattern == "letters":
        font = ImageFont.load_default(size * 0.6)
        line = max(1, round(size * 0.032))
        left, top, right, low = font.getbbox(product.print, stroke_width=line)
        word = Image.new("L", (math.ceil(right - left), math.ceil(low - top)), 0)
        ImageDraw.Draw(word).text((-left, -top), product.print, 255, font, stroke_width=line)
        # As broad as the chest, but no higher than the square and no more than twice the type.
        scale = min(size / word.width, size / word.height, 1.9)
        word = word.resize((max(1, int(word.width * scale)), max(1, int(word.height * scale))))
        mask.paste(word, ((size - word.width) // 2, (size - word.height) // 2))
        return mask
    for shape in _logo_shapes(product.print):
        draw.polygon([(half + x * half * 0.92, half + y * half * 0.92) for x, y in shape], fill=255)
    if product.print in ("ring", "flower"):
        hole = half * (0.5 if product.print == "ring" else 0.26)
        draw.ellipse((half - hole, half - hole, half + hole, half + hole), fill=0)
    return mask


def mix(a: Color, b: Color, share: float) -> Color:
    """Returns the colour that is `share` of `b` and the rest of `a`."""
    red, green, blue = (round(x + (y - x) * share) for x, y in zip(a, b, strict=True))
    return red, green, blue


def shade(color: Color, factor: float) -> Color:
    """Returns a colour made darker (factor below 1) or lighter (above 1)."""
    red, green, blue = (min(255, round(c * factor)) for c in color)
    return red, green, blue


def detail(color: Color, strength: float = 0.5) -> Color:
    """Returns a line colour that shows on a fabric of `color`: darker, or lighter on black."""
    luminance = 0.3 * color[0] + 0.59 * color[1] + 0.11 * color[2]
    return shade(color, 1 - strength) if luminance > 70 else mix(color, (190, 190, 196), strength)


def _print_center(product: Product) -> float:
    """Where the print's middle lies: below a deep neckline or the cords of a hood."""
    if product.category == "hoodie":
        return 1.42
    return {"scoop": 1.5, "v": 1.42, "turtle": 1.1}.get(product.neckline, 1.2)


def cloth(product: Product, u: np.ndarray, v: np.ndarray, *, printed: bool) -> np.ndarray:
    """Returns the cloth's colour at points of the garment.

    Args:
        product: whose fabric.
        u: float32 (1, w): positions across the garment, 0 in its middle.
        v: float32 (h, 1): positions down the garment, 0 at the base of the neck.
        printed: whether this piece carries the print (the front does, a sleeve does not).

    Returns:
        float32 (h, w, 3) in 0..255.
    """
    first = np.array(product.rgb, np.float32)
    second = np.array(product.second_rgb, np.float32)
    shape = (v.shape[0], u.shape[1])
    share = np.zeros(shape, np.float32)
    if product.pattern == "horizontal stripes":
        share = share + _stripes(product, v)
    elif product.pattern == "vertical stripes":
        share = share + _stripes(product, u + product.period * product.share / 2)
    elif product.pattern == "checks":
        share = _checks(product, u, v)
    elif product.pattern == "dots":
        share = _dots(product, u, v)
    elif product.pattern in ("logo", "letters") and printed:
        pixels_per_unit = (shape[1] - 1) / float(u[0, -1] - u[0, 0])
        size = max(8, round(2 * _PRINT_HALF * pixels_per_unit))
        mask = np.asarray(_print_mask(product, size), np.float32) / 255
        top = round((_print_center(product) - float(v[0, 0])) * pixels_per_unit) - size // 2
        left = round(-float(u[0, 0]) * pixels_per_unit) - size // 2
        share[top : top + size, left : left + size] = mask
    color = first + share[..., None] * (second - first)
    weave = 2.5 * smooth_noise(shape[0], shape[1], 60, 5)
    if product.category == "sweater":  # rows of stitches
        weave = weave + 7.0 * np.sign(np.sin(v * 50)) * np.sin(u * 42 + 2 * np.abs(np.sin(v * 25)))
    return color + weave[..., None]

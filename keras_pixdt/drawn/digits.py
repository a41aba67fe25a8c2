"""Digits of two domains, drawn from a seed: one looks like MNIST, one like SVHN.

They stand in for the data sets of Taigman et al. 2017, Sec. 5.1, if these are not available. Both
domains show the same ten digits; "handwritten" ones are white strokes on black, "street" ones are
of any colours over clutter, with neighbours that are cut at the sides. NumPy and Pillow only.

Differs from the paper of Taigman et al., whose data sets they stand in for:
- The paper has SVHN as S and MNIST as T (Sec. 5.1). `--data` and `--target-data` take them; if they
  are not available, both domains are drawn.

Example:
    ```python
    from keras_pixdt.drawn import digits

    pixels, labels = digits.draw("street", 1000, seed=0)
    ```
"""

from __future__ import annotations

import functools

import numpy as np
from PIL import Image, ImageDraw, ImageFilter, ImageFont

from keras_pixdt import progress

KINDS = ("handwritten", "street")
CLASSES = tuple("0123456789")
IMAGE_SIZE = 32  # px

_CONTENT_PX = 20  # of the longer side, as MNIST's: centred in 28, which is centred in 32
_SCALE = 3  # digits are drawn this many times larger, then averaged
_CURVE_POINTS = 8  # between two points of a stroke

Stroke = tuple[tuple[float, float], ...]

# How each digit is written: one or more ways, each of strokes through points (x, y), to the right
# and down in [0, 1]. A point that is there twice is a corner.
_STROKES: tuple[tuple[tuple[Stroke, ...], ...], ...] = (
    (  # 0
        (((0.55, 0), (0.25, 0.15), (0.12, 0.5), (0.25, 0.87), (0.5, 1), (0.77, 0.85), (0.88, 0.5),
          (0.78, 0.15), (0.55, 0)),),
        (((0.6, 0.02), (0.3, 0.2), (0.2, 0.6), (0.4, 0.98), (0.7, 0.85), (0.85, 0.4), (0.7, 0.06),
          (0.45, 0.06)),),
    ),
    (  # 1
        (((0.5, 0), (0.5, 1)),),
        (((0.3, 0.2), (0.52, 0), (0.52, 0), (0.5, 1)),),
        (((0.3, 0.22), (0.52, 0), (0.52, 0), (0.52, 1)), ((0.28, 1), (0.76, 1))),
    ),
    (  # 2
        (((0.15, 0.25), (0.3, 0.05), (0.6, 0.02), (0.82, 0.22), (0.68, 0.52), (0.15, 0.97),
          (0.15, 0.97), (0.9, 0.95)),),
        (((0.18, 0.2), (0.45, 0), (0.78, 0.18), (0.65, 0.55), (0.25, 0.95), (0.12, 0.85),
          (0.3, 0.78), (0.6, 0.95), (0.92, 0.9)),),
    ),
    (  # 3
        (((0.18, 0.12), (0.5, 0), (0.8, 0.2), (0.66, 0.43), (0.4, 0.48), (0.4, 0.48), (0.76, 0.56),
          (0.86, 0.78), (0.55, 1), (0.14, 0.88)),),
        (((0.15, 0.03), (0.15, 0.03), (0.82, 0.03), (0.82, 0.03), (0.45, 0.42), (0.45, 0.42),
          (0.8, 0.52), (0.82, 0.85), (0.45, 1), (0.12, 0.88)),),
    ),
    (  # 4
        (((0.3, 0.03), (0.14, 0.58), (0.14, 0.58), (0.9, 0.56)), ((0.7, 0.1), (0.66, 1))),
        (((0.65, 1), (0.65, 0), (0.65, 0), (0.1, 0.66), (0.1, 0.66), (0.93, 0.66)),),
    ),
    (  # 5
        (((0.82, 0.03), (0.28, 0.03), (0.28, 0.03), (0.2, 0.46), (0.2, 0.46), (0.58, 0.38),
          (0.86, 0.65), (0.65, 0.95), (0.14, 0.92)),),
        (((0.3, 0.05), (0.24, 0.45), (0.24, 0.45), (0.7, 0.48), (0.8, 0.8), (0.5, 1), (0.15, 0.9)),
         ((0.3, 0.04), (0.85, 0))),
    ),
    (  # 6
        (((0.72, 0), (0.35, 0.22), (0.15, 0.62), (0.28, 0.94), (0.58, 0.99), (0.82, 0.77),
          (0.66, 0.53), (0.4, 0.55), (0.18, 0.77)),),
        (((0.4, 0), (0.2, 0.45), (0.2, 0.85), (0.5, 1), (0.8, 0.85), (0.75, 0.6), (0.45, 0.55),
          (0.2, 0.75)),),
    ),
    (  # 7
        (((0.12, 0.05), (0.86, 0.04), (0.86, 0.04), (0.4, 1)),),
        (((0.12, 0.05), (0.86, 0.04), (0.86, 0.04), (0.55, 0.5), (0.42, 1)),
         ((0.32, 0.5), (0.8, 0.48))),
        (((0.14, 0.2), (0.14, 0.03), (0.14, 0.03), (0.86, 0.05), (0.86, 0.05), (0.5, 1)),),
    ),
    (  # 8
        (((0.75, 0.15), (0.5, 0), (0.25, 0.15), (0.32, 0.4), (0.7, 0.62), (0.8, 0.85), (0.5, 1),
          (0.2, 0.85), (0.3, 0.6), (0.68, 0.4), (0.75, 0.15)),),
        (((0.5, 0), (0.25, 0.12), (0.25, 0.35), (0.5, 0.47), (0.75, 0.35), (0.75, 0.12), (0.5, 0)),
         ((0.5, 0.47), (0.18, 0.6), (0.18, 0.88), (0.5, 1), (0.82, 0.88), (0.82, 0.6),
          (0.5, 0.47))),
    ),
    (  # 9
        (((0.8, 0.2), (0.5, 0.01), (0.2, 0.22), (0.3, 0.48), (0.6, 0.47), (0.8, 0.2), (0.8, 0.2),
          (0.76, 0.65), (0.6, 1)),),
        (((0.8, 0.22), (0.5, 0), (0.2, 0.22), (0.35, 0.5), (0.65, 0.42), (0.8, 0.22), (0.8, 0.22),
          (0.82, 0.7), (0.6, 0.98), (0.22, 0.9)),),
    ),
)  # fmt: skip


def draw(kind: str, count: int, seed: int = 0) -> tuple[np.ndarray, np.ndarray]:
    """Draws digits; all ten are equally probable.

    Args:
        kind: "handwritten" or "street".
        count: how many; those of a smaller count are the first of a larger one.
        seed: which digits are drawn.

    Returns:
        uint8 (count, 32, 32, 3), and what they show, int64 (count,).

    Raises:
        ValueError: an unknown kind, or less than one image.
    """
    if kind not in KINDS:
        raise ValueError(f"`kind` must be one of {', '.join(KINDS)}. Received: {kind!r}")
    if count < 1:
        raise ValueError(f"`count` must be at least 1. Received: {count}")
    pixels = np.empty((count, IMAGE_SIZE, IMAGE_SIZE, 3), np.uint8)
    labels = np.empty(count, np.int64)
    for i in progress.bar("Drawing digits", range(count)):
        rng = np.random.default_rng((seed, KINDS.index(kind), i))
        labels[i] = rng.integers(len(CLASSES))
        if kind == "handwritten":
            pixels[i] = _handwritten(rng, int(labels[i]))[..., None]
        else:
            pixels[i] = _street(rng, int(labels[i]))
    return pixels, labels


# Strokes


@functools.cache
def _spline(count: int) -> np.ndarray:
    """Weights (points of the curve, count) of a Catmull-Rom spline through `count` points."""
    t = np.arange(_CURVE_POINTS)[:, None] / _CURVE_POINTS
    basis = 0.5 * np.hstack(
        [-t + 2 * t**2 - t**3, 2 - 5 * t**2 + 3 * t**3, t + 4 * t**2 - 3 * t**3, t**3 - t**2]
    )
    weights = np.zeros(((count - 1) * _CURVE_POINTS + 1, count))
    for start in range(count - 1):
        rows = slice(start * _CURVE_POINTS, (start + 1) * _CURVE_POINTS)
        for offset in range(4):
            at = min(max(start + offset - 1, 0), count - 1)  # the ends are there twice
            weights[rows, at] += basis[:, offset]
    weights[-1, -1] = 1
    return weights


def _written(rng: np.random.Generator, digit: int) -> list[np.ndarray]:
    """The curves of a digit as somebody writes it, (points, 2) each, of no particular size."""
    ways = _STROKES[digit]
    strokes = ways[rng.integers(len(ways))]
    angle, shear = rng.normal(0, 0.12), rng.normal(0.15, 0.2)  # most hands lean to the right
    turn = np.array([[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]])
    lean = np.array([[rng.uniform(0.6, 0.95), -shear], [0, 1]])
    curves = []
    for stroke in strokes:
        points = np.array(stroke)
        twice = (points[1:] == points[:-1]).all(axis=1)
        moved = points + rng.normal(0, 0.035, points.shape)
        moved[1:][twice] = moved[:-1][twice]
        curves.append(_spline(len(points)) @ moved @ (turn @ lean).T)
    return curves


def _stroke_mask(curves: list[np.ndarray], shape: tuple[int, int], width: float) -> Image.Image:
    """Draws curves, in pixels (x, y), on an image (width, height) that is larger by `_SCALE`."""
    image = Image.new("L", (shape[0] * _SCALE, shape[1] * _SCALE))
    pen = ImageDraw.Draw(image)
    thick = max(1, round(width * _SCALE))
    for curve in curves:
        points = curve * _SCALE
        pen.line(points.ravel().tolist(), 255, thick)
        for x, y in points[::_CURVE_POINTS].tolist():  # round corners and ends
            pen.ellipse((x - thick / 2, y - thick / 2, x + thick / 2, y + thick / 2), 255)
    return image


def _fitted(curves: list[np.ndarray], side: float) -> list[np.ndarray]:
    """Curves whose box has a longer side of so many pixels; their mean is at (0, 0)."""
    points = np.concatenate(curves)
    scale = side / np.ptp(points, axis=0).max()
    return [(curve - points.mean(axis=0)) * scale for curve in curves]


def _handwritten(rng: np.random.Generator, digit: int) -> np.ndarray:
    """White strokes on black, uint8 (32, 32)."""
    width = rng.uniform(1.6, 3.4)
    # As in MNIST, the centre of mass is in the middle, not the centre of the box.
    curves = [
        curve + IMAGE_SIZE / 2 for curve in _fitted(_written(rng, digit), _CONTENT_PX - width)
    ]
    return np.asarray(_stroke_mask(curves, (IMAGE_SIZE, IMAGE_SIZE), width).reduce(_SCALE))


# Streets

_LEAST_CONTRAST = 55  # of 255, between the digit and what is behind it, in brightness
_BRIGHTNESS = np.array([0.299, 0.587, 0.114])


@functools.cache
def _glyph(digit: int, size: int, weight: int) -> Image.Image:
    """A digit of Pillow's font, in the middle of a square of its size."""
    image = Image.new("L", (size, size))
    ImageDraw.Draw(image).text(
        (size / 2, size / 2), CLASSES[digit], 255, ImageFont.load_default(size),
        anchor="mm", stroke_width=weight,
    )  # fmt: skip
    return image


def _street(rng: np.random.Generator, digit: int) -> np.ndarray:
    """A digit of a house number, uint8 (32, 32, 3)."""
    behind, color = _colors(rng)
    steps = np.linspace(-0.5, 0.5, IMAGE_SIZE)
    slope = rng.normal(0, 25, (2, 3))
    ground = behind + steps[:, None, None] * slope[0] + steps[None, :, None] * slope[1]
    clutter = Image.fromarray(np.clip(ground, 0, 255).astype(np.uint8))
    pen = ImageDraw.Draw(clutter)
    for _ in range(rng.integers(4)):
        shade = tuple(np.clip(behind + rng.normal(0, 30, 3), 0, 255).astype(int).tolist())
        ends = rng.uniform(-8, IMAGE_SIZE + 8, 4).tolist()
        if rng.random() < 0.5:
            pen.line(ends, shade, int(rng.integers(1, 5)))
        else:
            (left, right), (top, bottom) = sorted(ends[:2]), sorted(ends[2:])
            pen.rectangle((left, top, right, bottom), shade)

    mask = _number(rng, digit)
    image = np.asarray(clutter, np.float64)
    if rng.random() < 0.3:  # a shadow
        dark = np.roll(mask, tuple(rng.integers(-2, 3, 2)), (0, 1))[..., None]
        image = image * (1 - 0.5 * dark)
    image = image * (1 - mask[..., None]) + color * mask[..., None]
    blurred = Image.fromarray(np.clip(image, 0, 255).astype(np.uint8)).filter(
        ImageFilter.GaussianBlur(rng.uniform(0, 1))
    )
    noise = rng.standard_normal(image.shape) * rng.uniform(0, 8)
    return np.clip(np.asarray(blurred) + noise, 0, 255).astype(np.uint8)


def _colors(rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Colours of the ground and of the digits, (3,) each; many are near gray, as streets are."""
    while True:
        grays = rng.uniform(20, 235, 2)
        behind, color = (np.clip(gray + rng.normal(0, 30, 3), 0, 255) for gray in grays)
        if abs((behind - color) @ _BRIGHTNESS) >= _LEAST_CONTRAST:
            return behind, color


def _number(rng: np.random.Generator, digit: int) -> np.ndarray:
    """The digit between others of its house number, (32, 32) in [0, 1]."""
    height = rng.uniform(17, 28)  # px
    shape = (3 * IMAGE_SIZE, IMAGE_SIZE)
    neighbors = [int(other) if rng.random() < 0.6 else None for other in rng.integers(10, size=2)]
    row = [neighbors[0], digit, neighbors[1]]
    step = height * rng.uniform(0.62, 0.85)
    places = [1.5 * IMAGE_SIZE + i * step for i in (-1, 0, 1)]
    middle = IMAGE_SIZE / 2
    if rng.random() < 0.3:  # painted by hand
        width = rng.uniform(2, 4)
        curves = [
            curve + (place, middle)
            for place, shown in zip(places, row, strict=True)
            if shown is not None
            for curve in _fitted(_written(rng, shown), height - width)
        ]
        image = _stroke_mask(curves, shape, width)
    else:
        image = Image.new("L", (shape[0] * _SCALE, shape[1] * _SCALE))
        # Digits have about 0.7 of the height of their font.
        size, weight = 3 * round(height * _SCALE / 0.7 / 3), int(rng.integers(0, 5))
        for place, shown in zip(places, row, strict=True):
            if shown is not None:
                corner = round(place * _SCALE - size / 2), round(middle * _SCALE - size / 2)
                glyph = _glyph(shown, size, weight)
                image.paste(255, (*corner, corner[0] + size, corner[1] + size), glyph)
    # What is at (x, y) of the result comes from there: turned, leaning, a little off the middle.
    angle, lean = rng.normal(0, 0.1), rng.normal(0, 0.15)
    x, y = 1.5 * IMAGE_SIZE * _SCALE, middle * _SCALE
    dx, dy = rng.normal(0, 1, 2) * _SCALE
    a, b = np.cos(angle), np.sin(angle) + lean
    c, d = -np.sin(angle), np.cos(angle)
    side = IMAGE_SIZE * _SCALE
    from_x, from_y = x - a * side / 2 - b * side / 2 + dx, y - c * side / 2 - d * side / 2 + dy
    turned = image.transform(
        (side, side), Image.Transform.AFFINE, (a, b, from_x, c, d, from_y),
        Image.Resampling.NEAREST,
    )  # fmt: skip
    return np.asarray(turned.reduce(_SCALE)) / 255

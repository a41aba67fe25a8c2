"""Sleeves: their cloth as a sheet in (along, across), and how they lie on an arm."""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from keras_pixdt.drawn.rendered import fabric
from keras_pixdt.drawn.rendered.product import Product
from keras_pixdt.drawn.rendered.shapes import Point, around, between, direction, tapered

# What the sheet of a sleeve covers: along the arm from the shoulder, and across it.
ALONG_MIN = -0.6
ALONG_MAX = 3.3
ACROSS_MAX = 0.75

UPPER_ARM = 1.5
FOREARM = 1.35
_LENGTHS = {"short": 0.92, "long": UPPER_ARM + FOREARM - 0.1}


@dataclasses.dataclass(frozen=True)
class Sleeve:
    """A sleeve of a product.

    Attributes:
        image: RGB sheet in (along, across).
        length: how far along the arm it reaches.
        widths: half widths at shoulder, elbow and wrist.
        pixels: pixels per unit.
    """

    image: Image.Image
    length: float
    widths: tuple[float, float, float]
    pixels: float


def sleeve_of(product: Product, pixels: float) -> Sleeve | None:
    """Draws the sleeve of a product at `pixels` per unit; None for a garment without sleeves."""
    if product.sleeve == "none":
        return None
    length = _LENGTHS[product.sleeve]
    widths = {
        "t-shirt": (0.37, 0.42, 0.4),
        "long sleeve": (0.32, 0.26, 0.19),
        "shirt": (0.36, 0.31, 0.24) if product.sleeve == "long" else (0.37, 0.42, 0.4),
        "sweater": (0.39, 0.37, 0.26),
        "hoodie": (0.41, 0.39, 0.27),
        "dress": (0.33, 0.36, 0.3),
        "coat": (0.42, 0.38, 0.33),
    }[product.category]
    return Sleeve(_sheet(product, pixels, length, widths), length, widths, pixels)


def _sheet(
    product: Product, pixels: float, length: float, widths: tuple[float, float, float]
) -> Image.Image:
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
    half = np.interp(along, (0, UPPER_ARM, UPPER_ARM + FOREARM), widths)
    inside = np.clip(np.abs(across[:, None]) / half[None, :], 0, 1)
    # Nothing separates the sleeve from the shoulder; further down its sides are dark.
    depth = np.clip((along[None, :] + 0.05) / 0.5, 0.15, 1)
    light = 1.02 - 0.3 * depth * inside**2.5
    # The outline, and a little less light on one side.
    light = light * np.where(inside > 1 - 0.05 / half[None, :], 1 - 0.38 * depth, 1.0)
    light = light * (1 - 0.1 * across[:, None] / ACROSS_MAX)
    light[:, np.abs(along - length) < 0.05] *= 0.65
    # Folds at the elbow.
    for beyond, strength in ((-0.2, 0.09), (0.12, 0.13), (0.5, 0.07)):
        bend = (along[None, :] - (UPPER_ARM + beyond) - 0.25 * across[:, None]) / 0.07
        light = light * (1 - strength * np.exp(-(bend**2)))
    color = np.clip(cloth * light[..., None], 0, 255).astype(np.uint8)
    return Image.fromarray(color)


def _affine(
    origin: Point, towards: Point, start: float, along: float, across: float, pixels: float
) -> tuple[float, float, float, float, float, float]:
    """Coefficients that take pixels of the canvas to pixels of the sleeve's sheet.

    The sheet's point (`start`, 0) goes to `origin`, and its u runs along the unit vector `towards`.
    `along` and `across` are pixels of the canvas per unit, `pixels` those of the sheet.
    """
    (x, y), (dx, dy) = origin, towards
    long, wide = pixels / along, pixels / across
    return (
        dx * long, dy * long, (start - ALONG_MIN) * pixels - (dx * x + dy * y) * long,
        -dy * wide, dx * wide, ACROSS_MAX * pixels - (-dy * x + dx * y) * wide,
    )  # fmt: skip


class Part(NamedTuple):
    """The upper arm or the forearm of a sleeve as it lies on a canvas.

    Attributes:
        origin: the joint where it begins, in pixels of the canvas.
        towards: unit vector along it.
        along: where on the sleeve it begins.
        stretch: pixels of the canvas per unit along it.
        scale: pixels of the canvas per unit across it.
        corner: the pixel of the canvas where `mask` begins.
        mask: L, where it is seen.
    """

    origin: Point
    towards: Point
    along: float
    stretch: float
    scale: float
    corner: tuple[int, int]
    mask: Image.Image

    def inverse(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns which points (along, across) of the sleeve lie at pixels of the canvas."""
        dx, dy = x - self.origin[0], y - self.origin[1]
        a, b = self.towards
        return self.along + (dx * a + dy * b) / self.stretch, (dy * a - dx * b) / self.scale

    def at(self, along: np.ndarray, across: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns where points of the sleeve lie on the canvas."""
        long, wide = (along - self.along) * self.stretch, across * self.scale
        a, b = self.towards
        return self.origin[0] + long * a - wide * b, self.origin[1] + long * b + wide * a


def sleeve_parts(
    sleeve: Sleeve, shoulder: Point, elbow: Point, wrist: Point, scale: float
) -> Iterator[Part]:
    """Yields how a sleeve lies on an arm: its joints in pixels, `scale` pixels per unit."""
    top, middle, end = sleeve.widths
    bones = [(shoulder, elbow, 0.0, UPPER_ARM, top, middle)]
    if sleeve.length > UPPER_ARM:
        bones.append((elbow, wrist, UPPER_ARM, FOREARM, middle, end))
    for start, stop, along, full, width_start, width_stop in bones:
        length, towards = direction(start, stop)
        share = min(1.0, (sleeve.length - along) / full)
        finish = between(start, stop, share)
        width_stop = width_start + (width_stop - width_start) * share
        a, b = width_start * scale, width_stop * scale
        x0 = math.floor(min(start[0] - a, finish[0] - b)) - 1
        y0 = math.floor(min(start[1] - a, finish[1] - b)) - 1
        x1 = math.ceil(max(start[0] + a, finish[0] + b)) + 1
        y1 = math.ceil(max(start[1] + a, finish[1] + b)) + 1
        mask = Image.new("L", (x1 - x0, y1 - y0), 0)
        draw = ImageDraw.Draw(mask)
        bar = tapered(start, finish, towards, (a, b))
        draw.polygon([(x - x0, y - y0) for x, y in bar], fill=255)
        draw.ellipse(around((start[0] - x0, start[1] - y0), a), fill=255)
        if share == 1.0 and sleeve.length > UPPER_ARM and along == 0.0:  # round at the elbow
            draw.ellipse(around((finish[0] - x0, finish[1] - y0), b), fill=255)
        yield Part(start, towards, along, length / full, scale, (x0, y0), mask)


def draw_sleeve(
    canvas: Image.Image, sleeve: Sleeve, shoulder: Point, elbow: Point, wrist: Point, scale: float
) -> None:
    """Draws a sleeve along an arm: its joints in pixels of the canvas, `scale` pixels per unit."""
    for part in sleeve_parts(sleeve, shoulder, elbow, wrist, scale):
        x0, y0 = part.corner
        origin = part.origin[0] - x0, part.origin[1] - y0
        texture = sleeve.image.transform(
            part.mask.size,
            Image.Transform.AFFINE,
            _affine(origin, part.towards, part.along, part.stretch, scale, sleeve.pixels),
            Image.Resampling.BILINEAR,
        )
        canvas.paste(texture, part.corner, part.mask)


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

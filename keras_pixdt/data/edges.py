"""Edges of photos, black on white: thin lines, or soft ones.

Canny's detector is implemented here because `skimage.feature.canny` would be another dependency. It
also thins by interpolation and takes absolute thresholds, which would change the edges and
published numbers.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from keras_pixdt import progress
from keras_pixdt.data.images import WHITE
from keras_pixdt.data.pairs import allocate
from keras_pixdt.workers import thread_pool

BLUR_PX = 1.0  # standard deviation
STRONG, WEAK = 0.25, 0.1  # relative to the steepest gradient in the photo


def draw_edges(photo: np.ndarray) -> np.ndarray:
    """Draws the edges of a photo, black lines of one pixel on white.

    Canny 1986, A Computational Approach to Edge Detection: gradients of the gray levels under a
    Gaussian are thinned to their ridges. Strong ridges are edges, and so are the weaker ones that
    are connected with them.

    Args:
        photo: uint8 `(height, width, 3)`.

    Returns:
        uint8, the same shape, each pixel 0 or 255.
    """
    down, right = _gradients(photo)
    steep = np.hypot(down, right)

    # A ridge is steeper than its neighbours along the gradient, in one of four directions.
    direction = np.rint(np.arctan2(down, right) / (np.pi / 4)).astype(int) % 4
    ridge = np.zeros(steep.shape, bool)
    for index, (dy, dx) in enumerate(((0, 1), (1, 1), (1, 0), (1, -1))):
        before, after = _shift(steep, -dy, -dx), _shift(steep, dy, dx)
        ridge |= (direction == index) & (steep > before) & (steep >= after)

    weak, edge = (ridge & (steep > share * steep.max()) for share in (WEAK, STRONG))
    while True:
        beside = edge | _shift(edge, 0, 1) | _shift(edge, 0, -1)
        grown = weak & (beside | _shift(beside, 1, 0) | _shift(beside, -1, 0))
        if (grown == edge).all():
            return np.repeat(np.where(edge, 0, WHITE).astype(np.uint8)[..., None], 3, axis=2)
        edge = grown


def soft_edges(photo: np.ndarray) -> np.ndarray:
    """Draws the edges of a photo as soft lines, the darker the steeper the photo is there.

    A network cannot draw the thin lines of `draw_edges`, which are black or white: a discriminator
    knows its gray at once. Here the gradients of `draw_edges` are neither thinned nor cut off: they
    are white up to its lower threshold, black from its upper one on, and gray between the two.

    Args:
        photo: uint8 `(height, width, 3)`.

    Returns:
        uint8, the same shape; the three channels are equal.
    """
    steep = np.hypot(*_gradients(photo))
    share = steep / max(float(steep.max()), 1.0)  # a plain photo has no edges
    dark = np.clip((share - WEAK) / (STRONG - WEAK), 0, 1)
    return np.repeat(np.rint(WHITE * (1 - dark)).astype(np.uint8)[..., None], 3, axis=2)


def edges_of(
    photos: np.ndarray,
    shapes: np.ndarray,
    draw_one: Callable[[np.ndarray], np.ndarray] = draw_edges,
) -> np.ndarray:
    """Edges of photos that may have bars; bars get none.

    Args:
        photos: uint8 `(n, height, width, 3)`.
        shapes: of the photos without their bars; see `Domain`.
        draw_one: `draw_edges` or `soft_edges`.

    Returns:
        uint8, the same shape as the photos.
    """
    full_height, full_width = sides = photos.shape[1:3]
    drawn = allocate(photos.shape)

    def draw(row: int) -> None:
        height, width = np.maximum(1, np.round(shapes[row] * (sides / shapes[row]).min()))
        top, left = int(full_height - height) // 2, int(full_width - width) // 2
        inside = slice(top, top + int(height)), slice(left, left + int(width))
        drawn[row] = WHITE
        drawn[row][inside] = draw_one(photos[row][inside])

    with thread_pool() as pool:
        for _ in progress.bar("Drawing edges", pool.map(draw, range(len(photos))), len(photos)):
            pass
    return drawn


def _gradients(photo: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """How fast the gray levels grow downwards and to the right, under a Gaussian."""
    gray = photo @ np.array([0.299, 0.587, 0.114], np.float32)
    steps = np.arange(-3, 4)
    gaussian = np.exp(-0.5 * (steps / BLUR_PX) ** 2)
    gaussian /= gaussian.sum()
    gray = _filter(gray, gaussian, gaussian)
    smooth, slope = np.array([1, 2, 1]) / 4, np.array([-1, 0, 1]) / 2
    return _filter(gray, slope, smooth), _filter(gray, smooth, slope)


def _filter(pixels: np.ndarray, along_y: np.ndarray, along_x: np.ndarray) -> np.ndarray:
    """Correlates `(height, width)` with a separable kernel; the borders are continued."""
    for axis, weights in ((0, along_y), (1, along_x)):
        half = len(weights) // 2
        padded = np.pad(pixels, [(half, half) if i == axis else (0, 0) for i in (0, 1)], "edge")
        size = pixels.shape[axis]
        parts = [padded.take(range(start, start + size), axis) for start in range(len(weights))]
        pixels = np.tensordot(weights, np.stack(parts), 1)
    return pixels


def _shift(pixels: np.ndarray, dy: int, dx: int) -> np.ndarray:
    """The value `(dy, dx)` pixels away from each pixel; 0 outside."""
    height, width = pixels.shape
    return np.pad(pixels, 1)[1 + dy : 1 + dy + height, 1 + dx : 1 + dx + width]

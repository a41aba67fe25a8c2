"""Pictures that compare methods: the same inputs, a line of images for each method."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from keras_pixdt import data

COLUMNS = 16
_FONT_PX = 13
_MARGIN = 6


def write_lines(
    path: pathlib.Path, lines: Sequence[tuple[str, np.ndarray]], size: int | None = None
) -> None:
    """Writes lines of images with their names at the left.

    Args:
        path: the PNG file.
        lines: name and images of each, uint8 (n, s, s, 3); n is the same in all.
        size: side that images are shown with, px; by default that of the largest.
    """
    size = size or max(images.shape[1] for _, images in lines)
    grid = data.image_grid([_column(lines, i, size) for i in range(len(lines[0][1]))])
    font = ImageFont.load_default(_FONT_PX)
    left = max(round(font.getlength(name)) for name, _ in lines) + 2 * _MARGIN
    picture = Image.new("RGB", (left + grid.shape[1], grid.shape[0]), "white")
    picture.paste(Image.fromarray(grid), (left, 0))
    draw = ImageDraw.Draw(picture)
    step = grid.shape[0] / len(lines)
    for i, (name, _) in enumerate(lines):
        draw.text((_MARGIN, (i + 0.5) * step), name, "black", font, anchor="lm")
    picture.save(path)


def _column(lines: Sequence[tuple[str, np.ndarray]], i: int, size: int) -> np.ndarray:
    return np.stack(
        [
            images[i] if images.shape[1] == size else data.letterbox(images[i], size)
            for _, images in lines
        ]
    )


def spread(count: int, columns: int = COLUMNS) -> np.ndarray:
    """Rows of images spread evenly, so that they are of different products."""
    return np.linspace(0, count - 1, min(columns, count)).astype(int)

"""Pictures that compare methods: the same inputs, a line of images for each method."""

from __future__ import annotations

import pathlib
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw, ImageFont

from keras_pixdt import data
from keras_pixdt.atomic import replacing
from keras_pixdt.reproduce.result import Result

COLUMNS = 16
_FONT_PX = 13
_MARGIN = 6


def add_lines(
    result: Result, out: pathlib.Path, lines: Sequence[tuple[str, np.ndarray]], caption: str
) -> None:
    """Adds lines of images to a table, with their names at the left, as large as the largest.

    Args:
        result: gets the picture, `NAME.png`.
        out: folder of the table.
        lines: name and images of each, uint8 (n, s, s, 3); n is the same in all.
        caption: what it shows.
    """
    size = max(images.shape[1] for _, images in lines)
    grid = data.image_grid([_column(lines, i, size) for i in range(len(lines[0][1]))])
    font = ImageFont.load_default(_FONT_PX)
    left = max(round(font.getlength(name)) for name, _ in lines) + 2 * _MARGIN
    picture = Image.new("RGB", (left + grid.shape[1], grid.shape[0]), "white")
    picture.paste(Image.fromarray(grid), (left, 0))
    draw = ImageDraw.Draw(picture)
    step = grid.shape[0] / len(lines)
    for i, (name, _) in enumerate(lines):
        draw.text((_MARGIN, (i + 0.5) * step), name, "black", font, anchor="lm")
    file = f"{result.name}.png"
    with replacing(out / file) as unfinished:
        picture.save(unfinished)
    result.pictures[file] = caption


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


def beside(images: Sequence[Image.Image], gap: int = 8) -> Image.Image:
    """Images of one height beside each other, on white."""
    width = sum(image.width + gap for image in images) - gap
    figure = Image.new("RGB", (width, images[0].height), "white")
    left = 0
    for image in images:
        figure.paste(image, (left, 0))
        left += image.width + gap
    return figure

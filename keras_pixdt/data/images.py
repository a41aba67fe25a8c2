"""Images at the boundary of the library: square uint8 RGB arrays, and float32 in [-1, 1].

This module only needs NumPy and Pillow, so that worker processes start quickly.
"""

from __future__ import annotations

import contextlib
import functools
import importlib
import io
import os
import pathlib
from collections.abc import Sequence
from typing import BinaryIO

import numpy as np
from PIL import Image, ImageOps

from keras_pixdt.choices import GARMENT_BELOW, RESIZES

WHITE = 255
_HEIF = tuple(b"ftyp" + brand for brand in (b"heic", b"heix", b"hevc", b"heim", b"mif1", b"msf1"))


class ImageError(ValueError):
    """An image that cannot be read or cropped; the message names the file and the reason."""


def read_image(
    source: str | os.PathLike[str] | bytes | BinaryIO, name: str | None = None
) -> np.ndarray:
    """Decodes any image that Pillow reads to RGB, as a viewer would show it.

    The EXIF rotation is applied, transparency is composited on white, and grayscale, palette, CMYK
    and 16-bit images are converted. For an animation the first frame is used. The file's extension
    does not matter.

    Args:
        source: a path, the bytes of a file, or an open binary file.
        name: what errors call the image; by default the path.

    Returns:
        A uint8 array of shape `(height, width, 3)`.

    Raises:
        FileNotFoundError: if `source` is a path where there is no file.
        ImageError: if it is empty, truncated, not an image, or so large that decoding it could
            exhaust the memory.
    """
    if isinstance(source, bytes):
        data = source
    elif isinstance(source, (str, os.PathLike)):
        name = name or os.fspath(source)
        data = pathlib.Path(source).read_bytes()
    else:
        name = name or getattr(source, "name", None)
        data = source.read()
    name = name or "image"
    if not data:
        raise ImageError(f"{name} is empty (0 bytes). Copy or download it again.")
    _register_heif()
    try:
        with Image.open(io.BytesIO(data)) as image:
            limit = Image.MAX_IMAGE_PIXELS
            if limit is not None and image.width * image.height > limit:
                raise ImageError(f"{image.width}x{image.height} is over {limit:,} pixels")
            return _to_rgb(ImageOps.exif_transpose(image))
    # The decoders raise whatever a broken file leads them to: OSError, SyntaxError, struct.error,
    # EOFError, IndexError, zlib.error, and more with every format.
    except Exception as error:
        reason = str(error) or type(error).__name__
        if isinstance(error, Image.UnidentifiedImageError):
            reason = f"its {len(data):,} bytes are not in an image format that Pillow knows"
            if data[4:12] in _HEIF:
                reason = "it is HEIC, for which Pillow needs a plugin (pip install pillow-heif)"
        raise ImageError(
            f"{name} cannot be decoded: {reason}. Replace or remove the file."
        ) from error


@functools.cache
def _register_heif() -> None:
    """Lets Pillow read HEIC if its plugin is installed."""
    with contextlib.suppress(ImportError):
        importlib.import_module("pillow_heif").register_heif_opener()


def _to_rgb(image: Image.Image) -> np.ndarray:
    """Converts a Pillow image of any mode to a uint8 array (height, width, 3)."""
    if image.mode == "I" or image.mode.startswith("I;16"):
        # Pillow would clip 16 bits to 8 bits instead of scaling them.
        gray = np.clip(np.asarray(image, np.float64) / 257, 0, 255).round().astype(np.uint8)
        return np.repeat(gray[:, :, None], 3, axis=2)
    if image.has_transparency_data:
        image = image.convert("RGBA")
        image = Image.alpha_composite(Image.new("RGBA", image.size, (WHITE,) * 4), image)
    return np.array(image.convert("RGB"))


def resize(image: np.ndarray, size: int, how: str = "letterbox") -> np.ndarray:
    """Makes an image square by bicubic interpolation.

    Args:
        image: uint8 `(height, width, 3)`.
        size: side of the square in pixels, at least 1.
        how: "letterbox" fits the image into a white square: its longer side becomes `size`, its
            aspect is kept, it is centred. "stretch" makes both sides `size`, whatever the aspect.
            A square image becomes the same either way.

    Returns:
        uint8 `(size, size, 3)`. An image that already has this shape is returned as it is.

    Raises:
        ValueError: `image` is not uint8 RGB, `size` is below 1, or `how` is neither of the two.
    """
    if how not in RESIZES:
        raise ValueError(f"`resize` must be one of {', '.join(RESIZES)}. Received: {how!r}")
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(
            "`image` must be uint8 of shape (height, width, 3); read_image() returns that. "
            f"Received: {image.dtype} of shape {image.shape}"
        )
    if size < 1:
        raise ValueError(f"`size` must be at least 1 pixel. Received: {size}")
    height, width = image.shape[:2]
    if height == width == size:
        return image
    new_height = new_width = size
    if how == "letterbox":
        scale = size / max(height, width)
        new_height, new_width = max(1, round(height * scale)), max(1, round(width * scale))
    resized = Image.fromarray(image).resize((new_width, new_height), Image.Resampling.BICUBIC)
    square = np.full((size, size, 3), WHITE, np.uint8)
    top, left = (size - new_height) // 2, (size - new_width) // 2
    square[top : top + new_height, left : left + new_width] = np.asarray(resized)
    return square


def letterbox(image: np.ndarray, size: int) -> np.ndarray:
    """Fits an image into a white square, as `resize(image, size, "letterbox")` does."""
    return resize(image, size, "letterbox")


def stretch(image: np.ndarray, size: int) -> np.ndarray:
    """Resizes both sides of an image to `size`, as `resize(image, size, "stretch")` does."""
    return resize(image, size, "stretch")


def to_float(images: np.ndarray) -> np.ndarray:
    """uint8 in 0..255 to float32 in [-1, 1], any shape: `x / 127.5 - 1`."""
    floats = np.divide(images, np.float32(127.5), dtype=np.float32)
    floats -= 1
    return floats


def to_uint8(images: np.ndarray) -> np.ndarray:
    """Float in [-1, 1] to uint8 in 0..255, any shape: rounded to nearest, clipped."""
    levels = (np.asarray(images, np.float32) + 1) * np.float32(127.5)
    return np.clip(np.rint(levels), 0, 255).astype(np.uint8)


def image_grid(columns: Sequence[np.ndarray], gap: int = 2) -> np.ndarray:
    """Lays images out as a table; row i shows element i of every column.

    Args:
        columns: one uint8 array `(rows, height, width, 3)` per column, all of the same shape.
        gap: white pixels between the cells.

    Returns:
        uint8 `(rows * (height + gap) - gap, columns * (width + gap) - gap, 3)`.

    Raises:
        ValueError: if there is no column or the shapes differ.
    """
    shapes = [column.shape for column in columns]
    if not shapes or len(set(shapes)) != 1 or len(shapes[0]) != 4:
        raise ValueError(
            "`columns` must be one or more uint8 arrays of one shape (rows, height, width, 3). "
            f"Received shapes: {shapes}"
        )
    rows, height, width, _ = shapes[0]
    grid = np.full(
        (rows * (height + gap) - gap, len(columns) * (width + gap) - gap, 3), WHITE, np.uint8
    )
    for row in range(rows):
        for index, column in enumerate(columns):
            top, left = row * (height + gap), index * (width + gap)
            grid[top : top + height, left : left + width] = column[row]
    return grid


def write_image(path: str | os.PathLike[str], image: np.ndarray) -> None:
    """Writes a uint8 `(height, width, 3)` image; the extension chooses the format."""
    Image.fromarray(image).save(path, quality=95)


def garment_of(product: np.ndarray) -> np.ndarray:
    """Where a product image on white shows its garment.

    Args:
        product: uint8 (size, size, 3).

    Returns:
        bool (size, size).
    """
    red, green, blue = np.moveaxis(product, -1, 0)
    # Several times as fast as a minimum over the last axis.
    return np.minimum(np.minimum(red, green), blue) < GARMENT_BELOW

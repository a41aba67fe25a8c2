"""Images at the boundary of the library: uint8 RGB arrays, and float32 in [-1, 1].

This module only needs NumPy and Pillow, so that worker processes start quickly.
"""

from __future__ import annotations

import functools
import io
import os
import pathlib
from collections.abc import Callable, Sequence
from typing import BinaryIO

import numpy as np
from absl import logging
from PIL import ExifTags, Image, UnidentifiedImageError

from keras_pixdt.choices import GARMENT_BELOW, RESIZES, Size, as_height_width
from keras_pixdt.data import colors, metadata

WHITE = 255
_HEIF = tuple(b"ftyp" + brand for brand in (b"heic", b"heix", b"hevc", b"heim", b"mif1", b"msf1"))

# Tags of TIFF, and values of theirs.
_BITS_PER_SAMPLE, _PHOTOMETRIC, _PLANES = 258, 262, 284
_WHITE_IS_ZERO, _SEPARATE = 0, 2


class ImageError(ValueError):
    """An image that cannot be read or cropped; the message names the file and the reason."""


def read_image(
    source: str | os.PathLike[str] | bytes | BinaryIO, name: str | None = None
) -> np.ndarray:
    """Decodes any image that Pillow reads to sRGB, as a browser shows it.

    The photo is turned as its EXIF orientation says, transparency is composited on white, and all
    modes of Pillow are converted. Of animations and pages, the first image is taken; the file's
    extension does not matter. HEIC is read if `pillow-heif` is installed.

    - **Colours.** Images with an ICC profile, and PNG with gAMA and cHRM chunks, are converted to
      sRGB. For the profiles of cameras, phones, displays and gray images, the search client
      computes the same whole numbers (see `keras_pixdt.data.colors`). Profiles of CMYK and those
      with tables are left to LittleCMS (perceptual, with black point compensation). A profile that
      is damaged, or for images of another kind, is ignored with a warning. Without a profile,
      colours are sRGB, whatever EXIF says, as in browsers. The codes of video (cICP, nclx) are not
      applied.
    - **Depth.** 16 bits are cut to their upper 8, as browsers do. Floats in 0..1 are multiplied by
      255, other floats are levels of 0..255. Other ranges are errors.
    - **EXIF.** Only the orientation in EXIF is used, and only if it is one of the 8 whole numbers;
      metadata that cannot be read are ignored.

    Args:
        source: a path, the bytes of a file, or an open binary file.
        name: what messages call the image; by default the path.

    Returns:
        A uint8 array of shape `(height, width, 3)`.

    Raises:
        FileNotFoundError: if `source` is a path where there is no file.
        ImageError: if it is empty, truncated, not an image, so large that decoding it could
            exhaust the memory, or of levels in no known range.
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
    register_plugins()
    try:
        try:
            return _decode(data, name)
        except Exception as error:
            bare = metadata.without(data)
            if bare == data:
                raise
            pixels = _decode(bare, name)  # else it is not the metadata
            logging.warning("%s: ignored its metadata, which cannot be read: %s", name, error)
            return pixels
    # The decoders raise whatever a broken file leads them to: OSError, SyntaxError, struct.error,
    # EOFError, IndexError, zlib.error, and more with every format.
    except Exception as error:
        reason = " ".join(str(error).split()) or type(error).__name__
        if isinstance(error, UnidentifiedImageError):
            reason = f"its {len(data):,} bytes are not in an image format that Pillow knows"
            if data[4:12] in _HEIF and "HEIF" not in Image.OPEN:
                reason = "it is HEIC, for which Pillow needs a plugin (pip install pillow-heif)"
            if data[:4] in (b"II*\0", b"MM\0*"):
                reason = "it is a TIFF of a kind that Pillow does not read; save it with 8 bits"
        raise ImageError(
            f"{name} cannot be decoded: {reason}. Replace or remove the file."
        ) from error


@functools.cache
def register_plugins() -> None:
    """Teaches Pillow the formats of plugins that are installed: HEIC, by `pillow-heif`."""
    try:
        import pillow_heif
    except ImportError:
        return
    pillow_heif.register_heif_opener()


def _decode(data: bytes, name: str) -> np.ndarray:
    """The pixels of a file, uint8 (height, width, 3)."""
    with Image.open(io.BytesIO(data)) as image:
        limit = Image.MAX_IMAGE_PIXELS
        if limit is not None and image.width * image.height > limit:
            raise ImageError(f"{image.width}x{image.height} is over {limit:,} pixels")
        _refuse_planes(image)
        image.load()
        pixels = _to_rgb(image, name)
        turn = _TURNS.get(_orientation(image))
        return pixels if turn is None else turn(pixels)


def _refuse_planes(image: Image.Image) -> None:
    """Refuses TIFF of which Pillow 12 silently reads only half of the bytes of each plane."""
    tags = getattr(image, "tag_v2", {})
    if tags.get(_PLANES) == _SEPARATE and max(tags.get(_BITS_PER_SAMPLE, (8,))) > 8:
        raise ImageError("its colours are in separate planes of more than 8 bits; save it with 8")


# EXIF orientation -> what undoes it.
_TURNS: dict[int, Callable[[np.ndarray], np.ndarray]] = {
    2: lambda pixels: np.ascontiguousarray(pixels[:, ::-1]),
    3: lambda pixels: np.ascontiguousarray(pixels[::-1, ::-1]),
    4: lambda pixels: np.ascontiguousarray(pixels[::-1]),
    5: lambda pixels: np.ascontiguousarray(pixels.swapaxes(0, 1)),
    6: lambda pixels: np.ascontiguousarray(pixels[::-1].swapaxes(0, 1)),
    7: lambda pixels: np.ascontiguousarray(pixels[::-1, ::-1].swapaxes(0, 1)),
    8: lambda pixels: np.ascontiguousarray(pixels[:, ::-1].swapaxes(0, 1)),
}


def _orientation(image: Image.Image) -> int:
    """The orientation in EXIF; 1, which is upright, if there is none that can be used."""
    # If EXIF has none, Pillow takes it from these, and browsers do not.
    for key in ("xmp", "XML:com.adobe.xmp", "Raw profile type exif"):
        image.info.pop(key, None)
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except Exception:  # broken EXIF data raise as many kinds as broken pixels
        return 1
    return orientation if isinstance(orientation, int) else 1


def _to_rgb(image: Image.Image, name: str) -> np.ndarray:
    """Converts a Pillow image of any mode to sRGB, uint8 (height, width, 3)."""
    profile = image.info.get("icc_profile")
    if profile is None and "icc_profile" in image.info:
        _warn_of_profile(name, colors.ProfileError("it cannot be unpacked"))
    if image.mode in ("CMYK", "LAB"):
        return _by_library(image, profile, name)
    if image.mode in ("I", "F") or image.mode.startswith("I;"):
        pixels = np.repeat(_gray_levels(image, name)[:, :, None], 3, axis=2)
    else:
        # Half-transparent pixels are mixed in the file's colours, because the search client can do
        # that too.
        if image.mode in _PREMULTIPLIED:
            image = image.convert(_PREMULTIPLIED[image.mode])
        if image.has_transparency_data:
            image = image.convert("RGBA")
            image = Image.alpha_composite(Image.new("RGBA", image.size, (WHITE,) * 4), image)
        pixels = np.array(image.convert("RGB"))
    if not profile:
        return colors.png_to_srgb(pixels, image.info) if image.format == "PNG" else pixels
    try:
        return colors.profile_to_srgb(pixels, profile)
    except colors.ProfileError as error:
        _warn_of_profile(name, error)
        return pixels


_PREMULTIPLIED = {"La": "LA", "RGBa": "RGBA"}


def _by_library(image: Image.Image, profile: bytes | None, name: str) -> np.ndarray:
    """Converts a CMYK or Lab image, uint8 (height, width, 3)."""
    if profile:
        try:
            return np.array(colors.library_to_srgb(image, profile))
        except colors.ProfileError as error:
            _warn_of_profile(name, error)
    if image.mode == "LAB":
        return np.array(colors.library_to_srgb(image, None))
    return np.array(image.convert("RGB"))


def _warn_of_profile(name: str, error: colors.ProfileError) -> None:
    logging.warning("%s: ignored its colour profile: %s", name, error)


def _gray_levels(image: Image.Image, name: str) -> np.ndarray:
    """The levels of a gray image of 12, 16 or 32 bits or floats, uint8 (height, width)."""
    values = np.asarray(image)
    low, high = values.min(), values.max()
    if values.dtype.kind == "f":
        if 0 <= low and high <= 1:  # false for NaN
            return np.floor(values * 255 + 0.5).astype(np.uint8)
        # Below 16 it would be black, and more likely the light of a scene, in which 1 is not white.
        if 0 <= low and 16 <= high <= 255:
            return np.floor(values + 0.5).astype(np.uint8)
        rule = "floats must be in 0..1, or levels of 0..255 of which one is at least 16"
    else:
        tags = getattr(image, "tag_v2", {})
        bits = min(16, tags.get(_BITS_PER_SAMPLE, (16,))[0])
        if 0 <= low and high < 1 << bits:
            if 0 < high < 256:
                logging.warning(
                    "%s is black: of %d bits, its highest level is %d", name, bits, high
                )
            if tags.get(_PHOTOMETRIC) == _WHITE_IS_ZERO:
                values = (1 << bits) - 1 - values
            levels = (values >> (bits - 8)).astype(np.uint8)
            if isinstance(of_white := image.info.get("transparency"), int):
                levels[values == of_white] = WHITE
            return levels
        rule = f"whole numbers must be in 0..{(1 << bits) - 1}"
    raise ImageError(f"its levels are from {low} to {high}, and {rule}; save it with 8 bits")


def resize(image: np.ndarray, size: Size, how: str = "letterbox") -> np.ndarray:
    """Brings an image to a size by bicubic interpolation.

    Args:
        image: uint8 `(height, width, 3)`.
        size: side of a square, or (height, width), in pixels.
        how: "letterbox" fits the image into a white picture of this size: it becomes as large as
            fits, its aspect is kept, it is centred. "stretch" makes both sides fit, whatever the
            aspect. An image of the same proportions becomes the same either way.

    Returns:
        uint8 `(height, width, 3)` of `size`. An image that already has this shape is returned as it
        is.

    Raises:
        ValueError: `image` is not uint8 RGB, `size` is no size, or `how` is neither of the two.
    """
    if how not in RESIZES:
        raise ValueError(f"`resize` must be one of {', '.join(RESIZES)}. Received: {how!r}")
    if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3:
        raise ValueError(
            "`image` must be uint8 of shape (height, width, 3); read_image() returns that. "
            f"Received: {image.dtype} of shape {image.shape}"
        )
    full_height, full_width = as_height_width(size)
    height, width = image.shape[:2]
    if (height, width) == (full_height, full_width):
        return image
    new_height, new_width = full_height, full_width
    if how == "letterbox":
        scale = min(full_height / height, full_width / width)
        new_height, new_width = max(1, round(height * scale)), max(1, round(width * scale))
    resized = Image.fromarray(image).resize((new_width, new_height), Image.Resampling.BICUBIC)
    fitted = np.full((full_height, full_width, 3), WHITE, np.uint8)
    top, left = (full_height - new_height) // 2, (full_width - new_width) // 2
    fitted[top : top + new_height, left : left + new_width] = np.asarray(resized)
    return fitted


def resize_mask(image: np.ndarray, size: Size, how: str = "letterbox") -> np.ndarray:
    """Brings a mask to a size, with black bars where there is no product.

    Args:
        image: uint8 `(height, width, 3)`, three equal channels.
        size: see `resize`.
        how: see `resize`.

    Returns:
        uint8 of the size.
    """
    return WHITE - resize(WHITE - image, size, how)[..., 0]


def letterbox(image: np.ndarray, size: Size) -> np.ndarray:
    """Fits an image into a white picture, as `resize(image, size, "letterbox")` does."""
    return resize(image, size, "letterbox")


def stretch(image: np.ndarray, size: Size) -> np.ndarray:
    """Brings both sides of an image to `size`, as `resize(image, size, "stretch")` does."""
    return resize(image, size, "stretch")


def as_square(image: np.ndarray, how: str = "letterbox") -> np.ndarray:
    """Makes an image a square of its longer side; see `resize` for the arguments."""
    return resize(image, max(image.shape[:2]), how)


def to_float(images: np.ndarray) -> np.ndarray:
    """uint8 in 0..255 to float32 in [-1, 1], any shape: `x / 127.5 - 1`."""
    floats = np.divide(images, np.float32(127.5), dtype=np.float32)
    floats -= 1
    return floats


def to_uint8(images: np.ndarray) -> np.ndarray:
    """Float in [-1, 1] to uint8 in 0..255, any shape: rounded to nearest, clipped."""
    levels = np.asarray(np.asarray(images, np.float32) + np.float32(1))  # of one number too
    levels *= np.float32(127.5)
    np.rint(levels, out=levels)
    return np.clip(levels, 0, 255, out=levels).astype(np.uint8)


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
        product: uint8 (height, width, 3).

    Returns:
        bool (height, width).
    """
    red, green, blue = np.moveaxis(product, -1, 0)
    # Several times as fast as a minimum over the last axis.
    return np.minimum(np.minimum(red, green), blue) < GARMENT_BELOW

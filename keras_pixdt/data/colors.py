"""Colours as files store them, converted to sRGB.

A profile of a camera, a phone or a display is a curve for each channel and a matrix. Those are
applied here, in whole numbers, and the search client repeats the steps
(`search/client/colors.js`). No two libraries round alike: browsers and LittleCMS are a level apart
in 1 to 4 of 100 values, and Chromium approximates curves and ignores the profiles of gray images.
LittleCMS converts by all other profiles, which have tables: those of printers and scanners.

This module only needs NumPy and Pillow.
"""

from __future__ import annotations

import functools
import io
import struct
from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from PIL import Image, ImageCms

ONE = 1 << 14  # linear light of 1.0
_BLOCK = 1 << 17  # pixels at a time, which the processor's cache holds
# The inverse of sRGB's primaries as profiles have them, adapted to D50 (IEC 61966-2-1).
_FROM_XYZ = (
    (3.1341121514, -1.6173924597, -0.4906334036),
    (-0.9787872939, 1.9162795855, 0.0334547140),
    (0.0719830425, -0.2289858493, 1.4053851325),
)
_SRGB_WHITE_AND_PRIMARIES = (0.3127, 0.3290, 0.64, 0.33, 0.30, 0.60, 0.15, 0.06)
_D50 = (0.9642, 1.0, 0.8249)
_BRADFORD = np.array(
    [[0.8951, 0.2664, -0.1614], [-0.7502, 1.7135, 0.0367], [0.0389, -0.0685, 1.0296]]
)

Convert = Callable[[np.ndarray], np.ndarray]


class ProfileError(ValueError):
    """A colour profile that cannot be used; the message says why."""


def profile_to_srgb(image: np.ndarray, profile: bytes) -> np.ndarray:
    """Converts an image to sRGB by an ICC profile for RGB or gray images.

    Colours that sRGB does not have are clipped channel by channel. A profile by which no level
    changes by more than 1, as sRGB's own, changes nothing.

    Args:
        image: uint8 `(height, width, 3)`.
        profile: an ICC profile.

    Returns:
        uint8 `(height, width, 3)`.

    Raises:
        ProfileError: the profile is damaged, or for images of another kind.
    """
    convert, only_gray = _conversion(profile)
    if only_gray and (image != image[:, :, :1]).any():
        raise ProfileError("it is for gray images, and this one has colours")
    return image if convert is None else convert(image)


def library_to_srgb(image: Image.Image, profile: bytes | None) -> Image.Image:
    """Converts a CMYK or Lab image to RGB with LittleCMS.

    The intent is perceptual, and the darkest ink becomes black (black point compensation).

    Args:
        image: of mode CMYK, LAB, RGB or L.
        profile: an ICC profile for that mode; None takes Lab as it is defined.

    Returns:
        An image of mode RGB.

    Raises:
        ProfileError: the profile is damaged, or for images of another kind.
    """
    try:
        source = (
            ImageCms.createProfile("LAB")
            if profile is None
            else ImageCms.ImageCmsProfile(io.BytesIO(profile))
        )
        converted = ImageCms.profileToProfile(
            image,
            source,
            ImageCms.createProfile("sRGB"),
            renderingIntent=ImageCms.Intent.PERCEPTUAL,
            outputMode="RGB",
            # Optimized, LittleCMS makes white 254 of Lab.
            flags=ImageCms.Flags.NOOPTIMIZE if image.mode == "LAB" else ImageCms.Flags.NONE,
        )
    # LittleCMS names no reason; TypeError and ValueError come from profiles of another kind.
    except (ImageCms.PyCMSError, OSError, TypeError, ValueError) as error:
        raise ProfileError(str(error) or type(error).__name__) from error
    assert converted is not None
    return converted


def png_to_srgb(image: np.ndarray, info: Mapping[Any, Any]) -> np.ndarray:
    """Converts the image of a PNG file to sRGB by its gAMA and cHRM chunks, as browsers do.

    Args:
        image: uint8 `(height, width, 3)`.
        info: what Pillow says about the file.

    Returns:
        uint8 `(height, width, 3)`.
    """
    gamma, chromaticity = info.get("gamma"), info.get("chromaticity")
    if not gamma or "srgb" in info or (chromaticity is None and abs(gamma - 1 / 2.2) < 0.01):
        return image
    try:
        matrix = _primaries(*(chromaticity or _SRGB_WHITE_AND_PRIMARIES))
        convert = _matrix_conversion([np.linspace(0, 1, 256) ** (1 / gamma)] * 3, matrix)
    except (np.linalg.LinAlgError, ZeroDivisionError, ProfileError):
        return image  # primaries of no colours, which browsers ignore
    return image if convert is None else convert(image)


@functools.lru_cache(maxsize=16)  # the photos of a folder have few profiles
def _conversion(profile: bytes) -> tuple[Convert | None, bool]:
    """How to convert by a profile, None if nothing changes, and whether only gray images."""
    tags = _tags(profile)
    kind, connection = profile[16:20], profile[20:24]
    if kind not in (b"RGB ", b"GRAY"):
        raise ProfileError(
            f"it is for {kind.decode('latin-1').strip()} images, not for RGB or gray"
        )
    if connection == b"XYZ " and not {b"A2B0", b"A2B1", b"D2B0"} & set(tags):
        if kind == b"GRAY":
            return _gray_conversion(_curve(tags, b"kTRC")), True
        curves = [_curve(tags, name) for name in (b"rTRC", b"gTRC", b"bTRC")]
        primaries = [_fixed(tags, name, 8, 3) for name in (b"rXYZ", b"gXYZ", b"bXYZ")]
        return _matrix_conversion(curves, np.stack(primaries, axis=1)), False
    if kind == b"GRAY":
        levels = Image.fromarray(np.arange(256, dtype=np.uint8)[None])
        return _lookup(np.asarray(library_to_srgb(levels, profile))[0, :, 0]), True

    def convert(image: np.ndarray) -> np.ndarray:
        return np.array(library_to_srgb(Image.fromarray(image), profile))

    return _unless_equal(convert), False


def _tags(profile: bytes) -> dict[bytes, bytes]:
    """The parts of a profile."""
    if len(profile) < 132 or profile[36:40] != b"acsp":
        raise ProfileError("it is damaged")
    (count,) = struct.unpack_from(">I", profile, 128)
    if len(profile) < 132 + 12 * count:
        raise ProfileError("it is cut off")
    tags = {}
    for place in range(132, 132 + 12 * count, 12):
        name, start, size = struct.unpack_from(">4sII", profile, place)
        if start + size > len(profile):
            raise ProfileError("it is cut off")
        tags[name] = profile[start : start + size]
    return tags


def _fixed(tags: dict[bytes, bytes], name: bytes, start: int, count: int) -> np.ndarray:
    """Numbers of a tag, which are whole 2^-16ths."""
    content = tags.get(name, b"")
    if len(content) < start + 4 * count:
        raise ProfileError(f"it has no {name.decode()}")
    return np.frombuffer(content, ">i4", count, start) / 65536


def _curve(tags: dict[bytes, bytes], name: bytes) -> np.ndarray:
    """The linear light of each of the 256 levels, 0 to 1."""
    x, content = np.arange(256) / 255, tags.get(name, b"")
    if content[:4] == b"para" and len(content) >= 12:
        return _parametric(x, tags, name, int.from_bytes(content[8:10], "big"))
    count = int.from_bytes(content[8:12], "big")
    if content[:4] != b"curv" or len(content) < 12 + 2 * count:
        raise ProfileError(f"it has no {name.decode()}")
    if count == 0:
        return x
    table = np.frombuffer(content, ">u2", count, 12)
    if count == 1:
        return x ** (table[0] / 256)
    place = np.arange(256) * (count - 1) / 255
    cell = np.minimum(place.astype(int), count - 2)
    low, high = table[cell] / 65535, table[cell + 1] / 65535
    return low + (high - low) * (place - cell)


def _parametric(x: np.ndarray, tags: dict[bytes, bytes], name: bytes, kind: int) -> np.ndarray:
    """`(a x + b)^g + e` from d on, `c x + f` before."""
    counts = (1, 3, 4, 5, 7)
    if kind >= len(counts):
        raise ProfileError(f"its {name.decode()} is of kind {kind}, and 0 to 4 are known")
    g, a, b, c, d, e, f = [*_fixed(tags, name, 12, counts[kind]), *[0.0] * 7][:7]
    if kind == 0:
        a, d = 1.0, -1.0
    elif kind < 3:
        if a == 0:
            raise ProfileError(f"its {name.decode()} divides by 0")
        c, d, e, f = 0.0, -b / a, c, c
    with np.errstate(all="ignore"):
        powers = np.maximum(a * x + b, 0) ** g + e
        return np.where(x >= d, powers, c * x + f)


def _primaries(*xy: float) -> np.ndarray:
    """The matrix to XYZ of a white and three primaries, adapted to D50 (Bradford)."""
    white, *colors = (
        np.array([x / y, 1, (1 - x - y) / y]) for x, y in zip(*[iter(xy)] * 2, strict=True)
    )
    basis = np.stack(colors, axis=1)
    cones = (_BRADFORD @ _D50) / (_BRADFORD @ white)
    adapted = np.linalg.inv(_BRADFORD) @ np.diag(cones) @ _BRADFORD
    return adapted @ basis @ np.diag(np.linalg.inv(basis) @ white)


def _whole(numbers: Any) -> np.ndarray:
    """Rounds to multiples of 1 / ONE."""
    return np.floor(np.nan_to_num(numbers) * ONE + 0.5).astype(np.int32)


@functools.cache
def _levels() -> np.ndarray:
    """The sRGB level of each of the ONE + 1 steps of linear light."""
    linear = np.arange(ONE + 1) / ONE
    curved = np.where(linear <= 0.0031308, 12.92 * linear, 1.055 * linear ** (1 / 2.4) - 0.055)
    return np.floor(255 * curved + 0.5).astype(np.uint8)


def _gray_conversion(curve: np.ndarray) -> Convert | None:
    return _lookup(_levels()[_whole(np.clip(curve, 0, 1))])


def _lookup(levels: np.ndarray) -> Convert | None:
    if np.abs(levels - np.arange(256.0)).max() <= 1:
        return None
    return levels.__getitem__


def _matrix_conversion(curves: list[np.ndarray], primaries: np.ndarray) -> Convert | None:
    """Levels to linear light, to sRGB's primaries, and back to levels."""
    linear = [_whole(np.clip(curve, 0, 1)) for curve in curves]
    # Written out, because what multiplies matrices may round otherwise than the client.
    matrix = np.array([[a * x + b * y + c * z for x, y, z in primaries.T] for a, b, c in _FROM_XYZ])
    if not (np.abs(matrix).sum(axis=1) < 7).all():
        raise ProfileError("its primaries are not those of colours")
    rows, levels = _whole(matrix), _levels()

    def convert(image: np.ndarray) -> np.ndarray:
        pixels = np.ascontiguousarray(image).reshape(-1, 3)
        result = np.empty_like(pixels)
        for start in range(0, len(pixels), _BLOCK):
            block = pixels[start : start + _BLOCK]
            red, green, blue = (curve[block[:, i]] for i, curve in enumerate(linear))
            for i, (a, b, c) in enumerate(rows):
                total = a * red
                total += b * green
                total += c * blue
                total += ONE // 2
                total >>= 14
                np.clip(total, 0, ONE, out=total)
                result[start : start + _BLOCK, i] = levels[total]
        return result.reshape(image.shape)

    return _unless_equal(convert)


def _unless_equal(convert: Convert) -> Convert | None:
    """The conversion, or None if it is within 1 of what is given on a grid of colours."""
    steps = np.arange(0, 256, 15, dtype=np.uint8)
    grid = np.stack(np.meshgrid(steps, steps, steps), axis=-1).reshape(1, -1, 3)
    return None if np.abs(convert(grid).astype(int) - grid).max() <= 1 else convert

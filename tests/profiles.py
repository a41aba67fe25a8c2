"""Small ICC profiles, and photos with metadata that Pillow does not write."""

import io
import struct
import zlib

import numpy as np
from PIL import Image

# Primaries adapted to D50, a row for each of red, green and blue.
DISPLAY_P3 = ((0.51512, 0.2412, -0.00105), (0.29198, 0.69225, 0.04189), (0.1571, 0.06657, 0.78407))
ADOBE_RGB = ((0.60974, 0.31111, 0.01947), (0.20528, 0.62567, 0.06087), (0.14919, 0.06322, 0.74457))
SRGB = ((0.43607, 0.22249, 0.01392), (0.38515, 0.71687, 0.09708), (0.14307, 0.06061, 0.71410))


def _fixed(*numbers):
    return b"".join(struct.pack(">i", round(number * 65536)) for number in numbers)


def gamma(exponent):
    return b"curv\0\0\0\0" + struct.pack(">IH", 1, round(exponent * 256))


def linear():
    return b"curv\0\0\0\0" + bytes(4)


def table(values):
    levels = b"".join(struct.pack(">H", round(65535 * value)) for value in values)
    return b"curv\0\0\0\0" + struct.pack(">I", len(values)) + levels


def parametric(kind, *numbers):
    return b"para\0\0\0\0" + struct.pack(">HH", kind, 0) + _fixed(*numbers)


SRGB_CURVE = parametric(3, 2.4, 1 / 1.055, 0.055 / 1.055, 1 / 12.92, 0.04045)


def profile(tags, space, connection=b"XYZ ", kind=b"mntr"):
    """An ICC profile of version 2.4 with these tags."""
    tags = {
        b"desc": b"desc\0\0\0\0" + struct.pack(">I", 2) + b"a\0" + bytes(79),
        b"cprt": b"text\0\0\0\0CC0\0",
        b"wtpt": b"XYZ \0\0\0\0" + _fixed(0.9642, 1, 0.8249),
        **tags,
    }
    listed, body, start = struct.pack(">I", len(tags)), b"", 132 + 12 * len(tags)
    for name, content in tags.items():
        content += bytes(-len(content) % 4)
        listed += name + struct.pack(">II", start + len(body), len(content))
        body += content
    parts = kind, space, connection, b"acsp"
    head = struct.pack(">I4xI4s4s4s12x4s28x", start + len(body), 0x2400000, *parts)
    return (head + _fixed(0.9642, 1, 0.8249)).ljust(128, b"\0") + listed + body


def rgb(primaries, *curves):
    """Of a camera or a display: one curve, or one for each channel."""
    tags = {}
    for letter, column, curve in zip("rgb", primaries, curves * (3 // len(curves)), strict=True):
        tags[f"{letter}XYZ".encode()] = b"XYZ \0\0\0\0" + _fixed(*column)
        tags[f"{letter}TRC".encode()] = curve
    return profile(tags, b"RGB ")


def gray(curve):
    return profile({b"kTRC": curve}, b"GRAY")


def tables(space, corners):
    """A profile of tables: Lab at each corner of the device's cube, its last channel fastest."""
    channels = {b"RGB ": 3, b"CMYK": 4}[space]
    lut = b"mft1\0\0\0\0" + struct.pack(">BBBx", channels, 3, 2) + _fixed(1, 0, 0, 0, 1, 0, 0, 0, 1)
    ramp = bytes(range(256))
    coded = [(round(light * 2.55), a + 128, b + 128) for light, a, b in corners]
    lut += ramp * channels + bytes(np.uint8(coded)) + ramp * 3
    return profile({b"A2B0": lut}, space, b"Lab ", b"prtr")


def noise(*shape):
    return np.random.default_rng(0).integers(0, 256, shape, np.uint8)


def encoded(image, form="PNG", **options):
    """The bytes of a file with an array or an image."""
    file = io.BytesIO()
    image = image if isinstance(image, Image.Image) else Image.fromarray(image)
    image.save(file, form, **options)
    return file.getvalue()


def chunk(name, content):
    checksum = struct.pack(">I", zlib.crc32(name + content))
    return struct.pack(">I", len(content)) + name + content + checksum


def png_with(png, *chunks):
    """The PNG with chunks (name, content) after its header."""
    return png[:33] + b"".join(chunk(*one) for one in chunks) + png[33:]


def gama(value):
    return b"gAMA", struct.pack(">I", round(100_000 * value))


def chrm(*white_and_primaries):
    return b"cHRM", struct.pack(">8I", *(round(100_000 * value) for value in white_and_primaries))


def png16(channels):
    """A PNG of 16 bits; channels: (height, width, 1 to 4)."""
    height, width, count = channels.shape
    kind = {1: 0, 2: 4, 3: 2, 4: 6}[count]
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in channels)
    return (
        b"\x89PNG\r\n\x1a\n"
        + chunk(b"IHDR", struct.pack(">IIBBBBB", width, height, 16, kind, 0, 0, 0))
        + chunk(b"IDAT", zlib.compress(rows))
        + chunk(b"IEND", b"")
    )


def exif(*entries, order="<"):
    """EXIF data of entries (tag, kind, count, the bytes of the value)."""
    start = 8 + 2 + 12 * len(entries) + 4
    listed, values = struct.pack(order + "H", len(entries)), b""
    for tag, kind, count, value in entries:
        listed += struct.pack(order + "HHI", tag, kind, count)
        if len(value) <= 4:
            listed += value.ljust(4, b"\0")
        else:
            listed += struct.pack(order + "I", start + len(values))
            values += value
    head = {"<": b"II*\0\x08\0\0\0", ">": b"MM\0*\0\0\0\x08"}[order]
    return head + listed + bytes(4) + values


def with_exif(file, data):
    """A JPEG, PNG or WebP file with EXIF data, which need not make sense."""
    if file[:2] == b"\xff\xd8":
        data = b"Exif\0\0" + data
        return file[:2] + b"\xff\xe1" + struct.pack(">H", len(data) + 2) + data + file[2:]
    if file[:4] == b"\x89PNG":
        return png_with(file, (b"eXIf", data))
    padded = data + bytes(len(data) % 2)
    with Image.open(io.BytesIO(file)) as image:
        size = b"".join((side - 1).to_bytes(3, "little") for side in image.size)
    body = b"WEBPVP8X" + struct.pack("<II", 10, 8) + size + file[12:]
    body += b"EXIF" + struct.pack("<I", len(data)) + padded
    return b"RIFF" + struct.pack("<I", len(body)) + body

"""Removes metadata from files of which only the pixels are needed."""

from __future__ import annotations

import re

_PNG = b"\x89PNG\r\n\x1a\n"
_PNG_METADATA = (b"iCCP", b"eXIf", b"iTXt", b"zTXt", b"tEXt")


def without(data: bytes) -> bytes:
    """Removes EXIF, XMP, texts and profiles from PNG, EXIF and XMP from JPEG, EXIF from AVIF.

    Args:
        data: the bytes of a file.

    Returns:
        The bytes of the same image; `data` itself if there is nothing to leave out.
    """
    if data.startswith(_PNG):
        return _png(data)
    if data.startswith(b"\xff\xd8"):
        return _jpeg(data)
    if data[4:8] == b"ftyp":
        # The kind of an item; readers pass over kinds that they do not know.
        return re.sub(rb"(infe.{8}(?:..)?)Exif", rb"\1none", data, flags=re.DOTALL)
    return data


def _png(data: bytes) -> bytes:
    kept, place = [_PNG], len(_PNG)
    while place + 8 <= len(data):
        stop = place + 12 + int.from_bytes(data[place : place + 4], "big")
        if data[place + 4 : place + 8] not in _PNG_METADATA:
            kept.append(data[place:stop])
        place = stop
    return b"".join(kept)


def _jpeg(data: bytes) -> bytes:
    kept, place = [data[:2]], 2
    # Segments up to the pixels: a marker, and the length of what follows it.
    while data[place : place + 1] == b"\xff" and data[place + 1 : place + 2] not in (b"\xda", b""):
        stop = place + 2 + int.from_bytes(data[place + 2 : place + 4], "big")
        if data[place + 1] not in (0xE1, 0xED):  # EXIF and XMP; Photoshop's
            kept.append(data[place:stop])
        place = stop
    return b"".join([*kept, data[place:]])

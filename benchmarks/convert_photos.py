"""What `pixdt convert` does with a folder of mixed photos, and photos per second.

    python benchmarks/convert_photos.py --output runs/benchmarks/convert_photos.json
    python benchmarks/convert_photos.py --model runs/lookbook/export/converter_dynamic.tflite

Draws persons and writes them as people have photos: in many formats, with colour profiles, turned,
deep, transparent, hidden, cut off, empty; ten files of each kind. The table says for each kind how
many product images were written, how many files failed with a reason, how many were left out, and
how far the photos are from the drawn ones as they are read, in levels (mean absolute difference;
formats that lose pixels have a few). The seconds are those of reading, drawing and writing, without
the start of Python.
"""

from __future__ import annotations

import io
import os
import pathlib
import struct
import tempfile
import time
from collections.abc import Callable
from typing import Any

import numpy as np
from PIL import Image, ImageCms

import _common
from keras_pixdt import convert, data
from keras_pixdt.choices import SHIPPED
from keras_pixdt.commands import shared
from keras_pixdt.drawn import rendered

OF_EACH_KIND = 10
SIDE = 512
_ORIENTATION, _X_RESOLUTION = 0x112, 0x11A
# What a camera does that writes this orientation.
_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_90,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_270,
}
_DISPLAY_P3 = {
    b"rXYZ": (0.51512, 0.2412, -0.00105),
    b"gXYZ": (0.29198, 0.69225, 0.04189),
    b"bXYZ": (0.1571, 0.06657, 0.78407),
}

Write = Callable[[Image.Image, pathlib.Path], None]


def _saved(**options: Any) -> Write:
    return lambda image, path: image.save(path, **options)


def _as_mode(mode: str, **options: Any) -> Write:
    return lambda image, path: image.convert(mode).save(path, **options)


def _display_p3() -> bytes:
    """Pillow's profile of sRGB with other primaries, which is Display P3."""
    profile = bytearray(ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes())
    for row in range(int.from_bytes(profile[128:132], "big")):
        name, start, _ = struct.unpack_from(">4sII", profile, 132 + 12 * row)
        if name in _DISPLAY_P3:
            fixed = (round(value * 65536) for value in _DISPLAY_P3[name])
            struct.pack_into(">3i", profile, start + 8, *fixed)
    return bytes(profile)


def _in_p3(image: Image.Image, path: pathlib.Path) -> None:
    profile = _display_p3()
    wide = ImageCms.profileToProfile(
        image, ImageCms.createProfile("sRGB"), ImageCms.ImageCmsProfile(io.BytesIO(profile))
    )
    assert wide is not None
    wide.save(path, icc_profile=profile, quality=95)


def _turned(image: Image.Image, path: pathlib.Path) -> None:
    orientation = 2 + int(path.stem) % len(_TURNS)
    exif = Image.Exif()
    exif[_ORIENTATION] = orientation
    image.transpose(_TURNS[orientation]).save(path, exif=exif, quality=95)


def _odd_exif(image: Image.Image, path: pathlib.Path) -> None:
    entries = struct.pack("<H", 2) + struct.pack("<HHIHH", _ORIENTATION, 3, 1, 6, 0)
    entries += struct.pack("<HHII", _X_RESOLUTION, 10, 1, 38) + bytes(4) + struct.pack("<ii", -1, 0)
    exif = b"Exif\0\0II*\0\x08\0\0\0" + entries
    image.transpose(_TURNS[6]).save(path, exif=exif, quality=95)


def _sixteen_bits(image: Image.Image, path: pathlib.Path) -> None:
    Image.fromarray(np.asarray(image.convert("L")).astype(np.uint16) * 257).save(path)


def _floats(image: Image.Image, path: pathlib.Path) -> None:
    Image.fromarray(np.asarray(image.convert("L")).astype(np.float32) / 255).save(path)


def _transparent(image: Image.Image, path: pathlib.Path) -> None:
    shown = Image.new("L", image.size, 255)
    shown.paste(0, (0, 0, SIDE, SIDE // 8))
    image.putalpha(shown)
    image.save(path)


def _half(image: Image.Image, path: pathlib.Path) -> None:
    image.save(path)
    os.truncate(path, path.stat().st_size // 2)


def _linked(image: Image.Image, path: pathlib.Path) -> None:
    elsewhere = path.parents[1] / ".elsewhere"
    elsewhere.mkdir(exist_ok=True)
    image.save(elsewhere / path.name)
    path.symlink_to(elsewhere / path.name)


def _broken_link(image: Image.Image, path: pathlib.Path) -> None:
    path.symlink_to(path.with_name("nowhere.jpg"))


# Kind -> the folder and the ending of its files, and what writes one.
KINDS: dict[str, tuple[str, str, Write]] = {
    "JPEG": ("jpeg", ".jpg", _saved(quality=95)),
    "JPEG, .JPG": ("upper", ".JPG", _saved(format="JPEG", quality=95)),
    "JPEG, .jfif": ("jfif", ".jfif", _saved(format="JPEG", quality=95)),
    "JPEG, CMYK": ("cmyk", ".jpg", _as_mode("CMYK", quality=95)),
    "JPEG, Display P3": ("p3", ".jpg", _in_p3),
    "JPEG, turned by EXIF": ("turned", ".jpg", _turned),
    "JPEG, odd EXIF": ("exif", ".jpg", _odd_exif),
    "JPEG, a link": ("linked", ".jpg", _linked),
    "PNG": ("png", ".png", _saved()),
    "PNG, Display P3": ("p3png", ".png", _in_p3),
    "PNG, palette": ("palette", ".png", lambda i, p: i.quantize(256).save(p)),
    "PNG, transparent": ("alpha", ".png", _transparent),
    "PNG, gray of 16 bits": ("deep", ".png", _sixteen_bits),
    "TIFF": ("tiff", ".tif", _saved()),
    "TIFF, floats": ("float", ".tiff", _floats),
    "WebP": ("webp", ".webp", _saved(quality=95)),
    "AVIF": ("avif", ".avif", _saved(quality=95)),
    "HEIC": ("heic", ".HEIC", _saved(format="HEIF", quality=95)),
    "JPEG 2000": ("jp2", ".jp2", _saved()),
    "BMP": ("bmp", ".bmp", _saved()),
    "GIF": ("gif", ".gif", _saved()),
    "cut off": ("half", ".jpg", _half),
    "empty": ("empty", ".jpg", lambda i, p: p.write_bytes(b"")),
    "text that is named .jpg": ("text", ".jpg", lambda i, p: p.write_text("<html>")),
    "a link to nothing": ("broken", ".jpg", _broken_link),
    "hidden by its name": ("hidden/.a", ".jpg", _saved()),
    "thumbnails": (".thumbnails", ".jpg", _saved()),
    "@eaDir": ("@eaDir", ".jpg", _saved()),
    "__MACOSX": ("__MACOSX", ".jpg", _saved()),
    "other files": ("notes", ".txt", lambda i, p: p.write_text("a note")),
}
_GRAY = ("PNG, gray of 16 bits", "TIFF, floats")


def write_photos(folder: pathlib.Path) -> dict[str, dict[pathlib.Path, np.ndarray]]:
    """Writes the photos; returns kind -> file -> the drawn photo, as it should be read."""
    persons = []
    for row in range(OF_EACH_KIND):
        product = rendered.sample_product(row, seed=3)
        persons.append(Image.fromarray(rendered.draw_person(product, 0, SIDE)))
    written: dict[str, dict[pathlib.Path, np.ndarray]] = {}
    for kind, (place, ending, write) in KINDS.items():
        subfolder, _, prefix = place.partition("/")
        (folder / subfolder).mkdir(exist_ok=True)
        written[kind] = {}
        for row, person in enumerate(persons):
            path = folder / subfolder / f"{prefix}{row}{ending}"
            write(person.copy(), path)
            right = np.array(person.convert("L").convert("RGB") if kind in _GRAY else person)
            if kind == "PNG, transparent":
                right[: SIDE // 8] = 255
            written[kind][path] = right
    return written


def main() -> None:
    parser = _common.parser(__doc__)
    parser.add_argument("--model", default=SHIPPED, help="a .tflite file (default: %(default)s)")
    arguments = parser.parse_args()
    import export

    data.images.register_plugins()  # Pillow writes HEIC by the same plugin
    model = export.load_tflite(shared.tflite_of(shared.find(arguments.model)), num_threads=2)
    with tempfile.TemporaryDirectory() as temporary:
        folder = pathlib.Path(temporary, "photos")
        folder.mkdir()
        photos = write_photos(folder)
        start = time.perf_counter()
        done = convert.convert_photos(
            model, [folder], pathlib.Path(temporary, "drawn"), model.image_size
        )
        seconds = time.perf_counter() - start
        results: dict[str, Any] = {}
        print(f"{'kind':<26}{'files':>6}{'written':>9}{'failed':>8}{'left out':>10}{'levels':>8}")
        for kind, files in photos.items():
            written = [path for path in files if path in done.written]
            failed = [path for path in files if path in done.failed]
            levels = [
                float(np.abs(data.read_image(path).astype(int) - files[path]).mean())
                for path in written
            ]
            results[kind] = {
                "files": len(files),
                "written": len(written),
                "failed": len(failed),
                "left_out": len(files) - len(written) - len(failed),
                "levels": max(levels) if levels else None,
            }
            row = results[kind]
            print(
                f"{kind:<26}{row['files']:>6}{row['written']:>9}{row['failed']:>8}"
                f"{row['left_out']:>10}" + (f"{row['levels']:>8.2f}" if levels else "")
            )
        print(*(f"left out of the folder: {each}" for each in done.skipped.values()), sep="\n")
        print(f"{len(done.written)} product images in {seconds:.1f} s: "
              f"{len(done.written) / seconds:.0f} photos/s of {SIDE} px")  # fmt: skip
        results = {"kinds": results, "seconds": seconds}
    _common.write_json(arguments, results, ("numpy", "pillow", "ai-edge-litert"))


if __name__ == "__main__":
    main()

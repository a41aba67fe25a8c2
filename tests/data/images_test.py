import contextlib
import struct

import numpy as np
import pytest
from absl import logging
from PIL import Image, ImageCms

from keras_pixdt.choices import RESIZES
from keras_pixdt.data import images
from tests import profiles
from tests.profiles import encoded, exif, gama, png16, png_with, with_exif


def test_read_image_returns_the_pixels_of_a_file_bytes_or_stream(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    path = tmp_path / "a.jpg"  # A PNG under another extension.
    path.write_bytes(encoded(Image.fromarray(pixels)))
    for source in (path, str(path), path.read_bytes(), path.open("rb")):
        np.testing.assert_array_equal(images.read_image(source), pixels)


@pytest.mark.parametrize(
    ("mode", "color", "expected"),
    [
        ("L", 100, (100, 100, 100)),
        ("LA", (100, 0), (255, 255, 255)),
        ("RGBA", (0, 100, 200, 255), (0, 100, 200)),
        ("RGBA", (0, 0, 0, 51), (204, 204, 204)),
        ("I;16", 25700, (100, 100, 100)),
        ("1", 1, (255, 255, 255)),
    ],
)
def test_read_image_converts_modes(mode, color, expected):
    image = images.read_image(encoded(Image.new(mode, (3, 2), color)))
    assert image.dtype == np.uint8 and image.shape == (2, 3, 3)
    assert (image == expected).all()


def test_read_image_converts_palette_with_transparency():
    image = Image.new("P", (4, 4), 1)
    image.putpalette([255, 0, 0, 0, 0, 255])
    assert (images.read_image(encoded(image)) == (0, 0, 255)).all()
    assert (images.read_image(encoded(image, transparency=1)) == 255).all()


def test_read_image_converts_cmyk():
    image = images.read_image(encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG"))
    red, green, blue = image.reshape(-1, 3).mean(0)
    assert red > 200 and green < 60 and blue < 60


def test_read_image_applies_exif_rotation():
    image = Image.fromarray(np.repeat(np.uint8([[[255] * 3], [[0] * 3]]), 4, axis=1))
    exif = Image.Exif()
    exif[0x0112] = 6  # Turn by 90 degrees clockwise: the top becomes the right.
    turned = images.read_image(encoded(image, exif=exif))
    assert turned.shape == (4, 2, 3)
    assert (turned[:, 1] == 255).all() and (turned[:, 0] == 0).all()


def test_read_image_takes_the_first_frame():
    frames = [Image.new("RGB", (4, 4), color) for color in ("red", "blue")]
    data = encoded(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert (images.read_image(data) == (255, 0, 0)).all()


def test_read_image_names_what_it_cannot_read(tmp_path):
    whole = encoded(
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    )
    for data, reason in ((b"", "empty"), (whole[:500], "cannot be"), (b"text" * 9, "format")):
        path = tmp_path / "bad.png"
        path.write_bytes(data)
        with pytest.raises(images.ImageError, match=rf"bad\.png.*{reason}"):
            images.read_image(path)
    with pytest.raises(FileNotFoundError, match="missing.png"):
        images.read_image(tmp_path / "missing.png")


def test_reasons_are_one_line(monkeypatch):
    def fail(*_):
        raise ValueError("Unexpected end of file\n(position 379)\n")

    monkeypatch.setattr(images, "_decode", fail)
    with pytest.raises(images.ImageError) as error:
        images.read_image(b"bytes", "a.heic")
    assert "decoded: Unexpected end of file (position 379). Replace" in str(error.value)


def test_read_image_refuses_a_decompression_bomb(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    for side in (11, 20):
        with (
            pytest.raises(images.ImageError, match=rf"bomb\.png.*{side}|bomb\.png.*pixels"),
            pytest.warns(Image.DecompressionBombWarning)
            if side == 11
            else contextlib.nullcontext(),
        ):
            images.read_image(encoded(Image.new("RGB", (side, side))), "bomb.png")


# Colours

P3 = profiles.rgb(profiles.DISPLAY_P3, profiles.SRGB_CURVE)


@pytest.fixture
def warnings(monkeypatch):
    """What is logged as a warning."""
    logged = []
    monkeypatch.setattr(logging, "warning", lambda text, *given: logged.append(text % given))
    return logged


@pytest.mark.parametrize(
    ("form", "options"),
    [
        ("PNG", {}),
        ("JPEG", {"quality": 100, "subsampling": 0}),
        ("WEBP", {"lossless": True}),
        ("TIFF", {}),
        ("AVIF", {"quality": 100, "subsampling": "4:4:4"}),
    ],
)
def test_profiles_are_converted_to_srgb_in_every_format(form, options, warnings):
    # By the formulas of both, Display P3's (76, 148, 71) is sRGB's (40.7, 150.1, 59.5).
    image = np.full((16, 16, 3), (76, 148, 71), np.uint8)
    read = images.read_image(encoded(image, form, icc_profile=P3, **options))
    assert np.abs(read - np.int32([41, 150, 60])).max() <= 2 and not warnings


def test_alpha_is_kept_by_a_profile():
    image = np.uint8([[[76, 148, 71, 255], [76, 148, 71, 0], [255, 255, 255, 128]]])
    read = images.read_image(encoded(image, icc_profile=P3))
    np.testing.assert_allclose(read, [[[41, 150, 60], [255] * 3, [255] * 3]], atol=1)


def test_gray_and_palette_images_have_profiles_too(warnings):
    gray = np.uint8([[0, 64, 255]])
    read = images.read_image(encoded(gray, icc_profile=profiles.gray(profiles.linear())))
    assert read[0].tolist() == [[0] * 3, [137] * 3, [255] * 3]  # see colors_test.py
    linear = profiles.rgb(profiles.DISPLAY_P3, profiles.linear())
    assert images.read_image(encoded(gray, icc_profile=linear))[0].tolist() == read[0].tolist()
    palette = Image.new("P", (2, 2), 1)
    palette.putpalette([255, 0, 0, 76, 148, 71])
    read = images.read_image(encoded(palette, icc_profile=P3))
    assert np.abs(read - np.int32([41, 150, 60])).max() <= 1 and not warnings


# Paper white, and each ink alone or with others darker; a and b follow the inks.
INKS = [
    (100 - 22 * (c + m + y) - 30 * k, 20 * (m - c), 20 * (y - c))
    for c in (0, 1) for m in (0, 1) for y in (0, 1) for k in (0, 1)
]  # fmt: skip


def test_cmyk_is_converted_by_its_profile(warnings):
    profile = profiles.tables(b"CMYK", INKS)
    for ink, lab in (((0, 0, 0, 0), (100, 0, 0)), ((0, 0, 0, 255), (70, 0, 0))):
        read = images.read_image(
            encoded(Image.new("CMYK", (8, 8), ink), "TIFF", icc_profile=profile)
        )
        # L* 70 has 0.4074 of the light: level 171.
        assert np.abs(read.astype(int) - {100: 255, 70: 171}[lab[0]]).max() <= 1
    assert not warnings
    naive = images.read_image(encoded(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "TIFF"))
    assert (naive == (255, 0, 0)).all()


def test_lab_is_converted():
    lab = ImageCms.profileToProfile(
        Image.fromarray(np.uint8([[[255] * 3, [119] * 3, [200, 100, 50]]])),
        ImageCms.createProfile("sRGB"), ImageCms.createProfile("LAB"), outputMode="LAB",
    )  # fmt: skip
    read = images.read_image(encoded(lab, "TIFF")).astype(int)
    assert np.abs(read[0, :2] - [[255] * 3, [119] * 3]).max() <= 1
    assert np.abs(read[0, 2] - [200, 100, 50]).max() <= 4  # a and b are whole numbers


@pytest.mark.parametrize(
    ("mode", "profile"),
    [
        ("RGB", b"no profile"),
        ("RGB", P3[:200]),
        ("RGB", profiles.tables(b"CMYK", INKS)),
        ("RGB", profiles.gray(profiles.linear())),
        ("CMYK", P3),
        ("CMYK", b"no profile"),
    ],
)
def test_a_profile_that_does_not_fit_costs_a_warning_only(mode, profile, warnings):
    image = Image.new(mode, (8, 8), {"RGB": (10, 20, 30), "CMYK": (0, 255, 255, 0)}[mode])
    read = images.read_image(encoded(image, "TIFF", icc_profile=profile), "photo.tif")
    assert (read == {"RGB": (10, 20, 30), "CMYK": (255, 0, 0)}[mode]).all()
    assert [text[:38] for text in warnings] == ["photo.tif: ignored its colour profile:"]


@pytest.mark.parametrize("content", [b"garbage", "large"])
def test_a_profile_that_cannot_be_unpacked_costs_a_warning_only(content, warnings):
    image = np.full((4, 4, 3), (10, 20, 30), np.uint8)
    if content == "large":  # more than Pillow unpacks
        content = profiles.zlib.compress(P3 + bytes(2 << 20))
    read = images.read_image(png_with(encoded(image), (b"iCCP", b"a\0\0" + content)), "a.png")
    np.testing.assert_array_equal(read, image)
    assert len(warnings) == 1 and "a.png: ignored its" in warnings[0]


def test_gama_and_chrm_of_png_are_applied_as_browsers_do():
    image = np.uint8([[[40, 150, 60], [255, 0, 0]]])
    srgb, p3 = ((0.3127, 0.3290, *xy) for xy in (SRGB_XY, P3_XY))

    def read(*chunks):
        return images.read_image(png_with(encoded(image), *chunks))[0].tolist()

    same = image[0].tolist()
    # These are Chromium's values.
    assert read(gama(1)) == [[110, 202, 133], [255, 0, 0]]
    assert read(gama(0.45455), profiles.chrm(*p3)) == [[0, 154, 39], [255, 0, 0]]
    assert read(gama(0.45455), profiles.chrm(*srgb)) == [[35, 151, 57], [255, 0, 0]]
    assert read(gama(0.45455)) == read(profiles.chrm(*p3)) == read(gama(0)) == same
    assert read((b"sRGB", b"\0"), gama(1)) == read(gama(1), profiles.chrm(*[0] * 8)) == same


SRGB_XY, P3_XY = (0.64, 0.33, 0.3, 0.6, 0.15, 0.06), (0.68, 0.32, 0.265, 0.69, 0.15, 0.06)


# EXIF


SHORT, LONG, SIGNED = 3, 4, 9
ODD = 0x11A, 10, 1, struct.pack("<ii", -1, 0)  # a rational -1/0, where only unsigned ones are


def orientation(value, kind=SHORT, count=1):
    return exif((0x112, kind, count, value))


@pytest.mark.parametrize(
    ("data", "turned"),
    [
        (exif((0x112, SHORT, 1, b"\6\0"), ODD), True),
        (
            exif((0x112, SHORT, 1, b"\6\0"), (0x11A, 5, 1, bytes(8)), (0x10F, 7, 3, b"\xff" * 3)),
            True,
        ),
        (exif((0x112, SHORT, 1, b"\0\6"), order=">"), True),
        (orientation(b"\6\0\0\0", LONG), True),
        (orientation(b"\6\0\1\0", SHORT, 2), True),
        (orientation(b"\6\0\0\0", SIGNED), True),
        (orientation(struct.pack("<i", -6), SIGNED), False),
        (orientation(b"\0\0"), False),
        (orientation(b"\x09\0"), False),
        (orientation(b"6\0", 2, 2), False),
        (orientation(b"\6", 1), False),
        (orientation(b"\6", 7), False),
        (orientation(struct.pack("<f", 6), 11), False),
        (orientation(struct.pack("<II", 6, 1), 5), False),
        (orientation(struct.pack("<II", 6, 0), 5), False),
        (orientation(b"\6\0", SHORT, 0), False),
        (orientation(b"\6\0")[:15], False),
        (b"\xff" * 40, False),
        (b"", False),
    ],
)
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP"])
@pytest.mark.filterwarnings("ignore:.*(EXIF|Metadata|tag)")
def test_odd_exif_refuses_no_photo(form, data, turned):
    options = {"lossless": True} if form == "WEBP" else {}
    read = images.read_image(
        with_exif(encoded(np.zeros((3, 5, 3), np.uint8), form, **options), data)
    )
    assert read.shape == ((5, 3, 3) if turned else (3, 5, 3))


@pytest.mark.parametrize("value", range(1, 9))
@pytest.mark.parametrize("form", ["JPEG", "PNG", "WEBP", "TIFF", "AVIF"])
def test_every_orientation_is_undone_in_every_format(form, value):
    # 64 px in the top left corner are white: where EXIF says the corner of the photo is.
    image = np.zeros((64, 128, 3), np.uint8)
    image[:32, :32] = 255
    image[:32, 32:64] = 128
    data = Image.Exif()
    data[0x112] = value
    upright = {
        1: image, 2: image[:, ::-1], 3: image[::-1, ::-1], 4: image[::-1],
        5: image.swapaxes(0, 1), 6: np.rot90(image, -1), 7: np.rot90(image[::-1], 1),
        8: np.rot90(image, 1),
    }[value]  # fmt: skip
    read = images.read_image(encoded(image, form, exif=data))
    assert read.shape == upright.shape and np.abs(read.astype(int) - upright).mean() < 3


def test_xmp_turns_no_photo():
    xmp = b'<x:xmpmeta xmlns:x="adobe:ns:meta/"><a tiff:Orientation="6"/></x:xmpmeta>'
    for form in ("JPEG", "WEBP"):
        assert (
            images.read_image(encoded(np.zeros((3, 5, 3), np.uint8), form, xmp=xmp)).shape[0] == 3
        )


def test_avif_with_odd_exif_is_turned_once(warnings):
    data = Image.Exif()
    data[0x112], data[0x11A] = 6, 72.0
    file = encoded(np.zeros((30, 50, 3), np.uint8), "AVIF", exif=data)
    for order in "<>":
        good = struct.pack(order + "HHI", 0x11A, 5, 1)
        file = file.replace(good, struct.pack(order + "HHI", 0x11A, 10, 1))
        file = file.replace(struct.pack(order + "II", 72, 1), struct.pack(order + "ii", -1, 0))
    assert images.read_image(file).shape == (50, 30, 3)
    assert ["ignored its metadata" in text for text in warnings] == [True]


def test_heic_is_read_and_turned_once():
    pytest.importorskip("pillow_heif", reason="HEIC: pip install pillow-heif")
    images.register_plugins()
    image = np.full((64, 128, 3), (76, 148, 71), np.uint8)
    data = Image.Exif()
    data[0x112] = 6
    read = images.read_image(
        encoded(image, "HEIF", quality=100, exif=data.tobytes(), icc_profile=P3)
    )
    assert read.shape == (128, 64, 3)
    assert np.abs(read - np.int32([41, 150, 60])).max() <= 4


# Depth


def tiff(values, bits, photometric=1, planes=1, kind=1):
    """A TIFF of one strip, little endian."""
    height, width = values.shape[:2]
    if bits == 12:
        text = "".join(f"{value:012b}" for value in values.ravel())
        content = int(text, 2).to_bytes(len(text) // 8, "big")
    else:
        content = values.tobytes()
    tags = [
        (256, 4, width), (257, 4, height), (258, 3, bits), (259, 3, 1), (262, 3, photometric),
        (273, 4, 8), (277, 3, 1), (278, 4, height), (279, 4, len(content)), (284, 3, planes),
        (339, 3, kind),
    ]  # fmt: skip
    content += bytes(len(content) % 2)
    listed = b"".join(struct.pack("<HHII", tag, of, 1, value) for tag, of, value in tags)
    head = b"II*\0" + struct.pack("<I", 8 + len(content)) + content
    return head + struct.pack("<H", len(tags)) + listed + bytes(4)


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_16_bits_are_cut_to_their_upper_8(channels):
    values = np.full((1, 4, channels), 65535)
    values[0, :, : min(3, channels - 1) or 1] = np.array([0, 255, 256, 40000])[:, None]
    if channels == 3:
        values[0, :, 2] = [0, 255, 256, 40000]
    read = images.read_image(png16(values))
    assert read[0].tolist() == [[level] * 3 for level in (0, 0, 1, 156)]


def test_gray_of_16_bits_may_be_transparent():
    png = png16(np.array([[[30000], [500]]]))
    read = images.read_image(png_with(png, (b"tRNS", struct.pack(">H", 500))))
    assert read[0].tolist() == [[117] * 3, [255] * 3]


@pytest.mark.parametrize(
    ("file", "expected"),
    [
        (tiff(np.uint16([[0, 256, 65535]]), 16), [0, 1, 255]),
        (tiff(np.uint16([[0, 256, 65535]]), 16, photometric=0), [255, 254, 0]),
        (tiff(np.int32([[0, 4095, 2048, 1000]]), 12), [0, 255, 128, 62]),
        (tiff(np.int32([[0, 30000, 65535]]), 32, kind=2), [0, 117, 255]),
        (tiff(np.float32([[0, 0.5, 1]]), 32, kind=3), [0, 128, 255]),
        (tiff(np.float32([[0, 100, 254.6]]), 32, kind=3), [0, 100, 255]),
        (b"P5\n2 1\n1023\n" + np.array([512, 1023], ">u2").tobytes(), [128, 255]),
        (b"Pf\n2 1\n-1.0\n" + np.array([0.5, 1], "<f4").tobytes(), [128, 255]),
    ],
)
def test_high_depths_have_their_levels(file, expected, warnings):
    read = images.read_image(file)
    assert read[0].tolist() == [[level] * 3 for level in expected] and not warnings


@pytest.mark.parametrize(
    ("values", "message"),
    [
        (np.int32([[-1, 5]]), r"from -1 to 5, and whole numbers must be in 0..65535"),
        (np.int32([[0, 70000]]), r"from 0 to 70000, and whole numbers must be"),
        (np.float32([[0, np.nan]]), r"from nan to nan, and floats must be in 0..1"),
        (np.float32([[0, np.inf]]), "from 0.0 to inf"),
        (np.float32([[-0.5, 1]]), "from -0.5 to 1.0"),
        (np.float32([[0, 3]]), "from 0.0 to 3.0, .* one is at least 16; save it with 8 bits"),
        (np.float32([[0, 300]]), "from 0.0 to 300.0"),
    ],
)
def test_levels_of_no_known_range_are_named(values, message):
    kind = 3 if values.dtype.kind == "f" else 2
    with pytest.raises(images.ImageError, match=rf"a\.tif cannot be decoded: .*{message}"):
        images.read_image(tiff(values, 32, kind=kind), "a.tif")


def test_an_image_that_comes_out_black_is_named(warnings):
    assert images.read_image(tiff(np.uint16([[0, 200]]), 16), "a.tif").max() == 0
    assert warnings == ["a.tif is black: of 16 bits, its highest level is 200"]
    assert images.read_image(tiff(np.uint16([[0, 0]]), 16)).max() == 0 and len(warnings) == 1


def test_tiff_that_pillow_does_not_read_is_named():
    for file in (tiff(np.float64([[0.5]]), 64, kind=3), tiff(np.uint16([[5]]), 16, planes=2)):
        with pytest.raises(images.ImageError, match=r"a\.tif cannot.*save it with 8"):
            images.read_image(file, "a.tif")


@pytest.mark.parametrize("mode", ["La", "RGBa"])
def test_premultiplied_modes_are_composited(mode):
    # A level of 100, half there: 127 / 255 of white shine through.
    image = Image.new(mode, (2, 2), (50,) * (len(mode) - 1) + (128,))
    assert np.abs(images._to_rgb(image, "a").astype(int) - 177).max() <= 1


@pytest.mark.parametrize("form", ["TIFF", "MPO", "PNG", "WEBP", "AVIF"])
def test_the_first_of_several_pictures_counts(form):
    first, second = (Image.new("RGB", (16, 16), color) for color in ("red", "blue"))
    for options in ({}, {"default_image": True}) if form == "PNG" else ({},):
        file = encoded(first, form, save_all=True, append_images=[second, second], **options)
        assert np.abs(images.read_image(file) - np.int32([255, 0, 0])).max() <= 3


# Sizes


def test_letterbox_centres_on_white():
    image = np.zeros((20, 10, 3), np.uint8)
    square = images.letterbox(image, 8)
    assert square.shape == (8, 8, 3)
    assert (square[:, 2:6] == 0).all()
    assert (square[:, :2] == 255).all() and (square[:, 6:] == 255).all()


def test_letterbox_keeps_an_image_of_the_right_size_and_a_thin_one():
    image = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    assert images.letterbox(image, 8) is image
    assert (images.letterbox(np.zeros((1, 500, 3), np.uint8), 8) == 0).all(axis=(1, 2)).sum() == 1


@pytest.mark.parametrize("shape", [(8, 8), (8, 8, 4)])
@pytest.mark.parametrize("how", RESIZES)
def test_resize_refuses_what_is_not_rgb(shape, how):
    with pytest.raises(ValueError, match=r"uint8 of shape \(height, width, 3\)"):
        images.resize(np.zeros(shape, np.uint8), 8, how)


def test_stretch_keeps_no_aspect_and_adds_no_white():
    # Two columns stay. Four rows become two: Keys' kernel, with a = -1/2, is 0.8671875, 0.8671875,
    # 0.2265625 and -0.0703125 at 1/4, 1/4, 3/4 and 5/4 of two rows, in all 1.890625. Of 0, 0, 200
    # and 200 the first new row is 200 * 0.15625 / 1.890625 = 16.5, and the second 183.5.
    image = np.zeros((4, 2, 3), np.uint8)
    image[2:] = 200
    np.testing.assert_array_equal(images.stretch(image, 2)[:, :, 0], [[17, 17], [183, 183]])
    np.testing.assert_array_equal(images.resize(image, 2, "stretch"), images.stretch(image, 2))
    assert (images.letterbox(image, 2)[:, 1] == 255).all()  # which the other way has
    np.testing.assert_array_equal(images.resize(image, 2), images.letterbox(image, 2))


@pytest.mark.parametrize("size", [3, 8, 20])
def test_both_ways_are_the_same_for_a_square(size):
    image = np.random.default_rng(0).integers(0, 256, (8, 8, 3), np.uint8)
    np.testing.assert_array_equal(images.stretch(image, size), images.letterbox(image, size))
    assert images.stretch(image, 8) is image


def test_resize_names_the_two_ways():
    with pytest.raises(ValueError, match="one of letterbox, stretch. Received: 'crop'"):
        images.resize(np.zeros((4, 2, 3), np.uint8), 2, "crop")


def test_letterbox_fits_into_a_rectangle():
    image = np.zeros((20, 10, 3), np.uint8)
    # by hand: 0.4 times as large, 8 x 4, six columns of white on both sides
    wide = images.letterbox(image, (8, 16))
    assert wide.shape == (8, 16, 3) and (wide[:, 6:10] == 0).all()
    assert (wide[:, :6] == 255).all() and (wide[:, 10:] == 255).all()
    # 0.6 times as large, 12 x 6, two rows of white above and below
    high = images.letterbox(image, (16, 6))
    assert high.shape == (16, 6, 3) and (high[2:14] == 0).all()
    assert (high[:2] == 255).all() and (high[14:] == 255).all()
    assert images.letterbox(image, (20, 10)) is image


def test_stretch_fills_a_rectangle():
    # rows as in the test above; columns are alike, and stay so
    image = np.zeros((4, 2, 3), np.uint8)
    image[2:] = 200
    np.testing.assert_array_equal(images.stretch(image, (2, 3))[:, :, 0], [[17] * 3, [183] * 3])


def test_both_ways_are_the_same_for_the_same_proportions():
    image = np.random.default_rng(0).integers(0, 256, (8, 6, 3), np.uint8)
    for size in ((16, 12), (4, 3)):
        both = images.stretch(image, size), images.letterbox(image, size)
        np.testing.assert_array_equal(*both)
        assert both[0].shape == (*size, 3)


def test_as_square_adds_white_only():
    image = np.random.default_rng(0).integers(0, 256, (5, 8, 3), np.uint8)
    square = images.as_square(image)
    assert square.shape == (8, 8, 3)
    np.testing.assert_array_equal(square[1:6], image)
    assert (square[:1] == 255).all() and (square[6:] == 255).all()


def test_float_and_back_is_exact_for_every_level():
    levels = np.arange(256, dtype=np.uint8)
    floats = images.to_float(levels)
    assert floats.dtype == np.float32 and floats[0] == -1 and floats[-1] == 1
    np.testing.assert_allclose(floats, np.arange(256) / 127.5 - 1, atol=1e-7)
    np.testing.assert_array_equal(images.to_uint8(floats), levels)
    np.testing.assert_array_equal(images.to_uint8(np.float32([-3, 3])), [0, 255])


def test_image_grid_puts_element_i_of_each_column_in_row_i():
    left = np.full((2, 3, 4, 3), 10, np.uint8)
    right = np.stack([np.full((3, 4, 3), 20, np.uint8), np.full((3, 4, 3), 30, np.uint8)])
    grid = images.image_grid([left, right], gap=1)
    assert grid.shape == (7, 9, 3)
    assert (grid[:3, :4] == 10).all() and (grid[:3, 5:] == 20).all()
    assert (grid[4:, 5:] == 30).all() and (grid[3] == 255).all() and (grid[:, 4] == 255).all()
    with pytest.raises(ValueError, match="one shape"):
        images.image_grid([left, right[:1]])


def test_write_image_round_trips(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    images.write_image(tmp_path / "a.png", pixels)
    np.testing.assert_array_equal(images.read_image(tmp_path / "a.png"), pixels)

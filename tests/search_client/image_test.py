"""Photos as the search client reads them: the bytes that Python reads."""

import base64
import struct

import numpy as np
import pytest
from PIL import Image

from keras_pixdt.data.images import read_image
from keras_pixdt.serve import CLIENT
from tests import profiles
from tests.browser import MARKS, in_page
from tests.profiles import chrm, encoded, exif, gama, noise, png16, png_with, with_exif

pytestmark = MARKS
URL = "http://client.test/"


@pytest.fixture(scope="module")
def page(browser):
    """An empty page beside the client's modules."""
    page = browser.new_page()

    def answer(route):
        name = route.request.url.removeprefix(URL)
        body = (CLIENT / name).read_text("utf-8") if name else "<!doctype html>"
        kind = "text/javascript" if name else "text/html"
        route.fulfill(body=body, content_type=kind)

    page.route("**/*", answer)
    page.goto(URL)
    yield page
    page.close()


def in_browser(page, content):
    """A file as the client reads it, (height, width, 3) of numbers."""
    width, height, data = in_page(
        page,
        """
        const { readPhoto } = await import("/image.js");
        const { pixels } = await readPhoto(new File([args[0]], "photo"), "photo");
        const blocks = [];
        for (let i = 0; i < pixels.data.length; i += 8192) {
            blocks.push(String.fromCharCode(...pixels.data.subarray(i, i + 8192)));
        }
        return [pixels.width, pixels.height, btoa(blocks.join(""))];
        """,
        content,
    )
    rgba = np.frombuffer(base64.b64decode(data), np.uint8).reshape(height, width, 4)
    return rgba[..., :3].astype(int)


def assert_equal(page, content, changed=None):
    """The same bytes; `changed` says whether they are others than those of the pixels."""
    read = read_image(content)
    np.testing.assert_array_equal(in_browser(page, content), read)
    if changed is not None:
        assert (read != changed).any()


FORMS = [
    ("PNG", {}),
    ("JPEG", {"quality": 90}),
    ("WEBP", {"lossless": True}),
    ("WEBP", {"quality": 80}),
    ("AVIF", {"quality": 80}),
]
SRGB = profiles.rgb(profiles.SRGB, profiles.SRGB_CURVE)
P3 = profiles.rgb(profiles.DISPLAY_P3, profiles.SRGB_CURVE)
PROFILES = {
    "srgb": SRGB,
    "p3": P3,
    "adobe": profiles.rgb(profiles.ADOBE_RGB, profiles.gamma(563 / 256)),
    "table": profiles.rgb(profiles.DISPLAY_P3, profiles.table(np.linspace(0, 1, 1000) ** 2.2)),
}


@pytest.mark.parametrize("name", [None, *PROFILES])
@pytest.mark.parametrize(("form", "options"), FORMS)
def test_colors_are_those_of_python(page, form, options, name):
    given = {**options, "icc_profile": PROFILES[name]} if name else options
    plain = read_image(encoded(noise(40, 60, 3), form, **options))
    content = encoded(noise(40, 60, 3), form, **given)
    assert_equal(page, content, changed=plain if name not in (None, "srgb") else None)


@pytest.mark.parametrize(
    "curves",
    [
        [profiles.gamma(1.8), profiles.parametric(0, 2.2), profiles.linear()],
        [profiles.parametric(1, 2.4, 1.1, -0.1)],
        [profiles.parametric(2, 2.4, 1.1, -0.1, 0.05)],
        [profiles.parametric(4, 2.4, 0.9, 0.1, 0.1, 0.04, 0.001, 0.002)],
        [profiles.table([0, 0.3, 1])],
    ],
)
def test_curves_are_those_of_python(page, curves):
    profile = profiles.rgb(profiles.ADOBE_RGB, *curves)
    assert_equal(page, encoded(noise(40, 60, 3), icc_profile=profile), changed=noise(40, 60, 3))


@pytest.mark.parametrize("form", ["PNG", "JPEG", "WEBP"])
def test_gray_profiles_are_applied_to_gray_images(page, form):
    profile = profiles.gray(profiles.gamma(1))
    options = {"lossless": True} if form == "WEBP" else {}
    gray = np.repeat(noise(40, 60, 1), 3, axis=2)
    plain = read_image(encoded(gray, form, **options))
    assert_equal(page, encoded(gray, form, icc_profile=profile, **options), changed=plain)
    assert_equal(page, encoded(gray[..., 0], "PNG", icc_profile=profile), changed=gray)
    assert_equal(page, encoded(noise(40, 60, 3), form, icc_profile=profile, **options))


@pytest.mark.parametrize("profile", [P3[:300], P3[:-8], b"text" * 99, profiles.gray(b"text")])
@pytest.mark.parametrize(("form", "options"), FORMS[:3])
def test_damaged_profiles_are_ignored(page, form, options, profile):
    assert_equal(page, encoded(noise(40, 60, 3), form, icc_profile=profile, **options))


def test_a_profile_in_several_parts_and_a_damaged_chunk(page):
    large = profiles.rgb(profiles.DISPLAY_P3, profiles.table(np.linspace(0, 1, 40_000) ** 2))
    assert len(large) > 1 << 16  # more than one segment of a JPEG holds
    content = encoded(noise(40, 60, 3), "JPEG", icc_profile=large)
    assert_equal(page, content, changed=read_image(encoded(noise(40, 60, 3), "JPEG")))
    assert_equal(page, png_with(encoded(noise(40, 60, 3)), (b"iCCP", b"a\0\0garbage")))


@pytest.mark.parametrize(("form", "options"), [FORMS[0], FORMS[2]])
@pytest.mark.parametrize("profile", [None, P3])
def test_transparency_is_that_of_python(page, form, options, profile):
    given = {**options, "icc_profile": profile} if profile else options
    assert_equal(page, encoded(noise(40, 60, 4), form, **given))


def test_palettes_and_other_formats(page):
    palette = Image.fromarray(noise(40, 60, 3)).quantize(64)
    assert_equal(page, encoded(palette, icc_profile=P3), changed=encoded(palette) and None)
    for form in ("GIF", "BMP"):
        assert_equal(page, encoded(palette, form))


@pytest.mark.parametrize("channels", [1, 2, 3, 4])
def test_depth_is_reduced_as_by_python(page, channels):
    values = np.random.default_rng(0).integers(0, 1 << 16, (40, 60, channels))
    assert_equal(page, png16(values))


@pytest.mark.parametrize("value", range(1, 9))
@pytest.mark.parametrize(("form", "options"), FORMS[:3])
def test_every_orientation_is_undone_as_by_python(page, form, options, value):
    data = Image.Exif()
    data[0x112] = value
    content = encoded(noise(40, 60, 3), form, exif=data, icc_profile=P3, **options)
    assert read_image(content).shape == ((60, 40, 3) if value > 4 else (40, 60, 3))
    assert_equal(page, content)


def test_avif_is_turned_once(page):
    data = Image.Exif()
    data[0x112] = 6
    assert_equal(page, encoded(noise(40, 60, 3), "AVIF", exif=data))


SHORT, LONG = 3, 4
ODD = 0x11A, 10, 1, struct.pack("<ii", -1, 0)


@pytest.mark.parametrize(
    "data",
    [
        exif((0x112, SHORT, 1, b"\6\0"), ODD),
        exif((0x112, SHORT, 1, b"\0\6"), order=">"),
        exif((0x112, LONG, 1, b"\6\0\0\0")),
        exif((0x112, LONG, 1, b"\0\0\0\6"), order=">"),
        exif((0x112, SHORT, 2, b"\6\0\1\0")),
        exif((0x112, SHORT, 3, b"\6\0\1\0\1\0")),
        exif((0x112, 9, 1, struct.pack("<i", -6))),
        exif((0x112, SHORT, 1, b"\x09\0")),
        exif((0x112, SHORT, 0, b"\6\0")),
        exif((0x112, 2, 2, b"6\0")),
        exif((0x112, 1, 1, b"\6")),
        exif((0x112, 11, 1, struct.pack("<f", 6))),
        exif((0x112, 5, 1, struct.pack("<II", 6, 1))),
        exif((0x112, SHORT, 1, b"\6\0"))[:15],
        b"\xff" * 40,
        b"",
    ],
)
@pytest.mark.parametrize(("form", "options"), FORMS[:3])
@pytest.mark.filterwarnings("ignore:.*(EXIF|Metadata|tag)")
def test_odd_exif_counts_as_in_python(page, form, options, data):
    assert_equal(page, with_exif(encoded(noise(40, 60, 3), form, **options), data))


# What the browser itself converts, by other roundings


SRGB_XY = (0.3127, 0.3290, 0.64, 0.33, 0.3, 0.6, 0.15, 0.06)
P3_XY = (0.3127, 0.3290, 0.68, 0.32, 0.265, 0.69, 0.15, 0.06)
D50_XY = (0.3457, 0.3585, *SRGB_XY[2:])
# L, a and b are sums over the corners, so that every interpolation gives the same.
CORNERS = [
    (100 * (r + g + b) / 3, 40 * (r - g), 40 * (g - b))
    for r in (0, 1) for g in (0, 1) for b in (0, 1)
]  # fmt: skip


@pytest.mark.parametrize(
    "content",
    [
        *(
            png_with(encoded(noise(40, 60, 3)), *chunks)
            for chunks in (
                [gama(1)],
                [gama(0.5)],
                [gama(0.45455)],
                [gama(0.45455), chrm(*SRGB_XY)],
                [gama(0.45455), chrm(*P3_XY)],
                [gama(0.55556), chrm(*D50_XY)],
                [chrm(*P3_XY)],
                [gama(0.5), chrm(*[0] * 8)],
                [gama(0)],
                [(b"sRGB", b"\0"), gama(1)],
            )
        ),
        png_with(encoded(noise(40, 60)), gama(1)),
        encoded(noise(40, 60, 3), "JPEG", icc_profile=profiles.tables(b"RGB ", CORNERS)),
        encoded(Image.fromarray(noise(40, 60, 4), "CMYK"), "JPEG"),
        encoded(noise(40, 60, 4), "AVIF"),
    ],
)
def test_what_the_browser_converts_is_within_a_level(page, content):
    assert np.abs(in_browser(page, content) - read_image(content)).max() <= 1

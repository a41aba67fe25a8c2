"""Colours of files in sRGB; values are worked out by the formulas of IEC 61966-2-1, in floats."""

import io

import numpy as np
import pytest
from PIL import Image, ImageCms

from keras_pixdt.data import colors, images
from tests import profiles
from tests.profiles import noise

# XYZ of D50 to linear sRGB: the inverse of sRGB's primaries, which `profiles.SRGB` has rounded.
TO_SRGB = np.linalg.inv(np.array(profiles.SRGB).T)


def exact(pixels, primaries, curve):
    """The levels of sRGB, not rounded; curve: level in 0..1 -> linear light."""
    light = curve(np.asarray(pixels) / 255) @ (TO_SRGB @ np.array(primaries).T).T
    light = np.clip(light, 0, 1)
    return 255 * np.where(light <= 0.0031308, 12.92 * light, 1.055 * light ** (1 / 2.4) - 0.055)


def srgb_curve(x):
    return np.where(x <= 0.04045, x / 12.92, ((x + 0.055) / 1.055) ** 2.4)


def by_library(image, profile):
    return ImageCms.profileToProfile(
        Image.fromarray(image),
        ImageCms.ImageCmsProfile(io.BytesIO(profile)),
        ImageCms.createProfile("sRGB"),
        renderingIntent=ImageCms.Intent.RELATIVE_COLORIMETRIC,  # black stays as light as it is
        outputMode="RGB",
        flags=ImageCms.Flags.NOOPTIMIZE,
    )


def test_a_color_of_display_p3_is_that_of_srgb():
    # A quarter, a half and an eighth of the light of each primary; the matrix is
    # 1.2248 -0.2251 0, -0.0420 1.0422 0, -0.0196 -0.0786 1.0980.
    profile = profiles.rgb(profiles.DISPLAY_P3, profiles.linear())
    given = np.uint8([[[64, 128, 32], [255, 0, 0], [255, 255, 255], [0, 0, 0]]])
    converted = colors.profile_to_srgb(given, profile)
    # 0.2510 0.5020 0.1255 -> 0.1944 0.5126 0.0934: levels 121.9, 189.6 and 86.1.
    np.testing.assert_array_equal(
        converted, [[[122, 190, 86], [255, 0, 0], [255, 255, 255], [0, 0, 0]]]
    )


CURVES = {
    "gamma": (profiles.gamma(563 / 256), lambda x: x ** (563 / 256)),
    "linear": (profiles.linear(), lambda x: x),
    "sRGB": (profiles.SRGB_CURVE, srgb_curve),
    "table": (
        profiles.table([0, 0.1, 0.4, 1]),
        lambda x: np.interp(3 * x, range(4), (0, 0.1, 0.4, 1)),
    ),
    "para 0": (profiles.parametric(0, 1.8), lambda x: x**1.8),
    "para 1": (
        profiles.parametric(1, 2.0, 1.25, -0.25),
        lambda x: np.where(x >= 0.2, 1.25 * x - 0.25, 0) ** 2,
    ),
    "para 2": (
        profiles.parametric(2, 2.0, 1.0, -0.25, 0.125),
        lambda x: np.where(x >= 0.25, x - 0.25, 0) ** 2 + 0.125,
    ),
    "para 4": (
        profiles.parametric(4, 2.0, 0.5, 0.25, 0.5, 0.25, 0.125, 0.0625),
        lambda x: np.where(x >= 0.25, (0.5 * x + 0.25) ** 2 + 0.125, 0.5 * x + 0.0625),
    ),
}


@pytest.mark.parametrize("primaries", [profiles.DISPLAY_P3, profiles.ADOBE_RGB])
@pytest.mark.parametrize("name", CURVES)
def test_matrix_profiles_are_converted_as_their_formulas_say(name, primaries):
    tag, curve = CURVES[name]
    image = noise(40, 50, 3)
    converted = colors.profile_to_srgb(image, profiles.rgb(primaries, tag))
    difference = np.abs(converted - exact(image, primaries, curve))
    assert difference.max() < 0.8 and (difference > 0.5).mean() < 0.03
    assert (
        np.abs(converted - np.asarray(by_library(image, profiles.rgb(primaries, tag)), int)).max()
        <= 1
    )


def test_each_channel_has_its_own_curve():
    curves = profiles.linear(), profiles.gamma(2), profiles.SRGB_CURVE
    image = np.uint8([[[64, 64, 64]]])
    # Linear light 64/255 is level 137.1; its square, 0.0630, is 71.0.
    np.testing.assert_array_equal(
        colors.profile_to_srgb(image, profiles.rgb(profiles.SRGB, *curves)), [[[137, 71, 64]]]
    )


@pytest.mark.parametrize(
    "profile",
    [
        profiles.rgb(profiles.SRGB, profiles.SRGB_CURVE),
        profiles.rgb(profiles.SRGB, profiles.table(srgb_curve(np.linspace(0, 1, 1024)))),
        ImageCms.ImageCmsProfile(ImageCms.createProfile("sRGB")).tobytes(),
    ],
)
def test_a_profile_of_srgb_changes_nothing(profile):
    image = noise(40, 50, 3)
    assert colors.profile_to_srgb(image, profile) is image


def test_gray_profiles_hold_for_images_without_colors():
    profile = profiles.gray(profiles.linear())
    image = np.repeat(np.uint8([[[0], [64], [255]]]), 3, axis=2)
    converted = colors.profile_to_srgb(image, profile)
    np.testing.assert_array_equal(converted[0], [[0] * 3, [137] * 3, [255] * 3])
    with pytest.raises(colors.ProfileError, match="gray images, and this one has colours"):
        colors.profile_to_srgb(np.uint8([[[1, 2, 3]]]), profile)


def test_tables_are_those_of_littlecms():
    # L and a, b are sums over the corners, so that every interpolation gives the same.
    corners = [
        (100 * (r + g + b) / 3, 40 * (r - g), 40 * (g - b))
        for r in (0, 1) for g in (0, 1) for b in (0, 1)
    ]  # fmt: skip
    profile = profiles.tables(b"RGB ", corners)
    image = noise(20, 30, 3)
    converted = colors.profile_to_srgb(image, profile)
    assert np.abs(converted - np.asarray(by_library(image, profile), int)).max() <= 1
    assert (colors.profile_to_srgb(np.full((2, 2, 3), 255, np.uint8), profile) == 255).all()


P3 = profiles.rgb(profiles.DISPLAY_P3, profiles.SRGB_CURVE)


@pytest.mark.parametrize(
    ("profile", "reason"),
    [
        (b"", "damaged"),
        (b"text" * 100, "damaged"),
        (P3[:140], "cut off"),
        (P3[:-8], "cut off"),
        (profiles.profile({}, b"RGB "), "no rTRC"),
        (profiles.gray(b"text"), "no kTRC"),
        (profiles.gray(profiles.parametric(9, 1.0)), "kind 9"),
        (profiles.gray(profiles.parametric(1, 1.0, 0, 1)), "divides by 0"),
        (profiles.rgb(np.full((3, 3), 9), profiles.linear()), "not those of colours"),
        (profiles.profile({}, b"CMYK"), "for CMYK images"),
    ],
)
def test_damaged_profiles_are_named_and_ignored(profile, reason, caplog):
    image = noise(4, 5, 3)
    with pytest.raises(colors.ProfileError, match=reason):
        colors.profile_to_srgb(image, profile)
    if profile:
        read = images.read_image(profiles.encoded(image, icc_profile=profile), "photo.png")
        np.testing.assert_array_equal(read, image)

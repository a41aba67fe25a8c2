import io

import numpy as np
import pytest
from PIL import Image

from keras_pixdt.choices import RESIZES
from keras_pixdt.data import images


def encode(image: Image.Image, file_format: str = "PNG", **options) -> bytes:
    file = io.BytesIO()
    image.save(file, file_format, **options)
    return file.getvalue()


def test_read_image_returns_the_pixels_of_a_file_bytes_or_stream(tmp_path):
    pixels = np.random.default_rng(0).integers(0, 256, (5, 7, 3), np.uint8)
    path = tmp_path / "a.jpg"  # A PNG under another extension.
    path.write_bytes(encode(Image.fromarray(pixels)))
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
    image = images.read_image(encode(Image.new(mode, (3, 2), color)))
    assert image.dtype == np.uint8 and image.shape == (2, 3, 3)
    assert (image == expected).all()


def test_read_image_converts_palette_with_transparency():
    image = Image.new("P", (4, 4), 1)
    image.putpalette([255, 0, 0, 0, 0, 255])
    assert (images.read_image(encode(image)) == (0, 0, 255)).all()
    assert (images.read_image(encode(image, transparency=1)) == 255).all()


def test_read_image_converts_cmyk():
    image = images.read_image(encode(Image.new("CMYK", (8, 8), (0, 255, 255, 0)), "JPEG"))
    red, green, blue = image.reshape(-1, 3).mean(0)
    assert red > 200 and green < 60 and blue < 60


def test_read_image_applies_exif_rotation():
    image = Image.fromarray(np.repeat(np.uint8([[[255] * 3], [[0] * 3]]), 4, axis=1))
    exif = Image.Exif()
    exif[0x0112] = 6  # Turn by 90 degrees clockwise: the top becomes the right.
    turned = images.read_image(encode(image, exif=exif))
    assert turned.shape == (4, 2, 3)
    assert (turned[:, 1] == 255).all() and (turned[:, 0] == 0).all()


def test_read_image_takes_the_first_frame():
    frames = [Image.new("RGB", (4, 4), color) for color in ("red", "blue")]
    data = encode(frames[0], "GIF", save_all=True, append_images=frames[1:])
    assert (images.read_image(data) == (255, 0, 0)).all()


def test_read_image_names_what_it_cannot_read(tmp_path):
    whole = encode(
        Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))
    )
    for data, reason in ((b"", "empty"), (whole[:500], "cannot be"), (b"text" * 9, "format")):
        path = tmp_path / "bad.png"
        path.write_bytes(data)
        with pytest.raises(images.ImageError, match=rf"bad\.png.*{reason}"):
            images.read_image(path)
    with pytest.raises(FileNotFoundError, match="missing.png"):
        images.read_image(tmp_path / "missing.png")


def test_read_image_refuses_a_decompression_bomb(monkeypatch):
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 100)
    for side in (11, 20):
        with (
            pytest.raises(images.ImageError, match=rf"bomb\.png.*{side}|bomb\.png.*pixels"),
            pytest.warns(Image.DecompressionBombWarning) if side == 11 else io.BytesIO(),
        ):
            images.read_image(encode(Image.new("RGB", (side, side))), "bomb.png")


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

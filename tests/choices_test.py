import numpy as np
import pytest

from keras_pixdt import choices


@pytest.mark.parametrize(
    ("size", "sides", "plain"),
    [
        (64, (64, 64), 64), ((64, 64), (64, 64), 64), ([256, 192], (256, 192), (256, 192)),
        (np.zeros((2, 48, 64, 3)).shape[1:3], (48, 64), (48, 64)), (np.int64(8), (8, 8), 8),
    ],
)  # fmt: skip
def test_sizes_have_one_form(size, sides, plain):
    assert choices.as_height_width(size) == sides
    assert choices.as_size(size) == plain
    assert choices.parse_size(choices.shown_size(plain)) == plain


@pytest.mark.parametrize("size", [0, -1, 2.5, "64", None, (64,), (64, 0), (64, 48.0), (1, 2, 3)])
def test_what_is_no_size_is_refused(size):
    with pytest.raises(ValueError, match=r"`image_size` must be the side of a square, or \(height"):
        choices.as_height_width(size, "image_size")


@pytest.mark.parametrize("text", ["", "x", "64x", "0", "64x0", "1x2x3", "-64", "64*48", "6.4"])
def test_text_that_is_no_size_is_refused(text):
    with pytest.raises(ValueError, match="HEIGHTxWIDTH"):
        choices.parse_size(text)


def test_sizes_of_drawings_and_their_photos_by_hand():
    assert choices.scaled_size((256, 192), 64) == (64, 48)
    assert choices.scaled_size((192, 256), 64) == (48, 64)
    assert choices.scaled_size(256, 64) == 64
    assert choices.drawing_size((64, 48), 512) == (512, 384)
    assert choices.drawing_size((64, 48), [512, 384]) == (512, 384)
    assert choices.drawing_size(64, 100) == 100
    with pytest.raises(ValueError, match=r"draws, 64x48 px, or be its longer side. .*\(512, 400\)"):
        choices.drawing_size((64, 48), (512, 400))
    # four times the drawing, but no less than the model reads, and no more than 2,048 px
    large = (4000, 3000)
    assert choices.photo_side((128, 96), (64, 48), large) == (256, 192)
    assert choices.photo_side((128, 96), (16, 12), large) == (128, 96)
    assert choices.photo_side((128, 96), (1024, 768), large) == (2048, 1536)
    assert choices.photo_side(128, 64, large) == 256


def test_photos_are_not_enlarged_to_draw_from_them():
    assert choices.photo_side(128, 512, (1000, 750)) == 1000
    assert choices.photo_side(128, 512, (750, 1000)) == 1000
    assert choices.photo_side(128, 512, (90, 50)) == 128  # the model reads as much
    assert choices.photo_side((128, 96), 512, (1000, 750)) == (1000, 750)
    assert choices.photo_side((128, 96), 512, (600, 600)) == (800, 600)
    assert choices.photo_side((96, 128), 512, (1000, 1)) == (1000, 1334)

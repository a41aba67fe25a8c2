import numpy as np
import pytest

from keras_pixdt.drawn import digits


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("printed", 1), "`kind` must be one of handwritten, street. Received: 'printed'"),
        (("street", 0), "`count` must be at least 1. Received: 0"),
    ],
)
def test_bad_arguments(arguments, message):
    with pytest.raises(ValueError, match=message):
        digits.draw(*arguments)


@pytest.mark.parametrize("kind", digits.KINDS)
def test_digits_come_from_the_seed(kind):
    pixels, labels = digits.draw(kind, 80, seed=3)
    assert pixels.shape == (80, 32, 32, 3) and pixels.dtype == np.uint8
    assert labels.shape == (80,) and set(labels) == set(range(10))
    again, same = digits.draw(kind, 5, seed=3)  # the first of them
    np.testing.assert_array_equal(again, pixels[:5])
    np.testing.assert_array_equal(same, labels[:5])
    others, _ = digits.draw(kind, 5, seed=4)
    assert (others != again).any(axis=(1, 2, 3)).all()


def test_handwritten_digits_are_white_on_black_and_as_large_as_mnists():
    pixels, _ = digits.draw("handwritten", 100)
    assert (pixels == pixels[..., :1]).all()  # gray
    ink = pixels[..., 0] / 255.0
    assert (ink.max(axis=(1, 2)) > 0.9).all()
    assert 0.05 < ink.mean() < 0.2  # MNIST's has 0.10 in 32 px
    for image in ink > 0.1:
        rows, columns = (np.flatnonzero(image.any(axis=axis)) for axis in (1, 0))
        height, width = np.ptp(rows) + 1, np.ptp(columns) + 1
        assert 17 <= max(height, width) <= 23
    place = np.arange(32) + 0.5
    for axis in (1, 2):
        middle = (ink.sum(axis=3 - axis) * place).sum(axis=1) / ink.sum(axis=(1, 2))
        assert np.abs(middle - 16).mean() < 1.5


def test_street_digits_stand_out_of_what_is_behind_them():
    rng_colors = [digits._colors(np.random.default_rng(i)) for i in range(50)]
    contrast = [abs((a - b) @ [0.299, 0.587, 0.114]) for a, b in rng_colors]
    assert min(contrast) >= 55
    pixels, _ = digits.draw("street", 60)
    assert (pixels.reshape(60, -1).std(axis=1) > 8).all()
    assert (pixels.max(axis=-1) - pixels.min(axis=-1)).mean() > 10  # colours


def test_digits_are_known_by_their_nearest_neighbors():
    """Other seeds write the same digits: a classifier of one set knows those of another."""
    known, labels = digits.draw("handwritten", 400, seed=0)
    asked, expected = digits.draw("handwritten", 100, seed=1)

    def vectors(pixels):
        gray = pixels[..., 0] / 255.0
        gray = gray.reshape(-1, 16, 2, 16, 2).mean(axis=(2, 4)).reshape(len(pixels), -1)
        return gray / np.linalg.norm(gray, axis=1, keepdims=True)

    found = labels[(vectors(asked) @ vectors(known).T).argmax(axis=1)]
    assert (found == expected).mean() > 0.8


def test_curves_go_through_their_points():
    points = np.random.default_rng(0).normal(size=(5, 2))
    curve = digits._spline(5) @ points
    assert curve.shape == (4 * 8 + 1, 2)
    np.testing.assert_allclose(curve[::8], points, atol=1e-12)
    # Of points on a line at equal distances, the inner pieces are that line.
    line = digits._spline(5) @ np.arange(5.0)
    np.testing.assert_allclose(line[8:25], np.arange(1, 3.01, 1 / 8), atol=1e-12)

import numpy as np
import pytest

from keras_pixdt.data import augment

SIDE = 40


def change(zoom=(1.0, 1.0), shift=(0.0, 0.0), gamma=(1.0, 1.0, 1.0), turn=0):
    return augment.Change(*map(np.array, (zoom, shift, gamma)), turn)


def picture():
    return np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)


def test_no_change_changes_nothing():
    np.testing.assert_array_equal(augment.move(picture(), change()), picture())
    np.testing.assert_array_equal(augment.recolour(picture(), change()), picture())


def test_a_shift_by_whole_pixels_and_white_from_outside():
    moved = augment.move(picture(), change(shift=(4 / SIDE, -3 / SIDE)))
    # Pillow truncates what it interpolates.
    np.testing.assert_allclose(moved[3:, :-4].astype(int), picture()[:-3, 4:], atol=1)
    assert (moved[:3] == 255).all() and (moved[:, -4:] == 255).all()


def test_a_point_stays_the_same_point():
    """What the photo shows at the end of a flow, it shows after the move too."""
    y, x = np.mgrid[:SIDE, :SIDE]
    photo = np.stack([x * 6, y * 6, 0 * x], axis=-1).astype(np.uint8)  # its colour is its place
    some = change(zoom=(0.8, 0.9), shift=(0.05, -0.02))
    flow = np.array([[[-0.3, 0.2], [0.4, -0.35]]], np.float32)
    places = [(f + 1) / 2 * SIDE - 0.5 for f in (flow, augment.move_flow(flow, some))]
    moved = augment.move(photo, some)
    for before, after in zip(*(p[0] for p in places), strict=True):
        column, row = np.rint(after).astype(int)
        # within the pixel that is left over by rounding
        offset = (np.array([column, row]) - after) * some.zoom
        np.testing.assert_allclose(moved[row, column, :2], (before + offset) * 6, atol=3)


def test_colours_have_exponents_of_their_own_and_white_stays():
    image = np.array([[[0, 128, 255], [64, 64, 64]]], np.uint8)
    found = augment.recolour(image, change(gamma=(0.5, 1.0, 2.0)))
    expected = [[0, 128, 255], [round(255 * (64 / 255) ** 0.5), 64, round(255 * (64 / 255) ** 2)]]
    np.testing.assert_array_equal(found[0], expected)
    turned = augment.recolour(image, change(turn=1))  # red becomes green, blue becomes red
    np.testing.assert_array_equal(turned[0, 0], [255, 0, 128])
    white = np.full((1, 1, 3), 255, np.uint8)
    np.testing.assert_array_equal(augment.recolour(white, change(gamma=(0.7, 1.3, 1.0))), white)


def test_draws_are_in_their_ranges_and_follow_the_generator():
    rows = augment.draw(np.random.default_rng(0), 5000)
    assert rows.shape == (5000, 8)
    np.testing.assert_array_equal(rows, augment.draw(np.random.default_rng(0), 5000))
    width, height, *shift = rows.T[:4]
    assert width.min() >= 0.85 and width.max() <= 1.2 and width.std() > 0.08
    assert 0.93 <= (height / width).min() and (height / width).max() <= 1.07
    assert np.abs(shift).max() <= 0.06
    np.testing.assert_allclose(np.abs(np.log(rows[:, 4:7])).max(), 0.25, rtol=1e-2)
    counts = np.bincount(rows[:, 7].astype(int), minlength=3) / 5000
    np.testing.assert_allclose(counts, [0.7, 0.15, 0.15], atol=0.02)
    assert augment.Change.of(rows[0]).turn in (0, 1, 2)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_unknown_places_stay_unknown(dtype):
    flow = np.array([[[np.nan, np.nan], [0.0, 0.0]]], dtype)
    found = augment.move_flow(flow, change(zoom=(0.5, 1.0), shift=(0.1, 0.0)))
    assert np.isnan(found[0, 0]).all()
    np.testing.assert_allclose(found[0, 1], [-0.4, 0.0], atol=1e-3)

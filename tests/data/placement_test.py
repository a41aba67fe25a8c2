import numpy as np
import pytest

from keras_pixdt.data.placement import ROWS, Placement, view

PLACEMENT = Placement(np.array([0.5, 0.75]), np.array([0.25, -0.25]))


def test_pixels_of_the_product_image_in_the_photo():
    """By hand: the middle of pixel (3, 0) of 4 is (0.75, -0.75), which lies at (0.625, -0.8125)."""
    pixels = PLACEMENT.pixels_in_photo(4, 40)
    np.testing.assert_allclose(pixels[:, 0, 3], [1.625 * 20 - 0.5, 0.1875 * 20 - 0.5])


def test_a_picture_in_the_photo_lies_where_its_pixels_do():
    image = np.zeros((16, 16), np.uint8)
    image[4:8, 8:12] = 200
    seen = PLACEMENT.in_photo(image, 64).copy()
    # by hand: columns 8 to 12 are 0 to 0.5, so 0.25 to 0.5 in the photo; rows 4 to 8 are -0.5 to 0,
    # so -0.625 to -0.25
    assert (seen[12:24, 40:48] >= 100).all() and seen[14:22, 42:46].min() > 180
    seen[11:25, 39:49] = 0
    assert not (seen > 100).any()


def test_a_flow_has_no_points_on_the_ground():
    product = np.full((64, 64, 3), 255, np.uint8)
    product[16:, 32:] = 10
    flow = PLACEMENT.flow(product)
    assert flow.shape == (ROWS, ROWS, 2) and flow.dtype == np.float32
    assert np.isnan(flow[:8]).all() and np.isnan(flow[:, :16]).all()
    # by hand: the middle of cell (31, 31) is at 31 / 32
    np.testing.assert_allclose(flow[31, 31], [0.5 * 31 / 32 + 0.25, 0.75 * 31 / 32 - 0.25])


def test_rectangles_have_coordinates_of_their_own_along_each_side():
    # by hand: the middle of pixel (2, 0) of 3 x 4 is (2 / 3, -3 / 4), which lies at
    # (0.5 * 2 / 3 + 0.25, 0.75 * -3 / 4 - 0.25) = (0.5833, -0.8125); of 30 and 40 px
    pixels = PLACEMENT.pixels_in_photo((4, 3), (40, 30))
    assert pixels.shape == (2, 4, 3)
    np.testing.assert_allclose(pixels[:, 0, 2], [1.58333333 * 15 - 0.5, 0.1875 * 20 - 0.5])
    image = np.zeros((32, 24), np.uint8)
    image[8:16, 12:18] = 200
    seen = PLACEMENT.in_photo(image, (64, 48))
    assert seen.shape == (64, 48)
    # by hand: columns 12 to 18 are 0 to 0.5, so 0.25 to 0.5 of 48; rows 8 to 16 are -0.5 to 0, so
    # -0.625 to -0.25 of 64
    rows, columns = np.nonzero(seen > 100)
    assert (rows.min(), rows.max() + 1, columns.min(), columns.max() + 1) == (12, 24, 30, 36)


def test_flows_of_rectangles_have_square_cells():
    product = np.full((64, 48, 3), 255, np.uint8)
    product[16:, 24:] = 10
    flow = PLACEMENT.flow(product)
    assert flow.shape == (32, 24, 2)
    assert np.isnan(flow[:8]).all() and np.isnan(flow[:, :12]).all()
    assert np.isfinite(flow[8:, 12:]).all()
    np.testing.assert_allclose(flow[31, 23], [0.5 * 23 / 24 + 0.25, 0.75 * 31 / 32 - 0.25])
    assert PLACEMENT.flow(product[:32, :33]).shape == (32, 33, 2)
    assert PLACEMENT.flow(product[:, :33]).shape == (64, 33, 2)  # no cell of 2 px fits


def test_small_product_images_have_a_flow_of_their_own_size():
    flow = PLACEMENT.flow(np.zeros((16, 16, 3), np.uint8))
    assert flow.shape == (16, 16, 2) and np.isfinite(flow).all()


def test_what_is_not_known_is_nan():
    unknown = Placement(*np.full((2, 2), np.nan))
    assert not unknown.known and PLACEMENT.known
    assert np.isnan(unknown.flow(np.zeros((32, 32, 3), np.uint8))).all()


@pytest.mark.parametrize("ground", [0, 255])
def test_a_view_may_reach_beyond_the_image(ground):
    image = np.full((8, 8, 3), 100, np.uint8)
    seen = view(image, np.array([-4.0, 2.0]), np.array([4.0, 10.0]), 8, ground)
    np.testing.assert_array_equal(seen[:6, 4:], 100)
    np.testing.assert_array_equal(seen[:, :4], ground)
    np.testing.assert_array_equal(seen[6:], ground)

import numpy as np
import pytest
from PIL import Image
from scipy import ndimage

from keras_pixdt.data import augment
from keras_pixdt.data.placement import Placement

SIDE, SIZE = 40, 16  # of photos and of product images, px


def change(**fields):
    """A change that does nothing but what is given."""
    made = np.zeros(1, augment.CHANGE)[0]
    made["zoom"] = 1.0
    for colours in (made["colours"], made["own_colours"]):
        colours["gamma"] = 1.0
    for name, value in fields.items():
        made[name] = value
    return made


def colours(gamma=(1.0, 1.0, 1.0), turn=0):
    return {"gamma": np.array(gamma), "turn": turn}


def picture(seed=0, side=SIDE):
    return np.random.default_rng(seed).integers(0, 256, (side, side, 3), np.uint8)


def test_no_change_changes_nothing():
    pair = augment.Pair(picture(), picture(1, SIZE), np.zeros((4, 4, 2)), PLACEMENT)
    found = augment.change_pair(pair, change(), augment.Pair(picture(2), picture(3, SIZE)))
    for before, after in zip(pair[:3], found[:3], strict=True):
        np.testing.assert_array_equal(after, before)
    np.testing.assert_array_equal(found.placement, PLACEMENT)


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
    pair = augment.Pair(photo, photo[:SIZE, :SIZE], flow)
    moved, _, flow_after, _ = augment.change_pair(pair, some)
    places = [(f + 1) / 2 * SIDE - 0.5 for f in (flow, flow_after)]
    for before, after in zip(*(p[0] for p in places), strict=True):
        column, row = np.rint(after).astype(int)
        # within the pixel that is left over by rounding
        offset = (np.array([column, row]) - after) * some["zoom"]
        np.testing.assert_allclose(moved[row, column, :2], (before + offset) * 6, atol=3)


def test_colours_have_exponents_of_their_own_and_white_stays():
    image = np.array([[[0, 128, 255], [64, 64, 64]]], np.uint8)
    found = augment.recolour(image, colours(gamma=(0.5, 1.0, 2.0)))
    expected = [[0, 128, 255], [round(255 * (64 / 255) ** 0.5), 64, round(255 * (64 / 255) ** 2)]]
    np.testing.assert_array_equal(found[0], expected)
    turned = augment.recolour(image, colours(turn=1))  # red becomes green, blue becomes red
    np.testing.assert_array_equal(turned[0, 0], [255, 0, 128])
    white = np.full((1, 1, 3), 255, np.uint8)
    np.testing.assert_array_equal(augment.recolour(white, colours(gamma=(0.7, 1.3, 1.0))), white)


def test_draws_are_in_their_ranges_and_follow_the_generator():
    drawn = augment.draw(np.random.default_rng(0), 5000)
    np.testing.assert_array_equal(drawn, augment.draw(np.random.default_rng(0), 5000))
    width, height = drawn["zoom"].T
    assert width.min() >= 0.85 and width.max() <= 1.2 and width.std() > 0.08
    assert 0.93 <= (height / width).min() and (height / width).max() <= 1.07
    assert 0.055 < np.abs(drawn["shift"]).max() <= 0.06
    for name in ("colours", "own_colours"):
        np.testing.assert_allclose(np.abs(np.log(drawn[name]["gamma"])).max(), 0.25, rtol=1e-2)
        counts = np.bincount(drawn[name]["turn"], minlength=3) / 5000
        np.testing.assert_allclose(counts, [0.7, 0.15, 0.15], atol=0.02)
    assert (drawn["colours"]["gamma"] != drawn["own_colours"]["gamma"]).all()
    shares = {name: drawn[name].mean() for name in ("recoloured", "patterned", "hidden")}
    for name, share in {"recoloured": 0.7, "patterned": 0.8, "hidden": 0.7}.items():
        np.testing.assert_allclose(shares[name], share, atol=0.02)


# Garments that were cut out

PLACEMENT = Placement(np.array([0.5, 0.6]), np.array([0.1, -0.1]))


def dressed():
    """A photo of smooth colours, and a garment of no symmetry that was cut out of it."""
    y, x = np.mgrid[:SIDE, :SIDE]
    photo = np.stack([60 + 3 * x, 60 + 3 * y, 200 - 2 * x - 2 * y], -1).astype(np.uint8)
    at = PLACEMENT.pixels_in_photo(SIZE, SIDE)
    product = np.stack([60 + 3 * at[0], 60 + 3 * at[1], 200 - 2 * at[0] - 2 * at[1]], -1)
    product = np.rint(product).astype(np.uint8)
    product[:3, :5] = product[9:12, 7:12] = product[:, 14:] = 255
    return augment.Pair(photo, product, None, PLACEMENT)


def patterned_pair():
    y, x = np.mgrid[:SIZE, :SIZE]
    product = np.stack([40 + 8 * x, 160 - 8 * y, 90 + 0 * x], -1).astype(np.uint8)
    return augment.Pair(picture(2), product)


def sampled(photo, at):
    """Pixels nearest to x and y, (2, ...)."""
    x, y = np.rint(at).astype(int)
    return photo[y, x].astype(int)


TURN = np.zeros((), augment.CHANGE["own_colours"])
TURN["gamma"], TURN["turn"] = (0.9, 1.1, 1.0), 1


@pytest.mark.parametrize(
    "fields",
    [
        {"recoloured": True, "own_colours": TURN},
        {"patterned": True, "tile": 1.3},
        {"hidden": True, "middle": 0.4, "axes": (0.3, 0.15), "angle": 0.6, "origin": (0.5, 0.4)},
        {"zoom": (0.9, 0.8), "shift": (0.03, -0.04)},
    ],
    ids=["recoloured", "patterned", "hidden", "zoomed"],
)
def test_the_photo_shows_the_product_where_its_flow_says(fields):
    pair = dressed()
    found = augment.change_pair(pair, change(**fields), patterned_pair())
    assert (found.photo != pair.photo).any()
    garment = found.product.min(-1) < 250
    # Away from the garment's edges, where the photo mixes garment and ground.
    inner = garment.copy()
    for shift in ((0, 1), (0, -1), (1, 0), (-1, 0)):
        inner &= np.roll(garment, shift, (0, 1))
    inner[[0, -1]] = inner[:, [0, -1]] = False
    assert inner.sum() > 20
    at = found.placement.pixels_in_photo(SIZE, SIDE)
    seen = sampled(found.photo, at)[inner]
    difference = np.abs(seen - found.product[inner].astype(int))
    # Half a pixel of the photo's slopes.
    assert difference.mean() < 5 and np.percentile(difference, 95) < 16


def test_recolouring_leaves_the_rest_of_the_photo():
    pair = dressed()
    found = augment.change_pair(pair, change(recoloured=True, own_colours=TURN))
    np.testing.assert_array_equal(found.product, augment.recolour(pair.product, TURN))
    np.testing.assert_array_equal(found.photo[:5], pair.photo[:5])
    at = PLACEMENT.pixels_in_photo(SIZE, SIDE)[:, 10, 9]  # the hole
    np.testing.assert_array_equal(sampled(found.photo, at), sampled(pair.photo, at))


def test_a_shaded_garment_stays_shaded_and_does_not_become_white():
    pair = dressed()
    pair.product[:, :8] = 60
    pair.product[:, 8:] = 140
    pair.photo[:] = 140
    x = PLACEMENT.pixels_in_photo(SIZE, SIDE)[0, 0, 8]
    pair.photo[:, : round(x)] = 60
    bright = augment.Pair(picture(), np.full((SIZE, SIZE, 3), 240, np.uint8))
    found = augment.change_pair(pair, change(patterned=True, tile=1.0), bright)
    mean = (60 * 8 + 140 * 8) / 16 + 8  # by hand, as `_gray` has it
    dark, light = 240 * (60 + 8) / mean, 240 * min(1.6, (140 + 8) / mean)
    np.testing.assert_allclose(found.product[0, 0].astype(int), dark, atol=1)
    np.testing.assert_allclose(found.product[0, -1].astype(int), min(light, 244), atol=1)
    at = PLACEMENT.pixels_in_photo(SIZE, SIDE)
    np.testing.assert_allclose(sampled(found.photo, at[:, 8, 4]), dark, atol=2)
    np.testing.assert_allclose(sampled(found.photo, at[:, 8, 12]), min(light, 244), atol=2)
    pale = augment.Pair(picture(), np.full((SIZE, SIZE, 3), 255, np.uint8))  # shows no garment
    kept = augment.change_pair(pair, change(patterned=True, tile=1.0), pale)
    np.testing.assert_array_equal(kept.product, pair.product)


def test_a_piece_of_another_photo_lies_on_the_garment():
    """By hand: an ellipse around a pixel of the garment, long to the lower right."""
    pair, other = dressed(), patterned_pair()
    fields = {"middle": 0.5, "axes": (0.5, 0.2), "angle": np.pi / 4, "origin": (0.5, 0.25)}
    found = augment.change_pair(pair, change(hidden=True, **fields), other)
    garment = pair.product.min(-1) < 250
    at = PLACEMENT.pixels_in_photo(SIZE, SIDE)
    middle = at[:, garment][:, int(0.5 * garment.sum())]
    root = np.sqrt(garment.mean() * 0.5 * 0.6) * SIDE
    y, x = np.mgrid[:SIDE, :SIDE]
    along = ((x - middle[0]) + (y - middle[1])) / np.sqrt(2)
    across = ((y - middle[1]) - (x - middle[0])) / np.sqrt(2)
    inside = (along / (0.5 * root)) ** 2 + (across / (0.2 * root)) ** 2 < 1
    np.testing.assert_array_equal(found.photo[~inside], pair.photo[~inside])
    # What is at (0.5, 0.25) of the other photo is at the middle now.
    x, y = np.rint(middle - [0.5 * SIDE, 0.25 * SIDE]).astype(int)
    np.testing.assert_array_equal(found.photo[inside], np.roll(other.photo, (y, x), (0, 1))[inside])
    white = found.product.min(-1) == 255
    hidden = sampled(inside, at).astype(bool)
    assert (white & garment).sum() > 10
    assert (hidden == (white & garment))[garment].mean() > 0.9  # but for the piece's edge
    # The flow has no points where the product image shows its ground.
    assert np.isnan(found.placement.flow(found.product)[white]).all()


def test_another_pair_is_needed_for_patterns_and_pieces():
    pair = dressed()
    found = augment.change_pair(pair, change(patterned=True, tile=1.0, hidden=True, axes=(1, 1)))
    np.testing.assert_array_equal(found.photo, pair.photo)
    np.testing.assert_array_equal(found.product, pair.product)


def test_nothing_is_written_into_the_pairs_that_are_given():
    pair, other = dressed(), patterned_pair()
    drawn = augment.draw(np.random.default_rng(0), 50)
    for some in drawn:
        augment.change_pair(pair, some, other)
    for given, made in ((pair, dressed()), (other, patterned_pair())):
        np.testing.assert_array_equal(given.photo, made.photo)
        np.testing.assert_array_equal(given.product, made.product)


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_unknown_places_stay_unknown(dtype):
    flow = np.array([[[np.nan, np.nan], [0.0, 0.0]]], dtype)
    pair = augment.Pair(picture(), picture(1, SIZE), flow)
    found = augment.change_pair(pair, change(zoom=(0.5, 1.0), shift=(0.1, 0.0))).flow
    assert np.isnan(found[0, 0]).all()
    np.testing.assert_allclose(found[0, 1], [-0.4, 0.0], atol=1e-3)


# Rectangles


def test_a_rectangle_moves_as_another_interpolation_says():
    photo = np.asarray(
        Image.fromarray(picture(0, 8)[:, :6]).resize((36, 48), Image.Resampling.BICUBIC)
    )
    some = change(zoom=(0.8, 0.9), shift=(0.13, -0.08))
    # Output pixel i looks at (0.5 + shift - zoom / 2) * side + (i + 0.5) * zoom - 0.5.
    columns = (0.5 + 0.13 - 0.4) * 36 + (np.arange(36) + 0.5) * 0.8 - 0.5
    rows = (0.5 - 0.08 - 0.45) * 48 + (np.arange(48) + 0.5) * 0.9 - 0.5
    y, x = np.meshgrid(rows, columns, indexing="ij")
    framed = np.pad(photo, ((4, 4), (4, 4), (0, 0)), constant_values=255).astype(float)
    expected = np.stack(
        [ndimage.map_coordinates(framed[..., c], (y + 4, x + 4), order=1) for c in range(3)], -1
    )
    moved = augment.move(photo, some)
    assert moved.shape == photo.shape
    np.testing.assert_allclose(moved, expected, atol=1.01)


def test_points_of_a_rectangle_stay_the_same_points():
    """In the photo of 48 x 36 px and after its move, each at its own place of [-1, 1]."""
    y, x = np.mgrid[:48, :36]
    photo = np.stack([x * 7, y * 5, 0 * x], axis=-1).astype(np.uint8)  # its colour is its place
    some = change(zoom=(0.8, 0.9), shift=(0.05, -0.02))
    flow = np.array([[[-0.3, 0.2], [0.4, -0.35]]], np.float32)
    moved, _, after, _ = augment.change_pair(augment.Pair(photo, photo[:16, :12], flow), some)
    sides = np.array([36, 48])
    for (before,), (now,) in zip(flow.reshape(-1, 1, 2), after.reshape(-1, 1, 2), strict=True):
        place = (before + 1) / 2 * sides - 0.5
        column, row = found = np.rint((now + 1) / 2 * sides - 0.5).astype(int)
        offset = (found - ((now + 1) / 2 * sides - 0.5)) * some["zoom"]  # of rounding
        np.testing.assert_allclose(moved[row, column, :2], (place + offset) * (7, 5), atol=3)


def cut_out_rectangle():
    """A product image of 32 x 24 px in the middle of a photo of 64 x 48 px, at half its size."""
    product = np.full((32, 24, 3), 100, np.uint8)
    return augment.Pair(
        np.full((64, 48, 3), 100, np.uint8), product, None, Placement(np.full(2, 0.5), np.zeros(2))
    )


def test_a_rectangle_is_hidden_by_an_ellipse_of_its_own_photo():
    some = change(hidden=True, middle=0.5, axes=(0.3, 0.2), angle=0.0, origin=(0.5, 0.5))
    other = augment.Pair(np.full((64, 48, 3), 200, np.uint8), np.zeros((32, 24, 3), np.uint8))
    found = augment.change_pair(cut_out_rectangle(), some, other)
    # by hand: the garment has a quarter of the photo, 768 px, whose root is 27.7; so the half axes
    # are 8.3 and 5.5 px, and the ellipse has 144.8 px. The product image has the same pixels.
    hidden = (found.photo == 200).all(-1)
    assert abs(hidden.sum() - np.pi * 0.06 * 768) < 12
    rows, columns = np.nonzero(hidden)
    assert (np.ptp(columns) + 1, np.ptp(rows) + 1) in [(16, 11), (17, 11), (16, 10), (17, 12)]
    white = (found.product == 255).all(-1)
    np.testing.assert_array_equal(white, hidden[16:48, 12:36])


def test_a_rectangle_gets_the_pattern_of_another():
    some = change(patterned=True, tile=1.0)
    y, x = np.mgrid[:32, :24]
    stripes = np.where(y % 8 < 4, 60, 120)[..., None].repeat(3, -1).astype(np.uint8)
    other = augment.Pair(np.zeros((64, 48, 3), np.uint8), stripes)
    found = augment.change_pair(cut_out_rectangle(), some, other)
    # the middle half of the stripes, twice as large along both sides: periods of 16 rows
    rows = found.product[..., 0].astype(int)
    assert (np.ptp(rows, axis=1) == 0).all()
    assert ((rows[:, 0] > 90) == (np.arange(32) % 16 >= 8)).sum() >= 28
    # and the same in the photo, where the garment lies
    inside = found.photo[16:48, 12:36, 0].astype(int)
    np.testing.assert_allclose(inside[2:-2, 2:-2], rows[2:-2, 2:-2], atol=2)
    assert (found.photo[:15] == 100).all() and (found.photo[:, :11] == 100).all()

import numpy as np
import pytest

from keras_pixdt.data import augment

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
    pair = augment.Pair(picture(), picture(1, SIZE), grid((0.5, 0.5), (0.1, 0.0)))
    found = augment.change_pair(pair, augment.Pair(picture(2), picture(3, SIZE)), change(), True)
    for before, after in zip(pair, found, strict=True):
        np.testing.assert_array_equal(after, before)


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


# Garments whose outline in the photo is known


def grid(scale, shift, size=8):
    """A flow that is a scale and a shift of x and y."""
    middles = (np.arange(size) + 0.5) * (2 / size) - 1
    return np.stack(np.meshgrid(middles, middles), -1) * scale + shift


def dressed():
    """A red square of 20 px in a gray photo; its product image has a white hole in the middle."""
    photo = np.full((SIDE, SIDE, 3), 100, np.uint8)
    photo[8:28, 12:32] = RED
    product = np.full((SIZE, SIZE, 3), 255, np.uint8)
    product[:] = RED
    product[6:10, 6:10] = 255
    return augment.Pair(photo, product, grid((0.5, 0.5), (0.1, -0.1)))


RED, GREEN = (200, 50, 60), (60, 200, 50)
OTHER = augment.Pair(picture(2), np.full((SIZE, SIZE, 3), 70, np.uint8))


def changed(pair=None, cut_out=True, **fields):
    return augment.change_pair(pair or dressed(), OTHER, change(**fields), cut_out)


def test_an_outline_is_that_of_a_scale_and_a_shift():
    flow = grid((0.5, 0.7), (0.1, -0.2)).astype(np.float16)
    flow[:2] = np.nan
    outline = augment.Outline.of(flow)
    np.testing.assert_allclose(outline.scale, [0.5, 0.7], atol=2e-3)
    np.testing.assert_allclose(outline.shift, [0.1, -0.2], atol=2e-3)
    # by hand: pixel 3 of 4 has its middle at 0.75, so it lies at 0.475 and 0.325
    np.testing.assert_allclose(
        outline.from_photo(40, 4)[:, 3, 3], [1.475 * 20 - 0.5, 1.325 * 20 - 0.5], atol=0.05
    )


@pytest.mark.parametrize(
    "flow",
    [grid((0.5, 0.5), 0.0) + 0.03 * np.sin(8 * grid((1, 1), 0.0)), np.full((8, 8, 2), np.nan)],
    ids=["bent", "unknown"],
)
def test_other_flows_have_none(flow):
    assert augment.Outline.of(flow) is None
    pair = dressed()._replace(flow=flow)
    found = changed(pair, recoloured=True, patterned=True, hidden=True, tile=1.0)
    np.testing.assert_array_equal(found.photo, pair.photo)
    np.testing.assert_array_equal(found.product, pair.product)


def test_a_garment_gets_colours_of_its_own():
    own = np.zeros((), augment.CHANGE["own_colours"])
    own["gamma"], own["turn"] = 1.0, 1
    found = changed(recoloured=True, own_colours=own)
    np.testing.assert_array_equal(found.product[:6], np.broadcast_to(GREEN, (6, SIZE, 3)))
    np.testing.assert_array_equal(found.product[6:10, 6:10], 255)
    np.testing.assert_array_equal(found.photo[10:14, 14:30], np.broadcast_to(GREEN, (4, 16, 3)))
    np.testing.assert_array_equal(found.photo[17:19, 21:23], np.broadcast_to(RED, (2, 2, 3)))
    np.testing.assert_array_equal(found.photo[:7], 100)
    # Not where a flow says nothing about the garment's outline.
    drawn = changed(cut_out=False, recoloured=True, own_colours=own)
    np.testing.assert_array_equal(drawn.photo, dressed().photo)


def test_a_garment_gets_the_pattern_of_another_product():
    found = changed(patterned=True, tile=1.0)
    # A plain gray one; the garment is plain, so its shade is that of its mean.
    np.testing.assert_allclose(found.product[:6].astype(int), 70, atol=1)
    np.testing.assert_array_equal(found.product[6:10, 6:10], 255)
    np.testing.assert_allclose(found.photo[10:14, 14:30].astype(int), 70, atol=1)
    np.testing.assert_array_equal(found.photo[:7], 100)


def test_a_shaded_garment_stays_shaded_and_does_not_become_white():
    pair = dressed()
    pair.product[:, :8] //= 2
    white = augment.Pair(OTHER.photo, np.full((SIZE, SIZE, 3), 240, np.uint8))
    found = augment.change_pair(pair, white, change(patterned=True, tile=1.0), True)
    dark, light = found.product[0, 0].astype(int), found.product[0, -1].astype(int)
    assert (dark < 0.7 * light).all() and (light < 250).all()
    pale = augment.Pair(OTHER.photo, np.full((SIZE, SIZE, 3), 255, np.uint8))  # shows no garment
    kept = augment.change_pair(pair, pale, change(patterned=True, tile=1.0), True)
    np.testing.assert_array_equal(kept.product, pair.product)


def test_what_is_hidden_in_the_photo_is_white_in_the_product_image():
    found = changed(hidden=True, place=0.0, axes=(0.5, 0.5), origin=(0.5, 0.5))
    # The first pixel of the garment: its upper left corner. Half of the root of its area is 9.7 px.
    corner = np.array([12.0, 8.0])
    y, x = np.mgrid[:SIDE, :SIDE]
    inside = (x - corner[0]) ** 2 + (y - corner[1]) ** 2 < 9**2
    outside = (x - corner[0]) ** 2 + (y - corner[1]) ** 2 > 11**2
    assert (found.photo[inside] != dressed().photo[inside]).any(-1).mean() > 0.95
    np.testing.assert_array_equal(found.photo[outside], dressed().photo[outside])
    assert (found.product[:4, :4] == 255).all()  # 5 px of the photo
    np.testing.assert_array_equal(found.product[10:], dressed().product[10:])


@pytest.mark.parametrize("dtype", [np.float16, np.float32])
def test_unknown_places_stay_unknown(dtype):
    flow = np.array([[[np.nan, np.nan], [0.0, 0.0]]], dtype)
    found = augment.move_flow(flow, change(zoom=(0.5, 1.0), shift=(0.1, 0.0)))
    assert np.isnan(found[0, 0]).all()
    np.testing.assert_allclose(found[0, 1], [-0.4, 0.0], atol=1e-3)

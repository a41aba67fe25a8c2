import dataclasses

import numpy as np
import pytest
from PIL import Image, ImageFilter

from keras_pixdt.data import matching
from keras_pixdt.data.pairs import PairSet

SIDE, SIZE = 128, 64  # of photos and of product images, px


def picture(seed, side=SIDE):
    """Random spots: a photo in which no two places look alike."""
    noise = np.random.default_rng(seed).integers(0, 256, (side // 8, side // 8, 3), np.uint8)
    return np.asarray(Image.fromarray(noise).resize((side, side), Image.Resampling.BICUBIC))


def cut_out(photo, left, top, width, height):
    """A garment with a hole on white, cut from a box of a photo, px."""
    box = (left, top, left + width, top + height)
    part = Image.fromarray(photo).transform(
        (SIZE, SIZE), Image.Transform.EXTENT, box, Image.Resampling.BILINEAR
    )
    y, x = np.mgrid[:SIZE, :SIZE]
    garment = (abs(x - 32) < 26) & (abs(y - 30) < 28) & ((x - 40) ** 2 + (y - 20) ** 2 > 40)
    return np.where(garment[..., None], np.minimum(np.asarray(part), 240), 255).astype(np.uint8)


def pairs_of(photos, targets, target_index):
    ids = np.arange(len(targets))
    return PairSet(np.stack(photos), np.stack(targets), np.array(target_index), ids, ids)


@pytest.mark.parametrize(
    "box",
    [(20, 12, 80, 80), (5.5, 30.25, 47, 47), (-4, -3, 134, 134), (40, 20, 60, 63)],
    ids=["part", "small", "more than the photo", "stretched a little"],
)
def test_a_place_is_found_to_a_fraction_of_a_pixel(box):
    photo = picture(0)
    left, top, width, height = box
    (place,) = matching.find(cut_out(photo, *box), photo[None])
    assert place.found
    corners = np.array([[-1.0, -1.0], [1.0, 1.0]])
    found = (corners * place.scale + place.shift + 1) * SIDE / 2
    np.testing.assert_allclose(found, [[left, top], [left + width, top + height]], atol=0.7)


def test_the_whole_of_a_plain_garment_is_found_not_a_piece_of_it():
    photo = picture(1)
    photo = np.asarray(Image.fromarray(photo).filter(ImageFilter.GaussianBlur(1))).copy()
    photo[30:90, 40:100] = (20, 30, 90)
    target = np.full((SIZE, SIZE, 3), 255, np.uint8)
    target[8:56, 8:56] = (20, 30, 90)  # three quarters of its frame
    (place,) = matching.find(target, photo[None])
    assert place.found
    # A margin of the garment may lie beside it: only its inside counts.
    np.testing.assert_allclose(place.scale * 0.75 * SIDE, [60, 60], atol=6)


def test_another_photo_is_no_match():
    target = cut_out(picture(0), 20, 12, 80, 80)
    assert not any(place.found for place in matching.find(target, np.stack([picture(2)])))


def test_a_product_image_without_garment_has_no_place():
    white = np.full((SIZE, SIZE, 3), 255, np.uint8)
    (place,) = matching.find(white, picture(0)[None])
    assert not place.found


def test_flows_are_known_where_the_garment_is_and_of_pairs_that_match():
    photos = [picture(0), picture(1), picture(2)]
    targets = [cut_out(photos[0], 20, 12, 80, 80), cut_out(photos[1], 30, 20, 64, 64)]
    pairs = pairs_of(photos, targets, [0, 1, 1])
    flows = matching.with_flows(pairs).flows
    assert flows.shape == (3, matching.ROWS, matching.ROWS, 2) and flows.dtype == np.float16
    known = np.isfinite(flows).all(-1)
    # by hand: the garment's columns 7..57 and rows 3..57 of 64, two in a cell, without the hole
    assert known[0, 5, 5] and not known[0, 0, 0] and not known[0, 10, 20] and not known[0, 5, 1]
    assert not known[2].any()
    middle = ((np.array([10, 20]) + 0.5) / 32 * 80 + [20, 12]) / SIDE * 2 - 1  # column 10, row 20
    np.testing.assert_allclose(flows[0, 20, 10], middle, atol=0.01)


def test_nothing_is_added_where_most_pairs_do_not_match_or_flows_are_known():
    photos = [picture(0), picture(1), picture(2)]
    pairs = pairs_of(photos, [cut_out(photos[0], 20, 12, 80, 80)], [0, 0, 0])
    assert matching.with_flows(pairs) is pairs
    known = dataclasses.replace(pairs, flows=np.zeros((3, 4, 4, 2), np.float16))
    assert matching.with_flows(known) is known


def test_of_many_pairs_some_are_searched_the_same_ones_by_seed(monkeypatch):
    monkeypatch.setattr(matching, "MAX_PAIRS", 2)
    photo = picture(0)
    target = cut_out(photo, 20, 12, 80, 80)
    pairs = pairs_of([photo] * 6, [target], [0] * 6)
    found = [matching.with_flows(pairs, seed).flows for seed in (0, 0, 1)]
    searched = [np.isfinite(flows).any((1, 2, 3)) for flows in found]
    assert searched[0].sum() == searched[2].sum() == 2
    np.testing.assert_array_equal(searched[0], searched[1])
    assert (searched[0] != searched[2]).any()

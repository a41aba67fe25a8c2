import dataclasses

import numpy as np
import pytest
from PIL import Image, ImageFilter

from keras_pixdt import data
from keras_pixdt.data import matching
from keras_pixdt.data.images import garment_of
from keras_pixdt.data.pairs import PairSet
from tests.samples import InBatches

SIDE, SIZE = 128, 64  # of photos and of product images, px


def picture(seed, side=SIDE):
    """Random spots: a photo in which no two places look alike."""
    noise = np.random.default_rng(seed).integers(0, 241, (side // 8, side // 8, 3), np.uint8)
    return np.asarray(Image.fromarray(noise).resize((side, side), Image.Resampling.BICUBIC))


def cut_out(photo, left, top, width, height, whole=False):
    """A garment with a hole on white, cut from a box of a photo, px; or all of the box."""
    box = (left, top, left + width, top + height)
    part = Image.fromarray(photo).transform(
        (SIZE, SIZE), Image.Transform.EXTENT, box, Image.Resampling.BILINEAR
    )
    y, x = np.mgrid[:SIZE, :SIZE]
    garment = (abs(x - 32) < 26) & (abs(y - 30) < 28) & ((x - 40) ** 2 + (y - 20) ** 2 > 40)
    pixels = np.minimum(np.asarray(part), 240)
    return np.where(garment[..., None] | whole, pixels, 255).astype(np.uint8)


def pairs_of(photos, targets, target_index):
    ids = np.arange(len(targets))
    return PairSet(np.stack(photos), np.stack(targets), np.array(target_index), ids, ids)


def edges(match):
    """The box of a match in the photo, px."""
    corners = np.array([[-1.0, -1.0], [1.0, 1.0]])
    return (corners * match.placement.scale + match.placement.shift + 1) * SIDE / 2


@pytest.mark.parametrize(
    ("box", "whole"),
    [
        ((20, 12, 80, 80), False),
        ((5.5, 30.25, 47, 47), False),
        ((-4, -3, 134, 134), False),
        ((40, 20, 60, 63), False),
        ((3, 2, 122, 122), True),
        ((0, 0, 128, 128), True),
    ],
    ids=["part", "small", "beyond the photo", "stretched a little", "95%", "the whole photo"],
)
def test_a_place_is_found_to_a_fraction_of_a_pixel(box, whole):
    photo = picture(0)
    left, top, width, height = box
    (match,) = matching.find(cut_out(photo, *box, whole), photo[None])
    assert match.found
    expected = [[left, top], [left + width, top + height]]
    np.testing.assert_allclose(edges(match), expected, atol=0.7)


@pytest.mark.parametrize("side", [32, 256])
def test_photos_have_any_size(side):
    photo = np.asarray(Image.fromarray(picture(0)).resize((side, side)))
    (match,) = matching.find(cut_out(picture(0), 20, 12, 80, 80), photo[None])
    assert match.found
    np.testing.assert_allclose(edges(match), [[20, 12], [100, 92]], atol=1.5)


def test_rectangles_are_found_in_rectangles_of_their_proportions():
    """A photo of 96 x 128 px, and a garment that was cut from 42 x 56 px of it."""
    photo = picture(0)[:, :96]
    part = Image.fromarray(photo).transform(
        (48, 64), Image.Transform.EXTENT, (20, 30, 62, 86), Image.Resampling.BILINEAR
    )
    y, x = np.mgrid[:64, :48]
    garment = (abs(x - 24) < 20) & (abs(y - 30) < 28) & ((x - 30) ** 2 + (y - 20) ** 2 > 40)
    target = np.where(garment[..., None], np.minimum(part, 240), 255).astype(np.uint8)
    (match,) = matching.find(target, photo[None])
    assert match.found
    corners = np.array([[-1.0, -1.0], [1.0, 1.0]])
    found = (corners * match.placement.scale + match.placement.shift + 1) * (48, 64)
    np.testing.assert_allclose(found, [[20, 30], [62, 86]], atol=0.7)


def test_each_photo_of_a_product_has_a_place_of_its_own():
    photos = np.stack([np.roll(picture(0), shift, (0, 1)) for shift in ((0, 0), (8, -5))])
    first, second = matching.find(cut_out(picture(0), 30, 20, 60, 60), photos)
    np.testing.assert_allclose(edges(first), [[30, 20], [90, 80]], atol=0.7)
    np.testing.assert_allclose(edges(second), [[25, 28], [85, 88]], atol=0.7)


def test_the_whole_of_a_plain_garment_is_found_not_a_piece_of_it():
    photo = np.asarray(Image.fromarray(picture(1)).filter(ImageFilter.GaussianBlur(1))).copy()
    photo[30:90, 40:100] = (20, 30, 90)
    target = np.full((SIZE, SIZE, 3), 255, np.uint8)
    target[8:56, 8:56] = (20, 30, 90)  # three quarters of its frame
    (match,) = matching.find(target, photo[None])
    assert match.found
    # A margin of the garment may lie beside it: only its inside is compared.
    np.testing.assert_allclose(edges(match), [[30, 20], [110, 100]], atol=6)


def test_a_place_does_not_drift_away_where_all_places_look_alike():
    photo = np.full((SIDE, SIDE, 3), 90, np.uint8)
    photo += np.random.default_rng(0).integers(0, 3, photo.shape, np.uint8)
    (match,) = matching.find(cut_out(photo, 20, 12, 80, 80), photo[None])
    assert (match.placement.scale > 0.5).all()
    assert abs(edges(match) - SIDE / 2).max() < SIDE


def test_a_product_image_without_garment_has_no_place():
    white = np.full((SIZE, SIZE, 3), 255, np.uint8)
    (match,) = matching.find(white, picture(0)[None])
    assert not match.found


def test_placements_are_known_of_pairs_that_match():
    photos = [picture(0), picture(0), picture(1), picture(2)]
    targets = [cut_out(photos[0], 20, 12, 80, 80), cut_out(photos[2], 30, 20, 64, 64)]
    pairs = pairs_of(photos, targets, [0, 0, 1, 1])
    found = matching.with_placements(pairs).placements
    assert found.shape == (4, 2, 2) and found.dtype == np.float32
    assert np.isfinite(found[:3]).all() and np.isnan(found[3]).all()
    # by hand: 80 of 128 px; the middle of the box is at (60, 52)
    np.testing.assert_allclose(found[0], [[0.625, 0.625], [60 / 64 - 1, 52 / 64 - 1]], atol=0.01)


def test_nothing_is_added_where_most_pairs_do_not_match_or_the_truth_is_known():
    photos = [picture(0), picture(1), picture(2)]
    pairs = pairs_of(photos, [cut_out(photos[0], 20, 12, 80, 80)], [0, 0, 0])
    assert matching.with_placements(pairs) is pairs
    cut = pairs_of(photos[:1], [cut_out(photos[0], 20, 12, 80, 80)], [0])
    assert matching.with_placements(cut) is not cut
    for known in (
        {"flows": np.zeros((1, 4, 4, 2), np.float16)},
        {"masks": np.zeros((1, SIZE, SIZE), np.uint8)},
    ):
        drawn = dataclasses.replace(cut, **known)
        assert matching.with_placements(drawn) is drawn


@pytest.mark.parametrize("photo_size", [64, 128])
def test_drawn_garments_were_not_cut_out(photo_size):
    """The same garment in another picture: plain ones match here and there."""
    pairs = data.load_pairs("rendered", 64, num_products=20, photo_size=photo_size)["train"]
    assert matching.with_placements(pairs) is pairs


def test_of_many_pairs_some_are_searched(monkeypatch):
    monkeypatch.setattr(matching, "MAX_PAIRS", 2)
    photo = picture(0)
    target = cut_out(photo, 20, 12, 80, 80)
    found = matching.with_placements(pairs_of([photo] * 6, [target], [0] * 6)).placements
    assert np.isfinite(found).all((1, 2)).sum() == 2


def test_a_garment_is_what_is_not_white():
    image = np.array([[[255, 255, 249], [250, 250, 250], [0, 255, 255], [255, 255, 255]]], np.uint8)
    assert garment_of(image).tolist() == [[True, False, True, False]]


def test_placements_of_stored_pairs_are_the_same_and_read_in_parts():
    photos = [picture(0), picture(0), picture(1), picture(2)]
    targets = [cut_out(photos[0], 20, 12, 80, 80), cut_out(photos[2], 30, 20, 64, 64)]
    pairs = pairs_of(photos, targets, [0, 0, 1, 1])
    stored = dataclasses.replace(
        pairs, sources=InBatches(pairs.sources, 2), targets=InBatches(pairs.targets, 1)
    )
    found = matching.with_placements(stored)
    np.testing.assert_array_equal(found.placements, matching.with_placements(pairs).placements)
    assert found.sources is stored.sources

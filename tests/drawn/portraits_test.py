import numpy as np
import pytest

from keras_pixdt.drawn import portraits
from keras_pixdt.drawn.portraits import COUNTS, HAIRS, SKINS, Traits

SIZE = 32
PLAIN = Traits(skin=0, hair=0, style=0, beard=0, glasses=0, face=0, mouth=0)


def photo(traits, size=48):
    """A photo that differs from others by the traits alone: same head, pose, light and ground."""
    (found,) = portraits.draw_photos([portraits.Person(0, 0, traits)], 1, size, processes=1)
    return found[0].astype(int)


def where_changed(a, b):
    """The rows and columns, in shares of the side, between which two images differ."""
    rows, columns = np.nonzero(np.abs(a - b).max(axis=-1) > 25)
    assert len(rows), "nothing changed"
    side = len(a)
    return rows.min() / side, rows.max() / side, columns.min() / side, columns.max() / side


def test_photos_depend_on_the_person_and_the_view_alone():
    people = portraits.sample_people(3, seed=4)
    photos = portraits.draw_photos(people, 2, SIZE, processes=1)
    assert photos.shape == (3, 2, SIZE, SIZE, 3) and photos.dtype == np.uint8
    np.testing.assert_array_equal(portraits.draw_photos(people[1:], 1, SIZE, 1), photos[1:, :1])
    assert portraits.sample_people(2, seed=4) == people[:2]
    others = portraits.draw_photos(portraits.sample_people(1, seed=5), 1, SIZE, 1)
    assert (others[0, 0] != photos[0, 0]).any()
    assert (photos[0, 0] != photos[0, 1]).mean() > 0.5  # pose, light and ground


def test_traits_are_independent_and_equally_probable():
    traits = np.array([person.traits for person in portraits.sample_people(2_000)])
    for column, count in zip(traits.T, COUNTS, strict=True):
        expected = len(traits) / count
        deviation = np.sqrt(expected * (1 - 1 / count))
        assert (np.abs(np.bincount(column, minlength=count) - expected) < 4 * deviation).all()
    correlation = np.corrcoef(traits.T) - np.eye(len(COUNTS))
    assert np.abs(correlation).max() < 4 / np.sqrt(len(traits))


def test_a_trait_changes_its_part_of_the_photo():
    plain = photo(PLAIN)
    top, bottom, left, right = where_changed(plain, photo(PLAIN._replace(glasses=1)))
    assert 0.25 < top and bottom < 0.65 and right - left > 0.4  # across the eyes
    top, *_ = where_changed(plain, photo(PLAIN._replace(beard=1)))
    assert top > 0.55
    top, bottom, *_ = where_changed(plain, photo(PLAIN._replace(mouth=1)))
    assert top > 0.6 and bottom < 0.9
    # Pale skin is brighter than dark skin; the crown of a bald head has its colour.
    crown = (slice(10, 13), slice(22, 26))
    dark = photo(PLAIN._replace(skin=4, style=3))
    bald = photo(PLAIN._replace(style=3))
    assert bald[crown].mean() > dark[crown].mean() + 50 and dark[crown].mean() > plain[crown].mean()
    # A broad head covers more columns.
    broad, narrow = (photo(PLAIN._replace(style=3, face=face)) for face in (1, 0))
    *_, left, right = where_changed(broad, narrow)
    assert right - left > 0.4


def test_every_combination_of_traits_has_its_own_avatar():
    every = portraits.all_traits()
    assert len(every) == np.prod(COUNTS) == len(set(every))
    avatars = portraits.draw_avatars(every, SIZE)
    assert len(np.unique(avatars.reshape(len(avatars), -1), axis=0)) == len(every)
    forehead, crown = avatars[:, 12, 16], avatars[:, 6, 16]
    bald = np.array(every)[:, 2] == 3
    skin = np.rint(255 * np.array(SKINS))[[traits.skin for traits in every]]
    hair = np.rint(255 * np.array(HAIRS))[[traits.hair for traits in every]]
    np.testing.assert_array_equal(crown[~bald], hair[~bald])
    np.testing.assert_array_equal(crown[bald], skin[bald])
    np.testing.assert_array_equal(forehead, skin)


def test_nobody_and_no_views_are_refused():
    with pytest.raises(ValueError, match="`count` must be at least 1. Received: 0"):
        portraits.sample_people(0)
    with pytest.raises(ValueError, match="Received: 0 people, views=1"):
        portraits.draw_photos([], 1)
    with pytest.raises(ValueError, match="views=0"):
        portraits.draw_photos(portraits.sample_people(1), 0)

"""The README's first picture: which photos it shows, and where."""

import importlib.util
import pathlib
import types

import numpy as np
import pytest

pytest.importorskip("skimage")

SCRIPT = pathlib.Path(__file__).resolve().parents[2] / "docs" / "make_pictures.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("make_pictures", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def test_it_shows_the_first_product_of_each_kind_and_the_portrait(script):
    from keras_pixdt.drawn import rendered

    numbers = [3, 1, 4, 15, 9, 2, 6]
    run = types.SimpleNamespace(
        pairs=lambda: {"test": types.SimpleNamespace(product_id=np.array(numbers))},
        data={"seed": 5},
        convert_photo=lambda photo, size: np.full((size, size, 3), photo.mean(), np.uint8),
    )
    kinds = [rendered.sample_product(number, 5).category for number in numbers]
    first = [numbers[kinds.index(kind)] for kind in dict.fromkeys(kinds)][:2]
    assert len(first) == 2 and len(set(kinds)) < len(kinds)
    *worn, portrait = script.triples(run, 3)
    for number, (photo, drawn, product) in zip(first, worn, strict=True):
        expected = rendered.sample_product(number, 5)
        np.testing.assert_array_equal(product, rendered.draw_product(expected, 512))
        np.testing.assert_array_equal(photo, rendered.draw_person(expected, 0, 512))
        np.testing.assert_array_equal(drawn, int(photo.mean()))
    assert [image.shape for image in portrait] == [(512, 512, 3)] * 2


def test_triples_stand_beside_and_below_each_other(script):
    levels = np.arange(8, dtype=np.uint8) * 20
    images = [np.full((512, 512, 3), level, np.uint8) for level in levels]
    page = np.asarray(script.page([images[:3], images[3:6], images[6:]]))
    side = script.TILE_PX
    assert page.shape == (2 * side, 6 * side, 3)
    tiles = page[side // 2 :: side, side // 2 :: side, 0]
    np.testing.assert_array_equal(tiles, [levels[:6], [*levels[6:], 255, 255, 255, 255]])

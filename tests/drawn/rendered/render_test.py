import json
import re
import subprocess
import sys

import numpy as np
import pytest
from PIL import Image

from keras_pixdt.drawn import rendered


def _products(per_category):
    """The first products of each category."""
    chosen = {category: [] for category in rendered.CATEGORIES}
    product_id = 0
    while any(len(products) < per_category for products in chosen.values()):
        product = rendered.sample_product(product_id)
        if len(chosen[product.category]) < per_category:
            chosen[product.category].append(product)
        product_id += 1
    return [product for products in chosen.values() for product in products]


def _ids(product):
    return f"{product.product_id}-{product.category}"


@pytest.mark.parametrize("size", [64, 100, 256])
def test_shapes_and_dtype(size):
    product = rendered.sample_product(0)
    for image in (rendered.draw_product(product, size), rendered.draw_person(product, 0, size)):
        assert image.shape == (size, size, 3)
        assert image.dtype == np.uint8


def test_set_does_not_depend_on_the_number_of_processes():
    one = list(rendered.render(20, 64, seed=3, processes=1))
    two = list(rendered.render(20, 64, seed=3, processes=2))
    assert [d.product for d in one] == [rendered.sample_product(i, 3) for i in range(20)]
    for a, b in zip(one, two, strict=True):
        assert a.product == b.product
        np.testing.assert_array_equal(a.target, b.target)
        np.testing.assert_array_equal(a.sources, b.sources)


def test_picture_does_not_depend_on_what_was_drawn_before():
    (alone,) = rendered.render(1, 64, seed=3, processes=1, first_product=17)
    product = rendered.sample_product(17, 3)
    assert alone.product == product
    views = reversed(range(rendered.num_views(product)))
    backward = [rendered.draw_person(product, view, 64) for view in views]
    np.testing.assert_array_equal(alone.sources, np.stack(backward[::-1]))
    np.testing.assert_array_equal(alone.target, rendered.draw_product(product, 64))


def test_views_of_a_product_differ():
    product = rendered.sample_product(5)
    views = [rendered.draw_person(product, view).astype(float) for view in range(6)]
    for i, a in enumerate(views):
        for b in views[:i]:
            assert np.abs(a - b).mean() > 10


@pytest.mark.parametrize("product", _products(2), ids=_ids)
def test_product_lies_whole_on_white(product):
    image = rendered.draw_product(product, 64)
    border = np.concatenate([image[0], image[-1], image[:, 0], image[:, -1]])
    assert (border == 255).all()
    share = (image < 250).any(axis=2).mean()
    assert 0.12 < share < 0.75


def test_light_garments_read_on_white():
    products = map(rendered.sample_product, range(400))
    white = [p for p in products if p.color == "white" and p.pattern == "plain"]
    assert len(white) >= 3
    for product in white:
        darkest = rendered.draw_product(product, 64).astype(int).min(axis=2)
        # Each row of the garment begins with an outline that is clearly darker than white.
        rows = np.flatnonzero((darkest < 250).any(axis=1))[4:-4]
        first = [np.flatnonzero(darkest[y] < 250)[0] for y in rows]
        outline = [darkest[y, x : x + 3].min() for y, x in zip(rows, first, strict=True)]
        assert np.mean(outline) < 205


@pytest.mark.parametrize("product", _products(2), ids=_ids)
def test_person_wears_the_product(product):
    # Main colour of the product image: that of its fabric, which the light changes little.
    target = rendered.draw_product(product, 64).reshape(-1, 3)
    fabric = np.median(target[(target < 235).any(axis=1)], axis=0)

    def share(image, color):
        # Compare without brightness, which the light of the photo changes, then with a wide one.
        pixels = image.reshape(-1, 3).astype(float)
        tone = pixels / (pixels.sum(axis=1, keepdims=True) + 30)
        same_tone = np.abs(tone - color / (color.sum() + 30)).max(axis=1) < 0.07
        return (same_tone & (np.abs(pixels - color).max(axis=1) < 90)).mean()

    shares = [share(rendered.draw_person(product, view, 64), fabric) for view in range(6)]
    assert np.median(shares) > 0.04


@pytest.mark.parametrize("product", _products(1), ids=_ids)
def test_background_is_never_one_color(product):
    for view in range(6):
        image = rendered.draw_person(product, view, 64).astype(float)
        sides = np.concatenate([image[:, :6], image[:, -6:]], axis=1).reshape(-1, 3)
        assert sides.std(axis=0).max() > 2


@pytest.mark.parametrize(
    ("call", "message"),
    [
        (lambda: rendered.draw_product(rendered.sample_product(0), 8), "image_size=8"),
        (lambda: rendered.draw_person(rendered.sample_product(0), 0, 2000), "image_size=2000"),
        (lambda: rendered.draw_person(rendered.sample_product(0), -1), "view=-1"),
        # Wrong arguments are refused when `render` is called, not when the first is drawn.
        (lambda: rendered.render(-1), "num_products=-1"),
        (lambda: rendered.render(1, first_product=-2), "first_product=-2"),
        (lambda: rendered.render(1, processes=0), "processes=0"),
        (lambda: rendered.render(1, image_size=0), "image_size=0"),
    ],
)
def test_wrong_arguments_are_refused(call, message):
    with pytest.raises(ValueError, match=message):
        call()


def test_no_products_is_an_empty_set():
    assert list(rendered.render(0)) == []


def test_write_lookbook_names_pairs_as_lookbook_does(tmp_path):
    rendered.write_lookbook(tmp_path / "set", 3, image_size=64, seed=2, processes=1)
    files = sorted(path.name for path in (tmp_path / "set").glob("*.jpg"))
    pattern = re.compile(r"PID(\d{6})_CLEAN([01])_IID(\d{6})\.jpg")
    parts = [pattern.fullmatch(name).groups() for name in files]
    assert len({iid for *_, iid in parts}) == len(files)
    for product_id in range(3):
        product = rendered.sample_product(product_id, 2)
        kinds = [clean for pid, clean, _ in parts if int(pid) == product_id]
        assert kinds.count("1") == 1
        assert kinds.count("0") == rendered.num_views(product)
    listed = json.loads((tmp_path / "set" / "products.json").read_text())
    assert [entry["pid"] for entry in listed] == [0, 1, 2]
    assert listed[1]["category"] == rendered.sample_product(1, 2).category
    target = next(name for name in files if "PID000001_CLEAN1" in name)
    written = np.asarray(Image.open(tmp_path / "set" / target), float)
    drawn = rendered.draw_product(rendered.sample_product(1, 2), 64)
    assert np.abs(written - drawn).mean() < 4  # JPEG


def test_import_brings_neither_keras_nor_tensorflow():
    code = (
        "import sys, keras_pixdt.drawn.rendered\n"
        "sys.exit(any(name in sys.modules for name in ('keras', 'tensorflow')))"
    )
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

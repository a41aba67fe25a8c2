import collections

import pytest

from keras_pixdt.drawn import rendered
from keras_pixdt.drawn.rendered.product import color_distance


def test_product_depends_on_its_id_and_seed_only():
    ahead = [rendered.sample_product(i, seed=4) for i in range(20)]
    backward = [rendered.sample_product(i, seed=4) for i in reversed(range(20))]
    assert ahead == backward[::-1]
    assert all(a != rendered.sample_product(a.product_id, seed=5) for a in ahead)


def test_every_category_pattern_and_color_occurs():
    products = [rendered.sample_product(i) for i in range(1500)]
    counts = collections.Counter(p.category for p in products)
    assert set(counts) == set(rendered.CATEGORIES)
    assert len(counts) >= 8
    # Drawn evenly: none has less than two thirds of its share.
    assert min(counts.values()) > 1500 / len(counts) * 2 / 3
    assert {p.pattern for p in products} == set(rendered.PATTERNS)
    assert {p.color for p in products} == set(rendered.PALETTE)


def test_products_are_almost_never_identical():
    products = [rendered.sample_product(i) for i in range(2000)]
    looks = {(p.category, p.pattern, p.rgb, p.second_rgb, p.length, p.hem) for p in products}
    assert len(looks) == len(products)


def test_second_color_is_told_from_the_first():
    for i in range(300):
        product = rendered.sample_product(i)
        first, second = rendered.PALETTE[product.color], rendered.PALETTE[product.second_color]
        assert color_distance(first, second) > 150, product


def test_attributes_say_what_is_seen():
    for i in range(300):
        product = rendered.sample_product(i)
        attributes = product.attributes()
        assert attributes["category"] == product.category
        assert attributes["color"] in rendered.PALETTE
        assert all(isinstance(value, str) and value for value in attributes.values())
        assert (attributes["print"] != "none") == (product.pattern in ("logo", "letters"))
        if product.pattern != "plain":
            assert attributes["second_color"] != "none"
    sleeves = {p.category: p.sleeve for p in map(rendered.sample_product, range(300)) if p.category}
    assert sleeves["tank top"] == "none"
    assert sleeves["t-shirt"] == "short"
    assert sleeves["coat"] == "long"


def test_negative_id_is_refused_with_its_value():
    with pytest.raises(ValueError, match="product_id=-1"):
        rendered.sample_product(-1)


def test_views_are_eight_on_average():
    views = [rendered.num_views(rendered.sample_product(i)) for i in range(1000)]
    assert abs(sum(views) / len(views) - 8) < 0.2
    assert min(views) == 6
    assert max(views) == 10

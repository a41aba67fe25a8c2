"""The judge of converted images: what it learns, what it counts, and that it is kept whole."""

import keras
import numpy as np
import pytest

from keras_pixdt.data.images import to_float
from keras_pixdt.judges import attributes as module
from keras_pixdt.judges.attributes import (
    AttributeClassifier,
    attribute_scores,
    train_attribute_classifier,
)
from tests.samples import InBatches

SIZE = 32
COLORS = {"red": (200, 30, 30), "blue": (30, 30, 200), "green": (30, 150, 60)}


def garments(count, seed=0):
    """Wide, tall or square boxes in three colors, plain or striped, on white."""
    rng = np.random.default_rng(seed)
    images, attributes = np.full((count, SIZE, SIZE, 3), 255, np.uint8), []
    for image in images:
        category = rng.choice(["wide", "tall"])
        height, width = (10, 24) if category == "wide" else (24, 10)
        top, left = rng.integers(3, SIZE - 3 - height), rng.integers(3, SIZE - 3 - width)
        box = image[top : top + height, left : left + width]
        color = str(rng.choice(list(COLORS)))
        box[:] = COLORS[color]
        pattern = str(rng.choice(["plain", "striped"]))
        if pattern == "striped":
            box[np.arange(height) % 6 < 3] = 240
        attributes.append({"category": str(category), "pattern": pattern, "color": color})
    return images, attributes


@pytest.fixture(scope="module")
def trained():
    images, attributes = garments(160)
    # What is not known of a product, and what nobody asks for.
    attributes = [a | {"pattern": ""} if i % 4 == 0 else a for i, a in enumerate(attributes)]
    attributes = [
        {k: v for k, v in a.items() if k != "color" or i % 5} | {"sleeve": str(i % 2)}
        for i, a in enumerate(attributes)
    ]
    return train_attribute_classifier(images, attributes, epochs=12, width=0.5, seed=1)


# What is refused


@pytest.mark.parametrize(
    "images",
    [
        garments(3)[0].astype("float32"),
        garments(3)[0][..., :1],
        garments(3)[0][0],
        garments(3)[0][:0],
    ],
)
def test_bad_images_are_refused(images):
    with pytest.raises(ValueError, match="one or more uint8 images .*Received: "):
        train_attribute_classifier(images, garments(3)[1])


def test_attributes_must_fit_the_images(trained):
    images, attributes = garments(3)
    with pytest.raises(ValueError, match="one mapping for each .*Received: 2 for 3 images"):
        train_attribute_classifier(images, attributes[:2])
    with pytest.raises(ValueError, match="Received: 2 for 3 images"):
        attribute_scores(trained, images, attributes[:2])
    with pytest.raises(ValueError, match="Received: 0 for 0 images"):
        attribute_scores(trained, images[:0], [])


def test_attributes_must_tell_products_apart():
    images, _ = garments(3)
    message = r"category, pattern, color\. Received the keys: "
    with pytest.raises(ValueError, match=message + "none"):
        train_attribute_classifier(images, [{}] * 3)
    with pytest.raises(ValueError, match=message + r"\['category', 'sleeve'\]"):
        train_attribute_classifier(images, [{"category": "coat", "sleeve": s} for s in "abc"])


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"classes": {}}, "one or more attributes.*Received: {}"),
        ({"classes": {"color": []}}, "Received: {'color': "),
        ({"classes": {"color": ["a", "b"]}, "image_size": 40}, "multiple of 16. Received: 40"),
        ({"classes": {"color": ["a", "b"]}, "width": 0}, "above 0. Received: 0"),
    ],
)
def test_bad_arguments_are_refused(arguments, message):
    with pytest.raises(ValueError, match=message):
        AttributeClassifier(**arguments)


# What it learns from


def test_heads_are_of_attributes_with_two_classes_the_most_frequent_first():
    attributes = [
        {"category": "coat", "color": "red", "sleeve": "long"},
        {"category": "coat", "color": "blue"},
        {"category": "coat", "color": "blue", "pattern": ""},
        {"color": "black", "pattern": "dots"},
    ]
    assert module._classes(attributes) == {"color": ["blue", "black", "red"]}
    assert module._labels(attributes, "category", ["dress", "coat"]).tolist() == [1, 1, 1, -1]


def test_what_is_not_known_costs_nothing():
    logits = np.random.default_rng(0).normal(size=(4, 3)).astype("float32")
    labels = np.array([2, -1, 0, -1])
    shares = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = [-np.log(shares[0, 2]), 0, -np.log(shares[2, 0]), 0]
    for shape in ((4,), (4, 1)):
        loss = module.cross_entropy_where_known(labels.reshape(shape), logits)
        np.testing.assert_allclose(keras.ops.convert_to_numpy(loss), expected, rtol=1e-5)


def test_every_epoch_shows_each_image_once_and_is_reproducible(monkeypatch):
    monkeypatch.setattr(module, "distort", lambda ink, *_: ink)
    images = np.broadcast_to(np.arange(12)[:, None, None, None], (12, 16, 16, 3)).astype(np.uint8)
    labels = {"color": np.arange(12)}
    views = module._Views(images, labels, 16, batch_size=4, epochs=2, seed=3)
    again = module._Views(images, labels, 16, batch_size=4, epochs=2, seed=3)
    assert len(views) == 6
    orders = []
    for index in range(6):
        x, y = views[index]
        np.testing.assert_allclose(x[:, 0, 0, 0], 1 - y["color"] / 255, atol=1e-6)
        np.testing.assert_array_equal(again[index][1]["color"], y["color"])
        orders.append(y["color"])
    first, second = np.concatenate(orders[:3]), np.concatenate(orders[3:])
    assert sorted(first) == sorted(second) == list(range(12))
    assert (first != second).any()


# What it has learned


def test_it_knows_products_that_it_has_not_seen(trained):
    assert {name: set(names) for name, names in trained.classes.items()} == {
        "category": {"wide", "tall"},
        "pattern": {"plain", "striped"},
        "color": set(COLORS),
    }
    images, attributes = garments(90, seed=7)
    scores = attribute_scores(trained, images, attributes)
    assert scores["cat"] > 0.9 and scores["att"] > 0.9
    assert scores["chance_cat"] < 0.7


def test_scores_are_shares_of_what_is_known(trained, monkeypatch):
    trained_classes = {
        "category": ("coat", "dress"),
        "pattern": ("plain", "dots"),
        "color": ("red", "blue", "green"),
    }
    monkeypatch.setattr(trained, "classes", trained_classes)
    attributes = [
        {"category": "coat", "pattern": "plain", "color": "blue"},
        {"category": "dress", "pattern": "dots", "color": "red"},
        {"category": "dress", "color": "green"},
        {"category": "cape", "color": "red"},  # a class that no training product had
    ]
    predicted = np.array([[0, 1, 1], [1, 1, 2], [1, 0, 2], [0, 0, 1]])
    assert module.score_classes(trained, predicted, attributes) == {
        "cat": 3 / 4,
        "att": (1 / 2 + 2 / 4) / 2,
        "classified_category": 3 / 4,
        "classified_pattern": 1 / 2,
        "classified_color": 2 / 4,
        "chance_cat": 1 / 4,
        "chance_att": (1 / 2 + 2 / 4) / 2,
        "chance_classified_category": 1 / 4,
        "chance_classified_pattern": 1 / 2,
        "chance_classified_color": 2 / 4,
    }
    # Category: right, right, right, wrong: sqrt(3 / 4 * 1 / 4 / 3). Pattern: one of two known.
    # Of `att`, what each image adds: (0, 1) - 1 / 2 of the pattern, doubled as two of four are
    # known, and (1, 0, 1, 0) - 1 / 2 of the color, halved: residuals -1/4, 1/4, 1/4, -1/4.
    errors = module.standard_errors(trained, predicted, attributes)
    assert errors == {
        "cat": pytest.approx(1 / 4),
        "att": pytest.approx(np.sqrt(4 / 3 * 4 / 16) / 4),
        "classified_category": pytest.approx(1 / 4),
        "classified_pattern": pytest.approx(1 / 2),
        "classified_color": pytest.approx(np.sqrt(1 / 4 / 3)),
    }
    # Two photos of each of two products: residuals of `cat` 1/4, 1/4, 1/4, -3/4.
    grouped = module.standard_errors(trained, predicted, attributes, np.array([3, 3, 8, 8]))
    assert grouped["cat"] == pytest.approx(np.sqrt(2 * (1 / 4 + 1 / 4)) / 4)
    assert grouped["att"] == 0 and "classified_pattern" not in grouped  # of one product only
    unknown = module.score_classes(trained, predicted, [{}] * 4)
    assert set(unknown.values()) == {None} and len(unknown) == 10
    assert module.standard_errors(trained, predicted, [{}] * 4) == {}


def test_an_attribute_without_a_head_has_no_score():
    classifier = AttributeClassifier({"category": ["coat", "dress"]}, 16, 0.25)
    images, _ = garments(5)
    scores = attribute_scores(classifier, images, [{"category": "coat", "color": "red"}] * 5)
    assert scores["chance_cat"] == 1.0 and scores["att"] is scores["chance_att"] is None
    assert {"classified_category", "cat"} < set(scores) and "classified_color" not in scores


# What is kept


def test_saved_and_loaded_it_says_the_same(trained, tmp_path):
    path = tmp_path / "classifier.keras"
    trained.save(path)
    loaded = keras.models.load_model(path)
    assert type(loaded) is AttributeClassifier and loaded.get_config() == trained.get_config()
    assert loaded.classes == trained.classes and not loaded.compiled
    x = to_float(garments(5, seed=3)[0])
    expected, found = trained.predict_on_batch(x), loaded.predict_on_batch(x)
    for name in trained.classes:
        np.testing.assert_array_equal(found[name], expected[name])


@pytest.mark.slow
def test_the_seed_decides_whatever_came_before():
    images, attributes = garments(16)
    options = {"epochs": 1, "batch_size": 8, "width": 0.25}
    weights = []
    for global_seed in (0, 5):
        keras.utils.set_random_seed(global_seed)
        classifier = train_attribute_classifier(images, attributes, seed=1, **options)
        weights.append(np.concatenate([np.ravel(w) for w in classifier.get_weights()]))
    np.testing.assert_allclose(*weights, rtol=1e-4, atol=1e-6)
    classes = {"color": ["red", "blue"]}
    first, second = (AttributeClassifier(classes, 16, 0.25, seed=s).get_weights() for s in (0, 1))
    assert np.abs(first[0] - second[0]).max() > 0.01


def test_output_does_not_depend_on_the_global_policy():
    classes = {"color": ["red", "blue"]}
    try:
        keras.config.set_dtype_policy("mixed_bfloat16")
        classifier = AttributeClassifier(classes, 16, 0.25)
    finally:
        keras.config.set_dtype_policy("float32")
    plain = AttributeClassifier(classes, 16, 0.25)
    x = to_float(garments(4)[0])
    logits = [model.predict_on_batch(x)["color"] for model in (classifier, plain)]
    np.testing.assert_array_equal(*logits)


def test_stored_images_are_read_in_batches_and_give_the_same_classifier():
    images, attributes = garments(20)
    found, expected = (
        train_attribute_classifier(each, attributes, epochs=1, batch_size=8, width=1 / 8)
        for each in (InBatches(images, 8), images)
    )
    for weight, value in zip(found.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, value)

import dataclasses
import json

import keras
import numpy as np
import pytest

from keras_pixdt.data.images import to_float
from keras_pixdt.data.pairs import PairSet
from keras_pixdt.metrics import fid, kid
from keras_pixdt.metrics.perceptual import LPIPS
from keras_pixdt.training.evaluation import evaluate
from tests.samples import InBatches

SIZE = 16


class Colors(keras.Model):
    """Embeds an image as its mean colour, around gray: similarities can be told by hand."""

    def call(self, images):
        return keras.ops.mean(images, axis=(1, 2))


def pair_set(products, photos=3, seed=0, first_id=0, group_id=None):
    """Products of one random colour each; a photo is its product, inverted."""
    rng = np.random.default_rng(seed)
    colors = rng.integers(0, 256, (products, 1, 1, 3))
    targets = np.broadcast_to(colors, (products, SIZE, SIZE, 3)).astype(np.uint8)
    if group_id is not None:
        targets = targets[np.asarray(group_id) - min(group_id)]
    index = np.repeat(np.arange(products), photos)
    ids = np.arange(products) + first_id
    return PairSet(
        sources=255 - targets[index],
        targets=targets,
        target_index=index,
        product_id=ids,
        group_id=ids if group_id is None else np.asarray(group_id),
    )


@pytest.fixture
def splits():
    return {"train": pair_set(30, seed=1, first_id=100), "test": pair_set(24)}


def invert(images):
    assert images.dtype == np.float32
    return -images


def test_the_right_product_for_every_photo_scores_perfectly(splits):
    scores = evaluate(invert, splits, embedder=Colors(), batch_size=7)
    assert json.loads(json.dumps(scores)) == scores
    assert scores["rmse"] == pytest.approx(0.0, abs=1e-6)
    assert scores["ssim"] == pytest.approx(1.0, abs=1e-5)
    assert scores["c_ssim"] == pytest.approx(1.0, abs=1e-5)
    for k in (1, 5, 10, 20):
        assert scores[f"recall@{k}"] == 1.0
    assert "recall@60" not in scores  # the gallery has 24 images
    assert scores["median_rank"] == 1.0
    assert scores["consistency"] == 1.0
    assert abs(scores["kid_mean"]) < scores["kid_std"]
    assert 0 <= scores["fid"] < 0.2
    assert (scores["num_images"], scores["gallery_size"]) == (72, 24)
    assert scores["chance_recall@10"] == 10 / 24
    assert (scores["split"], scores["gallery"], scores["notes"]) == ("test", "split", {})


def test_photos_are_searched_by_as_they_are(splits):
    # The photo of a product is its inverted colour: what it finds follows by hand.
    pairs = splits["test"]
    colors = to_float(pairs.targets)[:, 0, 0]
    unit = colors / np.linalg.norm(colors, axis=1, keepdims=True)
    similar = -unit @ unit.T  # of the photos of each product, with each product
    rank = np.repeat(np.sum(similar >= np.diag(similar)[:, None], axis=1), 3)
    scores = evaluate(invert, splits, embedder=Colors())
    assert scores["photo_recall@10"] == pytest.approx(np.mean(rank <= 10))
    assert scores["photo_median_rank"] == np.median(rank) > scores["median_rank"]
    unconverted = evaluate(lambda x: x, splits, embedder=Colors())
    assert unconverted["photo_recall@10"] == unconverted["recall@10"]
    assert unconverted["photo_median_rank"] == unconverted["median_rank"]


def test_one_image_for_every_photo_scores_at_chance_or_below(splits):
    good = evaluate(invert, splits, embedder=Colors())
    scores = evaluate(lambda x: np.full_like(x, 0.5), splits, embedder=Colors())
    assert scores["recall@1"] <= 1 / 24 + 1e-9
    assert scores["recall@10"] == pytest.approx(10 / 24)
    assert scores["consistency"] == 0.0
    assert scores["kid_mean"] > 10 * abs(good["kid_mean"])
    assert scores["fid"] > 10 * good["fid"]
    targets = to_float(splits["test"].targets)
    expected = np.sqrt(np.mean((targets - 0.5) ** 2, axis=(1, 2, 3))).mean() / 2
    assert scores["rmse"] == pytest.approx(expected, rel=1e-5)


def test_standard_errors_are_of_products_not_of_photos(splits):
    """Of 24 products with 3 photos each, some are converted to gray: by hand from the scores."""
    pairs = splits["test"]
    wrong = np.random.default_rng(2).random(len(pairs)) < 0.4
    done = []

    def convert(images):
        converted = -images
        converted[wrong[len(done) : len(done) + len(images)]] = 0.5
        done.extend(images)
        return converted

    scores = evaluate(convert, splits, embedder=Colors(), batch_size=50)
    errors = scores["standard_errors"]
    truth = pairs.target_index

    def by_hand(values):
        sums = np.array([(values - values.mean())[truth == row].sum() for row in range(24)])
        return np.sqrt(24 / 23 * np.square(sums).sum()) / len(values)

    targets = to_float(pairs.targets[truth])
    rmse = np.where(wrong, np.sqrt(np.square(targets - 0.5).mean(axis=(1, 2, 3))), 0) / 2
    assert scores["rmse"] == pytest.approx(rmse.mean(), rel=1e-5)
    assert errors["rmse"] == pytest.approx(by_hand(rmse), rel=1e-4)
    # An image of gray is as near to its product as gray is to the product's colour.
    gray = np.full(3, 1 / np.sqrt(3))
    colors = to_float(pairs.targets)[:, 0, 0]
    unit = colors / np.linalg.norm(colors, axis=1, keepdims=True)
    similar = unit @ gray
    of_gray = np.array([np.sum(similar >= s - 1e-6) for s in similar])
    rank = np.where(wrong, of_gray[truth], 1)
    for k in (1, 5, 10, 20):
        assert errors[f"recall@{k}"] == pytest.approx(by_hand(rank <= k))
    assert errors["recall@10"] != pytest.approx(np.std(rank <= 10) / np.sqrt(72), rel=0.05)
    assert errors["kid_mean"] == scores["kid_std"]
    assert 0 < errors["consistency"] < 0.1
    assert set(errors) == {
        "rmse", "ssim", "c_ssim", "recall@1", "recall@5", "recall@10", "recall@20",
        "photo_recall@10", "kid_mean", "consistency",
    }  # fmt: skip


def test_the_error_of_consistency_is_that_of_other_products():
    """By simulation: how much it varies between splits of other products."""
    found, errors = [], []
    for seed in range(40):
        pairs = {"test": pair_set(40, photos=4, seed=seed)}

        def noisy(images):
            noise = np.random.default_rng(len(found)).normal(0, 0.5, (len(images), 1, 1, 3))
            return np.clip(noise - images, -1, 1).astype(np.float32)

        scores = evaluate(noisy, pairs, embedder=Colors(), batch_size=160)
        found.append(scores["consistency"])
        errors.append(scores["standard_errors"]["consistency"])
    assert 0.8 < np.mean(errors) / np.std(found) < 1.6


def test_without_a_second_product_there_are_no_standard_errors():
    assert evaluate(invert, {"test": pair_set(1)}, embedder=Colors())["standard_errors"] == {}


def test_gallery_of_all_splits(splits):
    # Two of three converted images show a product of the training split.
    wrong = to_float(splits["train"].targets[:1])

    def convert(images):
        converted = -images
        converted[np.arange(len(images)) % 3 > 0] = wrong
        return converted

    scores = evaluate(convert, splits, gallery="all", embedder=Colors(), batch_size=72)
    assert scores["gallery_size"] == 54
    assert scores["chance_recall@10"] == 10 / 54
    assert scores["recall@1"] == pytest.approx(1 / 3)
    assert scores["gallery"] == "all"
    # The distribution is that of all product images, whatever is searched.
    split_only = evaluate(convert, splits, embedder=Colors(), batch_size=72)
    assert scores["kid_mean"] == split_only["kid_mean"]


def test_more_photos_of_a_product_do_not_count_as_lack_of_variety(splits):
    more = splits | {"test": pair_set(24, photos=9)}
    few, many = (evaluate(invert, pairs, embedder=Colors())["kid_mean"] for pairs in (splits, more))
    assert few == many


def test_duplicates_of_a_product_are_one_gallery_entry():
    # Products 0 and 2, 1 and 3 are duplicates: without grouping no rank would be 1.
    pairs = {"test": pair_set(4, group_id=[8, 9, 8, 9]), "train": pair_set(2, seed=1)}
    scores = evaluate(invert, pairs, embedder=Colors())
    assert scores["gallery_size"] == 2
    assert scores["recall@1"] == 1.0
    assert evaluate(invert, pairs, embedder=Colors(), gallery="all")["gallery_size"] == 4


def test_split_of_few_images_names_what_is_not_defined():
    scores = evaluate(invert, {"test": pair_set(2, photos=1)}, embedder=Colors())
    assert [scores[name] for name in ("kid_mean", "kid_std", "consistency")] == [None] * 3
    assert "at least 20" in scores["notes"]["kid_mean"]
    # Two products, of features in three dimensions.
    assert scores["fid"] is None and "dimensions, 3, there are 2" in scores["notes"]["fid"]
    assert "two photos of one product" in scores["notes"]["consistency"]
    assert scores["recall@1"] == 1.0
    assert "recall@5" not in scores  # the gallery has two images
    assert "photo_recall@10" not in scores and scores["photo_median_rank"] == 2.0
    assert scores["chance_recall@10"] == 1.0
    assert json.loads(json.dumps(scores)) == scores


def test_without_embedder_only_pixels_are_scored(splits):
    scores = evaluate(invert, splits)
    assert scores["rmse"] == pytest.approx(0.0, abs=1e-6)
    assert scores["recall@10"] is None and scores["notes"]["recall@10"] == "needs an embedder"
    assert set(scores) == set(evaluate(invert, splits, embedder=Colors()))


def test_masks_that_are_found_are_compared_with_the_products(splits):
    def everywhere(photos):
        return np.ones((len(photos), SIZE, SIZE, 1), "float32")

    assert "mask_iou" not in evaluate(invert, splits)
    masks = np.zeros((24, SIZE, SIZE), np.uint8)
    masks[:, : SIZE // 4] = 255
    known = {"test": dataclasses.replace(splits["test"], masks=masks)}
    assert evaluate(invert, known, find_masks=everywhere)["mask_iou"] == pytest.approx(0.25)
    splits["test"].targets.setflags(write=True)
    splits["test"].targets[:12, :, : SIZE // 2] = 255  # white ground, beside other colours
    scores = evaluate(invert, splits, find_masks=everywhere, batch_size=5)
    assert scores["mask_iou"] == pytest.approx(0.75)
    assert scores["standard_errors"]["mask_iou"] > 0


def test_perceptual_distances_are_means_with_errors_over_products(splits):
    pairs = splits["test"]
    of_product = np.arange(24) / 100
    told = []

    def distance(targets, converted):
        """By hand, of each product; equal to what it compares."""
        np.testing.assert_allclose(targets, converted, atol=1e-6)
        rows = pairs.target_index[len(told) : len(told) + len(targets)]
        told.extend(rows)
        return of_product[rows].astype("float32")

    given = {"lpips": distance, "dists": "its weights are missing"}
    scores = evaluate(invert, splits, perceptual=given, batch_size=10)
    assert json.loads(json.dumps(scores)) == scores
    assert set(scores) - set(evaluate(invert, splits)) == {"lpips", "dists"}
    assert scores["lpips"] == pytest.approx(of_product.mean())
    error = of_product.std(ddof=1) / np.sqrt(24)
    assert scores["standard_errors"]["lpips"] == pytest.approx(error, rel=1e-4)
    assert scores["dists"] is None and scores["notes"]["dists"] == "its weights are missing"
    assert "dists" not in scores["standard_errors"]
    told.clear()
    swapped = evaluate(lambda x: -x, splits, perceptual=given, reverse=True)
    assert swapped["lpips"] == pytest.approx(of_product.mean())


def test_images_too_small_for_perceptual_distances_get_the_other_scores(splits):
    pairs = splits["test"]
    narrow = dataclasses.replace(
        pairs, sources=pairs.sources[:, :, 2:14], targets=pairs.targets[:, :, 2:14]
    )
    given = {"lpips": LPIPS([], [])}
    scores = evaluate(invert, {**splits, "test": narrow}, perceptual=given)
    assert scores["rmse"] == pytest.approx(0, abs=1e-6) and scores["lpips"] is None
    assert scores["notes"]["lpips"] == "images must have 16 px or more on each side, and have 16x12"


def test_recall_at_60_where_the_gallery_is_larger(splits):
    pairs = {"test": pair_set(70, photos=1)}
    assert evaluate(invert, pairs, embedder=Colors())["recall@60"] == 1.0
    blind = evaluate(lambda x: np.full_like(x, 0.5), pairs, embedder=Colors())
    assert blind["recall@60"] == pytest.approx(60 / 70)


class Flat(keras.Model):
    """Features that are not unit vectors, of the size of Inception's in nothing but the name."""

    def call(self, images):
        return 3.0 * keras.ops.mean(images, axis=1)[:, :2, 0]


def test_inception_compares_one_image_of_each_product_with_all_products(splits):
    scores = evaluate(invert, splits, inception=Flat(), batch_size=25, seed=4)
    plain = evaluate(invert, splits, seed=4)
    names = {"kid_inception_mean", "kid_inception_std", "fid_inception"}
    assert set(scores) - set(plain) == names
    real = [3 * to_float(splits[name].targets)[:, 0, :2, 0] for name in ("test", "train")]
    fake, real = real[0], np.concatenate(real)
    mean, std = kid(fake, real, subset_size=12, seed=4)
    assert scores["kid_inception_mean"] == pytest.approx(mean, rel=1e-3)
    assert scores["kid_inception_std"] == pytest.approx(std, rel=1e-3)
    assert scores["fid_inception"] == pytest.approx(fid(fake, real), rel=1e-3)
    few = evaluate(invert, {"test": pair_set(2)}, inception=Flat())
    for name in names:
        assert few[name] is None and "there are 2" in few["notes"][name]


class Reddish:
    """A stand-in for a classifier: sees a `bright` thing where there is red, and always `dots`."""

    classes = {"category": ("dark", "bright"), "pattern": ("plain", "dots")}

    def predict_on_batch(self, x):
        red = x.mean(axis=(1, 2))[:, 0]
        dots = np.broadcast_to([0.0, 1.0], (len(x), 2))
        return {"category": np.stack([-red, red], axis=1), "pattern": dots}


def test_a_classifier_judges_converted_images_and_the_products_themselves(splits):
    pairs = splits["test"]
    bright = to_float(pairs.targets)[:, 0, 0, 0] > 0
    known = tuple(
        # Of the first product, the classifier is told the opposite of what it sees.
        {"category": "bright" if (seen != (row == 0)) else "dark"}
        | ({"pattern": "dots"} if row % 4 == 0 else {"pattern": "plain"} if row % 4 == 1 else {})
        for row, seen in enumerate(bright)
    )
    described = splits | {"test": dataclasses.replace(pairs, attributes=known)}
    options = {"attribute_classifier": Reddish(), "batch_size": 25}
    scores = evaluate(invert, described, **options)
    names = ("cat", "att", "classified_category", "classified_pattern")
    names += tuple(f"{name}_of_products" for name in names)
    names += ("chance_cat", "chance_att", "chance_classified_category")
    names += ("chance_classified_pattern",)
    assert set(scores) - set(evaluate(invert, described)) == set(names)
    assert scores["cat"] == scores["cat_of_products"] == pytest.approx(23 / 24)
    assert scores["att"] == scores["att_of_products"] == scores["classified_pattern"] == 0.5
    assert scores["chance_att"] == 0.5
    dark = np.mean([values["category"] == "dark" for values in known])
    assert scores["chance_cat"] == pytest.approx(dark)
    # One product of 24 is wrong, in all of its photos; the pattern is known of 12 products.
    errors = scores["standard_errors"]
    assert errors["cat"] == pytest.approx(np.sqrt(23 / 24 * 1 / 24 / 23))
    assert errors["att"] == errors["classified_pattern"] == pytest.approx(np.sqrt(1 / 4 / 11))
    # The photo, as it is, shows the opposite in all but the first product.
    unconverted = evaluate(lambda x: x, described, **options)
    assert unconverted["cat"] == pytest.approx(1 / 24)
    assert unconverted["cat_of_products"] == scores["cat_of_products"]
    assert json.loads(json.dumps(scores)) == scores


def test_without_attributes_a_classifier_has_nothing_to_judge(splits):
    scores = evaluate(invert, splits, attribute_classifier=Reddish())
    for name in ("cat", "att", "cat_of_products", "att_of_products", "chance_cat"):
        assert scores[name] is None and "no such attribute" in scores["notes"][name]


def test_products_are_not_judged_in_reverse(splits):
    for option in (
        {"inception": Flat()},
        {"attribute_classifier": Reddish()},
        {"find_masks": invert},
    ):
        with pytest.raises(ValueError, match="look at products.*Leave them out"):
            evaluate(invert, splits, reverse=True, **option)


def test_reverse_compares_with_the_photos(splits):
    seen = []

    def convert(images):
        seen.append(images)
        return -images

    scores = evaluate(convert, splits, embedder=Colors(), reverse=True)
    pairs = splits["test"]
    np.testing.assert_array_equal(seen[0], to_float(pairs.targets[pairs.target_index]))
    assert scores["rmse"] == pytest.approx(0.0, abs=1e-6)
    assert scores["recall@10"] is None
    assert scores["photo_recall@10"] is None and scores["photo_median_rank"] is None
    for name in ("recall@10", "photo_recall@10", "photo_median_rank"):
        assert scores["notes"][name] == "not defined from product to person"


def test_features_of_the_embedder_are_compared_where_it_has_them(splits):
    class Constant(Colors):
        def __init__(self):
            super().__init__()
            image = keras.Input((SIZE, SIZE, 3))
            self.features = keras.Model(image, keras.layers.GlobalMaxPooling2D()(image) * 0.0 + 1.0)

    scores = evaluate(lambda x: np.full_like(x, 0.5), splits, embedder=Constant())
    assert scores["kid_mean"] == pytest.approx(0.0, abs=1e-5)
    assert scores["recall@10"] == pytest.approx(10 / 24)


def test_scores_follow_the_seed(splits):
    def noisy(images):
        noise = np.random.default_rng(len(images)).normal(0, 0.8, (len(images), 1, 1, 3))
        return np.clip(noise - images, -1, 1)

    first = evaluate(noisy, splits, embedder=Colors(), seed=1)
    assert first == evaluate(noisy, splits, embedder=Colors(), seed=1)
    other = evaluate(noisy, splits, embedder=Colors(), seed=2)
    assert first["kid_mean"] != other["kid_mean"]
    assert first["consistency"] != other["consistency"]
    assert first["recall@10"] == other["recall@10"]


@pytest.mark.parametrize(
    ("convert", "message"),
    [
        (lambda x: x[:, ::2], r"shape \(72, 16, 16, 3\) for .*Received: \(72, 8, 16, 3\)"),
        (lambda x: x * 127.5 + 127.5, r"in \[-1, 1\].*Received values from 0 to 255"),
        (
            lambda x: np.where(np.arange(72)[:, None, None, None] == 5, np.nan, x),
            "not finite for 1 of 72 photos, first for photo 5",
        ),
    ],
)
def test_bad_conversions_are_named(splits, convert, message):
    with pytest.raises(ValueError, match=message):
        evaluate(convert, splits)


def test_bad_arguments_are_named(splits):
    with pytest.raises(ValueError, match=r"one of \['test', 'train'\]\. Received: 'val'"):
        evaluate(invert, splits, split="val")
    with pytest.raises(ValueError, match="'split' or 'all'. Received: 'train'"):
        evaluate(invert, splits, gallery="train")
    with pytest.raises(ValueError, match="`batch_size` must be at least 1. Received: 0"):
        evaluate(invert, splits, batch_size=0)
    with pytest.raises(ValueError, match="'test' has no pairs"):
        evaluate(invert, {"test": splits["test"].select(np.array([], int))})


@pytest.mark.parametrize("options", [{"gallery": "all"}, {"reverse": True}], ids=str)
def test_stored_pairs_are_read_in_batches_and_score_the_same(splits, options):
    stored = {
        split: dataclasses.replace(
            pairs, sources=InBatches(pairs.sources, 25), targets=InBatches(pairs.targets, 25)
        )
        for split, pairs in splits.items()
    }
    options = {"embedder": Colors(), "batch_size": 25, **options}
    convert = (lambda x: x) if "reverse" in options else invert
    assert evaluate(convert, stored, **options) == evaluate(convert, splits, **options)

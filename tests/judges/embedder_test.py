import keras
import numpy as np
import pytest

from keras_pixdt.data.images import to_float
from keras_pixdt.judges import embedder as embedder_module
from keras_pixdt.search import ProductEmbedder, fingerprint, train_embedder
from tests.samples import InBatches


def garments(count, size=32, seed=0):
    """Rectangles of random place, size and colour on white."""
    rng = np.random.default_rng(seed)
    images = np.full((count, size, size, 3), 255, np.uint8)
    for image in images:
        top, left = rng.integers(2, size // 2, 2)
        height, width = rng.integers(size // 4, size // 2, 2)
        image[top : top + height, left : left + width] = rng.integers(0, 230, 3)
    return images


@pytest.fixture(scope="module")
def trained():
    return train_embedder(garments(60), steps=12, batch_size=30, width=0.5, seed=1)


def embed(model, images):
    return np.asarray(model.predict_on_batch(images))


def test_output_is_unit_vectors_for_any_image_size():
    model = ProductEmbedder(width=0.25, dimensions=16)
    for shape in ((3, 64, 64, 3), (1, 48, 80, 3), (2, 256, 256, 3)):
        images = np.random.default_rng(0).uniform(-1, 1, shape).astype("float32")
        output = embed(model, images)
        assert output.shape == (shape[0], 16)
        np.testing.assert_allclose(np.linalg.norm(output, axis=1), 1.0, rtol=1e-5)


def test_how_images_are_resized_is_saved_and_changes_no_older_fingerprint(tmp_path):
    stretched, plain = ProductEmbedder(width=0.25, resize="stretch"), ProductEmbedder(width=0.25)
    stretched.save(tmp_path / "embedder.keras")
    loaded = keras.saving.load_model(tmp_path / "embedder.keras")
    assert loaded.resize == "stretch" and fingerprint(loaded) == fingerprint(stretched)
    # As embedders were written when there was one way.
    assert set(plain.get_config()) == {"image_size", "width", "dimensions", "seed", "name"}
    assert plain.resize == "letterbox" and fingerprint(plain) != fingerprint(stretched)
    assert train_embedder(garments(4), steps=1, width=0.25, resize="stretch").resize == "stretch"
    with pytest.raises(ValueError, match="one of letterbox, stretch. Received: 'crop'"):
        ProductEmbedder(resize="crop")


def test_output_does_not_depend_on_the_global_policy():
    try:
        keras.config.set_dtype_policy("mixed_bfloat16")
        model = ProductEmbedder(width=0.25)
    finally:
        keras.config.set_dtype_policy("float32")
    images = to_float(garments(4, 64))
    np.testing.assert_array_equal(embed(model, images), embed(ProductEmbedder(width=0.25), images))


def test_training_finds_unseen_products_again(trained):
    unseen = garments(80, seed=7)
    gallery = embed(trained, to_float(unseen))
    rng = np.random.default_rng(0)
    queries = embedder_module.distort(1 - unseen / np.float32(255), 64, 0.5, rng)
    nearest = (embed(trained, queries) @ gallery.T).argmax(axis=1)
    assert np.mean(nearest == np.arange(80)) > 0.5  # chance is 1 in 80


def test_features_see_the_blur_that_the_embedding_ignores(trained):
    images = garments(60)
    sharp = to_float(images)
    blurred = (sharp + np.roll(sharp, 2, 1) + np.roll(sharp, 2, 2) + np.roll(sharp, -2, 1)) / 4
    embedding = embed(trained, sharp)
    same = np.sum(embedding * embed(trained, blurred), axis=1).mean()
    features, features_blurred = (embed(trained.features, x) for x in (sharp, blurred))
    # The features are standardized over the training products.
    np.testing.assert_allclose(features.mean(axis=0), 0.0, atol=2e-2)
    assert features.std(axis=0).mean() == pytest.approx(1.0, abs=0.15)
    assert same > 0.85
    assert np.abs(features_blurred.mean(axis=0)).max() > 0.5


def test_training_follows_the_seed():
    images = to_float(garments(8, seed=3))
    first, again, other = (
        embed(train_embedder(garments(20), steps=2, batch_size=8, width=0.25, seed=seed), images)
        for seed in (1, 1, 2)
    )
    np.testing.assert_allclose(first, again, atol=1e-3)
    assert np.abs(first - other).max() > 0.05


def test_saved_embedder_is_the_same(trained, tmp_path):
    trained.save(tmp_path / "embedder.keras")
    restored = keras.saving.load_model(tmp_path / "embedder.keras")
    assert isinstance(restored, ProductEmbedder)
    assert restored.get_config() == trained.get_config()
    assert getattr(restored, "optimizer", None) is None
    images = to_float(garments(5, seed=3))
    np.testing.assert_array_equal(embed(trained, images), embed(restored, images))
    np.testing.assert_array_equal(embed(trained.features, images), embed(restored.features, images))


def test_view_contrast_by_hand():
    unit = np.array([[1, 0], [0.6, 0.8], [0, 1], [0.8, -0.6]], "float32")
    labels = np.array([0, 1, 0, 1])
    logits = unit @ unit.T / 0.1
    expected = []
    for i, positive in enumerate((2, 3, 0, 1)):
        others = [logits[i, j] for j in range(4) if j != i]
        expected.append(np.log(np.sum(np.exp(others))) - logits[i, positive])
    for y_true in (labels, labels[:, None]):
        loss = keras.ops.convert_to_numpy(embedder_module.view_contrast(y_true, unit))
        np.testing.assert_allclose(loss, expected, rtol=1e-4)


def test_views_are_of_different_products_and_reproducible():
    views = embedder_module._Views(garments(20), 64, batch_size=8, steps=3, seed=5)
    assert len(views) == 3
    images, labels = views[1]
    assert images.shape == (16, 64, 64, 3) and images.dtype == np.float32
    assert images.min() >= -1.0 and images.max() <= 1.0
    assert len(set(labels)) == 8
    np.testing.assert_array_equal(labels[:8], labels[8:])
    np.testing.assert_array_equal(images, views[1][0])
    assert (images != views[2][0]).any()


def test_generated_images_replace_half_of_the_strong_views_of_their_products(monkeypatch):
    monkeypatch.setattr(embedder_module, "distort", lambda ink, *_: (1 - 2 * ink).astype("float32"))
    targets = garments(20)
    # Products 0 and 1 have none; each image of the others has a gray that says whose it is.
    index = np.random.default_rng(0).permutation(np.repeat(np.arange(2, 20), 3))
    grays = 12 * index[:, None, None, None]
    generated = np.broadcast_to(grays, (54, 32, 32, 3)).astype(np.uint8)
    options = {"batch_size": 20, "steps": 40, "seed": 5}
    plain = embedder_module._Views(targets, 32, **options)
    views = embedder_module._Views(targets, 32, **options, drawn=(generated, index))
    replaced = []
    for (expected, rows), (images, labels) in ((plain[i], views[i]) for i in range(40)):
        np.testing.assert_array_equal(labels, rows)
        np.testing.assert_array_equal(images[:20], expected[:20])
        for product, image, strong in zip(labels[20:], images[20:], expected[20:], strict=True):
            if product < 2:
                np.testing.assert_array_equal(image, strong)
            else:
                replaced.append(np.ptp(image) < 1e-5)
                drawn = 12 * product / 127.5 - 1 if replaced[-1] else strong
                np.testing.assert_allclose(image, np.broadcast_to(drawn, image.shape), atol=1e-5)
    assert np.mean(replaced) == pytest.approx(0.5, abs=0.06)  # 720 draws: three deviations


def test_a_batch_may_have_no_generated_image():
    options = {"batch_size": 2, "steps": 8, "seed": 0}
    drawn = garments(1), np.array([4])
    views = embedder_module._Views(garments(9), 16, **options, drawn=drawn)
    shapes = {views[i][0].shape for i in range(8)}
    assert shapes == {(4, 16, 16, 3)}


def test_generated_images_teach_what_a_converter_does():
    """A converter that exchanges red and blue: its images find their products once it is known."""

    def convert(images):
        return np.ascontiguousarray(images[..., ::-1])

    targets, unseen = garments(60), garments(80, seed=7)
    options = {"steps": 30, "batch_size": 30, "width": 0.5, "seed": 1}
    found = []
    for extra in ({}, {"generated": convert(targets), "generated_index": np.arange(60)}):
        model = train_embedder(targets, **options, **extra)
        gallery = embed(model, to_float(unseen))
        nearest = (embed(model, to_float(convert(unseen))) @ gallery.T).argmax(axis=1)
        found.append(np.mean(nearest == np.arange(80)))
    assert found[1] > found[0] + 0.1


@pytest.mark.parametrize(
    ("generated", "index", "message"),
    [
        (garments(4), None, r"one row of `targets` for each of the 4 .*Received: object"),
        (None, np.arange(4), "`generated` must be uint8 images .*Received: object"),
        (garments(4).astype("float32"), np.arange(4), "must be uint8 .*Received: float32"),
        (garments(4, 64), np.arange(4), r"\(32, 32, 3\)\. Received: uint8 of .*\(4, 64, 64, 3\)"),
        (garments(4), np.arange(3), r"each of the 4 .*Received: int64 of shape \(3,\)"),
        (garments(4), np.arange(4.0), "Received: float64"),
        (garments(4), np.arange(4) - 1, "rows of the 6 targets, from 0. Received: -1"),
        (garments(4), np.arange(4) + 3, "rows of the 6 targets, from 0. Received: 6"),
    ],
)
def test_bad_generated_images_are_refused(generated, index, message):
    with pytest.raises(ValueError, match=message):
        train_embedder(garments(6), generated=generated, generated_index=index, steps=1)


def test_distortion_without_strength_only_resamples_and_mirrors():
    images = garments(6, 64)
    views = embedder_module.distort(1 - images / np.float32(255), 64, 0.0, np.random.default_rng(0))
    flat = to_float(images)
    error = [
        min(np.abs(v - f).mean(), np.abs(v - f[:, ::-1]).mean())
        for v, f in zip(views, flat, strict=True)
    ]
    assert max(error) < 0.03


@pytest.mark.parametrize(
    "targets", [garments(1), garments(3).astype("float32"), garments(3)[..., :1], garments(3)[0]]
)
def test_bad_targets_are_refused(targets):
    with pytest.raises(ValueError, match="two or more uint8 images .*Received: "):
        train_embedder(targets, steps=1)


def test_bad_arguments_are_refused():
    with pytest.raises(ValueError, match="multiple of 16. Received: 50"):
        ProductEmbedder(50)
    with pytest.raises(ValueError, match="above 0. Received: 0"):
        ProductEmbedder(width=0)


@pytest.mark.slow
def test_stored_targets_are_read_in_batches_and_give_the_same_embedder():
    targets, drawn = garments(270), garments(40, seed=1)
    index = np.arange(40) // 2
    options = {"steps": 2, "batch_size": 8, "width": 0.25, "generated_index": index}
    expected = train_embedder(targets, generated=drawn, **options)
    found = train_embedder(InBatches(targets, 256), generated=InBatches(drawn, 8), **options)
    for weight, value in zip(found.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, value)

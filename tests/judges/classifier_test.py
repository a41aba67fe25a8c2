import keras
import numpy as np
import pytest

from keras_pixdt import data
from keras_pixdt.judges import classifier
from keras_pixdt.judges.classifier import classify, train_classifier
from keras_pixdt.models import domain_transfer_networks
from tests.samples import InBatches

SIZE = 16


def halves(count=32, seed=0):
    """Noise of which the upper half is bright (class 0), or the lower one (class 1)."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 80, (count, SIZE, SIZE, 3), dtype="uint8")
    labels = np.arange(count) % 2
    for image, label in zip(images, labels, strict=True):
        image[label * SIZE // 2 :][: SIZE // 2] += 150
    return images, labels


def test_learns_what_is_easy_to_tell(tmp_path, monkeypatch):
    images, labels = halves()
    epochs = []
    draw = classifier._Moved._draw
    monkeypatch.setattr(
        classifier._Moved, "_draw", lambda self: (epochs.append(self._epoch), draw(self))
    )
    first = train_classifier(images, labels, 3, epochs=5, batch_size=8, width=1 / 16)
    # Keras tells the batches that an epoch is over, at the end once more.
    assert epochs == list(range(len(epochs))) and len(epochs) >= 5
    unseen, expected = halves(20, seed=1)
    found = classify(first, data.to_float(unseen), batch_size=8)  # of which the last is smaller
    np.testing.assert_array_equal(found, expected)
    assert found.dtype == np.int64
    logits = np.asarray(first(data.to_float(unseen)))
    assert logits.shape == (20, 3)  # one class has no image
    np.testing.assert_array_equal(logits.argmax(axis=1), found)
    f = first.get_layer("f")
    assert f.output_shape == (None, 8)
    for name, model in (("classifier", first), ("f", f)):  # as a run keeps both
        model.save(tmp_path / f"{name}.keras")
        loaded = keras.models.load_model(tmp_path / f"{name}.keras")
        np.testing.assert_array_equal(loaded(images[:3]), model(images[:3]))


@pytest.mark.parametrize(("least", "steps"), [(0, 4), (4, 4), (5, 6), (9, 10)])
def test_epochs_go_on_until_there_are_enough_steps(least, steps):
    """Of 20 images, an epoch has two batches of 8."""
    images, labels = halves(20)
    trained = train_classifier(
        images, labels, 2, epochs=2, least_steps=least, batch_size=8, width=1 / 64
    )
    assert int(trained.optimizer.iterations) == steps


def test_the_seed_decides_all():
    images, labels = halves(4)
    first, again = (
        train_classifier(images, labels, 2, epochs=2, batch_size=2, width=1 / 64, seed=3)
        for _ in range(2)
    )
    for a, b in zip(first.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_batches_are_moved_images_with_their_labels():
    """Against a loop over pixels: what comes in at a border is the border's pixel."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (10, SIZE, SIZE, 3), dtype="uint8")
    batches = classifier._Moved(images, np.arange(10), 4, seed=5)
    assert len(batches) == 2  # the other two have their turn in another epoch
    seen, shifts = set(), set()
    for _ in range(3):
        for i in range(2):
            moved, labels = batches[i]
            assert moved.shape == (4, SIZE, SIZE, 3) and moved.dtype == np.float32
            for image, label in zip(moved, labels, strict=True):
                shift = [s for s in np.ndindex(3, 3) if np.array_equal(image, at(images[label], s))]
                assert len(shift) == 1, "not an image moved by at most 1/16 of its side"
                shifts.update(shift)
            seen.update(labels)
            again = batches[i]
            np.testing.assert_array_equal(moved, again[0])  # drawn once an epoch
        assert len({*batches[0][1], *batches[1][1]}) == 8  # none of them twice
        batches.on_epoch_end()
    assert seen == set(range(10))
    assert {y for y, _ in shifts} == {x for _, x in shifts} == set(range(3))


def at(image, shift):
    """The image moved by shift - 1 px, in [-1, 1]."""
    moved = np.empty(image.shape, np.float32)
    for y, x in np.ndindex(SIZE, SIZE):
        at_y, at_x = (min(max(a + s - 1, 0), SIZE - 1) for a, s in zip((y, x), shift, strict=True))
        moved[y, x] = image[at_y, at_x]
    return moved / np.float32(127.5) - np.float32(1)


def test_every_epoch_and_seed_has_an_order_of_its_own():
    images, _ = halves(12)
    batches = classifier._Moved(images, np.arange(12), 12, seed=0)
    first = batches[0][1].tolist()
    batches.on_epoch_end()
    second = batches[0][1].tolist()
    other = classifier._Moved(images, np.arange(12), 12, 1)[0][1].tolist()
    assert sorted(first) == sorted(second) == sorted(other) == list(range(12))
    assert first != second != other != first


@pytest.mark.parametrize(
    ("count", "labels", "message"),
    [
        (4, [0, 1, 0], r"one integer for each.*Received: 4 images, int64 of shape \(3,\)"),
        (
            4,
            [[0], [1], [0], [1]],
            r"one integer for each.*Received: 4 images, int64 of shape \(4, 1\)",
        ),
        (0, [], "one or more images. Received: 0 images"),
        (4, [0, 1, 2, 1], r"`labels` must be in \[0, 2\).*Received: 0 to 2"),
        (4, [0.0, 0.5, 1.0, 1.0], r"one integer for each.*Received: 4 images, float64"),
        (4, [0, -1, 1, 1], r"`labels` must be in \[0, 2\).*Received: -1 to 1"),
    ],
)
def test_labels_that_do_not_fit_are_refused(count, labels, message):
    images = np.zeros((count, SIZE, SIZE, 3), "uint8")
    with pytest.raises(ValueError, match=message):
        train_classifier(images, labels, 2)


def test_f_has_its_scale_and_the_classifier_does_not_change(monkeypatch):
    images, labels = halves()
    options = {"epochs": 2, "batch_size": 8, "width": 1 / 16}
    scaled = train_classifier(images, labels, 2, **options)
    monkeypatch.setattr(classifier, "_scale", lambda *_: None)
    plain = train_classifier(images, labels, 2, **options)
    x = data.to_float(images)
    np.testing.assert_allclose(scaled(x), plain(x), rtol=1e-4, atol=1e-5)
    features, unscaled = (np.asarray(m.get_layer("f")(x)) for m in (scaled, plain))
    assert features.var(axis=0).mean() == pytest.approx(0.49, rel=1e-3)
    assert unscaled.var(axis=0).mean() != pytest.approx(0.49, rel=0.1)


def test_a_plain_f_is_trained_by_cross_entropy_alone(caplog, monkeypatch):
    """No smoothed labels, no decay, no moved images, no scale; at a rate of 0."""
    monkeypatch.setattr(classifier, "LEARNING_RATE", 0.0)
    images, labels = halves(8)
    seen = []
    batch = classifier._Moved.__getitem__
    monkeypatch.setattr(
        classifier._Moved, "__getitem__", lambda *at: seen.append(batch(*at)) or seen[-1]
    )
    options = {"epochs": 2, "batch_size": 8, "width": 1 / 16, "seed": 3}
    with caplog.at_level("INFO", logger="absl"):
        found = train_classifier(images, labels, 3, plain=True, **options)
    x = data.to_float(images)
    for shown, wanted in seen:
        rows = [next(i for i in range(8) if np.array_equal(x[i], image)) for image in shown]
        assert sorted(rows) == list(range(8))
        np.testing.assert_array_equal(wanted, np.eye(3)[labels[rows]])
    kernel, bias = (np.float64(w) for w in found.get_layer("logits").get_weights())
    features = np.asarray(found.get_layer("f")(x), "float64")
    logits = np.maximum(features, 0) @ kernel + bias
    share = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    expected = -np.log(share[np.arange(8), labels]).mean()
    assert caplog.messages == [f"Classifier trained on 8 images for 2 epochs: loss {expected:.3f}"]
    # Its weights are those that it was given first: nothing scaled them.
    keras.utils.set_random_seed(3)
    function = domain_transfer_networks.build_function(SIZE, 1 / 16)
    for a, b in zip(found.get_layer("f").get_weights(), function.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_the_loss_against_numpy(caplog, monkeypatch):
    """Smoothed cross entropy, squares of f's numbers and of the last kernel; at a rate of 0."""
    monkeypatch.setattr(classifier, "LEARNING_RATE", 0.0)
    monkeypatch.setattr(classifier, "SHIFT", 0.0)
    monkeypatch.setattr(classifier, "_scale", lambda *_: None)
    images, labels = halves(8)
    with caplog.at_level("INFO", logger="absl"):
        found = train_classifier(images, labels, 3, epochs=1, batch_size=8, width=1 / 16)
    features = np.asarray(found.get_layer("f")(data.to_float(images)), "float64")
    kernel, bias = (np.float64(w) for w in found.get_layer("logits").get_weights())
    logits = np.maximum(features, 0) @ kernel + bias
    share = np.exp(logits) / np.exp(logits).sum(axis=1, keepdims=True)
    wanted = 0.9 * np.eye(3)[labels] + 0.1 / 3
    expected = -(wanted * np.log(share)).sum(axis=1).mean()
    expected += 1e-3 * ((features**2).sum(axis=1).mean() + (kernel**2).sum())
    assert caplog.messages == [f"Classifier trained on 8 images for 1 epochs: loss {expected:.3f}"]


def test_stored_images_are_read_in_batches_and_give_the_same_classifier():
    images, labels = halves(24)
    found, expected = (
        train_classifier(each, labels, 2, epochs=2, batch_size=8, width=1 / 64)
        for each in (InBatches(images, 24), images)
    )
    for weight, value in zip(found.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, value)

import keras
import numpy as np
import pytest

from keras_pixdt import data
from keras_pixdt.training import classifier
from keras_pixdt.training.classifier import classify, train_classifier


def halves(count=32, size=16, seed=0):
    """Noise of which the upper half is bright (class 0), or the lower one (class 1)."""
    rng = np.random.default_rng(seed)
    images = rng.integers(0, 80, (count, size, size, 3), dtype="uint8")
    labels = np.arange(count) % 2
    for image, label in zip(images, labels, strict=True):
        image[label * size // 2 :][: size // 2] += 150
    return images, labels


def test_learns_what_is_easy_to_tell(tmp_path, monkeypatch):
    images, labels = halves()
    epochs = []
    draw = classifier._Moved._draw
    monkeypatch.setattr(
        classifier._Moved, "_draw", lambda self: (epochs.append(self._epoch), draw(self))
    )
    first = train_classifier(images, labels, 3, epochs=5, batch_size=8, width=1 / 16)
    assert epochs == [0, 1, 2, 3, 4, 5]  # Keras tells the batches once that an epoch is over
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


def test_the_seed_decides_all():
    images, labels = halves(4)
    options = {"epochs": 2, "batch_size": 2, "width": 1 / 64}
    first, again, other = (
        train_classifier(images, labels, 2, **options, seed=i).get_weights() for i in (3, 3, 4)
    )
    assert all(np.array_equal(a, b) for a, b in zip(first, again, strict=True))
    assert not np.array_equal(first[0], other[0])


def test_batches_are_moved_images_with_their_labels():
    """Against a loop over pixels: what comes in at a border is the border's pixel."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (10, 32, 32, 3), dtype="uint8")
    batches = classifier._Moved(images, np.arange(10), 4, seed=5)
    assert len(batches) == 2  # the other two have their turn in another epoch
    seen, shifts = set(), set()
    for _ in range(3):
        for i in range(2):
            moved, labels = batches[i]
            assert moved.shape == (4, 32, 32, 3) and moved.dtype == np.float32
            for image, label in zip(moved, labels, strict=True):
                shift = [s for s in np.ndindex(5, 5) if np.array_equal(image, at(images[label], s))]
                assert len(shift) == 1, "not an image moved by at most 2 px"
                shifts.update(shift)
            seen.update(labels)
            again = batches[i]
            np.testing.assert_array_equal(moved, again[0])  # drawn once an epoch
        assert len({*batches[0][1], *batches[1][1]}) == 8  # none of them twice
        batches.on_epoch_end()
    assert seen == set(range(10))
    assert {y for y, _ in shifts} == {x for _, x in shifts} == set(range(5))


def at(image, shift):
    """The image moved by shift - 2 px, in [-1, 1]."""
    moved = np.empty(image.shape, np.float32)
    for y, x in np.ndindex(32, 32):
        from_y, from_x = (min(max(a + s - 2, 0), 31) for a, s in zip((y, x), shift, strict=True))
        moved[y, x] = image[from_y, from_x] / np.float32(127.5) - np.float32(1)
    return moved


def test_every_epoch_and_seed_has_an_order_of_its_own():
    images, _ = halves(12)
    batches = classifier._Moved(images, np.arange(12), 12, seed=0)
    first = batches[0][1].tolist()
    batches.on_epoch_end()
    second = batches[0][1].tolist()
    other = classifier._Moved(images, np.arange(12), 12, seed=1)[0][1].tolist()
    assert sorted(first) == sorted(second) == sorted(other) == list(range(12))
    assert first != second != other != first


@pytest.mark.parametrize(
    ("count", "labels", "message"),
    [
        (4, [0, 1, 0], r"one for each.*Received: 4 images, labels of shape \(3,\)"),
        (4, [[0], [1], [0], [1]], r"one for each.*Received: 4 images, labels of shape \(4, 1\)"),
        (0, [], "one or more images. Received: 0 images"),
        (4, [0, 1, 2, 1], r"`labels` must be in \[0, 2\).*Received: 0 to 2"),
        (4, [0, -1, 1, 1], r"`labels` must be in \[0, 2\).*Received: -1 to 1"),
    ],
)
def test_labels_that_do_not_fit_are_refused(count, labels, message):
    images = np.zeros((count, 16, 16, 3), "uint8")
    with pytest.raises(ValueError, match=message):
        train_classifier(images, labels, 2)

"""SA against an independent computation, DANN's gradients against those of two plain models."""

import keras
import numpy as np
import pytest

from keras_pixdt.data import to_float
from keras_pixdt.judges.classifier import classify
from keras_pixdt.reproduce import adaptation

SIZE = 16


def test_alignment_is_that_of_fernando_et_al():
    """By singular value decompositions instead of eigenvectors, whose signs may differ."""
    rng = np.random.default_rng(0)
    source = rng.normal(size=(40, 6)) @ rng.normal(size=(6, 6)) + 5
    target = rng.normal(size=(30, 6)) @ rng.normal(size=(6, 6)) - 2
    z_s, z_t = ((x - x.mean(0)) / x.std(0) for x in (source, target))
    x_s, x_t = (np.linalg.svd(z)[2][:3].T for z in (z_s, z_t))
    aligned, projected = adaptation.align(source, target, 3)
    signs = np.sign(np.sum(projected * (z_t @ x_t), axis=0))
    np.testing.assert_allclose(projected * signs, z_t @ x_t, atol=1e-10)
    np.testing.assert_allclose(aligned * signs, z_s @ x_s @ x_s.T @ x_t, atol=1e-10)


def test_alignment_by_hand():
    """Standardized, S lies on (1, 1) and T on (1, -1), which are orthogonal: M = 0."""
    source = np.array([[0.0, 0], [2, 20], [4, 40]])
    target = np.array([[0.0, 8], [1, 4], [2, 0]])
    aligned, projected = adaptation.align(source, target, 1)
    np.testing.assert_allclose(aligned, 0, atol=1e-12)
    ends = np.sqrt(3 / 2) * np.sqrt(2)  # standardized ends are +-sqrt(3 / 2) in both features
    np.testing.assert_allclose(np.abs(projected[:, 0]), [ends, 0, ends], atol=1e-12)
    # T is S in other units, with a constant feature: after the alignment they are the same points.
    aligned, projected = adaptation.align(source, np.c_[3 * source[:, :1], source[:, 1:] - 7], 1)
    np.testing.assert_allclose(aligned, projected, atol=1e-12)
    for wrong in (0, 3):
        with pytest.raises(ValueError, match=r"`dimensions` must be in \[1, 2\]"):
            adaptation.align(source, target, wrong)


def test_dimensions_are_chosen_by_the_labels_of_s():
    """The class is in the second direction; the first has more variance, and others are noise."""
    rng = np.random.default_rng(1)
    labels = np.arange(200) % 2
    loud, quiet = rng.normal(size=200), 2.0 * labels - 1 + 0.1 * rng.normal(size=200)
    features = np.stack(
        [loud, loud + 0.1 * rng.normal(size=200), quiet, quiet + 0.5 * rng.normal(size=200)]
        + [rng.normal(size=200) for _ in range(12)],
        axis=1,
    )
    assert adaptation.choose_dimensions(features, labels, [1, 2, 14]) == 2


@pytest.mark.parametrize("strength", [0.0, 0.3, 1.0])
def test_f_follows_the_labels_and_flees_the_domains(strength):
    """One step moves f by the gradient of the labels minus lambda times that of the domains."""
    rng = np.random.default_rng(0)
    x = rng.uniform(-1, 1, (6, SIZE, SIZE, 3)).astype("float32")
    y, domain = np.array([0, 1, 2, 0, 0, 0]), np.array([1, 1, 1, 0, 0, 0], "float32")
    weight = np.array([2, 2, 2, 0, 0, 0], "float32")

    def moved(loss_weights):
        """The change of all weights by a step of rate 1."""
        keras.utils.set_random_seed(3)
        model, _ = adaptation.build_dann(SIZE, 3, 1 / 16)
        before = [np.array(w) for w in model.get_weights()]
        model.compile(
            keras.optimizers.SGD(1.0),
            {
                "label": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
                "domain": keras.losses.BinaryCrossentropy(from_logits=True),
            },
            loss_weights=loss_weights,
        )
        used = strength if loss_weights is None else -1.0  # -1: nothing is reversed
        inputs = {"image": x, "strength": np.full((6, 1), used, "float32")}
        model.train_on_batch(
            inputs, {"label": y, "domain": domain[:, None]},
            {"label": weight, "domain": np.ones_like(domain)},
        )  # fmt: skip
        names = [w.path for w in model.weights]
        return dict(zip(names, map(np.subtract, model.get_weights(), before), strict=True))

    both = moved(None)
    labels, domains = (moved({"label": a, "domain": 1 - a}) for a in (1.0, 0.0))
    of_f = [name for name in both if "conv" in name]
    assert len(of_f) == 6 and any(np.abs(domains[name]).max() > 0 for name in of_f)
    for name, change in both.items():
        expected = labels[name] + (-strength if name in of_f else 1) * domains[name]
        np.testing.assert_allclose(change, expected, atol=1e-6, err_msg=name)


def test_reversal_leaves_the_values():
    x = np.linspace(-3, 3, 7, dtype="float32")[None]
    found = keras.ops.convert_to_numpy(adaptation.reverse_gradient(x, 0.7))
    np.testing.assert_allclose(found, x, atol=1e-6)


def test_schedules_are_the_papers():
    assert adaptation.strength_at(0.0) == 0
    assert adaptation.strength_at(0.5) == pytest.approx(2 / (1 + np.exp(-5)) - 1)
    assert adaptation.strength_at(1.0) == pytest.approx(0.99991, abs=1e-5)
    rate = adaptation._Rate(100)
    assert float(rate(0)) == pytest.approx(0.01)
    assert float(rate(50)) == pytest.approx(0.01 / 6**0.75)


def squares(count, seed, ground):
    """A bright square in one of four corners, on a ground that says the domain."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 4
    pixels = np.full((count, SIZE, SIZE, 3), ground, np.uint8)
    pixels += rng.integers(0, 20, pixels.shape).astype(np.uint8)
    for image, label in zip(pixels, labels, strict=True):
        y, x = 8 * (label // 2) + 1, 8 * (label % 2) + 1
        image[y : y + 6, x : x + 6] += 100
    return pixels, labels


def test_batches_show_both_domains_and_the_labels_of_one(monkeypatch):
    monkeypatch.setattr(adaptation, "BATCH", 4)
    images, labels = squares(8, 0, 0)
    batches = adaptation._TwoDomains(images, labels, images[:6] + 100, 3, 0.5, 0)
    assert len(batches) == 6
    seen = []
    for i in range(len(batches)):
        inputs, outputs, weights = batches[i]
        assert inputs["image"].shape == (8, SIZE, SIZE, 3)
        np.testing.assert_array_equal(outputs["domain"][:, 0], [1] * 4 + [0] * 4)
        np.testing.assert_array_equal(weights["label"], [2] * 4 + [0] * 4)
        expected = 0.5 * adaptation.strength_at(i / 6)
        np.testing.assert_allclose(inputs["strength"], expected, rtol=1e-6)
        for image, label in zip(inputs["image"][:4], outputs["label"], strict=False):
            row = int(np.argmax([(image == one).all() for one in to_float(images)]))
            assert labels[row] == label
            seen.append(row)
    assert sorted(seen) == sorted(list(range(8)) * 3)


def test_training_is_repeatable_and_finds_the_classes(monkeypatch):
    monkeypatch.setattr(adaptation, "BATCH", 16)
    images, labels = squares(64, 0, 30)
    unlabelled, right = squares(48, 1, 50)
    first, again = (
        adaptation.train_dann(images, labels, unlabelled, 4, epochs=16, width=1 / 8, seed=1)
        for _ in range(2)
    )
    for a, b in zip(first.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    for pixels, expected in ((images, labels), (unlabelled, right)):
        assert np.mean(classify(first, to_float(pixels)) == expected) > 0.9

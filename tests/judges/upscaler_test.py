import dataclasses
import logging
import re
import types

import keras
import numpy as np
import pytest
from PIL import Image

from keras_pixdt import data, presets
from keras_pixdt.data.pairs import DomainSet
from keras_pixdt.judges import upscaler
from keras_pixdt.judges.upscaler import psnr, shrink, train_upscaler
from keras_pixdt.training import run
from tests.samples import InBatches

NARROW = {"steps": 2, "batch_size": 4, "width": 1 / 16}


def drawings(count, size=24, seed=0):
    """Rectangles of random place, size and colour on white, as sharp as can be."""
    rng = np.random.default_rng(seed)
    images = np.full((count, size, size, 3), 255, np.uint8)
    for image in images:
        for _ in range(3):
            top, left, bottom, right = rng.integers(0, size, 4)
            image[
                min(top, bottom) : max(top, bottom) + 1, min(left, right) : max(left, right) + 1
            ] = rng.integers(0, 230, 3)
    return images


def pillow_bicubic(images, factor):
    return np.stack(
        [
            Image.fromarray(i).resize((factor * i.shape[1],) * 2, Image.Resampling.BICUBIC)
            for i in images
        ]
    )


@pytest.fixture(scope="module")
def trained():
    return train_upscaler(
        drawings(60), steps=150, batch_size=8, width=1 / 4, learning_rate=2e-3, seed=1
    )


@pytest.mark.parametrize(
    "targets",
    [drawings(1), drawings(3).astype("float32"), drawings(3)[..., :1], drawings(3)[:, 1:]],
    ids=["one", "float", "gray", "oblong"],
)
def test_bad_targets_are_refused(targets):
    with pytest.raises(
        ValueError, match=r"two or more square uint8 images .*Received: \w+ of shape"
    ):
        train_upscaler(targets, **NARROW)


def test_small_images_and_bad_factors_are_refused():
    with pytest.raises(ValueError, match=r"6 px or more, .* 2 times smaller.*\(3, 5, 5, 3\)"):
        train_upscaler(drawings(3, size=5), **NARROW)
    with pytest.raises(ValueError, match="`factor` must be an integer from 2 on. Received: 1"):
        train_upscaler(drawings(3), 1, **NARROW)


def test_psnr_by_hand():
    a = np.zeros((2, 4, 4, 3), "float32")
    b = a + np.float32(0.2)
    assert psnr(a, b) == pytest.approx(20)  # 2^2 / 0.2^2 = 100
    b[0] = 0  # half the square error
    assert psnr(a, b) == pytest.approx(20 + 10 * np.log10(2))
    assert psnr(a, a) == np.inf


def test_shrinking_averages_and_cuts_off_what_does_not_fit():
    images = drawings(2, size=11)
    images[0] = 77
    low, high = shrink(images, 3)
    assert low.shape == (2, 3, 3, 3) and low.dtype == np.uint8
    np.testing.assert_array_equal(high, images[:, :9, :9])
    np.testing.assert_array_equal(low[0], 77)
    checkered = np.indices((1, 12, 12, 3)).sum(axis=0).astype(np.uint8) % 2 * 200
    inner = shrink(checkered, 2)[0][0, 1:-1, 1:-1].astype(int)
    assert np.abs(inner - 100).max() <= 1  # every second pixel would be all 0 or all 200


def test_larger_images_are_first_brought_to_a_size():
    images = drawings(2, size=19)
    low, high = shrink(images, 2, 12)
    np.testing.assert_array_equal(high, [data.letterbox(image, 12) for image in images])
    np.testing.assert_array_equal(low, [data.letterbox(image, 6) for image in high])


@pytest.mark.parametrize(
    ("size", "learns_on"), [(6, 12), (10, 19), (None, 19)], ids=["drawn smaller", "larger", "as is"]
)
def test_it_learns_on_targets_as_large_as_what_it_will_make(size, learns_on, caplog, monkeypatch):
    """Of 19 px; not larger than they are."""
    sizes = []
    patches = upscaler._Patches.__getitem__

    def recorded(self, index):
        low, high = patches(self, index)
        sizes.append((low.shape[1], high.shape[1]))
        return low, high

    monkeypatch.setattr(upscaler._Patches, "__getitem__", recorded)
    targets = drawings(12, size=19)
    with caplog.at_level(logging.INFO, "absl"):
        learned = train_upscaler(targets, 2, size, **NARROW, seed=1)
    size = size or 19
    assert learned.output_shape == (None, 2 * size, 2 * size, 3)
    assert set(sizes) == {(learns_on // 2, learns_on // 2 * 2)}
    rows = np.random.default_rng(1).permutation(12)[:2]
    brought = np.stack([data.letterbox(image, learns_on) for image in targets[rows]])
    low, high = shrink(brought, 2)
    bicubic = psnr(data.to_float(pillow_bicubic(low, 2)), data.to_float(high))
    found = re.search(r"of bicubic interpolation (\S+) dB", caplog.text)
    assert float(found[1]) == pytest.approx(bicubic, abs=0.05)  # Pillow's is rounded to 8 bits


def test_patches_are_of_one_place_in_low_and_high_resolution():
    images = np.random.default_rng(0).integers(0, 256, (6, 40, 40, 3)).astype(np.uint8)
    rows = np.array([1, 3, 4])
    patches = upscaler._Patches(images, rows, 2, 16, batch_size=5, steps=3, seed=7)
    assert len(patches) == 3
    low, high = patches[2]
    assert low.shape == (5, 16, 16, 3) and high.shape == (5, 32, 32, 3)
    assert low.dtype == high.dtype == np.float32
    # Away from the borders, what the filter sees is in the patch.
    inner = data.to_float(shrink(data.to_uint8(high), 2)[0])[:, 2:-2, 2:-2]
    np.testing.assert_allclose(low[:, 2:-2, 2:-2], inner, atol=1e-6)
    flat = data.to_float(images)
    windows = np.lib.stride_tricks.sliding_window_view(flat, (32, 32), axis=(1, 2))[:, ::2, ::2]
    places = [
        tuple(np.argwhere((np.moveaxis(windows, 3, -1) == patch).all(axis=(-3, -2, -1)))[0])
        for patch in high
    ]
    assert {row for row, _, _ in places} <= set(rows)
    assert len(set(places)) > 2
    np.testing.assert_array_equal(patches[2][0], low)
    assert not np.array_equal(patches[1][0], low)


def test_training_beats_bicubic_on_other_images(trained):
    low, high = shrink(drawings(30, seed=9), 2)
    high = data.to_float(high)
    bicubic = psnr(data.to_float(pillow_bicubic(low, 2)), high)
    enlarged = trained.for_size(12).predict_on_batch(data.to_float(low))
    assert psnr(enlarged, high) > bicubic + 0.8
    assert np.abs(enlarged).max() <= 1
    # And on images larger than those that it was trained on.
    low, high = shrink(drawings(4, size=60, seed=10), 2)
    enlarged = trained.for_size(30).predict_on_batch(data.to_float(low))
    bicubic = psnr(data.to_float(pillow_bicubic(low, 2)), data.to_float(high))
    assert psnr(enlarged, data.to_float(high)) > bicubic


def test_trained_network_is_saved_without_an_optimizer(trained, tmp_path):
    trained.save(tmp_path / "upscaler.keras")
    restored = keras.models.load_model(tmp_path / "upscaler.keras")
    assert getattr(restored, "optimizer", None) is None
    low = data.to_float(drawings(2))
    np.testing.assert_array_equal(restored.predict_on_batch(low), trained.predict_on_batch(low))


def test_training_follows_the_seed_and_says_what_it_reached(caplog):
    with caplog.at_level(logging.INFO, "absl"):
        first, again, other = (
            train_upscaler(drawings(12), factor=3, **NARROW, seed=s).get_weights()
            for s in (1, 1, 2)
        )
    for a, b in zip(first, again, strict=True):
        np.testing.assert_allclose(a, b, atol=1e-5)
    assert np.abs(first[0] - other[0]).max() > 0.01
    assert np.abs(first[-2]).max() > 0  # the last kernel, zeros at first

    found = re.search(
        r"trained on 10 images for 2 steps. PSNR of 2 others, enlarged 3 times: (\S+) dB, "
        r"of bicubic interpolation (\S+) dB",
        caplog.text,
    )
    rows = np.random.default_rng(1).permutation(12)[:2]
    low, high = shrink(drawings(12)[rows], 3)
    bicubic = psnr(data.to_float(pillow_bicubic(low, 3)), data.to_float(high))
    assert float(found[2]) == pytest.approx(bicubic, abs=0.05)  # Pillow's is rounded to 8 bits


@pytest.mark.parametrize("reverse", [False, True])
def test_run_trains_it_once_on_what_it_draws(tmp_path, monkeypatch, caplog, reverse):
    calls = []

    def train(targets, factor, size, seed):
        calls.append((targets, factor, size, seed))
        return train_upscaler(targets, factor, size, seed=seed, **NARROW)

    monkeypatch.setattr(upscaler, "train_upscaler", train)
    model = types.SimpleNamespace(drawn_size=12)
    persons, products = drawings(4, size=16, seed=1), drawings(4, size=16, seed=2)
    preset = dataclasses.replace(presets.get("kim2017"), reverse=reverse)
    finished = run.Run(
        tmp_path, preset, {}, 3, model, _splits={"train": DomainSet(persons, products)}
    )
    given = finished.upscaler(2)
    assert [p.name for p in tmp_path.iterdir()] == ["upscaler_x2.keras"]
    again = finished.upscaler()
    finished.upscaler(3)
    assert [call[1:] for call in calls] == [(2, 12, 3), (3, 12, 3)]
    np.testing.assert_array_equal(calls[0][0], persons if reverse else products)
    for a, b in zip(given.get_weights(), again.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)
    # Earlier versions trained for images of the run's size, whatever the model draws.
    model.drawn_size = 8
    with caplog.at_level(logging.WARNING):
        assert finished.upscaler(2).image_size == 8
    assert calls[2][1:] == (2, 8, 3)
    assert "upscaler_x2.keras was trained for images of 12 px, and the model draws 8" in caplog.text
    assert finished.upscaler(2).image_size == 8 and len(calls) == 3


def test_stored_targets_are_read_in_batches_and_give_the_same_network():
    targets = drawings(20)
    found, expected = (train_upscaler(each, **NARROW) for each in (InBatches(targets, 4), targets))
    for weight, value in zip(found.get_weights(), expected.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, value)

"""A run of appearance flow: photos larger than drawings, from training to the exported file."""

import dataclasses

import numpy as np
import pytest
from PIL import Image

import export
from keras_pixdt import data, presets
from keras_pixdt.training import checkpoint, run, trainer
from tests import samples

PRESET = dataclasses.replace(
    presets.get("flow-64"), image_size=16, photo_size=32, width=1 / 64, start=None, batch_size=8,
    gan_weight=0.1, phases=((1, 1e-3), (1, 1e-4)), ema_momentum=0.9,
)  # fmt: skip


@pytest.fixture(scope="module")
def folders(tmp_path_factory):
    """Of the finished run, and of a copy of what was there in its first epoch."""
    folder = tmp_path_factory.mktemp("flow")
    return folder / "run", folder / "cut"


@pytest.fixture(scope="module")
def finished(small_lookbook, folders):
    cut = samples.Snapshot(*folders, epoch=0, batch=3)
    options = {"verbose": 0, "save_every": 2, "callbacks": [cut]}
    return trainer.train(PRESET, str(small_lookbook), folders[0], **options)


def test_photos_are_read_at_their_own_size(finished):
    pairs = finished.pairs()["test"]
    assert (pairs.photo_size, pairs.image_size) == (32, 16)
    drawn = finished.convert(data.to_float(pairs.sources))
    assert drawn.shape == pairs.targets[pairs.target_index].shape


def test_an_interrupted_run_ends_as_one_that_was_not(finished, folders, small_lookbook):
    """Augmentation too goes on where it was."""
    cut = folders[1]
    progress = checkpoint.read_progress(checkpoint.last_path(cut))
    assert (progress.epoch, progress.batch) == (0, 2) and not (cut / "model.keras").exists()
    resumed = trainer.train(PRESET, str(small_lookbook), cut, verbose=0)
    for a, b in zip(resumed.model.variables, finished.model.variables, strict=True):
        np.testing.assert_array_equal(a, b, err_msg=a.path)
    assert resumed.history() == finished.history()


def test_it_is_scored_pictured_and_loaded(finished):
    with samples.narrow_embedders():
        scores = finished.evaluate("test")
    assert 0 < scores["rmse"] < 1 and {"median_rank", "photo_median_rank"} <= set(scores)
    grid = data.read_image(finished.workdir / "grids" / "epoch_002.png")
    assert (grid.shape[1] + 2) % (16 + 2) == 0  # photos are reduced to the drawings' size
    loaded = run.load_run(finished.workdir)
    assert loaded.preset == PRESET
    sources = data.to_float(finished.pairs()["test"].sources[:2])
    np.testing.assert_array_equal(loaded.convert(sources), finished.convert(sources))


@pytest.fixture
def keys_of_batches(monkeypatch):
    """What is known in the batches that networks learn from, batch by batch."""
    seen = []
    model_class = type(PRESET.model())
    loss = model_class.converter_loss

    def recorded(self, photo, batch, parts):
        seen.append({"mask", "flow"} & set(batch))
        return loss(self, photo, batch, parts)

    monkeypatch.setattr(model_class, "converter_loss", recorded)
    return seen


@pytest.mark.usefixtures("eager")
def test_truth_is_learned_from_where_the_data_know_it(tmp_path, keys_of_batches):
    preset = dataclasses.replace(
        PRESET, image_size=32, photo_size=64, phases=((1, 1e-3),), gan_phase=0
    )
    for truth, keys in ((True, {"mask", "flow"}), (False, set())):
        chosen = dataclasses.replace(preset, truth=truth)
        options = {"num_products": 6}
        trainer.train(chosen, "rendered", tmp_path / str(truth), data_options=options, verbose=0)
        assert keys_of_batches[-1] == keys


def cut_out_pairs():
    """Photos of random spots; each product image is a part of its photo, on white."""
    rng = np.random.default_rng(0)
    photos, targets = [], []
    for _ in range(10):
        spots = rng.integers(0, 241, (8, 8, 3), np.uint8)
        photo = Image.fromarray(spots).resize((32, 32), Image.Resampling.BICUBIC)
        target = np.asarray(photo.crop((6, 5, 26, 25)).resize((16, 16))).copy()
        target[:, :3] = target[12:] = 255
        photos.append(np.asarray(photo))
        targets.append(target)
    ids = np.arange(10)
    return data.PairSet(np.stack(photos), np.stack(targets), ids, ids, ids)


@pytest.mark.usefixtures("eager")
def test_flows_of_products_that_were_cut_out_are_found_and_learned(tmp_path, keys_of_batches):
    pairs = cut_out_pairs()
    splits = {"train": pairs, "test": pairs.select(np.array([0]))}
    preset = dataclasses.replace(PRESET, phases=((1, 1e-3),), gan_phase=0)
    for truth, keys in ((True, {"flow"}), (False, set())):
        chosen = dataclasses.replace(preset, truth=truth)
        trainer.train(chosen, "cut out", tmp_path / str(truth), splits=splits, verbose=0)
        assert keys_of_batches[-1] == keys


def test_a_photo_of_any_shape_is_drawn_at_any_size(finished):
    photo = np.random.default_rng(0).integers(0, 256, (90, 50, 3), np.uint8)
    own = finished.convert_photo(photo)
    square = data.resize(photo, 32)
    expected = data.to_uint8(finished.convert(data.to_float(square[None])))[0]
    np.testing.assert_array_equal(own, expected)
    large = finished.convert_photo(photo, size=48)
    assert large.shape == (48, 48, 3) and large.dtype == np.uint8
    square = data.to_float(data.resize(photo, 90)[None])
    drawn = np.asarray(finished.model.draw_at(square, 48))
    np.testing.assert_array_equal(large, data.to_uint8(drawn)[0])


def test_a_model_that_does_not_move_pixels_draws_at_one_size(small_run):
    opened = run.load_run(small_run)
    photo = np.zeros((20, 30, 3), np.uint8)
    own = opened.convert_photo(photo)
    assert own.shape == (32, 32, 3)
    np.testing.assert_array_equal(opened.convert_photo(photo, size=32), own)
    with pytest.raises(ValueError, match="such as flow-64; demo draws 32 px. Received: 64"):
        opened.convert_photo(photo, size=64)


def test_the_exported_file_draws_what_the_run_draws(finished, tmp_path):
    with samples.narrow_embedders():
        report = export.export_run(finished, tmp_path, ("float32",))
    assert report["input"]["shape"] == [1, 32, 32, 3]
    assert report["output"]["shape"] == [1, 16, 16, 3]
    draw = export.load_tflite(tmp_path / "converter_float32.tflite")
    assert (draw.image_size, draw.drawn_size) == (32, 16)
    photos = finished.pairs()["test"].sources[:3]
    expected = data.to_uint8(finished.convert(data.to_float(photos)))
    np.testing.assert_allclose(draw(photos).astype(int), expected, atol=1)
    assert draw.embed(draw(photos)).shape == (3, draw.dimensions)
    with pytest.raises(ValueError, match=r"shape \(32, 32, 3\).*Received: uint8 \(3, 16, 16, 3\)"):
        draw(draw(photos))
    with pytest.raises(ValueError, match="'int8' cannot hold a flow"):
        export.export_run(finished, tmp_path, ("int8",))

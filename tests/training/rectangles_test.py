"""Rectangular pictures: a run of a VITON-HD folder, from its files to the exported file."""

import dataclasses
import re
import shutil

import keras
import numpy as np
import pytest
from PIL import Image

import export
from keras_pixdt import commands, data, presets, search
from keras_pixdt.search import catalogue
from keras_pixdt.training import run, start
from tests.data.readers import layouts as written
from tests.samples import narrow_embedders

SIZE, PHOTO = (16, 12), (32, 24)
OPTIONS = ["--image-size", "16x12", "--set", "photo_size=32x24", "phases=[[2, 0.001]]"]
OPTIONS += ["overlap_weight=1", "--width", "0.03125", "--batch-size", "2", "--from", "none"]


@pytest.fixture(scope="module")
def viton_hd(tmp_path_factory):
    """Pictures of 32 x 24 px; all of each cloth is garment, and one of them is square."""
    folder = written.viton_hd(tmp_path_factory.mktemp("viton_hd"))
    square = folder / "train" / "cloth" / "00003_00.jpg"
    written.picture(7, (32, 32)).save(square, quality=100)
    Image.new("L", (32, 32), 255).save(folder / "train" / "cloth-mask" / square.name)
    return folder


@pytest.fixture(scope="module")
def finished(viton_hd, tmp_path_factory):
    workdir = tmp_path_factory.mktemp("rectangles") / "run"
    assert (
        commands.main(["train", "--data", str(viton_hd), "--workdir", str(workdir), *OPTIONS]) == 0
    )
    return run.load_run(workdir)


@pytest.fixture
def photo():
    """As a camera has it, of other proportions."""
    small = np.random.default_rng(0).integers(0, 256, (5, 4, 3), np.uint8)
    return np.asarray(Image.fromarray(small).resize((90, 160), Image.Resampling.BICUBIC))


@pytest.mark.parametrize("how", ["letterbox", "stretch"])
def test_files_are_read_as_rectangles(viton_hd, how):
    loaded = data.load_pairs(viton_hd, SIZE, photo_size=PHOTO, truth=True, resize=how)
    train = loaded["train"]
    assert (train.image_size, train.photo_size) == (SIZE, PHOTO)
    (row,) = np.flatnonzero(train.product_id == 300)
    square = data.read_image(viton_hd / "train" / "cloth" / "00003_00.jpg")
    np.testing.assert_array_equal(train.targets[row], data.resize(square, SIZE, how))
    mask = np.zeros(SIZE, np.uint8)
    mask[slice(2, 14) if how == "letterbox" else slice(None)] = 255  # 12 x 12 in 16 x 12
    np.testing.assert_array_equal(train.masks[row], mask)
    person = data.read_image(viton_hd / "train" / "image" / "00003_00.jpg")
    (row,) = np.flatnonzero(train.product_id[train.target_index] == 300)
    np.testing.assert_array_equal(train.sources[row], person)
    part = train.select(np.array([1]))
    assert part.image_size == SIZE and part.domains().image_size == SIZE


def test_the_run_keeps_its_sizes(finished):
    assert finished.preset.image_size == SIZE and finished.preset.photo_size == PHOTO
    assert finished.model.drawn_size == SIZE
    assert finished.model.parts.input_shape == (None, *PHOTO, 3)
    assert finished.pairs()["test"].masks.shape[1:] == SIZE
    grid = data.read_image(finished.workdir / "grids" / "epoch_002.png")
    assert (grid.shape[0] + 2) % (16 + 2) == 0 and (grid.shape[1] + 2) % (12 + 2) == 0


def test_a_command_that_is_repeated_is_known_by_its_sizes(finished, viton_hd, tmp_path):
    copy = shutil.copytree(finished.workdir, tmp_path / "run")
    train = ["train", "--data", str(viton_hd), "--workdir", str(copy), "--epochs", "3"]
    assert commands.main([*train, *OPTIONS]) == 0
    assert len(run.load_run(copy).history()["val_rmse"]) == 3


def test_rectangles_are_scored(finished):
    pairs = finished.pairs()["test"]
    drawn = finished.convert(data.to_float(pairs.sources))
    assert drawn.shape == (len(pairs), *SIZE, 3)
    with narrow_embedders():
        scores = finished.evaluate("test")
        embedder = finished.embedder()
    truth = data.to_float(pairs.targets[pairs.target_index])
    rmse = np.sqrt((((drawn - truth) / 2) ** 2).mean((1, 2, 3))).mean()
    assert scores["rmse"] == pytest.approx(rmse, rel=1e-5)
    found = finished.model.find_masks(data.to_float(pairs.sources)) > 0.5
    known = pairs.masks[pairs.target_index][..., None] > 127
    both, either = (f(found, known).sum((1, 2, 3)) for f in (np.logical_and, np.logical_or))
    assert scores["mask_iou"] == pytest.approx((both / either).mean(), rel=1e-5)
    assert {"median_rank", "recall@1"} <= set(scores)
    # the embedder sees the same picture with white bars
    square = np.stack([data.images.as_square(image) for image in pairs.targets])
    vectors = [embedder.predict_on_batch(data.to_float(x)) for x in (pairs.targets, square)]
    np.testing.assert_array_equal(*vectors)


def test_photos_of_any_shape_are_converted(finished, photo, tmp_path):
    data.write_image(tmp_path / "photo.png", photo)
    convert = ["convert", str(tmp_path / "photo.png"), "--model", str(finished.workdir)]
    assert commands.main([*convert, "--out", str(tmp_path / "own")]) == 0
    fitted = data.resize(photo, PHOTO)
    expected = data.to_uint8(finished.convert(data.to_float(fitted[None])))[0]
    np.testing.assert_array_equal(data.read_image(tmp_path / "own" / "photo.png"), expected)
    np.testing.assert_array_equal(finished.convert_photo(photo), expected)
    assert commands.main([*convert, "--out", str(tmp_path / "large"), "--size", "64"]) == 0
    large = data.read_image(tmp_path / "large" / "photo.png")
    assert large.shape == (64, 48, 3)
    np.testing.assert_array_equal(finished.convert_photo(photo, size=64), large)
    np.testing.assert_array_equal(finished.convert_photo(photo, size=(64, 48)), large)
    with pytest.raises(ValueError, match="proportions of what the model draws, 16x12 px"):
        finished.convert_photo(photo, size=(64, 64))
    with pytest.raises(ValueError, match="square uint8 images.*rectangles are not enlarged"):
        finished.upscaler()


@pytest.mark.skipif(keras.backend.backend() != "tensorflow", reason="TensorFlow exports")
def test_the_exported_file_draws_embeds_and_searches_rectangles(finished, photo, tmp_path):
    with narrow_embedders():
        report = export.export_run(finished, tmp_path / "export", ("float32",))
        embedder = finished.search_embedder()
    assert report["input"]["shape"] == [1, *PHOTO, 3]
    assert report["output"]["shape"] == [1, *SIZE, 3]
    assert report["flow"]["outputs"]["mask"] == [1, *SIZE, 1]
    path = tmp_path / "export" / "converter_float32.tflite"
    draw = export.load_tflite(path)
    assert (draw.image_size, draw.drawn_size) == (PHOTO, SIZE)
    assert draw.photo_side(64, (999, 9)) == (256, 192)
    fitted = data.resize(photo, PHOTO, draw.resize)
    drawn = draw(fitted)
    np.testing.assert_allclose(drawn.astype(int), finished.convert_photo(photo), atol=1)
    expected = embedder.predict_on_batch(data.to_float(drawn[None]))[0]
    np.testing.assert_allclose(draw.embed(drawn), expected, atol=1e-4)
    for size in (40, 64):
        large = finished.convert_photo(photo, size=size).astype(int)
        np.testing.assert_allclose(draw.draw_at(photo, size), large, atol=2)
    with pytest.raises(ValueError, match=r"uint8 of shape \(32, 24, 3\).*Received"):
        draw(drawn)

    # A catalogue of pictures of any shape, searched by what the file draws.
    products = [data.images.as_square(drawn), *finished.pairs()["train"].targets]
    index = search.ProductIndex.build(products, map(str, range(len(products))), embedder)
    data.write_image(tmp_path / "photo.png", photo)
    found = catalogue.search_photo(
        index, embedder, tmp_path / "photo.png",
        convert=draw, convert_size=draw.image_size, convert_resize=draw.resize,
    )  # fmt: skip
    best = found["results"][0]
    assert best["id"] == "0" and best["score"] == pytest.approx(1, abs=1e-4)


def test_the_shipped_weights_fit_rectangles(tmp_path, viton_hd):
    sizes = {"image_size": (64, 48), "photo_size": (128, 96)}
    preset = dataclasses.replace(presets.get("flow-64"), **sizes)
    model = preset.model()
    before = {w.path: np.array(w) for w in model.parts.weights}
    start.load(model, start.RENDERED)
    square = presets.get("flow-64").model()
    start.load(square, start.RENDERED)
    for weight, other in zip(model.parts.weights, square.parts.weights, strict=True):
        np.testing.assert_array_equal(weight, other)
    assert any((before[w.path] != np.array(w)).any() for w in model.parts.weights)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--preset", "yoo2016", "--image-size", "64x48"], "'yoo2016'.*must be the side of a sq"),
        (
            ["--image-size", "64x48"],
            "`photo_size` must have the proportions of `image_size`, 64x48.*photo_size=128x96",
        ),
        (["--data", "rendered", *OPTIONS], "Drawn products and persons are squares"),
    ],
)
def test_what_takes_no_rectangles_says_so(tmp_path, caplog, options, message):
    assert commands.main(["train", "--workdir", str(tmp_path / "run"), *options]) == 1
    assert re.search(message, caplog.text)

"""The preset that comes with the package, and the commands that use it when no model is named."""

import json
import logging
import pathlib

import numpy as np
import pytest

import export
import keras_pixdt
from keras_pixdt import commands, data, search, serve
from keras_pixdt.choices import SHIPPED
from keras_pixdt.hub import make, preset
from tests.hub.preset_test import card_of

FOLDER = preset.find(SHIPPED)
EXAMPLE = FOLDER / preset.EXAMPLE


@pytest.fixture(scope="module")
def tflite():
    return export.load_tflite(FOLDER / preset.TFLITE)


@pytest.fixture(scope="module")
def shipped():
    return keras_pixdt.load_preset(SHIPPED)


def test_it_holds_few_bytes_and_no_place_of_a_machine():
    files = {path.name: path.read_bytes() for path in FOLDER.iterdir()}
    assert sum(map(len, files.values())) <= make.MOST_BYTES == 3_000_000
    assert not [
        n for n, content in files.items() for place in (b"/tmp/", b"/root") if place in content
    ]
    options = json.loads(files["run.json"])
    assert options == preset._without_places(options)
    front, text = card_of(FOLDER)
    assert front["license"] == "apache-2.0"
    assert make._LIMITS in text
    assert "Photos of real persons come out worse" in text and "for 19% of them" in text


def test_its_weights_are_those_that_training_starts_from(shipped):
    from keras_pixdt.training import start

    kept = start._read(start.RENDERED)
    for name, weight in start._weights(shipped.model).items():
        np.testing.assert_array_equal(np.asarray(weight), kept[name])
    assert shipped.model.players.keys() == shipped.preset.model(0).players.keys()


def test_its_file_draws_as_its_model(shipped, tflite):
    photo = data.read_image(EXAMPLE)
    drawn = tflite(data.resize(photo, tflite.image_size, tflite.resize)).astype(int)
    expected = shipped.convert_photo(photo).astype(int)
    assert np.abs(drawn - expected).mean() < 2  # of 255: weights of 8 bits
    large = tflite.draw_at(photo, 256).astype(int)
    assert np.abs(large - shipped.convert_photo(photo, 256)).mean() < 2


def test_its_index_was_made_with_its_embedder_and_finds_the_example(shipped, tflite):
    embedder = shipped.search_embedder()
    index = search.ProductIndex.open(FOLDER / preset.INDEX, embedder)
    card = export.read_metadata(FOLDER / preset.TFLITE)
    assert card["embedder_fingerprint"] == index.embedder
    drawn = tflite(data.resize(data.read_image(EXAMPLE), tflite.image_size, tflite.resize))
    worn = next(name for name in index.ids if " dress " in name and "plain" not in name)
    for query in (tflite.embed(drawn), search.embed(embedder, drawn[None])[0]):
        assert index.search(query, k=1)[0] == [worn]


# Commands


def warned(caplog):
    return [m for r in caplog.records if (m := r.getMessage()).startswith(f"Using {SHIPPED}")]


@pytest.fixture
def empty(tmp_path, monkeypatch, caplog):
    """A current folder with a photo and nothing else."""
    (tmp_path / "photo.jpg").write_bytes(EXAMPLE.read_bytes())
    monkeypatch.chdir(tmp_path)
    caplog.set_level(logging.INFO, "absl")
    return tmp_path


@pytest.mark.parametrize("model", [[], ["--model", SHIPPED]])
@pytest.mark.parametrize("size", [64, 96])
def test_convert_needs_no_model(empty, tflite, caplog, model, size):
    larger = [] if size == 64 else ["--size", str(size)]
    assert commands.main(["convert", "photo.jpg", "--out", "drawn", *model, *larger]) == 0
    (said,) = warned(caplog)
    found = next(line for line in card_of(FOLDER)[1].splitlines() if "recall@10" in line)
    assert f"first ten in {100 * float(found.split()[3]):.0f}% of cases" in said
    assert "drawn persons only" in said and "pixdt train --data" in said and "\n" not in said
    photo = data.read_image(EXAMPLE)
    square = data.resize(photo, tflite.image_size, tflite.resize)
    expected = tflite(square) if size == 64 else tflite.draw_at(photo, size)
    drawn = data.read_image("drawn/photo.png")
    assert drawn.shape == (size, size, 3)
    if size == 64:
        np.testing.assert_array_equal(drawn, expected)


def test_serve_needs_no_options(empty, caplog, monkeypatch):
    called = []
    monkeypatch.setattr(serve, "serve", lambda *paths, **options: called.append((paths, options)))
    assert commands.main(["serve"]) == 0
    (((index, model), options),) = called
    assert (index, model) == (FOLDER / preset.INDEX, FOLDER / preset.TFLITE)
    assert (options["example"], options["port"]) == (EXAMPLE, 8000)
    assert len(warned(caplog)) == 1


def test_what_serve_is_told_to_serve_is_served(empty, monkeypatch, caplog):
    called = []
    monkeypatch.setattr(serve, "serve", lambda *paths, **options: called.append((paths, options)))
    (run := pathlib.Path("runs/mine/export")).mkdir(parents=True)
    (run / preset.TFLITE).touch()
    assert commands.main(["serve", "--model", "runs/mine"]) == 1
    assert "--index must be given: there is no products.index in runs/mine" in caplog.text
    (run.parent / preset.INDEX).touch()
    assert commands.main(["serve", "--model", "runs/mine"]) == 0
    assert commands.main(["serve", "--index", "own.index", "--example", "photo.jpg"]) == 0
    found = [(*map(str, paths), options["example"]) for paths, options in called]
    tflite = str(FOLDER / preset.TFLITE)
    assert found == [
        (str(run.parent / preset.INDEX), str(run / preset.TFLITE), None),
        ("own.index", tflite, "photo.jpg"),
    ]


def test_a_catalogue_is_indexed_and_searched_by_it(empty, capsys):
    (empty / "catalogue").mkdir()
    index = search.ProductIndex.open(FOLDER / preset.INDEX)
    for row in range(0, 30, 3):
        (empty / "catalogue" / f"{row}.jpg").write_bytes(index.thumbnail(row))
    arguments = ["--embedder", SHIPPED, "--out", "own.index"]
    assert commands.main(["index", "catalogue", *arguments]) == 0
    arguments = ["--index", "own.index", "--embedder", SHIPPED, "--model", SHIPPED]
    assert commands.main(["search", *arguments, "--query", "photo.jpg", "--top", "3"]) == 0
    assert len(json.loads(capsys.readouterr().out)["results"]) == 3
    assert serve.collect("own.index", FOLDER / preset.TFLITE)["/products.index"].size


def test_export_does_not_write_into_it(caplog):
    assert commands.main(["export", "--workdir", SHIPPED]) == 1
    assert "--out must be given with a preset" in caplog.text


def test_nothing_that_it_trains_is_written_into_it(shipped):
    before = sorted(FOLDER.iterdir())
    assert shipped.load_or_train("embedder.keras", shipped.search_embedder) is not None
    assert sorted(FOLDER.iterdir()) == before


def test_training_starts_from_a_preset(empty, monkeypatch, caplog):
    from keras_pixdt.training import trainer

    started = []
    monkeypatch.setattr(trainer, "train", lambda row, *_, **__: started.append(row.start) or 1 / 0)
    monkeypatch.setattr(preset, "find", lambda name: pathlib.Path("cache") / str(name)[-4:])
    for name in (SHIPPED, "hf://user/name", "runs/mine"):
        with pytest.raises(ZeroDivisionError):
            commands.main(["train", "--workdir", "w", "--from", name])
    assert started == ["rendered", "cache/name", "runs/mine"]


# How it is made


def test_half_of_a_weight_is_kept(tmp_path):
    weight = np.array([1.0, 1.0001, -0.1], np.float32)
    halved = make.half_precise(weight)
    assert halved.dtype == np.float32
    np.testing.assert_array_equal(halved, np.array([1.0, 1.0, -0.0999755859375], np.float32))


def test_a_packed_model_is_the_same_model_and_has_no_time(tmp_path):
    embedder = search.ProductEmbedder(image_size=16, width=0.1, dimensions=4)
    for name in ("first", "second"):
        embedder.save(tmp_path / f"{name}.keras")
        make.repack(tmp_path / f"{name}.keras", tmp_path / f"{name}_packed.keras")
    first, second = ((tmp_path / f"{n}_packed.keras").read_bytes() for n in ("first", "second"))
    assert first == second
    assert len(first) < (tmp_path / "first.keras").stat().st_size
    loaded = search.catalogue.load_embedder(tmp_path / "first_packed.keras")
    assert search.fingerprint(loaded) == search.fingerprint(embedder)

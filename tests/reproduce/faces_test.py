import dataclasses
import json
import types

import keras
import numpy as np
import pytest
from absl import logging
from PIL import Image

from keras_pixdt import data, presets
from keras_pixdt.metrics import retrieval
from keras_pixdt.reproduce import face_retrieval, faces, garments
from keras_pixdt.reproduce.paired_experiment import Length, PairedExperiment
from keras_pixdt.training.run import Run

SIZE = 16
RED, GREEN, BLUE = (255, 0, 0), (0, 255, 0), (0, 0, 255)
MAGENTA, WHITE, BLACK = (255, 0, 255), (255, 255, 255), (0, 0, 0)


def write(folder, colors):
    """Images of one colour each."""
    for name, color in colors.items():
        path = folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        Image.new("RGB", (8, 8), color).save(path)
    return folder


def mean_color():
    """An embedder that works out by hand: cosines of these colours are 1, 1/3, -1/3 or -1."""
    image = keras.Input((None, None, 3))
    return keras.Model(image, keras.layers.GlobalAveragePooling2D()(image))


def run_of(workdir, resize="letterbox", **attributes):
    """A run that exchanges dark and light of blue, and keeps red and green."""
    preset = dataclasses.replace(presets.get("taigman2017"), image_size=SIZE, resize=resize)
    flip = np.array([1, 1, -1], "float32")
    model = types.SimpleNamespace(predict_on_batch=lambda x: x * flip, **attributes)
    return Run(workdir, preset, {}, 0, model)


@pytest.fixture(scope="module")
def workdir(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run")
    mean_color().save(folder / "embedder.keras")
    return folder


@pytest.fixture(autouse=True)
def opened(workdir, monkeypatch):
    monkeypatch.setattr(faces, "load_run", lambda path: run_of(workdir))


@pytest.fixture
def said(monkeypatch):
    """What is logged."""
    texts = []
    for level in ("info", "warning"):
        monkeypatch.setattr(logging, level, lambda *text: texts.append(text[0] % text[1:]))
    return texts


@pytest.fixture
def folders(tmp_path):
    photos = write(tmp_path / "photos", {"anna.png": RED, "ben.png": BLUE, "cleo.png": GREEN})
    counterparts = {"more/anna.bmp": RED, "ben.png": BLACK}
    distractors = {"1.png": MAGENTA, "2.png": WHITE, "more/2.png": GREEN}  # of one name: no matter
    gallery = write(tmp_path / "gallery", counterparts | distractors)
    (gallery / "broken.png").write_bytes(b"no image")
    (gallery / "list.txt").write_text("1.png")
    drawn = write(tmp_path / "drawn", {"anna.gif": WHITE, "ben.png": GREEN, "cleo.png": RED})
    return photos, gallery, drawn


# Bad input


@pytest.mark.parametrize("missing", ["photos", "gallery", "drawn"])
def test_missing_folders_are_named(folders, missing, tmp_path):
    arguments = dict(zip(("photos", "gallery", "drawn"), folders, strict=True))
    arguments[missing] = tmp_path / "nowhere"
    with pytest.raises(FileNotFoundError, match=f"nowhere. `{missing}` must be a folder or an arc"):
        faces.find("run", **arguments)


def test_a_folder_without_images_is_named(folders, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty has no images, which end in .bmp"):
        faces.find("run", folders[0], tmp_path / "empty")


def test_two_images_of_one_photo_are_named(folders):
    photos, gallery, _ = folders
    write(gallery, {"less/anna.gif": BLUE})
    message = r"gallery has 2 images called 'anna' \(less/anna.gif, more/anna.bmp\)"
    with pytest.raises(ValueError, match=message):
        faces.find("run", photos, gallery)


def test_photos_without_counterparts_are_named(folders, tmp_path):
    gallery = write(tmp_path / "others", {"dora.png": RED})
    message = "needs an image of the same name.*3 photo_without_counterpart .anna.png, ben.png, cl"
    with pytest.raises(ValueError, match=message):
        faces.find("run", folders[0], gallery)


def test_one_photo_without_distractors_has_nothing_to_be_told_from(folders, tmp_path):
    gallery = write(tmp_path / "one", {"ben.png": RED})
    with pytest.raises(ValueError, match="needs distractors, .*Received: 1 probes, no distractors"):
        faces.find("run", folders[0], gallery)


def test_embedders_that_do_not_fit(folders, tmp_path):
    with pytest.raises(FileNotFoundError, match="one of trained, search, .*no file vgg"):
        faces.find("run", *folders, embedder="vgg.keras")
    image = keras.Input((8, 12, 3))
    oblong = tmp_path / "oblong.keras"
    keras.Model(image, keras.layers.GlobalAveragePooling2D()(image)).save(oblong)
    with pytest.raises(ValueError, match=r"must take square RGB .*takes \(None, 8, 12, 3\)"):
        faces.find("run", *folders, embedder=str(oblong))
    image = keras.Input((8, 8, 3))
    maps = tmp_path / "maps.keras"
    keras.Model(image, keras.layers.MaxPooling2D()(image)).save(maps)
    with pytest.raises(ValueError, match=r"one vector for each.*gives \(None, 4, 4, 3\)"):
        faces.find("run", *folders, embedder=str(maps))


def test_features_that_disagree():
    features = np.ones((2, 3))
    for counterparts, distractors in ((np.ones((3, 3)), features), (features, np.ones((2, 4)))):
        with pytest.raises(ValueError, match="disagree. Received: .2, 3., "):
            face_retrieval.retrieve(features, counterparts, distractors)
    with pytest.raises(ValueError, match="`distractors` must be finite, 1 of its 2 rows"):
        face_retrieval.retrieve(features, features, np.array([[1, 1, 1], [1, np.nan, 1]]))


# Ranks


def test_retrieval_by_hand():
    probes = np.array([[5.0, 0.0], [5.0, 0.0], [0.0, 2.0]])
    counterparts = np.array([[1.0, 1.0], [3.0, 0.1], [-1.0, -1.0]])
    distractors = np.array([[0.0, 1.0], [1.0, 0.5], [-7.0, 0.0], [2.0, 0.9]])
    # Cosines of the probes with the distractors, and with their counterparts:
    # 0, 0.89, -1, 0.91 and 0.71; the same and 0.999; 1, 0.45, 0, 0.41 and -0.71.
    found = face_retrieval.retrieve(probes, counterparts, distractors)
    assert found.rank.dtype == np.int64
    np.testing.assert_array_equal(found.rank, [3, 1, 5])
    np.testing.assert_array_equal(found.nearest, [3, 3, 0])


def test_counterparts_of_others_are_in_no_gallery():
    probes = np.array([[1.0, 0.0], [0.0, 1.0]])
    exchanged = probes[::-1]
    distractor = np.array([[-1.0, -1.0]])
    # By cosine each probe is the counterpart of the other one.
    np.testing.assert_array_equal(face_retrieval.retrieve(probes, probes, distractor).rank, 1)
    np.testing.assert_array_equal(face_retrieval.retrieve(probes, exchanged, distractor).rank, 1)
    np.testing.assert_array_equal(
        face_retrieval.retrieve(probes, exchanged, distractor[:0]).rank, 2
    )


def test_ties_count_against_the_probe():
    same = np.ones((3, 8), "float32")
    np.testing.assert_array_equal(face_retrieval.retrieve(same, same, np.ones((7, 8))).rank, 8)
    np.testing.assert_array_equal(face_retrieval.retrieve(same, same, np.ones((0, 8))).rank, 3)


def test_retrieval_agrees_with_ranks_of_each_gallery(monkeypatch):
    rng = np.random.default_rng(0)
    probes, counterparts = rng.normal(size=(2, 30, 6))
    distractors = rng.normal(size=(23, 6))
    expected = [
        retrieval.ranks(probe[None], np.vstack([right, distractors]), [0])[0]
        for probe, right in zip(probes, counterparts, strict=True)
    ]
    of_others = retrieval.ranks(probes, counterparts, np.arange(30))
    for similarities in (2**24, 100):  # at once, and four probes at a time
        monkeypatch.setattr(retrieval, "_CHUNK_SIMILARITIES", similarities)
        found = face_retrieval.retrieve(probes, counterparts, distractors)
        np.testing.assert_array_equal(found.rank, expected)
        np.testing.assert_array_equal(
            face_retrieval.retrieve(probes, counterparts, distractors[:0]).rank, of_others
        )
    assert found.rank.min() == 1 and found.rank.max() > 15


def test_measures_by_hand():
    assert face_retrieval.measures(np.array([1, 2, 5, 6, 20, 1])) == {
        "median_rank": 3.5,
        "mean_rank": 35 / 6,
        "rank_1_accuracy": 2 / 6,
        "rank_5_accuracy": 4 / 6,
    }


# The experiment


def test_run_by_hand(folders, tmp_path, said):
    found, picture = faces.find("run", *folders)
    assert (found["photos"], found["distractors"], found["gallery_size"]) == (2, 3, 4)
    assert found["names"] == ["anna.png", "ben.png"]
    # Anna: red, converted to magenta, drawn white, to be found by red among magenta, white, green.
    # Ben: blue, converted to black, drawn green, to be found by black among the same.
    assert found["ranks"] == {"photo": [1, 2], "drawn": [4, 2], "converted": [3, 1]}
    assert list(found["measures"]) == ["drawn", "converted", "photo", "chance"]
    assert found["measures"]["converted"] == face_retrieval.measures(np.array([3, 1]))
    assert found["measures"]["chance"] == {
        "median_rank": 2.5,
        "mean_rank": 2.5,
        "rank_1_accuracy": 0.25,
        "rank_5_accuracy": 1.0,
    }
    assert found["left_out"]["examples"] == {
        "no_image_by_its_name": ["list.txt"],
        "photo_without_counterpart": ["cleo.png"],
        "unreadable": ["broken.png"],
    }
    assert any("1 photo_without_counterpart (cleo.png)" in text for text in said)
    assert picture.shape == (2 * (SIZE + 2) - 2, 4 * (SIZE + 2) - 2, 3)
    cells = [[tuple(pixel) for pixel in row[8 :: SIZE + 2]] for row in picture[8 :: SIZE + 2]]
    assert cells == [[RED, WHITE, MAGENTA, MAGENTA], [BLUE, GREEN, BLACK, BLACK]]


def test_photos_without_a_drawing_are_in_no_column(folders, said):
    photos, gallery, drawn = folders
    (drawn / "anna.gif").unlink()
    found, _ = faces.find("run", photos, gallery, drawn)
    assert found["names"] == ["ben.png"]
    assert found["ranks"] == {"photo": [2], "drawn": [2], "converted": [1]}
    assert found["left_out"]["examples"]["photo_without_drawing"] == ["anna.png"]
    # Anna's counterpart is no distractor.
    assert found["distractors"] == 3


def test_unreadable_counterparts_are_left_out_with_their_photos(folders, said):
    photos, gallery, _ = folders
    (gallery / "more" / "anna.bmp").write_bytes(b"")
    found, _ = faces.find("run", photos, gallery)
    assert found["names"] == ["ben.png"]
    assert found["left_out"]["examples"]["unreadable"] == ["more/anna.bmp", "broken.png"]
    assert "drawn" not in found["ranks"]


def test_without_distractors_the_gallery_is_of_counterparts(folders, tmp_path, said):
    gallery = write(tmp_path / "pairs", {"anna.png": GREEN, "ben.png": MAGENTA})
    found, picture = faces.find("run", folders[0], gallery)
    # Magenta is at -1 of green, and at 1 of Ben's counterpart; black is nearer to green than to it.
    assert found["ranks"] == {"photo": [2, 1], "converted": [2, 2]}
    assert found["gallery_size"] == 2 and found["distractors"] == 0
    assert "no distractors" in found["gallery"]
    assert any("not what the paper did" in text for text in said)
    nearest = picture[8 :: SIZE + 2, -1]
    assert [tuple(pixel) for pixel in nearest] == [MAGENTA, GREEN]


def test_embedders_of_a_fixed_size_get_it(folders, tmp_path, said):
    image = keras.Input((4, 4, 3))
    flat = tmp_path / "flat.keras"
    keras.Model(image, keras.layers.Flatten()(image)).save(flat)
    # Cosines of images of one colour are those of the colours.
    expected = faces.find("run", *folders)[0]["ranks"]
    assert faces.find("run", *folders, embedder=str(flat))[0]["ranks"] == expected


@pytest.mark.parametrize("resize", ["letterbox", "stretch"])
def test_images_are_made_square_as_the_runs_are(resize, folders, workdir, monkeypatch):
    """Tall ones: all red, or with white bars beside them, for G and for the embedder."""
    run = run_of(workdir, resize)
    monkeypatch.setattr(faces, "load_run", lambda path: run)
    photos, gallery, _ = folders
    tall = Image.new("RGB", (8, 16), RED)
    tall.save(photos / "anna.png")
    _, picture = faces.find("run", photos, gallery)
    yellow = (255, 255, 0)  # what G makes of white
    edges = (tuple(picture[8, 0]), tuple(picture[8, SIZE + 2]))  # of the photo and of G(x)
    assert edges == ((RED, MAGENTA) if resize == "stretch" else (WHITE, yellow))
    (feature,) = faces._Embedder(run, "trained")([np.array(tall)])
    np.testing.assert_allclose(feature, [1, -1, -1] if resize == "stretch" else [1, 0, 0])


def test_the_runs_own_f_is_warned_of(workdir, tmp_path, said):
    image = keras.Input((4, 4, 3))
    f, other = (
        keras.Model(image, keras.layers.Dense(2)(keras.layers.Flatten()(image))) for _ in range(2)
    )
    for name, model in (("f", f), ("other", other)):
        model.save(tmp_path / f"{name}.keras")
    run = run_of(workdir, function=f)
    faces._Embedder(run, str(tmp_path / "other.keras"))
    faces._Embedder(run_of(workdir), str(tmp_path / "f.keras"))
    assert not said
    faces._Embedder(run, str(tmp_path / "f.keras"))
    assert len(said) == 1 and "the run's own f" in said[0]


def test_command_writes_the_table(folders, workdir, said, tmp_path):
    photos, gallery, drawn = map(str, folders)
    given = ["--photos", photos, "--gallery", gallery, "--drawn", drawn]
    out = tmp_path / "a" / "out"
    faces.main(["--workdir", str(workdir), *given, "--out", str(out)])
    names = {f"taigman2017-table4.{suffix}" for suffix in ("html", "json", "md", "png")}
    assert {path.name for path in out.iterdir()} == names
    written = json.loads((out / "taigman2017-table4.json").read_text())
    converted = written["rows"][1]
    assert converted["seeds"]["0"]["ranks"] == {"anna.png": 3, "ben.png": 1}
    assert converted["paper"]["Rank-1 accuracy"] == "22.88%"
    assert converted["settings"]["image_size"] == SIZE
    assert written["settings"]["gallery"] == "4 (distractors and the photo's counterpart)"
    assert "1 unreadable" in written["settings"]["left out"]
    # Drawn images have ranks 4 and 2, converted ones 3 and 1: both means have an error of 1, and
    # all shares one of a half: none, half and all of two. Two photos decide nothing.
    assert [(v["claim"].rsplit(" in ")[-1], v["lead"], v["noise"]) for v in written["claims"]] == [
        ("Median rank", 1, None), ("Mean rank", 1, pytest.approx(np.sqrt(2))),
        ("Rank-1 accuracy", 0.5, pytest.approx(np.sqrt(0.5))),
        ("Rank-5 accuracy", 0, pytest.approx(np.sqrt(0.5))),
    ]  # fmt: skip
    assert {v["verdict"] for v in written["claims"]} == {"not decided"}
    text = (out / "taigman2017-table4.md").read_text()
    assert any(text in line for line in said)
    table = [[cell.strip() for cell in line.split("|")[1:-1]] for line in text.split("\n")]
    assert ["drawn by people", "3.0", "3.00", "0.00%", "100.00%", "16311", "27,992.34", "0%",
            "0%"] in table  # fmt: skip
    assert ["G(x)", "2.0", "2.00", "50.00%", "100.00%", "16", "535.47", "22.88%", "34.75%"] in table
    assert ["the photo", "1.5", "1.50", "50.00%", "100.00%", "", "", "", ""] in table


@pytest.mark.parametrize("options", [["--workdir", "a", "--photos", "b"], ["--drawn", "c"]])
def test_command_wants_a_run_with_its_folders(options, capsys):
    with pytest.raises(SystemExit):
        faces.main(options)
    assert "--workdir, --photos and --gallery belong together" in capsys.readouterr().err


# The stand-in


def pairs_of(products, colors, per_product=2):
    """Products whose photos have one colour each, all of a different brightness of it."""
    index = np.repeat(np.arange(products), per_product)
    shades = np.array(colors, float)[index] * np.linspace(1, 0.8, len(index))[:, None]
    sources = np.broadcast_to(shades[:, None, None], (len(index), SIZE, SIZE, 3))
    targets = np.full((products, SIZE, SIZE, 3), 255, np.uint8)
    ids = np.arange(products)
    return data.PairSet(sources.astype(np.uint8), targets, index, ids, ids)


class OneNetwork(PairedExperiment):
    """A run that makes a picture of each photo, trained by no one."""

    def __init__(self, out, pairs, convert):
        super().__init__(out, {"data": "rendered"})
        self._own_pairs, self._convert, self.asked = pairs, convert, []

    def pairs(self, preset):
        return self._own_pairs

    def data_digest(self, preset):
        return "digest"

    def length(self, preset, samples):
        return Length(2, 3, samples)

    def run(self, preset, length, seed):
        self.asked.append((preset.name, length.samples, seed))
        return types.SimpleNamespace(convert=self._convert)


@pytest.fixture
def by_color(monkeypatch):
    monkeypatch.setattr(garments.search, "train_embedder", lambda *_, **__: mean_color())


def test_garments_are_photos_of_test_products_among_those_of_validation():
    pairs = {
        "train": pairs_of(2, [RED, BLUE]),
        "validation": pairs_of(2, [WHITE, GREEN], 3),
        "test": pairs_of(2, [RED, BLUE], 3),
    }
    found = garments.garments(pairs)
    test = pairs["test"].sources
    np.testing.assert_array_equal(found.photos, test[[0, 3]])
    np.testing.assert_array_equal(found.counterparts, test[[1, 4]])
    np.testing.assert_array_equal(found.distractors, pairs["validation"].sources)
    with pytest.raises(ValueError, match="No product of the test split has two photos.*2 photos"):
        garments.garments({**pairs, "test": pairs_of(2, [RED, BLUE], 1)})
    del pairs["validation"]
    with pytest.raises(ValueError, match="do not have. Choose others. Received the splits: train"):
        garments.garments(pairs)


def test_the_stand_in_by_hand(by_color, tmp_path):
    pairs = {
        "train": pairs_of(2, [RED, BLUE]),
        "validation": pairs_of(3, [MAGENTA, WHITE, GREEN], 1),
        "test": pairs_of(2, [RED, BLUE]),
    }
    rows = OneNetwork(tmp_path, pairs, lambda x: x * np.array([1, 1, -1], "float32"))
    result = garments.run(rows, "smoke", seeds=2)
    samples_seen = garments.BUDGETS["smoke"].samples
    assert rows.asked == [("taigman2017-small", samples_seen, seed) for seed in (0, 1)]
    found = {row.key: row.seeds for row in result.rows}
    assert found["drawn"] == {}
    # Red becomes magenta, to which magenta (1) and white (1/3) are nearer than a darker red (0.30).
    # Blue becomes black, to which a darker blue (0.64) is nearer than green (0.46).
    assert found["converted"][0]["ranks"] == found["converted"][1]["ranks"] == [3, 1]
    assert found["photo"][0].items() >= face_retrieval.measures(np.array([1, 1])).items()
    # Ranks 3 and 1: a deviation of sqrt(2) over sqrt(2); shares of a half and of all of two.
    assert found["converted"][0]["standard_errors"] == {
        "mean_rank": pytest.approx(1.0), "rank_1_accuracy": 0.5, "rank_5_accuracy": 0.5,
    }  # fmt: skip
    assert found["chance"][0]["median_rank"] == 2.5
    assert not result.verdicts() and garments.GARMENTS_NOTE in result.markdown()
    written = json.loads((tmp_path / "taigman2017-table4.json").read_text())
    by_key = {row["key"]: row for row in written["rows"]}
    assert by_key["converted"]["settings"]["epochs"] == 6 and by_key["photo"]["settings"] == {}
    assert "| gamma " in result.markdown()
    assert written["settings"]["photos"] == 2 and written["settings"]["gallery"] == 4
    assert data.read_image(tmp_path / "taigman2017-table4.png").shape[0] == 4 * (SIZE + 2) - 2
    with pytest.raises(ValueError, match="`seeds` must be at least 1. Received: 0"):
        garments.run(rows, "smoke", seeds=0)


def test_presets_of_the_stand_in():
    for budget in garments.BUDGETS.values():
        dataclasses.replace(presets.get(garments.PRESET), **budget.fields)

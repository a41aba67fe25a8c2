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
from keras_pixdt.reproduce import taigman2017_table4 as table4
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


def run_of(workdir, **attributes):
    """A run that exchanges dark and light of blue, and keeps red and green."""
    preset = dataclasses.replace(presets.get("taigman2017"), image_size=SIZE)
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
    monkeypatch.setattr(table4, "load_run", lambda path: run_of(workdir))


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
        table4.run("run", **arguments)


def test_a_folder_without_images_is_named(folders, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(ValueError, match="empty has no images, which end in .bmp"):
        table4.run("run", folders[0], tmp_path / "empty")


def test_two_images_of_one_photo_are_named(folders):
    photos, gallery, _ = folders
    write(gallery, {"less/anna.gif": BLUE})
    message = r"gallery has 2 images called 'anna' \(less/anna.gif, more/anna.bmp\)"
    with pytest.raises(ValueError, match=message):
        table4.run("run", photos, gallery)


def test_photos_without_counterparts_are_named(folders, tmp_path):
    gallery = write(tmp_path / "others", {"dora.png": RED})
    message = "needs an image of the same name.*3 photo_without_counterpart .anna.png, ben.png, cl"
    with pytest.raises(ValueError, match=message):
        table4.run("run", folders[0], gallery)


def test_one_photo_without_distractors_has_nothing_to_be_told_from(folders, tmp_path):
    gallery = write(tmp_path / "one", {"ben.png": RED})
    with pytest.raises(ValueError, match="needs distractors, .*Received: 1 probes, no distractors"):
        table4.run("run", folders[0], gallery)


def test_embedders_that_do_not_fit(folders, tmp_path):
    with pytest.raises(FileNotFoundError, match="one of trained, search, .*no file vgg"):
        table4.run("run", *folders, embedder="vgg.keras")
    image = keras.Input((8, 12, 3))
    oblong = tmp_path / "oblong.keras"
    keras.Model(image, keras.layers.GlobalAveragePooling2D()(image)).save(oblong)
    with pytest.raises(ValueError, match=r"must take square RGB .*takes \(None, 8, 12, 3\)"):
        table4.run("run", *folders, embedder=str(oblong))
    image = keras.Input((8, 8, 3))
    maps = tmp_path / "maps.keras"
    keras.Model(image, keras.layers.MaxPooling2D()(image)).save(maps)
    with pytest.raises(ValueError, match=r"one vector for each.*gives \(None, 4, 4, 3\)"):
        table4.run("run", *folders, embedder=str(maps))


def test_features_that_disagree():
    features = np.ones((2, 3))
    for counterparts, distractors in ((np.ones((3, 3)), features), (features, np.ones((2, 4)))):
        with pytest.raises(ValueError, match="disagree. Received: .2, 3., "):
            table4.retrieve(features, counterparts, distractors)
    with pytest.raises(ValueError, match="`distractors` must be finite, 1 of its 2 rows"):
        table4.retrieve(features, features, np.array([[1, 1, 1], [1, np.nan, 1]]))


# Ranks


def test_retrieval_by_hand():
    probes = np.array([[5.0, 0.0], [5.0, 0.0], [0.0, 2.0]])
    counterparts = np.array([[1.0, 1.0], [3.0, 0.1], [-1.0, -1.0]])
    distractors = np.array([[0.0, 1.0], [1.0, 0.5], [-7.0, 0.0], [2.0, 0.9]])
    # Cosines of the probes with the distractors, and with their counterparts:
    # 0, 0.89, -1, 0.91 and 0.71; the same and 0.999; 1, 0.45, 0, 0.41 and -0.71.
    found = table4.retrieve(probes, counterparts, distractors)
    assert found.rank.dtype == np.int64
    np.testing.assert_array_equal(found.rank, [3, 1, 5])
    np.testing.assert_array_equal(found.nearest, [3, 3, 0])


def test_counterparts_of_others_are_in_no_gallery():
    probes = np.array([[1.0, 0.0], [0.0, 1.0]])
    exchanged = probes[::-1]
    distractor = np.array([[-1.0, -1.0]])
    # By cosine each probe is the counterpart of the other one.
    np.testing.assert_array_equal(table4.retrieve(probes, probes, distractor).rank, 1)
    np.testing.assert_array_equal(table4.retrieve(probes, exchanged, distractor).rank, 1)
    np.testing.assert_array_equal(table4.retrieve(probes, exchanged, distractor[:0]).rank, 2)


def test_ties_count_against_the_probe():
    same = np.ones((3, 8), "float32")
    np.testing.assert_array_equal(table4.retrieve(same, same, np.ones((7, 8))).rank, 8)
    np.testing.assert_array_equal(table4.retrieve(same, same, np.ones((0, 8))).rank, 3)


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
        monkeypatch.setattr(table4, "_SIMILARITIES", similarities)
        found = table4.retrieve(probes, counterparts, distractors)
        np.testing.assert_array_equal(found.rank, expected)
        np.testing.assert_array_equal(
            table4.retrieve(probes, counterparts, distractors[:0]).rank, of_others
        )
    assert found.rank.min() == 1 and found.rank.max() > 15


def test_measures_by_hand():
    assert table4.measures(np.array([1, 2, 5, 6, 20, 1])) == {
        "median_rank": 3.5,
        "mean_rank": 35 / 6,
        "rank_1_accuracy": 2 / 6,
        "rank_5_accuracy": 4 / 6,
    }


# The experiment


def test_run_by_hand(folders, tmp_path, said):
    out = tmp_path / "a" / "out"
    found = table4.run("run", *folders, out=out)
    assert json.loads((out / "taigman2017_table4.json").read_text()) == found
    assert found["settings"]["embedder"] == "trained"
    assert (found["photos"], found["distractors"], found["gallery_size"]) == (2, 3, 4)
    assert found["names"] == ["anna.png", "ben.png"]
    # Anna: red, converted to magenta, drawn white, to be found by red among magenta, white, green.
    # Ben: blue, converted to black, drawn green, to be found by black among the same.
    assert found["ranks"] == {"photo": [1, 2], "drawn": [4, 2], "converted": [3, 1]}
    assert list(found["measures"]) == ["drawn", "converted", "photo", "chance"]
    assert found["measures"]["converted"] == table4.measures(np.array([3, 1]))
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
    picture = data.read_image(out / "taigman2017_table4.png")
    assert picture.shape == (2 * (SIZE + 2) - 2, 4 * (SIZE + 2) - 2, 3)
    cells = [[tuple(pixel) for pixel in row[8 :: SIZE + 2]] for row in picture[8 :: SIZE + 2]]
    assert cells == [[RED, WHITE, MAGENTA, MAGENTA], [BLUE, GREEN, BLACK, BLACK]]


def test_photos_without_a_drawing_are_in_no_column(folders, said):
    photos, gallery, drawn = folders
    (drawn / "anna.gif").unlink()
    found = table4.run("run", photos, gallery, drawn)
    assert found["names"] == ["ben.png"]
    assert found["ranks"] == {"photo": [2], "drawn": [2], "converted": [1]}
    assert found["left_out"]["examples"]["photo_without_drawing"] == ["anna.png"]
    # Anna's counterpart is no distractor.
    assert found["distractors"] == 3


def test_unreadable_counterparts_are_left_out_with_their_photos(folders, said):
    photos, gallery, _ = folders
    (gallery / "more" / "anna.bmp").write_bytes(b"")
    found = table4.run("run", photos, gallery)
    assert found["names"] == ["ben.png"]
    assert found["left_out"]["examples"]["unreadable"] == ["more/anna.bmp", "broken.png"]
    assert "drawn" not in found["ranks"]


def test_without_distractors_the_gallery_is_of_counterparts(folders, tmp_path, said):
    gallery = write(tmp_path / "pairs", {"anna.png": GREEN, "ben.png": MAGENTA})
    found = table4.run("run", folders[0], gallery, out=tmp_path)
    # Magenta is at -1 of green, and at 1 of Ben's counterpart; black is nearer to green than to it.
    assert found["ranks"] == {"photo": [2, 1], "converted": [2, 2]}
    assert found["gallery_size"] == 2 and found["distractors"] == 0
    assert "no distractors" in found["gallery"]
    assert any("not what the paper did" in text for text in said)
    assert "there are no distractors" in table4.table(found)
    nearest = data.read_image(tmp_path / "taigman2017_table4.png")[8 :: SIZE + 2, -1]
    assert [tuple(pixel) for pixel in nearest] == [MAGENTA, GREEN]


def test_embedders_of_a_fixed_size_get_it(folders, tmp_path, said):
    image = keras.Input((4, 4, 3))
    flat = tmp_path / "flat.keras"
    keras.Model(image, keras.layers.Flatten()(image)).save(flat)
    # Cosines of images of one colour are those of the colours.
    expected = table4.run("run", *folders)["ranks"]
    assert table4.run("run", *folders, embedder=str(flat))["ranks"] == expected


def test_the_runs_own_f_is_warned_of(workdir, tmp_path, said):
    image = keras.Input((4, 4, 3))
    f, other = (
        keras.Model(image, keras.layers.Dense(2)(keras.layers.Flatten()(image))) for _ in range(2)
    )
    for name, model in (("f", f), ("other", other)):
        model.save(tmp_path / f"{name}.keras")
    run = run_of(workdir, function=f)
    table4._Embedder(run, str(tmp_path / "other.keras"))
    table4._Embedder(run_of(workdir), str(tmp_path / "f.keras"))
    assert not said
    table4._Embedder(run, str(tmp_path / "f.keras"))
    assert len(said) == 1 and "the run's own f" in said[0]


def test_command_prints_the_table(folders, workdir, said):
    photos, gallery, drawn = map(str, folders)
    given = ["--photos", photos, "--gallery", gallery, "--drawn", drawn]
    table4.main(["--workdir", str(workdir), *given])
    written = workdir / "taigman2017_table4"
    assert {path.name for path in written.iterdir()} == {
        "taigman2017_table4.json",
        "taigman2017_table4.png",
    }
    _, first, *lines = said[-1].split("\n")
    assert first.startswith("2 photos, gallery of 4 (distractors and the photo's counterpart); the")
    cells = [[cell.strip() for cell in line.split("  ") if cell.strip()] for line in lines]
    assert cells == [
        ["drawn by people", "paper", "G(x)", "paper", "the photo", "chance"],
        ["median rank", "3.00", "16,311.00", "2.00", "16.00", "1.50", "2.50"],
        ["mean rank", "3.00", "27,992.34", "2.00", "535.47", "1.50", "2.50"],
        ["rank 1 accuracy", "0.00%", "0.00%", "50.00%", "22.88%", "50.00%", "25.00%"],
        ["rank 5 accuracy", "100.00%", "0.00%", "100.00%", "34.75%", "100.00%", "100.00%"],
    ]

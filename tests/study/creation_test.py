import dataclasses
import json

import numpy as np
import pytest

from keras_pixdt import presets
from keras_pixdt.data import to_float, to_uint8
from keras_pixdt.data.pairs import PairSet
from keras_pixdt.study import create, creation, parse_methods
from keras_pixdt.training.run import Run, load_run
from tests.study.page_test import content_of, pixels

SIZE = 32
GROUPS = [0, 0, 2, 3, 4]  # of five products, the first two are duplicates
DATA = {"data": "LookBook", "splits": None}


class Inverts:
    """A stand-in for a model."""

    def predict_on_batch(self, source):
        return -source


def made_up_run(
    size=SIZE, data=DATA, preset="demo", splits=("train", "test"), resize="letterbox", darkest=0
):
    """A run on five products, with three photos of each."""
    index = np.repeat(np.arange(5), 3)
    levels = np.arange(darkest, darkest + 15, dtype=np.uint8)[:, None, None, None]
    pairs = PairSet(
        sources=np.full((15, size, size, 3), levels),
        targets=np.zeros((5, size, size, 3), np.uint8),
        target_index=index,
        product_id=np.arange(5),
        group_id=np.array(GROUPS),
    )
    changed = dataclasses.replace(presets.get(preset), image_size=size, resize=resize)
    return Run(f"runs/{size}", changed, data, 0, Inverts(), dict.fromkeys(splits, pairs))


@pytest.fixture
def runs(monkeypatch):
    """Folder -> run, instead of those on disk."""
    made = {"a": made_up_run(), "b": made_up_run()}
    monkeypatch.setattr(creation, "load_run", lambda folder, checkpoint: made[folder])
    return made


# What is refused


@pytest.mark.parametrize("text", ["runs/a", "=runs/a", "C+RF=", ""])
def test_a_method_is_a_name_and_a_folder(text):
    with pytest.raises(ValueError, match="NAME=FOLDER, such as .*Received: ") as error:
        parse_methods(["C+MSE=runs/b", text])
    assert str(error.value).endswith(f"Received: {text!r}")


def test_refuses_a_name_twice():
    with pytest.raises(ValueError, match=r"Received 'C\+RF' twice: runs/a and runs/b"):
        parse_methods(["C+RF=runs/a", "C+RF=runs/b"])


def test_refuses_fewer_than_two_runs(tmp_path):
    with pytest.raises(ValueError, match=r"two or more methods. Received: \['C\+RF'\]"):
        create({"C+RF": tmp_path}, "yoo2016", tmp_path / "study.html")


def test_refuses_a_folder_without_a_run(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no finished run: run.json is missing"):
        create({"a": tmp_path, "b": tmp_path}, "yoo2016", tmp_path / "study.html")


def test_refuses_runs_of_different_data(tmp_path, runs):
    runs["b"] = made_up_run(data={**DATA, "splits": "kwon2019"})
    message = "must be of the same data. Received: 'x' of {'data': 'LookBook'}, 'y' of .*kwon2019"
    with pytest.raises(ValueError, match=message):
        create({"x": "a", "y": "b"}, "yoo2016", tmp_path / "study.html", photos=1)


def test_refuses_a_run_that_draws_persons(tmp_path, runs):
    reverse = next(n for n in presets.names() if presets.get(n).reverse)
    runs["b"] = made_up_run(preset=reverse)
    with pytest.raises(ValueError, match="the run of 'y', runs/32, draws persons. Leave it out"):
        create({"x": "a", "y": "b"}, "yoo2016", tmp_path / "study.html", photos=1)


@pytest.mark.parametrize(
    ("protocol", "photos", "message"),
    [
        ("yoo2016", 16, "from 1 to 15, the number of photos in split 'test'. Received: 16"),
        ("yoo2016", None, "from 1 to 15, .*Received: 100"),
        ("yoo2016", 0, "from 1 to 15, .*Received: 0"),
        ("kwon2019", 5, "from 1 to 4, the number of products in split 'test'. Received: 5"),
        ("kwon2019", None, "from 1 to 4, .*Received: 70"),
    ],
)
def test_refuses_more_photos_than_there_are(tmp_path, runs, protocol, photos, message):
    with pytest.raises(ValueError, match=message):
        create({"x": "a", "y": "b"}, protocol, tmp_path / "study.html", photos=photos)
    assert not list(tmp_path.iterdir())


def test_refuses_a_split_that_is_none(tmp_path, runs):
    with pytest.raises(ValueError, match="`split` must be one of train, test. Received: 'all'"):
        create({"x": "a", "y": "b"}, "yoo2016", tmp_path / "study.html", split="all")


# What is made


def test_reads_methods():
    assert parse_methods(["C+RF=runs/a", "b=x=y"]) == {"C+RF": "runs/a", "b": "x=y"}


@pytest.mark.parametrize(("protocol", "photos"), [("yoo2016", 15), ("kwon2019", 4)])
def test_photos_are_drawn_at_random(tmp_path, runs, protocol, photos):
    drawn = []
    for seed in (0, 0, 1):
        out = tmp_path / f"{len(drawn)}.html"
        made = create({"x": "a", "y": "b"}, protocol, out, photos=photos, seed=seed)
        with open(made["key"]) as file:
            drawn.append(json.load(file)["origin"]["rows"])
    assert drawn[0] == drawn[1] != drawn[2]
    for rows in drawn:
        if protocol == "yoo2016":
            assert sorted(rows) == list(range(15))
        else:  # each of another product, of which 0 and 1 are one
            assert sorted(GROUPS[row // 3] for row in rows) == [0, 2, 3, 4]


def test_runs_may_draw_at_different_sizes(tmp_path, runs):
    runs["b"] = made_up_run(2 * SIZE)
    create({"x": "a", "y": "b"}, "kwon2019", tmp_path / "study.html", photos=3)
    shown = content_of((tmp_path / "study.html").read_text("utf-8"))["photos"][0]
    widths = sorted(result["width"] for result in shown["results"].values())
    assert (shown["photo"]["width"], widths) == (2 * SIZE, [SIZE, 2 * SIZE])
    levels = {int(pixels(result)[0, 0, 0]) for result in shown["results"].values()}
    assert levels == {255 - pixels(shown["photo"])[0, 0, 0]}  # of the same photo


def test_each_run_gets_photos_resized_as_it_learned_them(tmp_path, runs):
    runs["b"] = made_up_run(resize="stretch", darkest=100)
    create({"x": "b", "y": "a"}, "kwon2019", tmp_path / "study.html", photos=3)
    for shown in content_of((tmp_path / "study.html").read_text("utf-8"))["photos"]:
        level = int(pixels(shown["photo"])[0, 0, 0])
        assert level < 15  # the photo with its aspect
        drawn = sorted(int(pixels(result)[0, 0, 0]) for result in shown["results"].values())
        assert drawn == [255 - 100 - level, 255 - level]


def test_shows_what_runs_draw(tmp_path, small_run):
    made = create({"one": small_run, "two": small_run}, "yoo2016", tmp_path / "s.html", photos=3)
    assert (made["photos"], made["methods"]) == (3, ["one", "two"])
    run = load_run(small_run)
    with open(made["key"]) as file:
        origin = json.load(file)["origin"]
    assert (origin["split"], origin["checkpoint"]) == ("test", "final")
    assert origin["runs"] == {"one": str(small_run), "two": str(small_run)}
    sources = run.pairs()["test"].sources[origin["rows"]]
    expected = to_uint8(run.convert(to_float(sources)))
    content = content_of((tmp_path / "s.html").read_text("utf-8"))
    for photo, source, image in zip(content["photos"], sources, expected, strict=True):
        assert (pixels(photo["photo"]) == source).all()
        for result in photo["results"].values():
            assert (pixels(result) == image).all()

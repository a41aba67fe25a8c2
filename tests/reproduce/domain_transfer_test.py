"""Tables 1 to 3, on digits that are bars: the domains differ in colour and background."""

import argparse
import dataclasses
import json

import keras
import numpy as np
import pytest

from keras_pixdt import commands, data
from keras_pixdt.reproduce import digits, digits_experiment, domain_transfer
from keras_pixdt.reproduce.digits import Digits, Images
from keras_pixdt.reproduce.digits_experiment import DigitsExperiment
from keras_pixdt.reproduce.domain_transfer import fig9, table1, table2, table3
from keras_pixdt.reproduce.experiment import Budget

SIZE = 16
CLASSES = 4


def bars(count, seed, *, colored):
    """A bright bar whose row of four says the class, on black or on noise."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % CLASSES
    pixels = np.zeros((count, SIZE, SIZE, 3), np.uint8)
    if colored:
        pixels += rng.integers(0, 120, pixels.shape).astype(np.uint8)
    for image, label in zip(pixels, labels, strict=True):
        color = rng.integers(180, 255, 3) if colored else 255
        image[4 * label : 4 * label + 3, 2:-2] = color
    return Images(pixels, labels)


def small_digits(count=48):
    sets = [bars(count, seed, colored=seed < 2) for seed in range(4)]
    return Digits(*sets, tuple("0123"))


TINY = Budget(
    samples=48,
    fields={"width": 1 / 32, "function_width": 1 / 16, "batch_size": 8},
    function_epochs=1,
    judge_epochs=1,
)


@pytest.fixture
def trained(monkeypatch):
    """Networks and classifiers that are not trained, but ask for it: each request is recorded."""
    requests = []

    def classifier(pixels, labels, classes, *, epochs, width, plain):
        requests.append((f"{'plain ' * plain}classifier", sorted(set(labels)), epochs))
        image = keras.Input((SIZE, SIZE, 3))
        f = keras.Model(image, keras.layers.Flatten()(image[:, 1::4, 8:9, :1]), name="f")
        # The bars' own places are the logits: right on black ground, and on what is copied.
        image = keras.Input((SIZE, SIZE, 3))
        return keras.Model(image, keras.layers.Activation("linear")(f(image)))

    def network(preset, domains, *, epochs, seed, verbose):
        requests.append((preset.name, len(domains.sources), len(domains.targets), epochs, seed))
        assert preset.image_size == SIZE and preset.batch_size == 8
        assert keras.models.load_model(preset.function).name == "f"
        image = keras.Input((SIZE, SIZE, 3))
        drawn = image if preset.beta else -image
        return keras.Model(image, keras.layers.Activation("linear")(drawn))

    def dann(pixels, labels, unlabelled, classes, *, epochs, width, strength, seed):
        requests.append(("dann", len(pixels), len(unlabelled), epochs, strength, seed))
        return classifier(pixels, labels, classes, epochs=epochs, width=width, plain=False)

    monkeypatch.setattr(digits_experiment, "train_classifier", classifier)
    monkeypatch.setattr(digits_experiment, "train_dann", dann)
    monkeypatch.setattr(digits_experiment, "train_unpaired", network)
    return requests


def experiment(out, **changed):
    return DigitsExperiment(small_digits(), dataclasses.replace(TINY, **changed), out, verbose=0)


def accuracies(result):
    return {row.key: row.values("accuracy") for row in result.rows if row.seeds}


def test_all_is_trained_once_and_kept(trained, tmp_path):
    first = table1(experiment(tmp_path), seeds=2)
    rows = len(domain_transfer.SUFFIXES)
    assert len(trained) == 2 + 2 * rows  # f's classifier, the judge
    assert ("classifier", [0, 1, 2, 3], 1) in trained
    assert ("taigman2017-no-tid", 48, 48, 1, 1) in trained
    again = table1(experiment(tmp_path), seeds=2)
    assert len(trained) == 2 + 2 * rows
    assert again.markdown() == first.markdown()
    written = json.loads((tmp_path / "taigman2017-table1.json").read_text())
    assert written["rows"][1]["paper"] == {"Accuracy": "90.66%"}
    assert list(written["rows"][1]["seeds"]) == ["0", "1"]
    settings = written["rows"][1]["settings"]
    assert (settings["epochs"], settings["samples"], settings["steps"]) == (1, 48, 48 // 8)
    assert (settings["width"], settings["beta"]) == (1 / 32, 15)
    assert written["rows"][1]["paper_settings"]["width"] == 1
    assert written["rows"][-1]["settings"] == {}  # the judge
    assert written["settings"] == {"budget": "", "data": "drawn", "samples": 48, "seeds": 2}
    picture = data.read_image(tmp_path / "taigman2017-table1.png")
    assert picture.shape[0] == (rows + 1) * (SIZE + 2) - 2
    assert picture.shape[1] > 24 * (SIZE + 2)  # and the names beside it
    # Another length is another network, of the same f.
    table1(experiment(tmp_path, samples=96), rows=["dtn"])
    assert trained[2 + 2 * rows :] == [("taigman2017", 48, 48, 2, 0)]


def test_a_row_has_the_f_of_its_preset(trained, tmp_path, monkeypatch):
    """`function_plain`, which none of the table has, trains an f of its own; the judge stays."""
    tried = experiment(tmp_path)
    tried.network("taigman2017")
    plain = dataclasses.replace(digits_experiment.presets.get("taigman2017"), function_plain=True)
    monkeypatch.setattr(digits_experiment.presets, "get", lambda name: plain)
    tried.network("taigman2017")
    classes = list(range(CLASSES))
    network = ("taigman2017", 48, 48, 1, 0)
    assert trained == [
        ("classifier", classes, 1), network, ("plain classifier", classes, 1), network,
    ]  # fmt: skip


def test_a_table_goes_on_after_an_interruption(trained, tmp_path, monkeypatch):
    whole = table1(experiment(tmp_path / "whole"), rows=["dtn", "no-tid"])
    train, calls = digits_experiment.train_unpaired, []

    def interrupted(*arguments, **options):
        calls.append(1)
        if len(calls) == 2:
            raise KeyboardInterrupt
        return train(*arguments, **options)

    monkeypatch.setattr(digits_experiment, "train_unpaired", interrupted)
    with pytest.raises(KeyboardInterrupt):
        table1(experiment(tmp_path / "cut"), rows=["dtn", "no-tid"])
    again = table1(experiment(tmp_path / "cut"), rows=["dtn", "no-tid"])
    assert again.markdown() == whole.markdown()
    alone = table1(experiment(tmp_path / "cut"), rows=["no-tid"])
    assert alone.markdown() == whole.markdown()  # the other row is kept
    assert len(calls) == 3


def test_accuracies_are_those_of_the_judge(trained, tmp_path):
    """The judge sees through copies, and nothing in negatives but where noise helps it."""
    result = table1(experiment(tmp_path), rows=["dtn", "no-tid"])
    assert accuracies(result) == {
        "dtn": [100.0], "no-tid": [0.0],
        "original": [100.0], "f": [100.0], "f-on-t": [100.0], "judge": [100.0],
    }  # fmt: skip
    by_key = {row.key: row for row in result.rows}
    assert by_key["dtn"].seeds[0]["standard_errors"] == {
        "accuracy": pytest.approx(100 / 48)  # of 48 images, all right
    }
    holds = {v["claim"]: v["holds"] for v in result.verdicts()}
    assert holds == {
        "DTN is better than DTN w/o L_TID in Accuracy, %": True,
        "DTN is better than Original image of S in Accuracy, %": None,  # equal
    }
    table = [[cell.strip() for cell in line.split("|")] for line in result.markdown().split("\n")]
    assert ["", "DTN", "100.00", "90.66%", ""] in table
    assert ["", "DTN w/o L_TID", "0.00", "88.40%", ""] in table
    assert ["", "Original image of S", "100.00", "40.06%", ""] in table
    assert digits_experiment.DRAWN_NOTE in result.markdown()


def test_table_2_takes_the_labels_of_what_was_transferred(trained, tmp_path):
    result = table2(experiment(tmp_path))
    found = accuracies(result)
    assert found["train"] == found["test"] == found["f"] == found["dann"] == [100.0]
    of_dann = [request for request in trained if request[0] == "dann"]
    assert of_dann == [("dann", 48, 48, 1, strength, 0) for strength in (1.0, 0.0)]
    (aligned,) = (row.seeds[0] for row in result.rows if row.key == "sa")
    assert aligned["dimensions"] == 2  # of f's four: with more, S is not classified better
    f = keras.Sequential([keras.Input((SIZE, SIZE, 3)), keras.layers.Flatten()])
    same = experiment(tmp_path).digits.s
    assert domain_transfer.subspace_alignment(f, same, same)["accuracy"] == 100
    settings = {row.key: row.settings()[0] for row in result.rows}
    assert settings["dann"]["samples"] == 48 and settings["sa"] == {}
    picture = data.read_image(tmp_path / "taigman2017-table2.png")
    assert picture.shape[0] == 2 * (SIZE + 2) - 2  # no line of DANN, which draws nothing
    assert {"train-unconverted", "test-unconverted"} < set(found)
    assert "84.44%" in result.markdown() and "DANN (Ganin et al. 2016)" in result.markdown()
    neighbors = Images(np.array([0, 90, 200], np.uint8)[:, None, None, None] * np.ones(
        (1, 2, 2, 3), np.uint8), np.array([5, 6, 7]))  # fmt: skip
    queries = Images(np.array([40, 50, 146, 255], np.uint8)[:, None, None, None] * np.ones(
        (1, 2, 2, 3), np.uint8), np.array([5, 6, 6, 7]))  # fmt: skip
    assert domain_transfer.nearest_neighbor(neighbors, queries) == {
        "accuracy": 75,  # 146 is nearer to 200
        "standard_errors": {"accuracy": pytest.approx(25)},  # 100 * sqrt(3 / 4 * 1 / 4 / 3)
    }


def test_table_3_leaves_the_digit_out_where_it_says(trained, tmp_path):
    result = table3(experiment(tmp_path), digit=3)
    assert list(accuracies(result).values()) == [[100.0]] * 5
    sizes = [request[1:3] for request in trained if request[0] == "taigman2017"]
    assert sizes == [(48, 48), (36, 48), (48, 36), (36, 36), (36, 36)]
    # An epoch goes through the larger domain, of what is left of it, by batches of 8.
    lengths = [(row.seeds[0]["samples"], row.seeds[0]["steps"]) for row in result.rows]
    assert lengths == [(48, 6), (48, 6), (48, 6), (36, 4), (36, 4)]
    classes = [request[1] for request in trained if request[0] == "classifier"]
    assert sorted(classes) == [[0, 1, 2], [0, 1, 2, 3], [0, 1, 2, 3]]
    assert result.rows[-1].paper == {"Accuracy of '3'": "4.52%"}
    # Table 1's network is the first row, and is there already.
    count = len(trained)
    table1(experiment(tmp_path), rows=["dtn"])
    other = table3(experiment(tmp_path), digit=2, rows=["dtn"])
    assert len(trained) == count
    assert not other.rows[0].paper  # which are of the digit 3
    with pytest.raises(ValueError, match=r"`digit` must be in \[0, 4\)"):
        table3(experiment(tmp_path), digit=4)


def test_fig_9_goes_from_t_to_s(trained, tmp_path):
    """Images of T that the network has not seen are converted; a judge of S's test images looks."""
    tried = experiment(tmp_path)
    unseen = tried.digits.judged
    tried.digits = tried.digits._replace(
        t=tried.digits.t.select(np.arange(48) < 40), judged=unseen.select(unseen.labels != 0)
    )
    result = fig9(tried)
    assert ("taigman2017-reverse", 40, 48, 1, 0) in trained  # T comes first
    assert ("taigman2017", 48, 40, 1, 0) in trained
    assert list(accuracies(result)) == ["reverse", "forward", "original", "f", "judge"]
    # 36 unseen images, all right, and S's 48 test images the other way.
    errors = {row.key: row.seeds[0]["standard_errors"]["accuracy"] for row in result.rows}
    assert errors["reverse"] == pytest.approx(100 / 36)
    assert errors["forward"] == pytest.approx(100 / 48)
    classifiers = [request for request in trained if request[0] == "classifier"]
    # f of s; of S's test images, as many updates as of the 36; the judge of T.
    assert classifiers == [
        ("classifier", [0, 1, 2, 3], 1),
        ("classifier", [0, 1, 2, 3], 1),
        ("classifier", [1, 2, 3], 1),
    ]
    picture = data.read_image(tmp_path / "taigman2017-fig9.png")
    assert picture.shape[0] == 4 * (SIZE + 2) - 2  # T, to S; S, to T
    settings = result.rows[0].settings()[0]
    assert settings["reverse"] and not settings["gray"]


def test_examples_are_of_each_class_in_turn():
    images = Images(np.zeros((7, 1, 1, 3), np.uint8), np.array([0, 0, 0, 1, 2, 1, 0]))
    images.pixels[:, 0, 0, 0] = np.arange(7)
    assert digits.examples(images, 6)[:, 0, 0, 0].tolist() == [0, 3, 4, 1, 5, 2]


@pytest.mark.parametrize("table", [table1, table2, table3, fig9])
def test_unknown_rows_and_seeds_are_refused(table, trained, tmp_path):
    with pytest.raises(ValueError, match="`rows` must be of .*Received: x"):
        table(experiment(tmp_path / "out"), rows=["x"])
    with pytest.raises(ValueError, match="`seeds` must be at least 1. Received: 0"):
        table(experiment(tmp_path / "out"), seeds=0)
    assert not trained and not (tmp_path / "out").exists()


def options(**changed):
    given = dict(budget="smoke", data=None, target_data=None, data_dir=None, epochs=None, out="out")
    return argparse.Namespace(**{**given, **changed})


def test_one_domain_alone_and_no_epochs_are_refused(monkeypatch):
    with pytest.raises(ValueError, match="both `--data` and `--target-data`.*s.npz and None"):
        digits_experiment.open_experiment(options(data="s.npz"))
    monkeypatch.setattr(digits, "draw", lambda sizes: small_digits())
    with pytest.raises(ValueError, match="`epochs` must be at least 1. Received: 0"):
        digits_experiment.open_experiment(options(epochs=0))
    opened = digits_experiment.open_experiment(options(epochs=3))
    assert opened.settings == {"budget": "smoke", "data": "drawn", "samples": 144}
    assert digits_experiment.open_experiment(options()).settings["samples"] == 6_000  # 125 times 48


def test_drawn_digits_are_four_sets_of_two_domains():
    drawn = digits.draw((20, 10, 12, 14))
    assert [len(images.pixels) for images in drawn[:4]] == [20, 10, 12, 14]
    assert drawn.names == tuple("0123456789")
    assert (drawn.s.pixels[:10] != drawn.s_test.pixels).any()
    assert (drawn.t.pixels != drawn.judged.pixels[:12]).any()
    assert (drawn.t.pixels == drawn.t.pixels[..., :1]).all()  # gray, as MNIST's
    assert (drawn.s.pixels != drawn.s.pixels[..., :1]).any()


def write_npz(path, train, test):
    names = ("x_train", "y_train", "x_test", "y_test")
    np.savez(path, **dict(zip(names, [*train, *test], strict=True)))


def test_domains_without_the_same_labels_are_refused(tmp_path):
    four = bars(8, 0, colored=True)
    three = four.select(four.labels < 3)
    write_npz(tmp_path / "s.npz", four, four)
    write_npz(tmp_path / "t.npz", three, three)
    with pytest.raises(ValueError, match="same classes. Received: 0, 1, 2, 3 in .*s.npz"):
        digits.load(str(tmp_path / "s.npz"), str(tmp_path / "t.npz"))
    for name in range(20):
        (tmp_path / "folder").mkdir(exist_ok=True)
        noise = np.random.default_rng(name).integers(0, 256, (8, 8, 3))
        data.write_image(tmp_path / "folder" / f"{name}.png", noise.astype(np.uint8))
    with pytest.raises(ValueError, match="folder must have labels"):
        digits.load(str(tmp_path / "s.npz"), str(tmp_path / "folder"))


@pytest.mark.slow
def test_the_command_trains_and_prints_a_table(tmp_path, caplog, monkeypatch):
    """All that is real, for a moment: two files, f, the judge, a network, the table."""
    sets = [bars(24, seed, colored=seed < 2) for seed in range(4)]
    write_npz(tmp_path / "s.npz", *sets[:2])
    write_npz(tmp_path / "t.npz", *sets[2:])
    monkeypatch.setitem(digits_experiment.BUDGETS, "smoke", TINY)
    arguments = ["--data", tmp_path / "s.npz", "--target-data", tmp_path / "t.npz", "--epochs", "1"]
    arguments += ["--budget", "smoke", "--out", tmp_path / "out", "--rows", "dtn"]
    assert commands.main(["reproduce", "taigman2017-table1", *map(str, arguments)]) == 0
    assert "90.66%" in caplog.text and digits_experiment.DRAWN_NOTE not in caplog.text
    kept = {path.name.rsplit("-", 1)[0] for path in (tmp_path / "out" / "rows").glob("*.keras")}
    assert kept == {"digits-classifier", "digits-f", "digits-judge", "taigman2017-seed0"}
    page = (tmp_path / "out" / "taigman2017-table1.html").read_text()
    assert "s.npz and t.npz" in page
    # Tables 2 and 3 and Figs. 8 and 9 are of the same network.
    for name, rows in (
        ("table2", "test"), ("table3", "dtn"), ("fig8", "mean"), ("fig9", "forward")
    ):  # fmt: skip
        command = ["reproduce", f"taigman2017-{name}", *map(str, arguments[:-1]), rows]
        assert commands.main(command) == 0
        written = json.loads((tmp_path / "out" / f"taigman2017-{name}.json").read_text())
        assert written["name"] == f"taigman2017-{name}" and written["pictures"]
        for suffix in ("md", "html"):
            assert (
                written["title"] in (tmp_path / "out" / f"{written['name']}.{suffix}").read_text()
            )
    kept = len(list((tmp_path / "out" / "rows").glob("*.keras")))
    assert kept == 5  # with the judge of S

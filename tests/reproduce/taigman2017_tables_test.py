"""Tables 1 to 3, on digits that are bars: the domains differ in colour and background."""

import dataclasses
import json

import keras
import numpy as np
import pytest

from keras_pixdt import cli, data
from keras_pixdt.reproduce import digits, taigman2017_table1, taigman2017_table2, taigman2017_table3
from keras_pixdt.reproduce.digits import Digits, Experiment, Images, Settings

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


SETTINGS = Settings(
    "s.npz", "t.npz", epochs=1, width=1 / 32, batch_size=8, function_epochs=1, judge_epochs=1
)


@pytest.fixture
def trained(monkeypatch):
    """Networks and classifiers that are not trained, but ask for it: each request is recorded."""
    requests = []

    def classifier(pixels, labels, classes, *, epochs):
        requests.append(("classifier", sorted(set(labels)), epochs))
        image = keras.Input((SIZE, SIZE, 3))
        f = keras.Model(image, keras.layers.Flatten()(image[:, 1::4, 8:9, :1]), name="f")
        # The bars' own places are the logits: right on black ground, and on what is copied.
        image = keras.Input((SIZE, SIZE, 3))
        return keras.Model(image, keras.layers.Activation("linear")(f(image)))

    def network(preset, domains, *, minutes, epochs, seed, verbose):
        requests.append((preset.name, len(domains.sources), len(domains.targets), epochs, seed))
        assert preset.image_size == SIZE and preset.batch_size == SETTINGS.batch_size
        assert keras.models.load_model(preset.function).name == "f"
        image = keras.Input((SIZE, SIZE, 3))
        drawn = image if preset.beta else -image
        return keras.Model(image, keras.layers.Activation("linear")(drawn))

    monkeypatch.setattr(digits, "train_classifier", classifier)
    monkeypatch.setattr(digits.unpaired, "train", network)
    return requests


def experiment(out, **changed):
    return Experiment(small_digits(), dataclasses.replace(SETTINGS, **changed), out, verbose=0)


def test_all_is_trained_once_and_kept(trained, tmp_path):
    first = taigman2017_table1.run(experiment(tmp_path), seeds=2)
    rows = len(taigman2017_table1.ROWS)
    assert len(trained) == 2 + 2 * rows  # f's classifier, the judge
    assert trained[0] == ("classifier", [0, 1, 2, 3], 1)
    assert ("taigman2017-no-tid", 48, 48, 1, 1) in trained
    again = taigman2017_table1.run(experiment(tmp_path), seeds=2)
    assert len(trained) == 2 + 2 * rows
    assert again == first == json.loads((tmp_path / "table1.json").read_text())
    picture = data.read_image(tmp_path / "table1.png")
    assert picture.shape[:2] == ((rows + 1) * (SIZE + 2) - 2, 24 * (SIZE + 2) - 2)


def test_a_table_goes_on_after_an_interruption(trained, tmp_path, monkeypatch):
    whole = taigman2017_table1.run(experiment(tmp_path / "whole"), rows=["taigman2017"])
    train, calls = digits.unpaired.train, []

    def interrupted(*arguments, **options):
        calls.append(1)
        if len(calls) == 1:
            raise KeyboardInterrupt
        return train(*arguments, **options)

    monkeypatch.setattr(digits.unpaired, "train", interrupted)
    with pytest.raises(KeyboardInterrupt):
        taigman2017_table1.run(experiment(tmp_path / "cut"), rows=["taigman2017"])
    assert taigman2017_table1.run(experiment(tmp_path / "cut"), rows=["taigman2017"]) == whole
    assert len(calls) == 2


def test_a_folder_of_other_settings_is_refused(trained, tmp_path):
    experiment(tmp_path)
    with pytest.raises(ValueError, match=r"other settings \(epochs: 1 there, 2 here\). Choose"):
        experiment(tmp_path, epochs=2)


def test_accuracies_are_those_of_the_judge(trained, tmp_path):
    """The judge sees through copies, and nothing in negatives but where noise helps it."""
    found = taigman2017_table1.run(experiment(tmp_path), rows=["taigman2017", "taigman2017-no-tid"])
    assert found["rows"]["taigman2017"] == [1.0]
    assert found["rows"]["taigman2017-no-tid"] == [0.0]
    assert found["baselines"] == {
        "f": 1.0, "f_on_t": 1.0, "judge_on_t": 1.0, "judge_unconverted": 1.0,
    }  # fmt: skip
    lines = taigman2017_table1.table(found).splitlines()
    assert lines[1].split() == ["DTN", "taigman2017", "100.00%", "100.00%", "90.66%"]
    assert lines[2].split()[-3:] == ["0.00%", "0.00%", "88.40%"]
    assert lines[3].split()[-2:] == ["100.00%", "40.06%"]


def test_table_2_takes_the_labels_of_what_was_transferred(trained, tmp_path):
    found = taigman2017_table2.run(experiment(tmp_path))
    assert found["train"] == found["test"] == found["f"] == 1.0
    text = taigman2017_table2.table(found)
    assert "84.44%" in text and "79.72%" in text and "DANN (Ganin et al. 2016)" in text
    neighbors = Images(np.array([0, 90, 200], np.uint8)[:, None, None, None] * np.ones(
        (1, 2, 2, 3), np.uint8), np.array([5, 6, 7]))  # fmt: skip
    queries = Images(np.array([40, 50, 146, 255], np.uint8)[:, None, None, None] * np.ones(
        (1, 2, 2, 3), np.uint8), np.array([5, 6, 6, 7]))  # fmt: skip
    assert taigman2017_table2.nearest_neighbor(neighbors, queries) == 3 / 4  # 146 is nearer to 200


def test_table_3_leaves_the_digit_out_where_it_says(trained, tmp_path):
    found = taigman2017_table3.run(experiment(tmp_path), digit=3)
    assert list(found.values()) == [1.0] * 5
    sizes = [request[1:3] for request in trained if request[0] == "taigman2017"]
    assert sizes == [(48, 48), (36, 48), (48, 36), (36, 36), (36, 36)]
    classes = [request[1] for request in trained if request[0] == "classifier"]
    assert sorted(classes) == [[0, 1, 2], [0, 1, 2, 3], [0, 1, 2, 3]]
    assert taigman2017_table3.table(found).splitlines()[-1].split()[-2:] == ["100.00%", "4.52%"]
    assert "4.52" not in taigman2017_table3.table(found, digit=2)
    with pytest.raises(ValueError, match=r"`digit` must be in \[0, 4\)"):
        taigman2017_table3.run(experiment(tmp_path), digit=4)


def test_examples_are_of_each_class_in_turn():
    images = Images(np.zeros((7, 1, 1, 3), np.uint8), np.array([0, 0, 0, 1, 2, 1, 0]))
    images.pixels[:, 0, 0, 0] = np.arange(7)
    assert digits.examples(images, 6)[:, 0, 0, 0].tolist() == [0, 3, 4, 1, 5, 2]


def test_unknown_rows_and_seeds_are_refused(trained, tmp_path):
    with pytest.raises(ValueError, match="`rows` must be one or more of .*Received: x"):
        taigman2017_table1.run(experiment(tmp_path), rows=["x"])
    with pytest.raises(ValueError, match="`seeds` must be at least 1. Received: 0"):
        taigman2017_table1.run(experiment(tmp_path), seeds=0)


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
def test_the_command_trains_and_prints_a_table(tmp_path, caplog):
    """All that is real, for a moment: two files, f, the judge, a network, the table."""
    sets = [bars(24, seed, colored=seed < 2) for seed in range(4)]
    write_npz(tmp_path / "s.npz", *sets[:2])
    write_npz(tmp_path / "t.npz", *sets[2:])
    arguments = ["--data", tmp_path / "s.npz", "--target-data", tmp_path / "t.npz", "--epochs", "1"]
    arguments += ["--width", "0.03125", "--batch-size", "8", "--function-epochs", "1"]
    arguments += ["--judge-epochs", "1", "--out", tmp_path / "out"]
    command = ["reproduce", "taigman2017-table1", *map(str, arguments), "--rows", "taigman2017"]
    assert cli.main(command) == 0
    assert "each seed" in caplog.text and "90.66%" in caplog.text
    for name in ("function", "classifier", "judge", "taigman2017_seed0"):
        assert (tmp_path / "out" / f"{name}.keras").exists()

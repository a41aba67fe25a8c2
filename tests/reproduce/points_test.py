import json

import numpy as np
import pytest
from PIL import Image

from keras_pixdt.models.point_discogan import PointDiscoGAN
from keras_pixdt.reproduce import points
from keras_pixdt.reproduce.points import Measured


def test_modes_are_evenly_on_circles_and_apart():
    for modes, stddev in ((5, points.STDDEV_A), (10, points.STDDEV_B)):
        centres = points.circle(modes)
        assert centres.shape == (modes, 2) and centres.dtype == "float32"
        np.testing.assert_allclose(np.linalg.norm(centres, axis=1), points.RADIUS, rtol=1e-6)
        distances = np.linalg.norm(centres[:, None] - centres, axis=2)[~np.eye(modes, dtype=bool)]
        assert distances.min() == pytest.approx(2 * points.RADIUS * np.sin(np.pi / modes), rel=1e-5)
        assert distances.min() > 6 * stddev  # three standard deviations of each do not meet


def test_samples_are_of_all_modes_alike():
    samples = points.draw_samples(np.random.default_rng(0), 20_000)
    for key, modes, stddev in (("source", 5, points.STDDEV_A), ("target", 10, points.STDDEV_B)):
        values = samples[key]
        assert values.shape == (20_000, 2) and values.dtype == "float32"
        offsets = values[:, None] - points.circle(modes)
        nearest = np.linalg.norm(offsets, axis=2).argmin(axis=1)
        counts = np.bincount(nearest, minlength=modes)
        np.testing.assert_allclose(counts / 20_000, 1 / modes, atol=0.01)
        noise = offsets[np.arange(20_000), nearest]
        np.testing.assert_allclose(noise.std(axis=0), stddev, rtol=0.03)
    # A row's modes have nothing to do with each other.
    angles = [np.arctan2(*values.T) for values in samples.values()]
    assert abs(np.corrcoef(np.cos(angles))[0, 1]) < 0.03


def translations(rows):
    """100 samples of each mode of A, of which a row gives how many are at which mode of B."""
    modes = points.circle(10)
    samples = np.zeros((5, 100, 2))  # the centre of the circle: at no mode
    for i, row in enumerate(rows):
        at = [mode for mode, count in row.items() for _ in range(count)]
        samples[i, : len(at)] = modes[at]
    return samples


@pytest.mark.parametrize(
    ("rows", "expected"),
    [
        ([{2 * i: 50, 2 * i + 1: 50} for i in range(5)], Measured(10, 0, 0.0)),
        ([{2 * i: 5, 2 * i + 1: 95} for i in range(5)], Measured(10, 0, 0.0)),
        ([{2 * i: 4, 2 * i + 1: 96} for i in range(5)], Measured(5, 0, 0.0)),  # too few
        ([{3: 100}] * 5, Measured(1, 1, 0.0)),  # collapsed
        ([{0: 50, 1: 50}, {1: 50, 2: 50}, {4: 100}, {5: 100}, {6: 50}], Measured(6, 1, 0.1)),
        ([{}] * 5, Measured(0, 0, 1.0)),
    ],
)
def test_measure_counts_modes_collisions_and_strays(rows, expected):
    measured = points.measure(translations(rows))
    assert measured[:2] == expected[:2]
    assert measured.stray == pytest.approx(expected.stray)
    assert measured.one_to_one == (expected[:2] == (10, 0))


def test_a_sample_is_at_a_mode_within_three_standard_deviations():
    direction = points.circle(10) / points.RADIUS
    for stddevs, covered in ((2.9, 10), (3.1, 0)):
        away = (points.RADIUS + stddevs * points.STDDEV_B) * direction
        translated = np.repeat(away.reshape(5, 2, 2), 50, axis=1)
        assert points.measure(translated) == (covered, 0, float(covered == 0))


def test_summary_tells_from_when_on_it_is_one_to_one():
    good, bad = Measured(10, 0, 0.1), Measured(9, 1, 0.2)
    history = [(1000 * (i + 1), m) for i, m in enumerate([bad, good, bad, bad, good, good])]
    found = points.summary(history)
    assert found["one_to_one_from"] == 5000
    assert found["one_to_one_share"] == pytest.approx(2 / 3)
    assert (found["covered"], found["collisions"], found["stray"]) == (10, 0, 0.1)
    # Of 200 samples of each of five modes.
    assert found["standard_errors"] == {"stray": pytest.approx(np.sqrt(0.1 * 0.9 / 999))}
    assert found["history"][0] == {
        "iterations": 1000, "covered": 9, "collisions": 1, "stray": 0.2,
    }  # fmt: skip
    assert points.summary(history[:4])["one_to_one_from"] is None


def test_the_picture_shows_field_modes_and_samples():
    field = np.zeros((points.PANEL_PX, points.PANEL_PX))
    field[:, points.PANEL_PX // 2 :] = 1.0
    samples = np.full((5, 3, 2), [0.0, points.EXTENT / 2])  # all of one point, up
    panel = points.Panel("title", samples, field)
    drawn = np.asarray(points.picture([panel, panel]))
    assert drawn.shape == (24 + points.PANEL_PX, 2 * points.PANEL_PX + 8, 3)
    shown = drawn[24:, : points.PANEL_PX]
    np.testing.assert_array_equal(drawn[24:, points.PANEL_PX + 8 :], shown)
    middle = points.PANEL_PX // 2
    assert tuple(shown[10, 10]) == points.FIELD_COLORS[0]
    assert tuple(shown[10, -10]) == points.FIELD_COLORS[-1]
    assert shown[10, middle - 1].max() < min(points.FIELD_COLORS[0]) * 2.5  # a level line, darker
    assert tuple(shown[points.PANEL_PX // 4, middle]) == points.MODE_COLORS[-1]  # drawn last
    right = round((1 + points.RADIUS / points.EXTENT) / 2 * points.PANEL_PX)
    assert shown[middle - 1 : middle + 2, right - 1 : right + 2].max() == 0  # an x at (RADIUS, 0)


@pytest.fixture
def tiny(eager, monkeypatch):
    """A table of few steps."""
    for name, value in {"UNITS": 8, "BATCH_SIZE": 16, "MEASURED_EVERY": 4, "PANEL_PX": 24}.items():
        monkeypatch.setattr(points, name, value)


def test_the_command_trains_and_writes_a_table(tiny, tmp_path):
    points.main(
        ["--budget", "smoke", "--iterations", "6", "--rows", "disco", "--out", str(tmp_path)]
    )
    found = json.loads((tmp_path / "kim2017-fig4.json").read_text())
    assert found["settings"]["iterations"] == 6 and found["settings"]["units"] == 8
    standard, _, disco = found["rows"]
    assert standard["seeds"] == {} and disco["paper"] == {"modes covered": "all ten modes"}
    (seed,) = disco["seeds"].values()
    assert [m["iterations"] for m in seed["history"]] == [4, 6]
    assert seed["history"][-1]["covered"] == seed["covered"]
    assert list(found["pictures"]) == ["kim2017-fig4-seed0.png"]
    with Image.open(tmp_path / "kim2017-fig4-seed0.png") as image:
        assert image.size == (2 * 24 + 8, 24 + 24)
    (model,) = (tmp_path / "rows").glob("kim2017-fig4-disco-seed0-*.keras")
    assert "(d) DiscoGAN" in (tmp_path / "kim2017-fig4.md").read_text()
    assert "modes covered" in (tmp_path / "kim2017-fig4.html").read_text()


def test_an_interrupted_table_goes_on_and_is_the_same(tiny, tmp_path, monkeypatch):
    trained = []

    def train(name, seed, iterations):
        """Untrained models, of which some numbers are told."""
        trained.append((name, seed))
        if len(trained) == 3 and interrupted:
            raise KeyboardInterrupt
        model = points.build(name, seed)
        return model, [(iterations, Measured(len(name) + seed, seed, 0.25))]

    monkeypatch.setattr(points, "train", train)
    options = {"budget": "smoke", "seeds": 2, "rows": ["standard", "disco"]}
    interrupted = True
    with pytest.raises(KeyboardInterrupt):
        points.run(tmp_path / "cut", **options)
    assert (tmp_path / "cut" / "kim2017-fig4.md").exists()  # as far as it came
    resumed = points.run(tmp_path / "cut", **options).markdown()
    each = [("standard", 0), ("disco", 0), ("standard", 1), ("disco", 1)]
    assert trained == [*each[:3], *each[2:]]
    interrupted = False
    assert points.run(tmp_path / "whole", **options).markdown() == resumed
    assert resumed == (tmp_path / "cut" / "kim2017-fig4.md").read_text()
    # "standard" and "disco" have 8 and 5 letters.
    assert "DiscoGAN is better than (b) standard GAN in Modes covered, of 10: **does not" in resumed
    assert "(paper: 50,000)" in resumed and "| coupled" in resumed
    count = len(trained)
    alone = points.run(tmp_path / "cut", **{**options, "rows": ["disco"]})
    assert alone.markdown() == resumed and len(trained) == count  # the other row is kept
    points.run(tmp_path / "cut", "smoke", iterations=7, rows=["disco"])
    assert len(trained) == count + 1  # of another length


def test_training_starts_alike_for_one_seed(tiny, monkeypatch):
    monkeypatch.setitem(points.MODELS, "again", points.MODELS["standard"])
    centres = points.circle(5)[:, None]
    translated, measured = [], []
    for name, seed in (("standard", 7), ("again", 7)):
        model, found = points.train(name, seed, 3)
        translated.append(points._translate(model, centres))
        measured.append(found)
    assert measured[0] == measured[1]
    np.testing.assert_array_equal(translated[0], translated[1])
    untrained = points._translate(points.build("standard", 7), centres)
    assert np.abs(translated[0] - untrained).max() > 1e-3
    other = points._translate(points.build("standard", 8), centres)
    assert np.abs(other - untrained).max() > 1e-3


def test_the_models_are_those_of_fig_2():
    networks = {
        name: [n for player in PointDiscoGAN(4, **arguments).players.values() for n in player]
        for name, arguments in points.MODELS.items()
    }
    assert networks == {
        "standard": ["discriminator", "converter"],
        "reconstruction": ["discriminator", "converter", "reverse_converter"],
        "disco": [
            "discriminator", "reverse_discriminator", "converter", "reverse_converter",
        ],
    }  # fmt: skip


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"rows": ["disco", "cyclegan"]}, "of standard, reconstruction, disco. Received: cyclegan"),
        ({"seeds": 0}, "`seeds` must be at least 1. Received: 0"),
        ({"iterations": 0}, "`iterations` must be at least 1. Received: 0"),
    ],
)
def test_bad_arguments_are_named(arguments, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        points.run(tmp_path / "out", **arguments)
    assert not (tmp_path / "out").exists()

import json
import logging as std_logging

import numpy as np
import pytest
from PIL import Image

from keras_pixdt.models.discogan import PointDiscoGAN
from keras_pixdt.reproduce import kim2017_fig4 as fig4
from keras_pixdt.reproduce.kim2017_fig4 import Measured


def test_modes_are_evenly_on_circles_and_apart():
    for modes, stddev in ((5, fig4.STDDEV_A), (10, fig4.STDDEV_B)):
        centres = fig4.circle(modes)
        assert centres.shape == (modes, 2) and centres.dtype == "float32"
        np.testing.assert_allclose(np.linalg.norm(centres, axis=1), fig4.RADIUS, rtol=1e-6)
        distances = np.linalg.norm(centres[:, None] - centres, axis=2)[~np.eye(modes, dtype=bool)]
        assert distances.min() == pytest.approx(2 * fig4.RADIUS * np.sin(np.pi / modes), rel=1e-5)
        assert distances.min() > 6 * stddev  # three standard deviations of each do not meet


def test_samples_are_of_all_modes_alike():
    samples = fig4.draw_samples(np.random.default_rng(0), 20_000)
    for key, modes, stddev in (("source", 5, fig4.STDDEV_A), ("target", 10, fig4.STDDEV_B)):
        values = samples[key]
        assert values.shape == (20_000, 2) and values.dtype == "float32"
        offsets = values[:, None] - fig4.circle(modes)
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
    modes = fig4.circle(10)
    points = np.zeros((5, 100, 2))  # the centre of the circle: at no mode
    for i, row in enumerate(rows):
        at = [mode for mode, count in row.items() for _ in range(count)]
        points[i, : len(at)] = modes[at]
    return points


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
    measured = fig4.measure(translations(rows))
    assert measured[:2] == expected[:2]
    assert measured.stray == pytest.approx(expected.stray)
    assert measured.one_to_one == (expected[:2] == (10, 0))


def test_a_sample_is_at_a_mode_within_three_standard_deviations():
    direction = fig4.circle(10) / fig4.RADIUS
    for stddevs, covered in ((2.9, 10), (3.1, 0)):
        away = (fig4.RADIUS + stddevs * fig4.STDDEV_B) * direction
        translated = np.repeat(away.reshape(5, 2, 2), 50, axis=1)
        assert fig4.measure(translated) == (covered, 0, float(covered == 0))


def test_summary_tells_from_when_on_it_is_one_to_one():
    good, bad = Measured(10, 0, 0.1), Measured(9, 1, 0.2)
    history = [(1000 * (i + 1), m) for i, m in enumerate([bad, good, bad, bad, good, good])]
    found = fig4.summary(3, history)
    assert found["seed"] == 3 and found["one_to_one_from"] == 5000
    assert found["one_to_one_share"] == pytest.approx(2 / 3)
    assert (found["covered"], found["collisions"], found["stray"]) == (10, 0, 0.1)
    assert found["history"][0] == {
        "iterations": 1000, "covered": 9, "collisions": 1, "stray": 0.2,
    }  # fmt: skip
    assert fig4.summary(3, history[:4])["one_to_one_from"] is None


def test_the_picture_shows_field_modes_and_samples():
    field = np.zeros((fig4.PANEL_PX, fig4.PANEL_PX))
    field[:, fig4.PANEL_PX // 2 :] = 1.0
    samples = np.full((5, 3, 2), [0.0, fig4.EXTENT / 2])  # all of one point, up
    panel = fig4.Panel("title", samples, field)
    drawn = np.asarray(fig4.picture([panel, panel]))
    assert drawn.shape == (24 + fig4.PANEL_PX, 2 * fig4.PANEL_PX + 8, 3)
    shown = drawn[24:, : fig4.PANEL_PX]
    np.testing.assert_array_equal(drawn[24:, fig4.PANEL_PX + 8 :], shown)
    middle = fig4.PANEL_PX // 2
    assert tuple(shown[10, 10]) == fig4.FIELD_COLORS[0]
    assert tuple(shown[10, -10]) == fig4.FIELD_COLORS[-1]
    assert shown[10, middle - 1].max() < min(fig4.FIELD_COLORS[0]) * 2.5  # a level line, darker
    assert tuple(shown[fig4.PANEL_PX // 4, middle]) == fig4.MODE_COLORS[-1]  # drawn last
    right = round((1 + fig4.RADIUS / fig4.EXTENT) / 2 * fig4.PANEL_PX)
    assert shown[middle - 1 : middle + 2, right - 1 : right + 2].max() == 0  # an x at (RADIUS, 0)


@pytest.mark.slow
def test_the_command_trains_the_three_models_and_writes_what_it_found(tmp_path, monkeypatch):
    monkeypatch.setattr(fig4, "UNITS", 8)
    monkeypatch.setattr(fig4, "BATCH_SIZE", 16)
    monkeypatch.setattr(fig4, "MEASURED_EVERY", 4)
    monkeypatch.setattr(fig4, "PANEL_PX", 40)
    root = std_logging.getLogger()
    handlers, level = list(root.handlers), root.level
    try:
        fig4.main(["--seeds", "2", "--iterations", "6", "--out", str(tmp_path)])
    finally:
        root.handlers[:] = handlers
        root.setLevel(level)
    found = json.loads((tmp_path / "kim2017_fig4.json").read_text())
    assert found["settings"]["iterations"] == 6 and found["settings"]["units"] == 8
    assert list(found["models"]) == ["standard", "reconstruction", "disco"]
    for results in found["models"].values():
        assert [r["seed"] for r in results] == [0, 1]
        for r in results:
            assert [m["iterations"] for m in r["history"]] == [4, 6]
            assert r["history"][-1]["covered"] == r["covered"]
    for seed in range(2):
        with Image.open(tmp_path / f"kim2017_fig4_seed{seed}.png") as image:
            assert image.size == (4 * 40 + 3 * 8, 24 + 40)
    assert fig4.table(found["models"]).count("\n") == 6


def test_training_starts_alike_for_one_seed(monkeypatch):
    monkeypatch.setattr(fig4, "UNITS", 8)
    monkeypatch.setattr(fig4, "BATCH_SIZE", 16)
    monkeypatch.setattr(fig4, "PANEL_PX", 8)
    monkeypatch.setitem(fig4.MODELS, "again", fig4.MODELS["standard"])
    monkeypatch.setitem(fig4.TITLES, "again", "again")
    (first, panels), (second, again) = (fig4.train(name, 7, 3) for name in ("standard", "again"))
    assert first == second
    for a, b in zip(panels, again, strict=True):
        np.testing.assert_array_equal(a.translated, b.translated)
        np.testing.assert_array_equal(a.field, b.field)
    assert np.abs(panels[0].translated - panels[1].translated).max() > 1e-3
    other, _ = fig4.train("standard", 8, 3)[1]
    assert np.abs(other.translated - panels[0].translated).max() > 1e-3


def test_the_models_are_those_of_fig_2():
    networks = {
        name: [n for player in PointDiscoGAN(4, **arguments).players.values() for n in player]
        for name, arguments in fig4.MODELS.items()
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
        ({"models": ["disco", "cyclegan"]}, "standard, reconstruction, disco. Received: cyclegan"),
        ({"seeds": 0}, "at least 1. Received: 0 seeds"),
        ({"iterations": 0}, "Received: 5 seeds, 0 iterations"),
    ],
)
def test_bad_arguments_are_named(arguments, message):
    with pytest.raises(ValueError, match=message):
        fig4.run(**arguments)

import json

import numpy as np
import pytest
from absl import logging
from PIL import Image

from keras_pixdt import data, presets
from keras_pixdt.data import azimuth
from keras_pixdt.reproduce import kim2017_fig5

ANGLES = np.array(azimuth.AZIMUTHS, float)
# Root mean square of 0, 15, 15, 30, 30, ... 75, 75, which is also their standard deviation.
RMS = 15 * np.sqrt(2 * (1 + 4 + 9 + 16 + 25) / 11)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"epochs": 1, "models": ("gan",)}, "`models` must be one or more of .*Received: gan"),
        ({"epochs": 1, "models": ()}, "`models` must be one or more of .*Received: none"),
        ({}, "Give either `minutes` or `epochs`"),
        ({"epochs": 1, "minutes": 1.0}, "Give either `minutes` or `epochs`"),
        ({"epochs": 1, "source": "boat"}, "`source` must be one of .*Received: 'boat'"),
        ({"epochs": 1, "target": "boat"}, "`target` must be one of .*Received: 'boat'"),
        ({"epochs": 1, "objects": 0}, "`objects` must be at least 1. Received: 0"),
        ({"epochs": 1, "test_objects": 0}, "`test_objects` must be at least 1. Received: 0"),
    ],
)
def test_bad_arguments(options, message):
    with pytest.raises(ValueError, match=message):
        kim2017_fig5.run(**options)


@pytest.mark.parametrize(
    ("translated", "relation", "rmse", "correlation", "spread"),
    [
        (ANGLES, "same", 0, 1, RMS),
        (-ANGLES, "mirrored", 0, -1, RMS),
        (ANGLES / 2, "same", RMS / 2, 1, RMS / 2),
        (10 - ANGLES, "mirrored", 10, -1, RMS),
        (np.zeros(11), "same", RMS, 0, 0),
    ],
)
def test_relation_by_hand(translated, relation, rmse, correlation, spread):
    found = kim2017_fig5.relate(ANGLES.astype("float32"), translated.astype("float32"))
    assert found.relation == relation
    np.testing.assert_allclose(found[1:], (rmse, correlation, spread), atol=1e-5)


def test_relation_of_noise_equals_numpy():
    inputs, translated = np.random.default_rng(0).normal(0, 40, (2, 500))
    found = kim2017_fig5.relate(inputs, translated)
    same = np.sqrt(np.square(translated - inputs).mean())
    mirrored = np.sqrt(np.square(translated + inputs).mean())
    assert found.rmse == pytest.approx(min(same, mirrored))
    assert found.relation == ("same" if same < mirrored else "mirrored")
    assert found.correlation == pytest.approx(np.corrcoef(inputs, translated)[0, 1])


def view(kind, index, angle):
    return azimuth.render_model(azimuth.sample_model(kind, index, seed=7), angle, 16)


def test_domains_of_one_kind_have_different_objects():
    domains = kim2017_fig5.draw_domains("chair", "chair", 3, 2, 16, seed=7, processes=1)
    assert domains.train.sources.shape == domains.train.targets.shape == (33, 16, 16, 3)
    assert domains.test.shape == (2, 11, 16, 16, 3)
    # Objects 0 to 2, 3 to 5 and 6 to 7; all angles of an object, then the next.
    np.testing.assert_array_equal(domains.train.sources[12], view("chair", 1, -60))
    np.testing.assert_array_equal(domains.train.targets[32], view("chair", 5, 75))
    np.testing.assert_array_equal(domains.test[1, 5], view("chair", 7, 0))
    training, test = domains.regression["chair"]
    assert training.shape == (6, 11, 16, 16, 3)
    np.testing.assert_array_equal(test, domains.test)
    np.testing.assert_array_equal(training[0, 2], view("chair", 0, -45))


def test_domains_of_two_kinds():
    domains = kim2017_fig5.draw_domains("chair", "car", 2, 1, 16, seed=7, processes=1)
    np.testing.assert_array_equal(domains.train.sources[11], view("chair", 1, -75))
    np.testing.assert_array_equal(domains.train.targets[21], view("car", 1, 75))
    np.testing.assert_array_equal(domains.test[0, 10], view("chair", 2, 75))
    assert list(domains.regression) == ["chair", "car"]
    np.testing.assert_array_equal(domains.regression["car"][1][0, 0], view("car", 2, -75))


def test_size_of_the_regressor():
    regressor = kim2017_fig5.build_regressor(16)
    filters = 16 * (3 * 16 + 16 * 32 + 32 * 64 + 64 * 64)  # 4x4 each
    norms = 4 * (16 + 32 + 64 + 64)
    assert regressor.count_params() == filters + norms + 64 * 64 + 64 + 64 + 1


def test_regressor_learns_the_azimuth_of_other_objects():
    views, _ = azimuth.render_views("chair", 24, 16, processes=1)
    regressor = kim2017_fig5.train_regressor(views[:20], epochs=12)
    predicted = kim2017_fig5.predict_azimuths(
        regressor, data.to_float(views[20:].reshape(-1, 16, 16, 3))
    )
    found = kim2017_fig5.relate(np.tile(ANGLES, 4), predicted)
    assert found.relation == "same"
    assert found.correlation > 0.8  # 0.87 after 12 epochs, of 20 objects in 16 px
    assert found.rmse < 30


def test_models_are_the_papers():
    fields = {"width": 0.5, "reconstruction_weight": 10.0}
    rows = {name: kim2017_fig5._preset(name, fields) for name in kim2017_fig5.MODELS}
    assert [(row.coupled, row.reconstruction_weight) for row in rows.values()] == [
        (False, 0.0),
        (False, 10.0),
        (True, 10.0),
    ]
    assert all(row.width == 0.5 and not row.extra_layer for row in rows.values())
    assert kim2017_fig5._preset("disco", {"extra_layer": True}).extra_layer
    assert set(kim2017_fig5.MODELS.values()) <= set(presets.names())


def panel_of(inputs, translated, relation="same"):
    views = np.full((2, 11, 16, 16, 3), 200, np.uint8)
    outputs = np.full_like(views, 100)
    numbers = kim2017_fig5.Relation(relation, 12.3, 0.9, 40.0)
    return kim2017_fig5.Panel(
        "title", np.array(inputs), np.array(translated), numbers, views, outputs
    )


def color_at(plot, x, y):
    """The colour of the plot at a pair of angles."""
    size = kim2017_fig5.PLOT_PX - 1
    column, row = (1 + x / kim2017_fig5.EXTENT) / 2 * size, (1 - y / kim2017_fig5.EXTENT) / 2 * size
    return plot.getpixel((round(column), round(row)))


@pytest.mark.parametrize(("relation", "sign"), [("same", 1), ("mirrored", -1)])
def test_plot_shows_points_and_ground_truth(relation, sign):
    plot = kim2017_fig5._plot(panel_of([30.0, -50.0], [-60.0, 999.0], relation))
    assert color_at(plot, 30, -60) == kim2017_fig5._RED
    assert color_at(plot, -50, 100) == kim2017_fig5._RED  # at the border, not lost
    assert color_at(plot, 40, sign * 40) == kim2017_fig5._BLUE
    assert color_at(plot, 40, -sign * 40) == (255, 255, 255)
    assert color_at(plot, 90, sign * 90) == (255, 255, 255)


def test_picture_has_inputs_above_translations():
    panel = panel_of([0.0], [0.0])
    figure = np.asarray(kim2017_fig5.picture([panel, panel]))
    assert figure.shape[1] == 2 * kim2017_fig5.PLOT_PX + kim2017_fig5.MARGIN
    rows = figure[-(4 * 17 - 1) :, kim2017_fig5.PLOT_PX // 2]  # 16 px and a gap
    for start, level in ((0, 200), (17, 100), (34, 200), (51, 100)):
        assert (rows[start : start + 16] == level).all()


@pytest.mark.slow
def test_run(tmp_path):
    found = kim2017_fig5.run(
        "chair",
        "chair",
        tmp_path,
        epochs=1,
        models=("standard", "disco"),
        objects=3,
        test_objects=2,
        regressor_epochs=1,
        processes=1,
        verbose=0,
        image_size=16,
        width=1 / 32,
        batch_size=8,
    )
    assert json.loads((tmp_path / "chair_to_chair.json").read_text()) == json.loads(
        json.dumps(found)
    )
    assert list(found["regressors"]) == ["chair"]
    assert list(found["models"]) == ["standard", "disco"]
    for result in found["models"].values():
        assert result["steps"] == 33 // 8
        relation = kim2017_fig5.relate(result["input"], result["translated"])
        assert result["rmse"] == pytest.approx(relation.rmse, abs=0.1)  # points are rounded
        assert len(result["input"]) == len(result["translated"]) == 22
        assert result["input"] == found["models"]["standard"]["input"]
    with Image.open(tmp_path / "chair_to_chair.png") as figure:
        assert figure.width == 2 * kim2017_fig5.PLOT_PX + kim2017_fig5.MARGIN
    lines = kim2017_fig5.table(found).splitlines()
    assert [line.split("  ")[0] for line in lines[1:]] == ["regressor, chair", "standard", "disco"]

    import keras

    model = keras.models.load_model(tmp_path / "chair_to_chair_disco.keras")
    assert model.coupled and model.image_size == 16


def test_command(monkeypatch, tmp_path):
    received = {}

    def run(**options):
        received.update(options)
        numbers = {"rmse": 20.0, "relation": "same", "correlation": 0.9, "spread": 40.0}
        return {"regressors": {"car": numbers}, "models": {"disco": {**numbers, "steps": 1000}}}

    monkeypatch.setattr(kim2017_fig5, "run", run)
    said = []
    monkeypatch.setattr(logging, "info", lambda *text: said.append(text[0] % text[1:]))
    arguments = ["--source", "chair", "--minutes", "5", "--models", "disco", "--width", "0.5"]
    arguments += ["--reconstruction-weight", "3", "--extra-layer", "--out", str(tmp_path)]
    kim2017_fig5.main(arguments)
    assert received == {
        "source": "chair",
        "target": "car",
        "minutes": 5.0,
        "models": ["disco"],
        "objects": kim2017_fig5.OBJECTS,
        "test_objects": kim2017_fig5.TEST_OBJECTS,
        "regressor_epochs": kim2017_fig5.REGRESSOR_EPOCHS,
        "seed": 0,
        "width": 0.5,
        "reconstruction_weight": 3.0,
        "extra_layer": True,
        "out": str(tmp_path),
        "verbose": 2,
    }
    assert "disco           20.0  same    +0.900       40.0    1,000" in said[0]


def test_command_needs_a_length():
    with pytest.raises(SystemExit):
        kim2017_fig5.main(["--source", "car"])

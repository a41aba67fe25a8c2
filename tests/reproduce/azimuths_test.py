import numpy as np
import pytest

from keras_pixdt import data
from keras_pixdt.drawn import azimuth
from keras_pixdt.reproduce import azimuths

ANGLES = np.array(azimuth.AZIMUTHS["car"], float)
# Root mean square of 0, 15, 15, 30, 30, ... 75, 75, which is also their standard deviation.
RMS = 15 * np.sqrt(2 * (1 + 4 + 9 + 16 + 25) / 11)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("boat", "car"), "`source` must be one of .*Received: 'boat'"),
        (("car", "boat"), "`target` must be one of .*Received: 'boat'"),
        (("car", "car", 0), "`objects` must be at least 1. Received: 0"),
        (("car", "car", 1, 0), "`test_objects` must be at least 1. Received: 0"),
    ],
)
def test_bad_domains(arguments, message):
    with pytest.raises(ValueError, match=message):
        azimuths.draw_domains(*arguments)


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
    found = azimuths.relate(ANGLES.astype("float32"), translated.astype("float32"))
    assert found.relation == relation
    np.testing.assert_allclose(found[1:], (rmse, correlation, spread), atol=1e-5)


def test_relation_of_noise_equals_numpy():
    inputs, translated = np.random.default_rng(0).normal(0, 40, (2, 500))
    found = azimuths.relate(inputs, translated)
    same = np.sqrt(np.square(translated - inputs).mean())
    mirrored = np.sqrt(np.square(translated + inputs).mean())
    assert found.rmse == pytest.approx(min(same, mirrored))
    assert found.relation == ("same" if same < mirrored else "mirrored")
    assert found.correlation == pytest.approx(np.corrcoef(inputs, translated)[0, 1])


def view(kind, index, angle):
    return azimuth.render_model(azimuth.sample_model(kind, index, seed=7), angle, 16)


def test_domains_of_one_kind_have_different_objects():
    domains = azimuths.draw_domains("chair", "chair", 3, 2, 16, seed=7, processes=1)
    assert domains.train.sources.shape == domains.train.targets.shape == (33, 16, 16, 3)
    assert domains.test.shape == (2, 11, 16, 16, 3)
    # Objects 0 to 2, 3 to 5 and 6 to 7; all angles of an object, then the next.
    np.testing.assert_array_equal(domains.train.sources[12], view("chair", 1, -60))
    np.testing.assert_array_equal(domains.train.targets[32], view("chair", 5, 75))
    np.testing.assert_array_equal(domains.test[1, 5], view("chair", 7, 0))
    training, test = domains.regression["chair"]
    assert training.shape == (6, 11, 16, 16, 4)  # with coverage
    np.testing.assert_array_equal(test[..., :3], domains.test)
    np.testing.assert_array_equal(training[0, 2, ..., :3], view("chair", 0, -45))


def test_domains_of_two_kinds():
    domains = azimuths.draw_domains("chair", "car", 2, 1, 16, seed=7, processes=1)
    np.testing.assert_array_equal(domains.train.sources[11], view("chair", 1, -75))
    np.testing.assert_array_equal(domains.train.targets[21], view("car", 1, 75))
    np.testing.assert_array_equal(domains.test[0, 10], view("chair", 2, 75))
    assert list(domains.regression) == ["chair", "car"]
    test = domains.regression["car"][1]
    np.testing.assert_array_equal(test[0, 0, ..., :3], view("car", 2, -75))


def test_size_of_the_regressor():
    regressor = azimuths.build_regressor(16)
    filters = 16 * (3 * 24 + 24 * 48 + 48 * 96 + 96 * 96)  # 4x4 each
    norms = 4 * (24 + 48 + 96 + 96)
    assert regressor.count_params() == filters + norms + 96 * 64 + 64 + 64 + 1


@pytest.fixture(scope="module")
def regressed():
    """A regressor that was trained for seconds, and test views of its kind."""
    views, _ = azimuth.render_views("chair", 48, 16, processes=1, coverage=True)
    return azimuths.train_regressor("chair", views[:40], epochs=12), views[40:]


def test_regressor_learns_the_azimuth_of_other_objects(regressed):
    regressor, test = regressed
    images = data.to_float(test[..., :3].reshape(-1, 16, 16, 3))
    predicted = azimuths.predict_azimuths(regressor, images)
    found = azimuths.relate(np.tile(ANGLES, 8), predicted)
    assert found.relation == "same"
    assert found.correlation > 0.9 and found.rmse < 20  # 0.98 and 10 of 40 objects in 16 px
    assert azimuths.errors_of(regressor, "chair", test)["unchanged"] == pytest.approx(found.rmse)


def test_regressor_does_not_measure_the_ground(regressed):
    regressor, test = regressed
    errors = azimuths.errors_of(regressor, "chair", test)
    assert list(errors) == ["unchanged", *azimuth.DISTORTIONS]
    for name in ("gray ground", "noise", "noise on gray"):
        assert errors[name] < 1.2 * errors["unchanged"], name


def test_regressor_depends_on_the_seed_only():
    views, _ = azimuth.render_views("head", 2, 16, processes=1, coverage=True)
    one, two = (azimuths.train_regressor("head", views, 2, seed=1) for _ in range(2))
    for a, b in zip(one.weights, two.weights, strict=True):
        np.testing.assert_array_equal(a, b)
    assert azimuths.errors_of(one, "head", views)["unchanged"] > 0  # of 13 azimuths


def test_standard_errors_of_objects_not_of_views():
    # Translations of an object are wrong by the same angle in all views.
    rng = np.random.default_rng(3)
    offsets = rng.normal(0, 10, (300, 1))
    inputs = np.broadcast_to(ANGLES, (300, 11))
    found = azimuths.standard_errors(inputs, inputs + offsets, resamples=500)
    # Of a mean of squares, then of its root.
    squares = offsets**2
    exact = squares.std() / np.sqrt(300) / (2 * np.sqrt(squares.mean()))
    assert found["rmse"] == pytest.approx(exact, rel=0.15)
    assert 0 < found["abs_correlation"] < 0.01 and 0 < found["spread"] < 1
    again = azimuths.standard_errors(inputs, inputs + offsets, resamples=500)
    assert again == found


def test_standard_errors_are_zero_where_objects_do_not_differ():
    inputs = np.broadcast_to(ANGLES, (5, 11))
    found = azimuths.standard_errors(inputs, inputs / 2)
    assert found == pytest.approx({"rmse": 0, "abs_correlation": 0, "spread": 0}, abs=1e-9)


def test_yardsticks_by_hand():
    errors = {
        "car": {"unchanged": 3.0, "blur": 9.0},
        "head": {"unchanged": 1.0, "blur": 4.0, "noise": 2.0},
    }
    told = azimuths.yardsticks(("car", "head"), errors)
    # 3 and 1, 3 and 4; (25 - 10) over twice the root of 10.
    assert told.startswith("Car to head: ") and "RMSE of 3.2 to 5.0 degrees" in told
    assert "(at worst: blur)" in told and "leads up to 2.4 say nothing" in told
    own = azimuths.own_errors(("car", "head"), errors)
    assert own == pytest.approx((np.sqrt(10), 5))
    assert azimuths.least_lead(*own) == pytest.approx(15 / (2 * np.sqrt(10)))
    # Root mean squares of 0, 15, ... 75 and of 0, 15, ... 90 to both sides: 47.4, 56.1.
    assert "look ahead have 47 and no spread; drawn objects have a spread of 56." in told
    assert told.endswith("have 9.5.")  # a fifth of 47.4
    told = azimuths.yardsticks(("head", "head"), errors)
    assert "look ahead have 56 and no spread; drawn objects have a spread of 56." in told
    assert "stretch" not in told


def test_heads_are_seen_from_both_sides():
    domains = azimuths.draw_domains("car", "head", 2, 1, 16, seed=7, processes=1)
    assert domains.train.sources.shape == (22, 16, 16, 3)
    assert domains.train.targets.shape == (26, 16, 16, 3)
    np.testing.assert_array_equal(domains.train.targets[13], view("head", 1, -90))
    np.testing.assert_array_equal(domains.train.targets[25], view("head", 1, 90))
    angles = azimuths.angles_of("head", 2)
    assert angles.tolist() == 2 * list(range(-90, 91, 15))


def panel_of(inputs, translated, relation="same", pair=("car", "car")):
    views = np.full((2, 11, 16, 16, 3), 200, np.uint8)
    outputs = np.full_like(views, 100)
    numbers = azimuths.Relation(relation, 12.3, 0.9, 40.0)
    return azimuths.Panel(
        "title", pair, np.array(inputs), np.array(translated), numbers, views, outputs
    )


def color_at(plot, x, y):
    """The colour of the plot at a pair of angles."""
    size = azimuths.PLOT_PX - 1
    column, row = (1 + x / azimuths.EXTENT) / 2 * size, (1 - y / azimuths.EXTENT) / 2 * size
    return plot.getpixel((round(column), round(row)))


@pytest.mark.parametrize(("relation", "sign"), [("same", 1), ("mirrored", -1)])
def test_plot_shows_points_and_ground_truth(relation, sign):
    plot = azimuths._plot(panel_of([30.0, -50.0], [-60.0, 999.0], relation))
    assert color_at(plot, 30, -60) == azimuths._RED
    assert color_at(plot, -50, 100) == azimuths._RED  # at the border, not lost
    assert color_at(plot, 40, sign * 40) == azimuths._BLUE
    assert color_at(plot, 40, -sign * 40) == (255, 255, 255)
    assert color_at(plot, 90, sign * 90) == (255, 255, 255)


@pytest.mark.parametrize(
    ("pair", "across", "up"), [(("car", "head"), 75, 90), (("head", "car"), 90, 75)]
)
def test_plot_has_the_range_of_each_kind(pair, across, up):
    plot = azimuths._plot(panel_of([0.0], [0.0], pair=pair))

    def shows(x, y, color):
        return color in [
            color_at(plot, x + i, y + j) for i in (-0.5, 0, 0.5) for j in (-0.5, 0, 0.5)
        ]

    for angle in (75, 90):
        assert shows(angle, -35, azimuths._GRID) == (angle == across)
        assert shows(-35, angle, azimuths._GRID) == (angle == up)
    # The truth is the same angle, for all azimuths of the inputs.
    assert shows(74, 74, azimuths._BLUE)
    assert shows(85, 85, azimuths._BLUE) == (across == 90)


def test_picture_has_inputs_above_translations():
    panel = panel_of([0.0], [0.0])
    figure = np.asarray(azimuths.picture([panel, panel]))
    assert figure.shape[1] == 2 * azimuths.PLOT_PX + azimuths.MARGIN
    rows = figure[-(4 * 17 - 1) :, azimuths.PLOT_PX // 2]  # 16 px and a gap
    for start, level in ((0, 200), (17, 100), (34, 200), (51, 100)):
        assert (rows[start : start + 16] == level).all()

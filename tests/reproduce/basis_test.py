import dataclasses
import itertools
import json

import numpy as np
import pytest

from keras_pixdt import data, presets
from keras_pixdt.data import DomainSet
from keras_pixdt.models.domain_transfer import DomainTransferNetwork
from keras_pixdt.models.domain_transfer_networks import build_function
from keras_pixdt.reproduce import basis, digits, digits_experiment
from keras_pixdt.reproduce.cache import Kept
from keras_pixdt.reproduce.digits_experiment import DigitsExperiment
from keras_pixdt.reproduce.experiment import Budget
from keras_pixdt.training.run import Run
from tests import samples

SIZE, WIDTH, FEATURES = 16, 0.05, 6  # 128 * 0.05


@pytest.fixture(scope="module")
def model():
    return DomainTransferNetwork(build_function(SIZE, WIDTH), SIZE, WIDTH)


@pytest.fixture(scope="module")
def workdir(model, tmp_path_factory):
    """The folder of a run, with all that is read of it."""
    folder = tmp_path_factory.mktemp("run")
    preset = dataclasses.replace(presets.get("taigman2017"), image_size=SIZE, width=WIDTH)
    versions = {"keras-pixdt": "0"}
    options = {"preset": preset.options(), "data": {}, "seed": 0, "versions": versions}
    (folder / "run.json").write_text(json.dumps(options))
    model.save(folder / "model.keras")
    return folder


def opens(monkeypatch, run):
    monkeypatch.setattr(basis, "load_run", lambda path: run)


def cells(path, columns, rows):
    grid = data.read_image(path)
    step = SIZE + 2
    assert grid.shape == (rows * step - 2, columns * step - 2, 3)
    return np.stack(
        [
            grid[y : y + SIZE, x : x + SIZE]
            for y in range(0, rows * step, step)
            for x in range(0, columns * step, step)
        ]
    )


def test_unknown_rows_are_refused(workdir, tmp_path):
    with pytest.raises(ValueError, match="`rows` must be of unit, mean. Received: x"):
        basis.run_workdir(workdir, tmp_path, ["x"])


def test_folders_without_a_run(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no finished run"):
        basis.run_workdir(tmp_path)


def test_other_models_are_refused(model, monkeypatch, tmp_path):
    without_f = DomainTransferNetwork(model.function, SIZE, WIDTH, through_f=False)
    for name, other in (("yoo2016", object()), ("taigman2017-no-f", without_f)):
        opens(monkeypatch, Run(tmp_path, presets.get(name), {}, 0, other))
        with pytest.raises(ValueError, match=f"run of a Domain Transfer .*preset '{name}'"):
            basis.run_workdir(tmp_path)


def test_mean_difference_by_hand():
    assert basis.mean_difference(np.full((5, 2, 2, 3), 80, np.uint8)) == 0
    # One pixel: 0, 51 and 255 differ by 51, 204 and 255.
    levels = np.array([51, 255, 0], np.uint8).reshape(3, 1, 1, 1)
    assert basis.mean_difference(levels) == pytest.approx((51 + 204 + 255) / 3 / 255)
    assert basis.mean_difference(levels[1:]) == pytest.approx(1)


def test_mean_difference_equals_that_of_all_pairs():
    images = data.to_uint8(samples.images(7))
    pairs = [np.abs(a / 255 - b / 255).mean() for a, b in itertools.combinations(images, 2)]
    assert basis.mean_difference(images) == pytest.approx(np.mean(pairs))


def test_command_draws_the_basis_of_a_run(model, workdir, tmp_path):
    """Unit vectors need none of the run's data."""
    basis.main(["--workdir", str(workdir), "--rows", "unit", "--out", str(tmp_path)])
    expected = data.to_uint8(np.asarray(model.basis()))
    assert expected.shape == (FEATURES, SIZE, SIZE, 3)
    drawn = cells(tmp_path / "taigman2017-fig8-unit.png", 3, 2)
    assert np.abs(drawn.astype(int) - expected).max() <= 1  # 1 where rounding decides
    unit, mean, real = json.loads((tmp_path / "taigman2017-fig8.json").read_text())["rows"]
    assert mean["seeds"] == real["seeds"] == {}
    assert unit["paper"] == {"variability": "a large amount"}
    assert unit["seeds"]["0"] == {
        "difference": basis.mean_difference(drawn), "length": 1.0, "images": FEATURES,
        "preset": json.loads((workdir / "run.json").read_text())["preset"],
    }  # fmt: skip
    assert unit["settings"]["image_size"] == SIZE and unit["paper_settings"]["image_size"] == 32


def test_rows(model, monkeypatch, tmp_path):
    sources = data.to_uint8(samples.images(5, SIZE))
    targets = data.to_uint8(samples.images(9, SIZE, seed=1))
    run = Run(
        tmp_path, presets.get("taigman2017"), {}, 0, model, {"test": DomainSet(sources, targets)}
    )
    opens(monkeypatch, run)
    f = np.asarray(model.function(data.to_float(sources), training=False))
    length = np.sqrt((f**2).sum(axis=1)).mean()
    result = basis.run_workdir(tmp_path, tmp_path / "new")
    unit, mean, real = (row.seeds[0] for row in result.rows)
    assert mean["length"] == pytest.approx(length, rel=1e-5)
    images = np.asarray(model.generator(length * np.eye(FEATURES, dtype="float32")))
    drawn = cells(tmp_path / "new" / "taigman2017-fig8-mean.png", 3, 2)
    assert np.abs(drawn.astype(int) - data.to_uint8(images)).max() <= 1
    assert mean["difference"] == basis.mean_difference(drawn)
    assert unit["length"] == 1
    assert real == {"difference": basis.mean_difference(targets[:FEATURES])}


def test_without_a_run_it_is_of_the_network_of_table_1(model, monkeypatch, tmp_path):
    model.save(tmp_path / "dtn.keras")
    asked = []

    def network(self, preset=digits_experiment.DTN, seed=0):
        asked.append((preset, seed))
        return Kept(tmp_path / "dtn.keras", {"minutes": 2.5})

    monkeypatch.setattr(DigitsExperiment, "network", network)
    images = digits.Images(data.to_uint8(samples.images(7, SIZE)), np.arange(7))
    sets = digits.Digits(images, images, images, images, tuple("0123456"))
    experiment = DigitsExperiment(sets, Budget(samples=7, seeds=2), tmp_path / "out")
    result = basis.run(experiment, rows=["unit"])
    assert asked == [("taigman2017", 0), ("taigman2017", 1)]
    assert [seed["minutes"] for seed in result.rows[0].seeds.values()] == [2.5, 2.5]
    assert (tmp_path / "out" / "taigman2017-fig8.html").exists()
    assert digits_experiment.DRAWN_NOTE in result.markdown()


def test_the_grid_is_filled_row_by_row():
    images = np.arange(5, dtype=np.uint8).reshape(5, 1, 1, 1) * np.ones((1, SIZE, SIZE, 3), "uint8")
    grid = basis.picture(images)[:: SIZE + 2, :: SIZE + 2, 0]
    np.testing.assert_array_equal(grid, [[0, 1, 2], [3, 4, 255]])

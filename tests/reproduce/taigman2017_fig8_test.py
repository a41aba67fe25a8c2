import dataclasses
import itertools
import json

import numpy as np
import pytest
from absl import logging

from keras_pixdt import data, presets
from keras_pixdt.data import DomainSet
from keras_pixdt.models.domain_transfer import DomainTransferNetwork, build_function
from keras_pixdt.reproduce import taigman2017_fig8 as fig8
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
    options = {"preset": preset.options(), "data": {}, "seed": 0}
    (folder / "run.json").write_text(json.dumps(options))
    model.save(folder / "model.keras")
    return folder


def opens(monkeypatch, run):
    monkeypatch.setattr(fig8, "load_run", lambda path: run)


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


@pytest.mark.parametrize("scale", [0.0, -1.0, float("nan"), "unit"])
def test_bad_scales(scale):
    with pytest.raises(ValueError, match=f"positive number or 'auto'. Received: {scale!r}"):
        fig8.run("run", scale=scale)


def test_folders_without_a_run(tmp_path):
    with pytest.raises(FileNotFoundError, match="holds no finished run"):
        fig8.run(tmp_path)


def test_other_models_are_refused(model, monkeypatch, tmp_path):
    without_f = DomainTransferNetwork(model.function, SIZE, WIDTH, through_f=False)
    for name, other in (("yoo2016", object()), ("taigman2017-no-f", without_f)):
        opens(monkeypatch, Run(tmp_path, presets.get(name), {}, 0, other))
        with pytest.raises(ValueError, match=f"run of a Domain Transfer .*preset '{name}'"):
            fig8.run(tmp_path)


def test_mean_difference_by_hand():
    assert fig8.mean_difference(np.full((5, 2, 2, 3), 80, np.uint8)) == 0
    # One pixel: 0, 51 and 255 differ by 51, 204 and 255.
    levels = np.array([51, 255, 0], np.uint8).reshape(3, 1, 1, 1)
    assert fig8.mean_difference(levels) == pytest.approx((51 + 204 + 255) / 3 / 255)
    assert fig8.mean_difference(levels[1:]) == pytest.approx(1)


def test_mean_difference_equals_that_of_all_pairs():
    images = data.to_uint8(samples.images(7))
    pairs = [np.abs(a / 255 - b / 255).mean() for a, b in itertools.combinations(images, 2)]
    assert fig8.mean_difference(images) == pytest.approx(np.mean(pairs))


def test_command_draws_the_basis(model, workdir, monkeypatch):
    said = []
    monkeypatch.setattr(logging, "info", lambda *text: said.append(text[0] % text[1:]))
    fig8.main(["--workdir", str(workdir)])
    basis = data.to_uint8(np.asarray(model.basis()))
    assert basis.shape == (FEATURES, SIZE, SIZE, 3)
    drawn = cells(workdir / "taigman2017_fig8.png", 3, 2)
    assert np.abs(drawn.astype(int) - basis).max() <= 1  # 1 where rounding decides
    difference = fig8.mean_difference(drawn)
    assert (
        f"6 images of vectors of length 1: mean absolute difference of two {difference:.3f}"
        in (said[0])
    )


def test_scales(model, monkeypatch, tmp_path):
    sources = data.to_uint8(samples.images(5, SIZE))
    test = DomainSet(sources, sources[:1])
    run = Run(tmp_path, presets.get("taigman2017"), {}, 0, model, {"test": test})
    opens(monkeypatch, run)
    f = np.asarray(model.function(data.to_float(sources), training=False))
    length = np.sqrt((f**2).sum(axis=1)).mean()
    found = fig8.run(tmp_path, tmp_path / "new" / "auto.png", "auto")
    assert found["images"] == FEATURES
    assert found["scale"] == pytest.approx(length, rel=1e-5)
    images = np.asarray(model.generator(length * np.eye(FEATURES, dtype="float32")))
    drawn = cells(tmp_path / "new" / "auto.png", 3, 2)
    assert np.abs(drawn.astype(int) - data.to_uint8(images)).max() <= 1
    assert found["difference"] == fig8.mean_difference(drawn)
    longer = fig8.run(tmp_path, scale=100.0)
    assert longer["scale"] == 100 and longer["difference"] > 2 * fig8.run(tmp_path)["difference"]


def test_the_grid_is_filled_row_by_row():
    images = np.arange(5, dtype=np.uint8).reshape(5, 1, 1, 1) * np.ones((1, SIZE, SIZE, 3), "uint8")
    grid = fig8.picture(images)[:: SIZE + 2, :: SIZE + 2, 0]
    np.testing.assert_array_equal(grid, [[0, 1, 2], [3, 4, 255]])

import json

import keras
import pytest
from PIL import Image

from keras_pixdt import presets
from keras_pixdt.drawn import azimuth
from keras_pixdt.reproduce import azimuths, discogan, two_domains
from keras_pixdt.reproduce.experiment import Budget

TINY = Budget(
    epochs=1,
    drawn=(3, 2),
    judge_epochs=1,
    fields={"image_size": 16, "width": 1 / 32, "batch_size": 8, "passes": 1},
)


@pytest.fixture
def tiny(eager, monkeypatch):
    """A table of few steps."""
    monkeypatch.setitem(discogan.BUDGETS, "smoke", TINY)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"rows": ["car-car-gan"]}, "`rows` must be of car-car-standard.*Received: car-car-gan"),
        ({"rows": ["head-head-disco"]}, "Received: head-head-disco"),  # of Fig. 6
        ({"seeds": 0}, "`seeds` must be at least 1. Received: 0"),
        ({"epochs": 0}, "`epochs` must be at least 1. Received: 0"),
    ],
)
def test_bad_arguments(options, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        discogan.fig5(tmp_path / "out", **options)
    assert not (tmp_path / "out").exists()


def test_models_are_the_papers():
    given = Budget(epochs=1, fields={"extra_layer": True})
    rows = [discogan.preset_of(model, given) for model in discogan.MODELS]
    assert [(row.coupled, row.reconstruction_weight) for row in rows] == [
        (False, 0.0),
        (False, 10.0),
        (True, 10.0),
    ]
    assert all(row.width == 0.25 and row.extra_layer for row in rows)
    paper = discogan.preset_of("disco", discogan.BUDGETS["paper"])
    assert paper == presets.get("kim2017")


def test_the_command_writes_a_table(tiny, tmp_path):
    discogan.COMMANDS["kim2017-fig8"](
        ["--budget", "smoke", "--rows", "chair-car-disco", "--out", str(tmp_path)]
    )
    found = json.loads((tmp_path / "kim2017-fig8.json").read_text())
    assert [row["key"] for row in found["rows"] if row["seeds"]] == ["chair-car-disco"]
    score = found["rows"][2]["seeds"]["0"]
    assert score["steps"] == 33 // 8 and score["abs_correlation"] == abs(score["correlation"])
    assert set(score) >= {"rmse", "spread", "relation", "minutes"}
    assert set(score["standard_errors"]) == {"rmse", "abs_correlation", "spread"}
    errors = found["settings"]["RMSE of regressors on test objects"]
    assert errors.startswith("chair unchanged ") and "; car unchanged " in errors
    assert all(errors.count(f"{name} ") >= 2 for name in azimuth.DISTORTIONS)
    (note,) = [note for note in found["notes"] if "regressors' own errors" in note]
    assert note.startswith("Chair to car: ")  # heads were not drawn
    assert list(found["pictures"]) == ["kim2017-fig8-chair-to-car.png"]  # heads were not drawn
    with Image.open(tmp_path / "kim2017-fig8-chair-to-car.png") as figure:
        assert figure.width == azimuths.PLOT_PX
    assert "chair to car, DiscoGAN" in (tmp_path / "kim2017-fig8.md").read_text()
    assert "Fig. 8 of Kim et al. 2017" in (tmp_path / "kim2017-fig8.html").read_text()
    (model,) = (tmp_path / "rows").glob("kim2017-chair-car-disco-seed0-*.keras")
    model = keras.models.load_model(model)
    assert model.coupled and model.image_size == 16


def test_an_interrupted_table_goes_on_and_is_the_same(tiny, tmp_path, monkeypatch):
    trained = []

    def train(preset, domains, *, epochs, seed, verbose):
        """Models that are not trained."""
        trained.append((preset.name, seed, epochs, len(domains.sources)))
        if len(trained) == 2 and interrupted:
            raise KeyboardInterrupt
        keras.utils.set_random_seed(seed)
        model = preset.model(seed)
        model.compile(preset.optimizers(model.players))
        return model

    monkeypatch.setattr(two_domains, "train_unpaired", train)
    interrupted = True
    rows = ["car-car-standard", "car-car-disco"]
    with pytest.raises(KeyboardInterrupt):
        discogan.fig5(tmp_path / "cut", "smoke", rows=rows, processes=1)
    resumed = discogan.fig5(tmp_path / "cut", "smoke", rows=rows, processes=1)
    names = ["kim2017-small-standard", "kim2017-small", "kim2017-small"]
    assert trained == [(name, 0, 1, 33) for name in names]
    interrupted = False
    again = discogan.fig5(tmp_path / "cut", "smoke", rows=rows, processes=1)
    assert again.markdown() == resumed.markdown()
    alone = discogan.fig5(tmp_path / "cut", "smoke", rows=rows[:1], processes=1)
    assert alone.markdown() == resumed.markdown()  # the other row is kept
    assert len(trained) == 3
    whole = discogan.fig5(tmp_path / "whole", "smoke", rows=rows, processes=1)
    assert whole.markdown() == resumed.markdown()
    assert [v["claim"] for v in whole.verdicts()] == [
        f"car to car, DiscoGAN is better than car to car, standard GAN in {score}"
        for score in ("RMSE of azimuths, degrees", "Absolute correlation")
    ]


def test_faces_vary_more_by_discogan(tiny, tmp_path, monkeypatch):
    monkeypatch.setattr(discogan.Experiment, "fill", lambda *_: None)
    result = discogan.fig6(
        tmp_path, "smoke", rows=["head-head-disco"], extra_layer=True, processes=1
    )
    keys = ["head-head-standard", "head-head-reconstruction", "head-head-disco"]
    assert [row.key for row in result.rows] == keys
    claimed = [(claim.better, claim.worse) for claim in result.claims if claim.score == "spread"]
    assert claimed == [(keys[2], keys[0]), (keys[2], keys[1])] and len(result.claims) == 6
    errors = result.settings["RMSE of regressors on test objects"]
    assert errors.startswith("head ") and "car " not in errors  # no car was drawn

"""Secs. 5.2 and 5.3 on drawn persons, with networks that are right, wrong, or trained a moment."""

import json
from types import SimpleNamespace

import numpy as np
import pytest

from keras_pixdt import commands, data
from keras_pixdt.drawn.portraits import COUNTS, all_traits, draw_avatars
from keras_pixdt.models.domain_transfer import DomainTransferNetwork
from keras_pixdt.models.domain_transfer_networks import build_function
from keras_pixdt.reproduce import avatars, portraits, style
from keras_pixdt.reproduce.cache import Kept
from keras_pixdt.reproduce.experiment import Budget
from keras_pixdt.reproduce.portraits import PortraitExperiment, flat
from tests import samples

SIZE = 32
TINY = Budget(
    samples=16,
    drawn=(3, 3, 4, 5, 6, 7),
    fields={"image_size": SIZE, "width": 1 / 32, "function_width": 1 / 16, "batch_size": 4},
    function_epochs=1,
)


@pytest.fixture
def experiment(tmp_path):
    return PortraitExperiment(tmp_path / "out", TINY, verbose=0, processes=1)


def converting(monkeypatch, convert, constancy=None):
    """Networks are this function of uint8 images; f and the embedder are small and untrained."""
    f = build_function(SIZE, 1 / 16)
    model = SimpleNamespace(
        predict_on_batch=lambda x: data.to_float(convert(data.to_uint8(x))), constancy=constancy
    )
    found = {"preset": portraits.preset_of(TINY).options(), "epochs": 1}

    def network(self, name, domains, function, seed):
        return SimpleNamespace(load=lambda: model, found=found)

    monkeypatch.setattr(PortraitExperiment, "network", network)
    monkeypatch.setattr(
        PortraitExperiment, "classifier", lambda *_: SimpleNamespace(load=lambda: f)
    )


def test_no_person_is_in_two_sets(experiment):
    people = {name: experiment.people(name) for name in portraits.SETS}
    assert [len(found) for found in people.values()] == list(TINY.drawn)
    assert len(set().union(*people.values())) == sum(TINY.drawn)
    assert experiment.photos("test").shape == (6, 5, SIZE, SIZE, 3)
    assert experiment.photos("test") is experiment.photos("test")
    expected = draw_avatars([person.traits for person in experiment.people("t")], SIZE)
    np.testing.assert_array_equal(experiment.avatars("t"), expected)


def test_traits_are_read_off_avatars_even_if_they_are_noisy():
    every = np.array(all_traits())
    rows = np.random.default_rng(0).permutation(len(every))[:200]
    images = draw_avatars([all_traits()[row] for row in rows], 64)
    np.testing.assert_array_equal(avatars.read_traits(images), every[rows])
    noisy = images + np.random.default_rng(1).normal(0, 12, images.shape)
    noisy = np.clip(np.rint(noisy), 0, 255).astype(np.uint8)
    np.testing.assert_array_equal(avatars.read_traits(noisy), every[rows])


def test_eq_8_takes_the_photo_that_f_changes_least():
    model = SimpleNamespace(constancy=lambda x: np.asarray(x)[:, 0, 0, 0])
    photos = np.zeros((6, SIZE, SIZE, 3), np.uint8)
    photos[:, 0, 0, 0] = [9, 3, 5, 2, 8, 1]
    assert avatars.best_rows(model, photos, 3).tolist() == [1, 5]
    assert avatars.best_rows(model, photos, 2).tolist() == [1, 3, 5]


def test_avatars_of_a_network_that_fails_on_one_view(experiment, monkeypatch):
    """Right avatars for three of four views; the fourth is white, and Eq. 8 never takes it."""
    photos, right = experiment.photos("test"), experiment.avatars("test")
    known = {photo.tobytes(): (i, view) for i, row in enumerate(photos) for view, photo in
             enumerate(row)}  # fmt: skip

    def convert(images):
        places = [known[image.tobytes()] for image in images]
        return np.stack([right[i] if view < 3 else np.full_like(right[i], 255)
                         for i, view in places])  # fmt: skip

    def constancy(x):
        return np.array([known[image.tobytes()][1] == 3 for image in data.to_uint8(x)], float)

    converting(monkeypatch, convert, constancy)
    result = avatars.run(experiment, seeds=2, budget="tiny")
    rows = {row.key: row.seeds[0] for row in result.rows}
    assert rows["best"]["traits"] == rows["right"]["traits"] == 100
    assert rows["best"]["rmse"] == rows["right"]["rmse"] == 0
    traits = np.array([person.traits for person in experiment.people("test")])
    white = np.mean(traits == avatars.read_traits(np.full((1, SIZE, SIZE, 3), 255, np.uint8)))
    assert rows["converted"]["traits"] == pytest.approx(75 + 25 * white)
    other = np.mean(traits == np.roll(traits, 1, axis=0))
    assert rows["other"]["traits"] == pytest.approx(100 * other)
    each = [rows["other"][name] for name in COUNTS._fields]
    assert np.mean(each) == pytest.approx(rows["other"]["traits"])
    assert "traits" not in rows["photo"] and 1 <= rows["photo"]["median_rank"] <= 8
    # What is equal to the right avatar is found as it is.
    assert rows["best"]["mean_rank"] == rows["right"]["mean_rank"]
    written = json.loads((experiment.out / "taigman2017-avatars.json").read_text())
    assert list(written["rows"][0]["seeds"]) == ["0", "1"]
    assert written["rows"][0]["paper_settings"]["alpha"] == 100  # of taigman2017-faces
    picture = data.read_image(experiment.out / "taigman2017-avatars.png")
    assert picture.shape[0] == 6 * (SIZE + 2) - 2
    assert portraits.NOTE in result.markdown()


def test_the_style_has_its_colors_and_outlines():
    flat_images = np.stack([np.full((SIZE, SIZE, 3), v, np.uint8) for v in (0, 85, 170, 255)])
    found = style.stylize(flat_images)
    for image, color in zip(found, style._COLORS, strict=True):
        np.testing.assert_allclose(image.reshape(-1, 3), np.tile(255 * color, (SIZE**2, 1)), atol=2)
    edge = np.full((1, SIZE, SIZE, 3), 250, np.uint8)
    edge[:, :, :16] = 80
    (styled,) = style.stylize(edge)
    darkest = 255 * style._COLORS[0]
    np.testing.assert_allclose(styled[16, 15], darkest, atol=3)  # the dark side of the edge
    for column in (8, 24):
        assert np.abs(styled[16, column] - darkest).max() > 50


def test_style_of_a_network_that_is_the_filter(experiment, monkeypatch):
    converting(monkeypatch, style.stylize)
    images = style.of_portraits(experiment)
    assert images.s.shape[:1] + images.t.shape[:1] + images.test.shape[:1] == (12, 5, 6)
    result = style.run(experiment, budget="tiny")
    rows = {row.key: row.seeds[0] for row in result.rows}
    assert rows["converted"]["ssim"] == pytest.approx(1) and rows["converted"]["rmse"] == 0
    assert False not in {verdict["holds"] for verdict in result.verdicts()}
    assert rows["photo"]["ssim"] < 0.9 and rows["other"]["ssim"] < rows["converted"]["ssim"]
    assert data.read_image(experiment.out / "taigman2017-style.png").shape[0] == 4 * (SIZE + 2) - 2


def folder_of(path, classes, count=24):
    rng = np.random.default_rng(0)
    for i in range(count):
        place = path / classes[i % len(classes)]
        place.mkdir(parents=True, exist_ok=True)
        data.write_image(place / f"{i}.png", rng.integers(0, 256, (40, 40, 3)).astype(np.uint8))
    return str(path)


def test_a_folder_is_halved(tmp_path, monkeypatch):
    asked = []

    def classifier(self, name, images, labels, classes, seed=0):
        asked.append((len(images), classes, sorted(set(labels))))
        return Kept(tmp_path / "f.keras", {})

    monkeypatch.setattr(PortraitExperiment, "classifier", classifier)
    experiment = PortraitExperiment(tmp_path / "out", TINY)
    images = style.of_folder(experiment, folder_of(tmp_path / "photos", ["a", "b", "c"]))
    count = len(images.s) + len(images.t)
    assert asked == [(count, 3, [0, 1, 2])] and abs(len(images.s) - len(images.t)) <= 1
    styled = style.stylize(np.concatenate([images.s, images.test]))
    in_t = {image.tobytes() for image in images.t}
    assert not in_t & {image.tobytes() for image in styled}  # no photo is in T, nor in the test
    with pytest.raises(ValueError, match="must have a subfolder for each class"):
        style.of_folder(experiment, folder_of(tmp_path / "plain", ["."]))


def test_networks_are_kept_under_their_f_and_data(experiment):
    images = flat(experiment.photos("s"))
    domains = data.DomainSet(images, experiment.avatars("t"))
    f = experiment.identities("f")
    assert f.load().output_shape == (None, 8) and experiment.identities("f") == f
    assert experiment.identities("embedder", seed=1).path != f.path
    with samples.eagerly():
        kept = experiment.network("tried", domains, f, 0)
        assert experiment.network("tried", domains, f, 0) == kept
    assert isinstance(kept.load(), DomainTransferNetwork)
    assert kept.found["epochs"] == 1 and kept.found["steps"] == 12 // 4
    np.testing.assert_array_equal(kept.load().function.get_weights()[0], f.load().get_weights()[0])
    assert (experiment.out / "rows").joinpath(kept.path.name).exists()


@pytest.mark.slow
@pytest.mark.parametrize("name", ["avatars", "style"])
def test_the_command_trains_and_prints_a_table(name, tmp_path, monkeypatch, caplog):
    """All that is real, for a moment."""
    monkeypatch.setitem(portraits.BUDGETS, "smoke", TINY)
    arguments = ["--budget", "smoke", "--out", str(tmp_path)]
    assert commands.main(["reproduce", f"taigman2017-{name}", *arguments]) == 0
    assert portraits.NOTE in caplog.text
    written = json.loads((tmp_path / f"taigman2017-{name}.json").read_text())
    assert written["pictures"] and all(row["seeds"] for row in written["rows"])
    settings = written["rows"][0]["settings"]
    assert settings["width"] == 1 / 32 and settings["samples"] == 12

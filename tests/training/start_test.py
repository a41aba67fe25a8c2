import dataclasses

import keras
import numpy as np
import pytest

from keras_pixdt import AppearanceFlow, PixelDTGAN, presets
from keras_pixdt.layers import moving_statistics
from keras_pixdt.training import run, start
from tests.samples import Snapshot, uneven

ARGUMENTS = {"width": 1 / 64, "photo_size": 32, "gan_weight": 0.1, "discriminator_width": 1 / 16}


def model(image_size=16, **changed):
    return AppearanceFlow(image_size, **{**ARGUMENTS, **changed})


def learnt(network):
    return [*network.trainable_variables, *moving_statistics(network)]


def test_all_that_was_learnt_is_taken_over(tmp_path):
    other, mine = uneven(model()), model()
    other.gan_share.assign(0.25)
    other.save(tmp_path / "other.keras")
    start.load(mine, str(tmp_path / "other.keras"))
    for a, b in zip(learnt(mine), learnt(other), strict=True):
        np.testing.assert_array_equal(a, b, err_msg=a.path)
    assert float(mine.gan_share) == 1  # the state of a training, not what it learnt


@pytest.mark.parametrize("name", ["demo", "kim2017", "kwon2019-64", "pix2pix-64", "flow-64"])
def test_weights_of_all_models_have_names_of_their_own(name):
    built = dataclasses.replace(presets.get(name), width=1 / 64).model(seed=0)
    networks = {
        id(getattr(built, n)): getattr(built, n) for own in built.players.values() for n in own
    }
    count = sum(len(learnt(network)) for network in networks.values())
    assert len(start._weights(built)) == count


def test_the_file_of_the_package_holds_half_of_the_bits(tmp_path, monkeypatch):
    other, mine = uneven(model()), model()
    start.save(other, tmp_path / "start.npz")
    monkeypatch.setattr(start, "_FILE", tmp_path / "start.npz")
    start.load(mine, start.RENDERED)
    for a, b in zip(learnt(mine), learnt(other), strict=True):
        expected = np.array(b)
        if expected.ndim > 1:
            expected = expected.astype("float16")
        np.testing.assert_array_equal(a, expected, err_msg=a.path)


def test_larger_networks_start_from_smaller_ones(tmp_path):
    other, mine = uneven(model(64, photo_size=128)), model(128, photo_size=256)
    other.save(tmp_path / "other.keras")
    start.load(mine, str(tmp_path / "other.keras"))
    known = {weight.path: weight for weight in learnt(other.parts)}
    new = [weight.path for weight in learnt(mine.parts) if weight.path not in known]
    assert new and all("64" in path for path in new)
    for weight in learnt(mine.parts):
        if weight.path in known:
            np.testing.assert_array_equal(weight, known[weight.path], err_msg=weight.path)


def test_networks_that_do_not_fit_are_refused_and_change_nothing(tmp_path):
    mine = model()
    before = mine.get_weights()
    model(width=1 / 32).save(tmp_path / "wide.keras")
    with pytest.raises(ValueError, match=r"wide.keras' fit \d+% of this AppearanceFlow.*width"):
        start.load(mine, str(tmp_path / "wide.keras"))
    PixelDTGAN(16, 1 / 64).save(tmp_path / "other.keras")
    with pytest.raises(ValueError, match="fit 0% of this AppearanceFlow.*--from none"):
        start.load(mine, str(tmp_path / "other.keras"))
    keras.Sequential([keras.Input((2,)), keras.layers.Dense(1)]).save(tmp_path / "dense.keras")
    with pytest.raises(ValueError, match="a model of this package.*holds a Sequential"):
        start.load(mine, str(tmp_path / "dense.keras"))
    for a, b in zip(before, mine.get_weights(), strict=True):
        np.testing.assert_array_equal(a, b)


def test_a_start_is_kept_as_an_absolute_path(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert start.absolute("file.keras") == str(tmp_path / "file.keras")
    assert start.absolute("./rendered") == str(tmp_path / "rendered")
    assert start.absolute("rendered") == start.RENDERED
    assert start.absolute("none") is start.absolute(None) is None


def test_a_start_that_is_missing_is_named_before_any_data_are_read(tmp_path):
    preset = dataclasses.replace(presets.get("flow-64"), start=str(tmp_path / "none.keras"))
    with pytest.raises(FileNotFoundError, match="there is no .*none.keras"):
        run.train(preset, "no data", tmp_path / "run")
    assert not (tmp_path / "run").exists()


@pytest.mark.parametrize("name", ["flow-64", "flow-128", "flow-256"])
def test_the_presets_start_from_the_network_of_the_package(name):
    preset = presets.get(name)
    assert preset.start == start.RENDERED
    start.load(preset.model(), preset.start)  # most of its weights fit


def test_a_run_starts_there_and_an_interrupted_one_continues(small_lookbook, tmp_path):
    preset = dataclasses.replace(
        presets.get("flow-64"), image_size=16, photo_size=32, width=1 / 64, batch_size=8,
        phases=((1, 1e-9),), gan_phase=0, ema_momentum=None, start=str(tmp_path / "other"),
    )  # fmt: skip
    (tmp_path / "other").mkdir()
    other = uneven(preset.model(seed=0))
    other.save(tmp_path / "other" / "model.keras")
    snapshot = Snapshot(tmp_path / "run", tmp_path / "copy", epoch=1, batch=0)
    arguments = {"epochs": 2, "verbose": 0}
    finished = run.train(
        preset, str(small_lookbook), tmp_path / "run", callbacks=[snapshot], **arguments
    )
    for a, b in zip(
        finished.model.parts.trainable_variables, other.parts.trainable_variables, strict=True
    ):
        np.testing.assert_allclose(a, b, atol=1e-6, err_msg=a.path)
    assert run.load_run(tmp_path / "run").preset.start == preset.start

    (tmp_path / "other" / "model.keras").unlink()
    resumed = run.train(preset, str(small_lookbook), tmp_path / "copy", **arguments)
    for a, b in zip(resumed.model.variables, finished.model.variables, strict=True):
        np.testing.assert_array_equal(a, b, err_msg=a.path)

import dataclasses

import keras
import numpy as np
import pytest

from keras_pixdt import AppearanceFlow, PixelDTGAN, presets
from keras_pixdt.data import load, to_float
from keras_pixdt.layers import moving_statistics
from keras_pixdt.metrics import pixel
from keras_pixdt.training import run, start, trainer
from tests.samples import Snapshot, uneven

ARGUMENTS = {"width": 1 / 64, "photo_size": 32, "gan_weight": 0.1, "discriminator_width": 1 / 16}


def model(image_size=16, **changed):
    return AppearanceFlow(image_size, **{**ARGUMENTS, **changed})


def learned(network):
    return [*network.trainable_variables, *moving_statistics(network)]


def test_all_that_was_learned_is_taken_over(tmp_path):
    other, mine = uneven(model()), model()
    other.gan_share.assign(0.25)
    other.save(tmp_path / "other.keras")
    start.load(mine, str(tmp_path / "other.keras"))
    for a, b in zip(learned(mine), learned(other), strict=True):
        np.testing.assert_array_equal(a, b, err_msg=a.path)
    assert float(mine.gan_share) == 1  # the state of a training, not what it learned


@pytest.mark.parametrize("name", ["demo", "kim2017", "kwon2019-64", "pix2pix-64", "flow-64"])
def test_weights_of_all_models_have_names_of_their_own(name):
    built = dataclasses.replace(presets.get(name), width=1 / 64).model(seed=0)
    networks = {
        id(getattr(built, n)): getattr(built, n) for own in built.players.values() for n in own
    }
    count = sum(len(learned(network)) for network in networks.values())
    assert len(start._weights(built)) == count


def test_the_file_of_the_package_holds_half_of_the_bits(tmp_path, monkeypatch):
    other, mine = uneven(model()), model()
    start.save(other, tmp_path / "start.npz")
    monkeypatch.setattr(start, "_FILE", tmp_path / "start.npz")
    start.load(mine, start.RENDERED)
    for a, b in zip(learned(mine), learned(other), strict=True):
        expected = np.array(b)
        if expected.ndim > 1:
            expected = expected.astype("float16")
        np.testing.assert_array_equal(a, expected, err_msg=a.path)


def test_larger_networks_start_from_smaller_ones(tmp_path):
    other, mine = uneven(model(64, photo_size=128)), model(128, photo_size=256)
    other.save(tmp_path / "other.keras")
    start.load(mine, str(tmp_path / "other.keras"))
    known = {weight.path: weight for weight in learned(other.parts)}
    new = {weight.path.split("/")[0] for weight in learned(mine.parts) if weight.path not in known}
    assert new == {
        "encoder64", "encoder64_bn", "decoder64_conv", "decoder64_conv_bn", "decoder64_step",
        "decoder64_out", "decoder64_out_bn", "drawing128", "drawing128_bn", "mask_gate_paint128",
    }  # fmt: skip
    for weight in learned(mine.parts):
        if weight.path in known:
            np.testing.assert_array_equal(weight, known[weight.path], err_msg=weight.path)


def test_networks_that_do_not_fit_are_refused_and_change_nothing(tmp_path):
    mine = model()
    before = mine.get_weights()
    model(width=1 / 32).save(tmp_path / "wide.keras")
    with pytest.raises(ValueError, match=r"wide.keras' do not fit.*the shape of parts/.*--width"):
        start.load(mine, str(tmp_path / "wide.keras"))
    model(32, photo_size=64).save(tmp_path / "large.keras")
    with pytest.raises(ValueError, match=r"the shape of parts/.* differs.*image-size"):
        start.load(mine, str(tmp_path / "large.keras"))
    PixelDTGAN(16, 1 / 64).save(tmp_path / "other.keras")
    with pytest.raises(ValueError, match="most of its layers are missing.*--from none"):
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
        trainer.train(preset, "no data", tmp_path / "run")
    assert not (tmp_path / "run").exists()
    (tmp_path / "converter.tflite").touch()
    preset = dataclasses.replace(preset, start=str(tmp_path / "converter.tflite"))
    with pytest.raises(ValueError, match="or a .keras file. Received: .*converter.tflite"):
        trainer.train(preset, "no data", tmp_path / "run")


@pytest.mark.parametrize("name", ["flow-64", "flow-128", "flow-256"])
def test_presets_begin_with_garments(name):
    """Not only with most of the weights: new stages leave what those before have found."""
    preset = presets.get(name)
    assert preset.start == start.RENDERED
    book = load.render_lookbook(6, preset.image_size, 7, preset.photo_size, truth=True)
    pairs, found = book.pairs, {}
    masks = pairs.masks[pairs.target_index][..., None] / np.float32(255)
    for started in (False, True):
        model = preset.model()
        if started:
            start.load(model, preset.start)
        ious = pixel.mask_iou(model.find_masks(to_float(pairs.sources[:])), masks)
        found[started] = float(np.mean(ious))
    assert found[True] > 0.74 and found[False] < 0.6  # one mask for all has 0.74


def test_only_a_discriminator_may_be_of_another_width(tmp_path):
    other, mine = uneven(model()), model(discriminator_width=1 / 8)
    other.save(tmp_path / "other.keras")
    checksum = start.load(mine, str(tmp_path / "other.keras"))
    assert checksum == start.load(model(discriminator_width=1 / 8), str(tmp_path / "other.keras"))
    for a, b in zip(learned(mine.parts), learned(other.parts), strict=True):
        np.testing.assert_array_equal(a, b, err_msg=a.path)


def test_weights_that_need_their_f_are_refused_without(tmp_path):
    (tmp_path / "model.keras").touch()
    preset = dataclasses.replace(presets.get("taigman2017-small"), start=str(tmp_path))
    with pytest.raises(ValueError, match="Give it too: `function`"):
        trainer.train(preset, "no data", tmp_path / "run")


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
    finished = trainer.train(
        preset, str(small_lookbook), tmp_path / "run", callbacks=[snapshot], **arguments
    )
    for a, b in zip(
        finished.model.parts.trainable_variables, other.parts.trainable_variables, strict=True
    ):
        np.testing.assert_allclose(a, b, atol=1e-6, err_msg=a.path)
    assert run.load_run(tmp_path / "run").preset.start == preset.start

    (tmp_path / "other" / "model.keras").unlink()
    resumed = trainer.train(preset, str(small_lookbook), tmp_path / "copy", **arguments)
    for a, b in zip(resumed.model.variables, finished.model.variables, strict=True):
        np.testing.assert_array_equal(a, b, err_msg=a.path)

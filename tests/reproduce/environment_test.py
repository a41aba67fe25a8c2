import dataclasses

import keras

from keras_pixdt import presets
from keras_pixdt.reproduce import environment
from keras_pixdt.training import start


def test_a_digest_is_of_contents_not_of_order():
    assert environment.digest(a=1, b=[2, 3]) == environment.digest(b=[2, 3], a=1)
    assert environment.digest(a=1) != environment.digest(a=2)


def test_versions_name_the_backend():
    found = environment.made_with()
    assert found["versions"]["backend"] == keras.backend.backend()
    assert found["versions"]["keras"] == keras.__version__


def test_a_preset_that_starts_from_new_weights_is_named_as_it_was_before_presets_had_a_start():
    preset = presets.get("demo")
    options = preset.options()
    assert options.pop("start") is None
    assert environment.of_preset(preset) == options
    started = dataclasses.replace(preset, start="runs/mine")
    assert environment.of_preset(started) == {**options, "start": started.start}


def test_the_weights_of_the_package_are_known_by_their_content(monkeypatch, tmp_path):
    preset = presets.get("flow-64")
    before = environment.of_preset(preset)["start"]
    assert before == environment.of_preset(preset)["start"] != "rendered"
    other = tmp_path / "start.npz"
    other.write_bytes(b"other weights")
    monkeypatch.setattr(start, "_FILE", other)
    assert environment.of_preset(preset)["start"] != before

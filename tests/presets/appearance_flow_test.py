import dataclasses
import json

import keras
import pytest

from keras_pixdt import presets
from keras_pixdt.models.appearance_flow import AppearanceFlow
from keras_pixdt.presets import appearance_flow

PRESETS = {preset.name: preset for preset in appearance_flow.PRESETS}


@pytest.mark.parametrize("name", PRESETS)
def test_options_survive_json(name):
    fields = json.loads(json.dumps(PRESETS[name].options()))
    assert type(PRESETS[name])(**fields) == PRESETS[name]
    assert presets.of_paper(name) is PRESETS[name]


def test_a_preset_builds_its_model_and_optimizers():
    changed = {"width": 1 / 32, "gan_weight": 0.5, "l1_weight": 3.0, "photo_size": 64}
    preset = dataclasses.replace(PRESETS["flow-64"], image_size=16, **changed)
    model = preset.model(seed=3)
    assert type(model) is AppearanceFlow
    config = model.get_config()
    assert {key: config[key] for key in changed} == changed
    model.compile(preset.optimizers(model.players))
    adam = model.optimizer["converter"]
    assert type(adam) is keras.optimizers.Adam
    assert (adam.beta_1, adam.beta_2) == (0.5, 0.99)
    assert adam.use_ema and not model.optimizer["discriminator"].use_ema


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"reverse": True}, "'flow-64': `reverse` must be false.*Received: True"),
        ({"irrelevant_pairs": True}, "`irrelevant_pairs` must be false"),
        (
            {"gan_weight": 0.1, "phases": ((9, 1e-3),)},
            "`gan_phase` must be one of the 1 phases, from 0. Received: 1",
        ),
    ],
)
def test_fields_that_do_not_go_together_are_named(change, message):
    with pytest.raises(ValueError, match=message):
        dataclasses.replace(PRESETS["flow-64"], **change)
    assert dataclasses.replace(PRESETS["flow-64"], phases=((9, 1e-3),))


def test_it_asks_for_larger_photos_and_truth_and_augments():
    preset = dataclasses.replace(PRESETS["flow-64"], photo_size=128, truth=False)
    assert preset.data_options() == {"photo_size": 128, "truth": True}
    assert preset.batch_options() == {
        "mirror": True, "passes": 1, "irrelevant": False, "reverse": False, "augment": True,
        "truth": False,
    }  # fmt: skip
    assert presets.get("demo").data_options() == {}
    assert presets.get("kim2017").batch_options() == {"mirror": False, "passes": 1}

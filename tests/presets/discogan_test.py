import dataclasses
import json

import keras
import pytest

from keras_pixdt import presets
from keras_pixdt.models.discogan import DiscoGAN
from keras_pixdt.presets import discogan
from keras_pixdt.presets.discogan import DiscoGANPreset

# Kim et al. 2017, Sec. 3.2: 64 px, Adam at 2e-4 with momenta 0.5 and 0.999, weight decay of 1e-4,
# batches of 200. Eqs. 5 and 7 sum their terms without weights.
SECTION_3_2 = {
    "image_size": 64,
    "batch_size": 200,
    "phases": ((5000, 2e-4, None),),
    "reverse": False,
    "mirror": False,
    "resize": "letterbox",
    "passes": 1,
    "irrelevant_pairs": False,
    "dtype": "float32",
    "ema_momentum": None,
    "start": None,
    "width": 1.0,
    "discriminator_width": None,
    "extra_layer": False,
    "coupled": True,
    "reconstruction": "mse",
    "reconstruction_weight": 1.0,
    "weight_decay": 1e-4,
}
FIG_2 = {
    "kim2017": {},
    "kim2017-reconstruction": {"coupled": False},
    "kim2017-standard": {"coupled": False, "reconstruction_weight": 0.0},
}
SMALL = {
    "width": 0.25, "batch_size": 32, "phases": ((100, 2e-4, None),), "passes": 5,
    "reconstruction_weight": 10.0,
}  # fmt: skip
ROWS = {
    **FIG_2,
    **{name.replace("2017", "2017-small"): {**SMALL, **row} for name, row in FIG_2.items()},
}
PRESETS = {preset.name: preset for preset in discogan.PRESETS}


def test_there_is_a_preset_for_every_model_of_fig_2_in_two_sizes():
    assert list(PRESETS) == list(ROWS)
    assert {name for name in presets.names() if name.startswith("kim2017")} == set(ROWS)


@pytest.mark.parametrize("name", ROWS)
def test_options_are_those_of_the_paper(name):
    options = PRESETS[name].options()
    reference = options.pop("reference")
    assert options == {**SECTION_3_2, **ROWS[name], "name": name}
    figure = {"": "2c", "reconstruction": "2b", "standard": "2a"}
    model = name.removeprefix("kim2017").removeprefix("-small").removeprefix("-")
    assert reference.removeprefix("none: ").startswith(f"Kim et al. 2017, Fig. {figure[model]}, ")
    assert reference.startswith("none") == ("small" in name)
    fields = json.loads(json.dumps(PRESETS[name].options()))
    assert DiscoGANPreset(**fields) == PRESETS[name]


def test_only_these_learn_without_pairs():
    unpaired = {name for name in presets.names() if not presets.get(name).paired}
    assert {name for name in unpaired if not name.startswith("taigman2017")} == set(ROWS)


def test_a_preset_builds_its_model_and_optimizers():
    changed = {
        "width": 1 / 32, "discriminator_width": 1 / 16, "extra_layer": True, "coupled": False,
        "reconstruction": "huber", "reconstruction_weight": 3.0, "weight_decay": 0.1,
    }  # fmt: skip
    preset = dataclasses.replace(
        PRESETS["kim2017"], image_size=16, dtype="mixed_bfloat16", **changed
    )
    model = preset.model(seed=3)
    assert type(model) is DiscoGAN
    config = model.get_config()
    assert {key: config[key] for key in changed} == changed
    assert (model.image_size, model.compute_dtype) == (16, "bfloat16")
    model.compile(preset.optimizers(model.players))
    for player in ("discriminator", "converter"):
        adam = model.optimizer[player]
        assert type(adam) is keras.optimizers.Adam
        assert float(adam.learning_rate) == pytest.approx(2e-4)
        assert (adam.beta_1, adam.beta_2, adam.weight_decay) == (0.5, 0.999, None)


@pytest.mark.parametrize("name", FIG_2)
def test_the_models_have_the_players_networks_of_fig_2(name):
    model = dataclasses.replace(PRESETS[name], image_size=16, width=1 / 32).model()
    assert hasattr(model, "reverse_converter") == (name != "kim2017-standard")
    assert hasattr(model, "reverse_discriminator") == (name == "kim2017")

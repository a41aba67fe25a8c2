import dataclasses
import json

import keras
import pytest

from keras_pixdt import presets
from keras_pixdt.models.rough_to_detail import RoughToDetailGAN

# Kwon et al. 2019, Sec. 4: all images are resized to 256 px. Sec. 4.1: stages at 64, 128 and 256 px
# with batches of 60, 40 and 20, each of 40 epochs of fade-in and 40 of stabilization; Adam at 2e-4
# with momenta 0 and 0.99; all weights of Eq. 4 are 1. Table 2: with fewer stages, these are the
# last ones.
SECTION_4 = {
    "image_size": 256,
    "batch_size": 20,
    "width": 1.0,
    "discriminator_width": None,
    "adversarial_weight": 1.0,
    "content_weight": 1.0,
    "laplacian_weight": 1.0,
    "irrelevant_pairs": False,
    "reverse": False,
    "mirror": False,
    "resize": "stretch",
    "passes": 1,
    "dtype": "float32",
    "ema_momentum": None,
    "start": None,
}
ROWS = {
    "kwon2019": (3, [60, 60, 40, 40, 20, 20]),
    "kwon2019-n2": (2, [40, 40, 20, 20]),
    "kwon2019-n1": (1, [20, 20]),
}
SMALL = {"kwon2019-64": 3, "kwon2019-64-n2": 2, "kwon2019-64-n1": 1}


@pytest.mark.parametrize("name", ROWS)
def test_rows_of_table_2(name):
    stages, sizes = ROWS[name]
    options = presets.get(name).options()
    assert options.pop("name") == name
    assert options.pop("reference").endswith(f"Table 2, N = {stages}")
    phases = tuple((40, 2e-4, size) for size in sizes)
    assert options == {**SECTION_4, "stages": stages, "phases": phases}
    changed = dataclasses.replace(presets.get(name), **json.loads(json.dumps(options)))
    assert changed == presets.get(name)


@pytest.mark.parametrize("name", SMALL)
def test_those_for_two_cores_differ_by_stages_alone(name):
    options, whole = presets.get(name).options(), presets.get("kwon2019-64").options()
    assert options["stages"] == SMALL[name] and len(options["phases"]) == 2 * SMALL[name]
    same = set(options) - {"name", "reference", "stages", "phases"}
    assert {key: options[key] for key in same} == {key: whole[key] for key in same}
    assert options["image_size"] == 64 and options["reference"].startswith("none")
    assert options["mirror"]  # few photos are soon known by heart
    assert options["resize"] == "stretch"
    # The last stages of the whole, with batches as in the paper, and rates that fall.
    assert options["phases"] == whole["phases"][-2 * SMALL[name] :]
    epochs, rates, sizes = zip(*whole["phases"], strict=True)
    assert list(sizes) == ROWS["kwon2019"][1]
    assert list(epochs) == [1, 1, 1, 1, 3, 3]
    assert list(rates) == [1e-3, 1e-3, 5e-4, 5e-4, 3e-4, 1e-4]


@pytest.mark.parametrize("name", [*ROWS, *SMALL])
def test_a_preset_builds_its_model_and_optimizers(name):
    preset = dataclasses.replace(presets.get(name), image_size=32, width=1 / 32)
    model = preset.model(seed=3)
    assert type(model) is RoughToDetailGAN and model.seed == 3
    shared = set(model.get_config()) & set(preset.options()) - {"name", "dtype"}
    assert len(shared) == 7
    for key in shared:
        assert model.get_config()[key] == preset.options()[key], key
    model.compile(preset.optimizers(model.players))
    for player in ("converter", "discriminator"):
        adam = model.optimizer[player]
        assert type(adam) is keras.optimizers.Adam
        assert float(adam.learning_rate) == pytest.approx(preset.phases[0].learning_rate)
        assert (adam.beta_1, adam.beta_2) == (0.0, 0.99)


def test_phases_must_be_two_for_each_stage():
    with pytest.raises(ValueError, match="Preset 'kwon2019': `phases` must be a fade-in and a"):
        dataclasses.replace(presets.get("kwon2019"), stages=2)

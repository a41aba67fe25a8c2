import dataclasses
import json

import keras
import numpy as np
import pytest
from keras import layers

from keras_pixdt import presets
from keras_pixdt.models.domain_transfer import DomainTransferNetwork
from keras_pixdt.models.domain_transfer_networks import build_function
from keras_pixdt.presets import domain_transfer
from keras_pixdt.presets.domain_transfer import DomainTransferPreset

# Taigman et al. 2017, Sec. 5.1: 32 px, g of gray images, D of four blocks with ReLU, alpha and
# beta 15, gamma 0. Rates, batches and the length of the training are not in the paper.
SECTION_5_1 = {
    "image_size": 32,
    "generated_size": None,
    "gray": True,
    "pointwise": False,
    "discriminator_blocks": 4,
    "discriminator_leak": 0.0,
    "width": 1.0,
    "function_width": 1.0,
    "distance": "mse",
    "target_distance": "mse",
    "alpha": 15.0,
    "beta": 15.0,
    "gamma": 0.0,
    "through_f": True,
    "ternary": True,
    "adversarial": True,
    "converter_objective": "non_saturating",
    "function": None,
    "reverse": False,
    "mirror": False,
    "resize": "letterbox",
    "irrelevant_pairs": False,
    "dtype": "float32",
}
TABLE_1 = {
    "taigman2017": {},
    "taigman2017-baseline": {
        "through_f": False,
        "ternary": False,
        "beta": 0.0,
        "converter_objective": "saturating",
    },
    "taigman2017-no-tid": {"beta": 0.0},
    "taigman2017-no-const": {"alpha": 0.0},
    "taigman2017-no-f": {"through_f": False},
    "taigman2017-no-gan": {"adversarial": False},
    "taigman2017-no-const-no-tid": {"alpha": 0.0, "beta": 0.0},
}
# Sec. 5.2: D of 152 px, six blocks, slope 0.2; g of 64 px, RGB, "9-layers deep".
FACES = {
    "image_size": 152,
    "generated_size": 64,
    "gray": False,
    "pointwise": True,
    "discriminator_blocks": 6,
    "discriminator_leak": 0.2,
    "alpha": 100.0,
    "beta": 1.0,
    "gamma": 0.05,
}
OF_THE_PAPER = {**TABLE_1, "taigman2017-faces": FACES}
PRESETS = {preset.name: preset for preset in domain_transfer.PRESETS}


def test_there_is_a_preset_for_every_row():
    assert set(OF_THE_PAPER) <= set(PRESETS)
    assert {name for name in presets.names() if name.startswith("taigman2017")} == set(PRESETS)
    for preset in PRESETS.values():
        assert not preset.paired and isinstance(preset, DomainTransferPreset)


@pytest.mark.parametrize("name", OF_THE_PAPER)
def test_options_are_those_of_the_paper(name):
    options = PRESETS[name].options()
    expected = {**SECTION_5_1, **OF_THE_PAPER[name], "name": name}
    assert {key: options[key] for key in expected} == expected
    place = "Sec. 5.2, " if name == "taigman2017-faces" else "Table 1, "
    assert options["reference"].startswith(f"Taigman et al. 2017, {place}")
    fields = json.loads(json.dumps(options))
    assert DomainTransferPreset(**fields) == PRESETS[name]


@pytest.fixture(scope="module")
def function(tmp_path_factory):
    """The file of an f."""
    path = tmp_path_factory.mktemp("f") / "f.keras"
    build_function(16, 1 / 32).save(path)
    return str(path)


@pytest.mark.parametrize("name", TABLE_1)
def test_a_preset_builds_its_row(name, function):
    preset = dataclasses.replace(PRESETS[name], function=function, image_size=16, width=1 / 32)
    model = preset.model(seed=3)
    changed = {"gray": True, **TABLE_1[name]}
    config = model.get_config()
    assert {key: config[key] for key in changed} == changed
    assert hasattr(model, "discriminator") == (name != "taigman2017-no-gan")
    assert hasattr(model, "encoder") == (not changed.get("through_f", True))


def test_every_field_reaches_the_model_and_the_optimizers(function):
    changed = {
        "image_size": 16, "width": 1 / 32, "discriminator_width": 1 / 16, "alpha": 2.0,
        "beta": 3.0, "gamma": 0.5, "through_f": False, "ternary": False, "gray": True,
        "pointwise": True, "generated_size": 32, "discriminator_blocks": 2,
        "discriminator_leak": 0.1, "converter_objective": "saturating",
        "distance": "cosine", "target_distance": "mae", "discriminator_first_norm": True,
    }  # fmt: skip
    preset = dataclasses.replace(
        PRESETS["taigman2017"],
        function=function, dtype="mixed_bfloat16", phases=((2, 1e-3),), **changed,
    )  # fmt: skip
    model = preset.model()
    assert type(model) is DomainTransferNetwork
    config = model.get_config()
    assert {key: config[key] for key in changed} == changed
    assert set(config) - set(preset.options()) == {"trainable"}
    assert model.compute_dtype == "bfloat16"
    x = np.random.uniform(-1, 1, (2, 16, 16, 3)).astype("float32")
    given = keras.models.load_model(function)
    np.testing.assert_array_equal(model.function(x), given(x))
    model.compile(preset.optimizers(model.players))
    for player in ("discriminator", "converter"):
        adam = model.optimizer[player]  # Sec. 4; momenta of Radford et al. 2015
        assert type(adam) is keras.optimizers.Adam
        assert float(adam.learning_rate) == pytest.approx(1e-3)
        assert (adam.beta_1, adam.beta_2, adam.weight_decay) == (0.5, 0.999, None)


def test_presets_of_before_have_what_was_not_an_option_then():
    """`run.json` of an earlier version has no such fields."""
    for preset in PRESETS.values():
        assert (preset.distance, preset.target_distance) == ("mse", "mse")
        assert not preset.discriminator_first_norm and not preset.function_plain


def test_faces_take_any_f(tmp_path):
    image = keras.Input((152, 152, 3))
    features = layers.Dense(5)(layers.GlobalAveragePooling2D()(image))
    keras.Model(image, features).save(tmp_path / "f.keras")
    preset = dataclasses.replace(
        PRESETS["taigman2017-faces"], function=str(tmp_path / "f.keras"), width=1 / 64
    )
    model = preset.model()
    assert model.generator.input_shape == (None, 5)
    assert model.generator.output_shape == (None, 64, 64, 3)
    assert model.generated_shape() == (None, 152, 152, 3)
    convolutions = (layers.Conv2D, layers.Conv2DTranspose)
    assert sum(isinstance(layer, convolutions) for layer in model.generator.layers) == 9


def test_faces_take_the_f_that_is_trained_for_their_size(tmp_path):
    build_function(152, 1 / 64).save(tmp_path / "f.keras")
    preset = dataclasses.replace(
        PRESETS["taigman2017-faces"], function=str(tmp_path / "f.keras"), width=1 / 64
    )
    model = preset.model()
    assert model.function.input_shape == model.generated_shape() == (None, 152, 152, 3)
    assert model.generator.input_shape == model.function.output_shape == (None, 2)
    assert model.drawn_size == 64


@pytest.mark.parametrize("name", OF_THE_PAPER)
def test_without_f_there_is_no_model(name):
    message = f"Preset '{name}': `function` must be the .keras file of f.*Received: None"
    with pytest.raises(ValueError, match=message):
        PRESETS[name].model()


def test_a_file_that_is_not_there_is_named(tmp_path):
    missing = str(tmp_path / "f.keras")
    preset = dataclasses.replace(PRESETS["taigman2017"], function=missing)
    with pytest.raises(FileNotFoundError, match="f.keras"):
        preset.model()

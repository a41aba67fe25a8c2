import dataclasses
import json

import keras
import pytest

from keras_pixdt.models.residual_pixel_dtgan import ResidualPixelDTGAN
from keras_pixdt.presets import residual_pixel_dtgan

# Ge & Li. Sec. 3.1.1: 64 px. Sec. 3.2: 1/2 for each discriminator. No other number is given:
# Yoo et al. 2016, Sec. 5.2, has batches of 128, 25 epochs at 2e-4 and 5 at 2e-5, momentum 0.5.
ALL_ROWS = {
    "image_size": 64,
    "batch_size": 128,
    "phases": ((25, 2e-4, None), (5, 2e-5, None)),
    "momentum": 0.5,
    "width": 1.0,
    "discriminator_width": None,
    "l1_weight": 0.0,
    "irrelevant_pairs": False,
    "reverse": False,
    "mirror": False,
    "resize": "letterbox",
    "passes": 1,
    "dtype": "float32",
    "ema_momentum": None,
    "start": None,
}
# Table 1: row, D's weight, A's weight, optimizer, residual blocks.
ROWS = {
    "geli-only-a": ("Only A", 0.0, 1.0, "adam", False),
    "geli-only-d": ("Only D", 1.0, 0.0, "adam", False),
    "geli-a-d-sgd": ("A + D (SGD)", 0.5, 0.5, "sgd", False),
    "geli-a-d-adam": ("A + D (Adam)", 0.5, 0.5, "adam", False),
    "geli-a-d-resnet": ("A + D (ResNet)", 0.5, 0.5, "sgd", True),
}
PRESETS = {preset.name: preset for preset in residual_pixel_dtgan.PRESETS}


def test_there_is_a_preset_for_every_row():
    assert list(PRESETS) == list(ROWS)


@pytest.mark.parametrize("name", ROWS)
def test_rows_of_table_1(name):
    row, real_fake, association, optimizer, residual = ROWS[name]
    options = PRESETS[name].options()
    assert options.pop("name") == name
    assert options == {
        **ALL_ROWS,
        "reference": f"Ge & Li, Table 1, {row}",
        "real_fake_weight": real_fake,
        "association_weight": association,
        "optimizer_name": optimizer,
        "residual": residual,
    }
    changed = dataclasses.replace(PRESETS[name], **json.loads(json.dumps(options)), name=name)
    assert changed == PRESETS[name]


@pytest.mark.parametrize("name", ROWS)
def test_a_preset_builds_its_model_and_optimizers(name):
    preset = dataclasses.replace(PRESETS[name], image_size=32, width=1 / 32)
    model = preset.model(seed=3)
    assert type(model) is ResidualPixelDTGAN
    shared = set(model.get_config()) & set(preset.options()) - {"name", "dtype"}
    assert len(shared) == 7
    for key in shared:
        assert model.get_config()[key] == preset.options()[key], key
    expected = ["real_fake_discriminator"] * (preset.real_fake_weight > 0)
    expected += ["association_discriminator"] * (preset.association_weight > 0) + ["converter"]
    model.compile(preset.optimizers(model.players))
    assert list(model.players) == expected
    for player in expected:
        optimizer = model.optimizer[player]
        assert float(optimizer.learning_rate) == pytest.approx(2e-4)
        if preset.optimizer_name == "adam":
            assert type(optimizer) is keras.optimizers.Adam and optimizer.beta_1 == 0.5
        else:
            assert type(optimizer) is keras.optimizers.SGD and optimizer.momentum == 0.5


def test_dtype_reaches_the_networks():
    preset = dataclasses.replace(
        PRESETS["geli-a-d-resnet"], image_size=32, width=1 / 32, dtype="mixed_bfloat16"
    )
    assert preset.model().converter.get_layer("conv1").compute_dtype == "bfloat16"


def test_unknown_optimizers_are_refused_by_name():
    with pytest.raises(ValueError, match="Preset 'geli-only-a': `optimizer_name` must") as error:
        dataclasses.replace(PRESETS["geli-only-a"], optimizer_name="rmsprop")
    assert "Received: 'rmsprop'" in str(error.value)

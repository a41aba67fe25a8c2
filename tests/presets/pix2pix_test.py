import dataclasses
import json

import keras
import pytest

from keras_pixdt.models.pix2pix import Pix2Pix
from keras_pixdt.presets import pix2pix

# Isola et al. 2017. Sec. 3.3: Adam at 2e-4 with momenta 0.5 and 0.999. Eq. 4 with lambda 100.
# Sec. 6.2, edges to shoes: 15 epochs of batches of 4.
ALL_SIZES = {
    "reference": "Isola et al. 2017; Kwon et al. 2019, Table 1, Pix2Pix",
    "batch_size": 4,
    "phases": ((15, 2e-4, None),),
    "reverse": False,
    "resize": "stretch",  # Kwon et al.'s row: all images are resized to 256 px (Sec. 4)
    "passes": 1,
    "irrelevant_pairs": False,
    "dtype": "float32",
    "ema_momentum": None,
    "start": None,
    "width": 1.0,
    "discriminator_width": None,
    "gan_weight": 1.0,
    "l1_weight": 100.0,
}
SIZES = {"pix2pix-64": 64, "pix2pix-128": 128, "pix2pix-256": 256}
PRESETS = {preset.name: preset for preset in pix2pix.PRESETS}


def test_there_is_a_preset_for_every_size():
    assert list(PRESETS) == list(SIZES)


@pytest.mark.parametrize("name", SIZES)
def test_options_are_those_of_the_paper(name):
    options = PRESETS[name].options()
    own = {"name": name, "image_size": SIZES[name]}
    # Of the row's edges to shoes, Sec. 6.2 says nothing of mirroring; few photos are mirrored.
    assert options == {**ALL_SIZES, **own, "mirror": name != "pix2pix-256"}
    fields = json.loads(json.dumps(options))
    assert type(PRESETS[name])(**fields) == PRESETS[name]


def test_a_preset_builds_its_model_and_optimizers():
    changed = {"width": 1 / 32, "discriminator_width": 1 / 16, "gan_weight": 0.5, "l1_weight": 3.0}
    preset = dataclasses.replace(
        PRESETS["pix2pix-64"], image_size=16, dtype="mixed_bfloat16", **changed
    )
    model = preset.model(seed=3)
    assert type(model) is Pix2Pix
    config = model.get_config()
    assert {key: config[key] for key in changed} == changed
    assert (model.image_size, model.seed, model.compute_dtype) == (16, 3, "bfloat16")
    model.compile(preset.optimizers(model.players))
    for player in ("discriminator", "converter"):
        adam = model.optimizer[player]
        assert type(adam) is keras.optimizers.Adam
        assert float(adam.learning_rate) == pytest.approx(2e-4)
        assert (adam.beta_1, adam.beta_2) == (0.5, 0.999)

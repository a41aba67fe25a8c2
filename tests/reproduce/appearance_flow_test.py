import keras
import numpy as np

from keras_pixdt import demo, presets, reproduce, search
from keras_pixdt.reproduce.appearance_flow import ABLATIONS, METHODS, WHOLE
from keras_pixdt.reproduce.paired_experiment import PairedExperiment


def test_each_row_leaves_out_one_part():
    whole, *others = METHODS
    assert whole.key == WHOLE and ABLATIONS.name in reproduce.EXPERIMENTS
    assert whole.preset == presets.get("flow-64").changed(["start=null", *demo.SETTINGS])
    changed = set()
    for method in others:
        options, own = whole.preset.options(), method.preset.options()
        (field,) = (name for name in options if own[name] != options[name])
        changed.add(field)
    assert changed == {
        "moves", "warped_skips", "mask_weight", "gan_weight", "photo_size", "truth",
    }  # fmt: skip
    assert set(ABLATIONS.budgets) == set(reproduce.BUDGETS)
    assert {claim.better for claim in ABLATIONS.claims} == {WHOLE}


def test_all_rows_are_judged_alike(tmp_path, monkeypatch):
    """By one embedder and against the same masks, also where photos are smaller."""
    experiment = PairedExperiment(tmp_path, {"data": "rendered", "num_products": 22})
    trained = []

    def train(targets, **options):
        trained.append(targets)
        return keras.Sequential([keras.Input((64, 64, 3)), keras.layers.GlobalAveragePooling2D()])

    monkeypatch.setattr(search, "train_embedder", train)
    masks = []
    for method in METHODS:
        pairs = experiment.pairs(method.preset)["train"]
        assert (pairs.image_size, pairs.photo_size) == (64, method.preset.photo_size)
        masks.append(pairs.masks)
        experiment.embedder(method.preset)
    assert len(trained) == 1
    for other in masks:
        np.testing.assert_array_equal(other, masks[0])

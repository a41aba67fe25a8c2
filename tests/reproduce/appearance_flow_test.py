import dataclasses

from keras_pixdt import presets, reproduce
from keras_pixdt.reproduce.appearance_flow import ABLATIONS, METHODS, WHOLE
from keras_pixdt.reproduce.paired_experiment import PairedExperiment


def test_each_row_leaves_out_one_part():
    whole, *others = METHODS
    assert whole.key == WHOLE and ABLATIONS.name in reproduce.EXPERIMENTS
    assert whole.preset == dataclasses.replace(presets.get("flow-64"), start=None, augment=False)
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


def test_rows_get_the_pairs_that_they_learn_from(tmp_path):
    experiment = PairedExperiment(tmp_path, {"data": "rendered", "num_products": 22})
    digests = {}
    for method in METHODS:
        pairs = experiment.pairs(method.preset)["train"]
        assert (pairs.image_size, pairs.photo_size) == (64, method.preset.photo_size)
        assert (pairs.flows is not None) == (pairs.masks is not None) == method.preset.truth
        digests[method.key] = experiment.data_digest(method.preset)
    assert digests["photo-64"] != digests[WHOLE] == digests["no-gan"]

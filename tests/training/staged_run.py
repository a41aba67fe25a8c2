"""Phases on one device, or resuming on several: `staged_run.py DATA FOLDER [REPLICAS]`."""

import dataclasses
import sys

import keras
import numpy as np

from keras_pixdt import data, presets
from keras_pixdt.training import devices, trainer
from tests.samples import Snapshot

PRESET = dataclasses.replace(
    presets.get("demo"), image_size=16, width=1 / 32, discriminator_width=1 / 32, mirror=False,
    l1_weight=10.0, phases=((2, 5e-4, 48), (1, 5e-5, 24)),
)  # fmt: skip


def train(folder, workdir, preset=PRESET, **options):
    options = {"epochs": 3, "seed": 3, "verbose": 0, **options}
    return trainer.train(preset, str(folder), workdir, **options)


def values(model):
    return [np.array(keras.ops.convert_to_numpy(v)) for v in model.variables]


def assert_equal(a, b):
    for x, y in zip(a, b, strict=True):
        np.testing.assert_array_equal(x, y)


def two_fits(pairs):
    """What the phases say, written out."""
    keras.utils.set_random_seed(3)
    model = PRESET.model(3)
    model.compile(PRESET.optimizer())
    for size, rate, (start, end) in ((48, 5e-4, (0, 2)), (24, 5e-5, (2, 3))):
        model.optimizer.learning_rate = rate
        batches = data.triplets(pairs["train"], size, 3)
        draw = keras.callbacks.LambdaCallback(
            on_epoch_begin=lambda epoch, logs, batches=batches: batches.start_epoch(epoch)
        )
        model.fit(
            batches, initial_epoch=start, epochs=end, shuffle=False, verbose=0, callbacks=[draw]
        )
    count = len(pairs["train"])
    assert int(model.optimizer.iterations) == 2 * (count // 48) + count // 24
    return model


def check_phases(folder, workdir):
    """One `fit` over all phases equals two that are written out."""
    staged = train(folder, workdir)
    assert_equal(values(staged.model), values(two_fits(staged.pairs())))
    return staged


def check_resume(folder, workdir, **options):
    """A run with averages that stops within an epoch equals one that does not.

    On JAX see `stored_run_test.py`.

    The whole run saves every third step until its end, the resumed one does not: saving may not
    change what is trained.
    """
    preset = dataclasses.replace(PRESET, ema_momentum=0.9)
    snapshot = Snapshot(workdir / "whole", workdir / "resumed", epoch=1, batch=5)
    whole = train(folder, workdir / "whole", preset, save_every=3, callbacks=[snapshot], **options)
    assert not (workdir / "resumed" / "model.keras").exists()
    resumed = train(folder, workdir / "resumed", preset, **options)
    assert_equal(values(resumed.model), values(whole.model))
    assert resumed.history().keys() == whole.history().keys()
    # Sums that two replicas had each are halved again: another order of additions.
    tolerance = 1e-6 if "distribution" in options else 0
    for name, logs in whole.history().items():
        np.testing.assert_allclose(resumed.history()[name], logs, rtol=tolerance, err_msg=name)


if __name__ == "__main__":
    import pathlib

    folder, workdir, *replicas = sys.argv[1:]
    workdir = pathlib.Path(workdir)
    if replicas:
        distribution = devices.start("mirrored", replicas=int(replicas[0]))
        check_resume(folder, workdir, distribution=distribution)
    else:
        check_phases(folder, workdir)

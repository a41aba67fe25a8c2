import contextlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import sys
import zipfile

import h5py
import keras
import numpy as np
import pytest

from keras_pixdt.training import checkpoint, trainer
from keras_pixdt.training.callbacks import PlayerDivergedError
from keras_pixdt.training.schedule import Progress
from tests.samples import Snapshot, batch_of
from tests.training import killed_run

pytestmark = pytest.mark.grappler
ROOT = pathlib.Path(__file__).parents[2]


def tiny_model():
    preset = killed_run.preset("float32")
    model = preset.model(seed=0)
    model.compile(preset.optimizers(model.players))
    return model


def state(path):
    """Name -> array of all that a `.keras` file holds."""
    with zipfile.ZipFile(path) as archive, archive.open("model.weights.h5") as file:
        found = {}
        h5py.File(file).visititems(
            lambda name, item: (
                found.update({name: item[()]}) if isinstance(item, h5py.Dataset) else None
            )
        )
    return found


def assert_same_state(path, other):
    found, expected = state(path), state(other)
    assert found.keys() == expected.keys()
    for name, value in expected.items():
        np.testing.assert_array_equal(found[name], value, err_msg=name)


def assert_same_run(workdir, whole):
    """The same weights, history and grids; nothing is left of what was cut short."""
    for name in ("model.keras", "checkpoints/best.keras"):
        assert_same_state(workdir / name, whole / name)
    history = (workdir / "history.json").read_text()
    assert history == (whole / "history.json").read_text()
    assert {len(values) for values in json.loads(history).values()} == {4}
    for path in (whole / "grids").iterdir():
        assert (workdir / "grids" / path.name).read_bytes() == path.read_bytes()
    assert not list(workdir.rglob("unfinished_*"))


# Killed runs


def killed(folder, workdir, dtype, *where):
    command = [sys.executable, "-m", "tests.training.killed_run", folder, workdir, dtype, *where]
    done = subprocess.run(
        [str(part) for part in command], cwd=ROOT, capture_output=True, text=True, timeout=300,
        env={**os.environ, "PYTHONPATH": str(ROOT)},
    )  # fmt: skip
    assert done.returncode == -signal.SIGKILL, done.stderr


@contextlib.contextmanager
def copied_after_save(count, workdir, copy):
    """Context in which a run's folder is copied once its N-th last.keras has got its name."""
    replace = os.replace
    saves = []

    def replace_and_copy(old, new):
        replace(old, new)
        if new.name == "last.keras":
            saves.append(new)
            if len(saves) == count:
                shutil.copytree(workdir, copy)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(os, "replace", replace_and_copy)
        yield


@pytest.mark.slow
def test_a_run_that_is_killed_ends_as_if_it_had_not_been(small_lookbook, tmp_path):
    """303 pairs: 18 batches of 16 in the first two epochs, 9 of 32 in the last two.

    Cut within the first epoch; killed with a save half written, in an epoch that was itself resumed
    within; cut once the last save is done, so that nothing is left to train. The cuts are copies of
    what is on the disk then.
    """
    data = str(small_lookbook)
    whole, cut, done = (tmp_path / name for name in ("whole", "cut", "done"))
    with copied_after_save(16, whole, done):
        killed_run.train(data, whole, "float32", [Snapshot(whole, cut, epoch=0, batch=11)])
    stands = [stand(cut)]
    killed(data, cut, "float32", "half", 3)
    assert list((cut / "checkpoints").glob("unfinished_*_last.keras"))
    stands += [stand(cut), stand(done)]
    assert stands == [(0, 8), (0, 16), (4, 0)]
    for workdir in (cut, done):
        killed_run.train(data, workdir, "float32")
        assert_same_run(workdir, whole)


def stand(workdir):
    """Epoch and batch that a run which has not ended goes on from."""
    assert not (workdir / "model.keras").exists()
    progress = checkpoint.read_progress(checkpoint.last_path(workdir))
    return progress.epoch, progress.batch


@pytest.mark.slow
def test_a_run_in_mixed_precision_goes_on_as_if_it_had_not_ended(small_lookbook, tmp_path):
    """From what is on the disk within the second phase. How a process dies is tested above."""
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    snapshot = Snapshot(whole, cut, epoch=2, batch=6)
    killed_run.train(str(small_lookbook), whole, "mixed_bfloat16", [snapshot])
    assert stand(cut) == (2, 4)
    killed_run.train(str(small_lookbook), cut, "mixed_bfloat16")
    assert_same_run(cut, whole)


# The file


def test_a_checkpoint_is_a_keras_file_with_the_whole_state_and_the_progress(tmp_path):
    model = tiny_model()
    model.fit(batch_of(8), batch_size=4, verbose=0)
    progress = Progress(2, 3, 16, [0.1], 4.5, ("val_ssim", 0.25), {"val_ssim": [0.125, 0.25]})
    path = tmp_path / "checkpoints" / "last.keras"
    checkpoint.save(model, path, progress)
    assert [p.name for p in path.parent.iterdir()] == ["last.keras"]
    assert checkpoint.read_progress(path) == progress

    for restored in (tiny_model(), keras.models.load_model(path)):
        checkpoint.load(restored, path)
        for found, expected in (
            (restored.weights, model.weights),
            (restored.optimizer.variables, model.optimizer.variables),
        ):
            assert len(found) == len(expected) > 0
            for variable, value in zip(found, expected, strict=True):
                np.testing.assert_array_equal(np.array(variable), np.array(value))


@pytest.mark.parametrize("player", ["domain_discriminator", "converter"])
def test_a_state_that_is_not_finite_is_not_saved(tmp_path, player):
    model = tiny_model()
    path = tmp_path / "last.keras"
    checkpoint.save(model, path, Progress())
    before = path.read_bytes()
    variable = model.optimizer[player].variables[-1]  # a moment is enough
    variable.assign(np.full(variable.shape, np.inf))
    with pytest.raises(PlayerDivergedError, match=f"'{player}' became not finite in epoch 8"):
        checkpoint.save(model, path, Progress(epoch=7))
    assert path.read_bytes() == before


def test_a_damaged_checkpoint_is_named_with_what_to_do(small_lookbook, tmp_path):
    last = checkpoint.last_path(tmp_path)
    checkpoint.save(tiny_model(), last, Progress())
    whole = last.read_bytes()
    damaged = bytearray(whole)
    damaged[len(whole) // 2] ^= 0xFF
    for content in (whole[: len(whole) // 2], bytes(damaged), b""):
        last.write_bytes(content)
        with pytest.raises(ValueError, match=r"last\.keras is not a whole checkpoint.*remove"):
            trainer.train(killed_run.preset("float32"), str(small_lookbook), tmp_path, epochs=1)
    assert [p.name for p in tmp_path.iterdir()] == ["checkpoints"]


def test_a_score_that_the_logs_lack_is_answered_with_those_they_have(tmp_path):
    saver = checkpoint.Checkpoint(tmp_path, Progress(), best="val_ssim")
    saver.set_model(tiny_model())
    with pytest.raises(ValueError, match="converter_loss, val_rmse. Received: 'val_ssim'"):
        saver.on_epoch_end(0, {"converter_loss": 1.0, "val_rmse": 0.5})


def test_best_is_compared_within_the_last_stage_only(tmp_path, monkeypatch):
    """Images of earlier stages are enlarged: soft, which RMSE likes. These stages are kept."""
    model, progress = tiny_model(), Progress()
    monkeypatch.setattr(type(model), "at_last_stage", False)
    monkeypatch.setattr(type(model), "stage", 1, raising=False)
    saver = checkpoint.Checkpoint(tmp_path, progress, best="val_rmse")
    saver.set_model(model)
    saver.on_epoch_end(0, {"val_rmse": 0.1})
    saver.on_epoch_end(1, {"val_rmse": 0.1})
    assert progress.best is None and not checkpoint.best_path(tmp_path).exists()
    kept = [each.copy() for each in model.get_weights()]
    monkeypatch.setattr(type(model), "at_last_stage", True)
    monkeypatch.setattr(type(model), "stage", 2)
    for variable in model.variables:
        variable.assign(0 * variable.value)
    for epoch, value in ((2, 0.5), (3, 0.4)):
        saver.on_epoch_end(epoch, {"val_rmse": value})
    assert progress.best == ("val_rmse", 0.4)
    names = sorted(path.name for path in (tmp_path / "checkpoints").iterdir())
    assert names == ["best.keras", "last.keras", "stage1.keras"]
    checkpoint.load(model, checkpoint.stage_path(tmp_path, 1))
    for loaded, weight in zip(model.get_weights(), kept, strict=True):
        np.testing.assert_array_equal(loaded, weight)


@pytest.mark.parametrize(
    ("score", "values", "kept"),
    [("val_rmse", [0.5, 0.25, 0.75], 1), ("val_c_ssim", [0.5, 0.25, 0.75], 2)],
)
def test_best_goes_down_for_errors_and_up_for_similarities(tmp_path, score, values, kept):
    progress = Progress()
    saver = checkpoint.Checkpoint(tmp_path, progress, best=score)
    saver.set_model(tiny_model())
    for epoch, value in enumerate(values):
        saver.on_epoch_end(epoch, {score: value})
    assert progress.best == (score, values[kept])
    best = checkpoint.read_progress(checkpoint.best_path(tmp_path))
    assert best.history == {score: values[: kept + 1]}

"""Runs that read their pairs from records, which TFDS prepared as array_record."""

import os
import pathlib
import signal
import subprocess
import sys

import pytest

from keras_pixdt.training import checkpoint, trainer
from tests.samples import Snapshot
from tests.training import killed_run
from tests.training.checkpoint_test import assert_same_state

ROOT = pathlib.Path(__file__).parents[2]
pytestmark = pytest.mark.slow


def assert_same_weights(workdir, whole):
    for name in ("model.keras", "checkpoints/best.keras"):
        assert_same_state(workdir / name, whole / name)
    history = (workdir / "history.json").read_text()
    assert history == (whole / "history.json").read_text()


def test_a_run_equals_that_from_memory_and_goes_on_where_it_was_cut(prepared, tmp_path):
    """82 training pairs: 5 batches of 16 in each of the first epochs, then 2 of 32."""

    def train(name, form, *callbacks):
        trainer.train(
            killed_run.preset("float32"), "tfds:lookbook/tiny", tmp_path / name,
            data_options={"data_dir": str(prepared / form)}, epochs=2, seed=5, save_every=2,
            verbose=0, callbacks=callbacks,
        )  # fmt: skip

    snapshot = Snapshot(tmp_path / "stored", tmp_path / "cut", epoch=0, batch=3)
    train("stored", "array_record", snapshot)
    train("memory", "tfrecord")
    assert_same_weights(tmp_path / "stored", tmp_path / "memory")
    progress = checkpoint.read_progress(checkpoint.last_path(tmp_path / "cut"))
    assert (progress.epoch, progress.batch) == (0, 2)
    train("cut", "array_record")
    assert_same_weights(tmp_path / "cut", tmp_path / "stored")


def test_jax_trains_without_tensorflow_and_a_killed_run_goes_on(prepared, tmp_path):
    pytest.importorskip("jax")

    def process(*where):
        command = [sys.executable, "-m", "tests.training.stored_run", tmp_path]
        return subprocess.run(
            [*map(str, command), str(prepared / "array_record"), *map(str, where)],
            cwd=ROOT, capture_output=True, text=True, timeout=500,
            env={
                **os.environ, "PYTHONPATH": str(ROOT), "KERAS_BACKEND": "jax",
                "JAX_PLATFORMS": "cpu", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
            },
        )  # fmt: skip

    killed = process(0, 3)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    progress = checkpoint.read_progress(checkpoint.last_path(tmp_path / "killed"))
    assert (progress.epoch, progress.batch) == (0, 2)
    finished = process()
    assert finished.returncode == 0, finished.stderr
    assert_same_weights(tmp_path / "killed", tmp_path / "whole")

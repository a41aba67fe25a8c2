"""What the tests of several models do alike."""

import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest
import tensorflow as tf

ROOT = pathlib.Path(__file__).resolve().parents[2]


def step(model, batch):
    """One training step; returns the losses."""
    logs = model.train_step({key: tf.constant(value) for key, value in batch.items()})
    return {key: float(value) for key, value in logs.items()}


def values_of(variables):
    return [np.asarray(v).copy() for v in variables]


def state_of(model):
    """Everything that a resumed run needs: weights, statistics, optimizers, random states."""
    return values_of([*model.variables, *model.optimizer.variables])


def assert_same_state(a, b):
    for x, y in zip(state_of(a), state_of(b), strict=True):
        np.testing.assert_array_equal(x, y)


def trainable(part):
    """Trainable parameters of a network, or of a list of its layers."""
    return sum(
        int(np.prod(v.shape))
        for layer in getattr(part, "layers", part)
        for v in layer.trainable_variables
    )


def assert_step_moves_alike(expected, mixed, batch):
    """One step in two precisions, from the same weights: its losses and how each player moves."""
    for a, b in zip(mixed.trainable_variables, expected.trainable_variables, strict=True):
        np.testing.assert_array_equal(a, b)
    before = {name: values_of(expected.player_variables(name)) for name in expected.players}
    losses = step(expected, batch)
    assert step(mixed, batch) == pytest.approx(losses, rel=0.02)

    def moved(model, name):
        new = values_of(model.player_variables(name))
        return np.concatenate([(a - b).ravel() for a, b in zip(new, before[name], strict=True)])

    for name in expected.players:
        size = np.linalg.norm(moved(expected, name))
        assert size > 0
        # A forgotten unscaling would be a factor of 2^15 here.
        assert np.linalg.norm(moved(mixed, name) - moved(expected, name)) < 0.2 * size


def run_python(code, *arguments, cwd=ROOT, **environment):
    """Runs code in a process of its own, from the repository's root; returns what it printed."""
    answer = subprocess.run(
        [sys.executable, "-c", code, *map(str, arguments)],
        cwd=cwd, env={**os.environ, "PYTHONPATH": str(ROOT), **environment},
        capture_output=True, text=True, check=False,
    )  # fmt: skip
    assert answer.returncode == 0, answer.stderr[-3000:]
    return answer.stdout


def run_on_jax(code, *arguments, **environment):
    """The same on the JAX backend, for a few steps: compiling would take longer than they do."""
    jax = {"KERAS_BACKEND": "jax", "JAX_PLATFORMS": "cpu", "JAX_DISABLE_MOST_OPTIMIZATIONS": "1"}
    return run_python(code, *arguments, **jax, **environment)


def assert_steps_equal_those_on_jax(folder, batch):
    """The steps that a process on JAX took, taken on TensorFlow.

    Args:
        folder: with `before.keras`, `after.keras`, and `drawn.npz`: the losses of
            `fit(batch, batch_size=4, epochs=1)`, and "drawn", what the model then draws.
        batch: of which "source" is drawn from.

    Returns:
        The model of `after.keras` and what `drawn.npz` holds, for further comparisons.
    """
    found = np.load(folder / "drawn.npz")
    model, after = (keras.models.load_model(folder / f"{x}.keras") for x in ("before", "after"))
    model.run_eagerly = True
    logs = model.fit(batch, batch_size=4, epochs=1, shuffle=False, verbose=0).history
    for name, values in logs.items():
        np.testing.assert_allclose(found[name], values, rtol=1e-4)
    for a, b in zip(model.weights, after.weights, strict=True):
        np.testing.assert_allclose(a, b, rtol=1e-3, atol=1e-5, err_msg=a.path)
    np.testing.assert_allclose(after(batch["source"]), found["drawn"], atol=1e-4)
    return after, found

"""What the tests of several models do alike."""

import os
import pathlib
import subprocess
import sys

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


REPLICAS = """
import importlib
import sys

import numpy as np
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
tests = importlib.import_module(sys.argv[1])

weights, found = None, []
for strategy in (tf.distribute.get_strategy(), tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])):
    with strategy.scope():
        model = tests.replicated()
    weights = weights or model.get_weights()
    model.set_weights(weights)
    losses = tests.fit_replicated(model)
    found.append([*model.get_weights(), *map(np.array, losses)])
for one, two in zip(*found, strict=True):
    np.testing.assert_allclose(one, two, rtol=2e-4, atol=2e-6)
assert sum(np.abs(a - b).max() > 1e-5 for a, b in zip(weights, found[1])) > len(weights) / 2
"""


def assert_replicas_equal_one_device(tests):
    """Two replicas end with the losses and weights of one device.

    Args:
        tests: name of the module of tests; its `replicated()` returns a compiled model, its
            `fit_replicated(model)` trains it and returns its losses.
    """
    run_python(REPLICAS, tests)

"""Each model on two replicas and on JAX: the steps are those of one device of TensorFlow.

Two processes do it for all models, since starting one takes long. A model's own tests say what is
trained: `replicated()` returns a compiled model, `fit_replicated(model)` trains it and returns its
losses; `JAX` is a script, and `compare_with_jax(folder, monkeypatch)` looks at what it wrote.
"""

import importlib
import json

import pytest

from tests.models import checks, rough_to_detail_test

pytestmark = pytest.mark.slow

# Prints what failed: module -> traceback.
START = """
import importlib, json, sys, traceback

def all_of(jobs, do):
    failed = {}
    for name, job in jobs.items():
        try:
            do(name, job)
        except Exception:
            failed[name] = traceback.format_exc()
    print("FAILED" + json.dumps(failed))
"""

REPLICAS = (
    START
    + """
import keras
import numpy as np
import tensorflow as tf

cpu = tf.config.list_physical_devices("CPU")[0]
tf.config.set_logical_device_configuration(cpu, [tf.config.LogicalDeviceConfiguration()] * 2)
one, two = tf.distribute.get_strategy(), tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])

def compare(name, job):
    keras.utils.set_random_seed(0)
    tests = importlib.import_module(f"tests.models.{name}_test")
    weights, found = None, []
    for strategy in (one, two):
        with strategy.scope():
            model = tests.replicated()
        weights = weights or model.get_weights()
        model.set_weights(weights)
        model.run_eagerly = strategy is one  # quicker than a trace
        losses = tests.fit_replicated(model)
        found.append([*model.get_weights(), *map(np.array, losses)])
    for a, b in zip(*found, strict=True):
        np.testing.assert_allclose(a, b, rtol=2e-4, atol=2e-6)
    assert sum(np.abs(a - b).max() > 1e-5 for a, b in zip(weights, found[1])) > len(weights) / 2

all_of(dict.fromkeys(sys.argv[1:]), compare)
"""
)

JAX = (
    START
    + """
for name in ("tensorflow", "tensorflow_datasets"):
    sys.modules[name] = None  # as if it were not installed

def run(name, job):
    code, sys.argv[1:] = job[0], job[1:]
    exec(code, {"__name__": "__main__"})

all_of(json.loads(sys.argv[1]), run)
"""
)

# What the models' scripts for JAX begin with: a folder and the arguments of a model come in.
JAX_START = """
import json, sys

import keras
import numpy as np
from tests.samples import batch_of

folder, arguments = sys.argv[1], json.loads(sys.argv[2])
keras.utils.set_random_seed(0)
"""

STEPS = ["appearance_flow", "discogan", "domain_transfer", "pix2pix", "pixel_dtgan"]
MODELS = [*STEPS, "rough_to_detail"]


def module_of(name):
    return importlib.import_module(f"tests.models.{name}_test")


def failed(printed):
    return json.loads(printed.rpartition("FAILED")[2])


@pytest.fixture(scope="module")
def on_two_replicas():
    """What failed there."""
    return failed(checks.run_python(REPLICAS, *MODELS))


@pytest.mark.parametrize("name", MODELS)
def test_two_replicas_take_the_steps_of_one(name, on_two_replicas):
    assert name not in on_two_replicas, on_two_replicas[name]


@pytest.fixture(scope="module")
def on_jax(tmp_path_factory):
    """A folder with a folder of what each model gave, and what failed."""
    pytest.importorskip("jax")
    folder = tmp_path_factory.mktemp("jax")
    jobs = {}
    for name in STEPS:
        (folder / name).mkdir()
        arguments = json.dumps(module_of(name).JAX_ARGUMENTS)
        jobs[name] = JAX_START + module_of(name).JAX, str(folder / name), arguments
    name = "rough_to_detail"
    (folder / name).mkdir()
    initial = folder / name / "initial.npz"
    rough_to_detail_test.save_initial(initial)
    jobs[name] = rough_to_detail_test.CURRICULUM, str(initial), str(folder / name / "jax")
    return folder, failed(checks.run_on_jax(JAX, json.dumps(jobs)))


@pytest.mark.parametrize("name", MODELS)
def test_steps_on_jax_are_those_on_tensorflow(name, on_jax, monkeypatch):
    folder, failures = on_jax
    assert name not in failures, failures[name]
    module_of(name).compare_with_jax(folder / name, monkeypatch)

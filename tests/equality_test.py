"""One device, two devices and two workers take the same steps, and so do TensorFlow and JAX.

Of PixelDTGAN itself, with BatchNorm and metrics, over batches of which the last of each epoch is
smaller, in float64. In float32 the same differ by some 1e-6.
"""

import itertools
import json
import os
import pathlib
import socket
import subprocess
import sys

import numpy as np
import pytest

ROOT = pathlib.Path(__file__).resolve().parents[1]
pytestmark = pytest.mark.slow


def free_addresses(count):
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    addresses = [f"127.0.0.1:{s.getsockname()[1]}" for s in sockets]
    for s in sockets:
        s.close()
    return addresses


def environment(backend, **variables):
    return {
        **os.environ,
        "KERAS_BACKEND": backend,
        "TF_CPP_MIN_LOG_LEVEL": "3",
        "TF_ENABLE_ONEDNN_OPTS": "0",
        "JAX_PLATFORMS": "cpu",
        "JAX_ENABLE_X64": "1",
        "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",  # few steps: compiling takes longer than they do
        **variables,
    }


def start(folder, backend, name, strategy, replicas, *cases, **variables):
    return subprocess.Popen(
        [sys.executable, "-m", "tests.equality_process"]
        + [str(folder), name, strategy, str(replicas), *cases],
        cwd=ROOT,
        env=environment(backend, **variables),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.PIPE,
        text=True,
    )


def finish(*processes):
    for process in processes:
        errors = process.communicate(timeout=540)[1]
        assert process.returncode == 0, errors


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """What one device of TensorFlow found, and the initial weights of all."""
    folder = tmp_path_factory.mktemp("equality")
    finish(start(folder, "tensorflow", "tensorflow_one", "none", 1, "plain"))
    return folder


# On JAX `feed` only makes the same batches earlier: "plain" would be the same.
WORKER_CASES = {"tensorflow": ["plain", "fed"], "jax": ["fed"]}


@pytest.fixture(scope="module", params=["tensorflow", "jax"])
def backend(request, folder):
    """All runs of a backend."""
    backend = request.param
    if backend == "jax":
        finish(start(folder, "jax", "jax_one", "none", 1, "plain"))
    overflow = ["overflow"] if backend == "tensorflow" else []
    finish(start(folder, backend, f"{backend}_two", "mirrored", 2, "plain", *overflow))
    addresses = free_addresses(2)
    finish(
        *(
            start(
                folder,
                backend,
                f"{backend}_worker{index}",
                "multi_worker",
                1,
                *WORKER_CASES[backend],
                *overflow,
                TF_CONFIG=json.dumps(
                    {
                        "cluster": {"worker": addresses},
                        "task": {"type": "worker", "index": index},
                    }
                ),
            )
            for index in range(2)
        )
    )
    return backend


def found(folder, name, case):
    report = json.loads((folder / f"{name}.json").read_text())[case]
    return report, dict(np.load(folder / f"{name}_{case}.npz"))


def assert_equal(folder, name, case, reference, reference_case, atol=1e-12, metrics_atol=1e-12):
    report, arrays = found(folder, name, case)
    expected, expected_arrays = found(folder, reference, reference_case)
    initial = np.load(folder / "initial.npz")
    assert len(arrays) > 40
    for key, array in expected_arrays.items():
        assert array.dtype == arrays[key].dtype
        np.testing.assert_allclose(arrays[key], array, rtol=0, atol=atol, err_msg=key)
    moved = [
        np.abs(arrays[f"weight_{i}"] - initial[f"arr_{i}"]).max() for i in range(len(initial.files))
    ]
    assert np.median(moved) > 1e-4  # far above the tolerance
    for key, values in expected.items():
        scored = key.startswith(("val_", "evaluate_"))
        np.testing.assert_allclose(
            report[key], values, rtol=0, atol=metrics_atol if scored else atol, err_msg=key
        )


# Keras' metrics are float32 on JAX.
METRICS = {"tensorflow": 1e-12, "jax": 1e-6}


def test_two_devices_equal_one(folder, backend):
    names = f"{backend}_two", "plain", f"{backend}_one", "plain"
    assert_equal(folder, *names, metrics_atol=METRICS[backend])


def test_two_workers_equal_one_device(folder, backend):
    for worker, case in itertools.product(range(2), WORKER_CASES[backend]):
        names = f"{backend}_worker{worker}", case, f"{backend}_one", "plain"
        assert_equal(folder, *names, metrics_atol=METRICS[backend])


def test_what_the_chief_saves_all_workers_load(folder, backend):
    for worker in range(2):
        equal = found(folder, f"{backend}_worker{worker}", "fed")[0]["loaded_equal"]
        assert len(equal) > 40 and all(equal)


def test_jax_equals_tensorflow(folder, backend):
    if backend == "jax":
        names = "jax_one", "plain", "tensorflow_one", "plain"
        assert_equal(folder, *names, metrics_atol=METRICS["jax"])


@pytest.mark.parametrize("name", ["two", "worker0", "worker1"])
def test_an_overflow_on_one_replica_skips_its_players_update_everywhere(folder, backend, name):
    if backend == "tensorflow":
        report = json.loads((folder / f"tensorflow_{name}.json").read_text())["overflow"]
        # The left player stays; the right one learns on all replicas: b = 1 - 0.1 * 0.5.
        np.testing.assert_allclose(report["weights"], [1.0, 0.95], rtol=1e-3)
        assert report["scales"][0] == report["scales"][1] / 2

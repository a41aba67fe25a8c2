import contextlib
import json
import os
import pathlib
import socket
import subprocess
import sys
import time

import keras
import pytest

from keras_pixdt.training import devices
from keras_pixdt.training import peers as peers_module
from keras_pixdt.training.devices import Distribution, start

ROOT = pathlib.Path(__file__).resolve().parents[2]


@pytest.fixture(autouse=True)
def policy():
    before = keras.config.dtype_policy()
    yield
    keras.config.set_dtype_policy(before)


def tf_config(addresses, index, job="worker"):
    return json.dumps({"cluster": {job: addresses}, "task": {"type": job, "index": index}})


# What is refused


def test_unknown_strategy_and_precision_list_the_choices():
    with pytest.raises(ValueError, match="none, mirrored, multi_worker, tpu. Received: 'horovod'"):
        start("horovod")
    choices = "float32, mixed_float16, mixed_bfloat16. Received: 'fp8'"
    with pytest.raises(ValueError, match=choices):
        start("none", "fp8")


def test_replicas_must_fit_the_strategy():
    with pytest.raises(ValueError, match="at least 1. Received: 0"):
        start("mirrored", replicas=0)
    with pytest.raises(ValueError, match="'none' is one device.*replicas=2.*'mirrored'"):
        start("none", replicas=2)


def test_more_replicas_than_accelerators_are_refused(monkeypatch):
    monkeypatch.setattr(devices, "_accelerators", lambda: ["GPU:0", "GPU:1"])
    with pytest.raises(ValueError, match="2 accelerators: GPU:0, GPU:1. Received: replicas=3"):
        start("mirrored", replicas=3)


def test_a_machine_without_tpu_is_told_what_to_choose(monkeypatch):
    monkeypatch.delenv("TPU_NAME", raising=False)
    with pytest.raises(ValueError, match="found no TPU: set.*TPU_NAME.*choose 'mirrored'"):
        start("tpu")


def test_devices_cannot_be_divided_once_tensorflow_computes():
    keras.ops.ones(())
    with pytest.raises(RuntimeError, match=r"3 devices.*after tensorflow.*start\(\) first"):
        start("mirrored", replicas=3)


@pytest.mark.parametrize(
    ("received", "rule"),
    [
        (None, "it is not set"),
        ("{cluster", "it must be JSON with 'cluster' and 'task'"),
        ('{"cluster": {"worker": ["a:1"]}}', "it must be JSON with 'cluster' and 'task'"),
        (tf_config(["a:1"], 0, "ps"), "the jobs 'chief' and 'worker' only"),
        (tf_config(["a:1", "b:1"], 2), "its task, worker 2, is not in its cluster"),
        (tf_config(["a:1", "b"], 0), "an address must be host:port, 'b' is not"),
        (tf_config(["a:1", "a:1"], 0), "an address may occur once only"),
    ],
)
def test_a_wrong_tf_config_is_explained_by_an_example(monkeypatch, received, rule):
    monkeypatch.delenv("TF_CONFIG", raising=False)
    if received is not None:
        monkeypatch.setenv("TF_CONFIG", received)
    with pytest.raises(ValueError) as error:
        start("multi_worker")
    assert rule in str(error.value)
    assert peers_module.TF_CONFIG_EXAMPLE in str(error.value)
    assert str(error.value).endswith(f"Received: {received!r}")
    assert peers_module.cluster(peers_module.TF_CONFIG_EXAMPLE)[1] == 0  # the example is right


def test_the_chief_comes_before_the_workers():
    cluster = {"chief": ["a:1"], "worker": ["b:1", "c:1"]}
    tasks = [("chief", 0), ("worker", 0), ("worker", 1)]
    for place, (job, index) in enumerate(tasks):
        config = json.dumps({"cluster": cluster, "task": {"type": job, "index": index}})
        assert peers_module.cluster(config) == (["a:1", "b:1", "c:1"], place)


def test_mixed_float16_on_a_cpu_warns_and_runs(caplog):
    start("none", "mixed_float16")
    assert keras.config.dtype_policy().name == "mixed_float16"
    assert "mixed_float16 is slower than float32 on a CPU" in caplog.text
    assert "mixed_bfloat16" in caplog.text


@pytest.mark.parametrize(
    ("flags", "warns"), [("fma avx2 f16c", True), ("avx512f avx512_bf16", False)]
)
def test_mixed_bfloat16_on_a_cpu_that_lacks_it_warns_and_runs(
    flags, warns, caplog, monkeypatch, tmp_path
):
    (tmp_path / "cpuinfo").write_text(f"flags : fpu {flags}\n")
    monkeypatch.setattr(devices, "_CPU", tmp_path / "cpuinfo")
    start("none", "mixed_bfloat16")
    assert keras.config.dtype_policy().name == "mixed_bfloat16"
    assert ("mixed_bfloat16 is many times slower than float32" in caplog.text) == warns


@pytest.mark.parametrize(
    ("choice", "flags", "refused"),
    [("1", "avx2", True), (None, "avx512f", True), (None, "avx2", False), ("0", "avx512f", False)],
)
def test_kernels_that_fail_between_workers_are_refused(
    choice, flags, refused, monkeypatch, tmp_path
):
    (tmp_path / "cpuinfo").write_text(f"flags : fpu {flags}\n")
    monkeypatch.setattr(devices, "_CPU", tmp_path / "cpuinfo")
    monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS", raising=False)
    if choice:
        monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", choice)
    with contextlib.ExitStack() as stack:
        if refused:
            stack.enter_context(pytest.raises(ValueError, match="needs.*TF_ENABLE_ONEDNN_OPTS=0"))
        devices._check_kernels()


def test_one_strategy_for_a_process(monkeypatch):
    started = Distribution("mirrored", 2)
    monkeypatch.setattr(devices, "_started", {("mirrored", 2): started})
    assert start("mirrored", replicas=2) is started
    with pytest.raises(RuntimeError, match="'mirrored', replicas=2.*Received: 'tpu'"):
        start("tpu")


# Batch sizes


@pytest.mark.parametrize(
    ("size", "nearest"), [(10, "8 or 12"), (129, "128 or 132"), (3, "4"), (127, "124 or 128")]
)
def test_a_batch_that_replicas_cannot_share_is_refused_with_those_that_fit(size, nearest):
    with pytest.raises(ValueError) as error:
        Distribution("mirrored", 4).check_batch_size(size)
    message = str(error.value)
    assert message.startswith("The batch size is that of all 4 replicas together")
    assert message.endswith(f"Received: {size}. Nearest: {nearest}")


def test_a_batch_that_replicas_can_share_passes():
    Distribution("mirrored", 4).check_batch_size(128)
    Distribution("none").check_batch_size(127)


# Workers. These processes use the connections alone, not the backend: they take the one that
# starts faster.

IMPORTED = """
import sys
from keras_pixdt.training import devices
print("ready", flush=True)
sys.stdin.readline()
"""

PEER = """
import os, time
from keras_pixdt.training.devices import Distribution
from keras_pixdt.training.peers import Peers, cluster

addresses, worker = cluster(os.environ["TF_CONFIG"])
try:
    peers = Peers(addresses, worker, timeout_s=float(sys.argv[1]))
except TimeoutError as error:
    print(error)
    sys.exit(3)
distribution = Distribution("multi_worker", len(addresses), peers=peers)
distribution.agree(5, "number of steps")
try:
    distribution.agree(worker, "first step")
except ValueError as error:
    print(error, flush=True)
if sys.argv[2] == "wait":
    with distribution.watch():
        time.sleep(60)
if sys.argv[2] == "fail":
    raise OSError("disk full")
"""


def peers(count, behaviours, timeout_s=30, missing=(), code=PEER, backend="jax"):
    """Starts workers, all of them once they have imported; returns their processes."""
    sockets = [socket.create_server(("127.0.0.1", 0)) for _ in range(count)]
    addresses = [f"127.0.0.1:{s.getsockname()[1]}" for s in sockets]
    for s in sockets:
        s.close()
    workers = {
        index: subprocess.Popen(
            [sys.executable, "-c", IMPORTED + code, str(timeout_s), behaviours[index]],
            cwd=ROOT,
            env={
                **os.environ,
                "TF_CONFIG": tf_config(addresses, index),
                "TF_ENABLE_ONEDNN_OPTS": "0",
                "KERAS_BACKEND": backend,
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
        )
        for index in range(count)
        if index not in missing
    }
    for process in workers.values():
        assert process.stdout.readline() == "ready\n", process.stderr.read()
    for process in workers.values():
        process.stdin.write("\n")
        process.stdin.flush()
    return addresses, workers


@pytest.mark.slow
def test_workers_agree_and_part():
    addresses, workers = peers(3, ["end"] * 3)
    for process in workers.values():
        output, errors = process.communicate(timeout=120)
        assert process.returncode == 0, errors
        assert "Lost" not in errors
        assert output.strip() == (
            "All workers must have the same first step. Received: "
            "worker 0: 0, worker 1: 1, worker 2: 2"
        )


@pytest.mark.slow
def test_workers_that_cannot_be_reached_are_named():
    addresses, workers = peers(3, ["end"] * 3, timeout_s=5, missing=[1])
    for index, other in ((0, 2), (2, 0)):
        output, errors = workers[index].communicate(timeout=120)
        assert workers[index].returncode == 3, errors
        assert f"Worker {index} waited 5 s for the others." in output
        assert f"Reached: worker {other} ({addresses[other]})." in output
        assert f"Not reached: worker 1 ({addresses[1]})." in output


def errors_of_the_loss(workers, lost_at):
    """What the first of two workers wrote when it ended, within a minute of the second."""
    _, errors = workers[0].communicate(timeout=120)
    assert time.monotonic() - lost_at < 60
    workers[1].communicate(timeout=120)
    assert workers[0].returncode == 1 and workers[1].returncode != 0
    return errors


@pytest.mark.slow
def test_a_lost_worker_ends_those_that_wait_for_it():
    """Blocked in something that never fails by itself, as a collective may be."""
    killed, failed = peers(2, ["wait", "wait"]), peers(2, ["wait", "fail"])
    for _, workers in (killed, failed):
        for process in workers.values():
            process.stdout.readline()  # after `agree`
    killed[1][1].kill()
    lost_at = time.monotonic()
    for addresses, workers in (killed, failed):
        errors = errors_of_the_loss(workers, lost_at)
        assert f"Lost worker 1 ({addresses[1]})" in errors
        assert "Start all workers again with the same command: the run continues" in errors


# A run of two workers, one of which is killed

TRAINER = """
import keras
import numpy as np

distribution = devices.start("multi_worker", worker_timeout_s=60)
from tests.engine.model_test import Duel, batch_of

with distribution.scope():
    model = Duel()
    model.compile(keras.optimizers.SGD(1e-6))


class Tell(keras.callbacks.Callback):
    def on_train_batch_end(self, batch, logs=None):
        if batch == 20:
            print("training", flush=True)


batches = batch_of(x=np.ones(4000).tolist())
with distribution.watch():
    model.fit(batches, batch_size=4, epochs=10000, verbose=0, callbacks=[Tell()])
"""


@pytest.mark.slow
def test_a_worker_killed_in_training_ends_the_other():
    addresses, workers = peers(2, ["", ""], code=TRAINER, backend="tensorflow")
    for process in workers.values():
        while "training" not in process.stdout.readline():
            assert process.poll() is None, process.stderr.read()
    workers[1].kill()
    errors = errors_of_the_loss(workers, time.monotonic())
    assert f"WorkerLostError: Lost worker 1 ({addresses[1]})" in errors


# JAX, on a machine without TensorFlow

JAX = """
import json, sys
for name in ("tensorflow", "tensorflow_datasets"):
    sys.modules[name] = None

import numpy as np

import keras_pixdt
from keras_pixdt import data, metrics
from keras_pixdt.training import devices

errors = []


def refused(call):
    try:
        call()
    except (ValueError, RuntimeError) as error:
        errors.append(str(error))


distribution = devices.start("mirrored", replicas=2)
refused(lambda: devices.start("tpu"))
with distribution.scope():
    model = keras_pixdt.PixelDTGAN(16, width=1 / 64)
    model.compile("sgd", metrics=[metrics.RootMeanSquaredError()])
levels = np.zeros((7, 16, 16, 3), "uint8")
ids = np.arange(7)
pairs = data.PairSet(levels, levels, ids, ids, ids)
refused(lambda: model.fit(data.triplets(pairs, 3), verbose=0))
model.fit(data.triplets(pairs, 4), shuffle=False, verbose=0)
model.evaluate(distribution.feed(data.triplets(pairs, 4, drop_remainder=False)), verbose=0)
shape = model.predict(data.to_float(levels), batch_size=4, verbose=0).shape
devices._started.clear()
refused(lambda: devices.start("mirrored", replicas=3))
refused(lambda: devices.start("tpu"))
print(json.dumps([distribution.replicas, len(model.weights[0].value.devices()), shape, errors]))
"""


@pytest.mark.slow
def test_jax_without_tensorflow():
    done = subprocess.run(
        [sys.executable, "-c", JAX],
        cwd=ROOT,
        # Few steps: compiling takes longer than they do.
        env={
            **os.environ,
            "KERAS_BACKEND": "jax",
            "JAX_PLATFORMS": "cpu",
            "JAX_DISABLE_MOST_OPTIMIZATIONS": "1",
        },
        capture_output=True,
        text=True,
        timeout=500,
    )
    assert done.returncode == 0, done.stderr
    replicas, devices, shape, errors = json.loads(done.stdout.splitlines()[-1])
    assert (replicas, devices, shape) == (2, 2, [7, 16, 16, 3])
    assert "'mirrored', replicas=2" in errors[0]
    assert "2 replicas" in errors[1] and "Received: 3. Nearest: 2 or 4" in errors[1]
    assert "3 devices of the CPU were asked for after jax had begun to compute" in errors[2]
    assert "found no TPU" in errors[3]


# The example


def example(*options, **variables):
    return subprocess.run(
        [sys.executable, str(ROOT / "examples" / "multi_worker.py"), *options],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=500,
    )


@pytest.mark.slow
def test_the_example_ends_all_workers_when_one_fails():
    done = example("--workers", "1", "--products", "1")  # too few for a batch
    assert done.returncode != 0
    assert "ValueError" in done.stdout

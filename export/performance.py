"""The cost of running a TFLite file: time, memory, and how much of it XNNPACK computes."""

from __future__ import annotations

import functools
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import keras
import numpy as np
from ai_edge_litert.interpreter import Interpreter

from export.runtime import SIGNATURE, load_tflite
from export.verification import ExportError
from keras_pixdt.data.images import to_float

_ROUNDS = 9
_KERAS = ("keras", "")  # among variants and numbers of threads
_THREADS = {"one_thread": 1, "two_threads": 2}


def latencies(
    files: Mapping[str, Path], network: keras.Model, image: np.ndarray, signature: str = SIGNATURE
) -> tuple[float, dict[str, dict[str, float]]]:
    """Times files and Keras in turns, so that other work on the machine slows all of them down.

    Args:
        files: variant -> TFLite file.
        network: the Keras model of the signature.
        image: uint8 (s, s, 3).
        signature: the signature that draws the image.

    Returns:
        Median milliseconds of Keras' `predict` for the image. For each variant, the same on one
        thread and on two (`one_thread_ms`, `two_threads_ms`), and the ratio of Keras' time to it
        (`one_thread_speedup`, `two_threads_speedup`).
    """
    predict = functools.partial(network.predict, to_float(image[None]), verbose=0)
    calls: dict[tuple[str, str], Callable[[], object]] = {_KERAS: predict}
    for variant, path in files.items():
        for threads, count in _THREADS.items():
            model = load_tflite(path, count)
            calls[variant, threads] = functools.partial(model.run, signature, image)
    seconds: dict[tuple[str, str], list[float]] = {call: [] for call in calls}
    for repeat in range(_ROUNDS + 1):
        for call, run in calls.items():
            start = time.perf_counter()
            run()
            if repeat:  # the first call compiles or allocates
                seconds[call].append(time.perf_counter() - start)
    median = {call: 1e3 * statistics.median(times) for call, times in seconds.items()}
    keras_ms = median.pop(_KERAS)
    measured: dict[str, dict[str, float]] = {variant: {} for variant in files}
    for (variant, threads), ms in median.items():
        measured[variant][f"{threads}_ms"] = round(ms, 3)
        measured[variant][f"{threads}_speedup"] = round(keras_ms / ms, 2)
    return round(keras_ms, 3), measured


def delegation(content: bytes) -> dict[str, Any]:
    """How much of a model's first graph XNNPACK, the fast path on a CPU, takes over.

    TFLite replaces the operations that XNNPACK takes over by nodes named DELEGATE, without listing
    them. They are the operations between such a node's inputs and outputs.

    Args:
        content: a TFLite model.

    Returns:
        `operations` in the graph, how many are `inside`, the `share`, the number of
        `partitions`, and how often each operation is `outside`. The DEQUANTIZE operations of
        float16 weights count too; they form their own partition, which runs once.
    """
    interpreter = Interpreter(model_content=content)
    interpreter.allocate_tensors()
    nodes = interpreter._get_ops_details()  # there is no public way
    operations = [node for node in nodes if node["op_name"] != "DELEGATE"]
    delegates = [node for node in nodes if node["op_name"] == "DELEGATE"]
    maker = {tensor: i for i, node in enumerate(operations) for tensor in node["outputs"]}
    inside: set[int] = set()
    for delegate in delegates:
        ends, pending = set(delegate["inputs"]), list(delegate["outputs"])
        while pending:
            tensor = pending.pop()
            if tensor in ends or maker.get(tensor) in inside or tensor not in maker:
                continue
            inside.add(maker[tensor])
            pending += list(operations[maker[tensor]]["inputs"])
    outside = [node["op_name"] for i, node in enumerate(operations) if i not in inside]
    return {
        "operations": len(operations),
        "inside": len(inside),
        "share": round(len(inside) / len(operations), 3),
        "partitions": len(delegates),
        "outside": {name: outside.count(name) for name in sorted(set(outside))},
    }


_MEMORY = """
import sys, resource, numpy
from ai_edge_litert.interpreter import Interpreter
run = Interpreter(sys.argv[1], num_threads=1).get_signature_runner(sys.argv[2])
(name, details), = run.get_input_details().items()
for _ in range(3):
    run(**{name: numpy.zeros(details["shape"], details["dtype"])})
try:
    with open("/proc/self/status") as status:
        peak = next(int(line.split()[1]) for line in status if line.startswith("VmHWM"))
except OSError:
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(peak)
"""


def peak_memory_mb(path: Path, signature: str = SIGNATURE) -> float:
    """Peak memory, in MB, of a process that only runs a signature of a file.

    This includes Python, NumPy and the interpreter, about 40 MB. Linux reports it for the process
    itself; `getrusage` there includes the process that started it.
    """
    command = [sys.executable, "-c", _MEMORY, str(path), signature]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    if done.returncode:
        raise ExportError(f"{path.name} does not run in a process of its own: {done.stderr[-500:]}")
    return round(int(float(done.stdout)) * 1024 / 1e6, 1)

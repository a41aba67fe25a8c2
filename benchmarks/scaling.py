"""What a second worker costs: seconds per step of one worker and of two, on this machine.

    python benchmarks/scaling.py --output runs/benchmarks/scaling.json

Both cases have the same batch for each worker, so two workers train twice the images in a step; a
step of theirs would take as long as that of one if talking cost nothing. Each worker, also the
single one, is bound to a core of its own and computes with one thread: two workers that share
cores would else be compared with one that had all of them. They talk over loopback, which is
faster than a network between machines and takes its time from the same cores.

All workers are started once and measured in turns; each figure is the median over the turns.
"""

from __future__ import annotations

import argparse
import json
import os
import pathlib
import socket
import statistics
import subprocess
import sys
import time

import _common

CASES = (1, 2)  # workers


def measure(arguments: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Returns median, least and greatest seconds per step of each case."""
    cases = {count: _start(count, arguments) for count in CASES}
    seconds: dict[int, list[float]] = {count: [] for count in CASES}
    try:
        for workers in cases.values():
            for worker in workers:
                _read(worker)  # ready
        for _ in range(arguments.repeats):
            for count, workers in cases.items():
                for worker in workers:
                    worker.stdin.write("go\n")
                    worker.stdin.flush()
                seconds[count].append(max(float(_read(worker)) for worker in workers))
    finally:
        for workers in cases.values():
            for worker in workers:
                worker.kill()
    return {
        str(count): {
            "seconds_per_step": statistics.median(values),
            "least": min(values),
            "greatest": max(values),
            "images_per_second": count * arguments.batch_size / statistics.median(values),
        }
        for count, values in seconds.items()
    }


def _start(count: int, arguments: argparse.Namespace) -> list[subprocess.Popen[str]]:
    sockets = [socket.create_server(("localhost", 0)) for _ in range(count)]  # free ports
    addresses = [f"localhost:{s.getsockname()[1]}" for s in sockets]
    for s in sockets:
        s.close()
    options = ["--width", arguments.width, "--batch-size", arguments.batch_size]
    options += ["--image-size", arguments.image_size, "--steps", arguments.steps]
    return [
        subprocess.Popen(
            [sys.executable, __file__, "--worker", str(index), *map(str, options)],
            env={
                **os.environ,
                "TF_ENABLE_ONEDNN_OPTS": "0",
                "TF_CONFIG": json.dumps(
                    {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
                ),
            },
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        for index in range(count)
    ]


def _read(worker: subprocess.Popen[str]) -> str:
    line = worker.stdout.readline() if worker.stdout else ""
    if not line:
        sys.exit(f"A worker ended with status {worker.wait()}")
    return line


def work(arguments: argparse.Namespace) -> None:
    """One worker: trains `steps` steps whenever it reads a line, and prints seconds per step."""
    os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[arguments.worker]})
    import tensorflow as tf

    tf.config.threading.set_intra_op_parallelism_threads(1)
    import keras
    import numpy as np

    from keras_pixdt import PixelDTGAN, data
    from keras_pixdt.training import devices

    alone = len(json.loads(os.environ["TF_CONFIG"])["cluster"]["worker"]) == 1
    distribution = devices.start("none" if alone else "multi_worker")
    batch_size = arguments.batch_size * distribution.workers
    # One batch more than is timed, since the clock starts at the end of the first.
    rows = np.arange(batch_size * (arguments.steps + 1))
    shape = (len(rows), arguments.image_size, arguments.image_size, 3)
    levels = np.random.default_rng(0).integers(0, 256, shape, dtype="uint8")
    batches = data.triplets(data.PairSet(levels, levels, rows, rows, rows), batch_size)
    with distribution.scope():
        model = PixelDTGAN(arguments.image_size, arguments.width)
        model.compile(keras.optimizers.SGD(2e-4, momentum=0.5))

    class Clock(keras.callbacks.Callback):
        def on_train_begin(self, logs: dict[str, float] | None = None) -> None:
            self.times: list[float] = []

        def on_train_batch_end(self, batch: int, logs: dict[str, float] | None = None) -> None:
            self.times.append(time.perf_counter())

    clock = Clock()

    def train() -> float:
        model.fit(distribution.feed(batches), shuffle=False, verbose=0, callbacks=[clock])
        return (clock.times[-1] - clock.times[0]) / arguments.steps

    train()  # traces
    print("ready", flush=True)
    while sys.stdin.readline():
        print(train(), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="Seconds per step of one worker and of two.")
    parser.add_argument("--width", type=float, default=0.125)
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=32, help="of each worker")
    parser.add_argument("--steps", type=int, default=10, help="in each turn")
    parser.add_argument("--repeats", type=int, default=5, help="turns")
    parser.add_argument("--output", type=pathlib.Path, help="JSON file to write")
    parser.add_argument("--worker", type=int, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.worker is not None:
        work(arguments)
        return
    if not hasattr(os, "sched_setaffinity") or len(os.sched_getaffinity(0)) < max(CASES):
        sys.exit(f"This needs Linux and {max(CASES)} cores, one for each worker.")
    results = measure(arguments)
    one, two = (results[str(count)]["seconds_per_step"] for count in CASES)
    print(f"{'workers':>7} {'s/step':>8} {'least':>8} {'greatest':>8} {'images/s':>9}")
    for count, result in results.items():
        print(
            f"{count:>7} {result['seconds_per_step']:>8.3f} {result['least']:>8.3f} "
            f"{result['greatest']:>8.3f} {result['images_per_second']:>9.1f}"
        )
    print(f"two workers against one: {1000 * (two - one):+.0f} ms a step ({two / one - 1:+.0%})")
    report = {"workers": results, "overhead_seconds_per_step": two - one}
    del arguments.worker
    _common.write_json(
        arguments.output, report, vars(arguments), ("keras", "tensorflow", "keras-pixdt")
    )


if __name__ == "__main__":
    main()

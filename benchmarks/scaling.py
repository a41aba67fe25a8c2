"""What a second worker costs: seconds per step of one worker and of two, on this machine.

    python benchmarks/scaling.py --output runs/benchmarks/scaling.json

Each worker has the same batch in both cases, so two workers train on twice as many images per step.
If communication cost nothing, their step would take as long as one worker's. Each worker, the
single one too, is bound to a core of its own and computes with one thread: otherwise two workers
that share cores would be compared with one that has all of them. They communicate over loopback,
which is faster than a network between machines but uses the same cores.

All workers are started once and measured in turns; each figure is the median over the turns.
"""

from __future__ import annotations

import argparse
import contextlib
import functools
import itertools
import json
import os
import socket
import statistics
import sys
import time
from collections.abc import Sequence

import _common

CASES = (1, 2)  # workers


def measure(arguments: argparse.Namespace) -> dict[str, dict[str, float]]:
    """Returns median, least and greatest seconds per step of each case."""
    workers: dict[int, list[_common.Process]] = {}
    try:
        for count in CASES:
            addresses = [f"localhost:{port}" for port in _free_ports(count)]
            workers[count] = [
                _common.Process(Worker, index, addresses, arguments, wait=False)
                for index in range(count)
            ]
        for worker in itertools.chain(*workers.values()):
            worker.answer()  # ready
        calls = {count: functools.partial(_step, own) for count, own in workers.items()}
        seconds = _common.in_turns(calls, arguments.repeats)
    finally:
        for worker in itertools.chain(*workers.values()):
            worker.end()
    return {
        str(count): {
            "seconds_per_step": statistics.median(values),
            "least": min(values),
            "greatest": max(values),
            "images_per_second": count * arguments.batch_size / statistics.median(values),
        }
        for count, values in seconds.items()
    }


def _free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        sockets = [
            stack.enter_context(socket.create_server(("localhost", 0))) for _ in range(count)
        ]
        return [s.getsockname()[1] for s in sockets]


def _step(workers: Sequence[_common.Process]) -> float:
    """Seconds per step of the slowest of workers that train together."""
    for worker in workers:
        worker.tell("train")
    return max(worker.answer() for worker in workers)


class Worker:
    """One of the workers at `addresses`; `train` trains so many steps on one core."""

    def __init__(self, index: int, addresses: list[str], arguments: argparse.Namespace) -> None:
        os.sched_setaffinity(0, {sorted(os.sched_getaffinity(0))[index]})
        task = {"cluster": {"worker": addresses}, "task": {"type": "worker", "index": index}}
        os.environ |= {"TF_CONFIG": json.dumps(task), "TF_ENABLE_ONEDNN_OPTS": "0"}
        import tensorflow as tf

        tf.config.threading.set_intra_op_parallelism_threads(1)
        import keras
        import numpy as np

        from keras_pixdt import PixelDTGAN, data
        from keras_pixdt.training import devices

        self._steps = arguments.steps
        self._distribution = devices.start("none" if len(addresses) == 1 else "multi_worker")
        batch_size = arguments.batch_size * self._distribution.workers
        # One batch more than is timed, since the clock starts at the end of the first.
        rows = np.arange(batch_size * (arguments.steps + 1))
        shape = (len(rows), arguments.image_size, arguments.image_size, 3)
        levels = np.random.default_rng(0).integers(0, 256, shape, dtype="uint8")
        self._batches = data.triplets(data.PairSet(levels, levels, rows, rows, rows), batch_size)
        with self._distribution.scope():
            self._model = PixelDTGAN(arguments.image_size, arguments.width)
            self._model.compile(keras.optimizers.SGD(2e-4, momentum=0.5))
        self.train()  # traces

    def train(self) -> float:
        """Seconds per step."""
        import keras

        times: list[float] = []
        clock = keras.callbacks.LambdaCallback(
            on_train_batch_end=lambda batch, logs: times.append(time.perf_counter())
        )
        batches = self._distribution.feed(self._batches)
        self._model.fit(batches, shuffle=False, verbose=0, callbacks=[clock])
        return (times[-1] - times[0]) / self._steps


def main() -> None:
    parser = _common.parser(__doc__)
    parser.add_argument("--width", type=float, default=0.125)
    parser.add_argument("--image-size", type=int, default=64)
    parser.add_argument("--batch-size", type=int, default=32, help="of each worker")
    parser.add_argument("--steps", type=int, default=10, help="in each turn")
    parser.add_argument("--repeats", type=int, default=5, help="turns")
    arguments = parser.parse_args()
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
    _common.write_json(arguments, report, ("keras", "tensorflow", "keras-pixdt"))


if __name__ == "__main__":
    main()

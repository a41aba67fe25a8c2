"""Time by operation, from the profiler of each framework."""

from __future__ import annotations

import collections
import pathlib
import re
import tempfile
from collections.abc import Callable


def tf_operations(run: Callable[[], None], steps: int, accelerated: bool) -> dict[str, float]:
    """TensorFlow's operations -> seconds of a step, from the trace of its executors.

    Operations that run at the same time count each for itself, so that the sum can exceed the
    step's time.
    """
    import tensorflow as tf
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    with tempfile.TemporaryDirectory() as folder:
        with tf.profiler.experimental.Profile(folder):
            run()
        (path,) = pathlib.Path(folder).rglob("*.xplane.pb")
        space = xplane_pb2.XSpace.FromString(path.read_bytes())
    seconds: dict[str, float] = collections.Counter()
    for plane in space.planes:
        for line in plane.lines:
            for event in line.events:
                name = plane.event_metadata[event.metadata_id].name
                print(plane.name, line.name, name, event.duration_ps)
    return {name: value / steps for name, value in seconds.items()}


def torch_operations(run: Callable[[], None], steps: int, accelerated: bool) -> dict[str, float]:
    """PyTorch's operations, on a GPU its kernels -> seconds of a step, without what they call."""
    from torch import profiler

    activities = [profiler.ProfilerActivity.CPU]
    if accelerated:
        activities.append(profiler.ProfilerActivity.CUDA)
    with profiler.profile(activities=activities) as trace:
        run()
    seconds = {}
    for event in trace.key_averages():
        spent = event.self_device_time_total if accelerated else event.self_cpu_time_total
        if spent:
            seconds[event.key] = spent / 1e6 / steps
    return seconds

"""Where the time of a step goes, from the profiler of each framework.

Operations that run at the same time are all counted, so their sum can exceed the step's time.
"""

from __future__ import annotations

import collections
import pathlib
import re
import tempfile
from collections.abc import Callable, Iterable, Sequence
from typing import Any

_TF_NODE = re.compile(r"(?P<place>[\w/.-]+):(?P<kind>_?[A-Z]\w*)")
_XLA_OPERATION = re.compile(r"(?P<kind>[a-z][a-z_-]*)[\d._]*")


def summary(spent: Iterable[tuple[str, str, float]], steps: int) -> dict[str, dict[str, float]]:
    """Adds up what was recorded.

    Args:
        spent: (kind of operation, which one of it, seconds).
        steps: of how many training steps.

    Returns:
        Kind -> seconds of a step, and operation -> seconds of a step.
    """
    kinds: dict[str, float] = collections.defaultdict(float)
    operations: dict[str, float] = collections.defaultdict(float)
    for kind, place, seconds in spent:
        kinds[kind] += seconds / steps
        operations[f"{kind} {place}" if place else kind] += seconds / steps
    return {"kinds": dict(kinds), "operations": dict(operations)}


def tf_operations(run: Callable[[], None], steps: int) -> dict[str, dict[str, float]]:
    """Profiles TensorFlow: kernels of a GPU if it has one, else the nodes of the graph."""
    import tensorflow as tf
    from tensorflow.tsl.profiler.protobuf import xplane_pb2

    with tempfile.TemporaryDirectory() as folder:
        with tf.profiler.experimental.Profile(folder):
            run()
        space = xplane_pb2.XSpace.FromString(_trace(folder).read_bytes())
    events = [
        (plane.name, line.name, plane.event_metadata[e.metadata_id].name, e.duration_ps / 1e12)
        for plane in space.planes
        for line in plane.lines
        for e in line.events
    ]
    return summary(_xplane(events, "tf_"), steps)


def jax_operations(run: Callable[[], None], steps: int) -> dict[str, dict[str, float]]:
    """Profiles JAX: kernels of a GPU if it has one, else what XLA runs on the CPU."""
    import jax

    with tempfile.TemporaryDirectory() as folder:
        with jax.profiler.trace(folder):
            run()
        profile = jax.profiler.ProfileData.from_file(str(_trace(folder)))
    events = [
        (plane.name, line.name, event.name, event.duration_ns / 1e9)
        for plane in profile.planes
        for line in plane.lines
        for event in line.events
    ]
    return summary(_xplane(events, "tf_XLA"), steps)


def _trace(folder: str) -> pathlib.Path:
    (path,) = pathlib.Path(folder).rglob("*.xplane.pb")
    return path


def _xplane(
    events: Sequence[tuple[str, str, str, float]], threads: str
) -> list[tuple[str, str, float]]:
    """(plane, line, event, seconds) -> (kind, operation, seconds) of what computes."""
    kernels = [e for e in events if "/device:GPU" in e[0] and e[1].startswith("Stream")]
    if kernels:
        return [(re.sub(r"[\d._]+$", "", name), name, seconds) for *_, name, seconds in kernels]
    spent = []
    for _, line, name, seconds in events:
        if not line.startswith(threads):
            continue
        if match := _TF_NODE.fullmatch(name):
            spent.append((match["kind"], match["place"], seconds))
        elif threads != "tf_" and (match := _XLA_OPERATION.fullmatch(name)):
            spent.append((match["kind"], name, seconds))
    return spent


def torch_operations(
    run: Callable[[], None], steps: int, accelerated: bool
) -> dict[str, dict[str, float]]:
    """Profiles PyTorch: kernels of a GPU, else operations without those that they call."""
    from torch import profiler
    from torch.autograd import DeviceType

    activities = [profiler.ProfilerActivity.CPU]
    if accelerated:
        activities.append(profiler.ProfilerActivity.CUDA)
    with profiler.profile(activities=activities, record_shapes=not accelerated) as trace:
        run()
    spent: list[tuple[str, str, float]] = []
    event: Any
    for event in trace.key_averages(group_by_input_shape=not accelerated):
        if not accelerated:
            shapes = [tuple(shape) for shape in event.input_shapes if shape]
            spent.append((event.key, " ".join(map(str, shapes)), event.self_cpu_time_total / 1e6))
        elif event.device_type == DeviceType.CUDA:
            spent.append((event.key, "", event.self_device_time_total / 1e6))
    return summary(spent, steps)

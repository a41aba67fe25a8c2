"""Cars: a body, a cabin with windows, wheels, and lights that tell front from rear."""

from __future__ import annotations

import dataclasses
import random

import numpy as np

from keras_pixdt.drawn.azimuth import mesh
from keras_pixdt.drawn.azimuth.mesh import Mesh

_PAINTS = (
    (0.78, 0.10, 0.10), (0.12, 0.25, 0.62), (0.10, 0.42, 0.26), (0.86, 0.68, 0.12),
    (0.82, 0.82, 0.81), (0.62, 0.64, 0.67), (0.24, 0.25, 0.28), (0.84, 0.42, 0.10),
    (0.42, 0.66, 0.82), (0.48, 0.12, 0.20), (0.70, 0.64, 0.50), (0.14, 0.50, 0.54),
    (0.44, 0.28, 0.56), (0.52, 0.62, 0.34),
)  # fmt: skip
_GLASS = (0.16, 0.20, 0.25)
_RUBBER = (0.10, 0.10, 0.11)
_TRIM = (0.16, 0.16, 0.17)
_LAMP = (0.97, 0.96, 0.86)
_REAR_LAMP = (0.75, 0.05, 0.05)
_PLATE = (0.93, 0.93, 0.88)

# For each body: length, width, height of the belt (below the windows) and of the roof, in m, and
# the ends of the cabin along its length, from -0.5 (rear) to 0.5 (front): rear end at the belt and
# at the roof, front end at the roof and at the belt.
_BODIES = {
    "sedan": ((4.3, 4.8), (1.70, 1.85), (0.88, 0.98), (1.36, 1.48), (-0.38, -0.21, 0.02, 0.20)),
    "hatchback": ((3.6, 4.1), (1.62, 1.78), (0.90, 1.00), (1.42, 1.56), (-0.48, -0.36, 0.07, 0.24)),
    "wagon": ((4.4, 4.8), (1.72, 1.85), (0.90, 0.98), (1.42, 1.52), (-0.49, -0.43, 0.04, 0.20)),
    "suv": ((4.2, 4.8), (1.80, 1.98), (1.08, 1.20), (1.66, 1.84), (-0.48, -0.41, 0.06, 0.20)),
    "van": ((4.3, 4.8), (1.76, 1.92), (1.05, 1.15), (1.78, 1.98), (-0.49, -0.46, 0.20, 0.37)),
    "coupe": ((4.0, 4.5), (1.74, 1.90), (0.80, 0.88), (1.18, 1.28), (-0.42, -0.18, -0.04, 0.14)),
    "pickup": ((4.7, 5.2), (1.78, 1.95), (1.05, 1.15), (1.62, 1.76), (-0.10, -0.07, 0.08, 0.20)),
}
_PANES = {"sedan": 2, "hatchback": 2, "wagon": 3, "suv": 3, "van": 1, "coupe": 1, "pickup": 1}
# Share of the cabin's slope at which the round edge of the roof begins.
_EAVES = 0.87


@dataclasses.dataclass(frozen=True)
class _Size:
    """Measures of a car, m."""

    kind: str
    length: float
    half_width: float
    belt: float
    roof: float
    cabin: tuple[float, ...]  # y of rear belt, rear roof, front roof, front belt
    wheel: float
    bottom: float
    nose: float  # height of the bonnet in front
    tail: float  # height of the body behind

    @classmethod
    def sample(cls, rng: random.Random) -> _Size:
        kind = rng.choice(tuple(_BODIES))
        *bounds, cabin = _BODIES[kind]
        length, width, belt, roof = (rng.uniform(*bound) for bound in bounds)
        shift = rng.uniform(-0.015, 0.015)
        high = kind in ("suv", "pickup")
        wheel = rng.uniform(0.37, 0.42) if high else rng.uniform(0.30, 0.35)
        return cls(
            kind=kind,
            length=length,
            half_width=width / 2,
            belt=belt,
            roof=roof,
            cabin=tuple(length * (share + shift) for share in cabin),
            wheel=wheel,
            bottom=wheel * (rng.uniform(0.7, 0.85) if high else rng.uniform(0.5, 0.65)),
            nose=belt * rng.uniform(0.74, 0.86),
            tail=belt * (1.0 if kind == "pickup" else rng.uniform(0.92, 0.99)),
        )


def build(rng: random.Random) -> Mesh:
    """Draws a car at random."""
    size = _Size.sample(rng)
    paint = np.clip(np.array(rng.choice(_PAINTS)) + rng.uniform(-0.06, 0.06), 0.05, 0.86)
    roof = paint if rng.random() < 0.8 else np.full(3, rng.choice((0.12, 0.82)))
    parts = [_body(size, paint), *_cabin(rng, size, paint, roof), *_wheels(rng, size)]
    return mesh.join([*parts, *_fittings(rng, size, paint)])


def _body(size: _Size, paint: np.ndarray) -> Mesh:
    """The car up to the belt."""
    length, nose, tail, bottom = size.length, size.nose, size.tail, size.bottom
    bonnet = max(size.cabin[3], 0.28 * length)
    # From rear to front: where, share of the width, top, bottom.
    stations = [
        (-0.500 * length, 0.80, tail - 0.22, bottom + 0.12),
        (-0.488 * length, 0.90, tail - 0.06, bottom + 0.05),
        (-0.455 * length, 0.97, tail, bottom),
        (-0.300 * length, 1.00, size.belt, bottom),
        (0.100 * length, 1.00, size.belt, bottom),
        (bonnet, 0.99, size.belt * 0.98, bottom),
        (0.430 * length, 0.95, nose + 0.04, bottom),
        (0.480 * length, 0.88, nose - 0.02, bottom + 0.05),
        (0.500 * length, 0.78, nose - 0.16, bottom + 0.12),
    ]
    rings = []
    for y, share, top, low in stations:
        w = size.half_width * share
        right = [(0.90 * w, low), (w, low + 0.06), (w, low + 0.55 * (top - low))]
        right += [(0.97 * w, top - 0.09), (0.90 * w, top - 0.02), (0.70 * w, top)]
        rings.append([(x, y, z) for x, z in [*right, *((-x, z) for x, z in right[::-1])]])
    return mesh.loft(np.array(rings), paint)


def _cabin(rng: random.Random, size: _Size, paint: np.ndarray, roof: np.ndarray) -> list[Mesh]:
    rear_belt, rear_roof, front_roof, front_belt = size.cabin
    base = size.half_width * rng.uniform(0.88, 0.93)
    top = size.half_width * rng.uniform(0.68, 0.78)

    def extent(up: float) -> tuple[float, float, float]:
        """Half width, rear and front at a share of the slope from the belt to the roof."""
        return (
            base + up * (top - base),
            rear_belt + up * (rear_roof - rear_belt),
            front_belt + up * (front_roof - front_belt),
        )

    rings = []
    for z, up, share in (
        (size.belt - 0.12, 0.0, 1.0),
        (size.belt - 0.01, 0.0, 1.0),
        (size.roof - 0.07, _EAVES, 1.0),
        (size.roof - 0.02, 0.97, 0.96),
        (size.roof, 1.0, 0.86),
    ):
        half, rear, front = extent(up)
        outline = (2 * half * share, (front - rear) * share)
        rings.append(mesh.rectangle((0, (front + rear) / 2, z), outline, 0.12))
    parts = [mesh.loft(np.stack(rings[:3]), paint), mesh.loft(np.stack(rings[2:]), roof)]

    inside = (0.0, (front_roof + rear_roof) / 2, (size.belt + size.roof) / 2)

    def window(*places: tuple[float, float, float]) -> Mesh:
        """A pane between places: shares of the half width, of rear to front, of belt to eaves."""
        points = []
        for x, y, up in places:
            half, rear, front = extent(_EAVES * up)
            z = size.belt - 0.01 + up * (size.roof - 0.06 - size.belt)
            points.append((x * half, rear + y * (front - rear), z))
        return mesh.patch(np.array(points), _GLASS, inside, 0.012)

    for y in (0.0, 1.0):  # rear window and windscreen
        parts.append(window((-0.84, y, 0.1), (0.84, y, 0.1), (0.84, y, 0.94), (-0.84, y, 0.94)))
    # Many vans have no windows at their load.
    start, stop = (0.66, 0.95) if size.kind == "van" and rng.random() < 0.7 else (0.07, 0.94)
    edges = np.linspace(start, stop, _PANES[size.kind] + 1)
    for x in (-1.0, 1.0):
        for a, b in zip(edges[:-1] + 0.012, edges[1:] - 0.012, strict=True):
            parts.append(window((x, a, 0.1), (x, b, 0.1), (x, b, 0.9), (x, a, 0.9)))
    return parts


def _wheels(rng: random.Random, size: _Size) -> list[Mesh]:
    """Wheels, and the dark of the wheel arches behind them."""
    place = size.length * rng.uniform(0.29, 0.32)
    rim = (0.72, 0.73, 0.75) if rng.random() < 0.75 else (0.32, 0.32, 0.34)
    wheel, half = size.wheel, size.half_width
    angle = np.arange(20) * 2 * np.pi / 20
    parts = []
    for x in (-1, 1):
        for y in (-place, place):
            across = y + 1.18 * wheel * np.cos(angle)
            height = np.maximum(wheel + 1.18 * wheel * np.sin(angle), size.bottom + 0.06)
            arch = np.stack([np.full(20, x * half), across, height], axis=1)
            parts.append(mesh.patch(arch, _RUBBER, (0, y, wheel), 0.006))
            inner, tyre, hub = ((x * (half + out), y, wheel) for out in (-0.22, 0.03, 0.04))
            parts.append(mesh.tube(inner, tyre, (wheel, wheel), _RUBBER, 20))
            parts.append(mesh.tube(inner, hub, (0.66 * wheel, 0.5 * wheel), rim, 14))
    return parts


def _fittings(rng: random.Random, size: _Size, paint: np.ndarray) -> list[Mesh]:
    """Lights, mirrors, grille, bumper and plates."""
    half, front, rear = size.half_width, 0.5 * size.length, -0.5 * size.length
    lamp_z, lamp = size.nose - 0.20, rng.uniform(0.10, 0.15)
    round_lamps = rng.random() < 0.35
    parts = []
    for x in (-1, 1):
        if round_lamps:
            behind, ahead = ((x * 0.60 * half, front + at, lamp_z) for at in (-0.35, 0.02))
            parts.append(mesh.tube(behind, ahead, (0.14, 0.13), _LAMP, 14))
        else:
            place = (x * 0.60 * half, front - 0.05, lamp_z)
            parts.append(mesh.box(place, (2.4 * lamp, 0.14, lamp), _LAMP, 0.03))
            place = (x * 0.82 * half, front - 0.12, lamp_z)
            parts.append(mesh.box(place, (0.10, 0.22, lamp), _LAMP, 0.03))
        place = (x * 0.70 * half, rear + 0.05, size.tail - 0.26)
        parts.append(mesh.box(place, (0.24, 0.14, 0.18), _REAR_LAMP, 0.03))
        place = (x * (half + 0.07), size.cabin[3] - 0.09 * size.length, size.belt + 0.06)
        parts.append(mesh.box(place, (0.16, 0.10, 0.12), paint, 0.03))
    grille = (0, front - 0.03, lamp_z - rng.uniform(0.0, 0.06))
    parts.append(mesh.box(grille, (0.62 * half, 0.1, 0.13), _TRIM))
    bumper = (0, front - 0.03, size.bottom + 0.18)
    parts.append(mesh.box(bumper, (1.35 * half, 0.1, 0.10), _TRIM))
    for y in (front + 0.01, rear - 0.005):
        parts.append(mesh.box((0, y, size.bottom + 0.24), (0.5, 0.06, 0.11), _PLATE))
    if size.kind == "pickup":
        start, stop = 0.95 * rear, size.cabin[0] - 0.04
        place = (0, (start + stop) / 2, size.belt)
        bed = mesh.rectangle(place, (1.5 * half, stop - start))
        parts.append(mesh.patch(bed, _TRIM, (0, place[1], 0), 0.012))
    return parts

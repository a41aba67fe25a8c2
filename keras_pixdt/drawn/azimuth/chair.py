"""Chairs: dining chairs, armchairs and office chairs, whose back rest shows where they look."""

from __future__ import annotations

import random

import numpy as np

from keras_pixdt.drawn.azimuth import mesh
from keras_pixdt.drawn.azimuth.mesh import Mesh

_WOODS = (
    (0.55, 0.36, 0.20), (0.72, 0.53, 0.32), (0.35, 0.21, 0.13), (0.20, 0.14, 0.11),
    (0.86, 0.84, 0.80), (0.82, 0.68, 0.46),
)  # fmt: skip
_CLOTHS = (
    (0.66, 0.14, 0.14), (0.16, 0.28, 0.54), (0.22, 0.40, 0.28), (0.80, 0.62, 0.18),
    (0.46, 0.46, 0.48), (0.20, 0.20, 0.22), (0.78, 0.72, 0.62), (0.50, 0.32, 0.48),
    (0.80, 0.42, 0.24), (0.28, 0.54, 0.56),
)  # fmt: skip
_METAL = (0.58, 0.60, 0.63)


def build(rng: random.Random) -> Mesh:
    """Draws a chair at random."""
    return rng.choice((_dining, _dining, _armchair, _office))(rng)


def _vary(rng: random.Random, color: tuple[float, float, float]) -> np.ndarray:
    return np.clip(np.array(color) * rng.uniform(0.88, 1.1), 0.05, 0.92)


def _dining(rng: random.Random) -> Mesh:
    """Four legs, and a back of a panel, slats or rungs between two posts."""
    wood = _vary(rng, rng.choice((*_WOODS, _METAL)))
    cover = wood if rng.random() < 0.4 else _vary(rng, rng.choice(_CLOTHS))
    width, depth = rng.uniform(0.42, 0.52), rng.uniform(0.40, 0.50)
    seat, height = rng.uniform(0.42, 0.48), rng.uniform(0.40, 0.60)
    thickness = rng.uniform(0.04, 0.09)
    leg = rng.uniform(0.018, 0.032)
    splay = rng.uniform(0.0, 0.06)
    lean = rng.uniform(5, 14)
    parts = [mesh.box((0, 0, seat - thickness / 2), (width, depth, thickness), cover, 0.018)]
    x, y = width / 2 - leg - 0.005, depth / 2 - leg - 0.005
    for sx in (-1, 1):
        for sy in (-1, 1):
            foot = (sx * (x + splay), sy * (y + splay), 0.0)
            top = (sx * x, sy * y, seat - thickness / 2)
            parts.append(mesh.tube(foot, top, (leg * 0.75, leg), wood))
    if splay < 0.02:  # stretchers between straight legs
        for sx in (-1, 1):
            ends = ((sx * x, -y, 0.2), (sx * x, y, 0.2))
            parts.append(mesh.tube(*ends, (leg * 0.55, leg * 0.55), wood, 8))

    back: list[Mesh] = []
    style = rng.choice(("panel", "slats", "rungs", "frame"))
    if style != "panel":
        for sx in (-1, 1):
            back.append(mesh.tube((sx * x, 0, -0.03), (sx * x, 0, height), (leg, leg), wood))
        back.append(mesh.box((0, 0, height - 0.03), (2 * x, 1.6 * leg, 0.09), wood, 0.012))
    if style == "panel":
        gap = rng.choice((0.0, 0.12))
        size = (width, 0.05, height - gap)
        back.append(mesh.box((0, 0, gap + size[2] / 2), size, cover, 0.02))
        for sx in (-1, 1):
            back.append(mesh.box((sx * x * 0.7, 0, gap / 2), (0.05, 0.03, gap + 0.06), wood))
    elif style == "slats":
        count = rng.randint(3, 6)
        for sx in np.linspace(-x, x, count + 2)[1:-1]:
            size = (0.5 * width / (count + 1), 0.02, height)
            back.append(mesh.box((float(sx), 0, height / 2 - 0.03), size, wood))
    elif style == "rungs":
        count = rng.randint(2, 3)
        for z in np.linspace(0.1, height - 0.03, count + 1)[:-1]:
            back.append(mesh.box((0, 0, float(z)), (2 * x, 0.025, 0.07), wood, 0.01))
    else:
        size = (2 * x - 0.06, 0.04, height * 0.66)
        back.append(mesh.box((0, 0, height * 0.55), size, cover, 0.018))
    parts.append(mesh.move(mesh.join(back), (0, -y, seat - 0.02), lean))
    if rng.random() < 0.25:
        parts += _arms(wood, x, y, seat, rng.uniform(0.17, 0.22), leg)
    return mesh.join(parts)


def _arms(
    color: np.ndarray, x: float, y: float, seat: float, above: float, radius: float
) -> list[Mesh]:
    parts = []
    for sx in (-1, 1):
        post = ((sx * x, 0.6 * y, seat - 0.03), (sx * x, 0.6 * y, seat + above))
        parts.append(mesh.tube(*post, (radius, radius), color))
        size = (2.2 * radius, 1.8 * y, 0.03)
        parts.append(mesh.box((sx * x, -0.1 * y, seat + above), size, color, 0.012))
    return parts


def _armchair(rng: random.Random) -> Mesh:
    """Upholstered, on short feet."""
    cloth, wood = _vary(rng, rng.choice(_CLOTHS)), _vary(rng, rng.choice(_WOODS))
    cushion = cloth if rng.random() < 0.6 else _vary(rng, rng.choice(_CLOTHS))
    width, depth = rng.uniform(0.74, 0.92), rng.uniform(0.72, 0.84)
    foot, seat = rng.uniform(0.08, 0.16), rng.uniform(0.38, 0.44)
    arm, arm_top = rng.uniform(0.11, 0.18), seat + rng.uniform(0.12, 0.24)
    back = rng.uniform(0.42, 0.62)
    thick = rng.uniform(0.16, 0.22)
    inner = width - 2 * arm
    base = seat - 0.12
    parts = [mesh.box((0, 0, (foot + base) / 2), (width, depth, base - foot), cloth, 0.03)]
    size = (inner - 0.01, depth - thick + 0.02, 0.16)
    parts.append(mesh.box((0, thick / 2 + 0.01, base + 0.07), size, cushion, 0.05))
    for sx in (-1, 1):
        place = (sx * (width - arm) / 2, 0.0, (base + arm_top) / 2 - 0.04)
        parts.append(mesh.box(place, (arm, depth, arm_top - base + 0.08), cloth, 0.05))
        for y in (-depth / 2 + 0.08, depth / 2 - 0.08):
            x = sx * (width / 2 - 0.08)
            parts.append(mesh.tube((x, y, 0), (x, y, foot + 0.03), (0.02, 0.032), wood))
    rest = mesh.box((0, 0, back / 2), (width if back > 0.5 else inner, thick, back), cloth, 0.06)
    parts.append(mesh.move(rest, (0, -depth / 2 + thick / 2, seat - 0.06), rng.uniform(4, 12)))
    if rng.random() < 0.4:  # a cushion at the back
        pillow = mesh.box((0, 0, 0.18), (inner * 0.8, 0.14, 0.32), _vary(rng, rng.choice(_CLOTHS)),
                          0.06)  # fmt: skip
        parts.append(mesh.move(pillow, (0, -depth / 2 + thick + 0.06, seat), 14))
    return mesh.join(parts)


def _office(rng: random.Random) -> Mesh:
    """A seat on a column, with a star of feet on castors."""
    cloth = _vary(rng, rng.choice(_CLOTHS))
    frame = np.array(rng.choice(((0.14, 0.14, 0.15), _METAL)))
    width, depth = rng.uniform(0.46, 0.54), rng.uniform(0.44, 0.52)
    seat, height = rng.uniform(0.46, 0.52), rng.uniform(0.42, 0.68)
    parts = [mesh.box((0, 0, seat), (width, depth, 0.10), cloth, 0.045)]
    parts.append(mesh.tube((0, 0, 0.1), (0, 0, seat), (0.032, 0.028), frame))
    for i in range(5):
        angle = 2 * np.pi * (i / 5 + 0.05)
        x, y = 0.31 * np.sin(angle), 0.31 * np.cos(angle)
        parts.append(mesh.tube((0, 0, 0.13), (x, y, 0.08), (0.035, 0.02), frame, 8))
        parts.append(mesh.ellipsoid((x, y, 0.035), (0.035, 0.035, 0.035), (0.1, 0.1, 0.1), 8))
    rest_width, lift = width * rng.uniform(0.82, 1.0), rng.uniform(0.06, 0.16)
    rest = mesh.box(
        (0, 0, lift + height / 2), (rest_width, rng.uniform(0.07, 0.11), height), cloth, 0.034
    )
    bar = mesh.box((0, -0.03, lift / 2), (0.09, 0.03, lift + 0.2), frame)
    back = mesh.move(mesh.join([rest, bar]), (0, -depth / 2 + 0.02, seat), rng.uniform(3, 12))
    parts.append(back)
    if rng.random() < 0.6:
        parts += _arms(frame, width / 2 + 0.01, depth / 2, seat, rng.uniform(0.18, 0.23), 0.02)
    return mesh.join(parts)

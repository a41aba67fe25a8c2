"""Heads: a skull that is bent into a face, with eyes, ears, hair, neck and collar."""

from __future__ import annotations

import functools
import random
from collections.abc import Sequence
from typing import Any, NamedTuple

import numpy as np

from keras_pixdt.drawn.azimuth import mesh
from keras_pixdt.drawn.azimuth.mesh import Mesh

SKINS = (
    (0.92, 0.76, 0.66), (0.87, 0.68, 0.55), (0.78, 0.58, 0.44), (0.62, 0.43, 0.31),
    (0.46, 0.31, 0.23), (0.90, 0.72, 0.58),
)  # fmt: skip
HAIRS = (
    (0.12, 0.10, 0.09), (0.25, 0.16, 0.10), (0.42, 0.27, 0.15), (0.76, 0.60, 0.34),
    (0.60, 0.28, 0.14), (0.62, 0.61, 0.60),
)  # fmt: skip
STYLES = ("short", "long", "bob", "bald")
_FACES = (0.66, 0.82)  # half the width of a narrow and of a broad head
_MOUTHS = (0.15, 0.29)  # half the width of a small and of a large mouth
_FRAMES = (0.06, 0.06, 0.08)  # of glasses
_IRISES = ((0.30, 0.20, 0.12), (0.22, 0.38, 0.56), (0.28, 0.42, 0.28))
_EYE_WHITE = (0.93, 0.93, 0.92)
_CLOTHES = (
    (0.20, 0.30, 0.52), (0.58, 0.16, 0.18), (0.22, 0.24, 0.26), (0.82, 0.82, 0.80),
    (0.24, 0.44, 0.34), (0.74, 0.60, 0.26), (0.46, 0.34, 0.52),
)  # fmt: skip

# Points around the skull, and rings of them from below to above.
_AROUND, _RINGS = 40, 27


class Traits(NamedTuple):
    """The looks of a person that a simple drawing shows too; all else of a head is left to chance.

    Attributes:
        skin: row of `SKINS`.
        hair: row of `HAIRS`, also of brows and beard.
        style: row of `STYLES`, of the hair.
        beard: 1 with a beard, 0 without.
        glasses: 1 with glasses, 0 without.
        face: 1 if it is broad, 0 if it is narrow.
        mouth: 1 if it is large, 0 if it is small.
    """

    skin: int
    hair: int
    style: int
    beard: int
    glasses: int
    face: int
    mouth: int


# How many values each trait has.
COUNTS = Traits(len(SKINS), len(HAIRS), len(STYLES), 2, 2, len(_FACES), len(_MOUTHS))


def build(rng: random.Random, traits: Traits | None = None) -> Mesh:
    """Draws a head at random.

    Args:
        rng: what is drawn from.
        traits: looks that are not left to chance. Without them there are no glasses.
    """

    def pick(options: Sequence[Any], trait: str) -> Any:
        drawn = rng.choice(options)
        return drawn if traits is None else options[getattr(traits, trait)]

    skin = np.clip(np.array(pick(SKINS, "skin")) * rng.uniform(0.94, 1.05), 0, 0.95)
    hair = np.clip(np.array(pick(HAIRS, "hair")) * rng.uniform(0.85, 1.15), 0, 0.9)
    width = rng.uniform(0.70, 0.80)
    if traits is not None:
        width += _FACES[traits.face] - 0.75  # the middle of what is left to chance
    eye = (width * rng.uniform(0.38, 0.44), rng.uniform(0.06, 0.14))  # x and z
    mouth_z = -rng.uniform(0.54, 0.60)
    skull = _skull(rng, width)
    face = _face(rng, skull, eye, mouth_z)

    colors = np.broadcast_to(skin, face.shape).copy()
    by_chance = rng.random() < 0.3
    if by_chance if traits is None else traits.beard:
        x, y, z = np.moveaxis(skull, -1, 0)
        beard = _step(y, -0.2, 0.5) * np.maximum(
            _step(z, mouth_z + 0.16, mouth_z - 0.04) * _step(np.abs(x), 0.0, 0.3),
            _step(z, mouth_z - 0.05, mouth_z - 0.2),
        )
        colors += 0.8 * beard[..., None] * (hair - skin)
    parts = [mesh.loft(face, colors), *_features(rng, face, eye, mouth_z, skin, hair, traits)]
    for side in (-1, 1):
        ear = (side * width * 0.98, -0.06, eye[1] - 0.12)
        parts.append(mesh.ellipsoid(ear, (0.07, 0.15, rng.uniform(0.20, 0.25)), skin * 0.94))
    style = rng.choice(("short", "short", "short", "long", "long", "bob", "bald"))
    if traits is not None:
        style = STYLES[traits.style]
    if style != "bald":
        parts += _hair(rng, skull, hair, style, width)
    if traits is not None and traits.glasses:
        parts += _glasses(face, eye, width)
    return mesh.join([*parts, *_neck(rng, skin, width)])


def _bump(x: np.ndarray, center: float, width: float) -> np.ndarray:
    return np.exp(-0.5 * ((x - center) / width) ** 2)


def _step(x: np.ndarray, start: float, stop: float) -> np.ndarray:
    """0 before start, 1 beyond stop, smooth between them; start may be the larger one."""
    t = np.clip((x - start) / (stop - start), 0, 1)
    return t * t * (3 - 2 * t)


def _skull(rng: random.Random, width: float) -> np.ndarray:
    """An ellipsoid that narrows to the jaw and is flatter in front: (rings, points, 3)."""
    depth, jaw, chin = rng.uniform(0.86, 0.96), rng.uniform(0.20, 0.36), rng.uniform(0.04, 0.14)
    latitude = np.linspace(-np.pi / 2, np.pi / 2, _RINGS)[:, None]
    longitude = np.arange(_AROUND) * 2 * np.pi / _AROUND  # 0 is the front
    x = width * np.cos(latitude) * np.sin(longitude)
    y = depth * np.cos(latitude) * np.cos(longitude)
    z = 1.02 * np.sin(latitude) + 0 * longitude
    low, front = _step(z, 0.05, -0.95), _step(y, -0.2, 0.5)
    x = x * (1 - jaw * low)
    y = np.where(y > 0, y * (0.92 - 0.06 * _bump(z, 0.3, 0.4)), y * (1 - 0.30 * low))
    y = y + chin * _bump(z, -0.85, 0.16) * front * _bump(x, 0, 0.3) + 0.10 * low * front
    return np.stack([x, y, z], axis=-1)


def _face(
    rng: random.Random, skull: np.ndarray, eye: tuple[float, float], mouth_z: float
) -> np.ndarray:
    """The skull with nose, sockets of the eyes, brows, cheeks and mouth."""
    nose, nose_width = rng.uniform(0.16, 0.27), rng.uniform(0.085, 0.12)
    eye_x, eye_z = eye
    nose_z = eye_z - rng.uniform(0.36, 0.44)
    x, y, z = np.moveaxis(skull, -1, 0)
    # A ridge from between the eyes to the tip, cut off below it.
    ridge = _step(z, eye_z + 0.12, nose_z) * _step(z, nose_z - 0.14, nose_z - 0.02)
    breadth = nose_width * (0.7 + 0.6 * _step(z, eye_z, nose_z))
    relief = nose * ridge * np.exp(-0.5 * (x / breadth) ** 2)
    for side in (-1, 1):
        relief = relief - 0.10 * _bump(x, side * eye_x, 0.15) * _bump(z, eye_z, 0.10)
        relief = relief + 0.05 * _bump(x, side * eye_x, 0.20) * _bump(z, eye_z + 0.2, 0.07)
        relief = relief + 0.04 * _bump(x, side * 0.4, 0.16) * _bump(z, -0.25, 0.14)
    relief = relief + 0.05 * _bump(x, 0, 0.2) * _bump(z, mouth_z, 0.10)
    return np.stack([x, y + _step(y, -0.2, 0.5) * relief, z], axis=-1)


def _features(
    rng: random.Random,
    face: np.ndarray,
    eye: tuple[float, float],
    mouth_z: float,
    skin: np.ndarray,
    hair: np.ndarray,
    traits: Traits | None,
) -> list[Mesh]:
    """Eyes, brows and lips."""
    front = functools.partial(_front, face)
    iris, brow = rng.choice(_IRISES), rng.uniform(0.020, 0.040)
    eye_x, eye_z = eye
    parts = []
    for x in (-eye_x, eye_x):
        y = front(x, eye_z)
        parts.append(mesh.ellipsoid((x, y - 0.05, eye_z), (0.135, 0.10, 0.075), _EYE_WHITE))
        parts.append(mesh.ellipsoid((x, y + 0.02, eye_z), (0.062, 0.05, 0.062), iris))
        place = (x, front(x, eye_z + 0.17) - 0.035, eye_z + 0.18)
        parts.append(mesh.ellipsoid(place, (0.15, 0.06, brow), hair * 0.8))
    lip_width = rng.uniform(0.18, 0.25)
    if traits is not None:
        lip_width += _MOUTHS[traits.mouth] - 0.215  # the middle of what is left to chance
    radii = (lip_width, 0.07, rng.uniform(0.03, 0.055))
    lips = skin * np.array([0.86, 0.56, 0.56])
    parts.append(mesh.ellipsoid((0, front(0, mouth_z) - 0.03, mouth_z), radii, lips))
    return parts


def _front(face: np.ndarray, x: float, z: float) -> float:
    """The face's y at a place."""
    points = face[face[..., 1] > 0]
    return float(points[np.argmin((points[:, 0] - x) ** 2 + (points[:, 2] - z) ** 2), 1])


def _glasses(face: np.ndarray, eye: tuple[float, float], width: float) -> list[Mesh]:
    """Two round rims, the bridge between them, and bars to the ears."""
    eye_x, eye_z = eye
    radius, thick = min(0.24, eye_x - 0.06), 0.028
    y = _front(face, 0, eye_z) + 0.06
    turn, around = np.linspace(0, 2 * np.pi, 17), np.arange(6) * np.pi / 3
    parts = [mesh.tube((-0.07, y, eye_z + 0.03), (0.07, y, eye_z + 0.03), (thick, thick), _FRAMES)]
    for side in (-1, 1):
        distance = radius + thick * np.cos(around)
        rings = np.stack(
            [
                side * eye_x + np.outer(np.cos(turn), distance),
                np.broadcast_to(y + thick * np.sin(around), (len(turn), len(around))),
                eye_z + np.outer(np.sin(turn), distance),
            ],
            axis=-1,
        )
        hinge, ear = (side * (eye_x + radius), y, eye_z), (side * width * 1.02, -0.1, eye_z)
        parts += [mesh.loft(rings, _FRAMES), mesh.tube(hinge, ear, (thick, thick), _FRAMES)]
    return parts


def _hair(
    rng: random.Random, skull: np.ndarray, color: np.ndarray, style: str, width: float
) -> list[Mesh]:
    """A shell over the skull, which is below the skin where there is no hair."""
    x, y, z = np.moveaxis(skull, -1, 0)
    forehead = rng.uniform(0.46, 0.62)
    nape = {"short": -0.5, "bob": -0.75, "long": -0.95}[style]
    ear = 0.26 if style == "short" else rng.choice((0.26, -0.2))  # above it, or over it
    hairline = np.interp(y, [-0.5, -0.25, 0.15, 0.4], [nape, ear, ear, forehead])
    if rng.random() < 0.5:  # a parting
        hairline = hairline + 0.14 * np.sin(rng.choice((-1, 1)) * 2.2 * x)
    cover = _step(z, hairline - 0.02, hairline + 0.10)
    thickness = (rng.uniform(0.07, 0.16) + 0.06) * cover - 0.06
    shell = skull * (1 + thickness[..., None] / np.linalg.norm(skull, axis=-1, keepdims=True))
    parts = [mesh.loft(shell, color)]
    if style != "short":  # what hangs behind
        end = -0.85 if style == "bob" else -1.3
        wide = 2 * width * rng.uniform(1.0, 1.12)
        rings = [
            mesh.rectangle((0, -0.52, level), (wide * share, 0.6 * share), 0.26 * share)
            for level, share in ((0.45, 0.8), (0.1, 1.0), (end * 0.6, 1.02), (end, 0.86))
        ]
        parts.append(mesh.loft(np.stack(rings), color * 0.96))
    return parts


def _neck(rng: random.Random, skin: np.ndarray, width: float) -> list[Mesh]:
    """A neck in a collar."""
    neck, broad = width * rng.uniform(0.54, 0.62), rng.uniform(0.78, 0.92)
    cloth = np.clip(np.array(rng.choice(_CLOTHES)) * rng.uniform(0.9, 1.1), 0, 0.85)
    profile = ((-1.45, 1.0, 0.58), (-1.32, 0.95, 0.58), (-1.18, 0.74, 0.62), (-1.08, 0.62, 0.66))
    collar = [
        mesh.ring((0, -0.2, level), (broad * wide, broad * wide * deep), 28)
        for level, wide, deep in profile
    ]
    ends = (0, -0.20, -1.4), (0, -0.12, -0.5)
    return [
        mesh.tube(*ends, (neck * 1.08, neck), skin * 0.95, 20),
        mesh.loft(np.stack(collar), cloth),
    ]

"""Pictures of an object from all sides: projection, shading, a z-buffer."""

from __future__ import annotations

import contextlib
import dataclasses
import functools
import os
import random
from collections.abc import Mapping, Sequence

import numpy as np

from keras_pixdt import progress
from keras_pixdt.drawn.azimuth import car, chair, head
from keras_pixdt.drawn.azimuth.mesh import Mesh
from keras_pixdt.workers import process_pool

_BUILDERS = {"car": car.build, "chair": chair.build, "head": head.build}
KINDS = tuple(_BUILDERS)
# Kim et al. 2017, Sec. 3.2.1: cars "at 15° intervals", "from -75° to 75°", faces "from -90° to
# +90°"; of chairs it does not say.
AZIMUTHS: Mapping[str, tuple[int, ...]] = {
    "car": tuple(range(-75, 76, 15)),
    "chair": tuple(range(-75, 76, 15)),
    "head": tuple(range(-90, 91, 15)),
}
MIN_SIZE, MAX_SIZE = 16, 512

# not in the paper, which has sets of renderings: camera and light.
_ELEVATION_DEGREES = 16.0
_DISTANCE = 4.0  # of the camera, in radii of the object
_AMBIENT = 0.52
# Towards a light from the upper left of the camera, and a weaker one from beside the camera; their
# strengths are their lengths. Axes: right, up, to the camera.
_LIGHTS = np.array([(-0.28, 0.42, 0.28), (0.12, 0.0, 0.16)])
_SAMPLES = 3  # per pixel, in each direction


@dataclasses.dataclass(frozen=True)
class Model:
    """One object.

    Attributes:
        kind: "car", "chair" or "head".
        index: its number, 0 or more.
        seed: seed of the set that it belongs to.
        mesh: its surface, within the unit ball; it looks along y.
    """

    kind: str
    index: int
    seed: int
    mesh: Mesh


def sample_model(kind: str, index: int, seed: int = 0) -> Model:
    """Draws an object at random: its sizes, shapes and colours.

    Args:
        kind: "car", "chair" or "head".
        index: number of the object, 0 or more.
        seed: seed of the set; the same index is another object under another seed.

    Returns:
        The object, which depends only on the arguments.

    Raises:
        ValueError: if `kind` is none of these, or `index` is negative.
    """
    _check_kind(kind)
    if index < 0:
        raise ValueError(f"`index` must be 0 or more. Received: index={index}")
    return Model(
        kind, index, seed, centred(_BUILDERS[kind](random.Random(f"{kind}/{seed}/{index}")))
    )


def centred(built: Mesh) -> Mesh:
    """The surface within the unit ball, with the origin in the middle of its height.

    It turns around this origin.
    """
    levels = built.corners[..., 2]
    corners = built.corners - np.array([0.0, 0.0, (levels.min() + levels.max()) / 2])
    radius = np.linalg.norm(corners, axis=-1).max()
    return dataclasses.replace(built, corners=corners / radius)


def render_model(
    model: Model,
    azimuth_degrees: float,
    image_size: int = 64,
    coverage: bool = False,
    elevation_degrees: float = _ELEVATION_DEGREES,
) -> np.ndarray:
    """Draws an object on white, by default seen slightly from above.

    Args:
        model: the object.
        azimuth_degrees: how far it is turned: at 0 it looks at the camera, at 90 to the right of
            the picture.
        image_size: height and width in pixels, 16 to 512.
        coverage: whether there is a fourth channel: how much of a pixel the object covers, 0 to
            255. With it the object can be put on other grounds.
        elevation_degrees: how far above the object the camera is.

    Returns:
        uint8 (image_size, image_size, 3), or 4 channels with `coverage`.

    Raises:
        ValueError: if `image_size` or `azimuth_degrees` is outside its range.

    Example:
        >>> render_model(sample_model("car", 0), azimuth_degrees=30, image_size=64).shape
        (64, 64, 3)
    """
    _check_size(image_size)
    _check_azimuths([azimuth_degrees])
    turn = _view(azimuth_degrees, elevation_degrees)
    side = image_size * _SAMPLES
    # The unit ball just touches the borders of the picture.
    focus = 0.5 * side * np.sqrt(_DISTANCE**2 - 1)
    seen = model.mesh.corners @ turn.T
    nearness = 1 / (_DISTANCE - seen[..., 2])
    right, up = seen[..., 0] * nearness, seen[..., 1] * nearness
    pixels = side / 2 + focus * np.stack([right, -up], axis=-1)
    light = _AMBIENT + np.maximum(model.mesh.normals @ turn.T @ _LIGHTS.T, 0).sum(axis=-1)
    colors = np.minimum(model.mesh.colors * light[..., None], 1)
    fine = _rasterize(pixels, nearness, colors, side)
    fine = fine if coverage else fine[..., :3]
    coarse = fine.reshape(image_size, _SAMPLES, image_size, _SAMPLES, -1).mean(axis=(1, 3))
    return np.rint(255 * coarse).astype(np.uint8)


def _view(azimuth_degrees: float, elevation_degrees: float) -> np.ndarray:
    """The rotation from an object's axes to right, up, and towards the camera."""
    angle, elevation = np.radians(azimuth_degrees), np.radians(elevation_degrees)
    c, s = np.cos(angle), np.sin(angle)
    turned = np.array([[c, -s, 0], [s, c, 0], [0, 0, 1]])
    c, s = np.cos(elevation), np.sin(elevation)
    return np.array([[-1, 0, 0], [0, -s, c], [0, c, s]]) @ turned


def _rasterize(
    corners: np.ndarray, nearness: np.ndarray, colors: np.ndarray, side: int
) -> np.ndarray:
    """Draws triangles on white; the nearest covers the others.

    Args:
        corners: (m, 3, 2) in pixels, x to the right and y down.
        nearness: (m, 3), one over the distance, which is linear in the picture.
        colors: (m, 3, 3) RGB in [0, 1], which are interpolated.
        side: side of the picture in pixels.

    Returns:
        float64 (side, side, 4) in [0, 1]: RGB, and 1 where there is a triangle.
    """
    first = corners[:, 0]
    a, b = corners[:, 1] - first, corners[:, 2] - first
    area = a[:, 0] * b[:, 1] - a[:, 1] * b[:, 0]
    front = area < -1e-9  # counterclockwise as y points up: the others show their back
    corners, first, a, b, area = corners[front], first[front], a[front], b[front], area[front]
    nearness, colors = nearness[front], colors[front]

    # Every row that a triangle crosses, between its two edges there.
    low = np.clip(np.ceil(corners[..., 1].min(axis=1) - 0.5), 0, side).astype(int)
    high = np.clip(np.ceil(corners[..., 1].max(axis=1) - 0.5), 0, side).astype(int)
    triangle, offset = _ranges(high - low)
    row = low[triangle] + offset
    y = row + 0.5
    left, right = np.full(len(row), np.inf), np.full(len(row), -np.inf)
    for i in range(3):
        (xa, ya), (xb, yb) = corners[triangle, i].T, corners[triangle, (i + 1) % 3].T
        crosses = (ya <= y) != (yb <= y)
        x = xa + (y - ya) * (xb - xa) / np.where(crosses, yb - ya, 1.0)
        left = np.where(crosses, np.minimum(left, x), left)
        right = np.where(crosses, np.maximum(right, x), right)
    start = np.clip(np.ceil(left - 0.5), 0, side).astype(int)
    stop = np.clip(np.ceil(right - 0.5), 0, side).astype(int)

    # Every pixel of these, with its place within the triangle.
    span, offset = _ranges(np.maximum(stop - start, 0))
    triangle, row, column = triangle[span], row[span], start[span] + offset
    x, y = column + 0.5 - first[triangle, 0], row + 0.5 - first[triangle, 1]
    along_a = (x * b[triangle, 1] - y * b[triangle, 0]) / area[triangle]
    along_b = (y * a[triangle, 0] - x * a[triangle, 1]) / area[triangle]

    def interpolate(values: np.ndarray, where: np.ndarray | slice) -> np.ndarray:
        """The values at a triangle's corners, at pixels of it."""
        shape = (-1,) + (1,) * (values.ndim - 2)
        u, v = along_a[where].reshape(shape), along_b[where].reshape(shape)
        at_first, at_a, at_b = np.moveaxis(values[triangle[where]], 1, 0)
        return at_first + u * (at_a - at_first) + v * (at_b - at_first)

    near = interpolate(nearness, slice(None))
    pixel = row * side + column
    nearest = np.zeros(side * side)
    np.maximum.at(nearest, pixel, near)
    shown = np.flatnonzero(near == nearest[pixel])
    picture = np.ones((side * side, 4))
    picture[:, 3] = nearest > 0
    picture[pixel[shown], :3] = np.clip(interpolate(colors, shown), 0, 1)
    return picture.reshape(side, side, 4)


def _ranges(counts: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """For each of `sum(counts)` elements, its owner's index, and its index within the owner."""
    owner = np.repeat(np.arange(len(counts)), counts)
    before = np.cumsum(counts) - counts
    return owner, np.arange(len(owner)) - before[owner]


def render_views(
    kind: str,
    count: int,
    image_size: int = 64,
    azimuths: Sequence[float] | None = None,
    seed: int = 0,
    processes: int | None = None,
    coverage: bool = False,
) -> tuple[np.ndarray, np.ndarray]:
    """Draws the first objects of a set from all sides.

    Args:
        kind: "car", "chair" or "head".
        count: number of objects, at least 1.
        image_size: height and width in pixels, 16 to 512.
        azimuths: how far each view is turned, in degrees; see `render_model`. The default is
            the paper's, `AZIMUTHS[kind]`.
        seed: seed of the set.
        processes: how many processes draw; None takes one per core. The pictures do not depend on
            it. More than one starts new Python processes, so that a script which calls this needs
            `if __name__ == "__main__":` around its main part.
        coverage: whether the pictures have a fourth channel; see `render_model`.

    Returns:
        The pictures, uint8 (count, len(azimuths), image_size, image_size, 3 or 4), and the
        azimuths, float32 (len(azimuths),).

    Raises:
        ValueError: if an argument is outside its range.
        RuntimeError: if the other processes cannot start.

    Example:
        >>> pictures, azimuths = render_views("chair", 2, azimuths=(-30, 30), processes=1)
        >>> pictures.shape
        (2, 2, 64, 64, 3)
    """
    _check_kind(kind)
    _check_size(image_size)
    angles = _check_azimuths(AZIMUTHS[kind] if azimuths is None else azimuths)
    for name, value in (("count", count), ("processes", processes)):
        if value is not None and value < 1:
            raise ValueError(f"`{name}` must be 1 or more. Received: {name}={value}")
    draw = functools.partial(
        _render_one, kind, image_size=image_size, azimuths=angles, seed=seed, coverage=coverage
    )
    workers = min(processes or os.cpu_count() or 1, count)
    channels = 4 if coverage else 3
    pictures = np.empty((count, len(angles), image_size, image_size, channels), np.uint8)
    with contextlib.nullcontext() if workers == 1 else process_pool(workers) as pool:
        rows = range(count)
        drawn = map(draw, rows) if pool is None else pool.map(draw, rows, chunksize=4)
        for index, views in enumerate(progress.bar(f"Drawing {kind}s", drawn, count)):
            pictures[index] = views
    return pictures, np.array(angles, np.float32)


def _render_one(
    kind: str, index: int, *, image_size: int, azimuths: Sequence[float], seed: int, coverage: bool
) -> np.ndarray:
    model = sample_model(kind, index, seed)
    return np.stack([render_model(model, azimuth, image_size, coverage) for azimuth in azimuths])


def _check_kind(kind: str) -> None:
    if kind not in KINDS:
        raise ValueError(f"`kind` must be one of {KINDS}. Received: {kind!r}")


def _check_size(image_size: int) -> None:
    if not MIN_SIZE <= image_size <= MAX_SIZE:
        raise ValueError(
            f"`image_size` must be from {MIN_SIZE} to {MAX_SIZE} pixels. "
            f"Received: image_size={image_size}"
        )


def _check_azimuths(azimuths: Sequence[float]) -> tuple[float, ...]:
    angles = tuple(float(azimuth) for azimuth in azimuths)
    if not angles or not np.isfinite(angles).all():
        raise ValueError(
            f"`azimuths` must be one or more finite angles in degrees. Received: {azimuths}"
        )
    return angles

"""Closed surfaces of coloured triangles, from which objects are assembled."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence

import numpy as np

Point = Sequence[float]  # x, y, z
Color = Sequence[float] | np.ndarray  # RGB in [0, 1]

# Between faces that meet at less than this angle the shading is smooth.
_CREASE_DEGREES = 50.0
_COS_CREASE = float(np.cos(np.radians(_CREASE_DEGREES)))


@dataclasses.dataclass(frozen=True)
class Mesh:
    """Triangles, counterclockwise as seen from outside.

    y points to where the object looks, z up, x to its right: the left of a picture of its front.

    Attributes:
        corners: float64 (m, 3, 3): triangle, corner, coordinate.
        normals: float64 (m, 3, 3): the surface's direction at each corner, of length 1.
        colors: float64 (m, 3, 3): the surface's RGB at each corner, in [0, 1].
    """

    corners: np.ndarray
    normals: np.ndarray
    colors: np.ndarray


def join(parts: Sequence[Mesh]) -> Mesh:
    """Returns all triangles of the parts."""
    return Mesh(
        corners=np.concatenate([part.corners for part in parts]),
        normals=np.concatenate([part.normals for part in parts]),
        colors=np.concatenate([part.colors for part in parts]),
    )


def loft(rings: np.ndarray, color: Color) -> Mesh:
    """Returns the closed surface through rings of points; its ends are filled.

    Args:
        rings: (rings, points, 3): at least two rings of at least three points, all in the same
            order.
        color: RGB in [0, 1], (3,), or (rings, points, 3) of each point.

    Returns:
        The surface; its shading is smooth except at edges.
    """
    count, points = rings.shape[:2]
    vertices = np.concatenate([rings.reshape(-1, 3), rings[[0, -1]].mean(axis=1)])
    of_points = np.broadcast_to(np.asarray(color, np.float64), rings.shape)
    colors = np.concatenate([of_points.reshape(-1, 3), of_points[[0, -1]].mean(axis=1)])

    this = np.arange(points)
    following = (this + 1) % points
    faces = []
    for low in range(0, (count - 1) * points, points):
        high = low + points
        faces.append(np.stack([low + this, low + following, high + following], axis=1))
        faces.append(np.stack([low + this, high + following, high + this], axis=1))
    first, last = np.full(points, count * points), np.full(points, count * points + 1)
    top = (count - 1) * points
    faces.append(np.stack([first, following, this], axis=1))
    faces.append(np.stack([last, top + this, top + following], axis=1))
    index = np.concatenate(faces)

    corners = vertices[index]
    if np.einsum("ij,ij->", corners[:, 0], np.cross(corners[:, 1], corners[:, 2])) < 0:
        index, corners = index[:, ::-1], corners[:, ::-1]  # its volume: it was inside out
    return Mesh(corners, _normals(corners, index, len(vertices)), colors[index])


def _normals(corners: np.ndarray, index: np.ndarray, vertices: int) -> np.ndarray:
    """At each corner, the mean direction of the faces that meet there without an edge."""
    large = np.cross(corners[:, 1] - corners[:, 0], corners[:, 2] - corners[:, 0])
    length = np.linalg.norm(large, axis=1, keepdims=True)
    unit = large / np.maximum(length, 1e-12)
    # All pairs of corners that share a vertex: corners sorted by vertex, each beside those of its
    # vertex that are 0, 1, 2, ... places further on, in a circle.
    flat = index.reshape(-1)
    order = np.argsort(flat, kind="stable")
    face = order // 3
    number = np.bincount(flat, minlength=vertices)[flat[order]]
    first = np.searchsorted(flat[order], flat[order], "left")
    place = np.arange(len(order)) - first
    total = np.zeros((len(order), 3))
    for step in range(number.max()):
        other = face[first + (place + step) % number]
        smooth = np.einsum("ij,ij->i", unit[face], unit[other]) > _COS_CREASE
        total += np.where((smooth & (step < number))[:, None], large[other], 0.0)
    normals = np.empty_like(total)
    normals[order] = total / np.maximum(np.linalg.norm(total, axis=1, keepdims=True), 1e-12)
    return normals.reshape(-1, 3, 3)


def ring(center: Point, radii: Sequence[float], points: int) -> np.ndarray:
    """Returns a level ellipse around a center (x, y, z) with radii in x and y, (points, 3)."""
    angle = np.arange(points) * 2 * np.pi / points
    circle = np.stack([np.cos(angle), np.sin(angle), 0 * angle], axis=1)
    return np.asarray(center) + circle * (*radii, 0)


def ellipsoid(center: Point, radii: Sequence[float], color: Color, sides: int = 12) -> Mesh:
    """Returns an ellipsoid whose axes are those of the coordinates."""
    x, y, z = center
    rings = [
        ring((x, y, z + radii[2] * up), (radii[0] * wide, radii[1] * wide), sides)
        for up, wide in (
            (np.sin(angle), np.cos(angle))
            for angle in np.linspace(-np.pi / 2, np.pi / 2, sides // 2 + 1)
        )
    ]
    return loft(np.stack(rings), color)


def tube(
    start: Point,
    end: Point,
    radii: tuple[float, float],
    color: Color,
    sides: int = 10,
) -> Mesh:
    """Returns a round bar between two points, with a radius at each."""
    a, b = np.asarray(start, np.float64), np.asarray(end, np.float64)
    along = (b - a) / np.linalg.norm(b - a)
    across = np.cross(along, np.eye(3)[np.argmin(np.abs(along))])
    across /= np.linalg.norm(across)
    angle = (np.arange(sides) * 2 * np.pi / sides)[:, None]
    circle = np.cos(angle) * across + np.sin(angle) * np.cross(along, across)
    return loft(np.stack([a + radii[0] * circle, b + radii[1] * circle]), color)


def rectangle(
    center: Point, size: Sequence[float], radius: float = 0.0, corner_points: int = 4
) -> np.ndarray:
    """Returns the outline of a level rectangle with round corners.

    Args:
        center: x, y, z.
        size: extent in x and in y.
        radius: radius of the corners; 0 leaves them sharp.
        corner_points: points of each round corner.

    Returns:
        (points, 3), counterclockwise as seen from above.
    """
    half = np.asarray(size, np.float64) / 2 - radius
    signs = np.array([(1, 1), (-1, 1), (-1, -1), (1, -1)])
    if not radius:
        outline = signs * half
    else:
        angle = np.linspace(0, np.pi / 2, corner_points)
        angles = angle + np.pi / 2 * np.arange(4)[:, None]
        arc = np.stack([np.cos(angles), np.sin(angles)], axis=-1)
        outline = ((signs * half)[:, None] + radius * arc).reshape(-1, 2)
    level = np.zeros((len(outline), 1))
    return np.concatenate([outline, level], axis=1) + np.asarray(center, np.float64)


def box(
    center: Point,
    size: Sequence[float],
    color: Color,
    radius: float = 0.0,
) -> Mesh:
    """Returns a box; with a radius, its edges are round, as those of a cushion.

    Args:
        center: x, y, z.
        size: extent in x, y and z.
        color: RGB in [0, 1].
        radius: radius of the edges, at most half the least extent.
    """
    x, y, z = center
    width, depth, height = size
    if not radius:
        ends = [rectangle((x, y, z + s * height / 2), (width, depth)) for s in (-1, 1)]
        return loft(np.stack(ends), color)
    rings = []
    for side in (-1, 1):
        for angle in np.linspace(0, np.pi / 2, 4)[::side]:
            inset = radius * (1 - np.cos(angle))
            level = z + side * (height / 2 - radius * (1 - np.sin(angle)))
            inner = (width - 2 * inset, depth - 2 * inset)
            # The corners of the outline shrink with it, so that its straight sides stay.
            rings.append(rectangle((x, y, level), inner, max(radius - inset, 1e-3)))
    return loft(np.stack(rings), color)


def move(mesh: Mesh, shift: Point = (0, 0, 0), lean_degrees: float = 0.0) -> Mesh:
    """Returns the mesh leant backwards around the x axis, then shifted."""
    angle = np.radians(lean_degrees)
    c, s = np.cos(angle), np.sin(angle)
    turn = np.array([[1, 0, 0], [0, c, -s], [0, s, c]])
    return Mesh(
        mesh.corners @ turn.T + np.asarray(shift, np.float64), mesh.normals @ turn.T, mesh.colors
    )


def patch(points: np.ndarray, color: Color, inside: Point, lift: float = 0.0) -> Mesh:
    """Returns a flat convex polygon that lies on a surface, such as a window.

    Args:
        points: (points, 3), in order around it.
        color: RGB in [0, 1].
        inside: a point behind it: it is seen from the other side only.
        lift: distance by which it is lifted off the surface.
    """
    normal = np.cross(points[1] - points[0], points[2] - points[0])
    normal /= np.linalg.norm(normal)
    if normal @ (points.mean(axis=0) - np.asarray(inside)) < 0:
        points, normal = points[::-1], -normal
    points = points + lift * normal
    others = np.arange(1, len(points) - 1)
    corners = np.stack(
        [np.broadcast_to(points[0], (len(others), 3)), points[others], points[others + 1]], axis=1
    )
    return Mesh(
        corners,
        np.broadcast_to(normal, corners.shape).copy(),
        np.broadcast_to(np.asarray(color, np.float64), corners.shape).copy(),
    )

"""Outlines: curves, mirrored halves, and limbs that taper."""

from __future__ import annotations

import math
from collections.abc import Sequence

Point = tuple[float, float]


def curve(start: Point, control: Point, end: Point, steps: int = 10) -> list[Point]:
    """Returns points of a quadratic Bezier curve, both ends included."""
    points = []
    for i in range(steps + 1):
        t = i / steps
        a, b, c = (1 - t) ** 2, 2 * t * (1 - t), t * t
        x, y = (a * p + b * q + c * r for p, q, r in zip(start, control, end, strict=True))
        points.append((x, y))
    return points


def path(points: Sequence[Point], *bends: tuple[Point, Point, int]) -> list[Point]:
    """Returns points that go on in curves, each given by its control point, end and steps."""
    points = list(points)
    for control, end, steps in bends:
        points += curve(points[-1], control, end, steps)[1:]
    return points


def mirrored(right_half: Sequence[Point]) -> list[Point]:
    """Returns the closed outline whose right half goes from the top middle to the bottom middle."""
    return [*right_half, *((-u, v) for u, v in reversed(right_half))]


def around(center: Point, x_radius: float, y_radius: float | None = None) -> tuple[float, ...]:
    """Returns the box of an ellipse, or of a circle, for Pillow: left, top, right, low."""
    (x, y), rx, ry = center, x_radius, x_radius if y_radius is None else y_radius
    return x - rx, y - ry, x + rx, y + ry


def between(start: Point, end: Point, share: float) -> Point:
    """Returns the point at a share of the way from one to another."""
    return start[0] + (end[0] - start[0]) * share, start[1] + (end[1] - start[1]) * share


def direction(start: Point, end: Point) -> tuple[float, Point]:
    """Returns the distance from one point to another, 1 if it is 0, and the unit vector there."""
    dx, dy = end[0] - start[0], end[1] - start[1]
    length = math.hypot(dx, dy) or 1.0
    return length, (dx / length, dy / length)


def tapered(start: Point, end: Point, along: Point, widths: tuple[float, float]) -> list[Point]:
    """Returns the corners of a bar between two points, with half widths at both.

    `along` is the unit vector from the first point to the second.
    """
    (ax, ay), (bx, by), (a, b) = start, end, widths
    nx, ny = -along[1], along[0]
    return [
        (ax + nx * a, ay + ny * a), (bx + nx * b, by + ny * b),
        (bx - nx * b, by - ny * b), (ax - nx * a, ay - ny * a),
    ]  # fmt: skip

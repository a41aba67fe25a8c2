"""Figures: the body of a person, drawn with the garment on it, before a background."""

from __future__ import annotations

import math
import random
from collections.abc import Sequence
from typing import TypeVar

import numpy as np
from PIL import Image, ImageDraw

from keras_pixdt.drawn.rendered import fabric, garment, scene
from keras_pixdt.drawn.rendered.person import Person
from keras_pixdt.drawn.rendered.product import Color, Product
from keras_pixdt.drawn.rendered.shapes import (
    Point,
    around,
    curve,
    direction,
    mirrored,
    path,
    tapered,
)
from keras_pixdt.drawn.rendered.sheet import Piece, folded
from keras_pixdt.drawn.rendered.sleeve import UPPER_ARM, arm, draw_sleeve

_Number = TypeVar("_Number", float, np.ndarray)


class Figure:
    """A body on a canvas: where its points are, and what is drawn on it so far."""

    def __init__(self, product: Product, person: Person, size: int):
        self.product, self.person, self.size = product, person, size
        self.scale = size / person.height
        turn = person.turn
        narrow = 1 - 0.18 * abs(turn)
        # A turned body shows less of the half that turns away.
        self.right = person.girth * narrow * (1 - 0.3 * turn)
        self.left = person.girth * narrow * (1 + 0.3 * turn)
        angle = math.radians(person.lean)
        self.cos, self.sin = math.cos(angle), math.sin(angle)
        # The figure leans about a point at its hips, which stays at `center`.
        self.pivot = (person.center * size, (2.5 - person.top) * self.scale)
        self.canvas = Image.new("RGBA", (size, size), (0, 0, 0, 0))
        self.draw = ImageDraw.Draw(self.canvas)
        # The middle of a turned body moves; keep the whole in the picture's middle.
        self.offset = (self.left - self.right) * 0.5

    def _shift(self, v: float) -> float:
        """Sideways shift of the body at height v: the hips sway, the neck stays."""
        return self.offset + self.person.sway * min(max(v, 0.0), 3.0) / 3

    def at(self, u: float, v: float) -> Point:
        """Returns where a point of the garment lies on the canvas."""
        x = u * (self.right if u > 0 else self.left) + self._shift(v)
        return self.free(x, v)

    def at_many(self, u: np.ndarray, v: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns where points of the garment lie on the canvas, as `at` does for one."""
        side = np.where(u > 0, self.right, self.left)
        x = u * side + self.offset + self.person.sway * np.clip(v, 0, 3) / 3
        return self.free(x, v)

    def free(self, x: _Number, y: _Number) -> tuple[_Number, _Number]:
        """Returns where a point of the figure that does not turn with the torso lies."""
        x, y = x * self.scale, (y - 2.5) * self.scale
        return (
            self.pivot[0] + x * self.cos - y * self.sin,
            self.pivot[1] + x * self.sin + y * self.cos,
        )

    def joints(self, side: int) -> tuple[Point, Point, Point]:
        """Returns shoulder, elbow and wrist on the canvas: 1 at the picture's right, or -1."""
        upper, fore = self.person.arms[0 if side < 0 else 1]
        shoulder = self.at(side * garment.SHOULDER[0] * 1.02, garment.SHOULDER[1])
        shorten = 0.84 if self.person.crossed else 1.0
        lean = self.person.lean * side
        return shoulder, *arm(shoulder, side, upper - lean, fore - lean, self.scale, shorten)

    def inverse(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns which points (u, v) of the garment lie at pixels of the canvas."""
        dx, dy = (x - self.pivot[0]) / self.scale, (y - self.pivot[1]) / self.scale
        v = -dx * self.sin + dy * self.cos + 2.5
        shift = self.offset + self.person.sway * np.clip(v, 0, 3) / 3
        side = dx * self.cos + dy * self.sin - shift
        return np.where(side > 0, side / self.right, side / self.left), v

    def area(self, points: Sequence[Point], color: Color) -> None:
        """Colours an area, given in points of the garment."""
        self.draw.polygon([self.at(u, v) for u, v in points], fill=color)

    def line(
        self, points: Sequence[Point], color: Color, width: float, joint: str | None = None
    ) -> None:
        """Draws a line through points on the canvas, with a width in units."""
        self.draw.line(points, color, max(1, round(width * self.scale)), joint)

    def limb(self, joints: Sequence[Point], widths: Sequence[float], color: Color) -> None:
        """Draws a rounded limb through joints on the canvas, with half widths in units."""
        # First the shaded side of the whole limb, then the lit side, so that joints do not show.
        for tone, inset, shift in ((fabric.shade(color, 0.8), 1.0, 0.0), (color, 0.78, 0.12)):
            bones = zip(joints, joints[1:], widths, widths[1:], strict=False)
            for a, b, start, stop in bones:
                _, along = direction(a, b)
                w0, w1 = start * self.scale * inset, stop * self.scale * inset
                move = shift * self.scale * (start + stop) / 2
                a, b = (a[0] + move, a[1]), (b[0] + move, b[1])
                self.draw.polygon(tapered(a, b, along, (w0, w1)), fill=tone)
                self.draw.ellipse(around(a, w0), fill=tone)
                self.draw.ellipse(around(b, w1), fill=tone)

    def head(self, points: Sequence[Point]) -> list[Point]:
        """Where points of the head lie, whose centre is (0, 0) and whose height is 1.2 units."""
        return [self.free(self.offset + x, y - 0.98) for x, y in points]

    def oval(self, x: float, y: float, rx: float, ry: float, color: Color) -> None:
        """Draws an ellipse on the head."""
        box = around(self.head([(x, y)])[0], rx * self.scale, ry * self.scale)
        self.draw.ellipse(box, fill=color)

    def lay(self, piece: Piece, *, stretch: float = 1.0) -> None:
        """Lays a piece of the garment on the body, bent as the body is.

        Args:
            piece: what to lay.
            stretch: factor by which v is stretched; a hood that hangs down is shorter.
        """
        corners = [self.at(u, v * stretch) for u, v in piece.corners]
        x0 = max(0, math.floor(min(x for x, _ in corners)))
        x1 = min(self.size, math.ceil(max(x for x, _ in corners)))
        y0 = max(0, math.floor(min(y for _, y in corners)))
        y1 = min(self.size, math.ceil(max(y for _, y in corners)))
        if x1 - x0 < 8 or y1 - y0 < 8:
            return
        xs = [round(x0 + (x1 - x0) * i / 6) for i in range(7)]
        ys = [round(y0 + (y1 - y0) * i / 4) for i in range(5)]
        u, v = self.inverse(*np.meshgrid(np.array(xs, float), np.array(ys, float)))
        sx = ((u - piece.u) * piece.pixels).tolist()
        sy = ((v / stretch - piece.v) * piece.pixels).tolist()
        mesh = []
        for i in range(len(ys) - 1):
            for j in range(len(xs) - 1):
                box = (xs[j] - x0, ys[i] - y0, xs[j + 1] - x0, ys[i + 1] - y0)
                quad = (
                    sx[i][j], sy[i][j], sx[i + 1][j], sy[i + 1][j],
                    sx[i + 1][j + 1], sy[i + 1][j + 1], sx[i][j + 1], sy[i][j + 1],
                )  # fmt: skip
                mesh.append((box, quad))
        laid = piece.image.transform(
            (x1 - x0, y1 - y0), Image.Transform.MESH, mesh, Image.Resampling.BILINEAR
        )
        self.canvas.alpha_composite(laid, (x0, y0))


def _draw_legs(figure: Figure) -> None:
    person, product = figure.person, figure.product
    skin, cloth = person.skin, person.legs
    kind = "none" if product.category == "dress" else person.legwear
    for side, out in ((-1, person.stance[0]), (1, person.stance[1])):
        hip = figure.at(side * 0.42, 2.7)
        knee = figure.at(side * (0.42 + 0.3 * out), 4.95)
        ankle = figure.at(side * (0.38 + 0.45 * out), 6.9)
        if kind == "trousers":
            figure.limb((hip, knee, ankle), (0.5, 0.37, 0.27), cloth)
        else:
            figure.limb((hip, knee, ankle), (0.44, 0.28, 0.15), skin)
            if kind == "shorts":
                thigh = figure.at(side * (0.42 + 0.2 * out), 4.1)
                figure.limb((hip, thigh), (0.52, 0.46), cloth)
        (x, y), unit = ankle, figure.scale
        x += side * 0.1 * unit
        w, h = 0.3 * unit, 0.2 * unit
        figure.draw.ellipse((x - w, y - h * 0.4, x + w, y + h * 1.8), fill=person.shoes)
    if kind == "none":
        return
    if kind == "skirt":
        flare = 1.0 + 0.5 * abs(math.sin(person.folds))
        figure.area([(-0.8, 1.9), (0.8, 1.9), (flare, 4.5), (-flare, 4.5)], cloth)
        for i in (-2, -1, 0, 1, 2):
            ends = [figure.at(i * 0.25, 2.4), figure.at(i * flare / 2.6, 4.45)]
            figure.line(ends, fabric.shade(cloth, 0.8), 0.05)
    else:
        figure.area([(-0.82, 1.9), (0.82, 1.9), (0.9, 2.9), (0.0, 3.35), (-0.9, 2.9)], cloth)
        figure.line([figure.at(0, 2.5), figure.at(0, 3.4)], fabric.shade(cloth, 0.7), 0.06)


def _draw_torso_skin(figure: Figure) -> None:
    person = figure.person
    skin = person.skin
    figure.area(
        [(-0.3, -0.1), (0.3, -0.1), (0.88, 0.24), (0.98, 0.6), (0.86, 1.1), (0.68, 1.8), (0.8, 2.6),
         (-0.8, 2.6), (-0.68, 1.8), (-0.86, 1.1), (-0.98, 0.6), (-0.88, 0.24)], skin,
    )  # fmt: skip
    neck = fabric.shade(skin, 0.84)
    figure.area(
        [(-0.24, -0.7), (0.24, -0.7), (0.28, 0.1), (0.14, 0.3), (-0.14, 0.3), (-0.28, 0.1)], neck
    )
    for side in (-1, 1):  # the collarbones
        figure.line([figure.at(side * 0.12, 0.3), figure.at(side * 0.6, 0.2)], neck, 0.04)
    if figure.product.category == "coat":
        inner = person.inner
        figure.area(
            [(-0.46, 0.0), *curve((-0.3, 0.1), (0, 0.75), (0.3, 0.1), 6), (0.46, 0.0),
             (0.8, 0.5), (0.8, 2.75), (-0.8, 2.75), (-0.8, 0.5)], inner,
        )  # fmt: skip
        seam = [figure.at(0.1, 1.0), figure.at(0.02, 2.7)]
        figure.line(seam, fabric.shade(inner, 0.85), 0.04)


def _draw_hair_behind(figure: Figure) -> None:
    person = figure.person
    hair = fabric.shade(person.hair, 0.85)
    style = person.hair_style
    if style == "long":
        half = path([(0, -0.66)], ((0.66, -0.62), (0.62, 0.2), 6), ((0.72, 1.2), (0.5, 1.75), 6))
        figure.draw.polygon(figure.head(mirrored([*half, (0, 1.6)])), fill=hair)
    elif style == "bob":
        half = curve((0, -0.66), (0.64, -0.64), (0.62, 0.1), 6)
        outline = mirrored([*half, (0.6, 0.62), (0.3, 0.66), (0, 0.6)])
        figure.draw.polygon(figure.head(outline), fill=hair)
    elif style == "curly":
        for i in range(11):
            angle = math.pi * (0.9 + 1.2 * i / 10)
            figure.oval(0.5 * math.cos(angle), -0.12 + 0.5 * math.sin(angle), 0.3, 0.3, hair)
    elif style == "ponytail":
        outline = curve((0.2, -0.3), (0.95, -0.1), (0.7, 0.95), 8)
        figure.line(figure.head(outline), hair, 0.26, joint="curve")
    elif style == "bun":
        figure.oval(0, -0.72, 0.24, 0.22, hair)


def _draw_head(figure: Figure) -> None:
    person = figure.person
    skin, hair, style = person.skin, person.hair, person.hair_style
    look = 0.16 * person.turn  # which way the face looks
    scalp = fabric.shade(skin, 0.9) if style in ("crop", "cap") else hair
    figure.oval(0, 0, 0.47, 0.6, scalp)
    if style == "crop":
        figure.oval(0, -0.1, 0.46, 0.52, fabric.mix(skin, hair, 0.75))
    for side in (-1, 1):  # ears
        figure.oval(side * 0.43 + look * 0.3, 0.06, 0.07, 0.12, fabric.shade(skin, 0.88))
    figure.oval(look * 0.6, 0.08, 0.4, 0.5, fabric.shade(skin, 0.93))
    figure.oval(look * 0.8 - 0.02, 0.06, 0.36, 0.46, skin)
    if person.beard:
        figure.oval(look, 0.36, 0.31, 0.24, fabric.mix(skin, hair, 0.8))
        figure.oval(look, 0.18, 0.26, 0.17, skin)
    dark = fabric.mix((40, 30, 28), skin, 0.15)
    for side in (-1, 1):
        x = look * 1.5 + side * 0.16
        figure.oval(x, 0.03, 0.075, 0.042, (250, 248, 244))
        figure.oval(x + look * 0.1, 0.03, 0.042, 0.045, dark)
        brow = ((-0.09, -0.095), (0.02, -0.13), (0.1, -0.085))
        points = figure.head([(x + side * dx, y) for dx, y in brow])
        figure.line(points, fabric.shade(hair, 0.8), 0.045)
    nose = figure.head([(look * 1.9, 0.06), (look * 1.9, 0.2)])
    figure.line(nose, fabric.shade(skin, 0.8), 0.05)
    figure.oval(look * 1.5, 0.33, 0.12, 0.035, fabric.mix(skin, (170, 50, 60), 0.6))
    if style == "cap":
        cap = fabric.shade(person.extra, 0.95)
        crown = ((-0.5, -0.72), (0, -0.72), 6), ((0.5, -0.72), (0.5, -0.14), 6)
        outline = path([(-0.5, -0.14)], *crown)
        figure.draw.polygon(figure.head(outline), fill=cap)
        figure.oval(look * 1.6, -0.15, 0.44, 0.09, fabric.shade(cap, 0.75))
    elif style != "crop":
        part = 0.12 if person.folds % 2 else -0.18
        fringe = [
            *path([(-0.47, 0.05)], ((-0.5, -0.62), (0, -0.62), 6), ((0.5, -0.62), (0.47, 0.05), 6)),
            *path(
                [(0.4, -0.08)], ((0.36, -0.3), (part, -0.36), 5), ((-0.3, -0.3), (-0.4, -0.05), 5)
            ),
        ]
        figure.draw.polygon(figure.head(fringe), fill=hair)
        shine = curve((-0.3, -0.36), (-0.1, -0.56), (0.22, -0.48), 5)
        figure.line(figure.head(shine), fabric.mix(hair, (255, 255, 255), 0.16), 0.06)
    if person.glasses:
        lens = (30, 30, 34) if person.glasses == 2 else None
        line = max(1, round(0.035 * figure.scale))
        for side in (-1, 1):
            (center,) = figure.head([(look * 1.5 + side * 0.17, 0.03)])
            box = around(center, 0.14 * figure.scale, 0.11 * figure.scale)
            figure.draw.ellipse(box, lens, (30, 30, 34), line)


def _draw_hair_before(figure: Figure) -> None:
    """Long hair falls over the shoulders, in front of the garment."""
    person = figure.person
    if person.hair_style != "long":
        return
    both = person.folds % 3
    for side in (-1, 1):
        if both == 0 or (both == 1) == (side == 1):
            strand = [
                *curve((0.4, -0.2), (0.62, 0.5), (0.5, 1.7), 6),
                (0.3, 1.95),
                *curve((0.28, 1.8), (0.4, 0.6), (0.42, 0.2), 6),
            ]
            points = figure.head([(side * x, y) for x, y in strand])
            figure.draw.polygon(points, fill=person.hair)
            shine = figure.head([(side * 0.5, 0.2), (side * 0.45, 1.5)])
            figure.line(shine, fabric.mix(person.hair, (255, 255, 255), 0.14), 0.05)


def _draw_arm(figure: Figure, pieces: garment.Sheets, side: int) -> None:
    person = figure.person
    shoulder, elbow, wrist = figure.joints(side)
    skin, sleeve = person.skin, pieces.sleeve
    if sleeve is None or sleeve.length < UPPER_ARM + 0.5:
        figure.limb((shoulder, elbow, wrist), (0.25, 0.2, 0.14), skin)
    _, (dx, dy) = direction(elbow, wrist)
    palm, tips = (
        (wrist[0] + dx * reach * figure.scale, wrist[1] + dy * reach * figure.scale)
        for reach in (0.2, 0.46)
    )
    figure.limb((wrist, palm, tips), (0.13, 0.17, 0.09), skin)
    if sleeve is not None:
        draw_sleeve(figure.canvas, sleeve, shoulder, elbow, wrist, figure.scale)


def _draw_extras(figure: Figure) -> None:
    person = figure.person
    color, dark = person.extra, fabric.shade(person.extra, 0.7)
    side = person.front
    if "strap" in person.extras:
        figure.line([figure.at(-side * 0.62, 0.08), figure.at(side * 0.98, 2.6)], color, 0.13)
        bag = [(0.72, 2.45), (1.5, 2.45), (1.55, 3.2), (0.68, 3.2)]
        figure.area([(side * u, v) for u, v in bag], color)
        flap = [(0.72, 2.45), (1.5, 2.45), (1.45, 2.8), (0.76, 2.8)]
        figure.area([(side * u, v) for u, v in flap], dark)
    if "tote" in person.extras:
        for u in (0.62, 0.9):
            handle = [figure.at(side * u, 0.12), figure.at(side * (u + 0.35), 2.0)]
            figure.line(handle, dark, 0.13)
        bag = [(0.75, 1.95), (1.65, 1.95), (1.7, 3.2), (0.7, 3.2)]
        figure.area([(side * u, v) for u, v in bag], color)
    if "scarf" in person.extras:
        figure.area([(-0.5, -0.2), (0.5, -0.2), (0.62, 0.2), (0, 0.42), (-0.62, 0.2)], color)
        end = [(0.12, 0.2), (0.46, 0.2), (0.5, 1.5), (0.18, 1.5)]
        figure.area([(side * u, v) for u, v in end], dark)


def draw_figure(product: Product, person: Person, size: int) -> Image.Image:
    """Draws a person on a canvas of `size` pixels a side: RGBA, transparent around the figure."""
    pieces = garment.sheets(product, size / 5.0)
    figure = Figure(product, person, size)
    before, behind = [-person.front, person.front], []
    # The arm of the side that turns away is partly behind the body.
    if abs(person.turn) > 0.5 and not person.crossed and all(b > -20 for _, b in person.arms):
        far = 1 if person.turn > 0 else -1
        before, behind = [-far], [far]
    for side in behind:
        _draw_arm(figure, pieces, side)
    _draw_hair_behind(figure)
    if pieces.back is not None:
        # A hood hangs down behind the neck.
        figure.lay(pieces.back, stretch=back_stretch(product))
    _draw_legs(figure)
    _draw_torso_skin(figure)
    # The front has the folds and the light of this view.
    figure.lay(folded(pieces.front, 10 + person.folds, person.light_side))
    _draw_head(figure)
    _draw_hair_before(figure)
    _draw_extras(figure)
    for side in before:
        _draw_arm(figure, pieces, side)
    return figure.canvas


def back_stretch(product: Product) -> float:
    """Returns the factor on v of what lies behind the neck: a hood hangs down."""
    return 0.55 if product.category == "hoodie" else 1.0


def person_of(product: Product, view: int) -> tuple[Person, random.Random]:
    """Returns the person on photo number `view`, and the generator for the rest of the photo."""
    rng = random.Random(f"view/{product.seed}/{product.product_id}/{view}")
    return Person.sample(product, rng), rng


def draw(product: Product, view: int, image_size: int) -> np.ndarray:
    """Draws photo number `view` of a person who wears the product: uint8 (size, size, 3)."""
    person, rng = person_of(product, view)
    behind = scene.background(rng, image_size)
    light = scene.Light.sample(rng)
    factor = garment.supersampling(image_size)
    figure = draw_figure(product, person, image_size * factor).reduce(factor)
    return scene.photograph(figure, behind, light, rng.randrange(8))

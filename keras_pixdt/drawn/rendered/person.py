"""Persons who wear a product: pose, viewpoint, crop, looks, and what they carry."""

from __future__ import annotations

import dataclasses
import math
import random
from collections.abc import Sequence

import numpy as np
from PIL import Image, ImageDraw

from keras_pixdt.drawn.rendered import fabric, garment, scene
from keras_pixdt.drawn.rendered.garment import Point
from keras_pixdt.drawn.rendered.product import PALETTE, Color, Product, color_distance, vary

_SKINS = ((244, 210, 184), (236, 194, 164), (224, 176, 140), (198, 146, 108), (160, 110, 78),
          (122, 80, 56), (88, 58, 42))  # fmt: skip
_HAIRS = ((28, 24, 24), (52, 36, 28), (92, 60, 38), (140, 90, 48), (206, 166, 98), (170, 74, 40),
          (150, 148, 146), (232, 212, 160))  # fmt: skip
_HAIR_STYLES = ("short", "short", "bob", "long", "long", "bun", "curly", "crop", "cap", "ponytail")
_TROUSERS = ("black", "charcoal", "navy", "blue", "beige", "grey", "olive", "brown", "white",
             "burgundy", "sky")  # fmt: skip

# Poses: angles (upper arm, forearm) of one arm and of the other, in degrees from straight down,
# positive outwards, and how often they are drawn.
_POSES: dict[str, tuple[tuple[float, float], tuple[float, float], int]] = {
    "down": ((11, 4), (11, 4), 6),
    "relaxed": ((16, -6), (9, 10), 3),
    "one hip": ((46, -52), (10, 4), 3),
    "hips": ((44, -50), (44, -50), 2),
    "pockets": ((26, -24), (26, -24), 2),
    "crossed": ((12, -98), (12, -84), 3),
    "holding": ((10, 3), (14, -128), 2),
    "clasped": ((20, -58), (20, -58), 2),
    "waving": ((10, 5), (64, 168), 1),
    "thinking": ((16, -92), (14, -146), 1),
}


@dataclasses.dataclass(frozen=True)
class Person:
    """One person as photographed: everything that varies between the views of a product.

    Attributes:
        crop: "whole", "knees" or "waist".
        top: where the picture begins, in units below the base of the neck.
        height: units that the picture shows.
        center: where the body's middle stands, as a share of the width.
        turn: how far the torso is turned, in [-1, 1]; 0 faces the camera.
        lean: rotation of the whole figure in degrees.
        girth: width of the body, 1 on average.
        sway: sideways shift of the hips, in units.
        stance: how far each leg stands outwards, 0 straight down.
        arms: angles of the arms at the picture's left and right.
        front: which arm lies above the other, -1 or 1.
        crossed: whether the arms are crossed.
        skin: colour.
        hair: colour.
        hair_style: one of `_HAIR_STYLES`.
        legwear: "trousers", "skirt" or "shorts".
        legs: colour of the legwear.
        inner: colour of what is worn under an open coat.
        shoes: colour.
        extras: what hides part of the product: "strap", "tote", "scarf".
        extra: colour of the bag or scarf.
        glasses: 0 none, 1 glasses, 2 sunglasses.
        beard: whether the person has one.
        folds: which folds the garment has.
        light_side: from which side the light falls on the garment: -1, 0 or 1.
    """

    crop: str
    top: float
    height: float
    center: float
    turn: float
    lean: float
    girth: float
    sway: float
    stance: tuple[float, float]
    arms: tuple[tuple[float, float], tuple[float, float]]
    front: int
    crossed: bool
    skin: Color
    hair: Color
    hair_style: str
    legwear: str
    legs: Color
    inner: Color
    shoes: Color
    extras: tuple[str, ...]
    extra: Color
    glasses: int
    beard: bool
    folds: int
    light_side: int

    @classmethod
    def sample(cls, product: Product, rng: random.Random) -> Person:
        """Draws a person who fits the product by lot."""
        long = product.category in ("dress", "coat")
        crop = rng.choices(("whole", "knees", "waist"), (4, 5, 2) if long else (2, 4, 5))[0]
        top = rng.uniform(-1.95, -1.7)
        if crop != "whole" and rng.random() < 0.2:
            top = rng.uniform(-1.3, -0.7)  # the upper edge cuts the head
        bottom = {
            "whole": 7.45,
            "knees": rng.uniform(4.9, 5.6),
            "waist": max(3.2, product.length * 0.85) + rng.uniform(0.0, 0.5),
        }[crop]
        pose = rng.choices(tuple(_POSES), [weight for *_, weight in _POSES.values()])[0]
        first, second, _ = _POSES[pose]
        arms = [(a + rng.uniform(-5, 5), b + rng.uniform(-7, 7)) for a, b in (first, second)]
        if rng.random() < 0.5:  # the mirror image, but for the print on the chest
            arms.reverse()
        skin = vary(rng, rng.choice(_SKINS), 6)
        far = [
            PALETTE[name]
            for name in _TROUSERS
            if color_distance(PALETTE[name], product.rgb) > 150
            and color_distance(PALETTE[name], skin) > 120
            and (
                product.pattern == "plain" or color_distance(PALETTE[name], product.second_rgb) > 90
            )
        ] or [PALETTE["black"]]
        extras = []
        if rng.random() < 0.25:
            extras.append(rng.choice(("strap", "strap", "tote")))
        if rng.random() < 0.05 and product.neckline not in ("turtle", "hood"):
            extras.append("scarf")
        inner = [
            PALETTE[name]
            for name in ("white", "black", "grey", "cream", "navy", "burgundy", "sky")
            if color_distance(PALETTE[name], product.rgb) > 150
        ]
        hair_style = rng.choice(_HAIR_STYLES)
        return cls(
            crop=crop,
            top=top,
            height=(bottom - top) * rng.uniform(0.98, 1.1),
            center=0.5 + rng.uniform(-0.07, 0.07),
            turn=rng.choice((0.0, rng.uniform(-1, 1))),
            lean=rng.gauss(0, 3.0),
            girth=rng.uniform(0.9, 1.1),
            sway=rng.gauss(0, 0.08),
            stance=(rng.uniform(-0.5, 0.9), rng.uniform(-0.1, 0.9)),
            arms=(arms[0], arms[1]),
            front=rng.choice((-1, 1)),
            crossed=pose in ("crossed", "thinking"),
            skin=skin,
            hair=vary(rng, rng.choice(_HAIRS), 8),
            hair_style=hair_style,
            legwear=rng.choice(("trousers", "trousers", "trousers", "skirt", "shorts")),
            legs=vary(rng, rng.choice(far), 10),
            inner=vary(rng, rng.choice(inner), 6),
            shoes=rng.choice(((40, 36, 36), (236, 236, 232), (120, 76, 48), (150, 40, 44))),
            extras=tuple(extras),
            extra=vary(
                rng,
                rng.choice(
                    ((96, 60, 40), (34, 32, 36), (180, 60, 50), (70, 84, 110), (196, 160, 110))
                ),
                12,
            ),  # fmt: skip
            glasses=rng.choice((0, 0, 0, 1, 2)),
            beard=hair_style in ("short", "crop", "cap") and rng.random() < 0.3,
            folds=rng.randrange(8),
            light_side=rng.choice((-1, 0, 1)),
        )


class _Figure:
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

    def free(self, x: float, y: float) -> Point:
        """Returns where a point of the figure that does not turn with the torso lies."""
        x, y = x * self.scale, (y - 2.5) * self.scale
        return (
            self.pivot[0] + x * self.cos - y * self.sin,
            self.pivot[1] + x * self.sin + y * self.cos,
        )

    def inverse(self, x: np.ndarray, y: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Returns which points (u, v) of the garment lie at pixels of the canvas."""
        dx, dy = (x - self.pivot[0]) / self.scale, (y - self.pivot[1]) / self.scale
        v = -dx * self.sin + dy * self.cos + 2.5
        shift = self.offset + self.person.sway * np.clip(v, 0, 3) / 3
        side = dx * self.cos + dy * self.sin - shift
        return np.where(side > 0, side / self.right, side / self.left), v

    def area(self, points: Sequence[Point], color: Color) -> None:
        self.draw.polygon([self.at(u, v) for u, v in points], fill=color)

    def limb(self, joints: Sequence[Point], widths: Sequence[float], color: Color) -> None:
        """Draws a rounded limb through joints on the canvas, with half widths in units."""
        # First the shaded side of the whole limb, then the lit side, so that joints do not show.
        for tone, inset, shift in ((fabric.shade(color, 0.8), 1.0, 0.0), (color, 0.78, 0.12)):
            bones = zip(joints, joints[1:], widths, widths[1:], strict=False)
            for a, b, start, stop in bones:
                length = math.hypot(b[0] - a[0], b[1] - a[1]) or 1.0
                nx, ny = -(b[1] - a[1]) / length, (b[0] - a[0]) / length
                w0, w1 = start * self.scale * inset, stop * self.scale * inset
                move = shift * self.scale * (start + stop) / 2
                ax, ay, bx, by = a[0] + move, a[1], b[0] + move, b[1]
                self.draw.polygon(
                    [
                        (ax + nx * w0, ay + ny * w0), (bx + nx * w1, by + ny * w1),
                        (bx - nx * w1, by - ny * w1), (ax - nx * w0, ay - ny * w0),
                    ],
                    fill=tone,
                )  # fmt: skip
                for x, y, w in ((ax, ay, w0), (bx, by, w1)):
                    self.draw.ellipse((x - w, y - w, x + w, y + w), fill=tone)

    def lay(self, piece: garment.Piece, *, stretch: float = 1.0) -> None:
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


def _draw_legs(figure: _Figure) -> None:
    person, product = figure.person, figure.product
    skin, cloth = person.skin, person.legs
    bare = product.category == "dress"
    kind = "none" if bare else person.legwear
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
        x, y = ankle
        w, h = 0.3 * figure.scale, 0.2 * figure.scale
        x += side * 0.1 * figure.scale
        figure.draw.ellipse((x - w, y - h * 0.4, x + w, y + h * 1.8), fill=person.shoes)
    if kind == "none":
        return
    if kind == "skirt":
        flare = 1.0 + 0.5 * abs(math.sin(person.folds))
        figure.area([(-0.8, 1.9), (0.8, 1.9), (flare, 4.5), (-flare, 4.5)], cloth)
        for i in (-2, -1, 0, 1, 2):
            ends = [figure.at(i * 0.25, 2.4), figure.at(i * flare / 2.6, 4.45)]
            figure.draw.line(ends, fabric.shade(cloth, 0.8), max(1, round(0.05 * figure.scale)))
    else:
        figure.area([(-0.82, 1.9), (0.82, 1.9), (0.9, 2.9), (0.0, 3.35), (-0.9, 2.9)], cloth)
        figure.draw.line(
            [figure.at(0, 2.5), figure.at(0, 3.4)],
            fabric.shade(cloth, 0.7),
            max(1, round(0.06 * figure.scale)),
        )


def _draw_torso_skin(figure: _Figure) -> None:
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
    line = max(1, round(0.04 * figure.scale))
    for side in (-1, 1):  # the collarbones
        figure.draw.line([figure.at(side * 0.12, 0.3), figure.at(side * 0.6, 0.2)], neck, line)
    if figure.product.category == "coat":
        inner = person.inner
        figure.area(
            [(-0.46, 0.0), *garment.curve((-0.3, 0.1), (0, 0.75), (0.3, 0.1), 6), (0.46, 0.0),
             (0.8, 0.5), (0.8, 2.75), (-0.8, 2.75), (-0.8, 0.5)], inner,
        )  # fmt: skip
        figure.draw.line(
            [figure.at(0.1, 1.0), figure.at(0.02, 2.7)], fabric.shade(inner, 0.85), line
        )


def _head_point(figure: _Figure, x: float, y: float) -> Point:
    """A point of the head, whose centre is (0, 0) and whose height is 1.2 units."""
    return figure.free(figure.offset + x, y - 0.98)


def _ellipse(figure: _Figure, x: float, y: float, rx: float, ry: float, color: Color) -> None:
    cx, cy = _head_point(figure, x, y)
    a, b = rx * figure.scale, ry * figure.scale
    figure.draw.ellipse((cx - a, cy - b, cx + a, cy + b), fill=color)


def _draw_hair_behind(figure: _Figure) -> None:
    person = figure.person
    hair = fabric.shade(person.hair, 0.85)
    style = person.hair_style
    if style == "long":
        outline = garment.mirrored(
            [(0, -0.66), *garment.curve((0, -0.66), (0.66, -0.62), (0.62, 0.2), 6),
             *garment.curve((0.62, 0.2), (0.72, 1.2), (0.5, 1.75), 6), (0, 1.6)]
        )  # fmt: skip
        figure.draw.polygon([_head_point(figure, x, y) for x, y in outline], fill=hair)
    elif style == "bob":
        outline = garment.mirrored(
            [(0, -0.66), *garment.curve((0, -0.66), (0.64, -0.64), (0.62, 0.1), 6),
             (0.6, 0.62), (0.3, 0.66), (0, 0.6)]
        )  # fmt: skip
        figure.draw.polygon([_head_point(figure, x, y) for x, y in outline], fill=hair)
    elif style == "curly":
        for i in range(11):
            angle = math.pi * (0.9 + 1.2 * i / 10)
            _ellipse(figure, 0.5 * math.cos(angle), -0.12 + 0.5 * math.sin(angle), 0.3, 0.3, hair)
    elif style == "ponytail":
        outline = garment.curve((0.2, -0.3), (0.95, -0.1), (0.7, 0.95), 8)
        figure.draw.line(
            [_head_point(figure, x, y) for x, y in outline], hair,
            max(1, round(0.26 * figure.scale)), joint="curve",
        )  # fmt: skip
    elif style == "bun":
        _ellipse(figure, 0, -0.72, 0.24, 0.22, hair)


def _draw_head(figure: _Figure) -> None:
    person = figure.person
    skin, hair, style = person.skin, person.hair, person.hair_style
    look = 0.16 * person.turn  # which way the face looks
    _ellipse(
        figure, 0, 0, 0.47, 0.6, hair if style not in ("crop", "cap") else fabric.shade(skin, 0.9)
    )
    if style == "crop":
        _ellipse(figure, 0, -0.1, 0.46, 0.52, fabric.mix(skin, hair, 0.75))
    for side in (-1, 1):  # ears
        _ellipse(figure, side * 0.43 + look * 0.3, 0.06, 0.07, 0.12, fabric.shade(skin, 0.88))
    _ellipse(figure, look * 0.6, 0.08, 0.4, 0.5, fabric.shade(skin, 0.93))
    _ellipse(figure, look * 0.8 - 0.02, 0.06, 0.36, 0.46, skin)
    if person.beard:
        _ellipse(figure, look, 0.36, 0.31, 0.24, fabric.mix(skin, hair, 0.8))
        _ellipse(figure, look, 0.18, 0.26, 0.17, skin)
    dark = fabric.mix((40, 30, 28), skin, 0.15)
    for side in (-1, 1):
        x = look * 1.5 + side * 0.16
        _ellipse(figure, x, 0.03, 0.075, 0.042, (250, 248, 244))
        _ellipse(figure, x + look * 0.1, 0.03, 0.042, 0.045, dark)
        brow = ((-0.09, -0.095), (0.02, -0.13), (0.1, -0.085))
        points = [_head_point(figure, x + side * dx, y) for dx, y in brow]
        figure.draw.line(points, fabric.shade(hair, 0.8), max(1, round(0.045 * figure.scale)))
    nose = [_head_point(figure, look * 1.9, y) for y in (0.06, 0.2)]
    figure.draw.line(nose, fabric.shade(skin, 0.8), max(1, round(0.05 * figure.scale)))
    _ellipse(figure, look * 1.5, 0.33, 0.12, 0.035, fabric.mix(skin, (170, 50, 60), 0.6))
    if style == "cap":
        cap = fabric.shade(person.extra, 0.95)
        outline = [*garment.curve((-0.5, -0.14), (-0.5, -0.72), (0, -0.72), 6),
                   *garment.curve((0, -0.72), (0.5, -0.72), (0.5, -0.14), 6)]  # fmt: skip
        figure.draw.polygon([_head_point(figure, x, y) for x, y in outline], fill=cap)
        _ellipse(figure, look * 1.6, -0.15, 0.44, 0.09, fabric.shade(cap, 0.75))
    elif style != "crop":
        part = 0.12 if person.folds % 2 else -0.18
        fringe = [*garment.curve((-0.47, 0.05), (-0.5, -0.62), (0, -0.62), 6),
                  *garment.curve((0, -0.62), (0.5, -0.62), (0.47, 0.05), 6)[1:],
                  *garment.curve((0.4, -0.08), (0.36, -0.3), (part, -0.36), 5),
                  *garment.curve((part, -0.36), (-0.3, -0.3), (-0.4, -0.05), 5)]  # fmt: skip
        figure.draw.polygon([_head_point(figure, x, y) for x, y in fringe], fill=hair)
        shine = garment.curve((-0.3, -0.36), (-0.1, -0.56), (0.22, -0.48), 5)
        figure.draw.line([_head_point(figure, x, y) for x, y in shine],
                         fabric.mix(hair, (255, 255, 255), 0.16),
                         max(1, round(0.06 * figure.scale)))  # fmt: skip
    if person.glasses:
        lens = (30, 30, 34) if person.glasses == 2 else None
        line = max(1, round(0.035 * figure.scale))
        for side in (-1, 1):
            cx, cy = _head_point(figure, look * 1.5 + side * 0.17, 0.03)
            a, b = 0.14 * figure.scale, 0.11 * figure.scale
            figure.draw.ellipse((cx - a, cy - b, cx + a, cy + b), lens, (30, 30, 34), line)


def _draw_hair_before(figure: _Figure) -> None:
    """Long hair falls over the shoulders, in front of the garment."""
    person = figure.person
    if person.hair_style != "long":
        return
    both = person.folds % 3
    for side in (-1, 1):
        if both == 0 or (both == 1) == (side == 1):
            strand = [
                *garment.curve((0.4, -0.2), (0.62, 0.5), (0.5, 1.7), 6),
                (0.3, 1.95),
                *garment.curve((0.28, 1.8), (0.4, 0.6), (0.42, 0.2), 6),
            ]
            points = [_head_point(figure, side * x, y) for x, y in strand]
            figure.draw.polygon(points, fill=person.hair)
            shine = [_head_point(figure, side * x, y) for x, y in ((0.5, 0.2), (0.45, 1.5))]
            figure.draw.line(shine, fabric.mix(person.hair, (255, 255, 255), 0.14),
                             max(1, round(0.05 * figure.scale)))  # fmt: skip


def _draw_arm(figure: _Figure, pieces: garment.Sheets, side: int) -> None:
    person = figure.person
    upper, fore = person.arms[0 if side < 0 else 1]
    shoulder = figure.at(side * garment.SHOULDER[0] * 1.02, garment.SHOULDER[1])
    shorten = 0.84 if person.crossed else 1.0
    lean = person.lean * side
    elbow, wrist = garment.arm(shoulder, side, upper - lean, fore - lean, figure.scale, shorten)
    skin = person.skin
    if pieces.sleeve_length < garment.UPPER_ARM + 0.5:
        figure.limb((shoulder, elbow, wrist), (0.25, 0.2, 0.14), skin)
    reach = math.hypot(wrist[0] - elbow[0], wrist[1] - elbow[1]) or 1.0
    along = ((wrist[0] - elbow[0]) / reach, (wrist[1] - elbow[1]) / reach)
    palm = (wrist[0] + along[0] * 0.2 * figure.scale, wrist[1] + along[1] * 0.2 * figure.scale)
    tips = (wrist[0] + along[0] * 0.46 * figure.scale, wrist[1] + along[1] * 0.46 * figure.scale)
    figure.limb((wrist, palm, tips), (0.13, 0.17, 0.09), skin)
    garment.draw_sleeve(figure.canvas, pieces, shoulder, elbow, wrist, figure.scale)


def _draw_extras(figure: _Figure) -> None:
    person = figure.person
    color, dark = person.extra, fabric.shade(person.extra, 0.7)
    side = person.front
    width = max(1, round(0.13 * figure.scale))
    if "strap" in person.extras:
        figure.draw.line([figure.at(-side * 0.62, 0.08), figure.at(side * 0.98, 2.6)], color, width)
        bag = [(0.72, 2.45), (1.5, 2.45), (1.55, 3.2), (0.68, 3.2)]
        figure.area([(side * u, v) for u, v in bag], color)
        flap = [(0.72, 2.45), (1.5, 2.45), (1.45, 2.8), (0.76, 2.8)]
        figure.area([(side * u, v) for u, v in flap], dark)
    if "tote" in person.extras:
        for u in (0.62, 0.9):
            figure.draw.line(
                [figure.at(side * u, 0.12), figure.at(side * (u + 0.35), 2.0)], dark, width
            )
        figure.area(
            [(side * u, v) for u, v in ((0.75, 1.95), (1.65, 1.95), (1.7, 3.2), (0.7, 3.2))], color
        )
    if "scarf" in person.extras:
        figure.area([(-0.5, -0.2), (0.5, -0.2), (0.62, 0.2), (0, 0.42), (-0.62, 0.2)], color)
        end = [(0.12, 0.2), (0.46, 0.2), (0.5, 1.5), (0.18, 1.5)]
        figure.area([(side * u, v) for u, v in end], dark)


def draw_figure(product: Product, person: Person, size: int) -> Image.Image:
    """Draws a person who wears the product.

    Args:
        product: what the person wears.
        person: who, and how.
        size: height and width of the canvas in pixels.

    Returns:
        RGBA image, transparent around the figure.
    """
    pieces = garment.sheets(product, size / 5.0)
    figure = _Figure(product, person, size)
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
        figure.lay(pieces.back, stretch=0.55 if product.category == "hoodie" else 1.0)
    _draw_legs(figure)
    _draw_torso_skin(figure)
    # The front has the folds and the light of this view.
    figure.lay(garment.folded(pieces.front, 10 + person.folds, person.light_side))
    _draw_head(figure)
    _draw_hair_before(figure)
    _draw_extras(figure)
    for side in before:
        _draw_arm(figure, pieces, side)
    return figure.canvas


def draw(product: Product, view: int, image_size: int) -> np.ndarray:
    """Draws one photo of a person who wears the product.

    Args:
        product: what the person wears.
        view: number of the photo.
        image_size: height and width in pixels.

    Returns:
        uint8 (image_size, image_size, 3).
    """
    rng = random.Random(f"view/{product.seed}/{product.product_id}/{view}")
    person = Person.sample(product, rng)
    behind = scene.background(rng, image_size)
    light = scene.Light.sample(rng)
    factor = garment.supersampling(image_size)
    figure = draw_figure(product, person, image_size * factor).reduce(factor)
    return scene.photograph(figure, behind, light, rng.randrange(8))

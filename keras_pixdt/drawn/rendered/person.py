"""Persons who wear a product: pose, viewpoint, crop, looks, and what they carry."""

from __future__ import annotations

import dataclasses
import random

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
        """Draws a person who fits the product at random."""
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
        if rng.random() < 0.5:  # the mirror image, except for the print on the chest
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

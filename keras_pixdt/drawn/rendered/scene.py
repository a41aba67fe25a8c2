"""The place where a person stands: backgrounds, scenes, and the light of the photo."""

from __future__ import annotations

import dataclasses
import functools
import math
import random
from collections.abc import Callable

import numpy as np
from PIL import Image, ImageDraw, ImageFilter

from keras_pixdt.drawn.rendered import fabric
from keras_pixdt.drawn.rendered.product import Color, vary

# Each place is drawn in this many variants per process; a view shows a part of one of them, at its
# own scale and in its own light.
_VARIANTS = 6
# A place is drawn this much larger than the image, so that views can show parts of it.
_MARGIN = 1.5

_Draw = ImageDraw.ImageDraw


def _textured(image: Image.Image, strength: float, cells: int, seed: int) -> Image.Image:
    """Adds smooth and fine noise, which takes the look of flat paint from a surface."""
    side = image.width
    noise = fabric.smooth_noise(side, side, cells, seed) * strength
    noise = noise + fabric.smooth_noise(side, side, max(2, side // 2), seed + 1) * strength * 0.5
    color = np.asarray(image, np.float32) + noise[..., None]
    return Image.fromarray(np.clip(color, 0, 255).astype(np.uint8))


def _gradient(draw: _Draw, box: tuple[float, float, float, float], top: Color, low: Color) -> None:
    x0, y0, x1, y1 = box
    steps = max(1, round(y1 - y0))
    for i in range(steps):
        color = fabric.mix(top, low, i / steps)
        draw.line((x0, y0 + i, x1, y0 + i), fill=color, width=2)


def _brick_wall(draw: _Draw, n: int, rng: random.Random) -> None:
    brick = rng.choice(((160, 74, 56), (142, 92, 70), (186, 170, 152), (112, 62, 54)))
    mortar = rng.choice(((196, 188, 176), (120, 112, 104)))
    draw.rectangle((0, 0, n, n), fill=mortar)
    height = n / rng.choice((14, 18, 22))
    width, joint = height * 2.4, height * 0.14
    for row in range(int(n / height) + 1):
        x = -width * (0.5 if row % 2 else 0.0)
        while x < n:
            color = fabric.shade(brick, rng.uniform(0.82, 1.15))
            draw.rectangle((x, row * height, x + width - joint, (row + 1) * height - joint), color)
            x += width


def _street(draw: _Draw, n: int, rng: random.Random) -> None:
    _gradient(draw, (0, 0, n, n * 0.5), vary(rng, (150, 190, 228), 20), (226, 232, 236))
    ground = n * rng.uniform(0.68, 0.8)
    x = -n * rng.uniform(0, 0.1)
    while x < n:
        width = n * rng.uniform(0.2, 0.38)
        top = n * rng.uniform(0.0, 0.25)
        wall = vary(rng, rng.choice(((176, 160, 140), (150, 120, 104), (128, 132, 140),
                                     (206, 196, 178), (110, 102, 100))), 12)  # fmt: skip
        draw.rectangle((x, top, x + width, ground), fill=wall)
        draw.line((x, top, x, ground), fill=fabric.shade(wall, 0.7), width=max(1, n // 90))
        pane = vary(rng, (70, 84, 104), 20)
        columns = rng.choice((2, 3))
        step_x, step_y = width / (columns + 0.4), n * 0.13
        y = top + step_y * 0.4
        while y + step_y < ground - n * 0.12:
            for i in range(columns):
                wx = x + step_x * (i + 0.35)
                draw.rectangle((wx, y, wx + step_x * 0.6, y + step_y * 0.62), fill=pane)
            y += step_y
        shop = vary(
            rng, rng.choice(((160, 60, 50), (50, 80, 70), (60, 66, 90), (190, 160, 80))), 15
        )
        draw.rectangle((x + width * 0.08, ground - n * 0.14, x + width * 0.92, ground), fill=shop)
        x += width
    draw.rectangle((0, ground, n, n), fill=vary(rng, (150, 148, 146), 12))
    draw.rectangle((0, ground, n, ground + n * 0.015), fill=(104, 102, 102))
    for i in range(-6, 7):  # joints of the pavement run to the vanishing point
        draw.line((n * 0.5 + i * n * 0.1, ground, n * 0.5 + i * n * 0.3, n), fill=(128, 126, 126),
                  width=max(1, n // 140))  # fmt: skip


def _foliage(draw: _Draw, rng: random.Random, x: float, y: float, r: float, green: Color) -> None:
    for _ in range(34):
        angle, distance = rng.uniform(0, 2 * math.pi), r * math.sqrt(rng.random())
        cx, cy = x + distance * math.cos(angle), y + distance * math.sin(angle)
        size = r * rng.uniform(0.14, 0.3)
        color = fabric.shade(green, rng.uniform(0.65, 1.3) - 0.25 * (cy - y) / r)
        draw.ellipse((cx - size, cy - size, cx + size, cy + size), fill=color)


def _park(draw: _Draw, n: int, rng: random.Random) -> None:
    horizon = n * rng.uniform(0.5, 0.65)
    _gradient(draw, (0, 0, n, horizon), vary(rng, (140, 190, 232), 16), (224, 236, 240))
    green = vary(rng, (84, 128, 58), 18)
    for _ in range(7):
        x, r = rng.uniform(0, n), n * rng.uniform(0.14, 0.24)
        trunk = n * 0.02
        draw.rectangle((x - trunk, horizon - r, x + trunk, horizon + n * 0.03), fill=(92, 68, 50))
        _foliage(draw, rng, x, horizon - r * 1.3, r, vary(rng, green, 14))
    _gradient(draw, (0, horizon, n, n), fabric.shade(green, 1.2), fabric.shade(green, 0.8))
    for _ in range(260):  # blades of grass
        x, y = rng.uniform(0, n), rng.uniform(horizon, n)
        size = n * 0.008 + (y - horizon) * 0.05
        color = fabric.shade(green, rng.uniform(0.75, 1.35))
        draw.line((x, y, x + rng.uniform(-0.4, 0.4) * size, y - size), color, max(1, n // 160))
    if rng.random() < 0.5:
        draw.polygon(
            [(n * 0.4, horizon), (n * 0.46, horizon), (n * 0.8, n), (n * 0.2, n)],
            fill=vary(rng, (190, 174, 146), 10),
        )


def _hedge(draw: _Draw, n: int, rng: random.Random) -> None:
    green = vary(rng, rng.choice(((60, 104, 52), (96, 120, 56), (150, 96, 48))), 12)
    draw.rectangle((0, 0, n, n), fill=fabric.shade(green, 0.55))
    for _ in range(420):
        x, y, size = rng.uniform(0, n), rng.uniform(0, n), n * rng.uniform(0.018, 0.045)
        slant = rng.uniform(-0.8, 0.8) * size
        draw.polygon(
            [
                (x - size, y + slant),
                (x, y - size * 0.5),
                (x + size, y - slant),
                (x, y + size * 0.5),
            ],
            fill=fabric.shade(green, rng.uniform(0.6, 1.45)),
        )


def _room(draw: _Draw, n: int, rng: random.Random) -> None:
    wall = vary(rng, rng.choice(((214, 204, 188), (176, 190, 196), (196, 170, 156),
                                 (120, 136, 128), (226, 222, 214))), 10)  # fmt: skip
    floor_y = n * rng.uniform(0.74, 0.84)
    _gradient(draw, (0, 0, n, floor_y), wall, fabric.shade(wall, 0.88))
    wood = vary(rng, (150, 108, 72), 20)
    draw.rectangle((0, floor_y, n, n), fill=wood)
    for i in range(-9, 10):
        draw.line((n * 0.5 + i * n * 0.08, floor_y, n * 0.5 + i * n * 0.2, n),
                  fill=fabric.shade(wood, 0.8), width=max(1, n // 140))  # fmt: skip
    draw.rectangle((0, floor_y - n * 0.03, n, floor_y), fill=fabric.mix(wall, (255, 255, 255), 0.6))
    for x in (rng.uniform(0.04, 0.14), rng.uniform(0.62, 0.74)):
        thing = rng.choice(("window", "picture", "shelf", "plant", "lamp"))
        left, top, w = x * n, n * rng.uniform(0.12, 0.22), n * rng.uniform(0.2, 0.26)
        if thing == "window":
            frame = (244, 244, 240)
            draw.rectangle((left, top, left + w, top + w * 1.5), fill=frame)
            for i in range(2):
                for j in range(2):
                    px, py = left + w * (0.07 + 0.46 * i), top + w * (0.07 + 0.72 * j)
                    draw.rectangle((px, py, px + w * 0.4, py + w * 0.64), fill=(178, 208, 232))
        elif thing == "picture":
            draw.rectangle((left, top, left + w, top + w * 1.2), fill=(60, 50, 44))
            box = (left + w * 0.1, top + w * 0.1, left + w * 0.9, top + w * 1.1)
            draw.rectangle(box, fill=vary(rng, (190, 160, 120), 50))
            draw.ellipse((left + w * 0.3, top + w * 0.4, left + w * 0.7, top + w * 0.8),
                         fill=vary(rng, (120, 120, 140), 80))  # fmt: skip
        elif thing == "shelf":
            for level in range(3):
                y = top + w * (0.55 + 0.7 * level)
                bx = left
                while bx < left + w:
                    bw, bh = w * rng.uniform(0.06, 0.14), w * rng.uniform(0.3, 0.5)
                    draw.rectangle((bx, y - bh, bx + bw, y), fill=vary(rng, (130, 110, 100), 70))
                    bx += bw
                draw.rectangle((left - w * 0.05, y, left + w * 1.05, y + w * 0.06), fill=wood)
        elif thing == "plant":
            _foliage(draw, rng, left + w / 2, floor_y - w * 1.2, w * 0.6, (70, 120, 66))
            pot = ((0.25, -0.6), (0.75, -0.6), (0.65, 0.05), (0.35, 0.05))
            draw.polygon([(left + w * x, floor_y + w * y) for x, y in pot], fill=(176, 104, 72))
        else:
            draw.line((left + w / 2, top + w, left + w / 2, floor_y), (70, 66, 62), max(1, n // 80))
            draw.polygon([(left + w * 0.3, top + w * 0.4), (left + w * 0.7, top + w * 0.4),
                          (left + w * 0.95, top + w), (left + w * 0.05, top + w)],
                         fill=(250, 232, 186))  # fmt: skip


def _studio(draw: _Draw, n: int, rng: random.Random) -> None:
    papers = ((206, 206, 208), (168, 184, 200), (214, 190, 176), (120, 122, 130), (188, 200, 178),
              (200, 186, 206))  # fmt: skip
    paper = vary(rng, rng.choice(papers), 12)
    floor_y = n * rng.uniform(0.7, 0.82)
    _gradient(draw, (0, 0, n, floor_y), fabric.shade(paper, 0.8), fabric.shade(paper, 1.12))
    _gradient(draw, (0, floor_y, n, n), fabric.shade(paper, 1.12), fabric.shade(paper, 0.72))


def _tiles(draw: _Draw, n: int, rng: random.Random) -> None:
    tile = vary(rng, rng.choice(((226, 228, 226), (150, 190, 190), (90, 120, 140),
                                 (216, 196, 160))), 12)  # fmt: skip
    other = fabric.shade(tile, rng.choice((0.97, 0.97, 0.7)))
    draw.rectangle((0, 0, n, n), fill=fabric.shade(tile, 0.72))
    count = rng.choice((9, 12, 16))
    step = n / count
    for i in range(count):
        for j in range(count):
            color = fabric.shade(tile if (i + j) % 2 else other, rng.uniform(0.94, 1.05))
            draw.rectangle((i * step, j * step, (i + 0.93) * step, (j + 0.93) * step), fill=color)


def _bokeh(draw: _Draw, n: int, rng: random.Random) -> None:
    night = vary(rng, rng.choice(((28, 30, 48), (44, 34, 34), (30, 46, 44), (96, 88, 82))), 8)
    _gradient(draw, (0, 0, n, n), fabric.shade(night, 1.3), fabric.shade(night, 0.8))
    for _ in range(46):
        x, y, r = rng.uniform(0, n), rng.uniform(0, n * 0.9), n * rng.uniform(0.02, 0.06)
        light = rng.choice(((255, 214, 140), (255, 170, 90), (190, 210, 255), (255, 240, 220),
                            (240, 110, 100)))  # fmt: skip
        color = fabric.mix(night, light, rng.uniform(0.25, 0.8))
        draw.ellipse((x - r, y - r, x + r, y + r), fill=color)


def _planks(draw: _Draw, n: int, rng: random.Random) -> None:
    wood = vary(
        rng, rng.choice(((146, 104, 70), (176, 156, 130), (96, 104, 110), (196, 200, 196))), 10
    )
    width = n / rng.choice((7, 9, 12))
    x = 0.0
    while x < n:
        plank = fabric.shade(wood, rng.uniform(0.82, 1.12))
        draw.rectangle((x, 0, x + width, n), fill=plank)
        for _ in range(5):  # the grain
            gx = x + rng.uniform(0.1, 0.9) * width
            draw.line((gx, 0, gx + rng.uniform(-0.1, 0.1) * width, n), fabric.shade(plank, 0.9),
                      max(1, n // 200))  # fmt: skip
        draw.line((x, 0, x, n), fill=fabric.shade(wood, 0.5), width=max(1, n // 110))
        x += width


def _concrete(draw: _Draw, n: int, rng: random.Random) -> None:
    wall = vary(rng, (164, 162, 158), 7)
    draw.rectangle((0, 0, n, n), fill=wall)
    step = n / rng.choice((2.5, 3.5))
    line = max(1, n // 130)
    for i in range(5):
        draw.line((i * step, 0, i * step, n), fill=fabric.shade(wall, 0.75), width=line)
        draw.line((0, i * step, n, i * step), fill=fabric.shade(wall, 0.75), width=line)
        for j in range(5):
            x, y, r = (i + 0.12) * step, (j + 0.12) * step, n * 0.008
            draw.ellipse((x - r, y - r, x + r, y + r), fill=fabric.shade(wall, 0.6))
    if rng.random() < 0.6:  # graffiti
        for _ in range(4):
            x, y = rng.uniform(0, n), rng.uniform(0.1 * n, 0.8 * n)
            points = [(x + rng.uniform(-0.2, 0.2) * n, y + rng.uniform(-0.1, 0.1) * n)
                      for _ in range(5)]  # fmt: skip
            draw.line(points, vary(rng, (150, 110, 150), 90), max(2, n // 36), joint="curve")


def _beach(draw: _Draw, n: int, rng: random.Random) -> None:
    horizon = n * rng.uniform(0.4, 0.52)
    shore = horizon + n * rng.uniform(0.16, 0.26)
    _gradient(draw, (0, 0, n, horizon), vary(rng, (110, 170, 224), 20), (214, 230, 238))
    _gradient(draw, (0, horizon, n, shore), (34, 104, 150), (96, 178, 190))
    for _ in range(22):
        x, y = rng.uniform(0, n), rng.uniform(horizon, shore)
        draw.line((x, y, x + n * rng.uniform(0.05, 0.14), y), (196, 224, 230), max(1, n // 170))
    _gradient(draw, (0, shore, n, n), (226, 206, 164), (200, 174, 128))
    draw.rectangle((0, shore - n * 0.012, n, shore + n * 0.008), fill=(244, 246, 244))


def _curtain(draw: _Draw, n: int, rng: random.Random) -> None:
    cloth = vary(
        rng, rng.choice(((150, 50, 56), (196, 186, 170), (70, 90, 120), (120, 130, 96))), 14
    )
    folds = rng.choice((7, 10, 14))
    for x in range(n):
        phase = math.sin(x / n * folds * 2 * math.pi + 1.2 * math.sin(x / n * 9))
        draw.line((x, 0, x, n), fill=fabric.shade(cloth, 0.88 + 0.22 * phase))


def _shop(draw: _Draw, n: int, rng: random.Random) -> None:
    wall = vary(rng, (208, 200, 190), 7)
    _gradient(draw, (0, 0, n, n), wall, fabric.shade(wall, 0.82))
    for rail in (0.12, 0.55):
        y = rail * n
        draw.line((0, y, n, y), fill=(70, 70, 74), width=max(1, n // 70))
        x = 0.0
        while x < n:
            width = n * rng.uniform(0.03, 0.07)
            color = vary(rng, rng.choice(((60, 60, 70), (190, 180, 168), (120, 100, 90))), 36)
            low = y + n * rng.uniform(0.26, 0.36)
            draw.polygon([(x + width * 0.4, y), (x + width, y + n * 0.04), (x + width, low),
                          (x, low), (x, y + n * 0.04)], fill=color)  # fmt: skip
            x += width * 1.06


def _stairs(draw: _Draw, n: int, rng: random.Random) -> None:
    stone = vary(rng, (170, 166, 158), 7)
    _gradient(draw, (0, 0, n, n * 0.35), fabric.shade(stone, 0.6), fabric.shade(stone, 0.75))
    for i in range(5):  # columns
        x = n * (0.04 + 0.23 * i)
        for j in range(8):
            color = fabric.shade(stone, 0.8 + 0.3 * math.sin(math.pi * (j + 0.5) / 8))
            draw.rectangle((x + j * n * 0.011, 0, x + (j + 1) * n * 0.011, n * 0.35), fill=color)
    y, height = n * 0.35, n * 0.05
    while y < n:
        draw.rectangle((0, y, n, y + height * 0.45), fill=fabric.shade(stone, 1.15))
        draw.rectangle((0, y + height * 0.45, n, y + height), fill=fabric.shade(stone, 0.8))
        y, height = y + height, height * 1.12


# Each place: how it is drawn, how strong the noise on it is, and how far it may be out of focus.
_PLACES: tuple[tuple[Callable[[_Draw, int, random.Random], None], float, float], ...] = (
    (_brick_wall, 9.0, 0.004),
    (_street, 6.0, 0.02),
    (_street, 6.0, 0.02),
    (_park, 8.0, 0.02),
    (_hedge, 5.0, 0.02),
    (_room, 4.0, 0.012),
    (_room, 4.0, 0.012),
    (_studio, 3.0, 0.0),
    (_tiles, 4.0, 0.006),
    (_bokeh, 3.0, 0.012),
    (_planks, 7.0, 0.006),
    (_concrete, 10.0, 0.006),
    (_beach, 5.0, 0.014),
    (_curtain, 3.0, 0.006),
    (_shop, 4.0, 0.02),
    (_stairs, 6.0, 0.014),
)


@functools.lru_cache(maxsize=len(_PLACES) * _VARIANTS)
def _place(index: int, variant: int, image_size: int) -> Image.Image:
    """One place, larger than the image. Independent of everything but the arguments."""
    paint, strength, blur = _PLACES[index]
    rng = random.Random(f"place/{index}/{variant}")
    side = round(image_size * _MARGIN)
    large = Image.new("RGB", (2 * side, 2 * side))
    paint(ImageDraw.Draw(large), 2 * side, rng)
    image = _textured(large.reduce(2), strength, 7, 10 * index + variant)
    radius = blur * side * rng.random()
    return image.filter(ImageFilter.GaussianBlur(radius)) if radius > 0.3 else image


def background(rng: random.Random, image_size: int) -> Image.Image:
    """Returns a part of a place at random: RGB image, `image_size` on each side."""
    index, variant = rng.randrange(len(_PLACES)), rng.randrange(_VARIANTS)
    place = _place(index, variant, image_size)
    part = place.width * rng.uniform(0.62, 1.0)
    left, top = rng.uniform(0, place.width - part), rng.uniform(0, place.width - part)
    image = place.resize(
        (image_size, image_size), Image.Resampling.BILINEAR, (left, top, left + part, top + part)
    )
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if rng.random() < 0.5 else image


@dataclasses.dataclass(frozen=True)
class Light:
    """The light of one photo.

    Attributes:
        brightness: factor.
        warmth: positive makes the picture redder, negative bluer.
        contrast: factor around the middle grey.
        side: how much darker one side is than the other, signed.
        vignette: how much darker the corners are.
        shadow: darkness of the shadow on the background.
        shadow_shift: where the shadow falls, as shares of the image.
        grain: standard deviation of the noise, in 0..255.
    """

    brightness: float
    warmth: float
    contrast: float
    side: float
    vignette: float
    shadow: float
    shadow_shift: tuple[float, float]
    grain: float

    @classmethod
    def sample(cls, rng: random.Random) -> Light:
        """Draws a light at random."""
        return cls(
            brightness=rng.uniform(0.86, 1.12),
            warmth=rng.uniform(-0.09, 0.09),
            contrast=rng.uniform(0.88, 1.14),
            side=rng.uniform(-0.3, 0.3),
            vignette=rng.choice((0.0, rng.uniform(0.05, 0.4))),
            shadow=rng.uniform(0.1, 0.5),
            shadow_shift=(rng.uniform(-0.06, 0.06), rng.uniform(0.0, 0.03)),
            grain=rng.choice((0.0, rng.uniform(0.5, 4.0))),
        )


@functools.lru_cache(maxsize=4)
def _coordinates(size: int) -> tuple[np.ndarray, np.ndarray]:
    """Columns in [-1, 1] of shape (1, size, 1), and squared distance from the centre."""
    x = np.linspace(-1, 1, size, dtype=np.float32)
    return x[None, :, None], (x[None, :] ** 2 + x[:, None] ** 2)[..., None]


@functools.lru_cache(maxsize=16)
def _grain(size: int, kind: int) -> np.ndarray:
    noise = np.random.RandomState(900 + kind).standard_normal((size, size, 1))
    return noise.astype(np.float32)


def photograph(figure: Image.Image, behind: Image.Image, light: Light, kind: int) -> np.ndarray:
    """Puts a figure before a background, in a light.

    Args:
        figure: RGBA, as large as `behind`.
        behind: RGB background, square.
        light: the light.
        kind: number that chooses the grain.

    Returns:
        uint8 (size, size, 3).
    """
    size = behind.width
    alpha = figure.getchannel("A")
    if light.shadow > 0.15:
        shift_x, shift_y = (round(s * size) for s in light.shadow_shift)
        fall = Image.new("L", behind.size, 0)
        fall.paste(alpha.point([round(a * light.shadow) for a in range(256)]), (shift_x, shift_y))
        fall = fall.filter(ImageFilter.BoxBlur(size * 0.03))
        behind = behind.copy()
        behind.paste((20, 20, 28), (0, 0), fall)
    behind = behind.convert("RGB")
    behind.paste(figure, (0, 0), alpha)
    x, distance = _coordinates(size)
    warm = np.array([1 + light.warmth, 1.0, 1 - light.warmth], np.float32)
    factor = (1 + 0.5 * light.side * x) * (1 - 0.5 * light.vignette * distance)
    color: np.ndarray = (np.asarray(behind, np.float32) - 128) * light.contrast + 128
    color = color * (light.brightness * factor * warm)
    if light.grain:
        color = color + light.grain * _grain(size, kind)
    return np.clip(color + 0.5, 0, 255).astype(np.uint8)

"""Persons, drawn from a seed: photos of their heads, and the flat avatar of each.

They stand in for the faces and emoji of Taigman et al. 2017, Sec. 5.2. An avatar shows a person's
`Traits` and nothing else, so the right avatar of each photo is known. Photos show much more: the
shape of the head and its parts, shades, clothes, pose, light and ground. NumPy and Pillow only.

Differs from the paper of Taigman et al., whose faces and emoji are not available:
- The paper has a million photos and emoji of bitmoji.com (Sec. 5.2). Here heads
  (`keras_pixdt.drawn.azimuth`) and avatars are drawn.

Example:
    ```python
    from keras_pixdt.drawn import portraits

    people = portraits.sample_people(10, seed=0)
    photos = portraits.draw_photos(people, 2, image_size=64)
    avatars = portraits.draw_avatars([person.traits for person in people], image_size=64)
    ```
"""

from __future__ import annotations

import contextlib
import functools
import itertools
import os
import random
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from PIL import Image, ImageDraw

from keras_pixdt import progress
from keras_pixdt.drawn.azimuth import head
from keras_pixdt.drawn.azimuth.head import COUNTS, HAIRS, SKINS, STYLES, Traits
from keras_pixdt.drawn.azimuth.render import Model, centred, render_model
from keras_pixdt.workers import process_pool

LARGEST_AZIMUTH = 30.0  # degrees, to each side
_ELEVATIONS = (-6.0, 6.0)  # degrees
_ZOOM = 1.3  # the head fills the picture
_SCALE = 4  # avatars are drawn this many times larger, then averaged


class Person(NamedTuple):
    """A person.

    Attributes:
        seed: of the set that the person belongs to.
        number: of the person, within it.
        traits: what the avatar shows.
    """

    seed: int
    number: int
    traits: Traits


def sample_people(count: int, seed: int = 0) -> list[Person]:
    """Persons whose traits are independent, and all values equally probable.

    Args:
        count: how many, at least 1; those of a smaller count are the first of a larger one.
        seed: of the set. Persons of other sets are others.

    Raises:
        ValueError: less than one person.
    """
    if count < 1:
        raise ValueError(f"`count` must be at least 1. Received: {count}")
    people = []
    for number in range(count):
        rng = random.Random(f"traits/{seed}/{number}")
        people.append(Person(seed, number, Traits(*map(rng.randrange, COUNTS))))
    return people


def all_traits() -> list[Traits]:
    """Every combination of traits, each of which has its own avatar."""
    return [Traits(*values) for values in itertools.product(*map(range, COUNTS))]


# Photos


def draw_photos(
    people: Sequence[Person], views: int, image_size: int = 64, processes: int | None = None
) -> np.ndarray:
    """Photos of persons, each in another pose and light and before another ground.

    Args:
        people: who.
        views: photos of each person; those of a smaller number are the first of a larger one.
        image_size: side in pixels, at least 16.
        processes: how many draw; None takes one per core. The photos do not depend on it.

    Returns:
        uint8 (persons, views, image_size, image_size, 3).

    Raises:
        ValueError: less than one person or view, or a size that the renderer does not take.
        RuntimeError: if the other processes cannot start.
    """
    if not people or views < 1:
        raise ValueError(
            "`people` and `views` must be at least one. "
            f"Received: {len(people)} people, views={views}"
        )
    photos = np.empty((len(people), views, image_size, image_size, 3), np.uint8)
    draw = functools.partial(_photos_of, views=views, image_size=image_size)
    workers = min(processes or os.cpu_count() or 1, len(people))
    with contextlib.nullcontext() if workers == 1 else process_pool(workers) as pool:
        drawn = map(draw, people) if pool is None else pool.map(draw, people, chunksize=4)
        for i, found in enumerate(progress.bar("Drawing portraits", drawn, len(people))):
            photos[i] = found
    return photos


def _photos_of(person: Person, views: int, image_size: int) -> np.ndarray:
    key = f"{person.seed}/{person.number}"
    built = head.build(random.Random(f"portrait/{key}"), person.traits)
    model = Model("head", person.number, person.seed, centred(built))
    side = round(_ZOOM * image_size)
    top, left = (side - image_size) // 8, (side - image_size) // 2
    photos = []
    for view in range(views):
        rng = np.random.default_rng((person.seed, person.number, view))
        turned = rng.uniform(-LARGEST_AZIMUTH, LARGEST_AZIMUTH)
        large = render_model(model, turned, side, True, rng.uniform(*_ELEVATIONS))
        photos.append(_taken(large[top : top + image_size, left : left + image_size], rng))
    return np.stack(photos)


def _taken(view: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """A view, uint8 (s, s, 4) with its coverage, in some light and before some ground."""
    scaled = view / 255.0
    cover = scaled[..., 3:]
    across = np.linspace(-1, 1, len(view))[:, None]
    slope = across * rng.normal(0, 0.06, 3)
    ground = rng.uniform(0.35, 0.95) + rng.normal(0, 0.06, 3)
    ground = ground + slope[:, None] + slope[None, :]
    light = rng.uniform(0.85, 1.1) + rng.normal(0, 0.02, 3)
    head_part = np.maximum(scaled[..., :3] - (1 - cover), 0)  # views are on white
    image = light * head_part + (1 - cover) * np.clip(ground, 0, 1)
    image = image + rng.normal(0, 0.012, image.shape)
    return np.rint(255 * np.clip(image, 0, 1)).astype(np.uint8)


# Avatars


def draw_avatars(traits: Sequence[Traits], image_size: int = 64) -> np.ndarray:
    """The avatars of these traits: flat colours on white, always in the same place.

    Args:
        traits: of each avatar.
        image_size: side in pixels.

    Returns:
        uint8 (n, image_size, image_size, 3).
    """
    shape = (len(traits), image_size, image_size, 3)
    return np.array([_avatar(one, image_size) for one in traits], np.uint8).reshape(shape)


def _rgb(color: Sequence[float] | np.ndarray, factor: float = 1.0) -> tuple[int, ...]:
    return tuple(round(255 * min(1.0, factor * channel)) for channel in color)


def _avatar(traits: Traits, image_size: int) -> np.ndarray:
    side = _SCALE * image_size
    image = Image.new("RGB", (side, side), "white")
    pen = ImageDraw.Draw(image)

    def box(x: float, y: float, wide: float, high: float) -> tuple[float, ...]:
        """Around a center; all in shares of the side."""
        return tuple(side * v for v in (x - wide, y - high, x + wide, y + high))

    skin, hair, dark = _rgb(SKINS[traits.skin]), _rgb(HAIRS[traits.hair]), (30, 30, 36)
    style = STYLES[traits.style]
    half = (0.23, 0.30)[traits.face]
    if style in ("long", "bob"):  # what hangs behind
        end = 0.98 if style == "long" else 0.72
        pen.rounded_rectangle(
            (side * (0.44 - half), side * 0.12, side * (0.56 + half), side * end), 0.16 * side, hair
        )
    pen.rectangle(box(0.5, 0.88, 0.11, 0.12), _rgb(SKINS[traits.skin], 0.9))  # the neck
    for ear in (0.5 - half, 0.5 + half):
        pen.ellipse(box(ear, 0.52, 0.045, 0.07), skin)
    face = box(0.5, 0.5, half, 0.36)
    pen.ellipse(face, skin)
    if traits.beard:
        pen.chord(face, 25, 155, hair)
    if style != "bald":
        pen.chord(box(0.5, 0.46, half + 0.03, 0.36), 198, 342, hair)
    for eye in (0.5 - 0.48 * half, 0.5 + 0.48 * half):
        pen.ellipse(box(eye, 0.5, 0.032, 0.038), dark)
        pen.rectangle(box(eye, 0.415, 0.06, 0.014), _rgb(HAIRS[traits.hair], 0.8))
        if traits.glasses:
            pen.ellipse(box(eye, 0.5, 0.095, 0.085), outline=dark, width=round(0.024 * side))
    if traits.glasses:
        pen.rectangle(box(0.5, 0.49, 0.48 * half - 0.09, 0.012), dark)
    lips = _rgb(np.array(SKINS[traits.skin]) * (0.86, 0.5, 0.5))
    pen.ellipse(box(0.5, 0.71, (0.06, 0.13)[traits.mouth], 0.026), lips)
    return np.asarray(image.reduce(_SCALE))

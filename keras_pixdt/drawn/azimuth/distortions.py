"""Views as generators may draw them: on other backgrounds, in other colours, noisy, blurred.

Views are drawn on white, but a generator's images are not. A network that judges translations must
not mistake a gray background or a blur for another azimuth, so it is trained on `distort`ed views
and tested on each of `DISTORTIONS`. NumPy only.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping

import numpy as np

_AT_ONCE = 256  # images, which bounds the memory
_SHARE = 0.5  # of the images have each of the distortions that are drawn
_GRAY = 225 / 255  # the grounds of models that are not yet trained well


def distort(views: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    """Distorts each view at random: background, colours, sharpness, place, and noise of all kinds.

    Args:
        views: uint8 (count, size, size, 4), RGB on white and coverage; see `render_views`.
        rng: what is drawn from.

    Returns:
        float32 (count, size, size, 3) in [-1, 1]; objects still look to the same side.

    Raises:
        ValueError: if `views` have no coverage.

    Example:
        >>> pictures, _ = render_views("car", 2, 32, processes=1, coverage=True)
        >>> distort(pictures.reshape(-1, 32, 32, 4), np.random.default_rng(0)).shape
        (22, 32, 32, 3)
    """
    _check(views)
    distorted = np.empty((*views.shape[:3], 3), np.float32)
    for start in range(0, len(views), _AT_ONCE):
        part = slice(start, start + _AT_ONCE)
        distorted[part] = _distort(views[part], rng)
    return distorted


def _distort(views: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    count, size = views.shape[:2]

    def strength(largest: float) -> np.ndarray:
        """From 0 to the largest, for each image; 0 for those that are spared."""
        drawn = rng.uniform(0, largest, (count, 1, 1, 1)) * (rng.random((count, 1, 1, 1)) < _SHARE)
        return drawn.astype(np.float32)

    object_, cover = _parts(views)
    object_ = _recolor(object_, cover, strength(1), rng)
    level = 1 - strength(0.6)  # from white to dark gray
    tint = strength(0.3) * rng.uniform(-1, 1, (count, 1, 1, 3)).astype(np.float32)
    ground = level + tint + strength(0.25) * _gradient(count, size, rng)
    ground = ground + strength(0.12) * _smooth(count, size, rng)
    images = object_ + (1 - cover) * np.clip(ground, 0, 1)
    images = _resample(images, strength(1.2), strength(1.5), strength(0.1), rng)
    images += strength(0.08) * _smooth(count, size, rng)
    images += strength(0.08) * _checkers(count, size, rng)
    images += strength(0.15) * _noise(images.shape, rng)
    return _finish(images)


def _check(views: np.ndarray) -> None:
    if views.ndim != 4 or views.shape[-1] != 4 or views.dtype != np.uint8:
        raise ValueError(
            "`views` must be uint8 (count, size, size, 4), drawn with `coverage=True`. "
            f"Received: {views.dtype} {views.shape}"
        )


def _parts(views: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """The objects' part of each pixel, and the share of the pixel that they cover; in [0, 1]."""
    scaled = views.astype(np.float32) / 255
    cover = scaled[..., 3:]
    return np.maximum(scaled[..., :3] - (1 - cover), 0), cover


def _finish(images: np.ndarray) -> np.ndarray:
    """To [-1, 1]."""
    return 2 * np.clip(images, 0, 1) - 1


def _noise(shape: tuple[int, ...], rng: np.random.Generator) -> np.ndarray:
    return rng.standard_normal(shape, np.float32)


def _recolor(
    object_: np.ndarray, cover: np.ndarray, strength: np.ndarray, rng: np.random.Generator
) -> np.ndarray:
    """Mixes channels, and changes contrast and brightness; `strength` is (count, 1, 1, 1)."""
    count = len(object_)
    mixed = rng.dirichlet(np.ones(3), (count, 3)).astype(np.float32)
    gain = rng.uniform(0.4, 1.3, (count, 1, 1)).astype(np.float32)
    offset = rng.uniform(0, 0.4, (count, 1, 1, 1)).astype(np.float32)
    share = strength[:, 0]
    matrix = (1 - share) * np.eye(3, dtype=np.float32) + share * gain * mixed
    channels = np.einsum("nyxc,ndc->nyxd", object_, matrix, optimize=True)
    return np.clip(channels + strength * offset * cover, 0, cover)


def _gradient(count: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """From -1 to 1 across the picture, in any direction: (count, size, size, 1)."""
    across = np.linspace(-1, 1, size, dtype=np.float32)
    angle = rng.uniform(0, 2 * np.pi, (count, 1, 1, 1)).astype(np.float32)
    return np.cos(angle) * across[None, None, :, None] + np.sin(angle) * across[None, :, None, None]


def _smooth(count: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """Noise of patches, in one of three sizes for the batch: (count, size, size, 3)."""
    cells = int(rng.choice((3, 5, 9)))
    place = np.linspace(0, cells - 1, size)[:, None]
    weight = np.maximum(1 - np.abs(place - np.arange(cells)), 0).astype(np.float32)
    coarse = _noise((count, cells, cells, 3), rng)
    return np.einsum("yi,nijc,xj->nyxc", weight, coarse, weight, optimize=True)


def _checkers(count: int, size: int, rng: np.random.Generator) -> np.ndarray:
    """A pattern that repeats every two or four pixels, as transposed convolutions leave it."""
    period = int(rng.choice((2, 4)))
    tile = _noise((count, period, period, 3), rng)
    tile -= tile.mean(axis=(1, 2), keepdims=True)
    times = -(-size // period)
    return np.tile(tile, (1, times, times, 1))[:, :size, :size]


def _resample(
    images: np.ndarray,
    blur: np.ndarray,
    shift: np.ndarray,
    zoom: np.ndarray,
    rng: np.random.Generator,
) -> np.ndarray:
    """Blurs, moves and stretches; arguments are (count, 1, 1, 1), in pixels of 1/32 of the side."""
    count, size = images.shape[:2]
    middle = (size - 1) / 2
    place = np.arange(size, dtype=np.float32) - np.float32(middle)
    # Below .3 px a Gaussian takes a single pixel.
    width = np.maximum(blur * size / 32, 0.3)[..., 0]
    for _ in "y", "x":
        moved = shift[..., 0] * rng.uniform(-1, 1, (count, 1, 1)) * size / 32
        scale = 1 + zoom[..., 0] * rng.uniform(-1, 1, (count, 1, 1))
        distance = (place[:, None] * scale + moved - place).astype(np.float32)
        weight = np.exp(-0.5 * np.minimum((distance / width) ** 2, 100))
        weight /= weight.sum(axis=2, keepdims=True)
        images = (weight @ images.reshape(count, size, -1)).reshape(images.shape).swapaxes(1, 2)
    return images


def _constant(value: float, count: int) -> np.ndarray:
    return np.full((count, 1, 1, 1), value, np.float32)


def _on(views: np.ndarray, ground: float | np.ndarray) -> np.ndarray:
    """The objects on a ground, in [0, 1]."""
    object_, cover = _parts(views)
    return object_ + (1 - cover) * np.float32(ground)


def _noisy(images: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return images + np.float32(0.1) * _noise(images.shape, rng)


def _colored_ground(views: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    return _on(views, rng.uniform(0.65, 1, (len(views), 1, 1, 3)))


def _uneven_ground(views: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    count, size = views.shape[:2]
    ground = 0.8 + 0.15 * _gradient(count, size, rng) + 0.06 * _smooth(count, size, rng)
    return _on(views, np.clip(ground, 0, 1))


def _recolored(views: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    object_, cover = _parts(views)
    return _recolor(object_, cover, _constant(0.7, len(views)), rng) + (1 - cover)


def _blurred(views: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    still = _constant(0, len(views))
    return _resample(_on(views, 1), _constant(1, len(views)), still, still, rng)


def _checkered(views: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    count, size = views.shape[:2]
    return _on(views, 1) + np.float32(0.05) * _checkers(count, size, rng)


def _patchy(views: np.ndarray, rng: np.random.Generator) -> np.ndarray:
    count, size = views.shape[:2]
    return _on(views, 1) + np.float32(0.05) * _smooth(count, size, rng)


_DISTORTIONS: Mapping[str, Callable[[np.ndarray, np.random.Generator], np.ndarray]] = {
    "gray ground": lambda views, _: _on(views, _GRAY),
    "dark ground": lambda views, _: _on(views, 0.6),
    "coloured ground": _colored_ground,
    "uneven ground": _uneven_ground,
    "noise": lambda views, rng: _noisy(_on(views, 1), rng),
    "noise on gray": lambda views, rng: _noisy(_on(views, _GRAY), rng),
    "patches": _patchy,
    "chequerboard": _checkered,
    "blur": _blurred,
    "other colours": _recolored,
}
DISTORTIONS = tuple(_DISTORTIONS)


def distort_by(name: str, views: np.ndarray, seed: int = 0) -> np.ndarray:
    """Distorts all views in one way, of a fixed strength.

    Args:
        name: one of `DISTORTIONS`.
        views: as in `distort`.
        seed: decides the noise and the colours.

    Returns:
        float32 (count, size, size, 3) in [-1, 1].

    Raises:
        ValueError: an unknown name, or `views` that have no coverage.

    Example:
        >>> pictures, _ = render_views("car", 2, 32, processes=1, coverage=True)
        >>> distort_by("gray ground", pictures.reshape(-1, 32, 32, 4)).shape
        (22, 32, 32, 3)
    """
    if name not in DISTORTIONS:
        raise ValueError(f"`name` must be one of {DISTORTIONS}. Received: {name!r}")
    _check(views)
    return _finish(_DISTORTIONS[name](views, np.random.default_rng(seed)))

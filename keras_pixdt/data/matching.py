"""Finds the place in the photo of product images that were cut out of their photos.

Annotated photos give such pairs: somebody drew the garment's outline, and the inside was put on
white. The product image is then a part of the photo, moved and scaled, and a search finds where
each of its points lies. `AppearanceFlow` learns from these flows as from those of drawn products.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from absl import logging
from PIL import Image

from keras_pixdt import progress
from keras_pixdt.data.images import WHITE, garment_of
from keras_pixdt.data.pairs import PairSet
from keras_pixdt.data.placement import Placement
from keras_pixdt.workers import thread_pool

MAX_PAIRS = 2000  # more would take minutes
PROBED = 64  # pairs that are searched first
MIN_SHARE = 0.7  # of them that must match

_SIDE = 64  # of the photos that are searched, px
_SIDES = np.unique(np.rint(_SIDE * 1.06 ** np.arange(-28, 4)).astype(int))  # of product images
_PADDED = 80  # at least the largest of these, so that nothing comes in again from the other end
_TOGETHER = 32  # photos of a product that are searched at a time; bounds the memory
_MIN_PIXELS = 12
_NOISE = 3 * 0.045**2  # squared error of a pixel that resizing and JPEG make
_POOR = 0.06  # squared error that explains nothing
_STEPS = 8  # of the Gauss-Newton method
_REACH = 4.0  # px by which it may move a point
_MAX_ERROR = 0.095  # of a match, see `Match`
_MAX_RATIO = 0.08


class Match(NamedTuple):
    """The best place of a product image in a photo.

    Attributes:
        placement: the place.
        error: root mean square error of the channels in [0, 1], inside the garment.
        ratio: the squared error, divided by that of the photo's pixels at random.
    """

    placement: Placement
    error: float
    ratio: float

    @property
    def found(self) -> bool:
        """Whether the photo shows the same pixels there."""
        return self.error <= _MAX_ERROR and self.ratio <= _MAX_RATIO


_NOWHERE = Match(Placement(np.ones(2), np.zeros(2)), np.inf, np.inf)


class _Template(NamedTuple):
    """A product image at one size, ready to be correlated with photos."""

    inside: np.ndarray  # bool (side, side)
    colours: np.ndarray  # float32 (side, side, 3), 0 outside
    spectra: np.ndarray  # of the channels of `colours` and of `inside`, conjugate
    rows: np.ndarray  # shifts for which the photo shows the whole garment
    columns: np.ndarray


def with_placements(pairs: PairSet) -> PairSet:
    """Adds the placements of product images that were cut out of their photos.

    `PROBED` pairs are searched first. If too few of them match, nothing is added: the product
    images are other photos. Then up to `MAX_PAIRS` are searched.

    Args:
        pairs: the pairs of a split.

    Returns:
        The pairs with `placements`; or `pairs` itself, if there are none to be found, or masks,
        flows or placements are known.
    """
    if any(known is not None for known in (pairs.masks, pairs.flows, pairs.placements)):
        return pairs
    # Whole products, because the search prepares a product once for all of its photos.
    order = np.random.default_rng(0).permutation(len(pairs.targets))
    rows = np.argsort(order[pairs.target_index], kind="stable")[:MAX_PAIRS]
    placements = np.full((len(pairs), 2, 2), np.nan, np.float32)
    count = 0
    probed = rows[:PROBED]
    for part in (probed, rows[PROBED:]):
        for row, match in _search(pairs, part):
            if match.found:
                placements[row] = match.placement
                count += 1
        if part is probed and count < MIN_SHARE * len(probed):
            logging.info(
                "Product images were not cut out of their photos: %d of %d pairs looked at match",
                count, len(probed),
            )  # fmt: skip
            return pairs
    logging.info(
        "Product images were cut out of their photos: %d of %d pairs found", count, len(rows)
    )
    return dataclasses.replace(pairs, placements=placements)


def find(target: np.ndarray, photos: np.ndarray) -> list[Match]:
    """Finds a product image in photos.

    All sizes and shifts are compared by their squared error, which the Fourier transform gives; the
    best one is refined by least squares. A small piece of a plain garment fits in many places. So
    the best place is the one that explains most: the number of pixels, times the logarithm of the
    ratio of a poor error to theirs.

    Args:
        target: uint8 (height, width, 3), on white.
        photos: uint8 (count, photo_height, photo_width, 3), of the same proportions.

    Returns:
        The best match in each photo, which need not be right: see `Match.found`.
    """
    small = [_scaled(photo, _SIDE) for photo in photos]
    spectra = [_spectra(np.concatenate([x, (x**2).sum(-1, keepdims=True)], -1)) for x in small]
    means = [(x.mean((0, 1)), (x**2).sum(-1).mean()) for x in small]
    gains = [0.0] * len(photos)
    best: list[tuple[_Template, tuple[int, int], float] | None] = [None] * len(photos)
    for template in _templates(target):
        pixels = template.inside.sum()
        colour, energy = template.colours.sum((0, 1)) / pixels, (template.colours**2).sum() / pixels
        for i, (spectrum, (mean, square)) in enumerate(zip(spectra, means, strict=True)):
            # |photo - garment|^2 = photo^2 - 2 photo garment + garment^2, inside the garment
            product = template.spectra[3] * spectrum[3]
            product -= 2.0 * (template.spectra[:3] * spectrum[:3]).sum(0)
            errors = np.fft.irfft2(product, (_PADDED, _PADDED))
            errors = errors[np.ix_(template.rows, template.columns)] / pixels + energy
            lowest = errors.argmin()
            anywhere = float(square - 2.0 * colour @ mean + energy) + _NOISE
            gain = pixels * np.log(min(anywhere, _POOR) / (max(errors.flat[lowest], 0.0) + _NOISE))
            if gain > gains[i]:
                row, column = np.unravel_index(lowest, errors.shape)
                start = int(template.columns[column]), int(template.rows[row])
                gains[i], best[i] = gain, (template, start, anywhere)
    return [
        _refined(x, *chosen) if chosen else _NOWHERE for x, chosen in zip(small, best, strict=True)
    ]


def _search(pairs: PairSet, rows: np.ndarray) -> Iterator[tuple[int, Match]]:
    """The matches of some pairs, product by product, on all cores."""
    products = pairs.target_index[rows]
    tasks = [
        own[start : start + _TOGETHER]
        for own in (rows[products == product] for product in np.unique(products))
        for start in range(0, len(own), _TOGETHER)
    ]

    def search(own: np.ndarray) -> list[Match]:
        return find(pairs.targets[pairs.target_index[own[0]]], pairs.sources[own])

    with thread_pool() as pool, progress.bar("Finding products", total=len(rows)) as shown:
        for own, matches in zip(tasks, pool.map(search, tasks), strict=True):
            yield from zip(own, matches, strict=True)
            shown.update(len(own))


def _scaled(image: np.ndarray, side: int) -> np.ndarray:
    """An image as a square of a size, whatever its shape, float32 in [0, 1]."""
    scaled = Image.fromarray(image).resize((side, side), Image.Resampling.BILINEAR)
    return np.asarray(scaled, np.float32) / WHITE


def _spectra(maps: np.ndarray) -> np.ndarray:
    return np.fft.rfft2(maps.transpose(2, 0, 1), (_PADDED, _PADDED))


def _templates(target: np.ndarray) -> Iterator[_Template]:
    """A product image at all sizes at which it has pixels and fits into a photo."""
    garment = np.where(garment_of(target), WHITE, 0).astype(np.uint8)
    for side in _SIDES:
        inside = _scaled(garment, side) > 0.99  # without the edge, which is mixed with white
        if inside.sum() < _MIN_PIXELS:
            continue
        spans = [np.flatnonzero(inside.any(axis)) for axis in (1, 0)]
        shifts = [np.arange(-span[0], _SIDE - span[-1]) for span in spans]
        if not all(map(len, shifts)):
            continue
        colours = _scaled(target, side) * inside[..., None]
        spectra = _spectra(np.concatenate([colours, inside[..., None]], -1)).conj()
        yield _Template(inside, colours, spectra, *shifts)


def _refined(
    photo: np.ndarray, template: _Template, start: tuple[int, int], anywhere: float
) -> Match:
    """Fits the scale and shift of x and y near a start, by the Gauss-Newton method."""
    y, x = np.nonzero(template.inside)
    colours = template.colours[y, x]
    slopes = np.gradient(photo, axis=(1, 0))
    points = np.stack([x, y]).astype(np.float32)
    first = points + np.array(start)[:, None]
    scale, shift = np.ones(2), np.array(start, float)
    found = scale, shift, np.inf
    for _ in range(_STEPS):
        at = scale[:, None] * points + shift[:, None]
        residuals = _sampled(photo, at) - colours
        error = (residuals**2).mean()
        # In a plain garment the equations are nearly singular, and steps far too long.
        if not error < found[2] or abs(at - first).max() > _REACH:
            break
        found = scale, shift, error
        moved = [_sampled(slope, at) for slope in slopes]
        columns = [a * b[:, None] for a, b in zip(moved, points, strict=True)] + moved
        equations = np.stack(columns, -1).reshape(-1, 4)
        step = np.linalg.lstsq(equations, -residuals.reshape(-1), rcond=None)[0]
        scale, shift = scale + step[:2], shift + step[2:]
    scale, shift, error = found
    side = len(template.inside)
    # From the middles of pixels to [-1, 1], where -1 and 1 are the edges of the image.
    shift = (scale * (side - 1) / 2 + shift + 0.5) * (2 / _SIDE) - 1
    placement = Placement(scale * side / _SIDE, shift)
    return Match(placement, float(np.sqrt(error)), float((3 * error) / anywhere))


def _sampled(photo: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Pixels at x and y, (2, count), interpolated."""
    x, y = np.clip(at, 0, len(photo) - 1.001)
    left, top = x.astype(int), y.astype(int)
    right, down = (x - left)[:, None], (y - top)[:, None]
    above = photo[top, left] * (1 - right) + photo[top, left + 1] * right
    below = photo[top + 1, left] * (1 - right) + photo[top + 1, left + 1] * right
    return above * (1 - down) + below * down

"""Flows of pairs whose product image was cut out of the photo.

Annotated photos give such pairs: somebody drew the garment's outline, and what is inside stands on
white. There the product image is a part of the photo, moved and scaled, so a search finds where
each of its points lies. `AppearanceFlow` learns from these flows as from those of drawn products.
"""

from __future__ import annotations

import dataclasses
import os
from collections.abc import Iterator
from concurrent import futures
from typing import NamedTuple

import numpy as np
from absl import logging
from PIL import Image

from keras_pixdt.data.images import GARMENT_BELOW, WHITE
from keras_pixdt.data.pairs import PairSet

ROWS = 32  # of the flows, as in those of drawn products
MAX_PAIRS = 2000  # more would take minutes
PROBED = 64  # pairs that are searched first
MIN_SHARE = 0.5  # of them that must match

_SIDE = 64  # of the photos that are searched, px
_SIDES = np.unique(np.rint(_SIDE * 1.06 ** np.arange(-28, 4)).astype(int))  # of product images
_PADDED = 2 * _SIDE  # so that nothing comes in again from the other end
_MIN_PIXELS = 12
_NOISE = 3 * 0.045**2  # squared error of a pixel that resizing and JPEG make
_STEPS = 8  # of Gauss and Newton
_MAX_ERROR = 0.1
_MAX_RATIO = 0.4


class Place(NamedTuple):
    """Where a product image lies in a photo: its point p at `scale * p + shift`, in [-1, 1].

    Attributes:
        scale: of x and y.
        shift: of x and y.
        error: root mean square of a channel in [0, 1], inside the garment.
        ratio: of the squared error to its mean over other places in the photo.
    """

    scale: np.ndarray
    shift: np.ndarray
    error: float
    ratio: float

    @property
    def found(self) -> bool:
        """Whether the photo shows the same pixels there."""
        return self.error <= _MAX_ERROR and self.ratio <= _MAX_RATIO


_NOWHERE = Place(np.ones(2), np.zeros(2), np.inf, np.inf)


class _Template(NamedTuple):
    """A product image at one size, ready to be correlated with photos."""

    inside: np.ndarray  # bool (side, side)
    colours: np.ndarray  # float32 (side, side, 3), 0 outside
    spectra: np.ndarray  # of the channels of `colours` and of `inside`, conjugate
    rows: np.ndarray  # shifts for which the photo shows the whole garment
    columns: np.ndarray


def with_flows(pairs: PairSet, seed: int = 0) -> PairSet:
    """Adds the flows of pairs whose product image was cut out of the photo.

    `PROBED` pairs are searched first. If fewer than half of them match, nothing is added: the
    product images are other photos. Then up to `MAX_PAIRS` are searched.

    Args:
        pairs: the pairs of a split.
        seed: which pairs are searched.

    Returns:
        The pairs with `flows`, NaN where the target shows its ground and for pairs without a match;
        or `pairs` itself, if it has flows or there are none to be found.
    """
    if pairs.flows is not None:
        return pairs
    rows = np.random.default_rng(seed).permutation(len(pairs))[:MAX_PAIRS]
    places: dict[int, Place] = {}
    for part in (rows[:PROBED], rows[PROBED:]):
        places |= _find_rows(pairs, part)
        if sum(place.found for place in places.values()) < MIN_SHARE * len(places):
            return pairs
    logging.info(
        "Product images were cut out of the photos: flows found in %d of %d pairs",
        sum(place.found for place in places.values()), len(places),
    )  # fmt: skip
    flows = np.full((len(pairs), ROWS, ROWS, 2), np.nan, np.float16)
    for row, place in places.items():
        if place.found:
            flows[row] = _flow(place, pairs.targets[pairs.target_index[row]])
    return dataclasses.replace(pairs, flows=flows)


def find(target: np.ndarray, photos: np.ndarray) -> list[Place]:
    """Finds a product image in photos.

    All sizes and shifts are compared by their squared error, which the Fourier transform gives; the
    best one is refined by least squares. A small piece of a plain garment fits in many places. So
    the best one is that which explains most: the number of pixels, times the logarithm of how much
    smaller their error is than elsewhere.

    Args:
        target: uint8 (size, size, 3), on white.
        photos: uint8 (count, side, side, 3).

    Returns:
        The best place in each photo, which need not be right: see `Place.found`.
    """
    small = [_scaled(photo, _SIDE) for photo in photos]
    spectra = [_spectra(np.concatenate([x, (x**2).sum(-1, keepdims=True)], -1)) for x in small]
    gains: list[float] = [0.0] * len(photos)
    best: list[tuple[_Template, tuple[int, int], float] | None] = [None] * len(photos)
    for template in _templates(target):
        pixels, energy = template.inside.sum(), (template.colours**2).sum()
        for i, spectrum in enumerate(spectra):
            # |photo - garment|^2 = photo^2 - 2 photo garment + garment^2, inside the garment
            product = template.spectra[3] * spectrum[3]
            product -= 2.0 * (template.spectra[:3] * spectrum[:3]).sum(0)
            errors = np.fft.irfft2(product, (_PADDED, _PADDED))
            errors = errors[np.ix_(template.rows, template.columns)]
            errors = np.maximum((errors + energy) / pixels, 0.0) + _NOISE
            lowest = errors.argmin()
            gain = pixels * np.log(errors.mean() / errors.flat[lowest])
            if gain > gains[i]:
                row, column = np.unravel_index(lowest, errors.shape)
                start = int(template.columns[column]), int(template.rows[row])
                gains[i], best[i] = gain, (template, start, float(errors.mean()))
    return [
        _refined(x, *chosen) if chosen else _NOWHERE for x, chosen in zip(small, best, strict=True)
    ]


def _find_rows(pairs: PairSet, rows: np.ndarray) -> dict[int, Place]:
    """The places of some pairs, product by product, on all cores."""
    products = pairs.target_index[rows]

    def search(product: int) -> dict[int, Place]:
        own = rows[products == product]
        return dict(zip(own, find(pairs.targets[product], pairs.sources[own]), strict=True))

    places: dict[int, Place] = {}
    with futures.ThreadPoolExecutor(os.cpu_count()) as pool:
        for found in pool.map(search, np.unique(products)):
            places |= found
    return places


def _scaled(image: np.ndarray, side: int) -> np.ndarray:
    """An image at another size, float32 in [0, 1]."""
    scaled = Image.fromarray(image).resize((side, side), Image.Resampling.BILINEAR)
    return np.asarray(scaled, np.float32) / WHITE


def _spectra(maps: np.ndarray) -> np.ndarray:
    return np.fft.rfft2(maps.transpose(2, 0, 1), (_PADDED, _PADDED))


def _templates(target: np.ndarray) -> Iterator[_Template]:
    """A product image at all sizes at which it has pixels and fits into a photo."""
    garment = np.where(target.min(-1) < GARMENT_BELOW, WHITE, 0).astype(np.uint8)
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


def _refined(photo: np.ndarray, template: _Template, start: tuple[int, int], mean: float) -> Place:
    """The scale and shift of x and y with the smallest error near a start, by Gauss and Newton."""
    y, x = np.nonzero(template.inside)
    colours = template.colours[y, x]
    slopes = np.gradient(photo, axis=(1, 0))
    points = np.stack([x, y]).astype(np.float32)
    scale, shift = np.ones(2), np.array(start, float)
    found = scale, shift, np.inf
    for _ in range(_STEPS):
        at = scale[:, None] * points + shift[:, None]
        rest = _sampled(photo, at) - colours
        error = (rest**2).mean()
        if not error < found[2]:
            break
        found = scale, shift, error
        moved = [_sampled(slope, at) for slope in slopes]
        columns = [a * b[:, None] for a, b in zip(moved, points, strict=True)] + moved
        equations = np.stack(columns, -1).reshape(-1, 4)
        step = np.linalg.lstsq(equations, -rest.reshape(-1), rcond=None)[0]
        scale, shift = scale + step[:2], shift + step[2:]
    scale, shift, error = found
    side = len(template.inside)
    # From the middles of pixels to [-1, 1], where -1 and 1 are the edges of the image.
    shift = (scale * (side - 1) / 2 + shift + 0.5) * (2 / _SIDE) - 1
    return Place(scale * side / _SIDE, shift, float(np.sqrt(error)), float((3 * error) / mean))


def _sampled(photo: np.ndarray, at: np.ndarray) -> np.ndarray:
    """Pixels at x and y, (2, count), interpolated."""
    x, y = np.clip(at, 0, len(photo) - 1.001)
    left, top = x.astype(int), y.astype(int)
    right, down = (x - left)[:, None], (y - top)[:, None]
    above = photo[top, left] * (1 - right) + photo[top, left + 1] * right
    below = photo[top + 1, left] * (1 - right) + photo[top + 1, left + 1] * right
    return above * (1 - down) + below * down


def _flow(place: Place, target: np.ndarray) -> np.ndarray:
    """A place as a flow, float16 (ROWS, ROWS, 2), NaN on the target's ground."""
    middles = (np.arange(ROWS) + 0.5) * (2 / ROWS) - 1
    flow = np.stack(np.meshgrid(middles, middles), -1) * place.scale + place.shift
    garment = _scaled(np.where(target.min(-1) < GARMENT_BELOW, WHITE, 0).astype(np.uint8), ROWS)
    flow[garment < 0.5] = np.nan
    return flow.astype(np.float16)

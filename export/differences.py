"""How far images, maps and vectors are from what they should be."""

from __future__ import annotations

import numpy as np

from export.runtime import MAPS

_PSNR_LIMIT_DB = 200.0  # for equal images, because JSON has no infinity


def map_differences(maps: np.ndarray, expected: np.ndarray) -> dict[str, float]:
    """The largest difference of each of `MAPS`."""
    ends = np.cumsum([*MAPS.values()])[:-1]
    parts = np.split(np.abs(maps - expected), ends, axis=-1)
    return {name: float(part.max()) for name, part in zip(MAPS, parts, strict=True)}


def image_differences(
    converted: np.ndarray, levels: np.ndarray, expected: np.ndarray
) -> dict[str, float]:
    """How far bytes, and the levels before they were rounded, are from the expected levels."""
    difference = np.abs(levels.astype(np.float64) - expected)
    mse = np.mean(difference**2, axis=(1, 2, 3))
    psnr = 10 * np.log10(255.0**2 / np.maximum(mse, 255.0**2 * 10 ** (-_PSNR_LIMIT_DB / 10)))
    return {
        "max_difference_levels": float(difference.max()),
        "mean_difference_levels": float(difference.mean()),
        "max_difference_bytes": int(np.abs(converted - np.rint(expected)).max()),
        "psnr_mean_db": float(psnr.mean()),
        "psnr_min_db": float(psnr.min()),
    }


def cosines_of(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """The cosine of each pair of vectors, (n, dimensions) both."""
    a, b = a.astype(np.float64), b.astype(np.float64)
    return np.sum(a * b, 1) / (np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1))

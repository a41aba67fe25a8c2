"""Parts of `evaluation` and `judging`: measures of images, a table of scores."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_pixdt import progress
from keras_pixdt.data.images import to_float
from keras_pixdt.metrics import kid_fid, retrieval, uncertainty

_KID_LARGEST_SUBSET = 1000  # as Binkowski et al. 2018
# With fewer images the subsets, of half the images each, say nothing.
_KID_FEWEST_IMAGES = 20

Convert = Callable[[np.ndarray], np.ndarray]
Measure = tuple[Any, ...]  # a function, and the names of the batch's arrays that it takes


class Scores:
    """Scores, with the standard errors of some, and the reasons why others are not defined."""

    def __init__(self, groups: np.ndarray | None = None) -> None:
        self.values: dict[str, Any] = {}
        self.errors: dict[str, float] = {}
        self.notes: dict[str, str] = {}
        self._groups = groups

    def put(self, name: str, value: Any, error: float | None = None) -> None:
        """Sets a score, which may have been undefined before."""
        self.values[name] = value
        self.notes.pop(name, None)
        if error is not None:
            self.errors[name] = error

    def mean(self, name: str, values: np.ndarray) -> None:
        """Sets the mean of a score over images; images of one group are alike."""
        error = uncertainty.standard_error(values, self._groups)
        self.put(name, float(values.mean(dtype=np.float64)), error)

    def undefined(self, names: Iterable[str], reason: str) -> None:
        """Sets scores to None, with a reason."""
        names = list(names)
        self.values |= dict.fromkeys(names)
        self.notes |= dict.fromkeys(names, reason)

    def kid(self, fake: np.ndarray, real: np.ndarray, seed: int, what: str, kind: str = "") -> None:
        """KID by subsets of half the smaller set, so that the subsets of both sets vary.

        Its spread over the subsets stands in for its standard error.
        """
        names = f"kid{kind}_mean", f"kid{kind}_std"
        if len(fake) < _KID_FEWEST_IMAGES:
            needed = f"needs the converted images of at least {_KID_FEWEST_IMAGES} {what}"
            self.undefined(names, f"{needed}, there are {len(fake)}")
            return
        subset_size = min(_KID_LARGEST_SUBSET, min(len(fake), len(real)) // 2)
        mean, spread = kid_fid.kid(fake, real, subset_size=subset_size, seed=seed)
        self.put(names[0], mean, spread)
        self.put(names[1], spread)

    def distances(self, fake: np.ndarray, real: np.ndarray, seed: int, kind: str = "") -> None:
        """KID, and FID where both covariances can have full rank."""
        self.kid(fake, real, seed, "products", kind)
        images, dimensions = min(len(fake), len(real)), fake.shape[1]
        if images > dimensions:
            self.put(f"fid{kind}", kid_fid.fid(fake, real))
        else:
            needed = f"needs more products than the features have dimensions, {dimensions}"
            self.undefined([f"fid{kind}"], f"{needed}, there are {images}")

    def result(self, **more: Any) -> dict[str, Any]:
        """The scores, their `standard_errors`, and the given values."""
        return self.values | {"standard_errors": self.errors, **more}


def check(sets: Mapping[str, Any], split: str, batch_size: int) -> None:
    """Refuses a missing split, and batches without images."""
    if split not in sets:
        raise ValueError(f"`split` must be one of {sorted(sets)}. Received: {split!r}")
    if batch_size < 1:
        raise ValueError(f"`batch_size` must be at least 1. Received: {batch_size}")


def features_of(embedder: keras.Model) -> Callable[[np.ndarray], np.ndarray]:
    """The function from images to the vectors with which an embedder compares sets."""
    model = getattr(embedder, "features", None) or embedder

    def features(images: np.ndarray) -> np.ndarray:
        # Unless the lengths are equal, single outliers dominate KID's cubic kernel.
        vectors = retrieval.unit_vectors(model.predict_on_batch(images))
        return vectors * np.sqrt(np.float32(vectors.shape[1]))

    return features


def measured(
    convert: Convert,
    read: Callable[[slice], dict[str, np.ndarray]],
    count: int,
    batch_size: int,
    measures: Mapping[str, Measure],
) -> dict[str, np.ndarray]:
    """Converts images in batches and measures each batch; concatenates each measure's results.

    For a slice of the rows up to `count`, `read` returns the images "source" and other arrays to
    measure, by name. The images that `convert` makes of them are called "converted". They must have
    the shape of "target" or, if there is none, of "source".
    """
    found: dict[str, list[np.ndarray]] = {name: [] for name in measures}
    for start in progress.starts("Scoring photos", count, batch_size):
        batch = read(slice(start, start + batch_size))
        shape = batch.get("target", batch["source"]).shape
        batch["converted"] = _converted(convert, batch["source"], shape, start)
        for name, (function, *taken) in measures.items():
            result = function(*(batch[key] for key in taken))
            found[name].append(ops.convert_to_numpy(result))
    return {name: np.concatenate(parts) for name, parts in found.items()}


def measured_images(
    convert: Convert, sources: np.ndarray, batch_size: int, measures: Mapping[str, Measure]
) -> dict[str, np.ndarray]:
    """Measures uint8 images and their converted versions."""

    def read(rows: slice) -> dict[str, np.ndarray]:
        return {"source": to_float(sources[rows])}

    return measured(convert, read, len(sources), batch_size, measures)


def means(seen: Mapping[str, np.ndarray]) -> dict[str, Any]:
    """The means of scores of independent images, and their standard errors."""
    scores = Scores()
    for name, values in seen.items():
        scores.mean(name, values)
    return scores.result()


def in_batches(function: Convert, sets: list[np.ndarray], batch_size: int) -> np.ndarray:
    """Applies a function of float images to sets of uint8 images; concatenates the results."""
    parts = [
        (images, slice(start, start + batch_size))
        for images in sets
        for start in range(0, len(images), batch_size)
    ]
    bar = progress.bar("Comparing images", parts)
    return np.concatenate([function(to_float(images[rows])) for images, rows in bar])


def _converted(
    convert: Convert, sources: np.ndarray, shape: tuple[int, ...], start: int
) -> np.ndarray:
    """Checks the images that `convert` returns, and returns them."""
    converted = ops.convert_to_numpy(convert(sources)).astype(np.float32)
    if converted.shape != shape:
        raise ValueError(
            f"`convert` must return images of the shape {shape} for sources of the shape "
            f"{sources.shape}. Received: {converted.shape}"
        )
    finite = np.isfinite(converted).all(axis=(1, 2, 3))
    if not finite.all():
        raise ValueError(
            f"`convert` returned values that are not finite for {np.sum(~finite)} of "
            f"{len(finite)} photos, first for photo {start + np.argmin(finite)} of the split. "
            "Did its training diverge?"
        )
    low, high = converted.min(), converted.max()
    # Half precision and quantisation overshoot a little.
    if low < -1.01 or high > 1.01:
        raise ValueError(
            "`convert` must return images in [-1, 1], x / 127.5 - 1 of uint8. "
            f"Received values from {low:.4g} to {high:.4g}"
        )
    return converted

"""Whether photos of one product are converted to one product (Yoo et al. 2016, Eq. 4)."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from keras_pixdt.metrics.retrieval import TOLERANCE, unit_vectors


def cosine(a: np.ndarray, b: np.ndarray) -> np.ndarray:
    """Cosine of corresponding rows: float32 `(n, d)` and `(n, d)` -> `(n,)`."""
    return np.sum(unit_vectors(a) * unit_vectors(b), axis=1)


def consistency_share(
    first: np.ndarray,
    second: np.ndarray,
    other: np.ndarray,
    similarity: Callable[[np.ndarray, np.ndarray], np.ndarray] = cosine,
) -> float:
    """Share of the comparisons of Eq. 4 of Yoo et al. 2016 that hold.

    For converted images I+ and I(+) of two photos of one product and I- of a photo of another, the
    paper says that the best converter satisfies

        s(I+, I(+)) > s(I+, I-)   and   s(I+, I(+)) > s(I(+), I-).

    These two comparisons per triplet are counted separately. The paper leaves the semantic
    similarity s open; here it is the cosine of embeddings. Equality (within 1e-6) counts as
    failing, so the same image for every photo scores 0; images unrelated to the photos score 0.5.

    Args:
        first: features `(n, d)` of I+.
        second: features `(n, d)` of I(+).
        other: features `(n, d)` of I-.
        similarity: s, for corresponding rows: `(n, d)`, `(n, d)` -> `(n,)`.

    Returns:
        0 to 1.

    Raises:
        ValueError: the shapes differ or there is no triplet.
    """
    return float(np.mean(triplet_shares(first, second, other, similarity)))


def triplet_shares(
    first: np.ndarray,
    second: np.ndarray,
    other: np.ndarray,
    similarity: Callable[[np.ndarray, np.ndarray], np.ndarray] = cosine,
) -> np.ndarray:
    """The share of the two comparisons of each triplet that hold; see `consistency_share`.

    Returns:
        float64 `(n,)`: 0, 0.5 or 1.
    """
    shapes = [np.shape(x) for x in (first, second, other)]
    if len(set(shapes)) != 1 or len(first) == 0:
        raise ValueError(f"Consistency needs triplets of features (n, d). Received: {shapes}.")
    same = similarity(first, second) - TOLERANCE
    holds = same > similarity(first, other), same > similarity(second, other)
    return np.mean(holds, axis=0)


def sample_triplets(labels: np.ndarray, count: int, seed: int = 0) -> np.ndarray:
    """Draws triplets of images: two different ones with one label, and one with another.

    Args:
        labels: int `(n,)`, the product (or duplicate group) of each image.
        count: how many triplets to draw, with replacement.
        seed: the same seed draws the same triplets.

    Returns:
        int64 `(count, 3)`: rows of `labels` for `first`, `second` and `other`.

    Raises:
        ValueError: no label has two images, or there is only one label.
    """
    labels = np.asarray(labels)
    order = np.argsort(labels, kind="stable")
    distinct, start, size = np.unique(labels[order], return_index=True, return_counts=True)
    if len(distinct) < 2 or size.max() < 2:
        raise ValueError(
            "Triplets need a product with two images, and a second product. Received: "
            f"{len(labels)} images of {len(distinct)} products."
        )
    # Start of the run of equal labels, and its length, at each position in `order`.
    start, size = np.repeat(start, size), np.repeat(size, size)
    rng = np.random.default_rng(seed)
    first = rng.choice(np.flatnonzero(size > 1), count)
    start, size = start[first], size[first]
    second = start + (first - start + rng.integers(1, size)) % size
    other = rng.integers(0, len(labels) - size)
    other += np.where(other >= start, size, 0)
    return order[np.stack([first, second, other], axis=1)]

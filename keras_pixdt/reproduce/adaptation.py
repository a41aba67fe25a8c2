"""Unsupervised domain adaptation: the methods that Taigman et al. 2017 compare with in Table 2.

A classifier for images of T is made from labelled images of S and unlabelled images of T, by
subspace alignment (`align`, Fernando et al. 2013) or domain-adversarial training (`train_dann`,
Ganin et al. 2016).
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from keras import layers, ops

from keras_pixdt import progress
from keras_pixdt.data import to_float
from keras_pixdt.engine.replicas import Tensor
from keras_pixdt.metrics import nearest_rows
from keras_pixdt.models.domain_transfer_networks import build_classifier, build_function

# Subspace alignment


def align(source: np.ndarray, target: np.ndarray, dimensions: int) -> tuple[np.ndarray, np.ndarray]:
    """Subspace alignment (Fernando et al. 2013, Algorithm 1).

    X_S and X_T are the first principal components of each domain, as columns. M = X_S' X_T turns
    the basis of S towards the basis of T, so that S is projected by X_S M and T by X_T.

    Both domains are standardized first, each by itself (their Sec. 4.1).

    Args:
        source: features of S, (n, d).
        target: features of T, (m, d).
        dimensions: of the subspaces, at most d, n - 1 and m - 1.

    Returns:
        The projections of S, float64 (n, dimensions), and of T, (m, dimensions).

    Raises:
        ValueError: a number of dimensions out of its range.
    """
    most = min(source.shape[1], len(source) - 1, len(target) - 1)
    if not 1 <= dimensions <= most:
        raise ValueError(f"`dimensions` must be in [1, {most}]. Received: {dimensions}")
    s, t = _standardized(source), _standardized(target)
    x_s, x_t = _components(s, dimensions), _components(t, dimensions)
    return s @ (x_s @ (x_s.T @ x_t)), t @ x_t


def _standardized(features: np.ndarray) -> np.ndarray:
    """Each feature with mean 0 and deviation 1; constant ones are 0."""
    centred = features.astype(np.float64) - features.mean(axis=0, dtype=np.float64)
    deviation = centred.std(axis=0)
    return centred / np.where(deviation > 0, deviation, 1)


def _components(centred: np.ndarray, count: int) -> np.ndarray:
    """The first principal components, as columns (d, count)."""
    _, vectors = np.linalg.eigh(centred.T @ centred)  # in ascending order
    return vectors[:, ::-1][:, :count]


def choose_dimensions(
    source: np.ndarray, labels: np.ndarray, candidates: list[int], seed: int = 0
) -> int:
    """The dimensions with the best 2-fold cross-validation on S (Fernando et al. 2013, Sec. 4.1).

    One half of S, projected on its own subspace, is classified by its nearest neighbours in the
    other half. No label of T is used.

    Args:
        source: features of S, (n, d).
        labels: their classes, (n,).
        candidates: numbers of dimensions, in ascending order.
        seed: decides the halves.

    Returns:
        The best candidate; the first of equally good ones.
    """
    order = np.random.default_rng(seed).permutation(len(source))
    folds = order[::2], order[1::2]
    right = []
    for dimensions in candidates:
        count = 0
        for known, asked in (folds, folds[::-1]):
            a, b = align(source[known], source[asked], dimensions)
            count += np.sum(labels[known][nearest_rows(b, a)] == labels[asked])
        right.append(count)
    return candidates[int(np.argmax(right))]


# Domain-adversarial training

# Ganin et al. 2016, Sec. 5.2.2: the schedules of the rate and of lambda, momentum, and half a
# batch from each domain. Their networks differ: see `train_dann`.
MOMENTUM = 0.9
RATE, RATE_FALL, RATE_POWER = 0.01, 10.0, 0.75  # mu_0, alpha, beta
STRENGTH_RISE = 10.0  # gamma
BATCH = 64  # images of each domain
DOMAIN_UNITS = 100  # of the hidden layer of the domain classifier, which is not in the paper


def reverse_gradient(x: Tensor, strength: Any) -> Tensor:
    """The gradient reversal layer R (Ganin et al. 2016, Eqs. 16 and 17).

    R(x) = x, and dR/dx = -strength. Without it the domain classifier and f would have to be
    updated in turn.

    Args:
        x: a tensor.
        strength: lambda, a number or a tensor that broadcasts with `x`.
    """
    return ops.stop_gradient((1 + strength) * x) - strength * x


def strength_at(progress_share: float) -> float:
    """lambda, from 0 to 1, at a point of the training, from 0 to 1 (Ganin et al. 2016)."""
    return 2 / (1 + float(np.exp(-STRENGTH_RISE * progress_share))) - 1


def build_dann(
    image_size: int, classes: int, width: float = 1.0
) -> tuple[keras.Model, keras.Model]:
    """The network of domain-adversarial training, and its classifier.

    Args:
        image_size: side of the images in px.
        classes: how many there are.
        width: factor on the numbers of filters of f.

    Returns:
        A model of {"image": (batch, image_size, image_size, 3), "strength": (batch, 1)} to logits
        {"label": (batch, classes), "domain": (batch, 1)}; and one of images alone to the first,
        which shares its weights.
    """
    function = build_function(image_size, width)
    classifier = build_classifier(function, classes)
    image = keras.Input((image_size, image_size, 3), name="image")
    strength = keras.Input((1,), name="strength")
    x = reverse_gradient(layers.ReLU(name="seen")(function(image)), strength)
    x = layers.Dense(DOMAIN_UNITS, "relu", name="domain_hidden")(x)
    domain = layers.Dense(1, name="domain")(x)
    outputs = {"label": classifier(image), "domain": domain}
    return keras.Model({"image": image, "strength": strength}, outputs), classifier


def train_dann(
    images: np.ndarray,
    labels: np.ndarray,
    unlabelled: np.ndarray,
    classes: int,
    *,
    epochs: int,
    width: float = 1.0,
    strength: float = 1.0,
    seed: int = 0,
) -> keras.Model:
    """Trains a classifier by domain-adversarial training (Ganin et al. 2016, Sec. 4.2).

    A domain classifier learns to tell features of S from features of T, and f learns to make them
    alike, by the reversed gradient, while the classes of S are learned as usual.

    Differs from the paper:
      - Ganin et al.'s networks differ between data sets, and theirs for SVHN to MNIST is larger.
        Here f and the classifier are those of Taigman et al. 2017, Sec. 5.1, as in the other rows,
        with a hidden layer in the domain classifier.

    It sets Keras' global seed.

    Args:
        images: of S, uint8 (n, size, size, 3).
        labels: their classes, int (n,).
        unlabelled: images of T, uint8 (m, size, size, 3).
        classes: how many there are.
        epochs: how often it sees the larger set; the smaller one is repeated.
        width: factor on the numbers of filters of f.
        strength: what lambda rises to, 1 in the paper. With 0, f learns nothing from T.
        seed: of weights and batches.

    Returns:
        The classifier, images in [-1, 1] to logits (batch, classes).
    """
    keras.utils.set_random_seed(seed)
    model, classifier = build_dann(images.shape[1], classes, width)
    batches = _TwoDomains(images, labels, unlabelled, epochs, strength, seed)
    model.compile(
        keras.optimizers.SGD(_Rate(len(batches)), momentum=MOMENTUM),
        {
            "label": keras.losses.SparseCategoricalCrossentropy(from_logits=True),
            "domain": keras.losses.BinaryCrossentropy(from_logits=True),
        },
    )
    # Keras would shuffle the batches with Python's global generator.
    with progress.bar("Training", total=len(batches)) as shown:
        steps = keras.callbacks.LambdaCallback(on_train_batch_begin=lambda *_, **__: shown.update())
        model.fit(batches, verbose=0, shuffle=False, callbacks=[steps])
    return classifier


class _Rate(keras.optimizers.schedules.LearningRateSchedule):
    """mu_0 / (1 + alpha p)^beta, p the share of the training that is over."""

    def __init__(self, steps: int) -> None:
        self._steps = steps

    def __call__(self, step: Any) -> Tensor:
        return RATE / (1 + RATE_FALL * ops.cast(step, "float32") / self._steps) ** RATE_POWER

    def get_config(self) -> dict[str, Any]:
        return {"steps": self._steps}


class _TwoDomains(keras.utils.PyDataset):
    """All batches of a training: images of S, then as many of T, with lambda.

    Labels of T are 0, with a weight of 0.
    """

    def __init__(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        unlabelled: np.ndarray,
        epochs: int,
        strength: float,
        seed: int,
    ) -> None:
        super().__init__()
        self._images, self._labels, self._unlabelled = images, labels, unlabelled
        self._strength = strength
        self._batch = min(BATCH, max(len(images), len(unlabelled)))
        self._steps = epochs * (max(len(images), len(unlabelled)) // self._batch)
        self._rows = [
            self._orders(len(pixels), np.random.default_rng((seed, i)))
            for i, pixels in enumerate((images, unlabelled))
        ]

    def _orders(self, count: int, rng: np.random.Generator) -> np.ndarray:
        """Rows of a set for all batches, (steps, batch): one order after the other."""
        needed = self._steps * self._batch
        orders = [rng.permutation(count) for _ in range(-(-needed // count))]
        return np.concatenate(orders)[:needed].reshape(self._steps, self._batch)

    def __len__(self) -> int:
        return self._steps

    def __getitem__(self, index: int) -> tuple[Any, Any, Any]:
        of_s, of_t = (rows[index] for rows in self._rows)
        pixels = np.concatenate([self._images[of_s], self._unlabelled[of_t]])
        from_s = np.repeat(np.array([1, 0], np.float32), self._batch)
        labels = np.concatenate([self._labels[of_s], np.zeros(self._batch, np.int64)])
        strength = self._strength * strength_at(index / self._steps)
        # The mean is over the whole batch, of which half has labels.
        weights = {"label": 2 * from_s, "domain": np.ones_like(from_s)}
        return (
            {
                "image": to_float(pixels),
                "strength": np.full((2 * self._batch, 1), strength, np.float32),
            },
            {"label": labels, "domain": from_s[:, None]},
            weights,
        )

"""Terms that the objectives of several papers share."""

from __future__ import annotations

from typing import Any

from keras import ops

Tensor = Any


def binary_cross_entropy(labels: Tensor, logits: Tensor) -> Tensor:
    """Cross entropy of labels and logits, mean over all logits.

    Args:
        labels: 0 or 1, of the logits' shape or one that broadcasts to it.
        logits: (batch, ...).

    Returns:
        A scalar, -t log D - (1 - t) log(1 - D) with D = sigmoid(logits), in nats.
    """
    # Not relu(logits) - t * logits + softplus(-|logits|): the slope of that is wrong at 0.
    return ops.mean(labels * ops.softplus(-logits) + (1 - labels) * ops.softplus(logits))


def real_loss(logits: Tensor) -> Tensor:
    """-log D, the cross entropy of logits (batch, ...) and the label "real"; a scalar."""
    return binary_cross_entropy(ops.ones_like(logits), logits)


def fake_loss(logits: Tensor) -> Tensor:
    """-log(1 - D), the cross entropy of logits (batch, ...) and the label "fake"; a scalar."""
    return binary_cross_entropy(ops.zeros_like(logits), logits)


# How to train a converter through a discriminator whose loss is the cross entropy: minimize -log D,
# or maximize the discriminator's own loss.
CONVERTER_OBJECTIVES = ("non_saturating", "saturating")


def total_variation(images: Tensor) -> Tensor:
    """Anisotropic total variation of each channel (Eq. 7 of Taigman et al. 2017 with B = 1).

    Args:
        images: (batch, height, width, channels).

    Returns:
        A scalar, the mean over pixels, channels and images. Pixels of the last row and column,
        which lack a neighbour, are left out. Where an image is constant, the gradient is 0, not
        infinite.
    """
    here = images[:, :-1, :-1]
    squares = ops.square(images[:, :-1, 1:] - here) + ops.square(images[:, 1:, :-1] - here)
    steps = squares > 0
    lengths = ops.where(steps, ops.sqrt(ops.where(steps, squares, 1.0)), 0.0)
    return ops.mean(lengths)


# Distances. Each maps x and y of the same shape (batch, ...) to a scalar, which is 0 if x = y.

# in none of the papers
HUBER_DELTA = 1.0  # where the square ends and the line begins
HINGE_MARGIN = 0.1  # what the hinge forgives, of a range from -1 to 1


def mean_absolute_error(x: Tensor, y: Tensor) -> Tensor:
    """L1: mean of |x - y|."""
    return ops.mean(ops.abs(x - y))


def mean_squared_error(x: Tensor, y: Tensor) -> Tensor:
    """L2: mean of (x - y)^2."""
    return ops.mean(ops.square(x - y))


def huber(x: Tensor, y: Tensor) -> Tensor:
    """Mean of e^2 / 2 for errors e up to `HUBER_DELTA`, and of a straight line above it."""
    error = ops.abs(x - y)
    near = ops.minimum(error, HUBER_DELTA)
    return ops.mean(near * (error - 0.5 * near))


def cosine_distance(x: Tensor, y: Tensor) -> Tensor:
    """1 - cosine of the angle between x and y, each sample one vector; mean over samples.

    It ignores lengths. The length of a feature vector is the strength of the features. The length
    of an image in [-1, 1], where 0 is a middle gray, is its contrast, so a fainter image is as near
    as the image itself.
    """
    x, y = (ops.normalize(ops.reshape(values, (ops.shape(values)[0], -1))) for values in (x, y))
    return 1.0 - ops.mean(ops.sum(x * y, axis=-1))


def hinge(x: Tensor, y: Tensor) -> Tensor:
    """Mean of |x - y| beyond `HINGE_MARGIN`.

    This is the hinge loss for regression. The one for classification, max(0, 1 - x y), does not
    have its minimum at y = x.
    """
    return ops.mean(ops.relu(ops.abs(x - y) - HINGE_MARGIN))


DISTANCES = {
    "mae": mean_absolute_error,
    "mse": mean_squared_error,
    "huber": huber,
    "cosine": cosine_distance,
    "hinge": hinge,
}

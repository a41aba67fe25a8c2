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

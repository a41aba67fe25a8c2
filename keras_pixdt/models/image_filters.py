"""Image filters used in objectives."""

from __future__ import annotations

from typing import Any

import numpy as np
from keras import ops

from keras_pixdt.engine.replicas import Tensor

# not in the paper: Marr & Hildreth (1980), whom it cites, find that a difference of Gaussians is
# nearest to a Laplacian at the ratio 1.6.
DOG_SIGMAS_PX = (1.0, 1.6)
DOG_RADIUS_PX = 4


def _depthwise(images: Tensor, kernel: np.ndarray, **options: Any) -> Tensor:
    """Filters each of the three channels with a 2-D kernel."""
    kernel = np.tile(kernel[:, :, None, None], (1, 1, 3, 1)).astype("float32")
    return ops.depthwise_conv(images, ops.convert_to_tensor(kernel, images.dtype), **options)


def pyramid(images: Tensor, levels: int) -> list[Tensor]:
    """The Gaussian pyramid of Kwon et al. 2019 (Sec. 3.3).

    Each level is blurred and half the size of the one before.

    The paper names no kernel. This one, (1, 3, 3, 1) / 8 in both directions, is centred between
    pixels, so a level is aligned with the next larger one in the same way as an image with its
    upsampling by 2, from which a decoder block starts.

    Args:
        images: (batch, size, size, 3); size a multiple of 2^(levels - 1).
        levels: number of images to return.

    Returns:
        `levels` tensors, the images themselves first.
    """
    weights = np.array([1.0, 3.0, 3.0, 1.0]) / 8
    found = [images]
    for _ in range(levels - 1):
        padded = ops.pad(found[-1], ((0, 0), (1, 1), (1, 1), (0, 0)), mode="symmetric")
        found.append(_depthwise(padded, np.outer(weights, weights), strides=2))
    return found


def laplacian(images: Tensor) -> Tensor:
    """Lap of Eq. 3 of Kwon et al. 2019: difference of Gaussians of 1 and 1.6 px.

    Args:
        images: (batch, size, size, 3).

    Returns:
        The same shape; 0 where the images are constant, except at their border, because they are
        treated as 0 outside.
    """
    x = np.arange(-DOG_RADIUS_PX, DOG_RADIUS_PX + 1)
    narrow, wide = (np.exp(-0.5 * (x / sigma) ** 2) for sigma in DOG_SIGMAS_PX)
    narrow, wide = narrow / narrow.sum(), wide / wide.sum()
    kernel = np.outer(narrow, narrow) - np.outer(wide, wide)
    return _depthwise(images, kernel, padding="same")

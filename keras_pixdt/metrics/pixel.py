"""How far a converted image is from its product image, pixel by pixel.

Yoo et al. 2016 (Pixel-Level Domain Transfer, Section 5.5) report RMSE and "C-SSIM", SSIM averaged
over the colour channels; Kwon et al. 2019 (Section 4) report RMSE and the SSIM of grayscale
images. SSIM is the one of Wang et al. 2004 (Image Quality Assessment: From Error Visibility to
Structural Similarity): an 11x11 Gaussian window of sigma 1.5, K1 = 0.01, K2 = 0.03. It is
implemented here because `keras.ops.image.ssim` of Keras 3.15 is off by up to 2e-4 on plain white in
float32.

All images here are `(batch, height, width, 3)` in [-1, 1], as the models give them; all scores
are on the [0, 1] scale of the papers and are computed in float32, whatever the compute dtype.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_pixdt.engine.replicas import Tensor

_WINDOW = 11
_SIGMA = 1.5
_C1 = 0.01**2
_C2 = 0.03**2
# The luminance weights of skimage.color.rgb2gray (ITU-R BT.709), not those of BT.601.
_LUMINANCE = (0.2125, 0.7154, 0.0721)


def checked(a: Tensor, b: Tensor, smallest: int = 1, name: str = "SSIM") -> tuple[Tensor, Tensor]:
    """Checks that both are RGB, alike and at least `smallest` pixels; returns them as float32."""
    a, b = ops.convert_to_tensor(a), ops.convert_to_tensor(b)
    shapes = tuple(a.shape), tuple(b.shape)
    for shape in shapes:
        if len(shape) != 4 or shape[3] not in (3, None):
            raise ValueError(
                "Image scores need RGB images of shape (batch, height, width, 3). "
                f"Received: {shapes[0]} and {shapes[1]}."
            )
        if any(side is not None and side < smallest for side in shape[1:3]):
            raise ValueError(
                f"{name} needs images of at least {smallest}x{smallest} pixels. "
                f"Received: {shapes[0]} and {shapes[1]}."
            )
    if any(m != n and None not in (m, n) for m, n in zip(*shapes, strict=True)):
        raise ValueError(
            "Image scores compare images of one shape; resize one of the two. "
            f"Received: {shapes[0]} and {shapes[1]}."
        )
    return ops.cast(a, "float32"), ops.cast(b, "float32")


def rmse(a: Tensor, b: Tensor) -> Tensor:
    """Root mean square error of each image pair, on the [0, 1] scale.

    Yoo et al. 2016, Section 5.5. The root is taken per image, over its pixels and channels, so
    that the score of a set, the mean over images, does not depend on the batch size.

    Args:
        a: images `(batch, height, width, 3)` in [-1, 1].
        b: images of the same shape.

    Returns:
        float32 `(batch,)`, from 0 (equal) to 1.

    Raises:
        ValueError: the shapes differ or are not RGB images.
    """
    a, b = checked(a, b)
    return ops.sqrt(ops.mean(ops.square(a - b), axis=(1, 2, 3))) / 2.0


def mask_iou(a: Tensor, b: Tensor) -> Tensor:
    """Intersection over union of each pair of masks, cut at 0.5.

    Args:
        a: masks `(batch, height, width, 1)` in [0, 1].
        b: masks of the same shape.

    Returns:
        float32 `(batch,)`, from 0 to 1 (equal); 1 where both are empty.

    Raises:
        ValueError: the shapes differ.
    """
    a, b = ops.convert_to_tensor(a), ops.convert_to_tensor(b)
    if tuple(a.shape) != tuple(b.shape):
        raise ValueError(
            f"Masks are compared at one size. Received: {tuple(a.shape)} and {tuple(b.shape)}."
        )
    a, b = a > 0.5, b > 0.5
    both, either = (
        ops.sum(ops.cast(x, "float32"), axis=(1, 2, 3))
        for x in (ops.logical_and(a, b), ops.logical_or(a, b))
    )
    return ops.where(either > 0, both / ops.maximum(either, 1.0), 1.0)


def ssim(a: Tensor, b: Tensor) -> Tensor:
    """Structural similarity of each image pair in grayscale.

    Kwon et al. 2019, Section 4; Wang et al. 2004. Grayscale is 0.2125 R + 0.7154 G + 0.0721 B
    (ITU-R BT.709). The mean is taken where the window lies inside the image. Equal to

        skimage.metrics.structural_similarity(
            rgb2gray(a), rgb2gray(b), data_range=1.0,
            gaussian_weights=True, sigma=1.5, use_sample_covariance=False)

    of the images scaled to [0, 1], and so is `color_ssim` with `channel_axis=-1`.

    Args:
        a: images `(batch, height, width, 3)` in [-1, 1], 11x11 pixels or more.
        b: images of the same shape.

    Returns:
        float32 `(batch,)`, 1 for equal images, at least -1.

    Raises:
        ValueError: the shapes differ, are not RGB images, or are smaller than the window.
    """
    a, b = checked(a, b, smallest=_WINDOW)
    weights = ops.convert_to_tensor(np.asarray(_LUMINANCE, "float32"))

    def luminance(x: Tensor) -> Tensor:
        return ops.sum(x * weights, axis=-1, keepdims=True)

    return _structural_similarity(luminance(a), luminance(b))


def color_ssim(a: Tensor, b: Tensor) -> Tensor:
    """Structural similarity of each image pair, averaged over the colour channels ("C-SSIM").

    Yoo et al. 2016, Section 5.5. Window, arguments, result and errors are those of `ssim`.
    """
    return _structural_similarity(*checked(a, b, smallest=_WINDOW))


def _structural_similarity(a: Tensor, b: Tensor) -> Tensor:
    """Mean SSIM over positions and channels of images `(batch, height, width, channels)`."""
    # A variance is E[x^2] - E[x]^2, which loses most digits where |x| is largest. It does not
    # change when x is shifted, so it is taken around mid gray. Then float32 keeps a white
    # background, which is most of any product image, within 4e-5 of the exact score.
    a, b = a / 2.0, b / 2.0
    moments = _gaussian_mean(ops.concatenate([a, b, a * a, b * b, a * b], axis=-1))
    mean_a, mean_b, mean_aa, mean_bb, mean_ab = ops.split(moments, 5, axis=-1)
    variances = mean_aa - mean_a * mean_a + mean_bb - mean_b * mean_b
    covariance = mean_ab - mean_a * mean_b
    mean_a, mean_b = mean_a + 0.5, mean_b + 0.5
    similarity = ((2.0 * mean_a * mean_b + _C1) * (2.0 * covariance + _C2)) / (
        (mean_a * mean_a + mean_b * mean_b + _C1) * (variances + _C2)
    )
    return ops.mean(similarity, axis=(1, 2, 3))


def _gaussian_mean(x: Tensor) -> Tensor:
    """Gaussian-weighted mean of each 11x11 window that lies inside the image."""
    # Sums of shifted images instead of a convolution: accelerators compute convolutions in
    # TF32 or bfloat16 unless told otherwise, too coarse for a difference of squares, and XLA on
    # a CPU takes ten times as long for a depthwise one.
    half = _WINDOW // 2
    window = np.exp(-0.5 * np.square((np.arange(_WINDOW) - half) / _SIGMA))
    weights = (window / window.sum()).tolist()
    for axis in (1, 2):
        length = ops.shape(x)[axis] - _WINDOW + 1

        def shifted(start: int, x: Tensor = x, axis: int = axis, length: int = length) -> Tensor:
            span = slice(start, start + length)
            return x[:, span] if axis == 1 else x[:, :, span]

        x = weights[half] * shifted(half) + sum(
            weights[k] * (shifted(k) + shifted(_WINDOW - 1 - k)) for k in range(half)
        )
    return x


class _ImageMean(keras.metrics.MeanMetricWrapper):
    """The mean over images of one of the functions above."""

    def __init__(
        self, fn: Callable[[Tensor, Tensor], Tensor], direction: str, name: str, dtype: Any
    ) -> None:
        super().__init__(fn=fn, name=name, dtype=dtype)
        self._direction = direction

    def get_config(self) -> dict[str, Any]:
        return {"name": self.name, "dtype": self.dtype}


@keras.saving.register_keras_serializable(package="keras_pixdt")
class RootMeanSquaredError(_ImageMean):
    """Mean over images of `rmse`, on the [0, 1] scale (Yoo et al. 2016, Section 5.5).

    Unlike `keras.metrics.RootMeanSquaredError`, which takes one root over everything it has
    seen, the root is per image.

    `update_state(y_true, y_pred, sample_weight=None)` takes images `(batch, height, width, 3)`
    in [-1, 1] and one weight per image, `(batch,)`.

    Example:
        >>> metric = keras_pixdt.metrics.RootMeanSquaredError()
        >>> metric.update_state(numpy.ones((2, 16, 16, 3)), numpy.zeros((2, 16, 16, 3)))
        >>> float(metric.result())
        0.5

    Args:
        name: name of the metric.
        dtype: dtype of the accumulated mean; float32 also under a mixed precision policy.
    """

    def __init__(self, name: str = "rmse", dtype: Any = None) -> None:
        super().__init__(rmse, "down", name, dtype)


@keras.saving.register_keras_serializable(package="keras_pixdt")
class SSIM(_ImageMean):
    """Mean over images of `ssim`, of grayscale images (Kwon et al. 2019; Wang et al. 2004).

    `update_state(y_true, y_pred, sample_weight=None)` takes images `(batch, height, width, 3)`
    in [-1, 1], 11x11 pixels or more, and one weight per image, `(batch,)`.

    Args:
        name: name of the metric.
        dtype: dtype of the accumulated mean; float32 also under a mixed precision policy.
    """

    def __init__(self, name: str = "ssim", dtype: Any = None) -> None:
        super().__init__(ssim, "up", name, dtype)


@keras.saving.register_keras_serializable(package="keras_pixdt")
class ColorSSIM(_ImageMean):
    """Mean over images of `color_ssim`, the C-SSIM of Yoo et al. 2016, Section 5.5.

    `update_state(y_true, y_pred, sample_weight=None)` takes images `(batch, height, width, 3)`
    in [-1, 1], 11x11 pixels or more, and one weight per image, `(batch,)`.

    Args:
        name: name of the metric.
        dtype: dtype of the accumulated mean; float32 also under a mixed precision policy.
    """

    def __init__(self, name: str = "c_ssim", dtype: Any = None) -> None:
        super().__init__(color_ssim, "up", name, dtype)

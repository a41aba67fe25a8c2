"""Trains super-resolution for converted images, on images that they should look like.

Taigman et al. 2017 (Sec. 5.2) use the published network of Dong et al. 2015 unchanged.
`train_upscaler` only needs the training targets.
"""

from __future__ import annotations

import dataclasses

import keras
import numpy as np
from absl import logging

from keras_pixdt import data
from keras_pixdt.choices import Size
from keras_pixdt.data.stored import as_images
from keras_pixdt.judges import fitting
from keras_pixdt.models.super_resolution import MIN_PX, SuperResolution

PATCH_PX = 32  # Dong et al. 2015, Sec. 4: 33; even, for factors of 2 and 4
MAX_HELD_OUT = 64


def psnr(a: np.ndarray, b: np.ndarray) -> float:
    """Peak signal-to-noise ratio, in dB.

    The mean square error is taken over all images together, because a blank image alone would have
    none.

    Args:
        a: float32 (n, height, width, 3) in [-1, 1].
        b: images of the same shape.

    Returns:
        10 log10(2^2 / MSE), infinite for equal images.
    """
    mse = np.mean(np.square(np.subtract(a, b, dtype=np.float64)))
    return float("inf") if mse == 0 else float(10 * np.log10(4 / mse))


def train_upscaler(
    targets: np.ndarray,
    factor: int = 2,
    image_size: Size | None = None,
    *,
    seed: int = 0,
    steps: int = 800,
    batch_size: int = 16,
    width: float = 1.0,
    learning_rate: float = 1e-3,
) -> SuperResolution:
    """Trains a `SuperResolution` to restore given images from smaller versions of them.

    It follows Dong et al. 2015, Sec. 3.3 and 4: random patches, mean square error. It learns on
    targets of the size that it will draw, factor * image_size; larger ones are first reduced to
    that. Smaller targets stay as they are: then it learns to go from size / factor to size, and is
    applied to images of image_size. A tenth of the targets, at most 64, is held out, and the
    network's PSNR on these is logged next to that of bicubic interpolation.

    Differs from the paper:
      - The paper cuts out sub-images of 33 px and shrinks them one by one. Here whole images are
        shrunk, and patches of at most 32 px are cut out, borders included, because whole images are
        what the network enlarges later.
      - The paper has 8 * 10^8 backpropagations by plain SGD. Here it is 800 batches of 16 patches
        with Adam, so that it takes about a minute on one core.

    Differs from the paper of Taigman et al., who enlarge by it:
      - The paper takes the published network as it is (Sec. 5.2). Its weights are not available
        here, so the network is trained on images of the target domain.

    Args:
        targets: uint8 (m, size, size, 3), images of the kind to be enlarged; squares only.
        factor: see `SuperResolution`.
        image_size: side in px of the images to be enlarged; by default the side of the targets.
        seed: seed of the weights, patches and held-out images.
        steps: optimizer steps.
        batch_size: patches per step.
        width: see `SuperResolution`.
        learning_rate: of Adam at the start; it falls to 0 along a cosine.

    Returns:
        The trained network, for images of image_size.

    Raises:
        ValueError: `targets` are not such images, too small for the factor, or fewer than two; or
            `SuperResolution` refuses an argument.
    """
    targets = as_images(targets)
    image_size = _checked_size(targets, factor, image_size)
    size = min(targets.shape[1], factor * image_size)
    rows = np.random.default_rng(seed).permutation(len(targets))
    held_out = min(MAX_HELD_OUT, -(-len(targets) // 10))
    low, high = shrink(targets[rows[:held_out]], factor, size)

    low_px = min(PATCH_PX, size) // factor
    patches = _Patches(targets, rows[held_out:], factor, low_px, batch_size, steps, seed, size)
    upscaler = SuperResolution(low_px, factor, width, seed=seed)
    before = _psnr_of(upscaler, low, high)  # bicubic interpolation: the network starts as that
    fitting.fit(upscaler.unclipped(), patches, learning_rate, "mean_squared_error")
    logging.info(
        "Super-resolution trained on %d images for %d steps. PSNR of %d others, enlarged %d times: "
        "%.2f dB, of bicubic interpolation %.2f dB",
        len(targets) - held_out, steps, held_out, factor, _psnr_of(upscaler, low, high), before,
    )  # fmt: skip
    return upscaler.for_size(image_size)


def _checked_size(targets: np.ndarray, factor: int, image_size: Size | None) -> int:
    """The side in px of the images to be enlarged, once the targets are known to fit."""
    rule = "`targets` must be two or more square uint8 images (m, size, size, 3)"
    fitting.check_images(targets, 2, rule)
    side = targets.shape[1]
    image_size = side if image_size is None else image_size
    if targets.shape[2] != side or not isinstance(image_size, int):
        raise ValueError(
            f"{rule}: rectangles are not enlarged. (A model that moves the photo's own pixels "
            "draws larger by itself, --size.) "
            f"Received: {targets.dtype} of shape {targets.shape}"
        )
    if factor < 2:
        raise ValueError(f"`factor` must be an integer from 2 on. Received: {factor}")
    if side < MIN_PX * factor:
        raise ValueError(
            f"`targets` must be of {MIN_PX * factor} px or more, to be made {factor} times "
            f"smaller. Received: {targets.dtype} of shape {targets.shape}"
        )
    return image_size


def _psnr_of(upscaler: SuperResolution, low: np.ndarray, high: np.ndarray) -> float:
    sized = upscaler.for_size(low.shape[1])
    # Few at a time, because the first layer makes 64 maps of the enlarged image.
    return psnr(sized.predict(data.to_float(low), batch_size=4, verbose=0), data.to_float(high))


def shrink(
    images: np.ndarray, factor: int, size: int | None = None
) -> tuple[np.ndarray, np.ndarray]:
    """Pairs of low and high resolution.

    Args:
        images: uint8 (n, side, side, 3).
        factor: how many times smaller.
        size: side in px that images are brought to first; by default their own.

    Returns:
        uint8 images of size // factor px, made with Pillow's bicubic filter, which averages over
        the pixels that it drops, and images of `factor` times that size, possibly with rows and
        columns cut off.
    """
    if size is not None:
        images = np.stack([data.letterbox(image, size) for image in images])
    low_px = images.shape[1] // factor
    high = images[:, : low_px * factor, : low_px * factor]
    return np.stack([data.letterbox(image, low_px) for image in high]), high


@dataclasses.dataclass(eq=False, repr=False)
class _Patches(keras.utils.PyDataset):
    """Batches of patches of some of the images in low and high resolution."""

    images: np.ndarray
    rows: np.ndarray
    factor: int
    low_px: int
    batch_size: int
    steps: int
    seed: int
    size: int | None = None

    def __post_init__(self) -> None:
        super().__init__()

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng((self.seed, index))
        images = self.images[rng.choice(self.rows, self.batch_size)]
        low, high = shrink(images, self.factor, self.size)
        corners = rng.integers(0, low.shape[1] - self.low_px + 1, (self.batch_size, 2))
        small, large = (
            data.to_float(_cut(images, scale * corners, scale * self.low_px))
            for images, scale in ((low, 1), (high, self.factor))
        )
        return small, large


def _cut(images: np.ndarray, corners: np.ndarray, size: int) -> np.ndarray:
    """A square of each image, (n, size, size, 3), from its corner (y, x) on."""
    pairs = zip(images, corners, strict=True)
    return np.stack([image[y : y + size, x : x + size] for image, (y, x) in pairs])

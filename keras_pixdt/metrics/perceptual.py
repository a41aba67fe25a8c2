"""How different two images look, by the features of VGG16: LPIPS and DISTS.

Both compare the features of a network that was trained to classify ImageNet, with weights that
were fitted to what people find similar. They equal the authors' own code:

- LPIPS: Zhang et al. 2018, The Unreasonable Effectiveness of Deep Features as a Perceptual Metric,
  in version 0.1 with `net="vgg"` (the package `lpips`).
- DISTS: Ding et al. 2020, Image Quality Assessment: Unifying Structure and Texture Similarity (the
  package `DISTS_pytorch`).

Nothing is downloaded. Three files are needed, which these packages and torchvision bring; PyTorch
is not. VGG16's file must be torchvision's, `vgg16-397923af.pth`. Both papers' weights belong to
single filters of that network. Keras' VGG16 has been trained separately, and its filters are
others: with them the figures would be neither LPIPS nor DISTS, so that file is not read.

Images are `(batch, height, width, 3)` in [-1, 1], 16x16 pixels or more, as in `metrics.pixel`;
everything is computed in float32. The scores depend on the size of the images, so compare them
only with those of images of the same size. Papers often print them times 100.
"""

from __future__ import annotations

import importlib.util
import os
import pathlib
from collections.abc import Callable, Iterator, Sequence
from typing import Any

import numpy as np
from keras import ops

from keras_pixdt.metrics import torch_file
from keras_pixdt.metrics.pixel import checked

# Filters of the convolutions of VGG16's five blocks (Simonyan & Zisserman 2015, Table 1, D).
_FILTERS = ((64,) * 2, (128,) * 2, (256,) * 3, (512,) * 3, (512,) * 3)
# Of ImageNet's images in [0, 1]. The authors of LPIPS give the same numbers for [-1, 1].
_MEAN = (0.485, 0.456, 0.406)
_STD = (0.229, 0.224, 0.225)
_HANNING = (0.25, 0.5, 0.25)
SMALLEST = 16  # side of images, px: LPIPS pools four times
# Pixels of each of the two sets of images that are compared at a time. A feature map of the first
# block then takes 64 MiB for each set, and all that is needed at once less than 1 GiB.
_PIXELS = 2**18

Distance = Callable[[Any, Any], np.ndarray]  # see `LPIPS` and `DISTS`
_Path = str | os.PathLike[str]
_Convolution = tuple[Any, Any]  # a kernel (3, 3, filters in, filters out) and a bias


class _VGG16Distance:
    """Compares two sets of images by VGG16's features, some images at a time."""

    def __init__(self, vgg16: Sequence[Sequence[_Convolution]]):
        self._blocks = [
            [(_float32(kernel), _float32(bias)) for kernel, bias in block] for block in vgg16
        ]
        self._mean, self._std = _float32(_MEAN), _float32(_STD)

    def __call__(self, a: Any, b: Any) -> np.ndarray:
        """The distance of each pair of images.

        Args:
            a: images `(batch, height, width, 3)` in [-1, 1], 16x16 pixels or more.
            b: images of the same shape.

        Returns:
            float32 `(batch,)`, 0 for equal images.

        Raises:
            ValueError: the shapes differ, are not RGB images, or are too small.
        """
        a, b = checked(a, b, SMALLEST, "VGG16")
        step = max(1, _PIXELS // (a.shape[1] * a.shape[2]))
        parts = [
            ops.convert_to_numpy(self._compare(a[start : start + step], b[start : start + step]))
            for start in range(0, len(a), step)
        ]
        return np.concatenate(parts)

    def _compare(self, a: Any, b: Any) -> Any:
        raise NotImplementedError

    def _features(self, images: Any, pool: Callable[[Any], Any]) -> Iterator[Any]:
        """The last feature maps of each block, of images in [0, 1]."""
        x = (images - self._mean) / self._std
        for number, block in enumerate(self._blocks):
            x = pool(x) if number else x
            for kernel, bias in block:
                x = ops.conv(x, kernel, padding="same", data_format="channels_last")
                x = ops.relu(x + bias)
            yield x


class LPIPS(_VGG16Distance):
    """Learned perceptual image patch similarity, v0.1 (Zhang et al. 2018, Eq. 1).

    The features of each block are scaled to length 1 at each position. Their squared differences
    are weighted by channel, averaged over the positions, and summed over the blocks. (As in the
    authors' code; Eq. 1 has the squares of these weights.)

    Args:
        vgg16: for each of the five blocks its convolutions, each a kernel `(3, 3, in, out)` and a
            bias `(out,)`.
        linear: for each block the weights of its channels, `(out,)`, 0 or more.
    """

    def __init__(self, vgg16: Sequence[Sequence[_Convolution]], linear: Sequence[Any]):
        super().__init__(vgg16)
        self._linear = [_float32(weights) for weights in linear]

    def _compare(self, a: Any, b: Any) -> Any:
        images = ops.concatenate([a, b]) / 2.0 + 0.5
        distance = 0.0
        for x, weights in zip(self._features(images, _max_pool), self._linear, strict=True):
            x, y = ops.split(_unit_length(x), 2)
            distance += ops.mean(ops.sum(weights * ops.square(x - y), axis=-1), axis=(1, 2))
        return distance


class DISTS(_VGG16Distance):
    """Deep image structure and texture similarity (Ding et al. 2020, Sec. 3).

    The stages are the image itself and the five blocks, with L2 pooling in place of max pooling.
    For each channel, the means of both images are compared (texture) and their covariance with
    their variances (structure), as in SSIM but over the whole image. 1 minus the weighted sum is
    the distance.

    Args:
        vgg16: as for `LPIPS`.
        alpha: the weights of the texture of each channel of all stages, `(1475,)`.
        beta: the same for the structure.
    """

    _C1 = _C2 = 1e-6

    def __init__(self, vgg16: Sequence[Sequence[_Convolution]], alpha: Any, beta: Any):
        super().__init__(vgg16)
        weights = np.stack([alpha, beta])
        channels = np.cumsum([3, *(len(block[-1][1]) for block in vgg16)])
        stages = np.split(weights / weights.sum(), channels[:-1], axis=1)
        self._weights = [_float32(stage) for stage in stages]

    def _compare(self, a: Any, b: Any) -> Any:
        images = ops.concatenate([a, b]) / 2.0 + 0.5

        def stages() -> Iterator[Any]:
            yield images
            yield from self._features(images, _l2_pool)

        similarity = 0.0
        for stage, (alpha, beta) in zip(stages(), self._weights, strict=True):
            mean = ops.mean(stage, axis=(1, 2), keepdims=True)
            # The authors' code has E[xy] - E[x]E[y], which is the same but for rounding. For plain
            # areas, such as a white ground, that is larger than their constant of 1e-6.
            centred = stage - mean
            x, y = ops.split(centred, 2)
            variances = ops.mean(ops.square(x) + ops.square(y), axis=(1, 2))
            covariance = ops.mean(x * y, axis=(1, 2))
            m, n = ops.split(mean[:, 0, 0], 2)
            texture = (2.0 * m * n + self._C1) / (ops.square(m) + ops.square(n) + self._C1)
            structure = (2.0 * covariance + self._C2) / (variances + self._C2)
            similarity += ops.sum(alpha * texture + beta * structure, axis=-1)
        return 1.0 - similarity


def load_lpips(vgg16: _Path | None = None, linear: _Path | None = None) -> LPIPS:
    """LPIPS with the authors' weights (v0.1, `net="vgg"`); see the module's documentation.

    Example:
        >>> lpips = keras_pixdt.metrics.load_lpips()
        >>> lpips(converted, targets).mean()

    Args:
        vgg16: torchvision's `vgg16-397923af.pth`; None for the place where PyTorch keeps it,
            `~/.cache/torch/hub/checkpoints` or below `$TORCH_HOME`.
        linear: `weights/v0.1/vgg.pth` of the package `lpips`; None for the installed package's.

    Returns:
        A function from two sets of images to their distances, see `LPIPS`.

    Raises:
        FileNotFoundError: a file is not there; the message says where it is expected.
        ValueError: a file is damaged, or holds other weights.
    """
    path = _file(linear, "lpips", "weights/v0.1/vgg.pth")
    blocks = _vgg16(vgg16)
    names = [f"lin{block}.model.1.weight" for block in range(len(_FILTERS))]
    weights = _arrays(path, names, [(1, filters[-1], 1, 1) for filters in _FILTERS])
    return LPIPS(blocks, [array.reshape(-1) for array in weights])


def load_dists(vgg16: _Path | None = None, weights: _Path | None = None) -> DISTS:
    """DISTS with the authors' weights; see the module's documentation.

    Args:
        vgg16: as for `load_lpips`.
        weights: `weights.pt` of the package `DISTS_pytorch`; None for the installed package's.

    Returns:
        A function from two sets of images to their distances, see `DISTS`.

    Raises:
        FileNotFoundError: a file is not there; the message says where it is expected.
        ValueError: a file is damaged, or holds other weights.
    """
    path = _file(weights, "DISTS_pytorch", "weights.pt")
    blocks = _vgg16(vgg16)
    channels = 3 + sum(filters[-1] for filters in _FILTERS)
    alpha, beta = _arrays(path, ["alpha", "beta"], [(1, channels, 1, 1)] * 2)
    return DISTS(blocks, alpha.reshape(-1), beta.reshape(-1))


def load_present() -> dict[str, Distance | str]:
    """`lpips` and `dists`: each the distance, or the reason why it cannot be loaded."""
    found: dict[str, Distance | str] = {}
    loaders: dict[str, Callable[[], Distance]] = {"lpips": load_lpips, "dists": load_dists}
    for name, load in loaders.items():
        try:
            found[name] = load()
        except (OSError, ValueError) as error:
            found[name] = str(error)
    return found


def _vgg16(path: _Path | None) -> list[list[_Convolution]]:
    """The convolutions of torchvision's file, block by block."""
    # As in torch.hub.
    cache = pathlib.Path(os.environ.get("XDG_CACHE_HOME") or pathlib.Path.home() / ".cache")
    home = pathlib.Path(os.environ.get("TORCH_HOME") or cache / "torch")
    path = pathlib.Path(path or home / "hub" / "checkpoints" / "vgg16-397923af.pth")
    if not path.is_file():
        raise FileNotFoundError(
            f"LPIPS and DISTS need torchvision's VGG16 at {path}, and nothing is downloaded here. "
            "Put https://download.pytorch.org/models/vgg16-397923af.pth there"
        )
    names, shapes, layer, before = [], [], 0, 3
    for filters in _FILTERS:
        for count in filters:
            names += [f"features.{layer}.weight", f"features.{layer}.bias"]
            shapes += [(count, before, 3, 3), (count,)]
            layer, before = layer + 2, count  # the ReLU is a layer there
        layer += 1  # and so is the pooling
    arrays = iter(_arrays(path, names, shapes, "features."))
    return [
        [(next(arrays).transpose(2, 3, 1, 0), next(arrays)) for _ in filters]
        for filters in _FILTERS
    ]


def _file(path: _Path | None, package: str, file: str) -> pathlib.Path:
    """A file of an installed package, which is not imported: it would import PyTorch."""
    if path is None:
        spec = importlib.util.find_spec(package)
        if spec is None or spec.origin is None:
            raise FileNotFoundError(
                f"The weights are those of the package {package}, which is not installed. "
                f"`pip install --no-deps {package}` is enough, without PyTorch"
            )
        path = pathlib.Path(spec.origin).parent / file
    if not pathlib.Path(path).is_file():
        raise FileNotFoundError(f"The weights, {file} of the package {package}, are not at {path}")
    return pathlib.Path(path)


def _arrays(
    path: pathlib.Path, names: Sequence[str], shapes: Sequence[tuple[int, ...]], prefix: str = ""
) -> list[np.ndarray]:
    """The arrays of a file with these names, which must have these shapes."""
    found = torch_file.read(path, prefix)
    for name, shape in zip(names, shapes, strict=True):
        there = found[name].shape if name in found else "none"
        if there != shape:
            raise ValueError(
                f"{path} must hold an array {name} of shape {shape}, as the published weights do. "
                f"Received: {there}"
            )
    return [found[name] for name in names]


def _float32(values: Any) -> Any:
    return ops.convert_to_tensor(np.asarray(values, np.float32))


def _unit_length(x: Any) -> Any:
    """The vectors of channels at each position, scaled to length 1."""
    return x / (ops.sqrt(ops.sum(ops.square(x), axis=-1, keepdims=True)) + 1e-10)


def _max_pool(x: Any) -> Any:
    return ops.max_pool(x, 2, 2, padding="valid", data_format="channels_last")


def _l2_pool(x: Any) -> Any:
    """Root of the mean square in a 3x3 Hanning window around every second pixel."""
    window = np.multiply.outer(_HANNING, _HANNING)[:, :, None, None]
    kernel = _float32(np.repeat(window, x.shape[-1], axis=2))
    x = ops.pad(ops.square(x), ((0, 0), (1, 1), (1, 1), (0, 0)))
    x = ops.depthwise_conv(x, kernel, strides=2, padding="valid", data_format="channels_last")
    return ops.sqrt(x + 1e-12)

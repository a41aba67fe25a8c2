"""Helpers for the papers' files: checks of arguments, and parts of networks."""

from __future__ import annotations

import functools
from collections.abc import Iterable
from typing import Any

from keras import layers

from keras_pixdt.choices import Size
from keras_pixdt.engine.replicas import Tensor
from keras_pixdt.layers import BatchNormalization

# Arguments. A wrong one raises a ValueError that names the argument, the rule and the value.


def check_square(image_size: Size, name: str = "image_size") -> int:
    """Requires the side of a square; returns it."""
    if not isinstance(image_size, int):
        raise ValueError(
            f"`{name}` must be one number, the side of a square: of the models, only "
            f"AppearanceFlow and Pix2Pix take rectangles. Received: {image_size}"
        )
    return image_size


def check_image_size(image_size: Size, least: int, why: str, name: str = "image_size") -> None:
    """Requires a power of two, at least `least`; `why` continues the message after "since"."""
    image_size = check_square(image_size, name)
    if image_size < least or image_size & (image_size - 1):
        raise ValueError(
            f"`{name}` must be a power of two from {least}, since {why}. Received: {image_size}"
        )


def check_widths(width: float, discriminator_width: float | None) -> float:
    """Requires positive factors on the numbers of filters; returns the discriminators' factor."""
    for name, factor in (("width", width), ("discriminator_width", discriminator_width)):
        if factor is not None and not factor > 0:
            raise ValueError(f"`{name}` must be positive. Received: {factor}")
    return width if discriminator_width is None else discriminator_width


def check_weights(**weights: float) -> None:
    """Requires that no weight of an objective's terms is negative and at least one is above 0."""
    if min(weights.values()) < 0 or not any(weights.values()):
        raise ValueError(f"The weights must not be negative and not all 0. Received: {weights}")


def check_choice(name: str, choice: str, choices: Iterable[str]) -> None:
    """Requires one of `choices`."""
    if choice not in choices:
        raise ValueError(f"`{name}` must be one of {', '.join(choices)}. Received: {choice!r}")


# Networks


def scaled(filters: float, width: float) -> int:
    """`width` times as many filters, at least one."""
    return max(1, round(width * filters))


def doubled(count: int, width: float, first: int = 64, most: int = 512) -> list[int]:
    """Filters of `count` strided layers: `first`, doubled at each layer, up to `most`."""
    return [scaled(min(first * 2**i, most), width) for i in range(count)]


def conv(
    x: Tensor,
    filters: int,
    size_px: int,
    name: str,
    initializer: Any,
    dtype: Any,
    *,
    strides: int = 1,
    padding: str = "same",
    use_bias: bool = True,
    kind: type[layers.Layer] = layers.Conv2D,
) -> Tensor:
    """A convolution with square filters."""
    return kind(
        filters,
        size_px,
        strides=strides,
        padding=padding,
        use_bias=use_bias,
        kernel_initializer=initializer,
        dtype=dtype,
        name=name,
    )(x)


# A transposed one, which doubles the map.
conv_transpose = functools.partial(conv, strides=2, kind=layers.Conv2DTranspose)


def batch_norm(x: Tensor, name: str, dtype: Any, momentum: float = 0.9, **options: Any) -> Tensor:
    """BatchNorm with the statistics of the global batch."""
    # not in the papers: momentum and epsilon; these are the defaults of the Torch of their time.
    options = {"momentum": momentum, "epsilon": 1e-5, **options}
    return BatchNormalization(dtype=dtype, name=name, **options)(x)


def image_output(x: Tensor, name: str = "converted") -> Tensor:
    """What a network draws, in [-1, 1]."""
    # float32 also under mixed precision: bfloat16 has 8 bits, not enough for 256 levels.
    return layers.Activation("tanh", dtype="float32", name=name)(x)

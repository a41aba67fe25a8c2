"""Networks of the Domain Transfer Network (Taigman et al. 2017): f, g and D.

Sec. 5.1 describes them for digits, Sec. 5.2 for faces.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from keras_pixdt.engine.replicas import Tensor
from keras_pixdt.models.common import (
    batch_norm,
    check_image_size,
    conv,
    conv_transpose,
    doubled,
    image_output,
    scaled,
)

MIN_PX = 16
# f: Sec. 5.1.
FUNCTION_FILTERS = (64, 128, 256, 128)
FUNCTION_FILTER_SIZE_PX = 3  # not in the paper
FUNCTION_LAST_POOL_PX = 4
# g, D and the encoder that may replace f: not in the paper, which is "inspired by Radford et al.
# (2015)"; these are the sizes of their DCGAN.
FILTER_SIZE_PX = 4
INNERMOST_PX = 4  # side of the map that the first block of g draws
INNERMOST_FILTERS = 512
STDDEV = 0.02


def build_function(image_size: int = 32, width: float = 1.0, name: str = "f") -> keras.Model:
    """f, as Sec. 5.1 has it for digits: four convolutions, each with a max pooling and a ReLU.

    f is what the last pooling gives, "before the ReLU". `build_classifier` puts the classes on top.

    Max pooling halves the map, leaving out an odd row and column, as long as at least 4 px remain.
    The last one pools over everything left: 4 px, or up to 7 if the size is not a power of two.

    Args:
        image_size: side of the square images in px, at least 16. The paper has 32; larger images
            get more layers of 256 filters (152 px: 76, 38, 19, 9, 4), and images of 16 px get none.
        width: factor on the numbers of filters.
        name: of the model.

    Returns:
        A functional model, (batch, image_size, image_size, 3) in [-1, 1] to (batch, 128 * width),
        float32.
    """
    if image_size < MIN_PX:
        raise ValueError(f"`image_size` must be at least {MIN_PX} px. Received: {image_size}")
    halvings = (image_size // FUNCTION_LAST_POOL_PX).bit_length() - 1
    *growing, last = FUNCTION_FILTERS
    filters = [growing[min(i, len(growing) - 1)] for i in range(halvings)] + [last]
    image = keras.Input((image_size, image_size, 3), name="image")
    x = image
    for i, count in enumerate(filters, start=1):
        x = conv(
            x,
            scaled(count, width),
            FUNCTION_FILTER_SIZE_PX,
            f"conv{i}",
            "he_normal",  # not in the paper
            "float32",  # it is trained by itself, and stays what it is under all policies
        )
        if i <= halvings:
            x = layers.MaxPooling2D(2, dtype="float32", name=f"pool{i}")(x)
            x = layers.ReLU(dtype="float32", name=f"relu{i}")(x)
    rest = x.shape[1]
    x = layers.MaxPooling2D(rest, dtype="float32", name=f"pool{len(filters)}")(x)
    return keras.Model(image, layers.Flatten(dtype="float32", name="features")(x), name=name)


def build_classifier(
    function: keras.Model, classes: int, decay: float = 0.0, name: str = "classifier"
) -> keras.Model:
    """The classifier that f is trained in: f, the ReLU that f leaves out, and a linear layer.

    Args:
        function: f, which gives one vector for each image. It shares its weights with the result.
        classes: how many there are.
        decay: weight in the loss of two terms: the sum of the squares of f's numbers, averaged over
            images, and the sum of the squares of the linear layer's kernel.
        name: of the model.

    Returns:
        A functional model, images as f takes them to logits (batch, classes).
    """
    image = keras.Input(function.input_shape[1:], name="image")
    x = layers.ActivityRegularization(l2=decay, dtype="float32", name="decay")(function(image))
    x = layers.ReLU(dtype="float32", name="relu")(x)
    x = layers.Dense(
        classes, kernel_regularizer=keras.regularizers.L2(decay), dtype="float32", name="logits"
    )(x)
    return keras.Model(image, x, name=name)


def _normal() -> keras.initializers.Initializer:
    return keras.initializers.RandomNormal(stddev=STDDEV)  # Radford et al. 2015, Sec. 4


def _batch_norm(x: Tensor, name: str, dtype: Any) -> Tensor:
    # not in the paper. With a momentum of 0.9, the statistics of about ten small batches cost
    # digits 4% of their accuracy.
    return batch_norm(x, f"{name}_bn", dtype, momentum=0.99)


def check_drawn_size(image_size: int, name: str = "image_size") -> None:
    """Requires a size that g can draw.

    Raises:
        ValueError: it is no power of two from 16.
    """
    check_image_size(
        image_size,
        MIN_PX,
        "g's layers lead to it from 4x4. Images of another size need a `generated_size` that is "
        "one: g draws that, and it is enlarged",
        name,
    )


def build_generator(
    features: int,
    image_size: int,
    width: float,
    *,
    gray: bool = False,
    pointwise: bool = False,
    dtype: Any = None,
    name: str = "generator",
) -> keras.Model:
    """g: blocks of transposed convolution, BatchNorm and ReLU; the last one ends in tanh instead.

    For 32 px these are the four blocks of Sec. 5.1, for 64 px the five of Sec. 5.2.

    Args:
        features: numbers that f gives.
        image_size: side of the square images, px, a power of two from 16.
        width: factor on the numbers of filters.
        gray: whether one channel is drawn and repeated three times (Sec. 5.1).
        pointwise: whether each block but the last has an extra 1x1 convolution (Sec. 5.2: five
            blocks are "9-layers deep").
        dtype: dtype policy of the layers; the output is float32 in any case.
        name: of the model.

    Returns:
        A functional model, (batch, features) to (batch, image_size, image_size, 3) in [-1, 1].
    """
    check_drawn_size(image_size)
    doublings = (image_size // INNERMOST_PX).bit_length() - 1
    code = keras.Input((features,), name="code")
    x = layers.Reshape((1, 1, features), dtype=dtype, name="map")(code)
    for i in range(doublings + 1):
        last = i == doublings
        count = (1 if gray else 3) if last else scaled(INNERMOST_FILTERS / 2**i, width)
        x = conv_transpose(
            x,
            count,
            FILTER_SIZE_PX,
            f"up{i + 1}",
            _normal(),
            dtype,
            strides=1 if i == 0 else 2,
            padding="valid" if i == 0 else "same",
            use_bias=last,  # BatchNorm has one
        )
        if not last:
            x = _batch_norm(x, f"up{i + 1}", dtype)
            x = layers.ReLU(dtype=dtype, name=f"up{i + 1}_relu")(x)
            if pointwise:
                x = conv(x, count, 1, f"pointwise{i + 1}", _normal(), dtype, padding="valid")
                x = layers.ReLU(dtype=dtype, name=f"pointwise{i + 1}_relu")(x)
    x = image_output(x, "drawn")
    if gray:
        x = layers.Concatenate(dtype="float32", name="rgb")([x, x, x])
    return keras.Model(code, x, name=name)


def _strided(x: Tensor, filters: list[int], leak: float, dtype: Any, first_norm: bool) -> Tensor:
    """Convolutions of stride 2, each with BatchNorm and a ReLU that may leak."""
    for i, count in enumerate(filters, start=1):
        norm = first_norm or i > 1
        bias = not norm  # BatchNorm has one
        x = conv(x, count, FILTER_SIZE_PX, f"conv{i}", _normal(), dtype, strides=2, use_bias=bias)
        if norm:
            x = _batch_norm(x, f"conv{i}", dtype)
        x = layers.LeakyReLU(leak, dtype=dtype, name=f"conv{i}_relu")(x)
    return x


def build_discriminator(
    image_size: int,
    width: float,
    *,
    blocks: int = 4,
    leak: float = 0.0,
    classes: int = 3,
    first_norm: bool = False,
    dtype: Any = None,
    name: str = "discriminator",
) -> keras.Model:
    """D: blocks of strided convolution, BatchNorm and ReLU, and a linear layer to the classes.

    The paper batch-normalizes all blocks. Here the first one is not, as Radford et al. 2015 advise,
    unless `first_norm` is set. Images of T and images made by G are separate batches. If the first
    block normalizes them, D cannot tell dark backgrounds from gray ones or strong strokes from
    faint ones, and without L_TID G drew gray digits on gray.

    Args:
        image_size: side of the square images, px.
        width: factor on the numbers of filters.
        blocks: 4 for digits (Sec. 5.1), 6 for faces (Sec. 5.2).
        leak: slope of the ReLUs below 0; 0.2 for faces.
        classes: 3, or 2 for the baseline (Sec. 3).
        first_norm: whether the first block has a BatchNorm too.
        dtype: dtype policy of the layers; the logits are float32 in any case.
        name: of the model.

    Returns:
        A functional model, (batch, image_size, image_size, 3) in [-1, 1] to logits
        (batch, classes), the last for images of T.
    """
    image = keras.Input((image_size, image_size, 3), name="image")
    x = _strided(image, doubled(blocks, width), leak, dtype, first_norm)
    x = layers.Flatten(dtype=dtype, name="flatten")(x)
    x = layers.Dense(classes, kernel_initializer=_normal(), dtype=dtype, name="classes")(x)
    logits = layers.Activation("linear", dtype="float32", name="logits")(x)
    return keras.Model(image, logits, name=name)


def build_encoder(
    image_size: int, width: float, features: int, dtype: Any = None, name: str = "encoder"
) -> keras.Model:
    """Replaces f if G does not contain it: "a few additional layers" (Sec. 5.1).

    The paper does not describe them. Here they are strided layers with BatchNorm and ReLU down to
    4x4, followed by a layer that gives as many numbers as f.

    Args:
        image_size: side of the square images, px.
        width: factor on the numbers of filters.
        features: numbers that f gives.
        dtype: dtype policy of the layers.
        name: of the model.

    Returns:
        A functional model, (batch, image_size, image_size, 3) in [-1, 1] to (batch, features).
    """
    blocks = (image_size // INNERMOST_PX).bit_length() - 1
    image = keras.Input((image_size, image_size, 3), name="image")
    x = _strided(image, doubled(blocks, width), 0.0, dtype, first_norm=True)
    x = layers.Flatten(dtype=dtype, name="flatten")(x)
    code = layers.Dense(features, kernel_initializer=_normal(), dtype=dtype, name="code")(x)
    return keras.Model(image, code, name=name)

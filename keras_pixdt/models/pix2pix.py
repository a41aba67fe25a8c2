"""pix2pix: Isola et al., "Image-to-Image Translation with Conditional Adversarial Networks", 2017.

A U-Net draws the target image of a source image. Given the source too, a discriminator judges for
each patch of 70x70 px whether it is real or drawn. Kwon et al. 2019 (Table 1) compare with this
model and build on it.
"""

from __future__ import annotations

import math
from collections.abc import Mapping
from typing import Any

import keras
from keras import layers, ops

from keras_pixdt.choices import Size, as_height_width, as_size
from keras_pixdt.engine.model import AdversarialModel, Tensor
from keras_pixdt.layers import Dropout
from keras_pixdt.losses import fake_loss, mean_absolute_error, real_loss
from keras_pixdt.models.common import (
    batch_norm,
    check_weights,
    check_widths,
    conv,
    conv_transpose,
    doubled,
    image_output,
)

FILTER_SIZE_PX = 4  # Sec. 6.1
LEAK = 0.2  # Sec. 6.1
NOISY_LAYERS = 3  # "CD512-CD512-CD512" (Sec. 6.1.1)
DROPOUT_RATE = 0.5  # Sec. 6.1
MIN_PX = 16
INITIAL_STDDEV = 0.02  # Sec. 6.2: N(0, 0.02)


# Networks: Sec. 6.1


def _normal(mean: float = 0.0) -> keras.initializers.Initializer:
    return keras.initializers.RandomNormal(mean, INITIAL_STDDEV)


def _batch_norm(x: Tensor, name: str, dtype: Any) -> Tensor:
    # not in the paper: N(1, 0.02) for the scales, as in the authors' code.
    return batch_norm(x, f"{name}_bn", dtype, gamma_initializer=_normal(1.0))


def _convolution(
    x: Tensor, count: int, strides: int, normed: bool, dtype: Any, name: str
) -> Tensor:
    """Convolution and BatchNorm, without the activation."""
    bias = not normed  # elsewhere BatchNorm's offset is the bias
    x = conv(x, count, FILTER_SIZE_PX, name, _normal(), dtype, strides=strides, use_bias=bias)
    return _batch_norm(x, name, dtype) if normed else x


def build_converter(
    image_size: Size, width: float, noise: bool = True, seed: int | None = None, dtype: Any = None
) -> keras.Model:
    """The U-Net of Sec. 6.1.1, with enough layers to bring a square to 1x1.

    The map of an encoder layer is concatenated before its activation, as in the authors' code.

    Args:
        image_size: size of the images, px.
        width: factor on the numbers of filters.
        noise: whether it has dropout layers.
        seed: seed of their masks; None draws one.
        dtype: dtype policy of the layers; the output is float32 in any case.

    Returns:
        A functional model, (batch, height, width, 3) in [-1, 1] to the same.
    """
    sides = as_height_width(image_size)
    filters = doubled(math.gcd(*sides).bit_length() - 1, width)  # C64-C128-C256-C512-C512-...
    source = keras.Input((*sides, 3), name="source")
    x, maps = source, []
    for i, count in enumerate(filters, start=1):
        if i > 1:
            x = layers.LeakyReLU(LEAK, dtype=dtype, name=f"encoder{i - 1}_lrelu")(x)
        # None at the first (Sec. 6.1). None at 1x1 (Sec. 6.2, errata), where the statistics of a
        # single image would leave zeros.
        normed = 1 < i < len(filters)
        x = _convolution(x, count, 2, normed, dtype, f"encoder{i}")
        maps.append(x)

    for i, count in enumerate([*filters[-2::-1], 3], start=1):
        name, last = f"decoder{i}", i == len(filters)
        if i > 1:
            x = layers.Concatenate(dtype=dtype, name=f"{name}_skip")([x, maps[-i]])
        x = layers.ReLU(dtype=dtype, name=f"{name}_relu")(x)
        x = conv_transpose(x, count, FILTER_SIZE_PX, name, _normal(), dtype, use_bias=last)
        if not last:
            x = _batch_norm(x, name, dtype)
            if noise and i <= NOISY_LAYERS:
                own_seed = None if seed is None else seed + i  # or they would drop the same values
                x = Dropout(DROPOUT_RATE, own_seed, dtype=dtype, name=f"{name}_noise")(x)
    return keras.Model(source, image_output(x), name="converter")


def build_discriminator(image_size: Size, width: float, dtype: Any = None) -> keras.Model:
    """The 70x70 PatchGAN of Sec. 6.1.2.

    Args:
        image_size: size of the images, px.
        width: factor on the numbers of filters.
        dtype: dtype policy of the layers; the logits are float32 in any case.

    Returns:
        A functional model, (batch, height, width, 6) in [-1, 1], a source and an image, to logits
        (batch, height / 8, width / 8, 1), one for each patch.
    """
    pair = keras.Input((*as_height_width(image_size), 6), name="pair")
    filters = doubled(4, width)
    x = pair
    for i, count in enumerate(filters, start=1):
        # not in the paper: stride 1 from C512 on, as in the authors' code. With "downsample by a
        # factor of 2" throughout, the patches would be larger than 70x70.
        x = _convolution(x, count, 2 if i < len(filters) else 1, i > 1, dtype, f"conv{i}")
        x = layers.LeakyReLU(LEAK, dtype=dtype, name=f"conv{i}_lrelu")(x)
    x = _convolution(x, 1, 1, False, dtype, f"conv{len(filters) + 1}")
    logits = layers.Activation("linear", dtype="float32", name="logits")(x)
    return keras.Model(pair, logits, name="discriminator")


@keras.saving.register_keras_serializable("keras_pixdt")
class Pix2Pix(AdversarialModel):
    """Image-to-image translation with a conditional GAN (Isola et al. 2017).

    `Pix2Pix()` is the full-width network for 256 px, 54.4 million parameters in its converter, the
    generator G of the paper. With `gan_weight=0` it is the paper's row "L1" of Table 1, with
    `l1_weight=0` the row "cGAN".

    Batches for `fit` are dicts `{source, target}` of float32 images in [-1, 1],
    (batch, height, width, 3); `predict` takes such dicts or source images.

    Differs from the paper:
      - The paper runs the generator at test time as in training, so that BatchNorm takes the
        statistics of the test batch (Sec. 3.3). Here it uses its moving statistics: a phone
        converts one photo at a time, and its result must not depend on others.
      - The paper draws the noise, which is dropout, at test time too. Here the test-time noise
        comes from a fixed seed and is the same for all images (`keras_pixdt.layers.Dropout`), so
        that scores and pictures can be repeated. `plain_converter`, which is exported, has no
        noise.
      - The paper jitters its images: resized to 286 px, cropped to 256 px at random (Sec. 6.2).
        Here they are not jittered, so that all rows of a table see the same images.
      - The paper alternates one step of D and one of G, without saying which verdicts G learns
        from; the authors' code takes those from before D's step. Here the converter is updated
        through the updated discriminator, as in Algorithm 1 of Goodfellow et al. (2014).
      - The authors' code pads by 1 px on all sides. "same" padding does so too in strided layers,
        but the discriminator's last two layers have stride 1 and get 1 px before and 2 px after. So
        it gives 32x32 verdicts at 256 px instead of 30x30, and the patches at the border contain
        more padding.
      - The paper's images have 256 px. For machines that cannot train those, the U-Net at 64 and
        128 px has two layers and one layer fewer, from among those with 512 filters. The first
        three layers of its decoder are the noisy ones. That for a rectangle
        halves the image as often as both sides can be: 256 x 192 px six times, to 4x3.

    Args:
        image_size: side of the images in px, a power of two from 16; or (height, width), whose
            greatest common divisor is such a number, as of (256, 192).
        width: factor on all numbers of filters but the outputs'.
        discriminator_width: the same for the discriminator; None takes `width`.
        gan_weight: weight of the adversarial term in the converter's objective; if 0, no
            discriminator is built.
        l1_weight: lambda of Eq. 4, weight of the mean absolute error.
        seed: seed of the noise in training; None draws one.
        **kwargs: `name`, `dtype` (a policy such as "mixed_bfloat16").

    Raises:
        ValueError: a size, width or weight out of its range, or both weights are 0.

    Example:
        ```python
        model = Pix2Pix(image_size=64)
        adam = keras.optimizers.Adam(2e-4, beta_1=0.5)
        model.compile(adam, metrics=[keras_pixdt.metrics.RootMeanSquaredError()])
        model.fit(train, validation_data=validation, epochs=15)
        product = model.predict(photos)
        ```
    """

    def __init__(
        self,
        image_size: Size = 256,
        width: float = 1.0,
        *,
        discriminator_width: float | None = None,
        gan_weight: float = 1.0,
        l1_weight: float = 100.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        common = math.gcd(*as_height_width(image_size, "image_size"))
        if common < MIN_PX or common & (common - 1):
            raise ValueError(
                f"`image_size` must be a power of two from {MIN_PX}, since each strided layer "
                "halves the image down to 1x1, or (height, width) whose greatest common divisor is "
                f"one. Received: {image_size}"
            )
        narrowed = check_widths(width, discriminator_width)
        check_weights(gan_weight=gan_weight, l1_weight=l1_weight)
        self.image_size = as_size(image_size)
        self.width = width
        self.discriminator_width = discriminator_width
        self.gan_weight = gan_weight
        self.l1_weight = l1_weight
        self.seed = seed

        policy = self.dtype_policy
        players = {}
        if gan_weight:
            self.discriminator = build_discriminator(image_size, narrowed, policy)
            players["discriminator"] = ["discriminator"]
        self.converter = build_converter(image_size, width, seed=seed, dtype=policy)
        players["converter"] = ["converter"]
        self.set_players(players)

    def plain_converter(self) -> keras.Model:
        """The U-Net without noise, with the converter's weights as they are now."""
        plain = build_converter(self.image_size, self.width, noise=False, dtype=self.dtype_policy)
        for layer in plain.layers:
            layer.set_weights(self.converter.get_layer(layer.name).get_weights())
        return plain

    def adversarial_step(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Sec. 3.3: one step on D, then one on G."""
        source, target = batch["source"], batch["target"]
        losses = {}
        forward = self.forward("converter", lambda: self.converter(source, training=True))

        # Update D (Eq. 1).
        if self.gan_weight:
            converted = ops.stop_gradient(forward.outputs)
            losses["discriminator"] = self.minimize(
                "discriminator", lambda: self.discriminator_loss(source, target, converted)
            )

        # Update G through the updated D (Eq. 4).
        losses["converter"] = self.minimize(
            "converter",
            lambda converted: self.converter_loss(source, target, converted),
            through=forward,
        )
        return losses

    def discriminator_loss(self, source: Tensor, target: Tensor, converted: Tensor) -> Tensor:
        """Eq. 1, negated and divided by 2, "which slows down the rate at which D learns".

        Args:
            source: x, (batch, height, width, 3) in [-1, 1].
            target: y, of the same shape.
            converted: G(x, z), of the same shape.

        Returns:
            A scalar.
        """
        real, fake = self._verdicts(source, target), self._verdicts(source, converted)
        return 0.5 * (real_loss(real) + fake_loss(fake))

    def converter_loss(self, source: Tensor, target: Tensor, converted: Tensor) -> Tensor:
        """Eq. 4 for G, which maximizes log D(x, G(x, z)) (Sec. 3.3).

        Arguments and result are as for `discriminator_loss`.
        """
        loss = 0.0
        if self.gan_weight:
            loss += self.gan_weight * real_loss(self._verdicts(source, converted))
        if self.l1_weight:
            loss += self.l1_weight * mean_absolute_error(converted, target)  # Eq. 3
        return loss

    def _verdicts(self, source: Tensor, image: Tensor) -> Tensor:
        return self.discriminator(ops.concatenate([source, image], axis=-1), training=True)

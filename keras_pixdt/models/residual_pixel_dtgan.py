"""Residual PixelDTGAN: Ge & Li, "Image-Product Transformation Based on Cross-Domain GANs".

This is PixelDTGAN with a converter of residual blocks: ResNet-50's encoder, and a reversed
ResNet-34 as decoder. Its association discriminator sees each photo paired with its product and with
the drawing, but no irrelevant products, and every step uses both real and drawn images.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
from keras import layers, ops

from keras_pixdt.engine.model import AdversarialModel, Tensor
from keras_pixdt.losses import fake_loss, mean_absolute_error, real_loss
from keras_pixdt.models.common import (
    batch_norm,
    check_image_size,
    check_weights,
    check_widths,
    conv,
    conv_transpose,
    image_output,
    scaled,
)
from keras_pixdt.models.pixel_dtgan import build_converter, build_discriminator

# He et al. 2016, Table 1: filters and number of blocks of conv2_x to conv5_x.
FILTERS = (64, 128, 256, 512)
BOTTLENECKS = (3, 4, 6, 3)  # ResNet-50
BASIC_BLOCKS = (3, 4, 6, 3)  # ResNet-34
EXPANSION = 4  # outputs of a bottleneck per filter
FIRST_FILTER_SIZE_PX = 7  # conv1, and the last layer (Sec. 3.1.1: "7x7x3 filter")
# not in the paper: initialization. The last layer, which no BatchNorm follows, uses DCGAN's.
LAST_STDDEV = 0.02


# Networks: Sec. 3.1.1


def _he_normal() -> keras.initializers.Initializer:
    # not in the paper: ResNet's initialization (He et al., Sec. 3.4). After DCGAN's N(0, 0.02) the
    # first step of SGD at 2e-4 would be larger than the filters: filters before a BatchNorm have a
    # larger gradient the smaller they are, and it also grows with each BatchNorm on the way.
    return keras.initializers.VarianceScaling(2.0, "fan_in", "untruncated_normal")


def _conv_bn(
    x: Tensor,
    filters: int,
    filter_size_px: int,
    name: str,
    dtype: Any,
    *,
    strides: int = 1,
    kind: type[layers.Layer] = layers.Conv2D,
) -> Tensor:
    x = conv(
        x,
        filters,
        filter_size_px,
        name,
        _he_normal(),
        dtype,
        strides=strides,
        use_bias=False,  # BatchNorm's offset is the bias
        kind=kind,
    )
    return batch_norm(x, f"{name}_bn", dtype)


def _relu(x: Tensor, name: str, dtype: Any) -> Tensor:
    return layers.ReLU(dtype=dtype, name=f"{name}_relu")(x)


def _sum_relu(x: Tensor, shortcut: Tensor, name: str, dtype: Any) -> Tensor:
    x = layers.Add(dtype=dtype, name=f"{name}_sum")([x, shortcut])
    return _relu(x, name, dtype)


def _bottleneck(
    x: Tensor, filters: int, outputs: int, strides: int, name: str, dtype: Any
) -> Tensor:
    """A block of ResNet-50 (He et al., Fig. 5): 1x1, 3x3, 1x1; it strides in the first 1x1."""
    shortcut = x
    if strides > 1 or x.shape[-1] != outputs:
        shortcut = _conv_bn(x, outputs, 1, f"{name}_shortcut", dtype, strides=strides)
    x = _conv_bn(x, filters, 1, f"{name}_a", dtype, strides=strides)
    x = _relu(x, f"{name}_a", dtype)
    x = _conv_bn(x, filters, 3, f"{name}_b", dtype)
    x = _relu(x, f"{name}_b", dtype)
    x = _conv_bn(x, outputs, 1, f"{name}_c", dtype)
    return _sum_relu(x, shortcut, name, dtype)


def _reversed_basic_block(
    x: Tensor, filters: int, outputs: int, upsample: bool, name: str, dtype: Any
) -> Tensor:
    """A block of ResNet-34 reversed: 3x3, 3x3; the second doubles the map where ResNet strides."""
    shortcut = x
    if x.shape[-1] != outputs:
        shortcut = _conv_bn(x, outputs, 1, f"{name}_shortcut", dtype)
    if upsample:
        # not in the paper: how shortcuts upsample. A transposed 1x1 convolution of stride 2, which
        # is literally "reversed", would leave three of four pixels without a shortcut.
        shortcut = layers.UpSampling2D(2, dtype=dtype, name=f"{name}_shortcut_up")(shortcut)
    x = _conv_bn(x, filters, 3, f"{name}_a", dtype)
    x = _relu(x, f"{name}_a", dtype)
    if upsample:  # not in the paper: a transposed convolution, as DCGAN upsamples
        x = _conv_bn(x, outputs, 3, f"{name}_b", dtype, strides=2, kind=layers.Conv2DTranspose)
    else:
        x = _conv_bn(x, outputs, 3, f"{name}_b", dtype)
    return _sum_relu(x, shortcut, name, dtype)


def build_residual_converter(image_size: int, width: float, dtype: Any = None) -> keras.Model:
    """The converter of Sec. 3.1.1; at 64 px and width 1, 64x64x3 to 4x4x2048 to 64x64x3.

    The encoder is ResNet-50 without its max pooling and average pooling. The decoder is ResNet-34
    read backwards, also without pooling: conv5_x (at 4 px), conv4_x (8 px), conv3_x (16 px) and
    conv2_x (32 px), then conv1, which brings 32 px to 64. The first three double the map and halve
    the channels in their last block, where ResNet-34 has its strided first block.

    Args:
        image_size: side of the square images, px.
        width: factor on the numbers of filters.
        dtype: dtype policy of the layers; the output is float32 in any case.

    Returns:
        A functional model, (batch, image_size, image_size, 3) in [-1, 1] to the same.
    """
    source = keras.Input((image_size, image_size, 3), name="source")
    x = _conv_bn(source, scaled(FILTERS[0], width), FIRST_FILTER_SIZE_PX, "conv1", dtype, strides=2)
    x = _relu(x, "conv1", dtype)
    for stage, (filters, blocks) in enumerate(zip(FILTERS, BOTTLENECKS, strict=True), start=2):
        for block in range(1, blocks + 1):
            strides = 2 if block == 1 and stage > 2 else 1
            inner, outputs = scaled(filters, width), scaled(EXPANSION * filters, width)
            x = _bottleneck(x, inner, outputs, strides, f"conv{stage}_{block}", dtype)

    for i in (3, 2, 1, 0):
        for block in range(BASIC_BLOCKS[i], 0, -1):  # numbered as in ResNet-34: the last is 1
            upsample = block == 1 and i > 0
            outputs = scaled(FILTERS[i - 1] if upsample else FILTERS[i], width)
            name = f"reversed_conv{i + 2}_{block}"
            x = _reversed_basic_block(x, scaled(FILTERS[i], width), outputs, upsample, name, dtype)
    normal = keras.initializers.RandomNormal(stddev=LAST_STDDEV)
    x = conv_transpose(x, 3, FIRST_FILTER_SIZE_PX, "reversed_conv1", normal, dtype)
    return keras.Model(source, image_output(x), name="converter")


# Objective: Sec. 3.2


def discriminator_loss(real: Tensor, generated: Tensor) -> Tensor:
    """L(D_D) and L(D_A) of Sec. 3.2, with the labels that its text gives.

    Args:
        real: logits of real images, or of pairs with them, (batch, 1); "True".
        generated: logits of converted images, or of pairs with them, (batch, 1); "False".

    Returns:
        -E[log D(real)] - E[log(1 - D(generated))], a scalar.
    """
    return real_loss(real) + fake_loss(generated)


@keras.saving.register_keras_serializable("keras_pixdt")
class ResidualPixelDTGAN(AdversarialModel):
    """Image-product transformation with residual blocks and two discriminators (Ge & Li).

    `ResidualPixelDTGAN()` is the network of Sec. 3.1, 52.9 million parameters in its converter.
    The weights and `residual` select the rows of Table 1; a discriminator with weight 0 is not
    built.

    Batches for `fit` are dicts `{source, target}` of float32 images in [-1, 1],
    (batch, image_size, image_size, 3); `predict` takes such dicts or source images.

    Differs from the paper, where it cannot be followed to the letter:
      - As printed in Sec. 3.2, the discriminators minimize E[log D(x)] + E[1 - log D(G(z))]. This
        would teach them that real images are false, but the text labels real images true and
        generated ones false. Here they minimize the cross entropies of these labels, with log(1 -
        D) instead of 1 - log D and the opposite sign.
      - In Algorithm 1 the generator ascends the discriminators' losses. That gradient vanishes
        where a discriminator is sure. Here the converter instead minimizes the cross entropy of the
        label "true" for its images, as Sec. 3.1.2 says ("the generator try to [...] give generated
        image a True label"), with the paper's weight of 1/2 for each discriminator.
      - The generator ends with a "fully connected layer with 7x7x3 filter". Only convolutions have
        7x7 filters, so here the last layer is a transposed 7x7 convolution with 3 outputs and
        stride 2. It is the reverse of the encoder's first layer, and nothing else gives 64 px.
      - The discriminators have "4 convolutional layers with a binary output" from 128 to 1024
        filters; the paper does not say what turns the last 4x4 map into one number. Here it is a
        convolution of 4x4, as in PixelDTGAN, which the paper builds on.
      - The decoder is "ResNet-34 in a reversed way"; the paper does not say how it upsamples. Here
        a transposed convolution doubles the map, and the shortcut is doubled by a 1x1 convolution
        followed by nearest neighbours. The reverse of ResNet's strided shortcut would leave three
        of four pixels without a shortcut.

    Real and converted images go through a discriminator in two calls, so that BatchNorm sees the
    statistics of each kind separately. The converter is updated through a batch of converted images
    only, because the discriminator was trained on such batches.

    Args:
        image_size: side of the images in px, a power of two from 32. The paper's is 64. The map
            between encoder and decoder has the side image_size / 16.
        width: factor on all numbers of filters but the outputs'.
        discriminator_width: the same for the discriminators; None takes `width`.
        residual: whether the converter is residual; if not, it is PixelDTGAN's, the "normal
            generator" of Sec. 4.2.2.
        real_fake_weight: weight of the real/fake discriminator in the converter's objective.
        association_weight: weight of the association discriminator there.
        l1_weight: weight of the mean absolute error. Not in the paper: a pure GAN needs far
            longer until garments are recognizable.
        **kwargs: `name`, `dtype` (a policy such as "mixed_bfloat16").

    Raises:
        ValueError: a size, width or weight out of its range, or all weights are 0.

    Example:
        ```python
        model = ResidualPixelDTGAN(width=0.25)
        sgd = keras.optimizers.SGD(2e-4, momentum=0.5)
        model.compile(sgd, metrics=[keras_pixdt.metrics.RootMeanSquaredError()])
        model.fit(train, validation_data=validation, epochs=30)
        product = model.predict(photos)
        ```
    """

    def __init__(
        self,
        image_size: int = 64,
        width: float = 1.0,
        *,
        discriminator_width: float | None = None,
        residual: bool = True,
        real_fake_weight: float = 0.5,
        association_weight: float = 0.5,
        l1_weight: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_image_size(
            image_size,
            32,
            "the encoder halves the image four times and a map of more than one pixel must be left",
        )
        narrowed = check_widths(width, discriminator_width)
        check_weights(
            real_fake_weight=real_fake_weight,
            association_weight=association_weight,
            l1_weight=l1_weight,
        )
        self.image_size = image_size
        self.width = width
        self.discriminator_width = discriminator_width
        self.residual = residual
        self.real_fake_weight = real_fake_weight
        self.association_weight = association_weight
        self.l1_weight = l1_weight

        policy = self.dtype_policy
        players = {}
        if real_fake_weight:
            self.real_fake_discriminator = build_discriminator(
                image_size, narrowed, 3, "real_fake_discriminator", policy
            )
            players["real_fake_discriminator"] = ["real_fake_discriminator"]
        if association_weight:
            self.association_discriminator = build_discriminator(
                image_size, narrowed, 6, "association_discriminator", policy
            )
            players["association_discriminator"] = ["association_discriminator"]
        build = build_residual_converter if residual else build_converter
        self.converter = build(image_size, width, policy)
        players["converter"] = ["converter"]
        self.set_players(players)

    def adversarial_step(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Algorithm 1: both discriminators, then the converter through both."""
        source, target = batch["source"], batch["target"]
        losses = {}
        forward = self.forward("converter", lambda: self.converter(source, training=True))
        converted = ops.stop_gradient(forward.outputs)

        # Update the real/fake discriminator: L(D_D).
        if self.real_fake_weight:
            losses["real_fake_discriminator"] = self.minimize(
                "real_fake_discriminator",
                lambda: discriminator_loss(
                    self.real_fake_discriminator(target, training=True),
                    self.real_fake_discriminator(converted, training=True),
                ),
            )

        # Update the association discriminator: L(D_A).
        if self.association_weight:
            losses["association_discriminator"] = self.minimize(
                "association_discriminator",
                lambda: discriminator_loss(
                    self._association(source, target), self._association(source, converted)
                ),
            )

        # Update the generator through the updated discriminators: 1/2 L(D_A) + 1/2 L(D_D).
        losses["converter"] = self.minimize(
            "converter",
            lambda converted: self.converter_loss(source, target, converted),
            through=forward,
        )
        return losses

    def _association(self, source: Tensor, image: Tensor) -> Tensor:
        """Logits of D_A for images stacked with their fashion images, (batch, 1)."""
        pair = ops.concatenate([source, image], axis=-1)
        return self.association_discriminator(pair, training=True)

    def converter_loss(self, source: Tensor, target: Tensor, converted: Tensor) -> Tensor:
        """L(G) of Sec. 3.2 with the opposite labels, and an L1 term where it has a weight.

        Args:
            source: z, (batch, size, size, 3) in [-1, 1].
            target: x, of the same shape.
            converted: G(z), of the same shape.

        Returns:
            A scalar.
        """
        loss = 0.0
        if self.real_fake_weight:
            logits = self.real_fake_discriminator(converted, training=True)
            loss += self.real_fake_weight * real_loss(logits)
        if self.association_weight:
            loss += self.association_weight * real_loss(self._association(source, converted))
        if self.l1_weight:
            loss += self.l1_weight * mean_absolute_error(converted, target)
        return loss

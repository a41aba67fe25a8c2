"""The rough-to-detail GAN: Kwon et al., "Coarse-to-Fine Clothing Image Generation", 2019.

A U-Net first learns to draw the target image of a source image at a small size. Then each stage
adds a decoder block, which is faded in and doubles the size. The encoder sees the photo in full
size from the first stage on.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
import numpy as np
from keras import layers, ops

from keras_pixdt.engine.model import AdversarialModel, Tensor
from keras_pixdt.layers import FadeIn
from keras_pixdt.losses import mean_absolute_error
from keras_pixdt.models.common import (
    batch_norm,
    check_square,
    check_weights,
    check_widths,
    conv,
    conv_transpose,
    doubled,
    image_output,
    scaled,
)
from keras_pixdt.models.image_filters import laplacian, pyramid

LEAK = 0.2  # Sec. 4.1
GRADIENT_PENALTY = 10.0  # Sec. 4.1
# not in the paper, which gives the networks' sizes in a supplement; these are those of pix2pix, on
# which it builds.
FILTER_SIZE_PX = 4


# Networks: Sec. 3.1 and 4.1, Fig. 2b


def _normal() -> keras.initializers.Initializer:
    # not in the paper: N(0, 0.02), as in pix2pix. With a larger scale, the images of a new stage
    # start in the flat parts of tanh and take long to get out of them.
    return keras.initializers.RandomNormal(stddev=0.02)


def build_converter(
    image_size: int, stages: int, width: float, fade: bool = True, dtype: Any = None
) -> keras.Model:
    """The generator, which returns the images of all its stages.

    Args:
        image_size: side of the square images, px.
        stages: N; stage i draws images of image_size / 2^(N - i) px.
        width: factor on the numbers of filters.
        fade: whether the blocks that stages add have an alpha; without it, alpha is 1.
        dtype: dtype policy of the layers; the outputs are float32 in any case.

    Returns:
        A functional model, (batch, image_size, image_size, 3) in [-1, 1] to a list of N tensors
        (batch, size, size, 3) in [-1, 1], one for each stage.
    """
    blocks = image_size.bit_length() - 1  # M: down to 1x1
    filters = doubled(blocks, width)  # as in pix2pix
    source = keras.Input((image_size, image_size, 3), name="source")
    x, maps = source, []
    for i, count in enumerate(filters, start=1):
        # As in pix2pix, no BatchNorm in the first block, and none at 1x1.
        normed = 1 < i < blocks
        name, bias = f"encoder{i}", not normed
        x = conv(x, count, FILTER_SIZE_PX, name, _normal(), dtype, strides=2, use_bias=bias)
        if normed:
            x = batch_norm(x, f"{name}_bn", dtype)
        x = layers.LeakyReLU(LEAK, dtype=dtype, name=f"{name}_lrelu")(x)
        maps.append(x)

    images = []
    for j, count in enumerate([*filters[-2::-1], 3], start=1):
        if j > 1:
            x = layers.Concatenate(dtype=dtype, name=f"decoder{j}_concat")([x, maps[-j]])
        stage = j - blocks + stages  # the one that adds this block; from 1
        x = _decoder_block(
            x, count, f"decoder{j}", fade and stage >= 1, last=j == blocks, width=width, dtype=dtype
        )
        if stage >= 1:
            images.append(_to_rgb(x, stage, stages, width, dtype))
    return keras.Model(source, images, name="converter")


def _decoder_block(
    x: Tensor, count: int, name: str, fade: bool, *, last: bool, width: float, dtype: Any
) -> Tensor:
    """Fig. 2b: doubles the size on two paths and adds them; the last block gives the image."""
    # Skip: upsampling by 2 and 1x1 convolution. The two commute; this order takes a quarter of the
    # work.
    skip = conv(x, count, 1, f"{name}_skip", _normal(), dtype, padding="valid")
    skip = layers.UpSampling2D(2, dtype=dtype, name=f"{name}_skip_up")(skip)

    # Detail. not in the paper: a residual block's two convolutions (He et al. 2016), the first of
    # which upsamples as pix2pix does, activations before them as in ToRGB.
    hidden = scaled(64, width) if last else count
    x = layers.LeakyReLU(LEAK, dtype=dtype, name=f"{name}_lrelu1")(x)
    conv1 = f"{name}_conv1"
    x = conv_transpose(x, hidden, FILTER_SIZE_PX, conv1, _normal(), dtype, use_bias=False)
    x = batch_norm(x, f"{name}_bn1", dtype)
    x = layers.LeakyReLU(LEAK, dtype=dtype, name=f"{name}_lrelu2")(x)
    conv2 = f"{name}_{'detail' if last else 'conv2'}"
    detail = conv(x, count, 3, conv2, _normal(), dtype, use_bias=last)
    if not last:
        detail = batch_norm(detail, f"{name}_detail", dtype)
    add = FadeIn if fade else layers.Add
    return add(dtype=dtype, name=f"{name}_add")([skip, detail])


def _to_rgb(x: Tensor, stage: int, stages: int, width: float, dtype: Any) -> Tensor:
    """ToRGB of Sec. 4.1; the last stage's block outputs the three channels itself."""
    if stage < stages:
        x = layers.LeakyReLU(LEAK, dtype=dtype, name=f"to_rgb{stage}_lrelu")(x)
        x = conv(x, 3, 1, f"to_rgb{stage}_conv", _normal(), dtype, padding="valid")
    return image_output(x, f"to_rgb{stage}" if stage < stages else "converted")


def build_discriminator(width: float, dtype: Any = None) -> keras.Model:
    """The patch discriminator of Sec. 3.1, one for the images of all stages.

    This is the 70x70 PatchGAN of pix2pix without BatchNorm, which would make the penalty on an
    image's gradient depend on the other images (Gulrajani et al. 2017).

    Args:
        width: factor on the numbers of filters.
        dtype: dtype policy of the layers; the scores are float32 in any case.

    Returns:
        A functional model, (batch, size, size, 6) in [-1, 1], source and image, to scores
        (batch, size / 8, size / 8, 1), one for each patch.
    """
    pair = keras.Input((None, None, 6), name="pair")
    x = pair
    filters = doubled(4, width)
    for i, count in enumerate([*filters, 1], start=1):
        initializer = keras.initializers.HeNormal()  # not in the paper
        strides = 2 if i < len(filters) else 1
        x = conv(x, count, FILTER_SIZE_PX, f"conv{i}", initializer, dtype, strides=strides)
        if i <= len(filters):
            x = layers.LeakyReLU(LEAK, dtype=dtype, name=f"conv{i}_lrelu")(x)
    scores = layers.Activation("linear", dtype="float32", name="scores")(x)
    return keras.Model(pair, scores, name="discriminator")


@keras.saving.register_keras_serializable("keras_pixdt")
class RoughToDetailGAN(AdversarialModel):
    """The rough-to-detail GAN, rtdGAN (Kwon et al. 2019).

    `RoughToDetailGAN()` is the model with three stages for 256 px. A new model is at the last stage
    with alpha 1, and `fit` alone trains it as a whole. `on_phase` sets the curriculum, and the
    callback `keras_pixdt.training.Schedule` calls it: `fit` with this callback and the preset
    `kwon2019` goes through all stages, and so does `pixdt train`.

    Batches for `fit` are dicts `{source, target}` of float32 images in [-1, 1],
    (batch, image_size, image_size, 3), at all stages; `predict` takes such dicts or source images
    and returns images of the same size; it enlarges those of earlier stages.

    Differs from the paper, or chooses where it leaves a choice:
      - The paper gives the sizes of its networks in a supplement, which was not available. Here
        filters and kernels are those of pix2pix, on which it builds, and the encoder goes down to
        1x1.
      - The paper does not say whose gradient is penalized. Here it is the gradient of the sum of an
        image's patch scores, as in the public code of pix2pix's authors, while Eq. 1 has their
        mean. The terms of Eq. 4 then have similar sizes with weights of 1: at 256 px the gradient
        of the mean absolute error has the norm 1/443, and the gradient of the mean of 1024 scores
        about 1/1024. A penalty on the mean would hold its gradient at 1 and drown out the other
        terms.
      - The paper does not say with respect to what that gradient is taken. Here it is only the
        image, because the source is a condition and the critic need not be Lipschitz in it.
      - Eqs. 2 and 3 are norms, sums over pixels and channels. Here they are means, so that their
        weights do not depend on the image's size.
      - The paper's text raises alpha every epoch, its Algorithm 1 every iteration. Here it rises
        with every step, before the update as in Algorithm 1, from 1 / steps to 1. It is never 0,
        because then the new block would have no gradient.
      - The paper does not say what happens to Adam's moments when a stage begins. Here they are
        reset, as in the progressive growing of Karras et al. (2017). Otherwise new blocks would be
        corrected for the bias of steps that they did not take.

    The converter runs once per step; first the converter and then the discriminator are updated
    from this pass (Algorithm 1).

    Args:
        image_size: side of the images in px, a power of two.
        stages: N, at least 1; the first stage's images, of image_size / 2^(N - 1) px, must have at
            least 8 px.
        width: factor on all numbers of filters but the outputs'.
        discriminator_width: the same for the discriminator; None takes `width`.
        adversarial_weight: lambda_adv of Eq. 4; if 0, no discriminator is built.
        content_weight: lambda_con.
        laplacian_weight: lambda_lap.
        seed: seed of the points between real and drawn images at which the penalty is taken; None
            draws one.
        **kwargs: `name`, `dtype` (a policy such as "mixed_bfloat16").

    Raises:
        ValueError: a size, number, width or weight out of its range, or all weights are 0.

    Example:
        ```python
        preset = dataclasses.replace(keras_pixdt.presets.get("kwon2019"), image_size=64, width=0.25)
        train = keras_pixdt.data.triplets(pairs["train"], preset.batch_sizes, irrelevant=False)
        model = preset.model()
        model.compile(preset.optimizer())
        schedule = keras_pixdt.training.Schedule(preset, train, epochs=60)
        model.fit(train, epochs=60, shuffle=False, callbacks=[schedule])
        ```
    """

    def __init__(
        self,
        image_size: int = 256,
        stages: int = 3,
        width: float = 1.0,
        *,
        discriminator_width: float | None = None,
        adversarial_weight: float = 1.0,
        content_weight: float = 1.0,
        laplacian_weight: float = 1.0,
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_square(image_size)
        if stages < 1 or image_size & (image_size - 1) or image_size < 8 * 2 ** (stages - 1):
            raise ValueError(
                "`image_size` must be a power of two, and the images of the first of `stages`, "
                "image_size / 2^(stages - 1), must have 8 px at least. "
                f"Received: image_size={image_size}, stages={stages}"
            )
        narrowed = check_widths(width, discriminator_width)
        check_weights(
            adversarial_weight=adversarial_weight,
            content_weight=content_weight,
            laplacian_weight=laplacian_weight,
        )
        self.image_size = image_size
        self.stages = stages
        self.width = width
        self.discriminator_width = discriminator_width
        self.adversarial_weight = adversarial_weight
        self.content_weight = content_weight
        self.laplacian_weight = laplacian_weight
        self.seed = seed
        self.places = keras.random.SeedGenerator(seed)

        policy = self.dtype_policy
        self.converter = build_converter(image_size, stages, width, dtype=policy)
        self.stage_networks = [
            keras.Model(self.converter.input, image, name=f"stage{i}")
            for i, image in enumerate(self.converter.outputs, start=1)
        ]
        players = {"converter": ["converter"]}
        if adversarial_weight:
            self.discriminator = build_discriminator(narrowed, policy)
            players["discriminator"] = ["discriminator"]
        self.stage = stages
        self._alpha: float | None = None  # what `set_stage` set last
        self.set_players(players)

    # The curriculum: Sec. 3.3

    def on_phase(self, index: int, progress: float) -> None:
        """Follows a schedule with two phases per stage: fade-in and stabilization.

        Args:
            index: index of the phase, from 0.
            progress: share of the phase that is over after the next step, above 0 and at most 1. In
                a fade-in it is alpha. At 0 the new block would have no gradient although Adam
                counts the step, and its first real steps would be up to 1 / sqrt(1 - beta_2) times
                too large.

        Raises:
            ValueError: there are more phases than that.
        """
        stage, stabilization = index // 2 + 1, index % 2
        if stage > self.stages:
            raise ValueError(
                f"RoughToDetailGAN with stages={self.stages} has {2 * self.stages} phases, a "
                f"fade-in and a stabilization for each stage. Received: phase {index + 1}"
            )
        self.set_stage(stage, 1.0 if stabilization else progress)

    def set_stage(self, stage: int, alpha: float = 1.0) -> None:
        """Goes to a stage; if it is a different one, the optimizers reset their moments.

        Args:
            stage: from 1 to `stages`.
            alpha: alpha of the block that the stage added, in [0, 1].
        """
        if stage == self.stage and alpha == self._alpha:
            return
        self._attach_state()
        if stage != self.stage:
            self.stage = stage
            self._retrace()
            if self.compiled:
                self.optimizer.restart()
        for i, fade_in in enumerate(self._fade_ins(), start=1):
            fade_in.alpha.assign(alpha if i == stage else 1.0)
        self._alpha = alpha

    @property
    def at_last_stage(self) -> bool:
        """Whether images have their full size; those of earlier stages are enlarged."""
        return self.stage == self.stages

    def _fade_ins(self) -> list[FadeIn]:
        """The fade-in of each stage's block."""
        return [layer for layer in self.converter.layers if isinstance(layer, FadeIn)]

    def active_variables(self, name: str) -> list[keras.Variable]:
        """The converter's variables that the stage uses, or all of the discriminator's."""
        if name == "converter":
            return self.stage_networks[self.stage - 1].trainable_variables
        return super().active_variables(name)

    def save_own_variables(self, store: Any) -> None:
        """Saves the stage as well as what all models save."""
        super().save_own_variables(store)
        store["stage"] = np.array(self.stage)

    def load_own_variables(self, store: Any) -> None:
        """Restores what `save_own_variables` saved."""
        super().load_own_variables(store)
        self.stage, self._alpha = int(np.array(store["stage"])), None
        self._retrace()

    # Images

    def call(self, inputs: Tensor | Mapping[str, Tensor], training: bool = False) -> Tensor:
        """G_i: target images of source images, at the current stage."""
        image = self.stage_networks[self.stage - 1](self.source_of(inputs), training=training)
        if self.stage < self.stages:
            image = ops.image.resize(image, (self.image_size, self.image_size), "bilinear")
        return image

    def generated_shape(self) -> tuple[int | None, ...]:
        """Shape of the converted images."""
        return (None, self.image_size, self.image_size, 3)

    def plain_converter(self) -> keras.Model:
        """The converter of the stage as one plain model, with alpha folded into its weights."""
        every = build_converter(
            self.image_size, self.stages, self.width, fade=False, dtype=self.dtype_policy
        )
        image = every.outputs[self.stage - 1]
        if self.stage < self.stages:
            factor = 2 ** (self.stages - self.stage)
            image = layers.UpSampling2D(
                factor, interpolation="bilinear", dtype="float32", name="enlarged"
            )(image)
        plain = keras.Model(every.input, image, name="converter")
        for layer in plain.layers:
            if layer.weights:
                layer.set_weights(self.converter.get_layer(layer.name).get_weights())
        for fade_in in self._fade_ins()[: self.stage]:
            # The detail ends with these: kernel and bias, or a BatchNorm's scale and offset.
            end = plain.get_layer(fade_in.name.replace("_add", "_detail"))
            factor, offset, *statistics = end.get_weights()
            alpha = float(fade_in.alpha)
            end.set_weights([alpha * factor, alpha * offset, *statistics])
        return plain

    # Objective: Sec. 3.2

    def adversarial_step(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Lines 12 and 13 of Algorithm 1."""
        source = batch["source"]
        level = self.stages - self.stage
        small = pyramid(source, level + 1)[-1]  # x_i
        target = pyramid(batch["target"], level + 1)[-1]  # y_i
        network = self.stage_networks[self.stage - 1]
        forward = self.forward("converter", lambda: network(source, training=True))
        losses = {}

        # Update G_i (Eq. 4).
        losses["converter"] = self.minimize(
            "converter",
            lambda converted: self.converter_loss(small, target, converted),
            through=forward,
        )

        # Update D (Eq. 1), with the images that G_i drew before.
        if self.adversarial_weight:
            converted = ops.stop_gradient(forward.outputs)
            losses["discriminator"] = self.minimize(
                "discriminator", lambda: self.discriminator_loss(small, target, converted)
            )
        return losses

    def converter_loss(self, source: Tensor, target: Tensor, converted: Tensor) -> Tensor:
        """Eq. 4 for G_i.

        Args:
            source: x_i, (batch, size, size, 3) in [-1, 1], of the stage's size.
            target: y_i, of the same shape.
            converted: G_i(x), of the same shape.

        Returns:
            A scalar.
        """
        loss = 0.0
        if self.adversarial_weight:
            loss -= self.adversarial_weight * ops.mean(self._scores(source, converted))
        if self.content_weight:
            loss += self.content_weight * mean_absolute_error(target, converted)  # Eq. 2
        if self.laplacian_weight:  # Eq. 3; Lap is linear
            difference = laplacian(target - converted)
            loss += self.laplacian_weight * ops.mean(ops.abs(difference))
        return loss

    def discriminator_loss(self, source: Tensor, target: Tensor, converted: Tensor) -> Tensor:
        """Eq. 1, negated, with the gradient penalty of Gulrajani et al. (2017).

        Arguments and result are as for `converter_loss`.
        """
        place = self.draw(
            lambda rows: keras.random.uniform((rows, 1, 1, 1), seed=self.places), target
        )
        between = place * target + (1.0 - place) * converted
        gradient = self.gradient(lambda image: self._scores(source, image), between)
        # A root has no gradient at 0.
        norm = ops.sqrt(ops.sum(ops.square(gradient), axis=(1, 2, 3)) + 1e-12)
        penalty = ops.mean(ops.square(norm - 1.0))
        real = ops.mean(self._scores(source, target))
        fake = ops.mean(self._scores(source, converted))
        return fake - real + GRADIENT_PENALTY * penalty

    def _scores(self, source: Tensor, image: Tensor) -> Tensor:
        return self.discriminator(ops.concatenate([source, image], axis=-1), training=True)

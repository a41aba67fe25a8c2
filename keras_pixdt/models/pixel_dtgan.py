"""PixelDTGAN: Yoo et al., "Pixel-Level Domain Transfer", ECCV 2016.

A converter draws the target image (a product on white) of a source image (a dressed person).
A real/fake discriminator asks whether the drawing looks like a product image, a domain
discriminator whether it belongs to this person.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
from keras import layers, ops

from keras_pixdt.layers import BatchNormalization
from keras_pixdt.losses import binary_cross_entropy
from keras_pixdt.models.adversarial_model import AdversarialModel, Tensor

CODE_SIZE = 64  # "a semantic 64-dimensional code" (Sec. 4.1)
LEAK = 0.2  # Sec. 5.2
FILTER_SIZE_PX = 5  # Table 1
MAP_SIZE_PX = 4  # side of the map between the strided layers and the code (Table 1)
INITIAL_STDDEV = 0.02  # Sec. 5.2: N(0, 0.02)


# Networks: Table 1


def _filters(image_size: int, width: float) -> list[int]:
    """Filters of the strided layers, 64 px: 128, 256, 512, 1024; one more 1024 a doubling."""
    stages = (image_size // MAP_SIZE_PX).bit_length() - 1
    return [max(1, round(width * min(128 * 2**i, 1024))) for i in range(stages)]


def _normal() -> keras.initializers.Initializer:
    return keras.initializers.RandomNormal(stddev=INITIAL_STDDEV)


def _batch_norm(name: str, dtype: Any) -> layers.Layer:
    # not in the paper: momentum and epsilon; these are the defaults of the Torch of its time.
    # synchronized (TensorFlow only; JAX shards one program): statistics of the global batch.
    return BatchNormalization(momentum=0.9, epsilon=1e-5, dtype=dtype, name=name)


def _strided(x: Tensor, filters: list[int], dtype: Any) -> Tensor:
    """Conv. 1 to 4 of Table 1(a): halves the map at each layer, no BatchNorm at the first."""
    for i, count in enumerate(filters, start=1):
        x = layers.Conv2D(
            count,
            FILTER_SIZE_PX,
            strides=2,
            padding="same",
            use_bias=i == 1,  # elsewhere BatchNorm's offset is the bias
            kernel_initializer=_normal(),
            dtype=dtype,
            name=f"conv{i}",
        )(x)
        if i > 1:
            x = _batch_norm(f"conv{i}_bn", dtype)(x)
        x = layers.LeakyReLU(LEAK, dtype=dtype, name=f"conv{i}_lrelu")(x)
    return x


def build_converter(image_size: int, width: float, dtype: Any = None) -> keras.Model:
    """The converter of Table 1: encoder (a), decoder (b).

    Args:
        image_size: side of the square images, px.
        width: factor on the numbers of filters.
        dtype: dtype policy of the layers; the output is float32 in any case.

    Returns:
        A functional model, (batch, image_size, image_size, 3) in [-1, 1] to the same.
    """
    filters = _filters(image_size, width)
    source = keras.Input((image_size, image_size, 3), name="source")
    x = _strided(source, filters, dtype)
    conv5 = f"conv{len(filters) + 1}"
    x = layers.Conv2D(
        CODE_SIZE,
        MAP_SIZE_PX,
        use_bias=False,
        kernel_initializer=_normal(),
        dtype=dtype,
        name=conv5,
    )(x)
    x = _batch_norm(f"{conv5}_bn", dtype)(x)
    x = layers.LeakyReLU(LEAK, dtype=dtype, name="code")(x)

    x = layers.Conv2D(
        MAP_SIZE_PX**2 * filters[-1],
        1,
        use_bias=False,
        kernel_initializer=_normal(),
        dtype=dtype,
        name="decoder_conv1",
    )(x)
    x = layers.Reshape(
        (MAP_SIZE_PX, MAP_SIZE_PX, filters[-1]), dtype=dtype, name="decoder_reshape"
    )(x)
    x = _batch_norm("decoder_conv1_bn", dtype)(x)
    x = layers.ReLU(dtype=dtype, name="decoder_conv1_relu")(x)
    for i, count in enumerate([*filters[-2::-1], 3], start=2):
        last = count == 3 and i == len(filters) + 1
        x = layers.Conv2DTranspose(
            count,
            FILTER_SIZE_PX,
            strides=2,
            padding="same",
            use_bias=last,
            kernel_initializer=_normal(),
            dtype=dtype,
            name=f"f_conv{i}",
        )(x)
        if not last:
            x = _batch_norm(f"f_conv{i}_bn", dtype)(x)
            x = layers.ReLU(dtype=dtype, name=f"f_conv{i}_relu")(x)
    # float32 also under mixed precision: bfloat16 has 8 bits, not enough for 256 levels.
    converted = layers.Activation("tanh", dtype="float32", name="converted")(x)
    return keras.Model(source, converted, name="converter")


def build_discriminator(
    image_size: int, width: float, channels: int, name: str, dtype: Any = None
) -> keras.Model:
    """A discriminator of Table 1(a).

    Args:
        image_size: side of the square images, px.
        width: factor on the numbers of filters.
        channels: 3 for the real/fake discriminator, 6 for the domain discriminator.
        name: name of the model.
        dtype: dtype policy of the layers; the logits are float32 in any case.

    Returns:
        A functional model, (batch, image_size, image_size, channels) in [-1, 1] to logits
        (batch, 1).
    """
    image = keras.Input((image_size, image_size, channels), name="image")
    filters = _filters(image_size, width)
    x = _strided(image, filters, dtype)
    x = layers.Conv2D(
        1, MAP_SIZE_PX, kernel_initializer=_normal(), dtype=dtype, name=f"conv{len(filters) + 1}"
    )(x)
    logits = layers.Reshape((1,), dtype="float32", name="logits")(x)
    return keras.Model(image, logits, name=name)


@keras.saving.register_keras_serializable("keras_pixdt")
class PixelDTGAN(AdversarialModel):
    """Pixel-level domain transfer with two discriminators (Yoo et al. 2016).

    `PixelDTGAN()` is the full-width network of Table 1, 36.5 million parameters in its converter.
    The weights of the terms make the rows of Table 2: a discriminator of weight 0 is not built.

    Batches for `fit` are dicts `{source, target, irrelevant}` of float32 images in [-1, 1],
    (batch, image_size, image_size, 3); `predict` takes such dicts or source images.

    Differs from the paper, where it cannot be followed to the letter:
      - Table 1 gives Conv. 5 the filter size 1x1 on what is still a 4x4 map, which would make 16
        codes and 16 verdicts; the text wants one 64-dimensional code and one scalar. Conv. 5 is
        a valid 4x4 convolution here, as in the DCGAN that the paper refers to.
      - Algorithm 1 selects one image for each sample, the target, an irrelevant target or the
        converted image. Here the discriminators see all of them in each step, each kind as a batch
        of its own, with the weights that the selection gives in expectation. In a batch of mixed
        kinds BatchNorm's statistics tell the kinds apart, and a batch of converted images alone
        is normalized into passing for real: the converter had a loss of 0.07 before a
        discriminator whose own was 0.003, and learnt nothing.
      - Eq. 6 applies the selection to the converter's update as well, where a real image has no
        gradient. The converter is updated through its images of the whole batch.
      - Eq. 6 maximizes the discriminators' losses. Its gradient vanishes where a discriminator
        is sure, so the converter minimizes the cross entropy of the opposite label instead, as
        the procedure of Goodfellow et al. (2014) that the paper follows recommends.
      - "same" padding puts 1 px before and 2 px after, where the table's padding of 2 with the
        last column unused puts 2 before and 1 after: mirrored, of the same sizes.

    The converter is run once a step; discriminators and converter are updated from this pass
    (no weight of the converter changes in between), so that its BatchNorm statistics move once.

    Args:
        image_size: side of the images in px, a power of two from 16.
        width: factor on all numbers of filters but the code's 64 and the outputs'.
        discriminator_width: the same for the discriminators; None takes `width`. Half the work
            of a step is theirs.
        real_fake_weight: weight of the real/fake discriminator in the converter's objective.
        domain_weight: weight of the domain discriminator there.
        irrelevant_pairs: whether the domain discriminator sees irrelevant targets. Without, it
            is "C+RF+DD-Neg" of Table 2, and batches need no `irrelevant`.
        mse_weight: weight of the mean square error, "C+MSE" of Table 2.
        l1_weight: weight of the mean absolute error. Not in the paper: a pure GAN needs far
            longer until garments are recognizable.
        **kwargs: `name`, `dtype` (a policy such as "mixed_bfloat16").

    Raises:
        ValueError: a size, width or weight out of its range, or all weights are 0.

    Example:
        ```python
        model = PixelDTGAN(width=0.25)
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
        real_fake_weight: float = 0.5,
        domain_weight: float = 0.5,
        irrelevant_pairs: bool = True,
        mse_weight: float = 0.0,
        l1_weight: float = 0.0,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        if image_size < 16 or image_size & (image_size - 1):
            raise ValueError(
                "`image_size` must be a power of two from 16, since each strided layer halves the "
                f"image down to 4x4. Received: {image_size}"
            )
        for name, factor in (("width", width), ("discriminator_width", discriminator_width)):
            if factor is not None and not factor > 0:
                raise ValueError(f"`{name}` must be positive. Received: {factor}")
        weights = {
            "real_fake_weight": real_fake_weight,
            "domain_weight": domain_weight,
            "mse_weight": mse_weight,
            "l1_weight": l1_weight,
        }
        if min(weights.values()) < 0 or not any(weights.values()):
            raise ValueError(f"The weights must not be negative and not all 0. Received: {weights}")
        self.image_size = image_size
        self.width = width
        self.discriminator_width = discriminator_width
        self.real_fake_weight = real_fake_weight
        self.domain_weight = domain_weight
        self.irrelevant_pairs = irrelevant_pairs
        self.mse_weight = mse_weight
        self.l1_weight = l1_weight

        policy = self.dtype_policy
        narrowed = width if discriminator_width is None else discriminator_width
        players = {}
        if real_fake_weight:
            self.real_fake_discriminator = build_discriminator(
                image_size, narrowed, 3, "real_fake_discriminator", policy
            )
            players["real_fake_discriminator"] = ["real_fake_discriminator"]
        if domain_weight:
            self.domain_discriminator = build_discriminator(
                image_size, narrowed, 6, "domain_discriminator", policy
            )
            players["domain_discriminator"] = ["domain_discriminator"]
        self.converter = build_converter(image_size, width, policy)
        players["converter"] = ["converter"]
        self.set_players(players)

    def call(self, inputs: Tensor | Mapping[str, Tensor], training: bool = False) -> Tensor:
        """Eq. 3: target images of source images.

        Args:
            inputs: source images, (batch, image_size, image_size, 3) in [-1, 1], or a batch that
                holds them under "source".
            training: whether BatchNorm uses the batch's statistics.

        Returns:
            Target images, float32, of the same shape and range.
        """
        source = inputs["source"] if isinstance(inputs, Mapping) else inputs
        return self.converter(source, training=training)

    def generated_shape(self) -> tuple[int | None, ...]:
        """Shape of the converted images."""
        return self.converter.output_shape

    def adversarial_step(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Algorithm 1: both discriminators, then the converter through both."""
        source, target = batch["source"], batch["target"]
        losses = {}
        forward = self.forward("converter", lambda: self.converter(source, training=True))
        converted = ops.stop_gradient(forward.outputs)

        # Update the real/fake discriminator (Eq. 2).
        if self.real_fake_weight:
            losses["real_fake_discriminator"] = self.minimize(
                "real_fake_discriminator", lambda: self.real_fake_loss(target, converted)
            )

        # Update the domain discriminator (Eq. 5).
        if self.domain_weight:
            irrelevant = self._irrelevant(batch)
            losses["domain_discriminator"] = self.minimize(
                "domain_discriminator",
                lambda: self.domain_loss(source, target, irrelevant, converted),
            )

        # Update the converter through the updated discriminators (Eq. 6).
        losses["converter"] = self.minimize(
            "converter",
            lambda converted: self.converter_loss(source, target, converted),
            through=forward,
        )
        return losses

    def real_fake_loss(self, target: Tensor, converted: Tensor) -> Tensor:
        """Eq. 2, in expectation over the selection among I_T, I_T^- and the converted image.

        Args:
            target: I_T, (batch, size, size, 3) in [-1, 1]. Irrelevant targets are targets of other
                sources: where they take part, targets count twice in their place.
            converted: the converter's images, of the same shape.

        Returns:
            A scalar.
        """
        real = self.real_fake_discriminator(target, training=True)
        fake = self.real_fake_discriminator(converted, training=True)
        count = 3 if self.irrelevant_pairs else 2
        return (
            (count - 1) * binary_cross_entropy(ops.ones_like(real), real)
            + binary_cross_entropy(ops.zeros_like(fake), fake)
        ) / count

    def domain_loss(
        self, source: Tensor, target: Tensor, irrelevant: Tensor | None, converted: Tensor
    ) -> Tensor:
        """Eq. 5, in expectation over the selection among I_T, I_T^- and the converted image.

        Args:
            source: I_S, (batch, size, size, 3) in [-1, 1].
            target: I_T, of the same shape; associated with the source.
            irrelevant: I_T^-, of the same shape, or None where it does not take part.
            converted: the converter's images, of the same shape.

        Returns:
            A scalar.
        """
        associated = self._association(source, target)
        losses = [binary_cross_entropy(ops.ones_like(associated), associated)]
        for other in (converted, irrelevant):
            if other is not None:
                unassociated = self._association(source, other)
                losses.append(binary_cross_entropy(ops.zeros_like(unassociated), unassociated))
        return sum(losses) / len(losses)

    def _association(self, source: Tensor, image: Tensor) -> Tensor:
        """Logits of D_A for images stacked with their sources, (batch, 1)."""
        pair = ops.concatenate([source, image], axis=-1)
        return self.domain_discriminator(pair, training=True)

    def _irrelevant(self, batch: Mapping[str, Tensor]) -> Tensor | None:
        if not self.irrelevant_pairs:
            return None
        if "irrelevant" not in batch:
            raise ValueError(
                "PixelDTGAN with irrelevant_pairs=True needs batches with the key 'irrelevant', "
                "as keras_pixdt.data.triplets makes them; irrelevant_pairs=False is C+RF+DD-Neg. "
                f"Received the keys: {sorted(batch)}"
            )
        return batch["irrelevant"]

    def converter_loss(self, source: Tensor, target: Tensor, converted: Tensor) -> Tensor:
        """Eq. 6 with the opposite labels, and the terms that rows of Table 2 add.

        Args:
            source: I_S, (batch, size, size, 3) in [-1, 1].
            target: I_T, of the same shape.
            converted: the converter's images of `source`.

        Returns:
            A scalar.
        """
        loss = 0.0
        if self.real_fake_weight:
            logits = self.real_fake_discriminator(converted, training=True)
            loss += self.real_fake_weight * binary_cross_entropy(ops.ones_like(logits), logits)
        if self.domain_weight:
            logits = self._association(source, converted)
            loss += self.domain_weight * binary_cross_entropy(ops.ones_like(logits), logits)
        if self.mse_weight:
            loss += self.mse_weight * ops.mean(ops.square(converted - target))
        if self.l1_weight:
            loss += self.l1_weight * ops.mean(ops.abs(converted - target))
        return loss

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        arguments = (
            "image_size", "width", "discriminator_width", "real_fake_weight", "domain_weight",
            "irrelevant_pairs", "mse_weight", "l1_weight",
        )  # fmt: skip
        return {**super().get_config(), **{name: getattr(self, name) for name in arguments}}

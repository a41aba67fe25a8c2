"""PixelDTGAN: Yoo et al., "Pixel-Level Domain Transfer", ECCV 2016.

A converter draws the target image (a product on white) of a source image (a dressed person). A
real/fake discriminator judges whether the drawing looks like a product image, and a domain
discriminator whether it belongs to this person.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

import keras
from keras import layers, ops

from keras_pixdt.engine.model import AdversarialModel, Tensor
from keras_pixdt.losses import (
    CONVERTER_OBJECTIVES,
    binary_cross_entropy,
    fake_loss,
    mean_absolute_error,
    mean_squared_error,
    real_loss,
)
from keras_pixdt.models.common import (
    batch_norm,
    check_choice,
    check_image_size,
    check_weights,
    check_widths,
    conv,
    conv_transpose,
    doubled,
    image_output,
)

CODE_SIZE = 64  # "a semantic 64-dimensional code" (Sec. 4.1)
LEAK = 0.2  # Sec. 5.2
FILTER_SIZE_PX = 5  # Table 1
MAP_SIZE_PX = 4  # side of the map between the strided layers and the code (Table 1)
INITIAL_STDDEV = 0.02  # Sec. 5.2: N(0, 0.02)

SELECTIONS = ("kinds", "sample")


# Networks: Table 1


def _filters(image_size: int, width: float) -> list[int]:
    """Filters of the strided layers: 128, 256, 512, 1024 at 64 px; each doubling adds a 1024."""
    return doubled((image_size // MAP_SIZE_PX).bit_length() - 1, width, first=128, most=1024)


def _normal() -> keras.initializers.Initializer:
    return keras.initializers.RandomNormal(stddev=INITIAL_STDDEV)


def _strided(x: Tensor, filters: list[int], dtype: Any) -> Tensor:
    """Conv. 1 to 4 of Table 1(a): halves the map at each layer, no BatchNorm at the first."""
    for i, count in enumerate(filters, start=1):
        bias = i == 1  # elsewhere BatchNorm's offset is the bias
        name = f"conv{i}"
        x = conv(x, count, FILTER_SIZE_PX, name, _normal(), dtype, strides=2, use_bias=bias)
        if i > 1:
            x = batch_norm(x, f"{name}_bn", dtype)
        x = layers.LeakyReLU(LEAK, dtype=dtype, name=f"{name}_lrelu")(x)
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
    x = conv(x, CODE_SIZE, MAP_SIZE_PX, conv5, _normal(), dtype, padding="valid", use_bias=False)
    x = batch_norm(x, f"{conv5}_bn", dtype)
    x = layers.LeakyReLU(LEAK, dtype=dtype, name="code")(x)

    numbers = MAP_SIZE_PX**2 * filters[-1]
    x = conv(x, numbers, 1, "decoder_conv1", _normal(), dtype, padding="valid", use_bias=False)
    x = layers.Reshape(
        (MAP_SIZE_PX, MAP_SIZE_PX, filters[-1]), dtype=dtype, name="decoder_reshape"
    )(x)
    x = batch_norm(x, "decoder_conv1_bn", dtype)
    x = layers.ReLU(dtype=dtype, name="decoder_conv1_relu")(x)
    for i, count in enumerate([*filters[-2::-1], 3], start=2):
        last = i == len(filters) + 1
        name = f"f_conv{i}"
        x = conv_transpose(x, count, FILTER_SIZE_PX, name, _normal(), dtype, use_bias=last)
        if not last:
            x = batch_norm(x, f"f_conv{i}_bn", dtype)
            x = layers.ReLU(dtype=dtype, name=f"f_conv{i}_relu")(x)
    return keras.Model(source, image_output(x), name="converter")


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
    x = conv(x, 1, MAP_SIZE_PX, f"conv{len(filters) + 1}", _normal(), dtype, padding="valid")
    logits = layers.Reshape((1,), dtype="float32", name="logits")(x)
    return keras.Model(image, logits, name=name)


class Selection(NamedTuple):
    """sel({I_T, Î_T, I_T^-}) of Eq. 6: the image selected for each sample.

    Attributes:
        others: I_T or I_T^-, shown where the converted image is not selected, (batch, size, size,
            3).
        is_converted: 1 where Î_T is selected, else 0, float32 (batch, 1).
        is_target: 1 where I_T is selected, else 0, float32 (batch, 1).
    """

    others: Tensor
    is_converted: Tensor
    is_target: Tensor

    def images(self, converted: Tensor) -> Tensor:
        """The selected images, given the converted ones."""
        return ops.where(self.is_converted[..., None, None] > 0, converted, self.others)


@keras.saving.register_keras_serializable("keras_pixdt")
class PixelDTGAN(AdversarialModel):
    """Pixel-level domain transfer with two discriminators (Yoo et al. 2016).

    `PixelDTGAN()` is the full-width network of Table 1, 36.5 million parameters in its converter.
    The weights of the terms select the rows of Table 2; a discriminator with weight 0 is not built.

    Batches for `fit` are dicts `{source, target, irrelevant}` of float32 images in [-1, 1],
    (batch, image_size, image_size, 3); `predict` takes such dicts or source images.

    Differs from the paper:
      - Table 1 gives Conv. 5 a filter size of 1x1 although its input is still a 4x4 map. That would
        give 16 codes and 16 verdicts, while the text describes one 64-dimensional code and one
        scalar. Here Conv. 5 is a valid 4x4 convolution, as in the DCGAN that the paper refers to.
      - Table 1 reshapes the decoder's first layer after its BatchNorm. Here BatchNorm comes after
        the reshape, so it has one mean and variance for each of the 1,024 channels instead of one
        for each of the 16,384 numbers. DCGAN does this too, and a small batch can estimate these.
      - Algorithm 1 selects for each sample the target, an irrelevant target or the converted
        image, and gives the same mixed batch to both discriminators and to the converter
        (`selection="sample"`, which the presets `yoo2016*` take). The default, "kinds", shows all
        of them in each step, each kind as a separate batch. The discriminators weigh the kinds as
        the selection does in expectation. The converter learns from all of its images instead of a
        third of them, so its term is about three times as strong. Small networks learn faster with
        it in a few minutes; with "sample", the domain discriminator ranks products better.
      - Eq. 6 maximizes the discriminators' losses (`converter_objective="saturating"`, which the
        presets `yoo2016*` take). Its gradient vanishes where a discriminator is sure. With the
        default, "non_saturating", the converter minimizes the cross entropy of the opposite label
        for its images, as Goodfellow et al. (2014), whose procedure the paper follows, recommend.
      - Table 1 pads by 2 px and leaves the last column unused. Here "same" padding puts 1 px before
        and 2 px after, where the paper's padding has 2 before and 1 after. The result is mirrored
        but has the same size.

    Args:
        image_size: side of the images in px, a power of two from 16.
        width: factor on all numbers of filters but the code's 64 and the outputs'.
        discriminator_width: the same for the discriminators; None takes `width`. They do half the
            work of a step.
        real_fake_weight: weight of the real/fake discriminator in the converter's objective.
        domain_weight: weight of the domain discriminator there.
        irrelevant_pairs: whether the domain discriminator sees irrelevant targets. Without them it
            is "C+RF+DD-Neg" of Table 2, and batches need no `irrelevant`.
        mse_weight: weight of the mean square error, "C+MSE" of Table 2.
        l1_weight: weight of the mean absolute error. Not in the paper: a pure GAN needs far
            longer until garments are recognizable.
        selection: "sample" (Algorithm 1: one image for each sample, at random) or "kinds" (all of
            them, each kind as a separate batch).
        converter_objective: "saturating" (Eq. 6) or "non_saturating".
        seed: seed of the random selection; None draws one.
        **kwargs: `name`, `dtype` (a policy such as "mixed_bfloat16").

    Raises:
        ValueError: a size, width or weight is out of range, all weights are 0, or a choice is
            unknown.

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
        selection: str = "kinds",
        converter_objective: str = "non_saturating",
        seed: int | None = None,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_image_size(image_size, 16, "each strided layer halves the image down to 4x4")
        narrowed = check_widths(width, discriminator_width)
        check_weights(
            real_fake_weight=real_fake_weight,
            domain_weight=domain_weight,
            mse_weight=mse_weight,
            l1_weight=l1_weight,
        )
        check_choice("selection", selection, SELECTIONS)
        check_choice("converter_objective", converter_objective, CONVERTER_OBJECTIVES)
        self.image_size = image_size
        self.width = width
        self.discriminator_width = discriminator_width
        self.real_fake_weight = real_fake_weight
        self.domain_weight = domain_weight
        self.irrelevant_pairs = irrelevant_pairs
        self.mse_weight = mse_weight
        self.l1_weight = l1_weight
        self.selection = selection
        self.converter_objective = converter_objective
        self.seed = seed
        if selection == "sample":
            self.selector = keras.random.SeedGenerator(seed)

        policy = self.dtype_policy
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

    def batch_shapes(self) -> dict[str, tuple[int | None, ...]]:
        """Those of all models, and that of `irrelevant`."""
        return {**super().batch_shapes(), "irrelevant": self.generated_shape()}

    def adversarial_step(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """Algorithm 1: both discriminators, then the converter through both."""
        source, target = batch["source"], batch["target"]
        irrelevant = self._irrelevant(batch)
        losses = {}
        forward = self.forward("converter", lambda: self.converter(source, training=True))
        converted = ops.stop_gradient(forward.outputs)
        selection = None
        if self.selection == "sample" and (self.real_fake_weight or self.domain_weight):
            selection = self.select(target, irrelevant)

        # Update the real/fake discriminator (Eq. 2).
        if self.real_fake_weight:
            losses["real_fake_discriminator"] = self.minimize(
                "real_fake_discriminator",
                lambda: self.real_fake_loss(target, converted, selection),
            )

        # Update the domain discriminator (Eq. 5).
        if self.domain_weight:
            losses["domain_discriminator"] = self.minimize(
                "domain_discriminator",
                lambda: self.domain_loss(source, target, irrelevant, converted, selection),
            )

        # Update the converter through the updated discriminators (Eq. 6).
        losses["converter"] = self.minimize(
            "converter",
            lambda converted: self.converter_loss(source, target, converted, selection),
            through=forward,
        )
        return losses

    def select(self, target: Tensor, irrelevant: Tensor | None) -> Selection:
        """Selects I_T, Î_T or I_T^- for each sample, with equal probability.

        Args:
            target: I_T, (batch, size, size, 3) in [-1, 1].
            irrelevant: I_T^-, of the same shape, or None where it does not take part.

        Returns:
            What is selected.
        """
        kinds = 2 if irrelevant is None else 3
        chance = self.draw(lambda rows: keras.random.uniform((rows, 1), seed=self.selector), target)
        kind = ops.floor(kinds * chance)  # 0 is Î_T, 1 is I_T, 2 is I_T^-
        is_converted, is_target = (ops.cast(kind == k, "float32") for k in (0, 1))
        others = target
        if irrelevant is not None:
            others = ops.where(is_target[..., None, None] > 0, target, irrelevant)
        return Selection(others, is_converted, is_target)

    def real_fake_loss(
        self, target: Tensor, converted: Tensor, selection: Selection | None = None
    ) -> Tensor:
        """Eq. 2 of the selected images, or in expectation over the selection.

        Args:
            target: I_T, (batch, size, size, 3) in [-1, 1].
            converted: the converter's images, of the same shape.
            selection: of `select`. None shows both, with the weights that the selection gives in
                expectation. Irrelevant targets are targets of other sources: where they take part,
                targets count twice instead.

        Returns:
            A scalar.
        """
        if selection is not None:
            logits = self.real_fake_discriminator(selection.images(converted), training=True)
            return binary_cross_entropy(1.0 - selection.is_converted, logits)
        real = self.real_fake_discriminator(target, training=True)
        fake = self.real_fake_discriminator(converted, training=True)
        count = 3 if self.irrelevant_pairs else 2
        return ((count - 1) * real_loss(real) + fake_loss(fake)) / count

    def domain_loss(
        self,
        source: Tensor,
        target: Tensor,
        irrelevant: Tensor | None,
        converted: Tensor,
        selection: Selection | None = None,
    ) -> Tensor:
        """Eq. 5 of the selected images, or in expectation over the selection.

        Args:
            source: I_S, (batch, size, size, 3) in [-1, 1].
            target: I_T, of the same shape; associated with the source.
            irrelevant: I_T^-, of the same shape, or None where it does not take part.
            converted: the converter's images, of the same shape.
            selection: of `select`; None shows all of them.

        Returns:
            A scalar.
        """
        if selection is not None:
            logits = self._association(source, selection.images(converted))
            return binary_cross_entropy(selection.is_target, logits)
        losses = [real_loss(self._association(source, target))]
        for other in (converted, irrelevant):
            if other is not None:
                losses.append(fake_loss(self._association(source, other)))
        return sum(losses) / len(losses)

    def _association(self, source: Tensor, image: Tensor) -> Tensor:
        """Logits of D_A for images stacked with their sources, (batch, 1)."""
        pair = ops.concatenate([source, image], axis=-1)
        return self.domain_discriminator(pair, training=True)

    def _irrelevant(self, batch: Mapping[str, Tensor]) -> Tensor | None:
        if not self.irrelevant_pairs:
            return None
        if not self.domain_weight:  # to D_R alone, a target of another source is a target
            return batch["target"]
        if "irrelevant" not in batch:
            raise ValueError(
                "PixelDTGAN with irrelevant_pairs=True needs batches with the key 'irrelevant', "
                "as keras_pixdt.data.triplets makes them; irrelevant_pairs=False is C+RF+DD-Neg. "
                f"Received the keys: {sorted(batch)}"
            )
        return batch["irrelevant"]

    def converter_loss(
        self, source: Tensor, target: Tensor, converted: Tensor, selection: Selection | None = None
    ) -> Tensor:
        """Eq. 6, and the terms that rows of Table 2 add.

        Args:
            source: I_S, (batch, size, size, 3) in [-1, 1].
            target: I_T, of the same shape.
            converted: the converter's images of `source`.
            selection: of `select`, that of the discriminators' updates; None shows the converted
                images alone.

        Returns:
            A scalar.
        """
        images = converted if selection is None else selection.images(converted)
        loss = 0.0
        if self.real_fake_weight:
            logits = self.real_fake_discriminator(images, training=True)
            labels = None if selection is None else 1.0 - selection.is_converted
            loss += self.real_fake_weight * self._adversarial(logits, labels, selection)
        if self.domain_weight:
            logits = self._association(source, images)
            labels = None if selection is None else selection.is_target
            loss += self.domain_weight * self._adversarial(logits, labels, selection)
        if self.mse_weight:
            loss += self.mse_weight * mean_squared_error(converted, target)
        if self.l1_weight:
            loss += self.l1_weight * mean_absolute_error(converted, target)
        return loss

    def _adversarial(
        self, logits: Tensor, labels: Tensor | None, selection: Selection | None
    ) -> Tensor:
        """The converter's term for a discriminator whose own labels these are; None is 0 for all.

        As printed, it is the discriminator's loss with the other sign. Otherwise only converted
        images count, the others have no gradient of their own.
        """
        if self.converter_objective == "saturating":
            return -(fake_loss(logits) if labels is None else binary_cross_entropy(labels, logits))
        counts = ops.ones_like(logits) if selection is None else selection.is_converted
        return ops.mean(counts * ops.softplus(-logits))

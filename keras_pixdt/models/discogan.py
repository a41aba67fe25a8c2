"""DiscoGAN: Kim et al., "Learning to Discover Cross-Domain Relations with GANs", 2017.

There are two domains A and B, and no pairs. Generators translate from A to B and from B to A, and
two discriminators judge whether images of each domain are real. An image translated to the other
domain and back should come back unchanged, which makes the relation between the domains one to one.
"""

from __future__ import annotations

import abc
from collections.abc import Callable, Mapping
from typing import Any

import keras
from keras import layers, ops

from keras_pixdt.engine.model import AdversarialModel, Tensor, train_pass
from keras_pixdt.losses import DISTANCES, fake_loss, real_loss
from keras_pixdt.models.common import (
    batch_norm,
    check_choice,
    check_image_size,
    check_widths,
    conv,
    conv_transpose,
    doubled,
    image_output,
    scaled,
)

# not in the paper: sizes of filters and the leak, from the authors' code.
FILTER_SIZE_PX = 4
LEAK = 0.2
INNERMOST_PX = 4  # side of the map that the strided layers end at
EXTRA_FILTERS = 100  # of the fifth layer, whose map is 1x1


# Networks: Sec. 2.2


def _filters(image_size: int, width: float) -> list[int]:
    """Filters of the strided layers: 64, 128, 256, 512, ...; from the authors' code."""
    return doubled((image_size // INNERMOST_PX).bit_length() - 1, width)


def uniform(fan: str) -> keras.initializers.Initializer:
    """Initial weights of a layer; `fan` says which side of its kernel counts as inputs."""
    # not in the paper: PyTorch's default, which the authors' code has: U(-b, b), b^2 = 1 / inputs.
    return keras.initializers.VarianceScaling(1 / 3, mode=fan, distribution="uniform")


def _encoder(
    x: Tensor, filters: list[int], dtype: Any, name: str, extra_filters: int | None = None
) -> Tensor:
    """Strided convolutions and leaky ReLUs; BatchNorm in all but the first (Sec. 3.2)."""
    for i, count in enumerate([*filters, *([extra_filters] if extra_filters else [])], start=1):
        extra = i > len(filters)
        x = conv(
            x,
            count,
            FILTER_SIZE_PX,
            f"{name}{i}",
            uniform("fan_in"),
            dtype,
            strides=1 if extra else 2,
            padding="valid" if extra else "same",
            use_bias=False,  # as in the authors' code, here and below
        )
        if i > 1:
            x = batch_norm(x, f"{name}{i}_bn", dtype)
        x = layers.LeakyReLU(LEAK, dtype=dtype, name=f"{name}{i}_lrelu")(x)
    return x


def build_converter(
    image_size: int,
    width: float,
    extra_layer: bool = False,
    dtype: Any = None,
    name: str = "converter",
) -> keras.Model:
    """A generator: an encoder to 4x4 and the decoder that mirrors it.

    Args:
        image_size: side of the square images, px.
        width: factor on the numbers of filters.
        extra_layer: whether encoder and decoder have a fifth layer, to 1x1 and back.
        dtype: dtype policy of the layers; the output is float32 in any case.
        name: of the model.

    Returns:
        A functional model, (batch, image_size, image_size, 3) in [-1, 1] to the same.
    """
    filters = _filters(image_size, width)
    extra_filters = scaled(EXTRA_FILTERS, width) if extra_layer else None
    source = keras.Input((image_size, image_size, 3), name="source")
    x = _encoder(source, filters, dtype, "encoder", extra_filters)
    # Each decoder layer outputs the number of channels that its encoder counterpart takes.
    counts = [*([filters[-1]] if extra_layer else []), *filters[-2::-1], 3]
    for i, count in enumerate(counts, start=1):
        extra = extra_layer and i == 1
        x = conv_transpose(
            x,
            count,
            FILTER_SIZE_PX,
            f"decoder{i}",
            uniform("fan_out"),  # of a transposed kernel these are the inputs
            dtype,
            strides=1 if extra else 2,
            padding="valid" if extra else "same",
            use_bias=False,
        )
        if i < len(counts):
            x = batch_norm(x, f"decoder{i}_bn", dtype)
            x = layers.ReLU(dtype=dtype, name=f"decoder{i}_relu")(x)
    return keras.Model(source, image_output(x), name=name)


def build_discriminator(
    image_size: int, width: float, dtype: Any = None, name: str = "discriminator"
) -> keras.Model:
    """The encoder again, followed by a convolution to one logit.

    Args:
        image_size: side of the square images, px.
        width: factor on the numbers of filters.
        dtype: dtype policy of the layers; the logits are float32 in any case.
        name: of the model.

    Returns:
        A functional model, (batch, image_size, image_size, 3) in [-1, 1] to logits (batch, 1).
    """
    filters = _filters(image_size, width)
    image = keras.Input((image_size, image_size, 3), name="image")
    x = _encoder(image, filters, dtype, "conv")
    last = f"conv{len(filters) + 1}"
    x = conv(x, 1, INNERMOST_PX, last, uniform("fan_in"), dtype, padding="valid", use_bias=False)
    x = layers.Flatten(dtype=dtype, name="flatten")(x)
    logits = layers.Activation("linear", dtype="float32", name="logits")(x)
    return keras.Model(image, logits, name=name)


# Objective and step: Secs. 2.3 and 2.4


class CrossDomainGAN(AdversarialModel):
    """Objective and step of the paper's three models, for any kind of samples.

    `call` is x_AB = G_AB(x_A) (Eq. 1). A subclass writes `build_converter` and
    `build_discriminator`, and ends its `__init__` with `build_networks`.

    Args:
        coupled: whether both directions are learned (Fig. 2c).
        reconstruction: the distance d of Eq. 3, a key of `losses.DISTANCES`. Sec. 2.1 names L1, L2
            and Huber, Sec. 2.3 MSE, cosine distance and hinge loss.
        reconstruction_weight: factor on it; the paper has no factor, which is 1.
        weight_decay: factor on the weights that is added to their gradients.
        **kwargs: `name`, `dtype`.

    Raises:
        ValueError: an unknown distance, a negative weight, or a coupled model without
            reconstruction. The paper has no such model: nothing would couple its two halves.
    """

    def __init__(
        self,
        coupled: bool,
        reconstruction: str,
        reconstruction_weight: float,
        weight_decay: float,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        check_choice("reconstruction", reconstruction, DISTANCES)
        if reconstruction_weight < 0 or (coupled and not reconstruction_weight):
            raise ValueError(
                "`reconstruction_weight` must be positive, or 0 with coupled=False for the "
                f"standard GAN. Received: {reconstruction_weight} with coupled={coupled}"
            )
        if weight_decay < 0:
            raise ValueError(f"`weight_decay` must not be negative. Received: {weight_decay}")
        self.coupled = coupled
        self.reconstruction = reconstruction
        self.reconstruction_weight = reconstruction_weight
        self.weight_decay = weight_decay

    @abc.abstractmethod
    def build_converter(self, name: str) -> keras.Model:
        """A generator."""

    @abc.abstractmethod
    def build_discriminator(self, name: str) -> keras.Model:
        """A discriminator, which returns logits."""

    def build_networks(self) -> None:
        """Builds the networks that the model has (Fig. 2), and declares the players.

        The generators are one player and the discriminators another, because Eqs. 7 and 8 are sums
        over them.
        """
        players = {"discriminator": ["discriminator"], "converter": ["converter"]}
        self.converter = self.build_converter("converter")  # G_AB
        self.discriminator = self.build_discriminator("discriminator")  # D_B
        if self.reconstruction_weight:
            self.reverse_converter = self.build_converter("reverse_converter")  # G_BA
            players["converter"].append("reverse_converter")
        if self.coupled:
            self.reverse_discriminator = self.build_discriminator("reverse_discriminator")  # D_A
            players["discriminator"].append("reverse_discriminator")
        self.set_players(players)

    def reconstruct(self, inputs: Tensor | Mapping[str, Tensor], training: bool = False) -> Tensor:
        """x_ABA = G_BA(G_AB(x_A)) (Eq. 2); arguments and result as for `call`.

        Raises:
            ValueError: the model is a standard GAN, which has no way back.
        """
        if not self.reconstruction_weight:
            raise ValueError(
                "A model with reconstruction_weight=0 is a standard GAN: it has no generator back"
            )
        return self.reverse_converter(self(inputs, training=training), training=training)

    def adversarial_step(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """One step on the discriminators, then one on the generators."""
        x_a, x_b = batch["source"], batch["target"]
        forward = self.forward("converter", lambda: ops.stack(self.converter_passes(batch)))

        # Update D_A and D_B (Eq. 8).
        translations = ops.stop_gradient(forward.outputs)
        discriminator = self.minimize(
            "discriminator",
            lambda: self.discriminator_loss(x_a, x_b, translations),
            penalty=lambda: self.weight_penalty("discriminator"),
        )

        # Update G_AB and G_BA through the updated D_A and D_B (Eq. 7).
        converter = self.minimize(
            "converter",
            lambda translations: self.converter_loss(x_a, x_b, translations),
            through=forward,
            penalty=lambda: self.weight_penalty("converter"),
        )
        return {"discriminator": discriminator, "converter": converter}

    def converter_passes(
        self, batch: Mapping[str, Tensor], run: Callable[[keras.Model, Tensor], Tensor] = train_pass
    ) -> list[Tensor]:
        """Those of x_AB, x_ABA, x_BA and x_BAB that the model has.

        Each generator normalizes samples of its domain and translations into it as separate
        batches: G_AB normalizes x_A and x_BA, G_BA normalizes x_B and x_AB.

        Args:
            batch: samples of domain A under "source", and of domain B under "target".
            run: as in `AdversarialModel.converter_passes`.

        Raises:
            ValueError: a coupled model has no samples of domain B.
        """
        if self.coupled and "target" not in batch:
            raise ValueError(
                "A coupled model translates samples of both domains: give those of the second as "
                f"`target`. Received: {', '.join(batch)}"
            )
        x_ab = run(self.converter, batch["source"])
        translations = [x_ab]
        if self.reconstruction_weight:
            translations.append(run(self.reverse_converter, x_ab))
        if self.coupled:
            x_ba = run(self.reverse_converter, batch["target"])
            translations += [x_ba, run(self.converter, x_ba)]
        return translations

    def discriminator_loss(self, x_a: Tensor, x_b: Tensor, translations: Tensor) -> Tensor:
        """L_D (Eq. 8), or L_D_B (Eq. 6) if the model is not coupled.

        Args:
            x_a: samples of domain A, (batch, ...).
            x_b: samples of domain B, of the same shape.
            translations: x_AB[, x_ABA[, x_BA, x_BAB]], stacked along a first axis.

        Returns:
            A scalar.
        """
        loss = self._discriminator_loss(self.discriminator, x_b, translations[0])
        if self.coupled:
            loss += self._discriminator_loss(self.reverse_discriminator, x_a, translations[2])
        return loss

    def _discriminator_loss(self, discriminator: keras.Model, real: Tensor, fake: Tensor) -> Tensor:
        """Eq. 6, for either domain."""
        loss = real_loss(discriminator(real, training=True))
        return loss + fake_loss(discriminator(fake, training=True))

    def converter_loss(self, x_a: Tensor, x_b: Tensor, translations: Tensor) -> Tensor:
        """L_G (Eq. 7), or L_G_AB (Eq. 5) if the model is not coupled.

        Arguments and result are as for `discriminator_loss`.
        """
        distance = DISTANCES[self.reconstruction]
        loss = self._gan_loss(self.discriminator, translations[0])
        if self.reconstruction_weight:
            loss += self.reconstruction_weight * distance(x_a, translations[1])  # Eq. 3
        if self.coupled:
            loss += self._gan_loss(self.reverse_discriminator, translations[2])
            loss += self.reconstruction_weight * distance(x_b, translations[3])
        return loss

    def _gan_loss(self, discriminator: keras.Model, fake: Tensor) -> Tensor:
        """-log D(fake) (Eq. 4)."""
        return real_loss(discriminator(fake, training=True))

    def weight_penalty(self, player: str) -> Tensor:
        """0.5 * weight_decay * sum of the squares of the player's weights, a scalar.

        Its gradient is weight_decay * w. That is what "weight decay regularization" (Sec. 3.2) does
        in the Adam of the authors' code: it goes through Adam's moments, unlike AdamW's.
        """
        squares = [ops.sum(ops.square(weight)) for weight in self.player_variables(player)]
        return 0.5 * self.weight_decay * sum(squares)


@keras.saving.register_keras_serializable("keras_pixdt")
class DiscoGAN(CrossDomainGAN):
    """Translation between two domains of images without pairs (Kim et al. 2017).

    `DiscoGAN()` is the full-width network for 64 px (Fig. 2c). `coupled=False` is the GAN with a
    reconstruction loss (Fig. 2b), without D_A and the second half of the losses;
    `coupled=False, reconstruction_weight=0` the standard GAN (Fig. 2a), without G_BA too.

    `converter` is G_AB, `reverse_converter` G_BA, `discriminator` D_B, `reverse_discriminator` D_A.

    Batches for `fit` are dicts `{source, target}` of float32 images in [-1, 1],
    (batch, image_size, image_size, 3), of domain A and of domain B; row i of one is unrelated to
    row i of the other. `predict` takes such dicts or images of domain A, and returns x_AB.

    Differs from the paper:
      - The paper's decoder ends in a ReLU. Here it ends in tanh, because images are in [-1, 1].
        (The authors' code has a sigmoid, for images in [0, 1].)
      - The paper adds its losses without weights (Eqs. 5 and 7), and so do the presets `kim2017*`.
        A squared error in [-1, 1] is four times as large as in [0, 1], so the reconstruction weighs
        more here than it would with images in [0, 1]. The presets `kim2017-small*` have
        reconstruction_weight=10, because with 1 all cars became one of four pictures in 1,500
        steps. (Relative to the GAN's loss, the authors' code weighs the reconstruction 10 times as
        much for photos, a tenth as much in the first 10,000 iterations, and 90 times as much for
        cars, chairs and faces that turn. In [-1, 1] these are weights of 2.5, 0.025 and 22.5.)
      - The authors' code also has a loss on the discriminators' features. It is left out here,
        because the paper does not mention it.
      - The paper's networks "are trained simultaneously", in an order that it does not give. Here a
        step updates the discriminators, then the generators through the updated discriminators, as
        in Goodfellow et al. 2014. (The authors' code updates the discriminators in every third
        iteration, and the generators in the other two.)
      - The paper does not say which weights decay, nor how. Here all of them decay, BatchNorm's
        too, through a term in the gradient that passes through Adam's moments, because PyTorch's
        Adam, which the authors used, does this. (Their code has a coefficient of 1e-5, the paper
        1e-4.)
      - The paper does not say which statistics BatchNorm has at test time. Here it uses moving
        averages, so that an image's translation does not depend on the other images in the batch;
        the authors' code uses the statistics of the test batch. Each generator averages over both
        batches that it normalizes in training: x_A and x_BA for G_AB, x_B and x_AB for G_BA.
      - The paper's images have 64 px. Other sizes (16, 32, 128, ...) work here too; they get fewer
        or more strided layers, so that the encoder still ends at 4x4.

    The four translations of a step are computed once; both players are updated from this pass.

    Args:
        image_size: side of the images in px, a power of two from 16.
        width: factor on all numbers of filters but the outputs'.
        discriminator_width: the same for the discriminators; None takes `width`.
        extra_layer: whether the generators have five layers each way instead of four ("from four to
            five depending on the domain"); the authors' code has five for cars, chairs and faces
            that turn.
        coupled: whether both directions are learned, as in DiscoGAN.
        reconstruction: "mse" (L2), "mae" (L1), "huber", "cosine" or "hinge".
        reconstruction_weight: factor on the reconstruction loss of each domain.
        weight_decay: factor on the weights that is added to their gradients (Sec. 3.2).
        **kwargs: `name`, `dtype` (a policy such as "mixed_bfloat16").

    Raises:
        ValueError: a size, width or weight out of its range, or an unknown distance.

    Example:
        ```python
        model = DiscoGAN(image_size=64)
        model.compile(keras.optimizers.Adam(2e-4, beta_1=0.5))
        domains = data.load_domains("photos", "paintings", image_size=64)
        model.fit(data.unpaired(domains["train"], batch_size=200), epochs=100, shuffle=False)
        paintings = model.predict(photos)
        ```
    """

    def __init__(
        self,
        image_size: int = 64,
        width: float = 1.0,
        *,
        discriminator_width: float | None = None,
        extra_layer: bool = False,
        coupled: bool = True,
        reconstruction: str = "mse",
        reconstruction_weight: float = 1.0,
        weight_decay: float = 1e-4,
        **kwargs: Any,
    ) -> None:
        super().__init__(coupled, reconstruction, reconstruction_weight, weight_decay, **kwargs)
        check_image_size(image_size, 16, "each strided layer halves the image down to 4x4")
        self._narrowed = check_widths(width, discriminator_width)
        self.image_size = image_size
        self.width = width
        self.discriminator_width = discriminator_width
        self.extra_layer = extra_layer
        self.build_networks()

    def build_converter(self, name: str) -> keras.Model:
        """A generator of images."""
        return build_converter(
            self.image_size, self.width, self.extra_layer, self.dtype_policy, name
        )

    def build_discriminator(self, name: str) -> keras.Model:
        """A discriminator of images."""
        return build_discriminator(self.image_size, self._narrowed, self.dtype_policy, name)

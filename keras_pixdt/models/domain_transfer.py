"""The Domain Transfer Network: Taigman et al., "Unsupervised Cross-Domain Image Generation", 2016.

There are two domains S and T, no pairs, and a function f that takes images of either domain. The
network G maps images of S to T in such a way that f keeps its value. G applies g after f: f is
given and stays fixed, g is learned. A discriminator with three classes tells apart images that G
made from S, images that G made from T, and images of T. G should also leave images of T as they
are.

This file has the objective and the step (Secs. 3 and 4); see `domain_transfer_networks` for f, g
and D.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
from keras import layers, ops

from keras_pixdt.engine.model import AdversarialModel, Tensor
from keras_pixdt.layers import moving_statistics
from keras_pixdt.losses import CONVERTER_OBJECTIVES, DISTANCES, total_variation
from keras_pixdt.models.common import check_choice, check_square, check_widths
from keras_pixdt.models.domain_transfer_networks import (
    build_discriminator,
    build_encoder,
    build_generator,
    check_drawn_size,
)


def _cross_entropy(logits: Tensor, place: int) -> Tensor:
    """-log D_i, mean over the images."""
    return -ops.mean(ops.log_softmax(logits, axis=-1)[:, place])


def _halves(x_t: Tensor, transfers: Tensor) -> tuple[Tensor, Tensor]:
    """G(x) for S and, if the step needs it, for T, with equally many images."""
    count = ops.shape(x_t)[0]
    return transfers[:count], transfers[count:]


@keras.saving.register_keras_serializable("keras_pixdt")
class Transfer(keras.Model):
    """G = g after f: a functional model of f, g and, if needed, a layer that enlarges.

    A plain functional model would run f in the mode in which it is called, whatever its graph says,
    so f's noise, augmentation and statistics would be active while G trains. Here f is always a
    constant function in inference mode, also in copies and in saved models.
    """

    def call(self, inputs: Tensor, training: bool | None = None, mask: Any = None) -> Tensor:
        """Maps images of S to the images that g draws."""
        _, function, *others = self.layers
        x = function(inputs, training=False)
        for layer in others:
            x = layer(x, training=training)
        return x


@keras.saving.register_keras_serializable("keras_pixdt")
class DomainTransferNetwork(AdversarialModel):
    """Transfer from domain S to domain T that keeps the value of f (Taigman et al. 2016).

    `DomainTransferNetwork(f, gray=True)` is the paper's network for digits of 32 px. Arguments
    select the other rows of Table 1:

    | row | |
    | --- | --- |
    | baseline (Sec. 3) | `through_f=False, ternary=False, beta=0.0,` |
    | | `converter_objective="saturating"` |
    | DTN | |
    | without L_TID | `beta=0.0` |
    | without L_CONST | `alpha=0.0` |
    | G does not contain f | `through_f=False` |
    | without L_D and L_GANG | `adversarial=False` |
    | without L_CONST and L_TID | `alpha=0.0, beta=0.0` |

    `converter` is G, `generator` g, `function` f. f is not changed and runs in inference mode; it
    stays in float32 whatever the model's policy.

    Batches for `fit` are dicts `{source, target}` of float32 images in [-1, 1],
    (batch, image_size, image_size, 3), of S and of T; row i of one is unrelated to row i of the
    other. `predict` takes such dicts or images of S, and returns G(x).

    Differs from the paper:
      - The equations have expectations and sums. Here all of them are means over the batch and over
        the numbers of f, the pixels and the channels. L_TV is taken of G(x) for x of S.
      - BatchNorm in g and D sees images of S and of T as separate batches. The moving statistics of
        g come from S, because images of S are the ones transferred.
      - The paper batch-normalizes all layers of D. Here the first one is not, unless
        `discriminator_first_norm` is set: with that norm and without L_TID, G drew gray digits on
        gray.
      - The paper also tried metric learning for d (hinge and triplet losses), which left
        performance mostly unchanged, and a second GAN for d_2, without a noticeable improvement.
        Neither is implemented here. "hinge" here means the hinge loss for regression, which only
        compares f(x) with f(G(x)).
      - D is updated first, and then g through the updated D.
      - For faces D takes 152 px and g draws 64, so G enlarges g's images (bilinearly), and L_TID
        compares the enlarged image.
      - The paper's f of faces, the 256 numbers of DeepFace, was trained on four million labelled
        photos. Neither is available here: f is any Keras model, or is trained on the labels of the
        first domain, as for digits.

    Args:
        function: f, a Keras model from (batch, image_size, image_size, 3) in [-1, 1] to one vector
            for each image. The network keeps a copy.
        image_size: side of the images in px: a power of two from 16, or any with a
            `generated_size`.
        width: factor on all numbers of filters of g, D and what replaces f.
        alpha: weight of L_CONST (Eq. 5).
        beta: weight of L_TID (Eq. 6).
        gamma: weight of L_TV (Eq. 7).
        distance: d of L_CONST, between vectors of f: a key of `keras_pixdt.losses.DISTANCES`,
            "mse" (the paper's, Sec. 4), "mae", "huber", "cosine" or "hinge". The cosine distance
            leaves the length of f free.
        target_distance: d_2 of L_TID, between images: the same keys, "mse" in the paper. The cosine
            distance leaves the contrast of G(x) free.
        through_f: whether G contains f; if not, trained layers take its place.
        ternary: whether D has three classes and sees G(x) for x of T; if not, it has two.
        adversarial: whether there is a D.
        converter_objective: g's adversarial loss: "non_saturating" is -log D(G(x)), as in Eq. 4;
            "saturating" is log(1 - D(G(x))), as in Eq. 1 for the baseline, with two classes only.
            Its gradient vanishes where D is sure that G(x) is not of T.
        gray: whether g draws one channel.
        generated_size: side of what g draws in px, a power of two from 16; None is `image_size`.
        pointwise: whether g has 1x1 convolutions (Sec. 5.2).
        discriminator_blocks: strided layers of D: 4 for digits, 6 for faces.
        discriminator_leak: slope of D's ReLUs below 0: 0.2 for faces.
        discriminator_width: the same as `width` for D; None takes `width`.
        discriminator_first_norm: whether D's first layer has a BatchNorm, as all of the paper's do.
        **kwargs: `name`, `dtype` (a policy such as "mixed_bfloat16").

    Raises:
        ValueError: an argument out of its range, an f that does not fit, or no term that says what
            G should draw.

    Example:
        ```python
        f = keras.models.load_model("f.keras")
        model = DomainTransferNetwork(f)
        model.compile(keras.optimizers.Adam(3e-4, beta_1=0.5))
        domains = data.load_domains("photo_digits.npz", "mnist.npz", image_size=32)
        model.fit(data.unpaired(domains["train"], batch_size=64), epochs=20, shuffle=False)
        digits = model.predict(photos)
        ```
    """

    def __init__(
        self,
        function: keras.Model,
        image_size: int = 32,
        width: float = 1.0,
        *,
        alpha: float = 15.0,
        beta: float = 15.0,
        gamma: float = 0.0,
        distance: str = "mse",
        target_distance: str = "mse",
        through_f: bool = True,
        ternary: bool = True,
        adversarial: bool = True,
        converter_objective: str = "non_saturating",
        gray: bool = False,
        generated_size: int | None = None,
        pointwise: bool = False,
        discriminator_blocks: int = 4,
        discriminator_leak: float = 0.0,
        discriminator_width: float | None = None,
        discriminator_first_norm: bool = False,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        self._narrowed = check_widths(width, discriminator_width)
        for name, weight in (("alpha", alpha), ("beta", beta), ("gamma", gamma)):
            if weight < 0:
                raise ValueError(f"`{name}` must not be negative. Received: {weight}")
        check_choice("distance", distance, DISTANCES)
        check_choice("target_distance", target_distance, DISTANCES)
        check_choice("converter_objective", converter_objective, CONVERTER_OBJECTIVES)
        if not adversarial and not alpha and not beta:
            raise ValueError(
                "Without a discriminator G needs `alpha` or `beta` above 0: nothing else says "
                "what it should draw. Received: adversarial=False, alpha=0, beta=0"
            )
        if converter_objective == "saturating" and (ternary or not adversarial):
            raise ValueError(
                '`converter_objective="saturating"` minimizes log(1 - D(G(x))), which needs a D of '
                "two classes (Eq. 1): set ternary=False and adversarial=True, or leave it out. "
                f"Received: ternary={ternary}, adversarial={adversarial}"
            )
        if discriminator_blocks < 1:
            raise ValueError(
                f"`discriminator_blocks` must be at least 1. Received: {discriminator_blocks}"
            )
        if generated_size is not None:
            check_drawn_size(generated_size, "generated_size")
        self.image_size = check_square(image_size)
        self.width = width
        self.alpha, self.beta, self.gamma = alpha, beta, gamma
        self.distance, self.target_distance = distance, target_distance
        self.through_f = through_f
        self.ternary = ternary
        self.adversarial = adversarial
        self.converter_objective = converter_objective
        self.gray = gray
        self.generated_size = generated_size
        self.pointwise = pointwise
        self.discriminator_blocks = discriminator_blocks
        self.discriminator_leak = discriminator_leak
        self.discriminator_width = discriminator_width
        self.discriminator_first_norm = discriminator_first_norm
        self.function = self._frozen(function)
        self._build_networks()

    def _frozen(self, function: keras.Model) -> keras.Model:
        """A frozen copy of f; the user's own f can still be trained."""
        expected = (None, self.image_size, self.image_size, 3)
        takes = getattr(function, "input_shape", None)  # neither is there before it is built
        gives = getattr(function, "output_shape", None)
        one_vector = isinstance(gives, tuple) and len(gives) == 2
        if takes not in (expected, (None, None, None, 3)) or not one_vector:
            raise ValueError(
                "`function` must be a functional or Sequential model that takes images "
                f"{expected} and gives one vector for each, (None, features). "
                f"Received one that takes {takes} and gives {gives}"
            )
        copy = keras.models.clone_model(function)
        copy.set_weights(function.get_weights())
        copy.trainable = False
        return copy

    def _build_networks(self) -> None:
        policy = self.dtype_policy
        features = self.function.output_shape[-1]
        drawn_size = self.generated_size or self.image_size
        self.generator = build_generator(
            features,
            drawn_size,
            self.width,
            gray=self.gray,
            pointwise=self.pointwise,
            dtype=policy,
        )
        learned = ["generator"]
        if not self.through_f:
            self.encoder = build_encoder(self.image_size, self.width, features, policy)
            learned.append("encoder")
        self.enlarge = layers.Resizing(
            self.image_size, self.image_size, dtype="float32", name="enlarged"
        )
        self.converter = self._converter(enlarged=True, name="converter")
        players = {"converter": learned}
        if self.adversarial:
            self.discriminator = build_discriminator(
                self.image_size,
                self._narrowed,
                blocks=self.discriminator_blocks,
                leak=self.discriminator_leak,
                classes=3 if self.ternary else 2,
                first_norm=self.discriminator_first_norm,
                dtype=policy,
            )
            players = {"discriminator": ["discriminator"], **players}
        self.set_players(players)

    @property
    def drawn_size(self) -> int:
        """Side of g's images in px: 64 for faces, which G(x) enlarges to 152 (Sec. 5.2)."""
        return self.generator.output_shape[1]

    def drawing(self) -> keras.Model:
        """G up to g's own output, which is what Sec. 5.2 enlarges by super-resolution."""
        return self._converter(enlarged=False, name="drawing")

    def _converter(self, enlarged: bool, name: str) -> keras.Model:
        """G, with or without enlarging g's images to the size of T's."""
        source = keras.Input((self.image_size, self.image_size, 3), name="source")
        code = self.function(source, training=False) if self.through_f else self.encoder(source)
        image = self.generator(code)
        kind = Transfer if self.through_f else keras.Model
        return kind(source, self._drawn(image) if enlarged else image, name=name)

    def _drawn(self, image: Tensor) -> Tensor:
        """Brings g's images to the size of T's images."""
        return image if self.generated_size in (None, self.image_size) else self.enlarge(image)

    @property
    def _transfers_target(self) -> bool:
        """Whether a step needs G(x) for x of T."""
        return self.ternary and self.adversarial or self.beta > 0

    def constancy(self, inputs: Tensor) -> Tensor:
        """|f(x) - f(G(x))| of each image, by which Eq. 8 chooses the best of several.

        Args:
            inputs: x, images of S.

        Returns:
            Euclidean distances, float32 (batch,).
        """
        difference = self.function(inputs, training=False) - self.function(
            self(inputs), training=False
        )
        return ops.norm(ops.cast(difference, "float32"), axis=-1)

    def basis(self, length: float = 1.0) -> Tensor:
        """g(e_1), g(e_2), ...: the images of the standard basis of f's space (Appendix C).

        Args:
            length: length of the vectors, a factor on e_1, e_2, ...

        Returns:
            Images of the size that g draws, float32 (features, size, size, 3) in [-1, 1].
        """
        return self.generator(length * ops.eye(self.function.output_shape[-1]), training=False)

    def adversarial_step(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """One step on D, then one on g."""
        x_s, x_t = batch["source"], batch["target"]
        # f has no gradient here and is computed once, for g and for L_CONST.
        both = self.through_f and self._transfers_target
        f = self.function(ops.concatenate([x_s, x_t]) if both else x_s, training=False)
        forward = self.forward("converter", lambda: self._transfer(x_s, x_t, f))
        losses = {}
        if self.adversarial:
            # Update D (Eq. 3).
            transfers = ops.stop_gradient(forward.outputs)
            losses["discriminator"] = self.minimize(
                "discriminator", lambda: self.discriminator_loss(x_t, transfers)
            )
        # Update g through the updated D.
        f_s = f[: ops.shape(x_s)[0]]
        losses["converter"] = self.minimize(
            "converter",
            lambda transfers: self.converter_loss(x_t, f_s, transfers),
            through=forward,
        )
        return losses

    def _transfer(self, x_s: Tensor, x_t: Tensor, f: Tensor) -> Tensor:
        """G(x_s) and, if the step needs it, G(x_t), in training; `f` is f of both, if known."""
        count = ops.shape(x_s)[0]
        if not self._transfers_target:
            return self._draw(x_s, f)
        # Separate batches, each with its own BatchNorm statistics. Only those of S are kept,
        # because images of S are transferred later.
        statistics = [
            v for n in self.players["converter"] for v in moving_statistics(getattr(self, n))
        ]
        before = [ops.copy(v) for v in statistics]
        of_t = self._draw(x_t, f[count:])
        for variable, value in zip(statistics, before, strict=True):
            variable.assign(value)
        return ops.concatenate([self._draw(x_s, f[:count]), of_t])

    def _draw(self, x: Tensor, f: Tensor) -> Tensor:
        code = f if self.through_f else self.encoder(x, training=True)
        return self._drawn(self.generator(code, training=True))

    def discriminator_loss(self, x_t: Tensor, transfers: Tensor) -> Tensor:
        """L_D (Eq. 3); for the baseline, the negative of what Eq. 1 maximizes.

        Args:
            x_t: images of T, (batch, ...).
            transfers: G(x) of as many images of S, followed by G(x_t) if the step has it.

        Returns:
            A scalar.
        """
        of_s, of_t = _halves(x_t, transfers)
        loss = _cross_entropy(self.discriminator(of_s, training=True), 0)
        if self.ternary:
            loss += _cross_entropy(self.discriminator(of_t, training=True), 1)
        return loss + _cross_entropy(self.discriminator(x_t, training=True), -1)

    def converter_loss(self, x_t: Tensor, f_s: Tensor, transfers: Tensor) -> Tensor:
        """L_G = L_GANG + alpha L_CONST + beta L_TID + gamma L_TV (Eqs. 4 to 7).

        With a saturating objective, the first is the first term of Eq. 1.

        Args:
            x_t: images of T, (batch, ...).
            f_s: f(x) of as many images of S.
            transfers: G(x) of these, followed by G(x_t) if the step has it.

        Returns:
            A scalar.
        """
        of_s, of_t = _halves(x_t, transfers)
        loss = ops.zeros((), transfers.dtype)
        if self.converter_objective == "saturating":
            loss -= _cross_entropy(self.discriminator(of_s, training=True), 0)
        elif self.adversarial:
            loss += _cross_entropy(self.discriminator(of_s, training=True), -1)
            if self.ternary:
                loss += _cross_entropy(self.discriminator(of_t, training=True), -1)
        if self.alpha:
            d = DISTANCES[self.distance]
            loss += self.alpha * d(f_s, self.function(of_s, training=False))
        if self.beta:
            d_2 = DISTANCES[self.target_distance]
            loss += self.beta * d_2(x_t, of_t)
        if self.gamma:
            loss += self.gamma * total_variation(of_s)
        return loss

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        function = keras.saving.serialize_keras_object(self.function)
        return {**super().get_config(), "function": function}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """Builds the network from `get_config`'s result; weights come from elsewhere."""
        function = keras.saving.deserialize_keras_object(config["function"], custom_objects)
        return cls(**{**config, "function": function})

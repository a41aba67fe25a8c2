"""The Domain Transfer Network: Taigman et al., "Unsupervised Cross-Domain Image Generation", 2016.

Two domains S and T, no pairs, and a function f that takes images of either. The network G maps
images of S to T so that f of them stays as it was. G is g after f: f is given and stays as it is,
g is learnt. A discriminator of three classes tells images that G made of S, images that G made of
T, and images of T; and G shall leave images of T as they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import keras
from keras import layers, ops

from keras_pixdt.engine.model import AdversarialModel, Tensor
from keras_pixdt.layers import BatchNormalization, moving_statistics
from keras_pixdt.losses import CONVERTER_OBJECTIVES, DISTANCES

# f: Sec. 5.1.
FUNCTION_FILTERS = (64, 128, 256, 128)
FUNCTION_FILTER_SIZE_PX = 3  # not in the paper
FUNCTION_LAST_POOL_PX = 4
MIN_PX = 16

# g, D and the encoder that may replace f: not in the paper, which is "inspired by Radford et al.
# (2015)"; these are the sizes of their DCGAN.
FILTER_SIZE_PX = 4
INNERMOST_PX = 4  # side of the map that the first block of g draws
INNERMOST_FILTERS = 512
LEAK = 0.2  # of the faces' discriminator (Sec. 5.2)
STDDEV = 0.02


# Networks: Sec. 5.1 for digits, 5.2 for faces


def build_function(image_size: int = 32, width: float = 1.0, name: str = "f") -> keras.Model:
    """f, as Sec. 5.1 has it for digits: four convolutions, each with a max pooling and a ReLU.

    f is what the last pooling gives, "before the ReLU". `build_classifier` puts the classes on top.

    Max pooling halves the map, an odd row and column being left out, as long as 4 px stay; the last
    one goes over all that is left: 4 px, and up to 7 where the size is no power of two.

    Args:
        image_size: side of the square images, px, from 16. The paper has 32; larger images have
            more layers of 256 filters (152 px: 76, 38, 19, 9, 4), and those of 16 px none.
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
        x = layers.Conv2D(
            max(1, round(width * count)),
            FUNCTION_FILTER_SIZE_PX,
            padding="same",
            kernel_initializer="he_normal",  # not in the paper
            dtype="float32",  # it is trained by itself, and stays what it is under all policies
            name=f"conv{i}",
        )(x)
        if i <= halvings:
            x = layers.MaxPooling2D(2, dtype="float32", name=f"pool{i}")(x)
            x = layers.ReLU(dtype="float32", name=f"relu{i}")(x)
    rest = x.shape[1]
    x = layers.MaxPooling2D(rest, dtype="float32", name=f"pool{len(filters)}")(x)
    return keras.Model(image, layers.Flatten(dtype="float32", name="features")(x), name=name)


def build_classifier(
    function: keras.Model, classes: int, decay: float = 0.0, name: str = "classifier"
) -> keras.Model:
    """What f is trained as: its ReLU, which f leaves out, and a linear layer.

    Args:
        function: f, of one vector for each image. It shares its weights with the result.
        classes: how many there are.
        decay: weight in the loss of the squares of f's numbers, summed over these and averaged over
            images, and of the squares of the linear layer's kernel, summed.
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


def _check_size(image_size: int, name: str = "image_size") -> None:
    if image_size < MIN_PX or image_size & (image_size - 1):
        raise ValueError(
            f"`{name}` must be a power of two from {MIN_PX}, since g's layers lead to it from 4x4. "
            "Images of another size need a `generated_size` that is one: g draws that, and it is "
            f"enlarged. Received: {image_size}"
        )


def _normal() -> keras.initializers.Initializer:
    return keras.initializers.RandomNormal(stddev=STDDEV)  # Radford et al. 2015, Sec. 4


def _batch_norm(x: Tensor, dtype: Any, name: str) -> Tensor:
    # not in the paper. With a momentum of 0.9, statistics of some ten small batches cost digits 4%
    # of their accuracy.
    return BatchNormalization(momentum=0.99, epsilon=1e-5, dtype=dtype, name=f"{name}_bn")(x)


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
        pointwise: whether each block but the last has a 1x1 convolution more (Sec. 5.2: five
            blocks are "9-layers deep").
        dtype: dtype policy of the layers; the output is float32 in any case.
        name: of the model.

    Returns:
        A functional model, (batch, features) to (batch, image_size, image_size, 3) in [-1, 1].
    """
    _check_size(image_size)
    doublings = (image_size // INNERMOST_PX).bit_length() - 1
    code = keras.Input((features,), name="code")
    x = layers.Reshape((1, 1, features), dtype=dtype, name="map")(code)
    for i in range(doublings + 1):
        last = i == doublings
        count = (1 if gray else 3) if last else max(1, round(width * INNERMOST_FILTERS / 2**i))
        x = layers.Conv2DTranspose(
            count,
            FILTER_SIZE_PX,
            strides=1 if i == 0 else 2,
            padding="valid" if i == 0 else "same",
            use_bias=last,  # BatchNorm has one
            kernel_initializer=_normal(),
            dtype=dtype,
            name=f"up{i + 1}",
        )(x)
        if not last:
            x = _batch_norm(x, dtype, f"up{i + 1}")
            x = layers.ReLU(dtype=dtype, name=f"up{i + 1}_relu")(x)
            if pointwise:
                x = layers.Conv2D(
                    count, 1, kernel_initializer=_normal(), dtype=dtype, name=f"pointwise{i + 1}"
                )(x)
                x = layers.ReLU(dtype=dtype, name=f"pointwise{i + 1}_relu")(x)
    # float32 also under mixed precision: bfloat16 has 8 bits, not enough for 256 levels.
    x = layers.Activation("tanh", dtype="float32", name="drawn")(x)
    if gray:
        x = layers.Concatenate(dtype="float32", name="rgb")([x, x, x])
    return keras.Model(code, x, name=name)


def _strided(x: Tensor, filters: list[int], leak: float, dtype: Any, first_norm: bool) -> Tensor:
    """Convolutions of stride 2, each with BatchNorm and a ReLU that may leak."""
    for i, count in enumerate(filters, start=1):
        norm = first_norm or i > 1
        x = layers.Conv2D(
            count,
            FILTER_SIZE_PX,
            strides=2,
            padding="same",
            use_bias=not norm,  # BatchNorm has one
            kernel_initializer=_normal(),
            dtype=dtype,
            name=f"conv{i}",
        )(x)
        if norm:
            x = _batch_norm(x, dtype, f"conv{i}")
        x = layers.LeakyReLU(leak, dtype=dtype, name=f"conv{i}_relu")(x)
    return x


def _filters(blocks: int, width: float) -> list[int]:
    return [max(1, round(width * 64 * min(2**i, 8))) for i in range(blocks)]


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

    All blocks are batch-normalized in the paper. Here the first is not, unless `first_norm` says
    so, as Radford et al. 2015 advise. Images of T and what G makes are batches of their own:
    normalized at once, dark grounds and gray ones, strong strokes and faint ones were the same to
    D, and without L_TID G drew digits in gray on gray.

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
        (batch, classes), of which the last is that of images of T.
    """
    image = keras.Input((image_size, image_size, 3), name="image")
    x = _strided(image, _filters(blocks, width), leak, dtype, first_norm)
    x = layers.Flatten(dtype=dtype, name="flatten")(x)
    x = layers.Dense(classes, kernel_initializer=_normal(), dtype=dtype, name="classes")(x)
    logits = layers.Activation("linear", dtype="float32", name="logits")(x)
    return keras.Model(image, logits, name=name)


def build_encoder(
    image_size: int, width: float, features: int, dtype: Any = None, name: str = "encoder"
) -> keras.Model:
    """What replaces f where G does not contain it: "a few additional layers" (Sec. 5.1).

    The paper does not describe them: here they are as many strided layers as lead to 4x4, with
    BatchNorm and ReLU, and one to as many numbers as f has.

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
    x = _strided(image, _filters(blocks, width), 0.0, dtype, first_norm=True)
    x = layers.Flatten(dtype=dtype, name="flatten")(x)
    code = layers.Dense(features, kernel_initializer=_normal(), dtype=dtype, name="code")(x)
    return keras.Model(image, code, name=name)


# Objective and step: Secs. 3 and 4


def total_variation(images: Tensor) -> Tensor:
    """L_TV (Eq. 7) with B = 1: anisotropic, of each channel.

    Args:
        images: (batch, height, width, channels).

    Returns:
        A scalar, the mean over pixels, channels and images. Pixels of the last row and column,
        which lack a neighbour, are left out. Where an image is constant its gradient is 0, not
        infinite.
    """
    here = images[:, :-1, :-1]
    squares = ops.square(images[:, :-1, 1:] - here) + ops.square(images[:, 1:, :-1] - here)
    steps = squares > 0
    lengths = ops.where(steps, ops.sqrt(ops.where(steps, squares, 1.0)), 0.0)
    return ops.mean(lengths)


def _cross_entropy(logits: Tensor, place: int) -> Tensor:
    """-log D_i, mean over the images."""
    return -ops.mean(ops.log_softmax(logits, axis=-1)[:, place])


def _halves(x_t: Tensor, transfers: Tensor) -> tuple[Tensor, Tensor]:
    """G(x) of S and, where the step has it, of T; both have as many images."""
    count = ops.shape(x_t)[0]
    return transfers[:count], transfers[count:]


@keras.saving.register_keras_serializable("keras_pixdt")
class Transfer(keras.Model):
    """G = g after f: a functional model of f, g and, after it, what enlarges.

    A plain functional model would run f, too, in the mode that it is called in, whatever its graph
    says: its noise, augmentation and statistics would be active where G is in training. Here f is
    a constant function, in inference mode always; in copies and in saved models as well.
    """

    def call(self, inputs: Tensor, training: bool | None = None, mask: Any = None) -> Tensor:
        """Images of S to what g draws of them."""
        _, function, *others = self.layers
        x = function(inputs, training=False)
        for layer in others:
            x = layer(x, training=training)
        return x


@keras.saving.register_keras_serializable("keras_pixdt")
class DomainTransferNetwork(AdversarialModel):
    """Transfer from domain S to domain T under which f stays as it is (Taigman et al. 2016).

    `DomainTransferNetwork(f, gray=True)` is the paper's network for digits of 32 px. Each other row
    of Table 1 is a switch:

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

    `converter` is G, `generator` g, `function` f. f stays as it is given, in inference mode; in
    float32 it is what it was, whatever the model's policy.

    Batches for `fit` are dicts `{source, target}` of float32 images in [-1, 1],
    (batch, image_size, image_size, 3), of S and of T: row i of one has nothing to do with row i of
    the other. `predict` takes such dicts or images of S, and gives G(x).

    Differs from the paper:
      - All of the equations' expectations and sums are means: over the batch, and over the numbers
        of f, the pixels and the channels. L_TV is of G(x) for x of S.
      - BatchNorm in g and D sees images of S and of T as batches of their own. The moving
        statistics of g are those of S, from which images are transferred.
      - All layers of D are batch-normalized in the paper. Here the first is not, unless
        `discriminator_first_norm` says so: with it and without L_TID, G drew digits in gray on
        gray.
      - The paper also tried metric learning for d (hinge and triplet losses), which left
        performance mostly unchanged, and a second GAN for d_2, without a noticeable improvement.
        Neither is here. "hinge" here is that of regression, which compares f(x) with f(G(x)) alone.
      - D is updated first, and g through the updated one.
      - For faces D takes 152 px and g draws 64: there G enlarges what g draws (bilinearly), and
        L_TID compares the enlarged image.
      - The paper's f of faces, the 256 numbers of DeepFace, was trained on four million labelled
        photos. Neither is here: f is any Keras model, or is trained on the labels of the first
        domain, as for digits.

    Args:
        function: f, a Keras model of (batch, image_size, image_size, 3) in [-1, 1] to one vector
            for each image. The network has a copy.
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
        through_f: whether G contains f; else it has trained layers there.
        ternary: whether D has three classes and sees G(x) for x of T; else two.
        adversarial: whether there is a D.
        converter_objective: what g minimizes of D: "non_saturating" is -log D(G(x)), as Eq. 4 has
            it; "saturating" is log(1 - D(G(x))), as Eq. 1 has it for the baseline, with two classes
            only. Its gradient vanishes where D is sure that G(x) is not of T.
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
            G shall draw.

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
        for name, factor in (("width", width), ("discriminator_width", discriminator_width)):
            if factor is not None and not factor > 0:
                raise ValueError(f"`{name}` must be positive. Received: {factor}")
        for name, weight in (("alpha", alpha), ("beta", beta), ("gamma", gamma)):
            if weight < 0:
                raise ValueError(f"`{name}` must not be negative. Received: {weight}")
        for name, key in (("distance", distance), ("target_distance", target_distance)):
            if key not in DISTANCES:
                raise ValueError(
                    f"`{name}` must be one of {', '.join(DISTANCES)}. Received: {key!r}"
                )
        if not adversarial and not alpha and not beta:
            raise ValueError(
                "Without a discriminator G needs `alpha` or `beta` above 0: nothing else says "
                "what it shall draw. Received: adversarial=False, alpha=0, beta=0"
            )
        if converter_objective not in CONVERTER_OBJECTIVES:
            raise ValueError(
                f"`converter_objective` must be one of {CONVERTER_OBJECTIVES}. "
                f"Received: {converter_objective!r}"
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
            _check_size(generated_size, "generated_size")
        self.image_size = image_size
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
        """A copy of f that does not learn; the user's may go on to."""
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
        learnt = ["generator"]
        if not self.through_f:
            self.encoder = build_encoder(self.image_size, self.width, features, policy)
            learnt.append("encoder")
        self.enlarge = layers.Resizing(
            self.image_size, self.image_size, dtype="float32", name="enlarged"
        )
        self.converter = self._converter(enlarged=True, name="converter")
        players = {"converter": learnt}
        if self.adversarial:
            width = self.width if self.discriminator_width is None else self.discriminator_width
            self.discriminator = build_discriminator(
                self.image_size,
                width,
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
        """Side in px of what g draws: 64 for faces, of which G(x) has 152 (Sec. 5.2)."""
        return self.generator.output_shape[1]

    def drawing(self) -> keras.Model:
        """G up to g's own output, which is what Sec. 5.2 enlarges by super-resolution."""
        return self._converter(enlarged=False, name="drawing")

    def _converter(self, enlarged: bool, name: str) -> keras.Model:
        """G, with or without what brings g's images to the size of T's."""
        source = keras.Input((self.image_size, self.image_size, 3), name="source")
        code = self.function(source, training=False) if self.through_f else self.encoder(source)
        image = self.generator(code)
        kind = Transfer if self.through_f else keras.Model
        return kind(source, self._drawn(image) if enlarged else image, name=name)

    def _drawn(self, image: Tensor) -> Tensor:
        """What g draws, in the size of T's images."""
        return image if self.generated_size in (None, self.image_size) else self.enlarge(image)

    @property
    def _transfers_target(self) -> bool:
        """Whether a step needs G(x) for x of T."""
        return self.ternary and self.adversarial or self.beta > 0

    def call(self, inputs: Tensor | Mapping[str, Tensor], training: bool = False) -> Tensor:
        """G(x) = g(f(x)).

        Args:
            inputs: x, images of S (or of T), or a batch that holds them under "source".
            training: whether BatchNorm uses the batch's statistics.

        Returns:
            Images of T, float32, of the same shape and range.
        """
        x = inputs["source"] if isinstance(inputs, Mapping) else inputs
        return self.converter(x, training=training)

    def constancy(self, inputs: Tensor) -> Tensor:
        """|f(x) - f(G(x))| of each image: what Eq. 8 chooses the best of several by.

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
            length: of the vectors, which are e_1, e_2, ... times it.

        Returns:
            Images of the size that g draws, float32 (features, size, size, 3) in [-1, 1].
        """
        return self.generator(length * ops.eye(self.function.output_shape[-1]), training=False)

    def adversarial_step(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """One step on D, then one on g."""
        x_s, x_t = batch["source"], batch["target"]
        if x_s.shape[0] != x_t.shape[0]:
            raise ValueError(
                "`source` and `target` of a batch must have as many images. "
                f"Received shapes: {x_s.shape} and {x_t.shape}"
            )
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
        """G(x_s) and, if the step has it, G(x_t) in training; f is f of both, if it is known."""
        count = ops.shape(x_s)[0]
        if not self._transfers_target:
            return self._draw(x_s, f)
        # Batches of their own, with BatchNorm's statistics of their own. Only those of S are kept:
        # images of S are what is transferred later.
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
        """L_D (Eq. 3); of the baseline, what Eq. 1 maximizes, with the other sign.

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

    def generated_shape(self) -> tuple[int | None, ...]:
        """Shape of the converted images."""
        return self.converter.output_shape

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        arguments = (
            "image_size", "width", "alpha", "beta", "gamma", "distance", "target_distance",
            "through_f", "ternary", "adversarial", "converter_objective", "gray", "generated_size",
            "pointwise", "discriminator_blocks", "discriminator_leak", "discriminator_width",
            "discriminator_first_norm",
        )  # fmt: skip
        config = {name: getattr(self, name) for name in arguments}
        function = keras.saving.serialize_keras_object(self.function)
        return {**super().get_config(), "function": function, **config}

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> Any:
        """Builds the network from `get_config`'s result; weights come from elsewhere."""
        function = keras.saving.deserialize_keras_object(config["function"], custom_objects)
        return cls(**{**config, "function": function})

"""Embeds product images so that the nearest ones are the same garment.

Kwon et al. 2019 (Section 4) search with a network that was pretrained on ImageNet (see `imagenet`)
and has to be downloaded. `train_embedder` only needs the training products.
"""

from __future__ import annotations

from typing import Any

import keras
import numpy as np
from absl import logging
from keras import layers, ops

from keras_pixdt.choices import RESIZES
from keras_pixdt.data.images import to_float
from keras_pixdt.data.pairs import take_rows
from keras_pixdt.data.stored import as_images
from keras_pixdt.judges import fitting
from keras_pixdt.layers import PadToSquare

# Cosines are divided by it (Chen et al. 2020, A Simple Framework for Contrastive Learning of
# Visual Representations, Section 2.1).
_TEMPERATURE = 0.1
# Share of the products with generated images that show one as their strong view.
_GENERATED_SHARE = 0.5
_BATCH = 256  # images in memory, when all are gone through


@keras.saving.register_keras_serializable(package="keras_pixdt")
class ProductEmbedder(keras.Model):
    """A small convolutional network from product images to unit vectors.

    Whether a person calls two garments the same depends mostly on the colours and where they are,
    and these survive in a blurred conversion. So the last 4x4 map is flattened instead of averaged,
    and the image itself, averaged to 8x8, is added to it.

    Input: float32 `(batch, height, width, 3)` in [-1, 1], the garment on white; it is resized
    to `image_size`. Output: float32 `(batch, dimensions)`, of length 1, so that inner products
    are cosines.

    Attributes:
        features: a second model of the same layers, from the same images to the mean and the
            standard deviation over positions of every filter of every block, `(batch, 528)` at
            width 1, standardized over the training products. The embedding learns to ignore
            blur; these change with it, so that distributions are compared by them (KID).

    Example:
        >>> embedder = ProductEmbedder()
        >>> embedder(numpy.ones((2, 64, 64, 3), "float32")).shape
        (2, 64)

    Args:
        image_size: side in pixels to which images are resized, a multiple of 16.
        width: multiplies the number of filters.
        dimensions: length of the output vectors.
        resize: how its training images were made square, "letterbox" or "stretch"; its inputs must
            be made square the same way, see `keras_pixdt.data.resize`. Rectangles are made so here.
        seed: of the initial weights.
        name: name of the model.

    Raises:
        ValueError: `image_size` is not a multiple of 16, `width` is not above 0, or `resize` is
            neither of the two.
    """

    def __init__(
        self,
        image_size: int = 64,
        width: float = 1.0,
        dimensions: int = 64,
        *,
        resize: str = "letterbox",
        seed: int = 0,
        name: str = "product_embedder",
    ):
        fitting.check_network(image_size, width)
        if resize not in RESIZES:
            raise ValueError(f"`resize` must be one of {', '.join(RESIZES)}. Received: {resize!r}")
        # Explicit, because a search must not depend on the policies that a trainer sets globally.
        plain = {"dtype": "float32"}
        maps = {"data_format": "channels_last", **plain}

        def initializer(layer: int) -> keras.initializers.Initializer:
            return keras.initializers.HeNormal(seed=1000 * seed + layer)

        inputs = keras.Input((None, None, 3), dtype="float32")
        square = PadToSquare(**plain)(inputs) if resize == "letterbox" else inputs
        image = layers.Resizing(image_size, image_size, antialias=True, **maps)(square)
        x, statistics = image, []
        for block, filters in enumerate((24, 48, 96, 96)):
            x = layers.Conv2D(
                max(8, round(filters * width)),
                4 if block == 0 else 3,
                strides=2,
                padding="same",
                use_bias=False,
                kernel_initializer=initializer(block),
                **maps,
            )(x)
            x = layers.BatchNormalization(momentum=0.9, **plain)(x)
            x = layers.LeakyReLU(0.1, **plain)(x)
            statistics += [ops.mean(x, axis=(1, 2)), ops.std(x, axis=(1, 2))]
        thumbnail = layers.AveragePooling2D(image_size // 8, **maps)(image)
        x = layers.Concatenate(**plain)(
            [layers.Flatten(**plain)(x), layers.Flatten(**plain)(thumbnail)]
        )
        x = layers.Dense(dimensions, kernel_initializer=initializer(4), **plain)(x)
        outputs = layers.UnitNormalization(**plain)(x)
        super().__init__(inputs, outputs, name=name)

        self.standardize = layers.BatchNormalization(center=False, scale=False, **plain)
        statistics = self.standardize(ops.concatenate(statistics, axis=-1), training=False)
        self.features = keras.Model(inputs, statistics, name="features")
        self.image_size = image_size
        self.width = width
        self.dimensions = dimensions
        self.resize = resize
        self.seed = seed

    def get_config(self) -> dict[str, Any]:
        """The arguments of the constructor."""
        config = {
            "image_size": self.image_size,
            "width": self.width,
            "dimensions": self.dimensions,
            "seed": self.seed,
            "name": self.name,
        }
        # Left out by default, so that fingerprints in earlier indices stay valid.
        return config | ({} if self.resize == "letterbox" else {"resize": self.resize})

    @classmethod
    def from_config(cls, config: dict[str, Any], custom_objects: Any = None) -> ProductEmbedder:
        """Calls the constructor; a functional model would look for a graph of layers."""
        return cls(**config)


@keras.saving.register_keras_serializable(package="keras_pixdt")
def view_contrast(y_true: Any, y_pred: Any) -> Any:
    """Normalised temperature-scaled cross entropy between the views of each product.

    Chen et al. 2020, Eq. 1, where the positives of each example are those with its label (Khosla et
    al. 2020, Supervised Contrastive Learning, Eq. 2). Every other product in the batch is a
    negative.

    Args:
        y_true: int `(n,)` or `(n, 1)`, the product that each example shows.
        y_pred: float32 `(n, d)` unit vectors.

    Returns:
        float32 `(n,)`.
    """
    labels = ops.reshape(y_true, (-1,))
    itself = ops.eye(ops.shape(labels)[0], dtype="bool")
    same = ops.logical_and(labels[:, None] == labels[None, :], ops.logical_not(itself))
    same = ops.cast(same, "float32")
    logits = ops.matmul(y_pred, ops.transpose(y_pred)) / _TEMPERATURE
    log_share = ops.log_softmax(ops.where(itself, -1e9, logits), axis=1)
    return -ops.sum(same * log_share, axis=1) / ops.maximum(ops.sum(same, axis=1), 1.0)


def train_embedder(
    targets: np.ndarray,
    *,
    generated: np.ndarray | None = None,
    generated_index: np.ndarray | None = None,
    seed: int = 0,
    steps: int = 120,
    batch_size: int = 96,
    width: float = 1.0,
    learning_rate: float = 2e-3,
    resize: str = "letterbox",
) -> ProductEmbedder:
    """Trains a `ProductEmbedder` to recognise distorted products.

    Each batch holds two views of each of `batch_size` products, a mild and a strong one (see
    `distort`; the strong one is also pulled towards the mean garment), and the network learns which
    views belong together. With `generated` images, about half of the products that have one use it
    for their strong view.

    Differs from the paper of Kwon et al., who search by another network:
      - The paper searches by a pre-trained DenseNet (Sec. 5). Its weights are not available
        everywhere, so by default searches use this small network, which is trained only on training
        products. `densenet121_embedder` is the paper's network.

    Args:
        targets: uint8 `(m, height, width, 3)`, product images on white, of training products only.
            They must not include products on which the embedder will be judged.
        generated: uint8 `(n, height, width, 3)`, a converter's drawings of training photos, for an
            embedder that searches with its images. Do not compare converters with such an embedder,
            because it has learned the faults of one of them.
        generated_index: int `(n,)`, the row of `targets` that each of `generated` shows.
        seed: seed of the weights, batches and distortions.
        steps: optimizer steps.
        batch_size: products per step; if there are fewer products, batches are smaller.
        width: see `ProductEmbedder`.
        learning_rate: of Adam at the start; it falls to 0 along a cosine.
        resize: how `targets` were brought to their size; see `ProductEmbedder`.

    Returns:
        The trained embedder, which looks at images in 64 x 64 pixels.

    Raises:
        ValueError: `targets` are not such images or fewer than two, `generated` and
            `generated_index` are not such images and rows, or only one of them is given.
    """
    targets = as_images(targets)
    rule = "`targets` must be two or more uint8 images (m, height, width, 3)"
    fitting.check_images(targets, 2, rule)
    drawn = None
    if generated is not None or generated_index is not None:
        drawn = as_images(generated), np.asarray(generated_index)
        _check_generated(*drawn, targets)
        drawn = fitting.squares(drawn[0], resize), drawn[1]
    embedder = ProductEmbedder(width=width, resize=resize, seed=seed)
    targets = fitting.squares(targets, resize)
    views = _Views(targets, embedder.image_size, min(batch_size, len(targets)), steps, seed, drawn)
    # A second model with the same layers, so that the embedder is saved without an optimizer.
    trainer = keras.Model(embedder.inputs, embedder.outputs)
    loss = fitting.fit(trainer, views, learning_rate, view_contrast)
    features = embedder.features.predict_on_batch
    batches = range(0, len(targets), _BATCH)
    statistics = np.concatenate([features(to_float(targets[i : i + _BATCH])) for i in batches])
    embedder.standardize.moving_mean.assign(statistics.mean(axis=0))
    embedder.standardize.moving_variance.assign(statistics.var(axis=0))
    logging.info(
        "Embedder trained on %d products for %d steps: mean contrastive loss %.3f",
        len(targets), steps, loss,
    )  # fmt: skip
    return embedder


def _check_generated(generated: np.ndarray, index: np.ndarray, targets: np.ndarray) -> None:
    if generated.shape[1:] != targets.shape[1:] or generated.dtype != np.uint8:
        raise ValueError(
            f"`generated` must be uint8 images of the shape of the targets, {targets.shape[1:]}. "
            f"Received: {generated.dtype} of shape {generated.shape}"
        )
    if index.shape != generated.shape[:1] or index.dtype.kind not in "iu":
        raise ValueError(
            "`generated_index` must be one row of `targets` for each of the "
            f"{len(generated)} generated images. Received: {index.dtype} of shape {index.shape}"
        )
    outside = index[(index < 0) | (index >= len(targets))]
    if len(outside):
        raise ValueError(
            f"`generated_index` must be rows of the {len(targets)} targets, from 0. "
            f"Received: {outside[0]}"
        )


class _Views(keras.utils.PyDataset):
    """Batches of a mild and a strong view of each of `batch_size` different products."""

    def __init__(
        self,
        targets: np.ndarray,
        image_size: int,
        batch_size: int,
        steps: int,
        seed: int,
        drawn: tuple[np.ndarray, np.ndarray] | None = None,
    ):
        super().__init__()
        self.targets = targets
        self.mean_ink = sum(map(_ink, targets)) / np.float32(len(targets))
        self.generated = None
        if drawn is not None:
            generated, index = drawn
            # Those of product p become `generated[first[p] : first[p] + count[p]]`.
            self.generated = take_rows(generated, np.argsort(index, kind="stable"))
            self.count = np.bincount(index, minlength=len(targets))
            self.first = np.cumsum(self.count) - self.count
        self.image_size = image_size
        self.batch_size = batch_size
        self.steps = steps
        self.seed = seed

    def __len__(self) -> int:
        return self.steps

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        rng = np.random.default_rng((self.seed, index))
        rows = rng.choice(len(self.targets), self.batch_size, replace=False)
        ink = _ink(self.targets[rows])
        # When a converter is unsure, it draws the mean garment.
        unsure = 0.6 * rng.random((self.batch_size, 1, 1, 1)).astype(np.float32)
        draft = ink + unsure * (self.mean_ink - ink)
        mild = distort(ink, self.image_size, 0.3, rng)
        if self.generated is not None:
            drawn = (self.count[rows] > 0) & (rng.random(self.batch_size) < _GENERATED_SHARE)
            products = rows[drawn]
            chosen = self.first[products] + rng.integers(self.count[products])
            draft[drawn] = _ink(self.generated[chosen])
        # Distort drawings of training photos too: a converter draws those better than searched
        # photos.
        strong = distort(draft, self.image_size, 1.0, rng)
        return np.concatenate([mild, strong]), np.concatenate([rows, rows])


def _ink(images: np.ndarray) -> np.ndarray:
    """How far uint8 images are from white, float32 in [0, 1]."""
    return (1.0 - to_float(images)) / 2.0


def distort(
    ink: np.ndarray, image_size: int, strength: float, rng: np.random.Generator
) -> np.ndarray:
    """Views of product images as a converter might draw them: moved, soft, slightly off-colour.

    Shift, zoom, mirror, warp along an axis and Gaussian blur are separable, so a view of an image
    is `rows @ image @ columns.T` with two matrices, which costs next to nothing.

    Args:
        ink: float32 `(n, size, size, 3)` in [0, 1], 1 - image, so that what lies outside is
            white.
        image_size: side of the views.
        strength: scales every distortion; 1 is as bad as a converter's drafts.
        rng: chooses the distortions.

    Returns:
        float32 `(n, image_size, image_size, 3)` in [-1, 1].
    """
    count = len(ink)
    # Blur in pixels of a 64-pixel view; mostly small.
    sigma = 0.6 + 3.4 * strength * rng.random(count) ** 2
    mirror = rng.random(count) < 0.5
    zoom = np.exp(strength * rng.uniform(-0.12, 0.12, count))
    x = ink
    for axis in (0, 1):
        stretch = zoom * np.exp(strength * rng.uniform(-0.06, 0.06, count))
        shift = strength * rng.uniform(-0.08, 0.08, count)
        bend = strength * rng.uniform(-0.03, 0.03, count)
        phase = rng.uniform(0.0, 2.0 * np.pi, count)
        position = (np.arange(image_size) + 0.5) / image_size - 0.5
        position = position * stretch[:, None] + shift[:, None]
        position += bend[:, None] * np.sin(4.0 * position + phase[:, None])
        if axis == 1:
            position = np.where(mirror[:, None], -position, position)
        matrix = _resampling(position, ink.shape[1], sigma / 64.0)
        if axis == 0:
            x = np.einsum("nij,njk->nik", matrix, x.reshape(count, ink.shape[1], -1), optimize=True)
            x = x.reshape(count, image_size, ink.shape[2], 3)
        else:
            x = np.matmul(matrix[:, None], x)
    # Fading and tints that vary slowly over the garment, then over all of it.
    for cells, channels, amount in ((3, 1, 0.25), (3, 3, 0.1), (1, 3, 0.12)):
        field = rng.uniform(-1.0, 1.0, (count, cells, cells, channels)).astype(np.float32)
        if cells > 1:
            spread = _resampling(
                np.linspace(-0.4, 0.4, image_size)[None], cells, np.array([0.5 / cells])
            )[0]
            field = np.einsum("ia,nabc,jb->nijc", spread, field, spread, optimize=True)
        x = x * (1.0 + strength * amount * field)
    return np.clip(1.0 - 2.0 * x, -1.0, 1.0).astype(np.float32)


def _resampling(position: np.ndarray, size: int, sigma: np.ndarray) -> np.ndarray:
    """Matrices that sample a line of pixels at given places through a Gaussian.

    Args:
        position: `(n, out)`, where the line's `size` pixels span -0.5 to 0.5.
        size: pixels of the line.
        sigma: `(n,)`, of the Gaussian, in lengths of the line, at least half a pixel.

    Returns:
        float32 `(n, out, size)`; rows sum to 1 inside and to less where the window leaves the line.
    """
    pixels = (np.arange(size) + 0.5) / size - 0.5
    distance = (position[:, :, None] - pixels) / sigma[:, None, None]
    window = np.exp(-0.5 * distance**2) / (np.sqrt(2.0 * np.pi) * size * sigma[:, None, None])
    return window.astype(np.float32)

"""Networks that were pretrained on ImageNet, for searching products and comparing sets of images.

Nothing is downloaded. The weights are the files that `keras.applications` stores on a machine that
has a network, with `weights="imagenet", include_top=False`.
"""

from __future__ import annotations

import os
import pathlib
from typing import Any

import keras
import numpy as np
from keras import layers


def densenet121_embedder(
    weights: str | os.PathLike[str] | None = None, image_size: int = 224
) -> keras.Model:
    """DenseNet121 features, as Kwon et al. 2019 (Section 4) search with.

    Args:
        weights: path of the weights; None for the place where Keras keeps them.
        image_size: side that images are resized to. The paper does not give it; 224 is what
            the network was trained on.

    Returns:
        A model from float32 `(batch, height, width, 3)` in [-1, 1] to unit vectors
        `(batch, 1024)`.

    Raises:
        FileNotFoundError: the weights are not there; the message says where they are expected.
    """
    other = "The project's own embedder (`--embedder trained`, train_embedder()) needs no weights."
    network, images, x = _imagenet_network("DenseNet121", "densenet121", weights, image_size, other)
    # ImageNet's mean and standard deviation per channel of images in [0, 1].
    mean, std = np.array([0.485, 0.456, 0.406]), np.array([0.229, 0.224, 0.225])
    x = layers.Rescaling((0.5 / std).tolist(), ((0.5 - mean) / std).tolist())(x)
    x = layers.UnitNormalization()(network(x, training=False))
    return keras.Model(images, x, name="densenet121_embedder")


def inception_v3_features(
    weights: str | os.PathLike[str] | None = None, image_size: int = 299
) -> keras.Model:
    """Inception v3's last averages, for comparing sets of images (FID, KID).

    Differs from the paper of Heusel et al., whose distance it serves:
      - The paper takes the pool3 features of differently trained weights of this network, on images
        resized with another filter. Here the weights are those in Keras. Compare figures from this
        function only with each other, not with published ones.

    Args:
        weights: path of the weights; None for the place where Keras keeps them.
        image_size: side that images are resized to, 75 at least; 299 is what the network was
            trained on.

    Returns:
        A model from float32 `(batch, height, width, 3)` in [-1, 1], what Inception was trained
        on, to float32 `(batch, 2048)`, 0 or more, not scaled.

    Raises:
        FileNotFoundError: the weights are not there; the message says where they are expected.
    """
    other = "The scores over the project's own embedder need no weights."
    network, images, x = _imagenet_network(
        "InceptionV3", "inception_v3", weights, image_size, other
    )
    return keras.Model(images, network(x, training=False), name="inception_v3_features")


def _imagenet_network(
    name: str, file: str, weights: str | os.PathLike[str] | None, image_size: int, otherwise: str
) -> tuple[keras.Model, Any, Any]:
    """A network of `keras.applications`, and its images before and after they are resized."""
    file = f"{file}_weights_tf_dim_ordering_tf_kernels_notop.h5"
    # As in Keras, which does not document it.
    home = os.environ.get("KERAS_HOME") or pathlib.Path.home() / ".keras"
    path = pathlib.Path(weights or pathlib.Path(home) / "models" / file)
    if not path.is_file():
        raise FileNotFoundError(
            f"{name}'s ImageNet weights are not at {path}, and nothing is downloaded here. "
            f"Copy {file} there, or name its place; keras.applications.{name}("
            f'weights="imagenet", include_top=False) stores it on a machine with a network. '
            f"{otherwise}"
        )
    network = getattr(keras.applications, name)(
        include_top=False, weights=None, pooling="avg", input_shape=(image_size, image_size, 3)
    )
    network.load_weights(path)
    images = keras.Input((None, None, 3), dtype="float32")
    return network, images, layers.Resizing(image_size, image_size, antialias=True)(images)

"""Trains classifiers of labelled images: f's classifier, and the judge of converted images."""

from __future__ import annotations

import keras
import numpy as np
from absl import logging
from keras import ops

from keras_pixdt.data.images import to_float
from keras_pixdt.judges import fitting
from keras_pixdt.models import domain_transfer_networks

# not in the paper: the whole training.
EPOCHS = 12
BATCH_SIZE = 64
LEARNING_RATE = 1e-3  # Adam's initial rate
# L_CONST is a distance between f(x) and f(G(x)), and should be large where the class changes. With
# cross entropy alone, most of that distance is about other things: among held-out photographed
# digits, 95% had the right class, but only 84% were nearest to the mean of their own class (MNIST
# digits: 76 of 85). With these two settings, all of the 95% (and 85%) were.
LABEL_SMOOTHING = 0.1
DECAY = 1e-3  # as `build_classifier` has it
# At 1 and more, in trials of a few minutes, the paper's weight of 15 made L_CONST outweigh the
# rest: backgrounds became gray, with a texture that f mistook for a photo's.
DEVIATION = 0.7
SHIFT = 1 / 16  # of the side, at most, by which images are moved in each direction


def train_classifier(
    images: np.ndarray,
    labels: np.ndarray,
    classes: int,
    *,
    epochs: int = EPOCHS,
    least_steps: int = 0,
    batch_size: int = BATCH_SIZE,
    width: float = 1.0,
    plain: bool = False,
    seed: int = 0,
) -> keras.Model:
    """Trains a classifier with the architecture of Taigman et al. 2016, Sec. 5.1.

    `classifier.get_layer("f")` is f: the features of an image before the last ReLU. They are scaled
    to a standard deviation of `DEVIATION` over the training images, because the weight of L_CONST
    means nothing without a scale; the classifier's output stays the same.

    Differs from the paper:
      - The paper says that f is trained on labels, "e.g., by using the cross entropy loss". Here
        labels are smoothed, f's numbers and the last kernel decay, images are shifted by some
        pixels, and f is scaled, because with cross entropy alone f(x) said less about the class.
        `plain` leaves all of these out.

    It sets Keras' global seed, so that the training does not depend on what came before.

    Args:
        images: uint8 `(n, size, size, 3)`.
        labels: int `(n,)` in [0, classes).
        classes: how many there are; classes without an image are fine.
        epochs: how often it sees each image; unless `plain`, shifted at random each time.
        least_steps: minimum number of updates; epochs are added to reach it.
        batch_size: images in a batch.
        width: factor on the numbers of filters.
        plain: whether to use only the cross entropy, on unshifted images, and leave f's scale as it
            comes out.
        seed: of weights, order and movements.

    Returns:
        The trained classifier, which maps images in [-1, 1] to logits `(n, classes)`.

    Raises:
        ValueError: no images, or labels that do not fit them.
    """
    labels = np.asarray(labels)
    if not len(images) or labels.shape != (len(images),) or labels.dtype.kind not in "iu":
        raise ValueError(
            "`labels` must be one integer for each of one or more images. "
            f"Received: {len(images)} images, {labels.dtype} of shape {labels.shape}"
        )
    if labels.min() < 0 or labels.max() >= classes:
        raise ValueError(
            f"`labels` must be in [0, {classes}), the classes. "
            f"Received: {labels.min()} to {labels.max()}"
        )
    keras.utils.set_random_seed(seed)
    function = domain_transfer_networks.build_function(images.shape[1], width)
    decay, smoothing, shift = (0.0, 0.0, 0.0) if plain else (DECAY, LABEL_SMOOTHING, SHIFT)
    classifier = domain_transfer_networks.build_classifier(function, classes, decay)
    one_hot = np.eye(classes, dtype=np.float32)[labels]
    batches = _Moved(images, one_hot, min(batch_size, len(images)), seed, shift)
    epochs = max(epochs, -(-least_steps // len(batches)))
    entropy = keras.losses.CategoricalCrossentropy(from_logits=True, label_smoothing=smoothing)
    loss = fitting.fit(classifier, batches, LEARNING_RATE, entropy, epochs, jit_compile=False)
    logging.info(
        "Classifier trained on %d images for %d epochs: loss %.3f",
        len(images), epochs, loss,
    )  # fmt: skip
    if not plain:
        _scale(classifier, images)
    return classifier


def _scale(classifier: keras.Model, images: np.ndarray, batch_size: int = 256) -> None:
    """Scales f to its standard deviation, and the following layer by the inverse factor."""
    function, logits = classifier.get_layer("f"), classifier.get_layer("logits")
    features = np.concatenate(
        [
            ops.convert_to_numpy(function.predict_on_batch(to_float(images[i : i + batch_size])))
            for i in range(0, len(images), batch_size)
        ]
    )
    deviation = np.sqrt(features.var(axis=0, dtype=np.float64).mean())
    if not deviation > 0:  # a single image
        return
    factor = DEVIATION / deviation
    # Max pooling and ReLU, which lie between them, commute with a factor.
    last = [layer for layer in function.layers if layer.weights][-1]
    last.set_weights([weight * factor for weight in last.get_weights()])
    kernel, bias = logits.get_weights()
    logits.set_weights([kernel / factor, bias])


def classify(classifier: keras.Model, images: np.ndarray, batch_size: int = 256) -> np.ndarray:
    """The most probable class of each image.

    Args:
        classifier: what `train_classifier` returned.
        images: float32 `(n, size, size, 3)` in [-1, 1].
        batch_size: images at a time.

    Returns:
        int64 `(n,)`.
    """
    return np.concatenate(
        [np.empty(0, np.int64)]
        + [
            ops.convert_to_numpy(
                classifier.predict_on_batch(images[start : start + batch_size])
            ).argmax(axis=-1)
            for start in range(0, len(images), batch_size)
        ]
    )


class _Moved(keras.utils.PyDataset):
    """Batches of images shifted by some pixels; their borders are extended."""

    def __init__(
        self,
        images: np.ndarray,
        labels: np.ndarray,
        batch_size: int,
        seed: int,
        shift: float = SHIFT,
    ) -> None:
        super().__init__()
        self._most = round(shift * images.shape[1])
        self._images, self._labels = images, labels
        self._batch_size, self._seed = batch_size, seed
        self._epoch = 0
        self._draw()

    def _draw(self) -> None:
        rng = np.random.default_rng((self._seed, self._epoch))
        self._order = rng.permutation(len(self._images))
        self._shift = rng.integers(-self._most, self._most + 1, (len(self._images), 2))

    def __len__(self) -> int:
        return len(self._images) // self._batch_size

    def __getitem__(self, index: int) -> tuple[np.ndarray, np.ndarray]:
        rows = self._order[index * self._batch_size : (index + 1) * self._batch_size]
        size = self._images.shape[1]
        y, x = (
            np.clip(np.arange(size) + self._shift[rows, axis, None], 0, size - 1) for axis in (0, 1)
        )
        every = np.arange(len(rows))[:, None, None]
        moved = self._images[rows][every, y[:, :, None], x[:, None, :]]
        return to_float(moved), self._labels[rows]

    def on_epoch_end(self) -> None:
        self._epoch += 1
        self._draw()

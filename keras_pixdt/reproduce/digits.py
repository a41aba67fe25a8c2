"""Digits of two domains, and how well classifiers know them (Taigman et al. 2017, Sec. 5.1).

The paper's domains are SVHN (S) and MNIST (T). The training images of S are the set s, and f is
trained on their labels; the test images of S are transferred and judged. The *test* images of T are
the set t. The judge, a classifier with f's architecture, is trained on the *training* images of T,
which no network sees. Labels of t are only used for Table 2's scores.

If these are not available, both are drawn (`keras_pixdt.drawn.digits`).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_pixdt import data
from keras_pixdt.drawn import digits
from keras_pixdt.judges.classifier import classify
from keras_pixdt.metrics import standard_error
from keras_pixdt.reproduce.result import Score

IMAGE_SIZE = 32  # px (Sec. 5.1)
ACCURACY = Score("accuracy", "Accuracy, %", "higher", ".2f")
PICTURE_COLUMNS = 24


class Images(NamedTuple):
    """Images of one domain with the digits that they show.

    Attributes:
        pixels: uint8 (n, size, size, 3).
        labels: int64 (n,).
    """

    pixels: np.ndarray
    labels: np.ndarray

    def select(self, mask: np.ndarray) -> Images:
        """The images selected by a mask."""
        return Images(self.pixels[mask], self.labels[mask])

    def without(self, digit: int | None) -> Images:
        """The images that do not show a given digit."""
        return self.select(self.labels != digit)


class Digits(NamedTuple):
    """The sets of Sec. 5.1.

    Attributes:
        s: training images of S.
        s_test: test images of S, which are transferred.
        t: test images of T, which networks are trained on without their labels.
        judged: training images of T, for the judge alone.
        names: of the classes.
    """

    s: Images
    s_test: Images
    t: Images
    judged: Images
    names: tuple[str, ...]


def load(source: str, target: str, image_size: int = IMAGE_SIZE, **options: Any) -> Digits:
    """Reads the two domains.

    Args:
        source: S, as `keras_pixdt.data.load_domains` takes it: `"tfds:svhn_cropped"`, or a `.npz`
            file with `x_train`, `y_train`, `x_test` and `y_test`.
        target: T, such as `"tfds:mnist"`.
        image_size: side of the images, px.
        **options: further ones of `load_domains`.

    Raises:
        FileNotFoundError: as `load_domains`.
        ValueError: a domain has no labels, or not those of the other.
    """
    domains = data.load_domains(source, target, image_size, **options)
    train, test = domains["train"], domains["test"]
    names = []
    for name, labels in ((source, train.source_labels), (target, train.target_labels)):
        if labels is None:
            raise ValueError(
                f"{name} must have labels: a .npz file with y_train and y_test, a set of TFDS with "
                "the feature 'label', or a folder with a subfolder for each class."
            )
        names.append(labels.names)
    if names[0] != names[1]:
        raise ValueError(
            "Both domains must have the same classes. Received: "
            f"{', '.join(names[0])} in {source}, {', '.join(names[1])} in {target}"
        )

    def labelled(pixels: np.ndarray, labels: data.Labels | None) -> Images:
        assert labels is not None  # a split has them if another one has
        return Images(pixels, labels.index)

    return Digits(
        s=labelled(train.sources, train.source_labels),
        s_test=labelled(test.sources, test.source_labels),
        t=labelled(test.targets, test.target_labels),
        judged=labelled(train.targets, train.target_labels),
        names=names[0],
    )


def draw(sizes: Sequence[int]) -> Digits:
    """Draws the four sets, of these sizes."""
    sets = (("street", 0), ("street", 1), ("handwritten", 0), ("handwritten", 1))
    s, s_test, t, judged = (
        Images(*digits.draw(kind, size, seed))
        for (kind, seed), size in zip(sets, sizes, strict=True)
    )
    return Digits(s, s_test, t, judged, digits.CLASSES)


def transfer(model: keras.Model, pixels: np.ndarray) -> np.ndarray:
    """G(x) of images, uint8 to uint8, (n, size, size, 3)."""
    return data.to_uint8(model.predict(data.to_float(pixels), batch_size=256, verbose=0))


def accuracy(classifier: keras.Model, images: Images) -> dict[str, Any]:
    """The share of images that a classifier recognizes; see `share_of`."""
    return share_of(classify(classifier, data.to_float(images.pixels)) == images.labels)


def share_of(right: np.ndarray) -> dict[str, Any]:
    """The scores of a row.

    Args:
        right: bool `(n,)`, of each image whether its class is right.

    Returns:
        "accuracy" in %, and its entry of "standard_errors", of images that are independent.
    """
    error = standard_error(right)
    errors = {} if error is None else {ACCURACY.key: 100 * error}
    return {ACCURACY.key: 100 * float(right.mean()), "standard_errors": errors}


def examples(images: Images, count: int = PICTURE_COLUMNS) -> np.ndarray:
    """The first images of each class in turn, uint8 (count, size, size, 3)."""
    place = np.zeros(len(images.labels), int)  # each image's place within its class
    for label in np.unique(images.labels):
        same = images.labels == label
        place[same] = np.arange(same.sum())
    return images.pixels[np.lexsort((images.labels, place))[:count]]

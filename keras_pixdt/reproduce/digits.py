"""What Tables 1 to 3 of Taigman et al. 2017 share: digits of two domains, f, a judge, networks.

The paper's domains are SVHN (S) and MNIST (T). Of S, the training images are the set s, and f is
trained on their labels; the test images are transferred and judged. Of T, the *test* images are
the set t, and the judge, a classifier of f's architecture, is trained on the *training* images,
which no network sees (Sec. 5.1). Labels of t are used for Table 2's scores only.

All that is trained is kept in one folder: an interrupted table goes on where it was, and the tables
share f, judge and networks.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from absl import logging

import keras_pixdt.registered  # noqa: F401
from keras_pixdt import data, presets
from keras_pixdt.atomic import replacing, write_json
from keras_pixdt.presets.taigman2017 import DomainTransferPreset
from keras_pixdt.reproduce import unpaired
from keras_pixdt.training.classifier import classify, train_classifier
from keras_pixdt.training.schedule import check_length

DTN = "taigman2017"
IMAGE_SIZE = 32  # px (Sec. 5.1)
# not in the paper, whose g and D have no numbers of filters; for minutes on two cores.
EPOCHS = 10
WIDTH = 0.5
FUNCTION_EPOCHS, JUDGE_EPOCHS = 12, 6

_SETTINGS = "settings.json"


class Images(NamedTuple):
    """Images of one domain with the digits that they show.

    Attributes:
        pixels: uint8 (n, size, size, 3).
        labels: int64 (n,).
    """

    pixels: np.ndarray
    labels: np.ndarray

    def select(self, mask: np.ndarray) -> Images:
        """Those under a mask."""
        return Images(self.pixels[mask], self.labels[mask])


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


@dataclasses.dataclass(frozen=True)
class Settings:
    """How all of an experiment is trained.

    Attributes:
        data: the name of S.
        target_data: the name of T.
        epochs: of each network, each going once through the larger set; None with `minutes`.
        minutes: length of the training of each network, in the place of `epochs`.
        width: factor on the filters of g and D.
        batch_size: images of each domain in a batch.
        function_epochs: of the training of f.
        judge_epochs: of the training of the judge.
    """

    data: str
    target_data: str
    epochs: int | None = None
    minutes: float | None = None
    width: float = WIDTH
    batch_size: int = presets.get(DTN).batch_size
    function_epochs: int = FUNCTION_EPOCHS
    judge_epochs: int = JUDGE_EPOCHS

    def __post_init__(self) -> None:
        """Checks the length of the training."""
        check_length(self.epochs, self.minutes)


class Experiment:
    """Networks that are trained once, in a folder.

    Args:
        digits: what they are trained on.
        settings: how.
        out: the folder.
        verbose: as in `keras.Model.fit`.

    Raises:
        ValueError: the folder is of other settings.
    """

    def __init__(
        self,
        digits: Digits,
        settings: Settings,
        out: str | os.PathLike[str],
        verbose: str | int = "auto",
    ) -> None:
        self.digits = digits
        self.settings = settings
        self.out = pathlib.Path(out)
        self._verbose = verbose
        self._judge: keras.Model | None = None
        self.out.mkdir(parents=True, exist_ok=True)
        path, now = self.out / _SETTINGS, dataclasses.asdict(settings)
        if path.exists():
            there = json.loads(path.read_text("utf-8"))
            different = [
                f"{key}: {there.get(key)} there, {value} here"
                for key, value in now.items()
                if there.get(key) != value
            ]
            if different:
                raise ValueError(
                    f"{self.out} holds networks of other settings ({'; '.join(different)}). "
                    "Choose another --out, or repeat these settings."
                )
        write_json(path, now)

    def _kept(self, name: str, train: Any) -> pathlib.Path:
        """The file of a model, which is trained if there is none."""
        path = self.out / f"{name}.keras"
        if not path.exists():
            logging.info("Training %s", name)
            model = train()
            with replacing(path) as unfinished:
                model.save(unfinished)
        return path

    def classifier(self, without: int | None = None) -> pathlib.Path:
        """The file of the classifier that f is taken from.

        Args:
            without: a digit that is left out of its training images.
        """
        s = self.digits.s if without is None else self._without(self.digits.s, without)
        return self._kept(
            "classifier" if without is None else f"classifier_without_{without}",
            lambda: train_classifier(
                *s, len(self.digits.names), epochs=self.settings.function_epochs
            ),
        )

    def function(self, without: int | None = None) -> pathlib.Path:
        """The file of f; `without` as of `classifier`."""
        return self._kept(
            "function" if without is None else f"function_without_{without}",
            lambda: keras.models.load_model(self.classifier(without)).get_layer("f"),
        )

    def judge(self) -> keras.Model:
        """The classifier of T."""
        if self._judge is None:
            path = self._kept(
                "judge",
                lambda: train_classifier(
                    *self.digits.judged,
                    len(self.digits.names),
                    epochs=self.settings.judge_epochs,
                ),
            )
            self._judge = keras.models.load_model(path)
        return self._judge

    def network(
        self,
        preset: str = DTN,
        seed: int = 0,
        *,
        without: int | None = None,
        left_out_of: Sequence[str] = (),
    ) -> keras.Model:
        """A row's network.

        Args:
            preset: the row.
            seed: of weights and batches.
            without: a digit that is left out.
            left_out_of: where it is left out: "s", "t", "f".
        """
        places = "".join(sorted(left_out_of))
        suffix = f"_without_{without}_in_{places}" if places else ""

        def train() -> keras.Model:
            s, t = self.digits.s, self.digits.t
            if without is not None:
                s = self._without(s, without) if "s" in left_out_of else s
                t = self._without(t, without) if "t" in left_out_of else t
            function = self.function(without if "f" in left_out_of else None)
            settings = self.settings
            row = presets.get(preset)
            assert isinstance(row, DomainTransferPreset)
            row = dataclasses.replace(
                row,
                function=str(function),
                image_size=s.pixels.shape[1],
                width=settings.width,
                batch_size=settings.batch_size,
            )
            return unpaired.train(
                row,
                data.DomainSet(s.pixels, t.pixels),
                minutes=settings.minutes,
                epochs=settings.epochs,
                seed=seed,
                verbose=self._verbose,
            )

        return keras.models.load_model(self._kept(f"{preset}_seed{seed}{suffix}", train))

    def _without(self, images: Images, digit: int) -> Images:
        return images.select(images.labels != digit)

    def baselines(self) -> dict[str, float]:
        """How good the classifiers are, and what the judge says of images as they are.

        Returns:
            Accuracies: `f` and `judge_unconverted` on S's test images, `f_on_t` and `judge_on_t` on
            the set t.
        """
        s_test, t = self.digits.s_test, self.digits.t
        f = keras.models.load_model(self.classifier())
        return {
            "f": accuracy(f, s_test),
            "f_on_t": accuracy(f, t),
            "judge_on_t": accuracy(self.judge(), t),
            "judge_unconverted": accuracy(self.judge(), s_test),
        }

    def judged(self, model: keras.Model, digit: int | None = None) -> float:
        """The judge's accuracy on S's test images, transferred.

        Args:
            model: the network.
            digit: if given, of the images of this digit alone.
        """
        s_test = self.digits.s_test
        if digit is not None:
            s_test = s_test.select(s_test.labels == digit)
        return accuracy(self.judge(), Images(transfer(model, s_test.pixels), s_test.labels))


def transfer(model: keras.Model, pixels: np.ndarray) -> np.ndarray:
    """G(x) of images, uint8 to uint8, (n, size, size, 3)."""
    return data.to_uint8(model.predict(data.to_float(pixels), batch_size=256, verbose=0))


def accuracy(classifier: keras.Model, images: Images) -> float:
    """Share of the images that a classifier knows."""
    return float((classify(classifier, data.to_float(images.pixels)) == images.labels).mean())


# The picture: one row of inputs, then one of each network, the same images above each other.

PICTURE_COLUMNS = 24


def examples(images: Images, count: int = PICTURE_COLUMNS) -> np.ndarray:
    """The first images of each class in turn, uint8 (count, size, size, 3)."""
    place = np.zeros(len(images.labels), int)  # of each image among those of its class
    for label in np.unique(images.labels):
        same = images.labels == label
        place[same] = np.arange(same.sum())
    return images.pixels[np.lexsort((images.labels, place))[:count]]


def write_picture(path: pathlib.Path, sources: np.ndarray, models: Sequence[keras.Model]) -> None:
    """Writes the rows of the picture."""
    rows = [sources, *(transfer(model, sources) for model in models)]
    columns = [[row[i] for row in rows] for i in range(len(sources))]
    data.write_image(path, data.image_grid([np.stack(column) for column in columns]))


# The command


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options that the tables share; `from_arguments` reads them."""
    parser.add_argument("--data", required=True, help="S: tfds:svhn_cropped, or a .npz file")
    parser.add_argument("--target-data", required=True, help="T: tfds:mnist, or a .npz file")
    parser.add_argument("--data-dir", help="where TFDS sets were prepared")
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--epochs", type=int, help=f"of each network (default: {EPOCHS})")
    length.add_argument("--minutes", type=float, help="of each network, in the place of --epochs")
    for name in ("width", "batch_size", "function_epochs", "judge_epochs"):
        default = getattr(Settings, name)
        option = f"--{name.replace('_', '-')}"
        parser.add_argument(
            option, type=type(default), default=default, help="default: %(default)s"
        )
    parser.add_argument("--out", default="runs/taigman2017", help="folder (default: %(default)s)")


def from_arguments(options: argparse.Namespace) -> Experiment:
    """The experiment that the options describe."""
    fields = {f.name: getattr(options, f.name) for f in dataclasses.fields(Settings)}
    if options.minutes is None:
        fields["epochs"] = options.epochs or EPOCHS
    digits = load(options.data, options.target_data, data_dir=options.data_dir)
    return Experiment(digits, Settings(**fields), options.out, verbose=2)

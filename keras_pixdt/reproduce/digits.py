"""What Tables 1 to 3 of Taigman et al. 2017 share: digits of two domains, f, a judge, networks.

The paper's domains are SVHN (S) and MNIST (T). Of S, the training images are the set s, and f is
trained on their labels; the test images are transferred and judged. Of T, the *test* images are
the set t, and the judge, a classifier of f's architecture, is trained on the *training* images,
which no network sees (Sec. 5.1). Labels of t are used for Table 2's scores only.

Where these are not available, both are drawn (`keras_pixdt.drawn.digits`).

All that is trained is kept in one folder: the tables share f, judge and networks.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import os
import pathlib
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_pixdt import data, presets
from keras_pixdt.drawn import digits
from keras_pixdt.judges.classifier import classify, train_classifier
from keras_pixdt.metrics import standard_error
from keras_pixdt.presets.domain_transfer import DomainTransferPreset
from keras_pixdt.reproduce import common, environment, pictures, settings, unpaired
from keras_pixdt.reproduce.result import Claim, Result, Row, Score

DTN = "taigman2017"
IMAGE_SIZE = 32  # px (Sec. 5.1)
ACCURACY = Score("accuracy", "Accuracy, %", "higher", ".2f")
DRAWN_NOTE = (
    "Digits of both domains are drawn: figures to report are those of real ones "
    "(`--data`, `--target-data`)."
)


@dataclasses.dataclass(frozen=True)
class Budget:
    """How much each row gets; not in the paper but the widths of 1 and the sizes of `paper`.

    Attributes:
        samples: images of each domain that a network sees, about, in whole epochs; None leaves the
            preset its own epochs.
        seeds: how often each network is trained.
        width: factor on the filters of g and D.
        function_width: factor on those of f and the judge.
        function_epochs: of the training of f.
        judge_epochs: of the training of the judge.
        sizes: where digits are drawn, how many of the sets s, test images of S, t, and of the
            judge's training images.
        batch_size: images of each domain in a batch.
    """

    samples: int | None
    seeds: int = 1
    width: float = 1.0
    function_width: float = 1.0
    function_epochs: int = 12
    judge_epochs: int = 6
    sizes: tuple[int, int, int, int] = (60_000, 10_000, 10_000, 60_000)
    batch_size: int = presets.get(DTN).batch_size


BUDGETS = {
    "smoke": Budget(
        6_000, width=0.25, function_width=0.25, function_epochs=6, judge_epochs=3,
        sizes=(2_000, 500, 1_000, 2_000),
    ),
    "cpu": Budget(
        30_000, width=0.5, function_width=0.5, function_epochs=8, judge_epochs=4,
        sizes=(6_000, 1_000, 3_000, 4_000),
    ),
    "gpu": Budget(600_000, seeds=2),
    # Sec. 5.1: the extra and test splits of SVHN, the test and training images of MNIST.
    "paper": Budget(None, seeds=3, sizes=(531_131, 26_032, 10_000, 60_000)),
}  # fmt: skip


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


def draw(sizes: Sequence[int]) -> Digits:
    """Draws the four sets, of these sizes."""
    sets = (("street", 0), ("street", 1), ("handwritten", 0), ("handwritten", 1))
    s, s_test, t, judged = (
        Images(*digits.draw(kind, size, seed))
        for (kind, seed), size in zip(sets, sizes, strict=True)
    )
    return Digits(s, s_test, t, judged, digits.CLASSES)


class Experiment:
    """Networks that are trained once, in a folder.

    Args:
        digits: what they are trained on.
        given: how.
        out: the folder of the tables.
        name: of the data, for the tables.
        budget: its name, for the tables.
        verbose: as in `keras.Model.fit`.
    """

    def __init__(
        self,
        digits: Digits,
        given: Budget,
        out: str | os.PathLike[str],
        name: str = "drawn",
        budget: str = "",
        verbose: str | int = "auto",
    ) -> None:
        self.digits = digits
        self.given = given
        self.out = pathlib.Path(out)
        self.settings = {"budget": budget, "data": name, "samples": self._epochs_and_samples()[1]}
        self.cache = common.Cache(self.out)
        self._verbose = verbose

    def _preset(self, name: str) -> DomainTransferPreset:
        preset = presets.get(name)
        assert isinstance(preset, DomainTransferPreset)
        return dataclasses.replace(
            preset,
            image_size=self.digits.s.pixels.shape[1],
            width=self.given.width,
            function_width=self.given.function_width,
            batch_size=self.given.batch_size,
        )

    def _epochs_and_samples(self) -> tuple[int, int]:
        """Of a network that sees all digits. An epoch goes once through the larger set."""
        larger = max(len(self.digits.s.pixels), len(self.digits.t.pixels))
        if self.given.samples is None:
            epochs = self._preset(DTN).epochs
        else:
            epochs = max(1, round(self.given.samples / larger))
        return epochs, epochs * larger

    @functools.cached_property
    def _digests(self) -> dict[str, str]:
        sets = {"s": self.digits.s, "t": self.digits.t, "judged": self.digits.judged}
        return {name: common.fingerprint(*images) for name, images in sets.items()}

    def _classifier(
        self, name: str, images: Images, digest: str, epochs: int, plain: bool = False, **parts: Any
    ) -> common.Kept:
        width = self.given.function_width
        options: dict[str, Any] = {"epochs": epochs, "width": width, "plain": plain}

        def train() -> tuple[keras.Model, dict[str, Any]]:
            return train_classifier(*images, len(self.digits.names), **options), {}

        return self.cache.model(name, train, data=digest, **options, **parts)

    def classifier(self, without: int | None = None, plain: bool = False) -> common.Kept:
        """The classifier that f is taken from.

        Args:
            without: a digit that is left out of its training images.
            plain: see `keras_pixdt.training.train_classifier`.
        """
        s = self.digits.s if without is None else _without(self.digits.s, without)
        epochs = self.given.function_epochs
        return self._classifier(
            "digits-classifier", s, self._digests["s"], epochs, plain, without=without
        )

    def function(self, without: int | None = None, plain: bool = False) -> common.Kept:
        """f; arguments are those of `classifier`."""
        whole = self.classifier(without, plain)
        return self.cache.model(
            "digits-f", lambda: (whole.load().get_layer("f"), {}), classifier=whole.path.name
        )

    @functools.cached_property
    def judge(self) -> keras.Model:
        """The classifier of T."""
        kept = self._classifier(
            "digits-judge", self.digits.judged, self._digests["judged"], self.given.judge_epochs
        )
        return kept.load()

    def network(
        self,
        preset: str = DTN,
        seed: int = 0,
        *,
        without: int | None = None,
        left_out_of: Iterable[str] = (),
    ) -> common.Kept:
        """A row's network.

        Args:
            preset: the row.
            seed: of weights and batches.
            without: a digit that is left out.
            left_out_of: where it is left out: "s", "t", "f".

        Returns:
            The network; `found` also says with what it was trained
            (`keras_pixdt.reproduce.settings`).
        """
        places = sorted(left_out_of)
        row, (epochs, _) = self._preset(preset), self._epochs_and_samples()
        function = self.function(without if "f" in places else None, row.function_plain)
        sets = {"s": self.digits.s, "t": self.digits.t}

        def train() -> tuple[keras.Model, dict[str, Any]]:
            s, t = (
                images.pixels if name not in places else _without(images, without).pixels
                for name, images in sets.items()
            )
            model = unpaired.train(
                dataclasses.replace(row, function=str(function.path)),
                data.DomainSet(s, t),
                epochs=epochs,
                seed=seed,
                verbose=self._verbose,
            )
            return model, {}

        kept = self.cache.model(
            f"{preset}-seed{seed}",
            train,
            preset=row.options(),
            function=function.path.name,
            data=[self._digests["s"], self._digests["t"]],
            without=[without, places] if places else None,
            epochs=epochs,
            seed=seed,
        )
        left_out = {name: without if name in places else None for name in sets}
        samples = epochs * max(
            int(np.sum(images.labels != left_out[name])) for name, images in sets.items()
        )
        trained = {
            "preset": row.options(),
            "epochs": epochs,
            "samples": samples,
            "steps": settings.steps(row, epochs, samples),
        }
        return kept._replace(found={**kept.found, **trained})

    def baselines(self) -> dict[str, dict[str, Any]]:
        """How good the classifiers are, and what the judge says of images as they are.

        Returns:
            What `accuracy` says: `f` and `original` on S's test images, `f-on-t` and `judge` on the
            set t.
        """
        s_test, t = self.digits.s_test, self.digits.t
        f = self.classifier().load()
        return {
            "original": accuracy(self.judge, s_test),
            "f": accuracy(f, s_test),
            "f-on-t": accuracy(f, t),
            "judge": accuracy(self.judge, t),
        }

    def judged(self, model: keras.Model, digit: int | None = None) -> dict[str, Any]:
        """The judge's accuracy on S's test images, transferred; see `accuracy`.

        Args:
            model: the network.
            digit: if given, of the images of this digit alone.
        """
        s_test = self.digits.s_test
        if digit is not None:
            s_test = s_test.select(s_test.labels == digit)
        return accuracy(self.judge, Images(transfer(model, s_test.pixels), s_test.labels))

    def result(
        self,
        name: str,
        title: str,
        rows: Sequence[Row],
        claims: Sequence[Claim] = (),
        notes: Sequence[str] = (),
        scores: Sequence[Score] = (ACCURACY,),
    ) -> Result:
        """A table of this experiment that nothing has been run of."""
        drawn = (DRAWN_NOTE,) if self.settings["data"] == "drawn" else ()
        return Result(
            name,
            title,
            scores,
            rows,
            claims,
            settings=dict(self.settings),
            made_with=environment.made_with(),
            notes=(*notes, *drawn),
        )


def _without(images: Images, digit: int | None) -> Images:
    return images.select(images.labels != digit)


def transfer(model: keras.Model, pixels: np.ndarray) -> np.ndarray:
    """G(x) of images, uint8 to uint8, (n, size, size, 3)."""
    return data.to_uint8(model.predict(data.to_float(pixels), batch_size=256, verbose=0))


def accuracy(classifier: keras.Model, images: Images) -> dict[str, Any]:
    """The share of the images that a classifier knows; see `share_of`."""
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


# The picture: a line of inputs, then one of each network, the same images above each other.

PICTURE_COLUMNS = 24


def examples(images: Images, count: int = PICTURE_COLUMNS) -> np.ndarray:
    """The first images of each class in turn, uint8 (count, size, size, 3)."""
    place = np.zeros(len(images.labels), int)  # of each image among those of its class
    for label in np.unique(images.labels):
        same = images.labels == label
        place[same] = np.arange(same.sum())
    return images.pixels[np.lexsort((images.labels, place))[:count]]


def lines_drawer(
    result: Result, out: pathlib.Path, images: Images, models: Sequence[tuple[str, Any]]
) -> Callable[[int], None]:
    """What adds the picture of what networks make of the same images, for `common.fill`.

    Args:
        result: gets it.
        out: the folder.
        images: labelled; `examples` of them are shown.
        models: title and network of each line, those of seed 0, filled by then.

    Returns:
        Is called with each seed; draws after seed 0.
    """

    def draw(seed: int) -> None:
        if seed:
            return
        sources = examples(images)
        file = f"{result.name}.png"
        lines = [(title, transfer(model, sources)) for title, model in models]
        pictures.write_lines(out / file, [("S", sources), *lines])
        result.pictures[file] = "Test images of S, and what each network of seed 0 makes of them"

    return draw


# The command


def parser(name: str, description: str, rows: Sequence[str]) -> argparse.ArgumentParser:
    """A parser with the options that the tables share; `open_experiment` reads them."""
    parser = common.parser(name, description, rows)
    parser.add_argument(
        "--data", help="S: tfds:svhn_cropped, or a .npz file (default: both domains are drawn)"
    )
    parser.add_argument("--target-data", help="T: tfds:mnist, or a .npz file")
    parser.add_argument("--data-dir", help="where TFDS sets were prepared")
    parser.add_argument(
        "--epochs", type=int, help="of each network, instead of the budget's samples"
    )
    return parser


def open_experiment(options: argparse.Namespace) -> Experiment:
    """The experiment that the options describe.

    Raises:
        ValueError: one of the two domains is not named, or less than one epoch.
    """
    given = BUDGETS[options.budget]
    source, target = options.data, options.target_data
    if (source is None) != (target is None):
        raise ValueError(
            "Give both `--data` and `--target-data`, or neither, for digits that are drawn. "
            f"Received: {source} and {target}"
        )
    if source is None:
        digits, name = draw(given.sizes), "drawn"
    else:
        digits = load(source, target, data_dir=options.data_dir)
        name = " and ".join(pathlib.PurePath(path).name for path in (source, target))
    if options.epochs is not None:
        if options.epochs < 1:
            raise ValueError(f"`epochs` must be at least 1. Received: {options.epochs}")
        larger = max(len(digits.s.pixels), len(digits.t.pixels))
        given = dataclasses.replace(given, samples=options.epochs * larger)
    return Experiment(digits, given, options.out, name, options.budget, verbose=2)

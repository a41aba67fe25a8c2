"""The networks of Taigman et al. 2017 on digits: f, a judge, and the rows of Tables 1 to 3.

All that is trained is kept in one folder: the tables share f, judge and networks.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import os
import pathlib
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_pixdt import data, presets
from keras_pixdt.judges.classifier import train_classifier
from keras_pixdt.presets.domain_transfer import DomainTransferPreset
from keras_pixdt.reproduce import digits, environment, experiment, pictures
from keras_pixdt.reproduce import settings as row_settings
from keras_pixdt.reproduce.adaptation import train_dann
from keras_pixdt.reproduce.cache import Kept
from keras_pixdt.reproduce.experiment import Budget, Experiment, train_unpaired
from keras_pixdt.reproduce.result import Claim, Result, Row, Score
from keras_pixdt.training.record import fingerprint

DTN = "taigman2017"
DRAWN_NOTE = (
    "Digits of both domains are drawn. Report figures of real ones (`--data`, `--target-data`)."
)

# The paper has only the widths of 1 and the sizes of `paper`. `drawn` has the sizes of s, of the
# test images of S, of t, and of the judge's training images.
BUDGETS = {
    "smoke": Budget(
        samples=6_000, drawn=(2_000, 500, 1_000, 2_000),
        fields={"width": 0.25, "function_width": 0.25}, function_epochs=6, judge_epochs=3,
    ),
    "cpu": Budget(
        samples=30_000, drawn=(6_000, 1_000, 3_000, 4_000),
        fields={"width": 0.5, "function_width": 0.5}, function_epochs=8, judge_epochs=4,
    ),
    "gpu": Budget(
        samples=600_000, seeds=2, drawn=(60_000, 10_000, 10_000, 60_000),
        function_epochs=12, judge_epochs=6,
    ),
    # Sec. 5.1: the extra and test splits of SVHN, the test and training images of MNIST.
    "paper": Budget(
        seeds=3, drawn=(531_131, 26_032, 10_000, 60_000), function_epochs=12, judge_epochs=6
    ),
}  # fmt: skip


class DigitsExperiment(Experiment):
    """The networks of the tables on digits, with f and the judge.

    Args:
        sets: what they are trained on.
        given: how.
        out: the folder of the tables.
        name: of the data, for the tables.
        budget: its name, for the tables.
        verbose: as in `keras.Model.fit`.
    """

    def __init__(
        self,
        sets: digits.Digits,
        given: Budget,
        out: str | os.PathLike[str],
        name: str = "drawn",
        budget: str = "",
        verbose: str | int = "auto",
    ) -> None:
        super().__init__(out, verbose)
        self.digits = sets
        self.given = given
        self.settings = {"budget": budget, "data": name, "samples": self._epochs_and_samples()[1]}

    def _preset(self, name: str) -> DomainTransferPreset:
        preset = presets.get(name)
        assert isinstance(preset, DomainTransferPreset)
        size = self.digits.s.pixels.shape[1]
        return dataclasses.replace(preset, image_size=size, **self.given.fields)

    def _epochs_and_samples(self) -> tuple[int, int]:
        """The length of the training on all digits. An epoch goes once through the larger set."""
        larger = max(len(self.digits.s.pixels), len(self.digits.t.pixels))
        if self.given.samples is None:
            epochs = self._preset(DTN).epochs
        else:
            epochs = max(1, round(self.given.samples / larger))
        return epochs, epochs * larger

    @functools.cached_property
    def _digests(self) -> dict[str, str]:
        sets = {"s": self.digits.s, "t": self.digits.t, "judged": self.digits.judged}
        return {name: fingerprint(*images) for name, images in sets.items()}

    def _classifier(
        self,
        name: str,
        images: digits.Images,
        digest: str,
        epochs: int,
        plain: bool = False,
        **parts: Any,
    ) -> Kept:
        width = self._preset(DTN).function_width
        options: dict[str, Any] = {"epochs": epochs, "width": width, "plain": plain}

        def train() -> tuple[keras.Model, dict[str, Any]]:
            return train_classifier(*images, len(self.digits.names), **options), {}

        return self.cache.model(name, train, data=digest, **options, **parts)

    def classifier(self, without: int | None = None, plain: bool = False) -> Kept:
        """The classifier that f is taken from.

        Args:
            without: a digit that is left out of its training images.
            plain: see `keras_pixdt.training.train_classifier`.
        """
        s = self.digits.s if without is None else self.digits.s.without(without)
        epochs = self.given.function_epochs
        return self._classifier(
            "digits-classifier", s, self._digests["s"], epochs, plain, without=without
        )

    def function(self, without: int | None = None, plain: bool = False) -> Kept:
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

    @functools.cached_property
    def reverse_judge(self) -> keras.Model:
        """The classifier of S that learns from its test images, which no other network sees."""
        digest = fingerprint(*self.digits.s_test)
        # As many updates as the judge of T has, whose set is larger.
        epochs = -(
            -self.given.judge_epochs
            * len(self.digits.judged.labels)
            // len(self.digits.s_test.labels)
        )
        return self._classifier("digits-reverse-judge", self.digits.s_test, digest, epochs).load()

    def dann(self, strength: float = 1.0, seed: int = 0) -> Kept:
        """The classifier of `adaptation.train_dann`, from S to t; `found` has its settings too."""
        s, t = self.digits.s, self.digits.t
        options: dict[str, Any] = {
            "epochs": self.given.function_epochs,
            "width": self._preset(DTN).function_width,
            "strength": strength,
            "seed": seed,
        }

        def train() -> tuple[keras.Model, dict[str, Any]]:
            return train_dann(*s, t.pixels, len(self.digits.names), **options), {}

        digests = [self._digests["s"], self._digests["t"]]
        kept = self.cache.model(f"digits-dann-seed{seed}", train, data=digests, **options)
        larger = max(len(s.labels), len(t.labels))
        epochs = options["epochs"]
        trained = {
            "epochs": epochs, "samples": epochs * larger, "function_width": options["width"]
        }  # fmt: skip
        return kept._replace(found={**kept.found, "settings": trained})

    def network(
        self,
        preset: str = DTN,
        seed: int = 0,
        *,
        without: int | None = None,
        left_out_of: Iterable[str] = (),
    ) -> Kept:
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
                images.pixels if name not in places else images.without(without).pixels
                for name, images in sets.items()
            )
            domains = data.DomainSet(s, t)
            model = train_unpaired(
                dataclasses.replace(row, function=str(function.path)),
                domains.exchanged() if row.reverse else domains,
                epochs=epochs,
                seed=seed,
                verbose=self.verbose,
            )
            return model, {}

        kept = self.cache.model(
            f"{preset}-seed{seed}",
            train,
            preset=environment.of_preset(row),
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
        trained = row_settings.of_training(row, epochs, samples)
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
            "original": digits.accuracy(self.judge, s_test),
            "f": digits.accuracy(f, s_test),
            "f-on-t": digits.accuracy(f, t),
            "judge": digits.accuracy(self.judge, t),
        }

    def judged_reverse(self, model: keras.Model) -> dict[str, Any]:
        """The accuracy of `reverse_judge` on images of T that a network has converted to S.

        The images are the judge's of T, which the network has not seen.
        """
        unseen = self.digits.judged
        converted = digits.Images(digits.transfer(model, unseen.pixels), unseen.labels)
        return digits.accuracy(self.reverse_judge, converted)

    def judged(self, model: keras.Model, digit: int | None = None) -> dict[str, Any]:
        """The judge's accuracy on S's test images, transferred; see `accuracy`.

        Args:
            model: the network.
            digit: if given, of the images of this digit alone.
        """
        s_test = self.digits.s_test
        if digit is not None:
            s_test = s_test.select(s_test.labels == digit)
        return digits.accuracy(
            self.judge, digits.Images(digits.transfer(model, s_test.pixels), s_test.labels)
        )

    def result(
        self,
        name: str,
        title: str,
        rows: Sequence[Row],
        claims: Sequence[Claim] = (),
        notes: Sequence[str] = (),
        scores: Sequence[Score] = (digits.ACCURACY,),
        **settings: Any,
    ) -> Result:
        """A table of this experiment of which nothing has been run yet."""
        drawn = (DRAWN_NOTE,) if self.settings["data"] == "drawn" else ()
        return Result(
            name,
            title,
            scores,
            rows,
            claims,
            settings={**self.settings, **settings},
            notes=(*notes, *drawn),
        )

    def fill_networks(
        self,
        result: Result,
        rows: Sequence[str],
        seeds: int,
        network: Callable[[str, int], Kept],
        judged: Callable[[str, keras.Model], dict[str, Any]],
        *,
        shown: Mapping[str, tuple[str, digits.Images]],
        title: str | None = None,
        others: Iterable[str] = (),
    ) -> None:
        """Runs rows that are networks, and pictures the results of seed 0 on the same images.

        Args:
            result: the table.
            rows: keys of the rows.
            seeds: how many, from 0.
            network: of the key of a row and a seed.
            judged: scores of the key of a row and its network.
            shown: key of a row -> name of labelled images, and the images, of which `examples` are
                in the picture, above what the network makes of them. Rows that are not here are
                not pictured.
            title: names the line of the picture if all rows are the same network.
            others: as in `Experiment.fill`.
        """
        lines: dict[str, np.ndarray] = {}

        def score(row: Row, seed: int) -> dict[str, Any]:
            kept = network(row.key, seed)
            model = kept.load()
            if seed == 0 and row.key in shown:
                name, images = shown[row.key]
                sources = lines.setdefault(name, digits.examples(images))
                lines.setdefault(title or row.title, digits.transfer(model, sources))
            return {**judged(row.key, model), **kept.found}

        def draw(seed: int) -> None:
            if seed == 0 and lines:
                caption = "Unseen images, and what each network of seed 0 makes of them"
                pictures.add_lines(result, self.out, list(lines.items()), caption)

        self.fill(result, rows, seeds, score, draw, others)


# The command


def parser(name: str, description: str, rows: Sequence[str]) -> argparse.ArgumentParser:
    """A parser with the options that the tables share; `open_experiment` reads them."""
    parser = experiment.parser(name, description, rows)
    parser.add_argument(
        "--data", help="S: tfds:svhn_cropped, or a .npz file (default: both domains are drawn)"
    )
    parser.add_argument("--target-data", help="T: tfds:mnist, or a .npz file")
    parser.add_argument("--data-dir", help="where TFDS sets were prepared")
    parser.add_argument(
        "--epochs", type=int, help="of each network, instead of the budget's samples"
    )
    return parser


def open_experiment(options: argparse.Namespace) -> DigitsExperiment:
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
        sets, name = digits.draw(given.drawn), "drawn"
    else:
        sets = digits.load(source, target, data_dir=options.data_dir)
        name = " and ".join(pathlib.PurePath(path).name for path in (source, target))
    if options.epochs is not None:
        if options.epochs < 1:
            raise ValueError(f"`epochs` must be at least 1. Received: {options.epochs}")
        larger = max(len(sets.s.pixels), len(sets.t.pixels))
        given = dataclasses.replace(given, samples=options.epochs * larger)
    return DigitsExperiment(sets, given, options.out, name, options.budget, verbose=2)


def main(
    run: Callable[..., Result],
    name: str,
    title: str,
    rows: Iterable[str],
    argv: Sequence[str],
    more: Mapping[str, Mapping[str, Any]] | None = None,
) -> None:
    """Runs an experiment on digits with the arguments of the command.

    Args:
        run: takes the experiment, `seeds`, `rows`, and what `more` names.
        name: of the experiment.
        title: what it repeats.
        rows: keys of its rows.
        argv: the arguments.
        more: names of further options -> arguments of `add_argument`.
    """
    command = parser(name, f"{title}.", list(rows))
    for option, given in (more or {}).items():
        command.add_argument(f"--{option}", **given)
    options = command.parse_args(argv)
    own = {option: getattr(options, option) for option in more or {}}
    result = run(open_experiment(options), seeds=options.seeds, rows=options.rows, **own)
    experiment.tell(result, options.out)

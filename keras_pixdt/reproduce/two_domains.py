"""Tables of DiscoGAN alone, on two domains without pairs and both ways; for figures of pictures.

Kim et al. 2017 show what DiscoGAN translates in Figs. 1, 7 and 9, without a score and without the
other two models. Here each translation is scored, and so is that of another image in its place. If
the first is better by more than the noise, the network has found a relation between the domains:
what it draws depends on what it sees. A `Figure` says what its pictures are scored by.
"""

from __future__ import annotations

import dataclasses
import functools
import os
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import keras
import numpy as np

from keras_pixdt import data, presets
from keras_pixdt.metrics import standard_error
from keras_pixdt.reproduce import OUT, environment, pictures, settings
from keras_pixdt.reproduce.cache import Kept
from keras_pixdt.reproduce.experiment import Budget, Experiment, chosen, train_unpaired
from keras_pixdt.reproduce.result import Claim, Result, Row, Score
from keras_pixdt.training.record import fingerprint

FORWARD, BACK = "forward", "back"  # from A to B, and from B to A
OTHER = "other"  # the row that scores another image's translation instead of each
_BATCH = 64

# Of a way and its translations of the test images, uint8: the scores of rows. The row "" are the
# translations themselves, others are those of `Figure.rows`.
Measure = Callable[[str, np.ndarray], Mapping[str, Mapping[str, Any]]]

BUDGETS = {
    "smoke": Budget(samples=2_000, drawn=(96, 16), fields={"image_size": 32}),
    "cpu": Budget(samples=160_000, drawn=(1_000, 100), fields={"image_size": 32}),
    "gpu": Budget(samples=2_000_000, drawn=(2_000, 200), seeds=3, small=False),
    # Width, batch, size and loss are the paper's; the epochs are those of the authors' code.
    "paper": Budget(drawn=(2_000, 200), seeds=3, small=False),
}


@dataclasses.dataclass(frozen=True)
class Domains:
    """The images of a figure.

    Attributes:
        names: of the domains A and B.
        train: what the network learns from.
        test: images that it has not seen, in an order that tests may rely on.
        measure: scores translations of these.
        truth: what the translations of `test` should be, if it is known: of its sources first.
        settings: what else the table is to say of them.
    """

    names: tuple[str, str]
    train: data.DomainSet
    test: data.DomainSet
    measure: Measure
    truth: tuple[np.ndarray | None, np.ndarray | None] = (None, None)
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)


@dataclasses.dataclass(frozen=True)
class Figure:
    """A figure of the paper.

    Attributes:
        name: of the experiment.
        title: what it repeats.
        scores: the columns.
        claims: row and column: the translations are better than this row in this column.
        rows: the rows below the translations: key -> what it says of them.
        fields: of the presets, that are to differ.
        notes: what a reader must know, one sentence each.
        budgets: for each name of `keras_pixdt.reproduce.BUDGETS`.
    """

    name: str
    title: str
    scores: tuple[Score, ...]
    claims: tuple[tuple[str, Score], ...]
    rows: Mapping[str, str]
    fields: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    notes: tuple[str, ...] = ()
    budgets: Mapping[str, Budget] = dataclasses.field(default_factory=lambda: BUDGETS)

    def preset(self, budget: str) -> presets.Preset:
        """What the network is trained with at a budget."""
        given = self.budgets[budget]
        preset = presets.get("kim2017-small" if given.small else "kim2017")
        return dataclasses.replace(preset, **{**given.fields, **self.fields})


def network(
    experiment: Experiment,
    name: str,
    preset: presets.Preset,
    train: data.DomainSet,
    digest: str,
    epochs: int,
    seed: int,
) -> Kept:
    """A network of two domains, trained if it is not there.

    Args:
        experiment: where it is kept.
        name: begins the name of its file.
        preset: the model and how it is trained.
        train: the images.
        digest: `fingerprint` of these.
        epochs: how long.
        seed: of weights and batches.
    """

    def trained() -> tuple[keras.Model, dict[str, Any]]:
        verbose = experiment.verbose
        return train_unpaired(preset, train, epochs=epochs, seed=seed, verbose=verbose), {}

    return experiment.cache.model(
        f"{name}-seed{seed}",
        trained,
        preset=environment.of_preset(preset),
        epochs=epochs,
        data=digest,
        seed=seed,
    )


def translate(model: keras.Model, images: np.ndarray, way: str = FORWARD) -> np.ndarray:
    """Translations of images, uint8 (n, s, s, 3), of the same shape."""
    generator = model.converter if way == FORWARD else model.reverse_converter
    return np.concatenate(
        [
            data.to_uint8(generator.predict_on_batch(data.to_float(images[i : i + _BATCH])))
            for i in range(0, len(images), _BATCH)
        ]
    )


def means(groups: np.ndarray | None = None, **values: np.ndarray) -> dict[str, Any]:
    """A row's scores: means over images (n,), with standard errors; see `metrics.standard_error`.

    Args:
        groups: which images belong together, (n,).
        **values: by the keys of the scores.
    """
    errors = {name: standard_error(each, groups) for name, each in values.items()}
    return {
        **{name: float(np.mean(each)) for name, each in values.items()},
        "standard_errors": {name: error for name, error in errors.items() if error is not None},
    }


def run(
    figure: Figure,
    domains: Domains,
    out: str | os.PathLike[str] = OUT,
    budget: str = "cpu",
    *,
    seeds: int | None = None,
    verbose: str | int = "auto",
) -> Result:
    """Trains the network, once for each seed, and writes the table.

    Args:
        figure: what to run.
        domains: its images, in the size of `figure.preset(budget)`.
        out: folder.
        budget: a key of `figure.budgets`.
        seeds: of weights and batches, how many, instead of the budget's.
        verbose: as in `keras.Model.fit`.

    Raises:
        ValueError: less than one seed.
    """
    preset, given = figure.preset(budget), figure.budgets[budget]
    _, seeds = chosen((), None, given, seeds)
    experiment, train = Experiment(out, verbose), domains.train
    wanted = preset.epochs * preset.passes if given.samples is None else given.samples / len(train)
    epochs = max(1, round(wanted))
    digest = fingerprint(train.sources, train.targets)
    a, b = domains.names
    titles = {FORWARD: f"{a} to {b}", BACK: f"{b} to {a}"}
    inputs = {FORWARD: domains.test.sources, BACK: domains.test.targets}
    lines = {
        _key(way, row): (way, row, f"{title}: {told}" if told else title)
        for way, title in titles.items()
        for row, told in {"": "", **figure.rows}.items()
    }
    result = Result(
        figure.name,
        figure.title,
        figure.scores,
        [Row(key, title) for key, (_, _, title) in lines.items()],
        [Claim(way, _key(way, row), s.key) for way in titles for row, s in figure.claims],
        settings={
            "budget": budget, "seeds": seeds, **domains.settings,
            "training images": f"{len(train.sources)} and {len(train.targets)}",
            "test images": f"{len(domains.test.sources)} and {len(domains.test.targets)}",
            "image_size": preset.image_size,
        },
        notes=figure.notes,
    )  # fmt: skip

    @functools.cache
    def translated(seed: int) -> tuple[dict[str, np.ndarray], dict[str, Any]]:
        """The translations of each way, and how the network was trained."""
        kept = network(experiment, figure.name, preset, train, digest, epochs, seed)
        model = kept.load()
        told = settings.of_training(preset, epochs, epochs * len(train))
        return {way: translate(model, images, way) for way, images in inputs.items()}, {
            **told,
            **kept.found,
        }

    @functools.cache
    def measured(way: str, seed: int) -> Mapping[str, Mapping[str, Any]]:
        return domains.measure(way, translated(seed)[0][way])

    def score(row: Row, seed: int) -> dict[str, Any]:
        way, which, _ = lines[row.key]
        return {**measured(way, seed)[which], **translated(seed)[1]}

    def draw(seed: int) -> None:
        if seed == 0:
            _add_picture(result, experiment, titles, domains, inputs, translated(0)[0])

    experiment.fill(result, lines, seeds, score, draw)
    return result


def _key(way: str, row: str) -> str:
    return f"{way}-{row}" if row else way


def _add_picture(
    result: Result,
    experiment: Experiment,
    titles: Mapping[str, str],
    domains: Domains,
    inputs: Mapping[str, np.ndarray],
    translated: Mapping[str, np.ndarray],
) -> None:
    """Adds test images, their translations and, where it is known, what these should be."""
    columns = min(pictures.COLUMNS, *map(len, inputs.values()))
    lines = []
    for name, truth, (way, title) in zip(domains.names, domains.truth, titles.items(), strict=True):
        shown = pictures.spread(len(inputs[way]), columns)
        lines += [(name, inputs[way][shown]), (title, translated[way][shown])]
        if truth is not None:
            lines.append(("(right)", truth[shown]))
    caption = "Test images and their translations by the network of seed 0"
    pictures.add_lines(result, experiment.out, lines, caption)


def among(name: str, values: Sequence[str], known: Sequence[str]) -> None:
    """Raises a ValueError unless the values are different ones of those that there are."""
    if not values or len(set(values)) < len(values) or not set(values) <= set(known):
        raise ValueError(
            f"`{name}` must be different ones of {', '.join(known)}. Received: {', '.join(values)}"
        )

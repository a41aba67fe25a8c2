"""Figs. 5 and 6 of Kim et al. 2017: does translation keep where an object looks?

    pixdt reproduce kim2017-fig5 --budget cpu
    pixdt reproduce kim2017-fig5 --faces

Objects of two domains are seen from around them, and what the domains have in common is the
azimuth. A regressor, which saw training images only, predicts the azimuth of test images and of
their translations (Sec. 3.2.1). Where a model has found the relation, the one is the other, or its
mirror image; where it has collapsed, translations have few azimuths or one.

Translations do not look like drawn objects: their grounds are gray, they are noisy or blurred. To a
regressor that has seen white grounds only, a gray one is a turn of some degrees. This one is
trained on `azimuth.distort`ed views. The table says how far it errs on test objects themselves,
unchanged and with each of `azimuth.DISTORTIONS`: smaller differences between rows may be its own.
It has seen distortions of these kinds; on translations that are stranger it errs more.

The paper plots predicted azimuths for cars to cars only (Fig. 5). It shows pictures for faces to
faces (Fig. 6), chairs to cars and cars to faces (Fig. 8, `kim2017-fig8`).

Differs from the paper:
  - Cars, chairs and heads are drawn (`keras_pixdt.drawn.azimuth`), because the paper's renderings
    are not available. Their azimuths are the paper's: cars from -75 to 75 degrees, heads from -90
    to 90. It does not give those of chairs; here they are the same as for cars.
  - The regressor and its training are this package's, because the paper does not describe its own.
  - Generators have four layers each way. The paper leaves to the domain whether these are four or
    five; its authors' code has five for all of these. Cars that are small and seen for minutes do
    better with four: their code is a map of 4x4, which keeps places, and the angle with them.
    Through the single pixel of five (`--extra-layer`) DiscoGAN found another one-to-one relation:
    all angles turned by about 100 degrees, with a jump between those that look alike from both
    sides.
"""

from __future__ import annotations

import argparse
import dataclasses
import functools
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import layers
from PIL import Image, ImageDraw, ImageFont

from keras_pixdt import data, presets
from keras_pixdt.drawn import azimuth
from keras_pixdt.reproduce import OUT, common, environment, unpaired
from keras_pixdt.reproduce.result import Claim, Result, Row, Score

NAME = "kim2017-fig5"
CARS, FACES = ("car", "car"), ("head", "head")

# The models of Fig. 2, in the order of Fig. 5: what their presets' names end with.
MODELS = {"standard": "-standard", "reconstruction": "-reconstruction", "disco": ""}
TITLES = {
    "standard": "standard GAN",
    "reconstruction": "GAN with reconstruction",
    "disco": "DiscoGAN",
}

RMSE = Score("rmse", "RMSE of azimuths, degrees", "lower", ".1f")
CORRELATION = Score("abs_correlation", "Absolute correlation", "higher", ".3f")
SPREAD = Score("spread", "Spread of azimuths, degrees", "higher", ".1f")
NOTES = (
    "Objects are drawn, not the paper's renderings. RMSE is that to the same or to the mirrored "
    "angles, whichever is nearer, as in Fig. 5.",
)

# not in the paper: how many objects, and all of the regressor.
OBJECTS, TEST_OBJECTS = 200, 40
REGRESSOR_EPOCHS = 20
_REGRESSOR_BATCH = 64
_REGRESSOR_RATE = 2e-3
_LARGEST = 90.0  # degrees, which the regressor's output of 1 stands for
_SEED = 0  # of objects and regressors: the same for all rows
_RESAMPLES = 200  # for standard errors
_UNCHANGED = "unchanged"  # beside the names of `azimuth.DISTORTIONS`


@dataclasses.dataclass(frozen=True)
class Budget:
    """How much each row gets.

    Attributes:
        epochs: of its training.
        seeds: how often it is trained.
        objects: for training, in each domain.
        test_objects: that models and regressors do not see.
        regressor_epochs: of the training of each regressor.
        small: whether rows are of the small presets.
        fields: of the presets, that are to differ.
    """

    epochs: int
    seeds: int = 1
    objects: int = OBJECTS
    test_objects: int = TEST_OBJECTS
    regressor_epochs: int = REGRESSOR_EPOCHS
    small: bool = True
    fields: Mapping[str, Any] = dataclasses.field(default_factory=dict)


BUDGETS = {
    "smoke": Budget(
        epochs=6, objects=40, test_objects=10, regressor_epochs=10, fields={"image_size": 32}
    ),
    "cpu": Budget(epochs=90, fields={"image_size": 32}),
    "gpu": Budget(epochs=500, seeds=3, small=False),
    # Of the paper are width, batch and size; its epochs are those of its authors' code.
    "paper": Budget(epochs=presets.get("kim2017").epochs, small=False),
}


class Domains(NamedTuple):
    """What the models are trained and tested on.

    Attributes:
        train: objects of each domain, from all around, without pairs.
        test: views of other objects of the source's kind, uint8 (objects, azimuths, s, s, 3).
        regression: for each kind, training views and test views, as in `test` but with a fourth
            channel, the coverage; see `azimuth.render_views`.
    """

    train: data.DomainSet
    test: np.ndarray
    regression: dict[str, tuple[np.ndarray, np.ndarray]]


def draw_domains(
    source: str,
    target: str,
    objects: int = OBJECTS,
    test_objects: int = TEST_OBJECTS,
    image_size: int = 64,
    seed: int = 0,
    processes: int | None = None,
) -> Domains:
    """Draws the objects; where both domains are of one kind, they are of different objects.

    Args:
        source: kind of the objects of domain A, one of `azimuth.KINDS`.
        target: kind of those of domain B.
        objects: for training, in each domain.
        test_objects: of each kind; no domain has them.
        image_size: side of the images, px.
        seed: of the objects.
        processes: as in `azimuth.render_views`.

    Returns:
        The views, of each kind at its `azimuth.AZIMUTHS`.

    Raises:
        ValueError: an unknown kind, or less than one object.
    """
    for name, kind in (("source", source), ("target", target)):
        if kind not in azimuth.KINDS:
            raise ValueError(f"`{name}` must be one of {azimuth.KINDS}. Received: {kind!r}")
    for name, value in (("objects", objects), ("test_objects", test_objects)):
        if value < 1:
            raise ValueError(f"`{name}` must be at least 1. Received: {value}")
    kinds = {source: objects, target: 2 * objects if source == target else objects}
    regression = {}
    for kind, count in kinds.items():
        views, _ = azimuth.render_views(
            kind, count + test_objects, image_size, seed=seed, processes=processes, coverage=True
        )
        regression[kind] = views[:count], views[count:]
    a, b = regression[source][0][:objects], regression[target][0][-objects:]
    train = data.DomainSet(_flat(a[..., :3]), _flat(b[..., :3]))
    return Domains(train, regression[source][1][..., :3], regression)


def _flat(views: np.ndarray) -> np.ndarray:
    """All images of all objects."""
    return views.reshape(-1, *views.shape[2:])


def build_regressor(image_size: int) -> keras.Model:
    """A small convolutional network from images to their azimuth.

    The paper does not describe its own.

    Args:
        image_size: side of the square images, px, a multiple of 16.

    Returns:
        A functional model, (batch, image_size, image_size, 3) in [-1, 1] to azimuths in units of 90
        degrees, (batch, 1).
    """
    image = keras.Input((image_size, image_size, 3), name="image")
    x = image
    for filters in (24, 48, 96, 96):
        x = layers.Conv2D(filters, 4, strides=2, padding="same", use_bias=False)(x)
        x = layers.BatchNormalization(momentum=0.9)(x)
        x = layers.ReLU()(x)
    x = layers.Dense(64, "relu")(layers.Flatten()(x))
    return keras.Model(image, layers.Dense(1, name="azimuth")(x), name="regressor")


def train_regressor(
    kind: str, views: np.ndarray, epochs: int = REGRESSOR_EPOCHS, seed: int = 0
) -> keras.Model:
    """Trains an azimuth regressor on training views of one kind, distorted anew in each epoch.

    Args:
        kind: one of `azimuth.KINDS`.
        views: uint8 (objects, azimuths, size, size, 4), at `azimuth.AZIMUTHS[kind]`, with
            coverage.
        epochs: how often it sees each image.
        seed: of weights, distortions and order.

    Returns:
        The trained `build_regressor`.
    """
    keras.utils.set_random_seed(seed)
    images, rng = _flat(views), np.random.default_rng(seed)
    angles = _angles(kind, len(views)) / _LARGEST
    regressor = build_regressor(views.shape[2])
    steps = epochs * -(-len(images) // _REGRESSOR_BATCH)
    rate = keras.optimizers.schedules.CosineDecay(_REGRESSOR_RATE, steps)
    regressor.compile(keras.optimizers.Adam(rate), loss="mse")
    for _ in range(epochs):
        distorted = azimuth.distort(images, rng)
        regressor.fit(distorted, angles, batch_size=_REGRESSOR_BATCH, verbose=0)
    return regressor


def _angles(kind: str, objects: int = 1) -> np.ndarray:
    """The azimuth of each image of `_flat`, degrees, float32 (images,)."""
    return np.tile(np.array(azimuth.AZIMUTHS[kind], np.float32), objects)


def _rms(angles: np.ndarray) -> float:
    return float(np.sqrt(np.mean(angles**2)))


def predict_azimuths(regressor: keras.Model, images: np.ndarray) -> np.ndarray:
    """Predicts azimuths.

    Args:
        regressor: of the images' kind.
        images: float32 (count, size, size, 3) in [-1, 1].

    Returns:
        Degrees, float32 (count,).
    """
    return _LARGEST * regressor.predict(images, batch_size=256, verbose=0)[:, 0]


def errors_of(regressor: keras.Model, kind: str, views: np.ndarray) -> dict[str, float]:
    """How far a regressor errs on test views themselves, as they are and distorted.

    Args:
        regressor: of this kind.
        kind: one of `azimuth.KINDS`.
        views: test views, otherwise as in `train_regressor`.

    Returns:
        RMSE to the true azimuths, degrees: "unchanged", and for each of `azimuth.DISTORTIONS`.
    """
    images, angles = _flat(views), _angles(kind, len(views))
    errors = {}
    for name in (_UNCHANGED, *azimuth.DISTORTIONS):
        plain = name == _UNCHANGED
        seen = data.to_float(images[..., :3]) if plain else azimuth.distort_by(name, images)
        errors[name] = _rms(predict_azimuths(regressor, seen) - angles)
    return errors


class Relation(NamedTuple):
    """How azimuths of translations depend on those of the inputs.

    Attributes:
        relation: the ground truth that they are nearer to: "same", the angle of the input, or
            "mirrored", its negative. The paper takes either for a success (Fig. 5).
        rmse: root mean square of the distance to it, degrees. Translations that all look ahead have
            the root mean square of the inputs: 47 for cars and chairs, 56 for heads.
        correlation: Pearson's, from -1 to 1; 0 where one of the two does not vary. It does not
            see how much they vary.
        spread: standard deviation of the translations, degrees.
    """

    relation: str
    rmse: float
    correlation: float
    spread: float


def relate(inputs: np.ndarray, translated: np.ndarray) -> Relation:
    """Compares azimuths of inputs and translations, both (count,), in degrees."""
    inputs, translated = np.asarray(inputs, np.float64), np.asarray(translated, np.float64)
    errors = {
        name: _rms(translated - sign * inputs) for name, sign in (("same", 1), ("mirrored", -1))
    }
    nearer = min(errors, key=lambda name: errors[name])
    a, b = inputs - inputs.mean(), translated - translated.mean()
    scale = np.sqrt((a**2).sum() * (b**2).sum())
    correlation = float((a * b).sum() / scale) if scale else 0.0
    return Relation(nearer, errors[nearer], correlation, float(translated.std()))


def standard_errors(
    inputs: np.ndarray, translated: np.ndarray, seed: int = 0, resamples: int = _RESAMPLES
) -> dict[str, float]:
    """How far scores of other test objects would differ, by a bootstrap over objects.

    All views of an object stay together: they are no independent samples.

    Args:
        inputs: azimuths of the inputs, degrees, (objects, azimuths).
        translated: azimuths of their translations, of the same shape.
        seed: of the resamples.
        resamples: how many.

    Returns:
        The standard errors of "rmse" and "abs_correlation"; 0 for a single object.
    """
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(resamples):
        chosen = rng.integers(0, len(inputs), len(inputs))
        relation = relate(inputs[chosen].ravel(), translated[chosen].ravel())
        found.append((relation.rmse, abs(relation.correlation)))
    return dict(zip((RMSE.key, CORRELATION.key), np.std(found, axis=0).tolist(), strict=True))


def preset_of(model: str, given: Budget) -> presets.Preset:
    """What a model is trained with, a key of `MODELS`."""
    preset = presets.get(f"kim2017{'-small' if given.small else ''}{MODELS[model]}")
    return dataclasses.replace(preset, **given.fields)


def key(pair: tuple[str, str], model: str) -> str:
    """The key of a row."""
    return "-".join((*pair, model))


def run_pairs(
    name: str,
    title: str,
    pairs: Sequence[tuple[str, str]],
    out: str | os.PathLike[str],
    budget: str,
    *,
    seeds: int | None = None,
    rows: Sequence[str] | None = None,
    epochs: int | None = None,
    extra_layer: bool = False,
    notes: Sequence[str] = (),
    processes: int | None = None,
    verbose: str | int = "auto",
) -> Result:
    """Trains the models on pairs of domains and compares the azimuths.

    Args:
        name: of the experiment.
        title: what it repeats.
        pairs: kinds of the objects of domains A and B.
        out: folder.
        budget: a key of `BUDGETS`.
        seeds: of weights and batches, how many, instead of the budget's.
        rows: keys of rows, see `key`; by default all. Others of the same pairs are in the table
            as well if they are kept.
        epochs: instead of the budget's.
        extra_layer: whether generators have five layers each way, not four.
        notes: further ones.
        processes: that draw; see `azimuth.render_views`.
        verbose: as in `keras.Model.fit`.

    Raises:
        ValueError: an unknown row or kind, or a number out of its range.
    """
    given = BUDGETS[budget]
    given = dataclasses.replace(
        given,
        epochs=given.epochs if epochs is None else epochs,
        seeds=given.seeds if seeds is None else seeds,
        fields={**given.fields, "extra_layer": True} if extra_layer else given.fields,
    )
    lines = {
        key(pair, model): Row(key(pair, model), f"{pair[0]} to {pair[1]}, {TITLES[model]}")
        for pair in pairs
        for model in MODELS
    }
    chosen = list(rows or lines)
    common.check(chosen, list(lines), given.seeds)
    if given.epochs < 1:
        raise ValueError(f"`epochs` must be at least 1. Received: {given.epochs}")
    folder = pathlib.Path(out)
    cache = common.Cache(folder)
    size = preset_of("disco", given).image_size
    worlds = {
        pair: _World(pair, given, size, cache, processes)
        for pair in pairs
        if any(key(pair, model) in chosen for model in MODELS)
    }
    errors = {kind: found for world in worlds.values() for kind, found in world.errors.items()}
    result = Result(
        name,
        title,
        (RMSE, CORRELATION, SPREAD),
        list(lines.values()),
        [
            Claim(key(pair, "disco"), key(pair, other), score.key, least)
            for pair in worlds
            for score, least in (
                (RMSE, _least_lead(*_own_errors(pair, errors))),
                (CORRELATION, 0.0),
            )
            for other in ("standard", "reconstruction")
        ],
        settings={
            "budget": budget, "seeds": given.seeds, "epochs": given.epochs,
            "objects": given.objects, "image_size": size,
            "RMSE of regressors on test objects": "; ".join(
                f"{kind} " + ", ".join(f"{name} {rmse:.1f}" for name, rmse in found.items())
                for kind, found in errors.items()
            ),
        },
        made_with=environment.made_with(),
        notes=(*NOTES, *(_yardsticks(pair, errors) for pair in worlds), *notes),
    )  # fmt: skip
    panels: dict[tuple[str, str], list[Panel]] = {pair: [] for pair in worlds}

    def score(row: Row, seed: int) -> dict[str, Any]:
        pair, model = next((p, m) for p in pairs for m in MODELS if key(p, m) == row.key)
        found, panel = worlds[pair].score(model, seed, verbose)
        if seed == 0:
            panels[pair].append(panel)
        return found

    def draw(seed: int) -> None:
        if seed:
            return
        for pair, drawn in panels.items():
            file = f"{name}-{pair[0]}-to-{pair[1]}.png"
            picture(drawn).save(folder / file)
            result.pictures[file] = (
                f"{pair[0]} to {pair[1]}, seed 0: azimuths before (to the right) and after (up), "
                "the relation in blue; views of objects, each above its translation"
            )

    others = [key(pair, model) for pair in worlds for model in MODELS]
    common.fill(result, folder, chosen, given.seeds, score, draw, others, cache)
    return result


def _own_errors(
    pair: tuple[str, str], errors: Mapping[str, Mapping[str, float]]
) -> tuple[float, float]:
    """The RMSE of translations with the right azimuths, at best and at worst.

    Args:
        pair: kinds of the inputs and of the translations.
        errors: of the regressors of both kinds; see `errors_of`.
    """
    source, target = pair
    # The RMSE compares two predictions, each with an error of its own.
    of_target = errors[target].values()
    best, worst = (np.hypot(errors[source][_UNCHANGED], f(of_target)) for f in (min, max))
    return float(best), float(worst)


def _least_lead(best: float, worst: float) -> float:
    """The lead in RMSE that the regressors could make by themselves, given `_own_errors`.

    Their error and that of the azimuths add up in squares. So it is at most
    (worst^2 - best^2) / (a + b) for RMSEs of a and b, of which none is below `best`.
    """
    return (worst**2 - best**2) / (2 * best)


def _yardsticks(pair: tuple[str, str], errors: Mapping[str, Mapping[str, float]]) -> str:
    """What the scores of a pair are to be compared with; arguments are those of `_own_errors`."""
    source, target = pair
    inputs, outputs = _angles(source), _angles(target)
    worst = max(errors[target], key=errors[target].__getitem__)
    own = _own_errors(pair, errors)
    told = (
        f"{source.capitalize()} to {target}: translations with the right azimuths have an RMSE of "
        f"{own[0]:.1f} to {own[1]:.1f} degrees by the regressors' own errors (at worst: {worst}), "
        f"so that leads up to {_least_lead(*own):.1f} say nothing. Those that all look ahead have "
        f"{_rms(inputs):.0f} and no spread; drawn objects have a spread of {_rms(outputs):.0f}."
    )
    stretch = outputs.max() / inputs.max()
    if stretch == 1:
        return told
    stretched = _rms(stretch * inputs - inputs)
    return f"{told} Those that stretch the range of one kind to the other's have {stretched:.1f}."


class _World:
    """The objects of two domains, with what tells their azimuths."""

    def __init__(
        self,
        pair: tuple[str, str],
        given: Budget,
        size: int,
        cache: common.Cache,
        processes: int | None,
    ) -> None:
        self._pair, self._given, self._cache = pair, given, cache
        self._domains = draw_domains(
            *pair, given.objects, given.test_objects, size, _SEED, processes
        )
        self._digest = common.fingerprint(self._domains.train.sources, self._domains.train.targets)
        regressors, self.errors = {}, {}
        for kind, (training, test) in self._domains.regression.items():
            regressors[kind] = self._regressor(kind, training)
            self.errors[kind] = errors_of(regressors[kind], kind, test)
        self._inputs = data.to_float(_flat(self._domains.test))
        self._of_inputs = predict_azimuths(regressors[pair[0]], self._inputs)
        self._regressor_of_target = regressors[pair[1]]

    def _regressor(self, kind: str, views: np.ndarray) -> keras.Model:
        epochs = self._given.regressor_epochs
        return self._cache.model(
            f"azimuth-{kind}",
            lambda: (train_regressor(kind, views, epochs, _SEED), {}),
            views=common.fingerprint(views),
            epochs=epochs,
            settings=(_REGRESSOR_BATCH, _REGRESSOR_RATE, _LARGEST, _SEED),
        ).load()

    def score(
        self, model: str, seed: int, verbose: str | int = "auto"
    ) -> tuple[dict[str, Any], Panel]:
        """Trains a model, a key of `MODELS`, and compares."""
        preset = preset_of(model, self._given)
        train = functools.partial(
            unpaired.train,
            preset,
            self._domains.train,
            epochs=self._given.epochs,
            seed=seed,
            verbose=verbose,
        )
        kept = self._cache.model(
            f"kim2017-{key(self._pair, model)}-seed{seed}",
            lambda: (train(), {}),
            preset=preset.options(),
            epochs=self._given.epochs,
            data=self._digest,
            seed=seed,
        )
        network = kept.load()
        translated = np.asarray(network.predict(self._inputs, batch_size=64, verbose=0))
        of_translated = predict_azimuths(self._regressor_of_target, translated)
        relation = relate(self._of_inputs, of_translated)
        objects = len(self._domains.test)
        found = {
            **relation._asdict(),
            CORRELATION.key: abs(relation.correlation),
            "standard_errors": standard_errors(
                self._of_inputs.reshape(objects, -1), of_translated.reshape(objects, -1)
            ),
            "steps": int(keras.ops.convert_to_numpy(network.optimizer.iterations)),
            "preset": preset.options(),
            "epochs": self._given.epochs,
            "samples": self._given.epochs * len(self._domains.train),
            **kept.found,
        }
        outputs = data.to_uint8(translated).reshape(self._domains.test.shape)
        panel = Panel(
            TITLES[model],
            self._pair,
            self._of_inputs,
            of_translated,
            relation,
            self._domains.test,
            outputs,
        )
        return found, panel


def run(
    out: str | os.PathLike[str] = OUT,
    budget: str = "cpu",
    *,
    faces: bool = False,
    **options: Any,
) -> Result:
    """Cars to cars (Fig. 5).

    Args:
        out: folder.
        budget: a key of `BUDGETS`.
        faces: whether heads to heads (Fig. 6) too.
        **options: further ones of `run_pairs`.
    """
    pairs, title = [CARS], "Fig. 5 of Kim et al. 2017"
    if faces:
        pairs, title = [CARS, FACES], "Figs. 5 and 6 of Kim et al. 2017"
    return run_pairs(NAME, title, pairs, out, budget, **options)


def _describe(relation: Relation) -> str:
    return (
        f"RMSE {relation.rmse:.1f} ({relation.relation} angles), "
        f"correlation {relation.correlation:+.2f}"
    )


# The picture

PLOT_PX = 400
EXTENT = 100.0  # degrees that a plot shows, to each side
EXAMPLES = 4  # objects whose views are shown
MARGIN = 8
_BLUE, _RED, _GRID = (40, 70, 220), (215, 40, 40), (225, 225, 225)


class Panel(NamedTuple):
    """What is shown of one model.

    Attributes:
        title: above it.
        pair: kinds of the inputs and of their translations.
        inputs: azimuths of the inputs, (images,).
        translated: azimuths of their translations, (images,).
        relation: of the two.
        sources: the inputs, uint8 (objects, azimuths, s, s, 3).
        outputs: the translations, of the same shape.
    """

    title: str
    pair: tuple[str, str]
    inputs: np.ndarray
    translated: np.ndarray
    relation: Relation
    sources: np.ndarray
    outputs: np.ndarray


def picture(panels: Sequence[Panel]) -> Image.Image:
    """The panels beside each other, as Fig. 5 has them: plots, inputs and their translations."""
    drawn = [_draw(panel) for panel in panels]
    width = sum(image.width + MARGIN for image in drawn) - MARGIN
    figure = Image.new("RGB", (width, drawn[0].height), "white")
    left = 0
    for image in drawn:
        figure.paste(image, (left, 0))
        left += image.width + MARGIN
    return figure


def _draw(panel: Panel) -> Image.Image:
    """Title, plot, and of some objects the views above their translations."""
    shown = slice(EXAMPLES)
    rows = np.stack([panel.sources[shown], panel.outputs[shown]], axis=1)
    rows = rows.reshape(-1, *rows.shape[2:])
    examples = Image.fromarray(data.image_grid(list(np.moveaxis(rows, 1, 0)), gap=1))
    head = 48
    width = max(examples.width, PLOT_PX)
    image = Image.new("RGB", (width, head + PLOT_PX + MARGIN + examples.height), "white")
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(17)
    middle = width // 2
    draw.text((middle, 2), panel.title, "black", font, anchor="ma")
    draw.text((middle, 24), _describe(panel.relation), "black", font, anchor="ma")
    image.paste(_plot(panel), (middle - PLOT_PX // 2, head))
    image.paste(examples, (middle - examples.width // 2, head + PLOT_PX + MARGIN))
    return image


def _plot(panel: Panel) -> Image.Image:
    """Azimuths of inputs (to the right) and translations (up), and the ground truth in blue."""
    image = Image.new("RGB", (PLOT_PX, PLOT_PX), "white")
    draw, font = ImageDraw.Draw(image), ImageFont.load_default(11)

    def place(x: float, y: float) -> tuple[float, float]:
        x, y = (min(max(angle, -EXTENT), EXTENT) / EXTENT for angle in (x, y))
        return (1 + x) / 2 * (PLOT_PX - 1), (1 - y) / 2 * (PLOT_PX - 1)

    across, up = (azimuth.AZIMUTHS[kind] for kind in panel.pair)
    for angle in (across[0], 0, across[-1]):
        draw.line((place(angle, -EXTENT), place(angle, EXTENT)), _GRID)
        draw.text(place(angle, -EXTENT), f"{angle}", "black", font, anchor="md")
    for angle in (up[0], 0, up[-1]):
        draw.line((place(-EXTENT, angle), place(EXTENT, angle)), _GRID)
        draw.text(place(-EXTENT, angle), f" {angle}", "black", font, anchor="lm")
    draw.rectangle((0, 0, PLOT_PX - 1, PLOT_PX - 1), outline="black")
    for x, y in zip(panel.inputs.tolist(), panel.translated.tolist(), strict=True):
        left, top = place(x, y)
        draw.ellipse((left - 2, top - 2, left + 2, top + 2), _RED)
    end = across[-1] if panel.relation.relation == "same" else across[0]
    draw.line((place(across[0], -end), place(across[-1], end)), _BLUE, 2)
    return image


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options of `run_pairs` that not all experiments have."""
    parser.add_argument("--epochs", type=int, help="instead of the budget's")
    parser.add_argument(
        "--extra-layer", action="store_true", help="generators of five layers each way, not four"
    )


def main(argv: Sequence[str]) -> None:
    """Runs the experiment with the arguments of the command."""
    rows = [key(pair, model) for pair in (CARS, FACES) for model in MODELS]
    parser = common.parser(NAME, "Figs. 5 and 6 of Kim et al. 2017.", rows)
    add_arguments(parser)
    parser.add_argument("--faces", action="store_true", help="heads to heads (Fig. 6) as well")
    options = vars(parser.parse_args(argv))
    common.tell(run(**options, verbose=2), pathlib.Path(options["out"]))

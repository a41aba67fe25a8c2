"""Figs. 5, 6 and 8 of Kim et al. 2017: does translation keep where an object looks?

    pixdt reproduce kim2017-fig5 --source car --target car --minutes 20
    pixdt reproduce kim2017-fig5 --source head --target head --minutes 20
    pixdt reproduce kim2017-fig5 --source chair --target car --minutes 20

Objects of two domains are seen from around them, and what the domains have in common is the
azimuth. A regressor, which saw training images only, predicts the azimuth of test images and of
their translations (Sec. 3.2.1). Where a model has found the relation, the one is the other, or its
mirror image; where it has collapsed, translations have few azimuths or one.

The paper's domains are renderings of objects that cannot be had here; these are those of
`keras_pixdt.data.azimuth`. It plots predicted azimuths for cars to cars only (Fig. 5), and shows
pictures for faces to faces (Fig. 6), chairs to cars and cars to faces (Fig. 8).

The paper leaves to the domain whether the generators have four layers each way or five; its
authors' code has five for all of these. For cars that are small and seen for minutes four are
better: their code is a map of 4x4, which keeps places, and the angle with them. Through the single
pixel of five (`--extra-layer`) DiscoGAN found another one-to-one relation: all angles turned by
about 100 degrees, with a jump between those that look alike from both sides.
"""

from __future__ import annotations

import argparse
import dataclasses
import json
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from absl import logging
from keras import layers
from PIL import Image, ImageDraw, ImageFont

import keras_pixdt.registered  # noqa: F401
from keras_pixdt import data, presets
from keras_pixdt.data import azimuth
from keras_pixdt.reproduce import tables, unpaired
from keras_pixdt.training.schedule import check_length

# The models of Fig. 2, in the order of Fig. 5.
MODELS = {
    "standard": "kim2017-small-standard",
    "reconstruction": "kim2017-small-reconstruction",
    "disco": "kim2017-small",
}
TITLES = {
    "standard": "(a) standard GAN",
    "reconstruction": "(b) GAN with reconstruction",
    "disco": "(c) DiscoGAN",
}

# not in the paper: how many objects, and all of the regressor.
OBJECTS, TEST_OBJECTS = 200, 40
REGRESSOR_EPOCHS = 20
_REGRESSOR_BATCH = 64
_REGRESSOR_RATE = 1e-3
_LARGEST = 90.0  # degrees, which the regressor's output of 1 stands for
_NOISE = 0.1  # standard deviation: traces that a generator leaves shall not count


class Domains(NamedTuple):
    """What the models are trained and tested on.

    Attributes:
        train: objects of each domain, from all around, without pairs.
        test: views of other objects of the source's kind, uint8 (objects, azimuths, s, s, 3).
        regression: for each kind, training views as in `test`, and test views.
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
        The views, at `azimuth.AZIMUTHS`.

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
            kind, count + test_objects, image_size, seed=seed, processes=processes
        )
        regression[kind] = views[:count], views[count:]
    a, b = regression[source][0][:objects], regression[target][0][-objects:]
    train = data.DomainSet(_flat(a), _flat(b))
    return Domains(train, regression[source][1], regression)


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
    x = layers.GaussianNoise(_NOISE)(image)
    for filters in (16, 32, 64, 64):
        x = layers.Conv2D(filters, 4, strides=2, padding="same", use_bias=False)(x)
        x = layers.BatchNormalization(momentum=0.9)(x)
        x = layers.ReLU()(x)
    x = layers.Dense(64, "relu")(layers.Flatten()(x))
    return keras.Model(image, layers.Dense(1, name="azimuth")(x), name="regressor")


def train_regressor(
    views: np.ndarray, epochs: int = REGRESSOR_EPOCHS, seed: int = 0
) -> keras.Model:
    """Trains an azimuth regressor on training views of one kind.

    Args:
        views: uint8 (objects, azimuths, size, size, 3), at `azimuth.AZIMUTHS`.
        epochs: how often it sees each image.
        seed: of weights, noise and order.

    Returns:
        The trained `build_regressor`.
    """
    keras.utils.set_random_seed(seed)
    images = data.to_float(_flat(views))
    angles = _angles(len(views)) / _LARGEST
    regressor = build_regressor(views.shape[2])
    steps = epochs * -(-len(images) // _REGRESSOR_BATCH)
    rate = keras.optimizers.schedules.CosineDecay(_REGRESSOR_RATE, steps)
    regressor.compile(keras.optimizers.Adam(rate), loss="mse")
    regressor.fit(images, angles, batch_size=_REGRESSOR_BATCH, epochs=epochs, verbose=0)
    return regressor


def _angles(objects: int) -> np.ndarray:
    """The azimuth of each image of `_flat`, degrees, float32 (images,)."""
    return np.tile(np.array(azimuth.AZIMUTHS, np.float32), objects)


def predict_azimuths(regressor: keras.Model, images: np.ndarray) -> np.ndarray:
    """Predicts azimuths.

    Args:
        regressor: of the images' kind.
        images: float32 (count, size, size, 3) in [-1, 1].

    Returns:
        Degrees, float32 (count,).
    """
    return _LARGEST * regressor.predict(images, batch_size=256, verbose=0)[:, 0]


class Relation(NamedTuple):
    """How azimuths of translations depend on those of the inputs.

    Attributes:
        relation: the ground truth that they are nearer to: "same", the angle of the input, or
            "mirrored", its negative. The paper takes either for a success (Fig. 5).
        rmse: root mean square of the distance to it, degrees. Translations that all look ahead have
            47, the root mean square of the inputs.
        correlation: Pearson's, from -1 to 1; 0 where one of the two does not vary. It does not
            see how much they vary.
        spread: standard deviation of the translations, degrees; the inputs have 47.
    """

    relation: str
    rmse: float
    correlation: float
    spread: float


def relate(inputs: np.ndarray, translated: np.ndarray) -> Relation:
    """Compares azimuths of inputs and translations, both (count,), in degrees."""
    inputs, translated = np.asarray(inputs, np.float64), np.asarray(translated, np.float64)
    errors = {
        name: float(np.sqrt(np.mean((translated - sign * inputs) ** 2)))
        for name, sign in (("same", 1), ("mirrored", -1))
    }
    nearer = min(errors, key=lambda name: errors[name])
    a, b = inputs - inputs.mean(), translated - translated.mean()
    scale = np.sqrt((a**2).sum() * (b**2).sum())
    correlation = float((a * b).sum() / scale) if scale else 0.0
    return Relation(nearer, errors[nearer], correlation, float(translated.std()))


def run(
    source: str = "car",
    target: str = "car",
    out: str | os.PathLike[str] | None = None,
    *,
    minutes: float | None = None,
    epochs: int | None = None,
    models: Sequence[str] = tuple(MODELS),
    objects: int = OBJECTS,
    test_objects: int = TEST_OBJECTS,
    regressor_epochs: int = REGRESSOR_EPOCHS,
    seed: int = 0,
    processes: int | None = None,
    verbose: str | int = "auto",
    **fields: Any,
) -> dict[str, Any]:
    """Trains the models on one pair of domains and compares the azimuths.

    Args:
        source: kind of the objects of domain A: "car", "chair" or "head".
        target: kind of those of domain B.
        out: folder for `SOURCE_to_TARGET.json`, `SOURCE_to_TARGET.png` and each model's `.keras`
            file; None writes nothing.
        minutes: length of the training of each model.
        epochs: the same, in the place of `minutes`.
        models: keys of `MODELS`.
        objects: for training, in each domain.
        test_objects: that the models and regressors do not see.
        regressor_epochs: of the training of each regressor.
        seed: of objects, weights and batches.
        processes: that draw; see `azimuth.render_views`.
        verbose: as in `keras.Model.fit`.
        **fields: of the presets, that are to differ, such as `width`; the standard GAN keeps its
            `reconstruction_weight` of 0.

    Returns:
        "settings"; "regressors": for each kind the `Relation` of the true azimuths of test images
        to the predicted ones; "models": for each one its `Relation`, number of steps, and the
        predicted azimuths, "input" and "translated", of each test image.

    Raises:
        ValueError: an unknown model or kind, a number out of its range, or not exactly one of
            `minutes` and `epochs`.
    """
    unknown = sorted(set(models) - set(MODELS))
    if unknown or not models:
        raise ValueError(
            f"`models` must be one or more of {', '.join(MODELS)}. "
            f"Received: {', '.join(models) or 'none'}"
        )
    check_length(epochs, minutes)
    rows = {name: _preset(name, fields) for name in models}
    image_size = rows[models[0]].image_size
    domains = draw_domains(source, target, objects, test_objects, image_size, seed, processes)
    regressors, errors = {}, {}
    for kind, (training, test) in domains.regression.items():
        regressors[kind] = train_regressor(training, regressor_epochs, seed)
        predicted = predict_azimuths(regressors[kind], data.to_float(_flat(test)))
        errors[kind] = relate(_angles(len(test)), predicted)
        logging.info("Azimuth regressor of a %s: RMSE %.1f degrees", kind, errors[kind].rmse)

    inputs = data.to_float(_flat(domains.test))
    of_inputs = predict_azimuths(regressors[source], inputs)
    found: dict[str, Any] = {
        "settings": {
            "source": source, "target": target, "minutes": minutes, "epochs": epochs,
            "objects": objects, "test_objects": test_objects, "seed": seed,
            "regressor_epochs": regressor_epochs,
        },
        "regressors": {kind: error._asdict() for kind, error in errors.items()},
        "models": {},
    }  # fmt: skip
    panels = []
    for name, preset in rows.items():
        model = unpaired.train(
            preset, domains.train, minutes=minutes, epochs=epochs, seed=seed, verbose=verbose
        )
        translated = np.asarray(model.predict(inputs, batch_size=64, verbose=0))
        of_translated = predict_azimuths(regressors[target], translated)
        relation = relate(of_inputs, of_translated)
        logging.info("%s to %s, %s: %s", source, target, name, _describe(relation))
        found["models"][name] = {
            **relation._asdict(),
            "steps": int(keras.ops.convert_to_numpy(model.optimizer.iterations)),
            "preset": preset.options(),
            "input": of_inputs.round(1).tolist(),
            "translated": of_translated.round(1).tolist(),
        }
        outputs = data.to_uint8(translated).reshape(domains.test.shape)
        panels.append(
            Panel(TITLES[name], of_inputs, of_translated, relation, domains.test, outputs)
        )
        if out is not None:
            folder = pathlib.Path(out)
            folder.mkdir(parents=True, exist_ok=True)
            stem = f"{source}_to_{target}"
            model.save(folder / f"{stem}_{name}.keras")
            picture(panels).save(folder / f"{stem}.png")
            (folder / f"{stem}.json").write_text(json.dumps(found, indent=1) + "\n", "utf-8")
    return found


def _preset(name: str, fields: Mapping[str, Any]) -> presets.Preset:
    preset = presets.get(MODELS[name])
    if name == "standard":  # which has no reconstruction
        fields = {k: v for k, v in fields.items() if k != "reconstruction_weight"}
    return dataclasses.replace(preset, **fields)


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
        inputs: azimuths of the inputs, (images,).
        translated: azimuths of their translations, (images,).
        relation: of the two.
        sources: the inputs, uint8 (objects, azimuths, s, s, 3).
        outputs: the translations, of the same shape.
    """

    title: str
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

    for angle in azimuth.AZIMUTHS[::5]:
        draw.line((place(angle, -EXTENT), place(angle, EXTENT)), _GRID)
        draw.line((place(-EXTENT, angle), place(EXTENT, angle)), _GRID)
        draw.text(place(angle, -EXTENT), f"{angle}", "black", font, anchor="md")
        draw.text(place(-EXTENT, angle), f" {angle}", "black", font, anchor="lm")
    draw.rectangle((0, 0, PLOT_PX - 1, PLOT_PX - 1), outline="black")
    for x, y in zip(panel.inputs.tolist(), panel.translated.tolist(), strict=True):
        left, top = place(x, y)
        draw.ellipse((left - 2, top - 2, left + 2, top + 2), _RED)
    end = azimuth.AZIMUTHS[-1] if panel.relation.relation == "same" else azimuth.AZIMUTHS[0]
    draw.line((place(azimuth.AZIMUTHS[0], -end), place(azimuth.AZIMUTHS[-1], end)), _BLUE, 2)
    return image


def table(found: Mapping[str, Any]) -> str:
    """The results of `run` as lines of text."""
    rows: list[tuple[str, ...]] = [("", "RMSE", "angles", "correlation", "spread", "steps")]
    for kind, error in found["regressors"].items():
        rows.append((f"regressor, {kind}", *_cells(error), "-"))
    for name, result in found["models"].items():
        rows.append((name, *_cells(result), f"{result['steps']:,}"))
    return tables.aligned(rows)


def _cells(result: Mapping[str, Any]) -> tuple[str, ...]:
    numbers = f"{result['correlation']:+.3f}", f"{result['spread']:.1f}"
    return f"{result['rmse']:.1f}", result["relation"], *numbers


def main(argv: Sequence[str]) -> None:
    """Runs the experiment with the arguments of the command."""
    parser = argparse.ArgumentParser(
        "pixdt reproduce kim2017-fig5", description="Figs. 5, 6 and 8 of Kim et al. 2017."
    )
    parser.add_argument("--source", choices=azimuth.KINDS, default="car")
    parser.add_argument("--target", choices=azimuth.KINDS, default="car")
    length = parser.add_mutually_exclusive_group(required=True)
    length.add_argument("--minutes", type=float, help="of training of each model")
    length.add_argument("--epochs", type=int, help="in the place of --minutes")
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--objects", type=int, default=OBJECTS, help="in each domain")
    parser.add_argument("--test-objects", type=int, default=TEST_OBJECTS)
    parser.add_argument("--regressor-epochs", type=int, default=REGRESSOR_EPOCHS)
    parser.add_argument("--seed", type=int, default=0)
    for field, of in (
        ("image-size", int),
        ("width", float),
        ("batch-size", int),
        ("reconstruction", str),
        ("reconstruction-weight", float),
    ):
        parser.add_argument(f"--{field}", type=of, help="default: the presets'")
    # None where it is not given, to take the presets'.
    parser.add_argument("--extra-layer", action="store_true", default=None, help="five, not four")
    parser.add_argument("--out", default="runs/kim2017_fig5", help="folder for pictures and JSON")
    options = vars(parser.parse_args(argv))
    found = run(**{name: value for name, value in options.items() if value is not None}, verbose=2)
    logging.info("\n%s", table(found))

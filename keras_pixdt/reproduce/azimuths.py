"""Azimuths of objects and of their translations: the objects, a regressor, scores, a picture.

A regressor that saw only training images predicts the azimuth of test images and of their
translations (Kim et al. 2017, Sec. 3.2.1). If a model has found the relation, the two azimuths are
equal or mirror images; if it has collapsed, translations have few azimuths or only one.

Translations do not look like drawn objects: their backgrounds are gray, and they are noisy or
blurred. A regressor that has only seen white backgrounds reads a gray one as a turn of some
degrees. This one is trained on `azimuth.distort`ed views. `errors_of` measures its error on the
test objects themselves, unchanged and with each of `azimuth.DISTORTIONS`; smaller differences
between rows may come from the regressor. It has seen distortions of these kinds, and its error is
larger on stranger translations.

Differs from the paper:
  - The paper uses renderings that are not available. Here cars, chairs and heads are drawn
    (`keras_pixdt.drawn.azimuth`), with the paper's azimuths: cars from -75 to 75 degrees, heads
    from -90 to 90. The paper does not give them for chairs; here they are the same as for cars.
  - The paper does not describe its regressor, so the regressor and its training are this package's.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import keras
import numpy as np
from keras import layers
from PIL import Image, ImageDraw, ImageFont

from keras_pixdt import data
from keras_pixdt.drawn import azimuth
from keras_pixdt.reproduce.pictures import beside

# not in the paper: how many objects, and the whole regressor.
OBJECTS, TEST_OBJECTS = 200, 40
REGRESSOR_EPOCHS = 20
REGRESSOR_BATCH = 64
REGRESSOR_RATE = 2e-3
LARGEST = 90.0  # degrees, for which the regressor outputs 1
UNCHANGED = "unchanged"  # in addition to the names in `azimuth.DISTORTIONS`
_RESAMPLES = 200  # for standard errors


class Domains(NamedTuple):
    """The data on which the models are trained and tested.

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
    """Draws the objects; if both domains have the same kind, they show different objects.

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
    train = data.DomainSet(flat(a[..., :3]), flat(b[..., :3]))
    return Domains(train, regression[source][1][..., :3], regression)


def flat(views: np.ndarray) -> np.ndarray:
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
    images, rng = flat(views), np.random.default_rng(seed)
    angles = angles_of(kind, len(views)) / LARGEST
    regressor = build_regressor(views.shape[2])
    steps = epochs * -(-len(images) // REGRESSOR_BATCH)
    rate = keras.optimizers.schedules.CosineDecay(REGRESSOR_RATE, steps)
    regressor.compile(keras.optimizers.Adam(rate), loss="mse")
    for _ in range(epochs):
        distorted = azimuth.distort(images, rng)
        regressor.fit(distorted, angles, batch_size=REGRESSOR_BATCH, verbose=0)
    return regressor


def angles_of(kind: str, objects: int = 1) -> np.ndarray:
    """The azimuth of each image of `flat`, degrees, float32 (images,)."""
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
    return LARGEST * regressor.predict(images, batch_size=256, verbose=0)[:, 0]


def errors_of(regressor: keras.Model, kind: str, views: np.ndarray) -> dict[str, float]:
    """A regressor's error on the test views themselves, unchanged and distorted.

    Args:
        regressor: of this kind.
        kind: one of `azimuth.KINDS`.
        views: test views, otherwise as in `train_regressor`.

    Returns:
        RMSE to the true azimuths in degrees: "unchanged", and for each of `azimuth.DISTORTIONS`.
    """
    images, angles = flat(views), angles_of(kind, len(views))
    errors = {}
    for name in (UNCHANGED, *azimuth.DISTORTIONS):
        plain = name == UNCHANGED
        seen = data.to_float(images[..., :3]) if plain else azimuth.distort_by(name, images)
        errors[name] = _rms(predict_azimuths(regressor, seen) - angles)
    return errors


class Relation(NamedTuple):
    """How the azimuths of translations depend on the azimuths of the inputs.

    Attributes:
        relation: the nearer ground truth: "same", the angle of the input, or "mirrored", its
            negative. The paper counts either as a success (Fig. 5).
        rmse: root mean square of the distance to it, degrees. Translations that all look ahead have
            the root mean square of the inputs: 47 for cars and chairs, 56 for heads.
        correlation: Pearson's, from -1 to 1; 0 if one of the two does not vary. It does not show
            how much they vary.
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
    """How much the scores would differ for other test objects, by a bootstrap over objects.

    All views of an object stay together, because they are not independent samples.

    Args:
        inputs: azimuths of the inputs, degrees, (objects, azimuths).
        translated: azimuths of their translations, of the same shape.
        seed: of the resamples.
        resamples: how many.

    Returns:
        The standard errors of "rmse", "abs_correlation" and "spread"; 0 for a single object.
    """
    rng = np.random.default_rng(seed)
    found = []
    for _ in range(resamples):
        chosen = rng.integers(0, len(inputs), len(inputs))
        relation = relate(inputs[chosen].ravel(), translated[chosen].ravel())
        found.append((relation.rmse, abs(relation.correlation), relation.spread))
    names = "rmse", "abs_correlation", "spread"
    return dict(zip(names, np.std(found, axis=0).tolist(), strict=True))


def own_errors(
    pair: tuple[str, str], errors: Mapping[str, Mapping[str, float]]
) -> tuple[float, float]:
    """The RMSE of translations with the right azimuths, at best and at worst.

    Args:
        pair: kinds of the inputs and of the translations.
        errors: of the regressors of both kinds; see `errors_of`.
    """
    source, target = pair
    # The RMSE compares two predictions, each with its own error.
    of_target = errors[target].values()
    best, worst = (np.hypot(errors[source][UNCHANGED], f(of_target)) for f in (min, max))
    return float(best), float(worst)


def least_lead(best: float, worst: float) -> float:
    """The lead in RMSE that the regressors' errors alone could produce, given `own_errors`.

    Their errors and the azimuths' errors add up in squares. So for RMSEs of a and b, neither below
    `best`, the lead is at most (worst^2 - best^2) / (a + b).
    """
    return (worst**2 - best**2) / (2 * best)


def yardsticks(pair: tuple[str, str], errors: Mapping[str, Mapping[str, float]]) -> str:
    """A note on what to compare a pair's scores with; the arguments are as for `own_errors`."""
    source, target = pair
    inputs, outputs = angles_of(source), angles_of(target)
    worst = max(errors[target], key=errors[target].__getitem__)
    own = own_errors(pair, errors)
    told = (
        f"{source.capitalize()} to {target}: translations with the right azimuths have an RMSE of "
        f"{own[0]:.1f} to {own[1]:.1f} degrees by the regressors' own errors (at worst: {worst}), "
        f"so that leads up to {least_lead(*own):.1f} say nothing. Translations that all look "
        f"ahead have {_rms(inputs):.0f} and no spread; drawn objects have a spread of "
        f"{_rms(outputs):.0f}."
    )
    stretch = outputs.max() / inputs.max()
    if stretch == 1:
        return told
    stretched = _rms(stretch * inputs - inputs)
    return (
        f"{told} Translations that stretch the range of one kind to the other's have "
        f"{stretched:.1f}."
    )


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
    """The panels side by side, as in Fig. 5: plots, inputs and their translations."""
    return beside([_draw(panel) for panel in panels], MARGIN)


def _draw(panel: Panel) -> Image.Image:
    """Title, plot, and some objects' views above their translations."""
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

"""Fig. 4 of Kim et al. 2017: five modes to ten in the plane, by the paper's three models.

    pixdt reproduce kim2017-fig4 --budget paper

Domain A is a mixture of five Gaussians, domain B one of ten. The paper shows a picture: translated
samples of A around the modes of B, over the field of the discriminator. This experiment also counts
to which modes of B the samples of each mode of A are translated (Sec. 3.1): DiscoGAN should reach
all ten, none of them from two modes of A.

The paper trains for 50,000 iterations and says that DiscoGAN often converges much earlier: on five
seeds it had reached all ten, for good, after 1,000 to 15,000 of 20,000. The GAN with
reconstruction ended at six to nine, the standard GAN at four to seven, two or three of them
from several modes of A.
"""

from __future__ import annotations

import itertools
import os
import pathlib
from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import keras
import numpy as np
from keras import ops
from PIL import Image, ImageDraw, ImageFont

from keras_pixdt.atomic import replacing
from keras_pixdt.metrics import standard_error
from keras_pixdt.models.point_discogan import PointDiscoGAN
from keras_pixdt.reproduce import OUT
from keras_pixdt.reproduce.cache import Kept
from keras_pixdt.reproduce.experiment import Budget, Experiment, chosen, parser, tell
from keras_pixdt.reproduce.pictures import beside
from keras_pixdt.reproduce.result import Claim, Result, Row, Score

NAME = "kim2017-fig4"
ITERATIONS = 50_000  # Sec. 3.1
MODES_A, MODES_B = 5, 10  # Sec. 3.1

# not in the paper: the places and widths of the modes, the rate and the batches. The batch, momenta
# and weight decay are those that it uses for images (Sec. 3.2).
RADIUS = 4.0  # of the circles that the modes of both domains are on
STDDEV_A, STDDEV_B = 0.72, 0.2
BATCH_SIZE = 200
LEARNING_RATE = 1e-3
UNITS = 64

# The models of Fig. 2, in the order of Fig. 4.
MODELS: dict[str, dict[str, Any]] = {
    "standard": {"coupled": False, "reconstruction_weight": 0.0},
    "reconstruction": {"coupled": False},
    "disco": {},
}
TITLES = {
    "standard": "(b) standard GAN",
    "reconstruction": "(c) GAN with reconstruction",
    "disco": "(d) DiscoGAN",
}

COVERED = Score("covered", f"Modes covered, of {MODES_B}", "higher", ".1f")
COLLISIONS = Score("collisions", "Collisions", "lower", ".1f")
SCORES = (
    COVERED,
    COLLISIONS,
    Score("stray", "Stray", "lower", ".1%"),
    Score("one_to_one_share", "One to one, of the 2nd half", "higher", ".0%"),
)
# What Sec. 3.1 says of Fig. 4, which has no numbers.
_FEWER = {"modes covered": "fail to cover all modes"}
PAPER = {"standard": _FEWER, "reconstruction": _FEWER, "disco": {"modes covered": "all ten modes"}}
CLAIMS = (
    *(Claim("disco", other, COVERED.key) for other in ("standard", "reconstruction")),
    *(Claim("disco", other, COLLISIONS.key) for other in ("standard", "reconstruction")),
    Claim("reconstruction", "standard", COLLISIONS.key),
)
NOTES = (
    "A mode of B is covered if a mode of A sends one sample in 20 or more there. It is a collision "
    "if several modes of A do. Stray samples are at no mode.",
    "A measurement is one to one if all ten modes are covered without a collision. The column has "
    "the share of such measurements in the second half of the training.",
)


BUDGETS = {
    "smoke": Budget(steps=2_000),
    "cpu": Budget(steps=10_000, seeds=3),
    "gpu": Budget(steps=20_000, seeds=5),
    "paper": Budget(steps=ITERATIONS, seeds=5),
}

MEASURED_EVERY = 1000  # iterations
MEASURED_SAMPLES = 200  # of each mode of A
# A sample is at a mode of B if it lies within three standard deviations. A mode of A reaches a mode
# of B if it sends one sample in 20 there, which is a tenth of its share if it is split between two.
REACH_STDDEVS = 3.0
REACHED = 0.05


def circle(modes: int) -> np.ndarray:
    """Centres of the modes of a domain, float32 (modes, 2), evenly on a circle."""
    angles = 2 * np.pi * np.arange(modes) / modes
    return RADIUS * np.stack([np.cos(angles), np.sin(angles)], axis=1).astype("float32")


def draw_samples(rng: np.random.Generator, count: int) -> dict[str, np.ndarray]:
    """Independent samples of both mixtures, all modes alike probable.

    Args:
        rng: draws them.
        count: of each domain.

    Returns:
        The batch contract of `PointDiscoGAN`: "source" of domain A and "target" of domain B,
        float32 (count, 2).
    """
    return {
        key: circle(modes)[rng.integers(modes, size=count)] + stddev * _normal(rng, count)
        for key, modes, stddev in (("source", MODES_A, STDDEV_A), ("target", MODES_B, STDDEV_B))
    }


def _normal(rng: np.random.Generator, *shape: int) -> np.ndarray:
    return rng.standard_normal((*shape, 2), "float32")


class Measured(NamedTuple):
    """Counts of where the samples of domain A are translated to.

    Attributes:
        covered: modes of B that a mode of A reaches.
        collisions: modes of B that several modes of A reach.
        stray: share of the samples that are at no mode of B.
    """

    covered: int
    collisions: int
    stray: float

    @property
    def one_to_one(self) -> bool:
        """Whether all modes of B are reached, each from one mode of A."""
        return self.covered == MODES_B and not self.collisions


def measure(translated: np.ndarray) -> Measured:
    """Counts the modes of B that samples of A are translated to.

    Args:
        translated: x_AB, (modes of A, samples, 2).

    Returns:
        The counts.
    """
    distances = np.linalg.norm(translated[:, :, None] - circle(MODES_B), axis=-1)
    at_mode = np.arange(MODES_B) == distances.argmin(axis=-1)[:, :, None]
    at_mode &= distances <= REACH_STDDEVS * STDDEV_B
    reached = at_mode.mean(axis=1) >= REACHED  # (modes of A, modes of B)
    sources = reached.sum(axis=0)
    stray = 1 - at_mode.any(axis=-1).mean()
    return Measured(int((sources > 0).sum()), int((sources > 1).sum()), float(stray))


class Panel(NamedTuple):
    """What one plot of the figure shows.

    Attributes:
        title: above it.
        translated: x_AB, (modes of A, samples, 2).
        field: D_B of each pixel, (PANEL_PX, PANEL_PX) in [0, 1].
    """

    title: str
    translated: np.ndarray
    field: np.ndarray


def build(name: str, seed: int) -> PointDiscoGAN:
    """One of the three models, not trained; `name` is a key of `MODELS`."""
    keras.utils.set_random_seed(seed)
    return PointDiscoGAN(UNITS, **MODELS[name])


def shown_samples(rng: np.random.Generator) -> np.ndarray:
    """The samples of A that are measured and shown, float32 (modes of A, samples, 2)."""
    return circle(MODES_A)[:, None] + STDDEV_A * _normal(rng, MODES_A, MEASURED_SAMPLES)


def train(
    name: str, seed: int, iterations: int = ITERATIONS
) -> tuple[PointDiscoGAN, list[tuple[int, Measured]]]:
    """Trains one of the three models.

    Args:
        name: a key of `MODELS`.
        seed: of weights and samples; models of one seed see the same samples.
        iterations: steps, of `BATCH_SIZE` samples of each domain.

    Returns:
        The trained model, and what was measured, each with the iterations before it.
    """
    rng = np.random.default_rng(seed)
    shown = shown_samples(rng)
    model = build(name, seed)
    model.compile(
        keras.optimizers.Adam(LEARNING_RATE, beta_1=0.5, beta_2=0.999),
        steps_per_execution=min(iterations, 100),  # a step takes less time than its call
        jit_compile=False,  # XLA is several times slower on a CPU
    )
    measured: list[tuple[int, Measured]] = []
    for done in range(0, iterations, MEASURED_EVERY):
        steps = min(MEASURED_EVERY, iterations - done)
        samples = draw_samples(rng, steps * BATCH_SIZE)
        model.fit(samples, batch_size=BATCH_SIZE, shuffle=False, verbose=0)
        measured.append((done + steps, measure(_translate(model, shown))))
    return model, measured


def _translate(model: PointDiscoGAN, samples: np.ndarray) -> np.ndarray:
    """x_AB of samples (modes, count, 2)."""
    translated = ops.convert_to_numpy(model(samples.reshape(-1, 2), training=False))
    return translated.reshape(samples.shape)


def summary(measured: Sequence[tuple[int, Measured]]) -> dict[str, Any]:
    """One training, ready for JSON.

    Returns:
        "covered", "collisions" and "stray" at the end; in "standard_errors" that of "stray", the
        only one that is a share of samples; "one_to_one_from", the iterations after which each
        measurement found all modes covered and no collision (None without);
        "one_to_one_share", the share of the measurements of the second half that did; the
        "history" of all of them.
    """
    last, count = measured[-1][1], MODES_A * MEASURED_SAMPLES
    held = list(itertools.takewhile(lambda m: m[1].one_to_one, reversed(measured)))
    second_half = [m.one_to_one for _, m in measured[len(measured) // 2 :]]
    return {
        **last._asdict(),
        "standard_errors": {"stray": standard_error(np.arange(count) < round(last.stray * count))},
        "one_to_one_from": held[-1][0] if held else None,
        "one_to_one_share": sum(second_half) / len(second_half),
        "history": [{"iterations": done, **m._asdict()} for done, m in measured],
    }


def run(
    out: str | os.PathLike[str] = OUT,
    budget: str = "cpu",
    *,
    seeds: int | None = None,
    iterations: int | None = None,
    rows: Sequence[str] | None = None,
) -> Result:
    """Trains the models, once for each seed, and writes the table and a picture of each seed.

    Args:
        out: folder.
        budget: a key of `BUDGETS`.
        seeds: how many, from 0, instead of the budget's.
        iterations: steps of each training, instead of the budget's.
        rows: keys of `MODELS`; by default all. Others are in the table as well if they are kept.

    Raises:
        ValueError: an unknown row, or less than one seed or iteration.
    """
    given = BUDGETS[budget]
    steps = given.steps if iterations is None else iterations
    names, seeds = chosen(MODELS, rows, given, seeds)
    if steps < 1:
        raise ValueError(f"`iterations` must be at least 1. Received: {steps}")
    experiment = Experiment(out)
    settings = {
        "iterations": steps, "batch_size": BATCH_SIZE, "learning_rate": LEARNING_RATE,
        "units": UNITS, "radius": RADIUS, "stddev_a": STDDEV_A, "stddev_b": STDDEV_B,
    }  # fmt: skip
    result = Result(
        NAME,
        "Fig. 4 of Kim et al. 2017",
        SCORES,
        [Row(name, title, PAPER[name]) for name, title in TITLES.items()],
        CLAIMS,
        settings={"budget": budget, "seeds": seeds, **settings},
        notes=NOTES,
    )
    models: dict[str, Kept] = {}

    def score(row: Row, seed: int) -> dict[str, Any]:
        def trained() -> tuple[keras.Model, dict[str, Any]]:
            model, measured = train(row.key, seed, steps)
            return model, summary(measured)

        models[row.key] = experiment.cache.model(
            f"{NAME}-{row.key}-seed{seed}",
            trained,
            model=MODELS[row.key],
            settings=settings,
            measuring=(MEASURED_EVERY, MEASURED_SAMPLES, REACH_STDDEVS, REACHED),
            seed=seed,
        )
        options = {"coupled": True, "reconstruction_weight": 1.0, **MODELS[row.key]}
        return {
            **models[row.key].found,
            "settings": {"steps": steps, **options},
            "paper_settings": {"steps": ITERATIONS, **options},
        }

    def draw(seed: int) -> None:
        _add_picture(result, experiment.out, models, seed)
        models.clear()

    experiment.fill(result, names, seeds, score, draw, MODELS)
    return result


# The picture

PANEL_PX = 360
_HEAD_PX = 24  # of the title above a panel
EXTENT = 1.5 * RADIUS  # of the plane that a panel shows, to each side
LEVELS = 10  # of the field; lines are between them
# D_B from 0 to 1: as in the paper, green where it cannot tell, white where it is sure of real.
FIELD_COLORS = ((44, 62, 140), (52, 140, 190), (96, 178, 104), (226, 220, 130), (255, 255, 255))
# Navy, light blue, green, orange, red.
MODE_COLORS = ((20, 30, 110), (110, 200, 250), (20, 120, 40), (250, 140, 20), (200, 20, 40))


def _panel(title: str, model: PointDiscoGAN, samples: np.ndarray) -> Panel:
    centres = EXTENT * ((np.arange(PANEL_PX) + 0.5) / PANEL_PX * 2 - 1)
    x, y = np.meshgrid(centres, -centres)  # up is up
    plane = np.stack([x, y], axis=-1).reshape(-1, 2).astype("float32")
    field = ops.convert_to_numpy(ops.sigmoid(model.discriminator(plane, training=False)))
    return Panel(title, _translate(model, samples), field.reshape(PANEL_PX, PANEL_PX))


def _add_picture(result: Result, out: pathlib.Path, models: Mapping[str, Kept], seed: int) -> None:
    """Adds the panels of a seed: before the training, and each model after it."""
    shown = shown_samples(np.random.default_rng(seed))
    trained = [name for name in MODELS if name in models]
    panels = [_panel("(a) before training", build(trained[0], seed), shown)]
    panels += [_panel(TITLES[name], models[name].load(), shown) for name in trained]
    file = f"{NAME}-seed{seed}.png"
    with replacing(out / file) as unfinished:
        picture(panels).save(unfinished)
    result.pictures[file] = (
        f"Seed {seed}: samples of A, in the colour of their mode, translated to B, whose modes "
        "are black crosses; behind them, D_B"
    )


def picture(panels: Sequence[Panel]) -> Image.Image:
    """The panels beside each other, as Fig. 4 has them."""
    return beside([_draw(panel) for panel in panels])


def _draw(panel: Panel) -> Image.Image:
    """Title, field, level lines, the modes of B as x, and the translated samples."""
    at = np.linspace(0, 1, len(FIELD_COLORS))
    channels = [np.interp(panel.field, at, channel) for channel in np.transpose(FIELD_COLORS)]
    colors = np.stack(channels, axis=-1)
    level = np.floor(LEVELS * panel.field)
    line = np.zeros(level.shape, bool)
    line[:-1] |= level[:-1] != level[1:]
    line[:, :-1] |= level[:, :-1] != level[:, 1:]
    colors[line] *= 0.6
    image = Image.fromarray(colors.round().astype(np.uint8))
    draw = ImageDraw.Draw(image)

    def place(point: np.ndarray) -> tuple[float, float]:
        x, y = point / EXTENT
        return (1 + x) / 2 * PANEL_PX, (1 - y) / 2 * PANEL_PX

    for color, points in zip(MODE_COLORS, panel.translated, strict=True):
        for x, y in map(place, points):
            draw.ellipse((x - 3, y - 3, x + 3, y + 3), color, "white")
    for x, y in map(place, circle(MODES_B)):
        for slope in (-1, 1):
            draw.line((x - 6, y - 6 * slope, x + 6, y + 6 * slope), "black", 3)
    titled = Image.new("RGB", (PANEL_PX, _HEAD_PX + PANEL_PX), "white")
    ImageDraw.Draw(titled).text((0, 3), panel.title, "black", ImageFont.load_default(15))
    titled.paste(image, (0, _HEAD_PX))
    return titled


def main(argv: Sequence[str]) -> None:
    """Runs the experiment with the arguments of the command."""
    command = parser(NAME, "Fig. 4 of Kim et al. 2017.", list(MODELS))
    command.add_argument("--iterations", type=int, help="instead of the budget's")
    options = vars(command.parse_args(argv))
    tell(run(**options), options["out"])

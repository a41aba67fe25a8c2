"""Taigman et al. 2017, Sec. 5.3: style transfer as domain transfer.

    pixdt reproduce taigman2017-style --budget cpu
    pixdt reproduce taigman2017-style --data photos/

S are photos, and T are other photos in another style. The paper's style is that of one picture,
brought onto photos by the network of Johnson et al. 2016 (Fig. 5e, f). Here it is a fixed filter,
`stylize`. So the right answer for each test photo is known, and G(x) is compared with it. The
network never sees a photo together with its own styled image.

By default the photos are of drawn persons, and f tells persons apart
(`keras_pixdt.reproduce.portraits`). With `--data`, a folder with a subfolder for each class, f
tells the classes apart.

Differs from the paper:
- The paper's style comes from the network of Johnson et al. 2016, trained on one picture. Here it
  is a filter without weights, because its result for each photo can be computed.
- The paper shows pictures. Here SSIM and RMSE to the filter's own result say how near G(x) is.
"""

from __future__ import annotations

import pathlib
from collections.abc import Sequence
from typing import Any, NamedTuple

import keras
import numpy as np

from keras_pixdt import data, metrics
from keras_pixdt.models.image_filters import DOG_RADIUS_PX, laplacian
from keras_pixdt.reproduce import experiment, pictures
from keras_pixdt.reproduce.cache import Kept
from keras_pixdt.reproduce.experiment import chosen
from keras_pixdt.reproduce.portraits import (
    BATCH,
    BUDGETS,
    NOTE,
    PortraitExperiment,
    features,
    flat,
)
from keras_pixdt.reproduce.result import Claim, Result, Row, Score
from keras_pixdt.training.measures import in_batches

NAME = "taigman2017-style"
TITLE = "Sec. 5.3 of Taigman et al. 2017 (Fig. 5f)"
SCORES = (
    Score("ssim", "SSIM to the filter's image", "higher", ".3f"),
    Score("rmse", "RMSE to it", "lower", ".3f"),
)
CONVERTED = "converted"
ROWS = {
    CONVERTED: "G(x)",
    "photo": "the photo x",
    "nearest": "(image of t whose f is nearest to f(x))",
    "other": "(the filter's image of another test photo)",
}
# What Fig. 5f shows: the style, and the person.
CLAIMS = tuple(Claim(CONVERTED, other, s.key) for other in ("photo", "other") for s in SCORES)

# What black, dark gray, bright gray and white become; colours between two are mixed. Their own
# brightness goes up and down: if it only went up, photos would have a high SSIM as they are.
_COLORS = np.array([(0.10, 0.13, 0.35), (0.98, 0.62, 0.26), (0.08, 0.42, 0.45), (0.98, 0.93, 0.78)])
_LUMINANCE = np.array([0.299, 0.587, 0.114], np.float32)
_LINE_AT, _LINE_WIDTH = -0.03, 0.004  # of the Laplacian: where outlines begin, and how soon
_MARGIN = DOG_RADIUS_PX  # without outlines, because the Laplacian takes what is outside for black


class Images(NamedTuple):
    """What the network is trained and tested on; images are uint8 (n, size, size, 3).

    Attributes:
        s: photos.
        t: other photos, in the style.
        test: photos that are converted.
        function: f.
    """

    s: np.ndarray
    t: np.ndarray
    test: np.ndarray
    function: Kept


def stylize(images: np.ndarray) -> np.ndarray:
    """The style: brightness becomes one of a range of colours, and outlines are dark.

    Args:
        images: uint8 (n, size, size, 3).

    Returns:
        uint8 of the same shape.
    """
    return data.to_uint8(in_batches(_styled, [images], BATCH))


def _styled(x: np.ndarray) -> np.ndarray:
    """`stylize` of images in [-1, 1]."""
    gray = (x + 1) / 2 @ _LUMINANCE
    at = np.linspace(0, 1, len(_COLORS))
    colors = np.stack([np.interp(gray, at, channel) for channel in _COLORS.T], axis=-1)
    # Negative on the dark side of an edge.
    edges = keras.ops.convert_to_numpy(laplacian(np.repeat(gray[..., None], 3, axis=-1)))[..., :1]
    line = 1 / (1 + np.exp((edges - _LINE_AT) / _LINE_WIDTH))
    inside = np.zeros(edges.shape[1:])
    inside[_MARGIN:-_MARGIN, _MARGIN:-_MARGIN] = 1
    line = line * inside
    return (2 * ((1 - line) * colors + line * _COLORS[0]) - 1).astype(np.float32)


def of_portraits(experiment: PortraitExperiment) -> Images:
    """Drawn persons: S and T show different ones, and a photo of each test person is converted."""
    return Images(
        flat(experiment.photos("s")),
        stylize(flat(experiment.photos("t"))),
        experiment.photos("test")[:, 0],
        experiment.identities("f"),
    )


def of_folder(experiment: PortraitExperiment, folder: str) -> Images:
    """A folder's training photos, one half as they are and one half styled, and its test photos.

    f learns the labels of the training photos.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: it has no labels, or what `load_domains` refuses.
    """
    preset = experiment.preset
    domains = data.load_domains(folder, folder, preset.image_size, resize=preset.resize)
    train, labels = domains["train"], domains["train"].source_labels
    if labels is None:
        raise ValueError(
            f"{folder} must have a subfolder for each class, by which f is trained: persons, or "
            "kinds of things. Two or more are needed, and no image beside them."
        )
    order = np.random.default_rng(0).permutation(len(train.sources))
    images = train.sources[order]
    function = experiment.classifier("style-f", images, labels.index[order], len(labels.names))
    half = len(images) // 2
    return Images(images[:half], stylize(images[half:]), domains["test"].sources, function)


def run(
    experiment: PortraitExperiment,
    folder: str | None = None,
    *,
    seeds: int | None = None,
    budget: str = "",
) -> Result:
    """Trains the network, converts the test photos, and writes the table.

    Args:
        experiment: how the network is trained, where it is kept, and the drawn persons.
        folder: of photos, instead of the drawn ones; see `of_folder`.
        seeds: how many, from 0, instead of the budget's.
        budget: its name, for the table.

    Raises:
        FileNotFoundError: there is no such folder.
        ValueError: less than one seed, or a folder that does not fit.
    """
    _, seeds = chosen((), None, experiment.given, seeds)
    images = of_portraits(experiment) if folder is None else of_folder(experiment, folder)
    right = stylize(images.test)
    result = Result(
        NAME,
        TITLE,
        SCORES,
        [Row(key, title, trained=key == CONVERTED) for key, title in ROWS.items()],
        CLAIMS,
        settings={
            "budget": budget, "data": pathlib.PurePath(folder or "drawn").name, "seeds": seeds,
            "photos of s": len(images.s), "images of t": len(images.t),
            "test photos": len(images.test),
        },
        notes=(
            "The paper has pictures only. Rows in brackets are yardsticks.",
            *([NOTE] if folder is None else []),
        ),
    )  # fmt: skip

    f = images.function.load()
    nearest = images.t[metrics.nearest_rows(features(f, images.test), features(f, images.t))]
    yardsticks = {
        "photo": images.test, "nearest": nearest, "other": np.roll(right, 1, axis=0)
    }  # fmt: skip
    result.add({key: _scores(found, right) for key, found in yardsticks.items()})
    domains = data.DomainSet(images.s, images.t)

    def score(row: Row, seed: int) -> dict[str, Any]:
        kept = experiment.network(NAME, domains, images.function, seed)
        model = kept.load()
        converted = data.to_uint8(in_batches(model.predict_on_batch, [images.test], BATCH))
        if seed == 0:
            shown = pictures.spread(len(converted))
            lines = {
                "x": images.test,
                "G(x)": converted,
                "filter": right,
                "nearest f in t": nearest,
            }
            pictures.add_lines(
                result,
                experiment.out,
                [(name, column[shown]) for name, column in lines.items()],
                "Test photos, what the network of seed 0 makes of them, what the filter makes of "
                "them, and the image of t nearest by f",
            )
        return {**_scores(converted, right), **kept.found}

    experiment.fill(result, [CONVERTED], seeds, score)
    return result


def _scores(found: np.ndarray, right: np.ndarray) -> dict[str, Any]:
    """The scores of images beside the right ones, both uint8 (n, size, size, 3)."""
    pair = data.to_float(found), data.to_float(right)
    values = {
        "ssim": keras.ops.convert_to_numpy(metrics.ssim(*pair)),
        "rmse": keras.ops.convert_to_numpy(metrics.rmse(*pair)),
    }
    errors = {key: metrics.standard_error(value) for key, value in values.items()}
    return {
        **{key: float(value.mean()) for key, value in values.items()},
        "standard_errors": {key: error for key, error in errors.items() if error is not None},
    }


def main(argv: Sequence[str]) -> None:
    """Runs the experiment with the arguments of the command."""
    parser = experiment.parser(NAME, f"{TITLE}: the style is a fixed filter.")
    parser.add_argument(
        "--data", help="folder of photos with a subfolder for each class (default: drawn persons)"
    )
    options = parser.parse_args(argv)
    portraits = PortraitExperiment(options.out, BUDGETS[options.budget], verbose=2)
    result = run(portraits, options.data, seeds=options.seeds, budget=options.budget)
    experiment.tell(result, options.out)

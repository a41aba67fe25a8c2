"""Fig. 8 of Taigman et al. 2017: g's images of the standard basis of f's space (Appendix C).

    pixdt reproduce taigman2017-fig8 --data tfds:svhn_cropped --target-data tfds:mnist
    pixdt reproduce taigman2017-fig8 --workdir runs/emoji

The images g(e_1), g(e_2), ... are shown row by row, with one number for what the paper reads off
them (Sec. 5.2): their "large amount of variability" shows that g has no significant mode effect.
The number is the mean absolute difference between two of them, on a scale from 0 (black) to 1
(white). It is 0 if g draws the same image for every vector. Images of T themselves show how large
it can be.

The paper's vectors have length 1, and so do those of its f (DeepFace, Taigman et al. 2014). Another
f may give vectors that are many times longer. Unit vectors are then all close to 0, where g has
drawn nothing in training, and its images all look much the same. The second row scales the basis to
the mean length of f on test images of S. Without `--workdir`, g comes from Table 1's DTN.

Differs from the paper of Taigman et al., whose faces are not available:
- Fig. 8 draws the 256 basis vectors of DeepFace's representation as emoji. Here the basis is by
  default that of an f for digits, with 128 vectors at full width; `--workdir` takes any run.
- The paper draws vectors of length 1, the length of all outputs of its f. Here a second row draws
  them with the mean length of this f's outputs, because unit vectors mean nothing if f has other
  lengths.
"""

from __future__ import annotations

import os
import pathlib
from collections.abc import Callable, Sequence
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_pixdt import data
from keras_pixdt.atomic import replacing
from keras_pixdt.models.domain_transfer import DomainTransferNetwork
from keras_pixdt.reproduce import OUT, digits_experiment
from keras_pixdt.reproduce.digits_experiment import DigitsExperiment
from keras_pixdt.reproduce.experiment import Budget, Experiment, chosen, tell
from keras_pixdt.reproduce.result import Result, Row, Score
from keras_pixdt.training.run import load_run

NAME, TITLE = "taigman2017-fig8", "Fig. 8 of Taigman et al. 2017"
DIFFERENCE = Score("difference", "Mean difference of two images, of 1", "higher", ".3f")
ROWS = {
    "unit": "basis vectors of length 1",
    "mean": "basis vectors of the mean length of f(x)",
}
PAPER = {"unit": {"variability": "a large amount"}}
_LENGTH_IMAGES = 256  # number of images for the mean length


def run(
    experiment: DigitsExperiment, *, seeds: int | None = None, rows: Sequence[str] | None = None
) -> Result:
    """Draws the basis with the Domain Transfer Network of Table 1, training it if needed.

    Args:
        experiment: data and budget.
        seeds: how many networks, instead of the budget's.
        rows: "unit", "mean"; by default both.

    Raises:
        ValueError: an unknown row, or less than one seed.
    """
    images = experiment.digits

    def network(seed: int) -> tuple[keras.Model, dict[str, Any]]:
        kept = experiment.network(seed=seed)
        return kept.load(), kept.found

    result = experiment.result(NAME, TITLE, _rows(), scores=(DIFFERENCE,))
    names, seeds = chosen(ROWS, rows, experiment.given, seeds)
    return _draw_bases(
        experiment, result, network, lambda: (images.s_test.pixels, images.t.pixels), names, seeds
    )


def run_workdir(
    workdir: str | os.PathLike[str],
    out: str | os.PathLike[str] = OUT,
    rows: Sequence[str] | None = None,
) -> Result:
    """Draws the basis with a run's g.

    Args:
        workdir: of a run of a Domain Transfer Network.
        out: folder.
        rows: "unit", "mean"; by default both. "mean" needs the run's data.

    Raises:
        FileNotFoundError: there is no finished run.
        ValueError: an unknown row, or the run has no g of f.
    """
    trained = load_run(workdir)

    def images() -> tuple[np.ndarray, np.ndarray]:
        test = trained.domains()["test"]
        return test.sources, test.targets

    model = trained.model
    if not isinstance(model, DomainTransferNetwork) or not model.through_f:
        raise ValueError(
            "`workdir` must be the run of a Domain Transfer Network whose G contains f: other "
            "models have no g to draw the basis of f's space. "
            f"Received: {workdir}, preset {trained.preset.name!r}"
        )
    settings = {"run": pathlib.Path(workdir).name}
    result = Result(NAME, TITLE, (DIFFERENCE,), _rows(), settings=settings)
    found = {"preset": trained.preset.options()}
    names, seeds = chosen(ROWS, rows, Budget(), None)
    return _draw_bases(Experiment(out), result, lambda seed: (model, found), images, names, seeds)


def _rows() -> list[Row]:
    rows = [Row(key, title, PAPER.get(key, {})) for key, title in ROWS.items()]
    return [*rows, Row("t", "(as many images of T)", trained=False)]


def _draw_bases(
    experiment: Experiment,
    result: Result,
    network: Callable[[int], tuple[keras.Model, dict[str, Any]]],
    images: Callable[[], tuple[np.ndarray, np.ndarray]],
    names: Sequence[str],
    seeds: int,
) -> Result:
    """Draws the basis with the network of each seed.

    Args:
        experiment: has the folder.
        result: gets the rows.
        network: of a seed, and what its training told.
        images: reads test images of S and images of T, where a row needs them.
        names: keys of the rows.
        seeds: how many.
    """
    result.settings = {**result.settings, "seeds": seeds}

    def score(row: Row, seed: int) -> dict[str, Any]:
        model, found = network(seed)
        length = 1.0
        if row.key == "mean":
            sources, targets = images()
            length = _mean_length(model.function, sources)
            reference = targets[: model.function.output_shape[-1]]
            result.rows[-1].seeds[0] = {DIFFERENCE.key: mean_difference(reference)}
        drawn = data.to_uint8(ops.convert_to_numpy(model.basis(length)))
        if seed == 0:
            file = f"{result.name}-{row.key}.png"
            with replacing(experiment.out / file) as unfinished:
                data.write_image(unfinished, picture(drawn))
            result.pictures[file] = f"What g of seed 0 draws: {row.title}"
        return {
            DIFFERENCE.key: mean_difference(drawn),
            "length": length,
            "images": len(drawn),
            **found,
        }

    experiment.fill(result, names, seeds, score)
    return result


def _mean_length(function: keras.Model, sources: np.ndarray) -> float:
    """The mean length of f(x), over images of S, uint8."""
    x = data.to_float(sources[:_LENGTH_IMAGES])
    return float(np.linalg.norm(function.predict_on_batch(x), axis=1).mean())


def mean_difference(images: np.ndarray) -> float:
    """The mean absolute difference between two of the images, over all pairs and pixels.

    Args:
        images: uint8 (n, height, width, channels), two or more.

    Returns:
        From 0, if all are the same, to 1, if two are opposite everywhere.
    """
    count = len(images)
    # In order, the i-th smallest value of a pixel is above i others and below the rest.
    ordered = np.sort(images.reshape(count, -1), axis=0) / 255.0
    signs = 2 * np.arange(count) - (count - 1)
    pairs = count * (count - 1) / 2
    return float(np.mean(signs @ ordered) / pairs)


def picture(images: np.ndarray) -> np.ndarray:
    """Images, uint8 (n, s, s, 3), row by row in a grid that is about as wide as high."""
    count, *shape = images.shape
    columns = int(np.ceil(np.sqrt(count)))
    rows = -(-count // columns)
    cells = np.full((rows * columns, *shape), 255, np.uint8)
    cells[:count] = images
    return data.image_grid([cells[column::columns] for column in range(columns)])


def main(argv: Sequence[str]) -> None:
    """Runs the experiment with the arguments of the command."""
    parser = digits_experiment.parser(NAME, TITLE + ".", list(ROWS))
    parser.add_argument("--workdir", help="folder of a finished run, instead of all others")
    options = parser.parse_args(argv)
    if options.workdir is not None:
        result = run_workdir(options.workdir, options.out, options.rows)
    else:
        result = run(
            digits_experiment.open_experiment(options), seeds=options.seeds, rows=options.rows
        )
    tell(result, options.out)

"""Fig. 8 of Taigman et al. 2017: what g draws of the standard basis of f's space (Appendix C).

    pixdt reproduce taigman2017-fig8 --data tfds:svhn_cropped --target-data tfds:mnist
    pixdt reproduce taigman2017-fig8 --workdir runs/emoji

The images g(e_1), g(e_2), ... row by row, and one number for what the paper reads off them (Sec.
5.2): their "large amount of variability" says that g has no significant mode effect. It is the mean
absolute difference between two of them, on the scale from 0 (black) to 1 (white): 0 where g draws
the same image of every vector. Images of T themselves say how large it can be.

The paper's vectors have length 1, and so have those of its f (DeepFace, Taigman et al. 2014). Those
of another f may be many times longer; unit vectors are then all next to 0, where g has drawn
nothing in training and draws much the same. The second row gives the basis the mean length that
f has on test images of S.

Without `--workdir`, g is that of `taigman2017-table1`'s DTN.

Differs from the paper of Taigman et al., whose faces are not available:
- Fig. 8 draws the 256 basis vectors of DeepFace's representation as emoji. Here they are by default
  those of an f of digits, 128 at full width; `--workdir` takes any run.
- The paper draws vectors of length 1, the length of all that its f gives. Here a second row draws
  them with the mean length that this f gives, since an f of other lengths makes nothing of
  unit vectors.
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
from keras_pixdt.models.domain_transfer import DomainTransferNetwork
from keras_pixdt.reproduce import OUT, common, digits, environment
from keras_pixdt.reproduce.result import Result, Row, Score
from keras_pixdt.training.run import load_run

NAME = "taigman2017-fig8"
TITLE = "Fig. 8 of Taigman et al. 2017"
DIFFERENCE = Score("difference", "Mean difference of two images, of 1", "higher", ".3f")
ROWS = {
    "unit": "basis vectors of length 1",
    "mean": "basis vectors of the mean length of f(x)",
}
T = "t"  # the row of what there is to draw
PAPER = {"unit": {"variability": "a large amount"}}
LENGTH_IMAGES = 256  # that the mean length is of


def run(
    experiment: digits.Experiment,
    *,
    seeds: int | None = None,
    rows: Sequence[str] | None = None,
) -> Result:
    """Draws the basis by the Domain Transfer Network of Table 1, which is trained if need be.

    Args:
        experiment: data and budget.
        seeds: how many networks, instead of the budget's.
        rows: keys of `ROWS`; by default all.

    Raises:
        ValueError: an unknown row, or less than one seed.
    """
    images = experiment.digits

    def network(seed: int) -> tuple[keras.Model, dict[str, Any]]:
        kept = experiment.network(seed=seed)
        return kept.load(), kept.found

    return _run(
        experiment.result(NAME, TITLE, _rows(), scores=(DIFFERENCE,)),
        experiment.out,
        network,
        lambda: (images.s_test.pixels, images.t.pixels),
        experiment.given.seeds if seeds is None else seeds,
        rows,
    )


def run_workdir(
    workdir: str | os.PathLike[str],
    out: str | os.PathLike[str] = OUT,
    rows: Sequence[str] | None = None,
) -> Result:
    """Draws the basis by the g of a run.

    Args:
        workdir: of a run of a Domain Transfer Network.
        out: folder.
        rows: keys of `ROWS`; by default all. All but "unit" need the run's data.

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
    result = Result(
        NAME,
        TITLE,
        (DIFFERENCE,),
        _rows(),
        settings={"run": pathlib.Path(workdir).name},
        made_with=environment.made_with(),
    )
    found = {"preset": trained.preset.options()}
    return _run(result, pathlib.Path(out), lambda seed: (model, found), images, 1, rows)


def _rows() -> list[Row]:
    rows = [Row(key, title, PAPER.get(key, {})) for key, title in ROWS.items()]
    return [*rows, Row(T, "(as many images of T)", trained=False)]


def _run(
    result: Result,
    out: pathlib.Path,
    network: Callable[[int], tuple[keras.Model, dict[str, Any]]],
    images: Callable[[], tuple[np.ndarray, np.ndarray]],
    seeds: int,
    rows: Sequence[str] | None,
) -> Result:
    """Draws the basis by the network of each seed.

    Args:
        result: gets the rows.
        out: folder.
        network: of a seed, and what its training told.
        images: reads test images of S and images of T, where a row needs them.
        seeds: how many.
        rows: keys of `ROWS`.
    """
    names = list(rows or ROWS)
    common.check(names, list(ROWS), seeds)
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
            file = f"{NAME}-{row.key}.png"
            data.write_image(out / file, picture(drawn))
            result.pictures[file] = f"What g of seed 0 draws: {row.title}"
        return {
            DIFFERENCE.key: mean_difference(drawn),
            "length": length,
            "images": len(drawn),
            **found,
        }

    common.fill(result, out, names, seeds, score)
    return result


def _mean_length(function: keras.Model, sources: np.ndarray) -> float:
    """Of f(x), over images of S, uint8."""
    x = data.to_float(sources[:LENGTH_IMAGES])
    return float(np.linalg.norm(function.predict_on_batch(x), axis=1).mean())


def mean_difference(images: np.ndarray) -> float:
    """The mean absolute difference between two of the images, over all pairs and pixels.

    Args:
        images: uint8 (n, height, width, channels), two or more.

    Returns:
        From 0, all are the same, to 1, all of two are opposite.
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
    parser = digits.parser(NAME, TITLE + ".", list(ROWS))
    parser.add_argument("--workdir", help="folder of a finished run, instead of all others")
    options = parser.parse_args(argv)
    out = pathlib.Path(options.out)
    if options.workdir is not None:
        result = run_workdir(options.workdir, out, options.rows)
    else:
        experiment = digits.open_experiment(options)
        result = run(experiment, seeds=options.seeds, rows=options.rows)
    common.tell(result, out)

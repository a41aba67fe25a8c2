"""Fig. 8 of Taigman et al. 2017: what g draws of the standard basis of f's space (Appendix C).

    pixdt reproduce taigman2017-fig8 --workdir runs/digits --scale auto

The images g(e_1), g(e_2), ... row by row, and one number for what the paper reads off them (Sec.
5.2): their "large amount of variability" says that g has no significant mode effect. It is the mean
absolute difference between two of them, on the scale from 0 (black) to 1 (white): 0 where g draws
the same image of every vector.

The paper's vectors have length 1, and so have those of its f (DeepFace, Taigman et al. 2014). Those
of another f may be many times longer; unit vectors are then all next to 0, where g has drawn
nothing in training and draws much the same. `--scale auto` gives the basis the mean length that
f has on the run's test images of S.
"""

from __future__ import annotations

import argparse
import os
import pathlib
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np
from absl import logging
from keras import ops

from keras_pixdt import data
from keras_pixdt.models.domain_transfer import DomainTransferNetwork
from keras_pixdt.training.run import Run, load_run

NAME = "taigman2017_fig8"
AUTO = "auto"
AUTO_IMAGES = 256  # that the mean length is of


def run(
    workdir: str | os.PathLike[str],
    out: str | os.PathLike[str] | None = None,
    scale: float | str = 1.0,
) -> dict[str, Any]:
    """Draws the basis by the g of a run.

    Args:
        workdir: of a run of a Domain Transfer Network.
        out: file for the picture; None writes nothing.
        scale: length of the vectors, or "auto" for the mean length of f(x) of 256 test images, or
            of all that there are; that needs the run's data.

    Returns:
        "images", how many; "scale", the length; "difference", see `mean_difference`.

    Raises:
        FileNotFoundError: there is no finished run.
        ValueError: `scale` is neither positive nor "auto", or the run has no g of f.
    """
    if not (scale == AUTO if isinstance(scale, str) else scale > 0):
        raise ValueError(f"`scale` must be a positive number or {AUTO!r}. Received: {scale!r}")
    trained = load_run(workdir)
    model = trained.model
    if not isinstance(model, DomainTransferNetwork) or not model.through_f:
        raise ValueError(
            "`workdir` must be the run of a Domain Transfer Network whose G contains f: other "
            "models have no g to draw the basis of f's space. "
            f"Received: {workdir}, preset {trained.preset.name!r}"
        )
    length = _mean_length(trained, model.function) if isinstance(scale, str) else scale
    images = data.to_uint8(ops.convert_to_numpy(model.basis(length)))
    if out is not None:
        path = pathlib.Path(out)
        path.parent.mkdir(parents=True, exist_ok=True)
        data.write_image(path, picture(images))
    return {"images": len(images), "scale": length, "difference": mean_difference(images)}


def _mean_length(run: Run, function: keras.Model) -> float:
    """Of f(x), over test images of S."""
    x = data.to_float(run.domains()["test"].sources[:AUTO_IMAGES])
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
    parser = argparse.ArgumentParser(
        "pixdt reproduce taigman2017-fig8", description="Fig. 8 of Taigman et al. 2017."
    )
    parser.add_argument("--workdir", required=True, help="folder of a finished run")
    parser.add_argument("--out", help=f"file of the picture (default: WORKDIR/{NAME}.png)")
    parser.add_argument(
        "--scale",
        type=_scale,
        default=1.0,
        help=f"length of the vectors; {AUTO}: the mean length of f (default: 1, the paper's)",
    )
    options = parser.parse_args(argv)
    out = options.out or pathlib.Path(options.workdir) / f"{NAME}.png"
    found = run(options.workdir, out, options.scale)
    logging.info(
        "%d images of vectors of length %.3g: mean absolute difference of two %.3f, of 1",
        found["images"], found["scale"], found["difference"],
    )  # fmt: skip
    logging.info("Wrote %s", out)


def _scale(text: str) -> float | str:
    return text if text == AUTO else float(text)

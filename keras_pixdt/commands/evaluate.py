"""Score a run on a split.

Example:
    pixdt evaluate --workdir runs/lookbook --gallery all --json
"""

import argparse
import json
import sys
from collections.abc import Callable
from typing import Any

from keras_pixdt import presets
from keras_pixdt.choices import EMBEDDERS, GALLERIES
from keras_pixdt.commands.shared import (
    RUN,
    add_checkpoint_argument,
    add_moved_data_arguments,
    find,
    open_run,
    tflite_of,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    add = parser.add_argument
    add("--workdir", required=True, help=RUN)
    add_checkpoint_argument(parser)
    add_moved_data_arguments(parser)
    add("--split", default="test", help="split to score (default: test)")
    add(
        "--gallery",
        choices=GALLERIES,
        default="split",
        help="product images to search: those of the split, or of all splits (default: split)",
    )
    add(
        "--embedder",
        choices=EMBEDDERS,
        default="trained",
        help="what images are compared with: a network trained on the training products "
        "(default), the one that `pixdt search` takes, which is also trained on images that this "
        "run draws, or DenseNet121 where its weights are present",
    )
    add("--model", help="a .tflite file that was exported from the run, to score instead of it")
    add("--json", action="store_true", help="print JSON instead of a table")


def run(arguments: argparse.Namespace) -> None:
    """Prints the scores."""
    opened = open_run(arguments)
    functions = {}
    if arguments.model is not None:
        functions = _of_floats(str(tflite_of(find(arguments.model))), opened.preset)
    scores = opened.evaluate(arguments.split, arguments.gallery, arguments.embedder, **functions)
    sys.stdout.write((json.dumps(scores, indent=1) if arguments.json else _table(scores)) + "\n")


def _of_floats(path: str, preset: presets.Preset) -> dict[str, Callable[[Any], Any]]:
    """Opens a preset's TFLite file as functions on floats: `convert`, and `reverse` if present."""
    import export
    from keras_pixdt.data.images import to_float, to_uint8

    tflite = export.load_tflite(path)
    if tflite.resize != preset.resize:
        raise ValueError(
            f"--model must be exported from the run, whose photos are resized by {preset.resize}. "
            f"Received: {path}, which takes photos resized by {tflite.resize}"
        )
    functions = {"convert": lambda source: to_float(tflite(to_uint8(source)))}
    if tflite.reversible:
        functions["reverse"] = lambda target: to_float(tflite.reverse(to_uint8(target)))
    return functions


def _table(scores: dict[str, Any]) -> str:
    scores = dict(scores)
    notes, errors = scores.pop("notes"), scores.pop("standard_errors")
    width = max(map(len, scores))
    rows = []
    for name, value in scores.items():
        text = f"{value:.4f}" if isinstance(value, float) else str(value)
        text += f" ± {errors[name]:.4f}" if name in errors else ""
        rows.append(f"{name:{width}}  {text}" + (f" ({notes[name]})" if name in notes else ""))
    return "\n".join(rows)

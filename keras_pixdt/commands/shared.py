"""Helpers that several commands share: adding commands and options, and importing Keras."""

import argparse
import importlib
import inspect
import os
import pathlib
import sys
import tempfile
from typing import Any

from absl import logging

from keras_pixdt.choices import CHECKPOINTS, SHIPPED, Size, parse_size

RUN = f"folder of a finished run, or a preset: its folder, hf://USER/NAME, or {SHIPPED}"

_WHAT_IT_KNOWS = (
    f"Using {SHIPPED}, which comes with the package. It knows drawn persons only: its drawings of "
    "them find the product among the first ten in 89% of cases (of 1,600 products), those of "
    "street photos in 19% (of 595). "
    "`pixdt train --data YOUR_PAIRS/ --workdir runs/mine` trains on your own photos, for --model "
    "runs/mine"
)


def size(text: str) -> Size:
    """A size as an option's type, see `parse_size`."""
    try:
        return parse_size(text)
    except ValueError as error:
        raise argparse.ArgumentTypeError(str(error)) from None


def add_command(commands: Any, name: str, doc: str | None) -> argparse.ArgumentParser:
    """Adds a command to the result of `add_subparsers`.

    The first line of its docstring is its help; the lines below "Example:" form one shell command.
    """
    what, _, example = inspect.cleandoc(doc or "").partition("\n\nExample:\n")
    return commands.add_parser(
        name,
        help=what[:1].lower() + what[1:].rstrip("."),
        description=what,
        epilog=f"example:\n  {' '.join(example.split())}",
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )


def add_checkpoint_argument(parser: argparse.ArgumentParser) -> None:
    """Adds the option for which model of a run to use."""
    parser.add_argument(
        "--checkpoint",
        choices=CHECKPOINTS,
        default="final",
        help="which model of the run: its last (default), or that of its best epoch",
    )


# The options that say where the data of a run are now, and their help.
_PLACES = {
    "data": "folder, archive or tfds:NAME of the run's data, if they are no longer where they were "
    "when it was trained; they must be the same",
    "target_data": "the same for the second of two domains",
    "data_dir": "the same for the folder of TFDS data",
    "crop": "the same for the file of the first domain's boxes",
    "target_crop": "the same for that of the second domain's",
}


def add_moved_data_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options for where the data of a run are now."""
    for name, what in _PLACES.items():
        parser.add_argument(f"--{name.replace('_', '-')}", metavar="PLACE", help=what)


def add_embedder_argument(parser: argparse.ArgumentParser) -> None:
    """Adds the option for the embedder that `open_embedder` opens."""
    parser.add_argument(
        "--embedder",
        required=True,
        help="network to compare images with: a .keras file, a preset (its folder, hf://USER/NAME, "
        f"or {SHIPPED}), or the folder of a run. For a run, one is trained once, on its training "
        "products and its drawings of them",
    )


def open_embedder(path: str) -> Any:
    """Opens `--embedder` as a Keras model."""
    import_keras()
    from keras_pixdt.hub import preset
    from keras_pixdt.search import catalogue

    found = find(path)
    if (found / preset.SEARCH_EMBEDDER).is_file():  # the model is not needed then
        found /= preset.SEARCH_EMBEDDER
    if found.is_dir():
        return preset.load_preset(path).search_embedder()
    return catalogue.load_embedder(found)


def open_run(arguments: argparse.Namespace) -> Any:
    """Opens `--workdir`, a run or a preset, with its data where the options say."""
    find(arguments.workdir)
    import_keras()
    from keras_pixdt.hub.preset import load_preset

    given = {name: getattr(arguments, name) for name in _PLACES}
    moved = {name: place for name, place in given.items() if place is not None}
    data = moved.pop("data", None)
    return load_preset(arguments.workdir, arguments.checkpoint, data=data, data_options=moved)


def find(name: str) -> pathlib.Path:
    """The folder or the file that a run, a preset or a path names, see `hub.preset.find`."""
    from keras_pixdt.hub import preset

    try:
        return preset.find(name)
    except ImportError as error:  # of the extra; the user's to install, and no bug of ours
        raise ValueError(str(error)) from error


def find_to_draw(name: str) -> pathlib.Path:
    """`find` for a model that draws: says what the preset of the package knows."""
    if name == SHIPPED:
        logging.info("%s", _WHAT_IT_KNOWS)
    return find(name)


def tflite_of(path: pathlib.Path) -> pathlib.Path:
    """The `.tflite` file in the folder of a preset or a run; a file is returned as it is."""
    from keras_pixdt.hub import preset

    if not path.is_dir():
        return path
    exported = path / "export" / preset.TFLITE
    return exported if exported.exists() else path / preset.TFLITE


def import_keras(strategy: str = "none") -> None:
    """Imports Keras without TensorFlow's startup messages on CPU features and missing GPUs.

    TF_CPP_MIN_LOG_LEVEL silences its C++ code, whose failures reach Python as exceptions, but not
    the messages that the import itself writes before logging is set up. The stream is therefore
    redirected during the import, and shown if the import fails.
    """
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
    # TensorFlow turns on its oneDNN kernels by itself only on CPUs with AVX-512, but they are
    # faster on others too (1.7 times with AVX2). Between workers they fail.
    os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "0" if strategy == "multi_worker" else "1")
    sys.stderr.flush()
    stream = os.dup(2)
    with tempfile.TemporaryFile() as aside:
        os.dup2(aside.fileno(), 2)
        try:
            importlib.import_module("keras")
        except Exception:  # after Ctrl-C, nobody wants to read them
            aside.seek(0)
            os.write(stream, aside.read())
            raise
        finally:
            os.dup2(stream, 2)
            os.close(stream)

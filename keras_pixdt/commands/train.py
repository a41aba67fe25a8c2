"""Train a preset on pairs of photos.

Example:
    pixdt train --data LookBook/ --minutes 10 --workdir runs/lookbook
"""

import argparse
import json
import os
import pathlib
import shlex
import sys
from typing import Any

from absl import logging

from keras_pixdt import presets
from keras_pixdt.choices import (
    HUB,
    LAYOUTS,
    PRECISIONS,
    SCHEMES,
    SCORES,
    SHIPPED,
    STRATEGIES,
)
from keras_pixdt.commands.shared import find, import_keras, size

_PRESET_FIELDS = ("batch_size", "image_size", "width", "dtype", "ema_momentum", "start")
_DATA_OPTIONS = (
    "target_data", "edges", "crop", "target_crop", "splits", "data_dir", "num_products", "layout",
)  # fmt: skip
# Fields and function arguments that have other names on the command line.
_CALLED = {
    "dtype": "precision", "ema_momentum": "ema", "num_products": "products",
    "worker_timeout_s": "worker_timeout",
}  # fmt: skip


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    _add_data_arguments(parser)
    add = parser.add_argument
    add(
        "--preset",
        help=f"one of {', '.join(presets.names())} (default: flow-64; with --from RUN, that of the "
        "run with all its settings)",
    )
    length = parser.add_mutually_exclusive_group()
    length.add_argument("--minutes", type=float, help="time limit; default: the preset's epochs")
    length.add_argument(
        "--epochs",
        type=int,
        help="epochs instead of the preset's; more than a finished run has continue it",
    )
    add("--workdir", required=True, help="folder for the run; if one is there, it continues")
    add("--seed", type=int, default=0, help="of weights and batches (default: 0)")
    _add_preset_arguments(parser)
    add(
        "--strategy",
        choices=STRATEGIES,
        default="none",
        help="devices that share each batch: one (default), those of this machine (mirrored), "
        "those of the machines in TF_CONFIG (multi_worker), or a TPU's",
    )
    add("--replicas", type=int, help="devices of this machine; default: all")
    add(
        "--worker-timeout",
        type=float,
        metavar="SECONDS",
        help="how long the workers of multi_worker wait for one another to start",
    )
    add(
        "--save-every",
        type=int,
        metavar="BATCHES",
        help="save within epochs too, for --workdir to continue from (default: at their ends)",
    )
    add(
        "--best",
        choices=tuple(SCORES),
        help="score of the model that is kept as best (default: val_rmse); without pairs none is",
    )


def _add_data_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    add(
        "--data",
        default="rendered",
        help="folder or archive in a known layout, CSV of source,target, tfds:NAME, or rendered "
        "(default); of two domains the first: images of any names, or tfds:NAME:ATTRIBUTE=1",
    )
    add(
        "--layout",
        choices=LAYOUTS,
        help="how the files of --data are named; auto (default) recognizes it, and says why",
    )
    domains = parser.add_mutually_exclusive_group()
    domains.add_argument(
        "--target-data",
        metavar="DATA",
        help="the second domain, for presets that learn without pairs (kim2017, ...)",
    )
    domains.add_argument(
        "--edges",
        nargs="?",
        const=True,
        choices=("soft",),
        help="make the edges of the photos in --data the first domain, the photos the second; "
        "soft: gray where they are less steep, instead of thin lines",
    )
    add(
        "--crop",
        metavar="FILE",
        help="use only parts of the first domain's images: a JSON file that maps an image's path "
        "within the folder or archive, or the end of it, to [left, top, right, bottom] in px of "
        "the upright image; images that it does not name are used whole",
    )
    add("--target-crop", metavar="FILE", help="the same for the second domain")
    add(
        "--splits",
        choices=tuple(SCHEMES),
        help="90/5/5 or 90/10 of the products; default: the splits that the data have, or else "
        "90/5/5; TFDS data is split by its config",
    )
    add("--data-dir", help="where TFDS data was prepared")
    add("--products", type=int, help="number of products of the rendered set")


def _add_preset_arguments(parser: argparse.ArgumentParser) -> None:
    add = parser.add_argument
    for option, kind, what in (
        ("--batch-size", int, "pairs in a batch"),
        (
            "--image-size",
            size,
            "side of the images in px, for most presets a power of two; for "
            "flow-* and pix2pix-* also HEIGHTxWIDTH, such as 256x192",
        ),
        ("--width", float, "factor on the numbers of filters"),
        ("--ema", float, "momentum of the average of the converter's weights, such as 0.999"),
    ):
        add(option, type=kind, help=f"{what}; default: the preset's")
    add(
        "--set",
        nargs="+",
        default=[],
        metavar="FIELD=VALUE",
        help="other values of any fields of the preset, such as selection=sample mirror=false "
        "photo_size=256x192",
    )
    add(
        "--function",
        metavar="FILE",
        help="f of a Domain Transfer Network: a .keras model of images in [-1, 1]; default: one is "
        "trained first, on the labels of the first domain",
    )
    add("--precision", choices=PRECISIONS, help="default: the preset's")
    add(
        "--from",
        dest="start",
        metavar="RUN",
        help="fine-tune the weights of a run's folder, of a shared one (hf://USER/NAME) or of a "
        ".keras file; rendered: those that come with the package; none: new ones; default: the "
        "preset's",
    )


def run(arguments: argparse.Namespace) -> int | None:
    """Trains."""
    import_keras(arguments.strategy)
    from keras_pixdt.training import devices, start
    from keras_pixdt.training.peers import WorkerLostError
    from keras_pixdt.training.trainer import train

    if arguments.start == SHIPPED:
        arguments.start = start.RENDERED
    elif arguments.start is not None and arguments.start.startswith(HUB):
        arguments.start = str(find(arguments.start))
    preset = _preset(arguments)
    changed = _given(arguments, *_PRESET_FIELDS)
    if arguments.function is not None:
        if "function" not in preset.options():
            raise ValueError(
                f"--function is for presets with an f, and {preset.name!r} has none. Leave it out."
            )
        changed["function"] = os.path.abspath(arguments.function)
    preset = preset.changed(arguments.set, **changed)
    distribution = devices.start(
        arguments.strategy,
        preset.dtype,
        replicas=arguments.replicas,
        **_given(arguments, "worker_timeout_s"),
    )
    try:
        finished = train(
            preset,
            arguments.data,
            arguments.workdir,
            data_options=_given(arguments, *_DATA_OPTIONS),
            minutes=arguments.minutes,
            epochs=arguments.epochs,
            seed=arguments.seed,
            distribution=distribution,
            best=arguments.best,
            save_every=arguments.save_every,
            verbose=1 if sys.stdout.isatty() else 2,  # no progress bar in files
        )
    except WorkerLostError as error:
        logging.error("%s", error)
        return 1
    logging.info("Trained. Next: pixdt evaluate --workdir %s", finished.workdir)
    return None


def _preset(arguments: argparse.Namespace) -> presets.Preset:
    """The preset that is asked for."""
    from keras_pixdt.training.record import kept_preset

    start = pathlib.Path(arguments.start or "")
    if arguments.preset is None and arguments.start and (start / "run.json").is_file():
        preset, _ = kept_preset(start)
        logging.info("Training preset %s, as %s was", preset.name, start)
        return preset
    return presets.get(arguments.preset or "flow-64")


def interrupted(arguments: argparse.Namespace, command: str) -> str:
    """What is left: a run that is finished, that continues, or that has no checkpoint yet."""
    workdir = pathlib.Path(arguments.workdir)
    where = " (on every worker)" if arguments.strategy == "multi_worker" else ""
    options = workdir / "run.json"
    kept = json.loads(options.read_text()) if options.exists() else {}
    asked = arguments.minutes or arguments.epochs
    if "trained_minutes" in kept and asked in (None, kept["minutes"], kept["epochs"]):
        return f"{workdir} is finished. Next: pixdt evaluate --workdir {shlex.quote(str(workdir))}"
    if (workdir / "checkpoints" / "last.keras").exists() or (workdir / "model.keras").exists():
        return f"{workdir} is whole. To continue from its last checkpoint{where}: {command}"
    return f"{workdir} has no checkpoint yet. To start again{where}: {command}"


def _given(arguments: argparse.Namespace, *names: str) -> dict[str, Any]:
    """Those of these options that the user gave."""
    values = {name: getattr(arguments, _CALLED.get(name, name)) for name in names}
    return {name: value for name, value in values.items() if value is not None}

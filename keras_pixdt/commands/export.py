"""Write a SavedModel and TFLite files, verified against Keras.

Example:
    pixdt export --workdir runs/lookbook --out runs/lookbook/export
"""

import argparse
import pathlib

from absl import logging

from keras_pixdt.choices import HUB, SHIPPED
from keras_pixdt.commands.shared import (
    RUN,
    add_checkpoint_argument,
    add_moved_data_arguments,
    open_run,
)


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    add = parser.add_argument
    add("--workdir", required=True, help=RUN)
    add_checkpoint_argument(parser)
    add_moved_data_arguments(parser)
    add("--out", help="folder for the files (default: WORKDIR/export; a preset has none)")
    add(
        "--variants",
        nargs="+",
        choices=("float32", "float16", "dynamic", "int8"),
        default=("float32", "dynamic"),
        help="TFLite files to write (default: float32 dynamic)",
    )
    add(
        "--reverse",
        action="store_true",
        help="write the way back of a DiscoGAN too, from the second domain to the first, as the "
        "signature `reverse`. If the run's preset has reverse=True, the two are swapped",
    )


def run(arguments: argparse.Namespace) -> int | None:
    """Writes the files."""
    if arguments.out is None and (
        arguments.workdir == SHIPPED or arguments.workdir.startswith(HUB)
    ):
        raise ValueError(
            "--out must be given with a preset, whose folder stays as it is. Received: --workdir "
            f"{arguments.workdir} alone"
        )
    finished = open_run(arguments)
    import export

    out = arguments.out or pathlib.Path(arguments.workdir) / "export"
    try:
        report = export.export_run(finished, out, arguments.variants, reverse=arguments.reverse)
    except export.ExportError as error:
        logging.error("%s. Nothing was written to %s", error, out)
        if len(arguments.variants) > 1:
            logging.error("To leave a variant out, name the others: --variants float32")
        return 1
    logging.info("Wrote %s", ", ".join(v["file"] for v in report["variants"].values()))
    logging.info("to %s, with saved_model and export.json", out)
    return None

"""Make the index of a catalogue, or bring it up to date.

Example:
    pixdt index catalogue/ --embedder runs/lookbook --out catalogue.index
"""

import argparse
import os

from keras_pixdt.commands.shared import add_embedder_argument, open_embedder


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    add = parser.add_argument
    add("catalogue", help="folder or archive of product photos, or tfds:NAME for its products")
    add_embedder_argument(parser)
    add("--out", required=True, help="file of the index")
    add("--split", help="split of TFDS data (default: all)")
    add("--data-dir", help="where TFDS sets were prepared")


def run(arguments: argparse.Namespace) -> None:
    """Writes the index."""
    from keras_pixdt.search import catalogue

    catalogue.index_catalogue(
        arguments.catalogue,
        open_embedder(arguments.embedder),
        arguments.out,
        split=arguments.split,
        data_dir=arguments.data_dir,
    )


def interrupted(arguments: argparse.Namespace, command: str) -> str:
    """What is left: the index is written at the end."""
    if os.path.exists(arguments.out):
        return f"{arguments.out} is whole. To bring it up to date: {command}"
    return f"{arguments.out} is not written yet. To start again: {command}"

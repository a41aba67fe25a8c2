"""Repeat an experiment of a paper.

Example:
    pixdt reproduce yoo2016-table3 --data LookBook/ --budget cpu
"""

import argparse
import sys

from keras_pixdt import reproduce
from keras_pixdt.commands.shared import import_keras


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    add = parser.add_argument
    add(
        "name",
        choices=("list", "all", *reproduce.EXPERIMENTS),
        metavar="NAME",
        help="or: list; all, which runs what is missing of each",
    )
    add(
        "options",
        nargs=argparse.REMAINDER,
        metavar="...",
        help="options of the experiment: NAME --help lists them",
    )


def run(arguments: argparse.Namespace) -> int | None:
    """Runs the experiment, which parses its own options."""
    if arguments.name == "list":
        width = max(map(len, reproduce.EXPERIMENTS))
        sys.stdout.writelines(
            f"{name:{width}}  {line}\n" for name, line in reproduce.EXPERIMENTS.items()
        )
        return None
    import_keras()
    if arguments.name == "all":
        from keras_pixdt.reproduce import overview

        return overview.main(arguments.options)
    reproduce.main(arguments.name, arguments.options)
    return None


def interrupted(arguments: argparse.Namespace, command: str) -> str:
    """What is left: runs are continued, and all that has been trained is found again."""
    return f"What has been trained is kept. To continue: {command}"

"""Draw a data set, train, score, export and report, in about ten minutes.

Example:
    pixdt demo --workdir runs/demo
"""

import argparse

from absl import logging

from keras_pixdt.commands.shared import import_keras


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the options."""
    add = parser.add_argument
    add("--workdir", default="runs/demo", help="folder (default: runs/demo)")
    add("--minutes", type=float, default=6.0, help="of training (default: %(default)s)")
    add("--products", type=int, help="draw another number of products than the builder's")


def run(arguments: argparse.Namespace) -> None:
    """Runs the demo."""
    import_keras()
    from keras_pixdt.demo import run_demo

    report = run_demo(arguments.workdir, arguments.minutes, arguments.products)
    logging.info("Open %s", report)


def interrupted(arguments: argparse.Namespace, command: str) -> str:
    """What is left: each of the six parts is continued or done again."""
    return f"What is in {arguments.workdir} is whole. To continue: {command}"

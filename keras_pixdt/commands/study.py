"""Let people rate what runs draw, as in the papers.

Example:
    pixdt study score answers-*.json --key study.key.json
"""

import argparse
import pathlib
import sys

from absl import logging

from keras_pixdt import atomic, study
from keras_pixdt.commands.shared import add_checkpoint_argument, add_command, import_keras


def add_arguments(parser: argparse.ArgumentParser) -> None:
    """Adds the two steps, with their options."""
    steps = parser.add_subparsers(required=True, metavar="COMMAND")
    create = add_command(steps, "create", _create.__doc__)
    create.set_defaults(step=_create)
    add = create.add_argument
    add(
        "--protocol",
        choices=tuple(study.PROTOCOLS),
        required=True,
        help="three questions about each result (yoo2016), or ranks (kwon2019)",
    )
    add(
        "--methods",
        nargs="+",
        required=True,
        metavar="NAME=RUN",
        help="names, which raters do not see, and folders of finished runs on the same data",
    )
    add_checkpoint_argument(create)
    add("--split", default="test", help="split of the photos (default: test)")
    add("--photos", type=int, help="default: the paper's, 100 or 70")
    add("--seed", type=int, default=0, help="of the photos (default: 0)")
    add("--out", required=True, help="the page, study.html; its key is study.key.json beside it")

    score = add_command(steps, "score", _score.__doc__)
    score.set_defaults(step=_score)
    add = score.add_argument
    add("answers", nargs="+", metavar="ANSWERS", help="files that raters downloaded")
    add("--key", required=True, help="file that was written beside the page")
    add("--seed", type=int, default=0, help="of the intervals (default: 0)")
    add("--json", metavar="FILE", help="write the scores as JSON too")


def run(arguments: argparse.Namespace) -> None:
    """Runs the step."""
    arguments.step(arguments)


def _create(arguments: argparse.Namespace) -> None:
    """Write the page on which people rate, and its key.

    Example:
        pixdt study create --protocol yoo2016 --methods "C+RF=runs/a" "C+RF+DD=runs/b"
        --out study.html
    """
    import_keras()
    made = study.create(
        study.parse_methods(arguments.methods),
        arguments.protocol,
        arguments.out,
        split=arguments.split,
        photos=arguments.photos,
        seed=arguments.seed,
        checkpoint=arguments.checkpoint,
    )
    logging.info(
        "%s: the page for raters, with %d photos. Keep %s: the scores need it, and it has the "
        "names of the methods.",
        made["page"], made["photos"], made["key"],
    )  # fmt: skip


def _score(arguments: argparse.Namespace) -> None:
    """Print the table of what raters answered.

    Example:
        pixdt study score answers-*.json --key study.key.json
    """
    scores = study.score(arguments.answers, arguments.key, seed=arguments.seed)
    if arguments.json:
        atomic.write_json(pathlib.Path(arguments.json), scores)
    sys.stdout.write(study.table(scores) + "\n")

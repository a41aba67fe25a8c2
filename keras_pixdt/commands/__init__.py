"""`pixdt`: one module per command, with its options (`add_arguments`) and its call (`run`).

The module's docstring is the help. `run` returns the exit status, or None for 0. Keras is imported
only in `run`, so `pixdt --help` does not wait for it. A module's `interrupted` tells what Ctrl-C
leaves, and how to go on.
"""

import argparse
import importlib
import logging as std_logging
import os
import pathlib
import shlex
import signal
import sys
from collections.abc import Sequence

from absl import flags, logging

from keras_pixdt import progress
from keras_pixdt.commands.interrupts import Interrupts
from keras_pixdt.commands.shared import add_command

# Modules of this package, in the order of `pixdt --help`.
_COMMANDS = (
    "train", "evaluate", "convert", "export", "index", "search", "serve", "demo", "reproduce",
    "study",
)  # fmt: skip

# Errors in the user's input are reported in one line. Anything else is a bug of ours and shows its
# traceback.
_USER_ERRORS = (ValueError, OSError, FloatingPointError)


def main(argv: Sequence[str] | None = None) -> int:
    """Runs the command.

    Args:
        argv: the arguments after the program's name; by default those of the process, whose
            signals are then handled too.

    Returns:
        The exit status: 0, 1 if the input was at fault, or 130 after Ctrl-C (143 after SIGTERM).
    """
    command = shlex.join(["pixdt", *(sys.argv[1:] if argv is None else argv)])
    arguments = argparse.Namespace(interrupted=_start_again)

    def line() -> str:
        try:
            return f"Interrupted. {arguments.interrupted(arguments, command)}"
        except (AttributeError, KeyError, ValueError, OSError):  # half parsed, or a damaged run
            return f"Interrupted. {_start_again(arguments, command)}"

    interrupts = Interrupts(line) if argv is None else None
    try:
        _log_for_users()
        _parser().parse_args(argv, arguments)
        return arguments.run(arguments) or 0
    except BaseException as error:
        # Libraries turn the exception that a signal raises into others.
        if isinstance(error, KeyboardInterrupt) or (interrupts and interrupts.received):
            progress.close()
            if sys.stderr.isatty():
                os.write(2, b"\n")  # below "^C" and what Keras was writing
            logging.error("%s", line())
            if interrupts is None:
                return 128 + signal.SIGINT
            interrupts.told = True
            return interrupts.status
        if not isinstance(error, _USER_ERRORS):
            raise
        logging.error("%s", error)
        return 1


def _start_again(arguments: argparse.Namespace, command: str) -> str:
    return f"To start again: {command}"


def _log_for_users() -> None:
    flags.FLAGS.mark_as_parsed()  # argparse did; otherwise absl would warn that nobody has
    logging.use_absl_handler()
    logging.set_verbosity(logging.INFO)
    logging.get_absl_handler().setFormatter(None)
    logging.get_absl_handler().addFilter(_is_for_users)
    # TensorFlow warns about traces of its own functions, and twice, because it has its own handler.
    std_logging.getLogger("tensorflow").setLevel(std_logging.ERROR)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(
        prog="pixdt",
        description="From a photo of a dressed person to the product image of the garment.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND")
    for name in _COMMANDS:
        module = importlib.import_module(f"keras_pixdt.commands.{name}")
        command = add_command(commands, name, module.__doc__)
        module.add_arguments(command)
        command.set_defaults(
            run=module.run, interrupted=getattr(module, "interrupted", _start_again)
        )
    return parser


def _is_for_users(record: std_logging.LogRecord) -> bool:
    """Lets through this project's messages and other packages' warnings."""
    own = pathlib.Path(__file__).parents[2]
    packages = [own / name for name in ("keras_pixdt", "tfds_lookbook", "export")]
    path = pathlib.Path(record.pathname)
    return record.levelno >= std_logging.WARNING or any(
        path.is_relative_to(package) for package in packages
    )

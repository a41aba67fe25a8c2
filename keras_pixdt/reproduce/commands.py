"""What the commands of the experiments share."""

from __future__ import annotations

from collections.abc import Sequence

from absl import flags, logging


def start_logging() -> None:
    """Lets absl log what the experiments report, once the arguments are parsed."""
    flags.FLAGS.mark_as_parsed()  # argparse did; absl would warn that nobody has
    logging.use_absl_handler()
    logging.set_verbosity(logging.INFO)


def aligned(rows: Sequence[Sequence[str]]) -> str:
    """Rows of cells as lines of text, in columns."""
    widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
    return "\n".join(
        "  ".join(cell.ljust(w) for cell, w in zip(row, widths, strict=True)).rstrip()
        for row in rows
    )

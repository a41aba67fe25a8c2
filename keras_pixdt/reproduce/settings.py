"""The settings with which each row of a table was trained, beside those of the paper's row.

A row's scores contain them. Either "preset" has the options of the trained preset, with "epochs"
(how often it saw the data), "samples" and "steps" if they are known, and "paper_preset" has the
options of the paper's row, by default from `keras_pixdt.presets.of_paper`; None says that no paper
has the row. Or, for rows without a preset, there are "settings" and "paper_settings". Rows without
a network have none of these.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from keras_pixdt import presets
from keras_pixdt.presets import Phase

LEGEND = (
    "Settings of the rows, those that differ from the paper's or between rows. In brackets: the "
    "preset of the paper's row; what the paper does not give is marked so in that preset."
)
Paper = Mapping[str, Any] | None  # settings of the paper's row; None where no paper has it
_MISSING = object()
# Options of a preset that are not shown: names, a path, and those shown as rates, sizes and epochs.
_NOT_SHOWN = ("name", "reference", "function", "phases", "batch_size", "passes")


def of_row(scores: Mapping[str, Any]) -> tuple[dict[str, Any], dict[str, Any] | None]:
    """The settings of a row and of the paper's (see `Paper`), name -> value, ready for JSON.

    Args:
        scores: of one seed of the row; see the module.
    """
    if "preset" not in scores:
        return dict(scores.get("settings", {})), dict(scores.get("paper_settings", {}))
    own = scores["preset"]
    known = {name: scores[name] for name in ("epochs", "samples", "steps") if name in scores}
    paper = scores.get("paper_preset", presets.of_paper(own["name"]).options())
    if paper is None:
        return {**known, **_flat(own)}, None
    epochs = paper["passes"] * sum(Phase(*phase).epochs for phase in paper["phases"])
    return {**known, **_flat(own)}, {"epochs": epochs, **_flat(paper)}


def _flat(options: Mapping[str, Any]) -> dict[str, Any]:
    """Options of a preset, with one value for each."""
    phases = [Phase(*phase) for phase in options["phases"]]
    shown = {name: value for name, value in options.items() if name not in _NOT_SHOWN}
    if "discriminator_width" in shown and shown["discriminator_width"] is None:
        shown["discriminator_width"] = shown["width"]  # for which None stands
    if "image_size" in shown:  # what only appearance flow has, as the others do it
        others = {"photo_size": shown["image_size"], "augment": False, "truth": False}
        shown = {**others, **shown}
    return {
        "learning_rate": _by_phase(phases, [phase.learning_rate for phase in phases]),
        "batch_size": _by_phase(phases, [p.batch_size or options["batch_size"] for p in phases]),
        **shown,
    }


def _by_phase(phases: Sequence[Phase], values: Sequence[Any]) -> Any:
    """A value, or where phases have several, each with its share of the epochs."""
    shares: list[list[Any]] = []
    for phase, value in zip(phases, values, strict=True):
        if shares and shares[-1][0] == value:
            shares[-1][1] += phase.epochs
        else:
            shares.append([value, phase.epochs])
    if len(shares) == 1:
        return values[0]
    total = sum(epochs for _, epochs in shares)
    return ", ".join(f"{_shown(value)} for {epochs / total:.0%}" for value, epochs in shares)


def steps(preset: presets.Preset, epochs: int, samples: int) -> int:
    """Updates of a training.

    Args:
        preset: says the batches of each epoch.
        epochs: of the run.
        samples: that are seen in all of them; what is left of an epoch after its last whole batch
            is not.
    """
    sizes = (preset.epoch_batch_size(epoch, epochs) for epoch in range(epochs))
    return sum(samples // epochs // size for size in sizes)


def of_training(
    preset: presets.Preset, epochs: int, samples: int, passes: int = 1
) -> dict[str, Any]:
    """The part of a row's scores that describes its training; see the module.

    Args:
        preset: that was trained.
        epochs: of the run.
        samples: that were seen in all of them.
        passes: through the data in each epoch.
    """
    return {
        "preset": preset.options(),
        "epochs": epochs * passes,
        "samples": samples,
        "steps": steps(preset, epochs, samples),
    }


def table(rows: Sequence[tuple[str, Mapping[str, Any], Paper]]) -> list[list[str]]:
    """The settings of rows that differ, side by side.

    Args:
        rows: of each row its title, its settings, and those of the paper's row (see `Paper`).

    Returns:
        The cells, the header first. There is a line for each setting that differs from the paper's
        in some row, is not given there, or differs between rows, and one column for all rows that
        agree in these settings. Empty if there are none.
    """
    rows = [row for row in rows if row[1]]
    told = {}
    for name in dict.fromkeys(name for _, settings, _ in rows for name in settings):
        own = [(s[name], _paper(name, s, p)) for _, s, p in rows if name in s]
        if any(value != paper for value, paper in own) or any(v != own[0][0] for v, _ in own):
            told[name] = [_told(name, settings, paper) for _, settings, paper in rows]
    if not told:
        return []
    columns: dict[tuple[str, ...], list[str]] = {}
    for (title, _, _), column in zip(rows, zip(*told.values(), strict=True), strict=True):
        columns.setdefault(column, []).append(title)
    heads = ["all rows"] if len(rows) > len(columns) == 1 else map("; ".join, columns.values())
    return [["", *heads], *([name, *cells] for name, *cells in zip(told, *columns, strict=True))]


def _paper(name: str, settings: Mapping[str, Any], paper: Paper) -> Any:
    """The paper's value of a setting; that of the row itself where no paper has the row."""
    return settings[name] if paper is None else paper.get(name, _MISSING)


def _told(name: str, settings: Mapping[str, Any], paper: Paper) -> str:
    if name not in settings:
        return "-"
    own, theirs = settings[name], _paper(name, settings, paper)
    if theirs is _MISSING or own == theirs:
        return _shown(own)
    return f"{_shown(own)} (paper: {_shown(theirs)})"


def _shown(value: Any) -> str:
    if value is None or isinstance(value, bool):
        return {None: "none", True: "yes", False: "no"}[value]
    if isinstance(value, float):
        return f"{value:g}"
    return f"{value:,}" if isinstance(value, int) else str(value)

"""What an experiment found, beside the paper's figures: one table as Markdown, JSON and HTML."""

from __future__ import annotations

import dataclasses
import pathlib
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from keras_pixdt.atomic import replacing, write_json
from keras_pixdt.report import Report, markdown_table


@dataclasses.dataclass(frozen=True)
class Score:
    """A column of ours.

    Attributes:
        key: name of the value in the rows' scores.
        title: head of the column; says what measured it.
        better: "higher" or "lower".
        form: how a value is shown, a format specification.
    """

    key: str
    title: str
    better: str
    form: str = ".4f"

    def __post_init__(self) -> None:
        """Checks the direction."""
        if self.better not in ("higher", "lower"):
            raise ValueError(
                f"`better` of the score {self.key!r} must be 'higher' or 'lower'. "
                f"Received: {self.better!r}"
            )


@dataclasses.dataclass(frozen=True)
class Claim:
    """An ordering that the paper's table shows: one row is better than another in a score.

    Attributes:
        better: key of the row that is said to be better.
        worse: key of the other row.
        score: key of the score.
    """

    better: str
    worse: str
    score: str


@dataclasses.dataclass
class Row:
    """A row of the table.

    Attributes:
        key: short name, what `--rows` takes.
        title: as the paper calls it.
        paper: the paper's own figures, title of the column -> figure as printed there.
        seeds: of each seed, its scores and what else is worth keeping, ready for JSON; empty as
            long as the row has not been run.
    """

    key: str
    title: str
    paper: Mapping[str, str] = dataclasses.field(default_factory=dict)
    seeds: dict[int, dict[str, Any]] = dataclasses.field(default_factory=dict)

    def values(self, score: str) -> list[float]:
        """A score of all seeds that have it."""
        found = (scores.get(score) for scores in self.seeds.values())
        return [value for value in found if value is not None]


@dataclasses.dataclass
class Result:
    """A table, as far as it has been run.

    Attributes:
        name: of the experiment; its files are called so.
        title: what it repeats.
        scores: the columns.
        rows: the rows.
        claims: what the paper's table says.
        settings: data, budget and the like.
        made_with: machine, versions, commit, version of the code.
        pictures: name of a PNG file in the folder -> what it shows.
        curves: title -> name of a line -> one value for each epoch.
        notes: what a reader must know to read the table, one sentence each.
    """

    name: str
    title: str
    scores: Sequence[Score]
    rows: Sequence[Row]
    claims: Sequence[Claim] = ()
    settings: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    made_with: Mapping[str, Any] = dataclasses.field(default_factory=dict)
    pictures: dict[str, str] = dataclasses.field(default_factory=dict)
    curves: dict[str, dict[str, list[float]]] = dataclasses.field(default_factory=dict)
    notes: Sequence[str] = ()

    def _defined(self) -> list[Score]:
        """The columns but for those that no row has a value for, such as FID of few images."""
        return [s for s in self.scores if any(row.values(s.key) for row in self.rows)]

    def cells(self) -> list[list[str]]:
        """The table, its head first: our scores, then the paper's figures in columns of their own.

        A value is the mean over the seeds; with several, ± their standard deviation.
        """
        arrow = {"higher": "↑", "lower": "↓"}
        scores = self._defined()
        ours = [f"{score.title} {arrow[score.better]}" for score in scores]
        paper = list(dict.fromkeys(title for row in self.rows for title in row.paper))
        table = [["", *ours, *(f"paper: {title}" for title in paper)]]
        for row in self.rows:
            cells = [_shown(row.values(score.key), score.form) for score in scores]
            table.append([row.title, *cells, *(row.paper.get(title, "") for title in paper)])
        return table

    def verdicts(self) -> list[dict[str, Any]]:
        """Of each claim whose rows have been run: does it hold here?

        Returns:
            Dicts with "claim", a sentence; "holds", of the means over the seeds, None where these
            are equal; "seeds", the number of seeds in which it holds, and "of", of how many.
        """
        rows = {row.key: row for row in self.rows}
        scores = {score.key: score for score in self.scores}
        verdicts = []
        for claim in self.claims:
            score, better, worse = scores[claim.score], rows[claim.better], rows[claim.worse]
            ours, others = better.values(score.key), worse.values(score.key)
            if not ours or not others:
                continue
            sign = 1 if score.better == "higher" else -1
            both = sorted(
                seed
                for seed in set(better.seeds) & set(worse.seeds)
                if better.seeds[seed].get(score.key) is not None
                and worse.seeds[seed].get(score.key) is not None
            )
            ahead = [
                sign * (better.seeds[seed][score.key] - worse.seeds[seed][score.key]) > 0
                for seed in both
            ]
            difference = sign * (statistics.fmean(ours) - statistics.fmean(others))
            verdicts.append(
                {
                    "claim": f"{better.title} is better than {worse.title} in {score.title}",
                    "holds": difference > 0 if difference else None,
                    "seeds": sum(ahead),
                    "of": len(ahead),
                }
            )
        return verdicts

    def as_json(self) -> dict[str, Any]:
        """All of it, ready for JSON."""
        return {
            "name": self.name,
            "title": self.title,
            "settings": dict(self.settings),
            "scores": [dataclasses.asdict(score) for score in self.scores],
            "rows": [
                {
                    "key": row.key,
                    "title": row.title,
                    "paper": dict(row.paper),
                    "seeds": {str(seed): scores for seed, scores in row.seeds.items()},
                }
                for row in self.rows
            ],
            "claims": self.verdicts(),
            "notes": list(self.notes),
            "pictures": dict(self.pictures),
            "curves": self.curves,
            "made_with": dict(self.made_with),
        }

    def markdown(self) -> str:
        """The table, what holds of it, and its settings; the same whenever it was made."""
        lines = [f"### {self.title}", "", markdown_table(self.cells()), ""]
        for verdict in self.verdicts():
            lines.append(f"- {verdict['claim']}: {_verdict(verdict)}")
        lines += [*([""] if self.claims else []), *self.notes]
        settings = "; ".join(f"{name}: {value}" for name, value in self.settings.items())
        return "\n".join([*lines, "", f"`pixdt reproduce {self.name}`, {settings}.", ""])

    def write(self, folder: pathlib.Path) -> None:
        """Writes `NAME.json`, `NAME.md` and `NAME.html`, with the pictures that are in the folder.

        Args:
            folder: where to.
        """
        write_json(folder / f"{self.name}.json", self.as_json())
        with replacing(folder / f"{self.name}.md") as unfinished:
            unfinished.write_text(self.markdown(), "utf-8")
        head, *rows = self.cells()
        report = Report(self.title, " ".join(self.notes))
        report.table(head, rows)
        if self.verdicts():
            report.heading("What the paper's table says, and this one")
            report.table(
                ["claim", "here"],
                [[v["claim"], _verdict(v).replace("*", "")] for v in self.verdicts()],
            )
        if self.curves:
            report.heading("Over the training")
            report.curves(self.curves)
        for picture, caption in self.pictures.items():
            report.heading(caption)
            report.picture(folder / picture, caption)
        report.heading("How it was made")
        made = {**self.settings, **self.made_with}
        report.table(["", ""], [[name, _told(value)] for name, value in made.items()])
        report.heading("Each seed")
        report.table(
            ["", "seed", *(score.title for score in self._defined()), "minutes"],
            [
                [row.title, str(seed)]
                + [_shown([v] if (v := found.get(s.key)) is not None else [], s.form)
                   for s in self._defined()]
                + [f"{found['minutes']:.1f}" if "minutes" in found else ""]
                for row in self.rows
                for seed, found in row.seeds.items()
            ],
        )  # fmt: skip
        with replacing(folder / f"{self.name}.html") as unfinished:
            report.write(unfinished)


def _told(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {version}" for name, version in value.items())
    return str(value)


def _shown(values: Sequence[float], form: str) -> str:
    """Mean, and with several values their sample standard deviation."""
    if not values:
        return "-"
    mean = format(statistics.fmean(values), form)
    return mean if len(values) < 2 else f"{mean} ± {format(statistics.stdev(values), form)}"


def _verdict(verdict: Mapping[str, Any]) -> str:
    word = {True: "holds", False: "**does not hold**", None: "equal here"}[verdict["holds"]]
    return f"{word} (ahead in {verdict['seeds']} of {verdict['of']} seeds)"

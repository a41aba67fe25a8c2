"""The results of an experiment beside the paper's figures: a table as Markdown, JSON and HTML."""

from __future__ import annotations

import dataclasses
import math
import pathlib
import statistics
from collections.abc import Mapping, Sequence
from typing import Any

from keras_pixdt.atomic import replacing, write_json
from keras_pixdt.report import Report, markdown_table
from keras_pixdt.reproduce import environment
from keras_pixdt.reproduce import settings as row_settings

LEGEND = (
    "Noise: the standard deviations over the seeds, or with one seed the standard errors over the "
    "test images, of both rows (the root of the sum of squares), or the error of what measures, if "
    "that is more. A low bar: with one seed it leaves out how another training ends."
)
_VERDICTS = {True: "holds", False: "does not hold", None: "not decided"}


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
        least: what measures the score may err by as much: up to this lead nothing is decided.
    """

    better: str
    worse: str
    score: str
    least: float = 0.0


@dataclasses.dataclass
class Row:
    """A row of the table.

    Attributes:
        key: short name, what `--rows` takes.
        title: as the paper calls it.
        paper: the paper's own figures, title of the column -> figure as printed there.
        seeds: of each seed, its scores and what else is worth keeping, ready for JSON; empty as
            long as the row has not been run. "standard_errors", where they are known, are of the
            scores of the same names; `keras_pixdt.reproduce.settings` says what it was trained
            with.
        trained: whether its scores depend on a training, and so on the seed. If they do not, one
            seed stands for all.
    """

    key: str
    title: str
    paper: Mapping[str, str] = dataclasses.field(default_factory=dict)
    seeds: dict[int, dict[str, Any]] = dataclasses.field(default_factory=dict)
    trained: bool = True

    def values(self, score: str) -> list[float]:
        """A score of all seeds that have it."""
        return list(self.by_seed(score).values())

    def by_seed(self, score: str) -> dict[int, float]:
        """A score of each seed that has it."""
        found = ((seed, scores.get(score)) for seed, scores in self.seeds.items())
        return {seed: value for seed, value in found if value is not None}

    def noise(self, score: str, seeds: Sequence[int]) -> float | None:
        """How much another training run, or other photos, might change a score.

        Args:
            score: its key.
            seeds: of trainings.

        Returns:
            The standard deviation over several seeds. With one seed, and where nothing is trained,
            the score's standard error; None where it is not known.
        """
        values = self.by_seed(score)
        if self.trained and len(seeds) > 1:
            return statistics.stdev(values[seed] for seed in seeds)
        first = seeds[0] if self.trained else next(iter(values))
        return self.seeds[first].get("standard_errors", {}).get(score)

    def settings(self) -> tuple[dict[str, Any], dict[str, Any] | None]:
        """The settings of its training, and of the paper's row; see `settings.of_row`."""
        return row_settings.of_row(next(iter(self.seeds.values()), {}))


@dataclasses.dataclass
class Result:
    """A table with the results so far.

    Attributes:
        name: of the experiment; its files are called so.
        title: what it repeats.
        scores: the columns.
        rows: the rows.
        claims: what the paper's table says.
        settings: data, budget and the like.
        made_with: machine, versions, commit, version of the code; by default those of now.
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
    made_with: Mapping[str, Any] = dataclasses.field(default_factory=environment.made_with)
    pictures: dict[str, str] = dataclasses.field(default_factory=dict)
    curves: dict[str, dict[str, list[float]]] = dataclasses.field(default_factory=dict)
    notes: Sequence[str] = ()

    def add(self, scores: Mapping[str, Mapping[str, Any]]) -> None:
        """Adds scores of rows that no training decides on, by the keys of the rows."""
        for row in self.rows:
            if row.key in scores:
                row.seeds[0] = dict(scores[row.key])

    def _defined(self) -> list[Score]:
        """The columns, except those for which no row has a value, such as FID of few images."""
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
        """Says whether each claim whose rows have been run holds here.

        The lead belongs to the row that is said to be better. It is the difference of the means
        over the seeds that both rows have. The claim holds if the lead is larger than the noise of
        both rows, which is the root of the sum of the squares of `Row.noise`, or `Claim.least` if
        that is larger. It does not hold if the other row leads by more than the noise. Otherwise
        nothing is decided. This is a low bar. With one seed, the noise is about one standard error
        over the test images, and does not include how differently another training run would end.

        Returns:
            Dicts with "claim", a sentence, and the key of its "score"; "verdict": "holds", "does
            not hold" or "not decided"; "holds", the same as True, False or None; "lead"; "noise",
            None where it is not known; "seeds", the number of seeds in which it leads, and "of", of
            how many.
        """
        rows = {row.key: row for row in self.rows}
        scores = {score.key: score for score in self.scores}
        verdicts = []
        for claim in self.claims:
            score, better, worse = scores[claim.score], rows[claim.better], rows[claim.worse]
            ours, others = better.by_seed(score.key), worse.by_seed(score.key)
            if ours and not better.trained:
                ours = dict.fromkeys(others, next(iter(ours.values())))
            elif others and not worse.trained:
                others = dict.fromkeys(ours, next(iter(others.values())))
            seeds = sorted(set(ours) & set(others))
            if not seeds:
                continue
            high, low = (ours, others) if score.better == "higher" else (others, ours)
            mean_high, mean_low = (statistics.fmean(v[seed] for seed in seeds) for v in (high, low))
            lead = mean_high - mean_low
            noises = [row.noise(score.key, seeds) for row in (better, worse)]
            known = [noise for noise in noises if noise is not None]
            noise = max(math.hypot(*known), claim.least) if len(known) == 2 else None
            holds = None if noise is None or abs(lead) <= noise else lead > 0
            verdicts.append(
                {
                    "claim": f"{better.title} is better than {worse.title} in {score.title}",
                    "score": score.key,
                    "verdict": _VERDICTS[holds],
                    "holds": holds,
                    "lead": lead,
                    "noise": noise,
                    "seeds": sum(high[seed] > low[seed] for seed in seeds),
                    "of": len(seeds),
                }
            )
        return verdicts

    def _told(self, verdict: Mapping[str, Any], bold: str = "") -> str:
        """A verdict with its figures; `bold` is around what speaks against the paper."""
        form = next(score.form for score in self.scores if score.key == verdict["score"])
        word, lead = verdict["verdict"], f"lead {verdict['lead']:{form}}"
        if verdict["noise"] is None:
            seed = "one seed, and " if verdict["of"] == 1 else ""
            return f"{word} ({seed}no standard error of this score is known): {lead}"
        if verdict["holds"] is False:
            word = f"{bold}{word}{bold}"
        ahead = f"ahead in {verdict['seeds']} of {verdict['of']} seeds"
        return f"{word}: {lead}, noise {verdict['noise']:{form}} ({ahead})"

    def setting_cells(self) -> list[list[str]]:
        """Beside each other, the settings of the rows that have been run; see `settings.table`."""
        return row_settings.table([(row.title, *row.settings()) for row in self.rows])

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
                    **dict(zip(("settings", "paper_settings"), row.settings(), strict=True)),
                    "seeds": {str(seed): scores for seed, scores in row.seeds.items()},
                }
                for row in self.rows
            ],
            "claims": [{**verdict, "told": self._told(verdict)} for verdict in self.verdicts()],
            "notes": list(self.notes),
            "pictures": dict(self.pictures),
            "curves": self.curves,
            "made_with": dict(self.made_with),
        }

    def markdown(self) -> str:
        """The table, what holds of it, and its settings; the same whenever it was made."""
        lines = [f"### {self.title}", "", markdown_table(self.cells()), ""]
        verdicts = self.verdicts()
        lines += [f"- {verdict['claim']}: {self._told(verdict, '**')}" for verdict in verdicts]
        lines += ["", LEGEND, ""] if verdicts else []
        lines += self.notes
        cells = self.setting_cells()
        if cells:
            lines += ["", "#### Settings", "", markdown_table(cells), "", row_settings.LEGEND]
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
        verdicts = self.verdicts()
        if verdicts:
            report.heading("What the paper's table says, and this one")
            report.table(["claim", "here"], [[v["claim"], self._told(v)] for v in verdicts])
            report.paragraph(LEGEND)
        cells = self.setting_cells()
        if cells:
            report.heading("Settings")
            report.table(cells[0], cells[1:])
            report.paragraph(row_settings.LEGEND)
        if self.curves:
            report.heading("Over the training")
            report.curves(self.curves)
        for picture, caption in self.pictures.items():
            report.heading(caption)
            report.picture(folder / picture, caption)
        report.heading("How it was made")
        made = {**self.settings, **self.made_with}
        report.table(["", ""], [[name, _shown_setting(value)] for name, value in made.items()])
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


def _shown_setting(value: Any) -> str:
    if isinstance(value, Mapping):
        return ", ".join(f"{name} {version}" for name, version in value.items())
    return str(value)


def _shown(values: Sequence[float], form: str) -> str:
    """Mean, and with several values their sample standard deviation."""
    if not values:
        return "-"
    mean = format(statistics.fmean(values), form)
    return mean if len(values) < 2 else f"{mean} ± {format(statistics.stdev(values), form)}"

"""All tables: what is missing is run, and one page says how each stands.

    pixdt reproduce all --budget cpu
    pixdt reproduce all --only 'yoo2016-*' geli-table1
    pixdt reproduce all --with 'taigman2017-table? --data photo_digits.npz --target-data mnist.npz'

Experiments run in the order of `keras_pixdt.reproduce.EXPERIMENTS`: figures come after the tables
whose networks they show. One that fails does not keep the others from running. A table is not made
again if nothing has changed that it depends on: its options, the files that these name, the code
that says what its rows are (`reproduce` and `presets`), the versions in
`keras_pixdt.reproduce.environment`, and its own file. All networks are kept in any case, so that
making it again takes minutes. Data of TFDS are taken to be what they were.

The page is `all.md`, `all.html` and `all.json`, in the folder of the tables. It is written after
each experiment and after an interruption.
"""

from __future__ import annotations

import collections
import fnmatch
import hashlib
import json
import pathlib
import shlex
from collections.abc import Mapping, Sequence
from typing import Any

from absl import logging

from keras_pixdt import reproduce
from keras_pixdt.atomic import replacing, write_json
from keras_pixdt.report import Report, markdown_table
from keras_pixdt.reproduce import environment, result, settings
from keras_pixdt.reproduce.experiment import parser

NAME = "all"
DONE, PARTIAL, FAILED, NEEDS, NOT_RUN = "done", "missing rows", "failed", "needs data", "not run"
VERDICTS = ("holds", "not decided", "does not hold")
_GIVEN = {"--data", "--workdir"}  # options that name data
# As in `pixdt`: of the user's input, so that a line says enough.
_USER_ERRORS = (ValueError, OSError, FloatingPointError)


class Overview:
    """How all tables of a folder stand.

    Args:
        out: the folder.

    Attributes:
        entries: of each experiment its "state", the "reason" of a failure, the "command" that runs
            it, and what tells whether it is still the same: "file", a digest of its JSON file, and
            "depends_on" (see `dependencies`), which it has once its command ended well.
    """

    def __init__(self, out: pathlib.Path) -> None:
        self.out = out
        path = out / f"{NAME}.json"
        kept = json.loads(path.read_text("utf-8"))["tables"] if path.exists() else []
        before = {entry["name"]: entry for entry in kept}
        self.entries = {
            name: self._kept(name, before.get(name, {})) for name in reproduce.EXPERIMENTS
        }

    def _kept(self, name: str, before: Mapping[str, Any]) -> dict[str, Any]:
        """The entry of an earlier call, or of a table that a command of its own has made."""
        if before and before["file"] == _digest(self._file(name)):
            keys = ("state", "reason", "command", "file", "depends_on")
            return {key: before[key] for key in keys}
        return self._found(name, _command(name, ["--out", str(self.out)]))

    def _found(self, name: str, command: str) -> dict[str, Any]:
        """An entry by what is there."""
        table, state, reason = self._read(name), NOT_RUN, ""
        if table is not None:
            state = DONE
            if not all(row["seeds"] for row in table["rows"]):
                state, reason = PARTIAL, "interrupted, or not all rows were asked for"
        file = _digest(self._file(name))
        return {"state": state, "reason": reason, "command": command, "file": file,
                "depends_on": None}  # fmt: skip

    def _file(self, name: str) -> pathlib.Path:
        return self.out / f"{name}.json"

    def _read(self, name: str) -> dict[str, Any] | None:
        path = self._file(name)
        return json.loads(path.read_text("utf-8")) if path.exists() else None

    def run(self, name: str, argv: Sequence[str]) -> None:
        """Runs an experiment unless its table is there and still the same, and writes the page.

        Args:
            name: a key of `EXPERIMENTS`.
            argv: the arguments of its command, without `--out`.
        """
        depends_on = dependencies(argv)
        argv = [*argv, "--out", str(self.out)]
        command = _command(name, argv)
        if self.entries[name]["depends_on"] == depends_on:
            logging.info("%s is there, and nothing has changed that it depends on", name)
            return
        failed: dict[str, Any] = {}
        ended = False
        try:
            reproduce.main(name, argv)
            ended = True
        except FileNotFoundError as error:
            failed = {"state": NEEDS, "reason": str(error)}
        except SystemExit:  # of the parser, which has said why
            failed = {"state": FAILED, "reason": "its command refuses these options"}
        except Exception as error:  # the others are to run all the same
            failed = {"state": FAILED, "reason": f"{type(error).__name__}: {error}"}
            if not isinstance(error, _USER_ERRORS):
                logging.exception("%s failed", name)
        finally:
            self.entries[name] = {**self._found(name, command), **failed}
            if ended:
                self.entries[name] |= {"state": DONE, "reason": "", "depends_on": depends_on}
            self.write()
        if failed:
            logging.error("%s: %s: %s", name, failed["state"], failed["reason"])

    def tables(self) -> list[dict[str, Any]]:
        """Everything that the page says, ready for JSON, by table."""
        return [
            {"name": name, "what": what, **self.entries[name], **_content(self._read(name))}
            for name, what in reproduce.EXPERIMENTS.items()
        ]

    def write(self) -> None:
        """Writes the page, of what is in the folder now."""
        self.out.mkdir(parents=True, exist_ok=True)
        tables = self.tables()
        title, summary = "The tables of all papers", _summary(tables)
        write_json(
            self.out / f"{NAME}.json",
            {"title": title, "summary": summary, "tables": tables,
             "made_with": environment.made_with()},
        )  # fmt: skip
        _page(title, summary, tables).write(self.out)


def dependencies(argv: Sequence[str]) -> str:
    """A digest of what a table depends on besides its networks; see the module.

    Args:
        argv: the arguments of its command; those that are paths stand for what is there too.
    """
    package = environment.PACKAGE
    code = [p for room in ("reproduce", "presets") for p in sorted((package / room).glob("*.py"))]
    paths = {text: _stamps(pathlib.Path(text)) for text in argv if pathlib.Path(text).exists()}
    return environment.digest(
        options=list(argv),
        paths=paths,
        code={path.name: _digest(path) for path in code},
        versions=environment.versions(),
        training=environment.TRAINING_VERSION,
        scores=environment.SCORES_VERSION,
    )


def _stamps(path: pathlib.Path) -> str:
    """A digest of the names, sizes and times of all files at a path."""
    found = [path] if path.is_file() else sorted(p for p in path.rglob("*") if p.is_file())
    stats = ((file, file.stat()) for file in found)
    return environment.digest(
        files=[[str(file), stat.st_size, stat.st_mtime_ns] for file, stat in stats]
    )


def _digest(path: pathlib.Path) -> str | None:
    return hashlib.sha256(path.read_bytes()).hexdigest() if path.exists() else None


def _command(name: str, argv: Sequence[str]) -> str:
    return shlex.join(["pixdt", "reproduce", name, *argv])


def _content(table: Mapping[str, Any] | None) -> dict[str, Any]:
    """What the page says of a table that is there."""
    if table is None:
        return {}
    rows = [row for row in table["rows"] if row["seeds"]]
    of_rows = [(row["title"], row["settings"], row["paper_settings"]) for row in rows]
    claims = collections.Counter(claim["verdict"] for claim in table["claims"])
    return {
        "title": table["title"],
        "rows": len(rows),
        "rows_without": [row["title"] for row in table["rows"] if not row["seeds"]],
        "orderings": {verdict: claims[verdict] for verdict in VERDICTS},
        "claims": table["claims"],
        "settings": table["settings"],
        "row_settings": settings.table(of_rows),
        "commit": table["made_with"].get("commit", "not known"),
    }


def _summary(tables: Sequence[Mapping[str, Any]]) -> str:
    states = collections.Counter(table["state"] for table in tables)
    verdicts: collections.Counter[str] = collections.Counter()
    for table in tables:
        verdicts.update(table.get("orderings", {}))
    counted = ", ".join(f"{count} {state}" for state, count in states.items())
    of = ", ".join(f"{verdicts[verdict]} {verdict}" for verdict in VERDICTS)
    return f"Tables: {counted}. Orderings of the papers: {of}."


class _Page:
    """Collects a page as HTML and as Markdown; see `Report`."""

    def __init__(self, title: str, summary: str) -> None:
        self._report = Report(title, summary)
        self._lines = [f"# {title}", "", summary, ""]

    def heading(self, text: str) -> None:
        self._report.heading(text)
        self._lines += [f"## {text}", ""]

    def paragraph(self, text: str) -> None:
        self._report.paragraph(text)
        self._lines += [text, ""]

    def table(self, cells: Sequence[Sequence[str]]) -> None:
        self._report.table(cells[0], cells[1:])
        self._lines += [markdown_table(cells), ""]

    def commands(self, lines: Sequence[str]) -> None:
        self._report.commands("\n".join(lines))
        self._lines += ["```bash", *lines, "```", ""]

    def write(self, out: pathlib.Path) -> None:
        with replacing(out / f"{NAME}.md") as unfinished:
            unfinished.write_text("\n".join(self._lines), "utf-8")
        self._report.write(out / f"{NAME}.html")


def _page(title: str, summary: str, tables: Sequence[Mapping[str, Any]]) -> _Page:
    page = _Page(title, summary)
    head = ["", "state", "rows", *VERDICTS, "budget", "data", "seeds", "commit"]
    page.table([head, *map(_line, tables)])
    page.paragraph(result.LEGEND)
    left = [table for table in tables if table["state"] != DONE]
    if left:
        page.heading("What is not there, and what runs it")
        why = [
            [table["name"], table["state"], table["reason"]] for table in left if table["reason"]
        ]
        if why:
            page.table([["", "state", "why"], *why])
        page.commands([table["command"] for table in left])
    drawn = [
        _command(table["name"], shlex.split(reproduce.PAPERS_DATA[table["name"]]))
        for table in tables
        if table["name"] in reproduce.PAPERS_DATA and not _GIVEN & set(table["command"].split())
    ]
    if drawn:
        page.heading("On the papers' own data")
        page.paragraph(
            "Without such options, experiments run on data that this project draws. Where the "
            "papers' data are at hand, these commands run on them:"
        )
        page.commands(drawn)
    for table in tables:
        if "title" in table:
            _add_table(page, table)
    return page


def _add_table(page: _Page, table: Mapping[str, Any]) -> None:
    page.heading(f"{table['title']} ({table['name']})")
    without = ", ".join(table["rows_without"])
    more = f" Rows without figures: {without}." if without else ""
    what = table["what"][:1].upper() + table["what"][1:]
    end = "" if what.endswith("?") else "."
    page.paragraph(f"{what}{end} Its figures are in {table['name']}.html.{more}")
    if table["claims"]:
        claims = [
            [claim["claim"], claim.get("told", claim["verdict"])] for claim in table["claims"]
        ]
        page.table([["ordering of the paper", "here"], *claims])
    if table["row_settings"]:
        page.table(table["row_settings"])
        page.paragraph(settings.LEGEND)


def _line(table: Mapping[str, Any]) -> list[str]:
    if "title" not in table:
        return [table["name"], table["state"], *[""] * (len(VERDICTS) + 5)]
    given = table["settings"]
    count = table["rows"]
    rows = f"{count} of {count + len(table['rows_without'])}"
    orderings = [str(table["orderings"][verdict]) for verdict in VERDICTS]
    options = [str(given.get(name, "")) for name in ("budget", "data", "seeds")]
    return [table["name"], table["state"], rows, *orderings, *options, table["commit"]]


# The command


def _matching(patterns: str, option: str) -> list[str]:
    """The experiments that patterns name, separated by commas.

    Raises:
        ValueError: a pattern names none.
    """
    found = set()
    for pattern in patterns.split(","):
        names = fnmatch.filter(reproduce.EXPERIMENTS, pattern)
        if not names:
            raise ValueError(
                f"`{option}` must name experiments (`pixdt reproduce list`), or match them as "
                f"'yoo2016-*' does. Received: {pattern!r}"
            )
        found.update(names)
    return [name for name in reproduce.EXPERIMENTS if name in found]


def main(argv: Sequence[str]) -> int:
    """Runs what is missing with the arguments of the command.

    Returns:
        The exit status: 0, or 1 if a table that was asked for is not done.

    Raises:
        ValueError: an option names no experiment.
    """
    command = parser(NAME, "Runs what is missing of all experiments, and writes a page about them.")
    command.add_argument(
        "--only", nargs="+", metavar="NAME", help="experiments, or patterns such as 'yoo2016-*'"
    )
    command.add_argument(
        "--with",
        dest="given",
        nargs="+",
        default=[],
        metavar="'NAME OPTIONS'",
        help="options of some experiments, such as 'yoo2016-*,geli-* --data LookBook/'; of names, "
        "patterns are taken too",
    )
    options = command.parse_args(argv)
    more: dict[str, list[str]] = collections.defaultdict(list)
    for text in options.given:
        patterns, *words = shlex.split(text) or [""]
        for name in _matching(patterns, "--with"):
            more[name] += words
    asked = _matching(",".join(options.only or ["*"]), "--only")
    overview = Overview(pathlib.Path(options.out))
    shared = ["--budget", options.budget]
    if options.seeds is not None:
        shared += ["--seeds", str(options.seeds)]
    for place, name in enumerate(asked, 1):
        logging.info("%d/%d %s: %s", place, len(asked), name, reproduce.EXPERIMENTS[name])
        overview.run(name, [*shared, *more[name]])
    overview.write()
    logging.info("%s", _summary(overview.tables()))
    logging.info("Written: %s", pathlib.Path(options.out) / f"{NAME}.html")
    return int(any(overview.entries[name]["state"] != DONE for name in asked))

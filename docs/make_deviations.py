"""Writes docs/deviations.md: where the code differs from the papers, as the docstrings say it.

    python docs/make_deviations.py

A docstring's section begins with a line "Differs from the paper ...:", followed by a list, whose
items are rows of the page, or by one sentence or more. The paper is the one that the line names,
else the first one that the docstring cites, else the first one of the module's.
"""

import ast
import itertools
import pathlib
import re
from collections.abc import Iterator
from typing import NamedTuple

ROOT = pathlib.Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "deviations.md"
PACKAGES = ("keras_pixdt", "tfds_lookbook", "export")
# The first column of the table, in rows that name a file: "Yoo et al. 2016, Pixel-Level ...".
_ROW = re.compile(r"^\| (([^|]+?)(?: \d{4})?, [^|]+) \| \[", re.MULTILINE)
# As docstrings cite them -> the heading on the page, in its order.
PAPERS = {
    cited: heading
    for heading, cited in _ROW.findall((ROOT / "docs" / "papers.md").read_text("utf-8"))
} | {  # papers of parts
    "Dong et al.": "Dong et al. 2015, Image Super-Resolution Using Deep Convolutional Networks",
    "Heusel et al.": "Heusel et al. 2017, GANs Trained by a Two Time-Scale Update Rule",
}
INTRODUCTION = """\
# Where this differs from the papers

Written by `python docs/make_deviations.py` from the docstrings, which say the same: change those,
and run it again. Settings are not here: what a paper does not give is marked `not in the paper`
where it is set, and `pixdt reproduce` prints the settings of each row beside those of the paper's.
"""


class Deviation(NamedTuple):
    """An item of a section.

    Attributes:
        paper: a key of `PAPERS`.
        path: of the file, from the root of the repository.
        name: of the class or function; of the module's own docstring, the module.
        text: what differs, and why; one line.
    """

    paper: str
    path: str
    name: str
    text: str


def deviations_of(source: str, path: str) -> list[Deviation]:
    """The deviations that the docstrings of a file state, in their order.

    Args:
        source: the code.
        path: of the file, for the page and for errors.

    Raises:
        ValueError: a section is empty, its heading has no colon in its line, or it does not say
            which paper it is about.
    """
    tree = ast.parse(source)
    of_module = ast.get_docstring(tree) or ""
    found = []
    module = pathlib.PurePosixPath(path.removesuffix("/__init__.py")).stem
    for node, name in [(tree, module), *_definitions(tree)]:
        docstring = ast.get_docstring(node) or ""
        for heading, items in _sections(docstring):
            papers = filter(None, map(_cited, (heading, docstring, of_module)))
            paper = next(papers, None)
            if not items or paper is None:
                raise ValueError(
                    f"{path}, {name}: {heading!r} must end its line with a colon, or have a "
                    "sentence after it, and a list ('- ...') may follow without a blank line; it, "
                    f"the docstring or the module's must cite one of {', '.join(PAPERS)}. "
                    f"Received: {len(items)} items, and {paper or 'none of these'}"
                )
            found += [Deviation(paper, path, name, item) for item in items]
    return found


def _definitions(tree: ast.AST, prefix: str = "") -> Iterator[tuple[ast.AST, str]]:
    """Classes and functions, also those within others, with their dotted names."""
    for node in ast.iter_child_nodes(tree):
        if isinstance(node, ast.ClassDef | ast.FunctionDef):
            yield node, prefix + node.name
            yield from _definitions(node, f"{prefix}{node.name}.")


def _sections(docstring: str) -> Iterator[tuple[str, list[str]]]:
    """Each heading of a docstring, with the items from it to the next blank line."""
    lines = docstring.splitlines()
    for start, line in enumerate(lines):
        if not line.startswith("Differs from the paper"):
            continue
        heading, colon, rest = line.partition(":")
        items: list[str] = []
        below = itertools.takewhile(bool, map(str.strip, lines[start + 1 :]))
        for text in filter(None, (rest.strip(), *below)):
            if text.startswith("- ") or not items:
                items.append(text.removeprefix("- "))
            else:
                items[-1] += f" {text}"
        yield heading + colon, items if colon else []


def _cited(docstring: str) -> str | None:
    """The paper that a docstring cites first."""
    places = {docstring.find(paper): paper for paper in PAPERS if paper in docstring}
    return places[min(places)] if places else None


def page(deviations: list[Deviation]) -> str:
    """The page, a table for each paper."""
    parts = [INTRODUCTION]
    for paper, heading in PAPERS.items():
        own = [deviation for deviation in deviations if deviation.paper == paper]
        if not own:
            continue
        parts.append(f"## {heading}\n")
        parts.append("| where | what the paper has, what is here, and why |\n| --- | --- |")
        for path, name, text in (deviation[1:] for deviation in own):
            text = text.replace("|", r"\|")
            parts.append(f"| [`{name}`](../{path}) | {text} |")
        parts.append("")
    return "\n".join(parts)


def main() -> None:
    """Writes the page."""
    found = []
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            found += deviations_of(path.read_text("utf-8"), path.relative_to(ROOT).as_posix())
    PAGE.write_text(page(found), "utf-8")


if __name__ == "__main__":
    main()

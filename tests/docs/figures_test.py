"""Every measured figure in README, docs/ and RESULTS says where it comes from.

A figure is a number with two decimals or more, a percentage, a multiple, or a number of a unit in
which something is measured, outside of code and commands. What it stands in (a table, a paragraph,
an item of a list) belongs to a section that names

- the command that prints it, in its own text: in backticks or a block of commands; or says
  "commands not recorded";
- the commit that it was run at, here or in a section around this one: "commit X"; "entered with
  commit X" where only that is known that brought the figure in; or "commit not recorded".

Or the section links to docs/measured.md or RESULTS.md, and the figure stands there.
"""

import collections
import pathlib
import re
import subprocess
from typing import NamedTuple

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SOURCES = ("docs/measured.md", "RESULTS.md")
# Pages without figures of ours.
LEFT_OUT = {
    "docs/deviations.md": "docstrings, which quote the papers",
    "docs/papers.md": "the papers' figures",
    "docs/add-a-paper.md": "an example: there is no such paper",
}
# Page -> what a block says -> why its numbers are no measurements.
ALLOWED = {
    "docs/data.md": {
        "5% of the training products become one": "a rule",
        "If more than 1% are missing": "a rule",
        "above 4 GiB in a file": "a rule",
        "More than 1%\nof unreadable images": "a rule",
        "2.5 kB for each image": "computed: what is kept of an image",
        "shard, up to 1 GiB": "TFDS' own limit",
        "temporary file above 4 GiB": "a rule",
        "or 2, 4, 8 or 16 times": "what sizes are taken",
    },
    "docs/measured.md": {
        "(528 MB)": "the size of a file to download",
    },
    "docs/reproduce.md": {"with 95% confidence intervals": "a definition"},
    "docs/train.md": {"if more than 1% of the images are unreadable": "a rule"},
}  # fmt: skip
# How often the pages may say that something is not known. Lower these when figures are run again.
NOT_KNOWN = {"entered with commit": 17, "commit not recorded": 0, "commands not recorded": 3}

UNITS = "ms|s|seconds?|minutes?|hours?|MB|GB|GiB|kB|dB|degrees|levels|times|images/s|pairs/s"
FIGURE = re.compile(
    rf"(?<![\w.@-])(?:\d[\d,]*\.\d{{2,}}|\d[\d,]*(?:\.\d+)?(?:x\b|\s?%|\s(?:{UNITS})\b))"
)
VERSION = re.compile(r"\b(?:Python|Keras|PyTorch|tensorflow-addons|Addons) \d[\d.]*(?: to [\d.]+)?")
NOT_TEXT = re.compile(r"`[^`]*`|!\[[^\]]*\]\([^)]*\)|(?<=\])\([^)]*\)")
COMMAND = re.compile(
    r"(?:^|`)(?:pixdt|python|make|tfds)\s[^`]*|commands? not recorded", re.MULTILINE
)
HASH = r"\b(?=[a-f]*\d)[0-9a-f]{7,12}\b"
COMMITS = re.compile(rf"\bcommits?\s{HASH}(?:(?:,| and| to)\s{HASH})*")
COMMIT = re.compile(rf"{COMMITS.pattern}|\bcommit\snot\srecorded")


class Block(NamedTuple):
    """A table, a paragraph, or an item of a list, with the headings above it."""

    line: int
    section: tuple[str, ...]
    text: str


def blocks(page):
    """The blocks of a page; blocks of code are blocks too, with the fence."""
    found, section, lines, first, fenced = [], (), [], 0, False

    def end():
        if lines:
            found.append(Block(first, section, "\n".join(lines)))
            lines.clear()

    for number, line in enumerate(page.splitlines(), 1):
        fence = line.lstrip().startswith("```")
        heading = not fenced and re.match(r"(#+) ", line)
        if heading:
            end()
            section = (*section[: len(heading[1]) - 1], line)
        elif not fenced and (not line.strip() or fence or re.match(r"\s*[-*] ", line)):
            end()
        if not heading and (line.strip() or fenced):
            first = first if lines else number
            lines.append(line)
        if fence:
            if fenced:
                end()
            fenced = not fenced
    end()
    return found


def figures(text):
    """The figures of a block."""
    if text.lstrip().startswith("```"):
        return []
    prose = NOT_TEXT.sub(" ", VERSION.sub("", text))
    return [re.sub(r"\s+", " ", figure) for figure in FIGURE.findall(prose)]


def own_text(page, section):
    """The text of a section without those within it; its heading too."""
    return "\n".join([*section[-1:], *(block.text for block in page if block.section == section)])


def stands(figure, text):
    """Whether a figure is in a text, as no part of another number."""
    spaced = re.escape(figure).replace(r"\ ", r"\s+")
    return re.search(rf"(?<![\w.,]){spaced}(?!\d)", text) is not None


def problems(name, text, allowed=(), sources=None):
    """One line for each block whose figures have no source."""
    page, found = blocks(text), []
    for block in page:
        numbers = figures(block.text)
        if not numbers or any(snippet in block.text for snippet in allowed):
            continue
        own = own_text(page, block.section)
        around = [own_text(page, block.section[:depth]) for depth in range(len(block.section))]
        lacks = [] if COMMAND.search(own) else ["command"]
        lacks += [] if COMMIT.search("\n".join([own, *around[1:]])) else ["commit"]
        if not lacks:
            continue
        linked = [x for path, x in (sources or {}).items() if pathlib.PurePath(path).name in own]
        missing = [number for number in numbers if not any(stands(number, x) for x in linked)]
        if not linked or missing:
            where = f"{name}:{block.line}: {', '.join(missing)}: the section names no "
            there = ", and the page that it links to does not have them" if linked else ""
            found.append(f"{where}{' and no '.join(lacks)}{there}")
    return found


def pages():
    paths = [ROOT / "README.md", ROOT / "RESULTS.md", *sorted((ROOT / "docs").glob("*.md"))]
    return {str(path.relative_to(ROOT)): path.read_text("utf-8") for path in paths}


PAGES = pages()


@pytest.mark.parametrize("name", sorted(PAGES.keys() - LEFT_OUT.keys()))
def test_every_figure_has_a_command_and_a_commit(name):
    found = problems(name, PAGES[name], ALLOWED.get(name, ()), sources_for(name))
    assert not found, "\n".join([*found, __doc__])


def sources_for(name):
    return {path: PAGES[path] for path in SOURCES if path != name}


@pytest.mark.parametrize("name", ALLOWED)
def test_nothing_is_allowed_without_need(name):
    for snippet in ALLOWED[name]:
        others = [each for each in ALLOWED[name] if each != snippet]
        assert problems(name, PAGES[name], others, sources_for(name)), snippet
    assert LEFT_OUT.keys() <= PAGES.keys()


def test_what_is_not_known_becomes_less():
    text = " ".join(PAGES[name] for name in sorted(PAGES.keys() - LEFT_OUT.keys())).lower()
    text = re.sub(r"\s+", " ", COMMITS.sub("commit", text))
    text = text.replace("entered with commit x", "")  # where the words are explained
    counts = {words: text.count(words) for words in NOT_KNOWN}
    assert all(counts[words] <= NOT_KNOWN[words] for words in counts), counts


def test_the_commits_are_those_of_this_project():
    def git(*arguments):
        command = ["git", *arguments]
        return subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)

    if git("rev-parse", "--is-shallow-repository").stdout.strip() != "false":
        pytest.skip("This is no clone, or not a whole one.")
    if not (ROOT / ".git").exists():
        pytest.skip("This is a folder in a clone of something else.")
    commits = collections.defaultdict(set)
    for name, text in PAGES.items():
        for listed in COMMITS.findall(text):
            for commit in re.findall(HASH, listed):
                commits[commit].add(name)
    assert commits
    for commit, names in commits.items():
        told = git("cat-file", "-e", f"{commit}^{{commit}}")
        assert told.returncode == 0, f"{', '.join(names)}: there is no commit {commit}"


# The check itself

SOURCED = """# Page

## A table

`pixdt evaluate`, commit 0123abc:

| RMSE |
| --- |
| 0.114 |

### A part of it

Run with `python benchmarks/search.py`, it takes 7 ms.

## Another

- RMSE fell to 0.11 (`make demo`,
  commit not recorded).
"""


def test_figures_are_found():
    assert figures("RMSE 0.114, 42.3 dB,\n2 threads, 2.7x, 1,600 pairs, 12 % and 1.1\ntimes") == [
        "0.114", "42.3 dB", "2.7x", "12 %", "1.1 times",
    ]  # fmt: skip
    assert figures("`--minutes 0.25` [0.5](x_0.25.md) Python 3.10 to 3.13, [64, 64] v1.2.30") == []
    assert figures("```bash\npixdt train --rate 0.001\n```") == []


def test_a_section_names_command_and_commit():
    assert problems("p.md", SOURCED) == []
    assert [block.line for block in blocks(SOURCED)] == [5, 7, 13, 17]
    # A commit may be named around it, the command may not.
    without = SOURCED.replace("`python benchmarks/search.py`", "a script")
    assert problems("p.md", without) == ["p.md:13: 7 ms: the section names no command"]
    without = SOURCED.replace(", commit 0123abc", "")
    assert problems("p.md", without) == [
        "p.md:7: 0.114: the section names no commit", "p.md:13: 7 ms: the section names no commit",
    ]  # fmt: skip
    without = SOURCED.replace("`make demo`,\n  commit not recorded", "once")
    assert problems("p.md", without) == [
        "p.md:17: 0.11: the section names no command and no commit"
    ]
    assert problems("p.md", without, ["RMSE fell"]) == []


def test_a_copy_stands_where_its_source_is():
    copy = "# Page\n\nAn RMSE of 0.114, see [measured](measured.md).\n"
    assert problems("p.md", copy, sources={"docs/measured.md": SOURCED}) == []
    (line,) = problems(
        "p.md", copy, sources={"docs/measured.md": SOURCED.replace("0.114", "0.113")}
    )
    assert line.endswith("and no commit, and the page that it links to does not have them")
    assert len(problems("p.md", copy, sources={"docs/RESULTS.md": SOURCED})) == 1
    assert stands("7 ms", SOURCED) and not stands("14", SOURCED) and not stands("0.11", "0.114")

"""docs/add-a-paper.md, followed word by word in a copy of the repository."""

import os
import pathlib
import re
import shlex
import shutil
import subprocess
import sys

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
PAGE = (ROOT / "docs" / "add-a-paper.md").read_text("utf-8")
# What a reader does after the five steps, in one process: TensorFlow takes long to import.
FOLLOW = """
import sys

import pytest

from keras_pixdt import commands
from tests import samples

small = ["--image-size", "16", "--batch-size", "8", "--width", "0.0625"]
for line in sys.argv[1:]:
    program, command, *arguments = line.split()
    options = small if command == "train" else []
    assert program == "pixdt"
    with samples.narrow_embedders():
        assert commands.main([command, *arguments, *options]) == 0, line

paths = ["tests/models/toy_test.py", "tests/presets/presets_test.py", "tests/docs"]
paths += ["tests/reproduce/settings_test.py::"
    "test_presets_for_small_machines_stand_for_a_row_of_a_paper"]
paths += ["tests/readme_test.py::test_all_presets_are_in_the_table"]
sys.exit(pytest.main([*paths, "-m", "not slow", "-x"]))
"""


def step(number):
    """The text of a step, and the blocks in it."""
    text = PAGE.split(f"## {number}. ")[1].split("\n## ")[0]
    return text, re.findall(r"^```\w+\n(.*?)^```", text, re.MULTILINE | re.DOTALL)


def insert(path, below, text):
    """Puts lines below the last line that begins with `below`."""
    lines = path.read_text("utf-8").splitlines(keepends=True)
    place = max(i for i, line in enumerate(lines) if line.startswith(below))
    path.write_text("".join([*lines[: place + 1], text, *lines[place + 1 :]]), "utf-8")


@pytest.fixture
def copy(tmp_path):
    """A copy of what the page speaks of, with the toy paper in it."""
    left_out = shutil.ignore_patterns("__pycache__")
    for name in ("keras_pixdt", "export", "tfds_lookbook", "tests", "docs", "examples"):
        shutil.copytree(ROOT / name, tmp_path / name, ignore=left_out)
    for name in ("README.md", "RESULTS.md", "setup.cfg"):
        shutil.copy(ROOT / name, tmp_path)
    for number in (1, 3, 5):
        text, (block,) = step(number)
        path = tmp_path / re.search(r"`([\w/]+\.py)`", text)[1]
        assert not path.exists()
        path.write_text(block, "utf-8")
    text, (line,) = step(2)
    stub = tmp_path / re.search(r"`(keras_pixdt/[\w/]+\.pyi)`", text)[1]
    insert(stub, "from keras_pixdt.models.domain_transfer", line)
    _, (rows,) = step(4)
    insert(tmp_path / "docs" / "papers.md", "| none: the same for photos", rows)
    return tmp_path


def test_there_are_five_steps():
    assert re.findall(r"^## (\d)\. ", PAGE, re.MULTILINE) == list("12345")


@pytest.mark.slow
def test_the_page_adds_a_paper(copy, small_lookbook):
    (copy / "LookBook").symlink_to(small_lookbook)
    environment = {**os.environ, "PYTHONPATH": str(copy)}

    def run(*arguments):
        done = subprocess.run(
            [sys.executable, *arguments], cwd=copy, env=environment, capture_output=True, text=True
        )
        assert done.returncode == 0, done.stdout[-3000:] + done.stderr[-3000:]

    run("docs/make_deviations.py")
    assert "## Toy et al. 2026" in (copy / "docs" / "deviations.md").read_text("utf-8")
    commands = [line for line in PAGE.splitlines() if line.startswith("pixdt ")]
    assert [shlex.split(line)[1] for line in commands] == ["train", "evaluate"]
    run("-c", FOLLOW, *commands)
    assert (copy / "runs" / "toy" / "model.keras").is_file()

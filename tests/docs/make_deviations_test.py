"""The page of deviations: read from docstrings, and what is committed is what they say."""

import importlib.util
import pathlib
import textwrap

import pytest

ROOT = pathlib.Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "docs" / "make_deviations.py"


@pytest.fixture(scope="module")
def script():
    spec = importlib.util.spec_from_file_location("make_deviations", SCRIPT)
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


SOURCE = '''
"""A model: Kim et al., "A title", 2017. Kwon et al. 2019 take it too."""

class Model:
    """A model.

    Differs from the paper, where it cannot be followed to the letter:
      - The paper has `a`: here is b | c,
        because of d.
      - The second one.

    Not an item:
      - This one.
    """

    def step(self):
        """The step (Ge & Li).

        Differs from the paper: its step is
        another one.
        """

        def inner():
            """Of Yoo et al. 2016.

            Differs from the papers of Dong et al., who have more:
              - Less.

            Differs from the paper:
              - Other.
            """

def plain():
    """It differs from the paper: not a section."""
'''


def test_sections_are_read_with_their_paper_and_place(script):
    found = script.deviations_of(SOURCE, "models/model.py")
    assert [(d.paper, d.name, d.text) for d in found] == [
        ("Kim et al.", "Model", "The paper has `a`: here is b | c, because of d."),
        ("Kim et al.", "Model", "The second one."),
        ("Ge & Li", "Model.step", "its step is another one."),
        ("Dong et al.", "Model.step.inner", "Less."),
        ("Yoo et al.", "Model.step.inner", "Other."),
    ]
    assert {d.path for d in found} == {"models/model.py"}
    of_package = '"""Of Ge & Li.\n\nDiffers from the paper:\n- One.\n"""'
    (found,) = script.deviations_of(of_package, "data/drawn/__init__.py")
    assert (found.name, found.text) == ("drawn", "One.")


@pytest.mark.parametrize(
    ("docstring", "received"),
    [
        ("Of Ge & Li.\n\nDiffers from the paper:\n\n- Too far below.", "0 items, and Ge & Li"),
        ("Of Ge & Li.\n\nDiffers from the paper, where it\ncannot be followed:\n- A.", "0 items"),
        ("Differs from the paper:\n- Which one?", "1 items, and none of these"),
    ],
)
def test_sections_that_cannot_be_read_are_refused(script, docstring, received):
    source = f"def function():\n{textwrap.indent(repr(docstring), '    ')}"
    with pytest.raises(ValueError, match=f"a.py, function: 'Differs from .*Received: {received}"):
        script.deviations_of(source, "a.py")


def test_the_page_has_a_table_for_each_paper_in_order(script):
    page = script.page(script.deviations_of(SOURCE, "models/model.py"))
    headings = [line.split(",")[0] for line in page.splitlines() if line.startswith("## ")]
    assert headings == [
        "## Yoo et al. 2016",
        "## Ge & Li",
        "## Kim et al. 2017",
        "## Dong et al. 2015",
    ]
    row = r"| [`Model`](../models/model.py) | The paper has `a`: here is b \| c, because of d. |"
    assert row in page.splitlines()


def test_what_is_committed_is_what_the_docstrings_say(script, monkeypatch, tmp_path):
    monkeypatch.setattr(script, "PAGE", tmp_path / "deviations.md")
    script.main()
    written = script.PAGE.read_text("utf-8")
    committed = (ROOT / "docs" / "deviations.md").read_text("utf-8")
    assert committed == written, "Run `python docs/make_deviations.py`, and commit the page."
    for name in (
        "PixelDTGAN",
        "ResidualPixelDTGAN",
        "DiscoGAN",
        "DomainTransferNetwork",
        "Pix2Pix",
    ):
        assert f"[`{name}`]" in written
    for line in written.splitlines():
        if line.startswith("| [`"):
            path = line.split("](../")[1].split(")")[0]
            assert (ROOT / path).is_file()

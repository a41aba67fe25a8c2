import json

import numpy as np
import pytest

from keras_pixdt.data import write_image
from keras_pixdt.reproduce.result import Claim, Result, Row, Score

RMSE, RECALL = Score("rmse", "RMSE", "lower"), Score("recall", "Recall@10", "higher", ".3f")


def result(**fields):
    rows = [
        Row("a", "Method A", {"RMSE": "0.39", "Real, people": "0.40"}),
        Row("b", "Method B", {"RMSE": "0.26"}),
        Row("c", "Not run"),
    ]
    rows[0].seeds = {0: {"rmse": 0.30, "recall": 0.5}, 1: {"rmse": 0.32, "recall": None}}
    rows[1].seeds = {0: {"rmse": 0.31, "recall": 0.4}, 1: {"rmse": 0.29, "recall": 0.6}}
    claims = [
        Claim("b", "a", "rmse"),
        Claim("a", "b", "recall"),
        Claim("c", "a", "rmse"),
        Claim("a", "b", "rmse"),
    ]
    given = {
        "settings": {"budget": "cpu"},
        "made_with": {"versions": {"keras": "3.15"}},
        "notes": ["A note."],
    }
    scores = [RMSE, RECALL, Score("fid", "FID", "lower")]  # the last one without a value
    return Result("t1", "Table 1", scores, rows, claims, **{**given, **fields})


def test_a_score_says_which_way_is_better():
    with pytest.raises(ValueError, match="must be 'higher' or 'lower'. Received: 'up'"):
        Score("rmse", "RMSE", "up")


def test_our_means_and_the_papers_figures_are_in_columns_of_their_own():
    head, a, b, c = result().cells()
    assert head == ["", "RMSE ↓", "Recall@10 ↑", "paper: RMSE", "paper: Real, people"]
    # The standard deviation of 0.30 and 0.32 is 0.02 / sqrt(2).
    assert a == ["Method A", "0.3100 ± 0.0141", "0.500", "0.39", "0.40"]
    assert b == ["Method B", "0.3000 ± 0.0141", "0.500 ± 0.141", "0.26", ""]
    assert c == ["Not run", "-", "-", "", ""]


def test_verdicts_compare_means_and_count_the_seeds_that_both_have():
    assert result().verdicts() == [
        {"claim": "Method B is better than Method A in RMSE", "holds": True, "seeds": 1, "of": 2},
        # Equal means; seed 1 of Method A has no Recall.
        {
            "claim": "Method A is better than Method B in Recall@10",
            "holds": None,
            "seeds": 1,
            "of": 1,
        },
        {"claim": "Method A is better than Method B in RMSE", "holds": False, "seeds": 1, "of": 2},
    ]


def test_the_files_hold_the_table(tmp_path):
    write_image(tmp_path / "t1.png", np.zeros((4, 6, 3), np.uint8))
    found = result(pictures={"t1.png": "A <picture>"}, curves={"RMSE": {"A": [0.4, 0.3]}})
    found.write(tmp_path)
    markdown = (tmp_path / "t1.md").read_text("utf-8")
    assert markdown == found.markdown()
    assert "| Method A | 0.3100 ± 0.0141 |" in markdown
    assert "- Method B is better than Method A in RMSE: holds (ahead in 1 of 2 seeds)" in markdown
    assert "Method B in RMSE: **does not hold** (ahead in 1 of 2 seeds)" in markdown
    assert "Recall@10: equal here (ahead in 1 of 1 seeds)" in markdown
    assert "`pixdt reproduce t1`, budget: cpu." in markdown
    lines = [line for line in markdown.splitlines() if line.startswith("|")]
    assert len({len(line) for line in lines}) == 1  # in columns
    read = json.loads((tmp_path / "t1.json").read_text("utf-8"))
    assert read["rows"][0]["seeds"]["1"] == {"rmse": 0.32, "recall": None}
    assert read["rows"][0]["paper"] == {"RMSE": "0.39", "Real, people": "0.40"}
    assert read["made_with"] == {"versions": {"keras": "3.15"}}
    page = (tmp_path / "t1.html").read_text("utf-8")
    assert "A &lt;picture&gt;" in page and "data:image/png;base64," in page
    assert "keras 3.15" in page and "does not hold" in page and "**" not in page
    assert "<svg" in page and "0.3100 ± 0.0141" in page
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "t1.html", "t1.json", "t1.md", "t1.png",
    ]  # fmt: skip

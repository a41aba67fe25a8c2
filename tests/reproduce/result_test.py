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
    return Result("t1", "Table 1", scores, rows, **{"claims": claims, **given, **fields})


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


def verdicts_of(a, b, better="higher", **fields):
    """Of the claim that row "a" is better than row "b" in x; scores by seed, or (x, error)."""
    rows = [Row("a", "A", **fields), Row("b", "B")]
    for row, seeds in zip(rows, (a, b), strict=True):
        for seed, found in enumerate(seeds):
            value, error = found if isinstance(found, tuple) else (found, None)
            errors = {} if error is None else {"standard_errors": {"x": error}}
            row.seeds[seed] = {"x": value, **errors}
    scores = [Score("x", "X", better, ".2f")]
    return Result("t", "T", scores, rows, [Claim("a", "b", "x")])


def told(result):
    """The line of the only claim, after the claim."""
    line = next(line for line in result.markdown().splitlines() if line.startswith("- "))
    return line.removeprefix("- A is better than B in X: ")


@pytest.mark.parametrize(
    ("a", "b", "holds", "text"),
    [
        # One seed: standard errors 0.03 and 0.04, together 0.05.
        ([(0.56, 0.03)], [(0.50, 0.04)], True, "holds: lead 0.06, noise 0.05 (ahead in 1 of 1"),
        ([(0.54, 0.03)], [(0.50, 0.04)], None, "not decided: lead 0.04, noise 0.05 (ahead in 1"),
        ([(0.46, 0.03)], [(0.50, 0.04)], None, "not decided: lead -0.04, noise 0.05 (ahead in 0"),
        ([(0.44, 0.03)], [(0.50, 0.04)], False, "**does not hold**: lead -0.06, noise 0.05 (ah"),
        ([(0.50, 0.0)], [(0.50, 0.0)], None, "not decided: lead 0.00, noise 0.00 (ahead in 0 of 1"),
        ([(0.90, 0.01)], [0.10], None,
         "not decided (one seed, and no standard error of this score is known): lead 0.80"),
        # Two seeds: deviations 0.06 and 0.08, over sqrt(2), together 0.1 / sqrt(2).
        ([0.59, 0.53], [0.44, 0.52], True, "holds: lead 0.08, noise 0.07 (ahead in 2 of 2 seeds)"),
        ([0.59, 0.53], [0.46, 0.54], None, "not decided: lead 0.06, noise 0.07 (ahead in 1 of 2"),
        ([0.44, 0.52], [0.59, 0.53], False, "**does not hold**: lead -0.08, noise 0.07 (ahead in"),
        # Standard errors are of one seed: with several, the spread over them counts.
        ([(0.59, 9.0), (0.53, 9.0)], [0.44, 0.52], True, "holds: lead 0.08, noise 0.07"),
        # Seeds that both have: 0 and 1 of three, then 0 alone.
        ([0.59, 0.53, 9.9], [0.44, 0.52], True, "holds: lead 0.08, noise 0.07 (ahead in 2 of 2"),
        ([(0.56, 0.03), (0.1, 0.0)], [(0.50, 0.04), None], True, "holds: lead 0.06, noise 0.05"),
    ],
)  # fmt: skip
def test_a_claim_holds_where_the_lead_is_above_the_noise(a, b, holds, text):
    found = verdicts_of(a, b)
    (verdict,) = found.verdicts()
    assert verdict["holds"] is holds
    assert verdict["verdict"] == {
        True: "holds", False: "does not hold", None: "not decided",
    }[holds]  # fmt: skip
    assert told(found).startswith(text)


def test_lead_and_noise_are_in_the_verdict():
    (verdict,) = verdicts_of([0.59, 0.53], [0.44, 0.52]).verdicts()
    assert verdict == {
        "claim": "A is better than B in X", "score": "x", "verdict": "holds", "holds": True,
        "lead": pytest.approx(0.08), "noise": pytest.approx(np.sqrt(0.005)), "seeds": 2, "of": 2,
    }  # fmt: skip
    (lower,) = verdicts_of([0.30], [0.20], "lower").verdicts()
    assert (lower["lead"], lower["noise"]) == (pytest.approx(-0.1), None)
    assert verdicts_of([], [0.20]).verdicts() == []
    assert verdicts_of([None], [0.20]).verdicts() == []  # not defined in the only seed


def test_a_lead_within_the_error_of_what_measures_decides_nothing():
    found = verdicts_of([0.59, 0.53], [0.44, 0.52])  # a lead of 0.08 over a noise of 0.07
    found.claims = [Claim("a", "b", "x", least=0.1)]
    assert told(found) == "not decided: lead 0.08, noise 0.10 (ahead in 2 of 2 seeds)"
    found.claims = [Claim("a", "b", "x", least=0.05)]
    assert told(found).startswith("holds: lead 0.08, noise 0.07")


def test_what_is_not_trained_stands_for_all_seeds():
    # Deviation 0.03 * sqrt(2) over the seeds of B, error 0.05 of A, which has no others.
    (verdict,) = verdicts_of([(0.8, 0.05)], [0.6, 0.66], trained=False).verdicts()
    assert (verdict["seeds"], verdict["of"], verdict["holds"]) == (2, 2, True)
    assert verdict["lead"] == pytest.approx(0.17)
    assert verdict["noise"] == pytest.approx(np.sqrt(2 * 0.03**2 + 0.05**2))
    exact = verdicts_of([(0.8, 0.0)], [(0.75, 0.04)], trained=False)
    assert told(exact).startswith("holds: lead 0.05, noise 0.04")
    unknown = verdicts_of([0.8], [0.6, 0.66], trained=False)
    assert told(unknown) == ("not decided (no standard error of this score is known): lead 0.17")


def test_the_files_hold_the_table(tmp_path):
    write_image(tmp_path / "t1.png", np.zeros((4, 6, 3), np.uint8))
    found = result(pictures={"t1.png": "A <picture>"}, curves={"RMSE": {"A": [0.4, 0.3]}})
    found.write(tmp_path)
    markdown = (tmp_path / "t1.md").read_text("utf-8")
    assert markdown == found.markdown()
    assert "| Method A | 0.3100 ± 0.0141 |" in markdown
    # 0.31 and 0.30, each with a deviation of 0.02 / sqrt(2).
    lead = "in RMSE: not decided: lead 0.0100, noise 0.0200 (ahead in 1 of 2 seeds)"
    assert f"- Method B is better than Method A {lead}" in markdown
    assert "A low bar" in markdown and markdown.count("Noise: ") == 1
    assert "Recall@10: not decided (one seed, and no standard error" in markdown
    assert "Noise: " not in result(claims=[]).markdown()
    assert "`pixdt reproduce t1`, budget: cpu." in markdown
    lines = [line for line in markdown.splitlines() if line.startswith("|")]
    assert len({len(line) for line in lines}) == 1  # in columns
    read = json.loads((tmp_path / "t1.json").read_text("utf-8"))
    assert read["rows"][0]["seeds"]["1"] == {"rmse": 0.32, "recall": None}
    assert read["rows"][0]["paper"] == {"RMSE": "0.39", "Real, people": "0.40"}
    assert read["made_with"] == {"versions": {"keras": "3.15"}}
    page = (tmp_path / "t1.html").read_text("utf-8")
    assert "A &lt;picture&gt;" in page and "data:image/png;base64," in page
    assert "keras 3.15" in page and "not decided: lead -0.0100" in page and "**" not in page
    assert "A low bar" in page
    assert "<svg" in page and "0.3100 ± 0.0141" in page
    assert sorted(path.name for path in tmp_path.iterdir()) == [
        "t1.html", "t1.json", "t1.md", "t1.png",
    ]  # fmt: skip

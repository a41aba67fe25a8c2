import dataclasses
import json

import pytest

from keras_pixdt import presets
from keras_pixdt.presets import Phase
from keras_pixdt.reproduce import digits, digits_experiment, discogan, garments, settings
from keras_pixdt.reproduce.result import Result, Row, Score
from tests.reproduce.paired_test import PAIRED, table_of


def lines_of(*rows):
    """The table of presets, title -> preset, as rows of cells; the first is the head."""
    found = [(title, *settings.of_row({"preset": p.options()})) for title, p in rows]
    head, *lines = settings.table(found) or [[""]]
    return head[1:], {name: cells for name, *cells in lines}


def test_the_papers_own_presets_differ_between_rows_only():
    paper = [(name, presets.get(f"yoo2016{name}")) for name in ("", "-c-rf", "-c-mse")]
    head, lines = lines_of(*paper)
    assert head == ["", "-c-rf", "-c-mse"]
    assert lines == {
        "real_fake_weight": ["0.5", "1", "0"],
        "domain_weight": ["0.5", "0", "0"],
        "mse_weight": ["0", "0", "1"],
    }
    assert settings.table([("one", *settings.of_row({"preset": paper[0][1].options()}))]) == []


def test_what_differs_from_the_paper_is_beside_it():
    small = dataclasses.replace(
        presets.get("yoo2016"),
        width=0.25,
        batch_size=32,
        optimizer_name="adam",
        phases=(Phase(4, 5e-4), Phase(1, 5e-5)),
        mirror=True,
        ema_momentum=0.99,
    )
    head, lines = lines_of(("small", small))
    assert head == ["small"]
    assert lines == {
        "learning_rate": ["0.0005 for 80%, 5e-05 for 20% (paper: 0.0002 for 83%, 2e-05 for 17%)"],
        "batch_size": ["32 (paper: 128)"],
        "mirror": ["yes (paper: no)"],
        "ema_momentum": ["0.99 (paper: none)"],
        "width": ["0.25 (paper: 1)"],
        "discriminator_width": ["0.25 (paper: 1)"],  # None stands for the width
        "optimizer_name": ["adam (paper: sgd)"],
    }


def test_small_presets_are_compared_with_the_row_that_they_stand_for():
    head, lines = lines_of(
        ("standard", presets.get("kim2017-small-standard")), ("disco", presets.get("kim2017-small"))
    )
    assert lines["reconstruction_weight"] == ["0", "10 (paper: 1)"]
    assert lines["coupled"] == ["no", "yes"]  # as in the paper's rows
    assert lines["batch_size"] == ["32 (paper: 200)"] * 2
    _, lines = lines_of(("n2", presets.get("kwon2019-64-n2")))
    assert lines["batch_size"] == ["40 for 25%, 20 for 75% (paper: 40 for 50%, 20 for 50%)"]
    assert "stages" not in lines
    assert lines["image_size"] == ["64 (paper: 256)"]


def test_presets_for_small_machines_stand_for_a_row_of_a_paper():
    for name in presets.names():
        paper = presets.of_paper(name)
        if name.startswith("flow-"):  # a model of its own
            assert paper is presets.get(name)
            continue
        assert not paper.reference.startswith("none")
        assert presets.of_paper(paper.name) is paper
        if not presets.get(name).reference.startswith("none") and not name.startswith("pix2pix"):
            assert paper.name == name
        assert type(paper) is type(presets.get(name))
    with pytest.raises(ValueError, match="No preset has the name 'yoo'"):
        presets.of_paper("yoo")


def test_rows_that_are_alike_share_a_column():
    a, b = {"x": 1, "y": True}, {"x": 2, "y": True}
    paper = {"x": 1, "y": True}
    rows = [("A", a, paper), ("not trained", {}, {}), ("B", b, paper), ("C", a, paper)]
    assert settings.table(rows) == [["", "A; C", "B"], ["x", "1", "2 (paper: 1)"]]
    assert settings.table(rows[:1] + rows[3:]) == []
    assert settings.table([("A", b, paper), ("C", b, paper)]) == [
        ["", "all rows"], ["x", "2 (paper: 1)"],
    ]  # fmt: skip
    # What other rows do not have is told where it differs from the paper's, or is not there.
    rows = [("A", {"z": None, "y": True}, {"y": True}), ("B", {"u": 3, "v": 4}, {"u": 3, "v": 5})]
    assert settings.table(rows) == [
        ["", "A", "B"], ["z", "none", "-"], ["v", "-", "4 (paper: 5)"],
    ]  # fmt: skip


def test_lengths_are_told_and_counted():
    preset = dataclasses.replace(
        presets.get("yoo2016"), phases=((2, 1e-3, 60), (1, 1e-3)), batch_size=128
    )
    # 3 epochs of 1,000: twice 16 batches of 60, then 7 of 128.
    assert settings.steps(preset, 3, 3000) == 2 * 16 + 7
    scores = {"preset": preset.options(), "epochs": 12, "samples": 3000, "steps": 39, "rmse": 0.1}
    own, paper = settings.of_row(json.loads(json.dumps(scores)))
    assert (own["epochs"], own["samples"], own["steps"]) == (12, 3000, 39)
    assert own["learning_rate"] == 1e-3
    assert own["batch_size"] == "60 for 67%, 128 for 33%"
    assert paper["epochs"] == 30 and "steps" not in paper
    cells = settings.table([("row", own, paper)])
    assert cells[1:4] == [
        ["epochs", "12 (paper: 30)"], ["samples", "3,000"], ["steps", "39"],
    ]  # fmt: skip


def test_the_row_of_another_paper_may_have_a_preset_of_its_own():
    preset = presets.get("yoo2016")
    scores = {"preset": preset.options(), "paper_preset": preset.options() | {"momentum": 0.9}}
    assert settings.table([("row", *settings.of_row(scores))])[1:] == [
        ["momentum", "0.5 (paper: 0.9)"],
    ]  # fmt: skip


def test_rows_that_no_paper_has_are_compared_with_the_other_rows():
    flow, paper = presets.get("flow-64"), presets.get("yoo2016")
    scores = {"preset": flow.options(), "paper_preset": None, "epochs": 7}
    own, nobodys = settings.of_row(json.loads(json.dumps(scores)))
    assert nobodys is None and own["epochs"] == 7
    assert settings.table([("flow", own, nobodys)]) == []
    rows = [("paper", *settings.of_row({"preset": paper.options()})), ("flow", own, nobodys)]
    head, *lines = settings.table(rows)
    told = {name: cells for name, *cells in lines}
    assert head == ["", "paper", "flow"]
    # How they learn and from what; not the weights of terms that no other model has.
    assert told["photo_size"] == ["64", "128"] and told["start"] == ["none", "rendered"]
    assert told["augment"] == told["truth"] == ["no", "yes"]
    assert told["width"] == ["1", "0.5"]
    assert "bending_weight" not in told and "paper:" not in str(lines)


def test_what_has_no_preset_says_its_settings_itself():
    scores = {"settings": {"steps": 10}, "paper_settings": {"steps": 50}}
    assert settings.of_row(scores) == ({"steps": 10}, {"steps": 50})
    assert settings.of_row({"rmse": 0.3}) == ({}, {})  # kept from before, or nothing trained


def test_settings_are_under_the_table_and_in_its_files(tmp_path):
    small = dataclasses.replace(presets.get("yoo2016"), batch_size=32)
    rows = [
        Row("a", "A", seeds={0: {"x": 0.1, "preset": small.options()}}),
        Row("b", "B, not run"),
        Row("c", "C, of no network", seeds={0: {"x": 0.2}}),
    ]
    result = Result("t", "T", [Score("x", "X", "higher")], rows)
    result.write(tmp_path)
    markdown = (tmp_path / "t.md").read_text("utf-8")
    expected = [
        "#### Settings",
        "",
        "|            | A               |",
        "| ---------- | --------------- |",
        "| batch_size | 32 (paper: 128) |",
        "",
        settings.LEGEND,
    ]
    assert "\n".join(expected) in markdown
    page = (tmp_path / "t.html").read_text("utf-8")
    assert "32 (paper: 128)" in page and "Settings" in page
    read = json.loads((tmp_path / "t.json").read_text("utf-8"))["rows"]
    assert read[0]["settings"]["batch_size"] == 32
    assert read[0]["paper_settings"]["batch_size"] == 128
    assert read[1]["settings"] == read[2]["settings"] == {}
    rows[0].seeds[0].pop("preset")
    assert "Settings" not in result.markdown()


@pytest.mark.parametrize("name", PAIRED)
def test_rows_of_pairs_tell_where_they_differ(name):
    table = table_of(name)
    for budget in table.budgets:
        for method in (method for method in table.methods if method.of_paper):
            given = table.preset(method, budget)
            _, lines = lines_of((name, given))
            # Small rows have more to tell than their width. The papers' own have nothing, but for
            # the row of another paper in a table whose images are all stretched.
            if table.budgets[budget].small:
                assert len(lines) > 2
            else:
                assert set(lines) <= ({"resize"} if method.key == "pldt" else set())


def test_other_rows_tell_where_they_differ(tmp_path):
    small = discogan.preset_of("disco", discogan.BUDGETS["cpu"])
    _, lines = lines_of(("disco", small))
    assert lines["reconstruction_weight"] == ["10 (paper: 1)"]
    given = dataclasses.replace(presets.get(garments.PRESET), **garments.BUDGETS["smoke"].fields)
    _, lines = lines_of(("garments", given))
    assert lines["image_size"] == ["32 (paper: 152)"] and lines["gamma"] == ["5 (paper: 0.05)"]
    sets = digits.draw((8, 4, 4, 4))
    experiment = digits_experiment.DigitsExperiment(
        sets, digits_experiment.BUDGETS["cpu"], tmp_path
    )
    _, lines = lines_of(("no TID", experiment._preset("taigman2017-no-tid")))
    assert lines["width"] == ["0.5 (paper: 1)"] and "beta" not in lines

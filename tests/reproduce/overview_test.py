import itertools
import json

import pytest

from keras_pixdt import commands, reproduce
from keras_pixdt.reproduce import environment, overview
from keras_pixdt.reproduce.experiment import parser
from keras_pixdt.reproduce.result import Claim, Result, Row, Score

PRESET = {"settings": {"steps": 5}, "paper_settings": {"steps": 50}}


def table_of(name, *scores):
    """Rows of a table; None was not run."""
    rows = [
        Row(key, key.upper(), seeds={} if x is None else {0: {"x": x, **PRESET}})
        for key, x in zip("abcd", scores, strict=False)
    ]
    for row in rows:
        if row.seeds:
            row.seeds[0]["standard_errors"] = {"x": 0.01}
    claims = [Claim(*pair, "x") for pair in itertools.pairwise("abcd"[: len(scores)])]
    made = {"versions": {}, "commit": "abc1234"}
    settings = {"budget": "smoke", "data": "drawn", "seeds": 1}
    return Result(name, f"Table {name}", [Score("x", "X", "higher")], rows, claims, settings, made)


class Experiments:
    """What takes the place of the registry and of its commands."""

    def __init__(self):
        self.ran = []
        self.does = {}

    def main(self, name, argv):
        command = parser(name, "An experiment.")
        command.add_argument("--data")
        options = command.parse_args(argv)
        self.ran.append(name)
        self.does[name](options)


@pytest.fixture
def experiments(monkeypatch, tmp_path):
    def writes(result):
        return lambda options: result.write(tmp_path)

    def fails(error):
        def fail(options):
            raise error

        return fail

    def needs_data(options):
        if options.data is None:
            raise FileNotFoundError("There is no LookBook/")
        table_of("lacking", 0.1).write(tmp_path)

    found = Experiments()
    found.does = {
        "one-table": writes(table_of("one-table", 0.5, 0.4, 0.4, 0.6)),
        "two-table": writes(table_of("two-table", 0.5, None)),
        "broken": fails(ValueError("the seeds | are wrong")),
        "lacking": needs_data,
    }
    names = {name: f"what {name} shows" for name in found.does}
    monkeypatch.setattr(reproduce, "EXPERIMENTS", names)
    monkeypatch.setattr(reproduce, "PAPERS_DATA", {"lacking": "--data LookBook/"})
    monkeypatch.setattr(reproduce, "main", found.main)
    return found


def read(folder):
    tables = json.loads((folder / "all.json").read_text("utf-8"))["tables"]
    return {table["name"]: table for table in tables}


def run(folder, *argv):
    return overview.main(["--budget", "smoke", "--out", str(folder), *argv])


def test_the_page_says_how_each_table_stands(experiments, tmp_path):
    assert run(tmp_path) == 1  # two are not done
    assert experiments.ran == list(reproduce.EXPERIMENTS)  # a failure keeps none from running
    found = read(tmp_path)
    assert {name: table["state"] for name, table in found.items()} == {
        "one-table": "done", "two-table": "done", "broken": "failed", "lacking": "needs data",
    }  # fmt: skip
    # Leads of 0.1, 0 and -0.2, each with a noise of 0.01 * sqrt(2).
    assert found["one-table"]["orderings"] == {"holds": 1, "not decided": 1, "does not hold": 1}
    assert found["one-table"]["row_settings"] == [["", "all rows"], ["steps", "5 (paper: 50)"]]
    assert found["two-table"]["rows"] == 1 and found["two-table"]["rows_without"] == ["B"]
    assert found["broken"]["reason"] == "ValueError: the seeds | are wrong"
    command = f"pixdt reproduce lacking --budget smoke --out {tmp_path}"
    assert found["lacking"]["command"] == command and "title" not in found["lacking"]

    page = (tmp_path / "all.md").read_text("utf-8")
    lines = page.splitlines()
    assert "Orderings of the papers: 1 holds, 1 not decided, 1 does not hold." in page
    cells = [[cell.strip() for cell in line.split(" | ")] for line in lines if "one-table" in line]
    assert cells[0] == [
        "| one-table", "done", "4 of 4", "1", "1", "1", "smoke", "drawn", "1", "abc1234 |",
    ]  # fmt: skip
    assert "not decided: lead 0.0000, noise 0.0141 (ahead in 0 of 1 seeds)" in page
    assert command in lines and "pixdt reproduce lacking --data LookBook/" in lines
    assert r"the seeds \| are wrong" in page and "| steps | 5 (paper: 50) |" in page
    html = (tmp_path / "all.html").read_text("utf-8")
    assert "There is no LookBook/" in html and "does not hold: lead -0.2000" in html


def test_only_what_is_missing_or_has_changed_is_run(experiments, tmp_path, monkeypatch):
    def ran(*argv):
        experiments.ran.clear()
        run(tmp_path, *argv)
        return experiments.ran

    everything = list(reproduce.EXPERIMENTS)
    assert ran() == everything
    assert ran() == ["broken", "lacking"]
    assert ran("--only", "one-table") == []
    assert ran("--seeds", "2") == everything
    assert ran() == everything  # these are of other options now
    table_of("one-table", 0.5).write(tmp_path)  # by a command of its own
    assert ran() == ["one-table", "broken", "lacking"]
    monkeypatch.setattr(environment, "SCORES_VERSION", 99)
    assert ran("--only", "*-table") == ["one-table", "two-table"]
    assert ran("--only", "*-table") == []
    assert read(tmp_path)["broken"]["reason"]  # it stays until it is run again


def test_options_go_to_the_experiments_that_are_named(experiments, tmp_path):
    book = tmp_path / "my book"
    book.mkdir()
    given = ["--with", f"lac*,two-table --data '{book}'", "two-table --seeds 3"]
    assert run(tmp_path, "--only", "lacking", "two-table", *given) == 0
    found = read(tmp_path)
    assert found["lacking"]["state"] == "done"
    assert f"--data '{book}'" in found["lacking"]["command"]
    assert found["two-table"]["command"].split()[-4:-2] == ["--seeds", "3"]
    assert found["one-table"]["state"] == "not run"
    experiments.ran.clear()
    assert run(tmp_path, "--only", "lacking", *given) == 0 and experiments.ran == []
    (book / "a.jpg").touch()  # other data
    assert run(tmp_path, "--only", "lacking", *given) == 0 and experiments.ran == ["lacking"]


def test_options_that_an_experiment_does_not_have_fail_it_alone(experiments, tmp_path, capsys):
    asked = ["--only", "one-table", "two-table", "--with", "one-table --dat LookBook --other"]
    assert run(tmp_path, *asked) == 1
    assert "unrecognized arguments: --other" in capsys.readouterr().err
    found = read(tmp_path)
    assert found["one-table"]["state"] == "failed" and found["two-table"]["state"] == "done"


def test_after_an_interruption_the_page_says_what_is_there(experiments, tmp_path):
    def interrupted(options):
        table_of("two-table", 0.5, None).write(tmp_path)
        raise KeyboardInterrupt

    whole, experiments.does["two-table"] = experiments.does["two-table"], interrupted
    with pytest.raises(KeyboardInterrupt):
        run(tmp_path)
    found = read(tmp_path)
    assert [found[name]["state"] for name in found] == [
        "done", "missing rows", "not run", "not run",
    ]  # fmt: skip
    experiments.does["two-table"] = whole
    experiments.ran.clear()
    assert run(tmp_path, "--only", "*-table") == 0 and experiments.ran == ["two-table"]


@pytest.mark.usefixtures("experiments")
def test_names_that_match_nothing_are_refused(tmp_path, caplog):
    arguments = ["reproduce", "all", "--out", str(tmp_path / "out")]
    assert commands.main([*arguments, "--only", "three-*"]) == 1
    assert commands.main([*arguments, "--with", "three-table --seeds 2"]) == 1
    for option in ("--only", "--with"):
        assert f"`{option}` must name experiments" in caplog.text
    assert not (tmp_path / "out").exists()


def test_a_real_experiment_is_run_once(tmp_path, caplog):
    arguments = ["reproduce", "all", "--only", "kim2017-fig4", "--budget", "smoke"]
    arguments += ["--out", str(tmp_path), "--with", "kim2017-fig4 --iterations 3 --seeds 1"]
    assert commands.main(arguments) == 0, caplog.text
    (table,) = [each for each in read(tmp_path).values() if each["state"] != "not run"]
    assert table["name"] == "kim2017-fig4" and table["rows"] == 3
    assert ["steps", "3 (paper: 50,000)"] in [row[:2] for row in table["row_settings"]]
    caplog.clear()
    assert commands.main(arguments) == 0
    assert "is there, and nothing has changed" in caplog.text and "Training" not in caplog.text


def test_the_papers_data_are_options_of_experiments():
    assert set(reproduce.PAPERS_DATA) <= set(reproduce.EXPERIMENTS)

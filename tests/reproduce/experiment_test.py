import json

import pytest

from keras_pixdt.reproduce.experiment import Budget, Experiment, chosen
from keras_pixdt.reproduce.result import Result, Row, Score
from tests.reproduce.cache_test import model_of


def test_bad_rows_and_seeds_are_named():
    with pytest.raises(ValueError, match="`rows` must be of a, b. Received: c, d"):
        chosen(["a", "b"], ["d", "a", "c"], Budget(), 1)
    with pytest.raises(ValueError, match="`seeds` must be at least 1. Received: 0"):
        chosen(["a", "b"], ["a"], Budget(), 0)
    assert chosen(["a", "b"], None, Budget(seeds=3), None) == (["a", "b"], 3)
    assert chosen(["a", "b"], ["b"], Budget(seeds=3), 1) == (["b"], 1)


def test_rows_are_run_once_before_any_twice_and_written_after_each(tmp_path):
    rows = [Row(key, key.upper()) for key in "abc"]
    result = Result("table", "A table", [Score("x", "X", "higher", ".1f")], rows)
    order = []

    def score(row, seed):
        path = tmp_path / "out" / "table.json"
        there = json.loads(path.read_text())["rows"] if path.exists() else []
        assert sum(len(row["seeds"]) for row in there) == len(order) - order.count("after")
        order.append((row.key, seed))
        return {"x": 10.0 * seed + "abc".index(row.key)}

    Experiment(tmp_path / "out").fill(
        result, ["c", "a"], 2, score, lambda seed: order.append("after")
    )
    assert order == [("a", 0), ("c", 0), "after", ("a", 1), ("c", 1), "after"]
    assert rows[0].values("x") == [0.0, 10.0] and rows[1].seeds == {}
    assert "7.0" in (tmp_path / "out" / "table.md").read_text()  # c: 2 and 12


def test_other_rows_are_in_the_table_if_all_their_models_are_kept(tmp_path):
    result = Result("table", "A table", [Score("x", "X", "higher")], [Row(k, k) for k in "abcd"])
    experiment, trained = Experiment(tmp_path), []

    def score(row, seed):
        def train():
            trained.append((row.key, seed))
            return model_of(1.0), {"x": 10.0 * seed}

        return experiment.cache.model(row.key, train, seed=seed).found

    for row, seed in (("a", 0), ("a", 1), ("b", 0)):
        score(Row(row, row), seed)
    experiment.fill(result, ["c"], 2, score, others="abd")
    assert trained[3:] == [("c", 0), ("c", 1)]
    assert [row.values("x") for row in result.rows] == [[0.0, 10.0], [], [0.0, 10.0], []]
    score(Row("d", "d"), 0)  # trains again
    assert trained[5:] == [("d", 0)]

import json

import keras
import numpy as np
import pytest

from keras_pixdt.reproduce import common, environment
from keras_pixdt.reproduce.result import Result, Row, Score


def model_of(value):
    image = keras.Input((1,))
    model = keras.Model(image, keras.layers.Dense(1, use_bias=False)(image))
    model.set_weights([np.full((1, 1), value, "float32")])
    return model


def value_of(kept):
    return float(kept.load().get_weights()[0][0, 0])


def test_bad_rows_and_seeds_are_named():
    with pytest.raises(ValueError, match="`rows` must be of a, b. Received: c, d"):
        common.check(["d", "a", "c"], ["a", "b"], 1)
    with pytest.raises(ValueError, match="`seeds` must be at least 1. Received: 0"):
        common.check(["a"], ["a", "b"], 0)


def test_what_was_trained_is_kept_until_something_changes(tmp_path, monkeypatch):
    calls = []

    def train(value):
        calls.append(value)
        return model_of(value), {"told": value}

    def kept(value, **parts):
        return common.Cache(tmp_path).model("net", lambda: train(value), **parts)

    first = kept(1.0, seed=0, data="a")
    assert value_of(first) == 1 and first.found["told"] == 1 and first.found["minutes"] >= 0
    assert first.path.parent == tmp_path / "rows" and first.path.name.startswith("net-")
    assert value_of(kept(2.0, seed=0, data="a")) == 1
    assert value_of(kept(3.0, seed=1, data="a")) == 3
    assert value_of(kept(4.0, seed=0, data="b")) == 4
    monkeypatch.setattr(environment, "TRAINING_VERSION", 0)
    assert value_of(kept(5.0, seed=0, data="a")) == 5
    monkeypatch.setattr(environment, "versions", lambda: {"keras": "4"})
    assert value_of(kept(6.0, seed=0, data="a")) == 6
    assert calls == [1, 3, 4, 5, 6]


def test_what_was_not_finished_is_trained_again(tmp_path, monkeypatch):
    cache = common.Cache(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(common, "write_json", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            cache.model("net", lambda: (model_of(1.0), {}))
    assert [path.suffix for path in (tmp_path / "rows").iterdir()] == [".keras"]
    assert value_of(cache.model("net", lambda: (model_of(2.0), {}))) == 2


def test_fingerprints_see_values_shapes_and_types():
    a = np.arange(6, dtype=np.uint8)
    found = {
        common.fingerprint(*arrays)
        for arrays in ((a,), (a + 1,), (a.reshape(2, 3),), (a.view(np.int8),), (a, a))
    }
    assert len(found) == 5
    wide = np.zeros((3, 4), np.uint8)
    wide[:, ::2] = a.reshape(3, 2)
    assert common.fingerprint(wide[:, ::2]) == common.fingerprint(a.reshape(3, 2))


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

    common.fill(result, tmp_path / "out", ["c", "a"], 2, score, lambda seed: order.append("after"))
    assert order == [("a", 0), ("c", 0), "after", ("a", 1), ("c", 1), "after"]
    assert rows[0].values("x") == [0.0, 10.0] and rows[1].seeds == {}
    assert "7.0" in (tmp_path / "out" / "table.md").read_text()  # c: 2 and 12


def test_other_rows_are_in_the_table_if_all_their_models_are_kept(tmp_path):
    result = Result("table", "A table", [Score("x", "X", "higher")], [Row(k, k) for k in "abcd"])
    cache, trained = common.Cache(tmp_path), []

    def score(row, seed):
        def train():
            trained.append((row.key, seed))
            return model_of(1.0), {"x": 10.0 * seed}

        return cache.model(row.key, train, seed=seed).found

    for row, seed in (("a", 0), ("a", 1), ("b", 0)):
        score(Row(row, row), seed)
    common.fill(result, tmp_path, ["c"], 2, score, others="abd", cache=cache)
    assert trained[3:] == [("c", 0), ("c", 1)]
    assert [row.values("x") for row in result.rows] == [[0.0, 10.0], [], [0.0, 10.0], []]
    score(Row("d", "d"), 0)  # trains again
    assert trained[5:] == [("d", 0)]

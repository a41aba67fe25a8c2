import threading

import keras
import numpy as np
import pytest

from keras_pixdt.reproduce import cache, environment
from keras_pixdt.reproduce.cache import Cache


def model_of(value):
    image = keras.Input((1,))
    model = keras.Model(image, keras.layers.Dense(1, use_bias=False)(image))
    model.set_weights([np.full((1, 1), value, "float32")])
    return model


def value_of(kept):
    return float(kept.load().get_weights()[0][0, 0])


def test_what_was_trained_is_kept_until_something_changes(tmp_path, monkeypatch):
    calls = []

    def train(value):
        calls.append(value)
        return model_of(value), {"told": value}

    def kept(value, **parts):
        return Cache(tmp_path).model("net", lambda: train(value), **parts)

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
    kept = Cache(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(cache, "write_json", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            kept.model("net", lambda: (model_of(1.0), {}))
    assert [path.suffix for path in (tmp_path / "rows").iterdir()] == [".keras"]
    assert value_of(kept.model("net", lambda: (model_of(2.0), {}))) == 2


def test_two_processes_train_once(tmp_path):
    """The second waits for the first, and takes what that has trained."""
    found = []

    def train():
        second.start()
        return model_of(1.0), {}

    def also():
        found.append(value_of(Cache(tmp_path).model("net", lambda: (model_of(2.0), {}))))

    second = threading.Thread(target=also)
    assert value_of(Cache(tmp_path).model("net", train)) == 1
    second.join()
    assert found == [1] and len(list((tmp_path / "rows").iterdir())) == 2


def test_reading_ends_as_it_began(tmp_path):
    kept = Cache(tmp_path)
    with kept.reading():
        with kept.reading(only=False):
            kept.missing("net")
        with pytest.raises(cache.NotKept):
            kept.missing("net")
    kept.missing("net")

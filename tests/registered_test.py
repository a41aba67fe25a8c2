"""Keras' loaders know every class, whichever is imported first: Keras or `keras_pixdt`."""

import importlib
import pkgutil
import sys

import keras
import pytest

import keras_pixdt
from keras_pixdt import PixelDTGAN, metrics, registered
from tests.models import checks


def test_every_class_is_named_with_its_module():
    for package in ("engine", "judges", "metrics", "models"):
        folder = importlib.import_module(f"keras_pixdt.{package}")
        for module in pkgutil.iter_modules(folder.__path__, f"{folder.__name__}."):
            if not module.name.endswith("_step"):  # of either backend
                importlib.import_module(module.name)
    importlib.import_module("keras_pixdt.layers")
    named = registered.names()
    for name, value in keras.saving.get_custom_objects().items():
        package, _, own = name.rpartition(">")
        if package == "keras_pixdt":
            assert (own, named.get(own)) == (value.__name__, value.__module__)


SHOWS = """
keras_models = {0}
for name in ("pixel_dtgan.keras", "converter.keras"):
    model = keras_models.load_model(f"{{folder}}/{{name}}")
    print(type(model).__module__, type(model).__name__, model.compiled)
"""

# What a process imports before it loads a model.
ORDERS = {
    "the package alone, then a module of Keras": """
import keras_pixdt, keras_pixdt.data
assert not {"keras", "tensorflow", "jax"} & set(sys.modules)
from keras.models import load_model
assert "keras_pixdt.models.pixel_dtgan" not in sys.modules
""" + SHOWS.format("sys.modules['keras.models']"),
    "a name of the package, in a thread that Keras is imported beside": """
import threading
import keras_pixdt
other = threading.Thread(target=lambda: __import__("keras"))
other.start()
from keras_pixdt.metrics import SSIM
from keras_pixdt import PointDiscoGAN
other.join()
import tensorflow as tf
""" + SHOWS.format("tf.keras.models"),
}  # fmt: skip


@pytest.mark.slow
@pytest.mark.parametrize("order", ORDERS)
def test_a_fresh_process_loads_models_whatever_it_imports_first(order, tmp_path):
    model = PixelDTGAN(16, 1 / 32)
    model.compile("adam", metrics=[metrics.RootMeanSquaredError()])
    model.save(tmp_path / "pixel_dtgan.keras")
    model.converter.save(tmp_path / "converter.keras")
    printed = checks.run_python(f"import sys\nfolder = sys.argv[1]\n{ORDERS[order]}", tmp_path)
    assert printed.splitlines()[-2:] == [
        "keras_pixdt.models.pixel_dtgan PixelDTGAN True",
        "keras.src.models.functional Functional False",
    ]


def test_what_is_registered_is_the_class_itself_once_it_is_imported():
    found = keras.saving.get_registered_object("keras_pixdt>PixelDTGAN")
    assert found is keras_pixdt.PixelDTGAN
    assert "keras" in sys.modules

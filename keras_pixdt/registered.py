"""The classes that Keras' loaders know once `keras_pixdt` is imported, before Keras or after it.

`keras.models.load_model` finds a class only if it is registered, and importing its module registers
it. Importing all of them would import Keras, which takes ten seconds. So each name is registered
with a proxy that imports the module when a loader first asks for it. `models/__init__.pyi` lists
the models. If you register a metric, a layer or another network, add it here.
"""

import pathlib
from typing import Any

import wrapt

from keras_pixdt._lazy import homes

_NOT_PUBLIC = {
    "AffineFlow": "keras_pixdt.layers",
    "AttributeClassifier": "keras_pixdt.judges.attributes",
    "BatchNormalization": "keras_pixdt.layers",
    "ColorSSIM": "keras_pixdt.metrics.pixel",
    "Dropout": "keras_pixdt.layers",
    "FadeIn": "keras_pixdt.layers",
    "PadToSquare": "keras_pixdt.layers",
    "ProductEmbedder": "keras_pixdt.judges.embedder",
    "RootMeanSquaredError": "keras_pixdt.metrics.pixel",
    "SSIM": "keras_pixdt.metrics.pixel",
    "Transfer": "keras_pixdt.models.domain_transfer",
    "Warp": "keras_pixdt.layers",
    "view_contrast": "keras_pixdt.judges.embedder",
}


def names() -> dict[str, str]:
    """Name of each class and function -> the module that registers it."""
    return {**homes(str(pathlib.Path(__file__).parent / "models" / "__init__.py")), **_NOT_PUBLIC}


def register(_: Any) -> None:
    """Registers all names; `keras_pixdt` calls it as soon as Keras is imported."""
    from keras.saving import get_custom_objects  # waits if another thread is importing Keras

    for name, module in names().items():
        # A module that was imported before has registered the class itself.
        get_custom_objects().setdefault(f"keras_pixdt>{name}", wrapt.lazy_import(module, name))

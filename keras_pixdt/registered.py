"""Importing this module makes Keras' loaders know every class of the package.

`keras.models.load_model` finds a class only if its module has been imported. All modules of
`models` are imported here. If you register a metric, a layer or another network, add its module
here.
"""

import importlib
import pkgutil

import keras_pixdt.judges.embedder
import keras_pixdt.layers
import keras_pixdt.metrics.pixel
import keras_pixdt.models

for _module in pkgutil.iter_modules(keras_pixdt.models.__path__, "keras_pixdt.models."):
    importlib.import_module(_module.name)

"""Importing this module makes Keras' loaders know every class of the package.

`keras.models.load_model` finds a class only if its module has been imported. A new model, metric
or layer that is registered adds its module here.
"""

import keras_pixdt.judges.embedder
import keras_pixdt.layers
import keras_pixdt.metrics.pixel
import keras_pixdt.models.discogan
import keras_pixdt.models.domain_transfer
import keras_pixdt.models.pix2pix
import keras_pixdt.models.pixel_dtgan
import keras_pixdt.models.point_discogan
import keras_pixdt.models.residual_pixel_dtgan
import keras_pixdt.models.rough_to_detail
import keras_pixdt.models.super_resolution  # noqa: F401

"""Images, pairs and batches: what a model of this library is trained on."""

from keras_pixdt._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)

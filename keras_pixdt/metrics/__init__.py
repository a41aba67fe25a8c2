"""The papers' metrics: pixels, retrieval, distributions and consistency."""

from keras_pixdt._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)

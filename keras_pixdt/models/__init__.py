"""The models, one file per paper, built on `engine`; `common` has what several of them need."""

from keras_pixdt._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)

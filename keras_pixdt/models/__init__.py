"""One file per paper, over the players of `engine`; `common` is what several of them need."""

from keras_pixdt._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)

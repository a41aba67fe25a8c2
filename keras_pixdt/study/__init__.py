"""The papers' studies with people: a page for rating results, and the resulting table."""

from keras_pixdt._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)

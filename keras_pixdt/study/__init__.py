"""The papers' studies with people: a page on which results are rated, and the table of it."""

from keras_pixdt._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)

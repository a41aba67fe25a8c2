"""From a trained converter to files that run elsewhere: SavedModel and TFLite, verified.

`export_converter` writes them, `load_tflite` runs them and `read_metadata` says what they are, with
no TensorFlow in the process.
"""

from keras_pixdt._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)

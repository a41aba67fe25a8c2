"""From a trained converter to files that run elsewhere: SavedModel and TFLite, verified.

`export_converter` writes them, `load_tflite` runs them and `read_metadata` says what they are; the
last two work without TensorFlow in the process.

    report = export.export_converter(model.converter, "runs/demo/export", images=photos)
    convert = export.load_tflite("runs/demo/export/converter_dynamic.tflite")

Every file has the signature `convert` with one input and one output, both named `image`, uint8 RGB
`(1, size, size, 3)`: the scaling to [-1, 1] and back, the clip and the rounding (halves up) are in
the graph; in `int8`, the quantization of input and output is the scaling. With an embedder there is
the signature `embed`, from such an image to `embedding`, float32 `(1, dimensions)`. With a
converter back there is the signature `reverse`, which has the form of `convert`.

The batch is fixed to 1, in the SavedModel too: with a free batch the transposed convolutions would
leave the fast path of TFLite (XNNPACK). Convert batches with the Keras model. BatchNorm uses its
moving statistics, and a model under a mixed-precision policy is exported in float32. Only TFLite's
builtin operations are used; because TFLite does not average when it resizes, an embedder's first
layer that resizes becomes a product of matrices.

The same converter gives the same `.tflite` bytes every time. TensorFlow numbers the parts of a
SavedModel anew each time, so there only the content is the same.
"""

from keras_pixdt._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)

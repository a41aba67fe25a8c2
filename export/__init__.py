"""From a trained converter to files that run elsewhere: SavedModel and TFLite, verified.

`export_converter` writes them, `load_tflite` runs them and `read_metadata` describes them; the last
two work without TensorFlow.

    report = export.export_converter(model.converter, "runs/demo/export", images=photos)
    convert = export.load_tflite("runs/demo/export/converter_dynamic.tflite")

Every file has the signature `convert` with one input and one output, both named `image`, uint8 RGB
`(1, height, width, 3)`. The graph includes the scaling to [-1, 1] and back, the clip and the
rounding (halves up); in `int8`, the quantization of input and output does the scaling. With an
embedder there is also the signature `embed`, from such an image to `embedding`, float32 `(1,
dimensions)`. With a reverse converter there is the signature `reverse`, which looks like `convert`.
With `flow`, the network of an `AppearanceFlow` that finds where pixels come from, there is the
signature `flow`, which gives the maps of which `draw_at` composes product images of any size.

The batch is fixed to 1, also in the SavedModel, because with a free batch the transposed
convolutions would leave TFLite's fast path (XNNPACK). Convert batches with the Keras model.
BatchNorm uses its moving statistics, and a model under a mixed-precision policy is exported in
float32. Only TFLite's builtin operations are used. TFLite does not average when it resizes, so if
an embedder's first layer resizes, it becomes a product of matrices.

The same converter gives the same `.tflite` bytes every time. TensorFlow numbers the parts of a
SavedModel differently each time, so there only the content is the same.
"""

from keras_pixdt._lazy import attach

__getattr__, __dir__, __all__ = attach(__name__, __file__)

"""Pixel-level domain transfer in Keras 3: from a photo of a dressed person to the garment.

Example:
    ```python
    import keras_pixdt as pixdt

    pairs = pixdt.data.load_pairs("rendered", image_size=64)
    model = pixdt.PixelDTGAN(width=0.25, l1_weight=100.0)
    model.compile("adam", metrics=[pixdt.metrics.RootMeanSquaredError()])
    model.fit(pixdt.data.triplets(pairs["train"], batch_size=32), epochs=5, shuffle=False)
    product_images = model.predict(pixdt.data.to_float(pairs["test"].sources))
    ```

    Its parts are `data`, `metrics`, `models`, `presets`, `search` and `training`, imported when
    they are first used.
"""

import sys

from keras_pixdt._lazy import attach

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = attach(__name__, __file__)

if "keras" in sys.modules:
    # If Keras is loaded, its loaders must know our classes, so that `import keras, keras_pixdt`
    # followed by `keras.models.load_model(...)` works, as users of Keras expect.
    import keras_pixdt.registered  # noqa: F401

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

import wrapt

from keras_pixdt._lazy import attach

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = attach(__name__, __file__)

# `keras.models.load_model(...)` works after `import keras_pixdt`, whichever of the two was imported
# first: Keras' loaders know our classes as soon as there is Keras.
wrapt.register_post_import_hook("keras_pixdt.registered:register", "keras")

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

from keras_pixdt import _lazy

__version__ = "0.1.0"

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    {
        "keras_pixdt.engine.model": ["AdversarialModel"],
        "keras_pixdt.engine.optimizers": ["PlayerOptimizers"],
        "keras_pixdt.models.discogan": ["DiscoGAN"],
        "keras_pixdt.models.domain_transfer": ["DomainTransferNetwork"],
        "keras_pixdt.models.pix2pix": ["Pix2Pix"],
        "keras_pixdt.models.pixel_dtgan": ["PixelDTGAN"],
        "keras_pixdt.models.residual_pixel_dtgan": ["ResidualPixelDTGAN"],
        "keras_pixdt.models.rough_to_detail": ["RoughToDetailGAN"],
        "keras_pixdt.training.run": ["train", "load_run"],
    },
    subpackages=["data", "metrics", "models", "presets", "search", "training"],
)

if "keras" in sys.modules:
    # Where Keras is loaded, its loaders shall know our classes: `import keras, keras_pixdt` and
    # then `keras.models.load_model(...)` works, as users of Keras expect.
    import keras_pixdt.registered  # noqa: F401

"""SRCNN: Dong, Loy, He, Tang, "Image Super-Resolution Using Deep Convolutional Networks", 2015.

Three convolutions sharpen an image that bicubic interpolation has enlarged. Taigman et al. 2017
bring converted images of 64 px to print quality with it (Sec. 5.2, Appendix B).
`keras_pixdt.judges.upscaler` trains it.
"""

from __future__ import annotations

from typing import Any

import keras
from keras import layers, ops

# Sec. 4.3.2: the network 9-1-5. Filter size and, except in the last layer, number of filters.
LAYERS = (("patch_extraction", 9, 64), ("mapping", 1, 32), ("reconstruction", 5, 3))
BORDER_PX = 6  # what the filters take off each side
MIN_PX = 3  # twice as large, it can be mirrored by the border


@keras.saving.register_keras_serializable("keras_pixdt")
class SuperResolution(keras.Model):
    """SRCNN 9-1-5 on the channels of RGB together (Dong et al. 2015, Sec. 3.1 and 4.5).

    Input: float32 (batch, image_size, image_size, 3) in [-1, 1]. Output: float32 (batch, factor *
    image_size, factor * image_size, 3) in [-1, 1]. With its initial weights it is bicubic
    interpolation. It has 20,099 parameters at width 1, whatever the size of the images.

    Differs from the paper:
      - The paper's network predicts the image. Here it predicts what bicubic interpolation lacks,
        so it starts as good as bicubic and surpasses it within seconds of training.
      - The paper's main network takes only luminance and enlarges the colours by bicubic
        interpolation. This one takes all three channels, like the paper's RGB variant (Sec. 4.5,
        Table 5), because drawn garments and faces have edges in colour too.
      - The paper has no padding in training, and compares the middle of each patch. Here borders
        are mirrored before the convolutions, so that training and inference do the same
        computation.
      - The paper draws all initial weights from N(0, 0.001). Here they follow He et al. 2015, with
        zeros in the last layer: a network of residuals would start slowly from 0.001.

    Example:
        >>> upscaler = SuperResolution(64, factor=2)
        >>> upscaler(numpy.ones((1, 64, 64, 3), "float32")).shape
        (1, 128, 128, 3)

    Args:
        image_size: side of the images that are enlarged, px.
        factor: how many times larger images become, an integer of at least 2.
        width: factor on the numbers of filters.
        seed: seed of the initial weights.
        name: name of the model.

    Raises:
        ValueError: `image_size` is not an integer of at least 3, `factor` is not an integer of at
            least 2, or `width` is not above 0.
    """

    def __init__(
        self,
        image_size: int,
        factor: int = 2,
        width: float = 1.0,
        *,
        seed: int = 0,
        name: str = "super_resolution",
    ) -> None:
        for key, value, least in (("image_size", image_size, MIN_PX), ("factor", factor, 2)):
            if not isinstance(value, int) or value < least:
                raise ValueError(f"`{key}` must be an integer from {least} on. Received: {value}")
        if width <= 0:
            raise ValueError(f"`width` must be above 0. Received: {width}")
        # Explicit, because results must not depend on the policies that a trainer sets globally.
        plain = {"dtype": "float32", "data_format": "channels_last"}
        image = keras.Input((image_size, image_size, 3), dtype="float32", name="image")
        bicubic = layers.Resizing(
            factor * image_size, factor * image_size, "bicubic", name="bicubic", **plain
        )(image)
        borders = (BORDER_PX, BORDER_PX)
        x = ops.pad(bicubic, ((0, 0), borders, borders, (0, 0)), mode="symmetric")
        for i, (layer, size, filters) in enumerate(LAYERS):
            last = layer == "reconstruction"
            x = layers.Conv2D(
                filters if last else max(1, round(width * filters)),
                size,
                activation=None if last else "relu",
                kernel_initializer=(
                    "zeros" if last else keras.initializers.HeNormal(seed=1000 * seed + i)
                ),
                name=layer,
                **plain,
            )(x)
        x = layers.Add(dtype="float32", name="unclipped")([bicubic, x])
        super().__init__(image, ops.clip(x, -1.0, 1.0), name=name)
        self.image_size = image_size
        self.factor = factor
        self.width = width
        self.seed = seed

    def unclipped(self) -> keras.Model:
        """A model of the same layers that returns unclipped images, so that it has gradients."""
        return keras.Model(self.input, self.get_layer("unclipped").output)

    def for_size(self, image_size: int) -> SuperResolution:
        """A network with the same weights for images of another size."""
        other = SuperResolution(**{**self.get_config(), "image_size": image_size})
        other.set_weights(self.get_weights())
        return other

    def get_config(self) -> dict[str, Any]:
        """Returns the constructor's arguments."""
        return {
            "image_size": self.image_size,
            "factor": self.factor,
            "width": self.width,
            "seed": self.seed,
            "name": self.name,
        }

    @classmethod
    def from_config(
        cls, config: dict[str, Any], custom_objects: dict[str, Any] | None = None
    ) -> SuperResolution:
        """Calls the constructor; a functional model's would look for a graph of layers."""
        return cls(**config)

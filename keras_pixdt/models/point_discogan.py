"""DiscoGAN for points of a plane: the toy experiment of Kim et al. 2017 (Sec. 3.1, Fig. 4)."""

from __future__ import annotations

from typing import Any

import keras
from keras import layers

from keras_pixdt.models.discogan import CrossDomainGAN, uniform


def build_mlp(
    inputs: int, units: int, depth: int, outputs: int, dtype: Any = None, name: str | None = None
) -> keras.Model:
    """Linear layers with a ReLU after each but the last (Sec. 3.1).

    Args:
        inputs: numbers in a point.
        units: outputs of the hidden layers.
        depth: linear layers, the last one included.
        outputs: of the last layer.
        dtype: dtype policy of the layers; the output is float32 in any case.
        name: of the model.

    Returns:
        A functional model, (batch, inputs) to (batch, outputs).
    """
    point = keras.Input((inputs,), name="point")
    x = point
    for i in range(1, depth):
        x = layers.Dense(
            units, "relu", kernel_initializer=uniform("fan_in"), dtype=dtype, name=f"linear{i}"
        )(x)
    x = layers.Dense(
        outputs, kernel_initializer=uniform("fan_in"), dtype=dtype, name=f"linear{depth}"
    )(x)
    x = layers.Activation("linear", dtype="float32", name="outputs")(x)
    return keras.Model(point, x, name=name)


@keras.saving.register_keras_serializable("keras_pixdt")
class PointDiscoGAN(CrossDomainGAN):
    """DiscoGAN for points of a plane, as in the toy experiment (Sec. 3.1, Fig. 4).

    Batches for `fit` are dicts `{source, target}` of float32 points (batch, 2).

    Differs from the paper:
      - The paper's generator of points is "three linear layers each followed by a ReLU". Here the
        last layer has no ReLU, because otherwise three quarters of the plane could not be reached.

    Args:
        units: outputs of the hidden layers; not in the paper.
        coupled: as in `DiscoGAN`; so are the following arguments.
        reconstruction: the distance.
        reconstruction_weight: its factor.
        weight_decay: weight decay; the paper gives it for images.
        **kwargs: `name`, `dtype`.

    Raises:
        ValueError: an argument out of its range.
    """

    DIMENSIONS = 2
    GENERATOR_DEPTH = 3  # linear layers (Sec. 3.1)
    DISCRIMINATOR_DEPTH = 5

    def __init__(
        self,
        units: int = 128,
        *,
        coupled: bool = True,
        reconstruction: str = "mse",
        reconstruction_weight: float = 1.0,
        weight_decay: float = 1e-4,
        **kwargs: Any,
    ) -> None:
        super().__init__(coupled, reconstruction, reconstruction_weight, weight_decay, **kwargs)
        if units < 1:
            raise ValueError(f"`units` must be at least 1. Received: {units}")
        self.units = units
        self.build_networks()

    def build_converter(self, name: str) -> keras.Model:
        """A generator of points."""
        outputs, policy = self.DIMENSIONS, self.dtype_policy
        return build_mlp(outputs, self.units, self.GENERATOR_DEPTH, outputs, policy, name)

    def build_discriminator(self, name: str) -> keras.Model:
        """A discriminator of points."""
        depth, policy = self.DISCRIMINATOR_DEPTH, self.dtype_policy
        return build_mlp(self.DIMENSIONS, self.units, depth, 1, policy, name)

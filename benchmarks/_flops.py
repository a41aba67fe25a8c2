"""Counts the arithmetic of a training step: multiplications and additions of matrix products.

Convolutions and dense layers are counted, two operations for a multiplication with its addition,
products with padding included, as usual. BatchNorm, activations, losses and the optimizers are left
out, because they take a few operations per value and are bound by memory, not arithmetic.
"""

from __future__ import annotations

import math
from typing import Any


def layer_flops(layer: Any) -> int:
    """Operations of one pass of a Keras layer for one image; 0 if it has no kernel.

    The forward pass, the inputs' gradient and the kernel's gradient take the same number.

    Raises:
        ValueError: a layer with a kernel is of a kind that is not known here.
    """
    import keras

    if not hasattr(layer, "kernel"):
        return 0
    if isinstance(layer, keras.layers.Conv2DTranspose):
        positions = math.prod(layer.input.shape[1:-1])
    elif isinstance(layer, (keras.layers.Conv2D, keras.layers.Dense)):
        positions = math.prod(layer.output.shape[1:-1])
    else:
        raise ValueError(
            "FLOPs are counted for Conv2D, Conv2DTranspose and Dense. "
            f"Received: {type(layer).__name__} {layer.name!r}"
        )
    return 2 * positions * math.prod(layer.kernel.shape)


def network_flops(
    network: Any, *, forward: int, kernels: int, inputs: int, image: float = 0.0
) -> float:
    """Operations of passes through a chain of layers, for one image.

    Args:
        network: a functional Keras model.
        forward: forward passes.
        kernels: backward passes that need the gradients of the kernels.
        inputs: backward passes that go through the network; each layer but the first gives the
            gradient of its inputs.
        image: how many gradients of the network's own input are needed, that is of the first
            layer: a fraction where only some of its channels are.
    """
    first, *others = [flops for layer in network.layers if (flops := layer_flops(layer))]
    return first * (forward + kernels + image) + sum(others) * (forward + kernels + inputs)


def pixel_dtgan(model: Any) -> float:
    """Operations of one step of `PixelDTGAN`, for one sample.

    The converter runs forward once, also for the discriminators, and is updated. Each discriminator
    is updated on the kinds of images that it sees, and the converter's update passes through it,
    which needs no kernel gradients. The domain discriminator's first layer only needs the gradient
    of the converted half of the pair.
    """
    total = network_flops(model.converter, forward=1, kernels=1, inputs=1)
    for name, kinds, image in (
        ("real_fake_discriminator", 2, 1.0),
        ("domain_discriminator", 3 if model.irrelevant_pairs else 2, 0.5),
    ):
        if name in model.players:
            network, passes = getattr(model, name), kinds + 1
            total += network_flops(
                network, forward=passes, kernels=kinds, inputs=passes, image=image
            )
    return total


def appearance_flow(model: Any) -> float:
    """Operations of one step of `AppearanceFlow`, for one sample.

    The network runs forward once, also for the discriminator, and is updated. The discriminator is
    updated on true and found masks, and the network's update passes through it to the quarter of
    its input that is found. Moved pixels are not counted: they take a few operations per value. Up
    to 64 px one layer alone reads the photo; for larger drawings, the gradients of the photo that
    further layers do not need are counted too.
    """
    total = network_flops(model.parts, forward=1, kernels=1, inputs=1)
    if model.gan_weight:
        total += network_flops(model.discriminator, forward=3, kernels=2, inputs=3, image=0.25)
    return total

"""What the tests of export have in common: a converter, photos, and where they come from."""

import keras
import numpy as np

import export
from keras_pixdt.choices import as_height_width, scaled_size
from keras_pixdt.models.appearance_flow import AppearanceFlow
from keras_pixdt.models.discogan import DiscoGAN
from keras_pixdt.models.pixel_dtgan import build_converter

CARD = export.ModelCard(
    preset="demo",
    data="rendered",
    categories=("coat", "t-shirt"),
    licence="CC-BY-4.0",
    embedder_fingerprint="ab" * 32,
)


def photos(count, size=64, seed=0):
    """Coarse coloured patches with noise: every byte value, edges and flat areas."""
    rng = np.random.default_rng(seed)
    height, width = as_height_width(size)
    coarse = rng.integers(0, 256, (count, height // 8, width // 8, 3))
    fine = rng.integers(-40, 41, (count, height, width, 3))
    return np.clip(coarse.repeat(8, 1).repeat(8, 2) + fine, 0, 255).astype(np.uint8)


def pixel_dtgan_converter(dtype=None):
    """A narrow converter."""
    keras.utils.set_random_seed(0)
    return trained(build_converter(64, 1 / 16, dtype))


def discogan_converters(size=32):
    """The two generators of a narrow model, of different weights."""
    model = DiscoGAN(size, 1 / 8)
    return trained(model.converter), trained(model.reverse_converter, seed=2)


def appearance_flow(seed=0, size=16, **options):
    """A tiny model; its flow, mask, gate and paint all change what it draws."""
    from tests.models.appearance_flow_test import uneven

    photo_size = scaled_size(size, 32)
    model = uneven(AppearanceFlow(size, 1 / 32, photo_size=photo_size, **options), seed)
    for weight in model.parts.weights:
        if weight.path.endswith("kernel"):
            weight.assign(2 * weight)
    return model


def trained(network, seed=1):
    """A network with weights as large and statistics as moved as after training."""
    rng = np.random.default_rng(seed)
    for weight in network.weights:
        kind = weight.path.split("/")[-1]
        if kind == "kernel":
            weight.assign(rng.normal(0, 1.2 / np.sqrt(np.prod(weight.shape[:-1])), weight.shape))
        else:
            low, high = (-0.2, 0.2) if kind in ("bias", "beta", "moving_mean") else (0.5, 1.5)
            weight.assign(rng.uniform(low, high, weight.shape))
    return network

"""One file per paper, and on the players of `engine`."""

from keras_pixdt import _lazy

# What registers a paper: module -> public classes, in the order of docs/papers.md. The public names
# here and in `keras_pixdt`, and the presets of `presets/MODULE.py`, follow from it.
PAPERS = {
    "pixel_dtgan": ["PixelDTGAN"],
    "residual_pixel_dtgan": ["ResidualPixelDTGAN"],
    "rough_to_detail": ["RoughToDetailGAN"],
    "pix2pix": ["Pix2Pix"],
    "discogan": ["DiscoGAN", "PointDiscoGAN"],
    "domain_transfer": ["DomainTransferNetwork"],
}

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    names={
        "keras_pixdt.engine.adversarial_model": ["AdversarialModel", "PlayerOptimizers"],
        "keras_pixdt.models.super_resolution": ["SuperResolution"],
        **{f"{__name__}.{module}": classes for module, classes in PAPERS.items()},
    },
)

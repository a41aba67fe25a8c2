"""One file per paper, over the players of `engine`; `common` is what several of them need."""

from keras_pixdt import _lazy

__getattr__, __dir__, __all__ = _lazy.attach(
    __name__,
    {
        "keras_pixdt.engine.model": ["AdversarialModel"],
        "keras_pixdt.engine.optimizers": ["PlayerOptimizers"],
        "keras_pixdt.models.discogan": ["DiscoGAN"],
        "keras_pixdt.models.domain_transfer": ["DomainTransferNetwork"],
        "keras_pixdt.models.pix2pix": ["Pix2Pix"],
        "keras_pixdt.models.pixel_dtgan": ["PixelDTGAN"],
        "keras_pixdt.models.point_discogan": ["PointDiscoGAN"],
        "keras_pixdt.models.residual_pixel_dtgan": ["ResidualPixelDTGAN"],
        "keras_pixdt.models.rough_to_detail": ["RoughToDetailGAN"],
        "keras_pixdt.models.super_resolution": ["SuperResolution"],
    },
)

"""Choices that the command line and exported files need without loading NumPy, Pillow or Keras."""

from collections.abc import Mapping

RESIZES = ("letterbox", "stretch")
SCHEMES: Mapping[str, Mapping[str, float]] = {
    # Yoo et al. 2016, section 5: 90% of the products, and 5% each.
    "yoo2016": {"train": 0.9, "validation": 0.05, "test": 0.05},
    # Kwon et al. 2019: 90% and 10%, with no validation split.
    "kwon2019": {"train": 0.9, "test": 0.1},
}
STRATEGIES = ("none", "mirrored", "multi_worker", "tpu")
PRECISIONS = ("float32", "mixed_float16", "mixed_bfloat16")
# Validation score -> whether less is better.
SCORES = {"val_rmse": True, "val_ssim": False, "val_c_ssim": False}
# How files of pairs are named; see docs/data.md.
LAYOUTS = (
    "auto", "lookbook", "viton_hd", "dress_code", "in_shop", "consumer_to_shop", "csv",
)  # fmt: skip
CHECKPOINTS = ("final", "best")
EMBEDDERS = ("trained", "search", "densenet121")
GALLERIES = ("split", "all")
MOST_PHOTO_PX = 2048
SHIPPED = "flow_64_rendered"  # the preset that comes with the package, see `keras_pixdt.hub`
HUB = "hf://"
# Of 255, on white: a pixel with a darker channel is garment. JPEG makes the others.
GARMENT_BELOW = 250


def photo_side(read: int, size: int) -> int:
    """Side in px of the square photo whose pixels a product image is drawn from.

    Four times the product image, since a garment is often a quarter of a photo wide. Larger photos
    are reduced to this side first.

    Args:
        read: side of the photos that the model reads, px.
        size: side of the product image, px.
    """
    return max(read, min(4 * size, MOST_PHOTO_PX))

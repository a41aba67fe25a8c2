"""Choices that the command line and exported files need without loading NumPy, Pillow or Keras.

Also what sizes of images and of batches are: `as_height_width` and the functions below it.
"""

import operator
from collections.abc import Mapping, Sequence

# Of images, in px: the side of a square, or (height, width).
Size = int | tuple[int, int]

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


def as_height_width(size: Size | Sequence[int], name: str = "size") -> tuple[int, int]:
    """Height and width in px of a size: one number is the side of a square.

    Args:
        size: the size.
        name: what messages call it.

    Raises:
        ValueError: it is neither a whole number from 1 nor two of them.
    """
    try:
        height, width = map(operator.index, size if isinstance(size, Sequence) else (size, size))
    except (TypeError, ValueError):
        height = width = 0
    if min(height, width) < 1:
        raise ValueError(
            f"`{name}` must be the side of a square, or (height, width), in whole pixels from 1. "
            f"Received: {size!r}"
        )
    return height, width


def as_size(size: Size | Sequence[int], name: str = "size") -> Size:
    """A size in one form: of a square its side, otherwise (height, width)."""
    height, width = as_height_width(size, name)
    return height if height == width else (height, width)


def parse_size(text: str) -> Size:
    """A size as the command line takes it: 256, or 256x192, the height first.

    Raises:
        ValueError: it is neither.
    """
    sides = text.lower().split("x")
    if len(sides) > 2 or not all(side.isdecimal() and int(side) for side in sides):
        raise ValueError(
            "a size must be the side of a square, such as 256, or HEIGHTxWIDTH, such as 256x192, "
            f"in px. Received: {text!r}"
        )
    return as_size([int(side) for side in sides * (3 - len(sides))])


def shown_size(size: Size) -> str:
    """A size for people, as `parse_size` reads it."""
    return str(size) if isinstance(size, int) else "x".join(map(str, size))


def scaled_size(size: Size, longer: int) -> Size:
    """A size of the same proportions with another longer side, px."""
    sides = as_height_width(size)
    return as_size([max(1, round(side * longer / max(sides))) for side in sides])


def drawing_size(drawn: Size, size: Size) -> Size:
    """The size of a drawing that is asked for: one number is its longer side.

    Args:
        drawn: the size that the model draws.
        size: the size that is asked for.

    Raises:
        ValueError: it is no size, or two numbers of other proportions than `drawn`.
    """
    if not isinstance(size, Sequence):
        return scaled_size(drawn, as_height_width(size)[0])
    if (asked := as_size(size)) != scaled_size(drawn, max(size)):
        raise ValueError(
            f"`size` must have the proportions of what the model draws, {shown_size(drawn)} px, or "
            f"be its longer side. Received: {size!r}"
        )
    return asked


def photo_side(read: Size, size: Size, photo: tuple[int, int]) -> Size:
    """Size in px to which a photo is brought before a product image is drawn from its pixels.

    Its proportions are those of the photos that the model reads. Photos are reduced to four times
    the product image's longer side, since a garment is often a quarter of a photo wide, and to
    `MOST_PHOTO_PX`. Smaller photos are not enlarged, unless the model reads larger ones.

    Args:
        read: size of the photos that the model reads, px.
        size: size of the product image, px.
        photo: height and width of the photo, px.
    """
    rows, columns = as_height_width(read)
    least, longer = max(rows, columns), max(as_height_width(size))
    whole = max(-(-least * photo[0] // rows), -(-least * photo[1] // columns))  # rounded up
    return scaled_size(read, max(least, min(whole, 4 * longer, MOST_PHOTO_PX)))


def check_batch_size(batch_size: int, replicas: int) -> None:
    """Refuses a global batch that does not divide evenly among the replicas.

    Raises:
        ValueError: names the replicas and the two nearest sizes that fit.
    """
    if batch_size % replicas:
        lower = batch_size // replicas * replicas
        fits = [str(size) for size in (lower, lower + replicas) if size]
        raise ValueError(
            f"The batch size is that of all {replicas} replicas together and must be a multiple of "
            f"their number. Received: {batch_size}. Nearest: {' or '.join(fits)}"
        )

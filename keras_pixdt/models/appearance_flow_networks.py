"""The networks of appearance flow: what they find in a photo, and what is drawn of it."""

from __future__ import annotations

from typing import Any, NamedTuple

import keras
from keras import layers, ops

from keras_pixdt.choices import Size, as_height_width
from keras_pixdt.engine.model import Tensor
from keras_pixdt.layers import AffineFlow, PadToSquare, Warp, warp
from keras_pixdt.models.common import batch_norm, conv, doubled, scaled

CODE_SIZE = 256
CORE_PX = 64  # drawings of this size and larger ones share all stages up to it
MAX_PHOTO_FACTOR = 16
SMALLEST_PX = 4  # side of the smallest map
OPEN = 2.0  # logit that the gate starts from: pixels are moved, and paint is the exception
LEAK = 0.2
MOMENTUM = 0.98  # of BatchNorm: small batches
REFINEMENT = 0.5  # of the convolutions that refine flow and mask: they start from 0 and learn fast


def check_sizes(image_size: Size, photo_size: Size) -> None:
    """Requires sizes that the layers can halve, of photos and of drawings."""
    sides = as_height_width(image_size, "image_size")
    read = as_height_width(photo_size, "photo_size")
    longer, shorter = max(sides), min(sides)
    if longer < 16 or not _is_power(longer) or shorter < SMALLEST_PX or shorter % 2:
        raise ValueError(
            "`image_size` must be a power of two from 16, because strided layers halve the image "
            f"down to 4x4. A rectangle's longer side must be that, and its shorter one even, from "
            f"{SMALLEST_PX}: it lies in the middle of a square. Received: {image_size}"
        )
    factor = read[0] // sides[0]
    if read != (factor * sides[0], factor * sides[1]) or not _is_power(factor):
        raise ValueError(
            "`photo_size` must be `image_size` times a power of two, on both sides, so that one "
            f"layer reads photos. Received: {photo_size} and {image_size}"
        )
    if factor > MAX_PHOTO_FACTOR:
        raise ValueError(
            f"`photo_size` must be at most {MAX_PHOTO_FACTOR} times `image_size`. "
            f"Received: {photo_size} and {image_size}"
        )


def _is_power(number: int) -> bool:
    return number > 0 and not number & (number - 1)


class Parts(NamedTuple):
    """What a drawing is composed of, (batch, height, width, channels) each.

    Attributes:
        flow: where each pixel comes from in the photo, 2 channels; see `keras_pixdt.layers.warp`.
        mask: logits, 1 channel: garment or white.
        gate: logits, 1 channel: moved pixels or paint.
        paint: what the photo does not show, 3 channels, before the tanh.
        warped: the moved photo, 3 channels in [-1, 1].
    """

    flow: Tensor
    mask: Tensor
    gate: Tensor
    paint: Tensor
    warped: Tensor

    @classmethod
    def of(cls, maps: Tensor) -> Parts:
        """Takes apart the 10 channels that `build_parts` gives."""
        return cls(*ops.split(maps, (2, 3, 4, 7), axis=-1))

    def compose(self) -> Tensor:
        """The drawing: mask x (gate x moved photo + (1 - gate) x paint) + (1 - mask) x white.

        Returns:
            (batch, height, width, 3) in [-1, 1].
        """
        return composed(self.garment(), ops.sigmoid(self.mask))

    def garment(self) -> Tensor:
        """What the mask cuts out: gate x moved photo + (1 - gate) x paint.

        Returns:
            (batch, height, width, 3) in [-1, 1].
        """
        gate = ops.sigmoid(self.gate)
        return gate * self.warped + (1.0 - gate) * ops.tanh(self.paint)


def composed(garment: Tensor, mask: Tensor) -> Tensor:
    """A garment on white: mask x garment + (1 - mask) x 1."""
    return mask * garment + (1.0 - mask)


def _filters(size: int, width: float) -> int:
    """Filters of maps of a size: the number depends on it alone, so that networks can share."""
    return scaled(max(16, 1024 // size), width)


def _block(
    x: Tensor, filters: int, name: str, dtype: Any, size_px: int = 3, **options: Any
) -> Tensor:
    """Convolution, BatchNorm, activation."""
    x = conv(x, filters, size_px, name, "he_normal", dtype, use_bias=False, **options)
    x = batch_norm(x, f"{name}_bn", dtype, MOMENTUM)
    return layers.LeakyReLU(LEAK, dtype=dtype, name=f"{name}_lrelu")(x)


def _residual(x: Tensor, filters: int, name: str, dtype: Any) -> Tensor:
    """Two convolutions beside a shortcut (He et al. 2016)."""
    y = _block(x, filters, f"{name}_conv1", dtype)
    y = conv(y, filters, 3, f"{name}_conv2", "he_normal", dtype, use_bias=False)
    y = batch_norm(y, f"{name}_conv2_bn", dtype, MOMENTUM)
    x = layers.Add(dtype=dtype, name=f"{name}_add")([x, y])
    return layers.LeakyReLU(LEAK, dtype=dtype, name=f"{name}_lrelu")(x)


def _pooled(x: Tensor, size: int, name: str, dtype: Any) -> Tensor:
    """A layer that takes means of squares of pixels, if there is anything to reduce."""
    factor = x.shape[1] // size
    return layers.AveragePooling2D(factor, dtype=dtype, name=name)(x) if factor > 1 else x


def _read(photo: Tensor, size: int, width: float, dtype: Any) -> Tensor:
    """A map that reads the photo, first reduced to at most 4 x 4 pixels for each of its own."""
    photo = _pooled(photo, min(photo.shape[1], 4 * size), f"photo{4 * size}", dtype)
    factor = photo.shape[1] // size
    options = {"size_px": 2 * factor, "strides": factor}
    return _block(photo, _filters(size, width), f"encoder{size}", dtype, **options)


def _encode(
    photo: Tensor, image_size: int, width: float, dtype: Any
) -> tuple[dict[int, Tensor], Tensor]:
    """Reads a photo to a map of each size, and to a code.

    Maps of half of `CORE_PX` and larger ones read the photo itself, each on its own, and smaller
    ones the map before. So the smaller maps are the same in networks for larger and for smaller
    drawings.
    """
    size, maps = image_size // 2, {}
    maps[size] = _read(photo, size, width, dtype)
    while size > CORE_PX // 2:
        size //= 2
        maps[size] = _read(photo, size, width, dtype)
    x = maps[size]
    while size > SMALLEST_PX:
        size //= 2
        x = _block(x, _filters(size, width), f"encoder{size}", dtype, strides=2)
        x = maps[size] = _residual(x, _filters(size, width), f"encoder{size}_block", dtype)
    x = layers.Flatten(dtype=dtype, name="flatten")(x)
    x = layers.Dense(
        scaled(CODE_SIZE, width), kernel_initializer="he_normal", dtype=dtype, name="code"
    )(x)
    return maps, layers.LeakyReLU(LEAK, dtype=dtype, name="code_lrelu")(x)


def _doubled(maps: Tensor, name: str) -> Tensor:
    """Twice as large, bilinearly."""
    up = layers.UpSampling2D(2, interpolation="bilinear", dtype="float32", name=name)
    return up(maps)


def _affine(code: Tensor) -> Tensor:
    """An affine map: a matrix of 2 x 3, row by row."""
    # Zero at first, so that training starts from the photo as it is.
    return layers.Dense(
        6,
        kernel_initializer="zeros",
        bias_initializer=keras.initializers.Constant([1.0, 0.0, 0.0, 0.0, 1.0, 0.0]),
        dtype="float32",
        name="affine",
    )(code)


def _see(x: Tensor, skips: list[Tensor], flow: Tensor | None, name: str, dtype: Any) -> Tensor:
    """What the decoder sees at a size: its own map, and others, moved by the flow if given."""
    if flow is not None:
        skips = [
            Warp(dtype=dtype, name=f"{name}_warp{k}")([skip, flow]) for k, skip in enumerate(skips)
        ]
    return layers.Concatenate(dtype=dtype, name=f"{name}_skip")([x, *skips])


def _of_rectangle(maps: Tensor, photo: Tensor, size: tuple[int, int], moves: bool) -> Tensor:
    """The maps of a rectangle: the middle of those of the square, the flow in its coordinates."""
    borders = [(maps.shape[1] - side) // 2 for side in size]
    maps = layers.Cropping2D(
        [(border, border) for border in borders],
        data_format="channels_last",
        dtype="float32",
        name="rectangle",
    )(maps)
    flow, others, warped = ops.split(maps, (2, 7), axis=-1)
    per_side = [max(size) / size[1], max(size) / size[0]]
    flow = layers.Rescaling(per_side, dtype="float32", name="rectangle_flow")(flow)
    if moves:  # as from a larger photo, which has no bars
        warped = Warp(dtype="float32", name="rectangle_warped")([photo, flow])
    return layers.Concatenate(dtype="float32", name="rectangle_maps")([flow, others, warped])


def build_parts(
    photo_size: Size,
    image_size: Size,
    width: float,
    dtype: Any = None,
    *,
    moves: bool = True,
    warped_skips: bool = True,
) -> keras.Model:
    """The network that finds flow, mask, gate and paint.

    An encoder reads the photo to a code. The code gives an affine map, a first guess of the flow. A
    decoder refines flow and mask at each size, from `SMALLEST_PX` to half of `image_size`. At each
    size it sees the encoder's map moved by the flow so far, so that this map lies where the drawing
    needs it. The last stage, at full size, sees the moved photo itself.

    A rectangle is the middle of a square: the photo gets white bars, and the maps are cut. So
    networks for both find the same, with the same weights, in the same time.

    Layers are named after the size of their maps, so that networks of one width for drawings of
    `CORE_PX` and more share them. (If photos are no larger than drawings, the largest map has a
    kernel of its own.)

    Args:
        photo_size: size of the photos, px.
        image_size: size of the product images, px.
        width: factor on the numbers of filters.
        dtype: dtype policy of the layers; the output is float32 in any case.
        moves: whether pixels are moved. If not, all maps stay in place, and `warped` is paint.
        warped_skips: whether the encoder's maps are moved by the flow.

    Returns:
        A functional model, (batch, photo_height, photo_width, 3) in [-1, 1] to float32 (batch,
        height, width, 10): the channels of `Parts`, one after the other.
    """
    photo = keras.Input((*as_height_width(photo_size), 3), name="photo")
    sides = as_height_width(image_size)
    rectangular, full = sides[0] != sides[1], max(sides)
    square = PadToSquare(dtype="float32", name="square")(photo) if rectangular else photo
    maps, code = _encode(square, full, width, dtype)

    affine = _affine(code)
    size, filters, refined = SMALLEST_PX, _filters(SMALLEST_PX, width), None
    flow = AffineFlow(size, name=f"affine_flow{size}")(affine)
    x = layers.Dense(size**2 * filters, activation="relu", dtype=dtype, name="decoder")(code)
    x = layers.Reshape((size, size, filters), dtype=dtype, name="decoder_reshape")(x)
    while size < full:
        name, skips = f"decoder{size}", [maps[size]]
        fine = size >= min(full, CORE_PX) // 2
        if fine:
            skips.append(_pooled(square, size, f"reduced{size}", dtype))
        x = _see(x, skips, flow if moves and warped_skips else None, name, dtype)
        x = _block(x, _filters(size, width), f"{name}_conv", dtype)
        if not fine:
            x = _residual(x, _filters(size, width), f"{name}_block", dtype)
        step = REFINEMENT * conv(x, 3, 3, f"{name}_step", "zeros", "float32")
        refined = step if refined is None else refined + step
        size *= 2
        refined = _doubled(refined, f"{name}_step_up")
        bent, mask = ops.split(refined, (2,), axis=-1)
        flow = AffineFlow(size, name=f"affine_flow{size}")(affine) + bent
        x = _block(x, _filters(size, width), f"{name}_out", dtype, 1)
        x = layers.UpSampling2D(2, dtype=dtype, name=f"{name}_up")(x)

    if moves:
        seen = Warp(dtype="float32", name="warped")([square, flow])
    else:
        seen = _pooled(square, full, "seen", "float32")
    x = layers.Concatenate(dtype=dtype, name="drawing_skip")([x, seen])
    x = _block(x, _filters(size, width), f"drawing{size}", dtype)
    # Zero at first: from pretrained weights a larger network begins with the smaller one's mask.
    drawn = conv(x, 5, 3, f"mask_gate_paint{size}", "zeros", "float32")
    finest, gate, paint = ops.split(drawn, (1, 2), axis=-1)
    maps = layers.Concatenate(dtype="float32", name="maps")(
        [flow, mask + finest, gate + OPEN, paint, seen if moves else ops.tanh(paint)]
    )
    if rectangular:
        maps = _of_rectangle(maps, photo, sides, moves)
    return keras.Model(photo, maps, name="parts")


def sharpened(parts: keras.Model, factor: float) -> keras.Model:
    """The network of `build_parts` with the mask's logits multiplied by a factor."""
    if factor == 1.0:
        return parts
    flow, mask, others = ops.split(parts.output, (2, 3), axis=-1)
    mask = layers.Rescaling(factor, dtype="float32", name="mask_sharpness")(mask)
    maps = layers.Concatenate(dtype="float32", name="sharpened")([flow, mask, others])
    return keras.Model(parts.input, maps, name="finder")


def draw_enlarged(photo: Tensor, maps: Tensor, size: Size) -> Tensor:
    """Draws at another size: enlarges the maps, and moves the pixels of the photo itself.

    The mask is enlarged as logits, multiplied by how many times it is enlarged. So its outline is
    as many pixels wide as in the small drawing, instead of a blur (as with the distance fields of
    Green, "Improved Alpha-Tested Magnification", SIGGRAPH 2007).

    Args:
        photo: (batch, height, width, 3) in [-1, 1], however large.
        maps: what `build_parts` gives for the photo, reduced to the size that it takes.
        size: of the drawing, px.

    Returns:
        (batch, height, width, 3) in [-1, 1].
    """
    sides = as_height_width(size)
    parts = Parts.of(ops.image.resize(maps, sides, "bilinear"))
    sharp = parts.mask * max(1.0, sides[0] / maps.shape[1])
    return parts._replace(mask=sharp, warped=warp(photo, parts.flow)).compose()


def as_bytes(images: Tensor) -> Tensor:
    """Rounds values in [-1, 1] to those of bytes; halves go up, also if float32 misses them."""
    return ops.floor((images + 1.0) * 127.5 + 0.5001) / 127.5 - 1.0


def build_discriminator(image_size: Size, width: float, dtype: Any = None) -> keras.Model:
    """A discriminator that judges patches of a pair of photo and mask.

    Args:
        image_size: size of the images, px.
        width: factor on the numbers of filters.
        dtype: dtype policy of the layers; the logits are float32 in any case.

    Returns:
        A functional model, (batch, height, width, 4) in [-1, 1], the photo and the mask, to logits
        of an eighth of this size, rounded up, (batch, rows, columns, 1).
    """
    pair = keras.Input((*as_height_width(image_size), 4), name="pair")
    x = pair
    for i, count in enumerate(doubled(3, width)):
        if i:
            x = _block(x, count, f"conv{i + 1}", dtype, 4, strides=2)
        else:
            x = conv(x, count, 4, "conv1", "he_normal", dtype, strides=2)
            x = layers.LeakyReLU(LEAK, dtype=dtype, name="conv1_lrelu")(x)
    logits = conv(x, 1, 4, "logits", "glorot_uniform", "float32")
    return keras.Model(pair, logits, name="discriminator")

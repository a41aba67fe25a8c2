"""A converter that moves the photo's own pixels, from none of the papers.

PixelDTGAN and its successors squeeze the photo through a code and paint the product image from it.
A code keeps a garment's colour, not its pattern. This network finds where in the photo each pixel
of the product image comes from, its appearance flow (Zhou et al., "View Synthesis by Appearance
Flow", ECCV 2016), and copies it from there. It paints only what the photo does not show. Flows that
are refined from coarse to fine, for try-on, are those of ClothFlow (Han et al., ICCV 2019) and
PF-AFN (Ge et al., CVPR 2021), whose penalty on bending is used here too.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from typing import Any

import keras
import numpy as np
from keras import ops

from keras_pixdt.choices import (
    GARMENT_BELOW,
    Size,
    as_height_width,
    as_size,
    drawing_size,
    photo_side,
)
from keras_pixdt.engine.model import AdversarialModel, Tensor, train_pass
from keras_pixdt.losses import (
    binary_cross_entropy,
    fake_loss,
    mean_absolute_error,
    real_loss,
)
from keras_pixdt.models.appearance_flow_networks import (
    Parts,
    as_bytes,
    build_discriminator,
    build_parts,
    check_sizes,
    composed,
    draw_enlarged,
    sharpened,
)
from keras_pixdt.models.common import check_weights, check_widths

WHITE_FROM = (GARMENT_BELOW - 0.5) / 127.5 - 1  # in [-1, 1], between two levels

# Terms of the objective


def _pooled(x: Tensor, factor: int) -> Tensor:
    """Means of squares of `factor` pixels."""
    return ops.average_pool(x, (factor, factor), (factor, factor)) if factor > 1 else x


def garment_mask(target: Tensor) -> Tensor:
    """1 where a product image on white shows the garment, else 0.

    Args:
        target: (batch, height, width, 3) in [-1, 1].

    Returns:
        float32 (batch, height, width, 1). White parts of a garment are missing.
    """
    return ops.cast(ops.min(target, axis=-1, keepdims=True) < WHITE_FROM, "float32")


def masked_error(x: Tensor, y: Tensor, mask: Tensor) -> Tensor:
    """Mean of |x - y| inside a mask, of each sample; mean over samples.

    Each sample has a mean of its own, so that the result does not depend on which samples a device
    has.

    Args:
        x: (batch, height, width, channels).
        y: the same shape.
        mask: (batch, height, width, 1), weights in [0, 1].

    Returns:
        A scalar. A sample whose mask is empty counts as 0.
    """
    weights = ops.sum(mask, axis=(1, 2, 3)) * x.shape[-1]
    errors = ops.sum(mask * ops.abs(x - y), axis=(1, 2, 3))
    return ops.mean(errors / ops.maximum(weights, 1.0))


def overlap_error(found: Tensor, mask: Tensor) -> Tensor:
    """One minus the soft intersection over union of two masks, mean over samples.

    Rahman and Wang, "Optimizing Intersection-Over-Union in Deep Neural Networks for Image
    Segmentation" (ISVC 2016), Eqs. 2 to 4. A pixel is added to both sums, so that two empty masks
    are alike.

    Args:
        found: (batch, height, width, 1) in [0, 1].
        mask: the same shape.

    Returns:
        A scalar in [0, 1].
    """
    both = ops.sum(found * mask, axis=(1, 2, 3))
    either = ops.sum(found + mask, axis=(1, 2, 3)) - both
    return ops.mean(1.0 - (both + 1.0) / (either + 1.0))


def bending(flow: Tensor) -> Tensor:
    """Mean absolute second difference of a flow, along rows and columns (Ge et al. 2021, Eq. 1).

    An affine flow has none: stretching costs nothing, bending does. The paper has the generalized
    Charbonnier loss where this has the absolute value.

    Args:
        flow: (batch, rows, columns, 2).

    Returns:
        A scalar.
    """

    def second(axis: int) -> Tensor:
        # Rolled, because the gradients of slices cost several times as much on a CPU.
        bent = ops.roll(flow, 1, axis) + ops.roll(flow, -1, axis) - 2.0 * flow
        size = flow.shape[axis]
        inside = np.ones(size, "float32")
        inside[[0, -1]] = 0.0  # what came in from the other end
        inside = np.expand_dims(inside, (0, 3, 3 - axis))
        return ops.mean(ops.abs(bent) * inside) * (size / (size - 2))

    return second(1) + second(2)


def flow_error(flow: Tensor, truth: Tensor) -> Tensor:
    """Mean of |flow - truth| where the truth is known, of each sample; mean over samples.

    Args:
        flow: (batch, height, width, 2).
        truth: (batch, rows, columns, 2), of which the flow's height and width are the same
            multiple; NaN where it is unknown.

    Returns:
        A scalar.

    Raises:
        ValueError: they are not.
    """
    sides, cells = tuple(flow.shape[1:3]), tuple(truth.shape[1:3])
    pool = sides[0] // cells[0]
    if not pool or sides != (pool * cells[0], pool * cells[1]):
        raise ValueError(
            "`flow` of a batch must have rows and columns of which `image_size` is a multiple. "
            f"Received: {cells[0]} rows, {cells[1]} columns and image_size={as_size(sides)}"
        )
    known = ops.logical_not(ops.isnan(truth))
    mask = ops.cast(known[..., :1], "float32")
    return masked_error(_pooled(flow, pool), ops.where(known, truth, 0.0), mask)


@keras.saving.register_keras_serializable("keras_pixdt")
class AppearanceFlow(AdversarialModel):
    """Draws product images from the photo's own pixels.

    `AppearanceFlow(64, photo_size=256)` reads photos of 256 px and draws 64 px: a garment is only a
    part of a photo, and a pattern needs its pixels. The flow is smooth, so it can be enlarged and
    applied to a photo of any size (`draw_at`).

    `AppearanceFlow((256, 192), photo_size=(1024, 768))` does so with pictures of VITON-HD's shape.

    Batches for `fit` are dicts of float32: `source` (batch, photo_height, photo_width, 3) and
    `target` (batch, height, width, 3) in [-1, 1]. They may have `mask` (batch, height, width, 1) in
    [0, 1], where the target shows the garment, which is otherwise taken from its white ground; and
    `flow` (batch, rows, columns, 2), where the points of the target lie in the source, NaN where
    this is unknown (see `keras_pixdt.layers.warp`). `predict` takes such dicts or photos.

    Args:
        image_size: side of the drawings in px, a power of two from 16; or (height, width), of which
            the longer one is such a number, and the other even. A rectangle takes the time of the
            square around it.
        width: factor on all numbers of filters.
        photo_size: the same of the photos: `image_size` times a power of two, up to 16;
            None takes `image_size`.
        discriminator_width: factor on the discriminator's filters; None takes `width`.
        l1_weight: weight of the mean absolute error of the drawing, from which its mask learns.
        garment_weight: weight of the mean absolute error of the garment, moved and painted, inside
            the true mask.
        paint_weight: weight of the share of the garment that is painted. Without it paint is mixed
            in everywhere, which lowers the error a little and washes patterns out.
        mask_weight: weight of the cross entropy of the mask.
        overlap_weight: weight of what the mask's intersection over union with the true one lacks.
            It rewards masks that are near 0 or 1.
        warp_weight: weight of the mean absolute error of the moved photo inside the true mask.
        bending_weight: weight of the flow's bending.
        flow_weight: weight of the flow's error, where batches know the true flow.
        gan_weight: weight of the adversarial term; if 0, no discriminator is built.
        gan_phase: the phase of a `Schedule`, from 0, from which that term counts. The discriminator
            learns from the start. Without a schedule the term always counts.
        mask_sharpness: factor on the mask's logits in whatever is drawn, but not in the losses. A
            network draws outlines that it is not sure of as wide blurs, which have the least error;
            with more than 1 it decides.
        moves: whether pixels are moved. False leaves a network that only paints, to compare with.
        warped_skips: whether the encoder's maps are moved too. False is to compare with.
        **kwargs: `name`, `dtype` (a policy such as "mixed_bfloat16").

    Raises:
        ValueError: a size, width or weight is out of range, or all weights are 0.

    Example:
        ```python
        model = AppearanceFlow(64, photo_size=256)
        model.compile(keras.optimizers.Adam(1e-3))
        model.fit(train, epochs=10)
        product = model.predict(photos)
        ```
    """

    def __init__(
        self,
        image_size: Size = 64,
        width: float = 1.0,
        *,
        photo_size: Size | None = None,
        discriminator_width: float | None = None,
        l1_weight: float = 10.0,
        garment_weight: float = 3.0,
        paint_weight: float = 0.3,
        mask_weight: float = 5.0,
        overlap_weight: float = 0.0,
        warp_weight: float = 3.0,
        bending_weight: float = 20.0,
        flow_weight: float = 20.0,
        gan_weight: float = 0.0,
        gan_phase: int = 0,
        mask_sharpness: float = 1.0,
        moves: bool = True,
        warped_skips: bool = True,
        **kwargs: Any,
    ) -> None:
        super().__init__(**kwargs)
        read = image_size if photo_size is None else photo_size
        check_sizes(image_size, read)
        narrowed = check_widths(width, discriminator_width)
        check_weights(
            l1_weight=l1_weight,
            garment_weight=garment_weight,
            paint_weight=paint_weight,
            mask_weight=mask_weight,
            overlap_weight=overlap_weight,
            warp_weight=warp_weight,
            bending_weight=bending_weight,
            flow_weight=flow_weight,
            gan_weight=gan_weight,
        )
        if not 0 < mask_sharpness < math.inf:
            raise ValueError(
                f"`mask_sharpness` must be a finite number above 0. Received: {mask_sharpness}"
            )
        self.image_size = as_size(image_size)
        self.width = width
        self.photo_size = None if photo_size is None else as_size(photo_size)
        self.discriminator_width = discriminator_width
        self.l1_weight = l1_weight
        self.garment_weight = garment_weight
        self.paint_weight = paint_weight
        self.mask_weight = mask_weight
        self.overlap_weight = overlap_weight
        self.warp_weight = warp_weight
        self.bending_weight = bending_weight
        self.flow_weight = flow_weight
        self.gan_weight = gan_weight
        self.gan_phase = gan_phase
        self.mask_sharpness = mask_sharpness
        self.moves = moves
        self.warped_skips = warped_skips

        policy = self.dtype_policy
        # A weight, so that a phase may change it without tracing the step again.
        self.gan_share = self.add_weight((), "ones", "float32", trainable=False, name="gan_share")
        self._gan_share = 1.0
        players = {}
        if gan_weight:
            self.discriminator = build_discriminator(image_size, narrowed, policy)
            players["discriminator"] = ["discriminator"]
        self.parts = build_parts(
            read, image_size, width, policy, moves=moves, warped_skips=warped_skips
        )
        self.finder = sharpened(self.parts, mask_sharpness)
        drawn = Parts.of(self.finder.output).compose()
        self.converter = keras.Model(self.parts.input, drawn, name="converter")
        players["converter"] = ["parts"]
        self.set_players(players)

    def batch_shapes(self) -> dict[str, tuple[int | None, ...]]:
        """Those of all models, and those of `mask` and `flow`."""
        mask = (None, *as_height_width(self.image_size), 1)
        return {**super().batch_shapes(), "mask": mask, "flow": (None, None, None, 2)}

    def converter_passes(
        self, batch: Mapping[str, Tensor], run: Callable[[keras.Model, Tensor], Tensor] = train_pass
    ) -> list[Tensor]:
        """The pass of the network that finds the parts: the only one with statistics."""
        return [run(self.parts, batch["source"])]

    def on_phase(self, index: int, progress: float) -> None:
        """Lets the adversarial term count from the phase `gan_phase` on; `Schedule` calls it."""
        share = float(index >= self.gan_phase)
        if share != self._gan_share:
            self._attach_state()
            self.gan_share.assign(share)
            self._gan_share = share

    def adversarial_step(self, batch: Mapping[str, Tensor]) -> dict[str, Tensor]:
        """One step on the discriminator, then one on the converter, as in `Pix2Pix`."""
        losses = {}
        forward = self.forward("converter", lambda: self.parts(batch["source"], training=True))
        photo = self._reduced(batch["source"])

        if self.gan_weight:
            found = ops.stop_gradient(ops.sigmoid(Parts.of(forward.outputs).mask))
            losses["discriminator"] = self.minimize(
                "discriminator",
                lambda: self.discriminator_loss(photo, self._mask(batch), found),
            )

        losses["converter"] = self.minimize(
            "converter",
            lambda maps: self.converter_loss(photo, batch, Parts.of(maps)),
            through=forward,
        )
        return losses

    def discriminator_loss(self, photo: Tensor, mask: Tensor, found: Tensor) -> Tensor:
        """Cross entropy of photos with the true mask and photos with the mask that is found.

        Args:
            photo: (batch, height, width, 3) in [-1, 1].
            mask: (batch, height, width, 1) in [0, 1].
            found: the same shape.

        Returns:
            A scalar.
        """
        real, fake = self._verdicts(photo, mask), self._verdicts(photo, found)
        return 0.5 * (real_loss(real) + fake_loss(fake))

    def converter_loss(self, photo: Tensor, batch: Mapping[str, Tensor], parts: Parts) -> Tensor:
        """The weighted sum of the converter's terms.

        Args:
            photo: (batch, height, width, 3) in [-1, 1], for the discriminator.
            batch: as for `adversarial_step`.
            parts: what the network finds for its sources.

        Returns:
            A scalar.
        """
        target, mask = batch["target"], self._mask(batch)
        flow, garment, cut = parts.flow, parts.garment(), ops.sigmoid(parts.mask)
        # Each learns from its own error: a garment that learns from the whole drawing too becomes
        # darker than the target where the mask is still half open.
        drawn = composed(ops.stop_gradient(garment), cut)
        loss = self.l1_weight * mean_absolute_error(drawn, target)
        loss += self.garment_weight * masked_error(garment, target, mask)
        loss += self.mask_weight * binary_cross_entropy(mask, parts.mask)
        if self.overlap_weight:
            loss += self.overlap_weight * overlap_error(cut, mask)
        if self.moves:
            loss += self.warp_weight * masked_error(parts.warped, target, mask)
            loss += self.paint_weight * masked_error(
                ops.sigmoid(parts.gate), ops.ones_like(mask), mask
            )
            loss += self.bending_weight * bending(flow)
            if self.flow_weight and "flow" in batch:
                loss += self.flow_weight * flow_error(flow, batch["flow"])
        if self.gan_weight:
            adversarial = real_loss(self._verdicts(photo, cut))
            loss += self.gan_weight * ops.convert_to_tensor(self.gan_share) * adversarial
        return loss

    @property
    def scalable(self) -> bool:
        """Whether it moves pixels, so that `draw_at` can."""
        return self.moves

    def find_masks(self, photo: Tensor) -> Tensor:
        """Where the drawings have the garment.

        Args:
            photo: (batch, photo_height, photo_width, 3) in [-1, 1].

        Returns:
            (batch, height, width, 1) in [0, 1].
        """
        return ops.sigmoid(Parts.of(self.finder(photo, training=False)).mask)

    def photo_side(self, size: Size, photo: tuple[int, int]) -> Size:
        """Size in px to which a photo of this (height, width) is brought for `draw_at`."""
        return photo_side(as_size(self.parts.input_shape[1:3]), size, photo)

    def draw_at(self, photo: Tensor, size: Size) -> Tensor:
        """Draws at any size from photos of any size.

        Flow, mask, gate and paint are found at `image_size` and enlarged; the photo itself is
        sampled where the enlarged flow points. They are found in the photo as bytes, reduced as
        Pillow does, so that an exported file, which takes bytes, finds the same.

        Args:
            photo: (batch, photo_height, photo_width, 3) in [-1, 1], of the proportions of those
                that the model reads.
            size: side of the drawings, px; of rectangles their longer side, or (height, width).

        Returns:
            (batch, height, width, 3) in [-1, 1], of the proportions of `image_size`.

        Raises:
            ValueError: `size` is no such size, or the model was made with `moves=False`.
        """
        size = drawing_size(self.image_size, size)
        if not self.moves:
            raise ValueError(
                "A model made with moves=False only paints: it has no flow to enlarge. Draw at "
                f"{self.image_size} px. Received: size={size}"
            )
        rows, columns = self.parts.input_shape[1:3]
        small = photo
        for shape in ((photo.shape[1], columns), (rows, columns)):
            small = as_bytes(ops.image.resize(small, shape, "bilinear", antialias=True))
        return draw_enlarged(photo, self.finder(small, training=False), size)

    def _reduced(self, photo: Tensor) -> Tensor:
        return _pooled(photo, photo.shape[1] // as_height_width(self.image_size)[0])

    @staticmethod
    def _mask(batch: Mapping[str, Tensor]) -> Tensor:
        return batch["mask"] if "mask" in batch else garment_mask(batch["target"])

    def _verdicts(self, photo: Tensor, mask: Tensor) -> Tensor:
        # Of outlines only: one that sees the garment too teaches spots and fringes.
        return self.discriminator(
            ops.concatenate([photo, 2.0 * mask - 1.0], axis=-1), training=True
        )

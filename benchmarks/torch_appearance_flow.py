"""AppearanceFlow in PyTorch: the peer that `train_step.py` measures `AppearanceFlow` against.

Network, algorithm, optimizers and precision match `keras_pixdt.AppearanceFlow`, for photos of twice
the size of the drawings and the weights below. `tests/benchmarks_test.py` checks that steps from
equal weights give equal weights. The following are equal only after a reflection, or not at all:

  - Keras' "same" padding of a strided 3x3 convolution puts 1 px after and none before. PyTorch's
    `padding=1` reads 1 px before and none after: the mirror image of the same arithmetic, which
    needs no copy for a one-sided padding. The test mirrors images and kernels, and with them the
    flow, whose sign changes.
  - For the 4x4 convolution that gives the logits, Keras puts 1 px before and 2 px after. Mirrored,
    this is a padding of 2 px without the last row and column of logits.
  - PyTorch's BatchNorm keeps the unbiased variance as its moving statistic. Training never reads
    it.
  - Adam's epsilon is added before the correction of the bias in Keras, after it in PyTorch.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import NamedTuple

import _peer
import torch
from torch import nn
from torch.nn import functional

DISCRIMINATOR_FACTOR = 0.5  # its width, of the network's

L1_WEIGHT = 10.0
GARMENT_WEIGHT = 3.0
PAINT_WEIGHT = 0.3
MASK_WEIGHT = 5.0
WARP_WEIGHT = 3.0
BENDING_WEIGHT = 20.0
FLOW_WEIGHT = 20.0
GAN_WEIGHT = 0.1

# As in `keras_pixdt.models.appearance_flow_networks`, which imports Keras.
CODE_SIZE = 256
CORE_PX = 64
SMALLEST_PX = 4
OPEN = 2.0
LEAK = 0.2
REFINEMENT = 0.5


def scaled(filters: int, width: float) -> int:
    return max(1, round(width * filters))


def filters_of(size: int, width: float) -> int:
    return scaled(max(16, 1024 // size), width)


def conv(before: int, after: int, size_px: int, stride: int = 1) -> list[nn.Module]:
    """Convolution and BatchNorm."""
    padding = (size_px - stride + 1) // 2
    return [
        nn.Conv2d(before, after, size_px, stride=stride, padding=padding, bias=False),
        nn.BatchNorm2d(after, eps=1e-5, momentum=0.02),  # Keras calls this momentum 0.98
    ]


def leaky() -> nn.Module:
    return nn.LeakyReLU(LEAK, inplace=True)


def block(before: int, after: int, size_px: int = 3, stride: int = 1) -> nn.Sequential:
    """Convolution, BatchNorm, activation."""
    return nn.Sequential(*conv(before, after, size_px, stride), leaky())


class Residual(nn.Module):
    """Two convolutions beside a shortcut."""

    def __init__(self, filters: int) -> None:
        super().__init__()
        self.convs = nn.Sequential(*block(filters, filters), *conv(filters, filters, 3))
        self.activation = leaky()

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        """Adds what the convolutions find."""
        return self.activation(x + self.convs(x))


def in_float32(fn: Callable[..., torch.Tensor], *inputs: torch.Tensor) -> torch.Tensor:
    """Calls a function of tensors in float32 under every precision."""
    with torch.autocast(inputs[0].device.type, enabled=False):
        return fn(*(x.float() for x in inputs))


def pooled(images: torch.Tensor, size: int) -> torch.Tensor:
    """Means of squares of pixels."""
    factor = images.shape[2] // size
    return functional.avg_pool2d(images, factor) if factor > 1 else images


def affine_flow(affine: torch.Tensor, size: int) -> torch.Tensor:
    """The flow (batch, size, size, 2) of affine maps (batch, 2, 3)."""
    shape = [len(affine), 1, size, size]
    return in_float32(lambda x: functional.affine_grid(x, shape, align_corners=False), affine)


def warp(images: torch.Tensor, flow: torch.Tensor) -> torch.Tensor:
    """Samples images (batch, channels, height, width) where a flow (batch, rows, rows, 2) points.

    The result is channels last in memory, which `grid_sample` alone does not make it, so that it
    can be concatenated with maps that are.
    """
    moved = in_float32(
        lambda x, grid: functional.grid_sample(
            x, grid, mode="bilinear", padding_mode="border", align_corners=False
        ),
        images,
        flow,
    )
    return moved.to(images.dtype, memory_format=torch.channels_last)


class Stage(nn.Module):
    """The layers of the decoder at one size; `fine` ones also see the photo."""

    def __init__(self, before: int, size: int, width: float, fine: bool) -> None:
        super().__init__()
        filters = filters_of(size, width)
        seen = before + filters + (3 if fine else 0)
        self.fine = fine
        self.conv = block(seen, filters)
        if not fine:
            self.conv.append(Residual(filters))
        self.step = nn.Conv2d(filters, 3, 3, padding=1)
        self.out = block(filters, filters_of(2 * size, width), 1)


class Parts(NamedTuple):
    """What a drawing is composed of: `flow` (batch, size, size, 2), the others channels first."""

    flow: torch.Tensor
    mask: torch.Tensor
    gate: torch.Tensor
    paint: torch.Tensor
    warped: torch.Tensor

    def garment(self) -> torch.Tensor:
        """Gate x moved photo + (1 - gate) x paint."""
        gate = self.gate.sigmoid()
        return gate * self.warped + (1 - gate) * self.paint.tanh()


def composed(garment: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """A garment on white."""
    return mask * garment + (1 - mask)


class Finder(nn.Module):
    """Photos (batch, 3, side, side) in [-1, 1] to `Parts`."""

    def __init__(self, image_size: int, width: float) -> None:
        super().__init__()
        # Keys are sizes of maps. What reads the photo sees 4 px of it, at a stride, for one.
        self.readers, self.encoders = nn.ModuleDict(), nn.ModuleDict()
        size = image_size // 2
        self.readers[str(size)] = block(3, filters_of(size, width), 8, stride=4)
        while size > CORE_PX // 2:
            size //= 2
            self.readers[str(size)] = block(3, filters_of(size, width), 8, stride=4)
        while size > SMALLEST_PX:
            before, size = filters_of(size, width), size // 2
            filters = filters_of(size, width)
            self.encoders[str(size)] = nn.Sequential(
                *block(before, filters, stride=2), Residual(filters)
            )
        values, code = SMALLEST_PX**2 * filters_of(SMALLEST_PX, width), scaled(CODE_SIZE, width)
        self.code = nn.Sequential(nn.Linear(values, code), leaky())
        self.affine = nn.Linear(code, 6)
        self.decoder = nn.Sequential(nn.Linear(code, values), nn.ReLU(inplace=True))
        self.stages = nn.ModuleDict()
        while size < image_size:
            fine = size >= min(image_size, CORE_PX) // 2
            self.stages[str(size)] = Stage(filters_of(size, width), size, width, fine)
            size *= 2
        filters = filters_of(size, width)
        self.drawing = block(filters + 3, filters)
        self.mask_gate_paint = nn.Conv2d(filters, 5, 3, padding=1)
        self._initialize()

    def _initialize(self) -> None:
        for module in self.modules():
            if isinstance(module, (nn.Conv2d, nn.Linear)):
                nn.init.kaiming_normal_(module.weight)
                if module.bias is not None:
                    nn.init.zeros_(module.bias)
        # Training starts from the photo as it is.
        for stage in self.stages.values():
            nn.init.zeros_(stage.step.weight)
        nn.init.zeros_(self.affine.weight)
        with torch.no_grad():
            self.affine.bias.copy_(torch.tensor([1.0, 0.0, 0.0, 0.0, 1.0, 0.0]))

    def forward(self, photo: torch.Tensor) -> Parts:
        """Finds the parts."""
        maps = {}
        for key, read in self.readers.items():
            x = maps[key] = read(pooled(photo, 4 * int(key)))
        for key, encode in self.encoders.items():
            x = maps[key] = encode(x)
        # Channels last already: views, no copies.
        code = self.code(x.permute(0, 2, 3, 1).flatten(1))
        affine = in_float32(self.affine, code).view(-1, 2, 3)
        flow = affine_flow(affine, SMALLEST_PX)
        x = self.decoder(code).view(len(code), SMALLEST_PX, SMALLEST_PX, -1).permute(0, 3, 1, 2)
        refined: torch.Tensor | None = None
        for key, stage in self.stages.items():
            size = int(key)
            skips = [maps[key]]
            if stage.fine:
                skips.append(pooled(photo, size).to(x.dtype))
            x = stage.conv(torch.cat([x, *(warp(skip, flow) for skip in skips)], dim=1))
            step = REFINEMENT * in_float32(stage.step, x)
            refined = functional.interpolate(
                step if refined is None else refined + step,
                scale_factor=2,
                mode="bilinear",
                align_corners=False,
            )
            flow = affine_flow(affine, 2 * size) + refined[:, :2].permute(0, 2, 3, 1)
            x = functional.interpolate(stage.out(x), scale_factor=2)
        assert refined is not None  # there are two stages or more
        warped = warp(photo, flow)
        x = self.drawing(torch.cat([x, warped.to(x.dtype)], dim=1))
        finest, gate, paint = in_float32(self.mask_gate_paint, x).split([1, 1, 3], dim=1)
        return Parts(flow, refined[:, 2:] + finest, gate + OPEN, paint, warped)


class Converter(nn.Module):
    """Photos (batch, 3, side, side) in [-1, 1] to drawings, for `device.py`."""

    def __init__(self, image_size: int, width: float) -> None:
        super().__init__()
        self.finder = Finder(image_size, width)

    def forward(self, photo: torch.Tensor) -> torch.Tensor:
        """Draws what the parts are composed to."""
        parts = self.finder(photo)
        return composed(parts.garment(), parts.mask.sigmoid())


class Discriminator(nn.Module):
    """Pairs of photo and mask (batch, 4, size, size) to logits (batch, 1, size / 8, size / 8)."""

    def __init__(self, width: float) -> None:
        super().__init__()
        filters = [scaled(64 * 2**i, width) for i in range(3)]
        self.layers = nn.Sequential(
            nn.Conv2d(4, filters[0], 4, stride=2, padding=1),
            leaky(),
            block(filters[0], filters[1], 4, stride=2),
            block(filters[1], filters[2], 4, stride=2),
        )
        self.logits = nn.Conv2d(filters[2], 1, 4, padding=2)

    def forward(self, pair: torch.Tensor) -> torch.Tensor:
        """Judges pairs."""
        return in_float32(self.logits, self.layers(pair))[:, :, :-1, :-1]


def pair(photo: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """What the discriminator sees."""
    return torch.cat([photo, 2 * mask - 1], dim=1)


def masked_error(x: torch.Tensor, y: torch.Tensor, mask: torch.Tensor) -> torch.Tensor:
    """Mean of |x - y| inside a mask, of each sample; mean over samples."""
    weights = mask.sum((1, 2, 3)) * x.shape[1]
    errors = (mask * (x - y).abs()).sum((1, 2, 3))
    return (errors / weights.clamp(min=1)).mean()


def bending(flow: torch.Tensor) -> torch.Tensor:
    """Mean absolute second difference of a flow, along rows and columns."""
    return flow.diff(2, dim=1).abs().mean() + flow.diff(2, dim=2).abs().mean()


def flow_error(flow: torch.Tensor, truth: torch.Tensor) -> torch.Tensor:
    """Mean of |flow - truth| where the truth is known, of each sample; mean over samples."""
    known = ~truth.isnan()
    found = pooled(flow.permute(0, 3, 1, 2), truth.shape[2])
    return masked_error(found, torch.where(known, truth, 0.0), known[:, :1].float())


class Peer(_peer.Peer):
    """Networks, optimizers and the training step; see `_peer.Peer` for the arguments."""

    def networks(self, image_size: int, width: float) -> dict[str, nn.Module]:
        """The players."""
        return {
            "discriminator": Discriminator(DISCRIMINATOR_FACTOR * width),
            "converter": Finder(image_size, width),
        }

    def step(self, batch: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """One step, as `AppearanceFlow.adversarial_step` runs it.

        Args:
            batch: {source, target, mask, flow}, channels first, as `AppearanceFlow` has them.

        Returns:
            Player name -> its loss before the update.
        """
        source, target, mask = batch["source"], batch["target"], batch["mask"]
        losses = {}
        with self.precision():
            parts = self.players["converter"](source)
        photo = pooled(source, target.shape[2])
        garment, cut = parts.garment(), parts.mask.sigmoid()

        # True and found masks are separate batches, with their own BatchNorm statistics.
        name = "discriminator"
        kinds = ((mask, 1.0), (cut.detach(), 0.0))
        verdicts = [self.verdict(name, pair(photo, x), y) for x, y in kinds]
        losses[name] = self.update(name, torch.stack(verdicts).mean())

        loss = L1_WEIGHT * functional.l1_loss(composed(garment.detach(), cut), target)
        loss = loss + GARMENT_WEIGHT * masked_error(garment, target, mask)
        copied = parts.gate.sigmoid()
        loss = loss + PAINT_WEIGHT * masked_error(copied, torch.ones_like(mask), mask)
        loss = loss + MASK_WEIGHT * functional.binary_cross_entropy_with_logits(parts.mask, mask)
        loss = loss + WARP_WEIGHT * masked_error(parts.warped, target, mask)
        loss = loss + BENDING_WEIGHT * bending(parts.flow)
        loss = loss + FLOW_WEIGHT * flow_error(parts.flow, batch["flow"])
        # Through the discriminator, whose own gradients are not needed.
        self.players[name].requires_grad_(False)
        loss = loss + GAN_WEIGHT * self.verdict(name, pair(photo, cut), 1.0)
        losses["converter"] = self.update("converter", loss)
        self.players[name].requires_grad_(True)
        return losses

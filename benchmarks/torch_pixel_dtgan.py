"""PixelDTGAN in PyTorch: the peer that `train_step.py` measures `keras_pixdt.PixelDTGAN` against.

Network, algorithm, optimizers and precision match `PixelDTGAN.adversarial_step`;
`tests/benchmarks_test.py` checks that one step from equal weights gives equal weights. The
following are equal only after a reflection, or not at all:

  - Keras' "same" padding of a strided 5x5 convolution puts 1 px before and 2 px after. PyTorch's
    `padding=2` reads 2 px before and 1 px after: the mirror image of the same arithmetic, which
    needs no copy for a one-sided padding. The test mirrors images and kernels.
  - PyTorch's BatchNorm keeps the unbiased variance as its moving statistic. Training never reads
    it.
  - Adam's epsilon is added before the correction of the bias in Keras, after it in PyTorch.
"""

from __future__ import annotations

from collections.abc import Mapping

import _peer
import torch
from torch import nn


def filters_of(image_size: int, width: float) -> list[int]:
    stages = (image_size // 4).bit_length() - 1
    return [max(1, round(width * min(128 * 2**i, 1024))) for i in range(stages)]


def batch_norm(channels: int) -> nn.Module:
    return nn.BatchNorm2d(channels, eps=1e-5, momentum=0.1)  # Keras calls this momentum 0.9


def strided(channels: int, filters: list[int]) -> list[nn.Module]:
    layers: list[nn.Module] = []
    for i, (before, after) in enumerate(zip([channels, *filters], filters, strict=False)):
        layers.append(nn.Conv2d(before, after, 5, stride=2, padding=2, bias=i == 0))
        if i:
            layers.append(batch_norm(after))
        layers.append(nn.LeakyReLU(0.2, inplace=True))
    return layers


class Converter(nn.Module):
    """Images to images, both (batch, 3, size, size) in [-1, 1]."""

    def __init__(self, image_size: int, width: float) -> None:
        super().__init__()
        filters = filters_of(image_size, width)
        self.encoder = nn.Sequential(
            *strided(3, filters),
            nn.Conv2d(filters[-1], 64, 4, bias=False),
            batch_norm(64),
            nn.LeakyReLU(0.2, inplace=True),
        )
        self.project = nn.Linear(64, 16 * filters[-1], bias=False)
        decoder: list[nn.Module] = [batch_norm(filters[-1]), nn.ReLU(inplace=True)]
        widths = [*filters[::-1], 3]
        for i, (before, after) in enumerate(zip(widths[:-1], widths[1:], strict=True)):
            last = i == len(filters) - 1
            decoder.append(
                nn.ConvTranspose2d(
                    before, after, 5, stride=2, padding=2, output_padding=1, bias=last
                )
            )
            if not last:
                decoder += [batch_norm(after), nn.ReLU(inplace=True)]
        self.decoder = nn.Sequential(*decoder)

    def forward(self, source: torch.Tensor) -> torch.Tensor:
        """Converts images."""
        code = self.encoder(source).flatten(1)
        # Channels last already: a view, no copy.
        maps = self.project(code).view(len(code), 4, 4, -1).permute(0, 3, 1, 2)
        return self.decoder(maps).float().tanh()


class Discriminator(nn.Module):
    """Images (batch, channels, size, size) to logits (batch, 1).

    It is a class because torch.compile skips an nn.Sequential that is called directly.
    """

    def __init__(self, image_size: int, width: float, channels: int) -> None:
        super().__init__()
        filters = filters_of(image_size, width)
        self.layers = nn.Sequential(*strided(channels, filters), nn.Conv2d(filters[-1], 1, 4))

    def forward(self, images: torch.Tensor) -> torch.Tensor:
        """Judges images."""
        return self.layers(images).flatten(1)


class Peer(_peer.Peer):
    """Networks, optimizers and the training step; see `_peer.Peer` for the arguments."""

    def networks(self, image_size: int, width: float) -> dict[str, nn.Module]:
        """The players, with normal weights."""
        players: dict[str, nn.Module] = {
            "real_fake_discriminator": Discriminator(image_size, width, 3),
            "domain_discriminator": Discriminator(image_size, width, 6),
            "converter": Converter(image_size, width),
        }
        for network in players.values():
            for module in network.modules():
                if isinstance(module, (nn.Conv2d, nn.ConvTranspose2d, nn.Linear)):
                    nn.init.normal_(module.weight, std=0.02)
                    if module.bias is not None:
                        nn.init.zeros_(module.bias)
        return players

    def step(self, batch: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """Algorithm 1, as `PixelDTGAN.adversarial_step` runs it.

        Args:
            batch: {source, target, irrelevant}, (batch, 3, size, size) in [-1, 1].

        Returns:
            Player name -> its loss before the update.
        """
        source, target = batch["source"], batch["target"]
        losses = {}
        with self.precision():
            converted = self.players["converter"](source)
        fake = converted.detach()

        # Each kind of image is a separate batch, with its own BatchNorm statistics.
        name = "real_fake_discriminator"
        loss = (2 * self.verdict(name, target, 1.0) + self.verdict(name, fake, 0.0)) / 3
        losses[name] = self.update(name, loss)
        name = "domain_discriminator"
        kinds = ((target, 1.0), (fake, 0.0), (batch["irrelevant"], 0.0))
        verdicts = [self.verdict(name, torch.cat([source, x], dim=1), y) for x, y in kinds]
        losses[name] = self.update(name, torch.stack(verdicts).mean())

        # Through the discriminators, whose own gradients are not needed.
        judges = [self.players["real_fake_discriminator"], self.players["domain_discriminator"]]
        for network in judges:
            network.requires_grad_(False)
        pair = torch.cat([source, converted], dim=1)
        loss = 0.5 * self.verdict("real_fake_discriminator", converted, 1.0)
        loss = loss + 0.5 * self.verdict("domain_discriminator", pair, 1.0)
        losses["converter"] = self.update("converter", loss)
        for network in judges:
            network.requires_grad_(True)
        return losses

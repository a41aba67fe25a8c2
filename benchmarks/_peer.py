"""What the PyTorch peers of `train_step.py` share: optimizers, precision, one player's update."""

from __future__ import annotations

import contextlib
from collections.abc import Mapping

import torch
from torch import nn
from torch.nn import functional

AUTOCAST = {"mixed_bfloat16": torch.bfloat16, "mixed_float16": torch.float16}


class Peer:
    """Networks, optimizers and the training step; a subclass defines `networks` and `step`.

    Args:
        image_size: side of the images, px.
        width: factor on the numbers of filters.
        precision: "float32", "mixed_bfloat16" or "mixed_float16".
        optimizer: "sgd" or "adam", as `train_step.py` configures Keras' ones.
        learning_rate: of all players.
        momentum: of SGD, or Adam's first beta.
        device: "cpu" or "cuda"; on "cuda" the networks are compiled.
    """

    def __init__(
        self,
        *,
        image_size: int,
        width: float,
        precision: str,
        optimizer: str,
        learning_rate: float,
        momentum: float,
        device: str,
    ) -> None:
        self.device = torch.device(device)
        self.autocast = AUTOCAST.get(precision)
        self.players = self.networks(image_size, width)
        self.optimizers: dict[str, torch.optim.Optimizer] = {}
        self.scalers = {}
        for name, network in self.players.items():
            network.to(self.device)
            network.to(memory_format=torch.channels_last)  # type: ignore[call-overload]
            if device == "cuda":
                network.compile()
            parameters = list(network.parameters())
            self.optimizers[name] = (
                torch.optim.SGD(parameters, learning_rate, momentum=momentum, fused=True)
                if optimizer == "sgd"
                else torch.optim.Adam(
                    parameters, learning_rate, betas=(momentum, 0.999), eps=1e-7, fused=True
                )
            )
            self.scalers[name] = torch.amp.GradScaler(
                device, enabled=precision == "mixed_float16", init_scale=2.0**15
            )

    def networks(self, image_size: int, width: float) -> dict[str, nn.Module]:
        """Player name -> its network, with the weights that training starts from."""
        raise NotImplementedError

    def step(self, batch: Mapping[str, torch.Tensor]) -> dict[str, torch.Tensor]:
        """One training step.

        Args:
            batch: what `batch` gives.

        Returns:
            Player name -> its loss before the update.
        """
        raise NotImplementedError

    def batch(self, arrays: Mapping[str, object]) -> dict[str, torch.Tensor]:
        """NumPy images, channels last, on the device: views of NCHW, channels last in memory."""
        return {
            key: torch.as_tensor(value).to(self.device).permute(0, 3, 1, 2)
            for key, value in arrays.items()
        }

    def precision(self):
        """Context in which the networks run."""
        if self.autocast is None:
            return contextlib.nullcontext()
        return torch.autocast(self.device.type, self.autocast)

    def verdict(self, name: str, images: torch.Tensor, label: float) -> torch.Tensor:
        """Cross entropy of a discriminator's logits and a label."""
        with self.precision():
            logits = self.players[name](images)
        logits = logits.float()
        return functional.binary_cross_entropy_with_logits(logits, torch.full_like(logits, label))

    def update(self, name: str, loss: torch.Tensor) -> torch.Tensor:
        """Updates a player; returns its loss."""
        scaler, optimizer = self.scalers[name], self.optimizers[name]
        optimizer.zero_grad(set_to_none=True)
        scaler.scale(loss).backward()
        scaler.step(optimizer)
        scaler.update()
        return loss.detach()

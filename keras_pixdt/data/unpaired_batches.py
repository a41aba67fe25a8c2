"""Batches of images from two domains without pairs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from keras_pixdt.data.batches import Batches
from keras_pixdt.data.pairs import DomainSet


class Unpaired(Batches):
    """Batches for `model.fit` of images from two domains without pairs.

    A batch is a dict of arrays. Row i of one is unrelated to row i of the other:

    | key | |
    | --- | --- |
    | `source` | float32 `(batch, size, size, 3)` in [-1, 1], images of the first domain |
    | `target` | the same shape, images of the second domain |

    An epoch goes once through the larger domain. The smaller one is repeated, each time in a
    different order. Orders and mirroring depend only on `(seed, epoch)`. See `Batches` for how
    `fit` iterates over them.

    Args:
        domains: the images of one split.
        batch_size: images of each domain in a batch, at least 1; or all sizes that `start_epoch`
            may set, starting with the first.
        seed: makes every draw reproducible.
        shuffle: whether to permute the images of each domain, anew every epoch.
        drop_remainder: whether to leave out the last batch where it is smaller.
        reverse: whether to exchange the domains.
        mirror: whether to flip each image left to right with probability 1/2, independently of
            all others.
        passes: how often an epoch goes through the larger domain.

    Raises:
        ValueError: if the larger domain has fewer images than one whole batch, or less than one
            pass, or if the domains' images differ in size.

    Example:
    ```python
    domains = data.load_domains("photos", "paintings", image_size=64)
    train = data.unpaired(domains["train"], batch_size=200)
    model.fit(train, epochs=30, shuffle=False)
    ```
    """

    def __init__(
        self,
        domains: DomainSet,
        batch_size: int | Sequence[int] = 200,
        seed: int = 0,
        *,
        shuffle: bool = True,
        drop_remainder: bool = True,
        reverse: bool = False,
        mirror: bool = False,
        passes: int = 1,
    ) -> None:
        super().__init__(
            len(domains), "images of the larger domain", batch_size, seed,
            shuffle, drop_remainder, reverse, mirror, passes,
        )  # fmt: skip
        if domains.sources.shape[1:] != domains.targets.shape[1:]:
            raise ValueError(
                "`sources` and `targets` of `domains` must have one image size. "
                f"Received shapes: {domains.sources.shape} and {domains.targets.shape}"
            )
        self.domains = domains
        ordered = domains.exchanged() if reverse else domains
        self._images = {"source": ordered.sources, "target": ordered.targets}
        self.start_epoch(0, self.batch_sizes[0])

    def _draw(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        draws = {key: self._order(rng, len(pixels)) for key, pixels in self._images.items()}
        if self.mirror:
            for key in self._images:
                draws[f"flipped_{key}"] = rng.random(self.num_examples) < 0.5
        return draws

    def _rows(self, draws: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        return {
            key: self._to_float(pixels[draws[key]], draws.get(f"flipped_{key}"))
            for key, pixels in self._images.items()
        }


unpaired = Unpaired  # reads well as `data.unpaired(...)`

"""Batches of pairs, each with an irrelevant target."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from keras_pixdt.data import augment
from keras_pixdt.data.batches import Batches
from keras_pixdt.data.pairs import PairSet
from keras_pixdt.data.placement import Placement


class Triplets(Batches):
    """Batches for `model.fit`: each pair once per pass, together with an irrelevant target.

    A batch is a dict of arrays:

    | key | |
    | --- | --- |
    | `source` | float32 `(batch, photo_height, photo_width, 3)` in [-1, 1], the person |
    | `target` | float32 `(batch, height, width, 3)` in [-1, 1], the product image of it |
    | `irrelevant` | the same, drawn uniformly from the product images of all other groups |
    | `product_id` | int64 `(batch,)` of the source |

    With `truth`, and where the pairs know it, there are also:

    | key | |
    | --- | --- |
    | `mask` | float32 `(batch, height, width, 1)` in [0, 1], where `target` shows the product |
    | `flow` | float32 `(batch, rows, columns, 2)`, where its points lie in `source`; else NaN |

    An irrelevant image never shows the same product or a duplicate of it. Order, irrelevant images,
    mirroring and augmentation depend only on `(seed, epoch)`. See `Batches` for how `fit` iterates
    over them.

    Args:
        pairs: the pairs of one split.
        batch_size: examples per batch, at least 1; or all sizes that `start_epoch` may set,
            starting with the first.
        seed: makes every draw reproducible.
        shuffle: whether to permute the pairs, anew every pass.
        irrelevant: whether batches have the key `irrelevant`.
        drop_remainder: whether to leave out the last batch where it is smaller.
        reverse: whether to exchange source and target (product to human); `irrelevant` is then a
            person image of another group.
        mirror: whether to flip half of the triplets left to right, all three images of each.
        passes: how often an epoch goes through the pairs. With few pairs, several passes save time,
            because scores, pictures and checkpoints come between epochs.
        augment: whether to zoom and shift photos and to change the colours of photo and product
            image alike, see `keras_pixdt.data.augment`; with `truth`, garments that were cut out of
            their photos also get colours and patterns of their own and are partly hidden.
        truth: whether batches have the masks and flows of the pairs.

    Raises:
        ValueError: if there are no pairs, fewer than one whole batch, less than one pass, or if
            irrelevant images are wanted and all products belong to one group; or if `augment` is
            wanted together with irrelevant images or `reverse`, or `truth` with `reverse`.

    Example:
    ```python
    train = data.triplets(data.load_pairs("rendered")["train"], batch_size=128)
    model.fit(train, epochs=30, shuffle=False)
    ```
    """

    def __init__(
        self,
        pairs: PairSet,
        batch_size: int | Sequence[int] = 128,
        seed: int = 0,
        *,
        shuffle: bool = True,
        irrelevant: bool = True,
        drop_remainder: bool = True,
        reverse: bool = False,
        mirror: bool = False,
        passes: int = 1,
        augment: bool = False,
        truth: bool = False,
    ) -> None:
        if not len(pairs):
            raise ValueError("`pairs` has no pairs: there is nothing to draw batches from.")
        super().__init__(
            len(pairs), "pairs", batch_size, seed, shuffle, drop_remainder, reverse, mirror, passes
        )
        if augment and (reverse or irrelevant):
            raise ValueError(
                "`augment` changes photo and product image alike: pass irrelevant=False, "
                f"reverse=False. Received: irrelevant={irrelevant}, reverse={reverse}"
            )
        if truth and reverse:
            raise ValueError("`truth` is known of products, not of persons: pass reverse=False.")
        self.pairs = pairs
        self.irrelevant = irrelevant
        self.augment = augment
        self.truth = truth
        self._source_group = pairs.group_id[pairs.target_index]
        candidate_group = self._source_group if reverse else pairs.group_id
        # Candidates sorted by group: each group is one interval, which a draw skips.
        self._candidates = np.argsort(candidate_group, kind="stable")
        sorted_group = candidate_group[self._candidates]
        self._group_start = np.searchsorted(sorted_group, self._source_group, "left")
        self._group_size = (
            np.searchsorted(sorted_group, self._source_group, "right") - self._group_start
        )
        if irrelevant and (self._group_size == len(sorted_group)).any():
            raise ValueError(
                "An irrelevant image must come from another product group, and all "
                f"{len(pairs.targets)} products of `pairs` are of one group. Pass more products, "
                "or irrelevant=False."
            )
        self.start_epoch(0, self.batch_sizes[0])

    def _draw(self, rng: np.random.Generator) -> dict[str, np.ndarray]:
        order = self._order(rng, len(self.pairs))
        draws = {"pair": order}
        if self.irrelevant:
            passes = np.split(order, self.passes)
            draws["irrelevant"] = np.concatenate([self._draw_irrelevant(rng)[p] for p in passes])
        if self.mirror:
            draws["flipped"] = rng.random(self.num_examples) < 0.5
        if self.augment:
            draws["change"] = augment.draw(rng, self.num_examples)
            draws["other"] = rng.integers(len(self.pairs), size=self.num_examples)
        return draws

    def _draw_irrelevant(self, rng: np.random.Generator) -> np.ndarray:
        """For each pair, a row of the candidates, uniform over all other groups."""
        position = rng.integers(len(self._candidates) - self._group_size)
        position += np.where(position >= self._group_start, self._group_size, 0)
        return self._candidates[position]

    def _other(self, row: int, other: int) -> augment.Pair | None:
        """Another pair, if it is of another group of products."""
        pairs = self.pairs
        if self._source_group[row] == self._source_group[other]:
            return None
        return augment.Pair(pairs.sources[other], pairs.targets[pairs.target_index[other]])

    def _rows(self, draws: Mapping[str, np.ndarray]) -> dict[str, np.ndarray]:
        pairs, rows = self.pairs, draws["pair"]
        target_rows = pairs.target_index[rows]
        persons, products = pairs.sources[rows], pairs.targets[target_rows]
        flows = pairs.flows[rows] if self.truth and pairs.flows is not None else None
        placements = None
        if self.truth and pairs.placements is not None:
            placements = [Placement(*known) for known in pairs.placements[rows].astype(float)]
        for i, change in enumerate(draws.get("change", ())):
            flow = None if flows is None else flows[i]
            placement = None if placements is None else placements[i]
            pair = augment.Pair(persons[i], products[i], flow, placement)
            cut_out = placement is not None and placement.known
            other = self._other(rows[i], draws["other"][i]) if cut_out else None
            pair = augment.change_pair(pair, change, other)
            persons[i], products[i] = pair.photo, pair.product
            if flows is not None:
                flows[i] = pair.flow
            if placements is not None and pair.placement is not None:
                placements[i] = pair.placement
        if placements is not None:
            flows = np.stack([p.flow(x) for p, x in zip(placements, products, strict=True)])
        batch = {"source": persons, "target": products}
        if self.reverse:
            batch = {"source": products, "target": persons}
        if self.irrelevant:
            candidates = pairs.sources if self.reverse else pairs.targets
            batch["irrelevant"] = candidates[draws["irrelevant"]]
        flipped = draws.get("flipped")
        batch = {key: self._to_float(pixels, flipped) for key, pixels in batch.items()}
        if self.truth and pairs.masks is not None:
            masks = self._flip(pairs.masks[target_rows], flipped)
            batch["mask"] = masks[..., None] * np.float32(1 / 255)
        if flows is not None:
            flows = self._flip(flows.astype(np.float32), flipped)
            if flipped is not None:
                flows[flipped, ..., 0] *= -1  # what was at the left of the photo is at its right
            batch["flow"] = flows
        batch["product_id"] = pairs.product_id[target_rows]
        return batch


triplets = Triplets  # reads well as `data.triplets(...)`

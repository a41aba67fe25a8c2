"""Splits by product: train, validation and test share no product and no duplicate of one.

Differs from the paper of Yoo et al., whose split is not published:
- The paper chooses 487 products at random for validation and as many for test (Sec. 5.2). Here a
  hash of each product decides, so that the split is the same everywhere and the shares of 5% are
  met on average. Duplicates stay in one split, so that no test product is seen in training.

Differs from the paper of Kwon et al., whose split is not published:
- The paper removes test images that are in both splits, which leaves 939 products and 7,307 photos
  (Sec. 4). Here duplicates are put into the same split beforehand, so that none is lost.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping

import numpy as np

from keras_pixdt.choices import SCHEMES

OFFICIAL = ("train", "validation", "test")  # a product in several belongs to the last

_SALT = "lookbook"


def split_groups(group_id: np.ndarray, scheme: str = "yoo2016") -> dict[str, np.ndarray]:
    """Assigns products to splits by a hash of their group.

    A product keeps its split when products are added, in any order; the shares are met on average.
    If a small set leaves a split empty, it gets the last group, in order of the hashes, of the
    largest split.

    Args:
        group_id: int64 `(products,)`; equal values stay together.
        scheme: `"yoo2016"` (90/5/5) or `"kwon2019"` (90/10 without validation).

    Returns:
        Split name -> boolean mask over the products.

    Raises:
        ValueError: if the scheme is unknown or there are fewer groups than splits.
    """
    if scheme not in SCHEMES:
        raise ValueError(f"`splits` must be one of {sorted(SCHEMES)}. Received: {scheme!r}")
    shares = SCHEMES[scheme]
    groups = np.unique(group_id)
    if len(groups) < len(shares):
        raise ValueError(
            f"{scheme} needs at least {len(shares)} groups of products, one for each of "
            f"{', '.join(shares)}: splits share no product and no duplicate image. Received: "
            f"{len(groups)} group(s) from {len(group_id)} product(s)"
        )
    return _by_hash(group_id, shares)


def keep_splits(official: np.ndarray, group_id: np.ndarray) -> dict[str, np.ndarray]:
    """Keeps a data set's own splits, less the products that have a duplicate in a later one.

    The test split stays whole. Validation loses products with a duplicate in the test split, and
    training those with a duplicate in either. If a set has no validation split, 5% of its training
    products become one, by the hash of `split_groups`, if they form two groups or more.

    Args:
        official: the split of each product, `(products,)`, one of `OFFICIAL`.
        group_id: int64 `(products,)`; equal values are duplicates.

    Returns:
        Split name -> boolean mask over the products, without empty splits.

    Raises:
        ValueError: if no training product is left.
    """
    masks: dict[str, np.ndarray] = {}
    later = np.zeros(len(group_id), bool)
    for name in reversed(OFFICIAL):
        own = official == name
        masks[name] = own & ~np.isin(group_id, group_id[later])
        later |= own
    train = masks["train"]
    if not train.any():
        raise ValueError(
            f"No training product is left: each of {(official == 'train').sum()} has a duplicate "
            "in the official validation or test split. Leave these splits out by `splits` "
            "(--splits yoo2016)."
        )
    if not (official == "validation").any() and len(np.unique(group_id[train])) > 1:
        shares = SCHEMES["yoo2016"]
        parts = _by_hash(group_id[train], {k: shares[k] for k in ("train", "validation")})
        rows = np.flatnonzero(train)
        for name, part in parts.items():
            masks[name] = np.zeros(len(group_id), bool)
            masks[name][rows[part]] = True
    return {name: masks[name] for name in OFFICIAL if masks[name].any()}


def _by_hash(group_id: np.ndarray, shares: Mapping[str, float]) -> dict[str, np.ndarray]:
    """Gives each split of `shares` its share of the groups, in the order of their hashes."""
    groups = np.unique(group_id)
    by_hash = sorted(groups.tolist(), key=_fraction)
    members: dict[str, list[int]] = {name: [] for name in shares}
    bounds = np.cumsum(list(shares.values()))[:-1] / sum(shares.values())
    for group in by_hash:
        members[list(shares)[int(np.searchsorted(bounds, _fraction(group), "right"))]].append(group)
    for name in shares:
        if not members[name]:
            members[name].append(max(members.values(), key=len).pop())
    return {name: np.isin(group_id, members[name]) for name in shares}


def _fraction(group: int) -> float:
    """A number in [0, 1) that looks random and depends only on the group."""
    digest = hashlib.sha256(f"{_SALT}:{group}".encode()).digest()
    return int.from_bytes(digest[:6], "big") / 2**48

"""The inputs of a run: reads the data that its options name, and makes batches and examples."""

from __future__ import annotations

import os
from collections.abc import Mapping
from typing import Any

import numpy as np

from keras_pixdt import presets
from keras_pixdt.data.batches import Batches
from keras_pixdt.data.domains import load_domains
from keras_pixdt.data.images import to_float
from keras_pixdt.data.load import load_pairs
from keras_pixdt.data.paired_batches import Triplets
from keras_pixdt.data.pairs import DomainSet, PairSet
from keras_pixdt.data.unpaired_batches import Unpaired
from keras_pixdt.training.callbacks import AveragedWeights

PATHS = ("data", "target_data", "data_dir", "crop", "target_crop")
_STATISTICS_IMAGES = 256


def absolute(data_options: dict[str, Any]) -> dict[str, Any]:
    """Makes paths absolute, because a run can be opened from any folder."""
    options = dict(data_options)
    for name in set(PATHS) & {k for k, v in options.items() if v}:
        path = str(options[name])
        known = name != "data_dir" and (path == "rendered" or path.startswith("tfds:"))
        options[name] = path if known else os.path.abspath(path)
    if options.get("layout") == "auto":  # as if it were not given, like in runs from before it
        del options["layout"]
    return options


def load(
    preset: presets.Preset, options: Mapping[str, Any]
) -> dict[str, PairSet] | dict[str, DomainSet]:
    """The pairs or the two domains that the options name."""
    options = {name: value for name, value in options.items() if value is not None}
    two = {name: options[name] for name in ("target_data", "edges") if options.get(name)}
    crops = {name: options[name] for name in ("crop", "target_crop") if name in options}
    if crops and not two:
        raise ValueError(
            "`crop` and `target_crop` are of two domains: name the second one by `target_data`, or "
            f"leave them out. Received: {crops}"
        )
    if not two:
        try:
            options = {**preset.data_options(), **options}
            return load_pairs(image_size=preset.image_size, resize=preset.resize, **options)
        except ValueError as error:
            if preset.paired:
                raise
            raise ValueError(
                f"{error} Preset {preset.name!r} needs no pairs: name a second domain by "
                "`target_data`, or give `edges` for the edges of photos."
            ) from error
    if preset.paired:
        unpaired = [name for name in presets.names() if not presets.get(name).paired]
        raise ValueError(
            f"Preset {preset.name!r} learns from pairs, and `target_data` and `edges` give two "
            f"domains without. Leave them out, or choose {', '.join(unpaired)}. Received: {two}"
        )
    for name in ("splits", "num_products", "layout"):
        if name in options:
            raise ValueError(
                f"`{name}` is for data with pairs; two domains are split 90/5/5. Leave it out. "
                f"Received: {options[name]!r}"
            )
    renamed = {"data": "source", "target_data": "target"}
    arguments = {renamed.get(name, name): value for name, value in options.items()}
    return load_domains(image_size=preset.image_size, resize=preset.resize, **arguments)


def domains(splits: Mapping[str, Any], preset: presets.Preset) -> dict[str, DomainSet]:
    """The images of each split; the domain that the preset converts comes first.

    Images of pairs are labelled by the products' categories.
    """
    pairs = [part for part in splits.values() if isinstance(part, PairSet)]
    names = sorted({a["category"] for part in pairs for a in part.attributes if "category" in a})
    found = {
        split: part.domains(names) if isinstance(part, PairSet) else part
        for split, part in splits.items()
    }
    return {k: v.exchanged() for k, v in found.items()} if preset.reverse else found


def batches(part: PairSet | DomainSet, preset: presets.Preset, seed: int) -> Batches:
    """The batches that the preset is trained on."""
    options = preset.batch_options()
    if isinstance(part, DomainSet):
        return Unpaired(part, preset.batch_sizes, seed, **options)
    return Triplets(part, preset.batch_sizes, seed, **options)


def in_order(pairs: PairSet, preset: presets.Preset) -> Triplets:
    """Batches of pairs in order, for validation."""
    return Triplets(
        pairs,
        preset.batch_size,
        shuffle=False,
        irrelevant=False,
        drop_remainder=False,
        reverse=preset.reverse,
    )


def averaged_weights(train: Any, preset: presets.Preset) -> AveragedWeights | None:
    """The averaged weights, if the preset has them.

    Args:
        train: training split, of pairs or of domains.
        preset: its `ema_momentum` says whether it has averages.
    """
    if preset.ema_momentum is None:
        return None
    if preset.paired:
        return AveragedWeights(examples(train, preset, _STATISTICS_IMAGES)["source"])
    count = min(_STATISTICS_IMAGES, len(train))  # the smaller domain is repeated, as in training
    images = (train.sources, train.targets)
    return AveragedWeights(*(to_float(x[_spread(len(x), count)]) for x in images))


def examples(part: Any, preset: presets.Preset, count: int) -> dict[str, np.ndarray]:
    """Sources from all over a split, so that they show many products; for pairs, targets too."""
    rows = _spread(len(part.sources), min(count, len(part.sources)))
    persons = to_float(part.sources[rows])
    if not preset.paired:
        return {"source": persons}
    products = to_float(part.targets[part.target_index[rows]])
    source, target = (products, persons) if preset.reverse else (persons, products)
    return {"source": source, "target": target}


def _spread(length: int, count: int) -> np.ndarray:
    """That many rows, evenly spaced from 0 to `length`."""
    return np.linspace(0, length - 1, count).astype(int)

"""What a run's data consist of, so that they are recognized after they have moved."""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import pathlib
from collections.abc import Mapping
from typing import Any

import numpy as np
from absl import logging

from keras_pixdt.data.pairs import DomainSet, PairSet
from keras_pixdt.data.stored import Stored

_HASHED_AT_ONCE = 1 << 24  # bytes
_CONTENTS = "contents"


def fingerprint(*arrays: np.ndarray) -> str:
    """A digest of arrays, their shapes and types; they may be larger than the memory.

    Of stored images it reads a few, see `Stored.digest`.
    """
    digest = hashlib.sha256()
    for array in arrays:
        if isinstance(array, Stored):
            digest.update(array.digest())
            continue
        digest.update(f"{array.dtype}{array.shape}".encode())
        rows = max(1, _HASHED_AT_ONCE // max(1, array[:1].nbytes))
        for start in range(0, len(array), rows):
            digest.update(np.ascontiguousarray(array[start : start + rows]).data)
    return digest.hexdigest()[:12]


def describe(splits: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What splits consist of: numbers of images, and digests of everything else.

    Args:
        splits: of `inputs.load`.

    Returns:
        Split -> what JSON takes, for `check`.
    """
    parts = {k: v for k, v in splits.items() if isinstance(v, (PairSet, DomainSet))}
    return {split: _of_split(part) for split, part in parts.items()}


def _of_split(part: PairSet | DomainSet) -> dict[str, Any]:
    if isinstance(part, PairSet):
        truth = [array for array in (part.masks, part.flows) if array is not None]
        attributes = json.dumps([dict(each) for each in part.attributes], sort_keys=True)
        return {
            "pairs": len(part),
            "products": len(part.targets),
            "ids": fingerprint(part.product_id, part.group_id, part.target_index),
            "attributes": hashlib.sha256(attributes.encode()).hexdigest()[:12],
            "pixels": fingerprint(part.sources, part.targets, *truth),
        }
    labels = [each for each in (part.source_labels, part.target_labels) if each is not None]
    return {
        "sources": len(part.sources),
        "targets": len(part.targets),
        "labels": fingerprint(*(each.index for each in labels)),
        "pixels": fingerprint(part.sources, part.targets),
    }


def check(
    options: Mapping[str, Any],
    found: Mapping[str, Mapping[str, Any]],
    workdir: pathlib.Path,
    *,
    moved: bool,
    strict: bool,
) -> None:
    """Compares data with those that a run was trained on.

    Args:
        options: of the run, as in its `run.json`.
        found: of `describe`.
        workdir: its folder, for the message.
        moved: whether the data are in another place than the options say.
        strict: whether other data are an error instead of a warning. Other pixels alone are only a
            warning if another version of Pillow reads them.

    Raises:
        ValueError: the data differ; says in what.
    """
    if _CONTENTS not in options:  # of an earlier version
        if moved:
            logging.warning(
                "%s does not say what its data consist of, because it is from an earlier version. "
                "These data cannot be compared with them",
                workdir / "run.json",
            )
        return
    different = _differences(options[_CONTENTS], found)
    if not different:
        return
    message = f"The data are not those that {workdir} was trained on ({'; '.join(different)})."
    pillow = options["versions"].get("pillow"), importlib.metadata.version("pillow")
    decoded = all(each.endswith(" pixels") for each in different) and pillow[0] != pillow[1]
    if strict and not decoded:
        raise ValueError(
            f"{message} Say where those are now (--data), or train on these in another --workdir."
        )
    why = f" Pillow {pillow[0]} read them then, and {pillow[1]} does now." if decoded else ""
    logging.warning("%s%s", message, why or " Training images may be among those that are scored.")


def _differences(
    there: Mapping[str, Mapping[str, Any]], here: Mapping[str, Mapping[str, Any]]
) -> list[str]:
    different = []
    for split in {**there, **here}:
        a, b = there.get(split), here.get(split)
        if a is None or b is None or _counts(a) != _counts(b):
            different.append(f"{split}: {_counts(a)} there, {_counts(b)} here")
        else:
            different += [f"{split}: other {name}" for name in a if a[name] != b[name]]
    return different


def _counts(part: Mapping[str, Any] | None) -> str:
    """Such as "303 pairs and 40 products"."""
    counts = {k: v for k, v in (part or {}).items() if isinstance(v, int)}
    return " and ".join(f"{count} {name}" for name, count in counts.items()) or "nothing"

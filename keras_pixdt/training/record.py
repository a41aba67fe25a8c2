"""What `run.json` says: how a run was trained, and on which data.

A folder is refused to another run, and data are recognized after they have moved.
"""

from __future__ import annotations

import contextlib
import dataclasses
import hashlib
import importlib.metadata
import json
import os
import pathlib
from collections.abc import Iterator, Mapping
from typing import Any

import numpy as np
from absl import logging

from keras_pixdt import presets
from keras_pixdt.data.pairs import DomainSet, PairSet
from keras_pixdt.data.stored import Stored
from keras_pixdt.training import checkpoint, inputs, start

_LONGEST = 200  # characters of what is wrong with a file
_HASHED_AT_ONCE = 1 << 24  # bytes
_CONTENTS = "contents"


# Options


def check_free(workdir: pathlib.Path, options: dict[str, Any]) -> dict[str, Any]:
    """Refuses a folder that belongs to another run.

    A finished run may have another length. Data may be in another place (`check_data` compares
    them), and so may files that the earlier training began with, if they are gone.

    Returns:
        The options of the earlier training; empty if there was none.
    """
    path = workdir / "run.json"
    if not path.exists():
        if (workdir / "model.keras").exists():
            raise ValueError(
                f"{workdir} holds a finished run without its run.json. Choose another --workdir, "
                "or remove this one."
            )
        return {}
    now = _fields(json.loads(json.dumps(options)))  # tuples as JSON has them
    with _reading(path):
        kept = json.loads(path.read_text("utf-8"))
        there = _fields({**kept, "preset": completed(kept["preset"])})
    finished = is_finished(workdir, kept)
    ignored = ("epochs", "minutes") if finished else ()
    different = [
        f"{field}: {there.get(field)} there, {now.get(field)} here"
        for field in {**there, **now}
        if field not in ignored and not _same(field, there.get(field), now.get(field))
    ]
    if different:
        kind = "a finished" if finished else "an interrupted"
        raise ValueError(
            f"{workdir} holds {kind} run with other options ({'; '.join(different)}). "
            "Choose another --workdir, remove this one, or repeat its options."
        )
    return kept


def is_finished(workdir: pathlib.Path, kept: Mapping[str, Any]) -> bool:
    """Whether a run with these options was trained to its end."""
    trained = "trained_minutes" in kept or checkpoint.latest_path(workdir) is None
    return trained and (workdir / "model.keras").exists()


def _same(field: str, there: Any, here: Any) -> bool:
    """Whether an option that was `there` in a run may be `here` now."""
    if there == here or field == "data_dir":
        return True
    if not isinstance(there, str) or not isinstance(here, str):
        return False
    if field in inputs.PATHS:
        return "rendered" not in (there, here)
    if field in ("function", "start") and start.RENDERED not in (there, here):
        return not os.path.exists(there)  # what the run took from it is in its weights
    return False


def kept_preset(workdir: pathlib.Path) -> tuple[presets.Preset, dict[str, Any]]:
    """The preset of a run, and everything that its `run.json` holds.

    Raises:
        ValueError: it is from a version with other options, or damaged.
    """
    path = workdir / "run.json"
    with _reading(path):
        kept = json.loads(path.read_text("utf-8"))
        preset = presets.get(kept["preset"]["name"])
        fields = completed(kept["preset"])
        unknown = sorted(set(fields) - {field.name for field in dataclasses.fields(preset)})
        version = kept["versions"]["keras-pixdt"]
        inputs.absolute({**kept["data"]})
        if type(kept["seed"]) is not int:
            raise TypeError("seed must be a whole number")
        if not unknown:
            return dataclasses.replace(preset, **fields), kept
    raise ValueError(
        f"{path} is of keras-pixdt {version}. This one, "
        f"{importlib.metadata.version('keras-pixdt')}, does not know its options: "
        f"{', '.join(unknown)}. Open it with the version that trained it."
    )


@contextlib.contextmanager
def _reading(path: pathlib.Path) -> Iterator[None]:
    """Names a `run.json` that is damaged."""
    try:
        yield
    except (AttributeError, KeyError, RecursionError, TypeError, ValueError) as error:
        raise ValueError(
            f"{path} is damaged ({type(error).__name__}: {str(error)[:_LONGEST]}). Put a copy of "
            "it back, or train in another --workdir."
        ) from error


def completed(kept: Mapping[str, Any]) -> dict[str, Any]:
    """A preset's fields as a run saved them, with those that its version lacked.

    The defaults of those match that version's behaviour; its row may have another value by now.
    """
    known = dataclasses.fields(presets.get(kept["name"]))
    defaults = {f.name: f.default for f in known if f.default is not dataclasses.MISSING}
    return {**defaults, **kept}


def _fields(options: Mapping[str, Any]) -> dict[str, Any]:
    """Everything that determines the result of a run, flattened to one level."""
    fields = {**options["preset"], **options["data"]}
    fields["preset"] = fields.pop("name")
    fields["data_seed"] = options["data"].get("seed")
    return fields | {key: options.get(key) for key in ("seed", "epochs", "minutes")}


# Data


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
        for first in range(0, len(array), rows):
            digest.update(np.ascontiguousarray(array[first : first + rows]).data)
    return digest.hexdigest()[:12]


def describe(splits: Mapping[str, Any]) -> dict[str, dict[str, Any]]:
    """What splits consist of: numbers of images, and digests of everything else.

    Args:
        splits: of `inputs.load`.

    Returns:
        Split -> what JSON takes, for `check_data`.
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


def check_data(
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

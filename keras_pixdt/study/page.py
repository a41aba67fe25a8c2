"""Writes a study as one HTML file, with its pictures and its script inside."""

from __future__ import annotations

import base64
import hashlib
import html
import importlib.resources
import io
import json
import os
import pathlib
import string
from collections.abc import Mapping
from typing import Any

import numpy as np
from PIL import Image

from keras_pixdt import atomic
from keras_pixdt.study import protocols

# A rater's ranks are single keys; each method is one letter in the page.
_KEYS = "abcdefghi"
_SHOWN_PX = 256  # images are enlarged up to it; not in the papers


def write_study(
    protocol: str,
    photos: np.ndarray,
    results: Mapping[str, np.ndarray],
    out: str | os.PathLike[str],
    *,
    seed: int = 0,
    origin: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Writes the page of a study, and beside it the key that `score` needs.

    Methods are letters in the page. Their names are in the key only, which raters do not get.

    Args:
        protocol: a name of `PROTOCOLS`.
        photos: uint8 `(count, height, width, 3)`.
        results: method's name -> uint8 `(count, height, width, 3)`, what it drew of each photo.
            Sizes may differ; all images are enlarged by the same whole factor.
        out: the page, such as `study.html`; the key is then `study.key.json`.
        seed: decides which method gets which letter.
        origin: what the key says about where the images come from.

    Returns:
        `study` (its id, a hash of the images), `protocol`, `photos` (their number), `methods` (the
        names), and the paths `page` and `key`.

    Raises:
        ValueError: an argument has the wrong name, number, shape or dtype.
        FileExistsError: `out` or its key exists already.

    Example:
        `write_study("yoo2016", photos, {"C+RF": one, "C+MSE": other}, "study.html")`
    """
    asked = protocols.get(protocol)
    _check(photos, results)
    page = pathlib.Path(out)
    key = page.with_suffix(".key.json")
    for path in (page, key):
        if path.exists():
            raise FileExistsError(
                f"{path} is there already, and answers can be scored only with the key of their "
                "study. Give another `out`, or remove it."
            )
    names = list(results)
    letters = np.random.default_rng(seed).permutation(list(_KEYS[: len(names)])).tolist()
    methods = dict(zip(letters, names, strict=True))
    # In the order of the letters, which gives away nothing about the order of the names.
    shown = {letter: results[methods[letter]] for letter in sorted(methods)}
    about = {"study": _hash(protocol, photos, shown), "protocol": protocol}
    study = {
        **about,
        "zoom": max(1, _SHOWN_PX // max(i.shape[1] for i in (photos, *results.values()))),
        "questions": [
            {
                "name": question.name,
                "text": question.text,
                "ranking": question.ranking,
                "values": question.values(len(names)),
                "labels": question.labels or ["best", *[""] * (len(names) - 2), "worst"],
            }
            for question in asked.questions
        ],
        "photos": [
            {
                "photo": _picture(photo),
                "results": {letter: _picture(images[row]) for letter, images in shown.items()},
            }
            for row, photo in enumerate(photos)
        ],
    }
    summary = {**about, "photos": len(photos), "methods": methods}
    page.parent.mkdir(parents=True, exist_ok=True)
    atomic.write_json(key, summary | {"seed": seed, "origin": dict(origin or {})})
    with atomic.replacing(page) as unfinished:
        unfinished.write_text(_html(study, asked), encoding="utf-8")
    return summary | {"methods": names, "page": str(page), "key": str(key)}


def _check(photos: np.ndarray, results: Mapping[str, np.ndarray]) -> None:
    if not 2 <= len(results) <= len(_KEYS):
        raise ValueError(
            f"A study compares 2 to {len(_KEYS)} methods. Received {len(results)}: {list(results)}"
        )
    for name, images in (("photos", photos), *results.items()):
        if not name.strip():
            raise ValueError(f"A method needs a name. Received: {name!r}")
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3:
            raise ValueError(
                f"{name!r} must be uint8 of shape (count, height, width, 3). "
                f"Received: {images.dtype} of shape {images.shape}"
            )
        if len(images) != len(photos) or not len(images):
            raise ValueError(
                f"{name!r} must have an image for each of the {len(photos)} photos, which are at "
                f"least one. Received: {len(images)}"
            )


def _hash(protocol: str, photos: np.ndarray, shown: Mapping[str, np.ndarray]) -> str:
    digest = hashlib.sha256(protocol.encode())
    for images in (photos, *shown.values()):
        digest.update(str(images.shape).encode())
        digest.update(images.tobytes())
    return digest.hexdigest()[:16]


def _picture(image: np.ndarray) -> dict[str, Any]:
    file = io.BytesIO()
    Image.fromarray(image).save(file, "PNG", optimize=True)
    source = "data:image/png;base64," + base64.b64encode(file.getvalue()).decode()
    return {"source": source, "width": image.shape[1], "height": image.shape[0]}


def _html(study: Mapping[str, Any], asked: protocols.Protocol) -> str:
    files = importlib.resources.files("keras_pixdt.study")
    template, style, script = (
        (files / name).read_text("utf-8") for name in ("page.html", "page.css", "page.js")
    )
    policy = (
        f"default-src 'none'; img-src data:; script-src '{_source_hash(script)}'; "
        f"style-src '{_source_hash(style)}'; base-uri 'none'; form-action 'none'"
    )
    return string.Template(template).substitute(
        policy=policy,
        style=style,
        script=script,
        # Nothing within a script ends it then.
        study=json.dumps(study).replace("<", "\\u003c"),
        photos=len(study["photos"]),
        results=len(study["photos"][0]["results"]),
        task=html.escape(asked.task),
    )


def _source_hash(text: str) -> str:
    """What a Content Security Policy calls an inline script or style."""
    return "sha256-" + base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()

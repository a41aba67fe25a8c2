"""Appearance flow, from none of the papers: its rows in their tables, and which part does what.

    pixdt reproduce flow-ablations --budget cpu

The tables of pairs have two rows of `flow-64`, from new weights and from those that come with the
package. No paper has them, and no ordering is asked of them. They see the same pairs as the other
rows, as often, and are scored alike.

Each row of the ablations leaves out one part of `flow-64` as `pixdt demo` trains it, but from new
weights. All see the same pairs in the same order. The row without the truth learns from the pixels
alone, as from photos of real persons.
"""

from __future__ import annotations

import dataclasses
from typing import Any

from keras_pixdt import presets
from keras_pixdt.presets.appearance_flow import DRAWN
from keras_pixdt.reproduce import paired
from keras_pixdt.reproduce.paired import ATTRIBUTES, C_SSIM, KID, RMSE
from keras_pixdt.reproduce.result import Claim, Score

MASK_IOU = Score("mask_iou", "IoU of the masks", "higher", ".3f")

_FLOW = presets.get("flow-64")
# For minutes, as `keras_pixdt.demo`, which says why.
_SHORT = _FLOW.changed(["augment=false", *DRAWN])
_WHOLE = dataclasses.replace(_SHORT, start=None)

NOTE = (
    "The rows of flow-64 are this package's, in no paper and in none of its orderings. They read "
    "larger photos, and learn from true flows and masks where the data have them; the pretrained "
    "one has also learned from other drawn products before, some of which are nearly the same."
)


def rows(resize: str = _FLOW.resize) -> tuple[paired.Method, ...]:
    """The rows of `flow-64` for the tables of papers.

    Args:
        resize: how the table's images are resized.
    """

    def row(key: str, title: str, **fields: Any) -> paired.Method:
        full, small = (
            dataclasses.replace(preset, resize=resize, **fields) for preset in (_FLOW, _SHORT)
        )
        return paired.Method(key, f"{title} (this package's)", full, small, of_paper=False)

    return (
        row("flow-64", "flow-64, from new weights", start=None),
        row("flow-64-pretrained", "flow-64, pretrained"),
    )


def _method(key: str, title: str, **without: Any) -> paired.Method:
    preset = dataclasses.replace(_WHOLE, **without)
    return paired.Method(key, title, preset, preset, of_paper=False)


WHOLE = "whole"
METHODS = (
    _method(WHOLE, "all parts"),
    _method("paint", "no flow: paint only", moves=False),
    _method("still-skips", "skips that are not moved", warped_skips=False),
    _method("no-mask", "no mask loss", mask_weight=0.0),
    _method("no-gan", "no adversarial term", gan_weight=0.0),
    _method("photo-64", "photos of 64 px", photo_size=64),
    _method("no-truth", "neither true flow nor true mask", truth=False),
)

ABLATIONS = paired.Table(
    name="flow-ablations",
    title="Which part of appearance flow does what",
    methods=METHODS,
    scores=(RMSE, C_SSIM, paired.recall(1), paired.recall(10), KID, ATTRIBUTES, MASK_IOU),
    claims=tuple(
        Claim(WHOLE, method.key, score.key)
        for method in METHODS[1:]
        for score in (C_SSIM, paired.recall(1))
    ),
    gallery="all",
    notes=(
        "No paper has this table. All rows start from new weights, without augmentation. Recall@k "
        "is among the products of all splits, and KID is that between drawn and real products, "
        "both over the features of {embedder}.",
    ),
)

TABLES = (ABLATIONS,)
COMMANDS = paired.commands(*TABLES)

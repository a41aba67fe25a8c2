"""The questions that the papers asked people."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping


@dataclasses.dataclass(frozen=True)
class Question:
    """A question about each result.

    Attributes:
        name: in answers and scores.
        heading: of its column in tables.
        text: as raters read it.
        labels: what the scores 0, 1, ... mean; empty for a question that is answered by ranks,
            where 1 is the best.
        level: of measurement, for the agreement of raters: "ordinal" or "nominal".
    """

    name: str
    heading: str
    text: str
    labels: tuple[str, ...] = ()
    level: str = "ordinal"

    @property
    def ranking(self) -> bool:
        """Whether it is answered by ranks."""
        return not self.labels

    def values(self, methods: int) -> list[int]:
        """The answers to choose from, if results of this many methods are shown."""
        return list(range(1, methods + 1)) if self.ranking else list(range(len(self.labels)))


@dataclasses.dataclass(frozen=True)
class Protocol:
    """A study.

    Attributes:
        name: what `--protocol` takes.
        reference: the section that describes it.
        photos: how many the paper showed.
        different_products: whether each photo is of another product.
        task: as raters read it.
        questions: in the order of the paper.
        published: method -> question's name -> the paper's figure, in [0, 1].
    """

    name: str
    reference: str
    photos: int
    different_products: bool
    task: str
    questions: tuple[Question, ...]
    published: Mapping[str, Mapping[str, float]] = dataclasses.field(default_factory=dict)


def _published(*rows: tuple[str, float, float, float]) -> dict[str, dict[str, float]]:
    names = ("realistic", "attributes", "category")
    return {method: dict(zip(names, row, strict=True)) for method, *row in rows}


# not in the paper: the words for the scores
_DEGREES = ("no", "partly", "yes")

PROTOCOLS: Mapping[str, Protocol] = {
    protocol.name: protocol
    for protocol in (
        Protocol(
            name="yoo2016",
            reference="Yoo et al. 2016, Sec. 5.4, Table 3",
            photos=100,
            different_products=False,
            task="Answer three questions about each result.",
            questions=(
                Question("realistic", "Real", "How realistic is the result?", _DEGREES),
                Question(
                    "attributes",
                    "Att",
                    "How well does it capture the attributes (color, texture, logos, etc.) of the "
                    "garment in the photo?",
                    _DEGREES,
                ),
                Question(
                    "category",
                    "Cat",
                    "Is its category identical to that of the garment in the photo?",
                    ("no", "yes"),
                    "nominal",
                ),
            ),
            published=_published(
                ("C+RF", 0.40, 0.21, 0.06),
                ("C+MSE", 0.28, 0.60, 0.60),
                ("C+RF+DD", 0.82, 0.67, 0.77),
            ),
        ),
        Protocol(
            name="kwon2019",
            reference="Kwon et al. 2019, Sec. 5.3, Fig. 5",
            photos=70,
            different_products=True,
            task="Rank the results twice, from 1, the best: by how much they look like real "
            "product images, and by how well they show the details of the photo. Each rank is "
            "given once.",
            questions=(
                Question("realism", "Realism", "Rank by realism: looks like a real product image"),
                Question(
                    "similarity", "Similarity", "Rank by similarity: shows the photo's details"
                ),
            ),
        ),
    )
}


def get(name: str) -> Protocol:
    """The protocol of this name.

    Raises:
        ValueError: there is none.
    """
    if name not in PROTOCOLS:
        raise ValueError(f"`protocol` must be one of {', '.join(PROTOCOLS)}. Received: {name!r}")
    return PROTOCOLS[name]

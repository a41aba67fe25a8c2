"""Kim et al. 2017, Figs. 1 and 9: two classes of products, and edges to photos and back.

    pixdt reproduce kim2017-fig1 --data products/ --classes pants t-shirt
    pixdt reproduce kim2017-fig9 --data products/

A folder of products has a subfolder for each class. Without `--data`, products are drawn.

Fig. 1 shows handbags to shoes and back: "fashion style" is what the two have in common, such as
colours and patterns (Sec. 3.2.5). Here the colours of the products' middles are compared: their
correlation over the test images, mean of brightness, red against green, and yellow against blue.
The row below it has the correlation with the translations of other images, drawn anew many times.

Fig. 9 shows edges of handbags and shoes to photos and back. The score compares edges, F1 of what is
darker than the middle gray in a drawing of soft edges, with a tolerance of one pixel. From edges to
photos these are the edges of the translated photo against the edges that it is made of; from photos
to edges the translation against the edges of the photo. A single network learns all the classes;
below it are its scores for each class.

Differs from the paper:
  - The paper has photos of handbags (Zhu et al. 2016) and of shoes (Yu & Grauman 2014), and does
    not say how their edges were drawn. Here products are any photos, or drawn, and their edges are
    `data.soft_edges`. No photo is used together with its own edges.
  - The paper does not mirror images. Here they are mirrored at random, because they are few.
"""

from __future__ import annotations

import dataclasses
import functools
import os
import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np

from keras_pixdt import progress
from keras_pixdt.choices import as_height_width
from keras_pixdt.data import DomainSet, Labels, load_domains, soft_edges
from keras_pixdt.data.images import WHITE
from keras_pixdt.drawn import rendered
from keras_pixdt.reproduce import OUT, experiment, two_domains
from keras_pixdt.reproduce.experiment import Budget
from keras_pixdt.reproduce.result import Result, Score
from keras_pixdt.reproduce.two_domains import BACK, FORWARD, OTHER, Domains, Figure

RENDERED = "rendered"
_RESIZE = "stretch"  # bars would be edges that all photos have
_SEED = 0  # of drawn products: the same for all seeds
_RESAMPLES = 200  # for standard errors, and of what is shuffled

CORRELATION = Score("correlation", "Correlation of colours", "higher", ".3f")
FIG1 = Figure(
    "kim2017-fig1",
    "Fig. 1 of Kim et al. 2017",
    (CORRELATION,),
    ((OTHER, CORRELATION),),
    {OTHER: "against other images"},
    {"mirror": True},
    ("Colours of the middle half of each image; a correlation of 0 is what chance gives.",),
)
DRAWN_CLASSES = ("dress", "hoodie")  # of Fig. 1

F1 = Score("edge_f1", "F1 of edges", "higher", ".3f")
FIG9 = Figure(
    "kim2017-fig9",
    "Fig. 9 of Kim et al. 2017",
    (F1,),
    ((OTHER, F1),),
    {OTHER: "against other images"},
    {"mirror": True},
    ("Other images are of the same class, where it has several; all are about in the middle.",),
    # At 32 px, all that is inside of an outline is within a pixel of some edge.
    {**two_domains.BUDGETS, "cpu": Budget(samples=60_000, drawn=(1_000, 100))},
)


# The images


def _draw(category: str | None, count: int, side: int) -> tuple[np.ndarray, Labels]:
    """The first drawn products, all or those of one category, with their categories."""
    names, index = rendered.CATEGORIES, 0
    images: list[np.ndarray] = []
    categories: list[int] = []
    with progress.bar("Drawing products", total=count) as bar:
        while len(images) < count:
            product = rendered.sample_product(index, _SEED)
            index += 1
            if category in (None, product.category):
                images.append(rendered.draw_product(product, side))
                categories.append(names.index(product.category))
                bar.update()
    return np.stack(images), Labels(np.array(categories, np.int64), names)


def _held_out(loaded: Mapping[str, DomainSet]) -> DomainSet:
    """All images that are not trained on: nothing is chosen on the validation split."""
    parts = [part for split, part in loaded.items() if split != "train"]

    def joined(labels: Sequence[Labels | None]) -> Labels | None:
        known = [each for each in labels if each is not None]
        if not known:
            return None
        return Labels(np.concatenate([each.index for each in known]), known[0].names)

    return DomainSet(
        np.concatenate([np.asarray(part.sources) for part in parts]),
        np.concatenate([np.asarray(part.targets) for part in parts]),
        joined([part.source_labels for part in parts]),
        joined([part.target_labels for part in parts]),
    )


def two_classes(
    name: str, classes: Sequence[str], side: int, drawn: tuple[int, ...]
) -> tuple[DomainSet, DomainSet]:
    """The training and test images of two classes.

    Args:
        name: folder with a subfolder for each class, or "rendered".
        classes: the two.
        side: of the images, px.
        drawn: how many are drawn of each class, to train on and to test.
    """
    if name != RENDERED:
        first, second = (pathlib.Path(name) / each for each in classes)
        loaded = load_domains(first, second, side, resize=_RESIZE)
        return loaded["train"], _held_out(loaded)
    a, b = (_draw(each, sum(drawn), side)[0] for each in classes)
    cut = drawn[0]
    return DomainSet(a[:cut], b[:cut]), DomainSet(a[cut:], b[cut:])


def edges_and_photos(
    name: str, classes: Sequence[str] | None, side: int, drawn: tuple[int, ...]
) -> tuple[DomainSet, DomainSet]:
    """Soft edges and photos of products, to train on and to test; the test images in one order.

    Args:
        name: folder of photos, with a subfolder for each class, or "rendered".
        classes: those that are used; None takes all.
        side: of the images, px.
        drawn: how many are drawn, of all classes, to train on in each domain and to test.

    Raises:
        ValueError: the folder has no such class.
    """
    if name == RENDERED:
        count, tests = drawn
        photos, labels = _draw(None, 2 * count + tests, side)
        edges = np.stack([soft_edges(photo) for photo in photos])
        rows = np.arange(len(photos))
        first, second, last = np.split(rows, [count, 2 * count])
        train, test = (
            DomainSet(edges[a], photos[b], labels.select(a), labels.select(b))
            for a, b in ((first, second), (last, last))
        )
    else:
        loaded = load_domains(name, image_size=side, edges="soft", resize=_RESIZE)
        train, test = loaded["train"], _held_out(loaded)
    if classes is None:
        return train, test
    known = () if train.source_labels is None else train.source_labels.names
    two_domains.among("classes", classes, known)
    return _only(train, classes), _only(test, classes)


def _only(part: DomainSet, classes: Sequence[str]) -> DomainSet:
    """The images of some classes."""

    def of(images: np.ndarray, labels: Labels | None) -> tuple[np.ndarray, Labels]:
        assert labels is not None
        rows = np.isin(labels.index, [labels.names.index(each) for each in classes])
        return images[rows], labels.select(rows)

    sources, source_labels = of(part.sources, part.source_labels)
    targets, target_labels = of(part.targets, part.target_labels)
    return DomainSet(sources, targets, source_labels, target_labels)


# The scores


def colours(images: np.ndarray) -> np.ndarray:
    """The mean colour of the middle of each image.

    Args:
        images: uint8 (n, height, width, 3).

    Returns:
        float64 (n, 3): brightness, red against green, yellow against blue.
    """
    height, width = images.shape[1:3]
    middle = images[:, height // 4 : -(height // 4), width // 4 : -(width // 4)]
    red, green, blue = middle.mean(axis=(1, 2)).T
    return np.stack([(red + green + blue) / 3, red - green, (red + green) / 2 - blue], axis=1)


def correlation(a: np.ndarray, b: np.ndarray) -> float:
    """Pearson's correlation of each column of two (n, c), averaged; 0 for a constant column."""
    a, b = a - a.mean(axis=0), b - b.mean(axis=0)
    scale = np.sqrt((a**2).sum(axis=0) * (b**2).sum(axis=0))
    return float(np.mean((a * b).sum(axis=0) / np.where(scale > 0, scale, 1)))


def measure_colours(inputs: np.ndarray, translated: np.ndarray) -> dict[str, dict[str, Any]]:
    """The rows of Fig. 1, of images and their translations, uint8 (n, s, s, 3)."""
    a, b = colours(inputs), colours(translated)
    rng = np.random.default_rng(_SEED)
    resampled = rng.integers(0, len(a), (_RESAMPLES, len(a)))
    own = [correlation(a[rows], b[rows]) for rows in resampled]
    shuffled = [correlation(a, b[rng.permutation(len(b))]) for _ in range(_RESAMPLES)]
    return {
        row: {CORRELATION.key: value, "standard_errors": {CORRELATION.key: float(np.std(spread))}}
        for row, value, spread in (
            ("", correlation(a, b), own),
            (OTHER, float(np.mean(shuffled)), shuffled),
        )
    }


def edge_f1(drawn: np.ndarray, right: np.ndarray) -> np.ndarray:
    """F1 of edges, black on white, with a tolerance of one pixel to each side.

    Precision is the share of the drawn edges that are beside a right one, recall the share of the
    right ones beside which one is drawn.

    Args:
        drawn: uint8 (n, height, width, 3).
        right: the same.

    Returns:
        float64 (n,) in [0, 1]; 1 if neither has an edge.
    """
    a, b = (images.mean(axis=-1) < WHITE / 2 for images in (drawn, right))
    count_a, count_b = (np.maximum(edges.sum(axis=(1, 2)), 1) for edges in (a, b))
    precision = (a & _grown(b)).sum(axis=(1, 2)) / count_a
    recall = (b & _grown(a)).sum(axis=(1, 2)) / count_b
    both = precision + recall
    found = np.divide(2 * precision * recall, both, out=np.zeros_like(both), where=both > 0)
    return np.where(a.any(axis=(1, 2)) | b.any(axis=(1, 2)), found, 1.0)


def _grown(edges: np.ndarray) -> np.ndarray:
    """Pixels of (n, height, width) that are an edge or touch one."""
    padded = np.pad(edges, [(0, 0), (1, 1), (1, 1)])
    windows = np.lib.stride_tricks.sliding_window_view(padded, (3, 3), axis=(1, 2))
    return np.asarray(windows.any(axis=(-2, -1)))


def measure_edges(
    test: DomainSet, to_photos: bool, translated: np.ndarray
) -> dict[str, dict[str, Any]]:
    """The rows of Fig. 9.

    Args:
        test: edges and their photos, in one order.
        to_photos: whether `translated` are photos, otherwise edges.
        translated: of all test images, uint8 (n, s, s, 3).
    """
    edges = translated
    if to_photos:
        edges = np.stack([soft_edges(image) for image in translated])
    labels = test.source_labels
    index = np.zeros(len(edges), int) if labels is None else labels.index
    order = np.argsort(index, kind="stable")
    other = np.empty_like(order)
    other[order] = np.roll(order, 1)
    own = edge_f1(edges, test.sources)
    rows = {"": own, OTHER: edge_f1(edges[other], test.sources)}
    for i, name in enumerate(labels.names if labels is not None else ()):
        if (index == i).any():
            rows[name] = own[index == i]
    return {row: two_domains.means(**{F1.key: values}) for row, values in rows.items()}


# The figures


def _side(figure: Figure, budget: str) -> int:
    return as_height_width(figure.preset(budget).image_size)[0]


def _told(name: str) -> str:
    return name if name == RENDERED else pathlib.Path(name).name


def fig1(
    out: str | os.PathLike[str] = OUT,
    budget: str = "cpu",
    *,
    data: str = RENDERED,
    classes: Sequence[str] | None = None,
    **options: Any,
) -> Result:
    """Two classes of products (Fig. 1).

    Args:
        out: folder.
        budget: a key of `FIG1.budgets`.
        data: folder with a subfolder for each class, or "rendered".
        classes: the two; by default, of drawn products, `DRAWN_CLASSES`.
        **options: further ones of `two_domains.run`.

    Raises:
        ValueError: not two classes.
    """
    if classes is None and data == RENDERED:
        classes = DRAWN_CLASSES
    if classes is None or len(set(classes)) != 2:
        raise ValueError(f"`classes` must be two subfolders of `data`. Received: {classes}")
    if data == RENDERED:
        two_domains.among("classes", classes, rendered.CATEGORIES)
    train, test = two_classes(data, classes, _side(FIG1, budget), FIG1.budgets[budget].drawn)
    inputs = {FORWARD: test.sources, BACK: test.targets}
    domains = Domains(
        (classes[0], classes[1]),
        train,
        test,
        lambda way, translated: measure_colours(inputs[way], translated),
        settings={"data": _told(data)},
    )
    return two_domains.run(FIG1, domains, out, budget, **options)


def fig9(
    out: str | os.PathLike[str] = OUT,
    budget: str = "cpu",
    *,
    data: str = RENDERED,
    classes: Sequence[str] | None = None,
    **options: Any,
) -> Result:
    """Edges to photos and back (Fig. 9), with rows for each class.

    Args:
        out: folder.
        budget: a key of `FIG9.budgets`.
        data: folder of photos, with a subfolder for each class, or "rendered".
        classes: those that are used; by default all.
        **options: further ones of `two_domains.run`.

    Raises:
        ValueError: there is no such class.
    """
    side, drawn = _side(FIG9, budget), FIG9.budgets[budget].drawn
    train, test = edges_and_photos(data, classes, side, drawn)
    labels = test.source_labels
    names = () if labels is None else [labels.names[i] for i in np.unique(labels.index)]
    domains = Domains(
        ("edges", "photo"),
        train,
        test,
        lambda way, translated: measure_edges(test, way == FORWARD, translated),
        truth=(test.targets, test.sources),
        settings={"data": _told(data), "classes": ", ".join(names) or "not known"},
    )
    figure = dataclasses.replace(FIG9, rows={**FIG9.rows, **{each: each for each in names}})
    return two_domains.run(figure, domains, out, budget, **options)


def _main(figure: Figure, argv: Sequence[str]) -> None:
    command = experiment.parser(figure.name, f"{figure.title}.")
    command.add_argument(
        "--data", default=RENDERED, help='"rendered" (the default), or a folder of products'
    )
    command.add_argument("--classes", nargs="+", help="subfolders of --data, or drawn categories")
    options = vars(command.parse_args(argv))
    repeat = {FIG1.name: fig1, FIG9.name: fig9}[figure.name]
    experiment.tell(repeat(**options, verbose=2), options["out"])


COMMANDS: dict[str, Callable[[Sequence[str]], None]] = {
    figure.name: functools.partial(_main, figure) for figure in (FIG1, FIG9)
}

"""Yoo et al. 2016: Table 3, and Figs. 4 and 6.

    pixdt reproduce yoo2016-table3 --data LookBook/ --budget paper
    pixdt reproduce yoo2016-fig4 --data LookBook/ --budget paper
    pixdt reproduce yoo2016-fig6 --data LookBook/ --budget paper

Table 3 shows what each discriminator is good for. At the paper's budgets all rows use the step as
printed. At budgets of minutes they use the step that learns faster, and two rows show the printed
step for comparison. In the paper, people scored how realistic the results are (Real), the garment's
attributes (Att) and its category (Cat). Here networks give the scores: a distance between the
distributions of drawn and real products, and a classifier of real products.

Fig. 4 shows drawings of one product worn by several persons. Eq. 4 says what it should show: among
three drawings, two of one product and one of another, the two are more alike. The column is the
share of the comparisons for which this holds. The unconverted photos are the row to compare with.
The networks come from Table 3.

Fig. 6 goes from a product to a person who wears it. The same network learns the reverse direction,
for 65 and 5 epochs (Sec. 5.5). The paper shows selected results. The product does not determine
which person is drawn, so the scores compare with each of them.

Differs from the paper of Yoo et al., who ask people:
- "Real" of Table 3 is how realistic 25 people found drawings of 100 photos (Sec. 5.4). Here it is
  the distance (KID, FID) between all drawn and all real products over the features of an embedder,
  because people cannot be asked for each table. It also detects a lack of variety, and says nothing
  about a single drawing. `pixdt study` asks people.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
from keras import ops

from keras_pixdt import data, presets
from keras_pixdt.data.pairs import PairSet
from keras_pixdt.models.pixel_dtgan import PixelDTGAN
from keras_pixdt.presets import Phase
from keras_pixdt.presets.pixel_dtgan import FASTER, PRINTED, PixelDTGANPreset
from keras_pixdt.reproduce import appearance_flow, paired, pictures
from keras_pixdt.reproduce.paired import ATTRIBUTES, C_SSIM, CATEGORY, FID, KID, RMSE, SSIM
from keras_pixdt.reproduce.paired_experiment import Convert, PairedExperiment
from keras_pixdt.reproduce.result import Claim, Result, Score
from keras_pixdt.training.run import Run

_CANDIDATES = 512  # products that a photo is compared with at once
DD_PERCENTILE = Score("dd_percentile", "DD: rank of the right product", "higher", ".3f")


def small(name: str, step: Mapping[str, Any] = FASTER) -> PixelDTGANPreset:
    """A preset of the paper for minutes on two cores; the weights of its objective are kept.

    A quarter of the width and an eighth for the discriminators, small batches and Adam, because
    updates count most.

    Args:
        name: of the preset.
        step: `PRINTED` or `FASTER`.
    """
    preset = presets.get(name)
    assert isinstance(preset, PixelDTGANPreset)
    return dataclasses.replace(
        preset,
        width=0.25,
        discriminator_width=0.125,
        batch_size=32,
        optimizer_name="adam",
        phases=(Phase(4, 5e-4), Phase(1, 5e-5)),
        mirror=True,
        **step,
    )


def retrieve(run: Run, pairs: Mapping[str, PairSet]) -> Convert:
    """Retrieval by DD-score: the training product that the domain discriminator likes best.

    Args:
        run: of C+RF+DD.
        pairs: the splits; the products are those of "train".

    Returns:
        Maps photos, float32 (n, size, size, 3) in [-1, 1], to products, of the same shape.
    """
    products = pairs["train"].targets

    def convert(sources: np.ndarray) -> np.ndarray:
        return data.to_float(products[dd_scores(run, sources, products).argmax(axis=1)])

    return convert


def dd_scores(run: Run, sources: np.ndarray, products: np.ndarray) -> np.ndarray:
    """The domain discriminator's verdict on each photo with each product.

    Args:
        run: of a model that has one.
        sources: photos, float32 (n, size, size, 3) in [-1, 1].
        products: uint8 (m, size, size, 3).

    Returns:
        Logits, float32 (n, m).
    """
    model = run.model
    assert isinstance(model, PixelDTGAN)
    scores = np.empty((len(sources), len(products)), np.float32)
    for start in range(0, len(products), _CANDIDATES):
        candidates = data.to_float(products[start : start + _CANDIDATES])
        for i, source in enumerate(sources):
            same = np.broadcast_to(source, candidates.shape)
            pair = np.concatenate([same, candidates], axis=-1)
            verdicts = ops.convert_to_numpy(model.domain_discriminator.predict_on_batch(pair))
            scores[i, start : start + len(candidates)] = verdicts[:, 0]
    return scores


def rank_of_the_right(run: Run, pairs: Mapping[str, PairSet]) -> dict[str, float]:
    """How high the domain discriminator ranks the right product in the test split.

    Args:
        run: of a model that has one.
        pairs: the splits.

    Returns:
        `dd_percentile`: the share of the other products that it ranks below the right one, with
        ties as half, mean over the photos; 0.5 is chance.
    """
    test = pairs["test"]
    scores = dd_scores(run, data.to_float(test.sources), test.targets)
    right = scores[np.arange(len(test)), test.target_index][:, None]
    below = (scores < right).sum(axis=1) + ((scores == right).sum(axis=1) - 1) / 2
    return {DD_PERCENTILE.key: float(np.mean(below / (len(test.targets) - 1)))}


def _method(
    key: str, title: str, preset: str, paper: Mapping[str, str], step: Any = FASTER, **fields: Any
) -> paired.Method:
    return paired.Method(key, title, presets.get(preset), small(preset, step), paper, **fields)


def _people(real: str, att: str, cat: str) -> dict[str, str]:
    return {"Real, people": real, "Att, people": att, "Cat, people": cat}


def _pixels(rmse: str, c_ssim: str) -> dict[str, str]:
    return {"RMSE": rmse, "C-SSIM": c_ssim}


OURS = "c-rf-dd"
METHODS = (
    _method(
        "c-rf", "C+RF", "yoo2016-c-rf",
        _people("0.40", "0.21", "0.06") | _pixels("0.39", "0.18"),
    ),
    _method(
        "c-mse", "C+MSE", "yoo2016-c-mse",
        _people("0.28", "0.60", "0.60") | _pixels("0.26", "0.20"),
    ),
    _method("c-rf-dd-neg", "C+RF+DD-Neg", "yoo2016-c-rf-dd-neg", _pixels("0.32", "0.18")),
    _method(
        "retrieval", "Retrieval by DD-score", "yoo2016", _pixels("0.44", "0.19"),
        convert=retrieve, more=rank_of_the_right,
    ),
    _method(
        OURS, "C+RF+DD (Ours)", "yoo2016",
        _people("0.82", "0.67", "0.77") | _pixels("0.32", "0.21"),
    ),
    _method(
        "retrieval-printed", "Retrieval by DD-score, the printed step", "yoo2016", {}, PRINTED,
        convert=retrieve, more=rank_of_the_right,
    ),
    _method(f"{OURS}-printed", "C+RF+DD, the printed step", "yoo2016", {}, PRINTED),
)  # fmt: skip

TABLE3 = paired.Table(
    name="yoo2016-table3",
    title="Table 3 of Yoo et al. 2016",
    methods=(*METHODS, *appearance_flow.rows()),
    scores=(KID, FID, ATTRIBUTES, CATEGORY, RMSE, C_SSIM, DD_PERCENTILE),
    claims=(
        *(Claim(OURS, "c-rf", score.key) for score in (ATTRIBUTES, CATEGORY, C_SSIM, RMSE)),
        *(Claim(OURS, "c-mse", score.key) for score in (KID, ATTRIBUTES, CATEGORY, C_SSIM)),
        Claim("c-rf", "c-mse", KID.key),
        *(Claim("c-mse", other, RMSE.key) for other in ("c-rf", "c-rf-dd-neg", OURS)),
        Claim(OURS, "c-rf-dd-neg", C_SSIM.key),
        *(Claim(OURS, "retrieval", score.key) for score in (RMSE, C_SSIM)),
    ),
    notes=(
        "Real is the kernel distance (KID) and the Fréchet distance (FID) between drawn and real "
        "products over the features of {embedder}.",
        "Att (pattern and colour) and Cat are those of a classifier that was trained on real "
        "training products.",
        "DD: the share of the other test products that the domain discriminator ranks below the "
        "right one; chance is 0.5.",
        appearance_flow.NOTE,
    ),
)


# Fig. 4: persons who wear one product, and what is drawn of each

_PRODUCTS = 6  # in the picture
_PERSONS = 8  # of each, at most

CONSISTENCY = Score("consistency", "Eq. 4 holds", "higher", ".3f")
_OURS = next(m for m in METHODS if m.key == OURS)


def unconverted(run: Run, pairs: Mapping[str, PairSet]) -> Convert:
    """The photos as they are."""
    del run, pairs
    return lambda sources: sources


def draw_persons(
    result: Result, shown: Sequence[paired.Trained], experiment: PairedExperiment
) -> None:
    """Adds the picture: persons who wear one product, and below what is drawn of them."""
    ours = next((t for t in shown if t.method.key == OURS), shown[-1])
    test = experiment.pairs(ours.run.preset)["test"]
    counts = np.bincount(test.target_index, minlength=len(test.targets))
    count = min(_PERSONS, int(counts.max()))
    products = np.flatnonzero(counts >= count)
    lines = []
    for product in products[pictures.spread(len(products), _PRODUCTS)]:
        persons = np.flatnonzero(test.target_index == product)[:count]
        sources = test.sources[persons]
        truth = test.targets[product][None]
        white = np.full_like(truth, 255)
        lines.append(("photos, product", np.concatenate([sources, truth])))
        lines.append((ours.method.title, np.concatenate([ours.drawn(sources), white])))
    caption = "Persons who wear one product, and what is drawn of each"
    pictures.add_lines(result, experiment.out, lines, caption)


FIG4 = paired.Table(
    name="yoo2016-fig4",
    title="Fig. 4 and Eq. 4 of Yoo et al. 2016",
    methods=(
        dataclasses.replace(
            _OURS,
            key="photo",
            title="the photos themselves",
            paper={},
            convert=unconverted,
            trained=False,
        ),
        *(
            dataclasses.replace(m, paper={})
            for m in METHODS
            if m.key in ("c-rf", "c-mse", "c-rf-dd-neg", OURS)
        ),
    ),
    scores=(CONSISTENCY,),
    claims=(Claim(OURS, "photo", CONSISTENCY.key), Claim(OURS, "c-rf", CONSISTENCY.key)),
    notes=(
        "The paper has no figures for this. Similarity is the cosine of the features of "
        "{embedder}.",
    ),
    finish=draw_persons,
)


# Fig. 6: the other way round


def draw_products(
    result: Result, shown: Sequence[paired.Trained], experiment: PairedExperiment
) -> None:
    """Adds the picture: products, and the persons that are drawn of them."""
    (ours,) = shown
    test = experiment.pairs(ours.run.preset)["test"]
    picked = pictures.spread(len(test.targets), 2 * pictures.COLUMNS)
    lines = []
    for half in np.array_split(picked, 2):
        products = test.targets[half]
        lines += [("product", products), ("drawn", ours.drawn(products))]
    caption = "Products of the test split, and the persons that are drawn of them"
    pictures.add_lines(result, experiment.out, lines, caption)


FIG6 = paired.Table(
    name="yoo2016-fig6",
    title="Fig. 6 of Yoo et al. 2016",
    methods=(
        _method("product-to-human", "C+RF+DD, product to human", "yoo2016-product-to-human", {}),
    ),
    scores=(RMSE, SSIM, C_SSIM),
    notes=("The paper has pictures only, of chosen results; here they are not chosen.",),
    finish=draw_products,
)

TABLES = (TABLE3, FIG4, FIG6)
COMMANDS = paired.commands(*TABLES)

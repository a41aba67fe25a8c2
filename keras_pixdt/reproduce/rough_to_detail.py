"""Kwon et al. 2019: Tables 1 and 2, Figs. 4 and 6.

    pixdt reproduce kwon2019-table1 --data LookBook/ --splits kwon2019 --budget paper
    pixdt reproduce kwon2019-table2 --data LookBook/ --splits kwon2019 --budget paper
    pixdt reproduce kwon2019-fig4 --data LookBook/ --splits kwon2019 --budget paper
    pixdt reproduce kwon2019-fig6 --data LookBook/ --splits kwon2019 --budget paper

Table 1 compares the rough-to-detail GAN with PixelDTGAN and pix2pix, Table 2 its one, two and three
stages. PixelDTGAN draws images of 64 px, the others of 256; each is scored at its own size. All
learn from images that are stretched to squares (Sec. 4). Small budgets use 64 px for all. The paper
searches products with the features of a DenseNet trained on ImageNet; use `--embedder densenet121`
if its weights are present. Otherwise an embedder is trained on the training products.

Fig. 4 shows what a search with the drawn image finds: the photo, the image drawn by the network of
Table 1, and the ten nearest products of the test split. The right one has a red frame.

Fig. 6 shows what the network with three stages draws after each of them, beside the one with a
single stage. These are the networks of Table 2: a run keeps what it was after the last epoch of
each stage.
"""

from __future__ import annotations

import dataclasses
import functools
from collections.abc import Mapping, Sequence

import numpy as np

from keras_pixdt import presets, search
from keras_pixdt.atomic import load_model
from keras_pixdt.data.pairs import PairSet
from keras_pixdt.presets.pix2pix import Pix2PixPreset
from keras_pixdt.presets.rough_to_detail import RESIZE
from keras_pixdt.reproduce import appearance_flow, paired, pictures, pixel_dtgan
from keras_pixdt.reproduce.paired import KID, RMSE, SSIM, recall
from keras_pixdt.reproduce.paired_experiment import Convert, PairedExperiment
from keras_pixdt.reproduce.result import Claim, Result
from keras_pixdt.training.checkpoint import stage_path
from keras_pixdt.training.run import Run

SCORES = (RMSE, SSIM, recall(10), recall(60), KID)
COMPARED = SCORES[:-1]  # what the paper has, and Recall@10 where a gallery has few products


def paper(rmse: str, ssim: str, recall_at_60: str) -> dict[str, str]:
    """A row's figures."""
    return {"RMSE": rmse, "SSIM": ssim, "Recall@60": recall_at_60}


def _pix2pix() -> Pix2PixPreset:
    """pix2pix for minutes on two cores: at the size and the width of the other rows."""
    preset = presets.get("pix2pix-64")
    assert isinstance(preset, Pix2PixPreset)
    return dataclasses.replace(preset, width=0.25)


def _pldt(preset: presets.Preset) -> presets.Preset:
    """Yoo et al. letterbox photos; here all images are resized alike (Sec. 4)."""
    return dataclasses.replace(preset, resize=RESIZE)


OURS = "ours"
METHODS = (
    paired.Method(
        "pldt", "PLDT (Yoo et al. 2016)", _pldt(presets.get("yoo2016")),
        _pldt(pixel_dtgan.small("yoo2016")),
        paper("0.2921", "0.4096", "0.1787"),
    ),
    paired.Method(
        "pix2pix", "Pix2Pix (Isola et al. 2017)", presets.get("pix2pix-256"),
        _pix2pix(),
        paper("0.3009", "0.5570", "0.1873"),
    ),
    paired.Method(
        OURS, "Ours (3 stages)", presets.get("kwon2019"), presets.get("kwon2019-64"),
        paper("0.2590", "0.5967", "0.3373"),
    ),
)  # fmt: skip

_SEARCH = (
    "Products are searched among those of the test split by {embedder}; the paper has a DenseNet "
    "of ImageNet, and 939 products."
)

TABLE1 = paired.Table(
    name="kwon2019-table1",
    title="Table 1 of Kwon et al. 2019",
    methods=(*METHODS, *appearance_flow.rows(RESIZE)),
    scores=SCORES,
    claims=tuple(
        Claim(OURS, other, score.key) for other in ("pldt", "pix2pix") for score in COMPARED
    ),
    notes=(_SEARCH, appearance_flow.NOTE),
)


def _stages(stages: int, *figures: str) -> paired.Method:
    suffix = "" if stages == 3 else f"-n{stages}"
    return paired.Method(
        f"n{stages}",
        f"Ours (N = {stages})",
        presets.get(f"kwon2019{suffix}"),
        presets.get(f"kwon2019-64{suffix}"),
        paper(*figures),
    )


TABLE2 = dataclasses.replace(
    TABLE1,
    name="kwon2019-table2",
    title="Table 2 of Kwon et al. 2019",
    methods=(
        _stages(1, "0.2660", "0.5256", "0.2738"),
        _stages(2, "0.2594", "0.5782", "0.2869"),
        _stages(3, "0.2590", "0.5939", "0.3373"),
    ),
    claims=tuple(
        Claim(better, worse, score.key)
        for better, worse in (("n3", "n2"), ("n2", "n1"), ("n3", "n1"))
        for score in COMPARED
    ),
    notes=(_SEARCH,),
)


# Fig. 4

_QUERIES = 12
_FOUND = 10
_RED = (215, 30, 40)


def draw_found(
    result: Result, shown: Sequence[paired.Trained], experiment: PairedExperiment
) -> None:
    """Adds the picture: photo, drawn image, the nearest products."""
    (ours,) = shown
    preset = ours.run.preset
    test, embedder = experiment.pairs(preset)["test"], experiment.embedder(preset)
    # Duplicates of a product are one entry, as where Recall is computed.
    _, first, group = np.unique(test.group_id, return_index=True, return_inverse=True)
    gallery = test.targets[first]
    picked = pictures.spread(len(test), _QUERIES)
    drawn = ours.drawn(test.sources[picked])
    similarity = search.embed(embedder, drawn) @ search.embed(embedder, gallery).T
    nearest = np.argsort(-similarity, axis=1, kind="stable")[:, :_FOUND]
    lines = []
    for row, photo in enumerate(picked):
        found = gallery[nearest[row]].copy()
        for place in np.flatnonzero(nearest[row] == group[test.target_index[photo]]):
            found[place] = _framed(found[place])
        lines.append(
            (f"{row + 1}", np.concatenate([test.sources[photo][None], drawn[row][None], found]))
        )
    caption = "Test photo, drawn image, the nearest products of the test split; red: the right one"
    pictures.add_lines(result, experiment.out, lines, caption)


def _framed(image: np.ndarray) -> np.ndarray:
    framed, width = image.copy(), max(1, image.shape[0] // 24)
    for edge in (np.s_[:width], np.s_[-width:], np.s_[:, :width], np.s_[:, -width:]):
        framed[edge] = _RED
    return framed


FIG4 = dataclasses.replace(
    TABLE1,
    name="kwon2019-fig4",
    title="Fig. 4 of Kwon et al. 2019",
    methods=tuple(
        dataclasses.replace(m, paper={"Recall@60": m.paper["Recall@60"]})
        for m in METHODS
        if m.key == OURS
    ),
    scores=tuple(map(recall, (1, 10, 60))),
    claims=(),
    notes=(_SEARCH,),
    finish=draw_found,
)


# Fig. 6


def after_stage(stage: int, run: Run, pairs: Mapping[str, PairSet]) -> Convert:
    """What a run drew after one of its stages, enlarged to the size of the last.

    Args:
        stage: from 1; not the last.
        run: of a network with several stages.
        pairs: not used; see `paired.Method.convert`.

    Raises:
        FileNotFoundError: the run was trained before runs kept their stages, or no epoch ended in
            this stage.
    """
    del pairs
    path = stage_path(run.workdir, stage)
    if not path.exists():
        raise FileNotFoundError(
            f"{run.workdir} has no {path.name}: it is of an earlier version, or too short for an "
            f"epoch of stage {stage}. Remove it, so that it is trained again, or take a larger "
            "budget."
        )
    return dataclasses.replace(run, model=load_model(path)).convert


def _after(stage: int) -> paired.Method:
    three = TABLE2.methods[-1]
    return dataclasses.replace(
        three,
        key=f"stage{stage}",
        title=f"[{stage}/3]",
        paper={},
        convert=functools.partial(after_stage, stage),
    )


FIG6 = dataclasses.replace(
    TABLE2,
    name="kwon2019-fig6",
    title="Fig. 6 of Kwon et al. 2019",
    methods=(
        _after(1),
        _after(2),
        dataclasses.replace(TABLE2.methods[-1], title="[3/3]"),
        dataclasses.replace(TABLE2.methods[0], title="[1/1]"),
    ),
    scores=(RMSE, SSIM, KID),
    # Sec. 6: quality grows with each stage, and a single one gives "collapsed" structures.
    claims=tuple(
        Claim(better, worse, score.key)
        for better, worse in (("stage2", "stage1"), ("n3", "stage2"), ("n3", "n1"))
        for score in (RMSE, SSIM)
    ),
    notes=(
        "[i/N] is the network with N stages after its stage i (Fig. 6); images of earlier stages "
        "are enlarged.",
    ),
)

TABLES = (TABLE1, TABLE2, FIG4, FIG6)
COMMANDS = paired.commands(*TABLES)

"""Table 4 of Taigman et al. 2017: is a person found by the image that a photo is converted to?

    pixdt reproduce taigman2017-table4 --workdir runs/faces --photos x --gallery others
    pixdt reproduce taigman2017-table4 --budget cpu

Each photo x has a gallery: another photo x' of the same person, and distractors. The query is G(x);
with `--drawn` also an image that people drew of x, and in any case x itself. Images that belong
together have the same file name without its ending. Images of the gallery that no photo belongs to
are the distractors; the counterparts of other photos are in no photo's gallery (Sec. 5.2: s' and
x').

Without `--workdir` garments stand in for faces: a Domain Transfer Network from persons to products,
whose f knows categories, converts a photo of each test product; x' is another photo of the same
product, and photos of the validation products are the distractors. What searches is an embedder of
the training products and photos, which knows neither f nor G.

Differs from the paper of Taigman et al., whose faces are not available:
- The paper has 118 photos of CelebA, emoji that people drew of them, and 100,000 distractors. Here
  any folders will do (`--photos`, `--drawn`, `--gallery`); without them, drawn garments are used.
- The paper searches by the VGG face descriptor, not by f, for which G was trained. Its weights are
  not available here: any Keras model serves (`--embedder`), and by default it is an embedder that
  the run trains on its own targets.
- The paper's queries are the drawn image and G(x). Here x itself is one too: no converted image can
  be expected to do better.
"""

from __future__ import annotations

import contextlib
import dataclasses
import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from concurrent import futures
from typing import TYPE_CHECKING, Any, NamedTuple

import keras
import numpy as np
from absl import logging

from keras_pixdt import data, presets, search
from keras_pixdt.data import files
from keras_pixdt.data.files import IMAGE_SUFFIXES, NO_IMAGE
from keras_pixdt.data.pairs import PairSet
from keras_pixdt.metrics import retrieval, standard_error
from keras_pixdt.reproduce import OUT, common, environment, pictures, settings
from keras_pixdt.reproduce.result import Claim, Result, Row, Score
from keras_pixdt.training.run import EMBEDDERS, Run, load_run

if TYPE_CHECKING:
    from keras_pixdt.reproduce.rows import Rows

NAME = "taigman2017-table4"
TITLE = "Table 4 of Taigman et al. 2017"
NO_COUNTERPART = "photo_without_counterpart"
NO_DRAWING = "photo_without_drawing"

PAPER_PHOTOS, PAPER_GALLERY = 118, 100_001
SCORES = (
    Score("median_rank", "Median rank", "lower", ",.1f"),
    Score("mean_rank", "Mean rank", "lower", ",.2f"),
    Score("rank_1_accuracy", "Rank-1 accuracy", "higher", ".2%"),
    Score("rank_5_accuracy", "Rank-5 accuracy", "higher", ".2%"),
)
_HEAD = tuple(score.title for score in SCORES)
PAPER = {
    "drawn": dict(zip(_HEAD, ("16311", "27,992.34", "0%", "0%"), strict=True)),
    "converted": dict(zip(_HEAD, ("16", "535.47", "22.88%", "34.75%"), strict=True)),
}
CLAIMS = tuple(Claim("converted", "drawn", score.key) for score in SCORES)
TITLES = {"drawn": "drawn by people", "converted": "G(x)", "photo": "the photo", "chance": "chance"}

PICTURED = 32  # photos in the picture
_BATCH = 64
_SIMILARITIES = 2**24  # held at once: 64 MiB


class Retrieved(NamedTuple):
    """What is found.

    Attributes:
        rank: int64 (n,), of each probe's counterpart, from 1.
        nearest: int64 (n,), the row of the most similar distractor. A probe of rank 1 is nearer to
            its counterpart.
    """

    rank: np.ndarray
    nearest: np.ndarray


def retrieve(probes: np.ndarray, counterparts: np.ndarray, distractors: np.ndarray) -> Retrieved:
    """Searches for each probe among the distractors and its own counterpart, by cosine similarity.

    Ties count against the probe, as in `metrics.retrieval.ranks`.

    Args:
        probes: features (n, d).
        counterparts: features (n, d), row by row of what the probes should find.
        distractors: features (m, d). Where m is 0 the counterparts of the other probes are in their
            place.

    Returns:
        Ranks from 1 to m + 1, or to n without distractors.

    Raises:
        ValueError: shapes disagree, a feature is not finite, or there is nothing to be told from:
            neither distractors nor a second probe.
    """
    probes, counterparts, distractors = (
        retrieval.unit_vectors(features, name)
        for features, name in (
            (probes, "probes"),
            (counterparts, "counterparts"),
            (distractors, "distractors"),
        )
    )
    if probes.shape != counterparts.shape or probes.shape[1] != distractors.shape[1]:
        raise ValueError(
            "`probes` (n, d), `counterparts` (n, d) and `distractors` (m, d) disagree. "
            f"Received: {probes.shape}, {counterparts.shape} and {distractors.shape}"
        )
    of_others = not len(distractors)
    if of_others and len(probes) < 2:
        raise ValueError(
            "A gallery needs distractors, or the counterparts of several probes. "
            f"Received: {len(probes)} probes, no distractors"
        )
    others = counterparts if of_others else distractors
    right = np.sum(probes * counterparts, axis=1)
    rank, nearest = np.empty((2, len(probes)), np.int64)
    step = max(1, _SIMILARITIES // len(others))
    for start in range(0, len(probes), step):
        rows = np.arange(start, min(start + step, len(probes)))
        similarity = probes[rows] @ others.T
        if of_others:
            similarity[rows - start, rows] = -np.inf
        closer = similarity >= right[rows, None] - retrieval.TOLERANCE
        rank[rows] = 1 + closer.sum(axis=1)
        nearest[rows] = similarity.argmax(axis=1)
    return Retrieved(rank, nearest)


def measures(rank: np.ndarray) -> dict[str, float]:
    """The rows of Table 4, of ranks (n,) from 1."""
    return {
        "median_rank": retrieval.median_rank(rank),
        "mean_rank": float(np.mean(rank)),
        "rank_1_accuracy": retrieval.recall_at_k(rank, 1),
        "rank_5_accuracy": retrieval.recall_at_k(rank, 5),
    }


def standard_errors(rank: np.ndarray) -> dict[str, float]:
    """Those of `measures` but the median, of photos of different persons; none of one photo."""
    values = {"mean_rank": rank, "rank_1_accuracy": rank <= 1, "rank_5_accuracy": rank <= 5}
    errors = {name: standard_error(v) for name, v in values.items()}
    return {name: error for name, error in errors.items() if error is not None}


# The files


class _Folder:
    """The images of a folder or an archive."""

    def __init__(
        self,
        path: str | os.PathLike[str],
        argument: str,
        stack: contextlib.ExitStack,
        skipped: files.Skipped,
    ) -> None:
        self.path = os.fspath(path)
        fix = f"`{argument}` must be a folder or an archive of images."
        self._files = stack.enter_context(
            files.open_files(pathlib.Path(path), _is_image, "images", fix)
        )
        self.names: dict[str, list[str]] = {}  # by what they are without folders and ending
        for name in self._files.names:
            if files.is_hidden(name):
                skipped.add(files.HIDDEN, name)
            elif not _is_image(name):
                skipped.add(NO_IMAGE, name)
            else:
                self.names.setdefault(pathlib.PurePosixPath(name).stem, []).append(name)
        if not self.names:
            raise ValueError(
                f"{path} has no images, which end in {', '.join(sorted(IMAGE_SUFFIXES))}. {fix}"
            )

    def only(self, stem: str) -> str | None:
        """The file of this name without its ending; None if there is none."""
        found = self.names.get(stem, [])
        if len(found) > 1:
            raise ValueError(
                f"{self.path} has {len(found)} images called {stem!r} ({found[0]}, {found[1]}), so "
                "that it is not known which one belongs to the photo. Rename or remove all but one."
            )
        return found[0] if found else None

    def read(self, names: Sequence[str], size: int, resize: str) -> list[np.ndarray | None]:
        """Images made square, uint8 (size, size, 3); None for those that cannot be read."""

        def read(name: str) -> np.ndarray | None:
            decoded = files.decode(lambda: self._files.read(name), name, self.path)
            return None if decoded is None else data.resize(decoded[0], size, resize)

        with futures.ThreadPoolExecutor(os.cpu_count()) as pool:
            return list(pool.map(read, names))


def _is_image(name: str) -> bool:
    return pathlib.PurePath(name).suffix.lower() in IMAGE_SUFFIXES


def _match(folders: Mapping[str, _Folder], skipped: files.Skipped) -> list[dict[str, str]]:
    """Of each photo that has all it needs, the file of each role."""
    matched = []
    for stem in folders["photo"].names:
        of_stem = {role: folder.only(stem) for role, folder in folders.items()}
        found = {role: name for role, name in of_stem.items() if name is not None}
        if "counterpart" not in found:
            skipped.add(NO_COUNTERPART, found["photo"])
        elif len(found) < len(folders):
            skipped.add(NO_DRAWING, found["photo"])
        else:
            matched.append(found)
    return matched


# The networks


class _Embedder:
    """The network that images are compared by."""

    def __init__(self, run: Run, embedder: str) -> None:
        if embedder in EMBEDDERS:
            self._model = run.embedder(embedder)
        elif pathlib.Path(embedder).exists():
            self._model = keras.models.load_model(embedder)
        else:
            raise FileNotFoundError(
                f"`embedder` must be one of {', '.join(EMBEDDERS)}, or the file of a Keras model. "
                f"There is no file {embedder}"
            )
        takes, gives = self._model.input_shape, self._model.output_shape
        if len(takes) != 4 or takes[1] != takes[2] or takes[3] != 3 or len(gives) != 2:
            raise ValueError(
                f"The embedder {embedder} must take square RGB images, (None, size, size, 3), and "
                f"give one vector for each. Received a model that takes {takes} and gives {gives}"
            )
        self._size = takes[1] or run.preset.image_size
        self._resize = getattr(self._model, "resize", run.preset.resize)
        if _same_weights(self._model, getattr(run.model, "function", None)):
            logging.warning(
                "The embedder is the run's own f, for which G was trained: the ranks of converted "
                "images are too good. The paper searches by another network."
            )

    def __call__(self, images: Iterable[np.ndarray]) -> np.ndarray:
        """Features (n, d) of images, uint8 (height, width, 3) each."""
        fitted = [data.resize(image, self._size, self._resize) for image in images]
        return np.asarray(self._model.predict_on_batch(data.to_float(np.stack(fitted))))

    def features(
        self, folder: _Folder, names: Sequence[str], skipped: files.Skipped
    ) -> tuple[list[str], np.ndarray]:
        """Names and features (n, d) of the files that can be read."""
        readable: list[str] = []
        features = [np.empty((0, self._model.output_shape[1]), np.float32)]
        for batch in _batches(names):
            read = folder.read(batch, self._size, self._resize)
            images = dict(zip(batch, read, strict=True))
            for name in batch:
                if images[name] is None:
                    skipped.add(files.UNREADABLE, name)
            found = {name: image for name, image in images.items() if image is not None}
            if found:
                readable.extend(found)
                features.append(self(found.values()))
        return readable, np.concatenate(features)


def _same_weights(model: keras.Model, other: keras.Model | None) -> bool:
    if other is None:
        return False
    a, b = model.get_weights(), other.get_weights()
    return 0 < len(a) == len(b) and all(np.array_equal(v, w) for v, w in zip(a, b, strict=True))


def _batches(items: Any) -> list[Any]:
    """Slices of a sequence or an array."""
    return [items[start : start + _BATCH] for start in range(0, len(items), _BATCH)]


def find(
    workdir: str | os.PathLike[str],
    photos: str | os.PathLike[str],
    gallery: str | os.PathLike[str],
    drawn: str | os.PathLike[str] | None = None,
    *,
    embedder: str = "trained",
) -> tuple[dict[str, Any], np.ndarray]:
    """Ranks the counterparts of photos by what the photos are converted to.

    Args:
        workdir: of the run, any that converts.
        photos: folder or archive of the photos x, with subfolders.
        gallery: the same, of their counterparts x' and of distractors.
        drawn: the same, of what people drew of the photos. Photos without are then left out, so
            that all columns of the table are of the same photos.
        embedder: what images are compared by: see `Run.embedder`, or the file of a Keras model of
            images in [-1, 1] to one vector each. One that takes any size gets the run's.

    Returns:
        What was found: "photos", how many; "distractors", how many, and "gallery", what a photo's
        gallery consists of, in words, with its "gallery_size"; "measures": for "converted",
        "drawn", "photo" and "chance" the `measures`; "names" of the photos and, for all of these
        but chance, their "ranks"; "left_out", files by reason, and the first of each; "preset", the
        options of the run's preset. And the picture, a row for each of the first 32 photos: x, the
        drawn image, G(x), the nearest of the gallery to G(x).

    Raises:
        FileNotFoundError: there is nothing at a path.
        ValueError: a folder without images, several images of a photo's name, an embedder that
            takes or gives something else, or too few photos that can be ranked.
    """
    trained = load_run(workdir)
    network = _Embedder(trained, embedder)
    skipped = files.Skipped()
    given = {"photo": ("photos", photos), "counterpart": ("gallery", gallery)}
    if drawn is not None:
        given["drawn"] = ("drawn", drawn)
    with contextlib.ExitStack() as stack:
        folders = {
            role: _Folder(path, argument, stack, skipped)
            for role, (argument, path) in given.items()
        }
        matched = _match(folders, skipped)
        vectors = {}
        for role, folder in folders.items():
            names = [person[role] for person in matched]
            vectors[role] = dict(zip(*network.features(folder, names, skipped), strict=True))
        people = [p for p in matched if all(p[role] in vectors[role] for role in folders)]
        if not people:
            raise ValueError(
                f"No photo in {photos} can be ranked: each needs an image of the same name, "
                "without its ending, in every other folder. "
                f"Left out: {skipped}"
            )
        features = {
            role: np.stack([found[person[role]] for person in people])
            for role, found in vectors.items()
        }
        counterparts = features.pop("counterpart")
        distractor_names, distractors = network.features(
            folders["counterpart"],
            [
                name
                for stem, names in folders["counterpart"].names.items()
                if stem not in folders["photo"].names
                for name in names
            ],
            skipped,
        )
        converted, features["converted"] = _convert(trained, network, folders["photo"], people)

        ranked = {role: retrieve(f, counterparts, distractors) for role, f in features.items()}
        if skipped.counts:
            logging.warning("Left out: %s", skipped)
        what = "distractors and the photo's counterpart"
        size = len(distractors) + 1
        others = distractor_names
        if not others:
            what = "the counterparts of all photos, since there are no distractors"
            size = len(people)
            others = [person["counterpart"] for person in people]
            logging.warning("The gallery has %s: this is not what the paper did", what)
        found: dict[str, Any] = {
            "photos": len(people),
            "distractors": len(distractors),
            "gallery": what,
            "gallery_size": size,
            "measures": {
                **{role: measures(ranked[role].rank) for role in TITLES if role in ranked},
                "chance": measures(np.arange(1, size + 1)),
            },
            "names": [person["photo"] for person in people],
            "ranks": {role: result.rank.tolist() for role, result in ranked.items()},
            "left_out": {"counts": skipped.counts, "examples": skipped.examples},
            "preset": trained.preset.options(),
        }
        nearest = [
            person["counterpart"] if rank == 1 else others[row]
            for person, rank, row in zip(people, *ranked["converted"], strict=True)
        ]
        picture = _picture(
            folders, people[:PICTURED], converted, nearest[:PICTURED], trained.preset.resize
        )
    return found, picture


def run_workdir(
    workdir: str | os.PathLike[str],
    photos: str | os.PathLike[str],
    gallery: str | os.PathLike[str],
    drawn: str | os.PathLike[str] | None = None,
    *,
    embedder: str = "trained",
    out: str | os.PathLike[str] = OUT,
) -> Result:
    """Writes the table of what `find` finds, which takes these arguments.

    Args:
        workdir: of the run.
        photos: of the photos.
        gallery: of counterparts and distractors.
        drawn: of what people drew.
        embedder: what images are compared by.
        out: folder of the table.
    """
    found, picture = find(workdir, photos, gallery, drawn, embedder=embedder)
    left_out = [f"{count} {reason}" for reason, count in found["left_out"]["counts"].items()]
    result = _result(
        {
            "run": pathlib.Path(workdir).name,
            "photos": found["photos"],
            "gallery": f"{found['gallery_size']:,} ({found['gallery']})",
            "embedder": pathlib.Path(embedder).name,
            "left out": ", ".join(left_out) or "nothing",
        },
        (f"The paper has {PAPER_PHOTOS} photos and galleries of {PAPER_GALLERY:,}.",),
    )
    for row in result.rows:
        if row.key in found["measures"]:
            row.seeds[0] = dict(found["measures"][row.key])
            if row.key in found["ranks"]:
                ranks = found["ranks"][row.key]
                row.seeds[0]["standard_errors"] = standard_errors(np.array(ranks))
                row.seeds[0]["ranks"] = dict(zip(found["names"], ranks, strict=True))
            if row.trained:
                row.seeds[0]["preset"] = found["preset"]
    folder = pathlib.Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    data.write_image(folder / f"{NAME}.png", picture)
    shown = "The photo, what was drawn of it if anything, G(x), and the nearest of the gallery"
    result.pictures[f"{NAME}.png"] = shown
    result.write(folder)
    return result


def _result(settings: Mapping[str, Any], notes: Sequence[str]) -> Result:
    return Result(
        NAME,
        TITLE,
        SCORES,
        [
            Row(role, title, PAPER.get(role, {}), trained=role == "converted")
            for role, title in TITLES.items()
        ],
        CLAIMS,
        settings=settings,
        made_with=environment.made_with(),
        notes=notes,
    )


def _convert(
    run: Run, network: _Embedder, photos: _Folder, people: Sequence[Mapping[str, str]]
) -> tuple[np.ndarray, np.ndarray]:
    """G(x) of the photos of the picture, uint8 (n, s, s, 3), and the features of all of them."""
    shown: list[np.ndarray] = []
    features = []
    for batch in _batches(people):
        names, preset = [person["photo"] for person in batch], run.preset
        x = np.stack(_all(photos.read(names, preset.image_size, preset.resize)))
        converted = data.to_uint8(run.convert(data.to_float(x)))
        shown.extend(converted[: PICTURED - len(shown)])
        features.append(network(converted))
    return np.stack(shown), np.concatenate(features)


def _all(images: Sequence[np.ndarray | None]) -> list[np.ndarray]:
    """Images that could be read before."""
    return [image for image in images if image is not None]


def _picture(
    folders: Mapping[str, _Folder],
    people: Sequence[Mapping[str, str]],
    converted: np.ndarray,
    nearest: Sequence[str],
    resize: str,
) -> np.ndarray:
    """A row for each photo: x, the drawn image if there are any, G(x), the nearest to G(x)."""

    def column(role: str, names: Sequence[str]) -> np.ndarray:
        return np.stack(_all(folders[role].read(names, converted.shape[1], resize)))

    before = [role for role in ("photo", "drawn") if role in folders]
    return data.image_grid(
        [
            *(column(role, [person[role] for person in people]) for role in before),
            converted,
            column("counterpart", nearest),
        ]
    )


# The stand-in


@dataclasses.dataclass(frozen=True)
class Budget:
    """How much the network of the garments gets.

    Attributes:
        samples: photos that it sees; None leaves the preset its own epochs.
        products: that are drawn.
        seeds: how often it is trained.
        fields: of the preset, that are to differ.
    """

    samples: int | None
    products: int
    seeds: int = 1
    fields: Mapping[str, Any] = dataclasses.field(default_factory=dict)


PRESET = "taigman2017-small"
BUDGETS = {
    "smoke": Budget(2_000, products=80, fields={"image_size": 32, "function_width": 0.25}),
    "cpu": Budget(16_000, products=600),
    "gpu": Budget(300_000, products=1_600, seeds=3),
    # The paper's own, of a million faces, is not available: the preset's epochs on as many
    # garments as LookBook has.
    "paper": Budget(None, products=9_732, seeds=3, fields={"width": 1.0, "function_width": 1.0}),
}
GARMENTS_NOTE = (
    "A stand-in for faces: garments on persons (x, x' and distractors), converted to products. "
    "Nothing was drawn by people, and the paper's figures are of other images and another gallery."
)


class Garments(NamedTuple):
    """The images of the stand-in, uint8.

    Attributes:
        photos: x, one of each test product of which there are two.
        counterparts: x', another of the same product.
        distractors: all photos of the validation products.
    """

    photos: np.ndarray
    counterparts: np.ndarray
    distractors: np.ndarray


def garments(pairs: Mapping[str, PairSet]) -> Garments:
    """The first two photos of each test product, and the photos of the validation products.

    Raises:
        ValueError: there is no validation split, or no test product has two photos.
    """
    if "validation" not in pairs:
        raise ValueError(
            "The distractors are photos of the validation split, which these data do not have. "
            f"Choose others. Received the splits: {', '.join(pairs)}"
        )
    test = pairs["test"]
    rows = [np.flatnonzero(test.target_index == product) for product in range(len(test.targets))]
    first_two = np.array([row[:2] for row in rows if len(row) >= 2], int).reshape(-1, 2)
    if not len(first_two):
        raise ValueError(
            "No product of the test split has two photos, x and x'. "
            f"Received: {len(test)} photos of {len(test.targets)} products"
        )
    x, other = first_two.T
    return Garments(test.sources[x], test.sources[other], np.asarray(pairs["validation"].sources))


def run(rows: Rows, budget: str = "cpu", *, seeds: int | None = None) -> Result:
    """Trains the network of the garments, searches by it, and writes the table.

    Args:
        rows: the data, and where networks are kept.
        budget: a key of `BUDGETS`.
        seeds: of the network, how many, instead of the budget's.

    Raises:
        ValueError: as `garments`, or less than one seed.
    """
    given = BUDGETS[budget]
    seeds = given.seeds if seeds is None else seeds
    common.check((), (), seeds)
    preset = dataclasses.replace(presets.get(PRESET), **given.fields)
    out, pairs = rows.folder.parent, rows.pairs(preset)
    images = garments(pairs)
    length = rows.length(preset, given.samples)
    train = pairs["train"]
    embedder = (
        common.Cache(out)
        .model(
            "garments-embedder",
            lambda: (
                search.train_embedder(
                    train.targets, generated=train.sources, generated_index=train.target_index
                ),
                {},
            ),
            data=rows.data_digest(preset),
            scores=environment.SCORES_VERSION,
        )
        .load()
    )

    def features(pixels: np.ndarray) -> np.ndarray:
        batches = [embedder.predict_on_batch(data.to_float(batch)) for batch in _batches(pixels)]
        return np.concatenate([np.asarray(batch) for batch in batches])

    counterparts, distractors = features(images.counterparts), features(images.distractors)
    result = _result(
        {
            "budget": budget, "data": str(rows.data_options["data"]), "seeds": seeds,
            "samples": length.samples, "photos": len(images.photos),
            "gallery": len(distractors) + 1,
        },
        (GARMENTS_NOTE,),
    )  # fmt: skip
    lines = {row.key: row for row in result.rows}
    rank = retrieve(features(images.photos), counterparts, distractors).rank
    lines["photo"].seeds[0] = {**measures(rank), "standard_errors": standard_errors(rank)}
    lines["chance"].seeds[0] = measures(np.arange(1, len(distractors) + 2))

    def score(row: Row, seed: int) -> dict[str, Any]:
        run = rows.run(preset, length, seed)
        converted = np.concatenate(
            [data.to_uint8(run.convert(data.to_float(b))) for b in _batches(images.photos)]
        )
        ranked = retrieve(features(converted), counterparts, distractors)
        if seed == 0:
            found = images.distractors[ranked.nearest]
            found[ranked.rank == 1] = images.counterparts[ranked.rank == 1]
            shown = pictures.spread(len(converted))
            named = {
                "x": images.photos, "G(x)": converted, "nearest": found, "x'": images.counterparts,
            }  # fmt: skip
            file = f"{NAME}.png"
            pictures.write_lines(out / file, [(name, v[shown]) for name, v in named.items()])
            result.pictures[file] = (
                "Photos, what the network of seed 0 makes of them, the nearest photo of the "
                "gallery, and the one that should be found"
            )
        return {
            **measures(ranked.rank),
            "standard_errors": standard_errors(ranked.rank),
            "ranks": ranked.rank.tolist(),
            "preset": preset.options(),
            "epochs": length.epochs * length.passes,
            "samples": length.samples,
            "steps": settings.steps(preset, length.epochs, length.samples),
        }

    common.fill(result, out, ["converted"], seeds, score)
    return result


def main(argv: Sequence[str]) -> None:
    """Runs the experiment with the arguments of the command."""
    parser = common.parser(NAME, f"{TITLE}, for any run and any two folders, or on garments.")
    parser.add_argument(
        "--data", default="rendered", help="of garments, as `pixdt train` takes it; without a run"
    )
    parser.add_argument("--workdir", help="folder of a finished run; with --photos and --gallery")
    parser.add_argument("--photos", help="folder of the photos x")
    parser.add_argument(
        "--gallery",
        help="folder of other photos of the same persons, under the same names, and distractors",
    )
    parser.add_argument("--drawn", help="folder of what people drew, under the same names")
    parser.add_argument(
        "--embedder",
        default="trained",
        help=f"{', '.join(EMBEDDERS)}, or the file of a Keras model (default: trained)",
    )
    options = parser.parse_args(argv)
    out = pathlib.Path(options.out)
    folders = (options.workdir, options.photos, options.gallery)
    if all(folders):
        result = run_workdir(*folders, options.drawn, embedder=options.embedder, out=out)
    elif any((*folders, options.drawn)):
        parser.error("--workdir, --photos and --gallery belong together; without them, garments")
    else:
        from keras_pixdt.reproduce.rows import Rows

        data_options: dict[str, Any] = {"data": options.data}
        if options.data == "rendered":
            data_options["num_products"] = BUDGETS[options.budget].products
        rows = Rows(out, data_options, verbose=2)
        result = run(rows, options.budget, seeds=options.seeds)
    common.tell(result, out)

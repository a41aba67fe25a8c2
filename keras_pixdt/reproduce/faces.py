"""Table 4 of Taigman et al. 2017: does a converted photo find the person?

    pixdt reproduce taigman2017-table4 --workdir runs/faces --photos x --gallery others
    pixdt reproduce taigman2017-table4 --budget cpu

Each photo x has a gallery: another photo x' of the same person, and distractors. The query is G(x);
with `--drawn` also an image that people drew of x, and in any case x itself. Images that belong
together have the same file name, apart from the extension. Gallery images without a photo are the
distractors. A photo's gallery does not contain the counterparts of other photos (Sec. 5.2: s' and
x').

Without `--workdir` garments stand in for faces (`keras_pixdt.reproduce.garments`).

Differs from the paper of Taigman et al., whose faces are not available:
- The paper has 118 photos of CelebA, emoji that people drew of them, and 100,000 distractors. Here
  any folders will do (`--photos`, `--drawn`, `--gallery`); without them, drawn garments are used.
- The paper searches with the VGG face descriptor, not with f, for which G was trained. Its weights
  are not available here, so any Keras model can be used (`--embedder`); by default it is an
  embedder that the run trains on its own targets.
- The paper's queries are the drawn image and G(x). Here x itself is a query too, because no
  converted image can be expected to do better.
"""

from __future__ import annotations

import contextlib
import os
import pathlib
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

import keras
import numpy as np
from absl import logging

from keras_pixdt import data, progress
from keras_pixdt.atomic import replacing
from keras_pixdt.choices import EMBEDDERS, Size
from keras_pixdt.data import files
from keras_pixdt.reproduce import OUT, experiment, garments
from keras_pixdt.reproduce.face_retrieval import (
    NAME,
    PAPER_GALLERY,
    PAPER_PHOTOS,
    TITLE,
    TITLES,
    measures,
    retrieve,
    scores_of,
    table,
)
from keras_pixdt.reproduce.paired_experiment import PairedExperiment
from keras_pixdt.reproduce.result import Result
from keras_pixdt.training.run import Run, load_run
from keras_pixdt.workers import thread_pool

NO_COUNTERPART = "photo_without_counterpart"
NO_DRAWING = "photo_without_drawing"
PICTURED = 32  # photos in the picture
_BATCH = 64


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
            files.open_files(pathlib.Path(path), files.is_image, "images", fix)
        )
        self.names: dict[str, list[str]] = {}  # by names without folders and endings
        for name in self._files.images(skipped):
            self.names.setdefault(pathlib.PurePosixPath(name).stem, []).append(name)
        if not self.names:
            raise ValueError(f"{path} has no images, which end in {files.ENDINGS}. {fix}")

    def only(self, stem: str) -> str | None:
        """The file of this name without its ending; None if there is none."""
        found = self.names.get(stem, [])
        if len(found) > 1:
            raise ValueError(
                f"{self.path} has {len(found)} images called {stem!r} ({found[0]}, {found[1]}), so "
                "that it is not known which one belongs to the photo. Rename or remove all but one."
            )
        return found[0] if found else None

    def read(self, names: Sequence[str], size: Size, resize: str) -> list[np.ndarray | None]:
        """Images of a size, uint8; None for those that cannot be read."""

        def read(name: str) -> np.ndarray | None:
            decoded = files.decode(lambda: self._files.read(name), name, self.path)
            return None if decoded is None else data.resize(decoded[0], size, resize)

        with thread_pool() as pool:
            return list(progress.bar("Reading photos", pool.map(read, names), len(names)))


def _match(folders: Mapping[str, _Folder], skipped: files.Skipped) -> list[dict[str, str]]:
    """The file of each role, for each photo that has all it needs."""
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
            found: dict[str, np.ndarray] = {}
            images = folder.read(batch, self._size, self._resize)
            for name, image in zip(batch, images, strict=True):
                if image is None:
                    skipped.add(files.UNREADABLE, name)
                else:
                    found[name] = image
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
    """Ranks the counterparts of photos, with the converted photos as queries.

    Args:
        workdir: of the run, any that converts.
        photos: folder or archive of the photos x, with subfolders.
        gallery: the same, of their counterparts x' and of distractors.
        drawn: the same, for images of the photos drawn by people. Photos without one are then left
            out, so that all columns of the table use the same photos.
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
        people, features = _people(folders, network, skipped)
        counterparts = features.pop("counterpart")
        others, distractors = network.features(folders["counterpart"], _unmatched(folders), skipped)
        converted, features["converted"] = _convert(trained, network, folders["photo"], people)
        ranked = {role: retrieve(f, counterparts, distractors) for role, f in features.items()}
        if skipped.counts:
            logging.warning("Left out: %s", skipped)
        what = "distractors and the photo's counterpart"
        size = len(distractors) + 1
        if not others:
            what = "the counterparts of all photos, since there are no distractors"
            size, others = len(people), [person["counterpart"] for person in people]
            logging.warning("The gallery has %s: this is not what the paper did", what)
        nearest = [
            person["counterpart"] if rank == 1 else others[row]
            for person, rank, row in zip(people, *ranked["converted"], strict=True)
        ]
        picture = _picture(
            folders, people[:PICTURED], converted, nearest[:PICTURED], trained.preset.resize
        )
    found = {
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
    return found, picture


def _unmatched(folders: Mapping[str, _Folder]) -> list[str]:
    """The images of the gallery that no photo belongs to."""
    of_photos, of_gallery = folders["photo"].names, folders["counterpart"].names
    return [name for stem, names in of_gallery.items() if stem not in of_photos for name in names]


def _people(
    folders: Mapping[str, _Folder], network: _Embedder, skipped: files.Skipped
) -> tuple[list[dict[str, str]], dict[str, np.ndarray]]:
    """The files of each role, for each photo that can be ranked, and the features (n, d) of these.

    Raises:
        ValueError: there is none.
    """
    matched = _match(folders, skipped)
    vectors = {}
    for role, folder in folders.items():
        names = [person[role] for person in matched]
        vectors[role] = dict(zip(*network.features(folder, names, skipped), strict=True))
    people = [p for p in matched if all(p[role] in vectors[role] for role in folders)]
    if not people:
        raise ValueError(
            f"No photo in {folders['photo'].path} can be ranked: each needs an image of the same "
            f"name, without its ending, in every other folder. Left out: {skipped}"
        )
    return people, {
        role: np.stack([found[person[role]] for person in people])
        for role, found in vectors.items()
    }


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
    result = table(
        {
            "run": pathlib.Path(workdir).name,
            "photos": found["photos"],
            "gallery": f"{found['gallery_size']:,} ({found['gallery']})",
            "embedder": pathlib.Path(embedder).name,
            "left out": ", ".join(left_out) or "nothing",
        },
        (f"The paper has {PAPER_PHOTOS} photos and galleries of {PAPER_GALLERY:,}.",),
    )
    for role, scores in found["measures"].items():
        ranks = found["ranks"].get(role)
        if ranks is not None:
            named = dict(zip(found["names"], ranks, strict=True))
            scores = {**scores_of(np.array(ranks)), "ranks": named}
        if role == "converted":
            scores = {**scores, "preset": found["preset"]}
        result.add({role: scores})
    folder = pathlib.Path(out)
    folder.mkdir(parents=True, exist_ok=True)
    with replacing(folder / f"{NAME}.png") as unfinished:
        data.write_image(unfinished, picture)
    shown = "The photo, the drawing of it if there is one, G(x), and the nearest of the gallery"
    result.pictures[f"{NAME}.png"] = shown
    result.write(folder)
    return result


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


def main(argv: Sequence[str]) -> None:
    """Runs the experiment with the arguments of the command."""
    parser = experiment.parser(NAME, f"{TITLE}, for any run and any two folders, or on garments.")
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
        data_options: dict[str, Any] = {"data": options.data}
        if options.data == "rendered":
            (data_options["num_products"],) = garments.BUDGETS[options.budget].drawn
        of_garments = PairedExperiment(out, data_options, verbose=2)
        result = garments.run(of_garments, options.budget, seeds=options.seeds)
    experiment.tell(result, out)

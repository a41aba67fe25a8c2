"""Saves a run as a folder to share, and opens one: a folder, one on Hugging Face, or our own.

`find` and the names need no Keras, so that commands which only run a `.tflite` file start fast.
"""

from __future__ import annotations

import json
import os
import pathlib
import shutil
import tempfile
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from absl import logging

from keras_pixdt.choices import HUB, SHIPPED
from keras_pixdt.hub import card

if TYPE_CHECKING:
    from keras_pixdt.training.run import Run

CONFIG, MODEL, CARD = "run.json", "model.keras", "README.md"
SEARCH_EMBEDDER = "search_embedder.keras"
TFLITE, INDEX, EXAMPLE = "converter_dynamic.tflite", "products.index", "example.jpg"
_FILES = (CONFIG, MODEL, CARD, "*embedder.keras", "upscaler_x*.keras", TFLITE, INDEX, EXAMPLE)
_NEEDED = (CONFIG, MODEL, CARD)


def save_preset(
    run: Run | str | os.PathLike[str],
    folder: str | os.PathLike[str],
    *,
    licence: str = card.UNKNOWN,
    scores: Mapping[str, Any] | None = None,
    limits: str = "",
) -> pathlib.Path:
    """Saves a run as a folder to share; `keras_pixdt.hub` lists its files.

    Example:
        ```python
        run = keras_pixdt.load_run("runs/mine")
        keras_pixdt.save_preset(run, "my-preset", licence="cc-by-4.0", scores=run.evaluate())
        keras_pixdt.upload_preset("hf://user/my-preset", "my-preset")
        ```

    Args:
        run: the run, or its folder.
        folder: a new or empty folder.
        licence: of the weights, an identifier of Hugging Face's list such as "apache-2.0".
        scores: what `run.evaluate()` returned, for the model card.
        limits: sentences on what the model does not do well, for the model card.

    Returns:
        The folder.

    Raises:
        ValueError: the folder is not empty, or the licence is no identifier.
        FileNotFoundError: there is no such run.
    """
    from keras_pixdt.training.run import load_run

    card.check_licence(licence)
    folder = pathlib.Path(folder)
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise ValueError(
            f"`folder` must be a new or an empty folder: nothing is replaced. Received: {folder}"
        )
    if isinstance(run, (str, os.PathLike)):
        run = load_run(run)
    folder.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder.parent) as temporary:  # all files, or none
        stage = pathlib.Path(temporary, "preset")
        stage.mkdir()
        options = _without_places(json.loads((run.workdir / CONFIG).read_text("utf-8")))
        (stage / CONFIG).write_text(json.dumps(options, indent=1) + "\n", "utf-8")
        _save_model(run.model, stage / MODEL)
        run.search_embedder().save(stage / SEARCH_EMBEDDER)
        kept = [run.workdir / "embedder.keras", *sorted(run.workdir.glob("upscaler_x*.keras"))]
        exported = run.workdir / "export" / TFLITE
        for path in (*kept, exported if exported.exists() else run.workdir / TFLITE):
            if path.exists():
                shutil.copyfile(path, stage / path.name)
        text = card.write(
            folder.name,
            type(run.model).__name__,
            options,
            {path.name: path.stat().st_size for path in sorted(stage.iterdir())},
            licence=licence,
            scores=scores,
            limits=limits,
        )
        (stage / CARD).write_text(text, "utf-8")
        if folder.exists():
            folder.rmdir()
        stage.rename(folder)
    return folder


def _save_model(model: Any, path: pathlib.Path) -> None:
    """Saves a model without its optimizers, which have twice its size."""
    import keras

    model.save(path)
    keras.models.load_model(path, compile=False).save(path)


def _without_places(value: Any) -> Any:
    """A part of `run.json` in which absolute paths are names, as other machines may see it."""
    if isinstance(value, dict):
        return {key: _without_places(item) for key, item in value.items()}
    if isinstance(value, list):
        return [_without_places(item) for item in value]
    if isinstance(value, str) and os.path.isabs(value):
        return pathlib.Path(value).name
    return value


def load_preset(name: str | os.PathLike[str], checkpoint: str = "final", **data_places: Any) -> Run:
    """Opens a preset, or the folder of a run.

    Example:
        ```python
        run = keras_pixdt.load_preset("flow_64_rendered")
        drawn = run.convert_photo(keras_pixdt.data.read_image("photo.jpg"), size=512)
        ```

    Args:
        name: "flow_64_rendered", which comes with the package; a folder; or "hf://USER/NAME", which
            is downloaded from Hugging Face into the cache, from where it opens offline too.
        checkpoint: see `load_run`; a preset has "final" only.
        **data_places: `data` and `data_options`, where its data are on this machine, if they are;
            see `load_run`.

    Returns:
        The run, with its `model`, `convert_photo` and `search_embedder`. Its data are usually not
        on this machine.

    Raises:
        FileNotFoundError: there is no such folder or repository, or it holds no preset.
        ImportError: "hf://" without the extra `hub`.
        ValueError: see `load_run`.
    """
    from keras_pixdt.training import start
    from keras_pixdt.training.record import kept_preset
    from keras_pixdt.training.run import Run, load_run

    folder = find(name)
    if name != SHIPPED or checkpoint != "final":
        return load_run(folder, checkpoint, **data_places)
    preset, options = kept_preset(folder)
    model = preset.model(options["seed"])
    start.load(model, start.RENDERED)
    # What belongs to the package stays as it is.
    return Run(folder, preset, options["data"], options["seed"], model, keeps=False)


def find(name: str | os.PathLike[str]) -> pathlib.Path:
    """The folder of a preset or a run, or a file; downloaded if it is on Hugging Face.

    Args:
        name: see `load_preset`; any other path is returned as it is.

    Raises:
        FileNotFoundError: Hugging Face has no such repository, or cannot be reached and the cache
            does not have it.
        ImportError: "hf://" without the extra `hub`.
    """
    if name == SHIPPED:
        return pathlib.Path(__file__).with_name(SHIPPED)
    if not str(name).startswith(HUB):
        return pathlib.Path(name)
    hub = _import_hub()
    try:
        return pathlib.Path(
            hub.snapshot_download(_repository(str(name)), allow_patterns=list(_FILES))
        )
    except (OSError, ValueError) as error:  # what it raises, its own and those of the connection
        raise FileNotFoundError(
            f"{name} cannot be opened. It must be hf://USER/NAME, a repository on Hugging Face "
            f"that you may read. Received: {' '.join(str(error).split())}"
        ) from error


def upload_preset(uri: str, folder: str | os.PathLike[str]) -> None:
    """Uploads a preset to Hugging Face, as whoever is logged in there (`hf auth login`).

    Args:
        uri: "hf://USER/NAME"; the repository is made if it is missing.
        folder: what `save_preset` wrote. Only a preset's files are uploaded.

    Raises:
        FileNotFoundError: there is no preset.
        ImportError: the extra `hub` is missing.
        ValueError: `uri` is not hf://USER/NAME, or the folder is a run.
        OSError: the upload fails.
    """
    folder = pathlib.Path(folder)
    for needed in _NEEDED:
        if not (folder / needed).is_file():
            raise FileNotFoundError(
                f"{folder} holds no preset: {needed} is missing. "
                "keras_pixdt.save_preset(run, folder) makes one."
            )
    options = json.loads((folder / CONFIG).read_text("utf-8"))
    if options != _without_places(options):
        raise ValueError(
            f"{folder} is a run, whose {CONFIG} names folders of this machine. Upload what "
            "keras_pixdt.save_preset(run, folder) makes of it."
        )
    if not uri.startswith(HUB):
        raise ValueError(f"`uri` must be hf://USER/NAME. Received: {uri!r}")
    hub = _import_hub()
    repository = hub.create_repo(_repository(uri), exist_ok=True).repo_id
    hub.upload_folder(
        repo_id=repository,
        folder_path=folder,
        allow_patterns=list(_FILES),
        commit_message="Upload a preset of keras-pixdt",
    )
    logging.info("Uploaded %s to %s%s", folder, HUB, repository)


def _repository(uri: str) -> str:
    return uri[len(HUB) :]


def _import_hub() -> Any:
    try:
        import huggingface_hub
    except ImportError as error:
        raise ImportError(
            f"{HUB} needs huggingface_hub, which is not installed. "
            'Get it with: pip install "keras-pixdt[hub]"'
        ) from error
    return huggingface_hub

"""`pixdt demo`: the main job, on data that the project draws itself."""

from __future__ import annotations

import dataclasses
import json
import os
import pathlib
import sys
import time
from typing import Any

import numpy as np
from absl import logging

import export
from keras_pixdt import atomic, convert, data, presets
from keras_pixdt.presets.appearance_flow import DRAWN
from keras_pixdt.report import Report
from keras_pixdt.search import catalogue
from keras_pixdt.training import callbacks, run, trainer

CONFIG = "rendered64_flow"
PRESET = "flow-64"
# Six minutes are too short to see any pair often, so none is augmented.
SETTINGS = ("augment=false", *DRAWN)
INDEX = "products.index"


def run_demo(
    workdir: str | os.PathLike[str], minutes: float = 6.0, num_products: int | None = None
) -> pathlib.Path:
    """Draws and builds the data set, trains, scores, exports, converts, indexes and reports.

    An interrupted demo continues: what has been built or trained is not made again.

    Args:
        workdir: folder for everything: `tfds/`, the run, `export/`, `products.index`,
            `report.html`.
        minutes: length of the training.
        num_products: number of products to draw; by default the number in the builder's config.

    Returns:
        The path of the report.

    Raises:
        ValueError: `workdir` holds a finished demo, or another run.
        BlockingIOError: another process runs a demo there; names it.
    """
    workdir = pathlib.Path(workdir)
    busy = f"{workdir}: another demo writes there ({{}}). Wait for it, or choose another --workdir."
    with atomic.locked(workdir / ".demo.lock", busy):
        return _run_demo(workdir, minutes, num_products)


def _run_demo(workdir: pathlib.Path, minutes: float, num_products: int | None) -> pathlib.Path:
    if (workdir / "report.html").exists():
        raise ValueError(
            f"{workdir} holds a finished demo: open {workdir}/report.html, or remove the folder to "
            "run it again."
        )
    trained = _trained(workdir, num_products)
    clock = _Clock()

    logging.info("1/6 Drawing the data set and building it with TFDS")
    name = build_dataset(workdir / "tfds", num_products)
    clock.lap("draw and build the data set")

    if trained:
        logging.info("2/6 %s was trained before the demo was interrupted", workdir)
        finished = run.load_run(workdir)
        clock.lap("open what was trained")
    else:
        logging.info("2/6 Training for %g minutes; pictures in %s", minutes, workdir / "grids")
        finished = trainer.train(
            presets.get(PRESET).changed(SETTINGS),
            f"tfds:{name}",
            workdir,
            data_options={"data_dir": str(workdir / "tfds")},
            minutes=minutes,
            verbose=1 if sys.stdout.isatty() else 2,
        )
        clock.lap("train")

    logging.info("3/6 Scoring the test split")
    scores = {gallery: finished.evaluate("test", gallery) for gallery in ("split", "all")}
    atomic.write_json(workdir / "evaluation.json", scores)
    clock.lap("score")

    logging.info("4/6 Exporting, and verifying against Keras")
    exported, refused = _export(finished, workdir / "export")
    clock.lap("export and verify")

    logging.info("5/6 Converting photos with the TFLite file")
    _convert_samples(finished, workdir, exported)
    clock.lap("convert samples")

    logging.info("6/6 Indexing the products, for a search by photo")
    catalogue.index_catalogue(
        f"tfds:{name}", finished.search_embedder(), workdir / INDEX, data_dir=str(workdir / "tfds")
    )
    clock.lap("index the products")
    report = _write_report(finished, scores, exported, refused, clock)
    logging.info("Search in a browser:\n%s", _serve_commands(workdir, exported))
    return report


def build_dataset(data_dir: pathlib.Path, num_products: int | None = None) -> str:
    """Builds the rendered LookBook with TFDS into a folder, unless it is there already.

    Args:
        data_dir: where TFDS puts it.
        num_products: products to draw; by default as many as `lookbook/rendered64_flow` has.

    Returns:
        The name under which TFDS loads it.
    """
    import tensorflow_datasets as tfds

    import tfds_lookbook

    tfds.disable_progress_bar()
    builder_class = tfds_lookbook.Builder
    config = CONFIG
    if num_products is not None:
        config = dataclasses.replace(
            builder_class.builder_configs[CONFIG],
            name=_config_name(num_products),
            num_products=num_products,
        )
    builder = builder_class(config=config, data_dir=str(data_dir))
    builder.download_and_prepare()
    return f"{builder.name}/{builder.builder_config.name}"


def _config_name(num_products: int | None) -> str:
    # TFDS keeps one set for each name.
    return CONFIG if num_products is None else f"{CONFIG}_{num_products}"


def _trained(workdir: pathlib.Path, num_products: int | None) -> bool:
    """Whether an interrupted demo has trained; refuses another run."""
    path = workdir / "run.json"
    options = json.loads(path.read_text()) if path.exists() else {}
    if "trained_minutes" not in options:
        return False
    expected = f"tfds:lookbook/{_config_name(num_products)}"
    if options["data"]["data"] != expected:
        raise ValueError(
            f"{workdir} holds another run. Choose another --workdir, or repeat the --products of "
            f"the demo. Its data must be {expected}. Received: {options['data']['data']}"
        )
    return True


class _Clock:
    def __init__(self) -> None:
        self.laps: dict[str, float] = {}
        self._last = time.monotonic()

    def lap(self, name: str) -> None:
        now = time.monotonic()
        self.laps[name] = now - self._last
        logging.info("%s: %.0f s", name, self.laps[name])
        self._last = now


def _export(finished: run.Run, directory: pathlib.Path) -> tuple[dict[str, Any], str]:
    """Exports all variants; float32 alone where one is refused, with the reason.

    Whether 8-bit weights are accurate enough depends on the training. A refusal is reported, and
    the rest of the demo still runs.
    """
    try:
        return export.export_run(finished, directory), ""
    except export.ExportError as error:
        logging.error("%s. Exporting float32 alone", error)
        return export.export_run(finished, directory, ("float32",)), str(error)


def _smallest(exported: dict[str, Any]) -> str:
    """File name of the smallest variant."""
    return min(exported["variants"].values(), key=lambda variant: variant["bytes"])["file"]


def _serve_commands(workdir: pathlib.Path, exported: dict[str, Any]) -> str:
    photo = min((workdir / "photos").glob("*.png"))
    return (
        f"pixdt serve --index {workdir / INDEX} --model {workdir}/export/{_smallest(exported)} "
        f"--example {photo}"
    )


def _convert_samples(finished: run.Run, workdir: pathlib.Path, exported: dict[str, Any]) -> None:
    """Writes test photos as files and converts them as a user would: with the TFLite file."""
    photos = workdir / "photos"
    photos.mkdir(exist_ok=True)
    test = finished.pairs()["test"]
    for row in np.unique(test.target_index, return_index=True)[1][:8]:
        product = test.product_id[test.target_index[row]]
        data.write_image(photos / f"product_{product:06d}.png", test.sources[row])
    tflite = export.load_tflite(workdir / "export" / _smallest(exported))
    convert.convert_photos(
        tflite, [photos], workdir / "converted", tflite.image_size, overwrite=True
    )


def _write_report(
    finished: run.Run,
    scores: dict[str, dict[str, Any]],
    exported: dict[str, Any],
    refused: str,
    clock: _Clock,
) -> pathlib.Path:
    workdir, pairs = finished.workdir, finished.pairs()
    trained_minutes = json.loads((workdir / "run.json").read_text())["trained_minutes"]
    report = Report(
        "keras_pixdt: from a photo of a dressed person to the product image",
        f"Appearance flow, trained for {trained_minutes:.1f} minutes on "
        f"{len(pairs['train']):,} rendered persons who wear {len(pairs['train'].targets):,} "
        "products, from pretrained weights that come with the package. All pictures and scores "
        f"below are of the {len(pairs['test'].targets)} products of the test split, which are not "
        "among these.",
    )
    _add_pictures(report, finished)

    report.heading("Scores on the test split")
    every = scores["split"] | scores["all"]
    names = [name for name, score in every.items() if isinstance(score, int | float)]
    report.table(
        ["", "test products as gallery", "all products as gallery"],
        [[name, *(scores[gallery].get(name, "") for gallery in scores)] for name in names],
    )
    report.paragraph(
        "RMSE is on [0, 1]; SSIM in gray and as mean of the channels (c_ssim); recall@K is the "
        "share of drawn images whose product is among the K nearest of the gallery, by an "
        "embedder trained on the training products; photo_recall and photo_median_rank are of the "
        "search by the photo itself; chance is what a random order reaches."
    )

    report.heading("Files for the phone")
    measured = ("max_difference_levels", "psnr_mean_db", "one_thread_ms", "two_threads_ms")
    report.table(
        ["file", "MB", "largest difference (of 255)", "PSNR, dB", "ms, 1 thread", "ms, 2 threads"],
        [
            [variant["file"], variant["bytes"] / 1e6, *(variant[name] for name in measured)]
            for variant in exported["variants"].values()
        ],
    )
    report.paragraph(
        f"Compared with Keras on {exported['verified_images']} photos of the test split; "
        f"Keras predict took {exported['keras_predict_ms']:.1f} ms an image in the same process."
    )
    if refused:
        report.paragraph(f"Refused, and not written: {refused}")

    report.heading("Your own photos")
    report.commands(
        f"pixdt convert photo.jpg --model {workdir} --size 512 --out large\n"
        f"pixdt convert photo.jpg --model {workdir}/export/{_smallest(exported)} --out products"
    )
    report.paragraph(
        "A network that has only seen rendered persons does poorly on photos of real ones. For "
        "those, train on LookBook, or on any folder with its file names. Training then starts "
        "from pretrained weights."
    )
    report.commands(
        "pixdt train --data LookBook/ --preset flow-64 --minutes 10 --workdir runs/mine"
    )

    report.heading("Search by photo")
    report.paragraph(
        "A page that draws the product image and finds the ten nearest products, all of it in the "
        "browser:"
    )
    report.commands(_serve_commands(workdir, exported))

    report.heading("Time")
    report.table(["step", "seconds"], [[name, float(s)] for name, s in clock.laps.items()])
    return report.write(workdir / "report.html")


def _add_pictures(report: Report, finished: run.Run) -> None:
    """Adds the network's drawings of unseen photos, and the curves of its training."""
    workdir, history, test = finished.workdir, finished.history(), finished.pairs()["test"]
    report.heading("Photo | drawn by the network | the product")
    rows = np.linspace(0, len(test) - 1, min(48, len(test))).astype(int)
    source = data.to_float(test.sources[rows])
    target = data.to_float(test.targets[test.target_index[rows]])
    picture = workdir / "test_grid.png"
    callbacks.write_grid(picture, source, finished.convert(source), target)
    report.picture(picture, "Unseen products of the test split, four triples a row")

    report.heading("Training")
    losses = {k.removesuffix("_loss"): v for k, v in history.items() if k.endswith("_loss")}
    report.curves(
        {
            "loss of the converter": {"converter": losses.pop("converter")},
            "losses of the discriminators": losses,
            "validation RMSE (lower is better)": {"rmse": history["val_rmse"]},
            "validation SSIM (higher is better)": {
                name: history[f"val_{name}"] for name in ("ssim", "c_ssim")
            },
        }
    )
    grids = sorted((workdir / "grids").glob("*.png"))
    for path in grids[:1] + grids[1:][-1:]:
        epoch = int(path.stem.removeprefix("epoch_"))
        report.picture(path, f"Validation images after epoch {epoch}")

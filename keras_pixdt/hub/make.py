"""Makes the preset `flow_64_rendered` that comes with the package.

    python -m keras_pixdt.hub.make

It takes the weights of `training/start.npz` (see `keras_pixdt.training.make_start`), draws products
of another seed than these learned from, and trains the search embedder on nine tenths of them. The
others are scored and indexed. On one machine, the same versions write the same bytes.
"""

import argparse
import importlib.metadata
import pathlib
import shutil
import tempfile
import zipfile
from typing import Any

import keras
import numpy as np
from absl import logging
from PIL import Image

import export
from keras_pixdt import presets
from keras_pixdt.atomic import write_json
from keras_pixdt.choices import SHIPPED
from keras_pixdt.drawn import rendered
from keras_pixdt.hub import card, preset
from keras_pixdt.presets.appearance_flow import DRAWN
from keras_pixdt.search import ProductIndex
from keras_pixdt.search.ingest import THUMBNAIL_SIZE_PX
from keras_pixdt.training import start
from keras_pixdt.training.run import Run

SEED = 2  # of the products; make_start has 1, all other sets have 0
LICENCE = "apache-2.0"
MOST_BYTES = 3_000_000
_SETTINGS = ("start=null", *DRAWN)  # of the weights, see make_start
_MINUTES = 43.0  # that they were trained, see docs/measured.md
_EXAMPLE_PX = 512
_SHOWN = 120  # products in the index, as many as fit
_LIMITS = (
    "These are drawn persons. The weights learned from 3,600 drawn products. The scores are of "
    "other drawings, the 95 test products of the 1,600 that `run.json` names; 9 of the 95 have a "
    "near-duplicate among the 3,600. For the scores, products are compared by an embedder that "
    "learned from the other products of the 1,600; it is not the one in this folder. Photos of "
    "real persons come out worse: on 114 photos of the street RMSE is 0.305, and the right product "
    "is among the ten nearest of 595 for 19% of them, and for 15% in a search by the photo itself. "
    "An arm, hair or a bag in front of the garment is copied too. For photos of your own, train on "
    "pairs of them: `pixdt train --data YOUR_PAIRS/ --workdir runs/mine` starts from these "
    "weights, which are in keras_pixdt/training/start.npz instead of a model.keras."
)


def main() -> None:
    """Replaces the folder in the package."""
    parser = argparse.ArgumentParser(description="Makes the preset that comes with the package.")
    parser.add_argument("--products", type=int, default=1600, help="to draw")
    parser.add_argument("--out", default=preset.find(SHIPPED), help="its folder")
    arguments = parser.parse_args()
    logging.set_verbosity(logging.INFO)
    with tempfile.TemporaryDirectory() as scratch:
        made = make(pathlib.Path(scratch), arguments.products)
        size = sum(path.stat().st_size for path in made.iterdir())
        if size > MOST_BYTES:
            raise ValueError(
                f"The preset must have at most {MOST_BYTES:,} bytes. Received: {size:,}"
            )
        shutil.rmtree(arguments.out, ignore_errors=True)
        shutil.copytree(made, arguments.out)


def make(scratch: pathlib.Path, num_products: int) -> pathlib.Path:
    """Makes the preset in a folder within `scratch`, and returns that folder."""
    folder = scratch / SHIPPED
    folder.mkdir()
    row = presets.get("flow-64").changed(_SETTINGS)
    data = {"data": "rendered", "num_products": num_products, "seed": SEED}
    versions = {name: importlib.metadata.version(name) for name in ("keras-pixdt", "keras")}
    options = {
        "preset": row.options(),
        "data": data,
        "seed": 0,
        "epochs": None,
        "minutes": _MINUTES,
        "versions": versions,
        "trained_minutes": _MINUTES,
    }
    write_json(folder / preset.CONFIG, options)
    model = row.model(0)
    start.load(model, start.RENDERED)
    run = Run(scratch, row, data, 0, model)

    embedder = run.search_embedder()
    embedder.set_weights([half_precise(weight) for weight in embedder.get_weights()])
    embedder.save(scratch / preset.SEARCH_EMBEDDER)
    repack(scratch / preset.SEARCH_EMBEDDER, folder / preset.SEARCH_EMBEDDER)
    export.export_run(run, scratch / "export", ("dynamic",), licence="Apache-2.0")
    shutil.copyfile(scratch / "export" / preset.TFLITE, folder / preset.TFLITE)
    scores = run.evaluate("test", "all")

    splits = run.pairs()
    held_out = [int(n) for name in ("test", "validation") for n in splits[name].product_id]
    products = [rendered.sample_product(number, SEED) for number in held_out[:_SHOWN]]
    write_products(folder, products, embedder)
    sizes = {path.name: path.stat().st_size for path in sorted(folder.iterdir())}
    kind = type(model).__name__
    text = card.write(SHIPPED, kind, options, sizes, licence=LICENCE, scores=scores, limits=_LIMITS)
    (folder / preset.CARD).write_text(text, "utf-8")
    return folder


def half_precise(weight: np.ndarray) -> np.ndarray:
    """The values that half precision has, in the weight's own precision: they compress by half."""
    return weight.astype(np.float16).astype(weight.dtype)


def repack(source: pathlib.Path, target: pathlib.Path) -> None:
    """Compresses a `.keras` file, which Keras only packs, and leaves the time out."""
    with zipfile.ZipFile(source) as kept, zipfile.ZipFile(target, "w") as packed:
        for name in sorted(kept.namelist()):
            content = kept.read(name)
            if name == "metadata.json":
                content = f'{{"keras_version": "{keras.__version__}"}}'.encode()
            packed.writestr(zipfile.ZipInfo(name), content, zipfile.ZIP_DEFLATED, 9)


def write_products(folder: pathlib.Path, products: list[Any], embedder: keras.Model) -> None:
    """Indexes products, under names that say what they are, and draws a person who wears one."""
    index = ProductIndex.build(
        [rendered.draw_product(product, THUMBNAIL_SIZE_PX) for product in products],
        [f"{p.color} {p.pattern} {p.category} {p.product_id}" for p in products],
        embedder,
    )
    index.save(folder / preset.INDEX)
    worn = next(p for p in products if p.category == "dress" and p.pattern != "plain")
    person = rendered.draw_person(worn, 0, _EXAMPLE_PX)
    Image.fromarray(person).save(folder / preset.EXAMPLE, quality=85)


if __name__ == "__main__":
    main()

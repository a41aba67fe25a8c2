"""Writes files of every kind that the package saves, and `golden.npz`: what is computed of them.

What was saved once must load for good, and compute the same. These files were written at commit
dbd0318, by the code of that commit; writing them again with later code would prove nothing.
A kind that is new gets a file beside these, and its line in `tests/saved_files_test.py`.
"""

import json
import os
import pathlib
import shutil
import tempfile
import zipfile

import keras
import numpy as np

import export
import keras_pixdt
from keras_pixdt import commands, data, search
from keras_pixdt.drawn import rendered
from keras_pixdt.models.discogan import DiscoGAN
from keras_pixdt.models.pix2pix import Pix2Pix
from keras_pixdt.models.pixel_dtgan import PixelDTGAN
from keras_pixdt.models.point_discogan import PointDiscoGAN
from keras_pixdt.models.residual_pixel_dtgan import ResidualPixelDTGAN
from keras_pixdt.models.rough_to_detail import RoughToDetailGAN
from keras_pixdt.models.super_resolution import SuperResolution
from tests.samples import narrow_embedders

HERE = pathlib.Path(__file__).parent
SIZE = 16
PRODUCTS = 5  # in the index
OPTIONS = [
    "--image-size", "16", "--width", "0.015625", "--batch-size", "8", "--epochs", "1",
]  # fmt: skip


def models() -> dict[str, keras.Model]:
    """A small model of each class."""
    return {
        "pixel_dtgan": PixelDTGAN(
            SIZE, 1 / 64, selection="sample", converter_objective="saturating", seed=0
        ),
        "residual_pixel_dtgan": ResidualPixelDTGAN(2 * SIZE, 1 / 64),
        "rough_to_detail": RoughToDetailGAN(SIZE, stages=2, width=1 / 32, seed=0),
        "pix2pix": Pix2Pix(SIZE, 1 / 64, seed=0),
        "discogan": DiscoGAN(SIZE, 1 / 32),
        "point_discogan": PointDiscoGAN(8),
        "super_resolution": SuperResolution(SIZE, width=1 / 16, seed=0),
    }


def uneven(network: keras.Model, rng: np.random.Generator) -> None:
    """Gives no weight and no statistic a value where it has no effect."""
    for variable in network.trainable_variables:
        variable.assign(variable + rng.normal(0, 0.1, variable.shape))


def compress(source: pathlib.Path, target: pathlib.Path) -> None:
    """Writes the members of a .keras file, which are stored as they are, deflated."""
    with zipfile.ZipFile(source) as plain:
        with zipfile.ZipFile(target, "w", zipfile.ZIP_DEFLATED, compresslevel=9) as deflated:
            for member in plain.infolist():
                deflated.writestr(member.filename, plain.read(member))


def write_models(inputs: dict[str, np.ndarray]) -> dict[str, np.ndarray]:
    """Writes each after one step of training; returns what it then draws."""
    drawn = {}
    for name, model in models().items():
        x = inputs["points" if name == "point_discogan" else "images"]
        if name == "residual_pixel_dtgan":  # which takes no smaller images
            x = x.repeat(2, axis=1).repeat(2, axis=2)
        if name == "super_resolution":
            uneven(model, np.random.default_rng(1))
        else:
            model.compile({player: keras.optimizers.Adam(1e-2) for player in model.players})
            batch = {"source": x, "target": x[::-1], "irrelevant": x}
            if name != "pixel_dtgan":
                del batch["irrelevant"]
            if name == "rough_to_detail":
                model.set_stage(2, 1.0)
            model.fit(batch, batch_size=len(x), epochs=1, shuffle=False, verbose=0)
            uneven(model.converter, np.random.default_rng(1))
        with tempfile.TemporaryDirectory() as folder:
            model.save(f"{folder}/{name}.keras")
            compress(pathlib.Path(folder) / f"{name}.keras", HERE / f"{name}.keras")
        drawn[name] = np.asarray(model.predict(x[:1], verbose=0))
    return drawn


def write_run(photos: np.ndarray) -> dict[str, np.ndarray]:
    """Writes a run, its TFLite file and an index; returns what they make of photos."""
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)
        rendered.write_lookbook(pathlib.Path("lookbook"), 20, image_size=32, processes=1)
        arguments = [
            "train",
            "--preset",
            "demo",
            "--data",
            "lookbook",
            "--workdir",
            "run",
            *OPTIONS,
        ]
        assert commands.main(arguments) == 0
        run = keras_pixdt.load_run("run")
        with narrow_embedders():
            run.embedder()
            embedder = run.search_embedder()
        export.export_run(run, "export", ["float32"])
        products = run.pairs()["train"].targets[:PRODUCTS]
        index = search.ProductIndex.build(products, [f"p{i}" for i in range(PRODUCTS)], embedder)
        index.save("catalogue.index")
        (HERE / "run").mkdir(exist_ok=True)
        shutil.copy("run/history.json", HERE / "run")
        options = json.loads(pathlib.Path("run/run.json").read_text("utf-8"))
        options["data"]["data"] = "lookbook"  # which is gone
        (HERE / "run" / "run.json").write_text(json.dumps(options, indent=1), "utf-8")
        for name in ("model.keras", "search_embedder.keras"):
            compress(pathlib.Path("run") / name, HERE / "run" / name)
        shutil.copy("export/converter_float32.tflite", HERE)
        shutil.copy("catalogue.index", HERE)
        convert = export.load_tflite("export/converter_float32.tflite")
        product = convert(photos)
        vectors = search.embed(embedder, products)
        ids, scores = index.search(vectors[0], k=PRODUCTS)
        return {
            "run": run.convert(data.to_float(photos)),
            "tflite": product,
            "tflite_embed": convert.embed(product),
            "products": products,
            "vectors": vectors,
            "ids": np.array(ids),
            "scores": np.asarray(scores),
        }


def main() -> None:
    """Writes all files."""
    keras.utils.set_random_seed(0)
    rng = np.random.default_rng(0)
    inputs = {
        "images": rng.uniform(-1, 1, (4, SIZE, SIZE, 3)).astype("float32"),
        "points": rng.normal(size=(4, 2)).astype("float32"),
        "photos": rng.integers(0, 256, (2, SIZE, SIZE, 3), dtype="uint8"),
    }
    golden = {**write_models(inputs), **write_run(inputs["photos"])}
    np.savez_compressed(HERE / "golden.npz", **inputs, **golden)


if __name__ == "__main__":
    main()

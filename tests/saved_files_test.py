"""What was saved once loads for good, and computes the same: `golden/saved/make_golden.py`."""

import pathlib
import shutil

import keras
import numpy as np
import pytest

import keras_pixdt
from keras_pixdt import data, search

pytestmark = pytest.mark.grappler
SAVED = pathlib.Path(__file__).parent / "golden" / "saved"
MODELS = sorted(path.stem for path in SAVED.glob("*.keras"))
ON_TENSORFLOW = pytest.mark.skipif(
    keras.backend.backend() != "tensorflow", reason="export needs KERAS_BACKEND=tensorflow"
)


@pytest.fixture(scope="module")
def golden():
    with np.load(SAVED / "golden.npz") as file:
        return dict(file)


def test_there_is_a_file_of_every_model():
    assert MODELS == [
        "discogan", "pix2pix", "pixel_dtgan", "point_discogan", "residual_pixel_dtgan",
        "rough_to_detail", "super_resolution",
    ]  # fmt: skip


@pytest.mark.parametrize("name", MODELS)
def test_a_model_draws_what_it_drew_and_goes_on_learning(name, golden):
    model = keras.models.load_model(SAVED / f"{name}.keras")
    x = golden["points" if name == "point_discogan" else "images"]
    if name == "residual_pixel_dtgan":
        x = x.repeat(2, axis=1).repeat(2, axis=2)
    assert golden[name].std() > 0.01
    np.testing.assert_allclose(model.predict(x[:1], verbose=0), golden[name], rtol=0, atol=1e-4)
    if name == "super_resolution":
        return
    assert int(model.optimizer.iterations) == 1
    model.run_eagerly = True
    batch = {"source": x, "target": x[::-1], "irrelevant": x}
    if name != "pixel_dtgan":
        del batch["irrelevant"]
    logs = model.fit(batch, batch_size=len(x), verbose=0).history
    assert all(np.isfinite(values).all() for values in logs.values())
    assert int(model.optimizer.iterations) == 2


def test_a_run_converts_as_it_did(golden, tmp_path):
    run = keras_pixdt.load_run(shutil.copytree(SAVED / "run", tmp_path / "run"))
    found = run.convert(data.to_float(golden["photos"]))
    np.testing.assert_allclose(found, golden["run"], rtol=0, atol=1e-4)
    assert set(run.history()) >= {"converter_loss", "val_rmse"}
    vectors = search.embed(run.search_embedder(), golden["products"])
    np.testing.assert_allclose(vectors, golden["vectors"], rtol=0, atol=1e-4)


def test_an_index_finds_what_it_found(golden, tmp_path):
    run = keras_pixdt.load_run(shutil.copytree(SAVED / "run", tmp_path / "run"))
    index = search.ProductIndex.open(SAVED / "catalogue.index", run.search_embedder())
    ids, scores = index.search(golden["vectors"][0], k=len(golden["ids"]))
    assert list(ids) == list(golden["ids"])
    np.testing.assert_allclose(scores, golden["scores"], rtol=0, atol=1e-4)


@ON_TENSORFLOW
def test_a_tflite_file_converts_and_embeds_as_it_did(golden):
    import export

    convert = export.load_tflite(SAVED / "converter_float32.tflite")
    product = convert(golden["photos"])
    assert np.abs(product.astype(int) - golden["tflite"]).max() <= 1
    found = convert.embed(golden["tflite"])
    np.testing.assert_allclose(found, golden["tflite_embed"], rtol=0, atol=1e-4)

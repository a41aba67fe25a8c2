"""Files of a model that moves the photo's own pixels."""

import json
import subprocess
import sys
import types

import keras
import numpy as np
import pytest
from PIL import Image

tf = pytest.importorskip("tensorflow")
if keras.backend.backend() != "tensorflow":
    pytest.skip("export needs KERAS_BACKEND=tensorflow", allow_module_level=True)

from ai_edge_litert import schema_py_generated as schema  # noqa: E402

import export  # noqa: E402
from export import exporter, runtime, verification  # noqa: E402
from keras_pixdt import data, presets  # noqa: E402
from keras_pixdt.data.images import to_float, to_uint8  # noqa: E402
from keras_pixdt.data.pairs import DomainSet  # noqa: E402
from tests.export.samples import CARD, appearance_flow, photos  # noqa: E402

SIZE, PHOTO = 16, 32
VARIANTS = ["float32", "float16", "dynamic"]
MAPS = {"flow": 2, "mask": 1, "gate": 1, "paint": 3}


@pytest.fixture(scope="module")
def model():
    return appearance_flow()


@pytest.fixture(scope="module")
def embedder():
    from keras_pixdt.search import ProductEmbedder

    return ProductEmbedder(image_size=SIZE, width=0.25, dimensions=8, seed=3)


def write(model, directory, variants, **options):
    given = {"images": photos(5, PHOTO), "flow": model.finder, "card": CARD, **options}
    return export.export_converter(model.converter, directory, variants=variants, **given)


@pytest.fixture(scope="module")
def exported(model, embedder, tmp_path_factory):
    directory = tmp_path_factory.mktemp("flow")
    return directory, write(model, directory, VARIANTS, embedder=embedder)


def file(exported, variant="float32"):
    return exported[0] / f"converter_{variant}.tflite"


def photo_of(height, width, seed=7):
    """As a camera has it: without a step from one pixel to the next."""
    (small,) = photos(1, PHOTO, seed)
    return np.asarray(Image.fromarray(small).resize((width, height), Image.Resampling.BICUBIC))


def maps_of(model, images):
    """What Keras finds, without the moved photo."""
    return np.asarray(model.finder(to_float(images), training=False))[..., :7]


def drawn_by_keras(model, photo, size, how="letterbox"):
    square = data.resize(photo, model.photo_side(size, photo.shape[:2]), how)
    return to_uint8(model.draw_at(to_float(square[None]), size))[0].astype(int)


def parts_of(maps):
    return dict(zip(MAPS, np.split(maps, [2, 3, 4], axis=-1), strict=True))


@pytest.mark.parametrize("variant", VARIANTS)
def test_files_have_the_signature(exported, variant):
    interpreter = export.load_tflite(file(exported, variant)).interpreter
    assert interpreter.get_signature_list() == {
        "convert": {"inputs": ["image"], "outputs": ["image"]},
        "embed": {"inputs": ["image"], "outputs": ["embedding"]},
        "flow": {"inputs": ["image"], "outputs": sorted(MAPS)},
    }
    run = interpreter.get_signature_runner("flow")
    image = run.get_input_details()["image"]
    assert image["dtype"] == np.uint8
    assert image["shape_signature"].tolist() == [1, PHOTO, PHOTO, 3]
    for name, of in run.get_output_details().items():
        assert of["dtype"] == np.float32
        assert of["shape_signature"].tolist() == [1, SIZE, SIZE, MAPS[name]]


@pytest.mark.parametrize(
    ("variant", "atol"), [("float32", 1e-4), ("float16", 0.03), ("dynamic", 0.2)]
)
def test_files_find_what_keras_finds(exported, model, variant, atol):
    images = photos(4, PHOTO, seed=5)
    expected = maps_of(model, images)
    convert = export.load_tflite(file(exported, variant))
    found = convert.run("flow", images)
    assert found.dtype == np.float32 and found.shape == expected.shape
    np.testing.assert_allclose(found, expected, atol=atol)
    np.testing.assert_array_equal(convert.run("flow", images[1]), found[1])
    assert all(of.std() > 0.05 for of in parts_of(expected).values())


def test_the_saved_model_finds_what_keras_finds(exported, model):
    serve = tf.saved_model.load(str(exported[0] / "saved_model")).signatures["flow"]
    images = photos(1, PHOTO, seed=5)
    found = serve(image=tf.constant(images))
    for name, expected in parts_of(maps_of(model, images)).items():
        assert found[name].dtype == tf.float32
        np.testing.assert_allclose(found[name], expected, atol=1e-4)


@pytest.mark.parametrize("size", [8, SIZE, 40, 200])
@pytest.mark.parametrize("shape", [(90, 60), (PHOTO, PHOTO), (300, 500)])
def test_drawings_of_any_size_are_those_of_keras(exported, model, shape, size):
    photo = photo_of(*shape)
    expected = drawn_by_keras(model, photo, size)
    drawn = export.load_tflite(file(exported)).draw_at(photo, size)
    assert drawn.dtype == np.uint8 and drawn.shape == (size, size, 3)
    assert np.abs(drawn - expected).max() <= 2
    assert expected.std() > 20
    drawn = export.load_tflite(file(exported, "dynamic")).draw_at(photo, size)
    assert np.abs(drawn - expected).mean() < 8


def test_each_map_counts(exported):
    """Else the other tests would not see a wrong one."""
    photo = photo_of(64, 64)
    convert = export.load_tflite(file(exported))
    maps = convert.run("flow", data.resize(photo, PHOTO))
    drawn = runtime.compose(photo, maps, 40)
    for start, end in ((0, 1), (1, 2), (2, 3), (3, 4), (4, 7)):
        changed = maps.copy()
        changed[..., start:end] = changed[..., start:end].mean((0, 1))
        assert 127.5 * np.abs(runtime.compose(photo, changed, 40) - drawn).max() > 1


def test_photos_are_made_square_and_masks_sharp_as_the_file_says(tmp_path):
    model = appearance_flow(mask_sharpness=3.0)
    card = export.ModelCard(resize="stretch")
    write(model, tmp_path, ["float32"], card=card, images=photos(2, PHOTO))
    photo = photo_of(90, 60)
    drawn = export.load_tflite(tmp_path / "converter_float32.tflite").draw_at(photo, 24)
    assert np.abs(drawn - drawn_by_keras(model, photo, 24, "stretch")).max() <= 2
    assert np.abs(drawn - drawn_by_keras(model, photo, 24)).max() > 20
    soft = drawn_by_keras(appearance_flow(), photo, 24, "stretch")
    assert np.abs(drawn - soft).max() > 20


def test_weights_are_stored_once(exported):
    for variant in VARIANTS:
        packed = schema.Model.GetRootAs(file(exported, variant).read_bytes(), 0)
        buffers = [packed.Buffers(i) for i in range(packed.BuffersLength())]
        held = [b.DataAsNumpy().tobytes() for b in buffers if not b.DataIsNone()]
        assert len(set(held)) == len(held) > 20


def test_the_same_weights_give_the_same_bytes(exported, embedder, tmp_path):
    again = appearance_flow(dtype="mixed_bfloat16")  # and Keras numbers its layers on
    write(again, tmp_path, ["dynamic"], embedder=embedder, images=photos(2, PHOTO, seed=9))
    content = (tmp_path / "converter_dynamic.tflite").read_bytes()
    assert content == file(exported, "dynamic").read_bytes()


def test_metadata_say_what_to_do_with_the_maps(exported):
    signatures = export.read_metadata(file(exported))["signatures"]
    assert list(signatures) == ["convert", "embed", "flow"]
    of = signatures["flow"]
    assert "Enlarge them bilinearly" in of["description"]
    assert "mask x (gate x moved photo + (1 - gate) x paint)" in of["description"]
    (image,) = of["inputs"]
    assert (image["name"], image["mean"], image["std"]) == ("image", [0.0], [1.0])
    texts = {tensor["name"]: tensor["description"] for tensor in of["outputs"]}
    assert set(texts) == set(MAPS)
    for name in ("mask", "gate"):
        assert texts[name].startswith("Logits, ")
        assert "The sigmoid comes after enlarging: edges stay sharp" in texts[name]
    assert "in [-1, 1] from the outer edge of the first pixel" in texts["flow"]
    assert "The tanh, to [-1, 1], comes after enlarging" in texts["paint"]
    # In the order of the graph, as the format asks for.
    packed = schema.Model.GetRootAs(file(exported).read_bytes(), 0)
    shapes = [
        packed.Subgraphs(2).Tensors(packed.Subgraphs(2).Outputs(i)).Shape(3) for i in range(4)
    ]
    assert [MAPS[name] for name in texts] == shapes


def test_the_report_tells_of_the_flow(exported, model):
    directory, report = exported
    assert json.loads((directory / "export.json").read_text()) == report
    assert report["flow"]["input"]["shape"] == [1, PHOTO, PHOTO, 3]
    assert report["flow"]["outputs"] == {n: [1, SIZE, SIZE, c] for n, c in MAPS.items()}
    assert report["flow"]["verified_images"] == 5
    assert report["flow"]["keras_predict_ms"] > 0
    for variant in VARIANTS:
        whole = report["variants"][variant]
        measured = whole["flow"]
        assert measured["floor"] in ("full", "reduced") and measured["one_thread_ms"] > 0
        assert set(measured["max_difference_maps"]) == set(MAPS)
        assert all(0 <= x < 0.5 for x in measured["max_difference_maps"].values())
        assert measured["psnr_min_db"] > 25 and "embedding_cosine_min" not in measured
        assert measured["max_difference_levels"] == pytest.approx(
            whole["max_difference_levels"], abs=0.5
        )
    exact = report["variants"]["float32"]["flow"]
    assert exact["floor"] == "full" and exact["max_difference_levels"] < 0.0128
    assert max(exact["max_difference_maps"].values()) < 1e-4
    lines = export.format_report(report).splitlines()
    assert [line.split("  ")[0] for line in lines[1:7]] == [
        name for variant in VARIANTS for name in (variant, f"{variant}, flow")
    ]


def test_drawing_needs_no_training_framework(exported):
    code = (
        "import sys, numpy, export\n"
        f"convert = export.load_tflite({str(file(exported))!r})\n"
        "photo = numpy.zeros((50, 40, 3), numpy.uint8)\n"
        "assert convert.draw_at(photo, 24).shape == (24, 24, 3)\n"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


def test_names_the_wrong_argument_of_a_drawing(exported):
    convert = export.load_tflite(file(exported))
    assert convert.scalable and convert.photo_side(16, (70, 64)) == 64
    assert convert.photo_side(4, (70, 64)) == PHOTO
    with pytest.raises(ValueError, match="`size` must be the side.*Received: 0"):
        convert.draw_at(photo_of(40, 40), 0)
    with pytest.raises(ValueError, match="must be uint8 of shape.*float32"):
        convert.draw_at(to_float(photo_of(40, 40)), 24)


def test_a_file_without_the_signature_says_so(model, tmp_path):
    write(model, tmp_path, ["dynamic"], flow=None, images=photos(2, PHOTO))
    convert = export.load_tflite(tmp_path / "converter_dynamic.tflite")
    assert not convert.scalable
    with pytest.raises(ValueError, match="has no signature 'flow', so it draws 16 px only"):
        convert.draw_at(photo_of(40, 40), 24)


def test_refuses_maps_that_are_composed_to_something_else(exported, model, tmp_path):
    draws, finds = model.converter, appearance_flow(seed=1)
    other = types.SimpleNamespace(converter=draws, finder=finds.finder)
    with pytest.raises(export.ExportError, match=r"saved_model \('flow'\) differs from Keras by"):
        write(other, tmp_path / "o", ["float32"])
    assert not list(tmp_path.iterdir())
    images = photos(5, PHOTO)
    drawn = verification.compute_reference(finds.converter, images)
    reference = verification.with_maps(drawn, finds.finder, images)
    for variant in ("float32", "dynamic"):
        arguments = file(exported, variant), variant, draws.count_params(), images
        with pytest.raises(export.ExportError, match=rf"{variant}.tflite \('flow'\) does not draw"):
            verification.verify_tflite(*arguments, reference, "flow")
        own = verification.compute_reference(draws, images)
        own = verification.with_maps(own, model.finder, images)
        assert verification.verify_tflite(*arguments, own, "flow")["max_difference_maps"]


def test_names_a_network_that_finds_no_flow(model, tmp_path):
    with pytest.raises(
        ValueError, match=r"flow must be `finder`.*Received: .*32, 32, 3\) to .*3\)"
    ):
        write(model, tmp_path / "o", ["dynamic"], flow=model.converter)
    still = appearance_flow(moves=False)
    with pytest.raises(ValueError, match="without a layer that moves pixels"):
        write(still, tmp_path / "o", ["dynamic"])
    with pytest.raises(ValueError, match="'int8' cannot hold a flow"):
        write(model, tmp_path / "o", ["int8"])
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("moves", [True, False])
def test_runs_are_exported_with_their_flow(embedder, moves, monkeypatch):
    given = {}
    monkeypatch.setattr(exporter, "export_converter", lambda *_, **options: given.update(options))
    domain = DomainSet(photos(2, PHOTO), photos(2, SIZE))
    model = appearance_flow(moves=moves)
    run = types.SimpleNamespace(
        model=model,
        preset=presets.get("flow-64"),
        data={"data": "rendered"},
        domains=lambda: {"train": domain, "test": domain},
        search_embedder=lambda: embedder,
    )
    exporter.export_run(run, "out")
    assert given["flow"] is (model.finder if moves else None)


@pytest.mark.parametrize("how", ["letterbox", "stretch"])
@pytest.mark.parametrize("shape", [(24, 18, 3), (16, 40, 3), (16, 16, 3)])
def test_embedders_take_rectangles_as_in_keras(shape, how):
    from export import conversion
    from keras_pixdt.search import ProductEmbedder

    embedder = ProductEmbedder(image_size=SIZE, width=0.25, dimensions=8, seed=3, resize=how)
    image = np.random.default_rng(0).integers(0, 256, (1, *shape), np.uint8)
    found = conversion.embed_function(embedder, shape)(tf.constant(image))["embedding"]
    np.testing.assert_allclose(found, embedder.predict_on_batch(to_float(image)), atol=1e-5)
    if how == "letterbox":
        square = to_float(data.images.as_square(image[0])[None])
        np.testing.assert_allclose(found, embedder.predict_on_batch(square), atol=1e-5)

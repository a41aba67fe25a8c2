import dataclasses
import hashlib
import json
import os
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")
if keras.backend.backend() != "tensorflow":
    pytest.skip("export needs KERAS_BACKEND=tensorflow", allow_module_level=True)

from ai_edge_litert import schema_py_generated as schema  # noqa: E402
from ai_edge_litert.interpreter import Interpreter  # noqa: E402

import export  # noqa: E402
from export import conversion, installation, joining, performance, verification  # noqa: E402
from export.verification import Reference  # noqa: E402
from keras_pixdt.data.images import to_float, to_uint8  # noqa: E402
from tests.export.samples import (  # noqa: E402
    CARD,
    discogan_converters,
    photos,
    pixel_dtgan_converter,
)

FILES = [
    "converter_dynamic.tflite",
    "converter_float16.tflite",
    "converter_float32.tflite",
    "converter_int8.tflite",
    "export.json",
    "saved_model",
]
VARIANTS = ["float32", "float16", "dynamic", "int8"]
BOTH_WAYS = ["float32", "int8"]


def tiny(layer=None, size=16):
    """A converter of one convolution, then `layer`."""
    image = keras.Input((size, size, 3))
    x = keras.layers.Conv2D(3, 3, padding="same", activation="tanh")(image)
    return keras.Model(image, layer(x) if layer else x)


def late_resizing():
    image = keras.Input((16, 16, 3))
    x = keras.layers.Resizing(8, 8, name="resize")(keras.layers.ReLU()(image))
    return keras.Model(image, keras.layers.Flatten()(x))


def snapshot(directory):
    return {
        path.relative_to(directory): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


def test_report_describes_the_files(exported, converter, embedder):
    directory, report = exported
    assert sorted(path.name for path in directory.iterdir()) == FILES
    assert [path.name for path in directory.parent.iterdir()] == ["files"]  # no temporary folder
    assert json.loads((directory / "export.json").read_text()) == report
    assert report["parameters"] == converter.count_params()
    assert report["verified_images"] == 8
    for variant in report["variants"].values():
        content = (directory / variant["file"]).read_bytes()
        assert variant["bytes"] == len(content)
        assert variant["sha256"] == hashlib.sha256(content).hexdigest()
        ratio = report["keras_predict_ms"] / variant["one_thread_ms"]
        assert variant["one_thread_speedup"] == pytest.approx(ratio, rel=0.01, abs=0.006)
        assert variant["two_threads_ms"] > 0
        assert 15 < variant["peak_memory_mb"] < 400  # of a process without TensorFlow
        assert variant["floor"] in ("full", "reduced")
    assert report["embedding_dimensions"] == 8
    assert report["card"]["preset"] == "demo"
    sizes = {name: variant["bytes"] for name, variant in report["variants"].items()}
    assert 0.45 * sizes["float32"] < sizes["float16"] < 0.6 * sizes["float32"]
    assert max(sizes["dynamic"], sizes["int8"]) < 0.4 * sizes["float32"]
    # Each variable once: what a tracked archive would store is twice as much.
    weights = converter.count_params() + embedder.count_params()
    assert report["saved_model"]["bytes"] < 1.5 * 4 * weights + 500_000
    assert set(report["versions"]) == {"keras", "tensorflow", "ai-edge-litert"}


def test_files_draw_what_keras_draws(exported, converter):
    directory, report = exported
    images = photos(6, seed=5)  # not those that the export was verified with
    expected = to_uint8(converter.predict(to_float(images), verbose=0)).astype(int)
    assert expected.std() > 20  # not one gray for every photo

    served = tf.saved_model.load(str(directory / "saved_model")).signatures["convert"]
    saved = np.concatenate([served(image=tf.constant(image[None]))["image"] for image in images])
    float32, float16, dynamic, int8 = (
        export.load_tflite(directory / f"converter_{variant}.tflite", num_threads=2)(images)
        for variant in VARIANTS
    )
    for exact in (saved, float32):
        assert exact.dtype == np.uint8
        difference = np.abs(exact - expected)
        assert difference.max() <= 1 and np.mean(difference > 0) < 1e-3  # ties of the rounding
    assert np.abs(float16 - expected).max() <= 1
    difference = np.abs(dynamic - expected)
    assert 0 < difference.max() <= 8 and np.mean(difference) < 0.5
    difference = np.abs(int8 - expected)
    assert difference.max() > 0 and np.mean(difference) < 4
    assert len(np.unique(int8)) > 0.9 * len(np.unique(expected)) > 50  # not posterized
    float32_report, dynamic_report = (report["variants"][v] for v in ("float32", "dynamic"))
    assert float32_report["max_difference_levels"] < 0.0128  # 1e-4 in [-1, 1]
    assert float32_report["psnr_min_db"] > 86
    assert dynamic_report["psnr_mean_db"] >= 50 and dynamic_report["psnr_min_db"] >= 45


def test_what_leaves_the_range_is_clipped(tmp_path):
    converter, images = tiny(keras.layers.Rescaling(3.0)), photos(2, 16)
    export.export_converter(converter, tmp_path, images=images, variants=["float32"])
    expected = to_uint8(converter(to_float(images), training=False))
    assert np.isin([0, 255], expected).all()
    converted = export.load_tflite(tmp_path / "converter_float32.tflite")(images)
    assert np.abs(converted.astype(int) - expected).max() <= 1  # ties of the rounding


@pytest.mark.parametrize("variant", VARIANTS)
def test_files_embed_as_keras_does(exported, converter, embedder, variant):
    directory, report = exported
    model = export.load_tflite(directory / f"converter_{variant}.tflite")
    products = to_uint8(converter.predict(to_float(photos(4, seed=6)), verbose=0))
    expected = np.asarray(embedder(to_float(products), training=False))
    embeddings = model.embed(products)
    assert embeddings.dtype == np.float32 and embeddings.shape == (4, 8)
    assert model.dimensions == 8
    np.testing.assert_array_equal(model.embed(products[1]), embeddings[1])
    exact = variant in ("float32", "float16")
    np.testing.assert_allclose(
        embeddings, expected, atol={"float32": 1e-5}.get(variant, 1e-3 if exact else 0.05)
    )
    np.testing.assert_allclose(np.linalg.norm(embeddings, axis=1), 1, atol=1e-3)
    measured = report["variants"][variant]
    assert 0.999 < measured["embedding_cosine_min"] <= measured["embedding_cosine_mean"] < 1.00001


@pytest.mark.parametrize("variant", VARIANTS)
def test_signatures_and_operations(exported, variant):
    directory, report = exported
    path = directory / f"converter_{variant}.tflite"
    interpreter = Interpreter(str(path))
    interpreter.allocate_tensors()
    assert interpreter.get_signature_list() == {
        "convert": {"inputs": ["image"], "outputs": ["image"]},
        "embed": {"inputs": ["image"], "outputs": ["embedding"]},
    }
    for signature, output, shape, dtype in (
        ("convert", "image", [1, 64, 64, 3], np.uint8),
        ("embed", "embedding", [1, 8], np.float32),
    ):
        run = interpreter.get_signature_runner(signature)
        image, result = run.get_input_details()["image"], run.get_output_details()[output]
        assert (image["dtype"], result["dtype"]) == (np.uint8, dtype)
        assert image["shape_signature"].tolist() == [1, 64, 64, 3]
        assert result["shape_signature"].tolist() == shape
    model = schema.Model.GetRootAs(path.read_bytes(), 0)
    codes = [model.OperatorCodes(i) for i in range(model.OperatorCodesLength())]
    assert schema.BuiltinOperator.CUSTOM not in [code.BuiltinCode() for code in codes]
    # XNNPACK computes everything; what is outside turns bytes to numbers, and numbers to bytes.
    for graph, of in enumerate(report["variants"][variant]["xnnpack"].values()):
        assert of["operations"] == model.Subgraphs(graph).OperatorsLength()
        assert of["inside"] + sum(of["outside"].values()) == of["operations"]
        assert of["partitions"] == (2 if variant == "float16" else 1)
        assert set(of["outside"]) <= {"CAST", "QUANTIZE"}


def test_delegation_counts_what_xnnpack_takes(exported):
    """Where every operation is a partition of its own, there are as many as are inside."""
    content = (exported[0] / "converter_float32.tflite").read_bytes()
    alone = Interpreter(model_content=content, experimental_disable_delegate_node_fusion=True)
    alone.allocate_tensors()
    names = [node["op_name"] for node in alone._get_ops_details()]
    measured = performance.delegation(content)
    assert measured["inside"] == names.count("DELEGATE")
    assert measured["outside"] == {"CAST": 2}
    assert measured["share"] == round(measured["inside"] / measured["operations"], 3)


def test_upsampling_stays_inside_xnnpack_and_exact(tmp_path):
    keras.utils.set_random_seed(0)
    image = keras.Input((32, 32, 3))
    x = keras.layers.Conv2D(6, 3, strides=2, padding="same", activation="relu")(image)
    x = keras.layers.Conv2D(5, 3, strides=2, padding="same", name="narrow")(x)
    x = keras.layers.UpSampling2D(2)(x)
    x = keras.layers.UpSampling2D(2)(keras.layers.Conv2D(3, 1)(x))
    converter = keras.Model(image, keras.layers.Activation("tanh")(x))
    images = photos(3, 32)
    network = conversion.upsampled_by_xnnpack(converter)
    assert network.get_layer("narrow") is converter.get_layer("narrow")
    drawn = [np.asarray(of(to_float(images), training=False)) for of in (network, converter)]
    np.testing.assert_array_equal(*drawn)
    assert drawn[0].std() > 0.01

    report = export.export_converter(
        converter, tmp_path, images=images, variants=VARIANTS, representative=images
    )
    for variant, partitions in zip(VARIANTS, (1, 2, 1, 1), strict=True):
        measured = report["variants"][variant]["xnnpack"]["convert"]
        assert set(measured["outside"]) <= {"CAST", "QUANTIZE"}, variant
        assert measured["partitions"] == partitions


def test_the_bytes_of_weights_begin_at_multiples_of_16(exported):
    content = (exported[0] / "converter_dynamic.tflite").read_bytes()
    model = schema.Model.GetRootAs(content, 0)
    buffers = [model.Buffers(i) for i in range(model.BuffersLength())]
    starts = [b._tab.Vector(b._tab.Offset(4)) for b in buffers if not b.DataIsNone()]
    assert len(starts) > 20 and not any(start % 16 for start in starts)


def test_saved_model_serves_the_signature(exported):
    directory, _ = exported
    served = tf.saved_model.load(str(directory / "saved_model")).signatures["convert"]
    assert served.structured_input_signature[1]["image"].shape == (1, 64, 64, 3)
    assert served.structured_input_signature[1]["image"].dtype == tf.uint8
    assert {name: spec.dtype for name, spec in served.structured_outputs.items()} == {
        "image": tf.uint8
    }
    embed = tf.saved_model.load(str(directory / "saved_model")).signatures["embed"]
    assert embed.structured_outputs["embedding"].shape == (1, 8)


@pytest.mark.parametrize(
    "policy, variant", [("mixed_float16", "dynamic"), ("mixed_bfloat16", "int8")]
)
def test_same_weights_same_bytes(exported, embedder, policy, variant, tmp_path):
    again = pixel_dtgan_converter(policy)
    # Loaded anew, so that Keras numbers its layers on.
    embedder_again = type(embedder).from_config(embedder.get_config())
    embedder_again.set_weights(embedder.get_weights())
    export.export_converter(
        again,
        tmp_path / "again",
        images=photos(2, seed=9),
        variants=[variant],
        embedder=embedder_again,
        representative=photos(8, seed=3),
        card=CARD,
    )
    name = f"converter_{variant}.tflite"
    assert (tmp_path / "again" / name).read_bytes() == (exported[0] / name).read_bytes()
    # The converter itself keeps its policy.
    assert again.get_layer("conv2").compute_dtype == policy.removeprefix("mixed_")


def test_metadata_changes_no_bit_of_what_is_drawn(exported):
    directory, _ = exported
    images = photos(2, seed=4)
    model = export.load_tflite(directory / "converter_dynamic.tflite")
    for signature, output, received in (
        ("convert", "image", model(images)),
        ("embed", "embedding", model.embed(images)),
    ):
        plain = conversion.to_tflite(directory / "saved_model", signature, "dynamic")
        run = Interpreter(model_content=plain).get_signature_runner(signature)
        expected = np.concatenate([run(image=image[None])[output] for image in images])
        np.testing.assert_array_equal(received, expected)


@keras.saving.register_keras_serializable("export_test")
class ThroughText(keras.layers.Layer):
    """The identity, by operations that only TensorFlow has."""

    def call(self, x):
        return tf.strings.to_number(tf.strings.as_string(x, precision=7))


@keras.saving.register_keras_serializable("export_test")
class Logarithm(keras.layers.Layer):
    """NaN wherever the image is darker than mid gray."""

    def call(self, x):
        return keras.ops.log(x)


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: tiny(Logarithm()), "draws NaN or infinity for 3 of 3 images"),
        (lambda: tiny(size=None), r"of a fixed size.*\(None, None, None, 3\)"),
        (lambda: tiny(ThroughText()), "builtin operations.*: AsString, StringToNumber"),
    ],
)
def test_refuses_what_cannot_be_exported(make, message, tmp_path):
    with pytest.raises(export.ExportError, match=message):
        export.export_converter(make(), tmp_path / "out", images=photos(3, 16))
    assert not list(tmp_path.iterdir())


def test_refuses_a_difference_above_the_floor(tmp_path, monkeypatch):
    compute_reference = verification.compute_reference
    monkeypatch.setattr(
        verification,
        "compute_reference",
        lambda converter, images, embedder: compute_reference(converter, 255 - images, embedder),
    )
    monkeypatch.setattr(verification, "verify_saved_model", lambda *_: None)
    with pytest.raises(export.ExportError, match="converter_dynamic.*not draw what Keras draws"):
        export.export_converter(tiny(), tmp_path / "o", images=photos(2, 16), variants=["dynamic"])
    assert not list(tmp_path.iterdir())


def verify(exported, variant, converter, images, reference):
    return verification.verify_tflite(
        exported[0] / f"converter_{variant}.tflite",
        variant,
        converter.count_params(),
        images,
        reference,
    )


def test_float32_floor_is_a_hundredth_of_a_level(exported, converter):
    images = photos(2)
    levels = verification.compute_reference(converter, images).levels
    inside = np.clip(levels, 20, 235) == levels
    measured = verify(exported, "float32", converter, images, Reference(levels + 0.01 * inside))
    assert measured["floor"] == "full"
    with pytest.raises(export.ExportError, match="beyond max_difference_levels 0.01275"):
        verify(exported, "float32", converter, images, Reference(levels + 0.02 * inside))


def test_a_float32_file_may_round_as_much_as_keras_does(exported, converter):
    images = photos(2)
    levels = verification.compute_reference(converter, images).levels
    inside = np.clip(levels, 20, 235) == levels
    # A network in which float32 itself is 0.005 levels off: eight times that is allowed.
    measured = verify(
        exported, "float32", converter, images, Reference(levels + 0.03 * inside, 0.005)
    )
    assert measured["floor"] == "reduced"
    with pytest.raises(export.ExportError, match="beyond max_difference_levels 0.04,"):
        verify(exported, "float32", converter, images, Reference(levels + 0.05 * inside, 0.005))
    with pytest.raises(export.ExportError, match="beyond max_difference_levels 1,"):  # a byte
        verify(exported, "float32", converter, images, Reference(levels + 1.5 * inside, 9.0))


def test_the_reference_is_without_the_rounding_of_float32(converter):
    images = photos(2)
    reference = verification.compute_reference(converter, images)
    assert reference.levels.dtype == np.float32
    assert 0 < reference.float32_difference_levels < 0.01
    assert converter.compute_dtype == "float32"
    drawn = 127.5 * (np.asarray(converter(to_float(images), training=False)) + 1)
    assert 0 < np.abs(drawn - reference.levels).max() < 0.01


@pytest.mark.parametrize("variant", ["dynamic", "int8"])
def test_what_misses_the_floor_of_full_width_is_called_reduced(exported, converter, variant):
    images = photos(2)
    levels = verification.compute_reference(converter, images).levels
    sign = np.random.default_rng(0).choice([-1, 1], levels.shape)
    # 255 / 2.55 levels are 40 dB: less than trained networks of full width have.
    noisy = Reference(np.clip(levels + 2.55 * sign, 0, 255).astype(np.float32))
    measured = verify(exported, variant, converter, images, noisy)
    assert measured["floor"] == "reduced" and 33 < measured["psnr_mean_db"] < 42
    # In steps of 32 levels, as a posterized image: a broken conversion.
    steps = Reference((np.floor(levels / 32) * 32 + 16).astype(np.float32))
    with pytest.raises(export.ExportError, match="beyond psnr_mean_db 30, psnr_min_db 20"):
        verify(exported, variant, converter, images, steps)


def test_large_int8_files_have_a_floor_of_their_own():
    large = Reference(np.zeros((1, 256, 256, 3), np.float32))
    assert large.floors("int8")[1].psnr_mean_db == 38
    assert Reference(large.levels[:, :64, :64]).floors("int8")[1].psnr_mean_db == 45


def test_refuses_a_wrong_embedding(exported, converter, embedder):
    images = photos(2)
    right = verification.compute_reference(converter, images, embedder)
    verify(exported, "dynamic", converter, images, right)
    wrong = dataclasses.replace(right, embeddings=np.roll(right.embeddings, 1, axis=1))
    with pytest.raises(export.ExportError, match="embedding_cosine 0.98.*embedding_cosine_min"):
        verify(exported, "dynamic", converter, images, wrong)
    with pytest.raises(export.ExportError, match="saved_model: an embedding has the cosine"):
        verification.verify_saved_model(exported[0] / "saved_model", images, wrong)


def test_refuses_a_saved_model_that_differs(exported, converter):
    directory, _ = exported
    images = photos(2)
    reference = verification.compute_reference(converter, images)
    verification.verify_saved_model(directory / "saved_model", images, reference)
    with pytest.raises(export.ExportError, match="saved_model differs from Keras by"):
        verification.verify_saved_model(
            directory / "saved_model", images, Reference(reference.levels * 0.99)
        )


def test_refuses_a_near_empty_file(exported, converter):
    # The dynamic file is a quarter of what a float32 file must be.
    with pytest.raises(export.ExportError, match="the conversion lost them"):
        verification.verify_tflite(
            exported[0] / "converter_dynamic.tflite",
            "float32",
            2 * converter.count_params(),
            photos(1),
            Reference(np.zeros((1, 64, 64, 3), np.float32)),
        )


def test_refuses_what_phones_lack(exported, tmp_path):
    """A dynamic dimension, and an operation that is not builtin."""
    content = (exported[0] / "converter_dynamic.tflite").read_bytes()
    arguments = ("dynamic", 84, photos(1), Reference(np.zeros((1, 64, 64, 3), np.float32)))

    def changed(change):
        model = schema.ModelT.InitFromObj(schema.Model.GetRootAs(content, 0))
        change(model)
        path = tmp_path / "changed.tflite"
        path.write_bytes(joining.pack(model))
        return path

    def free_batch(model):
        model.subgraphs[1].tensors[0].shapeSignature = [-1, 64, 64, 3]

    def select(model):
        code = model.operatorCodes[0]
        code.builtinCode = code.deprecatedBuiltinCode = schema.BuiltinOperator.CUSTOM
        code.customCode = "FlexAsString"

    with pytest.raises(export.ExportError, match=r"dynamic shape \[-1, 64, 64, 3\]"):
        verification.verify_tflite(changed(free_batch), *arguments)
    with pytest.raises(export.ExportError, match="'FlexAsString', which is not a builtin"):
        verification.verify_tflite(changed(select), *arguments)


def test_int8_refuses_an_output_whose_bytes_are_not_levels(tmp_path):
    with pytest.raises(export.ExportError, match="stand for -1 and 1.*end in tanh"):
        export.export_converter(
            tiny(keras.layers.Rescaling(0.5)),
            tmp_path / "o",
            images=photos(2, 16),
            variants=["int8"],
            representative=photos(4, 16),
        )
    assert not list(tmp_path.iterdir())


def test_a_failure_leaves_the_earlier_export(tmp_path, monkeypatch):
    directory = tmp_path / "out"
    arguments = {"images": photos(2, 16), "variants": ["float32"]}
    export.export_converter(tiny(), directory, **arguments)
    before = snapshot(directory)

    with pytest.raises(export.ExportError):
        export.export_converter(tiny(Logarithm()), directory, **arguments)
    assert snapshot(directory) == before

    rename = pathlib.Path.rename

    def fail(self, target):  # while the verified files are moved to their names
        if self.name == "export.json" and self.parent.name == "made":
            raise OSError("no space left on device")
        return rename(self, target)

    monkeypatch.setattr(pathlib.Path, "rename", fail)
    with pytest.raises(OSError, match="no space left"):
        export.export_converter(tiny(), directory, **arguments)
    assert snapshot(directory) == before
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


def test_a_reader_finds_a_whole_file_at_any_time(tmp_path, monkeypatch):
    made, directory = tmp_path / "made", tmp_path / "out"
    for folder, content in ((made, "new"), (directory, "old")):
        folder.mkdir()
        (folder / "a.tflite").write_text(content)
    rename, seen = pathlib.Path.rename, []

    def look(self, target):
        seen.append((directory / "a.tflite").read_text())
        rename(self, target)
        seen.append((directory / "a.tflite").read_text())

    monkeypatch.setattr(pathlib.Path, "rename", look)
    installation.install(made, directory, ["a.tflite"], tmp_path / "retired")
    assert seen == ["old", "new"]


@pytest.mark.parametrize("locked", ["", "a/b"])
def test_a_folder_that_cannot_be_written_is_named_before_any_work(tmp_path, monkeypatch, locked):
    if locked:
        (tmp_path / locked).mkdir(parents=True)
    monkeypatch.setattr(os, "access", lambda path, how: path != tmp_path / locked)
    with pytest.raises(PermissionError, match=f"not be read-only. Received: {tmp_path}/a/b"):
        export.export_converter(None, tmp_path / "a" / "b", images=None)


def test_replaces_its_own_files_only(tmp_path):
    made = tmp_path / "made"
    made.mkdir()
    directory = tmp_path / "out"
    (directory / "saved_model").mkdir(parents=True)
    for name in ("converter_float32.tflite", "other_float32.tflite", "notes.txt"):
        (directory / name).write_text("old")
    (directory / "saved_model" / "fingerprint.pb").write_text("old")
    (made / "saved_model").mkdir()
    (made / "converter_dynamic.tflite").write_text("new")
    owned = ["saved_model", "converter_float32.tflite", "converter_dynamic.tflite"]
    installation.install(made, directory, owned, tmp_path / "retired")
    # The float32 file was of an older converter than the dynamic one that is there now.
    assert snapshot(directory) == {
        pathlib.Path("converter_dynamic.tflite"): b"new",
        pathlib.Path("other_float32.tflite"): b"old",
        pathlib.Path("notes.txt"): b"old",
    }
    assert (directory / "saved_model").is_dir()


@pytest.mark.parametrize(
    "arguments, message",
    [
        (
            {"variants": ["int4"]},
            r"variants must be some of float32, float16, dynamic, int8.*\('int4',\)",
        ),
        ({"variants": []}, "variants must be some of"),
        ({"name": "../up"}, "name must be letters.*'../up'"),
        ({"images": photos(2, 24)}, r"images must be uint8 of shape \(n, 16, 16, 3\)"),
        ({"images": photos(2, 16).astype("float32")}, "images must be uint8.*float32"),
        ({"images": photos(2, 16)[:0]}, "n at least 1"),
        ({"variants": ["int8"]}, "representative must be given.*Received: None"),
        ({"representative": photos(2, 24)}, r"representative must be uint8 of.*\(2, 24, 24, 3\)"),
        ({"representative": to_float(photos(2, 16))}, "representative must be uint8.*float32"),
        ({"representative": photos(2, 16)[:0]}, "representative must be uint8.*n at least 1"),
    ],
)
def test_names_the_wrong_argument(arguments, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        export.export_converter(tiny(), tmp_path / "o", **{"images": photos(2, 16), **arguments})
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "make, message",
    [
        (lambda: tiny(size=32), r"embedder must take images of shape \(n, 16, 16, 3\)"),
        (lambda: tiny(), r"to vectors.*to \(None, 16, 16, 3\)"),
        (late_resizing, "may resize only in its first layer.*'resize'"),
    ],
)
def test_names_an_embedder_that_does_not_fit(make, message, tmp_path):
    arguments = {"images": photos(2, 16), "embedder": make()}
    with pytest.raises(ValueError, match=message):
        export.export_converter(tiny(), tmp_path / "o", **arguments)
    assert not list(tmp_path.iterdir())


def test_load_tflite_takes_one_image_or_several(exported):
    convert = export.load_tflite(exported[0] / "converter_dynamic.tflite")
    images = photos(3)
    converted = convert(images)
    assert converted.shape == (3, 64, 64, 3) and converted.dtype == np.uint8
    np.testing.assert_array_equal(convert(images[1]), converted[1])
    assert convert.image_size == 64
    for wrong in (images.astype("float32"), images[:, :32], images[0, 0], images[None], images[:0]):
        with pytest.raises(ValueError, match="images must .*Received: "):
            convert(wrong)


def test_load_tflite_refuses_other_files(exported, tmp_path):
    with pytest.raises(FileNotFoundError, match="no TFLite file at '.*missing.tflite'"):
        export.load_tflite(tmp_path / "missing.tflite")
    text = tmp_path / "text.tflite"
    text.write_text("this is a letter, not a network")
    with pytest.raises(ValueError, match="text.tflite' is not a converter"):
        export.load_tflite(text)
    content = (exported[0] / "converter_dynamic.tflite").read_bytes()
    cut = tmp_path / "cut.tflite"
    for length in (0, 4, 3000, len(content) // 2, len(content) * 9 // 10):
        cut.write_bytes(content[:length])
        with pytest.raises(ValueError, match="cut.tflite' is not a converter"):
            export.load_tflite(cut)


def test_a_file_without_an_embedder_says_so(tmp_path):
    export.export_converter(tiny(), tmp_path, images=photos(2, 16), variants=["dynamic"])
    model = export.load_tflite(tmp_path / "converter_dynamic.tflite")
    assert model.dimensions is None
    with pytest.raises(ValueError, match="converter_dynamic.tflite' has no embedder"):
        model.embed(photos(1, 16))
    assert list(export.read_metadata(tmp_path / "converter_dynamic.tflite")["signatures"]) == [
        "convert"
    ]


def test_the_table_has_a_line_for_each_variant(exported):
    _, report = exported
    lines = export.format_report(report).splitlines()
    assert [line.split()[0] for line in lines[1:5]] == VARIANTS
    assert lines[0].split()[:4] == ["variant", "floor", "MB", "max"]
    assert f"{report['keras_predict_ms']:.1f} ms" in lines[5]
    assert f"{report['variants']['int8']['psnr_mean_db']:.1f}" in lines[4]


def test_load_tflite_needs_no_training_framework(exported):
    code = (
        "import sys, numpy, export\n"
        f"convert = export.load_tflite({str(exported[0] / 'converter_dynamic.tflite')!r})\n"
        "assert convert(numpy.zeros((64, 64, 3), numpy.uint8)).shape == (64, 64, 3)\n"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)


# The way back


@pytest.fixture(scope="module")
def both_ways(tmp_path_factory):
    """Two generators, an export of both with an embedder, and its report.

    Of the two variants that differ most: what joins the ways into one file is the same for all.
    """
    from keras_pixdt.search import ProductEmbedder

    there, back = discogan_converters()
    directory = tmp_path_factory.mktemp("both_ways")
    report = export.export_converter(
        there,
        directory,
        images=photos(5, 32),
        variants=BOTH_WAYS,
        embedder=ProductEmbedder(image_size=32, width=0.25, dimensions=8, seed=3),
        representative=photos(8, 32, seed=3),
        reverse_converter=back,
        reverse_images=photos(4, 32, seed=1) // 2,  # darker: a domain of its own
        reverse_representative=photos(8, 32, seed=4) // 2,
        card=CARD,
    )
    return there, back, directory, report


@pytest.mark.parametrize("variant", BOTH_WAYS)
def test_a_file_with_the_way_back_draws_what_each_network_draws(both_ways, variant):
    there, back, directory, report = both_ways
    path = directory / f"converter_{variant}.tflite"
    model = export.load_tflite(path)
    assert model.reversible
    signatures = model.interpreter.get_signature_list()
    assert signatures["reverse"] == signatures["convert"]
    assert list(export.read_metadata(path)["signatures"]) == ["convert", "embed", "reverse"]
    images = photos(4, 32, seed=8) // 2
    drawn = []
    for network, convert in ((there, model), (back, model.reverse)):
        expected = to_uint8(network.predict(to_float(images), verbose=0)).astype(int)
        difference = np.abs(convert(images) - expected)
        if variant == "float32":
            assert difference.max() <= 1 and np.mean(difference > 0) < 0.02  # ties of the rounding
        assert difference.mean() < 5
        drawn.append(expected)
    assert np.abs(drawn[0] - drawn[1]).mean() > 20  # networks that are told apart
    np.testing.assert_array_equal(model.reverse(images[1]), model.reverse(images)[1])
    with pytest.raises(ValueError, match="images must .*Received: float32"):
        model.reverse(to_float(images))

    whole = report["variants"][variant]
    measured = whole["reverse"]
    assert whole["floor"] in ("full", "reduced") and measured["floor"] in ("full", "reduced")
    if variant == "float32":
        assert whole["max_difference_levels"] < 0.0128 > measured["max_difference_levels"]
    assert measured["psnr_min_db"] > 25 and measured["one_thread_ms"] > 0
    assert "embedding_cosine_min" in whole and "embedding_cosine_min" not in measured
    assert list(whole["xnnpack"]) == ["convert", "embed", "reverse"]
    assert set(whole["xnnpack"]["reverse"]["outside"]) <= {"CAST", "QUANTIZE"}


def test_the_saved_model_has_the_way_back(both_ways):
    _, back, directory, _ = both_ways
    serve = tf.saved_model.load(str(directory / "saved_model")).signatures["reverse"]
    image = photos(1, 32, seed=8)
    expected = to_uint8(back.predict(to_float(image), verbose=0)).astype(int)
    assert np.abs(serve(image=tf.constant(image))["image"].numpy() - expected).max() <= 1


def test_the_report_tells_of_both_ways(both_ways):
    there, back, directory, report = both_ways
    assert json.loads((directory / "export.json").read_text()) == report
    assert (report["verified_images"], report["reverse"]["verified_images"]) == (5, 4)
    assert report["reverse"]["parameters"] == back.count_params()
    assert report["reverse"]["keras_predict_ms"] > 0
    # Each network once.
    weights = 4 * (there.count_params() + back.count_params())
    alone = 4 * there.count_params()
    for path in (directory / "converter_float32.tflite", directory / "saved_model"):
        files = [path] if path.is_file() else [p for p in path.rglob("*") if p.is_file()]
        assert weights < sum(p.stat().st_size for p in files) < weights + alone / 2 + 500_000
    lines = export.format_report(report).splitlines()
    assert [line.split("  ")[0] for line in lines[1:5]] == [
        name for variant in BOTH_WAYS for name in (variant, f"{variant}, reverse")
    ]


def test_convert_and_embed_are_the_same_bytes_beside_the_way_back(both_ways, tmp_path):
    """What is drawn, and how the graphs are numbered, does not depend on what stands beside."""
    there, _, directory, _ = both_ways
    export.export_converter(there, tmp_path, images=photos(2, 32), variants=["float32"])
    images = photos(2, 32, seed=4)
    alone, beside = (
        export.load_tflite(folder / "converter_float32.tflite") for folder in (tmp_path, directory)
    )
    np.testing.assert_array_equal(alone(images), beside(images))
    assert not alone.reversible and "reverse" not in alone.interpreter.get_signature_list()
    with pytest.raises(ValueError, match="float32.tflite' has no signature 'reverse'.*--reverse"):
        alone.reverse(images)


def test_refuses_a_way_back_that_differs(tmp_path, monkeypatch):
    compute_reference = verification.compute_reference
    there, back = tiny(), tiny()

    def wrong(network, images, embedder):
        return compute_reference(network, 255 - images if network is back else images, embedder)

    monkeypatch.setattr(verification, "compute_reference", wrong)
    arguments = {"images": photos(2, 16), "variants": ["dynamic"], "reverse_converter": back}
    arguments["reverse_images"] = photos(2, 16, seed=1)
    with pytest.raises(export.ExportError, match=r"saved_model \('reverse'\) differs from Keras"):
        export.export_converter(there, tmp_path / "o", **arguments)
    monkeypatch.setattr(verification, "verify_saved_model", lambda *_: None)
    with pytest.raises(export.ExportError, match=r"dynamic.tflite \('reverse'\) does not draw"):
        export.export_converter(there, tmp_path / "o", **arguments)
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize(
    "arguments, message",
    [
        ({"reverse_images": None}, "reverse_images must be given with a reverse_converter"),
        (
            {"reverse_images": photos(2, 24)},
            r"reverse_images must be uint8 of shape \(n, 16, 16, 3",
        ),
        (
            {"variants": ["int8"], "representative": photos(2, 16)},
            "reverse_representative must be given.*Received: None",
        ),
        (
            {"reverse_converter": lambda: tiny(size=32), "reverse_images": photos(2, 32)},
            r"reverse_converter must take images of the shape \(16, 16, 3\).*\(None, 32, 32, 3\)",
        ),
    ],
)
def test_names_the_wrong_argument_of_the_way_back(arguments, message, tmp_path):
    given = {"images": photos(2, 16), "reverse_images": photos(2, 16), **arguments}
    given["reverse_converter"] = given.get("reverse_converter", tiny)()
    with pytest.raises(ValueError, match=message):
        export.export_converter(tiny(), tmp_path / "o", **given)
    assert not list(tmp_path.iterdir())


def test_metadata_name_the_domains_of_a_file_with_the_way_back(both_ways):
    read = export.read_metadata(both_ways[2] / "converter_int8.tflite")
    assert read["description"].startswith("Between two domains of images, both ways; preset: demo")
    texts = {
        name: (signature["description"], signature["inputs"][0], signature["outputs"][0])
        for name, signature in read["signatures"].items()
    }
    first, second = (
        f"Image of the {domain} domain, RGB, letterboxed on white" for domain in ("first", "second")
    )
    about, given, drawn = texts["convert"]
    assert "From an image of the first domain to one of the second." in about
    assert (given["description"], drawn["description"]) == (first, second)
    about, given, drawn = texts["reverse"]
    assert "From an image of the second domain to one of the first." in about
    assert (given["description"], drawn["description"]) == (second, first)
    assert (given["mean"], given["std"]) == ([127.5], [127.5])  # quantized like `convert`

import hashlib
import json
import pathlib
import subprocess
import sys

import keras
import numpy as np
import pytest

tf = pytest.importorskip("tensorflow")
if keras.backend.backend() != "tensorflow":
    pytest.skip("export needs KERAS_BACKEND=tensorflow", allow_module_level=True)

from ai_edge_litert.interpreter import Interpreter  # noqa: E402

import export  # noqa: E402
from export import exporter, verification  # noqa: E402
from keras_pixdt.data.images import to_float, to_uint8  # noqa: E402
from keras_pixdt.models.pixel_dtgan import build_converter  # noqa: E402

FILES = ["converter_dynamic.tflite", "converter_float32.tflite", "export.json", "saved_model"]


def photos(count, size=64, seed=0):
    """Coarse coloured patches with noise: every byte value, edges and flat areas."""
    rng = np.random.default_rng(seed)
    coarse = rng.integers(0, 256, (count, size // 8, size // 8, 3))
    fine = rng.integers(-40, 41, (count, size, size, 3))
    return np.clip(coarse.repeat(8, 1).repeat(8, 2) + fine, 0, 255).astype(np.uint8)


def pixel_dtgan_converter(dtype=None):
    """A narrow converter with weights as large and statistics as moved as after training."""
    keras.utils.set_random_seed(0)
    converter = build_converter(64, 1 / 16, dtype)
    rng = np.random.default_rng(1)
    for weight in converter.weights:
        kind = weight.path.split("/")[-1]
        if kind == "kernel":
            weight.assign(rng.normal(0, 1.2 / np.sqrt(np.prod(weight.shape[:-1])), weight.shape))
        else:
            low, high = (-0.2, 0.2) if kind in ("bias", "beta", "moving_mean") else (0.5, 1.5)
            weight.assign(rng.uniform(low, high, weight.shape))
    return converter


def tiny(layer=None, size=16):
    """A converter of one convolution, then `layer`."""
    image = keras.Input((size, size, 3))
    x = keras.layers.Conv2D(3, 3, padding="same", activation="tanh")(image)
    return keras.Model(image, layer(x) if layer else x)


def snapshot(directory):
    return {
        path.relative_to(directory): path.read_bytes()
        for path in directory.rglob("*")
        if path.is_file()
    }


@pytest.fixture(scope="module")
def converter():
    return pixel_dtgan_converter()


@pytest.fixture(scope="module")
def exported(converter, tmp_path_factory):
    directory = tmp_path_factory.mktemp("export") / "files"
    return directory, export.export_converter(converter, directory, images=photos(8))


def test_report_describes_the_files(exported, converter):
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
        assert min(variant["one_thread_ms"], variant["two_threads_ms"]) > 0
    sizes = {name: variant["bytes"] for name, variant in report["variants"].items()}
    assert sizes["dynamic"] < 0.3 * sizes["float32"]
    # Each variable once: what a tracked archive would store is twice as much.
    assert report["saved_model"]["bytes"] < 1.5 * 4 * converter.count_params() + 400_000
    assert set(report["versions"]) == {"keras", "tensorflow", "ai-edge-litert"}


def test_files_draw_what_keras_draws(exported, converter):
    directory, report = exported
    images = photos(6, seed=5)  # not those that the export was verified with
    expected = to_uint8(converter.predict(to_float(images), verbose=0)).astype(int)
    assert expected.std() > 20  # not one gray for every photo

    served = tf.saved_model.load(str(directory / "saved_model")).signatures["convert"]
    saved = np.concatenate([served(image=tf.constant(image[None]))["image"] for image in images])
    float32 = export.load_tflite(directory / "converter_float32.tflite", num_threads=2)(images)
    dynamic = export.load_tflite(directory / "converter_dynamic.tflite", num_threads=2)(images)
    for exact in (saved, float32):
        assert exact.dtype == np.uint8
        difference = np.abs(exact - expected)
        assert difference.max() <= 1 and np.mean(difference > 0) < 1e-3  # ties of the rounding
    difference = np.abs(dynamic - expected)
    assert 0 < difference.max() <= 8 and np.mean(difference) < 0.5
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


@pytest.mark.parametrize("variant", ["float32", "dynamic"])
def test_signature_and_operations(exported, variant):
    directory, _ = exported
    interpreter = Interpreter(str(directory / f"converter_{variant}.tflite"))
    interpreter.allocate_tensors()
    assert interpreter.get_signature_list() == {
        "convert": {"inputs": ["image"], "outputs": ["image"]}
    }
    for details in (interpreter.get_input_details(), interpreter.get_output_details()):
        assert [d["dtype"] for d in details] == [np.uint8]
        assert details[0]["shape_signature"].tolist() == [1, 64, 64, 3]
    operations = [operation["op_name"] for operation in interpreter._get_ops_details()]
    assert operations.count("DELEGATE") == 1  # one partition, XNNPACK
    assert not any(name.startswith(("Flex", "CUSTOM")) for name in operations)
    assert operations.count("TRANSPOSE_CONV") == 4


def test_saved_model_serves_the_signature(exported):
    directory, _ = exported
    served = tf.saved_model.load(str(directory / "saved_model")).signatures["convert"]
    assert served.structured_input_signature[1]["image"].shape == (1, 64, 64, 3)
    assert served.structured_input_signature[1]["image"].dtype == tf.uint8
    assert {name: spec.dtype for name, spec in served.structured_outputs.items()} == {
        "image": tf.uint8
    }


@pytest.mark.parametrize(
    "policy, variant",
    [("float32", "dynamic"), ("mixed_float16", "float32"), ("mixed_bfloat16", "float32")],
)
def test_same_weights_same_bytes(exported, policy, variant, tmp_path):
    again = pixel_dtgan_converter(policy)
    export.export_converter(again, tmp_path / "again", images=photos(2, seed=9), variants=[variant])
    name = f"converter_{variant}.tflite"
    assert (tmp_path / "again" / name).read_bytes() == (exported[0] / name).read_bytes()
    # The converter itself keeps its policy.
    assert again.get_layer("conv2").compute_dtype == policy.removeprefix("mixed_")


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


@pytest.mark.parametrize("variant", ["float32", "dynamic"])
def test_refuses_a_difference_above_the_floor(variant, tmp_path, monkeypatch):
    reference_levels = verification.reference_levels
    monkeypatch.setattr(
        verification,
        "reference_levels",
        lambda converter, images: reference_levels(converter, 255 - images),  # of other photos
    )
    monkeypatch.setattr(verification, "verify_saved_model", lambda *_: None)
    with pytest.raises(export.ExportError, match=f"converter_{variant}.*not draw what Keras draws"):
        export.export_converter(tiny(), tmp_path / "o", images=photos(2, 16), variants=[variant])
    assert not list(tmp_path.iterdir())


def test_float32_floor_is_a_hundredth_of_a_level(exported, converter):
    directory, _ = exported
    images = photos(2)
    levels = verification.reference_levels(converter, images)
    arguments = (directory / "converter_float32.tflite", "float32", converter.count_params())
    inside = np.clip(levels, 20, 235) == levels
    verification.verify_tflite(*arguments, images, levels + 0.01 * inside)
    with pytest.raises(export.ExportError, match="max_difference_levels"):
        verification.verify_tflite(*arguments, images, levels + 0.02 * inside)


def test_refuses_a_saved_model_that_differs(exported, converter):
    directory, _ = exported
    images = photos(2)
    levels = verification.reference_levels(converter, images)
    verification.verify_saved_model(directory / "saved_model", images, levels)
    with pytest.raises(export.ExportError, match="saved_model differs from Keras by"):
        verification.verify_saved_model(directory / "saved_model", images, levels * 0.99)


def test_refuses_a_near_empty_file(exported, converter):
    directory, _ = exported
    images = photos(1)
    levels = verification.reference_levels(converter, images)
    # The dynamic file is a quarter of what a float32 file must be.
    with pytest.raises(export.ExportError, match="the conversion lost them"):
        verification.verify_tflite(
            directory / "converter_dynamic.tflite",
            "float32",
            converter.count_params(),
            images,
            levels,
        )


def test_refuses_a_file_that_has_a_dynamic_dimension(tmp_path):
    model = tiny()
    function = tf.function(
        lambda image: {"image": tf.cast(model(tf.cast(image, tf.float32)), tf.uint8)},
        input_signature=[tf.TensorSpec((None, 16, 16, 3), tf.uint8, name="image")],
    )
    module = tf.Module()
    module.variables_, module.convert = [v.value for v in model.weights], function
    tf.saved_model.save(module, str(tmp_path / "s"), signatures={"convert": function})
    path = tmp_path / "dynamic_batch.tflite"
    path.write_bytes(
        tf.lite.TFLiteConverter.from_saved_model(
            str(tmp_path / "s"), signature_keys=["convert"]
        ).convert()
    )
    with pytest.raises(export.ExportError, match=r"dynamic shape \[-1, 16, 16, 3\]"):
        verification.verify_tflite(path, "float32", 84, photos(1, 16), np.zeros((1, 16, 16, 3)))


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
    exporter._install(tmp_path, directory, "converter")
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
        ({"variants": ["int4"]}, r"variants must be some of float32, dynamic.*\('int4',\)"),
        ({"variants": []}, "variants must be some of"),
        ({"name": "../up"}, "name must be letters.*'../up'"),
        ({"images": photos(2, 24)}, r"images must be uint8 of shape \(n, 16, 16, 3\)"),
        ({"images": photos(2, 16).astype("float32")}, "images must be uint8.*float32"),
        ({"images": photos(2, 16)[:0]}, "n at least 1"),
    ],
)
def test_names_the_wrong_argument(arguments, message, tmp_path):
    with pytest.raises(ValueError, match=message):
        export.export_converter(tiny(), tmp_path / "o", **{"images": photos(2, 16), **arguments})
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
    cut = tmp_path / "cut.tflite"
    cut.write_bytes((exported[0] / "converter_dynamic.tflite").read_bytes()[:3000])
    with pytest.raises(ValueError, match="cut.tflite' is not a converter"):
        export.load_tflite(cut)


def test_load_tflite_needs_no_training_framework(exported):
    code = (
        "import sys, numpy, export\n"
        f"convert = export.load_tflite({str(exported[0] / 'converter_dynamic.tflite')!r})\n"
        "assert convert(numpy.zeros((64, 64, 3), numpy.uint8)).shape == (64, 64, 3)\n"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

import functools
import hashlib
import importlib.metadata
import io
import json
import struct
import subprocess
import sys
import zipfile

import flatbuffers
import keras
import numpy as np
import pytest
from ai_edge_litert import schema_py_generated as schema
from ai_edge_litert.interpreter import Interpreter

pytest.importorskip("tensorflow")
if keras.backend.backend() != "tensorflow":
    pytest.skip("export needs KERAS_BACKEND=tensorflow", allow_module_level=True)

import export  # noqa: E402
from export import conversion, metadata  # noqa: E402
from tests.export.samples import CARD  # noqa: E402


class Flat:
    """A flatbuffer table, read by the rules of the format and nothing else."""

    def __init__(self, content, position):
        self.content, self.position = content, position

    @classmethod
    def root(cls, content):
        return cls(content, struct.unpack_from("<I", content)[0])

    def _at(self, number):
        vtable = self.position - struct.unpack_from("<i", self.content, self.position)[0]
        if 4 + 2 * number >= struct.unpack_from("<H", self.content, vtable)[0]:
            return None
        offset = struct.unpack_from("<H", self.content, vtable + 4 + 2 * number)[0]
        return self.position + offset if offset else None

    def _follow(self, position):
        return position + struct.unpack_from("<I", self.content, position)[0]

    def byte(self, number):
        return self.content[self._at(number)]

    def int(self, number):
        return struct.unpack_from("<I", self.content, self._at(number))[0]

    def table(self, number):
        return Flat(self.content, self._follow(self._at(number)))

    def tables(self, number):
        start = self._follow(self._at(number))
        count = struct.unpack_from("<I", self.content, start)[0]
        return [Flat(self.content, self._follow(start + 4 + 4 * i)) for i in range(count)]

    def data(self, number):
        start = self._follow(self._at(number))
        return self.content[
            start + 4 : start + 4 + struct.unpack_from("<I", self.content, start)[0]
        ]

    def text(self, number):
        return self.data(number).decode()

    def floats(self, number):
        start = self._follow(self._at(number))
        count = struct.unpack_from("<I", self.content, start)[0]
        return list(struct.unpack_from(f"<{count}f", self.content, start + 4))


def file(exported, variant="dynamic"):
    return exported[0] / f"converter_{variant}.tflite"


@pytest.mark.parametrize(
    ("variant", "normalization"), [("dynamic", (0, 1)), ("int8", (127.5,) * 2)]
)
def test_the_file_is_in_the_public_format(exported, variant, normalization):
    """By field numbers of `metadata_schema.fbs` 1.1.0 and TFLite's `schema.fbs`."""
    content = file(exported, variant).read_bytes()
    assert content[4:8] == b"TFL3"
    model = Flat.root(content)
    (entry,) = (m for m in model.tables(6) if m.text(0) == "TFLITE_METADATA")
    packed = model.tables(4)[entry.int(1)].data(0)
    assert packed[4:8] == b"M001"

    about = Flat.root(packed)
    assert about.text(0) == "converter"
    assert "preset: demo; data: rendered" in about.text(1)
    assert about.text(2) == importlib.metadata.version("keras-pixdt")
    assert about.text(5) == "CC-BY-4.0"
    assert about.text(7) == "1.0.0"
    files = {f.text(0): f.byte(2) for f in about.tables(6)}
    assert files == {"keras_pixdt.json": 1, "labels.txt": 1}

    graphs = about.tables(3)
    assert [graph.text(0) for graph in graphs] == ["convert", "embed"]
    assert len(graphs) == len(model.tables(2))
    image, drawn = graphs[0].tables(2) + graphs[0].tables(3)
    for tensor in (image, drawn):
        assert tensor.text(0) == "image"
        content_of = tensor.table(3)
        assert content_of.byte(0) == 2  # ImageProperties
        assert content_of.table(1).byte(0) == 1  # RGB
        (unit,) = tensor.tables(4)
        assert unit.byte(0) == 1  # NormalizationOptions
        assert (*unit.table(1).floats(0), *unit.table(1).floats(1)) == normalization
        assert (tensor.table(5).floats(0), tensor.table(5).floats(1)) == ([255], [0])
    product, embedding = graphs[1].tables(2) + graphs[1].tables(3)
    # The embedder of every variant takes bytes and scales them itself.
    (unit,) = product.tables(4)
    assert (unit.table(1).floats(0), unit.table(1).floats(1)) == ([0], [1])
    assert embedding.text(0) == "embedding"
    assert embedding.table(3).byte(0) == 1  # FeatureProperties


def test_the_files_are_a_zip_archive_without_dates(exported):
    with zipfile.ZipFile(file(exported)) as archive:
        assert archive.testzip() is None
        assert {e.date_time for e in archive.infolist()} == {(1980, 1, 1, 0, 0, 0)}
        assert {e.compress_type for e in archive.infolist()} == {zipfile.ZIP_STORED}
        assert archive.read("labels.txt") == b"coat\nt-shirt\n"
        model = file(exported).read_bytes()[: archive.getinfo("keras_pixdt.json").header_offset]
        assert json.loads(archive.read("keras_pixdt.json")) == {
            "variant": "dynamic",
            "preset": "demo",
            "data": "rendered",
            "embedder_fingerprint": "ab" * 32,
            "sha256": hashlib.sha256(model).hexdigest(),
        }


def test_a_damaged_file_is_refused_before_it_is_run(exported, tmp_path):
    content = file(exported).read_bytes()
    path = tmp_path / "copy.tflite"
    for place in (30, 5000, len(content) // 2):
        path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
        with pytest.raises(ValueError, match=f"{path}' is damaged: .* Copy it again"):
            export.load_tflite(path)
    for size in (0, 30, len(content) // 2, len(content) - 1):
        path.write_bytes(content[:size])
        with pytest.raises(ValueError, match=f"{path}' is not a converter .* or is truncated"):
            export.load_tflite(path)


def test_read_metadata_gives_what_was_written(exported):
    read = export.read_metadata(file(exported))
    signatures = read.pop("signatures")
    assert "preset: demo" in read.pop("description")
    assert read == {
        "name": "converter",
        "version": importlib.metadata.version("keras-pixdt"),
        "licence": CARD.licence,
        "categories": list(CARD.categories),
        "preset": CARD.preset,
        "data": CARD.data,
        "variant": "dynamic",
        "embedder_fingerprint": CARD.embedder_fingerprint,
        "resize": "letterbox",
    }
    (image,) = signatures["convert"]["inputs"]
    assert image["name"] == "image" and "letterboxed on white" in image["description"]
    assert (image["mean"], image["std"]) == ([0.0], [1.0])
    (embedding,) = signatures["embed"]["outputs"]
    assert embedding["name"] == "embedding" and "mean" not in embedding


def test_refuses_what_has_no_metadata(exported, tmp_path):
    with pytest.raises(FileNotFoundError, match="no TFLite file at '.*missing.tflite'"):
        export.read_metadata(tmp_path / "missing.tflite")
    path = tmp_path / "bad.tflite"
    content = file(exported).read_bytes()
    archive = io.BytesIO()
    with zipfile.ZipFile(archive, "w") as other:
        other.writestr("labels.txt", "coat\n")
    for bad, message in (
        (b"", "is not a TFLite file.*Received: b''"),
        (b"this is a letter, not a network", "is not a TFLite file.*Received: b' is '"),
        (archive.getvalue(), "is not a TFLite file"),
        (content[:3000], "is damaged"),
        (content[: len(content) // 2], "is damaged"),
        (content[:-10], "is damaged"),
        (content.replace(b"TFLITE_METADATA", b"tflite_metadata"), "no buffer has the name"),
        (content.replace(b"M001", b"M002"), "must have 'M001'"),
        (content.replace(b"keras_pixdt.json", b"xeras_pixdt.json"), "is damaged"),
    ):
        path.write_bytes(bad)
        with pytest.raises(ValueError, match=f"bad.tflite' .*{message}"):
            export.read_metadata(path)


def test_how_the_converter_orders_constants_does_not_show():
    """It orders them by the names of Keras' layers, which other layers made before decide on."""
    import tensorflow as tf

    image = keras.Input((8, 8, 3), name="image")
    network = keras.Model(image, keras.layers.Conv2D(4, 3)(keras.layers.Conv2D(4, 3)(image)))
    part = bytes(tf.lite.TFLiteConverter.from_keras_model(network).convert())
    model = schema.ModelT.InitFromPackedBuf(part, 0)
    (graph,) = model.subgraphs

    # Every tensor and buffer moves by one place, and the note on the conversion is another.
    tensors, buffers = len(graph.tensors), len(model.buffers) - 1  # the first is no tensor's
    graph.tensors = graph.tensors[1:] + graph.tensors[:1]
    for holder in (graph, *graph.operators):
        for name in ("inputs", "outputs"):
            moved = [int(i) if i < 0 else (int(i) - 1) % tensors for i in getattr(holder, name)]
            setattr(holder, name, moved)
    (signature,) = model.signatureDefs
    for entry in (*signature.inputs, *signature.outputs):
        entry.tensorIndex = (entry.tensorIndex - 1) % tensors
    (note,) = (m.buffer for m in model.metadata if m.name == b"CONVERSION_METADATA")
    model.buffers[note].data = model.buffers[note].data[::-1].copy()
    model.buffers = model.buffers[:1] + model.buffers[2:] + model.buffers[1:2]
    for holder in (*graph.tensors, *model.metadata):
        holder.buffer = (holder.buffer - 2) % buffers + 1 if holder.buffer else 0
    builder = flatbuffers.Builder()
    builder.Finish(model.Pack(builder), file_identifier=b"TFL3")
    other = bytes(builder.Output())

    about = {"name": "converter", "variant": "float32", "card": CARD}
    content = metadata.assemble([part], **about)
    assert content == metadata.assemble([other], **about)
    interpreter = Interpreter(model_content=content)
    photo = np.random.default_rng(0).normal(size=(1, 8, 8, 3)).astype(np.float32)
    (drawn,) = interpreter.get_signature_runner()(image=photo).values()
    np.testing.assert_allclose(drawn, network(photo), atol=1e-6)


@pytest.mark.parametrize("variant", ["float32", "dynamic", "float16"])
def test_the_names_of_parallel_branches_do_not_show(variant, tmp_path):
    def part(*numbers):
        keras.utils.set_random_seed(0)
        image = keras.Input((8, 8, 3), name="image")
        first, second = (
            keras.layers.Conv2D(4, 3, activation="relu", name=f"conv_{number}")(image)
            for number in numbers
        )
        network = keras.Model(image, keras.layers.Concatenate()([first, second]), name="two")
        folder = tmp_path / "_".join(map(str, numbers))
        functions = {"convert": functools.partial(conversion.convert_floats, network)}
        conversion.write_saved_model(functions, {"convert": (8, 8, 3)}, "float32", folder)
        return bytes(conversion.to_tflite(folder, "convert", variant))

    def described(content):
        model = schema.ModelT.InitFromPackedBuf(content, 0)
        (graph,) = model.subgraphs
        convolutions = [o for o in graph.operators if len(o.inputs) == 3]
        weights = [model.buffers[graph.tensors[o.inputs[1]].buffer].data for o in convolutions]
        held = [w.tobytes() for w in weights if w is not None]
        return held, {m.name for m in model.metadata}

    about = {"name": "converter", "variant": variant, "card": CARD}
    nine, ten = part(9, 10), part(10, 11)
    content = metadata.assemble([nine], **about)
    assert content == metadata.assemble([ten], **about)
    # TensorFlow's order by names differs: 10 is before 9.
    if variant != "float16":  # whose weights stand behind operators that make them float32
        assert described(nine)[0] == described(ten)[0][::-1]
    noted = described(nine)[1] - {b"CONVERSION_METADATA"}
    assert described(content)[1] == noted | {b"TFLITE_METADATA"}
    assert (b"reduced_precision_support" in noted) == (variant == "float16")


def test_reading_needs_no_training_framework(exported):
    code = (
        "import sys, export\n"
        f"assert export.read_metadata({str(file(exported))!r})['preset'] == 'demo'\n"
        "assert not {'tensorflow', 'keras'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True)

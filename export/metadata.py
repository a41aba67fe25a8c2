"""Metadata of an exported TFLite file, in the public format of TFLite Metadata.

The format (`metadata_schema.fbs` of tflite-support, version 1.1.0): a buffer of the model named
`TFLITE_METADATA` holds a flatbuffer with the identifier `M001`, and the files that it names are
appended to the model as an uncompressed ZIP archive. Any tool that knows the format reads name,
version, description, licence, tensors and normalization, and `unzip` reads the files:

- `keras_pixdt.json`: everything that has no field in the schema (preset, data, variant,
  fingerprint, and the SHA-256 of the model before the archive);
- `labels.txt`: the categories of the products, if there are any, one per line.

Reading needs no TensorFlow.
"""

from __future__ import annotations

import dataclasses
import importlib.metadata
import io
import json
import os
import zipfile
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema
from flatbuffers.table import Table

from export import joining
from export.joining import MODEL_IDENTIFIER
from export.runtime import CARD, DIGEST, EMBED, EMBEDDING, FLOW, IMAGE, REVERSE, digest

BUFFER = b"TFLITE_METADATA"
IDENTIFIER = b"M001"
LABELS = "labels.txt"
LICENCE = (
    "The weights: as the owner of the training data allows. "
    "The code that made them: keras_pixdt, Apache-2.0."
)
_PARSER = "1.0.0"  # version of the schema: no field here is newer
# What `flow` gives. Who composes a drawing reads it here.
_MAPS = {
    "flow": "Where each pixel comes from in the photo: x to the right and y down, in [-1, 1] from "
    "the outer edge of the first pixel to that of the last",
    "mask": "Logits, garment against white. The sigmoid comes after enlarging: edges stay sharp",
    "gate": "Logits, moved pixels against paint. The sigmoid comes after enlarging: edges stay "
    "sharp",
    "paint": "What the photo does not show, RGB. The tanh, to [-1, 1], comes after enlarging",
}
# Values of the schema's enumerations and unions.
_FEATURES, _PICTURE = 1, 2  # ContentProperties
_RGB = 1  # ColorSpaceType
_NORMALIZATION = 1  # ProcessUnitOptions
_DESCRIPTIONS = 1  # AssociatedFileType


@dataclasses.dataclass(frozen=True)
class ModelCard:
    """Information about a model's origin, for its files.

    Attributes:
        preset: name of the preset that it was trained with.
        data: the data it was trained on.
        categories: categories of the products that it draws.
        licence: licence of the file.
        embedder_fingerprint: fingerprint of the embedder in the file, to detect an index made with
            another one.
        resize: how photos are brought to the size that the model takes, "letterbox" or "stretch".
    """

    preset: str = ""
    data: str = ""
    categories: tuple[str, ...] = ()
    licence: str = LICENCE
    embedder_fingerprint: str = ""
    resize: str = "letterbox"

    def photo(self, shape: Sequence[int]) -> str:
        """A description of the model's input, (height, width, 3), for people."""
        if self.resize == "letterbox":
            return "RGB, letterboxed on white"
        return f"RGB, stretched to a {'square' if shape[0] == shape[1] else 'rectangle'}"


def assemble(parts: Sequence[bytes], *, name: str, variant: str, card: ModelCard) -> bytes:
    """Joins models with one signature each into one file, with metadata.

    The parts share weights where these are the same, and otherwise stay as they are. So an 8-bit
    converter can be joined with an embedder that returns floats, which a single conversion of both
    could not produce.

    Args:
        parts: TFLite models of one subgraph and one signature, `convert` first.
        name: name of the model.
        variant: how its weights are stored.
        card: information about its origin.

    Returns:
        The file. The same arguments give the same bytes.

    Raises:
        ValueError: a part has more than one subgraph (it branches or loops) or signature.
    """
    model = joining.join(parts)
    # Everything that has no field in the schema.
    facts = {
        "variant": variant,
        "preset": card.preset,
        "data": card.data,
        "embedder_fingerprint": card.embedder_fingerprint,
    }
    if card.resize != "letterbox":  # absent in older files, which are letterboxed
        facts["resize"] = card.resize
    files = {CARD: ""}
    if card.categories:
        files[LABELS] = "".join(f"{category}\n" for category in card.categories)
    builder = flatbuffers.Builder(4096)
    signatures = {s.signatureKey.decode(): _outputs(model, s) for s in model.signatureDefs}
    photo = card.photo(_takes(model))
    fields = _model_fields(name, card, signatures, files, photo, quantized=variant == "int8")
    builder.Finish(_write(builder, fields), file_identifier=IDENTIFIER)
    model.metadata.append(schema.MetadataT(name=BUFFER, buffer=len(model.buffers)))
    model.buffers.append(schema.BufferT(data=np.frombuffer(builder.Output(), np.uint8)))
    content = joining.pack(model)
    facts[DIGEST] = digest(content)
    files[CARD] = json.dumps(facts, indent=1) + "\n"
    return _with_files(content, files)


def _takes(model: schema.ModelT) -> list[int]:
    """Height, width and channels of the images that the first signature takes."""
    signature = model.signatureDefs[0]
    tensors = model.subgraphs[signature.subgraphIndex].tensors
    return list(tensors[signature.inputs[0].tensorIndex].shape[1:])


def _outputs(model: schema.ModelT, signature: schema.SignatureDefT) -> list[str]:
    """The names of a signature's outputs, in the order of its graph, which metadata have too."""
    names = {entry.tensorIndex: entry.name.decode() for entry in signature.outputs}
    return [names[int(index)] for index in model.subgraphs[signature.subgraphIndex].outputs]


def _with_files(content: bytes, files: Mapping[str, str]) -> bytes:
    """Appends a ZIP archive. `ZipInfo` without a date always has the same date."""
    whole = io.BytesIO(content)
    with zipfile.ZipFile(whole, "a", zipfile.ZIP_STORED) as archive:
        for name, text in files.items():
            entry = zipfile.ZipInfo(name)
            entry.create_system = 3  # as on Unix, on every system
            archive.writestr(entry, text)
    return whole.getvalue()


def _model_fields(
    name: str,
    card: ModelCard,
    signatures: Mapping[str, Sequence[str]],
    files: Mapping[str, str],
    photo: str,
    quantized: bool,
) -> dict[int, Any]:
    """The table `ModelMetadata`, by field numbers of the schema, as are all tables here.

    `signatures` has the outputs of each.
    """
    facts = [("preset", card.preset), ("data", card.data)]
    description = (
        "Between two domains of images, both ways"
        if REVERSE in signatures
        else "From a photo of a dressed person to the product image of the garment"
    )
    description += "".join(f"; {fact}: {value}" for fact, value in facts if value) + "."
    about = {
        CARD: "What made the model, as JSON",
        LABELS: "The categories of the products, one a line",
    }
    return {
        0: name,
        1: description,
        2: importlib.metadata.version("keras-pixdt"),
        3: [
            _graph_fields(signature, outputs, REVERSE in signatures, quantized, photo)
            for signature, outputs in signatures.items()
        ],
        5: card.licence,
        6: [{0: file, 1: about[file], 2: _DESCRIPTIONS} for file in files],
        7: _PARSER,
    }


def _graph_fields(
    signature: str, outputs: Sequence[str], both_ways: bool, quantized: bool, photo: str
) -> dict[int, Any]:
    """`SubGraphMetadata`: inputs and outputs."""
    source = f"Photo of a dressed person, {photo}"
    target = "Product image, RGB, white around the garment"
    about = "From a photo to the product image"
    if both_ways:
        source, target = (f"Image of the {x} domain, {photo}" for x in ("first", "second"))
        about = "From an image of the first domain to one of the second"
    if signature == EMBED:
        return {
            0: EMBED,
            1: "From such an image to the vector that they are searched with."
            if both_ways
            else "From a product image to the vector that products are searched with.",
            2: [_image_fields(target, quantized=False)],
            3: [
                {
                    0: EMBEDDING,
                    1: "Vector of length 1: inner products are cosines",
                    3: {0: _FEATURES, 1: {}},
                    5: {0: [1.0], 1: [-1.0]},
                }
            ],
        }
    if signature == FLOW:
        return {
            0: FLOW,
            1: "From a photo to the maps of which a product image of any size is composed. Enlarge "
            "them bilinearly, and multiply the logits of the mask by how many times; sample the "
            "photo itself, however large, where the flow points; then "
            "mask x (gate x moved photo + (1 - gate) x paint) + (1 - mask) x white.",
            2: [_image_fields(source, quantized=False)],
            3: [{0: name, 1: _MAPS[name], 3: {0: _FEATURES, 1: {}}} for name in outputs],
        }
    if signature == REVERSE:
        source, target = target, source
        about = "From an image of the second domain to one of the first"
    return {
        0: signature,
        1: f"{about}. Bytes go in and bytes come out.",
        2: [_image_fields(source, quantized)],
        3: [_image_fields(target, quantized)],
    }


def _image_fields(description: str, quantized: bool) -> dict[int, Any]:
    """`TensorMetadata` of an image in bytes.

    According to the schema, a quantized model has the same normalization to [-1, 1] as the float
    model, and its quantization undoes it. The others take the bytes as they are.
    """
    mean, std = (127.5, 127.5) if quantized else (0.0, 1.0)
    return {
        0: IMAGE,
        1: description,
        3: {0: _PICTURE, 1: {0: _RGB}},
        4: [{0: _NORMALIZATION, 1: {0: [mean], 1: [std]}}],
        5: {0: [255.0], 1: [0.0]},
    }


def _write(builder: flatbuffers.Builder, fields: Mapping[int, Any]) -> int:
    """Writes a table: field number -> byte (int), string, table (mapping), or list of these."""
    offsets = {k: _write_value(builder, v) for k, v in fields.items() if not isinstance(v, int)}
    builder.StartObject(max(fields, default=-1) + 1)
    for number, value in fields.items():
        if isinstance(value, int):
            builder.PrependInt8Slot(number, value, 0)
        else:
            builder.PrependUOffsetTRelativeSlot(number, offsets[number], 0)
    return builder.EndObject()


def _write_value(builder: flatbuffers.Builder, value: Any) -> int:
    if isinstance(value, str):
        return builder.CreateString(value)
    if isinstance(value, Mapping):
        return _write(builder, value)
    if isinstance(value[0], float):
        return builder.CreateNumpyVector(np.array(value, np.float32))
    offsets = [_write_value(builder, item) for item in value]
    builder.StartVector(4, len(offsets), 4)
    for offset in reversed(offsets):
        builder.PrependUOffsetTRelative(offset)
    return builder.EndVector()


def read_metadata(path: str | os.PathLike[str]) -> dict[str, Any]:
    """Reads the metadata of a TFLite file.

    Args:
        path: a `.tflite` file that `export_converter` wrote.

    Returns:
        `name`, `description`, `version` (of the package), `licence`, `signatures` (name ->
        `description`, `inputs` and `outputs`, each a list of `name`, `description`, and `mean` and
        `std` of the normalization where there is one), `categories`, `preset`, `data`, `variant`,
        `embedder_fingerprint`, `resize`.

    Raises:
        FileNotFoundError: there is no such file.
        ValueError: it is not a TFLite file, is damaged, or has no metadata of this package.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(f"there is no TFLite file at {str(path)!r}")
    content = path.read_bytes()
    if content[4:8] != MODEL_IDENTIFIER:
        raise ValueError(
            f"{str(path)!r} is not a TFLite file: it must have {MODEL_IDENTIFIER.decode()!r} at "
            f"byte 4. Received: {content[4:8]!r}"
        )
    try:
        return _read(content)
    except Exception as error:  # of NumPy, flatbuffers, json or zipfile, for bytes that differ
        raise ValueError(
            f"{str(path)!r} is damaged, or not a file that this package exported: its metadata "
            f"cannot be read ({error}). Export the model again"
        ) from error


def _read(content: bytes) -> dict[str, Any]:
    model = schema.Model.GetRootAs(content, 0)
    entries = [model.Metadata(i) for i in range(model.MetadataLength())]
    buffers = [entry.Buffer() for entry in entries if entry.Name() == BUFFER]
    if not buffers:
        raise ValueError(f"no buffer has the name {BUFFER.decode()}")
    packed = model.Buffers(buffers[0]).DataAsNumpy().tobytes()
    if packed[4:8] != IDENTIFIER:
        raise ValueError(f"the metadata must have {IDENTIFIER.decode()!r} at byte 4")
    root = Table(packed, int.from_bytes(packed[:4], "little"))
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        files = {name: archive.read(name).decode() for name in archive.namelist()}
    facts = json.loads(files[CARD])
    facts.pop(DIGEST, None)  # it is about the bytes only
    return {
        "name": _string(root, 0),
        "description": _string(root, 1),
        "version": _string(root, 2),
        "licence": _string(root, 5),
        "signatures": {
            _string(graph, 0): {
                "description": _string(graph, 1),
                "inputs": [_read_tensor(tensor) for tensor in _tables(graph, 2)],
                "outputs": [_read_tensor(tensor) for tensor in _tables(graph, 3)],
            }
            for graph in _tables(root, 3)
        },
        "categories": files.get(LABELS, "").splitlines(),
        "resize": "letterbox",
        **facts,
    }


def _read_tensor(tensor: Table) -> dict[str, Any]:
    fields: dict[str, Any] = {"name": _string(tensor, 0), "description": _string(tensor, 1)}
    for unit in _tables(tensor, 4):
        options = Table(unit.Bytes, unit.Indirect(_position(unit, 1)))
        fields |= {"mean": _floats(options, 0), "std": _floats(options, 1)}
    return fields


def _position(table: Table, number: int) -> int:
    """The position of a field; 0 if it is left out."""
    offset = table.Offset(4 + 2 * number)
    return table.Pos + offset if offset else 0


def _string(table: Table, number: int) -> str:
    position = _position(table, number)
    return table.String(position).decode() if position else ""


def _vector(table: Table, number: int) -> tuple[int, int]:
    """The position and number of a vector's items."""
    offset = table.Offset(4 + 2 * number)
    return (table.Vector(offset), table.VectorLen(offset)) if offset else (0, 0)


def _tables(table: Table, number: int) -> list[Table]:
    start, count = _vector(table, number)
    return [Table(table.Bytes, table.Indirect(start + 4 * i)) for i in range(count)]


def _floats(table: Table, number: int) -> list[float]:
    start, count = _vector(table, number)
    return np.frombuffer(table.Bytes, "<f4", count, start).tolist()

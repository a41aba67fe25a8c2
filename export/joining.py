"""Joins TFLite models of one signature each, in an order that does not depend on names.

The same weights in several models are stored once.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

MODEL_IDENTIFIER = b"TFL3"
_MINIMUM_RUNTIME = b"min_runtime_version"
_CONVERSION = b"CONVERSION_METADATA"


def join(parts: Sequence[bytes]) -> schema.ModelT:
    """Joins models, which share weights where these are the same, and nothing else.

    Args:
        parts: TFLite models of one subgraph and one signature.

    Returns:
        The model. The same networks give the same one, whatever their layers are called.

    Raises:
        ValueError: a part has more than one subgraph (it branches or loops) or signature.
    """
    model, *others = (
        schema.ModelT.InitFromObj(schema.Model.GetRootAs(bytes(part), 0)) for part in parts
    )
    for part in (model, *others):
        counts = len(part.subgraphs), len(part.signatureDefs or ())
        if counts != (1, 1):
            raise ValueError(
                "each part must have one subgraph, without branches and loops, and one signature. "
                f"Received: {counts[0]} subgraphs, {counts[1]} signatures"
            )
        _normalize(part)
    for other in others:
        _append(model, other)
    return model


def _normalize(part: schema.ModelT) -> None:
    """Orders operators, tensors and buffers by their position in the graph, and names by that.

    Keras numbers layers by how many were made before, and TensorFlow's converter orders parallel
    branches and constants by names derived from these, so the same weights would give different
    bytes in another process. The converter's note on the conversion is dropped, because it contains
    a hash of those bytes.
    """
    (graph,), (signature,) = part.subgraphs, part.signatureDefs
    _order_operators(part, graph)
    met = [*graph.inputs]
    for operator in graph.operators:
        met += [*operator.inputs, *operator.outputs]
    met += range(len(graph.tensors))
    order = list(dict.fromkeys(int(index) for index in met if index >= 0))  # -1: left out
    places = {index: place for place, index in enumerate(order)} | {-1: -1}
    graph.tensors = [graph.tensors[index] for index in order]
    for holder in (graph, *graph.operators):
        for name in ("inputs", "outputs", "intermediates"):
            if (indices := getattr(holder, name, None)) is not None:
                setattr(holder, name, [places[int(index)] for index in indices])
    for entry in (*signature.inputs, *signature.outputs):
        entry.tensorIndex = places[entry.tensorIndex]

    part.metadata = [entry for entry in part.metadata or () if entry.name != _CONVERSION]
    holders = (*graph.tensors, *part.metadata)
    order = list(dict.fromkeys([0, *(holder.buffer for holder in holders)]))
    places = {index: place for place, index in enumerate(order)}
    part.buffers = [part.buffers[index] for index in order]
    for holder in holders:
        holder.buffer = places[holder.buffer]

    graph.name = signature.signatureKey
    for index, tensor in enumerate(graph.tensors):
        tensor.name = f"{signature.signatureKey.decode()}/{index}"


def _order_operators(part: schema.ModelT, graph: schema.SubGraphT) -> None:
    """Each operator after those that it depends on, depth first, from the outputs of the graph."""
    makers = {int(index): operator for operator in graph.operators for index in operator.outputs}
    ordered: dict[int, Any] = {}
    pending = [(makers.get(int(index)), False) for index in reversed(graph.outputs)]
    while pending:
        operator, ready = pending.pop()
        if operator is None or id(operator) in ordered:
            continue
        if ready:
            ordered[id(operator)] = operator
        else:
            pending.append((operator, True))
            pending += [(makers.get(int(index)), False) for index in reversed(operator.inputs)]
    if len(ordered) == len(graph.operators):  # else some act without an output: their order counts
        graph.operators = list(ordered.values())
    used = list(dict.fromkeys(operator.opcodeIndex for operator in graph.operators))
    part.operatorCodes = [part.operatorCodes[index] for index in used]
    for operator in graph.operators:
        operator.opcodeIndex = used.index(operator.opcodeIndex)


def _append(model: schema.ModelT, other: schema.ModelT) -> None:
    """Adds the subgraph, signature, operations and weights of another model."""
    codes, graphs = map(len, (model.operatorCodes, model.subgraphs))
    tensors = [tensor for graph in model.subgraphs for tensor in graph.tensors]
    places = {_content(model.buffers[tensor.buffer]): tensor.buffer for tensor in tensors}
    places[b""] = 0  # of all tensors without a value
    for graph in other.subgraphs:
        for tensor in graph.tensors:
            content = _content(other.buffers[tensor.buffer])
            if content not in places:
                places[content] = len(model.buffers)
                model.buffers.append(other.buffers[tensor.buffer])
            tensor.buffer = places[content]
        for operator in graph.operators:
            operator.opcodeIndex += codes
    for signature in other.signatureDefs:
        signature.subgraphIndex += graphs
    own, needed = _minimum_runtime(model), _minimum_runtime(other)
    if own and needed:
        own.data = max(own.data, needed.data, key=_version)
    model.operatorCodes += other.operatorCodes
    model.subgraphs += other.subgraphs
    model.signatureDefs += other.signatureDefs


def _content(buffer: schema.BufferT) -> bytes:
    return b"" if buffer.data is None else buffer.data.tobytes()


def _minimum_runtime(model: schema.ModelT) -> schema.BufferT | None:
    entries = [m.buffer for m in model.metadata if m.name == _MINIMUM_RUNTIME]
    return model.buffers[entries[0]] if entries else None


def _version(data: np.ndarray) -> tuple[int, ...]:
    return tuple(map(int, data.tobytes().rstrip(b"\0").split(b".")))


class _AlignedBuffer(schema.BufferT):
    """A buffer that begins at a multiple of 16, as the schema of the models demands.

    The packer of `ai_edge_litert` does not do this, and kernels read weights in place.
    """

    def Pack(self, builder: flatbuffers.Builder) -> int:  # noqa: N802, the packer calls it
        data = _content(self)
        if data:
            builder.StartVector(1, len(data), 16)
            builder.head -= len(data)
            builder.Bytes[builder.head : builder.head + len(data)] = data
            vector = builder.EndVector()
        schema.BufferStart(builder)
        if data:
            schema.BufferAddData(builder, vector)
        return schema.BufferEnd(builder)


def pack(model: schema.ModelT) -> bytes:
    """The bytes of a model."""
    model.buffers = [_AlignedBuffer(data=buffer.data) for buffer in model.buffers]
    weights = sum(buffer.data.nbytes for buffer in model.buffers if buffer.data is not None)
    builder = flatbuffers.Builder(weights + (1 << 20))  # growing would copy everything again
    builder.Finish(model.Pack(builder), file_identifier=MODEL_IDENTIFIER)
    return bytes(builder.Output())

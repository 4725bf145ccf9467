"""Outputs with data-dependent shapes: lengths that the values of the rows decide, not their shapes alone."""

from __future__ import annotations

from collections.abc import Iterator

import onnx

from sqlinfer.graphs.build import with_bodies

__all__ = ["data_dependent_outputs"]

# Operators that find as many things as there are.
_FINDING = {"Compress", "Loop", "NonMaxSuppression", "NonZero", "StringSplit", "Tokenizer", "Unique"}
# Operators that are told a length, and the inputs that tell it.
_TOLD = {
    "CenterCropPad": (1,),
    "ConstantOfShape": (0,),
    "Expand": (1,),
    "If": (0,),
    "MaxUnpool": (2,),
    "OneHot": (1,),
    "Pad": (1,),
    "Range": (0, 1, 2),
    "Reshape": (1,),
    "Resize": (1, 2, 3),
    "SequenceAt": (1,),
    "Slice": (1, 2, 3, 4),
    "Split": (1,),
    "SplitToSequence": (1,),
    "Tile": (1,),
    "TopK": (1,),
    "Upsample": (1,),
}
_MEASURING = {"Shape", "Size", "SequenceLength"}
_DOMAINS = {"", "ai.onnx", "ai.onnx.ml", "com.microsoft"}


def data_dependent_outputs(model: onnx.ModelProto) -> frozenset[str]:
    """Follow the values of the inputs through the graph, to where one of them becomes a length."""
    graph = model.graph
    functions = {(function.domain, function.name): function for function in model.functions}
    constant = {tensor.name for tensor in (*graph.initializer, *(s.values for s in graph.sparse_initializer))}
    values = {value.name for value in graph.input} - constant
    data_dependent: set[str] = set()
    for node in graph.node:
        used = set(_used(node))
        if used & data_dependent or _finds(node, functions) or _has_computed_shape(node, values):
            data_dependent.update(node.output)
        if used & (data_dependent if node.op_type in _MEASURING else values):
            values.update(node.output)
    return frozenset(output.name for output in graph.output if output.name in data_dependent)


def _used(node: onnx.NodeProto) -> Iterator[str]:
    """The values that a node takes, those that its bodies see by name among them."""
    yield from node.input
    for body in _bodies(node):
        for part in with_bodies(body):
            for inner in part.node:
                yield from inner.input


def _finds(node: onnx.NodeProto, functions: dict[tuple[str, str], onnx.FunctionProto]) -> bool:
    function = functions.get((node.domain, node.op_type))
    if function is not None:
        return any(inner.op_type in _FINDING for part in with_bodies(function) for inner in part.node)
    if node.op_type in _FINDING or node.domain not in _DOMAINS:
        return True
    return any(inner.op_type in _FINDING for body in _bodies(node) for part in with_bodies(body) for inner in part.node)


def _has_computed_shape(node: onnx.NodeProto, values: set[str]) -> bool:
    return any(i < len(node.input) and node.input[i] in values for i in _TOLD.get(node.op_type, ()))


def _bodies(node: onnx.NodeProto) -> Iterator[onnx.GraphProto]:
    for attribute in node.attribute:
        yield from (body for body in (attribute.g, *attribute.graphs) if body.node or body.output)

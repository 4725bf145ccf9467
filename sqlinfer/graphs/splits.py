"""What a graph tells values apart by: the thresholds of its trees, what it compares columns with, its categories."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

import numpy as np
import onnx
from onnx import numpy_helper

from sqlinfer.models.signature import Feature

__all__ = ["Splits", "splits"]

_PASSES = ("Cast", "Identity")
_COMPARES = ("Greater", "GreaterOrEqual", "Less", "LessOrEqual")
_WHOLES = ("cats_int64s", "keys_int64s")
_MOST_CATEGORIES = 2000


@dataclass(frozen=True, slots=True)
class Splits:
    """``thresholds``: by feature, in order. ``texts`` and ``wholes``: the categories of any feature."""

    thresholds: dict[str, list[float]] = field(default_factory=dict)
    texts: tuple[str, ...] = ()
    wholes: tuple[int, ...] = ()


def splits(model: onnx.ModelProto, features: Sequence[Feature]) -> Splits:
    graph = model.graph
    made_by = {output: node for node in graph.node for output in node.output}
    constants = {tensor.name: tensor for tensor in graph.initializer}
    found: dict[str, set[float]] = {}
    for node in graph.node:
        if node.op_type in _COMPARES:
            for name, bound in _compared(node, made_by, features, constants):
                found.setdefault(name, set()).add(bound)
        columns = _columns(node.input[0], made_by, features) if node.op_type.startswith("TreeEnsemble") else None
        if columns is not None:
            numbers, values = _thresholds(node)
            for number in np.unique(numbers[numbers < len(columns)]):
                found.setdefault(columns[number], set()).update(np.unique(values[numbers == number]).tolist())
    texts = dict.fromkeys(text for text in _texts(graph) if text)
    wholes = dict.fromkeys(
        whole
        for node in graph.node
        for attribute in node.attribute
        if attribute.name in _WHOLES
        for whole in attribute.ints
    )
    return Splits(
        {name: sorted(values) for name, values in found.items()},
        tuple(texts)[:_MOST_CATEGORIES],
        tuple(wholes)[:_MOST_CATEGORIES],
    )


def _compared(
    node: onnx.NodeProto,
    made_by: dict[str, onnx.NodeProto],
    features: Sequence[Feature],
    constants: dict[str, onnx.TensorProto],
) -> Iterator[tuple[str, float]]:
    """The features that a node compares with numbers, and each number."""
    for value, other in (node.input, reversed(node.input)):
        columns = _picked(value, made_by, features, constants) if other in constants else None
        bounds = numpy_helper.to_array(constants[other]).ravel() if columns else np.empty(0)
        if columns and len(bounds) in (1, len(columns)) and bounds.dtype.kind == "f" and np.isfinite(bounds).all():
            yield from zip(columns, np.broadcast_to(bounds, len(columns)).tolist(), strict=True)


def _picked(
    value: str,
    made_by: dict[str, onnx.NodeProto],
    features: Sequence[Feature],
    constants: dict[str, onnx.TensorProto],
) -> list[str] | None:
    """As `_columns`, also of some columns: one after the other, or those of the numbers that a node has."""
    node = made_by.get(value)
    if node is None or node.op_type not in ("Gather", "Slice"):
        return _columns(value, made_by, features)
    columns = _columns(node.input[0], made_by, features)
    numbers = [numpy_helper.to_array(constants[name]).ravel().tolist() for name in node.input[1:] if name in constants]
    if columns is None or len(numbers) != len(node.input) - 1:
        return None
    if node.op_type == "Gather":
        return [columns[i] for i in numbers[0]] if all(i < len(columns) for i in numbers[0]) else None
    return columns[numbers[0][0] : numbers[1][0]] if len(numbers) == 3 and numbers[2] == [1] else None


def _columns(value: str, made_by: dict[str, onnx.NodeProto], features: Sequence[Feature]) -> list[str] | None:
    """The features that are the columns of a value, in their order; None where they are changed on the way."""
    mine = sorted((f for f in features if f.tensor == value), key=lambda f: f.column or 0)
    if mine:
        return [feature.name for feature in mine]
    node = made_by.get(value)
    if node is None or not (node.op_type in _PASSES or node.op_type == "Concat"):
        return None
    parts = [_columns(name, made_by, features) for name in node.input]
    return None if any(part is None for part in parts) else [name for part in parts for name in part or ()]


def _thresholds(node: onnx.NodeProto) -> tuple[np.ndarray, np.ndarray]:
    """Of each split, the number of its column and its threshold."""
    attributes = {attribute.name: attribute for attribute in node.attribute}
    tensors = [attributes[name].t for name in ("nodes_splits", "nodes_values_as_tensor") if name in attributes]
    if tensors:
        values = numpy_helper.to_array(tensors[0]).astype(np.float64)
    elif "nodes_values" in attributes:
        values = np.array(attributes["nodes_values"].floats, np.float32).astype(np.float64)
    else:
        return np.empty(0, np.int64), np.empty(0)
    columns = np.array(attributes["nodes_featureids"].ints, np.int64)
    modes = attributes["nodes_modes"].strings if "nodes_modes" in attributes else []
    splits = np.isfinite(values) & (np.array(list(modes), object) != b"LEAF" if modes else True)
    return columns[splits], values[splits]


def _texts(graph: onnx.GraphProto) -> Iterator[str]:
    tensors = list(graph.initializer)
    for node in graph.node:
        for attribute in node.attribute:
            yield from (
                text.decode("utf-8", "replace") for text in attribute.strings if attribute.name != "nodes_modes"
            )
            if attribute.HasField("t"):
                tensors.append(attribute.t)
    for tensor in tensors:
        if tensor.data_type == onnx.TensorProto.STRING:
            yield from (text.decode("utf-8", "replace") for text in tensor.string_data)

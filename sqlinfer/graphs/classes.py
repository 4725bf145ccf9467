"""What a graph says of its classes: each output is traced back to the node that knows what its values stand for."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

import numpy as np
import onnx
from onnx import numpy_helper

from sqlinfer.models.signature import Label

__all__ = ["Classes", "classes_of"]

_CLASSIFIERS = {"TreeEnsembleClassifier", "LinearClassifier", "SVMClassifier"}
_LOOKUPS = {"ArrayFeatureExtractor", "Gather"}
# These leave a value what it is, or the columns of a matrix where they are.
_FORM = {"Cast", "Identity", "Reshape", "Squeeze", "Flatten"}
_COLUMNS = {"Cast", "Identity", "Normalizer", "Softmax"}


@dataclass(frozen=True, slots=True)
class Classes:
    """``labels``, as the file has them for one output: it holds a *label* a row, or the *scores* of a classifier, one
    column each, or it was the *map* of a ZipMap, which says which score is whose.

    ``source``: the first output of the node that says it. Only a map, and a label and scores that one node makes, are
    beyond doubt: an ensemble's inner classifiers may have other labels than the ensemble.
    """

    labels: tuple[Label, ...]
    of: Literal["label", "scores", "map"]
    source: str


def classes_of(graph: onnx.GraphProto) -> dict[str, Classes]:
    """By output, where the graph says it."""
    producers = {made: node for node in graph.node for made in node.output}
    tables = {tensor.name: tensor for tensor in graph.initializer}
    constants = {node.output[0]: _constant(node) for node in graph.node if node.op_type == "Constant" and node.output}
    tables |= {name: table for name, table in constants.items() if table is not None}
    found = {output.name: _traced(output.name, producers, tables) for output in graph.output}
    return {name: classes for name, classes in found.items() if classes is not None and classes.labels}


def _traced(
    name: str, producers: Mapping[str, onnx.NodeProto], tables: Mapping[str, onnx.TensorProto]
) -> Classes | None:
    passed: set[str] = set()
    for _ in range(len(producers)):  # a damaged graph may go round in circles
        node = producers.get(name)
        if node is None or not node.input:
            return None
        if node.op_type == "ZipMap":
            return Classes(_attributes(node), "map", node.output[0])
        if node.op_type in _CLASSIFIERS and name == node.output[0]:
            return Classes(_attributes(node), "label", node.output[0]) if passed <= _FORM else None
        if node.op_type in _CLASSIFIERS:
            return Classes(_attributes(node), "scores", node.output[0]) if passed <= _COLUMNS else None
        if node.op_type in _LOOKUPS and passed <= _FORM:
            table = tables.get(node.input[0])
            return None if table is None else Classes(_values(table), "label", node.output[0])
        passed.add(node.op_type)
        if node.op_type not in _FORM | _COLUMNS:
            return None
        name = node.input[0]
    return None


def _attributes(node: onnx.NodeProto) -> tuple[Label, ...]:
    for attribute in node.attribute:
        if attribute.name.startswith("classlabels") and (attribute.strings or attribute.ints):
            return tuple(text.decode() for text in attribute.strings) or tuple(attribute.ints)
    return ()


def _constant(node: onnx.NodeProto) -> onnx.TensorProto | None:
    table: onnx.TensorProto | None = None
    for attribute in node.attribute:
        if attribute.name == "value":
            table = attribute.t
        elif attribute.name in ("value_strings", "value_ints"):
            values = np.array(list(attribute.strings), object) if attribute.strings else np.array(list(attribute.ints))
            table = numpy_helper.from_array(values)
    return table


def _values(table: onnx.TensorProto) -> tuple[Label, ...]:
    """A table of texts or whole numbers."""
    values = numpy_helper.to_array(table).ravel().tolist()
    texts = [value.decode() if isinstance(value, bytes) else value for value in values]
    return tuple(texts) if all(isinstance(text, (str, int)) for text in texts) else ()

"""What skl2onnx writes → what ONNX Runtime answers exactly as scikit-learn does."""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

__all__ = ["impute_in_double", "tree_forms", "use_any_locale"]


def tree_forms(model: onnx.ModelProto) -> Iterator[tuple[str, onnx.ModelProto]]:
    """In a graph of doubles, scikit-learn's trees still compare in single precision: cast before and after them.

    ONNX Runtime's trees answer in single precision, while skl2onnx declares double.
    """
    trees = [node.name for node in model.graph.node if node.op_type.startswith("TreeEnsemble")]
    double = any(i.type.tensor_type.elem_type == TensorProto.DOUBLE for i in model.graph.input)
    if trees and double:
        yield ", trees in single precision", _cast_around_trees(model, to_double=True)
        yield ", trees in single precision, answers too", _cast_around_trees(model, to_double=False)
    yield "", model


def use_any_locale(model: onnx.ModelProto) -> None:
    """Text is lowered as in en_US unless the graph says otherwise, a locale that slim machines do not have; C is on
    all. The proof decides."""
    for node in model.graph.node:
        if node.op_type == "StringNormalizer":
            others = [attribute for attribute in node.attribute if attribute.name != "locale"]
            del node.attribute[:]
            node.attribute.extend([*others, helper.make_attribute("locale", "C")])


def impute_in_double(model: onnx.ModelProto) -> onnx.ModelProto:
    """ONNX Runtime imputes in single precision only: in a graph of doubles, say the same with IsNaN and Where."""
    graph = model.graph
    nodes: list[onnx.NodeProto] = []
    for node in graph.node:
        values: list[float] = next((list(a.floats) for a in node.attribute if a.name == "imputed_value_floats"), [])
        if node.op_type != "Imputer" or not values:
            nodes.append(node)
            continue
        source, (result,) = node.input[0], node.output
        constant, missing, wide = f"{result}_imputed", f"{result}_missing", f"{result}_wide"
        graph.initializer.append(numpy_helper.from_array(np.array([list(values)], np.float64), constant))
        nodes += [
            helper.make_node("Cast", [source], [wide], to=TensorProto.DOUBLE),
            helper.make_node("IsNaN", [wide], [missing]),
            helper.make_node("Where", [missing, constant, wide], [result]),
        ]
    del graph.node[:]
    graph.node.extend(nodes)
    return model


def _cast_around_trees(model: onnx.ModelProto, *, to_double: bool) -> onnx.ModelProto:
    copy = onnx.ModelProto()
    copy.CopyFrom(model)
    graph = copy.graph
    declared = {o.name: o.type.tensor_type.elem_type for o in graph.output}
    nodes = []
    for node in list(graph.node):
        if not node.op_type.startswith("TreeEnsemble"):
            nodes.append(node)
            continue
        single = f"{node.input[0]}_single_{len(nodes)}"
        nodes.append(helper.make_node("Cast", [node.input[0]], [single], to=TensorProto.FLOAT))
        node.input[0] = single
        nodes.append(node)
        scores = len(node.output) - 1
        name = node.output[scores]
        if declared.get(name, TensorProto.DOUBLE if to_double else TensorProto.FLOAT) == TensorProto.DOUBLE:
            node.output[scores] = f"{name}_single"
            nodes.append(helper.make_node("Cast", [f"{name}_single"], [name], to=TensorProto.DOUBLE))
    del graph.node[:]
    graph.node.extend(nodes)
    return copy

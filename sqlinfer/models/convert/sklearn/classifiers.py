"""Trees that classify, as sums: ONNX Runtime adds a classifier's trees in an order that depends on its threads, and our
kernel computes the sums many times faster.

The operators are those of https://onnx.ai/onnx/operators/index_ai_onnx_ml.html
"""

from __future__ import annotations

import numpy as np
import onnx
from onnx import helper

from sqlinfer.models.convert.boosted import add_label
from sqlinfer.models.convert.graph import GraphBuilder

__all__ = ["classify_by_sums"]


def classify_by_sums(model: onnx.ModelProto) -> onnx.ModelProto:
    """``model``, with a TreeEnsembleRegressor for each TreeEnsembleClassifier, and what makes classes of sums."""
    nodes: list[onnx.NodeProto] = []
    constants: list[onnx.TensorProto] = []
    for i, node in enumerate(model.graph.node):
        graph = GraphBuilder(f"classes_{i}_")
        if node.op_type == "TreeEnsembleClassifier" and _sums(graph, node):
            nodes += graph.nodes
            constants += graph.constants
        else:
            nodes.append(node)
    del model.graph.node[:]
    model.graph.node.extend(nodes)
    model.graph.initializer.extend(constants)
    return model


def _sums(graph: GraphBuilder, node: onnx.NodeProto) -> bool:
    """Write the classifier in ``graph``; whether it is of a form that can be. Of two classes, one may have the sums."""
    known = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    labels = known.get("classlabels_strings") or known.get("classlabels_int64s") or []
    link, counted = known.get("post_transform", b"NONE").decode(), len(set(known["class_ids"]))
    one = len(labels) == 2 and counted == 1
    links = ("NONE", "LOGISTIC") if one else ("NONE", "SOFTMAX")
    if link not in links or not (one or counted == len(labels)) or "class_weights" not in known:
        return False
    trees = {name: value for name, value in known.items() if name.startswith("nodes_") or name == "base_values"}
    sums = graph.add(
        "TreeEnsembleRegressor",
        node.input[0],
        ml=True,
        n_targets=1 if one else len(labels),
        target_ids=[0] * len(known["class_ids"]) if one else known["class_ids"],
        target_nodeids=known["class_nodeids"],
        target_treeids=known["class_treeids"],
        target_weights=known["class_weights"],
        **trees,
    )
    label, scores = node.output
    if one:
        second = graph.add("Sigmoid", sums) if link == "LOGISTIC" else sums
        margins = link == "NONE" and min(known["class_weights"]) < 0
        first = graph.add("Neg", sums) if margins else graph.add("Sub", graph.constant(np.float32(1)), second)
        graph.add("Concat", first, second, axis=1, name=scores)
    elif link == "SOFTMAX":
        graph.add("Softmax", sums, axis=1, name=scores)
    else:
        graph.add("Identity", sums, name=scores)
    add_label(graph, scores, np.array(labels), label)
    return True

"""Trees that classify, as sums: ONNX Runtime adds a classifier's trees in an order that depends on its threads, and our
kernel computes the sums many times faster.

What ONNX Runtime makes of the sums is said nowhere but in its code, and not all of it is what the standard means: of
two classes that both have weights, the second is answered where its score is above 0, and labels that are numbers are 0
and 1 then. It is what other people's files answer. The operators are those of
https://onnx.ai/onnx/operators/index_ai_onnx_ml.html
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from sqlinfer.graphs.build import GraphBuilder, default_opset, element_types, opset_of

__all__ = ["Replaced", "classify_by_sums"]

# Of Where; all the others are as they are written here in older ones, too.
_OPSET = 9
_PREFIX = "sqlinfer_classes"
_ROWS = 512
_LINKS = ("NONE", "LOGISTIC", "SOFTMAX")


@dataclass(frozen=True, slots=True)
class Replaced:
    """A classifier, and what stands in its place, each as a graph of its own; and rows that tell them apart, if
    anything does."""

    before: bytes
    after: bytes
    rows: np.ndarray


@dataclass(frozen=True, slots=True)
class _Classifier:
    """The attributes of a node, as far as its classes go. ``counted``: the classes that have weights."""

    source: str
    known: Mapping[str, Any]
    labels: Sequence[Any]
    counted: list[int]
    link: str
    base: int
    positive: bool

    @property
    def is_single(self) -> bool:
        """Of two classes one has weights, and stands for the other by what is left."""
        return len(self.labels) == 2 and len(self.counted) == 1


def classify_by_sums(model: onnx.ModelProto) -> list[Replaced]:
    """Change ``model``: a TreeEnsembleRegressor for each TreeEnsembleClassifier, and what makes classes of sums."""
    opset = opset_of(model)
    names = {name for node in model.graph.node for name in (*node.input, *node.output)}
    if (opset or _OPSET) < _OPSET or any(name.startswith(_PREFIX) for name in names):
        return []
    wanted = [node for node in model.graph.node if node.op_type == "TreeEnsembleClassifier"]
    kinds = element_types(model) if wanted else {}
    nodes: list[onnx.NodeProto] = []
    replaced: list[Replaced] = []
    for node in model.graph.node:
        graph = GraphBuilder(f"{_PREFIX}_{len(replaced)}_")
        kind = kinds.get(node.input[0]) if node in wanted and node.input else None
        if kind is None or not _write(graph, node, kind):
            nodes.append(node)
            continue
        nodes += graph.nodes
        model.graph.initializer.extend(graph.constants)
        replaced.append(_apart(model, node, graph, kind))
    if replaced:
        del model.graph.node[:]
        model.graph.node.extend(nodes)
        default_opset(model)
    return replaced


def _write(graph: GraphBuilder, node: onnx.NodeProto, kind: int) -> bool:
    """Write the classifier in ``graph``; whether it is of a form that can be."""
    classifier = _classifier(node)
    if classifier is None or kind not in (TensorProto.FLOAT, TensorProto.INT32, TensorProto.INT64):
        return False
    if classifier.is_single and classifier.counted == [0]:
        return _write_single(graph, node, classifier, kind)
    # to a class that has no weights nothing is added
    if classifier.base and not len(classifier.labels) == len(classifier.counted) == classifier.base > 2:
        return False
    sums = _sums(graph, classifier, kind, len(classifier.labels), classifier.known["class_ids"])
    if classifier.is_single:
        _label_of_one(graph, classifier, _second(graph, sums), node.output[0])
    elif len(classifier.labels) == 2:
        above = graph.add("Greater", _second(graph, sums), graph.constant(np.float32(0)))
        text = isinstance(classifier.labels[0], bytes)
        _look_up(graph, above, classifier.labels if text else [0, 1], node.output[0])
    else:
        _label_of_highest(graph, classifier, sums, node.output[0])
    _scores(graph, sums, classifier.link, node.output[1])
    return True


def _second(graph: GraphBuilder, sums: str) -> str:
    return graph.add("Gather", sums, graph.constant(np.array([1], np.int64)), axis=1)


def _classifier(node: onnx.NodeProto) -> _Classifier | None:
    """None for a form that is ONNX Runtime's own to compute."""
    try:
        known = {a.name: helper.get_attribute_value(a) for a in node.attribute}
        labels = known.get("classlabels_strings") or known.get("classlabels_int64s") or []
        ids, weights = known["class_ids"], known["class_weights"]
        leaves = list(zip(known["class_treeids"], known["class_nodeids"], ids, strict=True))
        link = known.get("post_transform", b"NONE").decode()
        base = known.get("base_values", [])
        # what ONNX Runtime adds up twice, or not at all, the kernel does not
        usable = (
            len(node.output) == 2
            and len(labels) > 1
            and link in _LINKS
            and len(weights) == len(ids) == len(set(leaves)) > 0
            and set(ids) <= set(range(len(labels)))
            and all(map(math.isfinite, (*weights, *base)))
            and not any(name.endswith("_as_tensor") for name in known)
            and _is_counted_by_all(known, leaves)
        )
    except (KeyError, TypeError, ValueError, AttributeError, UnicodeDecodeError):
        return None
    if not usable:
        return None
    return _Classifier(node.input[0], known, labels, sorted(set(ids)), link, len(base), min(weights) >= 0)


def _is_counted_by_all(known: Mapping[str, Any], leaves: Sequence[tuple[int, int, int]]) -> bool:
    """Whether every row meets a weight of every class that has any: ONNX Runtime passes over the others."""
    count: dict[tuple[int, int], int] = {}
    for tree, _, label in leaves:
        count[tree, label] = count.get((tree, label), 0) + 1
    sizes: dict[int, int] = {}
    for tree, mode in zip(known["nodes_treeids"], known["nodes_modes"], strict=True):
        sizes[tree] = sizes.get(tree, 0) + (mode == b"LEAF")
    whole = {label for (tree, label), weighed in count.items() if weighed == sizes.get(tree)}
    return whole == {label for _, label in count}


def _sums(graph: GraphBuilder, classifier: _Classifier, kind: int, targets: int, ids: Sequence[int]) -> str:
    known, source = classifier.known, classifier.source
    if kind != TensorProto.FLOAT:
        source = graph.add("Cast", source, to=TensorProto.FLOAT)
    trees = {name: value for name, value in known.items() if name.startswith("nodes_") or name == "base_values"}
    return graph.add(
        "TreeEnsembleRegressor",
        source,
        ml=True,
        n_targets=targets,
        target_ids=list(ids),
        target_nodeids=known["class_nodeids"],
        target_treeids=known["class_treeids"],
        target_weights=known["class_weights"],
        **trees,
    )


def _write_single(graph: GraphBuilder, node: onnx.NodeProto, classifier: _Classifier, kind: int) -> bool:
    """The score of the second class, though the weights are said to be of the first."""
    if classifier.base > 1:
        return False
    sums = _sums(graph, classifier, kind, 1, [0] * len(classifier.known["class_ids"]))
    if classifier.link == "LOGISTIC":
        first, second = _logistic(graph, graph.add("Neg", sums)), _logistic(graph, sums)
    elif classifier.positive:
        first, second = graph.add("Sub", graph.constant(np.float32(1)), sums), sums
    else:
        first, second = graph.add("Neg", sums), sums
    graph.add("Concat", first, second, axis=1, name=node.output[1])
    _label_of_one(graph, classifier, sums, node.output[0])
    return True


def _scores(graph: GraphBuilder, sums: str, link: str, name: str) -> None:
    if link == "LOGISTIC":
        _logistic(graph, sums, name)
    elif link == "SOFTMAX":
        graph.add("Softmax", sums, axis=1, name=name)
    else:
        graph.add("Identity", sums, name=name)


def _logistic(graph: GraphBuilder, source: str, name: str | None = None) -> str:
    """As ONNX Runtime's classifier computes it; Sigmoid cuts off the least probabilities."""
    one = graph.constant(np.float32(1))
    less = graph.add("Exp", graph.add("Neg", graph.add("Abs", source)))
    upper = graph.add("Div", one, graph.add("Add", one, less))
    below = graph.add("Less", source, graph.constant(np.float32(0)))
    return graph.add("Where", below, graph.add("Sub", one, upper), upper, name=name)


def _label_of_one(graph: GraphBuilder, classifier: _Classifier, score: str, name: str) -> None:
    limit = np.float32(0.5 if classifier.positive else 0)
    _look_up(graph, graph.add("Greater", score, graph.constant(limit)), classifier.labels, name)


def _label_of_highest(graph: GraphBuilder, classifier: _Classifier, sums: str, name: str) -> None:
    """The first of equals; a class without weights is none of them."""
    labels, counted = classifier.labels, classifier.counted
    if len(counted) < len(labels):
        sums = graph.add("Gather", sums, graph.constant(np.array(counted, np.int64)), axis=1)
        labels = [labels[place] for place in counted]
    _look_up(graph, graph.add("ArgMax", sums, axis=1, keepdims=0), labels, name)


def _look_up(graph: GraphBuilder, places: str, labels: Sequence[Any], name: str) -> None:
    """The label at each place, of a column of them."""
    flat = graph.constant(np.array([-1], np.int64))
    places = graph.add("Cast", graph.add("Reshape", places, flat), to=TensorProto.INT64)
    table = np.array([list(labels)], object if isinstance(labels[0], bytes) else np.int64)
    found = graph.add("ArrayFeatureExtractor", graph.constant(table), places, ml=True)
    graph.add("Reshape", found, flat, name=name)


def _apart(model: onnx.ModelProto, node: onnx.NodeProto, graph: GraphBuilder, kind: int) -> Replaced:
    known = {attribute.name for attribute in node.attribute}
    label = TensorProto.STRING if "classlabels_strings" in known else TensorProto.INT64
    given = [helper.make_tensor_value_info(node.input[0], kind, [None, None])]
    made = [
        helper.make_tensor_value_info(node.output[0], label, None),
        helper.make_tensor_value_info(node.output[1], TensorProto.FLOAT, None),
    ]
    opsets = list(model.opset_import)
    if not any(opset.domain in ("", "ai.onnx") for opset in opsets):
        opsets.append(helper.make_opsetid("", 13))
    graphs = (
        helper.make_graph([node], "before", given, made),
        helper.make_graph(graph.nodes, "after", given, made, graph.constants),
    )
    models = (helper.make_model(g, opset_imports=opsets, ir_version=model.ir_version) for g in graphs)
    before, after = (model.SerializeToString() for model in models)
    return Replaced(before, after, _rows(node, helper.tensor_dtype_to_np_dtype(kind)))


def _rows(node: onnx.NodeProto, dtype: np.dtype) -> np.ndarray:
    """Of the numbers that the trees compare with, their neighbours, and what is missing or infinite."""
    known = {a.name: helper.get_attribute_value(a) for a in node.attribute}
    features = np.array(known["nodes_featureids"])
    splits = np.array(known["nodes_values"], np.float32)
    random = np.random.default_rng(0)
    rows = np.empty((_ROWS, int(features.max()) + 1), np.float32)
    odd = [0, 1, -1, 0.5] + ([np.nan, np.inf, -np.inf] if dtype == np.float32 else [])
    with np.errstate(over="ignore", invalid="ignore"):
        for feature in range(rows.shape[1]):
            own = np.unique(splits[features == feature]) if feature in features else splits[:0]
            near = [own, np.nextafter(own, np.float32(np.inf)), np.nextafter(own, np.float32(-np.inf))]
            rows[:, feature] = random.choice(np.concatenate([*near, np.array(odd, np.float32)]), _ROWS)
        return np.clip(rows, -(2**30), 2**30).astype(dtype) if dtype != np.float32 else rows

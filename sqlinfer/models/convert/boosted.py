"""What boosted trees of any library have in common: columns → one matrix, sums of trees → answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from sqlinfer.errors import ConversionFailed
from sqlinfer.models.convert.graph import GraphBuilder
from sqlinfer.models.convert.original import Candidate
from sqlinfer.models.convert.trees import Tree, add_trees, needs_sets

__all__ = ["Forest", "add_answers", "add_label", "answers_of_scores", "candidate"]

_ML_OPSET = {False: 3, True: 5}


@dataclass(frozen=True, slots=True)
class Forest:
    """Boosted trees as data. ``link`` turns sums into answers: identity, sigmoid, softmax, exp, …

    ``double``: the library compares and adds in double precision; ``narrow``: it compares in single all the same.
    ``missing``: a number that stands for missing. ``zero_is_missing``: the columns in which a zero is.
    """

    trees: list[Tree]
    outputs: int
    base: Sequence[float]
    link: str
    double: bool
    missing: float = float("nan")
    zero_is_missing: tuple[int, ...] = ()
    narrow: bool = False


def answers_of_scores(scores: np.ndarray) -> dict[str, np.ndarray]:
    """What a booster, which knows classes by their numbers alone, answers: ``scores`` are [rows, classes], or the
    probabilities of the second of two."""
    proba = scores if scores.ndim == 2 else np.stack([1 - scores, scores], axis=1)
    return {"predict": proba.argmax(axis=1), "predict_proba": proba}


def candidate(
    forest: Forest,
    names: Sequence[str],
    categories: Mapping[str, Sequence[Any]],
    *,
    classifier: bool,
    several: Sequence[Sequence[Any]] = (),
) -> Candidate:
    """A graph with one matrix of the numbers, and an input of its own for each feature that has ``categories``.

    ``several``: the classes of each label, of a forest that gives a row several labels.
    """
    graph = GraphBuilder()
    element = TensorProto.DOUBLE if forest.double else TensorProto.FLOAT
    sql = "DOUBLE" if forest.double else "FLOAT"
    numbers = [name for name in names if name not in categories]
    inputs: list[onnx.ValueInfoProto] = []
    features: dict[str, tuple[str, str, str, int | None]] = {}
    parts: list[str] = []
    order: list[str] = []
    if numbers:
        inputs.append(helper.make_tensor_value_info("X", element, [None, len(numbers)]))
        features |= {name: (name, sql, "X", i) for i, name in enumerate(numbers)}
        parts, order = ["X"], list(numbers)
    for name in names:
        if name in categories:
            text = any(isinstance(value, str) for value in categories[name])
            kind = TensorProto.STRING if text else element
            inputs.append(helper.make_tensor_value_info(name, kind, [None, 1]))
            features[name] = (name, "VARCHAR" if text else sql, name, 0)
            parts.append(_codes(graph, name, categories[name], forest.double))
            order.append(name)
    matrix = parts[0] if len(parts) == 1 else graph.add("Concat", *parts, axis=1)
    place = {names.index(name): i for i, name in enumerate(order)}
    for tree in forest.trees:
        tree.feature = [place[feature] for feature in tree.feature]
    answers = add_answers(graph, forest, matrix, classifier=classifier, place=place)
    if several:
        outputs = _several(graph, answers, several, element)
    else:
        name = graph.add("Identity", answers, name="probabilities" if classifier else "prediction")
        outputs = [helper.make_tensor_value_info(name, element, [None, None])]
    version_5 = forest.double or bool(categories) or needs_sets(forest.trees)
    model = graph.model(inputs, outputs, ml_opset=_ML_OPSET[version_5])
    return Candidate(model, [features[name] for name in names], "trees")


def _several(
    graph: GraphBuilder, scores: str, classes: Sequence[Sequence[Any]], element: int
) -> list[onnx.ValueInfoProto]:
    """Scores of all classes of all labels, side by side → a label each, and their probabilities: an output for each
    label, where not all have as many classes."""
    widest = max(map(len, classes))
    table = [value for values in classes for value in (*values, *([values[0]] * (widest - len(values))))]
    text = any(isinstance(value, str) for value in table)
    by_label = graph.add("Reshape", scores, graph.constant(np.array([-1, len(classes), widest], np.int64)))
    best = graph.add("ArgMax", by_label, axis=2, keepdims=0)
    start = graph.constant(np.arange(len(classes), dtype=np.int64) * widest)
    flat = graph.add("Reshape", graph.add("Add", best, start), graph.constant(np.array([-1], np.int64)))
    known = graph.constant(np.array([table], object if text else np.int64))
    found = graph.add("ArrayFeatureExtractor", known, flat, ml=True)
    graph.add("Reshape", found, graph.constant(np.array([-1, len(classes)], np.int64)), name="label")
    kind = TensorProto.STRING if text else TensorProto.INT64
    label = helper.make_tensor_value_info("label", kind, [None, len(classes)])
    if len(set(map(len, classes))) == 1:
        graph.add("Identity", by_label, name="probabilities")
        return [label, helper.make_tensor_value_info("probabilities", element, [None, len(classes), widest])]
    outputs = [label]
    for i, values in enumerate(classes):
        ends = (graph.constant(np.array([n], np.int64)) for n in (i * widest, i * widest + len(values), 1))
        graph.add("Slice", scores, *ends, name=f"probabilities_{i}")
        outputs.append(helper.make_tensor_value_info(f"probabilities_{i}", element, [None, len(values)]))
    return outputs


def _codes(graph: GraphBuilder, name: str, categories: Sequence[Any], double: bool) -> str:
    """A category's number, NaN for what is none of them."""
    dtype = np.float64 if double else np.float32
    text = any(isinstance(value, str) for value in categories)
    keys = np.array([str(value) for value in categories], object) if text else np.array(categories, dtype)
    return graph.add(
        "LabelEncoder",
        name,
        ml=True,
        keys_tensor=onnx.numpy_helper.from_array(keys),
        values_tensor=onnx.numpy_helper.from_array(np.arange(len(keys), dtype=dtype)),
        default_tensor=onnx.numpy_helper.from_array(np.array([np.nan], dtype)),
    )


def add_answers(
    graph: GraphBuilder, forest: Forest, source: str, *, classifier: bool, place: Mapping[int, int] | None = None
) -> str:
    """The answers for the rows of the matrix ``source``: probabilities of a classifier, else what the link gives."""
    dtype = np.float64 if forest.double else np.float32
    missing = np.array(np.nan, dtype)
    if not np.isnan(forest.missing):
        marked = graph.add("Equal", source, graph.constant(np.array(forest.missing, dtype)))
        source = graph.add("Where", marked, graph.constant(missing), source)
    if forest.zero_is_missing:
        width = max(place.values() if place else forest.zero_is_missing) + 1
        columns = np.zeros((1, width), bool)
        columns[0, [place[c] if place else c for c in forest.zero_is_missing]] = True
        small = graph.add("LessOrEqual", graph.add("Abs", source), graph.constant(np.array(1e-35, dtype)))
        source = graph.add("Where", graph.add("And", small, graph.constant(columns)), graph.constant(missing), source)
    if forest.narrow:
        source = graph.add("Cast", graph.add("Cast", source, to=TensorProto.FLOAT), to=TensorProto.DOUBLE)
    sums = add_trees(graph, forest.trees, source, targets=forest.outputs, base=forest.base, double=forest.double)
    answers = _linked(graph, forest.link, sums, dtype)
    if classifier and forest.outputs == 1:
        one = graph.constant(np.array(1, dtype))
        return graph.add("Concat", graph.add("Sub", one, answers), answers, axis=1)
    return answers


def add_label(graph: GraphBuilder, scores: str, classes: np.ndarray, name: str) -> None:
    """Write the class that has the highest of the ``scores`` as the value ``name``."""
    best = graph.add("ArgMax", scores, axis=1, keepdims=0)
    table = classes.astype(object if classes.dtype.kind in "OUS" else np.int64).reshape(1, -1)
    found = graph.add("ArrayFeatureExtractor", graph.constant(table), best, ml=True)
    graph.add("Reshape", found, graph.constant(np.array([-1], np.int64)), name=name)


def _linked(graph: GraphBuilder, link: str, sums: str, dtype: Any) -> str:
    element = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    name, _, number = link.partition(" ")
    if name == "identity":
        return sums
    if name == "sigmoid":
        scaled = graph.add("Mul", sums, graph.constant(np.array(float(number), dtype))) if number else sums
        return graph.add("Sigmoid", scaled)
    if name == "softmax":
        return graph.add("Softmax", sums, axis=1)
    if name == "argmax":
        best = graph.add("ArgMax", sums, axis=1, keepdims=1)
        return graph.add("Cast", best, to=element)
    if name == "exp":
        return graph.add("Exp", sums)
    if name == "hinge":
        above = graph.add("Greater", sums, graph.constant(np.array(0, dtype)))
        return graph.add("Cast", above, to=element)
    if name == "signed_square":
        return graph.add("Mul", sums, graph.add("Abs", sums))
    if name == "log1p_exp":
        return graph.add("Softplus", sums)
    raise ConversionFailed(f"no way is known to write the link {link!r} in ONNX")

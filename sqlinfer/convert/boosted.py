"""What boosted trees of any library have in common: columns → one matrix, sums of trees → answers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import numpy as np
import onnx
import pyarrow as pa
from onnx import TensorProto, helper

from sqlinfer.convert.missing import MISSING
from sqlinfer.convert.original import Candidate
from sqlinfer.convert.trees import Tree, add_trees
from sqlinfer.errors import ConversionFailed, named
from sqlinfer.graphs.build import GraphBuilder
from sqlinfer.models.sample import Sample

__all__ = [
    "Forest",
    "above",
    "add_answers",
    "answers_of_scores",
    "candidate",
    "constant_candidate",
    "in_singles",
    "rows_around",
]

_ML_OPSET = 5
# From here on a double is not the only whole number that it stands for.
_WHOLE = 2.0**53
_SHOWN = 12
_MADE_UP = 512


def rows_around(trees: Sequence[Tree], names: Sequence[str], types: Sequence[str] | None = None) -> Sample | None:
    """Rows with values at, below and above each of the splits; None where a tree asks for categories. ``types``: those
    of XGBoost (int: whole numbers, i: yes or no), else all are numbers."""
    if any(tree.members for tree in trees):
        return None
    random = np.random.default_rng(0)
    columns = {}
    for i, name in enumerate(names):
        splits = np.array(sorted(_splits(trees, i)) or [0.0])
        margin = max(float(np.ptp(splits)), abs(float(splits[0])), 1.0) / 10
        middles = (splits[1:] + splits[:-1]) / 2
        known = np.concatenate([splits, middles, [splits[0] - margin, splits[-1] + margin]])
        values = random.choice(known, _MADE_UP)
        kind = types[i] if types else "float"
        if kind == "int":
            columns[name] = pa.array(values.round().astype(np.int64))
        else:
            columns[name] = pa.array(values > splits[0] if kind == "i" else values)
    return Sample(pa.table(columns)) if columns else None


def _splits(trees: Sequence[Tree], feature: int) -> set[float]:
    places = ((tree, node) for tree in trees for node, at in enumerate(tree.feature) if at == feature)
    splits = {tree.split[node] for tree, node in places if node not in tree.leaf}
    return {split for split in splits if np.isfinite(split)}


@dataclass(frozen=True, slots=True)
class Forest:
    """Boosted trees as data. ``link`` turns sums into answers: identity, sigmoid, softmax, exp, …

    ``double``: the library compares and adds in double precision; ``narrow``: it compares in single all the same.
    ``missing``: numbers that stand for missing. ``zero_is_missing``: the columns in which a zero is. ``sparse``: it is
    given sparse matrices of doubles, in which what is zero is missing.
    ``fractions``: what becomes of a category's number that is not whole. ``unknown``: the number of no category, None
    where such is refused.
    ``threshold``: the second of two classes is the label where its probability is above it.
    ``refuses``: in words, who takes no infinite number.
    """

    trees: list[Tree]
    outputs: int
    base: Sequence[float]
    link: str
    double: bool
    missing: tuple[float, ...] = ()
    zero_is_missing: tuple[int, ...] = ()
    sparse: bool = False
    narrow: bool = False
    fractions: Literal["floor", "cut"] = "floor"
    unknown: float | None = float("nan")
    threshold: float = 0.5
    refuses: str | None = None

    @property
    def dtype(self) -> np.dtype:
        return np.dtype(np.float64 if self.double else np.float32)


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
    probabilities: bool = True,
    tags: bool = False,
) -> Candidate:
    """A graph with one matrix of the numbers, and an input of its own for each feature that has ``categories``.

    ``probabilities``: the scores of a classifier are that. ``tags``: a row has any number of labels, each of its own
    probability.
    """
    graph = GraphBuilder()
    element = helper.np_dtype_to_tensor_dtype(forest.dtype)
    double = forest.double or forest.sparse
    numbers = [name for name in names if name not in categories]
    inputs: list[onnx.ValueInfoProto] = []
    features: dict[str, tuple[str, str, str, int | None]] = {}
    parts: list[str] = []
    if numbers:
        given = TensorProto.DOUBLE if double else TensorProto.FLOAT
        inputs.append(helper.make_tensor_value_info("X", given, [None, len(numbers)]))
        sql = "DOUBLE" if double else "FLOAT"
        features |= {name: (name, sql, "X", i) for i, name in enumerate(numbers)}
        parts = [in_singles(graph, "X", forest) if forest.sparse else "X"]
        if forest.refuses is not None:
            _refuse_infinite(graph, "X", forest.refuses)
    for i, name in enumerate(names):
        if name in categories:
            tensor = f"category_{i}"
            sql, kind, codes = _codes(graph, name, tensor, categories[name], forest)
            inputs.append(helper.make_tensor_value_info(tensor, kind, [None, 1]))
            features[name] = (name, sql, tensor, 0)
            parts.append(codes)
    order = [*numbers, *(name for name in names if name in categories)]
    matrix = parts[0] if len(parts) == 1 else graph.add("Concat", *parts, axis=1)
    place = {names.index(name): i for i, name in enumerate(order)}
    for tree in forest.trees:
        tree.feature = [place[feature] for feature in tree.feature]
    zeros = tuple(place[feature] for feature in forest.zero_is_missing)
    answers = add_answers(graph, forest, matrix, classifier=classifier, width=len(order), zeros=zeros, raw=len(numbers))
    name = ("probabilities" if probabilities else "scores") if classifier or tags else "prediction"
    graph.guarded(answers, forest.dtype, name=name)
    outputs = [helper.make_tensor_value_info(name, element, [None, None])]
    best = name if classifier else None
    if tags:
        likely = graph.add("Greater", answers, graph.constant(np.array(0.5, forest.dtype)))
        graph.guarded(graph.add("Cast", likely, to=TensorProto.INT64), np.int64, name="label")
        outputs.insert(0, helper.make_tensor_value_info("label", TensorProto.INT64, [None, None]))
    if classifier and forest.threshold != 0.5:
        graph.guarded(above(graph, answers, forest), forest.dtype, name="scores")
        outputs.append(helper.make_tensor_value_info("scores", element, [None, 2]))
        best = "scores"
    model = graph.model(inputs, outputs, ml_opset=_ML_OPSET)
    texts = {name: MISSING for name, kind, _, _ in features.values() if kind == "VARCHAR"}
    return Candidate(model, [features[name] for name in names], "trees", scores=best, missing=texts)


def constant_candidate(names: Sequence[str], categories: Mapping[str, Sequence[Any]]) -> Candidate:
    """The graph of a classifier that knows one class: whatever the row, it answers that."""
    leaf = Tree()
    leaf.add_leaf([1.0])
    forest = Forest([leaf], 1, [0.0], "identity", double=True)
    made = candidate(forest, names, categories, classifier=False)
    return replace(made, scores="prediction")


def above(graph: GraphBuilder, proba: str, forest: Forest) -> str:
    """Of two classes, 1 for the label and 0 for the other."""
    second = graph.add("Gather", proba, graph.constant(np.array([1], np.int64)), axis=1)
    reached = graph.add("Greater", second, graph.constant(np.array(forest.threshold, forest.dtype)))
    chosen = graph.add("Cast", reached, to=helper.np_dtype_to_tensor_dtype(forest.dtype))
    return graph.add("Concat", graph.add("Sub", graph.constant(np.array(1, forest.dtype)), chosen), chosen, axis=1)


def in_singles(graph: GraphBuilder, doubles: str, forest: Forest) -> str:
    """As a forest of singles has them. What singles round to zero is not zero in a sparse matrix."""
    if forest.sparse:
        zero, nan = (graph.constant(np.array(value, np.float64)) for value in (0, np.nan))
        doubles = graph.add("Where", graph.add("Equal", doubles, zero), nan, doubles)
    return graph.add("Cast", doubles, to=TensorProto.FLOAT)


def _refuse_infinite(graph: GraphBuilder, source: str, who: str) -> None:
    found = graph.add("Cast", graph.add("IsInf", source), to=TensorProto.INT64)
    graph.refuse(
        graph.add("Sign", graph.add("ReduceSum", found, keepdims=0)),
        f"a number is infinite, or too large for single precision, which {who} does not take; leave such rows out, "
        "or write TRY(predict(…)) for NULL in their place",
    )


def _codes(
    graph: GraphBuilder, name: str, tensor: str, categories: Sequence[Any], forest: Forest
) -> tuple[str, int, str]:
    """A category's number, NaN for a missing one: its type in SQL and in the graph, and the value."""
    known = [category for category in categories if category is not None and category == category]
    refused = forest.unknown is None
    numbers = np.arange(len(known) + 1, dtype=np.float64)
    numbers[-1] = np.nan
    if any(isinstance(category, str) for category in known):
        sql, kind, keys = "VARCHAR", TensorProto.STRING, np.array([*map(str, known), MISSING], object)
    elif any(abs(category) >= _WHOLE for category in known):
        sql, kind, keys, numbers = "BIGINT", TensorProto.INT64, np.array(known, np.int64), numbers[:-1]
    else:
        sql, kind, keys = "DOUBLE", TensorProto.DOUBLE, np.array([*map(float, known), np.nan])
    codes = graph.add(
        "LabelEncoder",
        tensor,
        ml=True,
        keys_tensor=onnx.numpy_helper.from_array(keys),
        values_tensor=onnx.numpy_helper.from_array(numbers),
        default_tensor=onnx.numpy_helper.from_array(np.array([-1.0 if refused else forest.unknown], np.float64)),
    )
    if refused:
        strange = graph.add("Cast", graph.add("Equal", codes, graph.constant(np.array(-1.0))), to=TensorProto.INT64)
        graph.refuse(
            graph.add("Sign", graph.add("ReduceSum", strange, keepdims=0)),
            f"feature {name!r} has a category that the model never saw, which its library refuses or takes for "
            f"another; it knows {named(known, _SHOWN)}: write TRY(predict(…)) for NULL in its place",
        )
    return sql, kind, codes if forest.double else graph.add("Cast", codes, to=TensorProto.FLOAT)


def add_answers(
    graph: GraphBuilder,
    forest: Forest,
    source: str,
    *,
    classifier: bool,
    width: int,
    zeros: Sequence[int] | None = None,
    raw: int | None = None,
) -> str:
    """The answers for the rows of the matrix ``source``: probabilities of a classifier, else what the link gives.

    ``width``: of the matrix. ``zeros``: its columns in which a zero is missing. ``raw``: how many of its first columns
    hold numbers as they were given: what the trees take for a category there may have a fraction.
    """
    dtype = forest.dtype

    def number(value: float) -> str:
        return graph.constant(np.array(value, dtype))

    for value in forest.missing:
        source = graph.add("Where", graph.add("Equal", source, number(value)), number(np.nan), source)
    zeros = forest.zero_is_missing if zeros is None else zeros
    if zeros:
        small = graph.add("LessOrEqual", graph.add("Abs", source), number(1e-35))
        source = graph.add("Where", graph.add("And", small, _columns(graph, zeros, width)), number(np.nan), source)
    asked = {tree.feature[node] for tree in forest.trees for node in tree.members}
    coded = sorted(feature for feature in asked if raw is None or feature < raw)
    if coded:
        whole = graph.add("Floor", source)
        if forest.fractions == "cut":
            whole = graph.add("Mul", graph.add("Sign", source), graph.add("Floor", graph.add("Abs", source)))
        source = graph.add("Where", _columns(graph, coded, width), whole, source)
    if forest.narrow:
        source = graph.add("Cast", graph.add("Cast", source, to=TensorProto.FLOAT), to=TensorProto.DOUBLE)
    sums = add_trees(graph, forest.trees, source, targets=forest.outputs, base=forest.base, double=forest.double)
    answers = _linked(graph, forest.link, sums, dtype)
    if classifier and forest.outputs == 1:
        return graph.add("Concat", graph.add("Sub", number(1), answers), answers, axis=1)
    return answers


def _columns(graph: GraphBuilder, places: Sequence[int], width: int) -> str:
    """Which of the columns they are."""
    mask = np.zeros((1, width), bool)
    mask[0, list(places)] = True
    return graph.constant(mask)


def _linked(graph: GraphBuilder, link: str, sums: str, dtype: Any) -> str:
    element = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    name, _, number = link.partition(" ")
    if name == "identity":
        return sums
    if name == "sigmoid":
        scaled = graph.add("Mul", sums, graph.constant(np.array(float(number), dtype))) if number else sums
        # ONNX Runtime's own for singles cuts off the least probabilities
        wide = scaled if element == TensorProto.DOUBLE else graph.add("Cast", scaled, to=TensorProto.DOUBLE)
        answers = graph.add("Sigmoid", wide)
        return answers if wide == scaled else graph.add("Cast", answers, to=element)
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
    if name == "log1p_exp":  # of x, max(x, 0) + log(1 + exp(-|x|))
        power = graph.add("Exp", graph.add("Neg", graph.add("Abs", sums)))
        logs = graph.add("Log", graph.add("Add", power, graph.constant(np.array(1, dtype))))
        return graph.add("Add", graph.add("Relu", sums), logs)
    if name == "mean_and_variance":  # the second as the logarithm of the deviation
        first, second = (graph.add("Gather", sums, graph.constant(np.array([i], np.int64)), axis=1) for i in (0, 1))
        twice = graph.add("Mul", second, graph.constant(np.array(2, dtype)))
        return graph.add("Concat", first, graph.add("Exp", twice), axis=1)
    raise ConversionFailed(f"no way is known to write the link {link!r} in ONNX")

"""Wrappers that change an estimator's answers: its graph, with their step written after it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto

from sqlinfer.models.convert.graph import GraphBuilder
from sqlinfer.models.convert.sklearn.functions import apply

__all__ = ["inner_and_after"]

After = Callable[[onnx.ModelProto], None]
_THRESHOLDS = {"FixedThresholdClassifier": "threshold", "TunedThresholdClassifierCV": "best_threshold_"}
_INVERSES = ("exp", "log", "sqrt", "abs", "absolute", "negative", "expm1", "square")


def inner_and_after(model: Any) -> tuple[Any, After | None]:
    """The estimator inside a wrapper, and what is to be done to its graph; the model itself where there is no wrapper
    or the step has no ONNX form."""
    name = type(model).__name__
    if name in _THRESHOLDS:
        threshold = getattr(model, _THRESHOLDS[name])
        if isinstance(threshold, (int, float)) and hasattr(model.estimator_, "predict_proba"):
            return model.estimator_, lambda graph: _cut(graph, model, float(threshold))
    if name == "TransformedTargetRegressor":
        inverse = getattr(model, "inverse_func", None)
        if inverse is None or getattr(inverse, "__name__", "") in _INVERSES:
            return model.regressor_, lambda graph: _undo(graph, model, inverse)
    return model, None


def _cut(model: onnx.ModelProto, wrapper: Any, threshold: float) -> None:
    """The label is the positive class where its probability reaches the threshold."""
    graph = model.graph
    label, scores = graph.output[0].name, graph.output[1]
    classes = list(np.asarray(wrapper.classes_).tolist())
    positive = classes[1] if getattr(wrapper, "pos_label", None) is None else wrapper.pos_label
    column = classes.index(positive)
    text = isinstance(classes[0], str)
    for node in graph.node:
        node.output[:] = [f"{label}_uncut" if name == label else name for name in node.output]
        node.input[:] = [f"{label}_uncut" if name == label else name for name in node.input]
    after = GraphBuilder("threshold_")
    kind = np.float64 if scores.type.tensor_type.elem_type == TensorProto.DOUBLE else np.float32
    score = after.add("Gather", scores.name, after.constant(np.array(column)), axis=1)
    above = after.add("GreaterOrEqual", score, after.constant(np.array(threshold, kind)))
    values = [np.array(c if text else int(c), object if text else np.int64) for c in (positive, classes[1 - column])]
    after.add("Where", above, after.constant(values[0]), after.constant(values[1]), name=label)
    _append(graph, after)


def _undo(model: onnx.ModelProto, wrapper: Any, inverse: Any) -> None:
    """What the regressor was trained on, back to the target. A transformer of the target is scaled by columns."""
    graph = model.graph
    output = graph.output[0]
    kind = np.float64 if output.type.tensor_type.elem_type == TensorProto.DOUBLE else np.float32
    raw = f"{output.name}_transformed"
    for node in graph.node:
        node.output[:] = [raw if name == output.name else name for name in node.output]
    after = GraphBuilder("target_")
    if inverse is None:  # StandardScaler and its like, found out on 0 and 1
        width = getattr(wrapper.transformer_, "n_features_in_", 1)
        zero, one = wrapper.transformer_.inverse_transform(np.vstack([np.zeros(width), np.ones(width)]))
        scaled = after.add("Mul", raw, after.constant((one - zero).astype(kind)))
        after.add("Add", scaled, after.constant(zero.astype(kind)), name=output.name)
    else:
        apply(after, inverse.__name__, raw, output.name, kind)
    _append(graph, after)


def _append(graph: onnx.GraphProto, after: GraphBuilder) -> None:
    graph.node.extend(after.nodes)
    graph.initializer.extend(after.constants)

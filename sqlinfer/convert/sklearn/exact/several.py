"""Classifiers that give a row several labels: one of each kind, or any number of tags."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import onnx
from onnx import TensorProto, helper

from sqlinfer.convert.sklearn.exact.columns import through
from sqlinfer.convert.sklearn.exact.dispatch import classify, predict
from sqlinfer.convert.sklearn.exact.distances import neighbours_of_each
from sqlinfer.convert.sklearn.exact.ensembles import shares_of_each
from sqlinfer.convert.sklearn.exact.linear import decision
from sqlinfer.convert.sklearn.exact.networks import last_layer
from sqlinfer.convert.sklearn.exact.table import Scores, Table, Unsupported
from sqlinfer.convert.sklearn.exact.writer import Writer, name_of
from sqlinfer.convert.sklearn.inside import inside

__all__ = ["each_label", "tags"]


def each_label(w: Writer, model: Any, x: Table) -> list[onnx.ValueInfoProto]:
    """The outputs of a model with a list of classes for each label: a label each, and the probabilities of each."""
    model, x = _last(w, inside(model), x)
    said = _scores(w, model, x)
    classes = [np.asarray(values) for values in model.classes_]
    text = any(values.dtype.kind in "OUS" for values in classes)
    labels = []
    for scores, values in zip(said, classes, strict=True):
        table = w.constant(values.astype(object) if text else values.astype(np.int64))
        labels.append(w.add("Unsqueeze", w.add("Gather", table, w.best(scores.scores)), w.whole([1])))
    label = w.add("Concat", *labels, axis=1)
    if text:
        w.add("Identity", label, name="label")
    else:
        w.answer(label, np.int64, name="label")
    kind = TensorProto.STRING if text else TensorProto.INT64
    outputs = [helper.make_tensor_value_info("label", kind, [None, len(classes)])]
    if any(scores.proba is None for scores in said):
        return outputs
    return outputs + _probabilities(w, [str(scores.proba) for scores in said], [len(values) for values in classes])


def _probabilities(w: Writer, each: Sequence[str], counts: Sequence[int]) -> list[onnx.ValueInfoProto]:
    """One output of all; where not all labels have as many classes, one of each."""
    info = helper.make_tensor_value_info
    if len(set(counts)) == 1:
        stacked = [w.add("Unsqueeze", proba, w.whole([1])) for proba in each]
        w.answer(w.add("Concat", *stacked, axis=1), name="probabilities")
        return [info("probabilities", TensorProto.DOUBLE, [None, len(each), counts[0]])]
    for i, proba in enumerate(each):
        w.answer(proba, name=f"probabilities_{i}")
    return [info(f"probabilities_{i}", TensorProto.DOUBLE, [None, count]) for i, count in enumerate(counts)]


def _last(w: Writer, model: Any, x: Table) -> tuple[Any, Table]:
    if name_of(model) != "Pipeline":
        return model, x
    *steps, (_, last) = model.steps
    return _last(w, inside(last), through(w, steps, x))


def _scores(w: Writer, model: Any, x: Table) -> list[Scores]:
    name = name_of(model)
    if name == "MultiOutputClassifier":
        return [classify(w, member, x) for member in model.estimators_]
    if name == "KNeighborsClassifier":
        return neighbours_of_each(w, model, x)
    if name.endswith(("TreeClassifier", "ForestClassifier", "ExtraTreesClassifier")):
        return shares_of_each(w, model, x)
    raise Unsupported(f"{name} of several labels")


def tags(w: Writer, model: Any, x: Table, *, probabilities: bool) -> list[onnx.ValueInfoProto]:
    """The outputs of a model that gives a row any number of tags: 0 or 1 for each, and its probability."""
    model, x = _last(w, inside(model), x)
    sure, least, proba = _sure(w, model, x, probabilities=probabilities)
    reached = w.add("Greater", sure, w.number(least))
    w.answer(w.add("Cast", reached, to=TensorProto.INT64), np.int64, name="label")
    outputs = [helper.make_tensor_value_info("label", TensorProto.INT64, [None, None])]
    if proba is None:
        return outputs
    w.answer(proba, name="probabilities")
    return [*outputs, helper.make_tensor_value_info("probabilities", TensorProto.DOUBLE, [None, None])]


def _sure(w: Writer, model: Any, x: Table, *, probabilities: bool) -> tuple[str, float, str | None]:
    """How sure the model is of each tag, from where on it gives it, and its probabilities."""
    name = name_of(model)
    if name.startswith("RidgeClassifier"):
        return decision(w, model, x), 0.0, None
    if name == "MLPClassifier" and model.out_activation_ == "logistic":
        shares = w.add("Sigmoid", last_layer(w, model, x))
        return shares, 0.5, shares
    if name != "OneVsRestClassifier" or any(name_of(member) == "_ConstantPredictor" for member in model.estimators_):
        raise Unsupported(f"{name} of several labels")
    members = list(model.estimators_)
    if not hasattr(members[0], "classes_"):
        return w.matrix(Table.joined([predict(w, member, x) for member in members], sparse=False)), 0.5, None
    said = [classify(w, member, x) for member in members]
    by_decision = hasattr(members[0], "decision_function")
    second = [_second(w, scores.proba) for scores in said if scores.proba is not None] if probabilities else []
    proba = w.add("Concat", *second, axis=1) if second else None
    if not by_decision:
        if proba is None:
            raise Unsupported(f"{name} of several labels")
        return proba, 0.5, proba
    decisions = [scores.decision for scores in said]
    if any(value is None for value in decisions):
        raise Unsupported(f"the decision function of a {name_of(members[0])}")
    return w.add("Concat", *map(str, decisions), axis=1), 0.0, proba


def _second(w: Writer, proba: str) -> str:
    return w.add("Slice", proba, w.whole([1]), w.whole([2]), w.whole([1]))

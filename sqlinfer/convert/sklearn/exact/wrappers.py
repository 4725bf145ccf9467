"""Estimators made of others: pipelines, votes, stacks, calibration, one classifier for each class or target."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from onnx import TensorProto

from sqlinfer.convert.sklearn.exact.columns import does_nothing, through
from sqlinfer.convert.sklearn.exact.dispatch import (
    classifier,
    classify,
    clusterer,
    label,
    outliers,
    predict,
    regressor,
    transform,
)
from sqlinfer.convert.sklearn.exact.distances import pairwise_scores
from sqlinfer.convert.sklearn.exact.ensembles import is_tree, of_singles, votes_of
from sqlinfer.convert.sklearn.exact.features import interpolated
from sqlinfer.convert.sklearn.exact.functions import expm1, known
from sqlinfer.convert.sklearn.exact.linear import shares
from sqlinfer.convert.sklearn.exact.members import tree_of
from sqlinfer.convert.sklearn.exact.table import Scores, Table, Unsupported
from sqlinfer.convert.sklearn.exact.writer import Writer, name_of

__all__: list[str] = []


def _split(w: Writer, model: Any, x: Table) -> tuple[Any, Table]:
    """The estimator that answers for a pipeline, and what it is given."""
    *steps, (_, last) = [step for step in model.steps if not does_nothing(step[1])]
    return last, through(w, steps, x)


@regressor("Pipeline")
def _pipeline(w: Writer, model: Any, x: Table) -> Table:
    return predict(w, *_split(w, model, x))


@classifier("Pipeline")
def _pipeline_of_classes(w: Writer, model: Any, x: Table) -> Scores:
    return classify(w, *_split(w, model, x))


@clusterer("Pipeline")
def _pipeline_of_labels(w: Writer, model: Any, x: Table) -> tuple[str, str]:
    return label(w, *_split(w, model, x))


outliers("Pipeline")(_pipeline_of_labels)


@regressor("RFE", "RFECV")
def _selected(w: Writer, model: Any, x: Table) -> Table:
    return predict(w, model.estimator_, transform(w, model, x))


@classifier("RFE", "RFECV")
def _selected_classes(w: Writer, model: Any, x: Table) -> Scores:
    return classify(w, model.estimator_, transform(w, model, x))


def _same_classes(member: Any, count: int) -> None:
    if list(member.classes_) != list(range(count)):
        raise Unsupported(f"a {name_of(member)} that was trained on other classes than the whole")


def _proba(model: Any, scores: Scores) -> str:
    if scores.proba is None:
        raise Unsupported(f"the probabilities of a {name_of(model)}")
    return scores.proba


def _response(w: Writer, model: Any, scores: Scores, count: int) -> str:
    """The decision function, else the probabilities; of two classes, one column."""
    if hasattr(model, "decision_function"):
        if scores.decision is None:
            raise Unsupported(f"the decision function of a {name_of(model)}")
        return scores.decision
    proba = _proba(model, scores)
    return w.add("Slice", proba, w.whole([1]), w.whole([2]), w.whole([1])) if count == 2 else proba


def _summed(w: Writer, parts: Sequence[str], weights: Any = None) -> str:
    total = None
    for i, part in enumerate(parts):
        term = part if weights is None else w.add("Mul", part, w.number(weights[i]))
        total = term if total is None else w.add("Add", total, term)
    assert total is not None
    return total


def _average(w: Writer, parts: Sequence[str], weights: Any = None) -> str:
    share = len(parts) if weights is None else np.sum(np.asarray(weights, np.float64))
    return w.add("Div", _summed(w, parts, weights), w.number(share))


@classifier("VotingClassifier")
def _votes(w: Writer, model: Any, x: Table) -> Scores:
    count = len(model.classes_)
    for member in model.estimators_:
        _same_classes(member, count)
    said = [classify(w, member, x) for member in model.estimators_]
    weights = model._weights_not_none
    if model.voting == "soft":
        proba = _average(w, [_proba(m, s) for m, s in zip(model.estimators_, said, strict=True)], weights)
        return Scores(proba, proba)
    return Scores(_summed(w, [w.one_hot(w.best(s.scores), count) for s in said], weights))


@regressor("VotingRegressor")
def _mean(w: Writer, model: Any, x: Table) -> Table:
    parts = [w.matrix(predict(w, member, x)) for member in model.estimators_]
    return w.table(_average(w, parts, model._weights_not_none), 1)


def _first_layer(w: Writer, model: Any, x: Table) -> Table:
    tables = []
    for member, method in zip(model.estimators_, model.stack_method_, strict=True):
        if not hasattr(member, "classes_"):
            tables.append(predict(w, member, x))
            continue
        count = len(member.classes_)
        _same_classes(member, count)
        said = classify(w, member, x)
        if method == "predict_proba":
            value, width = _proba(member, said), count
            if count == 2:
                value, width = w.add("Slice", value, w.whole([1]), w.whole([2]), w.whole([1])), 1
        elif method == "decision_function":
            value = _response(w, member, said, count)
            width = 1 if count == 2 else count
        else:
            best = w.add("Cast", w.best(said.scores), to=TensorProto.DOUBLE)
            value, width = w.add("Unsqueeze", best, w.whole([1])), 1
        tables.append(w.table(value, width))
    if model.passthrough:
        tables.append(x)
    return Table.joined(tables, sparse=model.passthrough and x.sparse)


@classifier("StackingClassifier")
def _stack_of_classes(w: Writer, model: Any, x: Table) -> Scores:
    if isinstance(model._label_encoder, list):
        raise Unsupported("a StackingClassifier of several labels")
    return classify(w, model.final_estimator_, _first_layer(w, model, x))


@regressor("StackingRegressor")
def _stack(w: Writer, model: Any, x: Table) -> Table:
    return predict(w, model.final_estimator_, _first_layer(w, model, x))


def _as_array(x: Table) -> Table:
    return Table.joined([x], sparse=x.sparse)


@regressor("BaggingRegressor")
def _bag(w: Writer, model: Any, x: Table) -> Table:
    x = _as_array(x)
    features = [list(map(int, places)) for places in model.estimators_features_]
    if all(is_tree(member) for member in model.estimators_) and model.estimators_[0].n_outputs_ == 1:
        trees = [
            tree_of(member.tree_, member.tree_.value[:, :, 0], columns=places)
            for member, places in zip(model.estimators_, features, strict=True)
        ]
        total = w.trees(trees, of_singles(w, model.estimators_[0], x, model), 1)
        return w.table(w.add("Div", total, w.number(len(trees))), 1)
    pairs = zip(model.estimators_, features, strict=True)
    parts = [predict(w, member, x.pick(places)) for member, places in pairs]
    return w.table(_average(w, [w.matrix(part) for part in parts]), parts[0].width)


@classifier("BaggingClassifier")
def _bag_of_classes(w: Writer, model: Any, x: Table) -> Scores:
    x = _as_array(x)
    count = len(model.classes_)
    pairs = list(zip(model.estimators_, model.estimators_features_, strict=True))
    if all(is_tree(member) for member, _ in pairs):
        trees = []
        for member, places in pairs:
            votes = votes_of(member.tree_) @ np.eye(count)[np.asarray(member.classes_, int)]
            trees.append(tree_of(member.tree_, votes, columns=list(map(int, places))))
        total = w.trees(trees, of_singles(w, model.estimators_[0], x, model), count)
        proba = w.add("Div", total, w.number(len(trees)))
        return Scores(proba, proba)
    parts, decisions = [], []
    for member, places in pairs:
        said = classify(w, member, x.pick(list(map(int, places))))
        spread = np.eye(count)[np.asarray(member.classes_, int)]
        if hasattr(member, "predict_proba"):
            part = _proba(member, said)
        else:
            part = w.one_hot(w.best(said.scores), len(spread))
        parts.append(part if len(spread) == count else w.add("MatMul", part, w.number(spread)))
        if said.decision is not None and len(spread) == count:
            decisions.append(said.decision)
    proba = _average(w, parts)
    return Scores(proba, proba, _average(w, decisions) if len(decisions) == len(parts) else None)


@classifier("CalibratedClassifierCV")
def _calibrated(w: Writer, model: Any, x: Table) -> Scores:
    parts = [_calibrated_once(w, member, x) for member in model.calibrated_classifiers_]
    proba = _average(w, parts)
    return Scores(proba, proba)


def _calibrated_once(w: Writer, member: Any, x: Table) -> str:
    if member.method not in ("sigmoid", "isotonic"):
        raise Unsupported(f"calibration by {member.method}")
    count = len(member.classes)
    inner = member.estimator
    if list(inner.classes_) != list(member.classes):
        raise Unsupported("calibration of a classifier that was trained on other classes than the whole")
    response = _response(w, inner, classify(w, inner, x), count)
    columns = w.table(response, 1 if count == 2 else count)
    parts = [_calibrator(w, curve, w.matrix(columns.pick([i]))) for i, curve in enumerate(member.calibrators)]
    if count == 2:
        proba = w.pair(parts[0])
    else:
        proba = shares(w, w.add("Concat", *parts, axis=1), count)
    return w.add("Where", w.add("Greater", proba, w.number(1)), w.number(1), proba)


def _calibrator(w: Writer, curve: Any, value: str) -> str:
    if name_of(curve) == "_SigmoidCalibration":
        scaled = w.add("Add", w.add("Mul", value, w.number(curve.a_)), w.number(curve.b_))
        return w.add("Sigmoid", w.add("Neg", scaled))
    return _isotonic_curve(w, curve, value)


def _isotonic_curve(w: Writer, curve: Any, value: str) -> str:
    if curve.X_thresholds_.dtype != np.float64:
        raise Unsupported("IsotonicRegression of singles")
    xs, ys = np.asarray(curve.X_thresholds_), np.asarray(curve.y_thresholds_, np.float64)
    made = interpolated(w, value, xs, ys)
    if curve.out_of_bounds == "clip" or len(ys) == 1:
        return made
    outside = w.add("Or", w.add("Less", value, w.number(xs[0])), w.add("Greater", value, w.number(xs[-1])))
    if curve.out_of_bounds == "nan":
        return w.add("Where", outside, w.number(np.nan), made)
    w.refuse_any(
        outside,
        "a number is outside of those that the IsotonicRegression was trained on, and it takes no other; train it with "
        "out_of_bounds='clip', or write TRY(predict(…)) for NULL",
    )
    return made


@regressor("IsotonicRegression")
def _isotonic(w: Writer, model: Any, x: Table) -> Table:
    if x.width != 1:
        raise Unsupported("IsotonicRegression of several columns")
    return w.table(_isotonic_curve(w, model, w.numbers(x, model)), 1)


def _binary(w: Writer, member: Any, x: Table) -> tuple[str, float]:
    """What says how sure a member is of its class, [rows, 1], and from where on it is."""
    if not hasattr(member, "classes_"):
        return w.matrix(predict(w, member, x)), 0.5
    if len(member.classes_) != 2:
        raise Unsupported(f"a {name_of(member)} of {len(member.classes_)} classes where two are expected")
    said = classify(w, member, x)
    return _response(w, member, said, 2), 0.0 if hasattr(member, "decision_function") else 0.5


@classifier("OneVsRestClassifier")
def _one_for_each(w: Writer, model: Any, x: Table) -> Scores:
    count = len(model.classes_)
    if model.multilabel_ or any(name_of(member) == "_ConstantPredictor" for member in model.estimators_):
        raise Unsupported("OneVsRestClassifier of several labels, or of a class that is always or never there")
    sure = [_binary(w, member, x) for member in model.estimators_]
    decision = w.add("Concat", *(value for value, _ in sure), axis=1) if count > 2 else sure[0][0]
    scores = decision
    if count == 2:
        above = w.add("Greater", decision, w.number(sure[0][1]))
        scores = w.pair(w.add("Cast", above, to=TensorProto.DOUBLE))
    has_decision = hasattr(model, "decision_function")
    if not hasattr(model, "predict_proba"):
        return Scores(scores, None, decision if has_decision else None)
    each = []
    for member in model.estimators_:
        proba = _proba(member, classify(w, member, x))
        each.append(w.add("Slice", proba, w.whole([1]), w.whole([2]), w.whole([1])))
    if count == 2:
        proba = w.pair(each[0])
    else:
        joined = w.add("Concat", *each, axis=1)
        total = w.total(joined)
        none = w.add("Equal", total, w.number(0))
        proba = w.add("Div", joined, w.add("Where", none, w.number(1), total))
    return Scores(scores, proba, decision if has_decision else None)


@classifier("OneVsOneClassifier")
def _one_for_each_pair(w: Writer, model: Any, x: Table) -> Scores:
    if model.pairwise_indices_ is not None:
        raise Unsupported("OneVsOneClassifier of kernels")
    count = len(model.classes_)
    chosen, sure = [], []
    for member in model.estimators_:
        _same_classes(member, 2)
        said = classify(w, member, x)
        chosen.append(w.add("Unsqueeze", w.best(said.scores), w.whole([1])))
        sure.append(_response(w, member, said, 2))
    second_wins = w.add("Concat", *chosen, axis=1) if len(chosen) > 1 else chosen[0]
    confidence = w.add("Concat", *sure, axis=1) if len(sure) > 1 else sure[0]
    first_wins = w.add("Equal", second_wins, w.whole(0))
    votes, breaking = pairwise_scores(w, first_wins, w.add("Neg", confidence), count)
    decision = w.add("Add", votes, breaking)
    if count > 2:
        return Scores(decision, None, decision)
    second = w.matrix(w.table(decision, 2).pick([1]))
    threshold = 0.0 if hasattr(model.estimators_[0], "decision_function") else 0.5
    above = w.add("Cast", w.add("Greater", second, w.number(threshold)), to=TensorProto.DOUBLE)
    return Scores(w.pair(above), None, second)


@regressor("MultiOutputRegressor")
def _each_target(w: Writer, model: Any, x: Table) -> Table:
    return Table.joined([predict(w, member, x) for member in model.estimators_], sparse=False)


@regressor("RegressorChain")
def _chain(w: Writer, model: Any, x: Table) -> Table:
    x = _as_array(x)
    w.numbers(x, model)
    made: list[Table] = []
    for member in model.estimators_:
        made.append(predict(w, member, Table.joined([x, *made], sparse=False)))
    order = np.argsort(model.order_)
    return Table.joined([made[int(i)] for i in order], sparse=False)


@classifier("FixedThresholdClassifier", "TunedThresholdClassifierCV")
def _threshold(w: Writer, model: Any, x: Table) -> Scores:
    inner, classes = model.estimator_, list(np.asarray(model.classes_).tolist())
    said = classify(w, inner, x)
    tuned = name_of(model) == "TunedThresholdClassifierCV"
    positive = model._curve_scorer._get_pos_label() if tuned else model.pos_label
    place = 1 if positive is None else classes.index(positive)
    methods = [model.response_method] if model.response_method != "auto" else ["predict_proba", "decision_function"]
    by_proba = next(method for method in methods if hasattr(inner, method)) == "predict_proba"
    threshold = model.best_threshold_ if tuned else model.threshold
    if threshold == "auto":
        threshold = 0.5 if by_proba else 0.0
    if by_proba:
        score = w.matrix(w.table(_proba(inner, said), 2).pick([place]))
    else:
        score = _response(w, inner, said, 2)
        score = score if place == 1 else w.add("Neg", score)
    reached = w.add("Cast", w.add("GreaterOrEqual", score, w.number(threshold)), to=TensorProto.DOUBLE)
    scores = w.pair(reached)
    if place == 0:
        scores = w.add("Sub", w.number(1), scores)
    return Scores(scores, said.proba, said.decision)


@regressor("TransformedTargetRegressor")
def _target(w: Writer, model: Any, x: Table) -> Table:
    made = predict(w, model.regressor_, x)
    return w.table(_undone(w, model.transformer_, made), made.width)


def _undone(w: Writer, step: Any, x: Table) -> str:
    """What inverse_transform() makes of the answers."""
    value, name = w.matrix(x), name_of(step)
    if name == "FunctionTransformer":
        if step.inverse_func is None:
            return value
        write = known(step.inverse_func)
        if write is None or step.inv_kw_args:
            raise Unsupported("a TransformedTargetRegressor with a function of its own")
        return write(w, value)
    if name == "StandardScaler":
        value = w.add("Mul", value, _row(w, step.scale_)) if step.with_std else value
        return w.add("Add", value, _row(w, step.mean_)) if step.with_mean else value
    if name == "RobustScaler":
        value = w.add("Mul", value, _row(w, step.scale_)) if step.with_scaling else value
        return w.add("Add", value, _row(w, step.center_)) if step.with_centering else value
    if name == "MinMaxScaler":
        return w.add("Div", w.add("Sub", value, _row(w, step.min_)), _row(w, step.scale_))
    if name == "MaxAbsScaler":
        return w.add("Mul", value, _row(w, step.scale_))
    if name == "PowerTransformer" and step.method == "yeo-johnson" and x.width == 1:
        return _undone_power(w, step, value)
    if name == "QuantileTransformer" and step.output_distribution == "uniform" and x.width == 1:
        return interpolated(w, value, step.references_, step.quantiles_[:, 0])
    raise Unsupported(f"a TransformedTargetRegressor with a {name}")


def _row(w: Writer, numbers: Any) -> str:
    return w.number(np.asarray(numbers, np.float64).reshape(1, -1))


def _undone_power(w: Writer, step: Any, value: str) -> str:
    if step.standardize:
        value = w.add("Add", w.add("Mul", value, w.number(step._scaler.scale_[0])), w.number(step._scaler.mean_[0]))
    lmbda, zero = float(step.lambdas_[0]), w.number(0)
    below = w.add("Less", value, zero)

    def inverse(numbers: str, power: float) -> str:
        if abs(power) < np.finfo(np.float64).eps:
            return expm1(w, numbers)
        inner = w.add("Add", w.add("Mul", numbers, w.number(power)), w.number(1))
        return w.add("Sub", w.add("Pow", inner, w.number(1 / power)), w.number(1))

    positive = inverse(w.add("Where", below, zero, value), lmbda)
    negative = w.add("Neg", inverse(w.add("Where", below, w.add("Neg", value), zero), 2 - lmbda))
    return w.add("Where", below, negative, positive)

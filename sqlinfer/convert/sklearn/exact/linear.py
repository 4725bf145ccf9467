"""Weighted sums: regressors, classifiers, and what is linear in the row without being called so."""

from __future__ import annotations

import warnings
from typing import Any

import numpy as np
from onnx import TensorProto

from sqlinfer.convert.sklearn.exact.dispatch import classifier, predict, regressor, transformer
from sqlinfer.convert.sklearn.exact.table import Scores, Table, Unsupported
from sqlinfer.convert.sklearn.exact.writer import Writer, name_of

__all__ = ["decision", "of_decision", "shares"]

_REGRESSORS = (
    *("LinearRegression", "Ridge", "RidgeCV", "Lasso", "LassoCV", "ElasticNet", "ElasticNetCV", "Lars", "LarsCV"),
    *("LassoLars", "LassoLarsCV", "LassoLarsIC", "OrthogonalMatchingPursuit", "OrthogonalMatchingPursuitCV"),
    *("BayesianRidge", "ARDRegression", "SGDRegressor", "PassiveAggressiveRegressor", "HuberRegressor"),
    *("TheilSenRegressor", "QuantileRegressor", "LinearSVR", "MultiTaskElasticNet", "MultiTaskElasticNetCV"),
    *("MultiTaskLasso", "MultiTaskLassoCV"),
)
_CLASSIFIERS = (
    *("RidgeClassifier", "RidgeClassifierCV", "Perceptron", "PassiveAggressiveClassifier", "LinearSVC"),
    *("LogisticRegression", "LogisticRegressionCV", "SGDClassifier", "LinearDiscriminantAnalysis"),
)
# Transformers, and regressors, that are linear in the row: found out on a square matrix.
_AFFINE = (
    *("FactorAnalysis", "FastICA", "SparsePCA", "MiniBatchSparsePCA", "PLSSVD", "FeatureAgglomeration"),
    *("LinearDiscriminantAnalysis", "NeighborhoodComponentsAnalysis", "PLSRegression", "PLSCanonical", "CCA"),
)
_WIDEST = 2048


def _sums(w: Writer, model: Any, x: Table, weights: Any, intercepts: Any) -> Table:
    """[rows, targets], once they are known to be finite: then so are the numbers that they are sums of."""
    weights = weights.toarray() if hasattr(weights, "toarray") else weights
    weights = np.atleast_2d(np.asarray(weights))
    if weights.shape[1] != x.width:
        raise Unsupported(f"{name_of(model)} of other columns than it was trained on")
    single = w.singles(x)
    if single is not None and weights.dtype == np.float32:
        value = w.add("MatMul", single, w.constant(weights.T))
        ends = np.atleast_1d(np.asarray(intercepts, np.float32))
        value = w.add("Add", value, w.constant(ends)) if ends.any() else value
        single, value = value, w.add("Cast", value, to=TensorProto.DOUBLE)
        w.also_single(value, single)
    else:
        value = w.weighted(w.matrix(x), weights, intercepts)
    w.check(value, model, {"nan", "inf"})
    dtype = np.float32 if x.single and weights.dtype == np.float32 else np.float64
    return w.table(value, len(weights), dtype)


@regressor(*_REGRESSORS)
def _regressor(w: Writer, model: Any, x: Table) -> Table:
    return _sums(w, model, x, model.coef_, model.intercept_)


@regressor("RANSACRegressor")
def _ransac(w: Writer, model: Any, x: Table) -> Table:
    return predict(w, model.estimator_, x)


@regressor("PoissonRegressor", "GammaRegressor", "TweedieRegressor")
def _generalized(w: Writer, model: Any, x: Table) -> Table:
    made = _sums(w, model, x, model.coef_, model.intercept_)
    link = type(model._base_loss.link).__name__
    if link not in ("LogLink", "IdentityLink"):
        raise Unsupported(f"{name_of(model)} with {link}")
    return made if link == "IdentityLink" else w.table(w.add("Exp", w.matrix(made)), made.width)


@regressor("DummyRegressor")
def _constant(w: Writer, model: Any, x: Table) -> Table:
    values = np.asarray(model.constant_, np.float64).reshape(1, -1)
    return w.table(w.add("Add", w.zeros(), w.number(values)), values.shape[1], safe="nan inf")


@classifier("DummyClassifier")
def _always(w: Writer, model: Any, x: Table) -> Scores:
    if model.strategy not in ("prior", "most_frequent", "constant") or isinstance(model.classes_, list):
        raise Unsupported(f"DummyClassifier(strategy={model.strategy!r}), whose answers are random")
    few = np.zeros((1, 1))
    proba = w.add("Add", w.zeros(), w.number(model.predict_proba(few)))
    chosen = np.asarray(model.classes_ == model.predict(few)[0], np.float64).reshape(1, -1)
    return Scores(w.add("Add", w.zeros(), w.number(chosen)), proba)


@classifier(*_CLASSIFIERS)
def _classifier(w: Writer, model: Any, x: Table) -> Scores:
    sums = w.matrix(_sums(w, model, x, model.coef_, model.intercept_))
    count = len(model.classes_)
    scores = of_decision(w, sums, count)
    proba = _probabilities(w, model, sums, count)
    # where each class has a sigmoid of its own, or ends are cut off, several may reach 1
    alike = count == 2 or name_of(model) in ("LogisticRegression", "LogisticRegressionCV", "LinearDiscriminantAnalysis")
    alike = alike and getattr(model, "solver", "") != "liblinear" and getattr(model, "multi_class", "") != "ovr"
    return Scores(scores, proba, sums, alike=proba is not None and alike)


def decision(w: Writer, model: Any, x: Table) -> str:
    """The decision function, a column for each of several tags."""
    return w.matrix(_sums(w, model, x, model.coef_, model.intercept_))


def of_decision(w: Writer, decision: str, count: int) -> str:
    """The scores of a decision function: of two classes, the second where it is above zero."""
    return decision if count > 2 else w.pair(decision, w.add("Neg", decision))


def _probabilities(w: Writer, model: Any, sums: str, count: int) -> str | None:
    name, loss = name_of(model), getattr(model, "loss", None)
    if name.startswith("LogisticRegression"):
        kind = getattr(model, "multi_class", "auto")
        if count > 2 and kind != "ovr" and model.solver != "liblinear":
            return w.add("Softmax", sums, axis=1)
        if count <= 2 and kind == "multinomial":
            return w.add("Softmax", of_decision(w, sums, count), axis=1)
        return one_vs_rest(w, sums, count)
    if name == "LinearDiscriminantAnalysis":
        return w.add("Softmax", sums, axis=1) if count > 2 else w.pair(w.add("Sigmoid", sums))
    if name == "SGDClassifier" and loss == "log_loss":
        return one_vs_rest(w, sums, count)
    if name == "SGDClassifier" and loss == "modified_huber":
        clipped = w.add("Clip", sums, w.number(-1), w.number(1))
        half = w.add("Div", w.add("Add", clipped, w.number(1)), w.number(2))
        return shares(w, half, count) if count > 2 else w.pair(half)
    return None


def one_vs_rest(w: Writer, sums: str, count: int) -> str:
    each = w.add("Sigmoid", sums)
    return shares(w, each, count) if count > 2 else w.pair(each)


def shares(w: Writer, each: str, count: int) -> str:
    """Each divided by the sum of its row; all alike where that is zero."""
    total = w.total(each)
    none = w.add("Equal", total, w.number(0))
    return w.add("Where", none, w.number(1 / count), w.add("Div", each, w.add("Where", none, w.number(1), total)))


def _found_out(w: Writer, model: Any, x: Table, method: str) -> Table:
    width = model.n_features_in_
    if width > _WIDEST or width != x.width:
        raise Unsupported(f"{name_of(model)} of {width} columns")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of features without names
        answers = getattr(model, method)(np.vstack([np.zeros(width), np.eye(width)]))
    answers = np.asarray(answers.toarray() if hasattr(answers, "toarray") else answers)
    answers = answers.reshape(width + 1, -1)
    value = w.weighted(w.numbers(x, model), (answers[1:] - answers[0]).T, answers[0])
    return w.table(value, answers.shape[1])


@transformer(*_AFFINE)
def _affine(w: Writer, model: Any, x: Table) -> Table:
    return _found_out(w, model, x, "transform")


@regressor("PLSRegression", "PLSCanonical", "CCA")
def _latent(w: Writer, model: Any, x: Table) -> Table:
    return _found_out(w, model, x, "predict")

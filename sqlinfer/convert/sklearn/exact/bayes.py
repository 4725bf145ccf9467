"""Naive Bayes and quadratic discriminants: logarithms of joint probabilities."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto

from sqlinfer.convert.sklearn.exact.dispatch import classifier
from sqlinfer.convert.sklearn.exact.table import Scores, Table
from sqlinfer.convert.sklearn.exact.writer import Writer

__all__: list[str] = []


def _of_logs(w: Writer, logs: str, count: int, *, decision: bool = False) -> Scores:
    difference = None
    if decision:
        difference = w.weighted(logs, [[-1.0, 1.0]]) if count == 2 else logs
    return Scores(logs, w.add("Softmax", logs, axis=1), difference, alike=True)


@classifier("GaussianNB")
def _gaussian(w: Writer, model: Any, x: Table) -> Scores:
    value = w.numbers(x, model)
    w.refuse_overflow(value, x, model)
    parts = []
    for prior, means, variances in zip(np.log(model.class_prior_), model.theta_, model.var_, strict=True):
        away = w.add("Sub", value, w.number(means.reshape(1, -1)))
        terms = w.add("Div", w.add("Mul", away, away), w.number(variances.reshape(1, -1)))
        size = w.add("Mul", w.total(terms), w.number(-0.5))
        level = prior - 0.5 * np.sum(np.log(2.0 * np.pi * variances))
        parts.append(w.add("Add", size, w.number(level)))
    return _of_logs(w, w.add("Concat", *parts, axis=1), len(parts))


@classifier("QuadraticDiscriminantAnalysis")
def _quadratic(w: Writer, model: Any, x: Table) -> Scores:
    value = w.numbers(x, model)
    w.refuse_overflow(value, x, model)
    parts = []
    for i, prior in enumerate(np.log(model.priors_)):
        rotation, scaling = np.asarray(model.rotations_[i]), np.asarray(model.scalings_[i])
        away = w.add("Sub", value, w.number(np.asarray(model.means_[i]).reshape(1, -1)))
        turned = w.add("MatMul", away, w.number(rotation * scaling**-0.5))
        size = w.add("Add", w.total(w.add("Mul", turned, turned)), w.number(np.sum(np.log(scaling))))
        parts.append(w.add("Add", w.add("Mul", size, w.number(-0.5)), w.number(prior)))
    return _of_logs(w, w.add("Concat", *parts, axis=1), len(parts), decision=True)


@classifier("MultinomialNB")
def _multinomial(w: Writer, model: Any, x: Table) -> Scores:
    value = _counts(w, model, x)
    logs = w.weighted(value, model.feature_log_prob_, model.class_log_prior_)
    return _of_logs(w, logs, len(model.classes_))


@classifier("ComplementNB")
def _complement(w: Writer, model: Any, x: Table) -> Scores:
    value = _counts(w, model, x)
    ends = model.class_log_prior_ if len(model.classes_) == 1 else None
    return _of_logs(w, w.weighted(value, model.feature_log_prob_, ends), len(model.classes_))


def _counts(w: Writer, model: Any, x: Table) -> str:
    return w.numbers(x, model)


@classifier("BernoulliNB")
def _bernoulli(w: Writer, model: Any, x: Table) -> Scores:
    value = w.numbers(x, model)
    if model.binarize is not None:
        above = w.add("Greater", value, w.bound(model.binarize, x))
        value = w.add("Cast", above, to=TensorProto.DOUBLE)
    absent = np.log(1 - np.exp(model.feature_log_prob_))
    ends = model.class_log_prior_ + absent.sum(axis=1)
    return _of_logs(w, w.weighted(value, model.feature_log_prob_ - absent, ends), len(model.classes_))


@classifier("CategoricalNB")
def _categorical(w: Writer, model: Any, x: Table) -> Scores:
    """Each category's number is where its logarithms stand; scikit-learn cuts fractions off, and takes no other."""
    value = w.numbers(x, model)
    total = w.number(np.asarray(model.class_log_prior_).reshape(1, -1))
    for i, logs in enumerate(model.feature_log_prob_):
        column = w.matrix(w.table(value, x.width).pick([i]))
        code = w.add("Cast", w.add("Clip", column, w.number(-1), w.number(logs.shape[1])), to=TensorProto.INT64)
        negative = w.add("Less", column, w.number(0))
        code = w.add("Where", negative, w.whole(logs.shape[1]), code)
        w.refuse_any(
            w.add("Equal", code, w.whole(logs.shape[1])),
            f"column {i} of the CategoricalNB has a category that it never saw; "
            "write TRY(predict(…)) for NULL in its place",
        )
        found = w.add("Gather", w.number(np.vstack([logs.T, np.zeros((1, len(logs)))])), code)
        total = w.add("Add", total, w.add("Reshape", found, w.whole([-1, logs.shape[0]])))
    return _of_logs(w, total, len(model.classes_))

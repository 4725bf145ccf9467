"""Multi-layer perceptrons."""

from __future__ import annotations

from typing import Any

import numpy as np

from sqlinfer.convert.sklearn.exact.dispatch import classifier, regressor
from sqlinfer.convert.sklearn.exact.table import Scores, Table, Unsupported
from sqlinfer.convert.sklearn.exact.writer import Writer, name_of

__all__ = ["last_layer"]

_ACTIVATIONS = {"relu": "Relu", "tanh": "Tanh", "logistic": "Sigmoid", "exp": "Exp"}


def last_layer(w: Writer, model: Any, x: Table) -> str:
    """The numbers of the last layer, before its activation."""
    value = w.numbers(x, model)
    w.refuse_overflow(value, x, model)
    last = len(model.coefs_) - 1
    for i, (weights, ends) in enumerate(zip(model.coefs_, model.intercepts_, strict=True)):
        value = w.weighted(value, np.asarray(weights).T, ends)
        if i < last and model.activation != "identity":
            value = w.add(_ACTIVATIONS[model.activation], value)
    w.check(value, model, {"nan", "inf"})
    return value


@regressor("MLPRegressor")
def _regressor(w: Writer, model: Any, x: Table) -> Table:
    value = last_layer(w, model, x)
    if model.out_activation_ != "identity":
        value = w.add(_ACTIVATIONS[model.out_activation_], value)
    return w.table(value, model.n_outputs_)


@classifier("MLPClassifier")
def _classifier(w: Writer, model: Any, x: Table) -> Scores:
    if model._label_binarizer.y_type_.startswith("multilabel"):
        raise Unsupported(f"{name_of(model)} of several labels")
    value = last_layer(w, model, x)
    if model.out_activation_ == "softmax":
        proba = w.add("Softmax", value, axis=1)
        return Scores(proba, proba)
    proba = w.pair(w.add("Sigmoid", value))
    return Scores(proba, proba)

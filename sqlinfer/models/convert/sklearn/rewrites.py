"""A fitted estimator → one that answers the same and that skl2onnx converts.

What a search, a wrapper or an option adds to an estimator it adds when it is fitted; afterwards the estimator inside
answers. Works on a copy.
"""

from __future__ import annotations

import copy
import warnings
from collections.abc import Callable
from typing import Any

import numpy as np

__all__ = ["inside", "parts", "rewritten"]

# Fitted estimators that answer for the whole.
_INSIDE = {
    "GridSearchCV": "best_estimator_",
    "RandomizedSearchCV": "best_estimator_",
    "HalvingGridSearchCV": "best_estimator_",
    "HalvingRandomSearchCV": "best_estimator_",
    "FrozenEstimator": "estimator",
    "SelfTrainingClassifier": "estimator_",
}
_FITTED_IN_PLACE = ("FrozenEstimator", "_CalibratedClassifier")
# Transformers whose answers are linear in the row, and estimators whose predictions are.
_AFFINE = {
    *("FactorAnalysis", "FastICA", "SparsePCA", "MiniBatchSparsePCA", "SparseRandomProjection", "PLSSVD"),
    *("FeatureAgglomeration", "SequentialFeatureSelector"),
}
_WIDEST = 2048  # they are found out on a square matrix
_LINEAR = {"CCA", "PLSCanonical", "DummyRegressor"}
# Options that change no number in a dense answer, but that skl2onnx asks for.
_OPTIONS: dict[str, dict[str, Any]] = {
    "KBinsDiscretizer": {"encode": {"onehot": "onehot-dense"}},
    "VotingClassifier": {"flatten_transform": {True: False}},
    "RandomTreesEmbedding": {"sparse_output": {True: False}},
}


def rewritten(model: Any) -> Any:
    """A copy of ``model``, rewritten inside and out."""
    return _final(_map_parts(copy.deepcopy(model), _rewrite))


def parts(model: Any) -> list[Any]:
    """All fitted estimators inside a rewritten estimator, and itself."""
    found: list[Any] = []

    def see(part: Any) -> Any:
        found.append(part)
        return part

    _map_parts(model, see)
    return found


def _map_parts(model: Any, change: Callable[[Any], Any]) -> Any:
    for name, value in list(vars(model).items()):
        fitted = name.endswith("_") or name in ("steps", "transformer_list")
        if fitted or (name == "estimator" and type(model).__name__ in _FITTED_IN_PLACE):
            changed = _map_value(value, change)
            if changed is not value:
                setattr(model, name, changed)
    return change(model)


def _map_value(value: Any, change: Callable[[Any], Any]) -> Any:
    if hasattr(value, "get_params") or type(value).__name__ in _FITTED_IN_PLACE:
        return value if isinstance(value, type) else _map_parts(value, change)
    if isinstance(value, (list, tuple)):
        return type(value)([_map_value(item, change) for item in value]) if type(value) in (list, tuple) else value
    if isinstance(value, np.ndarray) and value.dtype == object and value.size and hasattr(value.flat[0], "get_params"):
        changed = [_map_value(item, change) for item in value.flat]
        return np.array([*changed, None], dtype=object)[:-1].reshape(value.shape)  # None: no estimator is unpacked
    return value


def inside(model: Any) -> Any:
    """The estimator that answers for a search or a wrapper, as it is."""
    while type(model).__name__ in _INSIDE:
        model = getattr(model, _INSIDE[type(model).__name__])
    return model


def _rewrite(model: Any) -> Any:
    model = inside(model)
    _bound_splits(model)
    for option, values in _OPTIONS.get(type(model).__name__, {}).items():
        setattr(model, option, values.get(getattr(model, option), getattr(model, option)))
    _use_empty_text(model)
    _use_plain_numbers(model)
    narrow = getattr(model, "n_features_in_", 0) <= _WIDEST
    linear = type(model).__name__ in _AFFINE or _selects_only_the_first(model)
    return _as_linear(model, "transform") if linear and narrow else model


def _selects_only_the_first(model: Any) -> bool:
    """skl2onnx takes the selection of column 0 alone for no selection."""
    if not hasattr(model, "get_support") or hasattr(model, "predict"):
        return False
    return bool(np.array_equal(model.get_support(indices=True), [0]))


def _bound_splits(model: Any) -> None:
    """Of a feature that is only present or missing a tree's split is infinite, on which skl2onnx never ends."""
    tree: Any = getattr(model, "tree_", None)
    if hasattr(tree, "threshold"):
        np.minimum(tree.threshold, np.finfo(np.float32).max, out=tree.threshold)


def _final(model: Any) -> Any:
    """What an estimator is where it has the last word: RFE and its like predict with an estimator of the columns that
    they select, and others that are known as transformers are linear models."""
    name = type(model).__name__
    if name == "Pipeline":
        step, last = model.steps[-1]
        model.steps[-1] = (step, _final(last))
        return model
    if name in ("RFE", "RFECV") and hasattr(model.estimator_, "predict"):
        from sklearn.pipeline import Pipeline

        return Pipeline([("select", model), ("estimator", model.estimator_)])
    if name in _LINEAR:
        return _as_linear(model, "predict")
    return _as_logistic(model) if name == "LinearDiscriminantAnalysis" else model


def _as_linear(model: Any, method: str) -> Any:
    """An answer that is linear in the row as a LinearRegression, found out on rows of zeros with one one."""
    from sklearn.linear_model import LinearRegression

    width = model.n_features_in_
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of features without names
        answers = getattr(model, method)(np.vstack([np.zeros(width), np.eye(width)]))
    answers = np.asarray(answers.toarray() if hasattr(answers, "toarray") else answers)
    linear = LinearRegression()
    linear.coef_, linear.intercept_ = (answers[1:] - answers[0]).T, answers[0]
    linear.n_features_in_ = width
    return linear


def _as_logistic(model: Any) -> Any:
    """skl2onnx takes the scores of two classes for those of many."""
    from sklearn.linear_model import LogisticRegression

    logistic = LogisticRegression()
    logistic.coef_, logistic.intercept_, logistic.classes_ = model.coef_, model.intercept_, model.classes_
    logistic.n_features_in_ = model.n_features_in_
    return logistic


def _use_plain_numbers(model: Any) -> None:
    name = type(model).__name__
    if name == "VotingClassifier" and isinstance(model.weights, list):
        model.weights = np.array(model.weights)
    if name == "AdaBoostClassifier" and model.classes_.dtype == bool:
        model.classes_ = model.classes_.astype(np.int64)
        for member in model.estimators_:
            member.classes_ = np.asarray(member.classes_).astype(np.int64)


def _use_empty_text(part: Any) -> None:
    """Imputers and encoders of text know a missing value as the empty text: ONNX has no missing text.

    The null policy of such a feature is then '' (found out when NULL is tried on the estimator and on the graph).
    """
    if type(part).__name__ == "SimpleImputer" and np.asarray(getattr(part, "statistics_", 0)).dtype.kind in "OUST":
        part.missing_values = ""
    categories = getattr(part, "categories_", None)
    if categories is not None:
        part.categories_ = [
            np.array(["" if _is_missing(c) else c for c in column], dtype=object)
            if column.dtype.kind in "OUST"
            else column
            for column in map(np.asarray, categories)
        ]


def _is_missing(value: Any) -> bool:
    return value is None or value != value

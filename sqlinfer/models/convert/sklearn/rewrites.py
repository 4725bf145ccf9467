"""A fitted estimator → one that answers the same and that skl2onnx converts.

What a search, a wrapper or an option adds to an estimator it adds when it is fitted; afterwards the estimator inside
answers. Works on a copy.
"""

from __future__ import annotations

import copy
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
# Options that change no number in a dense answer, but that skl2onnx asks for.
_OPTIONS: dict[str, dict[str, Any]] = {
    "KBinsDiscretizer": {"encode": {"onehot": "onehot-dense"}},
    "VotingClassifier": {"flatten_transform": {True: False}},
    "RandomTreesEmbedding": {"sparse_output": {True: False}},
}


def rewritten(model: Any) -> Any:
    """A copy of ``model``, rewritten inside and out."""
    return _selected(_map_parts(copy.deepcopy(model), _rewrite))


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
    return model


def _bound_splits(model: Any) -> None:
    """Of a feature that is only present or missing a tree's split is infinite, on which skl2onnx never ends."""
    tree: Any = getattr(model, "tree_", None)
    if hasattr(tree, "threshold"):
        np.minimum(tree.threshold, np.finfo(np.float32).max, out=tree.threshold)


def _selected(model: Any) -> Any:
    """RFE and its like select columns, and predict with an estimator of those: a pipeline of both."""
    if type(model).__name__ not in ("RFE", "RFECV") or not hasattr(model.estimator_, "predict"):
        return model
    from sklearn.pipeline import Pipeline

    return Pipeline([("select", model), ("estimator", model.estimator_)])


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

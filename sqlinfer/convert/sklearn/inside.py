"""The estimator inside a search or a wrapper: what either adds it adds when it is fitted."""

from __future__ import annotations

from typing import Any

__all__ = ["inside"]

# Fitted estimators that answer for the whole.
_INSIDE = {
    "GridSearchCV": "best_estimator_",
    "RandomizedSearchCV": "best_estimator_",
    "HalvingGridSearchCV": "best_estimator_",
    "HalvingRandomSearchCV": "best_estimator_",
    "FrozenEstimator": "estimator",
    "SelfTrainingClassifier": "estimator_",
}


def inside(model: Any) -> Any:
    while type(model).__name__ in _INSIDE and type(model).__module__.split(".")[0] == "sklearn":
        model = getattr(model, _INSIDE[type(model).__name__])
    return model

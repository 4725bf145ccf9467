"""Models in the files that their libraries write themselves: data, which is loaded without running any code."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from sqlinfer.convert.skops import is_skops, load_skops
from sqlinfer.errors import InvalidModel, MissingExtra

__all__ = ["is_saved", "load_saved"]

_READ = 64


def is_saved(path: Path) -> bool:
    """Whether the file is one of XGBoost (JSON, UBJSON), LightGBM (text), CatBoost (cbm) or skops."""
    return path.is_file() and (_library(path) is not None or is_skops(path))


def load_saved(path: Path, *, trust: bool) -> Any:
    """The model in it. Raises MissingExtra, InvalidModel when the library cannot load its file, and UntrustedModel."""
    if is_skops(path):
        return load_skops(path, trust=trust)
    library = str(_library(path))
    try:
        return _LIBRARIES[library][1](str(path))
    except ImportError as error:
        raise MissingExtra.of(library, library, f"registering {path}") from error
    except Exception as error:  # each library has exceptions of its own
        raise InvalidModel(
            f"{library} cannot load {path}: it is damaged or cut short, or written by a newer version than the "
            "one here; save it again"
        ) from error


def _library(path: Path) -> str | None:
    with path.open("rb") as file:
        start = file.read(_READ)
    return next((library for library, (is_its_own, _) in _LIBRARIES.items() if is_its_own(start)), None)


def _xgboost(path: str) -> Any:
    import xgboost

    booster = xgboost.Booster(model_file=path)
    # what scikit-learn's side of XGBoost saved answers as it does: by the best rounds
    kind = json.loads(booster.attr("scikit_learn") or "{}").get("_estimator_type")
    kinds = {
        "classifier": xgboost.XGBClassifier,
        "regressor": xgboost.XGBRegressor,
        "ranker": xgboost.XGBRanker,
    }
    if kind not in kinds:
        return booster
    model = kinds[kind]()
    model.load_model(path)
    return model


def _lightgbm(path: str) -> Any:
    import lightgbm

    return lightgbm.Booster(model_file=path)


def _catboost(path: str) -> Any:
    import catboost

    model = catboost.CatBoost().load_model(path)
    classifies = model.classes_ is not None and len(model.classes_)
    return (catboost.CatBoostClassifier if classifies else catboost.CatBoostRegressor)().load_model(path)


_LIBRARIES: dict[str, tuple[Callable[[bytes], bool], Callable[[str], Any]]] = {
    "xgboost": (lambda start: start[:1] == b"{" and b"learner" in start, _xgboost),
    "lightgbm": (lambda start: start.startswith((b"tree\n", b"tree\r\n")), _lightgbm),
    "catboost": (lambda start: start.startswith(b"CBM1"), _catboost),
}

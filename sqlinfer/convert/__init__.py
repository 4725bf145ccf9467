"""A framework's model → candidates for its ONNX form, the most faithful first.

A conversion is believed when it is proven, not when it is written: registration takes the first candidate whose
answers are the original's.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from sqlinfer.convert.original import Candidate, Original
from sqlinfer.errors import ConversionFailed
from sqlinfer.models.sample import Sample

__all__ = ["Candidate", "Original", "made_up_rows", "open_original"]


def made_up_rows(model: Any) -> Sample | None:
    """Rows that go all ways through the trees of a model that knows its features; None of others."""
    families = {base.__module__.split(".")[0] for base in type(model).__mro__}
    if "xgboost" in families:
        from sqlinfer.convert import xgboost

        return xgboost.made_up_rows(model)
    if "lightgbm" in families:
        from sqlinfer.convert import lightgbm

        return lightgbm.made_up_rows(model)
    return None


def open_original(model: Any, sample: Sample) -> tuple[Original, Iterator[Candidate]]:
    """The model as something that answers, and its candidates. Raises ConversionFailed or MissingExtra."""
    families = {base.__module__.split(".")[0] for base in type(model).__mro__}
    if "xgboost" in families:
        from sqlinfer.convert import xgboost

        return xgboost.open_original(model, sample)
    if "lightgbm" in families:
        from sqlinfer.convert import lightgbm

        return lightgbm.open_original(model, sample)
    if "catboost" in families:
        from sqlinfer.convert import catboost

        return catboost.open_original(model, sample)
    if "sklearn" in families:
        from sqlinfer.convert import sklearn

        return sklearn.open_original(model, sample)
    if "torch" in families:
        from sqlinfer.convert import torch

        return torch.open_original(model, sample)
    raise ConversionFailed(
        f"a {type(model).__module__}.{type(model).__name__} cannot be registered: give a scikit-learn estimator, an "
        "XGBoost, LightGBM or CatBoost model, a torch module, or the path of an .onnx file"
    )

"""XGBoost and LightGBM models and boosters, by onnxmltools. Both libraries' trees become single precision trees."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from typing import Any

import numpy as np

from sqlinfer.errors import ConversionFailed, MissingExtra
from sqlinfer.models.convert.labels import labels_of
from sqlinfer.models.convert.original import Candidate, Original
from sqlinfer.models.sample import Sample

__all__ = ["open_original"]

_OPSET = 15


def open_original(model: Any, sample: Sample) -> tuple[Original, Iterator[Candidate]]:
    library = "xgboost" if any(b.__module__.startswith("xgboost") for b in type(model).__mro__) else "lightgbm"
    try:
        import onnxmltools
    except ImportError as error:
        raise MissingExtra.of("onnxmltools", library, f"registering a model of {library}") from error
    framework = __import__(library)
    is_booster = type(model).__name__ == "Booster"
    classes = _booster_classes(model, library) if is_booster else getattr(model, "classes_", None)
    labels, label_type = labels_of(classes)
    original = Original(
        framework=f"{library} {framework.__version__}",
        model=type(model).__name__,
        converter=f"onnxmltools {onnxmltools.__version__}",
        task="classification" if labels else "regression",
        answers=lambda rows: _booster_answers(model, rows, labels, library) if is_booster else _answers(model, rows),
        labels=labels,
        label_type=label_type,
    )
    return original, _candidates(model, sample, library)


def _answers(model: Any, rows: Sample) -> dict[str, Any]:
    native = rows.native()
    answers = {"predict": np.asarray(model.predict(native))}
    if hasattr(model, "classes_"):
        answers["predict_proba"] = np.asarray(model.predict_proba(native))
    return answers


def _booster_classes(model: Any, library: str) -> np.ndarray | None:
    """A booster knows no labels but the numbers that it was trained on: 0, 1 …"""
    if library == "xgboost":
        import json

        learner = json.loads(model.save_config())["learner"]
        objective = learner["objective"]["name"]
        count = int(learner["learner_model_param"]["num_class"])
    else:
        objective = str(model.dump_model(num_iteration=1).get("objective") or "").split(" ")[0]
        count = model.num_model_per_iteration()
    if objective in ("binary:logistic", "binary"):
        return np.arange(2)
    if objective in ("multi:softprob", "multi:softmax", "multiclass", "multiclassova", "softmax"):
        return np.arange(count)
    return None


def _booster_answers(model: Any, rows: Sample, labels: tuple[Any, ...], library: str) -> dict[str, Any]:
    matrix = np.column_stack([column.to_numpy(zero_copy_only=False) for column in rows.table.columns])
    if library == "xgboost":
        import xgboost

        scores = model.predict(xgboost.DMatrix(matrix, feature_names=model.feature_names))
    else:
        scores = model.predict(matrix)
    if not labels:
        return {"predict": scores}
    if scores.ndim == 1 and len(labels) > 2:  # multi:softmax answers with the class itself
        return {"predict": scores.astype(np.int64)}
    proba = scores if scores.ndim == 2 else np.stack([1 - scores, scores], axis=1)
    return {"predict": proba.argmax(axis=1), "predict_proba": proba}


def _candidates(model: Any, sample: Sample, library: str) -> Iterator[Candidate]:
    from onnxmltools import convert_lightgbm, convert_xgboost
    from onnxmltools.convert.common.data_types import FloatTensorType

    initial = [("X", FloatTensorType([None, len(sample.names)]))]
    features: list[tuple[str, str, str, int | None]] = [(n, "FLOAT", "X", i) for i, n in enumerate(sample.names)]
    try:
        if library == "xgboost":
            graph = convert_xgboost(_without_names(model), initial_types=initial, target_opset=_OPSET)
        else:
            # onnxmltools knows no boolean classes; the booster numbers them 0 and 1
            booleans = np.asarray(getattr(model, "classes_", [])).dtype == bool
            model = model.booster_ if booleans else model
            graph = convert_lightgbm(model, initial_types=initial, target_opset=_OPSET, zipmap=False)
    except Exception as error:  # the converters raise what they like
        raise ConversionFailed(
            f"onnxmltools cannot convert this {type(model).__name__}: {' '.join(str(error).split())[:300]}"
        ) from error
    yield Candidate(graph, features, "one FLOAT matrix")


def _without_names(model: Any) -> Any:
    """onnxmltools reads a booster whose features are called f0, f1 …; position is what counts."""
    plain = copy.deepcopy(model)
    booster = plain if type(plain).__name__ == "Booster" else plain.get_booster()
    booster.feature_names = None
    booster.feature_types = None
    return plain

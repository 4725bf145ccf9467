"""scikit-learn estimators and pipelines, by skl2onnx; XGBoost and LightGBM models may stand in a pipeline."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import chain
from typing import Any

import numpy as np

from sqlinfer.errors import MissingExtra
from sqlinfer.models.convert.labels import labels_of
from sqlinfer.models.convert.original import Candidate, Original
from sqlinfer.models.convert.sklearn.rewrites import inside
from sqlinfer.models.sample import Sample

__all__ = ["open_original"]

_TASKS = {"classifier": "classification", "regressor": "regression", "clusterer": "clustering"}


def open_original(model: Any, sample: Sample) -> tuple[Original, Iterator[Candidate]]:
    try:
        import skl2onnx
        import sklearn
    except ImportError as error:
        raise MissingExtra.of("skl2onnx", "sklearn", "registering a scikit-learn estimator") from error
    from sqlinfer.models.convert.sklearn.candidates import candidates, describe
    from sqlinfer.models.convert.sklearn.forests import forest_candidates
    from sqlinfer.models.convert.sklearn.outliers import outlier_candidates

    labels, label_type = labels_of(_classes(model, sample))
    original = Original(
        framework=f"scikit-learn {sklearn.__version__}",
        model=describe(model),
        converter=f"skl2onnx {skl2onnx.__version__}",
        task=_TASKS.get(_kind(model), "other"),
        answers=lambda rows: _answers(model, rows),
        labels=labels,
        label_type=label_type,
    )
    return original, chain(
        forest_candidates(inside(model), sample),
        outlier_candidates(inside(model), sample),
        candidates(model, sample),
    )


def _answers(model: Any, rows: Sample) -> dict[str, Any]:
    native = _as_trained(model, rows)
    answers: dict[str, Any] = {}
    if hasattr(model, "predict"):
        answers["predict"] = np.asarray(model.predict(native))
    elif hasattr(model, "transform"):
        answers["predict"] = _dense(model.transform(native))
    elif hasattr(model, "score_samples"):
        answers["predict"] = np.asarray(model.score_samples(native))
    if hasattr(model, "predict_proba"):
        proba = model.predict_proba(native)
        if not isinstance(proba, list):
            answers["predict_proba"] = np.asarray(proba)
        elif len({matrix.shape for matrix in proba}) == 1:  # several labels; lists of one length
            answers["predict_proba"] = np.stack(proba, axis=1)
        else:
            answers["predict_proba"] = [list(row) for row in zip(*proba, strict=True)]
    return answers


def _as_trained(model: Any, rows: Sample) -> Any:
    """A vectorizer of text takes a sequence of texts, a DataFrame of one column is none."""
    return rows.table.column(0).to_pylist() if _takes_texts(model) else rows.native()


def _takes_texts(model: Any) -> bool:
    while hasattr(model, "steps") or hasattr(model, "best_estimator_"):
        model = model.best_estimator_ if hasattr(model, "best_estimator_") else model.steps[0][1]
    if hasattr(model, "transformer_list"):
        return all(_takes_texts(part) for _, part in model.transformer_list)
    return any(base.__name__ == "_VectorizerMixin" for base in type(model).__mro__)


def _dense(matrix: Any) -> np.ndarray:
    return np.asarray(matrix.toarray() if hasattr(matrix, "toarray") else matrix)


def _classes(model: Any, sample: Sample) -> Any:
    """A classifier's classes; the numbers of a mixture's components. None where a row gets several labels."""
    if hasattr(model, "classes_") and hasattr(model, "predict"):
        few = _as_trained(model, sample.head(2))
        return model.classes_ if np.ndim(model.predict(few)) == 1 else None
    if hasattr(model, "predict_proba") and hasattr(model, "weights_") and hasattr(model, "n_components"):
        return np.arange(model.n_components)
    return None


def _kind(model: Any) -> str:
    from sklearn.utils import get_tags

    return str(getattr(model, "_estimator_type", None) or get_tags(model).estimator_type)

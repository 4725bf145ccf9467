"""scikit-learn estimators and pipelines, with XGBoost, LightGBM and CatBoost models in them: by nodes of our own, and
by skl2onnx where a step has none."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from sqlinfer.convert.original import Candidate, Original
from sqlinfer.convert.sklearn.inside import inside
from sqlinfer.errors import ConversionFailed, MissingExtra
from sqlinfer.models.labels import labels_of
from sqlinfer.models.sample import Sample
from sqlinfer.version import __version__

__all__ = ["open_original"]

_TASKS = {"classifier": "classification", "regressor": "regression", "clusterer": "clustering"}


def open_original(model: Any, sample: Sample) -> tuple[Original, Iterator[Candidate]]:
    try:
        import sklearn
    except ImportError as error:
        raise MissingExtra.of("scikit-learn", "sklearn", "registering a scikit-learn estimator") from error

    labels, label_type = labels_of(_classes(model, sample))
    original = Original(
        framework=f"scikit-learn {sklearn.__version__}",
        model=_described(model),
        converter=f"sqlinfer {__version__}",
        task=_TASKS.get(_kind(model), "other"),
        answers=lambda rows: _answers(model, rows),
        labels=labels,
        label_type=label_type,
    )
    return original, _candidates(model, sample, original)


def _candidates(model: Any, sample: Sample, original: Original) -> Iterator[Candidate]:
    from sqlinfer.convert.sklearn.exact import Unsupported, candidates

    try:
        yield from candidates(inside(model), sample, original.answers)
    except Unsupported as error:
        raise ConversionFailed(
            f"this {original.model} cannot be written as a graph: no nodes are known for {error}; use an estimator "
            "that has them, or leave that step out of the model and do it in SQL"
        ) from error


def _described(model: Any) -> str:
    steps = getattr(model, "steps", None)
    inner = f"({', '.join(type(step).__name__ for _, step in steps)})" if steps else ""
    return type(model).__name__ + inner


def _answers(model: Any, rows: Sample) -> dict[str, Any]:
    native = _as_trained(model, rows)
    answers: dict[str, Any] = {}
    if hasattr(model, "predict"):
        answers["predict"] = _flat(np.asarray(model.predict(native)))
    elif hasattr(model, "transform"):
        answers["predict"] = _dense(model.transform(native))
    elif hasattr(model, "score_samples"):
        answers["predict"] = np.asarray(model.score_samples(native))
    if hasattr(model, "predict_proba") and len(getattr(model, "classes_", (0, 0))) > 1:
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


def _flat(answers: np.ndarray) -> np.ndarray:
    """CatBoost answers labels as a matrix of one column."""
    return answers.ravel() if answers.ndim == 2 and answers.shape[1] == 1 and answers.dtype.kind != "f" else answers


def _dense(matrix: Any) -> np.ndarray:
    return np.asarray(matrix.toarray() if hasattr(matrix, "toarray") else matrix)


def _classes(model: Any, sample: Sample) -> Any:
    """A classifier's classes; the numbers of a mixture's components. None where a row gets several labels."""
    if hasattr(model, "predict") and len(getattr(model, "classes_", ())):
        few = _as_trained(model, sample.head(2))
        answers = np.asarray(model.predict(few))
        return model.classes_ if answers.ndim == 1 or answers.shape[1] == 1 else None
    if hasattr(model, "predict_proba") and hasattr(model, "weights_") and hasattr(model, "n_components"):
        return np.arange(model.n_components)
    return None


def _kind(model: Any) -> str:
    from sklearn.utils import get_tags

    return str(getattr(model, "_estimator_type", None) or get_tags(model).estimator_type)

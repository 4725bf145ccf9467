"""Which function writes which step. A step is known by its exact class: one that inherits may do something else."""

from __future__ import annotations

import contextlib
from collections.abc import Callable
from typing import Any, TypeVar

from sqlinfer.convert.sklearn.exact.foreign import classified, labelled, predicted, transformed
from sqlinfer.convert.sklearn.exact.table import Scores, Table, Unsupported
from sqlinfer.convert.sklearn.exact.writer import Writer, name_of
from sqlinfer.convert.sklearn.inside import inside

__all__ = [
    "classifier",
    "classify",
    "clusterer",
    "label",
    "outliers",
    "predict",
    "regressor",
    "transform",
    "transformer",
]

_HOMES = ("sklearn", "imblearn", "xgboost", "lightgbm", "catboost")


Transformer = Callable[[Writer, Any, Table], Table]
Regressor = Callable[[Writer, Any, Table], Table]
Classifier = Callable[[Writer, Any, Table], Scores]
# labels [rows] of int64 and scores [rows, …] of doubles
Labelled = Callable[[Writer, Any, Table], tuple[str, str]]
F = TypeVar("F", bound=Callable[..., Any])
T = TypeVar("T")

_TRANSFORMERS: dict[str, Transformer] = {}
_REGRESSORS: dict[str, Regressor] = {}
_CLASSIFIERS: dict[str, Classifier] = {}
_CLUSTERERS: dict[str, Labelled] = {}
_OUTLIERS: dict[str, Labelled] = {}


def _registers(table: dict[str, Any]) -> Callable[..., Callable[[F], F]]:
    def named(*names: str) -> Callable[[F], F]:
        def register(function: F) -> F:
            table.update(dict.fromkeys(names, function))
            return function

        return register

    return named


transformer = _registers(_TRANSFORMERS)
regressor = _registers(_REGRESSORS)
classifier = _registers(_CLASSIFIERS)
clusterer = _registers(_CLUSTERERS)
outliers = _registers(_OUTLIERS)


# Steps of which some options have no nodes of ours: skl2onnx may have them.
_MAY_BE_FOREIGN = {
    *("SVC", "NuSVC", "KNeighborsClassifier", "KNeighborsRegressor"),
}


def _known(table: dict[str, F], model: Any) -> F | None:
    kind = type(model)
    return table.get(kind.__name__) if kind.__module__.split(".")[0] in _HOMES else None


def _written(
    table: dict[str, Callable[[Writer, Any, Table], T]],
    foreign: Callable[[Writer, Any, Table], T],
    w: Writer,
    model: Any,
    x: Table,
) -> T:
    """By our nodes, else by those of skl2onnx. Raises Unsupported."""
    write = _known(table, model)
    if write is None:
        return foreign(w, model, x)
    with _readable(model):
        if name_of(model) not in _MAY_BE_FOREIGN:
            return write(w, model, x)
        try:
            return write(w, model, x)
        except Unsupported:
            return foreign(w, model, x)


def transform(w: Writer, step: Any, x: Table) -> Table:
    """What transform() makes of the columns."""
    return _written(_TRANSFORMERS, transformed, w, inside(step), x)


def predict(w: Writer, model: Any, x: Table) -> Table:
    """What a regressor's predict() makes of the columns: one column for each target."""
    return _written(_REGRESSORS, predicted, w, inside(model), x)


def classify(w: Writer, model: Any, x: Table) -> Scores:
    return _written(_CLASSIFIERS, classified, w, inside(model), x)


def label(w: Writer, model: Any, x: Table) -> tuple[str, str]:
    """The labels of a clusterer or an outlier detector, and its scores."""
    model = inside(model)
    table = _CLUSTERERS if name_of(model) in _CLUSTERERS else _OUTLIERS
    return _written(table, labelled, w, model, x)


@contextlib.contextmanager
def _readable(step: Any) -> Any:
    """Attributes that another version of a library calls otherwise are an option that is not known here."""
    try:
        yield
    except (AttributeError, KeyError) as error:
        raise Unsupported(f"{name_of(step)} as this version has it ({error})") from error

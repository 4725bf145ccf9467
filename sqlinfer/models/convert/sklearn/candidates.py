"""ONNX forms of an estimator, the most faithful first, by skl2onnx."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Any

import onnx

from sqlinfer.errors import ConversionFailed
from sqlinfer.models.convert.original import Candidate
from sqlinfer.models.convert.sklearn.after import inner_and_after
from sqlinfer.models.convert.sklearn.boosting import register_boosting
from sqlinfer.models.convert.sklearn.functions import register_functions
from sqlinfer.models.convert.sklearn.graphs import impute_in_double, tree_forms, use_any_locale
from sqlinfer.models.convert.sklearn.rewrites import inside, parts, rewritten
from sqlinfer.models.sample import Sample
from sqlinfer.models.tree_classifiers import classify_by_sums

__all__ = ["candidates", "describe"]

_OPSETS = {"": 18, "ai.onnx.ml": 3}
# The columns as they are; then, for converters that do not mix kinds of numbers, fewer kinds.
_REPLACEMENTS: list[dict[str, str]] = [
    {},
    {"BIGINT": "DOUBLE", "BOOLEAN": "DOUBLE"},
    {"BIGINT": "DOUBLE", "BOOLEAN": "DOUBLE", "FLOAT": "DOUBLE"},
    {"DOUBLE": "FLOAT", "BOOLEAN": "FLOAT"},
    {"DOUBLE": "FLOAT", "BOOLEAN": "FLOAT", "BIGINT": "FLOAT"},
]


def describe(model: Any) -> str:
    steps = getattr(model, "steps", None)
    inner = f"({', '.join(type(step).__name__ for _, step in steps)})" if steps else ""
    return type(model).__name__ + inner


def candidates(model: Any, sample: Sample) -> Iterator[Candidate]:
    """Double first: scikit-learn computes in double. Then whatever else the converter and ONNX Runtime can do."""
    from skl2onnx.common import data_types as t

    tensors = {
        "DOUBLE": t.DoubleTensorType,
        "FLOAT": t.FloatTensorType,
        "BIGINT": t.Int64TensorType,
        "BOOLEAN": t.BooleanTensorType,
        "VARCHAR": t.StringTensorType,
    }
    inner, after = inner_and_after(inside(model))
    faithful = rewritten(inner)
    failures: list[str] = []
    found = False
    for types in _type_choices(sample, by_column=_by_column(faithful, sample)):
        features: list[tuple[str, str, str, int | None]]
        if isinstance(types, str):
            initial = [("X", tensors[types]([None, len(sample.names)]))]
            features = [(name, types, "X", i) for i, name in enumerate(sample.names)]
            note = f"one {types} matrix"
        else:
            initial = [(name, tensors[type]([None, 1])) for name, type in types.items()]
            features = [(name, type, name, 0) for name, type in types.items()]
            note = "columns " + ", ".join(sorted(set(types.values())))
        try:
            converted = _to_onnx(faithful, initial)
        except Exception as error:  # the converters raise what they like
            failures.append(_reason(error, note))
            continue
        if "DOUBLE" in note:
            converted = impute_in_double(converted)
        if after is not None:
            after(converted)
        use_any_locale(converted)
        classify_by_sums(converted, as_trained=True)
        for form, graph in tree_forms(converted):
            found = True
            yield Candidate(graph, features, note + form)
    if not found:
        raise ConversionFailed(f"skl2onnx cannot convert this {describe(model)}: " + "; ".join(dict.fromkeys(failures)))


def _reason(error: Exception, note: str) -> str:
    missing = re.search(r"(?:type|for) '?<class '([\w.]+)'>", str(error))
    if "Unable to find a shape calculator" in str(error) and missing:
        return (
            f"it has no converter for {missing[1].rsplit('.', 1)[1]}; use an estimator that has one, or leave this "
            "step out of the model and do it in SQL"
        )
    return f"{note}: {type(error).__name__}: {' '.join(str(error).split())[:200]}"


def _type_choices(sample: Sample, *, by_column: bool) -> Iterator[str | dict[str, str]]:
    own = {name: sample.sql_type(name) for name in sample.names}
    if not by_column:
        kinds = set(own.values())
        if kinds == {"VARCHAR"}:
            yield "VARCHAR"
        elif "VARCHAR" not in kinds:
            yield from ("FLOAT", "DOUBLE") if kinds == {"FLOAT"} else ("DOUBLE", "FLOAT")
        return
    seen: list[dict[str, str]] = []
    for replace in _REPLACEMENTS:
        types = {name: replace.get(type, type) for name, type in own.items()}
        if types not in seen:
            seen.append(types)
            yield types


def _by_column(model: Any, sample: Sample) -> bool:
    """Whether the model finds its columns by name, or takes columns of several kinds."""
    from sklearn.compose import ColumnTransformer

    kinds = {"text" if sample.sql_type(name) == "VARCHAR" else "number" for name in sample.names}
    return len(kinds) > 1 or any(isinstance(part, ColumnTransformer) for part in parts(model))


def _to_onnx(model: Any, initial: list[tuple[str, Any]]) -> onnx.ModelProto:
    register_boosting()
    register_functions()
    options = {"zipmap": False} if hasattr(model, "classes_") and hasattr(model, "predict") else {}
    try:
        return _convert(model, initial, options)
    except NameError:  # what skl2onnx raises for an option that the converter does not have
        if not options:
            raise
    return _convert(model, initial, {})


def _convert(model: Any, initial: list[tuple[str, Any]], options: dict[str, Any]) -> onnx.ModelProto:
    from skl2onnx import convert_sklearn
    from sklearn.preprocessing import MaxAbsScaler, RobustScaler, StandardScaler

    # as scikit-learn divides singles; by default they are multiplied by the reciprocal
    given: dict[Any, dict[str, Any]] = {StandardScaler: {"div": "div"}, id(model): options}
    given |= {scaler: {"div": "div_cast"} for scaler in (MaxAbsScaler, RobustScaler)}
    converted: onnx.ModelProto = convert_sklearn(model, initial_types=initial, target_opset=_OPSETS, options=given)
    return converted

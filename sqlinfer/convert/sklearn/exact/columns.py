"""Steps that choose columns, and put them side by side."""

from __future__ import annotations

from typing import Any

import numpy as np

from sqlinfer.convert.sklearn.exact.dispatch import transform, transformer
from sqlinfer.convert.sklearn.exact.table import Table, Unsupported
from sqlinfer.convert.sklearn.exact.writer import Writer, name_of

__all__ = ["does_nothing", "through"]

_SELECTORS = (
    *("GenericUnivariateSelect", "SelectFdr", "SelectFpr", "SelectFromModel", "SelectFwe", "SelectKBest"),
    *("SelectPercentile", "SequentialFeatureSelector", "VarianceThreshold", "RFE", "RFECV"),
)


def does_nothing(step: Any) -> bool:
    """Whether rows that are predicted pass the step as they are: imblearn's samplers work when it is fitted."""
    return step is None or step == "passthrough" or hasattr(step, "fit_resample")


def through(w: Writer, steps: list[tuple[str, Any]], x: Table) -> Table:
    for _, step in steps:
        if not does_nothing(step):
            x = transform(w, step, x)
    return x


@transformer("Pipeline")
def _pipeline(w: Writer, step: Any, x: Table) -> Table:
    return through(w, step.steps, x)


@transformer("ColumnTransformer")
def _columns(w: Writer, step: Any, x: Table) -> Table:
    if x.width != step.n_features_in_:
        raise Unsupported(f"a ColumnTransformer of {x.width} columns that was trained on {step.n_features_in_}")
    weights = step.transformer_weights or {}
    parts = []
    for name, inner, columns in step.transformers_:
        places = [int(i) for i in step._transformer_to_input_indices[name]]
        if (isinstance(inner, str) and inner == "drop") or not places:
            continue
        made = x.pick(places)
        if _is_vectorizer(inner) and not isinstance(columns, str) and not np.isscalar(columns):
            raise Unsupported(f"{name_of(inner)} over a list of columns")
        made = made if does_nothing(inner) else transform(w, inner, made)
        parts.append(_weighted(w, made, weights.get(name)))
    return Table.joined(parts, sparse=bool(step.sparse_output_))


@transformer("FeatureUnion")
def _union(w: Writer, step: Any, x: Table) -> Table:
    weights = step.transformer_weights or {}
    parts = []
    for name, inner in step.transformer_list:
        if isinstance(inner, str) and inner == "drop":
            continue
        made = x if does_nothing(inner) else transform(w, inner, x)
        parts.append(_weighted(w, made, weights.get(name)))
    return Table.joined(parts, sparse=any(part.sparse for part in parts))


def _weighted(w: Writer, x: Table, weight: Any) -> Table:
    if weight is None or not x.columns:
        return x
    value = w.round(w.add("Mul", w.matrix(x), w.number(weight)), x)
    return w.table(value, x.width, np.float32 if x.single else np.float64, sparse=x.sparse)


def _is_vectorizer(step: Any) -> bool:
    return any(base.__name__ == "_VectorizerMixin" for base in type(step).__mro__)


@transformer(*_SELECTORS)
def _selector(w: Writer, step: Any, x: Table) -> Table:
    from sklearn.utils import get_tags

    places = [int(i) for i in step.get_support(indices=True)]
    if not get_tags(step).input_tags.allow_nan and not any(column.is_text for column in x.columns):
        w.numbers(x, step)
    made = x.pick(places)
    return Table(made.columns, x.sparse)

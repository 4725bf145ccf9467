"""Encoders of categories: what they make of each category is asked of themselves, once; the graph looks it up."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np

from sqlinfer.convert.sklearn.exact.dispatch import transformer
from sqlinfer.convert.sklearn.exact.table import Column, Table, Unsupported
from sqlinfer.convert.sklearn.exact.writer import Writer, is_missing, name_of

__all__: list[str] = []

_SHOWN = 12
# Of a table with a row for each category: of doubles it has 800 MB, and a graph holds 2 GB.
_MOST_LOOKED_UP = 100_000_000


@transformer("OneHotEncoder", "OrdinalEncoder", "TargetEncoder")
def _encoder(w: Writer, step: Any, x: Table) -> Table:
    known = [list(values) for values in step.categories_]
    if len(known) != x.width:
        raise Unsupported(f"{name_of(step)} of other columns than it was trained on")
    if name_of(step) == "OneHotEncoder":
        widths = [int(width) for width in step._n_features_outs]
        sparse = bool(step.sparse_output)
    else:
        widths = [len(step.classes_) if getattr(step, "target_type_", "") == "multiclass" else 1] * x.width
        sparse = False
    starts = np.concatenate([[0], np.cumsum(widths)]).tolist()
    parts = []
    for i, column in enumerate(x.columns):
        if widths[i]:
            parts.append(_encoded(w, step, x, i, column, known, slice(starts[i], starts[i + 1])))
        elif getattr(step, "handle_unknown", "") == "error":
            _require_known(w, step, column, i, known[i])
    return Table.joined(parts, sparse=sparse)


def _encoded(
    w: Writer, step: Any, x: Table, i: int, column: Column, known: Sequence[list[Any]], places: slice
) -> Table:
    """The columns ``places`` of what the encoder makes, which column ``i`` decides."""
    if len(known[i]) * (places.stop - places.start) > _MOST_LOOKED_UP:
        raise Unsupported(
            f"{name_of(step)} that makes {places.stop - places.start} columns of {len(known[i])} categories"
        )
    rows = _asked(step, known, i, known[i], places)
    unknown = _of_unknown(step, known, i, places)
    value = w.looked_up(column, known[i], rows, unknown, _message(w, step, column, i, known[i]))
    if not column.is_text:
        w.check(w.column(column), step, {"inf"})
    safe = (
        "inf single" if np.isnan(rows).any() or (unknown is not None and np.isnan(unknown).any()) else "nan inf single"
    )
    dtype = rows.dtype if rows.dtype.kind == "f" else np.float64
    return w.table(value, rows.shape[1], dtype, safe=safe)


def _require_known(w: Writer, step: Any, column: Column, i: int, known: Sequence[Any]) -> None:
    """Of a column that is encoded as nothing at all."""
    code = w.codes(column, known, np.zeros(len(known), np.int64), 1)
    w.refuse_any(w.add("Equal", code, w.whole(1)), _message(w, step, column, i, known))


def _message(w: Writer, step: Any, column: Column, i: int, known: Sequence[Any]) -> str:
    named = w.inputs.names[column.feature] if column.feature is not None else None
    where = f"feature {named!r}" if named is not None else f"column {i} of the {name_of(step)}"
    texts = ["missing" if is_missing(value) else str(value) for value in known[:_SHOWN]]
    more = ", …" if len(known) > _SHOWN else ""
    return (
        f"{where} has a category that the {name_of(step)} never saw, and it refuses such; it knows "
        f"{', '.join(texts)}{more}: train it with another handle_unknown, or write TRY(predict(…)) for NULL"
    )


def _asked(step: Any, known: Sequence[list[Any]], i: int, values: Sequence[Any], places: slice) -> np.ndarray:
    """The columns ``places`` of what the encoder makes of rows that have these values in column ``i``, and in the
    others what it knows."""
    import pandas

    columns = {}
    names = getattr(step, "feature_names_in_", None)
    for j, categories in enumerate(known):
        given = list(values) if i == j else [categories[0]] * len(values)
        kind = np.asarray(step.categories_[j]).dtype
        plain = kind.kind in "OUST" or not _fit(given, kind)
        columns[j if names is None else names[j]] = pandas.Series(given, dtype=object if plain else kind)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        made = step.transform(pandas.DataFrame(columns))
    made = made[:, places]
    return np.asarray(made.toarray() if hasattr(made, "toarray") else made)


def _fit(values: Sequence[Any], kind: np.dtype) -> bool:
    return all(value == np.asarray(value).astype(kind) for value in values if not is_missing(value))


def _of_unknown(step: Any, known: Sequence[list[Any]], i: int, places: slice) -> np.ndarray | None:
    """What it makes of a value that it never saw; None where it refuses such."""
    kind = np.asarray(step.categories_[i]).dtype.kind
    numbers = [value for value in known[i] if not isinstance(value, str) and not is_missing(value)]
    strange: Any = "\ufffenever seen" if kind in "OUST" and not numbers else max(map(float, numbers), default=0.0) + 1.5
    try:
        return np.asarray(_asked(step, known, i, [strange], places)[0], np.float64)
    except ValueError:
        return None

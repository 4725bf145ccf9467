"""NULLs, as each feature's policy says, before a column becomes numbers."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sqlinfer import types
from sqlinfer.errors import NullFeature
from sqlinfer.models.signature import Feature
from sqlinfer.runtime.nested import rows_with_null

__all__ = ["apply_nulls", "fill", "narrow"]


def apply_nulls(
    model: str, features: Sequence[Feature], columns: list[pa.Array]
) -> tuple[list[pa.Array], np.ndarray | None]:
    """Treat NULLs as each feature's policy says; what stays NULL is to be read as NaN."""
    keep: np.ndarray | None = None
    columns = list(columns)

    def skip(rows: np.ndarray) -> None:
        nonlocal keep
        keep = ~rows if keep is None else keep & ~rows

    for i, (feature, column) in enumerate(zip(features, columns, strict=True)):
        nested = types.is_list(column.type) or feature.type.endswith("]")  # a NULL of no type may be a list
        if nested and feature.null.kind == "null":
            holed = rows_with_null(column)
            if holed is not None:
                skip(holed)
            continue
        if not column.null_count:
            continue
        if feature.null.kind == "null" or (nested and feature.null.kind != "error"):
            skip(~column.is_valid().to_numpy(zero_copy_only=False))
        elif feature.null.kind == "error":
            raise NullFeature.of(model, feature.name)
        else:
            columns[i] = fill(feature, column)
    return columns, keep


def fill(feature: Feature, column: pa.Array) -> pa.Array:
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    if feature.null.kind == "nan":
        return pa.nulls(len(column), pa.float64()) if pa.types.is_null(column.type) else column
    value = pa.scalar(feature.null.value)
    if pa.types.is_null(column.type):
        return pa.array([feature.null.value] * len(column))
    if pa.types.is_boolean(column.type) or pa.types.is_decimal(column.type) or pa.types.is_floating(value.type):
        column = column if types.is_text(column.type) else column.cast(pa.float64())
    return pc.fill_null(column, value.cast(column.type))


def narrow(outer: np.ndarray, inner: np.ndarray) -> np.ndarray:
    keep = outer.copy()
    keep[outer] = inner
    return keep

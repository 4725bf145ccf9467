"""NULLs, as each feature's policy says, before a column becomes numbers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sqlinfer import types
from sqlinfer.errors import NullFeature
from sqlinfer.models.signature import Feature, TextPreparation, WordsPreparation
from sqlinfer.runtime.nested import rows_with_null

__all__ = ["apply_nulls", "filled", "narrow"]


def apply_nulls(
    model: str, features: Sequence[Feature], columns: list[pa.Array]
) -> tuple[list[pa.Array], np.ndarray | None]:
    """Treat NULLs as each feature's policy says; what stays NULL is to be read as NaN, or `filled`."""
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
        elif feature.null.kind == "value" and isinstance(feature.prepare, (TextPreparation, WordsPreparation)):
            text = column.dictionary_decode() if pa.types.is_dictionary(column.type) else column.cast(pa.string())
            columns[i] = pc.fill_null(text, str(feature.null.value))
    return columns, keep


def filled(feature: Feature, dtype: np.dtype, read: Callable[[pa.Array], Any], array: pa.Array) -> np.ndarray:
    """The numbers or texts that ``read`` makes of the values, and in the place of each NULL what its policy says."""
    if feature.null.kind != "value" or not array.null_count:
        return np.asarray(read(array))
    values = np.full(len(array), feature.null.value, dtype)
    values[array.is_valid().to_numpy(zero_copy_only=False)] = read(array.drop_null())
    return values


def narrow(outer: np.ndarray, inner: np.ndarray) -> np.ndarray:
    keep = outer.copy()
    keep[outer] = inner
    return keep

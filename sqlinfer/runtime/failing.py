"""The row that a batch failed on, told by its values: the number of a row in a batch is seen by nobody. The same as in
udfs/src/core/failing.rs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any

import pyarrow as pa

from sqlinfer.errors import FeatureError, ModelFailed, shown
from sqlinfer.runtime.batches import Plan

__all__ = ["OF_A_ROW", "of_first_row"]

OF_A_ROW = (FeatureError, ModelFailed)
# Of a row of many features, and of a list, those that are shown.
_MOST_SHOWN = 8


def of_first_row(
    score: Callable[[Sequence[pa.Array]], object], plan: Plan, arrays: Sequence[pa.Array], error: Exception
) -> Exception:
    """The error of the first row that fails by itself, with its values; ``error`` where each row by itself is answered.

    ``score``: raises one of `OF_A_ROW` for rows that fail.
    """
    first, end = 0, len(arrays[0])
    while end - first > 1:
        middle = first + (end - first) // 2
        try:
            score(_part(arrays, first, middle - first))
            first = middle
        except OF_A_ROW as found:
            end, error = middle, found
    row = _part(arrays, first, end - first)
    try:
        score(row)
    except OF_A_ROW as found:
        return type(found)(f"{found}\nthe row: {_row_text(plan, row)}") if first < end else found
    return error


def _part(arrays: Sequence[pa.Array], first: int, count: int) -> list[pa.Array]:
    return [array.slice(first, count) for array in arrays]


def _row_text(plan: Plan, arrays: Sequence[pa.Array]) -> str:
    """Of one row, as ``age = 20, city = 'a'``."""
    if plan.as_list:
        return _value_text(arrays[0][0].as_py())
    features = plan.signature.features
    pairs = zip(features[:_MOST_SHOWN], plan.find(arrays), strict=False)
    texts = [f"{feature.name} = {_value_text(column[0].as_py())}" for feature, column in pairs]
    return ", ".join([*texts, *_rest(len(features))])


def _value_text(value: Any) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, (bool, str, float)):
        return str(value).lower() if isinstance(value, bool) else shown(value)
    if isinstance(value, bytes):
        return f"{len(value)} bytes"
    if isinstance(value, list):
        return f"[{', '.join([*map(_value_text, value[:_MOST_SHOWN]), *_rest(len(value))])}]"
    return f"{value:f}" if isinstance(value, Decimal) else str(value)


def _rest(count: int) -> list[str]:
    return [f"… ({count - _MOST_SHOWN} more)"] if count > _MOST_SHOWN else []

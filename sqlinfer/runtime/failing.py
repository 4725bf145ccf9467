"""The row that a batch failed on, told by its values: the number of a row in a batch is seen by nobody. The same as in
udfs/src/core/failing.rs."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import pyarrow as pa

from sqlinfer.errors import FeatureError, ModelFailed, shown_row, shown_value
from sqlinfer.runtime.batches import Plan

__all__ = ["OF_A_ROW", "of_first_row"]

OF_A_ROW = (FeatureError, ModelFailed)


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
    """Of one row."""
    if plan.as_list:
        return shown_value(arrays[0][0].as_py())
    return shown_row(plan.signature.feature_names, (column[0].as_py() for column in plan.find(arrays)))

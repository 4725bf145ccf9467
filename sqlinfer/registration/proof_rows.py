"""Which rows of a sample are kept as proof: those that show every class, category and extreme, and what is missing."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from itertools import zip_longest
from typing import Any

import numpy as np
import pyarrow as pa

from sqlinfer import types

__all__ = ["telling_rows"]


def telling_rows(table: pa.Table, predictions: Sequence[Any], most: int) -> list[int]:
    """At most ``most`` places in the table, in their order. ``predictions``: the answer to each row."""
    count = len(table)
    if count <= most:
        return list(range(count))
    by_column = [_of_column(column.combine_chunks()) for column in table.columns]
    by_turns = (place for places in zip_longest(_first_of_each(predictions), *by_column) for place in places)
    even = np.linspace(0, count - 1, most).astype(int).tolist()
    chosen = dict.fromkeys(place for place in (*by_turns, *even) if place is not None)
    return sorted(list(chosen)[:most])


def _of_column(column: pa.Array) -> list[int]:
    places = []
    if column.null_count:
        places.append(int(np.argmin(np.asarray(column.is_valid()))))
    if types.is_text(column.type):
        return [*places, *_first_of_each(column.to_pylist())]
    if types.is_numeric(column.type) and column.null_count < len(column):
        values = np.asarray(column.cast(pa.float64(), safe=False).to_numpy(zero_copy_only=False))
        if not np.isnan(values).all():
            places += [int(np.nanargmin(values)), int(np.nanargmax(values))]
    return places


def _first_of_each(values: Iterable[Any]) -> list[int]:
    """The first place of each label or text; numbers with a fraction are no classes."""
    first: dict[Hashable, int] = {}
    for place, value in enumerate(values):
        value = value.item() if isinstance(value, np.generic) else value
        if isinstance(value, (str, bool, int)):
            first.setdefault(value, place)
    return list(first.values())

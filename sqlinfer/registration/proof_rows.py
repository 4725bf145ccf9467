"""Which rows of a sample prove a model, and which are kept: those that show every class, category and extreme, and what
is missing."""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import replace
from itertools import zip_longest
from typing import Any

import numpy as np
import pyarrow as pa

from sqlinfer import types
from sqlinfer.models.sample import Sample

__all__ = ["choose_proof_rows", "telling_sample"]

# Of a column that has more of them, as many are looked for.
_MOST_CATEGORIES = 50


def telling_sample(sample: Sample, most: int) -> Sample:
    """At most ``most`` rows: what is rare in each column, and others that are spread evenly, in their order."""
    table = sample.table
    if len(table) <= most:
        return sample
    by_column = [_of_column(column) for column in table.columns]
    rare = [place for places in zip_longest(*by_column) for place in places if place is not None]
    return replace(sample, table=table.take(pa.array(_chosen(rare[: most // 2], len(table), most), pa.int64())))


def choose_proof_rows(table: pa.Table, predictions: Sequence[Any], most: int) -> list[int]:
    """At most ``most`` places in the table, in their order. ``predictions``: the answer to each row."""
    count = len(table)
    if count <= most:
        return list(range(count))
    by_column = [_of_column(column) for column in table.columns]
    by_turns = zip_longest(_first_of_each(predictions), *by_column)
    return _chosen([place for places in by_turns for place in places if place is not None], count, most)


def _chosen(first: Sequence[int], count: int, most: int) -> list[int]:
    """The ``first`` places of so many, and others that are spread evenly over the rest."""
    kept = list(dict.fromkeys(first))[:most]
    rest = np.setdiff1d(np.arange(count), kept)
    even = np.linspace(0, len(rest) - 1, most - len(kept)).astype(int)
    return sorted([*kept, *rest[even].tolist()])


def _of_column(column: pa.ChunkedArray) -> list[int]:
    places = []
    if column.null_count:
        places.append(int(np.argmin(np.asarray(column.is_valid()))))
    if types.is_text(column.type):
        words = column.cast(pa.large_string()).combine_chunks().dictionary_encode().indices.fill_null(-1).to_numpy()
        known, first = np.unique(words, return_index=True)
        return [*places, *sorted(first[known >= 0].tolist())[:_MOST_CATEGORIES]]
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

"""What is kept of a sample, computed from all of its rows: its statistics, and rows that are spread over it."""

from __future__ import annotations

import json
import math
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sqlinfer import types
from sqlinfer.models.compare import json_holds, json_values
from sqlinfer.models.profile import (
    BACKGROUND_FILE,
    PROFILE_FILE,
    FeatureProfile,
    Lengths,
    Numbers,
    Profile,
    Texts,
)
from sqlinfer.models.sample import Sample

__all__ = ["files_of", "profile_of"]

_BACKGROUND_ROWS = 256
# Of background.json: long texts and lists may be too large for as many rows.
_MOST_BYTES = 4 << 20
_TOP = 20
_LONGEST = 200
_DECILES = np.linspace(0, 1, 11)


def files_of(sample: Sample) -> dict[str, bytes]:
    """The files that are stored beside a model, by name; none of a sample without rows."""
    if not len(sample.table):
        return {}
    background = _background(sample)
    files = {PROFILE_FILE: profile_of(sample.table).to_json().encode()}
    return {**files, BACKGROUND_FILE: background} if background else files


def profile_of(table: pa.Table) -> Profile:
    return Profile(len(table), tuple(_feature(name, table.column(name)) for name in table.column_names))


def _background(sample: Sample) -> bytes | None:
    """As many rows as there is room for; None where there is none for one, and of pictures."""
    if any(types.is_bytes(column.type) for column in sample.table.columns):
        return None
    # numbers are written in a quarter of their bytes at the least
    count = min(_BACKGROUND_ROWS, 4 * _MOST_BYTES * len(sample.table) // max(sample.table.nbytes, 1))
    while count:
        table = sample.spread(count).table
        columns = [column.to_pylist() for column in table.columns]
        held = [row for row in zip(*columns, strict=True) if all(json_holds(value, missing=True) for value in row)]
        rows = [json_values(row) for row in held]
        content = json.dumps({"rows": rows}, ensure_ascii=False, allow_nan=False).encode()
        if len(content) <= _MOST_BYTES:
            return content + b"\n"
        count = min(count, len(rows)) // 2
    return None


def _feature(name: str, column: pa.ChunkedArray) -> FeatureProfile:
    nulls = column.null_count
    if types.is_numeric(column.type):
        numbers = column.drop_null().cast(pa.float64(), safe=False).to_numpy()
        return FeatureProfile(name, nulls, numbers=_numbers(numbers))
    if types.is_text(column.type):
        texts = column.cast(pa.large_string()).drop_null()
        return FeatureProfile(name, nulls, texts=_texts(texts), lengths=_lengths(pc.utf8_length(texts)))
    if types.is_bytes(column.type):
        return FeatureProfile(name, nulls, lengths=_lengths(pc.binary_length(column.cast(pa.large_binary()))))
    return FeatureProfile(name, nulls, lengths=_lengths(pc.list_value_length(column)))


def _numbers(values: np.ndarray) -> Numbers:
    nans, finite = int(np.isnan(values).sum()), values[np.isfinite(values)]
    counted = (nans, len(values) - len(finite) - nans, int((finite == 0).sum()))
    if not len(finite):
        return Numbers(*counted, None, None, None, None, None, (), ())
    with np.errstate(over="ignore", invalid="ignore"):  # of numbers near the largest: then there is no such figure
        mean, std = float(finite.mean()), float(finite.std(ddof=1)) if len(finite) > 1 else math.nan
        edges = np.quantile(finite, _DECILES)
        if not np.isfinite(edges).all():
            edges = np.quantile(finite, _DECILES, method="lower")
    counts, _ = np.histogram(finite, bins=edges)
    low, median, high = (float(edges[i]) for i in (0, 5, 10))
    return Numbers(
        *counted, low, high, _known(mean), _known(std), median, tuple(edges.tolist()), tuple(counts.tolist())
    )


def _known(value: float) -> float | None:
    return value if math.isfinite(value) else None


def _texts(values: pa.ChunkedArray) -> Texts:
    counted = values.value_counts()
    table = pa.table({"value": counted.field("values"), "count": counted.field("counts")})
    short = table.filter(pc.less_equal(pc.utf8_length(table["value"]), _LONGEST))
    top = short.sort_by([("count", "descending"), ("value", "ascending")]).slice(0, _TOP)
    return Texts(len(table), tuple(zip(*(top.column(i).to_pylist() for i in (0, 1)), strict=True)))


def _lengths(lengths: pa.ChunkedArray) -> Lengths:
    ends: Any = pc.min_max(lengths).as_py()
    return Lengths(ends["min"], pc.mean(lengths).as_py(), ends["max"])

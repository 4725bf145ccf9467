"""Answers as JSON has them: texts, numbers with all their digits, objects for maps and structs, null for NULL."""

from __future__ import annotations

import json
from itertools import pairwise
from typing import Any

import numpy as np
import orjson
import pyarrow as pa
import pyarrow.compute as pc

from sqlinfer.models.signature import label_texts

__all__ = ["dumps", "is_finite", "values"]


def values(array: pa.Array) -> list[Any]:
    """One for each row. A FLOAT is the number that it is as a DOUBLE, so that every reader has the same bits."""
    type = array.type
    if pa.types.is_map(type):
        offsets, start, stop = _offsets(array)
        keys, items = label_texts(array.keys[start:stop].to_pylist()), values(array.items[start:stop])
        maps = [dict(zip(keys[i:j], items[i:j], strict=True)) for i, j in pairwise(offsets)]
        return _with_nulls(array, maps)
    if pa.types.is_struct(type):
        names = [type.field(i).name for i in range(type.num_fields)]
        fields = [values(field) for field in array.flatten()]
        rows = [dict(zip(names, row, strict=True)) for row in zip(*fields, strict=True)]
        return _with_nulls(array, rows)
    if pa.types.is_fixed_size_list(type):
        array = array.cast(pa.list_(type.value_type))
    if pa.types.is_list(array.type) or pa.types.is_large_list(array.type):
        offsets, start, stop = _offsets(array)
        items = values(array.values[start:stop])
        return _with_nulls(array, [items[i:j] for i, j in pairwise(offsets)])
    if array.null_count or not (pa.types.is_floating(type) or pa.types.is_integer(type)):
        found: list[Any] = array.to_pylist()
        return found
    numbers: list[Any] = array.to_numpy(zero_copy_only=False).tolist()
    return numbers


def is_finite(array: pa.Array) -> bool:
    """Whether strict JSON has a number for each number."""
    type = array.type
    if pa.types.is_map(type):
        _, start, stop = _offsets(array)
        return is_finite(array.items[start:stop])
    if pa.types.is_struct(type):
        return all(map(is_finite, array.flatten()))
    if pa.types.is_nested(type):
        return is_finite(array.flatten())
    if not pa.types.is_floating(type):
        return True
    if not array.null_count:
        return bool(np.isfinite(array.to_numpy(zero_copy_only=False)).all())
    return pc.all(pc.is_finite(array)).as_py() is not False


def dumps(value: Any, *, finite: bool = True) -> bytes:
    """JSON; what is not finite is written NaN, Infinity and -Infinity, as the servers of MLflow and Triton do."""
    if finite:
        return orjson.dumps(value)
    return json.dumps(value, ensure_ascii=False, separators=(",", ":")).encode()


def _offsets(array: pa.Array) -> tuple[list[int], int, int]:
    """Where each row begins and ends among the items of all, and where those are: an array may be part of a larger."""
    offsets = array.offsets.to_pylist()
    start = offsets[0]
    return [offset - start for offset in offsets], start, offsets[-1]


def _with_nulls(array: pa.Array, rows: list[Any]) -> list[Any]:
    if not array.null_count:
        return rows
    return [row if valid else None for row, valid in zip(rows, array.is_valid().to_pylist(), strict=True)]

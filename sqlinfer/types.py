"""One table: ONNX type ↔ NumPy type ↔ Arrow type ↔ DuckDB type.

DuckDB writes an array type innermost first: an ONNX tensor of inner shape [3, 224, 240] is ``FLOAT[240][224][3]``.
An axis whose length is free is a list: ``FLOAT[]``.
"""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
import pyarrow as pa

__all__ = ["DTYPES", "ElementType", "arrow_type", "by_sql", "nested", "require_answer", "split_nested", "sql_name"]

# Lists in one another: they are walked level by level. The extension has the same bounds, in core/sqltype.rs.
_MOST_LEVELS = 32
_LONGEST_AXIS = 2**31 - 1
# What an array of DuckDB's holds at most; arrays in one another lie in memory as one.
_MOST_IN_ARRAY = 100_000
_NESTED = re.compile(r"([A-Z]+)((?:\[(?:0|[1-9][0-9]{0,9})?\])*)")


@dataclass(frozen=True, slots=True)
class ElementType:
    """One row of the table. ``dtype`` is ONNX's name; half precision travels through SQL as FLOAT."""

    dtype: str
    sql: str
    numpy: np.dtype
    arrow: pa.DataType

    @property
    def is_float(self) -> bool:
        return self.sql in ("FLOAT", "DOUBLE")

    @property
    def is_string(self) -> bool:
        return self.sql == "VARCHAR"


_TABLE = [
    ("float32", "FLOAT", np.float32, pa.float32()),
    ("float64", "DOUBLE", np.float64, pa.float64()),
    ("float16", "FLOAT", np.float16, pa.float32()),
    ("bfloat16", "FLOAT", np.float32, pa.float32()),
    ("int8", "TINYINT", np.int8, pa.int8()),
    ("int16", "SMALLINT", np.int16, pa.int16()),
    ("int32", "INTEGER", np.int32, pa.int32()),
    ("int64", "BIGINT", np.int64, pa.int64()),
    ("uint8", "UTINYINT", np.uint8, pa.uint8()),
    ("uint16", "USMALLINT", np.uint16, pa.uint16()),
    ("uint32", "UINTEGER", np.uint32, pa.uint32()),
    ("uint64", "UBIGINT", np.uint64, pa.uint64()),
    ("bool", "BOOLEAN", np.bool_, pa.bool_()),
    ("string", "VARCHAR", np.object_, pa.string()),
]

DTYPES: dict[str, ElementType] = {
    dtype: ElementType(dtype, sql, np.dtype(numpy), arrow) for dtype, sql, numpy, arrow in _TABLE
}
# half precision travels as FLOAT: the first of a name is its own
_BY_SQL = {element.sql: element for element in reversed(DTYPES.values())}


def by_sql(sql: str) -> ElementType:
    """The element type of a plain SQL type name (``FLOAT`` → float32). Raises KeyError."""
    return _BY_SQL[sql]


def nested(sql: str, axes: Sequence[int | None]) -> str:
    """``nested("FLOAT", (3, None))`` → ``FLOAT[][3]``: inner axes of a tensor, outermost first."""
    return sql + "".join("[]" if axis is None else f"[{axis}]" for axis in reversed(axes))


@lru_cache(maxsize=512)
def split_nested(sql: str) -> tuple[str, tuple[int | None, ...]]:
    """The inverse of `nested`: ``FLOAT[][3]`` → ``("FLOAT", (3, None))``. Raises ValueError."""
    if sql.count("[") > _MOST_LEVELS:
        raise ValueError(f"an SQL type of more than {_MOST_LEVELS} levels")
    found = _NESTED.fullmatch(sql)
    axes = [int(n) if n else None for n in re.findall(r"\[(\d*)\]", found[2])] if found else []
    if found is None or found[1] not in _BY_SQL or any(axis is not None and axis > _LONGEST_AXIS for axis in axes):
        raise ValueError(f"an SQL type that is not known: {sql[:80]}")
    return found[1], tuple(axes[::-1])


def require_answer(sql: str) -> None:
    """Raises ValueError for a type that DuckDB does not have: that of an answer becomes the type of a function."""
    for arrays in re.findall(r"(?:\[[0-9]+\])+", sql):
        if not 1 <= math.prod(map(int, re.findall("[0-9]+", arrays))) <= _MOST_IN_ARRAY:
            raise ValueError(f"an array that does not have from 1 to {_MOST_IN_ARRAY} values")


_SQL_NAMES = {
    pa.int8(): "TINYINT",
    pa.int16(): "SMALLINT",
    pa.int32(): "INTEGER",
    pa.int64(): "BIGINT",
    pa.uint8(): "UTINYINT",
    pa.uint16(): "USMALLINT",
    pa.uint32(): "UINTEGER",
    pa.uint64(): "UBIGINT",
    pa.float16(): "FLOAT",
    pa.float32(): "FLOAT",
    pa.float64(): "DOUBLE",
    pa.bool_(): "BOOLEAN",
    pa.date32(): "DATE",
    pa.decimal128(38, 0): "HUGEINT",  # which DuckDB hands over so; a DECIMAL(38,0) is the rarer
}
# How DuckDB calls a type of time whose unit is not its own, microseconds.
_UNITS = {"s": "_S", "ms": "_MS", "us": "", "ns": "_NS"}


def sql_name(arrow: pa.DataType) -> str:
    """How a DuckDB user calls an Arrow type, for messages and for the features of a sample."""
    if arrow in _SQL_NAMES:
        return _SQL_NAMES[arrow]
    if pa.types.is_dictionary(arrow):
        return "ENUM" if is_text(arrow.value_type) else sql_name(arrow.value_type)
    if is_text(arrow):
        return "VARCHAR"
    if pa.types.is_decimal(arrow):
        return f"DECIMAL({arrow.precision},{arrow.scale})"
    if pa.types.is_fixed_size_list(arrow):
        return f"{sql_name(arrow.value_type)}[{arrow.list_size}]"
    if is_list(arrow):
        return f"{sql_name(arrow.value_type)}[]"
    if pa.types.is_timestamp(arrow):
        return "TIMESTAMP WITH TIME ZONE" if arrow.tz else "TIMESTAMP" + _UNITS[arrow.unit]
    if pa.types.is_time(arrow):
        return "TIME" + _UNITS[arrow.unit]
    if pa.types.is_interval(arrow):
        return "INTERVAL"
    if pa.types.is_union(arrow):
        return "UNION"
    if isinstance(arrow, pa.BaseExtensionType):
        return str(getattr(arrow, "type_name", arrow.extension_name.rpartition(".")[2])).upper()
    if is_bytes(arrow):
        return "BLOB"
    if pa.types.is_struct(arrow):
        return "VARIANT" if is_variant(arrow) else "STRUCT"
    if pa.types.is_map(arrow):
        return "MAP"
    return str(arrow).upper()


def arrow_type(sql: str) -> pa.DataType:
    """The Arrow type of a plain or nested SQL type (``FLOAT[3]`` → fixed_size_list<float>[3])."""
    base, axes = split_nested(sql)
    arrow = by_sql(base).arrow
    for axis in reversed(axes):
        arrow = pa.list_(arrow) if axis is None else pa.list_(arrow, axis)
    return arrow


def is_text(arrow: pa.DataType) -> bool:
    return bool(pa.types.is_string(arrow) or pa.types.is_large_string(arrow) or pa.types.is_string_view(arrow))


def is_bytes(arrow: pa.DataType) -> bool:
    return bool(pa.types.is_binary(arrow) or pa.types.is_large_binary(arrow) or pa.types.is_binary_view(arrow))


def is_list(arrow: pa.DataType) -> bool:
    return bool(pa.types.is_list(arrow) or pa.types.is_large_list(arrow) or pa.types.is_fixed_size_list(arrow))


def without_views(column: pa.ChunkedArray | pa.Array) -> pa.ChunkedArray | pa.Array:
    """Views and runs as plain values: pyarrow takes few of them apart, and casts of list views lead out of their
    buffers (26.0)."""
    form = without_view(column.type)
    if form == column.type:
        return column
    if is_text(column.type) or is_bytes(column.type):
        return column.cast(form)
    plain = pa.array(column.to_pylist(), form)
    return plain if isinstance(column, pa.Array) else pa.chunked_array([plain])


def without_view(arrow: pa.DataType) -> pa.DataType:
    """The type of the same values without views and runs."""
    if pa.types.is_string_view(arrow):
        return pa.string()
    if pa.types.is_binary_view(arrow):
        return pa.binary()
    if pa.types.is_run_end_encoded(arrow):
        return without_view(arrow.value_type)
    is_view = pa.types.is_list_view(arrow) or pa.types.is_large_list_view(arrow)
    if not is_view and not is_list(arrow):
        return arrow
    inner = without_view(arrow.value_type)
    if not is_view and inner == arrow.value_type:  # as it is, with the name and the rules of its items
        return arrow
    if pa.types.is_fixed_size_list(arrow):
        return pa.list_(inner, arrow.list_size)
    is_large = pa.types.is_large_list(arrow) or pa.types.is_large_list_view(arrow)
    return pa.large_list(inner) if is_large else pa.list_(inner)


def is_row(arrow: pa.DataType) -> bool:
    return bool(pa.types.is_struct(arrow)) and not is_variant(arrow)


def is_variant(arrow: pa.DataType) -> bool:
    """DuckDB hands a VARIANT over as Parquet lays it out; in a STRUCT of its own, any field may be NULL."""
    if not pa.types.is_struct(arrow):
        return False
    fields = [arrow.field(i) for i in range(arrow.num_fields)]
    return [field.name for field in fields[:2]] == ["metadata", "value"] and not fields[0].nullable


def is_numeric(arrow: pa.DataType) -> bool:
    """What goes into a numeric feature: every number of DuckDB, and BOOLEAN."""
    return bool(
        pa.types.is_integer(arrow)
        or pa.types.is_floating(arrow)
        or pa.types.is_decimal(arrow)
        or pa.types.is_boolean(arrow)
        or pa.types.is_null(arrow)
    )

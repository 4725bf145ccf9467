"""Arrow types ↔ Spark's. Spark has no unsigned integers, and no arrays of a fixed length."""

from __future__ import annotations

from inspect import signature
from typing import Any

import pyarrow as pa

from sqlinfer.errors import CallError

__all__ = ["answer_type_of", "given_type", "spark_type"]

_WIDER = {
    pa.uint8(): pa.int16(),
    pa.uint16(): pa.int32(),
    pa.uint32(): pa.int64(),
    pa.uint64(): pa.decimal128(20, 0),
}


def spark_type(arrow: pa.DataType) -> pa.DataType:
    """The type that Spark has for answers of a type."""
    if pa.types.is_map(arrow):
        return pa.map_(spark_type(arrow.key_type), spark_type(arrow.item_type))
    if pa.types.is_struct(arrow):
        return pa.struct([(field.name, spark_type(field.type)) for field in arrow])
    if pa.types.is_list(arrow) or pa.types.is_fixed_size_list(arrow):
        return pa.list_(spark_type(arrow.value_type))
    return _WIDER.get(arrow, arrow)


def answer_type_of(arrow: pa.DataType) -> Any:
    """One of those types as a DataType of pyspark's."""
    from pyspark.sql.pandas.types import from_arrow_type

    return from_arrow_type(arrow)


def given_type(model: str, type: Any) -> pa.DataType:
    """The Arrow type of values of one of Spark's types, which is one of pyspark's DataTypes. Raises CallError where
    none of their values can leave Spark."""
    from pyspark.errors import PySparkException
    from pyspark.sql.pandas.types import to_arrow_type

    # pyspark 4.1 takes UTC by itself
    zone = {"timezone": "UTC"} if "timezone" in signature(to_arrow_type).parameters else {}
    try:
        return to_arrow_type(type, **zone)
    except (PySparkException, TypeError) as error:
        raise CallError(f"model {model!r} takes nothing of Spark's type {type.simpleString()}: cast it") from error

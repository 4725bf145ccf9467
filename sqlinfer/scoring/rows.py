"""The rows of a file: a column that is a feature has the type of the model, whatever its first values look like."""

from __future__ import annotations

from collections.abc import Mapping

from sqlinfer.connection import Connection
from sqlinfer.models.signature import quoted
from sqlinfer.scoring.files import InputFile
from sqlinfer.sql.literals import text_literal

__all__ = ["rows_of"]

_INTEGERS = ("TINYINT", "SMALLINT", "INTEGER", "BIGINT", "UTINYINT", "USMALLINT", "UINTEGER", "UBIGINT")
_NUMBERS_OF_JSON = "('BIGINT', 'UBIGINT', 'HUGEINT', 'UHUGEINT', 'DOUBLE')"


def rows_of(con: Connection, file: InputFile, features: Mapping[str, str], form: str) -> tuple[str, list[str]]:
    """SQL for the rows, and their columns. ``features``: the SQL types, by names in lower case. ``form``: that of the
    output. Raises DuckDB's errors."""
    folders = dict(file.hive or ())
    hive = {key: "VARCHAR" if features.get(key) == "VARCHAR" else type for key, type in folders.items()}
    if file.form == "parquet":
        rows = file.read(hive=hive)
        return rows, con.sql(f"FROM {rows}").columns
    if file.form != "csv":
        # each value as it is written, of any row
        rows = file.read("maximum_depth = 1", "sample_size = -1", "map_inference_threshold = -1", hive=hive)
        columns = con.sql(f"FROM {rows}").columns
        other = None if form in ("json", "jsonl") else "VARCHAR"
        asked = [
            quoted(column) if column.lower() in hive else _of_json(column, features.get(column.lower()), other)
            for column in columns
        ]
        return f"(SELECT {', '.join(asked)} FROM {rows})", columns
    as_texts = ["header = true", "all_varchar = true"]
    columns = con.sql(f"FROM {file.read(*as_texts, hive=hive)}").columns
    own = {column: features.get(column.lower(), "VARCHAR") for column in columns if column.lower() not in hive}
    types = {column: _read_in_csv(type) for column, type in own.items()}
    asked = [_whole(column, own[column]) if own.get(column) in _INTEGERS else quoted(column) for column in columns]
    return f"(SELECT {', '.join(asked)} FROM {file.read(*as_texts, types=types, hive=hive)})", columns


def _read_in_csv(type: str) -> str:
    """DuckDB would round 1.5 where it reads an integer."""
    if type in ("FLOAT", "DOUBLE"):
        return "DOUBLE"
    return "BOOLEAN" if type == "BOOLEAN" else "VARCHAR"


def _whole(column: str, type: str) -> str:
    name = quoted(column)
    return _checked(column, type, name, f"TRY_CAST({name} AS {type})::DOUBLE = TRY_CAST({name} AS DOUBLE)", name)


def _of_json(column: str, type: str | None, other: str | None) -> str:
    """``type``: of a feature. ``other``: of a column that is none, None for that of JSON itself."""
    name = quoted(column)
    if type is None:
        return f"({name} ->> '$') AS {name}" if other else name
    element, bracket, axes = type.partition("[")
    wide = "DOUBLE" if element == "FLOAT" else element
    axes = bracket + axes
    if element in ("VARCHAR", "BLOB") and not axes:
        return _checked(column, "VARCHAR", f"({name} ->> '$')", f"json_type({name}) = 'VARCHAR'", name)
    fits = f"TRY_CAST({name} AS {wide}{axes}) IS NOT NULL"
    if element in _INTEGERS:
        fits = f"TRY_CAST({name} AS {type})::DOUBLE{axes} = TRY_CAST({name} AS DOUBLE{axes})"
    if not axes:
        kinds = "('BOOLEAN')" if element == "BOOLEAN" else _NUMBERS_OF_JSON
        fits = f"json_type({name}) IN {kinds} AND {fits}"
    return _checked(column, f"{wide}{axes}", name, fits, name)


def _checked(column: str, type: str, value: str, fits: str, shown: str) -> str:
    """SQL for a value of that type, or an error that names it."""
    start, end = text_literal(f"column {column!r} has the value "), text_literal(f", and the model takes {type} there")
    name = quoted(column)
    return (
        f"CASE WHEN {name} IS NULL THEN NULL WHEN {fits} THEN TRY_CAST({value} AS {type}) "
        f"ELSE error({start} || left({shown}::VARCHAR, 100) || {end}) END AS {name}"
    )

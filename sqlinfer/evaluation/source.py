"""The rows that a model is asked about: a table, a query, files, or a DataFrame."""

from __future__ import annotations

import os
import re
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import uuid4

import duckdb

from sqlinfer.connection import Connection
from sqlinfer.errors import CallError, FeatureError, SqlinferError, suggest
from sqlinfer.sql.literals import text_literal
from sqlinfer.sql.statements import split_statements

__all__ = ["Source", "described", "rows_as_sql"]

_QUERY = re.compile(r"\s*(\(|(--|/\*|(SELECT|FROM|WITH|VALUES|TABLE|PIVOT|UNPIVOT|SUMMARIZE)\s))", re.IGNORECASE)
_NAME = re.compile(r"\w+(\.\w+)*")
_PLACE = re.compile(r"\(?FROM (\w+(\.\w+)*|'[^']*')(\n\).*)?", re.DOTALL)
_NO_TABLE = re.compile(r"Table with name (.+) does not exist")
_FILE = re.compile(r"\.(parquet|csv|tsv|txt|json|jsonl|ndjson|xlsx|duckdb|db)(\.(gz|zst))?$", re.IGNORECASE)


@dataclass(frozen=True, slots=True)
class Source:
    """``sql``: a query. ``types``: of each of its columns, as SQL writes them."""

    sql: str
    types: Mapping[str, str]

    @property
    def alias(self) -> str:
        """A name for a row, which no column has."""
        alias = "sqlinfer_rows"
        while any(alias == column.lower() for column in self.types):
            alias += "_"
        return alias

    def column(self, name: str, what: str) -> str:
        """Its name as the rows have it. Raises CallError."""
        found = {column.lower(): column for column in self.types}
        if name.lower() not in found:
            raise CallError(f"{what} {name!r} is no column of the rows; {suggest(name, self.types, 'columns')}")
        return found[name.lower()]


@contextmanager
def rows_as_sql(con: Connection, data: Any) -> Iterator[str]:
    """SQL that gives the rows of ``data``, as long as this is open. Raises CallError."""
    if isinstance(data, (str, os.PathLike)):
        yield _text_of(data)
    elif isinstance(data, Sequence) and all(isinstance(one, (str, os.PathLike)) for one in data):
        if not data:
            raise CallError("there is no file to read rows from")
        yield " UNION ALL BY NAME ".join(f"({_text_of(one)}\n)" for one in data)
    else:
        name = f"sqlinfer_rows_{uuid4().hex[:12]}"
        try:
            con.raw.register(name, data)
        except (duckdb.Error, TypeError) as error:
            raise CallError(
                f"a {type(data).__name__} holds no rows: give a DataFrame, an Arrow table, a file, a table or SQL"
            ) from error
        try:
            yield f"FROM {name}"
        finally:
            con.raw.unregister(name)


def described(con: Connection, sql: str) -> Source:
    """Raises FeatureError for a file that cannot be read, CallError for SQL. It is called from frames of this package
    alone, as DuckDB finds the DataFrames of who calls them."""
    try:
        relation = con.sql(sql)
    except duckdb.Error as error:
        raise _unreadable(error, sql) from None
    if relation is None:
        raise CallError("the rows come from a query, such as SELECT * FROM customers; this one gives none")
    return Source(sql, dict(zip(relation.columns, map(str, relation.types), strict=True)))


def _unreadable(error: duckdb.Error, sql: str) -> SqlinferError:
    if isinstance(error, duckdb.IOException):
        return FeatureError(f"the rows cannot be read: {str(error).splitlines()[0]}")
    missing = _NO_TABLE.search(str(error))
    if missing and _PLACE.fullmatch(sql):
        return CallError(
            f"there is no table or file {missing[1]!r}; a file is known by how its name ends: .parquet, .csv, .json"
        )
    return CallError(f"the rows cannot be read: {error}")


def _text_of(data: str | os.PathLike[str]) -> str:
    """SQL: that which is given, or that which reads a table or a file."""
    text = os.fspath(data)
    if isinstance(data, str) and _QUERY.match(text):
        spans = split_statements(text)
        if len(spans) != 1:
            raise CallError(f"rows come from one query, and there are {len(spans)} statements")
        return text[slice(*spans[0])]
    named = isinstance(data, str) and _NAME.fullmatch(text) and not _FILE.search(text) and not Path(text).exists()
    return f"FROM {text if named else text_literal(text)}"

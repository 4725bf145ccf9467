"""What con.sql() gives: DuckDB's own relation, with predict() in the SQL that its methods are given.

DuckDB takes it for the relation behind it wherever it is handed one: as an argument, in register(), by the name of a
variable that SQL reads. It looks at the class, and at what begins with an underscore; both are those of the other.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial, wraps
from typing import Any, Protocol

import duckdb

from sqlinfer.sql.bind import TypedCall

__all__ = ["Relation", "Run"]

# The texts that these are given name columns, tables and files, or are values; those of all other methods are SQL.
_NO_SQL = {"create", "create_view", "distinct", "drop", "group_by", "insert", "insert_into", "rename", "select_dtypes"}
_NO_SQL |= {"select_types", "set_alias", "to_csv", "to_parquet", "to_table", "to_view", "unnest", "unpivot"}
_NO_SQL |= {"with_columns", "write_csv", "write_parquet"}


class Run(Protocol):
    """How a connection calls DuckDB: the texts that a method is given are SQL, in which ``rows`` name tables; the calls
    in ``reading`` compute what it reads."""

    def __call__(
        self,
        method: Callable[..., Any],
        args: Sequence[Any] = (),
        options: Mapping[str, Any] = {},
        *,
        reading: Sequence[TypedCall],
        rows: frozenset[str] = frozenset(),
    ) -> Any: ...


class Relation:
    """A relation of DuckDB's whose methods know predict(). What they give is such a relation, or what DuckDB gives."""

    __slots__ = ("__weakref__", "_calls", "_relation", "_run")

    def __init__(self, relation: Any, run: Run, calls: Sequence[TypedCall]) -> None:
        for name, value in (("_relation", relation), ("_run", run), ("_calls", calls)):
            object.__setattr__(self, name, value)

    @staticmethod
    def can_be(result: Any) -> bool:
        """Whether it is a relation, or one whose groups are chosen, which DuckDB 2 has a class for."""
        return isinstance(result, duckdb.DuckDBPyRelation) or type(result).__name__ == "GroupedRelation"

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        return type(self._relation)

    def __getattr__(self, name: str) -> Any:
        if name.startswith("_") and not name.startswith("_repr_"):
            return getattr(self._relation, name)
        attribute = self._read(getattr, name)
        return self._method(name, attribute) if callable(attribute) else attribute

    def __setattr__(self, name: str, value: Any) -> None:
        setattr(self._relation, name, value)

    def __dir__(self) -> list[str]:
        return dir(self._relation)

    def __reduce_ex__(self, protocol: Any) -> Any:
        return self._relation.__reduce_ex__(protocol)

    def __repr__(self) -> str:
        return str(self._read(repr))

    def __str__(self) -> str:
        return str(self._read(str))

    def __len__(self) -> int:
        return int(self._read(len))

    def __contains__(self, name: str) -> bool:
        return name in self._relation

    def __getitem__(self, name: str) -> Any:
        return self._read(type(self._relation).__getitem__, name)

    def __arrow_c_stream__(self, requested_schema: object = None) -> Any:
        return self._read(type(self._relation).__arrow_c_stream__, requested_schema)

    def _read(self, method: Callable[..., Any], *args: Any) -> Any:
        return self._run(partial(method, self._relation, *args), reading=self._calls)

    def _method(self, name: str, method: Callable[..., Any]) -> Callable[..., Any]:
        @wraps(method)
        def call(*args: Any, **options: Any) -> Any:
            if name in _NO_SQL:
                return self._run(partial(method, *args, **options), reading=self._calls)
            others = [value for value in (*args, *options.values()) if isinstance(value, duckdb.DuckDBPyRelation)]
            reading = [typed for r in (self, *others) if type(r) is Relation for typed in r._calls]
            rows = frozenset(r.alias.lower() for r in (self._relation, *others) if hasattr(r, "alias"))
            return self._run(method, args, options, reading=reading, rows=rows)

        return call

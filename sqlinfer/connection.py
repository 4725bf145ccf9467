"""connect() and attach(): a DuckDB connection whose SQL knows predict().

A `Connection` is a thin face: the statements that it is given are rewritten and passed on, everything else is the
DuckDB connection's own.
"""

from __future__ import annotations

import functools
import os
import re
from collections.abc import Callable
from types import TracebackType
from typing import Any

import duckdb

from sqlinfer.callers import call_for_caller
from sqlinfer.engines import Engine, open_engine
from sqlinfer.errors import CallError, EngineError, MissingFeature, SqlinferError
from sqlinfer.models.registry import Registry
from sqlinfer.models.signature import Signature
from sqlinfer.scripts import statements
from sqlinfer.sql.bind import Function, TypedCall
from sqlinfer.sql.rewrite import Rewritten, rewrite

__all__ = ["Connection", "attach", "connect"]

RegistryLike = Registry | str | os.PathLike[str] | None


def connect(
    path: str | os.PathLike[str] = ":memory:",
    *,
    registry: RegistryLike = None,
    engine: str = "auto",
    read_only: bool = False,
    **options: Any,
) -> Connection:
    """Open a DuckDB database with predict() in its SQL.

    ``registry``: the folder of models, else ``$SQLINFER_HOME``, else ``~/.sqlinfer``. ``engine``: auto, native or
    arrow. ``options`` are DuckDB's own, as in ``connect("db.duckdb", threads=2)``.
    """
    con = duckdb.connect(str(path), read_only=read_only, config={"allow_unsigned_extensions": "true", **options})
    try:
        return _face(con, registry, engine, pin=False)
    except BaseException:
        con.close()
        raise


def attach(con: duckdb.DuckDBPyConnection, *, registry: RegistryLike = None, engine: str = "auto") -> Connection:
    """Give predict() to a connection that somebody else opened. What comes back is used in its place."""
    return _face(con, registry, engine, pin=True)


def _face(con: duckdb.DuckDBPyConnection, registry: RegistryLike, engine: str, *, pin: bool) -> Connection:
    registry = registry if isinstance(registry, Registry) else Registry(registry)
    return Connection(con, registry, open_engine(engine, con, registry, pin=pin))


class Connection:
    """A DuckDB connection with predict(), predict_proba(), infer() and predict_<model>() in its SQL.

    Raises SqlinferError, with the place in the SQL underlined, where a call cannot be understood; after any error
    the connection goes on working.
    """

    def __init__(self, con: duckdb.DuckDBPyConnection, registry: Registry, engine: Engine) -> None:
        self._con = con
        self._registry = registry
        self._engine = engine
        self._models = _Models(registry)
        self._last: tuple[str, list[TypedCall]] = "", []  # what the rows that are fetched were asked with
        engine.prepare(con)
        self._offer_defaults()

    @property
    def engine(self) -> str:
        """The engine that computes predictions: ``native`` or ``arrow``."""
        return self._engine.name

    @property
    def registry(self) -> Registry:
        return self._registry

    @property
    def raw(self) -> duckdb.DuckDBPyConnection:
        """The connection below, for libraries that insist on DuckDB's own type."""
        return self._con

    def execute(self, query: Any, parameters: Any = None) -> Connection:
        self._run(self._con.execute, query, *([] if parameters is None else [parameters]))
        return self

    def executemany(self, query: Any, parameters: Any = None) -> Connection:
        # each set of parameters may be bound anew, when others have been executed
        self._run(self._con.executemany, query, *([] if parameters is None else [parameters]), again=False)
        return self

    def sql(self, query: Any, **options: Any) -> duckdb.DuckDBPyRelation:
        relation: duckdb.DuckDBPyRelation = self._run(self._con.sql, query, **options)
        return relation

    def query(self, query: Any, **options: Any) -> duckdb.DuckDBPyRelation:
        return self.sql(query, **options)

    def from_query(self, query: Any, **options: Any) -> duckdb.DuckDBPyRelation:
        return self.sql(query, **options)

    def cursor(self) -> Connection:
        return Connection(self._con.cursor(), self._registry, self._engine)

    def duplicate(self) -> Connection:
        return self.cursor()

    def rewritten(self, query: str) -> str:
        """The SQL that DuckDB is given for ``query``."""
        return self._rewrite(query).text

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._con.close()

    def __repr__(self) -> str:
        return f"<sqlinfer.Connection engine={self.engine} registry={str(self._registry.home)!r}>"

    def __getattr__(self, name: str) -> Any:
        if name.startswith("__"):
            raise AttributeError(name)
        attribute = getattr(self._con, name)
        return self._translating(attribute) if callable(attribute) else attribute

    def _run(self, method: Callable[..., Any], query: Any, *args: Any, again: bool = True, **options: Any) -> Any:
        if not isinstance(query, str):  # one of DuckDB's own Statement objects: it has been parsed
            text = getattr(query, "query", "")
            if not self._rewrite(text).calls:
                return self._translating(method)(query, *args, **options)
            query = text
        *before, last = statements(self._con, query)
        for statement in before:
            self._try(self._con.execute, statement.text, again=True)
        return self._try(method, last.text, *args, again=again and last.alone, **options)

    def _try(self, method: Callable[..., Any], query: str, *args: Any, again: bool, **options: Any) -> Any:
        """Run one statement; ``again``: once more in other words where it cannot be bound, and so has not run."""
        rewritten = self._rewrite(query)
        self._last = query, rewritten.calls
        self._engine.begin()
        for call in rewritten.calls:
            self._engine.ensure(self._con, call.function, self._registry.get(call.function.reference))
        try:
            return self._watched(method, rewritten.text, *args, **options)
        except duckdb.Error as error:
            second = self._second_try(query, rewritten, error) if again else None
            failure = self._translated(error, query, rewritten.calls)
            if second is None:
                raise failure from error
        try:
            return self._watched(method, second, *args, **options)
        except duckdb.TransactionException as error:  # DuckDB 2 ends a transaction with its first error
            raise failure from error
        except duckdb.Error as error:
            raise self._translated(error, query, rewritten.calls) from error

    def _watched(self, method: Callable[..., Any], *args: Any, **options: Any) -> Any:
        with self._engine.interrupt.watching(self._con):
            return call_for_caller(method, *args, **options)

    def _rewrite(self, query: str, *, spread_rows: bool = True) -> Rewritten:
        try:
            return rewrite(query, self._models, spread_rows=spread_rows)
        except RecursionError:
            raise CallError("the calls stand too deep inside one another: compute the inner ones in a CTE") from None

    def _second_try(self, query: str, rewritten: Rewritten, error: duckdb.Error) -> str | None:
        """The text to try after a failed binding: a lone name may have been a column and not the table of that name,
        and a view may call the function of a model that was registered after this connection was opened."""
        if isinstance(error, duckdb.BinderException):
            plain = self._rewrite(query, spread_rows=False).text
            return plain if plain != rewritten.text else None
        missing = re.search(r"Function with name (.+?) does not exist", str(error))
        if isinstance(error, duckdb.CatalogException) and missing:
            if missing[1] == "sqlinfer_models":
                self._engine.prepare(self._con)
                return rewritten.text
            try:
                function = Function.parse(missing[1].strip('"'))
                self._engine.ensure(self._con, function, self._registry.get(function.reference))
            except (SqlinferError, ValueError):
                return None
            return rewritten.text
        return None

    def _translating(self, method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def call(*args: Any, **options: Any) -> Any:
            try:
                result = self._watched(method, *args, **options)
            except duckdb.Error as error:
                raise self._translated(error, *self._last) from error
            return self if result is self._con else result

        return call

    def _translated(self, error: duckdb.Error, query: str, calls: list[TypedCall]) -> BaseException:
        """The error as its cause raised it, underlined in the user's own text; DuckDB's own errors stay as they are."""
        failure = self._engine.failure(str(error))
        if failure is not None:
            function, cause = failure
            if isinstance(cause, SqlinferError):
                # an engine that does not say which function failed names its model in the message, if anything
                named = [c for c in calls if c.function == function or f"'{c.function.reference}'" in str(error)]
                for typed in (named or calls)[:1]:
                    cause.at(query, typed.call.start, typed.call.end)
            return cause
        missing = _missing_column(str(error))
        for typed in calls:
            if f"Function with name {typed.function.name} does not exist" in str(error):
                return EngineError(
                    f"this transaction began before {typed.function.name}() was made: commit it or roll it back, and "
                    "ask again"
                ).at(query, typed.call.start, typed.call.end)
            names = self._models.signature(typed.function).feature_names
            if typed.by_name and missing is not None and missing in [name.lower() for name in names]:
                feature = next(name for name in names if name.lower() == missing)
                reference = str(typed.function.reference)
                return MissingFeature.of(reference, [feature], names).at(query, typed.call.start, typed.call.end)
        return error

    def _offer_defaults(self) -> None:
        """predict_<model> for every model, so that views and macros of an earlier day find theirs."""
        for name in self._registry.names():
            function = Function.parse(f"predict_{name}")
            try:
                self._engine.ensure(self._con, function, self._registry.get(function.reference))
            except SqlinferError:
                continue  # a damaged model says so when it is asked for; it must not close the database to the others


def _missing_column(message: str) -> str | None:
    for pattern in (
        r'does not have a column named "(.+?)"',
        r'Referenced column "(.+?)" not found',
        r'Could not find key "(.+?)" in struct',
    ):
        found = re.search(pattern, message)
        if found:
            return found[1].lower()
    return None


class _Models:
    """The registry as the rewriting of SQL sees it."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry

    def has(self, name: str) -> bool:
        return bool(self._registry.aliases(name))

    def signature(self, function: Function) -> Signature:
        model = self._registry.get(function.reference)
        model.call(function.call)
        return model.manifest.signature

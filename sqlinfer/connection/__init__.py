"""connect() and attach(): a DuckDB connection whose SQL knows predict().

A `Connection` is a thin face: the statements that it is given are rewritten and passed on, everything else is the
DuckDB connection's own.
"""

from __future__ import annotations

import functools
import os
import re
import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Any

import duckdb

from sqlinfer.connection.commands import Performer, perform
from sqlinfer.connection.errors import is_signal, located, translated
from sqlinfer.connection.frames import call_for_caller
from sqlinfer.connection.relation import Relation
from sqlinfer.connection.statements import Statement, statements
from sqlinfer.engines import Engine, open_engine
from sqlinfer.engines.interrupt import listening
from sqlinfer.engines.interrupt_flag import is_interrupted
from sqlinfer.engines.resolver import Resolver
from sqlinfer.engines.running import inside
from sqlinfer.errors import CallError, EngineError, SqlinferError, StatementError
from sqlinfer.models.registry import Registry, RegistryLike
from sqlinfer.sql.bind import Function, TypedCall
from sqlinfer.sql.commands import DescribeModel, ShowModels
from sqlinfer.sql.literals import text_literal
from sqlinfer.sql.rewrite import Rewritten, rewrite
from sqlinfer.sql.statements import is_stored, makes_index

__all__ = ["STORAGE_VERSION", "Connection", "attach", "connect"]

# What files are made for: the oldest DuckDB that sqlinfer works with.
STORAGE_VERSION = "v1.5.0"


def connect(
    path: str | os.PathLike[str] = ":memory:",
    *,
    registry: RegistryLike = None,
    engine: str = "auto",
    read_only: bool = False,
    trust: bool = False,
    **options: Any,
) -> Connection:
    """Open a DuckDB database with predict() in its SQL.

    ``registry``: the folder of models, else ``$SQLINFER_HOME``, else ``~/.sqlinfer``. ``engine``: auto, native or
    arrow. ``trust``: CREATE MODEL may load pickled estimators, which runs the code in them. ``options`` are DuckDB's
    own, as in ``connect("db.duckdb", threads=2)``. A file that is made is one that DuckDB 1.5 opens, too, unless they
    say another storage_compatibility_version.
    """
    if not read_only and "storage_compatibility_version" not in options:
        _make_for_all(str(path))
    con = duckdb.connect(str(path), read_only=read_only, config={"allow_unsigned_extensions": "true", **options})
    try:
        return _face(con, registry, engine, attached=False, new=str(path) == ":memory:", trust=trust)
    except BaseException:
        con.close()
        raise


def _make_for_all(path: str) -> None:
    """Where there is no such file yet: DuckDB 2 makes one that the program, which is of version 1.5, does not open.
    What a file is made for stays with it. It is made beside its place, which another thread may be opening."""
    is_file = path and not path.startswith((":memory:", "md:")) and "://" not in path
    if not is_file or duckdb.__version__.startswith("1.") or Path(path).exists():
        return
    draft = Path(path).with_name(f".sqlinfer-{uuid.uuid4().hex}.duckdb")
    try:
        duckdb.connect(draft, config={"storage_compatibility_version": STORAGE_VERSION}).close()
        os.link(draft, path)
    except (duckdb.Error, OSError):
        return  # who opens the file itself says what is wrong, or another was faster
    finally:
        draft.unlink(missing_ok=True)


def attach(
    con: duckdb.DuckDBPyConnection, *, registry: RegistryLike = None, engine: str = "auto", trust: bool = False
) -> Connection:
    """Give predict() to a connection that somebody else opened. What comes back is used in its place.

    Raises EngineError for what is no connection of DuckDB's own.
    """
    if not issubclass(type(con), duckdb.DuckDBPyConnection):  # isinstance() holds for a Connection, too
        raise EngineError.no_connection(con)
    return _face(con, registry, engine, attached=True, trust=trust)


def _face(
    con: duckdb.DuckDBPyConnection,
    registry: RegistryLike,
    engine: str,
    *,
    attached: bool,
    new: bool = False,
    trust: bool = False,
) -> Connection:
    registry = Registry.of(registry)
    opened = open_engine(engine, con, registry, attached=attached, new=new)
    opened.prepare(con)
    # views and macros of an earlier day find theirs; a damaged model says so when it is asked for
    opened.offer(Function.parse(f"predict_{name}") for name in registry.names())
    return Connection(con, registry, opened, trust=trust)


class Connection:
    """A DuckDB connection with predict(), predict_proba(), infer() and predict_<model>() in its SQL, and statements on
    models, such as CREATE MODEL.

    Raises SqlinferError, with the place in the SQL underlined, where a call cannot be understood; after any error
    the connection goes on working.
    """

    def __init__(
        self, con: duckdb.DuckDBPyConnection, registry: Registry, engine: Engine, *, trust: bool = False
    ) -> None:
        self._con = con
        self._registry = registry
        self._engine = engine
        self._trust = trust
        self._last: list[TypedCall] = []  # those in the statement whose rows are fetched
        self._pressed = False
        self._fetchone = con.fetchone
        self._fetchmany = con.fetchmany

    @property  # type: ignore[misc]
    def __class__(self) -> Any:
        """DuckDB's, which tools ask for by isinstance(); SQLAlchemy takes this connection as duckdb_engine wraps it:
        ``create_engine("duckdb://", creator=lambda: duckdb_engine.ConnectionWrapper(con.cursor()))``."""
        return type(self._con)

    @property
    def engine(self) -> str:
        """The engine that computes predictions: ``native`` or ``arrow``."""
        return self._engine.name

    @property
    def registry(self) -> Registry:
        return self._registry

    @property
    def raw(self) -> duckdb.DuckDBPyConnection:
        """The connection below, for what takes DuckDB's own object alone: ``duckdb.execute(…, connection=con.raw)``.
        Its SQL is as after a plain LOAD, with the native engine."""
        return self._con

    def execute(self, query: Any, parameters: Any = None) -> Connection:
        self._run(self._con.execute, query, {"parameters": parameters}, at_once=True)
        return self

    def executemany(self, query: Any, parameters: Any = None) -> Connection:
        # each set of parameters may be bound anew, when others have been executed
        self._run(self._con.executemany, query, {"parameters": parameters}, again=False, at_once=True)
        return self

    @inside
    def fetchone(self) -> tuple[Any, ...] | None:
        try:
            return self._fetchone()
        except Exception as error:
            raise self._told(error) from None

    @inside
    def fetchmany(self, size: int = 1) -> list[tuple[Any, ...]]:
        try:
            return self._fetchmany(size)
        except Exception as error:
            raise self._told(error) from None

    def sql(self, query: Any, **options: Any) -> duckdb.DuckDBPyRelation:
        given = {"params": options.pop("params")} if "params" in options else {}
        relation: duckdb.DuckDBPyRelation = self._run(partial(self._con.sql, **options), query, given)
        return relation

    def query(self, query: Any, **options: Any) -> duckdb.DuckDBPyRelation:
        return self.sql(query, **options)

    def from_query(self, query: Any, **options: Any) -> duckdb.DuckDBPyRelation:
        return self.sql(query, **options)

    def cursor(self) -> Connection:
        return Connection(self._con.cursor(), self._registry, self._engine, trust=self._trust)

    def duplicate(self) -> Connection:
        return self.cursor()

    def is_interrupted(self) -> bool:
        """Whether the query that runs was told to end, by `interrupt` or Ctrl-C."""
        return self._pressed or is_interrupted(self._con)

    def press(self) -> None:
        """Ctrl-C: end the query that runs, as a KeyboardInterrupt."""
        self._pressed = True
        self._con.interrupt()

    def rewritten(self, query: str) -> str:
        """The SQL that DuckDB is given for ``query``."""
        return self._rewrite(query, Resolver(self._registry)).text

    def perform(self, statement: str, parameters: Any = None) -> str:
        """Perform a statement on models, such as CREATE MODEL, and give the SQL that answers what it answers; any other
        statement is given as it is."""
        (found,) = statements(self._con, statement)
        return statement if found.command is None else self._performed(found, statement, parameters)

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

    def _run(
        self,
        method: Callable[..., Any],
        query: Any,
        given: Mapping[str, Any],
        *,
        again: bool = True,
        at_once: bool = False,
    ) -> Any:
        """``given``: the parameters, which are the last statement's, by the name that the method has for them.
        ``again``: not for executemany(), see `_try`."""
        if not isinstance(query, str):  # one of DuckDB's own Statement objects: it has been parsed
            text = getattr(query, "query", "")
            rewritten = self._rewrite(text, Resolver(self._registry))
            if rewritten.text == text and not (rewritten.calls or rewritten.of_rows):
                return self._translating(method)(query, **given)
            query = text
        *before, last = found = statements(self._con, query)
        if last.command is not None and not again:
            raise StatementError("a statement on models is executed once: write execute(), not executemany()").at(
                query, last.start, last.end
            )
        for statement in before:
            with self._locating(query, statement, found):
                if statement.command is None:
                    self._try(self._con.execute, [statement.text], at_once=True)
                    if (complete := getattr(self._con, "complete", None)) is not None:
                        self._translating(
                            complete
                        )()  # DuckDB 2 does nothing else before the rows of a SELECT are fetched, or given up
                else:
                    self._performed(statement, query, None)
        with self._locating(query, last, found):
            if last.command is not None:
                answer = self._performed(last, query, next(iter(given.values()), None))
                if at_once and not isinstance(last.command, (ShowModels, DescribeModel)):
                    # unlike a query's, the result of a CALL lets DuckDB 2 go on before it is fetched, as a CREATE does
                    answer = f"CALL query({text_literal(answer)})"
                return self._try(method, [answer], again=again, at_once=at_once)
            return self._try(partial(method, **given), [last.text], again=again and last.alone, at_once=at_once)

    @contextmanager
    def _locating(self, script: str, statement: Statement, among: Sequence[Statement]) -> Iterator[None]:
        """Of a script's errors each says which statement it is of."""
        try:
            yield
        except SqlinferError as error:
            if len(among) > 1:
                error.at(script, statement.start, statement.end)
            raise
        except duckdb.Error as error:
            if len(among) == 1:
                raise
            raise located(error, script, statement.start, statement.end) from None

    def _performed(self, statement: Statement, script: str, parameters: Any) -> str:
        """The SQL that answers what a statement on models does, which is done."""
        assert statement.command is not None
        by = Performer(self._registry, self._trust, self._rows, self._has_table)
        answer = perform(statement.command, script, parameters, by)
        return statement.text if answer is None else answer

    def _rows(self, query: str) -> Any:
        *before, last = statements(self._con, query)
        if before or last.command is not None:
            raise StatementError("the sample is one query")
        return self._try(self._con.sql, [query]).to_arrow_table()

    def _has_table(self, name: str) -> bool:
        """Whether a table or view of that name is one that SHOW describes."""
        found = self._con.sql(
            "SELECT 1 FROM (SELECT schema_name, table_name FROM duckdb_tables() UNION ALL "
            "SELECT schema_name, view_name FROM duckdb_views()) "
            f"WHERE lower(table_name) = {text_literal(name)} AND list_contains(current_schemas(true), schema_name)"
        ).fetchall()
        return bool(found)

    def _try(
        self,
        method: Callable[..., Any],
        args: Sequence[Any] = (),
        options: Mapping[str, Any] = {},
        *,
        reading: Sequence[TypedCall] | None = None,
        rows: frozenset[str] = frozenset(),
        again: bool = True,
        at_once: bool = False,
    ) -> Any:
        """Run one statement, or a relation's method: ``reading`` are the calls that compute the relation, ``rows`` the
        names of its rows. ``again``: once more in other words where it cannot be bound, and so has not run.
        ``at_once``: it runs now and is not kept to be run later, as a relation is."""
        self._engine.begin()
        rewritten = partial(self._rewritten, method, args, options, rows, at_once)
        first, own = rewritten()
        if reading is None:
            self._last = own
        if args and isinstance(args[0], str) and makes_index(args[0], 0):
            self._engine.require_indexable(self._con, args[0])
        calls = [*own, *(reading or [])]
        attempt: Callable[[], Any] | None = first
        failures: dict[str, BaseException] = {}
        while attempt is not None:
            try:
                return self._faced(self._watched(attempt), calls)
            except duckdb.Error as error:
                cause = error
            if failures and isinstance(cause, duckdb.TransactionException):
                break  # DuckDB 2 ends a transaction with its first error, which is the one to tell
            seen = str(cause) in failures
            attempt = self._next_try(cause, attempt, own, rewritten) if again and not seen else None
            failures[str(cause)] = self._translated(cause, calls, next(filter(_is_text, args), ""))
        raise list(failures.values())[-1] from None  # what DuckDB said was of the rewritten SQL

    @inside
    def _watched(self, method: Callable[..., Any], *args: Any, **options: Any) -> Any:
        with listening():
            self._pressed = False
            try:
                return call_for_caller(method, *args, **options)
            except Exception as error:
                if self._pressed or is_signal(error):
                    raise KeyboardInterrupt from error
                raise

    def _faced(self, result: Any, calls: Sequence[TypedCall]) -> Any:
        """What DuckDB gives, with predict() in its SQL too."""
        if result is self._con:
            return self
        return Relation(result, self._try, calls) if Relation.can_be(result) else result

    def _rewritten(
        self,
        method: Callable[..., Any],
        args: Sequence[Any],
        options: Mapping[str, Any],
        rows: frozenset[str],
        at_once: bool,
        *,
        spread_rows: bool = True,
    ) -> tuple[Callable[[], Any], list[TypedCall]]:
        """What to call, and the calls in its texts, whose functions the database then has."""
        stored = not at_once or any(is_stored(text) for text in args if isinstance(text, str))
        models = Resolver(self._registry, takes_names=self._engine.takes_names and not stored)
        calls: list[TypedCall] = []
        of_rows = False

        def given(value: Any) -> Any:
            if not isinstance(value, str):
                return value
            nonlocal of_rows
            rewritten = self._rewrite(value, models, rows=rows, spread_rows=spread_rows, by_name=True)
            calls.extend(rewritten.calls)
            of_rows |= rewritten.of_rows
            return rewritten.text

        call = partial(method, *map(given, args), **{name: given(value) for name, value in options.items()})
        if any(isinstance(text, str) and _LISTS.search(text) for text in args):
            self._engine.prepare(self._con)
        if of_rows:
            self._engine.begin_rows()
        for function, model in models.needed.items():
            self._engine.ensure(self._con, function, model)
        return call, calls

    def _rewrite(self, query: str, models: Resolver, **how: Any) -> Rewritten:
        try:
            return rewrite(query, models, **how)
        except RecursionError:
            raise CallError("the calls stand too deep inside one another: compute the inner ones in a CTE") from None

    def _next_try(
        self,
        error: duckdb.Error,
        attempt: Callable[[], Any],
        calls: list[TypedCall],
        rewritten: Callable[..., tuple[Callable[[], Any], list[TypedCall]]],
    ) -> Callable[[], Any] | None:
        """What to try after a failed binding: a lone name may have been a column and not the table of that name, and a
        view may call the function of a model that was registered after this connection was opened."""
        if isinstance(error, duckdb.BinderException):
            plain, others = rewritten(spread_rows=False)
            return plain if others != calls else None
        missing = re.search(r"Function with name (.+?) does not exist", str(error))
        if isinstance(error, duckdb.CatalogException) and missing:
            if _LISTS.fullmatch(missing[1]):
                self._engine.prepare(self._con)
                return attempt
            try:
                function = Function.parse(missing[1].strip('"'))
                self._engine.ensure(self._con, function, self._registry.get(function.reference))
            except (SqlinferError, ValueError):
                return None
            return attempt
        return None

    def _translating(self, method: Callable[..., Any]) -> Callable[..., Any]:
        @functools.wraps(method)
        def call(*args: Any, **options: Any) -> Any:
            try:
                return self._faced(self._watched(method, *args, **options), [])
            except duckdb.Error as error:
                raise self._translated(error, self._last) from None

        return call

    def _told(self, error: Exception) -> BaseException:
        """What a fetch that failed raises."""
        if self._pressed or is_signal(error):
            self._pressed = False
            return KeyboardInterrupt()
        return self._translated(error, self._last) if isinstance(error, duckdb.Error) else error

    def _translated(self, error: duckdb.Error, calls: Sequence[TypedCall], sql: str = "") -> BaseException:
        return translated(error, calls, self._engine, Resolver(self._registry), sql)


def _is_text(value: Any) -> bool:
    return isinstance(value, str)


# What each connection needs anew on an engine without table functions of its own.
_LISTS = re.compile(r"sqlinfer_(models|versions|features|functions)", re.IGNORECASE)

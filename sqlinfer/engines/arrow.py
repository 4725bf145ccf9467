"""The Arrow engine: one vectorized Python function per typed call, on any DuckDB connection.

DuckDB gives a function of arguments of any type its batches as they are, and fixes the type of the answer when the
function is made: so a model's function is typed by the model and takes what users have.
"""

from __future__ import annotations

import atexit
import threading
import time
import weakref
from collections.abc import Callable, Iterable, Mapping
from contextlib import suppress
from functools import cache
from typing import Any

import duckdb

from sqlinfer.engines import catalogue
from sqlinfer.engines.udf import Meanings, RowsUdf, Udf, deciding_state, failures, rows_udf, udf_of
from sqlinfer.errors import CallError, EngineError, OtherRegistry, SqlinferError
from sqlinfer.models.calls import CALLS
from sqlinfer.models.files import FileState
from sqlinfer.models.registry import Registry, StoredModel, observers
from sqlinfer.sql.bind import Function

__all__ = ["HOME", "ArrowEngine"]

HOME = "sqlinfer_home"
# What each connection needs a macro for, and its parameter.
_TABLES = (("models", ""), ("versions", "model"), ("features", "model"), ("functions", "model"))
# Changes by hand are found after so many seconds at most.
_LOOK_EVERY = 1.0


class ArrowEngine:
    """The functions of one database, shared by a connection and its cursors.

    They are made on a connection of the engine's own, outside of the user's transactions, and in one transaction for
    all that a reference is called by: a statement sees the functions as they were when it was bound.
    """

    name = "arrow"
    takes_names = True  # a STRUCT costs DuckDB more to hand over than its columns do

    def __init__(self, registry: Registry, con: duckdb.DuckDBPyConnection) -> None:
        self.registry = registry
        self._home = registry.place
        self._maker = con.cursor()
        self._made: dict[str, tuple[Udf, FileState | None]] = {}
        self._of_rows: dict[str, RowsUdf] = {}
        self._others: dict[str, str] = {}  # made by an engine that was here before
        self._provisional: dict[str, int] = {}
        self._lock = threading.RLock()
        self._seen = registry.state
        self._looked = time.monotonic()

    @classmethod
    def of(cls, con: duckdb.DuckDBPyConnection, registry: Registry, *, attached: bool) -> ArrowEngine:
        """``attached``: the connection is somebody else's, who may go on with it alone, and whose statements nobody
        announces. Raises EngineError when the database already answers from another registry."""
        engine = cls._of(con, registry)
        if attached:
            _lookout.keep(engine, con)
        return engine

    @classmethod
    def _of(cls, con: duckdb.DuckDBPyConnection, registry: Registry) -> ArrowEngine:
        with suppress(duckdb.CatalogException):
            ((home,),) = con.cursor().execute(f"SELECT {HOME}()").fetchall()
            if home != registry.place:
                raise OtherRegistry.of(home, registry.home)
            engine = cls._begun(registry, con)
            engine._others = _present(engine._maker)
            return engine
        engine = cls._begun(registry, con)
        engine._introduce()
        return engine

    @classmethod
    def _begun(cls, registry: Registry, con: duckdb.DuckDBPyConnection) -> ArrowEngine:
        engine = cls(registry, con)
        _engines.add(engine)
        return engine

    def offer(self, functions: Iterable[Function]) -> None:
        """Let the database have what can be had of these."""
        functions = [function for function in functions if function.name not in self._others]
        with self._lock:
            try:
                self._replace_together(functions)
            except duckdb.Error:  # one model may have a type that DuckDB has not
                for function in functions:
                    with suppress(duckdb.Error):
                        self._replace_together([function])

    def ensure(self, con: duckdb.DuckDBPyConnection, function: Function, model: StoredModel) -> None:
        """Let the database have ``function``, running ``model`` or, if it moves, what its reference means by now.
        Raises EngineError where its type cannot change."""
        made = self._made.get(function.name)
        if made is not None and _runs(made[0], model) and function.name not in self._provisional:
            return
        with self._lock:
            if function.name in self._provisional:
                self._settle(con, function, model)
            elif function.moves and made is not None:
                self._move([function])
            elif function.name not in self._others or not self._is_present(function):
                self._make(con, function, model)

    def prepare(self, con: duckdb.DuckDBPyConnection) -> None:
        """What each connection or cursor needs of its own; later, while a result is being fetched."""
        with suppress(*_BUSY):
            for name, parameter in _TABLES:
                con.sql(  # execute() would end a result that is being fetched
                    f"CREATE OR REPLACE TEMP MACRO sqlinfer_{name}({parameter}) AS TABLE "
                    f"SELECT unnest(sqlinfer_{name}_list({parameter}), max_depth := 2)"
                )

    def begin_rows(self) -> None:
        """A statement is about to run whose rows name their models."""
        for engine in list(_engines):  # one of them has made the functions of this database
            if engine._home == self._home:
                with suppress(duckdb.ConnectionException):  # the database was closed
                    engine._look_at_rows()

    def begin(self) -> None:
        """A statement is about to run: what was promoted or removed holds from here on."""
        state, now = self.registry.state, time.monotonic()
        if state == self._seen and now - self._looked < _LOOK_EVERY:
            return
        self._seen, self._looked = state, now
        for engine in list(_engines):  # one of them may have made the functions of this database
            if engine._home == self._home:
                engine.look()

    def require_indexable(self, con: duckdb.DuckDBPyConnection, statement: str) -> None:
        """DuckDB builds such an index, and gives up the database when it is to be kept up to date. What a macro in the
        statement stands for, its plan shows."""
        with suppress(duckdb.Error):  # the statement itself says what is wrong
            plans = con.execute(f"EXPLAIN (FORMAT json) {statement}").fetchall()
            for name in (*self._made, *self._others):
                if any(f"{name}(" in plan for _, plan in plans):
                    raise CallError.index(name)

    def failure(self, message: str) -> tuple[Function | None, BaseException] | None:
        """The exception behind an error message of DuckDB's, if one of our functions raised it."""
        return failures.behind(message)

    def look(self) -> None:
        """Replace the functions whose references mean something else by now."""
        with self._lock:
            moving = [(udf.function, state) for udf, state in self._made.values() if self._is_moving(udf.function)]
            moved = [f for f, state in moving if deciding_state(self.registry, f) != state]
            with suppress(duckdb.ConnectionException):  # the database was closed
                if moved:
                    self._move(moved)
                self._look_at_rows()

    def _look_at_rows(self) -> None:
        with self._lock:
            if not any(udf.is_outdated() for udf in self._of_rows.values()):
                return
            self._maker.execute("BEGIN")
            try:
                for name in self._of_rows:
                    self._maker.remove_function(name)
                self._make_of_rows()
                self._maker.execute("COMMIT")
            except BaseException:
                with suppress(duckdb.Error):
                    self._maker.execute("ROLLBACK")
                raise

    def _make_of_rows(self) -> None:
        """The calls whose model each row names."""
        for kind in CALLS.values():
            if kind.fixed is not None:
                udf = rows_udf(kind, self.registry)
                _create(self._maker, kind.name, udf.call, None, kind.fixed, type="arrow", null_handling="special")
                self._of_rows[kind.name] = udf

    def _is_moving(self, function: Function) -> bool:
        """One that was made inside a transaction is settled when it is called again."""
        return function.moves and function.name not in self._provisional

    def _move(self, functions: Iterable[Function]) -> None:
        """With all the functions of the same references."""
        moving = {function.name: function for function in functions}
        references = {function.reference for function in moving.values()}
        made = (udf.function for udf, _ in self._made.values() if self._is_moving(udf.function))
        moving |= {function.name: function for function in made if function.reference in references}
        self._replace_together(moving.values())

    def _replace_together(self, functions: Iterable[Function]) -> None:
        """In one transaction, so that a statement sees all of them, or none; those of one reference with one model."""
        before = dict(self._made)
        meanings = Meanings(self.registry)
        self._maker.execute("BEGIN")
        try:
            for function in functions:
                state, model = meanings.of(function)
                made = self._made.get(function.name)
                if isinstance(model, StoredModel):
                    self._replace(udf_of(function, model.call(function.call).type, self.registry, model), state)
                elif made is not None:
                    self._replace(udf_of(function, made[0].type, self.registry, model), state)
            self._maker.execute("COMMIT")
        except BaseException:
            self._made = before
            with suppress(duckdb.Error):
                self._maker.execute("ROLLBACK")
            raise

    def _replace(self, udf: Udf, state: FileState | None) -> None:
        if udf.function.name in self._made:
            self._maker.remove_function(udf.function.name)
        _create_typed(self._maker, udf)
        self._made[udf.function.name] = udf, state

    def _make(self, con: duckdb.DuckDBPyConnection, function: Function, model: StoredModel) -> None:
        type = model.call(function.call).type
        try:
            if _in_transaction(con):
                udf = udf_of(function, type, self.registry, model)
                _create_typed(con, udf)
                self._made[function.name] = udf, None
                self._provisional[function.name] = id(con)
            elif function.moves:
                self._move([function])
            else:
                self._replace(udf_of(function, type, self.registry, model), None)
        except duckdb.ConnectionException:
            raise  # it was closed, and DuckDB says so
        except duckdb.CatalogException:  # another engine of this database was sooner
            self._others[function.name] = type
        except duckdb.Error as error:
            raise EngineError(
                f"DuckDB does not take {function.name}() → {type} ({error}); register the model again"
            ) from error

    def _settle(self, con: duckdb.DuckDBPyConnection, function: Function, model: StoredModel) -> None:
        """A function that was made inside a transaction went with it if that was rolled back."""
        udf, _ = self._made[function.name]
        try:
            _create_typed(self._maker, udf)
        except duckdb.TransactionException as error:  # the transaction is still open
            if self._provisional[function.name] == id(con):
                return
            raise EngineError(
                f"{function.name}() was first called inside a transaction of another connection that is still open: "
                "commit that first"
            ) from error
        except duckdb.CatalogException:  # it was committed
            del self._made[function.name]
            if self._provisional[function.name] == id(con) and not _in_transaction(con):
                con.remove_function(function.name)  # DuckDB lets nobody do so but the connection that made it
            else:
                self._others[function.name] = udf.type
        del self._provisional[function.name]
        self.ensure(con, function, model)

    def _is_present(self, function: Function) -> bool:
        self._others = _present(self._maker)
        return function.name in self._others

    def _introduce(self) -> None:
        """sqlinfer_models() and its like read the registry anew each time; sqlinfer_version() says what runs here."""
        _create(self._maker, HOME, _tell_home(self._home), [], "VARCHAR")
        self._make_of_rows()
        _create(self._maker, "sqlinfer_version", catalogue.version_text, [], "VARCHAR", side_effects=True)
        models = _list_models(self._home)
        _create(self._maker, "sqlinfer_models_list", models, [], _rows_of(catalogue.MODELS), side_effects=True)
        for name, of, columns in (
            ("sqlinfer_versions", catalogue.versions, catalogue.VERSIONS),
            ("sqlinfer_features", catalogue.features, catalogue.FEATURES),
            ("sqlinfer_functions", catalogue.functions, catalogue.FUNCTIONS),
        ):
            told, how = _list_of(self._home, name, of), {"side_effects": True, "null_handling": "special"}
            _create(self._maker, f"{name}_list", told, ["VARCHAR"], _rows_of(columns), **how)


def _runs(udf: Udf, model: StoredModel) -> bool:
    own = udf.model
    if not isinstance(own, StoredModel):
        return False
    return own is model or (own.manifest.digest == model.manifest.digest and own.folder == model.folder)


@cache
def _tell_home(home: str) -> Callable[[], str]:
    return lambda: home


@cache
def _list_models(home: str) -> Callable[[], list[dict[str, Any]]]:
    return lambda: catalogue.models(Registry(home))


@cache
def _list_of(
    home: str, name: str, of: Callable[[Registry, Any], list[dict[str, Any]]]
) -> Callable[[str | None], list[dict[str, Any]]]:
    def told(reference: str | None) -> list[dict[str, Any]]:
        try:
            if reference is None and of is not catalogue.versions:
                raise CallError.no_model_named(name)
            return of(Registry(home), reference)
        except SqlinferError as error:
            failures.add(None, error)
            raise

    return told


def _rows_of(columns: Mapping[str, str]) -> str:
    return "STRUCT(" + ", ".join(f"{name} {type}" for name, type in columns.items()) + ")[]"


def _create_typed(con: duckdb.DuckDBPyConnection, udf: Udf) -> None:
    _create(con, udf.function.name, udf.call, None, udf.type, type="arrow", null_handling="special")


def _create(con: duckdb.DuckDBPyConnection, name: str, function: Callable[..., Any], *how: Any, **options: Any) -> None:
    create: Any = con.create_function
    create(name, function, *how, **options)


def _present(con: duckdb.DuckDBPyConnection) -> dict[str, str]:
    """The typed functions that the database has, with their types."""
    rows = con.execute(
        "SELECT function_name, return_type FROM duckdb_functions() WHERE function_type = 'scalar' AND "
        "(function_name LIKE 'predict%' OR function_name LIKE 'infer%')"
    ).fetchall()
    return dict(rows)


def _in_transaction(con: duckdb.DuckDBPyConnection) -> bool:
    """Whether the user has begun one; a result that is being fetched ends no more than by the statement to come."""
    first, second = (con.execute("SELECT txid_current()").fetchall() for _ in range(2))
    return first == second


# DuckDB 2 does nothing else on a connection while a result is being fetched.
_BUSY: tuple[type[duckdb.Error], ...] = (
    (duckdb.ResourceInUseException,) if hasattr(duckdb, "ResourceInUseException") else ()
)
_engines: weakref.WeakSet[ArrowEngine] = weakref.WeakSet()


class _Lookout:
    """Keeps the engines of other people's connections for as long as these live, and sees what changes meanwhile: at
    once where this process changes it, else soon."""

    _EVERY = 0.05

    def __init__(self) -> None:
        self._kept: dict[int, ArrowEngine] = {}
        self._stop = threading.Event()
        self._thread: threading.Thread | None = None

    def keep(self, engine: ArrowEngine, con: duckdb.DuckDBPyConnection) -> None:
        number = id(engine)
        self._kept[number] = engine
        weakref.finalize(con, self._kept.pop, number, None).atexit = False
        observers.add(self._look)
        if self._thread is None or not self._thread.is_alive():  # a thread does not live on in a forked child
            self._thread = threading.Thread(target=self._run, daemon=True)
            self._thread.start()

    def close(self) -> None:
        """Before the interpreter goes: nothing may be amid a call of DuckDB's then."""
        self._stop.set()
        if self._thread is not None:
            self._thread.join(1)

    def _run(self) -> None:
        while not self._stop.wait(self._EVERY if self._kept else 1):
            self._look()

    def _look(self) -> None:
        for engine in list(self._kept.values()):
            with suppress(duckdb.Error):
                engine.begin()


_lookout = _Lookout()
atexit.register(_lookout.close)

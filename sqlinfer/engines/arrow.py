"""The Arrow engine: one vectorized Python function per typed call, on any DuckDB connection.

DuckDB gives a function of arguments of any type its batches as they are, and fixes the type of the answer when the
function is made: so a model's function is typed by the model and takes what users have.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from sqlinfer.engines.catalogue import CATALOGUE, catalogue, version_text
from sqlinfer.engines.interrupt import Interrupt
from sqlinfer.errors import EngineError, OtherRegistry
from sqlinfer.models.registry import Registry, StoredModel
from sqlinfer.runtime.predictor import Predictor
from sqlinfer.runtime.session import interrupt_runs, sessions
from sqlinfer.sql.bind import Function

__all__ = ["ENGINE_ID", "ArrowEngine"]


class _Failures:
    """What the functions raised last: DuckDB keeps only the text. No function may hold the engine, and so the
    connection that holds the function: such a circle through DuckDB is never freed."""

    def __init__(self) -> None:
        self._last: list[tuple[Function, BaseException]] = []

    def add(self, function: Function, error: BaseException) -> None:
        self._last = [*self._last[-15:], (function, error)]

    def behind(self, message: str) -> tuple[Function, BaseException] | None:
        failures, self._last = self._last, []
        for function, error in failures:
            if str(error) in message:
                return function, error
        return None


class _Statements:
    """How many have begun. One that is running keeps its models, whatever is promoted or removed meanwhile."""

    begun = 0


class _Udf:
    """What DuckDB calls. It finds out itself what its reference means, as views and macros outlive a promotion; a model
    is loaded when its first batch comes."""

    def __init__(
        self,
        function: Function,
        type: str,
        registry: Registry,
        failures: _Failures,
        interrupt: Interrupt,
        statements: _Statements,
    ) -> None:
        self._function = function
        self._type = type
        self._registry = registry
        self._failures = failures
        self._interrupt = interrupt
        self._statements = statements
        self._deciding = registry.deciding(function.reference)
        self._lock = threading.Lock()
        self._loaded: tuple[int, tuple[int, int], StoredModel, Predictor] | None = None

    def __call__(self, *args: pa.ChunkedArray) -> pa.Array:
        try:
            if self._interrupt.pressed:
                raise KeyboardInterrupt
            return self._predictor()(*args)
        except BaseException as error:  # a KeyboardInterrupt comes through here, too
            self._failures.add(self._function, error)
            raise

    def _predictor(self) -> Predictor:
        begun = self._statements.begun
        loaded = self._loaded
        if loaded is None or loaded[0] != begun:
            with self._lock:
                loaded = self._loaded = begun, *self._resolved(self._loaded)
        return loaded[-1]

    def _resolved(
        self, loaded: tuple[int, tuple[int, int], StoredModel, Predictor] | None
    ) -> tuple[tuple[int, int], StoredModel, Predictor]:
        state = _state(self._deciding)
        if loaded is not None and loaded[1] == state:
            return loaded[1:]
        model = self._registry.get(self._function.reference)
        return state, model, loaded[3] if loaded is not None and loaded[2] is model else self._load(model)

    def _load(self, model: StoredModel) -> Predictor:
        call = model.call(self._function.call)
        if call.type != self._type:
            raise _retyped(self._function, call.type)
        manifest = model.manifest
        return Predictor(str(self._function.reference), manifest.signature, call, sessions.get(model), manifest.formula)


def _state(path: Path) -> tuple[int, int]:
    """Of a file that is replaced when it changes."""
    try:
        status = path.stat()
    except OSError:
        return 0, 0
    return status.st_mtime_ns, status.st_ino


def _retyped(function: Function, type: str) -> EngineError:
    return EngineError(
        f"{function.name}() now answers {type}, and DuckDB changes a function's type only on the connection that made "
        "it: open the database again"
    )


class ArrowEngine:
    """The functions of one database, shared by all its connections and cursors in this process.

    DuckDB calls a Python function for as long as the database has it, but keeps it alive only as long as the
    connection that made it: the engine does so for as long as anybody has the engine.
    """

    name = "arrow"

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self._types: dict[str, str] = {}
        self._uncommitted: dict[str, int] = {}
        self._kept: list[Callable[..., Any]] = []
        self._lock = threading.Lock()
        self._failures = _Failures()
        self._statements = _Statements()
        self.interrupt = Interrupt(interrupt_runs)

    @classmethod
    def of(cls, con: duckdb.DuckDBPyConnection, registry: Registry, *, pin: bool) -> ArrowEngine:
        """The engine of the database that ``con`` is connected to: the one that is there, or a new one.

        ``pin``: keep it for the life of the process, because connections that are not ours may go on calling it.
        Raises EngineError when the database already answers from another registry.
        """
        with suppress(duckdb.CatalogException):
            ((number,),) = con.cursor().execute(f"SELECT {ENGINE_ID}()").fetchall()
            engine = _engines.get(number)
            if engine is not None:
                if engine.registry.home.resolve() != registry.home.resolve():
                    raise OtherRegistry.of(engine.registry.home, registry.home)
                return engine
        engine = cls(registry)
        engine._introduce(con.cursor() if pin else con)  # whatever becomes of a transaction that is open
        if pin:
            _pinned.append(engine)
        return engine

    def ensure(self, con: duckdb.DuckDBPyConnection, function: Function, model: StoredModel) -> None:
        """Let the database have ``function``, running ``model``. Raises EngineError where its type cannot change."""
        type = model.call(function.call).type
        if self._types.get(function.name) == type and function.name not in self._uncommitted:
            return
        with self._lock:
            known = self._types.get(function.name)
            if known == type and function.name in self._uncommitted:
                self._settle(con, function, type)
            elif known != type:
                if known is not None:
                    self._forget(con, function, type)
                self._make(con, function, type)

    def prepare(self, con: duckdb.DuckDBPyConnection) -> None:
        """What each connection or cursor needs of its own; later, while a result is being fetched."""
        with suppress(*_BUSY):
            con.sql(  # execute() would end a result that is being fetched
                "CREATE OR REPLACE TEMP MACRO sqlinfer_models() AS TABLE "
                "SELECT unnest(sqlinfer_models_list(), max_depth := 2)"
            )

    def begin(self) -> None:
        """A statement is about to run: what a promotion or a removal changed holds from here on."""
        self._statements.begun += 1

    def failure(self, message: str) -> tuple[Function | None, BaseException] | None:
        """The exception behind an error message of DuckDB's, if one of our functions raised it."""
        return self._failures.behind(message)

    def _introduce(self, con: duckdb.DuckDBPyConnection) -> None:
        """sqlinfer_models() reads the registry anew each time; sqlinfer_version() says what runs here."""
        number = id(self)
        _engines[number] = self
        columns = "STRUCT(" + ", ".join(f"{name} {type}" for name, type in CATALOGUE.items()) + ")[]"
        registry = self.registry
        self._create(con, ENGINE_ID, lambda: number, [], "BIGINT", side_effects=True)
        self._create(con, "sqlinfer_models_list", lambda: catalogue(registry), [], columns, side_effects=True)
        self._create(con, "sqlinfer_version", version_text, [], "VARCHAR", side_effects=True)

    def _make(self, con: duckdb.DuckDBPyConnection, function: Function, type: str) -> None:
        try:
            try:
                self._create_typed(con, function, type)
            except _BUSY:
                self._create_typed(con.cursor(), function, type)
                _pinned.append(self)
        except duckdb.Error as error:
            raise EngineError(
                f"DuckDB does not take {function.name}() → {type} ({error}); register the model again"
            ) from error
        self._types[function.name] = type
        if not _committed(con, function.name):
            self._uncommitted[function.name] = id(con)

    def _settle(self, con: duckdb.DuckDBPyConnection, function: Function, type: str) -> None:
        """A function that was made inside a transaction went with it if that was rolled back."""
        try:
            self._create_typed(con.cursor(), function, type)
            _pinned.append(self)
        except duckdb.TransactionException as error:  # the transaction is still open
            if self._uncommitted[function.name] == id(con):
                return
            raise EngineError(
                f"{function.name}() was first called inside a transaction of another connection that is still open: "
                "commit that first"
            ) from error
        except duckdb.CatalogException:
            pass  # it was committed
        del self._uncommitted[function.name]

    def _create_typed(self, con: duckdb.DuckDBPyConnection, function: Function, type: str) -> None:
        udf = _Udf(function, type, self.registry, self._failures, self.interrupt, self._statements)
        self._create(con, function.name, _variadic(udf), None, type, type="arrow", null_handling="special")

    def _create(
        self, con: duckdb.DuckDBPyConnection, name: str, function: Callable[..., Any], *how: Any, **options: Any
    ) -> None:
        create: Any = con.create_function
        create(name, function, *how, **options)
        self._kept.append(function)

    def _forget(self, con: duckdb.DuckDBPyConnection, function: Function, type: str) -> None:
        try:
            con.remove_function(function.name)
        except duckdb.Error as error:
            raise _retyped(function, type) from error


def _committed(con: duckdb.DuckDBPyConnection, name: str) -> bool:
    """Whether other connections have the function."""
    try:
        con.cursor().execute(f'PREPARE known AS SELECT "{name}"($1)')
    except duckdb.CatalogException:
        return False
    return True


def _variadic(udf: _Udf) -> Callable[..., pa.Array]:
    # DuckDB reads the signature of a function, not of an object's __call__
    def function(*args: pa.ChunkedArray) -> pa.Array:
        return udf(*args)

    return function


# DuckDB 2 does nothing else on a connection while a result is being fetched.
_BUSY: tuple[type[duckdb.Error], ...] = (
    (duckdb.ResourceInUseException,) if hasattr(duckdb, "ResourceInUseException") else ()
)
ENGINE_ID = "sqlinfer_engine_id"
_engines: weakref.WeakValueDictionary[int, ArrowEngine] = weakref.WeakValueDictionary()
_pinned: list[ArrowEngine] = []

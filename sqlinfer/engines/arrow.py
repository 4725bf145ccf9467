"""The Arrow engine: one vectorized Python function per typed call, on any DuckDB connection.

DuckDB gives a function of arguments of any type its batches as they are, and fixes the type of the answer when the
function is made: so a model's function is typed by the model and takes what users have.
"""

from __future__ import annotations

import threading
import weakref
from collections.abc import Callable
from contextlib import suppress
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


def _predictor(model: StoredModel, function: Function) -> Predictor:
    """Load the model, if it is not loaded yet, for one call."""
    return Predictor(str(function.reference), model.manifest.signature, model.call(function.call), sessions.get(model))


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


class _Udf:
    """What DuckDB calls. The model behind it may be exchanged; it is loaded when the first batch comes."""

    def __init__(self, function: Function, model: StoredModel, failures: _Failures, interrupt: Interrupt) -> None:
        self.function = function
        self.model = model
        self._failures = failures
        self._interrupt = interrupt
        self._lock = threading.Lock()
        self._predictor: tuple[StoredModel, Predictor] | None = None

    def __call__(self, *args: pa.ChunkedArray) -> pa.Array:
        try:
            if self._interrupt.pressed:
                raise KeyboardInterrupt
            return self._load()(*args)
        except BaseException as error:  # a KeyboardInterrupt comes through here, too
            self._failures.add(self.function, error)
            raise

    def _load(self) -> Predictor:
        model = self.model
        if self._predictor is None or self._predictor[0] is not model:
            with self._lock:
                self._predictor = model, _predictor(model, self.function)
        return self._predictor[1]


class ArrowEngine:
    """The functions of one database, shared by all its connections and cursors in this process.

    DuckDB calls a Python function for as long as the database has it, but keeps it alive only as long as the
    connection that made it: the engine does so for as long as anybody has the engine.
    """

    name = "arrow"

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self._udfs: dict[str, _Udf] = {}
        self._kept: list[Callable[..., Any]] = []
        self._lock = threading.Lock()
        self._failures = _Failures()
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
        engine._introduce(con)
        if pin:
            _pinned.append(engine)
        return engine

    def ensure(self, con: duckdb.DuckDBPyConnection, function: Function, model: StoredModel) -> None:
        """Let the database have ``function``, running ``model``. Raises EngineError where its type cannot change."""
        type = model.call(function.call).type
        udf = self._udfs.get(function.name)
        if udf is not None and udf.model is model:
            return
        with self._lock:
            udf = self._udfs.get(function.name)
            if udf is not None and udf.model.call(function.call).type == type:
                udf.model = model
                return
            if udf is not None:
                self._forget(con, function, type)
            udf = _Udf(function, model, self._failures, self.interrupt)
            try:
                self._create(con, function.name, _variadic(udf), None, type, type="arrow", null_handling="special")
            except duckdb.Error as error:
                raise EngineError(
                    f"DuckDB does not take {function.name}() → {type} ({error}); register the model again"
                ) from error
            self._udfs[function.name] = udf

    def prepare(self, con: duckdb.DuckDBPyConnection) -> None:
        """What each connection or cursor needs of its own."""
        con.execute(
            "CREATE OR REPLACE TEMP MACRO sqlinfer_models() AS TABLE "
            "SELECT unnest(sqlinfer_models_list(), max_depth := 2)"
        )

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
            raise EngineError(
                f"{function.name}() now answers {type}, and DuckDB changes a function's type only on the connection "
                "that made it: open the database again"
            ) from error


def _variadic(udf: _Udf) -> Callable[..., pa.Array]:
    # DuckDB reads the signature of a function, not of an object's __call__
    def function(*args: pa.ChunkedArray) -> pa.Array:
        return udf(*args)

    return function


ENGINE_ID = "sqlinfer_engine_id"
_engines: weakref.WeakValueDictionary[int, ArrowEngine] = weakref.WeakValueDictionary()
_pinned: list[ArrowEngine] = []

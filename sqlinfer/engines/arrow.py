"""The Arrow engine: one vectorized Python function per typed call, on any DuckDB connection.

DuckDB gives a function of arguments of any type its batches as they are, and fixes the type of the answer when the
function is made: so a model's function is typed by the model and takes what users have.
"""

from __future__ import annotations

import threading
from contextlib import suppress

import duckdb
import pyarrow as pa

from sqlinfer.engines.catalogue import CATALOGUE, catalogue, version_text
from sqlinfer.models.registry import Registry, StoredModel
from sqlinfer.runtime.predictor import Predictor
from sqlinfer.runtime.session import sessions
from sqlinfer.sql.bind import Function

__all__ = ["ArrowEngine"]


def _predictor(model: StoredModel, function: Function) -> Predictor:
    """Load the model, if it is not loaded yet, for one call."""
    manifest = model.manifest
    session = sessions.get(model.onnx, manifest.sha256, manifest.name)
    return Predictor(str(function.reference), manifest.signature, model.call(function.call), session)


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
            if isinstance(error, KeyboardInterrupt) or str(error) in message:
                return function, error
        return None


class _Udf:
    """What DuckDB calls. The model behind it may be exchanged; it is loaded when the first batch comes."""

    def __init__(self, function: Function, model: StoredModel, failures: _Failures) -> None:
        self.function = function
        self.model = model
        self._failures = failures
        self._lock = threading.Lock()
        self._predictor: tuple[StoredModel, Predictor] | None = None

    def __call__(self, *args: pa.ChunkedArray) -> pa.Array:
        try:
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
    """The functions of one database. Shared by a connection and its cursors."""

    name = "arrow"

    def __init__(self, con: duckdb.DuckDBPyConnection, registry: Registry) -> None:
        self._con = con
        self._registry = registry
        self._udfs: dict[str, _Udf] = {}
        self._lock = threading.Lock()
        self._failures = _Failures()
        self._add_catalogue()

    def ensure(self, function: Function, model: StoredModel) -> None:
        """Let the database have ``function``, running ``model``."""
        call = model.call(function.call)
        udf = self._udfs.get(function.name)
        if udf is not None and udf.model is model:
            return
        with self._lock:
            if udf is not None and udf.model.call(function.call).type == call.type:
                udf.model = model
                return
            if udf is not None:
                self._con.remove_function(function.name)
            udf = _Udf(function, model, self._failures)
            self._add(function.name, udf, call.type)
            self._udfs[function.name] = udf

    def failure(self, message: str) -> tuple[Function | None, BaseException] | None:
        """The exception behind an error message of DuckDB's, if one of our functions raised it."""
        return self._failures.behind(message)

    def _add(self, name: str, udf: _Udf, type: str) -> None:
        def function(*args: pa.ChunkedArray) -> pa.Array:
            return udf(*args)

        try:
            self._con.create_function(name, function, None, type, type="arrow", null_handling="special")  # type: ignore[arg-type]
        except duckdb.Error as error:
            if "already" not in str(error):
                raise
            # another sqlinfer connection made it on the same Python connection
            self._con.remove_function(name)
            self._con.create_function(name, function, None, type, type="arrow", null_handling="special")  # type: ignore[arg-type]

    def _add_catalogue(self) -> None:
        """sqlinfer_models() reads the registry anew each time, sqlinfer_version() says what runs here."""
        columns = "STRUCT(" + ", ".join(f"{name} {type}" for name, type in CATALOGUE.items()) + ")[]"
        registry = self._registry
        for name, function, type in (
            ("sqlinfer_models_list", lambda: catalogue(registry), columns),
            ("sqlinfer_version", version_text, "VARCHAR"),
        ):
            with suppress(duckdb.Error):
                self._con.remove_function(name)
            self._con.create_function(name, function, [], type, side_effects=True)  # type: ignore[arg-type]

    def prepare(self, con: duckdb.DuckDBPyConnection) -> None:
        """What each connection or cursor needs of its own."""
        con.execute(
            "CREATE OR REPLACE TEMP MACRO sqlinfer_models() AS TABLE "
            "SELECT unnest(sqlinfer_models_list(), max_depth := 2)"
        )

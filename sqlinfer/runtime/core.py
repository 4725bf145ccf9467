"""The door to the core, the library that DuckDB loads: one version of a model, opened and asked without SQL.

What the library's functions take and give stands in udfs/src/host/arrow_c/mod.rs. They let go of Python's lock.
"""

from __future__ import annotations

import ctypes
import json
import threading
import weakref
from collections.abc import Callable
from functools import cache, lru_cache, partial
from importlib.metadata import version
from pathlib import Path
from typing import Any

import pyarrow as pa

from sqlinfer import types
from sqlinfer.errors import SqlinferError, of_code
from sqlinfer.installation import EXTENSION_FILE, onnxruntime_library, operators_library

__all__ = ["Core", "CoreModel", "core", "in_core_form"]

# Of the functions that are declared here.
_VERSION = 1
# A call of more rows may take long: it is made on another thread, so that this one hears of a Ctrl-C.
_AT_ONCE = 2048
# The structs ArrowSchema and ArrowArray, as words.
_Schema, _Array = ctypes.c_uint64 * 9, ctypes.c_uint64 * 10


class Core:
    """The library's functions."""

    def __init__(self, library: ctypes.CDLL) -> None:
        text, place = ctypes.c_char_p, ctypes.c_void_p
        self._error = _function(library.sqlinfer_core_error, text)
        self._error_code = _function(library.sqlinfer_core_error_code, text)
        self._code_of = _function(library.sqlinfer_error_code, text, text)
        self._calls = _function(library.sqlinfer_core_calls, text)
        self._open = _function(library.sqlinfer_core_open, ctypes.c_int, *[text] * 5, place)
        self.close = _function(library.sqlinfer_core_close, None, place)
        self.takes = _function(library.sqlinfer_core_takes, ctypes.c_int, place, place)
        self.gives = _function(library.sqlinfer_core_gives, ctypes.c_int, place, text, text, place)
        self.run = _function(
            library.sqlinfer_core_run,
            *(ctypes.c_int, place, text, text, place, place, ctypes.c_int, ctypes.POINTER(ctypes.c_bool)),
            *(place, place),
        )
        decimals = _function(library.sqlinfer_core_decimals, None, ctypes.c_bool)
        decimals(version("duckdb").startswith("1."))

    @property
    def calls(self) -> list[dict[str, Any]]:
        """The core's table of calls."""
        found: list[dict[str, Any]] = json.loads(self._calls())
        return found

    def code_of(self, text: str) -> str | None:
        """The code of an error of this text that the library has lately told DuckDB."""
        code: bytes | None = self._code_of(text.encode())
        return None if code is None else code.decode()

    def require(self, outcome: int) -> None:
        """Raise the error of a function that has just been called on this thread, if it had one."""
        if outcome:
            text = self._error().decode(errors="replace")
            raise of_code(self._error_code().decode(), text) or SqlinferError(text)

    def open(self, home: Path, reference: str, name: str | None = None) -> CoreModel:
        """What a reference means now in a registry; ``name``: what messages call it. Raises ModelNotFound,
        RegistryError, EngineError."""
        handle = ctypes.c_void_p()
        operators = operators_library()
        given = (home.expanduser().absolute(), reference, name, onnxruntime_library(), operators)
        texts = (None if text is None else str(text).encode() for text in given)
        self.require(self._open(*texts, ctypes.byref(handle)))
        return CoreModel(self, handle)


class CoreModel:
    """One version of a model, for as long as this lives; any thread may ask it."""

    def __init__(self, core: Core, handle: ctypes.c_void_p) -> None:
        self._core = core
        self._handle = handle
        weakref.finalize(self, core.close, handle)

    @property
    def takes(self) -> pa.Schema:
        """The features, and the types that they were registered with."""
        schema = _Schema()
        self._core.require(self._core.takes(self._handle, schema))
        return pa.Schema._import_from_c(ctypes.addressof(schema))

    def gives(self, call: str, class_: str | None = None) -> pa.DataType:
        """The type of the answers to a call. Raises ModelNotFound where there are none."""
        schema = _Schema()
        self._core.require(self._core.gives(self._handle, call.encode(), _utf8(class_), schema))
        return pa.DataType._import_from_c(ctypes.addressof(schema))

    def answers(self, call: str, rows: pa.RecordBatch | pa.StructArray, class_: str | None = None) -> pa.Array:
        """The answers for rows whose fields are the features, by name. Raises FeatureError before any row is scored,
        or ModelFailed. A Ctrl-C ends it."""
        ended = ctypes.c_bool(False)

        def run() -> pa.Array:
            array, schema, answers, type = _Array(), _Schema(), _Array(), _Schema()
            rows._export_to_c(ctypes.addressof(array), ctypes.addressof(schema))
            asked = (self._handle, call.encode(), _utf8(class_))
            self._core.require(self._core.run(*asked, array, schema, 0, ctypes.byref(ended), answers, type))
            return pa.Array._import_from_c(ctypes.addressof(answers), ctypes.addressof(type))

        return run() if len(rows) <= _AT_ONCE else _elsewhere(run, ended)


@cache
def core() -> Core | None:
    """None where this installation has none, or that of another checkout."""
    if not EXTENSION_FILE.exists():
        return None
    library = ctypes.CDLL(str(EXTENSION_FILE))
    tell = getattr(library, "sqlinfer_core_version", None)
    return Core(library) if tell is not None and tell() == _VERSION else None


def in_core_form(column: pa.ChunkedArray | pa.Array) -> pa.ChunkedArray | pa.Array | None:
    """A column as the core reads it; None of a type that it does not read."""
    column = types.without_views(column)
    form = _core_form(column.type)
    return form if form is None else column if form == column.type else column.cast(form)


@lru_cache(maxsize=512)
def _core_form(type: pa.DataType) -> pa.DataType | None:
    if pa.types.is_dictionary(type):
        return type if types.is_text(type.value_type) else _core_form(type.value_type)
    if isinstance(type, pa.BaseExtensionType):
        return {"arrow.json": type.storage_type, "arrow.bool8": pa.bool_()}.get(type.extension_name)
    if pa.types.is_decimal(type):
        return None if pa.types.is_decimal256(type) else pa.decimal128(type.precision, type.scale)
    if pa.types.is_fixed_size_list(type):
        return _list_of(partial(pa.list_, list_size=type.list_size), type)
    if types.is_list(type):
        return _list_of(pa.large_list if pa.types.is_large_list(type) else pa.list_, type)
    return type


def _list_of(make: Callable[[pa.DataType], pa.DataType], type: pa.DataType) -> pa.DataType | None:
    inner = _core_form(type.value_type)
    if inner == type.value_type:
        return type
    return None if inner is None else make(inner)


def _elsewhere(run: Callable[[], pa.Array], ended: ctypes.c_bool) -> pa.Array:
    """What it answers on another thread; what is raised here meanwhile ends it."""
    done: list[pa.Array] = []
    failed: list[BaseException] = []

    def work() -> None:
        try:
            done.append(run())
        except BaseException as error:
            failed.append(error)

    thread = threading.Thread(target=work, name="sqlinfer", daemon=True)
    thread.start()
    try:
        while thread.is_alive():
            thread.join(0.05)
    except BaseException:
        ended.value = True
        thread.join()
        raise
    if failed:
        raise failed[0]
    return done[0]


def _utf8(text: str | None) -> bytes | None:
    return None if text is None else text.encode()


def _function(function: Any, answer: Any, *arguments: Any) -> Any:
    function.restype, function.argtypes = answer, list(arguments)
    return function

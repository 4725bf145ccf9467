"""The native engine: the loadable extension (udfs/). No Python and no GIL between a column and its prediction.

The extension resolves references itself, at each bind; what it cannot do on DuckDB's stable API is to add a typed
function later. It is therefore loaded again, under the next of its names, when a model needs a function that is new.
"""

from __future__ import annotations

import ctypes
import re
import shutil
import threading
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import duckdb

from sqlinfer import errors
from sqlinfer.errors import EngineError, OtherRegistry, RegistryError, of_code
from sqlinfer.installation import EXTENSION_FILE, onnxruntime_library, operators_library
from sqlinfer.models.calls import CALLS
from sqlinfer.models.registry import Registry, StoredModel, default_home
from sqlinfer.models.signature import quoted
from sqlinfer.runtime.core import core
from sqlinfer.sql.bind import Function
from sqlinfer.sql.literals import text_literal
from sqlinfer.temporary import temporary_folder

__all__ = ["NativeEngine", "extension_path"]

_MOST_LOADS = 255
# Functions of any model, which is their first argument.
_GENERIC = frozenset(CALLS)


def extension_path() -> Path:
    """Where the built extension lies: in the installed package. Raises EngineError."""
    if not EXTENSION_FILE.exists():
        raise EngineError(
            "the native extension is not built in this installation: install Rust (cargo) and run "
            "'pip install --force-reinstall --no-deps sqlinfer', or, in a checkout, 'make native'"
        )
    return EXTENSION_FILE


class NativeEngine:
    """The extension's functions in one database, shared by all its connections and cursors in this process."""

    name = "native"
    takes_names = False  # a STRUCT costs nothing there

    def __init__(self, registry: Registry) -> None:
        self.registry = registry
        self._known: set[str] = set()
        self._loads = 0
        self._refused: dict[str, str] = {}
        self._lock = threading.Lock()

    @classmethod
    def of(cls, con: duckdb.DuckDBPyConnection, registry: Registry, *, new: bool) -> NativeEngine:
        """Load the extension, unless the database has it; one that is ``new`` has not. Raises EngineError with the
        reason and the fix."""
        con = con.cursor()  # what the caller's connection is amid, a transaction or a result, goes on
        path = extension_path()
        engine = cls(registry)
        home = registry.home.expanduser().absolute()
        try:
            was_loaded = not new and is_loaded(con)
            with _configured(con, home, onnxruntime_library(), operators_library(), new=new):
                con.execute(f"LOAD {text_literal(path)}")
            if was_loaded:
                _require_home(con, home)
        except duckdb.Error as error:
            raise EngineError(f"DuckDB does not load the extension: {_reason(error)}") from error
        return engine

    def offer(self, functions: Iterable[Function]) -> None:
        """Nothing: the extension has offered them when it was loaded."""

    def ensure(self, con: duckdb.DuckDBPyConnection, function: Function, model: StoredModel) -> None:
        """Let the database have ``function``; which version it means, the extension looks up itself."""
        type = model.call(function.call).type
        if function.name in self._known:
            return
        with self._lock:
            con = con.cursor()  # not in the caller's transaction, which may be rolled back
            if self._has(con, function):
                return
            if self._refused.get(function.name) != model.manifest.digest:
                self._load_again(con, function)
            if not self._has(con, function):
                self._refused[function.name] = model.manifest.digest  # there is no use in asking again
                _require_readable(con, function)
                raise EngineError(
                    f"the extension does not offer {function.name}() → {type}; open the database again, or use "
                    "engine='arrow'"
                )

    def prepare(self, con: duckdb.DuckDBPyConnection) -> None:
        """Nothing: the extension's functions belong to the database."""

    def begin_rows(self) -> None:
        """Nothing, as for `begin`."""

    def begin(self) -> None:
        """Nothing: the extension finds out what a reference means when it binds a statement."""

    def require_indexable(self, con: duckdb.DuckDBPyConnection, statement: str) -> None:
        """Nothing: DuckDB does not bind the extension's functions there."""

    def failure(self, message: str) -> tuple[Function | None, BaseException] | None:
        """The exception that the extension's words stand for."""
        told = re.match(r"(?:Binder|Invalid Input) Error: (.*?)(?:\n\nLINE |$)", message, re.DOTALL)
        text = told[1].strip() if told else ""
        if indexed := re.match(r'Cannot use "?((?:predict|infer)[^" ]*)"? in this context', text):
            return None, errors.CallError.index(indexed[1])
        library = core()
        error = of_code(library.code_of(text), text) if library is not None else None
        return None if error is None else (None, error)

    def _has(self, con: duckdb.DuckDBPyConnection, function: Function) -> bool:
        """Whether the database has it: asked by its name, since a list of all functions takes DuckDB long to make."""
        if function.name not in self._known:
            try:
                con.execute(f"DESCRIBE SELECT {quoted(function.name)}()").fetchall()
            except duckdb.CatalogException:
                return False
            except (duckdb.BinderException, duckdb.InvalidInputException):
                pass  # it is there, and wants arguments
            self._known.add(function.name)
        return True

    def _load_again(self, con: duckdb.DuckDBPyConnection, function: Function) -> None:
        try:
            with temporary_folder() as folder:
                con.execute(f"LOAD {text_literal(_copy(folder, self._next_name(con)))}")
        except duckdb.Error as error:
            raise EngineError(
                f"{function.name}() was registered after this database was opened, and DuckDB does not load the "
                f"extension again ({_reason(error)}): open the database again"
            ) from error

    def _next_name(self, con: duckdb.DuckDBPyConnection) -> str:
        while self._loads < _MOST_LOADS:
            self._loads += 1
            name = f"sqlinfer_{self._loads}"
            loaded = con.execute(
                "SELECT count(*) FROM duckdb_extensions() WHERE loaded AND extension_name = ?", [name]
            ).fetchall()
            if loaded == [(0,)]:
                return name
        raise EngineError("too many models were registered since the database was opened: open it again")


def _copy(folder: Path, name: str) -> Path:
    copy = folder / f"{name}.duckdb_extension"
    try:
        copy.symlink_to(extension_path())
    except OSError:
        shutil.copy(extension_path(), copy)
    return copy


def _require_readable(con: duckdb.DuckDBPyConnection, function: Function) -> None:
    """Raises RegistryError with what the extension says of a manifest that it cannot read."""
    try:
        con.cursor().execute(f"SELECT predict({text_literal(function.reference)})").fetchall()
    except duckdb.Error as error:
        if "model.json" in str(error):
            raise RegistryError(_reason(error)) from error


def is_loaded(con: duckdb.DuckDBPyConnection) -> bool:
    """Whether the database has the extension. (DuckDB says that it does not know a setting that has no value.)"""
    return bool(con.execute("SELECT 1 FROM duckdb_settings() WHERE name = 'sqlinfer_home'").fetchall())


def _has_typed(con: duckdb.DuckDBPyConnection) -> bool:
    """Whether the extension has made functions of models."""
    rows = con.execute(
        "SELECT DISTINCT function_name FROM duckdb_functions() WHERE function_type = 'scalar' AND "
        "(function_name LIKE 'predict%' OR function_name LIKE 'infer%')"
    ).fetchall()
    return any(name not in _GENERIC for (name,) in rows)


@contextmanager
def _configured(
    con: duckdb.DuckDBPyConnection, home: Path, onnxruntime: Path, operators: Path | None, *, new: bool
) -> Iterator[None]:
    """Tell the extension where models and libraries are before this database loads it: no SQL can then say otherwise.
    The database is known by a function that no other has. One that is ``new`` has no other functions of such names."""
    configure = ctypes.CDLL(str(extension_path())).sqlinfer_configure
    configure.argtypes, configure.restype = [*[ctypes.c_char_p] * 4, ctypes.c_bool], None
    marker = f"sqlinfer_loads_{uuid.uuid4().hex}"
    create: Any = con.create_function
    create(marker, _nothing, [], "BOOLEAN")
    paths = (None if path is None else str(path).encode() for path in (home, onnxruntime, operators))
    configure(marker.encode(), *paths, new)
    try:
        yield
    finally:
        configure(marker.encode(), None, None, None, False)
        con.remove_function(marker)


def _nothing() -> bool:
    return True


def _require_home(con: duckdb.DuckDBPyConnection, home: Path) -> None:
    """Whoever loaded the extension before may have said where its models are. Raises OtherRegistry."""
    ((setting,),) = con.execute("SELECT value FROM duckdb_settings() WHERE name = 'sqlinfer_home'").fetchall()
    own: str | Path
    if not setting and not _has_typed(con):  # it was loaded by plain SQL, which said nothing
        own = _set_home(con, home)
    else:
        own = _taken_home(con, setting or "") or setting or default_home().absolute()
    if Path(own).resolve() != home.resolve():
        raise OtherRegistry.of(own, home)


def _set_home(con: duckdb.DuckDBPyConnection, home: Path) -> str | Path:
    """Where its models are from now on, or, if they were asked for already, where they were then."""
    settings = {"sqlinfer_home": home, "sqlinfer_onnxruntime": onnxruntime_library()}
    for name, value in settings.items():
        con.execute(f"SET GLOBAL {name} = {text_literal(value)}")
    taken = _taken_home(con, str(home))
    if taken is not None:
        for name in settings:
            con.execute(f"RESET GLOBAL {name}")
    return taken or home


def _taken_home(con: duckdb.DuckDBPyConnection, setting: str) -> str | None:
    """Where its models are, if not where the setting says: it may have been changed after it was taken, which is an
    error only where a connection says so for itself. ``con`` is one that nobody else uses."""
    try:
        con.execute("SELECT sqlinfer_version()").fetchall()
        con.execute(f"SET SESSION sqlinfer_home = {text_literal(setting)}")
        con.execute("SELECT sqlinfer_version()").fetchall()
    except duckdb.Error as error:
        changed = re.search(r"sqlinfer_home cannot be changed .* \(it was (?:not set|'(.*)')\)", str(error))
        return (changed[1] or str(default_home().absolute())) if changed else None
    return None


def _reason(error: duckdb.Error) -> str:
    text = str(error)
    if "unsigned" in text or "signature" in text:
        return (
            "it is not signed, and the connection was opened without allow_unsigned_extensions; open it with "
            "sqlinfer.connect(), or duckdb.connect(config={'allow_unsigned_extensions': 'true'})"
        )
    return " ".join(text.split())[:300]

"""How a typed call reaches an engine. Engines know nothing of one another."""

from __future__ import annotations

import threading
import warnings
from collections.abc import Iterable
from contextlib import suppress
from typing import Protocol

import duckdb

from sqlinfer.engines.arrow import HOME, ArrowEngine
from sqlinfer.engines.native import NativeEngine, is_loaded
from sqlinfer.errors import EngineError, OtherRegistry
from sqlinfer.installation import EXTENSION_FILE
from sqlinfer.models.registry import Registry, StoredModel
from sqlinfer.sql.bind import Function

__all__ = ["Engine", "open_engine"]


class Engine(Protocol):
    """The typed functions of one database; a connection and its cursors share it."""

    @property
    def name(self) -> str: ...

    @property
    def takes_names(self) -> bool:
        """Whether the functions of a statement that runs at once may have the names of their arguments in theirs."""
        ...

    def offer(self, functions: Iterable[Function]) -> None:
        """Let the database have what can be had of these, so that views of an earlier day find them."""
        ...

    def ensure(self, con: duckdb.DuckDBPyConnection, function: Function, model: StoredModel) -> None:
        """Let the database have ``function``, running ``model``."""
        ...

    def prepare(self, con: duckdb.DuckDBPyConnection) -> None:
        """Give a connection or cursor what it needs of its own; a result that is being fetched goes on."""
        ...

    def begin(self) -> None:
        """A statement is about to run."""
        ...

    def begin_rows(self) -> None:
        """A statement is about to run whose rows name their models."""
        ...

    def require_indexable(self, con: duckdb.DuckDBPyConnection, statement: str) -> None:
        """Raises CallError for a statement that makes an index on one of the functions."""
        ...

    def failure(self, message: str) -> tuple[Function | None, BaseException] | None:
        """The exception behind an error message of DuckDB's, if one of the engine's functions raised it."""
        ...


def open_engine(
    name: str, con: duckdb.DuckDBPyConnection, registry: Registry, *, attached: bool, new: bool = False
) -> Engine:
    """``auto``, ``arrow`` or ``native``; ``attached``: the connection is somebody else's; ``new``: nobody else has the
    database, and it has no functions but DuckDB's own. Raises EngineError."""
    with _opening:
        return _open(name, con, registry, attached=attached, new=new)


# Threads that open one database find one engine.
_opening = threading.Lock()


def _open(name: str, con: duckdb.DuckDBPyConnection, registry: Registry, *, attached: bool, new: bool) -> Engine:
    found = None if new else _serving(con)
    if found is not None and name not in ("auto", found):
        raise EngineError(
            f"this database already answers with the {found} engine: use engine={found!r}, or open the database in "
            "another process"
        )
    if found != "arrow" and name in ("auto", "native"):
        try:
            return NativeEngine.of(con, registry, new=new)
        except OtherRegistry:
            raise
        except EngineError as error:
            if name == "native":
                raise
            if attached or EXTENSION_FILE.exists():  # there is something to be done about it
                warnings.warn(f"sqlinfer uses its slower Arrow engine here: {error}", stacklevel=5)
    if name in ("auto", "arrow"):
        return ArrowEngine.of(con, registry, attached=attached)
    raise EngineError(f"there is no engine {name!r}: write 'auto', 'native' or 'arrow'")


def _serving(con: duckdb.DuckDBPyConnection) -> str | None:
    """The engine whose functions the database has already: a name in a catalog means one thing."""
    # a cursor has a transaction of its own, which a name that is not there may abort
    with suppress(duckdb.CatalogException):
        con.cursor().execute(f"SELECT {HOME}()").fetchall()
        return "arrow"
    return "native" if is_loaded(con.cursor()) else None

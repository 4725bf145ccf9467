"""A database in memory in which registration and ``verify`` ask models through SQL, as `sqlinfer.connect` would."""

from __future__ import annotations

from types import TracebackType
from typing import Any

import duckdb
import pyarrow as pa

from sqlinfer.engines import open_engine
from sqlinfer.engines.interrupt import listening
from sqlinfer.engines.interrupt_flag import is_interrupted
from sqlinfer.engines.resolver import Resolver
from sqlinfer.engines.running import inside
from sqlinfer.models.registry import Registry
from sqlinfer.sql.rewrite import rewrite

__all__ = ["Database"]


class Database:
    """Raises EngineError where the engine (auto, native or arrow) is not to be had."""

    def __init__(self, registry: Registry, engine: str) -> None:
        self._con = duckdb.connect(config={"allow_unsigned_extensions": "true"})
        self._registry = registry
        self._pressed = False
        try:
            self._engine = open_engine(engine, self._con, registry, attached=False, new=True)
        except BaseException:
            self._con.close()
            raise

    @property
    def engine(self) -> str:
        return self._engine.name

    def ask(self, query: str, rows: pa.Table) -> list[tuple[Any, ...]]:
        """The answers to a query ``FROM given``, which are the ``rows``. Raises what the engine's functions raise, else
        duckdb.Error."""
        self._engine.begin()
        models = Resolver(self._registry)
        text = rewrite(query, models).text
        for function, model in models.needed.items():
            self._engine.ensure(self._con, function, model)
        try:
            return self._run(text, rows)
        except duckdb.Error as error:
            failure = self._engine.failure(str(error))
            if failure is None:
                raise
            raise failure[1] from None

    @inside
    def _run(self, query: str, rows: pa.Table) -> list[tuple[Any, ...]]:
        with listening():
            self._pressed = False
            self._con.register("given", rows)
            try:
                return self._con.execute(query).fetchall()
            except Exception as error:
                if self._pressed:
                    raise KeyboardInterrupt from error
                raise

    def is_interrupted(self) -> bool:
        return self._pressed or is_interrupted(self._con)

    def press(self) -> None:
        self._pressed = True
        self._con.interrupt()

    def __enter__(self) -> Database:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._con.close()

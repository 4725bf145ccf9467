"""Models on Spark: where data has outgrown one machine, the same SQL gives the same answers."""

from __future__ import annotations

from collections.abc import Iterable
from importlib.util import find_spec
from typing import TYPE_CHECKING

from sqlinfer.engines.spark import session as sessions
from sqlinfer.engines.spark.session import Session
from sqlinfer.errors import EngineError, MissingExtra
from sqlinfer.models.registry import Registry, RegistryLike

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

__all__ = ["Session", "attach", "translate"]

_OLDEST = (4, 1)


def attach(session: SparkSession, *, registry: RegistryLike = None, models: Iterable[str] | None = None) -> Session:
    """The session, with ``predict('churn', …)`` in its SQL, and with functions such as ``predict_churn(…)`` for plain
    Spark SQL: of all models of the registry, or of those that ``models`` names.

    Raises MissingExtra, EngineError, ModelNotFound.
    """
    if find_spec("pyspark") is None:
        raise MissingExtra.of("pyspark", "spark", "Spark")
    import pyspark

    if tuple(int(part) for part in pyspark.__version__.split(".")[:2]) < _OLDEST:
        raise EngineError(f"Arrow UDFs are in pyspark 4.1 and later, and this is {pyspark.__version__}: upgrade it")
    if isinstance(session, Session):
        session = session.session
    if not hasattr(session, "udf"):
        raise EngineError(f"attach() wants a SparkSession, and this is {type(session).__name__}")
    return Session(session, Registry.of(registry), models)


def translate(sql: str, *, registry: RegistryLike = None) -> str:
    """A query of DuckDB's, with ``predict('churn', …)`` in it, as Spark SQL: ``spark.sql(translate(…))``. It says the
    same there, or is refused; docs/spark.md lists what the two do differently.

    Raises CallError with the piece that Spark does not have, or not certainly.
    """
    return sessions.translate(sql, Registry.of(registry))

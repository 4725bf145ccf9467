"""What Spark has analyzed, looked at before any row is scored: the types of the arguments of calls."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any

from sqlinfer.engines.spark.types import given_type
from sqlinfer.engines.spark.worker import require_types
from sqlinfer.models.registry import StoredModel

__all__ = ["require_plan"]


def require_plan(frame: Any, models: Mapping[str, StoredModel]) -> None:
    """Raise FeatureError where a call in the plan of a DataFrame is given what its model does not take. ``models``: by
    the names of their functions. Where the plan is on a server, the executors do it, before they score a row."""
    if not models or not hasattr(frame, "_jdf"):
        return
    for udf in _udfs(frame._jdf.queryExecution().analyzed(), frozenset(models)):
        model = models[udf.name()]
        name = model.manifest.name
        given = [given_type(name, _type_of(child)) for child in _each(udf.children())]
        require_types(name, model.manifest.signature, given)


def _udfs(plan: Any, names: frozenset[str]) -> Iterator[Any]:
    """The calls in a plan and in the queries inside its expressions."""
    for expression in _each(plan.expressions()):
        yield from _calls(expression, names)
    for child in _each(plan.children()):
        yield from _udfs(child, names)


def _calls(expression: Any, names: frozenset[str]) -> Iterator[Any]:
    text = expression.toString()
    if not any(name in text for name in names):
        return
    if expression.getClass().getSimpleName() == "PythonUDF" and expression.name() in names:
        yield expression
    for child in _each(expression.children()):
        yield from _calls(child, names)


def _type_of(expression: Any) -> Any:
    from pyspark.sql.types import _parse_datatype_json_string

    return _parse_datatype_json_string(expression.dataType().json())


def _each(sequence: Any) -> Iterator[Any]:
    for i in range(sequence.size()):
        yield sequence.apply(i)

"""What answers a call on an executor: batches of Arrow columns in, columns of answers out.

A Python worker of Spark's is a process that goes from task to task: a model is opened once in each.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc

from sqlinfer import types
from sqlinfer.engines.spark.package import Package, unpacked
from sqlinfer.errors import FeatureError, ModelFailed, SqlinferError
from sqlinfer.models.signature import Signature
from sqlinfer.runtime.batches import plan
from sqlinfer.runtime.scorer import Scorer

__all__ = ["Job", "answers", "require_types"]

_MODELS = 16
_SPARK_NAMES = {"VARCHAR": "STRING", "BLOB": "BINARY", "HUGEINT": "DECIMAL(38,0)"}


@dataclass(frozen=True, slots=True)
class Job:
    """A call of a version, as it travels. ``called``: the reference that messages name. ``tries``: a row that fails is
    answered by NULL."""

    package: Package
    called: str
    call: str
    gives: pa.DataType
    tries: bool = False


def answers(job: Job, batches: Iterator[pa.Array | tuple[pa.Array, ...]]) -> Iterator[pa.Array]:
    """Raises SqlinferError without what led to it: its words say all of that, and Spark adds a stack of its own."""
    try:
        scorer = _scorer(job.package, job.call)
        for batch in batches:
            given = batch if isinstance(batch, tuple) else (batch,)
            yield _answered(job, scorer, given).cast(job.gives)
    except SqlinferError as error:
        raise in_its_words(error).with_traceback(None) from None


def _answered(job: Job, scorer: Scorer, given: tuple[pa.Array, ...]) -> pa.Array:
    if job.tries:
        require_types(job.called, scorer.model.manifest.signature, [one.type for one in given])
        return _tried(job, scorer, given)
    return _scored(job, scorer, given)


def _tried(job: Job, scorer: Scorer, given: tuple[pa.Array, ...]) -> pa.Array:
    """Halves of a batch that fails are tried by themselves, down to the rows that fail."""
    rows = len(given[0])
    try:
        return _scored(job, scorer, given)
    except (FeatureError, ModelFailed):
        if rows == 1:
            return pa.nulls(1, scorer.gives)
    halves = (given, 0, rows // 2), (given, rows // 2, rows - rows // 2)
    parts = [_tried(job, scorer, tuple(one.slice(start, count) for one in whole)) for whole, start, count in halves]
    return pa.concat_arrays(parts)


def _scored(job: Job, scorer: Scorer, given: tuple[pa.Array, ...]) -> pa.Array:
    if not given:
        require_types(job.called, scorer.model.manifest.signature, [])
    if len(given) == 1 and types.is_row(given[0].type):
        # the row's own NULL is that of its fields
        fields = [pc.struct_field(given[0], i) for i in range(given[0].type.num_fields)]
        return scorer(pa.RecordBatch.from_arrays(fields, names=[field.name for field in given[0].type]))
    return scorer.columns(given)


def require_types(called: str, signature: Signature, given: list[pa.DataType]) -> None:
    """Raise FeatureError where arguments of these types are not what a model takes."""
    try:
        plan(called, signature, given)
    except FeatureError as error:
        raise in_its_words(error) from None


def in_its_words(error: SqlinferError) -> SqlinferError:
    """The error, with casts to types by their names in Spark."""
    said = str(error.args[0]) if error.args else ""
    for name, spark in _SPARK_NAMES.items():
        said = said.replace(f" AS {name})", f" AS {spark})")
    error.args = (said, *error.args[1:])
    return error


@lru_cache(_MODELS)
def _scorer(package: Package, call: str) -> Scorer:
    from pyspark import SparkFiles

    file = Path(SparkFiles.get(package.file))
    registry = unpacked(package, file)
    try:
        return Scorer(registry, registry.get(package.reference), call)
    except SqlinferError as error:
        error.add_note(f"on this executor, from {file}")
        raise

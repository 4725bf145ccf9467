"""Run a model on a few rows, to see what it does rather than what it declares."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from sqlinfer.errors import InvalidModel, ModelFailed
from sqlinfer.models.describe import Seen
from sqlinfer.models.inspect import Graph
from sqlinfer.models.signature import Feature, Signature, Tensor
from sqlinfer.runtime.batches import plan
from sqlinfer.runtime.predictor import Predictor
from sqlinfer.runtime.session import Session
from sqlinfer.types import DTYPES, arrow_type, is_list

__all__ = ["Probe", "observe", "synthetic_rows"]

_ROWS = 6


class Probe:
    """All calls of a model that is not stored yet, on rows of a table."""

    def __init__(self, name: str, signature: Signature, session: Session) -> None:
        self.name = name
        self.signature = signature
        self.session = session
        self._predictors = {
            call: Predictor(name, signature, how, session)
            for call, how in signature.calls.items()
            if call != "infer" or how is signature.calls["predict"]
        }

    def answers(self, table: pa.Table) -> dict[str, list[Any]]:
        columns = [table.column(feature.name).combine_chunks() for feature in self.signature.features]
        return {
            call: predictor(*columns).to_pylist(maps_as_pydicts="strict")
            for call, predictor in self._predictors.items()
        }


def observe(
    session: Session, graph: Graph, features: Sequence[Feature] = (), sample: pa.Table | None = None
) -> dict[str, Seen]:
    """Each output that has one answer a row, with the shape that it really has.

    The graph runs on batches of two sizes; an axis that differs is free. Rows of the sample are what it knows; only
    made-up ones come in two sizes of each free inner axis.
    """
    fixed = next((t.shape[0] for t in graph.inputs if t.shape[0] is not None), None)
    free = any(axis is None for tensor in graph.inputs for axis in tensor.shape[1:])
    if sample is not None and len(sample) and fixed is None and not free:
        batches = [_sampled(graph, features, sample, rows) for rows in (2, 3)]
    else:
        batches = [_made_up(graph, rows, length) for rows, length in ((fixed or 2, 3), (fixed or 3, 4))]
    runs = [_run(session, graph, feeds) for feeds in batches]
    seen = {}
    for name in graph.outputs:
        arrays = [run[name] for run in runs]
        shapes = [np.shape(array) for array in arrays]
        if not all(isinstance(array, np.ndarray) for array in arrays) or len(shapes[0]) != len(shapes[1]):
            continue
        if not shapes[0] or shapes[0][0] != (fixed or 2) or shapes[1][0] != (fixed or 3):
            continue
        inner = tuple(a if a == b else None for a, b in zip(shapes[0][1:], shapes[1][1:], strict=True))
        seen[name] = Seen(_dtype_name(arrays[0]), (None, *inner))
    return seen


def _run(session: Session, graph: Graph, feeds: dict[str, np.ndarray]) -> dict[str, Any]:
    rows = len(next(iter(feeds.values())))
    try:
        return dict(zip(graph.outputs, session.run(list(graph.outputs), feeds, rows), strict=True))
    except ModelFailed as error:
        raise InvalidModel(
            f"the model does not run on {rows} rows: {error}; give rows that it knows as sample"
        ) from error


def _sampled(graph: Graph, features: Sequence[Feature], sample: pa.Table, rows: int) -> dict[str, np.ndarray]:
    names = [feature.name for feature in features]
    whole = sample.select(names).drop_null()
    whole = whole if len(whole) else sample.select(names)
    few = whole.take(pa.array(np.arange(rows) % min(len(whole), rows)))
    given = [_plain(few.column(name)) for name in names]
    unknowing = Signature(tuple(features), graph.inputs, (), {})
    packed = plan("the sample", unknowing, [array.type for array in given]).pack(given)
    if not packed.groups or packed.groups[0].count != rows:
        return _made_up(graph, rows, rows + 1)
    return packed.groups[0].feeds


def _plain(column: pa.ChunkedArray) -> pa.Array:
    return column.combine_chunks() if column.num_chunks != 1 else column.chunk(0)


def _made_up(graph: Graph, rows: int, length: int) -> dict[str, np.ndarray]:
    return {tensor.name: _stand_in(tensor, rows, length) for tensor in graph.inputs}


def _stand_in(tensor: Tensor, rows: int, free: int) -> np.ndarray:
    shape = (rows, *(free if axis is None else axis for axis in tensor.shape[1:]))
    element = DTYPES[tensor.dtype]
    if element.is_string:
        return np.full(shape, "a", dtype=object)
    return (np.arange(int(np.prod(shape))).reshape(shape) % 2).astype(element.numpy)


def _dtype_name(array: np.ndarray) -> str:
    return "string" if array.dtype == object else str(array.dtype)


def synthetic_rows(signature: Signature, rows: int = _ROWS) -> pa.Table:
    """Rows to prove a file with when nobody gave any: small numbers, and the texts a and b. Always the same rows."""
    random = np.random.default_rng(0)
    return pa.table({f.name: _synthetic(arrow_type(f.type), rows, random) for f in signature.features})


def _synthetic(arrow: pa.DataType, rows: int, random: np.random.Generator) -> pa.Array:
    return pa.array([_value(arrow, random, 3 + i % 3) for i in range(rows)], arrow)


def _value(arrow: pa.DataType, random: np.random.Generator, free: int) -> Any:
    if is_list(arrow):
        size = arrow.list_size if pa.types.is_fixed_size_list(arrow) else free
        return [_value(arrow.value_type, random, free) for _ in range(size)]
    if pa.types.is_floating(arrow):
        return float(np.float32(random.normal()))
    if pa.types.is_boolean(arrow):
        return bool(random.integers(2))
    return int(random.integers(0, 3)) if pa.types.is_integer(arrow) else random.choice(["a", "b"])

"""Rows that nobody gave, to try a model with."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pyarrow as pa

from sqlinfer.models.inspect import Graph
from sqlinfer.models.signature import Signature, Tensor
from sqlinfer.runtime.trial import made_up
from sqlinfer.types import DTYPES, arrow_type, is_list

__all__ = ["LENGTHS", "stand_ins", "stand_ins_size", "synthetic_rows"]

_ROWS = 6
# Lengths of free axes. The first show the strides of convolutions; then what short texts take, and what sound needs.
LENGTHS = ((96, 160), (24, 40), (3, 4), (224, 256), (512, 1024), (8000, 16000))


def stand_ins(graph: Graph, rows: int, length: int) -> dict[str, np.ndarray]:
    """Rows that differ, as the graph takes them; their free axes have one ``length``. Always the same rows."""
    random = np.random.default_rng(0)
    return {tensor.name: _stand_in(tensor, rows, length, random) for tensor in graph.inputs}


def stand_ins_size(graph: Graph, rows: int, length: int) -> int:
    """How many values that would be: a file may declare any shape."""
    return sum(math.prod(_shape(tensor, rows, length)) for tensor in graph.inputs)


def _stand_in(tensor: Tensor, rows: int, free: int, random: np.random.Generator) -> np.ndarray:
    shape = _shape(tensor, rows, free)
    element = DTYPES[tensor.dtype]
    if element.is_string:
        return random.choice(np.array(["a", "b"], dtype=object), shape)
    if element.is_float:
        return random.random(shape, np.float32).astype(element.numpy, copy=False)
    return random.integers(0, 2, shape, np.uint8).astype(element.numpy, copy=False)


def _shape(tensor: Tensor, rows: int, free: int) -> tuple[int, ...]:
    return (rows, *(free if axis is None else axis for axis in tensor.shape[1:]))


def synthetic_rows(signature: Signature, lengths: tuple[int, int] = LENGTHS[0], rows: int = _ROWS) -> pa.Table:
    """Rows to prove a file with when nobody gave any: small numbers, and the texts a and b. Always the same rows;
    their free axes have the two ``lengths`` in turn."""
    random = np.random.default_rng(0)
    columns = {}
    for feature in signature.features:
        if feature.prepare is not None:
            columns[feature.name] = made_up(feature.prepare, random)
            continue
        arrow = arrow_type(feature.type)
        columns[feature.name] = pa.array([_value(arrow, random, lengths[i % 2]) for i in range(rows)], arrow)
    return pa.table(columns)


def _value(arrow: pa.DataType, random: np.random.Generator, free: int) -> Any:
    if is_list(arrow):
        size = arrow.list_size if pa.types.is_fixed_size_list(arrow) else free
        return [_value(arrow.value_type, random, free) for _ in range(size)]
    if pa.types.is_floating(arrow):
        return float(np.float32(random.normal()))
    if pa.types.is_boolean(arrow):
        return bool(random.integers(2))
    return int(random.integers(0, 2)) if pa.types.is_integer(arrow) else random.choice(["a", "b"])

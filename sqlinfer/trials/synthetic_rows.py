"""Synthetic rows, to run a model on that came without a sample."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import Any

import numpy as np
import pyarrow as pa

from sqlinfer.graphs.inspect import Graph
from sqlinfer.models.signature import ImagePreparation, Signature, Tensor, TextPreparation
from sqlinfer.trials.texts_and_images import made_up
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
        if isinstance(feature.prepare, (TextPreparation, ImagePreparation)):
            columns[feature.name] = made_up(signature, feature, random)
            continue
        axes = () if feature.column is not None else signature.input(feature.tensor).shape[1:]
        arrow = arrow_type(feature.type)
        values = (_values(arrow, random, [axis or lengths[i % 2] for axis in axes]) for i in range(rows))
        columns[feature.name] = pa.array(values, arrow)
    return pa.table(columns)


def _values(arrow: pa.DataType, random: np.random.Generator, shape: Sequence[int]) -> Any:
    while is_list(arrow):
        arrow = arrow.value_type
    if pa.types.is_floating(arrow):
        values: np.ndarray = np.asarray(random.normal(size=shape), np.float32)
    elif pa.types.is_integer(arrow) or pa.types.is_boolean(arrow):
        values = np.asarray(random.integers(0, 2, shape), bool if pa.types.is_boolean(arrow) else np.int64)
    else:
        values = np.asarray(random.choice(["a", "b"], shape))
    return values.tolist()

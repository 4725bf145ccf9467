"""Lists, arrays and bytes in a cell → tensors of equal shape."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
import pyarrow as pa

from sqlinfer import types
from sqlinfer.errors import FeatureCount
from sqlinfer.models.signature import Signature, Tensor

__all__ = ["Cells", "cells", "rows_with_null", "same_shape"]

# Values of a row that are copied as one: a place for each would take up to eight times their memory.
_WIDE = 1024


@dataclass(frozen=True, slots=True)
class Cells:
    """The cells of a column, laid flat: all values, how many belong to each row, and each row's shape [rows, depth]."""

    values: np.ndarray
    lengths: np.ndarray
    shapes: np.ndarray


def cells(array: pa.Array) -> tuple[pa.Array, np.ndarray, np.ndarray]:
    """An array of (nested) lists without NULL rows → its leaves, leaves per row, and each row's shape [rows, depth].

    Rows whose inner lists differ in length among themselves have no shape: FeatureCount.
    """
    rows = len(array)
    if types.is_bytes(array.type):
        offsets = np.frombuffer(array.cast(pa.large_binary()).buffers()[1], np.int64)
        array = array.cast(pa.large_binary())
        offsets = offsets[array.offset : array.offset + rows + 1]
        content = array.buffers()[2]
        leaves = pa.array(
            np.frombuffer(content, np.uint8)[offsets[0] : offsets[-1]] if content else np.empty(0, np.uint8)
        )
        lengths = np.diff(offsets)
        return leaves, lengths, lengths[:, None]
    counts = np.ones(rows, np.int64)  # lists of the current level in each row
    shapes = []
    while types.is_list(array.type):
        lengths = _list_lengths(array)
        array = array.flatten()
        starts = np.concatenate([[0], np.cumsum(counts)])
        totals = np.concatenate([[0], np.cumsum(lengths)])
        per_row = totals[starts[1:]] - totals[starts[:-1]]
        size = np.divide(per_row, counts, out=np.zeros(rows), where=counts > 0).astype(np.int64)
        if (np.repeat(size, counts) != lengths).any():
            raise FeatureCount("a row holds lists of different lengths; a tensor needs equal ones")
        shapes.append(size)
        counts = per_row
    return array, counts, np.stack(shapes, axis=1)


def rows_with_null(array: pa.Array) -> np.ndarray | None:
    """Which rows are NULL or hold a NULL at any depth; None when none does."""
    holed = ~np.asarray(array.is_valid(), bool) if array.null_count else np.zeros(len(array), bool)
    if types.is_list(array.type):
        inner = rows_with_null(array.flatten())
        if inner is not None:
            lengths = np.where(holed, 0, _list_lengths(array))
            rows = np.repeat(np.arange(len(array)), lengths)
            holed[rows[inner]] = True
    return holed if holed.any() else None


def _list_lengths(array: pa.Array) -> np.ndarray:
    if pa.types.is_fixed_size_list(array.type):
        return np.full(len(array), array.type.list_size, np.int64)
    return np.asarray(array.value_lengths().fill_null(0), np.int64)


def same_shape(
    signature: Signature, ragged: dict[str, Cells], count: int
) -> Iterator[tuple[np.ndarray | None, dict[str, np.ndarray]]]:
    """Rows of equal shape in all their cells, with their tensors; None for the rows when all are equal."""
    shapes = {name: _tensor_shapes(signature.input(name), cell, count) for name, cell in ragged.items()}
    together = np.concatenate(list(shapes.values()), axis=1)
    distinct, member, counts = np.unique(together, axis=0, return_inverse=True, return_counts=True)
    if not count:
        return
    if len(distinct) == 1:
        yield None, {name: cell.values.reshape(count, *shapes[name][0]) for name, cell in ragged.items()}
        return
    starts = {name: np.cumsum(cell.lengths) - cell.lengths for name, cell in ragged.items()}
    for rows in np.split(np.argsort(member.ravel(), kind="stable"), np.cumsum(counts)[:-1]):
        gathered = {name: _gather(cell, starts[name][rows], rows) for name, cell in ragged.items()}
        yield rows, {name: values.reshape(len(rows), *shapes[name][rows[0]]) for name, values in gathered.items()}


def _gather(cell: Cells, starts: np.ndarray, rows: np.ndarray) -> np.ndarray:
    width = int(cell.lengths[rows[0]])
    if width >= _WIDE:
        return np.concatenate([cell.values[start : start + width] for start in starts])
    picked: np.ndarray = cell.values[(starts[:, None] + np.arange(width)).ravel()]
    return picked


def _tensor_shapes(tensor: Tensor, cell: Cells, count: int) -> np.ndarray:
    """Each row's inner shape: as it is nested, or, for a flat list, as the tensor's axes say."""
    axes = tensor.shape[1:]
    shapes = cell.shapes
    if shapes.shape[1] != len(axes):
        fixed = int(np.prod([axis for axis in axes if axis is not None], dtype=np.int64))
        free = sum(axis is None for axis in axes)
        wrong = np.flatnonzero(cell.lengths % fixed != 0 if free else cell.lengths != fixed)
        if free > 1 or wrong.size:
            row = int(wrong[0]) if wrong.size else 0
            raise FeatureCount(
                f"a row has {int(cell.lengths[row])} values, which do not fill a tensor of shape {_text(axes)}"
            )
        columns = [cell.lengths // fixed if axis is None else np.full(count, axis) for axis in axes]
        return np.stack(columns, axis=1).astype(np.int64)
    shapes = _behind_nothing(shapes, axes)
    for i, axis in enumerate(axes):
        wrong = np.flatnonzero(shapes[:, i] != axis) if axis is not None else np.empty(0, np.int64)
        if wrong.size:
            raise FeatureCount(f"a row has the shape {shapes[wrong[0]].tolist()}, the model takes {_text(axes)}")
    return shapes


def _behind_nothing(shapes: np.ndarray, axes: tuple[int | None, ...]) -> np.ndarray:
    """The inner sizes of an empty list are unknown: take those of the model's axes."""
    empty = np.zeros(len(shapes), bool)
    shapes = shapes.copy() if (shapes == 0).any() else shapes
    for i, axis in enumerate(axes):
        if axis is not None and empty.any():
            shapes[empty, i] = axis
        empty |= shapes[:, i] == 0
    return shapes


def _text(axes: tuple[int | None, ...]) -> str:
    return "[" + ", ".join("any" if axis is None else str(axis) for axis in axes) + "]"

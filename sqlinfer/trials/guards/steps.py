"""Where a model's answer jumps between two rows of numbers, found by dividing the way ever finer: the thresholds of
trees that stand behind other steps. On the very place of a jump all ways to compute it are equally right, so the rows
are a little beside."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from functools import partial
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from sqlinfer import types
from sqlinfer.models.compare import answer_differs, typical_size
from sqlinfer.models.sample import Sample
from sqlinfer.trials.guards.rows import LARGEST_WHOLE

__all__ = ["rows_at_steps"]

_PAIRS = 6
# A question costs a framework much the same for one row as for many.
_BETWEEN = np.arange(1, 8)[:, None] / 8
_ROUNDS = 13
# Relative to the way between the two rows. Whole numbers may be as near to a jump as they are to one another, which may
# be less than singles tell apart; what a kernel rounds is not tried.
_NEAREST, _FARTHEST, _OF_FRACTIONS = 1e-9, 1e-3, 1e-5


def rows_at_steps(
    sample: Sample, answers: Callable[[pa.Table], Mapping[str, Sequence[Any]]], tolerance: float
) -> list[tuple[Any, ...]]:
    """Rows on both sides of jumps, with their numbers as doubles; those in columns of singles stay as they are."""
    table = _doubles(sample.table.drop_null())
    numbers = [i for i, column in enumerate(table.columns) if pa.types.is_float64(column.type)]
    if not numbers or len(table) < 2:
        return []
    places = np.linspace(0, len(table) - 1, min(2 * _PAIRS, len(table) // 2 * 2)).astype(np.int64)
    left, right = table.take(pa.array(places[: len(places) // 2])), table.take(pa.array(places[len(places) // 2 :]))
    for i in range(table.num_columns):  # what is no number is that of the left row
        if i not in numbers:
            right = right.set_column(i, table.schema.field(i), left.column(i))
    with suppress(Exception):  # a model that refuses such rows has none
        typical = typical_size(_telling(answers(table.slice(0, 50))))
        return _closed_in(left, right, numbers, answers, partial(_differ, tolerance=tolerance, typical=typical))
    return []


def _closed_in(
    left: pa.Table,
    right: pa.Table,
    numbers: Sequence[int],
    answers: Callable[[pa.Table], Mapping[str, Sequence[Any]]],
    differ: Callable[[Sequence[Any], Sequence[Any]], np.ndarray],
) -> list[tuple[Any, ...]]:
    says_left, says_right = _telling(answers(left)), _telling(answers(right))
    first, last = (np.array([np.asarray(side.column(i)) for i in numbers]) for side in (left, right))
    beside = np.array([_beside(a, b) for a, b in zip(first.T, last.T, strict=True)])
    low, high = np.zeros(len(left)), np.ones(len(left))

    def at(shares: np.ndarray) -> pa.Table:
        """For each row of shares a row between each pair."""
        values = first[:, None] + (last - first)[:, None] * shares
        return _with(pa.concat_tables([left] * len(shares)), numbers, values.reshape(len(numbers), -1))

    for _ in range(_ROUNDS):
        if not differ(says_left, says_right).any():
            return []
        shares = low + (high - low) * _BETWEEN
        between = _telling(answers(at(shares)))
        says = [says_left, *(between[i : i + len(left)] for i in range(0, len(between), len(left))), says_right]
        section = np.argmax([differ(a, b) for a, b in pairwise(says)], axis=0)  # the first in which it jumps
        edges = np.vstack([low, shares, high])
        pairs = range(len(left))
        low, high = edges[section, pairs], edges[section + 1, pairs]
        says_left = [says[s][i] for i, s in enumerate(section)]
        says_right = [says[s + 1][i] for i, s in enumerate(section)]
    jumps = differ(says_left, says_right)
    sides = (at((low - beside)[None]), at((high + beside)[None]))
    rows = (zip(*(column.to_pylist() for column in side.columns), strict=True) for side in sides)
    return [row for side in rows for row, jump in zip(side, jumps, strict=True) if jump]


def _beside(first: np.ndarray, last: np.ndarray) -> float:
    """How far from a jump on the way between two rows their kind of numbers may be."""
    way = np.abs(last - first)
    is_whole = (first % 1 == 0) & (last % 1 == 0) & (way > 0)
    nearest = min((0.25 / way[is_whole]).tolist(), default=1.0)
    return float(np.clip(min(nearest, 1.0 if is_whole.all() else _OF_FRACTIONS), _NEAREST, _FARTHEST))


def _differ(one: Sequence[Any], other: Sequence[Any], *, tolerance: float, typical: float) -> np.ndarray:
    return np.array([answer_differs(a, b, tolerance, typical) for a, b in zip(one, other, strict=True)], bool)


def _telling(answers: Mapping[str, Any]) -> list[Any]:
    """Scores jump where trees split; labels do so where any model draws a line."""
    given = list(answers.get("predict_proba", answers["predict"]))
    if given and isinstance(np.asarray(given[0]).item() if np.ndim(given[0]) == 0 else 0.0, (str, bool, int)):
        raise ValueError("labels alone")
    return given


def _doubles(table: pa.Table) -> pa.Table:
    for i, column in enumerate(table.columns):
        other = pa.types.is_boolean(column.type) or pa.types.is_float32(column.type) or _is_blurred(column)
        if types.is_numeric(column.type) and not other:
            table = table.set_column(i, table.column_names[i], column.cast(pa.float64(), safe=False))
    return table.combine_chunks()


def _is_blurred(column: pa.ChunkedArray) -> bool:
    """Whether doubles do not tell its integers apart."""
    return pa.types.is_integer(column.type) and any(abs(x) > LARGEST_WHOLE for x in column.drop_null().to_pylist())


def _with(table: pa.Table, numbers: Sequence[int], values: np.ndarray) -> pa.Table:
    for i, column in zip(numbers, values, strict=True):
        table = table.set_column(i, table.column_names[i], pa.array(column))
    return table

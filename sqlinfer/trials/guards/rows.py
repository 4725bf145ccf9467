"""Synthetic rows: rows of the sample with other values in one feature, in two or in all, such as NaN, 0, the model's
thresholds, unseen categories. The same sample and graph give the same rows."""

from __future__ import annotations

import math
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from decimal import Decimal
from itertools import groupby, pairwise, zip_longest
from typing import Any

import numpy as np
import pyarrow as pa

from sqlinfer import types
from sqlinfer.graphs.splits import Splits
from sqlinfer.models.sample import Sample

__all__ = ["LARGEST_WHOLE", "Batch", "SyntheticRow", "is_number", "made_rows"]

_LARGEST_SINGLE = 3.4028234663852886e38
# Up to here a double tells all integers apart.
LARGEST_WHOLE = 2**53
_LARGEST_INTEGER = 2.0**64
_BASES = 3
_MOST_FEATURES = 48
_MOST_THRESHOLDS = 6
_MOST_MIXTURES = 20_000
_MOST_CATEGORIES = 200
_LONG = 10_000
_NONE: Mapping[str, Sequence[bytes]] = {}
_TEXTS = (
    "", "zq unseen", " ", "\u00a0", "\t", "caf\u00e9", "cafe\u0301", "Stra\u00dfe", "\u0130stanbul",
    "\u041f\u0440\u0438\u0432\u0435\u0442", "\u6771\u4eac", "\U0001f600", "12", "1.0", "nan", "None", "true",
    "a-b_c d, e!",
)  # fmt: skip


@dataclass(frozen=True, slots=True)
class SyntheticRow:
    """One row: its values by column, and in which columns they are made up."""

    values: tuple[Any, ...]
    changed: tuple[int, ...]

    @property
    def has_null(self) -> bool:
        return any(value is None for value in self.values)


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows whose columns have the same types, so that no row changes how another is read.

    Where these are not the types of the sample, a row of the sample is among them: who refuses that (``changed`` is
    empty) refuses the types, and says nothing of the other rows.
    ``parts``: how many rows each, one after the other, are odd in the same way: what a model refuses lies together.
    """

    table: pa.Table
    rows: list[SyntheticRow]
    parts: list[int]


@dataclass(frozen=True, slots=True)
class _Odd:
    """A value, and the type of the column that it stands in."""

    value: Any
    type: pa.DataType


def made_rows(
    sample: Sample,
    splits: Splits,
    count: int,
    nulls: Collection[str],
    more: Sequence[tuple[Any, ...]] = (),
    *,
    typed: bool = False,
    images: Mapping[str, Sequence[bytes]] = _NONE,
) -> list[Batch]:
    """At most ``count`` rows. ``nulls``: the features that are NULL in some. ``more``: the rows to begin with, of
    doubles. ``typed``: some in columns of other types. ``images``: by feature that takes them, files."""
    table = sample.table
    odd = [_odd_values(table.column(i), name, splits, name in nulls) for i, name in enumerate(table.column_names)]
    for i, name in enumerate(table.column_names):
        odd[i] += [_Odd(file, table.column(i).type) for file in images.get(name, ())]
    bases = _bases(table)
    drawn: dict[tuple[Any, ...], tuple[SyntheticRow, tuple[pa.DataType, ...]]] = {}
    types_ = tuple(column.type for column in table.columns)
    wide = tuple(_widened(arrow) for arrow in types_)

    def add(row: SyntheticRow, given: tuple[pa.DataType, ...]) -> None:
        if given != types_:
            for base in bases if given == wide else bases[:1]:
                if not any(isinstance(value, int) and abs(value) > LARGEST_WHOLE for value in base):
                    _add(drawn, SyntheticRow(base, ()), given)
        _add(drawn, row, given)

    for i, one in _typed(table) if typed else ():
        row = SyntheticRow((*bases[0][:i], one.value, *bases[0][i + 1 :]), (i,))
        _add(drawn, row, (*types_[:i], one.type, *types_[i + 1 :]))
    for values in more:
        add(SyntheticRow(values, tuple(range(len(values)))), wide)
    for changes in _changes(odd):
        if len(drawn) >= count:
            break
        base = bases[len(drawn) % len(bases)]
        made, given = list(base), list(types_)
        for i, one in changes:
            made[i], given[i] = one.value, one.type
        add(SyntheticRow(tuple(made), tuple(i for i, _ in changes)), tuple(given))
    return _batches(table.column_names, list(drawn.values())[:count])


def _typed(table: pa.Table) -> Iterator[tuple[int, _Odd]]:
    """What the columns may also be: HUGEINT, DECIMAL, a small integer, BOOLEAN, ENUM."""
    for i in _spread(range(table.num_columns), _MOST_FEATURES):
        column = table.column(i)
        if types.is_text(column.type) and len(known := column.drop_null()):
            yield i, _Odd(known[0].as_py(), pa.dictionary(pa.int32(), pa.string()))
        elif types.is_numeric(column.type):
            yield i, _Odd(1, pa.decimal128(38, 0))
            yield i, _Odd(2, pa.decimal128(12, 3))
            yield i, _Odd(3, pa.uint8())
            yield i, _Odd(True, pa.bool_())
            if not pa.types.is_integer(column.type):
                yield i, _Odd(0.125, pa.decimal128(12, 3))


def _add(drawn: dict[tuple[Any, ...], Any], row: SyntheticRow, given: tuple[pa.DataType, ...]) -> None:
    key = (tuple(repr(value) for value in row.values), tuple(map(str, given)))
    drawn.setdefault(key, (row, given))


def _changes(odd: Sequence[Sequence[_Odd]]) -> Iterator[list[tuple[int, _Odd]]]:
    """All features at once; then each alone, by turns; then pairs, of which some come early; then mixtures."""
    yield from _together(odd)
    chosen = _spread(range(len(odd)), _MOST_FEATURES)
    levels = zip_longest(*(odd[i] for i in chosen))
    pairs = _pairs(odd, chosen)
    for level in levels:
        yield from ([(i, one)] for i, one in zip(chosen, level, strict=True) if one is not None)
        if len(chosen) > 1:
            yield from (pair for pair, _ in zip(pairs, range(max(1, len(chosen) // 3)), strict=False))
    yield from pairs
    if len(chosen) > 1:
        yield from _mixtures(odd, chosen)


def _together(odd: Sequence[Sequence[_Odd]]) -> Iterator[list[tuple[int, _Odd]]]:
    def all_with(wanted: Any) -> list[tuple[int, _Odd]]:
        found = ((i, next((one for one in values if wanted(one.value)), None)) for i, values in enumerate(odd))
        return [(i, one) for i, one in found if one is not None]

    for wanted in (
        lambda x: is_number(x) and x == 0 and math.copysign(1, x) > 0,
        lambda x: x is None,
        lambda x: is_number(x) and math.isnan(x),
        lambda x: x == "",
        lambda x: isinstance(x, str) and x.startswith("zq"),
        lambda x: is_number(x) and 1e5 < x < 1e15,
    ):
        changes = all_with(wanted)
        if len(changes) > 1:
            yield changes


def _pairs(odd: Sequence[Sequence[_Odd]], chosen: Sequence[int]) -> Iterator[list[tuple[int, _Odd]]]:
    beside = [(a, b) for a, b in zip(chosen, [*chosen[1:], *chosen[:1]], strict=True) if a != b]
    for k in range(60):
        for a, b in beside:
            if odd[a] and odd[b]:
                yield [(a, odd[a][k % len(odd[a])]), (b, odd[b][(5 * k + k // 7) % len(odd[b])])]


def _mixtures(odd: Sequence[Sequence[_Odd]], chosen: Sequence[int]) -> Iterator[list[tuple[int, _Odd]]]:
    """Any values in two features and more, drawn by the same numbers each time."""
    random = np.random.default_rng(0)
    for _ in range(_MOST_MIXTURES):
        size = int(random.integers(2, len(chosen) + 1))
        places = sorted(int(i) for i in random.choice(chosen, size, replace=False))
        yield [(i, odd[i][int(random.integers(len(odd[i])))]) for i in places if odd[i]]


def _odd_values(column: pa.ChunkedArray, name: str, splits: Splits, nulls: bool) -> list[_Odd]:
    """The most telling first."""
    arrow = column.type
    found = [_Odd(None, arrow)] if nulls else []
    if pa.types.is_boolean(arrow):
        return [*found, _Odd(True, arrow), _Odd(False, arrow), *(_Odd(whole, pa.int64()) for whole in (1, 0))]
    if types.is_text(arrow):
        return [*found, *(_Odd(text, arrow) for text in _odd_texts(column, splits))]
    if types.is_list(arrow):
        return [*found, *(_Odd(value, _of_any_length(arrow)) for value in _odd_lists(column))]
    if not types.is_numeric(arrow):
        return found
    known = _numbers(column)
    thresholds = [x for t in _spread(splits.thresholds.get(name, []), _MOST_THRESHOLDS) for x in _around(t)]
    if pa.types.is_integer(arrow):
        wholes = [_Odd(x, arrow) for x in _odd_wholes(known, splits) if _holds(arrow, x)]
        odd = [*_odd_floats(known, whole=True), *thresholds]
        if max(abs(known.min()), abs(known.max())) > LARGEST_WHOLE:  # of such integers a double holds several
            odd = [x for x in odd if not LARGEST_WHOLE < abs(x) < _LARGEST_INTEGER]
        floats = [_Odd(x, pa.float64()) for x in odd]
        return [*found, *_by_turns(wholes, floats)]
    doubles = [_Odd(x, pa.float64()) for x in [*_odd_floats(known, whole=False), *thresholds]]
    if not pa.types.is_float32(arrow):
        return [*found, *doubles]
    held = [one.value for one in doubles if not _LARGEST_SINGLE < abs(one.value) < math.inf]
    singles = [_Odd(float(np.float32(value)), arrow) for value in held]
    return [*found, *_by_turns(singles, [one for one in doubles if abs(one.value) > _LARGEST_SINGLE])]


def _odd_floats(known: np.ndarray, *, whole: bool) -> list[float]:
    low, high, middle = float(known.min()), float(known.max()), float(known[len(known) // 2])
    inner = [middle + 0.5, middle + 0.1] if whole else [(low + high) / 2, math.nextafter(high, math.inf)]
    return [
        math.nan, math.inf, -math.inf, 0.0, *inner, high + 1, low - 1, 3.5e38, -3.5e38, -0.0, 1e300, -1e300,
        _LARGEST_SINGLE, -_LARGEST_SINGLE, 2.0**24 + 1, 2.0**53 + 2, -(2.0**24) - 1, 5e-324, 1e-310,
        2 * high + 1, 2 * low - 1, 10 * high + 1, 1e6 + 0.1, 1e9, -1e6, 1e20, -1e20, low + 0.25, -5e-324,
    ]  # fmt: skip


def _odd_wholes(known: np.ndarray, splits: Splits) -> list[int]:
    low, high = int(known.min()), int(known.max())
    there = set(known.astype(np.int64).tolist()) if high - low < 10_000 else set()
    gaps = _spread([x for x in range(low, high) if x not in there], 4) if there else [(low + high) // 2]
    near = [x for x in splits.wholes if x not in there][:_MOST_CATEGORIES]
    return [
        0, high + 1, low - 1, 2**24 + 1, 2**53 + 1, *gaps, -(2**24) - 1, -(2**53) - 1, *near, 2 * high + 1,
        10 * high + 1, 10**6, 10**9, 2**62 + 1,
    ]  # fmt: skip


@np.errstate(over="ignore")
def _around(threshold: float) -> list[float]:
    """The threshold, and what is nearest to it in double and in single precision."""
    single = np.float32(threshold)
    beside = [float(np.nextafter(single, np.float32(x))) for x in (-np.inf, np.inf)]
    return [threshold, math.nextafter(threshold, -math.inf), math.nextafter(threshold, math.inf), *beside]


def _odd_texts(column: pa.ChunkedArray, splits: Splits) -> list[str]:
    known = sorted(set(column.drop_null().to_pylist()), key=lambda text: (len(text), text))
    some = _spread(known, 4)
    cased = [
        changed for text in some for changed in (text.upper(), text.lower(), text.swapcase(), f"{text} ", f" {text}")
    ]
    joined = [f"{a}\u00a0{b}" for a, b in pairwise(some)]
    accented = [text.replace("e", "\u00e9").replace("a", "a\u0301") for text in some]
    longest = max((len(text) for text in known), default=1)
    long = ["a" * _LONG, ("word " * _LONG)[: 2 * longest + 1]]
    categories = [text for text in splits.texts[:_MOST_CATEGORIES] if text not in known]
    odd = [*_TEXTS, *cased, *long, *accented, *joined]
    return list(dict.fromkeys([*odd[:8], *categories[:8], *odd[8:], *known[:_MOST_CATEGORIES], *categories[8:]]))


def _odd_lists(column: pa.ChunkedArray) -> list[Any]:
    """Lists of the shape of the first one, and one that is too short, one that is empty."""
    whole = column.drop_null()
    if not len(whole):
        return []
    first = whole[0].as_py()
    values = np.array(first, object)
    leaves = values.ravel().tolist()
    odd: list[Any] = [[]]
    if leaves and values.ndim == 1 and isinstance(leaves[0], float):
        odd = [first[:-1], [], [None, *first[1:]]]
    return [*_odd_leaves(leaves, values.shape), *odd]


def _odd_leaves(leaves: list[Any], shape: Sequence[int]) -> list[Any]:
    if not leaves or not is_number(leaves[0]):
        return []
    changed: list[list[Any]] = [[type(x)(0) for x in leaves]]
    if isinstance(leaves[0], float):
        changed += [[x, *leaves[1:]] for x in (math.nan, math.inf)]
        changed += [[*leaves[:-1], -math.inf], [x * 1e6 for x in leaves], [-x for x in leaves]]
    changed += [leaves[::-1], [leaves[0]] * len(leaves)]
    return [np.array(one, object).reshape(shape).tolist() for one in changed]


def _of_any_length(arrow: pa.DataType) -> pa.DataType:
    return pa.list_(_of_any_length(arrow.value_type)) if types.is_list(arrow) else arrow


def _numbers(column: pa.ChunkedArray) -> np.ndarray:
    values = np.asarray(column.drop_null().combine_chunks().cast(pa.float64(), safe=False))
    values = np.sort(values[np.isfinite(values)])
    return values if len(values) else np.zeros(1)


def _bases(table: pa.Table) -> list[tuple[Any, ...]]:
    """Rows of the sample without NULLs, if there are any."""
    whole = table.drop_null()
    whole = whole if len(whole) else table
    places = np.linspace(0, len(whole) - 1, min(_BASES, len(whole))).astype(np.int64)
    columns = [column.take(pa.array(places)).to_pylist() for column in whole.columns]
    return list(zip(*columns, strict=True))


def _batches(names: list[str], drawn: Sequence[tuple[SyntheticRow, tuple[pa.DataType, ...]]]) -> list[Batch]:
    """NULL makes another column of integers or Booleans in most libraries, so it has a batch of its own."""
    groups: dict[tuple[Any, ...], list[tuple[SyntheticRow, tuple[pa.DataType, ...]]]] = {}
    for row, given in drawn:
        holed = tuple(
            value is None and not types.is_text(arrow) and not pa.types.is_floating(arrow)
            for value, arrow in zip(row.values, given, strict=True)
        )
        groups.setdefault((tuple(map(str, given)), holed), []).append((row, given))
    batches = []
    for members in groups.values():
        rows, given = sorted((row for row, _ in members), key=_by_oddness), members[0][1]
        columns = zip(*(row.values for row in rows), strict=True)
        arrays = [_column(values, arrow) for values, arrow in zip(columns, given, strict=True)]
        parts = [len(list(alike)) for _, alike in groupby(rows, _oddness)]
        batches.append(Batch(pa.Table.from_arrays(arrays, names=names), rows, parts))
    return batches


def _column(values: Sequence[Any], arrow: pa.DataType) -> pa.Array:
    if pa.types.is_floating(arrow):  # Arrow takes no integer that is rounded
        values = [float(value) if isinstance(value, (int, Decimal)) else value for value in values]
    if pa.types.is_decimal(arrow):
        values = [value if value is None or isinstance(value, Decimal) else Decimal(repr(value)) for value in values]
    if pa.types.is_integer(arrow):  # and no Boolean for one
        values = [None if value is None else int(value) for value in values]
    return pa.array(list(values), arrow)


def _by_oddness(row: SyntheticRow) -> tuple[Any, ...]:
    return (*_oddness(row), len(row.changed) != 1)


def _oddness(row: SyntheticRow) -> tuple[bool, ...]:
    values = [row.values[i] for i in row.changed]
    numbers = [abs(value) for value in values if is_number(value)]
    return (
        None in values,
        any(math.isnan(x) for x in numbers),
        math.inf in numbers,
        any(_LARGEST_SINGLE < x < math.inf for x in numbers),
        any(x % 1 > 0 for x in numbers if x < math.inf),
        any(isinstance(value, str) and not value.strip() for value in values),
        any(isinstance(value, str) for value in values),
    )


def _widened(arrow: pa.DataType) -> pa.DataType:
    return pa.float64() if pa.types.is_integer(arrow) or pa.types.is_float32(arrow) else arrow


def _holds(arrow: pa.DataType, whole: int) -> bool:
    limits = np.iinfo(arrow.to_pandas_dtype())
    return bool(limits.min <= whole <= limits.max)


def is_number(value: Any) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool)


def _spread(values: Sequence[Any], most: int) -> list[Any]:
    if len(values) <= most:
        return list(values)
    return [values[int(i)] for i in np.linspace(0, len(values) - 1, most)]


def _by_turns(*lists: Sequence[_Odd]) -> list[_Odd]:
    return [one for level in zip_longest(*lists) for one in level if one is not None]

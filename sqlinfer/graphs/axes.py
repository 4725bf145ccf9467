"""Which axis of each input counts the rows: as its user says, else as the declared shapes tell."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice, product
from typing import Any

from sqlinfer.errors import InvalidModel

__all__ = ["Layout", "RowAxes", "fixed_rows", "row_axes"]

# By input, the axis of its rows; None where all rows of a run share the value.
RowAxes = Mapping[str, int | None]
Shapes = Mapping[str, Sequence[int | str]]
# A file may declare any number of inputs with any number of equal axes.
_MOST_CHOICES = 64


@dataclass(frozen=True, slots=True)
class Layout:
    """What a file leaves open about rows, and its user says.

    ``axes``: by input, the axis that counts the rows, or None where all rows of a run share the value; by output, the
    axis that counts them where several are as long.
    ``constants``: by input, a value that never changes; the input is no feature then.
    ``row_by_row``: every row is a run of its own, and all outputs of the run are that row's.
    """

    axes: Mapping[str, int | None] = field(default_factory=dict)
    constants: Mapping[str, Any] = field(default_factory=dict)
    row_by_row: bool = False


def row_axes(shapes: Shapes, layout: Layout, origin: object) -> tuple[RowAxes, ...]:
    """The axes that may count the rows, the likeliest first. A free first axis is one; where it is fixed, the other
    inputs tell, and lengths that are equal by chance leave a choice."""
    free_first = [shape[0] for shape in shapes.values() if shape and not isinstance(shape[0], int)]
    symbols = {symbol for symbol in free_first if symbol}
    axes: dict[str, int | None] = {}
    fixed: dict[str, Sequence[int | str]] = {}
    for name, shape in shapes.items():
        if name in layout.axes:
            axes[name] = _checked(layout.axes[name], name, shape, origin)
        elif layout.row_by_row:
            axes[name] = 0 if shape and (shape[0] == 1 or _means_batch(shape[0])) else None
        elif not shape:
            axes[name] = None
        elif batch := [i for i, dim in enumerate(shape) if isinstance(dim, str) and "batch" in dim.lower()]:
            axes[name] = batch[0]
        elif not isinstance(shape[0], int):
            axes[name] = 0
        elif free_first:
            named = [i for i, dim in enumerate(shape) if dim in symbols]
            free = [i for i, dim in enumerate(shape) if not isinstance(dim, int)]
            axes[name] = named[0] if named else free[0] if len(free) == 1 else None
        else:
            fixed[name] = shape
    rows = fixed_rows(shapes, axes)
    choices = tuple({**axes, **choice} for choice in islice(_choices(fixed, rows), _MOST_CHOICES))
    if not layout.row_by_row and all(axis is None for axis in choices[0].values()):
        raise InvalidModel(
            f"{origin} has no batch axis ({_text(shapes)}): export the model with a first axis for the rows, "
            "or register it row by row (--row-by-row, row_by_row=True)"
        )
    return choices


def fixed_rows(shapes: Shapes, axes: RowAxes) -> int | None:
    """How many rows a run takes; None where it takes any number."""
    for name, axis in axes.items():
        if axis is not None and isinstance(rows := shapes[name][axis], int):
            return rows
    return None


def _choices(shapes: Shapes, rows: int | None) -> Iterator[RowAxes]:
    """Where inputs of fixed lengths may have their rows: on any axis that is as long as the first of one of them, or
    as ``rows``. A single row is on whichever axis: its values are the same."""
    lengths = [shape[0] for shape in shapes.values()] if rows is None else [rows]
    distinct = list(dict.fromkeys(lengths))
    for i, length in enumerate(distinct):
        places = [_places(shape, length) for shape in shapes.values()]
        if length == 1 and i == 0:
            yield {name: axes[0] for name, axes in zip(shapes, places, strict=True)}
            return
        if length != 1:
            yield from (dict(zip(shapes, choice, strict=True)) for choice in product(*places))
    if not distinct:
        yield {}


def _places(shape: Sequence[int | str], length: int | str) -> list[int | None]:
    return [axis for axis, dim in enumerate(shape) if dim == length] or [None]


def _checked(axis: int | None, name: str, shape: Sequence[Any], origin: object) -> int | None:
    if axis is None or 0 <= axis < len(shape):
        return axis
    raise InvalidModel(f"{origin}: input {name!r} of shape {list(shape)} has no axis {axis}")


def _means_batch(dim: int | str) -> bool:
    return isinstance(dim, str) and (dim.lower() in ("n", "b", "none") or "batch" in dim.lower())


def _text(shapes: Shapes) -> str:
    return "; ".join(f"input {name!r} has the shape {list(shape)}" for name, shape in shapes.items())

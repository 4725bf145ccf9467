"""What flows from step to step: columns of values in the graph, with what scikit-learn knows of each."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np

__all__ = ["OBJECT", "Column", "NeedsIntegers", "Scores", "Table", "Unsupported"]

OBJECT = np.dtype(object)


class Unsupported(Exception):
    """No nodes are known for a step, or for one of its options; in words that name it."""


class NeedsIntegers(Exception):
    """A feature has categories that only integers hold."""

    def __init__(self, feature: int) -> None:
        super().__init__(feature)
        self.feature = feature


@dataclass(frozen=True, slots=True)
class Column:
    """Column ``place`` of the matrix ``value``: of doubles, whatever ``dtype`` scikit-learn has them in; or of texts.

    ``feature``: the number of the feature that it is unchanged, else None. ``whole``: the same as int64, where the
    feature is one whose numbers a double does not hold. ``absent``: what a missing text is to scikit-learn.
    """

    value: str
    place: int
    dtype: np.dtype
    feature: int | None = None
    whole: str | None = None
    absent: object = None

    @property
    def is_text(self) -> bool:
        return self.dtype == OBJECT


@dataclass(frozen=True, slots=True)
class Table:
    """``sparse``: to scikit-learn it is a sparse matrix, whose zeros are not stored. ``frame``: a DataFrame."""

    columns: tuple[Column, ...]
    sparse: bool = False
    frame: bool = False

    @property
    def width(self) -> int:
        return len(self.columns)

    @property
    def dtype(self) -> np.dtype:
        """What the columns are together, as NumPy has it."""
        if any(column.is_text for column in self.columns):
            return OBJECT
        return np.result_type(*(column.dtype for column in self.columns)) if self.columns else np.dtype(np.float64)

    @property
    def single(self) -> bool:
        """Whether scikit-learn computes with it in single precision."""
        return self.dtype == np.float32

    def pick(self, places: Sequence[int]) -> Table:
        return replace(self, columns=tuple(self.columns[place] for place in places))

    @staticmethod
    def joined(tables: Sequence[Table], *, sparse: bool) -> Table:
        """Side by side, as one array: of one type."""
        columns = tuple(column for table in tables for column in table.columns)
        dtype = Table(columns).dtype
        if dtype != OBJECT:
            columns = tuple(replace(column, dtype=dtype) for column in columns)
        return Table(columns, sparse)


@dataclass(frozen=True, slots=True)
class Scores:
    """What a classifier says of each row, [rows, classes]. The label is the class of the highest of the ``scores``, the
    first of equals. ``proba``: as predict_proba() gives it; ``decision``: as decision_function(), one column for two
    classes; None where the estimator has none. ``alike``: the label has the highest of ``proba``, too."""

    scores: str
    proba: str | None = None
    decision: str | None = None
    alike: bool = False

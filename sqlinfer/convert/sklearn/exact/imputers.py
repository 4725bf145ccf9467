"""Missing values: what is put in their place, and where they were."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
from onnx import TensorProto

from sqlinfer.convert.missing import MISSING
from sqlinfer.convert.sklearn.exact.dispatch import transformer
from sqlinfer.convert.sklearn.exact.table import Column, Table, Unsupported
from sqlinfer.convert.sklearn.exact.writer import Writer, is_missing, name_of

__all__: list[str] = []


@transformer("SimpleImputer")
def _imputer(w: Writer, step: Any, x: Table) -> Table:
    kept = [i for i, value in enumerate(step.statistics_) if step.keep_empty_features or not is_missing(value)]
    if all(column.is_text for column in x.columns):
        made = Table(tuple(_imputed_text(w, step, x.columns[i], step.statistics_[i]) for i in kept))
    else:
        made = _imputed_numbers(w, step, x.pick(kept), [step.statistics_[i] for i in kept])
    if not step.add_indicator:
        return made
    marks = _marks(w, step.indicator_, x)
    return Table.joined([made, marks], sparse=x.sparse)


def _imputed_numbers(w: Writer, step: Any, x: Table, fill: list[Any]) -> Table:
    of_nan = is_missing(step.missing_values)
    if isinstance(step.missing_values, str) or any(isinstance(value, str) for value in fill):
        raise Unsupported("a SimpleImputer of texts over numbers")
    value = w.numbers(x, step, nan=of_nan)
    filled = w.number(np.array([fill], np.float64))
    result = w.add("Where", _missing(w, step, value), filled, value)
    dtype = np.float32 if x.single else x.dtype if x.dtype.kind in "biu" else np.float64
    known = w.safety(value).replace("nan", "")
    return w.table(result, x.width, dtype, sparse=x.sparse, safe=f"{known} nan")


def _missing(w: Writer, step: Any, value: str) -> str:
    if is_missing(step.missing_values):
        return w.add("IsNaN", value)
    return w.add("Equal", value, w.number(float(step.missing_values)))


def _imputed_text(w: Writer, step: Any, column: Column, fill: Any) -> Column:
    is_gone = _missing_text(w, step, column)
    if is_missing(fill):
        return column
    value = w.add("Where", is_gone, w.constant(np.array(str(fill), object)), column.value)
    return replace(column, value=value, feature=None)


def _missing_text(w: Writer, step: Any, column: Column) -> str:
    """Whether the text is what the imputer takes for missing: a missing text, or a certain one."""
    gone = step.missing_values
    if is_missing(gone):
        # None is missing to an imputer of None, NaN to one of NaN
        same = (gone is None) == (column.absent is None)
        key = MISSING if same else None
    elif isinstance(gone, str):
        key = gone
        _refuse_missing(w, step, column)
    else:
        raise Unsupported(f"{name_of(step)}(missing_values={gone!r}) over texts")
    code = w.codes(column, [] if key is None else [None if key == MISSING else key], np.ones(int(key is not None)), 0.0)
    return w.add("Cast", code, to=TensorProto.BOOL)


def _refuse_missing(w: Writer, step: Any, column: Column) -> None:
    code = w.codes(column, [None], np.array([1], np.int64), 0)
    w.refuse_any(
        w.add("Equal", code, w.whole(1)),
        f"a text is missing, which {name_of(step)} does not take; write TRY(predict(…)) for NULL in its place",
    )


@transformer("MissingIndicator")
def _indicator(w: Writer, step: Any, x: Table) -> Table:
    if step.features == "missing-only" and step.error_on_new:
        others = [i for i in range(x.width) if i not in set(step.features_)]
        if others:
            w.refuse_any(
                _marks_of(w, step, x.pick(others)),
                "a feature is missing that was not when the MissingIndicator was trained; train it with "
                "error_on_new=False, or write TRY(predict(…)) for NULL in its place",
            )
    return _marks(w, step, x)


def _marks(w: Writer, step: Any, x: Table) -> Table:
    """A column for each feature that is marked: whether it is missing."""
    features = [int(i) for i in step.features_]
    if not features:
        return Table(())
    marks = w.add("Cast", _marks_of(w, step, x.pick(features)), to=TensorProto.DOUBLE)
    return w.table(marks, len(features), np.bool_, safe="nan inf single")


def _marks_of(w: Writer, step: Any, x: Table) -> str:
    if all(column.is_text for column in x.columns):
        marks = [_missing_text(w, step, column) for column in x.columns]
        return marks[0] if len(marks) == 1 else w.add("Concat", *marks, axis=1)
    return _missing(w, step, w.numbers(x, step, nan=is_missing(step.missing_values)))

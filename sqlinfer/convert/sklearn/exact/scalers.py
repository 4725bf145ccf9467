"""Steps that make one number of each number."""

from __future__ import annotations

import math
import warnings
from typing import Any

import numpy as np

from sqlinfer.convert.sklearn.exact.dispatch import transformer
from sqlinfer.convert.sklearn.exact.functions import expm1, known, log1p
from sqlinfer.convert.sklearn.exact.table import Table, Unsupported
from sqlinfer.convert.sklearn.exact.writer import Writer, name_of

__all__ = ["affine", "normalized"]

_AT_MOST = {np.float32: 10 * np.finfo(np.float32).eps, np.float64: 10 * np.finfo(np.float64).eps}


def affine(w: Writer, step: Any, x: Table, *changes: tuple[str, Any]) -> Table:
    """Each of the ``changes``, an operator and a number for each column, and the rounding of singles after it."""
    value = w.numbers(x, step, nan=True)
    given = [(operator, np.asarray(n, np.float64).reshape(1, -1)) for operator, n in changes if n is not None]
    if x.single and not x.sparse:
        given = _as_in_singles(step, given, x.width)
    for operator, numbers in given:
        value = w.round(w.add(operator, value, w.number(numbers)), x)
    return w.table(value, x.width, _floating(x), sparse=x.sparse)


_OPERATORS = {"Sub": np.subtract, "Add": np.add, "Mul": np.multiply, "Div": np.divide}


def _as_in_singles(step: Any, changes: list[tuple[str, np.ndarray]], width: int) -> list[tuple[str, np.ndarray]]:
    """What scikit-learn learns is of doubles. Beside singles some versions round it first, others only what comes out:
    the step itself tells which. Raises Unsupported where it does neither."""
    rows = np.random.default_rng(0).normal(size=(200, width)).astype(np.float32)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of features without names
        expected = step.transform(rows)
    rounded = [(operator, numbers.astype(np.float32).astype(np.float64)) for operator, numbers in changes]
    for ways in (changes, rounded):
        made = rows.astype(np.float64)
        for operator, numbers in ways:
            made = _OPERATORS[operator](made, numbers).astype(np.float32).astype(np.float64)
        low, high = getattr(step, "feature_range", (-1.0, 1.0)) if getattr(step, "clip", False) else (-np.inf, np.inf)
        if np.array_equal(np.clip(made, low, high), expected):
            return ways
    raise Unsupported(f"a {type(step).__name__} of singles, as this version of scikit-learn computes it")


def _floating(x: Table) -> np.dtype:
    return np.dtype(np.float32 if x.single else np.float64)


@transformer("StandardScaler")
def _standard(w: Writer, step: Any, x: Table) -> Table:
    scale = step.scale_ if step.with_std else None
    if x.sparse:  # there it is multiplied by the reciprocal
        return affine(w, step, x, ("Mul", None if scale is None else 1 / scale))
    return affine(w, step, x, ("Sub", step.mean_ if step.with_mean else None), ("Div", scale))


@transformer("RobustScaler")
def _robust(w: Writer, step: Any, x: Table) -> Table:
    scale = step.scale_ if step.with_scaling else None
    if x.sparse:
        return affine(w, step, x, ("Mul", None if scale is None else 1 / scale))
    return affine(w, step, x, ("Sub", step.center_ if step.with_centering else None), ("Div", scale))


@transformer("MaxAbsScaler")
def _max_abs(w: Writer, step: Any, x: Table) -> Table:
    scaled = affine(w, step, x, ("Mul", 1 / step.scale_) if x.sparse else ("Div", step.scale_))
    return _clipped(w, scaled, (-1.0, 1.0)) if getattr(step, "clip", False) else scaled


@transformer("MinMaxScaler")
def _min_max(w: Writer, step: Any, x: Table) -> Table:
    scaled = affine(w, step, x, ("Mul", step.scale_), ("Add", step.min_))
    return _clipped(w, scaled, step.feature_range) if step.clip else scaled


def _clipped(w: Writer, x: Table, ends: tuple[float, float]) -> Table:
    value = w.matrix(x)
    low, high = w.number(ends[0]), w.number(ends[1])
    value = w.add("Where", w.add("Less", value, low), low, value)  # NaN stays
    return w.table(w.add("Where", w.add("Greater", value, high), high, value), x.width, x.dtype, sparse=x.sparse)


@transformer("Normalizer")
def _normalizer(w: Writer, step: Any, x: Table) -> Table:
    value = w.numbers(x, step)
    return w.table(normalized(w, value, step.norm, x), x.width, _floating(x), sparse=x.sparse, safe="nan inf single")


def normalized(w: Writer, value: str, norm: str, x: Table) -> str:
    """Rows of length 1; those of length 0 stay what they are, as do very short ones of a dense matrix."""
    if norm == "l1":
        size = w.total(w.add("Abs", value))
    elif norm == "l2":
        size = w.add("Sqrt", w.total(w.add("Mul", value, value)))
    else:
        size = w.add("ReduceMax", w.add("Abs", value), w.whole([1]), keepdims=1)
    size = w.round(size, x)
    least = 0.0 if x.sparse else _AT_MOST[np.float32 if x.single else np.float64]
    short = w.add("LessOrEqual" if x.sparse else "Less", size, w.number(least))
    return w.round(w.add("Div", value, w.add("Where", short, w.number(1), size)), x)


@transformer("Binarizer")
def _binarizer(w: Writer, step: Any, x: Table) -> Table:
    above = w.add("Greater", w.numbers(x, step), w.bound(step.threshold, x))
    return w.table(w.add("Cast", above, to=11), x.width, x.dtype, sparse=x.sparse, safe="nan inf single")


@transformer("PowerTransformer")
def _power(w: Writer, step: Any, x: Table) -> Table:
    if x.single:
        raise Unsupported("a PowerTransformer of singles")
    value = w.numbers(x, step, nan=True)
    if step.standardize:
        _require_spread(step)
    if step.method == "box-cox":
        w.refuse_any(
            w.add("LessOrEqual", value, w.number(0)),
            "a number is not positive, and box-cox takes none; write TRY(predict(…)) for NULL in its place",
        )
        value = _powers(w, value, step.lambdas_, of_one_more=False)
    else:
        above = w.add("Where", w.add("Less", value, w.number(0)), w.number(0), value)
        below = w.add("Where", w.add("Less", value, w.number(0)), w.add("Neg", value), w.number(0))
        positive = _powers(w, above, step.lambdas_, of_one_more=True)
        negative = w.add("Neg", _powers(w, below, 2 - np.asarray(step.lambdas_), of_one_more=True))
        value = w.add("Where", w.add("Less", value, w.number(0)), negative, positive)
    made = w.table(value, x.width)
    return (
        affine(w, step, made, ("Sub", step._scaler.mean_), ("Div", step._scaler.scale_)) if step.standardize else made
    )


def _require_spread(step: Any) -> None:
    """Where powers of large numbers differ in their last digits only, what is made of them is rounding."""
    mean, scale = np.abs(step._scaler.mean_), np.asarray(step._scaler.scale_)
    flat = np.flatnonzero(mean > 1e7 * scale)
    if len(flat):
        raise Unsupported(
            f"a PowerTransformer whose column {int(flat[0])} is as good as constant once it is transformed; scale that "
            "column before it, or leave it out"
        )


def _powers(w: Writer, value: str, lambdas: Any, *, of_one_more: bool) -> str:
    """(x^λ - 1) / λ, of 1 + x where it says so; where λ is 0, the logarithm."""
    logs = log1p(w, value) if of_one_more else w.add("Log", value)
    lambdas = np.asarray(lambdas, np.float64).reshape(1, -1)
    zero = np.abs(lambdas) < np.finfo(np.float64).eps
    safe = np.where(zero, 1.0, lambdas)
    powers = w.add("Div", expm1(w, w.add("Mul", logs, w.number(safe))), w.number(safe))
    return w.add("Where", w.constant(zero), logs, powers) if zero.any() else powers


@transformer("FunctionTransformer")
def _function(w: Writer, step: Any, x: Table) -> Table:
    if step.kw_args:
        raise Unsupported("a FunctionTransformer with kw_args")
    if step.func is None:
        if step.validate:
            w.numbers(x, step)
        return x
    write = known(step.func)
    if write is None:
        called = getattr(step.func, "__name__", "")
        raise Unsupported(
            f"{name_of(step)} with a function of its own ({called}): compute that column in SQL instead, or use one of "
            "NumPy's log, log1p, log2, log10, exp, expm1, sqrt, square, abs, sign, sin, cos, tan, tanh, floor, ceil"
        )
    kinds = {column.dtype for column in x.columns}
    if any(kind.kind not in "iuf" or kind.itemsize < 4 for kind in kinds):
        raise Unsupported(f"a FunctionTransformer of {x.dtype}")
    if np.dtype(np.float32) in kinds and len(kinds) > 1 and not step.validate:  # a DataFrame is computed by its columns
        return Table.joined([_function(w, step, x.pick([i])) for i in range(x.width)], sparse=x.sparse)
    value = w.numbers(x, step) if step.validate else w.matrix(x)
    if step.func is np.square and any(kind.kind in "iu" for kind in kinds):
        w.refuse_above(value, float(math.isqrt(2**63 - 1)), step, "whose square is above the integers of NumPy")
    return w.table(w.round(write(w, value), x), x.width, _floating(x), sparse=x.sparse)

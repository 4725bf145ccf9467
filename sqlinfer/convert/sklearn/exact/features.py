"""Steps that make other numbers of numbers: bins, powers, projections."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto

from sqlinfer.convert.sklearn.exact.dispatch import transformer
from sqlinfer.convert.sklearn.exact.functions import normal_deviate
from sqlinfer.convert.sklearn.exact.steps import stairs
from sqlinfer.convert.sklearn.exact.table import Table, Unsupported
from sqlinfer.convert.sklearn.exact.writer import Writer

__all__ = ["interpolated"]

# How near to the ends of its range QuantileTransformer cuts shares off, before they become normal deviates.
_BOUND = 1e-7


@transformer("KBinsDiscretizer")
def _bins(w: Writer, step: Any, x: Table) -> Table:
    dtype = np.dtype(step.dtype or (np.float32 if x.single else np.float64))
    value = w.round(w.numbers(x, step, single=dtype == np.float32), dtype == np.float32)  # before it is compared
    trees = []
    for i, edges in enumerate(step.bin_edges_):
        inner = np.asarray(edges, np.float64)[1:-1]
        trees.append(stairs(i, inner, [[float(n)] for n in range(len(inner) + 1)], i))
    codes = w.trees(trees, value, x.width)
    if step.encode == "ordinal":
        return w.table(codes, x.width, dtype, safe="nan inf single")
    parts = []
    for i, count in enumerate(step.n_bins_):
        code = w.add("Cast", w.matrix(w.table(codes, x.width).pick([i])), to=TensorProto.INT64)
        parts.append(w.table(w.one_hot(code, int(count)), int(count), dtype, safe="nan inf single"))
    return Table.joined(parts, sparse=step.encode == "onehot")


@transformer("QuantileTransformer")
def _quantiles(w: Writer, step: Any, x: Table) -> Table:
    if x.sparse or x.single:
        raise Unsupported("a QuantileTransformer of singles, or of a sparse matrix")
    value = w.numbers(x, step, nan=True)
    references = np.asarray(step.references_, np.float64)
    quantiles = np.asarray(step.quantiles_, np.float64)
    parts = []
    for i in range(x.width):
        column = w.matrix(w.table(value, x.width).pick([i]))
        q = quantiles[:, i]
        upward = interpolated(w, column, q, references)
        downward = interpolated(w, w.add("Neg", column), -q[::-1], -references[::-1])
        share = w.add("Mul", w.number(0.5), w.add("Sub", upward, downward))
        share = _ends(w, step, column, q, share)
        parts.append(w.add("Where", w.add("IsNaN", column), column, share))
    result = parts[0] if len(parts) == 1 else w.add("Concat", *parts, axis=1)
    return w.table(result, x.width, safe=w.safety(value) + " inf single")


def _ends(w: Writer, step: Any, column: str, quantiles: np.ndarray, share: str) -> str:
    """0 and 1 at the ends of what was seen; as a normal deviate where that is asked for."""
    first, last = w.number(quantiles[0]), w.number(quantiles[-1])
    if step.output_distribution == "uniform":
        share = w.add("Where", w.add("Equal", column, last), w.number(1), share)
        return w.add("Where", w.add("Equal", column, first), w.number(0), share)
    above = w.add("Greater", w.add("Add", column, w.number(_BOUND)), last)
    below = w.add("Less", w.add("Sub", column, w.number(_BOUND)), first)
    share = w.add("Where", below, w.number(0), w.add("Where", above, w.number(1), share))
    share = w.add("Clip", share, w.number(_BOUND - np.spacing(1)), w.number(1 - (_BOUND - np.spacing(1))))
    return normal_deviate(w, share)


def interpolated(w: Writer, x: str, xs: Any, ys: Any) -> str:
    """As np.interp: of [rows, 1] what lies on the lines between the points, and outside what the ends have."""
    xs, ys = np.asarray(xs, np.float64), np.asarray(ys, np.float64)
    with np.errstate(divide="ignore", invalid="ignore"):
        slopes = np.where(np.diff(xs) > 0, np.diff(ys) / np.diff(xs), 0.0)
    # before the first point, between the points, and from the last one on
    leaves = [[0.0, float(ys[0]), 0.0]]
    leaves += [[float(a), float(b), float(c)] for a, b, c in zip(xs[:-1], ys[:-1], slopes, strict=True)]
    leaves += [[0.0, float(ys[-1]), 0.0]]
    found = w.trees([stairs(0, xs, leaves, 0)], x, 3)
    start, level, slope = w.add_several("Split", found, outputs=3, axis=1, num_outputs=3)
    away = w.add("Where", w.add("Equal", slope, w.number(0)), w.number(0), w.add("Sub", x, start))
    return w.add("Add", w.add("Mul", slope, away), level)


@transformer("PolynomialFeatures")
def _polynomial(w: Writer, step: Any, x: Table) -> Table:
    value = w.numbers(x, step)
    powers = np.asarray(step.powers_)
    combinations = [tuple(np.repeat(np.arange(x.width), row).tolist()) for row in powers]
    terms: dict[tuple[int, ...], tuple[str, int]] = {(i,): (value, i) for i in range(x.width)}
    for degree in range(2, max(map(len, combinations), default=0) + 1):
        wanted = sorted({c[-degree:] for c in combinations if len(c) >= degree})
        before = _picked(w, [terms[c[1:]] for c in wanted])
        first = w.add("Gather", value, w.whole([c[0] for c in wanted]), axis=1)
        made = w.round(w.add("Mul", first, before), x)
        w.widths[made] = len(wanted)
        terms |= {c: (made, i) for i, c in enumerate(wanted)}
    parts, order = [], []
    if any(not c for c in combinations):
        zero = w.add("Mul", w.matrix(w.table(value, x.width).pick([0])), w.number(0))
        one = w.add("Add", zero, w.number(1))
        w.widths[one] = 1
        terms[()] = (one, 0)
    for c in combinations:
        parts.append(terms[c])
        order.append(c)
    dtype = np.float32 if x.single else np.float64
    return w.table(_picked(w, parts), len(combinations), dtype, sparse=x.sparse)


def _picked(w: Writer, places: list[tuple[str, int]]) -> str:
    """Columns of several matrices, side by side."""
    from sqlinfer.convert.sklearn.exact.table import Column

    return w.matrix(Table(tuple(Column(value, place, np.dtype(np.float64)) for value, place in places)))


@transformer("PCA", "IncrementalPCA")
def _pca(w: Writer, step: Any, x: Table) -> Table:
    components = np.asarray(step.components_, np.float64)
    noise = np.abs(components) @ np.abs(np.asarray(step.mean_, np.float64)) * np.finfo(np.float64).eps
    if np.any(noise > 1e-8 * np.sqrt(np.asarray(step.explained_variance_, np.float64))) and not x.single:
        raise Unsupported("a PCA of numbers that are large beside how they differ; put a StandardScaler before it")
    value = w.weighted(w.numbers(x, step), components, -(np.asarray(step.mean_, np.float64) @ components.T))
    if step.whiten:
        scale = np.sqrt(np.asarray(step.explained_variance_, np.float64))
        least = np.finfo(np.asarray(step.explained_variance_).dtype).eps
        value = w.add("Div", value, w.number(np.maximum(scale, least)))
    return w.table(w.round(value, x), len(components), np.float32 if x.single else np.float64)


@transformer("TruncatedSVD", "GaussianRandomProjection", "SparseRandomProjection")
def _projection(w: Writer, step: Any, x: Table) -> Table:
    components = step.components_
    components = components.toarray() if hasattr(components, "toarray") else np.asarray(components)
    value = w.weighted(w.numbers(x, step), components)
    return w.table(w.round(value, x), len(components), np.float32 if x.single else np.float64)


@transformer("TfidfTransformer")
def _tfidf(w: Writer, step: Any, x: Table) -> Table:
    from sqlinfer.convert.sklearn.exact.scalers import normalized

    value = w.numbers(x, step)
    if step.sublinear_tf:
        given = w.add("Greater", value, w.number(0))
        if not x.sparse:
            given = w.add("Not", w.add("Equal", value, w.number(0)))
        logs = w.add("Add", w.add("Log", w.add("Where", given, value, w.number(1))), w.number(1))
        value = w.add("Where", given, logs, value)
    if step.use_idf:
        value = w.add("Mul", value, w.number(np.asarray(step.idf_, np.float64).reshape(1, -1)))
    made = w.table(value, x.width, np.float64, sparse=True)
    if step.norm is not None:
        value = normalized(w, value, step.norm, made)
    return w.table(value, x.width, np.float64, sparse=True, safe="nan inf single")

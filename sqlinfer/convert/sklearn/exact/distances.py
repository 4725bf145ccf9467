"""Models that measure how far rows are from one another: clusters, neighbours, mixtures, support vectors."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import numpy as np
from onnx import TensorProto

from sqlinfer.convert.sklearn.exact.dispatch import classifier, clusterer, outliers, regressor, transformer
from sqlinfer.convert.sklearn.exact.linear import of_decision
from sqlinfer.convert.sklearn.exact.table import Scores, Table, Unsupported
from sqlinfer.convert.sklearn.exact.writer import Writer, name_of

__all__ = ["neighbours_of_each", "pairwise_scores"]

_CENTRES = ("KMeans", "MiniBatchKMeans")
_MOST_NEIGHBOURS = 100_000


def squared_distances(w: Writer, value: str, points: np.ndarray) -> str:
    """[rows, points]. Measured from the middle of the points: of large numbers that lie close together, the squares
    would leave no digits."""
    w.need(len(points))
    middle = points.mean(axis=0)
    away = w.add("Sub", value, w.number(middle.reshape(1, -1)))
    others = points - middle
    sizes = w.add("Add", w.total(w.add("Mul", away, away)), w.number((others**2).sum(axis=1).reshape(1, -1)))
    products = w.add("MatMul", away, w.number(2 * others.T))
    return w.add("Max", w.add("Sub", sizes, products), w.number(0))


@clusterer(*_CENTRES)
def _centres(w: Writer, model: Any, x: Table) -> tuple[str, str]:
    value = w.numbers(x, model)
    w.refuse_overflow(value, x, model)
    distances = squared_distances(w, value, np.asarray(model.cluster_centers_, np.float64))
    return w.add("ArgMin", distances, axis=1, keepdims=0), w.add("Sqrt", distances)


@transformer(*_CENTRES)
def _distances(w: Writer, model: Any, x: Table) -> Table:
    """scikit-learn subtracts the squares of large numbers, so that little may be left of a short distance."""
    centres = np.asarray(model.cluster_centers_, np.float64)
    value = w.numbers(x, model)
    w.refuse_overflow(value, x, model)
    squared = squared_distances(w, value, centres)
    sizes = w.add("Add", w.total(w.add("Mul", value, value)), w.number((centres**2).sum(axis=1).reshape(1, -1)))
    w.refuse_any(
        w.add("Less", squared, w.add("Mul", sizes, w.number(1e-8 if not x.single else 1e-3))),
        f"the distance to a centre of {name_of(model)} is so short, of numbers so large, that scikit-learn computes it "
        "from their last digits; train the model with a StandardScaler before it",
    )
    return w.table(w.round(w.add("Sqrt", squared), x), len(centres), np.float32 if x.single else np.float64)


@classifier("GaussianMixture", "BayesianGaussianMixture")
def _mixture(w: Writer, model: Any, x: Table) -> Scores:
    """The component of each row, and its probabilities."""
    value = w.numbers(x, model)
    w.refuse_overflow(value, x, model)
    precisions = np.asarray(model.precisions_cholesky_, np.float64)
    # in the middle of a component, what it has there is all that does not hang on the row
    levels = np.diag(model._estimate_weighted_log_prob(np.asarray(model.means_, np.float64)))
    logs = []
    for k, mean in enumerate(np.asarray(model.means_, np.float64)):
        away = w.add("Sub", value, w.number(mean.reshape(1, -1)))
        if model.covariance_type in ("full", "tied"):
            matrix = precisions[k] if model.covariance_type == "full" else precisions
            away = w.add("MatMul", away, w.number(matrix))
        else:
            scale = np.broadcast_to(precisions[k], mean.shape)
            away = w.add("Mul", away, w.number(scale.reshape(1, -1)))
        size = w.add("Mul", w.total(w.add("Mul", away, away)), w.number(-0.5))
        logs.append(w.add("Add", size, w.number(levels[k])))
    joined = w.add("Concat", *logs, axis=1) if len(logs) > 1 else logs[0]
    return Scores(joined, w.add("Softmax", joined, axis=1), alike=True)


@classifier("KNeighborsClassifier")
def _neighbours(w: Writer, model: Any, x: Table) -> Scores:
    if isinstance(model.classes_, list) or model.outputs_2d_:
        raise Unsupported("KNeighborsClassifier of several labels")
    labels = np.eye(len(model.classes_))[np.asarray(model._y).ravel()]
    found, weights = _nearest(w, model, x, labels)  # [rows, neighbours, classes]
    if weights is not None:
        found = w.add("Mul", found, w.add("Unsqueeze", weights, w.whole([2])))
    return _voted(w, w.add("ReduceSum", found, w.whole([1]), keepdims=0))


def _voted(w: Writer, votes: str) -> Scores:
    total = w.total(votes)
    none = w.add("Equal", total, w.number(0))
    proba = w.add("Div", votes, w.add("Where", none, w.number(1), total))
    return Scores(votes, proba, alike=True)


def neighbours_of_each(w: Writer, model: Any, x: Table) -> list[Scores]:
    """Of several labels, one after the other."""
    counts = [len(values) for values in model.classes_]
    labels = np.asarray(model._y).reshape(-1, len(counts))
    targets = np.hstack([np.eye(count)[labels[:, i]] for i, count in enumerate(counts)])
    found, weights = _nearest(w, model, x, targets)
    if weights is not None:
        found = w.add("Mul", found, w.add("Unsqueeze", weights, w.whole([2])))
    votes = w.add("ReduceSum", found, w.whole([1]), keepdims=0)
    ends = np.cumsum([0, *counts]).tolist()
    return [
        _voted(w, w.add("Slice", votes, w.whole([start]), w.whole([end]), w.whole([1])))
        for start, end in pairwise(ends)
    ]


@regressor("KNeighborsRegressor")
def _mean_of_neighbours(w: Writer, model: Any, x: Table) -> Table:
    targets = np.asarray(model._y, np.float64).reshape(len(model._y), -1)
    found, weights = _nearest(w, model, x, targets)
    if weights is None:
        value = w.add("ReduceMean", found, w.whole([1]), keepdims=0)
    else:
        weighed = w.add("Mul", found, w.add("Unsqueeze", weights, w.whole([2])))
        value = w.add("Div", w.add("ReduceSum", weighed, w.whole([1]), keepdims=0), w.total(weights))
    return w.table(value, targets.shape[1])


def _nearest(w: Writer, model: Any, x: Table, targets: np.ndarray) -> tuple[str, str | None]:
    """What the nearest rows of training stand for, [rows, neighbours, targets], and their weights."""
    euclidean = model.effective_metric_ == "euclidean"
    trained: Any = model._fit_X
    points = np.asarray(trained.toarray() if hasattr(trained, "toarray") else trained)
    if not euclidean or points.dtype.kind != "f" or points.ndim != 2 or model.weights not in ("uniform", "distance"):
        raise Unsupported(f"{name_of(model)}(metric={model.effective_metric_!r}, weights={model.weights!r})")
    if len(points) > _MOST_NEIGHBOURS:
        raise Unsupported(f"{name_of(model)} of {len(points)} rows")
    points = points.astype(np.float64)
    value = w.numbers(x, model)
    w.refuse_overflow(value, x, model)
    distances = squared_distances(w, value, points)
    count = [model.n_neighbors]
    nearest, index = w.add_several("TopK", distances, w.whole(count), outputs=2, axis=1, largest=0, sorted=1)
    last = w.add("Gather", nearest, w.whole([model.n_neighbors - 1]), axis=1)
    _refuse_ties(w, model, distances, last, targets)
    found = w.add("Gather", w.number(targets), index)
    if model.weights == "uniform":
        return found, None
    near = w.add("Gather", w.number(points), index)
    away = w.add("Sub", near, w.add("Unsqueeze", value, w.whole([1])))
    far = w.add("Sqrt", w.add("ReduceSum", w.add("Mul", away, away), w.whole([2]), keepdims=0))
    same = w.add("Cast", w.add("Equal", far, w.number(0)), to=TensorProto.DOUBLE)
    has_same = w.add("Greater", w.total(same), w.number(0))
    apart = w.add("Div", w.number(1), w.add("Where", w.add("Equal", far, w.number(0)), w.number(1), far))
    return found, w.add("Where", has_same, same, apart)


def _refuse_ties(w: Writer, model: Any, distances: str, last: str, targets: np.ndarray) -> None:
    """Where the last of the neighbours is as far as others that are none, and they do not all stand for the same, the
    answer is up to how scikit-learn's search went."""
    slack = w.add("Add", w.add("Mul", w.add("ReduceMax", distances, w.whole([1]), keepdims=1), w.number(1e-13)), last)
    slack = w.add("Mul", slack, w.number(1e-9))
    low, high = w.add("Sub", last, slack), w.add("Add", last, slack)
    inside = w.add("Less", distances, low)
    within = w.add("LessOrEqual", distances, high)
    tied = w.add("Cast", w.add("And", within, w.add("Not", inside)), to=TensorProto.DOUBLE)
    enough = w.total(w.add("Cast", within, to=TensorProto.DOUBLE))
    too_many = w.add("Greater", enough, w.number(model.n_neighbors))
    ties = w.total(tied)
    sums = w.add("MatMul", tied, w.number(targets))
    squares = w.add("MatMul", tied, w.number(targets**2))
    spread = w.add("Sub", w.add("Mul", squares, ties), w.add("Mul", sums, sums))
    unlike = w.add("Greater", spread, w.add("Mul", w.add("Mul", squares, ties), w.number(1e-12)))
    differ = w.add("Greater", w.total(w.add("Cast", unlike, to=TensorProto.DOUBLE)), w.number(0))
    w.refuse_any(
        w.add("And", too_many, differ),
        f"more than {model.n_neighbors} rows of training are as near as the last neighbour, and {name_of(model)} takes "
        "some of them as its search happens to go; write TRY(predict(…)) for NULL in place of such an answer",
    )


def _kernel(w: Writer, model: Any, x: Table) -> str:
    """[rows, support vectors]."""
    vectors = model.support_vectors_
    vectors = np.asarray(vectors.toarray() if hasattr(vectors, "toarray") else vectors, np.float64)
    value = w.numbers(x, model)
    w.refuse_overflow(value, x, model)
    if model.kernel == "rbf":
        return w.add("Exp", w.add("Mul", squared_distances(w, value, vectors), w.number(-model._gamma)))
    w.need(len(vectors))
    products = w.add("MatMul", value, w.number(vectors.T))
    if model.kernel == "linear":
        return products
    inner = w.add("Add", w.add("Mul", products, w.number(model._gamma)), w.number(model.coef0))
    if model.kernel == "poly":
        return w.add("Pow", inner, w.number(model.degree))
    if model.kernel == "sigmoid":
        return w.add("Tanh", inner)
    raise Unsupported(f"{name_of(model)}(kernel={model.kernel!r})")


@regressor("SVR", "NuSVR")
def _support(w: Writer, model: Any, x: Table) -> Table:
    coefficients = model.dual_coef_.toarray() if hasattr(model.dual_coef_, "toarray") else model.dual_coef_
    value = w.weighted(_kernel(w, model, x), coefficients, model.intercept_)
    w.check(value, model, {"nan", "inf"})
    return w.table(value, 1)


@outliers("OneClassSVM")
def _one_class(w: Writer, model: Any, x: Table) -> tuple[str, str]:
    coefficients = model.dual_coef_.toarray() if hasattr(model.dual_coef_, "toarray") else model.dual_coef_
    scores = w.weighted(_kernel(w, model, x), coefficients, model.intercept_)
    w.check(scores, model, {"nan", "inf"})
    label = w.add("Where", w.add("Greater", scores, w.number(0)), w.whole(1), w.whole(-1))
    return w.add("Reshape", label, w.whole([-1])), w.add("Reshape", scores, w.whole([-1]))


@outliers("SGDOneClassSVM")
def _stochastic_one_class(w: Writer, model: Any, x: Table) -> tuple[str, str]:
    scores = w.weighted(w.numbers(x, model), model.coef_, -np.asarray(model.offset_))
    label = w.add("Where", w.add("GreaterOrEqual", scores, w.number(0)), w.whole(1), w.whole(-1))
    return w.add("Reshape", label, w.whole([-1])), w.add("Reshape", scores, w.whole([-1]))


@outliers("EllipticEnvelope")
def _elliptic(w: Writer, model: Any, x: Table) -> tuple[str, str]:
    away = w.add("Sub", w.numbers(x, model), w.number(np.asarray(model.location_).reshape(1, -1)))
    turned = w.add("MatMul", away, w.number(model.precision_))
    distance = w.add("Neg", w.total(w.add("Mul", turned, away)))
    scores = w.add("Sub", distance, w.number(model.offset_))
    label = w.add("Where", w.add("GreaterOrEqual", scores, w.number(0)), w.whole(1), w.whole(-1))
    return w.add("Reshape", label, w.whole([-1])), w.add("Reshape", scores, w.whole([-1]))


@classifier("SVC", "NuSVC")
def _support_classes(w: Writer, model: Any, x: Table) -> Scores:
    if getattr(model, "probability", False):
        raise Unsupported(f"{name_of(model)}(probability=True)")
    count = len(model.classes_)
    decision = w.weighted(_kernel(w, model, x), _pair_weights(model, count), model._intercept_)
    w.check(decision, model, {"nan", "inf"})
    if count == 2:
        second = w.add("Neg", decision)
        return Scores(of_decision(w, second, 2), None, second)
    votes, confidence = pairwise_scores(w, w.add("Greater", decision, w.number(0)), decision, count)
    ordered = w.add("Add", votes, confidence)
    by_vote = ordered if model.break_ties else votes
    return Scores(by_vote, None, ordered if model.decision_function_shape == "ovr" else decision)


def _pair_weights(model: Any, count: int) -> np.ndarray:
    """[pairs of classes, support vectors], as libsvm lays them out."""
    dual = model._dual_coef_.toarray() if hasattr(model._dual_coef_, "toarray") else model._dual_coef_
    starts = np.concatenate([[0], np.cumsum(model.n_support_)])
    rows = []
    for i in range(count):
        for j in range(i + 1, count):
            row = np.zeros(dual.shape[1])
            mine, other = slice(starts[i], starts[i + 1]), slice(starts[j], starts[j + 1])
            row[mine], row[other] = dual[j - 1, mine], dual[i, other]
            rows.append(row)
    return np.array(rows)


def pairwise_scores(w: Writer, first_wins: str, margin: str, count: int) -> tuple[str, str]:
    """Votes of pairs of classes, and what breaks their ties. ``first_wins``: [rows, pairs], whether the first of the
    two has it; ``margin``: by how much, above zero for the first."""
    first = np.zeros((count * (count - 1) // 2, count))
    second = np.zeros_like(first)
    pairs = [(i, j) for i in range(count) for j in range(i + 1, count)]
    for k, (i, j) in enumerate(pairs):
        first[k, i] = second[k, j] = 1.0
    wins = w.add("Cast", first_wins, to=TensorProto.DOUBLE)
    votes = w.weighted(wins, (first - second).T, second.sum(axis=0))
    sums = w.weighted(margin, (first - second).T)
    bounded = w.add("Mul", w.add("Add", w.add("Abs", sums), w.number(1)), w.number(3))
    return votes, w.add("Div", sums, bounded)

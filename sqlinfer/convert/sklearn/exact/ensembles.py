"""scikit-learn's trees: alone, in forests, boosted, and as detectors of outliers. Single precision is what they compare
in, but for those of histograms."""

from __future__ import annotations

from typing import Any

import numpy as np
from onnx import TensorProto

from sqlinfer.convert.sklearn.exact.dispatch import classifier, classify, outliers, predict, regressor, transformer
from sqlinfer.convert.sklearn.exact.linear import of_decision
from sqlinfer.convert.sklearn.exact.members import histogram_tree, tree_of
from sqlinfer.convert.sklearn.exact.table import Scores, Table, Unsupported
from sqlinfer.convert.sklearn.exact.writer import Writer, name_of

__all__ = ["is_tree", "of_singles", "shares_of_each", "votes_of"]

_TREES = ("DecisionTree", "ExtraTree")
_FORESTS = ("RandomForest", "ExtraTrees")
_LINKS = {"IdentityLink": "identity", "LogLink": "exp", "LogitLink": "sigmoid", "MultinomialLogit": "softmax"}


def is_tree(model: Any) -> bool:
    return name_of(model) in {f"{name}{kind}" for name in _TREES for kind in ("Classifier", "Regressor")}


def of_singles(w: Writer, tree: Any, x: Table, model: Any, *, infinite: bool = False) -> str:
    """The matrix as the trees compare it, in single precision; ``tree``: one of them. ``infinite``: the model takes
    such numbers, too."""
    from sklearn.utils import get_tags

    takes_nan = getattr(tree, "_support_missing_values", None)
    missing = takes_nan is not None and not x.sparse and bool(takes_nan(np.zeros((1, 1))))
    missing = missing and bool(get_tags(model).input_tags.allow_nan)
    value = w.numbers(x, model, nan=missing, inf=infinite, single=not infinite)
    return w.round(value, True) if not x.single else value


def _first(model: Any) -> Any:
    return model if is_tree(model) else model.estimators_[0]


def _members(model: Any) -> list[Any]:
    return [member.tree_ for member in getattr(model, "estimators_", [model])]


def votes_of(member: Any) -> np.ndarray:
    """[nodes, classes]: the share of each class."""
    values = member.value[:, 0, :]
    return np.asarray(values / values.sum(axis=1, keepdims=True))


@regressor(*(f"{name}Regressor" for name in (*_TREES, *_FORESTS)))
def _regressor(w: Writer, model: Any, x: Table) -> Table:
    members = _members(model)
    width = members[0].value.shape[1]
    trees = [tree_of(member, member.value[:, :, 0]) for member in members]
    total = w.trees(trees, of_singles(w, _first(model), x, model), width)
    return w.table(_mean(w, total, len(members)), width, safe="nan inf")


@classifier(*(f"{name}Classifier" for name in (*_TREES, *_FORESTS)))
def _classifier(w: Writer, model: Any, x: Table) -> Scores:
    if isinstance(model.classes_, list):
        raise Unsupported(f"{name_of(model)} of several labels in another model")
    members = _members(model)
    count = len(model.classes_)
    trees = [tree_of(member, votes_of(member)) for member in members]
    total = w.trees(trees, of_singles(w, _first(model), x, model), count)
    proba = _mean(w, total, len(members))
    return Scores(proba, proba)


def shares_of_each(w: Writer, model: Any, x: Table) -> list[Scores]:
    """Of several labels, one after the other."""
    members = _members(model)
    widest = max(map(len, model.classes_))
    trees = []
    for member in members:
        values = member.value[:, :, :widest]
        values = values / values.sum(axis=2, keepdims=True)
        trees.append(tree_of(member, values.reshape(len(values), -1)))
    single = of_singles(w, _first(model), x, model)
    shares = _mean(w, w.trees(trees, single, len(model.classes_) * widest), len(members))
    each = []
    for i, values in enumerate(model.classes_):
        start = i * widest
        proba = w.add("Slice", shares, w.whole([start]), w.whole([start + len(values)]), w.whole([1]))
        each.append(Scores(proba, proba))
    return each


def _mean(w: Writer, total: str, count: int) -> str:
    return w.add("Div", total, w.number(count)) if count > 1 else total


def _staged_sums(w: Writer, model: Any, x: Table) -> str:
    value = of_singles(w, model.estimators_[0, 0], x, model)
    width = model.estimators_.shape[1]
    trees = [
        tree_of(stage[target].tree_, model.learning_rate * stage[target].tree_.value.reshape(-1, 1), target)
        for stage in model.estimators_
        for target in range(width)
    ]
    sums = w.trees(trees, value, width)
    return w.add("Add", _start(w, model, x, width), sums)


def _start(w: Writer, model: Any, x: Table, width: int) -> str:
    """What the trees are added to: the same for every row, or what another estimator says."""
    if isinstance(model.init_, str) or name_of(model.init_).startswith("Dummy"):
        return w.number(model._raw_predict_init(np.zeros((1, model.n_features_in_))).reshape(1, width))
    if hasattr(model, "classes_"):
        raise Unsupported(f"{name_of(model)}(init=…) of classes")
    singles = w.table(of_singles(w, model.estimators_[0, 0], x, model), x.width, np.float32)
    return w.matrix(predict(w, model.init_, singles))


@regressor("GradientBoostingRegressor")
def _staged(w: Writer, model: Any, x: Table) -> Table:
    return w.table(_staged_sums(w, model, x), 1)


@classifier("GradientBoostingClassifier")
def _staged_classes(w: Writer, model: Any, x: Table) -> Scores:
    sums = _staged_sums(w, model, x)
    count = len(model.classes_)
    if count > 2:
        proba = w.add("Softmax", sums, axis=1)
    else:
        twice = w.add("Mul", sums, w.number(2)) if model.loss == "exponential" else sums
        proba = w.pair(w.add("Sigmoid", twice))
    return Scores(sums if count > 2 else _at_least(w, sums), proba, sums, alike=count > 2)


def _at_least(w: Writer, sums: str) -> str:
    """GradientBoostingClassifier takes the second class from zero on, not from above it."""
    reached = w.add("Cast", w.add("GreaterOrEqual", sums, w.number(0)), to=TensorProto.DOUBLE)
    return w.pair(reached)


def _histogram_sums(w: Writer, model: Any, x: Table) -> str:
    categorical = model.is_categorical_
    order, value = None, None
    if categorical is None or not np.any(categorical):
        value = w.numbers(x, model, nan=True, inf=True)
    else:
        first, rest = np.flatnonzero(categorical), np.flatnonzero(~np.asarray(categorical))
        order = [*map(int, first), *map(int, rest)]
        encoder = model._preprocessor.named_transformers_["encoder"]
        for place in order[: len(first)]:
            if not x.columns[place].is_text:
                w.check(w.column(x.columns[place]), model, {"inf"})
        parts = [
            w.codes(x.columns[place], _known(known), np.arange(len(_known(known)), dtype=np.float64), np.nan)
            for place, known in zip(order, encoder.categories_, strict=False)
        ]
        if len(rest):
            parts.append(w.numbers(x.pick(list(map(int, rest))), model, nan=True, inf=True))
        value = w.add("Concat", *parts, axis=1) if len(parts) > 1 else parts[0]
    trees = [
        histogram_tree(predictor, target)
        for iteration in model._predictors
        for target, predictor in enumerate(iteration)
    ]
    base = np.ravel(model._baseline_prediction).astype(np.float64)
    sums = w.trees(trees, value, len(base))
    return w.add("Add", w.number(base.reshape(1, -1)), sums)


def _known(values: Any) -> list[Any]:
    plain = np.asarray(values, object).tolist()
    return [value for value in plain if value is not None and value == value]


@regressor("HistGradientBoostingRegressor")
def _histogram(w: Writer, model: Any, x: Table) -> Table:
    sums = _histogram_sums(w, model, x)
    link = _LINKS[type(model._loss.link).__name__]
    return w.table(w.add("Exp", sums) if link == "exp" else sums, 1)


@classifier("HistGradientBoostingClassifier")
def _histogram_classes(w: Writer, model: Any, x: Table) -> Scores:
    sums = _histogram_sums(w, model, x)
    if len(model.classes_) > 2:
        proba = w.add("Softmax", sums, axis=1)
    else:
        proba = w.pair(w.add("Sigmoid", sums))
    return Scores(proba if len(model.classes_) <= 2 else sums, proba, sums, alike=True)


@classifier("AdaBoostClassifier")
def _adaptive(w: Writer, model: Any, x: Table) -> Scores:
    count = len(model.classes_)
    w.numbers(x, model)
    if getattr(model, "algorithm", "SAMME") == "SAMME.R":
        raise Unsupported("AdaBoostClassifier(algorithm='SAMME.R')")
    if count == 1:
        raise Unsupported("AdaBoostClassifier of one class")
    weights = np.asarray(model.estimator_weights_, np.float64)[: len(model.estimators_)]
    if all(is_tree(member) for member in model.estimators_):
        total = _one_vote_each(w, model, x, weights, count)
    else:
        total = w.zeros()
        for member, weight in zip(model.estimators_, weights, strict=True):
            chosen = w.one_hot(w.best(_spread(w, classify(w, member, x).scores, member, model)), count)
            weighed = w.add("Mul", chosen, w.number(weight * count / (count - 1)))
            total = w.add("Add", total, w.add("Add", weighed, w.number(-weight / (count - 1))))
    pred = w.add("Div", total, w.number(model.estimator_weights_.sum()))
    if count > 2:
        scaled = w.add("Div", pred, w.number(count - 1))
        return Scores(pred, w.add("Softmax", scaled, axis=1), pred, alike=True)
    decision = w.weighted(pred, [[-1.0, 1.0]])
    half = w.add("Div", of_decision(w, decision, 2), w.number(2))
    return Scores(of_decision(w, decision, 2), w.add("Softmax", half, axis=1), decision, alike=True)


def _spread(w: Writer, scores: str, member: Any, model: Any) -> str:
    if list(member.classes_) != list(model.classes_):
        raise Unsupported("an AdaBoostClassifier whose members know other classes")
    return scores


def _one_vote_each(w: Writer, model: Any, x: Table, weights: np.ndarray, count: int) -> str:
    """Trees whose leaves hold the vote of their best class."""
    trees = []
    for member, weight in zip(model.estimators_, weights, strict=True):
        _spread(w, "", member, model)
        best = member.tree_.value[:, 0, :].argmax(axis=1)
        votes = np.where(best[:, None] == np.arange(count), weight, -1 / (count - 1) * weight)
        trees.append(tree_of(member.tree_, votes))
    return w.trees(trees, of_singles(w, model.estimators_[0], x, model), count)


@regressor("AdaBoostRegressor")
def _median(w: Writer, model: Any, x: Table) -> Table:
    """The weighted median of what its members say."""
    w.numbers(x, model)
    parts = [w.matrix(predict(w, member, x)) for member in model.estimators_]
    count = len(parts)
    weights = np.asarray(model.estimator_weights_, np.float64)[:count]
    said = w.add("Concat", *parts, axis=1) if count > 1 else parts[0]
    values, order = w.add_several("TopK", said, w.whole([count]), outputs=2, axis=1, largest=0, sorted=1)
    reached = w.add("CumSum", w.add("Gather", w.number(weights), order), w.constant(np.array(1, np.int32)))
    last = w.add("Gather", reached, w.whole([count - 1]), axis=1)
    enough = w.add("GreaterOrEqual", reached, w.add("Mul", last, w.number(0.5)))
    place = w.add("ArgMax", w.add("Cast", enough, to=TensorProto.DOUBLE), axis=1, keepdims=1)
    return w.table(w.add("GatherElements", values, place, axis=1), 1, safe="nan inf")


@transformer("RandomTreesEmbedding")
def _embedded(w: Writer, model: Any, x: Table) -> Table:
    """A column for each leaf of each tree, 1 where the row is in it."""
    members = _members(model)
    known = model.one_hot_encoder_.categories_
    trees = []
    for target, (member, leaves) in enumerate(zip(members, known, strict=True)):
        places = {int(leaf): float(place) for place, leaf in enumerate(leaves)}
        values = np.array([[places.get(node, float(len(leaves)))] for node in range(member.node_count)])
        trees.append(tree_of(member, values, target))
    codes = w.add(
        "Cast", w.trees(trees, of_singles(w, model.estimators_[0], x, model), len(trees)), to=TensorProto.INT64
    )
    parts = []
    for i, leaves in enumerate(known):
        code = w.add("Gather", codes, w.whole([i]), axis=1)
        rows = np.vstack([np.eye(len(leaves)), np.zeros((1, len(leaves)))])  # of a leaf that no row of training was in
        found = w.add("Reshape", w.add("Gather", w.number(rows), code), w.whole([-1, len(leaves)]))
        parts.append(w.table(found, len(leaves), safe="nan inf single"))
    return Table.joined(parts, sparse=bool(model.sparse_output))


@outliers("IsolationForest")
def _isolation(w: Writer, model: Any, x: Table) -> tuple[str, str]:
    from sklearn.ensemble._iforest import _average_path_length

    trees = []
    for member, features in zip(model.estimators_, model.estimators_features_, strict=True):
        depths = _depths(member.tree_) + _average_path_length(member.tree_.n_node_samples)
        trees.append(tree_of(member.tree_, depths.reshape(-1, 1) - 1.0, columns=features))
    total = w.trees(trees, of_singles(w, model.estimators_[0], x, model, infinite=True), 1)
    most = len(model.estimators_) * _average_path_length([model._max_samples])[0]
    if most == 0:
        raise Unsupported("an IsolationForest of single samples")
    power = w.add("Exp", w.add("Mul", w.add("Div", total, w.number(most)), w.number(-np.log(2))))
    scores = w.add("Sub", w.add("Neg", power), w.number(model.offset_))
    outside = w.add("Less", scores, w.number(0))
    label = w.add("Where", outside, w.whole(-1), w.whole(1))
    return w.add("Reshape", label, w.whole([-1])), w.add("Reshape", scores, w.whole([-1]))


def _depths(tree: Any) -> np.ndarray:
    """How many nodes there are on the way to each."""
    depths = np.ones(tree.node_count)
    for node in range(tree.node_count):
        for child in (tree.children_left[node], tree.children_right[node]):
            if child != -1:
                depths[child] = depths[node] + 1
    return depths

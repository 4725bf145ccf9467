"""scikit-learn's trees, forests and boosting as trees, with missing values and categories."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np

from sqlinfer.models.convert.boosted import Forest, candidate
from sqlinfer.models.convert.original import Candidate
from sqlinfer.models.convert.trees import Tree
from sqlinfer.models.sample import Sample

__all__ = ["forest_candidates"]

_TREES = {
    *("DecisionTreeClassifier", "DecisionTreeRegressor", "ExtraTreeClassifier", "ExtraTreeRegressor"),
    *("RandomForestClassifier", "RandomForestRegressor", "ExtraTreesClassifier", "ExtraTreesRegressor"),
}
_STAGED = {"GradientBoostingClassifier", "GradientBoostingRegressor"}
_BOOSTED = {"HistGradientBoostingClassifier", "HistGradientBoostingRegressor"}
_LINKS = {"IdentityLink": "identity", "LogLink": "exp", "LogitLink": "sigmoid", "MultinomialLogit": "softmax"}


def forest_candidates(model: Any, sample: Sample) -> Iterator[Candidate]:
    """For a model that is nothing but trees over the sample's columns; none for any other."""
    name = type(model).__name__
    if not type(model).__module__.startswith("sklearn.") or len(sample.names) != getattr(model, "n_features_in_", -1):
        return
    if name in _TREES:
        classes = getattr(model, "classes_", None)
        several = [list(c) for c in classes] if isinstance(classes, list) else []
        forest = _averaged(model, max(map(len, several), default=0))
        yield candidate(forest, sample.names, {}, classifier=classes is not None, several=[_plain(c) for c in several])
    if name in _STAGED and _starts_alike(model):
        yield candidate(_staged(model), sample.names, {}, classifier=hasattr(model, "classes_"))
    if name in _BOOSTED:
        forest, encoded = _boosted(model)
        categories = {sample.names[feature]: values for feature, values in encoded.items()}
        yield candidate(forest, sample.names, categories, classifier=hasattr(model, "classes_"))


def _plain(values: list[Any]) -> list[Any]:
    return [value.item() if isinstance(value, np.generic) else value for value in values]


def _averaged(model: Any, widest: int) -> Forest:
    """Each tree has the same say. scikit-learn compares in single precision and adds in double.

    ``widest``: the most classes of any label, where there are several labels.
    """
    members = [member.tree_ for member in getattr(model, "estimators_", [model])]
    classifies = hasattr(model, "classes_")
    trees = []
    for member in members:
        values = member.value[:, :, : widest or None]  # [nodes, labels or targets, classes or 1]
        if classifies:
            values = values / values.sum(axis=2, keepdims=True)
        trees.append(_tree(member, values.reshape(len(values), -1) / len(members)))
    outputs = len(next(iter(trees[0].leaf.values())))
    return Forest(trees, outputs, [0.0] * outputs, "identity", double=True, narrow=True)


def _starts_alike(model: Any) -> bool:
    """Whether what the trees are added to is the same for every row."""
    return isinstance(model.init_, str) or type(model.init_).__name__.startswith("Dummy")


def _staged(model: Any) -> Forest:
    """Each stage has a tree for each sum. scikit-learn compares in single precision and adds in double."""
    base = model._raw_predict_init(np.zeros((1, model.n_features_in_)))[0]
    trees = [
        _tree(stage[target].tree_, model.learning_rate * stage[target].tree_.value.reshape(-1, 1), target)
        for stage in model.estimators_
        for target in range(len(base))
    ]
    link = "identity"
    if hasattr(model, "classes_"):
        link = "softmax" if len(base) > 1 else "sigmoid 2" if model.loss == "exponential" else "sigmoid"
    return Forest(trees, len(base), base.tolist(), link, double=True, narrow=True)


def _tree(member: Any, values: np.ndarray, target: int = 0) -> Tree:
    tree = Tree(target=target)
    missing_left = getattr(member, "missing_go_to_left", np.zeros(member.node_count, bool))
    for node in range(member.node_count):
        left = int(member.children_left[node])
        if left == -1:
            tree.add_leaf(values[node].tolist())
            continue
        # of a feature that is only present or missing the split is infinite
        split = min(float(member.threshold[node]), float(np.finfo(np.float32).max))
        tree.add_split(int(member.feature[node]), "LEQ", split, bool(missing_left[node]))
        tree.yes[node], tree.no[node] = left, int(member.children_right[node])
    return tree


def _boosted(model: Any) -> tuple[Forest, dict[int, list[Any]]]:
    """The trees, and the categories of the features that have them. Inside, categorical features come first."""
    categorical = np.zeros(model.n_features_in_, bool) if model.is_categorical_ is None else model.is_categorical_
    order = [*np.flatnonzero(categorical), *np.flatnonzero(~categorical)] if categorical.any() else None
    encoded: dict[int, list[Any]] = {}
    if order is not None:
        encoder = model._preprocessor.named_transformers_["encoder"]
        known = [[value for value in _plain(list(values)) if value == value] for values in encoder.categories_]
        encoded = {int(feature): values for feature, values in zip(order, known, strict=False)}
    trees = []
    for iteration in model._predictors:
        for target, predictor in enumerate(iteration):
            trees.append(_histogram_tree(predictor, target, order))
    base = np.ravel(model._baseline_prediction).astype(np.float64).tolist()
    link = _LINKS[type(model._loss.link).__name__]
    return Forest(trees, len(base), base, link, double=True), encoded


def _histogram_tree(predictor: Any, target: int, order: list[Any] | None) -> Tree:
    tree = Tree(target=target)
    for place, node in enumerate(predictor.nodes):
        if node["is_leaf"]:
            tree.add_leaf([float(node["value"])])
            continue
        feature = int(node["feature_idx"] if order is None else order[node["feature_idx"]])
        missing_left = bool(node["missing_go_to_left"])
        if node["is_categorical"]:
            tree.add_split(feature, "MEMBER", 0.0, missing_left)
            tree.members[place] = _bits(predictor.raw_left_cat_bitsets[node["bitset_idx"]])
        else:
            tree.add_split(feature, "LEQ", min(float(node["num_threshold"]), np.finfo(np.float64).max), missing_left)
        tree.yes[place], tree.no[place] = int(node["left"]), int(node["right"])
    return tree


def _bits(words: Any) -> list[int]:
    """The numbers of the bits that are set in words of 32 bits."""
    return [32 * i + bit for i, word in enumerate(words) for bit in range(32) if int(word) >> bit & 1]

"""XGBoost models and boosters, from XGBoost's own JSON.

The schema: https://xgboost.readthedocs.io/en/stable/tutorials/saving_model.html
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import replace
from itertools import pairwise
from typing import Any

import numpy as np

from sqlinfer.errors import ConversionFailed
from sqlinfer.models.convert.boosted import Forest, answers_of_scores, candidate
from sqlinfer.models.convert.labels import labels_of
from sqlinfer.models.convert.original import Candidate, Original
from sqlinfer.models.convert.trees import Tree
from sqlinfer.models.sample import Sample
from sqlinfer.version import __version__

__all__ = ["forest_of", "open_original"]

_BINARY = ("binary:logistic",)
_SEVERAL = ("multi:softprob", "multi:softmax")
_LINKS = {
    "binary:logistic": "sigmoid",
    "reg:logistic": "sigmoid",
    "binary:hinge": "hinge",
    "multi:softprob": "softmax",
    "multi:softmax": "argmax",
    "count:poisson": "exp",
    "reg:gamma": "exp",
    "reg:tweedie": "exp",
    "survival:cox": "exp",
    "survival:aft": "exp",
}


def open_original(model: Any, sample: Sample) -> tuple[Original, Iterator[Candidate]]:
    import xgboost

    is_booster = isinstance(model, xgboost.Booster)
    labels, label_type = labels_of(_booster_classes(model) if is_booster else _classes(model, sample))
    original = Original(
        framework=f"xgboost {xgboost.__version__}",
        model=type(model).__name__,
        converter=f"sqlinfer {__version__}",
        task="classification" if labels else "regression",
        answers=lambda rows: _booster_answers(model, rows, labels) if is_booster else _answers(model, rows, labels),
        labels=labels,
        label_type=label_type,
    )
    return original, _candidates(model, sample, classifier=bool(labels))


def _classes(model: Any, sample: Sample) -> Any:
    """None for several labels a row, and for objectives that give no probabilities."""
    classes = getattr(model, "classes_", None)
    if classes is None or isinstance(classes, list):
        return None
    return classes if np.ndim(model.predict(sample.head(2).native())) == 1 else None


def _booster_classes(booster: Any) -> np.ndarray | None:
    """A booster knows no labels but the numbers that it was trained on: 0, 1 …"""
    learner = json.loads(booster.save_config())["learner"]
    objective = learner["objective"]["name"]
    if objective in _BINARY and int(learner["learner_model_param"].get("num_target", 1)) <= 1:
        return np.arange(2)
    return np.arange(int(learner["learner_model_param"]["num_class"])) if objective in _SEVERAL else None


def _answers(model: Any, rows: Sample, labels: tuple[Any, ...]) -> dict[str, Any]:
    native = rows.native()
    answers = {"predict": np.asarray(model.predict(native))}
    if labels:
        answers["predict_proba"] = np.asarray(model.predict_proba(native))
    elif hasattr(model, "predict_proba"):  # several labels: what there is to answer are their probabilities
        answers["predict"] = np.asarray(model.predict_proba(native))
    return answers


def _booster_answers(booster: Any, rows: Sample, labels: tuple[Any, ...]) -> dict[str, Any]:
    scores = booster.predict(_matrix(booster, rows))
    if not labels:
        return {"predict": scores}
    if scores.ndim == 1 and len(labels) > 2:  # multi:softmax answers with the class itself
        return {"predict": scores.astype(np.int64)}
    return answers_of_scores(scores)


def _matrix(booster: Any, rows: Sample) -> Any:
    import xgboost

    native = rows.native()
    if not rows.categories:
        native = np.column_stack([column.to_numpy(zero_copy_only=False) for column in rows.table.columns])
        return xgboost.DMatrix(native, feature_names=booster.feature_names, feature_types=booster.feature_types)
    return xgboost.DMatrix(native, enable_categorical=True)


def _candidates(model: Any, sample: Sample, *, classifier: bool) -> Iterator[Candidate]:
    forest = forest_of(model)
    booster = model if type(model).__name__ == "Booster" else model.get_booster()
    if classifier and forest.link == "argmax":  # the class of a booster, the probabilities of a classifier
        forest = replace(forest, link="softmax")
    yield candidate(forest, sample.names, _categories(booster, sample), classifier=classifier)


def _categories(booster: Any, sample: Sample) -> dict[str, list[Any]]:
    """The categories in the order of training: newer boosters keep them, for older ones the sample tells."""
    boosted = json.loads(bytes(booster.save_raw("json")))["learner"]["gradient_booster"]
    kept = boosted.get("gbtree", boosted).get("model", {}).get("cats", {}).get("enc", [])
    categories = {name: values.to_pylist() for name, values in sample.categories.items()}
    for name, encoded in zip(sample.names, kept, strict=False):
        if name in categories:
            categories[name] = _trained(encoded) or categories[name]
    return categories


def _trained(encoded: dict[str, Any]) -> list[Any] | None:
    """XGBoost keeps texts as bytes and where each begins; it counts characters there, so only ASCII can be read."""
    values, starts = encoded["values"], encoded.get("offsets")
    if starts is None:
        return list(values)
    if not starts or any(byte < 0 for byte in values):
        return None
    return [bytes(values[a:b]).decode() for a, b in pairwise(starts)]


def forest_of(model: Any) -> Forest:
    """The trees that predict() uses: of a model with early stopping those up to the best round. Raises
    ConversionFailed."""
    is_booster = type(model).__name__ == "Booster"
    booster = model if is_booster else model.get_booster()
    if not is_booster and getattr(booster, "best_iteration", None) is not None and _stops_early(model):
        booster = booster[: booster.best_iteration + 1]
    learner = json.loads(bytes(booster.save_raw("json")))["learner"]
    boosted = learner["gradient_booster"]
    if boosted["name"] == "gblinear":
        raise ConversionFailed("XGBoost's gblinear is a linear model, not trees; train a linear model of scikit-learn")
    weights = boosted.get("weight_drop")
    model_json = boosted["gbtree"]["model"] if boosted["name"] == "dart" else boosted["model"]
    trees = [
        _tree(tree, target, 1.0 if weights is None else float(weights[i]))
        for i, (tree, target) in enumerate(zip(model_json["trees"], model_json["tree_info"], strict=True))
    ]
    outputs = max(
        int(learner["learner_model_param"]["num_class"]), int(learner["learner_model_param"].get("num_target", 1)), 1
    )
    base = _base(booster, trees, outputs)
    link = _LINKS.get(learner["objective"]["name"], "identity")
    return Forest(trees, outputs, base, link, double=False, missing=float(getattr(model, "missing", np.nan)))


def _stops_early(model: Any) -> bool:
    return getattr(model, "early_stopping_rounds", None) is not None


def _tree(tree: dict[str, Any], target: int, weight: float) -> Tree:
    size = int(tree["tree_param"].get("size_leaf_vector", 1) or 1)
    sets = _sets(tree)
    made = Tree(target=target if size <= 1 else 0)
    for node, left in enumerate(tree["left_children"]):
        if left == -1:
            made.add_leaf([weight * value for value in _leaf(tree, node, size)])
        elif node in sets:  # XGBoost's sets go to the right
            made.add_split(tree["split_indices"][node], "MEMBER", 0.0, not tree["default_left"][node])
            made.members[node] = sets[node]
            made.yes[node], made.no[node] = tree["right_children"][node], left
        else:
            threshold = float(np.float32(tree["split_conditions"][node]))
            made.add_split(tree["split_indices"][node], "LT", threshold, bool(tree["default_left"][node]))
            made.yes[node], made.no[node] = left, tree["right_children"][node]
    return made


def _leaf(tree: dict[str, Any], node: int, size: int) -> list[float]:
    if size <= 1:
        return [tree["split_conditions"][node]]
    if "leaf_weights" in tree:  # there the right child of a leaf is its number
        start = tree["right_children"][node] * size
        return list(tree["leaf_weights"][start : start + size])
    return list(tree["base_weights"][node * size : (node + 1) * size])


def _sets(tree: dict[str, Any]) -> dict[int, list[int]]:
    starts, sizes = tree.get("categories_segments", []), tree.get("categories_sizes", [])
    return {
        node: tree["categories"][start : start + size]
        for node, start, size in zip(tree.get("categories_nodes", []), starts, sizes, strict=True)
    }


def _base(booster: Any, trees: list[Tree], outputs: int) -> list[float]:
    """What is added to the trees: each objective and version turns base_score into it in its own way, so it is
    measured, on a row of missing values."""
    import xgboost

    row = xgboost.DMatrix(
        np.full((1, booster.num_features()), np.nan, np.float32),
        feature_names=booster.feature_names,
        feature_types=booster.feature_types,
    )
    margin = np.asarray(booster.predict(row, output_margin=True), np.float64).ravel()
    sums = np.zeros(outputs)
    for tree in trees:
        node = 0
        while node not in tree.leaf:
            node = tree.yes[node] if tree.missing_yes[node] else tree.no[node]
        sums[tree.target : tree.target + len(tree.leaf[node])] += tree.leaf[node]
    return [float(value) for value in margin - sums]

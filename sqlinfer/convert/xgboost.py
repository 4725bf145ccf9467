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
import pyarrow as pa

from sqlinfer.convert.boosted import Forest, answers_of_scores, candidate, constant_candidate, rows_around
from sqlinfer.convert.original import Candidate, Original
from sqlinfer.convert.trees import Tree
from sqlinfer.errors import ConversionFailed
from sqlinfer.models.labels import labels_of
from sqlinfer.models.sample import Sample
from sqlinfer.version import __version__

__all__ = ["forest_of", "kept_categories", "made_up_rows", "open_original"]

_BINARY = ("binary:logistic",)
_SEVERAL = ("multi:softprob", "multi:softmax")
# What they give of classes are no probabilities.
_MARGINS = ("binary:logitraw", "binary:hinge")
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
    booster = model if is_booster else model.get_booster()
    sample = replace(sample, categories=_categories(booster, sample))
    labels, label_type = labels_of(_booster_classes(model) if is_booster else _classes(model, sample))

    def answers(rows: Sample) -> dict[str, Any]:
        rows = replace(rows, categories=sample.categories)
        return _booster_answers(model, rows, labels) if is_booster else _answers(model, rows, labels)

    original = Original(
        framework=f"xgboost {xgboost.__version__}",
        model=type(model).__name__,
        converter=f"sqlinfer {__version__}",
        task="classification" if labels else "regression",
        answers=answers,
        labels=labels,
        label_type=label_type,
        numbered=is_booster,
    )
    return original, _candidates(model, sample, labels)


def made_up_rows(model: Any) -> Sample | None:
    """Raises ConversionFailed."""
    import xgboost

    booster = model if isinstance(model, xgboost.Booster) else getattr(model, "_Booster", None)
    if booster is None:
        return None
    types = booster.feature_types
    if types and not {"c"}.isdisjoint(types):
        return None
    names = booster.feature_names or [f"f{i}" for i in range(booster.num_features())]
    return rows_around(forest_of(model).trees, names, types)


def _classes(model: Any, sample: Sample) -> Any:
    """None for several labels a row, and for objectives that give no probabilities."""
    classes = getattr(model, "classes_", None)
    if classes is None or isinstance(classes, list):
        return None
    return classes if np.ndim(model.predict(sample.head(2).native())) == 1 else None


def _booster_classes(booster: Any) -> np.ndarray | None:
    """A booster knows no labels but the numbers that it was trained on: 0, 1 …"""
    learner = _config(booster)
    objective = learner["objective"]["name"]
    if objective in _BINARY and int(learner["learner_model_param"].get("num_target", 1)) <= 1:
        return np.arange(2)
    return np.arange(int(learner["learner_model_param"]["num_class"])) if objective in _SEVERAL else None


def _config(booster: Any) -> dict[str, Any]:
    learner: dict[str, Any] = json.loads(booster.save_config())["learner"]
    return learner


def _objective(booster: Any) -> str:
    return str(_config(booster)["objective"]["name"])


def _answers(model: Any, rows: Sample, labels: tuple[Any, ...]) -> dict[str, Any]:
    native = rows.native()
    answers = {"predict": np.asarray(model.predict(native))}
    if len(labels) == 1 or (labels and _objective(model.get_booster()) in _MARGINS):
        return answers
    if labels:
        answers["predict_proba"] = np.asarray(model.predict_proba(native))
    elif _gives_tags(model, labels):
        answers = {
            "predict": answers["predict"].astype(np.int64),
            "predict_proba": np.asarray(model.predict_proba(native)),
        }
    return answers


def _gives_tags(model: Any, labels: tuple[Any, ...]) -> bool:
    """Whether a row has any number of labels."""
    return hasattr(model, "predict_proba") and not labels


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


def _candidates(model: Any, sample: Sample, labels: tuple[Any, ...]) -> Iterator[Candidate]:
    categories = {name: values.to_pylist() for name, values in sample.categories.items()}
    if len(labels) == 1:
        yield constant_candidate(sample.names, categories)
        return
    forest = forest_of(model, sparse=sample.sparse)
    if labels and forest.link == "argmax":  # the class of a booster, the probabilities of a classifier
        forest = replace(forest, link="softmax")
    booster = model if type(model).__name__ == "Booster" else model.get_booster()
    certain = _objective(booster) not in _MARGINS
    yield candidate(
        forest,
        sample.names,
        categories,
        classifier=bool(labels),
        probabilities=certain,
        tags=_gives_tags(model, labels),
    )


def _categories(booster: Any, sample: Sample) -> dict[str, pa.Array]:
    """The categories in the order of training: newer boosters keep them, for older ones the sample tells."""
    categories = dict(sample.categories)
    for name, encoded in zip(sample.names, _encoded(booster), strict=False):
        trained = _trained(encoded)
        if trained:
            categories[name] = pa.array(trained)
        elif encoded.get("offsets") and name not in categories and sample.sql_type(name) == "VARCHAR":
            raise ConversionFailed(
                f"{name!r} was of pandas categories in training, and is of plain texts in the sample: "
                f"give it as categories: sample[{name!r}].astype('category')"
            )
    return categories


def _encoded(booster: Any) -> list[dict[str, Any]]:
    """By column, its categories as a newer booster keeps them."""
    boosted = json.loads(bytes(booster.save_raw("json")))["learner"]["gradient_booster"]
    kept: list[dict[str, Any]] = boosted.get("gbtree", boosted).get("model", {}).get("cats", {}).get("enc", [])
    return kept


def kept_categories(booster: Any) -> dict[int, list[Any]]:
    """By place of the column, of a booster that is asked about arrays. Raises ConversionFailed."""
    found = {}
    for place, encoded in enumerate(_encoded(booster)):
        trained = _trained(encoded)
        if trained is None:
            raise ConversionFailed(
                f"the categories of column {place} of an XGBoost model are no ASCII, and cannot be read from it: "
                "register the model itself, with categories in the sample, or call them by ASCII"
            )
        if trained:
            found[place] = trained
    return found


def _trained(encoded: dict[str, Any]) -> list[Any] | None:
    """XGBoost keeps texts as bytes and where each begins; it counts characters there, so only ASCII can be read."""
    values, starts = encoded["values"], encoded.get("offsets")
    if starts is None:
        return list(values)
    if any(byte < 0 for byte in values):
        return None
    return [bytes(values[a:b]).decode() for a, b in pairwise(starts)]


def forest_of(model: Any, *, sparse: bool = False) -> Forest:
    """The trees that predict() uses: of a model with early stopping those up to the best round. Raises
    ConversionFailed."""
    is_booster = type(model).__name__ == "Booster"
    booster = model if is_booster else model.get_booster()
    best = None if is_booster else booster.attr("best_iteration")
    if best is not None:
        booster = booster[: int(best) + 1]
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
    missing = float(getattr(model, "missing", np.nan))
    # those that keep the categories look for the next one where one is unknown (seen in XGBoost 3.2)
    keeps = any(encoded.get("values") for encoded in model_json.get("cats", {}).get("enc", []))
    return Forest(
        trees,
        outputs,
        base,
        link,
        double=False,
        missing=(missing,) if missing == missing else (),
        sparse=sparse,
        unknown=None if keeps else -1.0,
        refuses="a Booster of XGBoost" if is_booster else None,
    )


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

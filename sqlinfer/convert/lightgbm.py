"""LightGBM models and boosters, from `Booster.dump_model`.

How a tree decides is in LightGBM's include/LightGBM/tree.h: NumericalDecision and CategoricalDecision.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import replace
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

__all__ = ["forest_of", "made_up_rows", "open_original"]

# kZeroThreshold of include/LightGBM/meta.h, a single
_ZERO = float(np.float32(1e-35))
_CLASSIFIES = ("binary", "multiclass", "multiclassova")
_LINKS = {
    "multiclass": "softmax",
    "poisson": "exp",
    "gamma": "exp",
    "tweedie": "exp",
    "cross_entropy_lambda": "log1p_exp",
}


def open_original(model: Any, sample: Sample) -> tuple[Original, Iterator[Candidate]]:
    import lightgbm

    is_booster = isinstance(model, lightgbm.Booster)
    booster = model if is_booster else model.booster_
    dump = booster.dump_model()
    objective = _objective(dump)[0]
    # a booster knows no labels but the numbers that it was trained on: 0, 1 …
    count = 2 if objective == "binary" else int(dump["num_class"])
    classes = getattr(model, "classes_", np.arange(count) if is_booster and objective in _CLASSIFIES else None)
    # a classifier with an objective of its user's answers with raw scores
    labels, label_type = labels_of(None if callable(getattr(model, "objective_", None)) else classes)
    sample = replace(sample, categories=_categories(dump, sample))
    original = Original(
        framework=f"lightgbm {lightgbm.__version__}",
        model=type(model).__name__,
        converter=f"sqlinfer {__version__}",
        task="classification" if labels else "regression",
        answers=lambda rows: _answers(model, replace(rows, categories=sample.categories), labels),
        labels=labels,
        label_type=label_type,
        numbered=is_booster,
    )
    return original, _candidates(booster, dump, sample, labels)


def made_up_rows(model: Any) -> Sample | None:
    """Raises ConversionFailed."""
    import lightgbm

    booster = model if isinstance(model, lightgbm.Booster) else getattr(model, "_Booster", None)
    if booster is None:
        return None
    dump = booster.dump_model()
    if dump.get("pandas_categorical"):
        return None
    return rows_around(forest_of(booster, dump).trees, booster.feature_name())


def _answers(model: Any, rows: Sample, labels: tuple[Any, ...]) -> dict[str, Any]:
    native = rows.native()
    if hasattr(model, "classes_") and labels:
        answers = {"predict": np.asarray(model.predict(native))}
        proba = np.asarray(model.predict_proba(native))
        return {**answers, "predict_proba": proba} if proba.ndim == 2 and len(labels) > 1 else answers
    scores = np.asarray(model.predict(native))
    if not labels:
        return {"predict": scores}
    return answers_of_scores(scores)


def _candidates(booster: Any, dump: dict[str, Any], sample: Sample, labels: tuple[Any, ...]) -> Iterator[Candidate]:
    categories = {name: values.to_pylist() for name, values in sample.categories.items()}
    if len(labels) == 1:
        yield constant_candidate(sample.names, categories)
        return
    yield candidate(forest_of(booster, dump), sample.names, categories, classifier=bool(labels))


def _categories(dump: dict[str, Any], sample: Sample) -> dict[str, pa.Array]:
    """The categories of the columns that were categories in pandas, by the order in which they were trained: the model
    knows them, and the sample may have them as texts and numbers."""
    trained = dump.get("pandas_categorical") or []
    given = [name for name in sample.names if name in sample.categories]
    if len(given) != len(trained):
        infos = list((dump.get("feature_infos") or {}).values())
        known = [name for name, info in zip(sample.names, infos, strict=False) if info.get("values")]
        given = given or known
    if len(trained) != len(given):
        raise ConversionFailed(
            f"the model was trained with {len(trained)} columns of pandas categories, the sample has {len(given)}; "
            "give the sample as the model was trained on, with the same columns as categories"
        )
    return {name: pa.array(values) for name, values in zip(given, trained, strict=True)}


def forest_of(booster: Any, dump: dict[str, Any] | None = None) -> Forest:
    """The trees that predict() uses: up to the best iteration. Raises ConversionFailed."""
    dump = dump or booster.dump_model()
    if "is_linear=1" in booster.model_to_string(num_iteration=1):
        raise ConversionFailed(
            "LightGBM's linear trees have a formula in each leaf, ONNX's trees have none; train with linear_tree=False"
        )
    outputs = int(dump["num_tree_per_iteration"])
    zeros: set[int] = set()
    rounds = max(len(dump["tree_info"]) // outputs, 1)
    scale = 1 / rounds if dump.get("average_output") else 1.0
    trees = []
    for i, info in enumerate(dump["tree_info"]):
        tree = Tree(target=i % outputs)
        _add_node(tree, info["tree_structure"], zeros, scale)
        trees.append(tree)
    link, zeros_found = _link(dump), tuple(sorted(zeros))
    return Forest(trees, outputs, [0.0] * outputs, link, double=True, zero_is_missing=zeros_found, fractions="cut")


def _add_node(tree: Tree, node: dict[str, Any], zeros: set[int], scale: float) -> int:
    if "left_child" not in node:
        return tree.add_leaf([float(node["leaf_value"]) * scale])
    feature = int(node["split_feature"])
    if node["decision_type"] == "==":  # a missing category is in no set
        place = tree.add_split(feature, "MEMBER", 0.0, False)
        tree.members[place] = [int(code) for code in str(node["threshold"]).split("||")]
    else:
        threshold = float(node["threshold"])
        # where the feature had no missing values, one is taken for zero
        missing_left = bool(node["default_left"]) if node["missing_type"] != "None" else threshold >= 0.0
        place = tree.add_split(feature, "LEQ", _beside_zero(threshold), missing_left)
        if node["missing_type"] == "Zero":
            zeros.add(feature)
    tree.yes[place] = _add_node(tree, node["left_child"], zeros, scale)
    tree.no[place] = _add_node(tree, node["right_child"], zeros, scale)
    return place


def _beside_zero(threshold: float) -> float:
    """The library takes numbers that are next to nothing for zero, which are then all on one side."""
    if -_ZERO <= threshold < 0:
        return math.nextafter(-_ZERO, -math.inf)
    return max(threshold, _ZERO) if threshold >= 0 else threshold


def _objective(dump: dict[str, Any]) -> tuple[str, dict[str, str]]:
    """``binary sigmoid:1`` → its name and its options; a custom objective has no name."""
    name, *options = str(dump.get("objective") or "custom").split(" ")
    return name, dict(option.partition(":")[::2] for option in options)


def _link(dump: dict[str, Any]) -> str:
    name, options = _objective(dump)
    if name in ("binary", "multiclassova"):
        return f"sigmoid {options.get('sigmoid', '1')}"
    if name == "cross_entropy":
        return "sigmoid"
    if "sqrt" in options:
        return "signed_square"
    return _LINKS.get(name, "identity")

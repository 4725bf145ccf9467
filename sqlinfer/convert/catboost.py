"""CatBoost models, from CatBoost's own JSON (``save_model(format="json")``).

Its trees ask the same question at each level, or (grow_policy Lossguide, Depthwise) another in each node. Features are
compared in single precision. CatBoost's own ONNX files register as any .onnx file.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from typing import Any

import numpy as np

from sqlinfer.convert.boosted import Forest, candidate
from sqlinfer.convert.original import Candidate, Original
from sqlinfer.convert.trees import Tree
from sqlinfer.errors import ConversionFailed
from sqlinfer.models.labels import labels_of
from sqlinfer.models.sample import Sample
from sqlinfer.temporary import temporary_folder
from sqlinfer.version import __version__

__all__ = ["forest_of", "open_original"]

_PLAIN_SPLIT = "FloatFeature"
_LINKS = {
    "Logloss": "sigmoid",
    "CrossEntropy": "sigmoid",
    "MultiClass": "softmax",
    "MultiClassOneVsAll": "sigmoid",
    "MultiLogloss": "sigmoid",
    "MultiCrossEntropy": "sigmoid",
    "Poisson": "exp",
    "Tweedie": "exp",
    "LogCosh": "identity",
    "Focal": "sigmoid",
    "RMSEWithUncertainty": "mean_and_variance",
}
_TAGS = ("MultiLogloss", "MultiCrossEntropy")
_CLASSIFIES = ("Logloss", "CrossEntropy", "MultiClass", "MultiClassOneVsAll", "Focal")


def open_original(model: Any, sample: Sample) -> tuple[Original, Iterator[Candidate]]:
    import catboost

    loss = loss_of(model)
    gives_classes = hasattr(model, "predict_proba") and loss in _CLASSIFIES
    labels, label_type = labels_of(model.classes_ if gives_classes else None)
    original = Original(
        framework=f"catboost {catboost.__version__}",
        model=type(model).__name__,
        converter=f"sqlinfer {__version__}",
        task="classification" if labels else "regression",
        answers=lambda rows: _answers(model, rows, gives_classes),
        labels=labels,
        label_type=label_type,
    )
    return original, _candidates(model, loss, sample, classifier=gives_classes)


def loss_of(model: Any) -> str:
    """The loss that decides how answers are made of sums: none for a model that answers with the sums themselves."""
    if type(model).__name__ == "CatBoost":
        return ""
    return str(model.get_all_params().get("loss_function", "")).partition(":")[0]


def forest_of(model: Any) -> Forest:
    """The trees that predict() uses, of a classifier with what makes probabilities of them. Raises ConversionFailed."""
    return _forest(model, loss_of(model))


def _answers(model: Any, rows: Sample, gives_classes: bool) -> dict[str, Any]:
    native = rows.native()
    if not gives_classes:
        answers = {"predict": np.asarray(model.predict(native))}
        return {**answers, "predict_proba": np.asarray(model.predict_proba(native))} if _gives_tags(model) else answers
    predicted = np.asarray(model.predict(native)).ravel()
    if np.asarray(model.classes_).dtype == bool:  # CatBoost answers with their texts
        predicted = predicted.astype(str) == "True"
    return {"predict": predicted, "predict_proba": np.asarray(model.predict_proba(native))}


def _gives_tags(model: Any) -> bool:
    """Whether a row has any number of labels."""
    return hasattr(model, "predict_proba") and loss_of(model) in _TAGS


def _candidates(model: Any, loss: str, sample: Sample, *, classifier: bool) -> Iterator[Candidate]:
    yield candidate(_forest(model, loss), sample.names, {}, classifier=classifier, tags=_gives_tags(model))


def _forest(model: Any, loss: str) -> Forest:
    """Raises ConversionFailed for features that are not numbers: CatBoost turns them into statistics of the target."""
    others = [
        *(model.get_cat_feature_indices() or []),
        *(model.get_text_feature_indices() or []),
        *(model.get_embedding_feature_indices() or []),
    ]
    if others:
        names = model.feature_names_
        raise ConversionFailed(
            f"CatBoost can say its trees over numbers only, and {', '.join(str(names[i]) for i in others)} "
            f"{'is' if len(others) == 1 else 'are'} categorical, text or embeddings; encode such features before the "
            "model (an OrdinalEncoder or OneHotEncoder in a pipeline), or use LightGBM's or XGBoost's categories"
        )
    described = _described(model)
    scale, bias = described["scale_and_bias"]
    bias = [float(value) for value in np.atleast_1d(bias)]
    info = described["features_info"]["float_features"]
    missing_above = {f["feature_index"]: f.get("nan_value_treatment") == "AsTrue" for f in info}
    column = {f["feature_index"]: f["flat_feature_index"] for f in info}
    trees = [_level_tree(t, scale, len(bias), missing_above, column) for t in described.get("oblivious_trees", [])]
    for described_tree in described.get("trees", []):
        tree = Tree()
        _add_node(tree, described_tree, scale, missing_above, column)
        trees.append(tree)
    threshold = 0.5
    if loss in ("Logloss", "CrossEntropy", "Focal") and len(bias) == 1 and hasattr(model, "predict_proba"):
        threshold = float(model.get_probability_threshold())
    link = _LINKS.get(loss, "identity")
    return Forest(trees, len(bias), bias, link, double=True, narrow=True, threshold=threshold)


def _described(model: Any) -> dict[str, Any]:
    with temporary_folder() as folder:
        path = folder / "model.json"
        model.save_model(str(path), format="json")
        described: dict[str, Any] = json.loads(path.read_text())
    return described


def _level_tree(
    described: dict[str, Any], scale: float, outputs: int, missing_above: dict[int, bool], column: dict[int, int]
) -> Tree:
    """One question a level; the answers are the bits of the leaf's number, the first question the lowest."""
    tree = Tree()
    splits, values = described["splits"] or [], described["leaf_values"]

    def grow(level: int, leaf: int) -> int:
        if level < 0:
            return tree.add_leaf([scale * value for value in values[leaf * outputs : (leaf + 1) * outputs]])
        node = _add_split(tree, splits[level], missing_above, column)
        tree.yes[node] = grow(level - 1, leaf)
        tree.no[node] = grow(level - 1, leaf | 1 << level)
        return node

    grow(len(splits) - 1, 0)
    return tree


def _add_node(
    tree: Tree, described: dict[str, Any], scale: float, missing_above: dict[int, bool], column: dict[int, int]
) -> int:
    if "split" not in described:
        return tree.add_leaf([scale * float(value) for value in np.atleast_1d(described["value"])])
    node = _add_split(tree, described["split"], missing_above, column)
    tree.yes[node] = _add_node(tree, described["left"], scale, missing_above, column)
    tree.no[node] = _add_node(tree, described["right"], scale, missing_above, column)
    return node


def _add_split(tree: Tree, split: dict[str, Any], missing_above: dict[int, bool], column: dict[int, int]) -> int:
    if split["split_type"] != _PLAIN_SPLIT:
        raise ConversionFailed(
            f"CatBoost's split {split['split_type']!r} is not over a number; encode the feature before"
        )
    feature = split["float_feature_index"]
    return tree.add_split(column[feature], "LEQ", float(split["border"]), not missing_above[feature])

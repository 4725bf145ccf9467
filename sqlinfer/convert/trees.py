"""Decision trees of any library → one node of ai.onnx.ml: ``TreeEnsemble``, which computes and answers in the precision
of its input and knows sets of categories. By https://onnx.ai/onnx/operators/index_ai_onnx_ml.html
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
from onnx import numpy_helper

from sqlinfer.graphs.build import GraphBuilder

__all__ = ["Tree", "add_trees"]

Mode = Literal["LEQ", "LT", "MEMBER"]
_CODES = {"LEQ": 0, "LT": 1, "MEMBER": 6}


@dataclass(slots=True)
class Tree:
    """One binary tree over rows of numbers; node 0 is the root, and a node without children (-1) is a leaf.

    A row goes to ``yes`` where its feature is ≤ (LEQ) or < (LT) the ``split``, or one of ``members``; a missing value
    goes there where ``missing_yes`` says so. ``leaf``: node → what it adds, from output ``target`` on.
    """

    feature: list[int] = field(default_factory=list)
    mode: list[Mode] = field(default_factory=list)
    split: list[float] = field(default_factory=list)
    yes: list[int] = field(default_factory=list)
    no: list[int] = field(default_factory=list)
    missing_yes: list[bool] = field(default_factory=list)
    members: dict[int, list[int]] = field(default_factory=dict)
    leaf: dict[int, Sequence[float]] = field(default_factory=dict)
    target: int = 0

    def add_leaf(self, values: Sequence[float]) -> int:
        node = self._add(0, "LEQ", 0.0, False)
        self.leaf[node] = values
        return node

    def add_split(self, feature: int, mode: Mode, split: float, missing_yes: bool) -> int:
        return self._add(feature, mode, split, missing_yes)

    def _add(self, feature: int, mode: Mode, split: float, missing_yes: bool) -> int:
        self.feature.append(feature)
        self.mode.append(mode)
        self.split.append(split)
        self.missing_yes.append(missing_yes)
        self.yes.append(-1)
        self.no.append(-1)
        return len(self.feature) - 1


def add_trees(
    graph: GraphBuilder, trees: Sequence[Tree], source: str, *, targets: int, base: Sequence[float], double: bool
) -> str:
    """The sums of all trees and ``base`` as [rows, targets], in the precision of ``source``."""
    sums = graph.add("TreeEnsemble", source, ml=True, **_version_5(trees, targets, double))
    if not np.any(base):
        return sums
    return graph.add("Add", sums, graph.constant(np.asarray(base, np.float64 if double else np.float32)))


def _single(split: float, mode: Mode) -> float:
    """The single that splits all singles as ``split`` does: for ≤ the next below it, for < the next above it."""
    with np.errstate(over="ignore"):
        near = np.float32(split)
    if mode == "LEQ" and float(near) > split:
        near = np.nextafter(near, np.float32(-np.inf))
    if mode == "LT" and float(near) < split:
        near = np.nextafter(near, np.float32(np.inf))
    return float(near)


def _version_5(trees: Sequence[Tree], targets: int, double: bool) -> dict[str, Any]:
    """In this form a leaf adds to one output, so a tree of several is written once for each."""
    dtype = np.float64 if double else np.float32
    form = _Flat()
    for tree in trees:
        for k in range(len(next(iter(tree.leaf.values())))):
            form.add(tree, k)
    splits = (
        form.splits
        if double
        else [_single(s, "LEQ" if m == 0 else "LT") for s, m in zip(form.splits, form.modes, strict=True)]
    )
    attributes: dict[str, Any] = {
        "n_targets": targets,
        "aggregate_function": 1,
        "post_transform": 0,
        "tree_roots": form.roots,
        "nodes_featureids": form.features,
        "nodes_modes": numpy_helper.from_array(np.array(form.modes, np.uint8)),
        "nodes_splits": numpy_helper.from_array(np.array(splits, dtype)),
        "nodes_truenodeids": form.yes,
        "nodes_falsenodeids": form.no,
        "nodes_trueleafs": form.yes_is_leaf,
        "nodes_falseleafs": form.no_is_leaf,
        "nodes_missing_value_tracks_true": form.missing_yes,
        "leaf_targetids": form.targets,
        "leaf_weights": numpy_helper.from_array(np.array(form.weights, dtype)),
    }
    if form.members:
        attributes["membership_values"] = numpy_helper.from_array(np.array(form.members, dtype))
    return attributes


class _Flat:
    """Trees as the lists of version 5: inner nodes and leaves are counted apart, over all trees."""

    def __init__(self) -> None:
        self.roots: list[int] = []
        self.features: list[int] = []
        self.modes: list[int] = []
        self.splits: list[float] = []
        self.yes: list[int] = []
        self.no: list[int] = []
        self.yes_is_leaf: list[int] = []
        self.no_is_leaf: list[int] = []
        self.missing_yes: list[int] = []
        self.members: list[float] = []
        self.targets: list[int] = []
        self.weights: list[float] = []

    def add(self, tree: Tree, k: int) -> None:
        inner = [node for node in range(len(tree.feature)) if node not in tree.leaf]
        place = {node: len(self.features) + i for i, node in enumerate(inner)}
        for node, values in tree.leaf.items():
            place[node] = len(self.weights)
            self.targets.append(tree.target + k)
            self.weights.append(float(values[k]))
        self.roots.append(len(self.features))
        if not inner:  # a tree needs a node: both ways lead to its only leaf
            self._node(tree, 0, place[0], place[0], 1, 1)
        for node in inner:
            yes, no = tree.yes[node], tree.no[node]
            self._node(tree, node, place[yes], place[no], int(yes in tree.leaf), int(no in tree.leaf))

    def _node(self, tree: Tree, node: int, yes: int, no: int, yes_is_leaf: int, no_is_leaf: int) -> None:
        self.features.append(tree.feature[node])
        self.modes.append(_CODES[tree.mode[node]])
        self.splits.append(tree.split[node])
        self.yes.append(yes)
        self.no.append(no)
        self.yes_is_leaf.append(yes_is_leaf)
        self.no_is_leaf.append(no_is_leaf)
        self.missing_yes.append(int(tree.missing_yes[node]))
        if tree.mode[node] == "MEMBER":
            self.members += [*map(float, tree.members[node]), float("nan")]

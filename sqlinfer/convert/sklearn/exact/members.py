"""scikit-learn's trees as `Tree`: with the ways of missing values, and sets of categories."""

from __future__ import annotations

from typing import Any

import numpy as np

from sqlinfer.convert.trees import Tree

__all__ = ["histogram_tree", "tree_of"]


def tree_of(member: Any, values: np.ndarray, target: int = 0, columns: Any = None) -> Tree:
    """``values``: [nodes, outputs]. ``columns``: where the features of the tree stand among those of the matrix."""
    tree = Tree(target=target)
    missing_left = getattr(member, "missing_go_to_left", np.zeros(member.node_count, bool))
    for node in range(member.node_count):
        left = int(member.children_left[node])
        if left == -1:
            tree.add_leaf(values[node].tolist())
            continue
        # of a feature that is only present or missing the split is infinite
        split = min(float(member.threshold[node]), float(np.finfo(np.float32).max))
        feature = int(member.feature[node] if columns is None else columns[member.feature[node]])
        tree.add_split(feature, "LEQ", split, bool(missing_left[node]))
        tree.yes[node], tree.no[node] = left, int(member.children_right[node])
    return tree


def histogram_tree(predictor: Any, target: int) -> Tree:
    tree = Tree(target=target)
    for place, node in enumerate(predictor.nodes):
        if node["is_leaf"]:
            tree.add_leaf([float(node["value"])])
            continue
        feature = int(node["feature_idx"])
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

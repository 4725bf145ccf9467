"""Functions of one number that are constant between edges, as a tree that looks for the place of the number."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sqlinfer.convert.trees import Tree

__all__ = ["stairs"]


def stairs(feature: int, edges: np.ndarray, leaves: Sequence[Sequence[float]], target: int) -> Tree:
    """The leaf of as many edges as are at most the number: ``leaves`` has one more than ``edges``."""
    tree = Tree(target=target)

    def grow(low: int, high: int) -> int:
        """Of the leaves from ``low`` to ``high``."""
        if low == high:
            return tree.add_leaf(leaves[low])
        middle = (low + high) // 2
        node = tree.add_split(feature, "LT", float(edges[middle]), False)
        tree.yes[node] = grow(low, middle)
        tree.no[node] = grow(middle + 1, high)
        return node

    grow(0, len(edges))
    return tree

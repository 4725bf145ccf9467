"""Tree ensembles that ONNX Runtime does not survive, or answers from memory that nobody wrote.

The extension has the same bounds, in core/tree_limits.rs. The operators are those of
https://onnx.ai/onnx/operators/index_ai_onnx_ml.html
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import suppress
from typing import Any

import numpy as np
import onnx
from onnx import helper

__all__ = ["refusal"]

# ONNX Runtime goes down a tree by recursion: 15,000 levels are too many for the stack of a thread.
_MOST_LEVELS = 4096
# What an array of DuckDB's holds; the sums of all are kept for each row.
_MOST_TARGETS = 100_000


def refusal(model: onnx.ModelProto) -> str | None:
    """Why some trees of the model cannot be accepted; None where all can."""
    graphs = [model.graph, *model.functions]
    return next((why for node in _nodes(graphs) if (why := _of_node(node)) is not None), None)


def _nodes(graphs: Iterable[Any]) -> Iterator[onnx.NodeProto]:
    for graph in graphs:
        for node in graph.node:
            if node.op_type.startswith("TreeEnsemble"):
                yield node
            for attribute in node.attribute:
                yield from _nodes([*([attribute.g] if attribute.HasField("g") else []), *attribute.graphs])


def _of_node(node: onnx.NodeProto) -> str | None:
    with suppress(TypeError, ValueError):  # an attribute of another type, of which ONNX Runtime says what is wrong
        return _refusal(node)
    return None


def _refusal(node: onnx.NodeProto) -> str | None:
    known = {a.name: helper.get_attribute_value(a) for a in node.attribute if a.type}
    labels = known.get("classlabels_strings") or known.get("classlabels_int64s") or []
    targets = known.get("n_targets", len(labels))
    if isinstance(targets, int) and targets > _MOST_TARGETS:
        return f"{node.op_type} has {targets} targets, of {_MOST_TARGETS} at most"
    if node.op_type == "TreeEnsembleClassifier":
        if len(labels) < 2:
            return f"{node.op_type} has {len(labels)} class labels: it chooses between two or more"
        ids = known.get("class_ids", ())
        if known.get("post_transform") == b"PROBIT" and len(labels) == 2 and len(set(ids)) == 1:
            return f"{node.op_type} has two classes and the weights of one, of which PROBIT makes one score"
    edges = _edges_of_names(known) if "nodes_nodeids" in known else _edges_of_places(known)
    levels = _levels(*edges) if edges is not None else 0
    if levels > _MOST_LEVELS:
        return f"{node.op_type} has a tree of more than {_MOST_LEVELS} levels, or one that goes round in circles"
    return None


def _edges_of_names(known: Mapping[str, Any]) -> tuple[int, np.ndarray, np.ndarray] | None:
    """Versions 1 and 3: nodes are named by tree and number. None where the lists do not fit each other."""
    lists = (known.get(f"nodes_{name}", ()) for name in ("treeids", "nodeids", "truenodeids", "falsenodeids"))
    trees, numbers, yes, no = (np.asarray(values, np.int64) for values in lists)
    inner = np.asarray([mode != b"LEAF" for mode in known.get("nodes_modes", ())], bool)
    if not len(trees) == len(numbers) == len(yes) == len(no) == len(inner) > 0:
        return None
    _, tree = np.unique(trees, return_inverse=True)
    distinct, number = np.unique(np.concatenate([numbers, yes, no]), return_inverse=True)
    named, *ways = tree * len(distinct) + number.reshape(3, -1)
    order = np.argsort(named, kind="stable")
    parents, children = [], []
    for wanted in ways:
        places = np.minimum(np.searchsorted(named[order], wanted), len(named) - 1)
        found = inner & (named[order[places]] == wanted)
        parents.append(np.flatnonzero(found))
        children.append(order[places[found]])
    return len(trees), np.concatenate(parents), np.concatenate(children)


def _edges_of_places(known: Mapping[str, Any]) -> tuple[int, np.ndarray, np.ndarray] | None:
    """Version 5: nodes are counted over all trees, and leaves apart."""
    count = len(known.get("nodes_featureids", ()))
    parents, children = [], []
    for way in ("true", "false"):
        places = np.asarray(known.get(f"nodes_{way}nodeids", ()), np.int64)
        leafs = np.asarray(known.get(f"nodes_{way}leafs", ()), np.int64)
        if not len(places) == len(leafs) == count:
            return None
        inner = (leafs == 0) & (places >= 0) & (places < count)
        parents.append(np.flatnonzero(inner))
        children.append(places[inner])
    return count, np.concatenate(parents), np.concatenate(children)


def _levels(count: int, parents: np.ndarray, children: np.ndarray) -> int:
    """The longest way down, in nodes; more than the bound where it is longer, or has no end."""
    order = np.argsort(parents, kind="stable")
    parents, children = parents[order], children[order]
    starts = np.searchsorted(parents, np.arange(count + 1))
    waiting = np.bincount(children, minlength=count)
    level, levels, done = np.flatnonzero(waiting == 0), 0, 0
    while len(level) and levels <= _MOST_LEVELS:
        levels, done = levels + 1, done + len(level)
        lengths = starts[level + 1] - starts[level]
        below = children[np.repeat(starts[level] - np.cumsum(lengths) + lengths, lengths) + np.arange(lengths.sum())]
        np.subtract.at(waiting, below, 1)
        level = np.unique(below[waiting[below] == 0])
    return levels if done == count else _MOST_LEVELS + 1

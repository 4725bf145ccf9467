"""Find the batch axis among axes of one length: permute the rows of a run, and see which output axis follows."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from sqlinfer.errors import InvalidModel, ModelFailed
from sqlinfer.graphs.axes import RowAxes
from sqlinfer.graphs.inspect import Graph
from sqlinfer.runtime.session import Session

__all__ = ["input_axes", "output_axis"]

Feeds = dict[str, np.ndarray]


def input_axes(session: Session, graph: Graph, feeds: Feeds) -> RowAxes:
    """Of the axes on which the inputs may have their rows, those with which most outputs follow the rows; the first,
    where no output moves.

    ``feeds``: rows that differ, as the graph takes them, which is with the first of the choices. Raises InvalidModel
    where outputs move, and never follow.
    """
    assumed = graph.row_axes[0]
    best, most = None, 0
    for axes in graph.row_axes:
        places = {name: _place(axis, assumed[name]) for name, axis in axes.items() if axis is not None}
        try:
            followed, missed = _count_following(session, graph, feeds, places)
        except ModelFailed:
            continue
        if followed > most or (axes is assumed and not missed):
            best, most = axes, followed
        if followed and not missed:
            break
    if best is None:
        name = next(name for name in assumed if len({axes[name] for axes in graph.row_axes}) > 1)
        raise InvalidModel.rows_anywhere("input", name, dict.fromkeys(axes[name] for axes in graph.row_axes))
    return best


def output_axis(session: Session, graph: Graph, name: str, axes: Sequence[int], batches: Sequence[Feeds]) -> int:
    """The one of ``axes`` that counts the rows of an output; the first that may, where the answers are too much alike.

    ``batches``: rows that differ, and others, should those not tell. Raises InvalidModel where no axis follows.
    """
    places = {tensor.name: 0 for tensor in graph.inputs if not tensor.shared}
    following = list(axes)
    for feeds in batches:
        try:
            before, after = _before_and_after(session, [name], feeds, places)[0]
        except ModelFailed:
            continue
        following = [axis for axis in following if _alike(np.roll(before, 1, axis), after, graph.tolerance)]
        if len(following) < 2:
            break
    if not following:
        raise InvalidModel.rows_anywhere("output", name, axes)
    return following[0]


def _place(axis: int, assumed: int | None) -> int:
    """Where an axis of the file's input is now that the one that was ``assumed`` stands first; shared values were given
    a first axis."""
    if axis == assumed:
        return 0
    return axis + 1 if assumed is None or axis < assumed else axis


def _count_following(session: Session, graph: Graph, feeds: Feeds, places: dict[str, int]) -> tuple[int, int]:
    """How many outputs move as the rows do when they are rolled along these axes, and how many move otherwise."""
    rows = next(feeds[name].shape[place] for name, place in places.items())
    followed = missed = 0
    for before, after in _before_and_after(session, list(graph.outputs), feeds, places):
        if isinstance(before, np.ndarray) and not _alike(before, after, graph.tolerance):
            rolled = (np.roll(before, 1, axis) for axis, length in enumerate(before.shape) if length == rows)
            follows = any(_alike(one, after, graph.tolerance) for one in rolled)
            followed, missed = followed + follows, missed + (not follows)
    return followed, missed


def _before_and_after(
    session: Session, outputs: list[str], feeds: Feeds, places: dict[str, int]
) -> list[tuple[np.ndarray, np.ndarray]]:
    rolled = {name: np.roll(feed, 1, places[name]) if name in places else feed for name, feed in feeds.items()}
    runs = (session.run(outputs, fed, len(next(iter(fed.values())))) for fed in (feeds, rolled))
    return list(zip(*runs, strict=True))


def _alike(one: np.ndarray, other: np.ndarray, tolerance: float) -> bool:
    if one.shape != other.shape or one.dtype.kind not in "fc":
        return np.array_equal(one, other)
    size = float(np.max(np.abs(one), initial=0.0, where=np.isfinite(one)))
    return np.allclose(one, other, rtol=tolerance, atol=tolerance * size, equal_nan=True)

"""Once per row: the answers of the rows that this thread has just scored.

DuckDB evaluates ``SELECT predict(x) … WHERE predict(x) > k`` twice: for every row, then, in the same thread and right
after, for the rows that survive the filter. The survivors' last row is therefore always among the rows of the batch
scored before. Where it is, all their answers are at hand; where it is not, looking cost one comparison per row.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable
from functools import cached_property

import numpy as np
import pyarrow as pa

from sqlinfer.runtime.batches import Group

__all__ = ["BatchCache"]

# Survivors of a strict filter are gathered from many vectors before they are passed on.
_BYTES = 4 << 20
_BATCHES = 128
_MULTIPLIER = np.uint64(0x9E3779B97F4A7C15)


class BatchCache:
    """For one thread and one call of one model, so without locks. Holds at most 4 MiB of rows, or one batch."""

    def __init__(self) -> None:
        self._batches: deque[_Scored] = deque()
        self._bytes = 0

    def score(self, group: Group, run: Callable[[Group], pa.Array]) -> pa.Array:
        """The answers for ``group``: those that are known, and for the other rows what ``run`` says."""
        rows = _Rows(group)
        if not self._batches or not self._batches[-1].rows.may_hold_last_of(rows):
            answers = run(group)
            self._remember(_Scored(rows, answers))
            return answers
        sources: list[pa.Array] = []
        take = np.full(group.count, -1, np.int64)
        total = 0
        for batch in reversed(self._batches):
            unknown = np.flatnonzero(take < 0)
            if not len(unknown):
                break
            found = batch.rows.find(rows, unknown)
            if (found >= 0).any():
                take[unknown] = np.where(found >= 0, found + total, -1)
                sources.append(batch.answers)
                total += len(batch.answers)
        fresh = np.flatnonzero(take < 0)
        if len(fresh):
            take[fresh] = np.arange(total, total + len(fresh))
            sources.append(run(Group({name: feed[fresh] for name, feed in group.feeds.items()}, len(fresh))))
        joined = sources[0] if len(sources) == 1 else pa.concat_arrays(sources)
        return joined.take(pa.array(take))

    def _remember(self, batch: _Scored) -> None:
        self._batches.append(batch)
        self._bytes += batch.rows.nbytes
        while len(self._batches) > 1 and (self._bytes > _BYTES or len(self._batches) > _BATCHES):
            self._bytes -= self._batches.popleft().rows.nbytes


class _Scored:
    __slots__ = ("answers", "rows")

    def __init__(self, rows: _Rows, answers: pa.Array) -> None:
        self.rows = rows
        self.answers = answers


class _Rows:
    """The rows of a batch as the model is fed them, comparable bit by bit: NaN is itself here."""

    def __init__(self, group: Group) -> None:
        self._shapes = [feed.shape[1:] for feed in group.feeds.values()]
        self._columns = [_comparable(feed.reshape(group.count, -1)) for feed in group.feeds.values()]
        self._last = [column[-1].tolist() for column in self._columns]
        self.nbytes = sum(feed.nbytes for feed in group.feeds.values())

    def may_hold_last_of(self, other: _Rows) -> bool:
        """Whether the last row of ``other`` is one of these."""
        filled = [i for i, column in enumerate(self._columns) if column.shape[1]]
        if not filled or self._shapes != other._shapes:
            return False
        cheapest = min(filled, key=lambda i: self._columns[i].dtype == object)
        candidates = np.flatnonzero(self._columns[cheapest][:, 0] == other._last[cheapest][0])
        if not len(candidates):
            return False
        return any(
            all(c[row].tolist() == last for c, last in zip(self._columns, other._last, strict=True))
            for row in candidates[:64].tolist()
        )

    def find(self, other: _Rows, which: np.ndarray) -> np.ndarray:
        """For each of the rows ``which`` of ``other``, its position among these, or -1."""
        if self._shapes != other._shapes:
            return np.full(len(which), -1)
        order, hashes = self._index
        wanted = other._hashes[which]
        place = np.minimum(np.searchsorted(hashes, wanted), len(hashes) - 1)
        found = order[place]
        same = hashes[place] == wanted
        for ours, theirs in zip(self._columns, other._columns, strict=True):
            same &= (ours[found] == theirs[which]).all(axis=1)
        return np.where(same, found, -1)

    @cached_property
    def _index(self) -> tuple[np.ndarray, np.ndarray]:
        order = np.argsort(self._hashes, kind="stable")
        return order, self._hashes[order]

    @cached_property
    def _hashes(self) -> np.ndarray:
        total = np.zeros(len(self._columns[0]), np.uint64)
        for column in self._columns:
            numbers = _hashed(column) if column.dtype == object else column
            for i in range(column.shape[1]):
                total = (total ^ numbers[:, i].astype(np.uint64)) * _MULTIPLIER
                total ^= total >> np.uint64(29)
        return total


def _comparable(feed: np.ndarray) -> np.ndarray:
    """Numbers as the unsigned integers of their bits; texts as they are."""
    return feed if feed.dtype == object else feed.view(f"u{feed.itemsize}")


def _hashed(texts: np.ndarray) -> np.ndarray:
    flat = np.fromiter(map(hash, texts.ravel().tolist()), np.int64, texts.size)
    return flat.reshape(texts.shape).view(np.uint64)

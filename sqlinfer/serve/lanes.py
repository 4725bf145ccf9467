"""Rows of many requests, scored together: a lane for each call of each version of a model.

What arrives while a batch runs makes the next one, so that nobody waits where nothing runs. A request whose rows fail
in the company of others is scored alone, and gets the error that it gets alone.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from itertools import accumulate

import pyarrow as pa

__all__ = ["Batching", "Lane"]

# Rows that are scored without a look at whether anybody still waits for them.
_SLICE = 65_536
# Rows that a quick lane scores on the thread that asks.
_FEW = 8
Score = Callable[[pa.RecordBatch], pa.Array]


@dataclass(frozen=True, slots=True)
class Batching:
    """``most``: rows of several requests that are scored together; ``wait``: seconds that an idle lane waits for
    others. ``seen`` is told of each batch: its rows. ``is_calm``: whether there is but one request in the house."""

    pool: Executor
    most: int
    wait: float
    seen: Callable[[int], None]
    is_calm: Callable[[], bool] = lambda: False


@dataclass(slots=True)
class _Asked:
    rows: pa.RecordBatch
    answer: asyncio.Future[pa.Array]


class Lane:
    """``alone``: requests are scored one behind the other, as those of a model whose answers change with the rows
    beside, in any bit. ``quick``: a row takes less time than to ask another thread for it."""

    def __init__(self, score: Score, batching: Batching, *, alone: bool = False, quick: bool = False) -> None:
        self._score = score
        self._batching = batching
        self._most = batching.most
        self._at_once = _FEW if quick and not batching.wait else 0
        self._run = _score_apart if alone else _score_together
        self._waiting: deque[_Asked] = deque()
        self._running = False
        self._timer: asyncio.TimerHandle | None = None

    async def answers(self, rows: pa.RecordBatch) -> pa.Array:
        """Raises what the scorer raises for these rows."""
        if rows.num_rows <= self._at_once and not self._running and self._batching.is_calm():
            self._batching.seen(rows.num_rows)
            return self._score(rows)
        loop = asyncio.get_running_loop()
        if rows.num_rows >= self._most:
            return await self._in_slices(loop, rows)
        asked = _Asked(rows, loop.create_future())
        self._waiting.append(asked)
        if not self._running:
            self._soon(loop)
        return await asked.answer

    async def _in_slices(self, loop: asyncio.AbstractEventLoop, rows: pa.RecordBatch) -> pa.Array:
        """Many rows, which nobody else is put beside; one who gives up ends between two slices."""
        parts = []
        for start in range(0, rows.num_rows, _SLICE) or [0]:
            part = rows.slice(start, _SLICE)
            self._batching.seen(part.num_rows)
            parts.append(await loop.run_in_executor(self._batching.pool, self._score, part))
        return parts[0] if len(parts) == 1 else pa.concat_arrays(parts)

    def _soon(self, loop: asyncio.AbstractEventLoop) -> None:
        full = sum(asked.rows.num_rows for asked in self._waiting) >= self._most
        if full or not self._batching.wait:
            self._start()
        elif self._timer is None:
            self._timer = loop.call_later(self._batching.wait, self._start)

    def _start(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        batch = self._next()
        if not batch:
            return
        self._running = True
        self._batching.seen(sum(asked.rows.num_rows for asked in batch))
        loop = asyncio.get_running_loop()
        work = loop.run_in_executor(self._batching.pool, self._run, self._score, [asked.rows for asked in batch])
        work.add_done_callback(lambda done: self._finish(batch, done))

    def _next(self) -> list[_Asked]:
        """Those that wait, of one schema and no more rows than go together; who has given up is left out."""
        batch, others, rows = list[_Asked](), list[_Asked](), 0
        while self._waiting:
            asked = self._waiting.popleft()
            if asked.answer.done():
                continue
            if batch and asked.rows.schema != batch[0].rows.schema:
                others.append(asked)
                continue
            if batch and rows + asked.rows.num_rows > self._most:
                self._waiting.appendleft(asked)
                break
            batch.append(asked)
            rows += asked.rows.num_rows
        self._waiting.extendleft(reversed(others))
        return batch

    def _finish(self, batch: Sequence[_Asked], done: asyncio.Future[list[pa.Array | Exception]]) -> None:
        self._running = False
        if self._waiting:
            self._start()
        failed = done.exception()
        outcomes = [failed] * len(batch) if failed is not None else done.result()
        for asked, outcome in zip(batch, outcomes, strict=True):
            if asked.answer.done():
                continue
            if isinstance(outcome, BaseException):
                asked.answer.set_exception(outcome)
            else:
                asked.answer.set_result(outcome)


def _score_together(score: Score, batches: Sequence[pa.RecordBatch]) -> list[pa.Array | Exception]:
    """On a thread of the pool. What fails in company finds out alone whether it is its own rows."""
    if len(batches) > 1:
        try:
            answers = score(pa.concat_batches(batches))
        except Exception:
            return _score_apart(score, batches)
        starts = accumulate((batch.num_rows for batch in batches), initial=0)
        return [answers.slice(start, batch.num_rows) for start, batch in zip(starts, batches, strict=False)]
    return _score_apart(score, batches)


def _score_apart(score: Score, batches: Sequence[pa.RecordBatch]) -> list[pa.Array | Exception]:
    return [_one(score, batch) for batch in batches]


def _one(score: Score, rows: pa.RecordBatch) -> pa.Array | Exception:
    try:
        return score(rows)
    except Exception as error:
        return error

"""Rows of several requests are scored together, and none of them knows."""

from __future__ import annotations

import asyncio
import threading
from concurrent.futures import ThreadPoolExecutor

import pyarrow as pa
import pytest

from sqlinfer.errors import FeatureError
from sqlinfer.serve.lanes import Batching, Lane, _score_together
from sqlinfer.serve.models import _tried
from tests.processes import HANG


class Doubling:
    """A scorer that answers when its gate is open, and refuses negative numbers."""

    def __init__(self) -> None:
        self.gate = threading.Event()
        self.begun = threading.Event()
        self.batches: list[list[float]] = []

    def __call__(self, rows: pa.RecordBatch) -> pa.Array:
        values = rows.column(0).to_pylist()
        self.batches.append(values)
        self.begun.set()
        assert self.gate.wait(HANG)
        if min(values) < 0:
            raise FeatureError(f"{min(values)} of {len(values)} is negative")
        return pa.array([2 * value for value in values])


def rows(*values, name: str = "x") -> pa.RecordBatch:
    return pa.record_batch({name: list(values)})


def run(test, most: int = 8, wait: float = 0.0, alone: bool = False) -> Doubling:
    """``test(lane, scorer)``, with the lane's first batch at the gate."""
    scorer = Doubling()
    with ThreadPoolExecutor(4) as pool:

        async def main() -> None:
            lane = Lane(scorer, Batching(pool, most, wait, lambda rows: None), alone=alone)
            async with asyncio.timeout(HANG):
                first = asyncio.create_task(lane.answers(rows(1.0)))
                while not scorer.begun.is_set():
                    await asyncio.sleep(0)
                await test(lane, scorer)
                assert (await first).to_pylist() == [2.0]

        try:
            asyncio.run(main())
        finally:
            scorer.gate.set()
    return scorer


async def together(lane: Lane, scorer: Doubling, *batches: pa.RecordBatch) -> list:
    """What requests are answered that all wait before the gate opens."""
    tasks = [asyncio.create_task(lane.answers(batch)) for batch in batches]
    await asyncio.sleep(0)
    scorer.gate.set()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    return [one.to_pylist() if isinstance(one, pa.Array) else str(one) for one in found]


def test_what_comes_while_a_batch_runs_is_the_next_one():
    async def test(lane, scorer):
        assert await together(lane, scorer, rows(2.0), rows(3.0, 4.0), rows(5.0)) == [[4.0], [6.0, 8.0], [10.0]]

    assert run(test).batches == [[1.0], [2.0, 3.0, 4.0, 5.0]]


def test_a_batch_has_no_more_rows_than_go_together_and_one_schema():
    async def test(lane, scorer):
        found = await together(lane, scorer, rows(2.0, 3.0), rows(4, 5), rows(6.0, 7.0), rows(8.0, 9.0))
        assert found == [[4.0, 6.0], [8, 10], [12.0, 14.0], [16.0, 18.0]]

    assert run(test, most=4).batches == [[1.0], [2.0, 3.0, 6.0, 7.0], [4, 5], [8.0, 9.0]]


def test_a_bad_row_fails_alone():
    async def test(lane, scorer):
        found = await together(lane, scorer, rows(2.0), rows(-3.0, 4.0), rows(5.0))
        assert found == [[4.0], "-3.0 of 2 is negative", [10.0]]

    run(test)


def test_texts_with_dictionaries_of_their_own_go_together():
    batches = [pa.record_batch({"x": pa.array(texts).dictionary_encode()}) for texts in (["a", "b"], ["c"], ["b", "c"])]

    def same(rows: pa.RecordBatch) -> pa.Array:
        return rows.column(0).cast(pa.string())

    found = _score_together(same, batches)
    assert [one.to_pylist() for one in found] == [["a", "b"], ["c"], ["b", "c"]]


def test_many_rows_wait_for_nobody():
    async def test(lane, scorer):
        many = asyncio.create_task(lane.answers(rows(*map(float, range(100)))))
        while len(scorer.batches) < 2:
            await asyncio.sleep(0)
        scorer.gate.set()
        assert len(await many) == 100

    run(test)


def test_a_model_that_minds_company_is_asked_row_by_row():
    async def test(lane, scorer):
        assert await together(lane, scorer, rows(2.0), rows(3.0)) == [[4.0], [6.0]]

    assert run(test, alone=True).batches == [[1.0], [2.0], [3.0]]


def test_few_rows_that_mind_company_are_found_when_a_model_is_opened():
    def score(rows: pa.Table) -> pa.Array:
        a, b = (column.to_pylist() for column in rows.columns)
        return pa.array(
            [x + y + (1e-9 if len(rows) > 1 and (x, y) in minds else 0.0) for x, y in zip(a, b, strict=True)]
        )

    proof = pa.table({"a": [0.0, 1.0, 2.0, 3.0], "b": [0.0, 1.0, 2.0, 3.0]})
    minds: set[tuple[float, float]] = set()
    assert not _tried(score, proof).alone
    minds = {(1.0, 2.0)}  # none of the rows that it was proven with
    assert _tried(score, proof).alone


def test_who_gives_up_is_not_scored():
    async def test(lane, scorer):
        gone = asyncio.create_task(lane.answers(rows(2.0)))
        await asyncio.sleep(0)
        gone.cancel()
        assert await together(lane, scorer, rows(3.0)) == [[6.0]]

    assert run(test).batches == [[1.0], [3.0]]


@pytest.mark.parametrize("calm", [True, False])
def test_a_quick_row_is_scored_at_once_where_nobody_else_asks(calm):
    threads: list[int] = []

    def score(rows: pa.RecordBatch) -> pa.Array:
        threads.append(threading.get_ident())
        return rows.column(0)

    with ThreadPoolExecutor(1) as pool:
        lane = Lane(score, Batching(pool, 8, 0.0, lambda rows: None, lambda: calm), quick=True)
        assert asyncio.run(lane.answers(rows(2.0))).to_pylist() == [2.0]
    assert (threads == [threading.get_ident()]) == calm


@pytest.mark.parametrize("wait", [0.0, 0.01])
def test_an_idle_lane_goes_on(wait):
    async def test(lane, scorer):
        scorer.gate.set()
        for value in (2.0, 3.0):
            assert (await lane.answers(rows(value))).to_pylist() == [2 * value]

    run(test, wait=wait)

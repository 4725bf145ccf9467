"""Synthetic rows beyond the sample: does the graph answer them as the original does, or refuse them?

A sample shows what is usual. What a model does with the rest, with missing and infinite numbers, zeros, both sides of
its own thresholds, categories that it never saw, texts of other scripts, is asked of the original itself.
"""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, replace
from itertools import pairwise
from typing import Any

import numpy as np
import pyarrow as pa

from sqlinfer.convert import Candidate, Original
from sqlinfer.engines.database import Database
from sqlinfer.errors import EngineError, ProofFailed
from sqlinfer.graphs.splits import splits
from sqlinfer.models.compare import typical_size
from sqlinfer.models.manifest import Refusals
from sqlinfer.models.reference import Reference
from sqlinfer.models.registry import Registry
from sqlinfer.models.sample import Sample
from sqlinfer.models.signature import Feature, Signature
from sqlinfer.progress import step
from sqlinfer.trials.guards.asking import Refusal, Reply, ask, one_thread
from sqlinfer.trials.guards.comparing import Comparison, brief, differing_call, refused, row_text
from sqlinfer.trials.guards.guarding import guarded, guarded_further
from sqlinfer.trials.guards.rows import LARGEST_WHOLE, Batch, SyntheticRow, is_number, made_rows
from sqlinfer.trials.guards.steps import rows_at_steps
from sqlinfer.trials.probe import Probe

__all__ = ["TRIALS", "Guarded", "Trials"]

TRIALS = 1000
_DOUBLE = 1e-6
_ASKED_AGAIN = 3
# The last resort for a model that takes minutes: rows that come later are not tried.
_SECONDS = 30.0


@dataclass(frozen=True, slots=True)
class Guarded:
    """``lost``: how many rows the guards refuse that the original answers. ``refusals``: what the graph refuses."""

    signature: Signature
    lost: int = 0
    refusals: tuple[Refusals, ...] = ()


class Trials:
    """The made-up rows of one registration, and what the original says of them; both are made once, for all
    candidates. ``nulls``: the features whose NULL is tried, too; not where the user has said what it does. ``typed``:
    numbers and texts also in columns of DuckDB's other types. ``seconds``: rows that come later are not tried.
    ``images``: files, by feature that takes images."""

    def __init__(
        self,
        original: Original,
        sample: Sample,
        count: int,
        *,
        nulls: Collection[str],
        typed: bool = False,
        seconds: float = _SECONDS,
        images: Mapping[str, Sequence[bytes]] | None = None,
    ) -> None:
        self._original = original
        self._sample = sample
        self._count = count
        self._nulls = nulls
        self._typed = typed
        self._seconds = seconds
        self._images = images or {}
        self._asked: list[tuple[Batch, list[Reply | None]]] | None = None
        self._typical: dict[str, float] = {}

    @property
    def are_none(self) -> bool:
        return not self._count

    def guards(self, probe: Probe, candidate: Candidate, expected: Mapping[str, Any], tolerance: float) -> Guarded:
        """The signature with guards against what the graph answers otherwise. Raises ProofFailed where guards of single
        features do not tell such rows."""
        signature = probe.signature
        if not self._count:
            return Guarded(signature)
        with one_thread():
            asked = self._all(candidate, signature.features, expected)
        step("asking the graph for made-up rows")
        features = self._in_order(signature)
        tolerance = max(tolerance, _DOUBLE)
        tried: list[Comparison] = []
        for batch, originals in asked:
            given = _asked_alike(probe.answers, batch, originals)
            tried += self._tried(features, batch.rows, originals, given, tolerance)
        if any(one.wrong for one in tried):
            features = guarded(self._original, features, self._sample.table, tried)
        gone = refused(features, [one.row for one in tried])
        for one, is_gone in zip(tried, gone, strict=True):
            if one.wrong and not is_gone:
                raise self._failure(probe.name, features, one, self._original.conversion)
        lost = sum(one.is_answered and is_gone for one, is_gone in zip(tried, gone, strict=True))
        left = [one for one, is_gone in zip(tried, gone, strict=True) if one.is_answered and not is_gone]
        return Guarded(_with(signature, features), lost, _refusals(left, f"model {probe.name!r} failed: "))

    def settle(
        self,
        reference: Reference,
        signature: Signature,
        tolerance: float,
        registry: Registry,
        store: Callable[[Signature], None],
    ) -> None:
        """``store`` the model with guards against all that SQL was seen to answer otherwise. Raises ProofFailed."""
        stored, told = None, signature
        while stored != told:  # each round has more guards
            stored = told
            store(stored)
            told = self._confirmed(reference, stored, tolerance, registry)

    def _confirmed(self, reference: Reference, signature: Signature, tolerance: float, registry: Registry) -> Signature:
        """The signature with guards, beside those that it has, against what an engine answers otherwise through SQL.
        Raises ProofFailed where guards do not tell such rows."""
        features = self._in_order(signature)
        for engine in ("native", "arrow") if self._asked else ():
            step(f"asking SQL for made-up rows ({engine})")
            try:
                database = Database(registry, engine)
            except EngineError:  # it is not installed
                continue
            with database:
                tried = self._asked_of(database, reference, signature, max(tolerance, _DOUBLE))
            if not any(one.wrong for one in tried):
                continue
            features = guarded_further(self._original, features, self._sample.table, tried)
            gone = refused(features, [one.row for one in tried])
            for one, is_gone in zip(tried, gone, strict=True):
                if one.wrong and not is_gone:
                    raise self._failure(reference.name, features, one, f"SQL ({engine})")
        return _with(signature, features)

    def _asked_of(
        self, database: Database, reference: Reference, signature: Signature, tolerance: float
    ) -> list[Comparison]:
        features = self._in_order(signature)
        tried: list[Comparison] = []
        for batch, originals in self._asked or ():
            gone = zip(refused(features, batch.rows), originals, strict=True)
            asked = [None if theirs is None else is_gone for is_gone, theirs in gone]
            answered = next((theirs for theirs in originals if theirs and not isinstance(theirs, Refusal)), {})
            calls = [call for call in signature.calls if call in answered] or ["predict"]
            given = _through_sql(database, reference, signature, batch, asked, calls)
            tried += self._tried(features, batch.rows, originals, given, tolerance)
        return tried

    def _all(
        self, candidate: Candidate, features: Sequence[Feature], expected: Mapping[str, Any]
    ) -> list[tuple[Batch, list[Reply | None]]]:
        if self._asked is None:
            step("making up rows that the sample does not show")
            self._typical = {call: typical_size(list(values)[:200]) for call, values in expected.items()}
            known = splits(candidate.model, features)
            jumps = [] if known.thresholds else rows_at_steps(self._sample, self._answers, _DOUBLE)
            batches = made_rows(
                self._sample, known, self._count, self._nulls, jumps, typed=self._typed, images=self._images
            )
            step(f"asking the original for {sum(len(batch.rows) for batch in batches)} made-up rows")
            until = time.monotonic() + self._seconds
            self._asked = [(batch, self._said(batch, until)) for batch in batches]
        return self._asked

    def _said(self, batch: Batch, until: float) -> list[Reply | None]:
        said = ask(self._answers, batch.table, batch.parts, until)
        pairs = zip(batch.rows, said, strict=True)
        refuses_types = any(not row.changed and isinstance(one, Refusal) for row, one in pairs)
        return [None] * len(said) if refuses_types else said

    def _answers(self, table: pa.Table) -> dict[str, Any]:
        return self._original.answers(replace(self._sample, table=table))

    def _in_order(self, signature: Signature) -> list[Feature]:
        """A feature for each column of the sample."""
        by_name = {feature.name: feature for feature in signature.features}
        return [by_name[name] for name in self._sample.names]

    def _tried(
        self,
        features: Sequence[Feature],
        rows: Sequence[SyntheticRow],
        originals: Sequence[Reply | None],
        given: Sequence[Reply | None],
        tolerance: float,
    ) -> list[Comparison]:
        return [
            Comparison(row, theirs, ours, differing_call(features, row, theirs, ours, tolerance, self._typical))
            for row, theirs, ours in zip(rows, originals, given, strict=True)
            if theirs is not None and ours is not None
        ]

    def _failure(self, name: str, features: Sequence[Feature], one: Comparison, who: str) -> ProofFailed:
        call = one.wrong or "predict"
        return ProofFailed.of(
            name,
            f"for a row that the sample does not show, {row_text(features, one.row)}, {self._original.model} "
            f"{brief(one.original, call)} and {who} {brief(one.graph, call)}; leave the step that makes the difference "
            "out of the model and do it in SQL, or, where such rows never come, register it without trials "
            "(--trials 0, trials=0)",
        )


def _with(signature: Signature, features: Sequence[Feature]) -> Signature:
    by_name = {feature.name: feature for feature in features}
    return replace(signature, features=tuple(by_name[f.name] for f in signature.features))


def _refusals(tried: Sequence[Comparison], before: str) -> tuple[Refusals, ...]:
    """Of rows without extremes. ``before``: what stands before what the graph says."""
    usual = [one for one in tried if all(_is_usual(value) for value in one.row.values)]
    reasons = Counter(one.graph.reason for one in usual if isinstance(one.graph, Refusal))
    if not reasons:
        return ()
    says = reasons.most_common(1)[0][0].removeprefix(before)
    return (Refusals("made up", len(usual), reasons.total(), says),)


def _is_usual(value: Any) -> bool:
    """No number that hardly any table has."""
    return not is_number(value) or abs(value) <= LARGEST_WHOLE


def _asked_alike(
    answers: Callable[[pa.Table], Mapping[str, Sequence[Any]]], batch: Batch, originals: Sequence[Reply | None]
) -> list[Reply | None]:
    """Of the rows that the original was asked for, what others answer."""
    places = [i for i, theirs in enumerate(originals) if theirs is not None]
    ends = np.cumsum([0, *batch.parts])
    parts = [sum(start <= i < end for i in places) for start, end in pairwise(ends.tolist())]
    given = ask(answers, batch.table.take(pa.array(places, pa.int64())), parts, math.inf)
    found: dict[int, Reply | None] = dict(zip(places, given, strict=True))
    return [found.get(i) for i in range(len(originals))]


def _through_sql(
    database: Database,
    reference: Reference,
    signature: Signature,
    batch: Batch,
    gone: Sequence[bool | None],
    calls: Sequence[str],
) -> list[Reply | None]:
    """The answers to the ``calls``. Rows that are to be refused (``gone``) are asked apart, so that the others are
    asked at once; None is not asked. A row that fails is NULL; of those without a NULL of their own a few are asked
    what the error is."""
    made, table = batch.rows, batch.table.select(signature.feature_names)

    def rows(places: Sequence[int], template: str) -> list[Reply]:
        columns = (template.format(f"{call}('{reference}', given)") for call in calls)
        given = database.ask(f"SELECT {', '.join(columns)} FROM given", table.take(pa.array(places, pa.int64())))
        return [Refusal("an error, or NULL") if None in row else dict(zip(calls, row, strict=True)) for row in given]

    said: dict[int, Reply] = {}
    for wanted, template in ((False, "{}"), (True, "TRY({})")):
        places = [i for i, one in enumerate(gone) if one is wanted]
        try:
            answers = rows(places, template) if places else []
        except Exception:  # the engines raise DuckDB's errors as well as ours
            answers = rows(places, "TRY({})")
        said |= dict(zip(places, answers, strict=True))
    silent = [i for i, one in said.items() if isinstance(one, Refusal) and not made[i].has_null]
    for i in silent[:_ASKED_AGAIN]:
        with suppress(Exception):
            rows([i], "{}")
            said[i] = dict.fromkeys(calls)
    return [said.get(i) for i in range(len(gone))]

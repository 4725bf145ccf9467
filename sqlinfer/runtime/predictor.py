"""One call of one model: batches of Arrow columns in, a column of answers out."""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextvars import copy_context
from typing import Generic, TypeVar

import numpy as np
import pyarrow as pa

from sqlinfer.errors import ModelFailed
from sqlinfer.models.formula import Formula
from sqlinfer.models.registry import StoredModel
from sqlinfer.models.signature import Call, Signature, TextPreparation
from sqlinfer.runtime.batch_cache import BatchCache
from sqlinfer.runtime.batches import Group, Plan, Preparer, plan
from sqlinfer.runtime.content_cache import ContentCache, keys
from sqlinfer.runtime.failing import OF_A_ROW, of_first_row
from sqlinfer.runtime.guards import require_allowed
from sqlinfer.runtime.linear import Linear
from sqlinfer.runtime.outputs import answer, answer_type
from sqlinfer.runtime.preprocess import chunks, prepared_groups, preparers
from sqlinfer.runtime.session import Session, sessions
from sqlinfer.runtime.texts import TOKENS_PER_RUN
from sqlinfer.runtime.unreadable import Unreadable
from sqlinfer.types import DTYPES

__all__ = ["ROWS_PER_BATCH", "Predictor", "open_predictor"]

# As many as DuckDB hands over at a time.
ROWS_PER_BATCH = 2048

# An image model must not take a whole vector of rows at once: inputs of 4 MiB make activations of hundreds.
_BYTES_PER_RUN = 4 << 20
# Between runs an interrupted query stops.
_SECONDS_PER_RUN = 0.25
# How many rows show what a row costs.
_FIRST_ROWS = 16

T = TypeVar("T")


def open_predictor(reference: str, model: StoredModel, call: str) -> Predictor:
    """What answers a call of a stored model, whoever asks; it lives as long as the model is loaded. Raises
    ModelNotFound where the model has no such answer, RegistryError, InvalidModel."""
    session, manifest = sessions.get(model), model.manifest

    def opened() -> Predictor:
        return Predictor(reference, manifest.signature, model.call(call), session, manifest.formula)

    return session.once(f"{call}({reference})", opened)


class Predictor:
    """Call it with one Arrow array per argument; it may be called from any thread."""

    def __init__(
        self, model: str, signature: Signature, call: Call, session: Session, formula: Formula | None = None
    ) -> None:
        """``formula``: what the graph is, if it is nothing else. Of a model that is stored, by `open_predictor`."""
        self.model = model
        self.signature = signature
        self.call = call
        self.session = session
        self._linear = Linear(formula, DTYPES[signature.inputs[0].dtype].numpy) if formula else None
        self._outputs = list(dict.fromkeys(call.outputs))
        self._plans: dict[tuple[pa.DataType, ...], Plan] = {}
        self._batch_caches = _PerThread(BatchCache)
        self._content_caches = _PerThread(ContentCache)

    @np.errstate(all="ignore")  # NaN and infinities are answers
    def __call__(
        self, *args: pa.ChunkedArray | pa.Array, then: Callable[[pa.Array], pa.Array] | None = None
    ) -> pa.Array:
        """The answers, one a row. Raises FeatureError before any row is scored, or ModelFailed.

        ``then``: what becomes of them; it may raise ModelFailed, too.
        """
        arrays = [_one_array(arg) for arg in args]
        plan = self._plan(arrays)

        def score(arrays: Sequence[pa.Array]) -> pa.Array:
            answers = self._score_rows(plan, arrays)
            return answers if then is None else then(answers)

        try:
            return score(arrays)
        except OF_A_ROW as error:
            raise of_first_row(score, plan, arrays, error) from error.__cause__

    def _score_rows(self, plan: Plan, arrays: Sequence[pa.Array]) -> pa.Array:
        require_allowed(plan, arrays)
        if self.signature.is_prepared:
            return self._score_prepared(plan, arrays)
        if self._linear is not None and (values := plan.values(arrays)) is not None:
            sums = self._linear(values)
            if not np.isfinite(sums).all():
                self._refuse(plan.pack(arrays).groups)
            return answer(self.signature, self.call, [sums])
        packed = plan.pack(arrays)
        parts = [self._score(group) for group in packed.groups]
        if not parts:
            answers = pa.nulls(0, answer_type(self.signature, self.call))
        else:
            answers = parts[0] if len(parts) == 1 else pa.concat_arrays(parts)
        if packed.groups and packed.groups[0].rows is not None:
            order = np.concatenate([group.rows for group in packed.groups if group.rows is not None])
            answers = answers.take(pa.array(np.argsort(order)))
        return answers if packed.keep is None else _spread(answers, packed.keep)

    def check(self, given: Sequence[pa.DataType]) -> None:
        """Raise FeatureError if arguments of these types are not what the model takes."""
        plan(self.model, self.signature, given)

    def infer(self, feeds: dict[str, np.ndarray], rows: int) -> list[np.ndarray]:
        """The tensors of the call's outputs, of one run. Raises ModelFailed."""
        if self._linear is not None:
            (matrix,) = feeds.values()
            sums = self._linear(list(matrix.T))
            if not np.isfinite(sums).all():
                self._refuse([Group(feeds, rows)])
            return [sums]
        filled = self.signature.batch.filled(rows)
        if rows < filled:
            feeds = {name: np.concatenate([x, np.repeat(x[-1:], filled - rows, axis=0)]) for name, x in feeds.items()}
        tensors = self.session.run(self._outputs, feeds, filled)
        odd = next((tensor for tensor in tensors if len(tensor) != filled), None)
        if odd is not None:
            raise ModelFailed(f"model {self.model!r} answers a tensor of shape {list(odd.shape)} for {rows} rows")
        return [tensor[:rows] for tensor in tensors]

    def _refuse(self, groups: Sequence[Group]) -> None:
        """Let the graph look at rows whose sums are not finite: it may not take them. Raises ModelFailed."""
        for group in groups:
            self.session.run(self._outputs, group.feeds, group.count)

    def _plan(self, arrays: Sequence[pa.Array]) -> Plan:
        given = tuple(array.type for array in arrays)
        found = self._plans.get(given)
        if found is None:
            found = self._plans[given] = plan(self.model, self.signature, given, self._preparers())
        return found

    def _preparers(self) -> Mapping[str, Preparer]:
        return self.session.once("preparers", lambda: preparers(self.signature, self.session.file))

    def _score_prepared(self, plan: Plan, arrays: Sequence[pa.Array]) -> pa.Array:
        columns, keep = plan.columns(arrays)
        if not len(columns[0]):
            answers = pa.nulls(0, answer_type(self.signature, self.call))
        else:
            cache = self._content_caches.here()
            try:
                answers = cache.score(keys(columns), lambda rows: self._run_prepared(plan, columns, rows))
            except Unreadable as error:
                raise error.error(self.model) from error
        return answers if keep is None else _spread(answers, keep)

    def _run_prepared(self, plan: Plan, columns: Sequence[pa.Array], rows: np.ndarray) -> pa.Array:
        """The answers of the rows at these places."""
        answers, order = [], []
        for some in chunks(self.signature, self._preparers(), columns, rows):
            groups = prepared_groups(plan, columns, some)
            answers += self._run_all(groups, len(some))
            order += [np.asarray(group.rows) for group in groups]
        joined = pa.concat_arrays(answers)
        position = np.empty(len(columns[0]), np.int64)
        position[np.concatenate(order)] = np.arange(len(joined))
        return joined.take(pa.array(position[rows]))

    def _score(self, group: Group) -> pa.Array:
        if group.rows is not None:
            return self._run(group)
        return self._batch_caches.here().score(group, self._run)

    def _run_all(self, groups: Sequence[Group], rows: int) -> list[pa.Array]:
        """Many small runs: several threads with a run each are done sooner than several threads in one run."""
        if len(groups) == 1:
            return [self._run(groups[0])]
        with self.session.shared(rows) as threads:
            if threads == 1:
                return [self._run(group) for group in groups]
            contexts = [copy_context() for _ in groups]
            with ThreadPoolExecutor(threads) as pool:
                return list(pool.map(lambda context, group: context.run(self._run, group), contexts, groups))

    def _run(self, group: Group) -> pa.Array:
        parts = []
        for feeds, rows in self._slices(group):
            parts.append(answer(self.signature, self.call, self.infer(feeds, rows)))
            if len(parts[-1]) != rows:
                raise ModelFailed(f"model {self.model!r} gives {len(parts[-1])} answers for {rows} rows")
        return parts[0] if len(parts) == 1 else pa.concat_arrays(parts)

    def _slices(self, group: Group) -> Iterator[tuple[dict[str, np.ndarray], int]]:
        start = 0
        while start < group.count:
            rows = min(self._rows_per_run(group), group.count - start)
            if rows == group.count:
                yield group.feeds, rows
            else:
                yield {name: feed[start : start + rows] for name, feed in group.feeds.items()}, rows
            start += rows

    def _rows_per_run(self, group: Group) -> int:
        batch = self.signature.batch
        if batch.fixed is not None:
            return min(batch.fixed, batch.most or batch.fixed)
        size = sum(feed.nbytes for feed in group.feeds.values()) // group.count
        limit = max(1, _BYTES_PER_RUN // max(size, 1))
        texts = [f.tensor for f in self.signature.features if isinstance(f.prepare, TextPreparation)]
        tokens = [group.feeds[tensor].shape[1] for tensor in texts]
        if tokens:
            limit = min(limit, max(1, TOKENS_PER_RUN // max(1, *tokens)))
        seconds = self.session.seconds_per_row
        limit = min(limit, max(1, int(_SECONDS_PER_RUN / seconds)) if seconds else _FIRST_ROWS)
        return min(limit, batch.most or limit)


class _PerThread(Generic[T]):
    """One for each thread that has asked lately. By the number of the thread, not in a threading.local: DuckDB's
    threads are new ones to Python at each call."""

    def __init__(self, make: Callable[[], T]) -> None:
        self._make = make
        self._most = 2 * (os.cpu_count() or 1) + 2
        self._by_thread: OrderedDict[int, T] = OrderedDict()

    def here(self) -> T:
        thread = threading.get_ident()
        found = self._by_thread.get(thread)
        if found is None:
            found = self._by_thread[thread] = self._make()
            while len(self._by_thread) > self._most:
                self._by_thread.popitem(last=False)
        return found


def _one_array(arg: pa.ChunkedArray | pa.Array) -> pa.Array:
    if isinstance(arg, pa.Array):
        return arg
    return arg.chunk(0) if arg.num_chunks == 1 else arg.combine_chunks()


def _spread(answers: pa.Array, keep: np.ndarray) -> pa.Array:
    """Put the answers back at the rows that were scored; the others are NULL."""
    positions = np.cumsum(keep) - 1
    return answers.take(pa.array(positions, mask=~keep))

"""Do answers depend on the rows beside them? Different rows of one shape are run alone and together, and compared."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pyarrow as pa

from sqlinfer.errors import InvalidModel, ModelFailed
from sqlinfer.models.compare import compare
from sqlinfer.models.signature import Batch, Signature
from sqlinfer.runtime.batches import Group, exact, plan
from sqlinfer.runtime.predictor import Predictor
from sqlinfer.runtime.preprocess import preparers
from sqlinfer.runtime.session import Session
from sqlinfer.trials.mixing import mixes_rows

__all__ = ["UNMEASURED", "BatchInvariance", "Feeds"]

_ROWS = 8
# With fewer rows of the sample's own, made-up ones stand beside them.
_FEWEST = 4
_MOST_DIFFERENT = 1e6
# Of a graph that computes across rows, whose answers to the rows that were tried are the same all the same.
UNMEASURED = 1.0
# Sums over other threads differ in the last digits.
_REPEATED = 1e-4

# The tensors of one row, by input; each has one row.
Feeds = dict[str, np.ndarray]


class BatchInvariance:
    """A model that is not stored yet, on single rows and on several in one run. ``content``: of its graph."""

    def __init__(self, name: str, signature: Signature, session: Session, content: bytes) -> None:
        self.name = name
        self.signature = signature
        self.session = session
        self._content = content
        self._predictor = Predictor(name, signature, signature.calls["infer"], session)

    def rows(self, table: pa.Table) -> list[Feeds]:
        """Each row that has an answer; a row that is NULL has none."""
        columns = [table.column(feature.name).combine_chunks() for feature in self.signature.features]
        made = preparers(self.signature, self.session.file)
        packed = plan(self.name, self.signature, [column.type for column in columns], made).pack(columns)
        rows = (feeds for group in packed.groups for feeds in _one_by_one(group))
        return [feeds for feeds in rows if all(x.size for x in feeds.values())]

    def run(self, feeds: Feeds, rows: int = 1) -> Feeds:
        """All outputs, by name. Raises ModelFailed."""
        names = [output.name for output in self.signature.outputs]
        return dict(zip(names, self._predictor.infer(feeds, rows), strict=True))

    def takes(self, feeds: Feeds) -> bool:
        """Whether the model runs on a row that nobody gave."""
        try:
            self.run(feeds)
        except ModelFailed:
            return False
        return True

    def batch(self, rows: Sequence[Feeds], tolerance: float, *, together: bool) -> Batch:
        """Whether rows get in one run what they get alone, as is tried, and as the graph says of rows that are not
        tried; if not they are run one by one, unless their user wants them ``together`` all the same. ``rows``: any;
        those that can be in one run are picked, and others made up."""
        batch = self.signature.batch
        if rows:
            self._require_repeatable(rows[0])
        if not rows or batch.fixed == 1 or batch.most == 1:
            return batch
        some = self._different(rows)[: batch.fixed]
        some += self._made_up(some, min(_FEWEST, batch.fixed or _FEWEST) - len(some))
        if len(some) < 2:
            return batch
        feeds = {name: np.concatenate([row[name] for row in some]) for name in some[0]}
        started = time.perf_counter()
        joined = self.run(feeds, len(some))
        between = time.perf_counter()
        alone = [self.run(row) for row in some]
        ended = time.perf_counter()
        apart = self._apart(joined, {name: [one[name][0] for one in alone] for name in joined}, tolerance)
        if apart is None and mixes_rows(self.name, self._content, self.signature, some[0]):
            apart = UNMEASURED
        if apart is None:
            return batch
        if together:
            return replace(batch, neighbours=apart)
        cost = max(1.0, round((ended - between) / max(between - started, 1e-9), 1))
        return replace(batch, most=1, neighbours=apart, cost=cost)

    def _require_repeatable(self, row: Feeds) -> None:
        """Raises InvalidModel for answers that are random."""
        once, again = self.run(row), self.run(row)
        for name in once:
            if not compare({name: again[name]}, {name: once[name]}, _REPEATED).passed:
                raise InvalidModel.random(self.name, f"the same row gets another {name!r} each time")

    def _apart(self, joined: Feeds, alone: dict[str, list[np.ndarray]], tolerance: float) -> float | None:
        """How far the answers differ; None where they do not. The scores tell which labels tie."""
        proba = self.signature.calls.get("predict_proba")
        scores = {"predict_proba": alone[proba.outputs[0]]} if proba is not None and proba.decode == "map" else {}
        found = [compare({"": joined[name]}, {"": alone[name], **scores}, tolerance) for name in joined]
        if all(difference.passed for difference in found):
            return None
        return float(f"{min(max(difference.largest for difference in found), _MOST_DIFFERENT):.2g}")

    def _different(self, rows: Sequence[Feeds]) -> list[Feeds]:
        """Rows of the shape that most have, none twice, with the first one's value of what a run shares."""
        shapes: dict[tuple[tuple[int, ...], ...], list[Feeds]] = {}
        for feeds in rows:
            shapes.setdefault(tuple(x.shape for x in feeds.values()), []).append(feeds)
        alike = max(shapes.values(), key=len)
        shared = {tensor.name: alike[0][tensor.name] for tensor in self.signature.inputs if tensor.shared}
        found: dict[object, Feeds] = {}
        for feeds in alike:
            found.setdefault(_key({**feeds, **shared}), {**feeds, **shared})
            if len(found) == _ROWS:
                break
        return list(found.values())

    def _made_up(self, rows: Sequence[Feeds], count: int) -> list[Feeds]:
        """At most ``count`` rows of the same shape that the model takes: not every number may stand everywhere."""
        random = np.random.default_rng(0)
        features = {feature.tensor for feature in self.signature.features}
        vary = features - {tensor.name for tensor in self.signature.inputs if tensor.shared}
        known = {_key(feeds) for feeds in rows}
        found: list[Feeds] = []
        for _ in range(2 * max(count, 0)):
            feeds = {name: _another(x, random) if name in vary else x for name, x in rows[0].items()}
            if _key(feeds) in known or len(found) == count:
                continue
            known.add(_key(feeds))
            if self.takes(feeds):
                found.append(feeds)
        return found


def _one_by_one(group: Group) -> list[Feeds]:
    return [{name: feed[i : i + 1] for name, feed in group.feeds.items()} for i in range(group.count)]


def _key(feeds: Feeds) -> object:
    return tuple(exact(x) for x in feeds.values())


def _another(values: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Numbers of the same size; of whole numbers and texts the same in another order, since they may name something."""
    if np.issubdtype(values.dtype, np.floating):
        sizes = np.maximum(1, np.abs(np.nan_to_num(values, posinf=1, neginf=1)))
        numbers: np.ndarray = random.normal(size=values.shape) * sizes
        return numbers.astype(values.dtype)
    moved = random.permutation(values.ravel()).reshape(values.shape)
    if (moved != values).any():
        return moved
    few = np.array(["a", "b"], object) if values.dtype == object else np.array([0, 1]).astype(values.dtype)
    return random.choice(few, values.shape)

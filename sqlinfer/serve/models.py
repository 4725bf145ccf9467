"""What is served: references, what they mean now, and what answers for each version.

What a reference means is looked up again when the file that decides it is another one, which one look at its state
tells: a request sees each promotion that was before it. A version that no reference means any more is let go when its
last request has its answer.
"""

from __future__ import annotations

import asyncio
import math
import time
import weakref
from collections.abc import Callable, Sequence
from concurrent.futures import Executor
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import pyarrow as pa

from sqlinfer.errors import BadReference, FeatureError, ModelFailed, ModelNotFound, SqlinferError
from sqlinfer.models.files import FileState, state_of
from sqlinfer.models.reference import Reference
from sqlinfer.models.registry import Registry, StoredModel
from sqlinfer.models.sample import table_of_rows
from sqlinfer.runtime.scorer import Scorer
from sqlinfer.serve.errors import Refused
from sqlinfer.serve.lanes import Batching, Lane
from sqlinfer.serve.outputs import offered_by

__all__ = ["Served", "Version"]

T = TypeVar("T")
# A version that was asked for by its number, and is not any more.
_FORGOTTEN_AFTER = 600.0
# Rows that are scored alone and together when a model is opened: one in a hundred may differ, as of a logistic
# regression, whose exp() is another at the end of a vector. Where it takes longer, requests are scored apart.
_ROWS_AT_A_TIME = 64
_TIMES_TRIED = 8
_SECONDS_TO_TRY = 1.0
# Seconds for a row that others may wait for.
_QUICK = 0.0005


class Version:
    """One version of a model: a lane for each of its calls."""

    def __init__(self, registry: Registry, model: StoredModel, batching: Batching) -> None:
        self.model = model
        self.name = model.manifest.name
        self.version = str(model.manifest.version)
        self.sha256 = model.manifest.sha256
        self.signature = model.manifest.signature
        self.outputs = offered_by(self.signature)
        self.headers = [
            (b"x-model-name", self.name.encode()),
            (b"x-model-version", self.version.encode()),
            (b"x-model-sha256", self.sha256.encode()),
        ]
        self._registry = registry
        self._batching = batching
        self.is_batched = False
        self._lanes: dict[str, Lane] = {}
        self._opening = asyncio.Lock()

    async def open(self) -> None:
        """From now on it answers, also when its files are removed. Raises RegistryError, ModelNotFound, EngineError,
        InvalidModel, ModelFailed."""
        if self._lanes:
            return
        async with self._opening:
            if not self._lanes:
                loop = asyncio.get_running_loop()
                scorers, manner = await loop.run_in_executor(self._batching.pool, self._opened)
                self.is_batched = not manner.alone
                self._lanes = {
                    call: Lane(score, self._batching, alone=manner.alone, quick=manner.quick)
                    for call, score in scorers.items()
                }

    def lane(self, call: str) -> Lane:
        """Of one that is open. Raises ModelNotFound where the model has no such answer."""
        self.model.call(call)
        return self._lanes[call]

    def _opened(self) -> tuple[dict[str, Scorer], _Manner]:
        """What answers each call, and how."""
        scorers = {call: Scorer(self._registry, self.model, call) for call in self.signature.calls}
        proof = self.model.manifest.proof.rows
        if not proof:
            return scorers, _Manner(alone=True, quick=False)
        rows = table_of_rows(self.signature.features, proof)  # the graph is loaded for them
        manner = _tried(scorers["infer"], rows)
        # texts, images and lists take as long as they are
        varies = self.signature.is_prepared or any("[" in feature.type for feature in self.signature.features)
        alone = manner.alone or self.signature.batch.neighbours > 0
        return scorers, _Manner(alone=alone, quick=manner.quick and not varies)


@dataclass(frozen=True, slots=True)
class _Manner:
    """``alone``: rows have other answers in company, in any bit, as kernels may sum in another order there; also where
    that takes too long to find out."""

    alone: bool
    quick: bool


def _tried(score: Callable[[pa.Table], pa.Array], proof: pa.Table) -> _Manner:
    started, random, quickest = time.monotonic(), np.random.default_rng(0), math.inf
    rows, alone = proof.slice(0, _ROWS_AT_A_TIME), False
    for _ in range(_TIMES_TRIED):
        if alone := time.monotonic() - started > _SECONDS_TO_TRY:
            break
        try:
            answers, seconds = _one_by_one(score, rows)
            together = score(rows)
        except (FeatureError, ModelFailed):  # values of several rows need not go together
            alone = True
            break
        quickest = min(quickest, seconds)
        if alone := repr(together.to_pylist()) != repr(answers.to_pylist()):
            break
        rows = _mixed(proof, random)
    return _Manner(alone, quickest < _QUICK)


def _one_by_one(score: Callable[[pa.Table], pa.Array], rows: pa.Table) -> tuple[pa.Array, float]:
    """The answers, and the seconds of the row that took the fewest."""
    answers, seconds = [], []
    for i in range(len(rows)):
        started = time.perf_counter()
        answers.append(score(rows.slice(i, 1)))
        seconds.append(time.perf_counter() - started)
    return pa.concat_arrays(answers), min(seconds)


def _mixed(proof: pa.Table, random: np.random.Generator) -> pa.Table:
    """Other rows of the same values."""
    places = random.integers(len(proof), size=(proof.num_columns, _ROWS_AT_A_TIME))
    columns = [column.take(pa.array(some)) for column, some in zip(proof.columns, places, strict=True)]
    return pa.table(columns, names=proof.column_names)


@dataclass(slots=True)
class _Known:
    """``decides``: the file that is another one, of another ``state``, when the reference means another version."""

    decides: Path
    state: FileState | None
    version: Version
    asked: float

    def is_current(self) -> bool:
        return self.state == _state(self.decides)


class Served:
    """``named``: the references that are served; none of them: all of the registry. A plain name serves every version
    of that model, `name/3` and `name@alias` that version."""

    def __init__(
        self,
        registry: Registry,
        named: Sequence[str],
        pool: Executor,
        *,
        most: int,
        wait: float,
        seen: Callable[[str, int], None],
    ) -> None:
        """Raises BadReference."""
        self.registry = registry
        self._named: dict[str, list[Reference]] = {}
        for text in named:
            reference = Reference.parse(text)
            self._named.setdefault(reference.name, []).append(reference)
        self._pool = pool
        self._most, self._wait, self._seen = most, wait, seen
        self.is_calm: Callable[[], bool] = lambda: False
        self._known: dict[Reference, _Known] = {}
        self._versions: weakref.WeakValueDictionary[tuple[str, str], Version] = weakref.WeakValueDictionary()
        self._looking = asyncio.Lock()
        self._first = [one for references in self._named.values() for one in references]
        self.is_ready = not self._first

    def names(self) -> list[str]:
        """The models, as paths name them."""
        return sorted(self._named) if self._named else self.registry.names()

    def references(self) -> list[Reference]:
        if not self._named:
            return [Reference(name) for name in self.registry.names()]
        return [reference for references in self._named.values() for reference in references]

    def versions(self, name: str) -> list[int]:
        """Those of a model that may be asked for by their number."""
        if self._is_whole(name):
            return self.registry.versions(name)
        return sorted({self.registry.resolve(one).version or 0 for one in self._named.get(name, ())})

    async def only(self) -> str:
        """The name of the one model that is served. Raises Refused where there are several."""
        names = await self._off_loop(self.names)
        if len(names) != 1:
            raise Refused.which_model(names)
        return names[0]

    async def find(self, name: str, version: str | None = None) -> Version:
        """What a name in a path means now, ``churn`` or ``churn@champion``, opened. Raises Refused, and what `open`
        raises."""
        if "@" in name and version is not None:
            meant = await self.find(name)
            if meant.version != version:
                raise Refused.contradiction("version", f"{name} (version {meant.version})", version)
            return meant
        reference = await self._reference(name, version)
        while True:
            known = self._known.get(reference)
            if known is None or not known.is_current():
                known = await self._look(reference)
            if known is None:
                raise await self._not_found(name, version)
            known.asked = asyncio.get_running_loop().time()
            try:
                await known.version.open()
            except SqlinferError:
                if known.is_current():
                    raise
            else:
                return known.version

    async def prepare(self) -> None:
        """Open what was named, so that its first request need not wait. Raises what `find` raises."""
        for reference in self._first:
            await self.find(reference.name if reference.version else str(reference), _number_of(reference))
        self.is_ready = True

    def sweep(self, now: float) -> None:
        """Forget what references do not mean any more, and versions by number that nobody asks for."""
        for reference, known in list(self._known.items()):
            idle = reference.version is not None and now - known.asked > _FORGOTTEN_AFTER
            if idle or not known.is_current():
                del self._known[reference]

    async def _reference(self, name: str, version: str | None) -> Reference:
        try:
            asked = Reference.parse(name if version is None else f"{name}/{version}")
        except BadReference:
            raise await self._not_found(name, version) from None
        if asked.version is not None and version is None:  # a slash in a name is none of a path
            raise await self._not_found(name, version)
        if not self._named or self._is_whole(asked.name):
            return asked
        served = self._named.get(asked.name, [])
        if asked in served:
            return asked
        if "@" not in name and version is None and len(served) == 1:
            return served[0]
        if asked.version is not None:
            for one in served:
                if await self._off_loop(self._number, one) == asked.version:
                    return asked
        raise await self._not_found(name, version)

    async def _not_found(self, name: str, version: str | None) -> Refused:
        lower = name.lower()
        names = await self._off_loop(self.names)
        if lower in names and version is not None:
            return Refused.no_version(lower, version, map(str, await self._off_loop(self.versions, lower)))
        return Refused.no_model(name, map(str, await self._off_loop(self.references)))

    def _is_whole(self, name: str) -> bool:
        return not self._named or Reference(name) in self._named.get(name, ())

    def _number(self, reference: Reference) -> int | None:
        try:
            return self.registry.resolve(reference).version
        except ModelNotFound:
            return None

    async def _look(self, reference: Reference) -> _Known | None:
        async with self._looking:
            known = self._known.get(reference)
            if known is not None and known.is_current():  # somebody else has looked meanwhile
                return known
            decides = self.registry.deciding(reference)
            state = _state(decides)
            try:
                # a registry of its own: it keeps no manifests of versions that nobody means any more
                found = await self._off_loop(Registry(self.registry.home).get, reference)
            except ModelNotFound:
                self._known.pop(reference, None)
                return None
            known = _Known(decides, state, self._version(found), asyncio.get_running_loop().time())
            self._known[reference] = known
            return known

    def _version(self, model: StoredModel) -> Version:
        key = str(model.folder), model.manifest.digest
        found = self._versions.get(key)
        if found is None:
            seen = partial(self._seen, model.manifest.name)
            batching = Batching(self._pool, self._most, self._wait, seen, lambda: self.is_calm())
            found = self._versions[key] = Version(self.registry, model, batching)
        return found

    async def _off_loop(self, function: Callable[..., T], *args: Any) -> T:
        return await asyncio.get_running_loop().run_in_executor(self._pool, function, *args)


def _state(path: Path) -> FileState | None:
    try:
        return state_of(path)
    except OSError:
        return None


def _number_of(reference: Reference) -> str | None:
    return None if reference.version is None else str(reference.version)

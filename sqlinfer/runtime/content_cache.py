"""A cache of answers by the content of a row, for models far slower than a lookup: texts and images.

Equal rows are scored once, and the rows that a filter has just scored are not scored again (see `memo`).
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Callable, Sequence
from hashlib import blake2b

import numpy as np
import pyarrow as pa

__all__ = ["ContentCache", "keys"]

_BYTES = 16 << 20
_BATCHES = 128


class ContentCache:
    """For one thread and one call of one model, so without locks. Holds the answers of a batch, or 16 MiB of them."""

    def __init__(self) -> None:
        self._places: dict[bytes, tuple[int, int]] = {}
        self._batches: OrderedDict[int, tuple[pa.Array, list[bytes]]] = OrderedDict()
        self._next = 0
        self._bytes = 0

    def score(self, keys: Sequence[bytes], run: Callable[[np.ndarray], pa.Array]) -> pa.Array:
        """The answers of the rows with these keys: ``run`` is asked for the rows that are not known."""
        places = [self._places.get(key) for key in keys]
        first: dict[bytes, int] = {}
        for i, (key, place) in enumerate(zip(keys, places, strict=True)):
            if place is None:
                first.setdefault(key, i)
        start: dict[int, int] = {}
        sources: list[pa.Array] = []
        total = 0
        for number in sorted({place[0] for place in places if place is not None}):
            answers = self._batches[number][0]
            start[number] = total
            sources.append(answers)
            total += len(answers)
        if first:
            answers = run(np.fromiter(first.values(), np.int64, len(first)))
            sources.append(answers)
            fresh = {key: total + i for i, key in enumerate(first)}
            self._remember(list(first), answers)
        take = [
            fresh[key] if place is None else start[place[0]] + place[1] for key, place in zip(keys, places, strict=True)
        ]
        joined = sources[0] if len(sources) == 1 else pa.concat_arrays(sources)
        return joined.take(pa.array(take, pa.int64()))

    def _remember(self, keys: list[bytes], answers: pa.Array) -> None:
        self._places.update((key, (self._next, row)) for row, key in enumerate(keys))
        self._batches[self._next] = answers, keys
        self._bytes += answers.nbytes
        self._next += 1
        while len(self._batches) > 1 and (self._bytes > _BYTES or len(self._batches) > _BATCHES):
            _, (old, gone) = self._batches.popitem(last=False)
            self._bytes -= old.nbytes
            for key in gone:
                self._places.pop(key, None)


def keys(columns: Sequence[pa.Array]) -> list[bytes]:
    """What tells rows apart: 16 bytes of a hash that nobody can make collide."""
    return [_key(row) for row in zip(*columns, strict=True)]


def _key(row: tuple[pa.Scalar, ...]) -> bytes:
    digest = blake2b(digest_size=16)
    for cell in row:
        value = cell.as_py()
        part = value if isinstance(value, bytes) else repr(value).encode("utf-8", "surrogatepass")
        digest.update(b"%d " % len(part))
        digest.update(part)
    return digest.digest()

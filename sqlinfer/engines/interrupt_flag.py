"""Whether a connection was interrupted: DuckDB looks at a flag of its own between vectors, and does not show it.

From the object that Python has, two pointers lead to DuckDB's own, which begins with a pointer to itself and holds the
flag. Where these are is found by setting the flag on a connection of our own and looking for what changed. The system
reads the memory for us, and refuses where there is none; where it reads none at all, no flag is seen.
"""

from __future__ import annotations

import os
import struct
from collections.abc import Iterator
from contextlib import suppress
from functools import cache

import duckdb

__all__ = ["is_interrupted"]

_Place = tuple[int, int, int]
_LOOKED_AT = 256


def is_interrupted(con: duckdb.DuckDBPyConnection) -> bool:
    """Whether con.interrupt() was called since its query began; False where that cannot be seen."""
    place = _place()
    return place is not None and _is_set(con, place)


@cache
def _place() -> _Place | None:
    """How far into their objects the two pointers are, and the flag; None where that is not found beyond doubt."""
    with suppress(OSError, duckdb.Error):
        con = duckdb.connect()
        others = [con.cursor(), duckdb.connect()]
        for first, second, context in _contexts(con):
            before = _read(context, _LOOKED_AT)
            con.interrupt()
            after = _read(context, _LOOKED_AT)
            con.execute("SELECT 1").fetchall()  # which begins without the flag
            for flag in (i for i, old in enumerate(before) if (old, after[i]) == (0, 1)):
                place = first, second, flag
                if not _is_set(con, place) and all(_shows(other, place) for other in others):
                    return place
    return None


def _shows(con: duckdb.DuckDBPyConnection, place: _Place) -> bool:
    before = _is_set(con, place)
    con.interrupt()
    after = _is_set(con, place)
    con.execute("SELECT 1").fetchall()
    return (before, after, _is_set(con, place)) == (False, True, False)


def _is_set(con: duckdb.DuckDBPyConnection, place: _Place) -> bool:
    context = _context(con, place)
    return context is not None and _read(context + place[-1], 1) == b"\1"


def _contexts(con: duckdb.DuckDBPyConnection) -> Iterator[tuple[int, int, int]]:
    for base in _bases(con):
        for first in range(0, _LOOKED_AT, 8):
            for second in range(0, _LOOKED_AT, 8):
                context = _pointer(_pointer(base + first) + second)
                if context and _pointer(context) == context:
                    yield first, second, context


def _context(con: duckdb.DuckDBPyConnection, place: _Place) -> int | None:
    found = (_pointer(_pointer(base + place[0]) + place[1]) for base in _bases(con))
    return next((context for context in found if context and _pointer(context) == context), None)


def _bases(con: duckdb.DuckDBPyConnection) -> Iterator[int]:
    """Where DuckDB's connection may be: Python's object has a pointer to it (pybind11, nanobind), or says how far away
    it is (nanobind)."""
    head = _read(id(con), 32)
    if len(head) == 32:
        near, at_16, at_24 = *struct.unpack_from("<i", head, 16), *struct.unpack_from("<QQ", head, 16)
        yield from (at_24, id(con) + near, at_16)


def _pointer(address: int) -> int:
    """What is there, taken for an address; 0 where nothing is."""
    content = _read(address, 8) if address > 0 else b""
    (pointer,) = struct.unpack("<Q", content) if len(content) == 8 else (0,)
    return int(pointer) if pointer % 8 == 0 and pointer < 1 << 47 else 0


@cache
def _memory() -> int:
    return os.open("/proc/self/mem", os.O_RDONLY | os.O_CLOEXEC)


os.register_at_fork(after_in_child=_memory.cache_clear)


def _read(address: int, length: int) -> bytes:
    """What the memory of this process holds there; nothing where it cannot be read."""
    try:
        return os.pread(_memory(), length, address)
    except (OSError, OverflowError):
        return b""

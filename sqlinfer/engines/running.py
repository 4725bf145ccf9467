"""Which connections are inside DuckDB right now: read from the frames of the threads, so that calls cost nothing more.

DuckDB tells a function of Python's nothing of the query that calls it. The thread that asked, though, has the
connection's method on its stack; DuckDB's own threads work for one of those that are inside.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import CodeType, FrameType
from typing import Any, Protocol, TypeVar

__all__ = ["Running", "everywhere", "here", "inside", "on_thread"]

F = TypeVar("F", bound=Callable[..., Any])


class Running(Protocol):
    """A connection of ours, as what runs below it sees it."""

    @property
    def engine(self) -> str: ...

    def is_interrupted(self) -> bool:
        """Whether its query was told to end."""
        ...

    def press(self) -> None:
        """Ctrl-C: end its query, as a KeyboardInterrupt."""
        ...


_METHODS: set[CodeType] = set()


def inside(method: F) -> F:
    """Mark a method of a connection in whose own frame DuckDB is called; the connection is its ``self``."""
    _METHODS.add(method.__code__)
    return method


def here() -> Running | None:
    """The connection whose call this thread works for; None on a thread of DuckDB's."""
    return _nearest(sys._getframe(1))


def on_thread(thread: int) -> Running | None:
    frame = sys._current_frames().get(thread)
    return _nearest(frame) if frame is not None else None


def everywhere() -> list[Running]:
    """The connections that are inside on any thread."""
    found = (_nearest(frame) for frame in sys._current_frames().values())
    return [connection for connection in found if connection is not None]


def _nearest(frame: FrameType | None) -> Running | None:
    while frame is not None:
        if frame.f_code in _METHODS:
            connection: Running = frame.f_locals["self"]
            return connection
        frame = frame.f_back
    return None

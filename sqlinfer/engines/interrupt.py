"""Ctrl-C while a query runs."""

from __future__ import annotations

import os
import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any

import duckdb

__all__ = ["Interrupt"]

# Before 2.0, DuckDB does not run Python's handlers while it runs a query.
_DEAF = int(duckdb.__version__.split(".")[0]) < 2


class Interrupt:
    """``pressed`` is seen by functions on DuckDB's own threads: one that is amid a large join stops only when one of
    its functions fails, and until it stops DuckDB waits for it."""

    def __init__(self, tell: Callable[[bool], None] | None = None) -> None:
        """``tell`` is called with True when Ctrl-C is pressed, and with False when the query has ended."""
        self.pressed = False
        self._tell = tell or (lambda pressed: None)

    @contextmanager
    def watching(self, con: duckdb.DuckDBPyConnection) -> Iterator[None]:
        """While this is open, Ctrl-C ends in a KeyboardInterrupt, whatever DuckDB makes of it."""
        before = signal.getsignal(signal.SIGINT)
        if threading.current_thread() is not threading.main_thread() or not callable(before):
            yield
            return

        def stop() -> None:
            self.pressed = True
            self._tell(True)
            con.interrupt()

        seen = 0

        def handle(number: int, frame: Any) -> None:
            # Not an exception here and now: it could come up inside ONNX Runtime, reading texts, and crash it.
            nonlocal seen
            seen += 1
            if seen > 1 and not _DEAF:
                before(number, frame)
            stop()

        signal.signal(signal.SIGINT, handle)
        try:
            with _listener().calling(stop):
                yield
            if self.pressed:
                raise KeyboardInterrupt
        except Exception as error:
            if self.pressed:
                raise KeyboardInterrupt from error
            raise
        finally:
            signal.signal(signal.SIGINT, before)
            if self.pressed:
                self._tell(False)
            self.pressed = False


class _Listener:
    """A thread that hears of SIGINT as it arrives. Python's handlers wait until the main thread is back from DuckDB,
    which looks for signals only between the runs of a model, and before 2.0 not at all."""

    def __init__(self) -> None:
        self._reading, self._writing = socket.socketpair()
        self._writing.setblocking(False)
        self._stop: Callable[[], None] | None = None
        self._before = -1
        threading.Thread(target=self._listen, daemon=True).start()

    @contextmanager
    def calling(self, stop: Callable[[], None]) -> Iterator[None]:
        """While this is open, ``stop`` is called, on the other thread, when Ctrl-C is pressed."""
        before = signal.set_wakeup_fd(self._writing.fileno(), warn_on_full_buffer=False)
        outer = self._stop, self._before
        self._stop, self._before = stop, before if before != self._writing.fileno() else self._before
        try:
            yield
        finally:
            self._stop, self._before = outer
            signal.set_wakeup_fd(before)

    def _listen(self) -> None:
        while number := self._reading.recv(1):
            stop, before = self._stop, self._before
            if before != -1:  # whoever listened before us, such as an event loop, still hears of it
                with suppress(OSError):
                    os.write(before, number)
            if number[0] == signal.SIGINT and stop is not None:
                stop()


_listeners: list[_Listener] = []
# a thread does not live on in a child
os.register_at_fork(after_in_child=_listeners.clear)


def _listener() -> _Listener:
    if not _listeners:
        _listeners.append(_Listener())
    return _listeners[0]

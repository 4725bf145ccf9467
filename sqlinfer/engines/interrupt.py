"""Ctrl-C while a query runs."""

from __future__ import annotations

import signal
import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import duckdb

__all__ = ["Interrupt"]

# DuckDB looks for signals while it runs a query since 2.0; before, it has to be told from another thread.
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

        def handle(number: int, frame: Any) -> None:
            # Not an exception here and now: it could come up inside ONNX Runtime, reading texts, and crash it.
            if self.pressed and not _DEAF:
                before(number, frame)
            stop()

        signal.signal(signal.SIGINT, handle)
        try:
            with _from_another_thread(stop) if _DEAF else nullcontext():
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


@contextmanager
def _from_another_thread(stop: Callable[[], None]) -> Iterator[None]:
    """Call ``stop`` on another thread as soon as SIGINT arrives, though the main thread is inside DuckDB."""
    reading, writing = socket.socketpair()
    writing.setblocking(False)

    def wait() -> None:
        while number := reading.recv(1):
            if number[0] == signal.SIGINT:
                stop()

    before = signal.set_wakeup_fd(writing.fileno(), warn_on_full_buffer=False)
    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    try:
        yield
    finally:
        signal.set_wakeup_fd(before)
        writing.close()
        thread.join()
        reading.close()

"""Queries that are told to end, by SIGTERM or by a time that is up: they do, at once, and clean up behind them."""

from __future__ import annotations

import os
import select
import signal
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import cache
from typing import TYPE_CHECKING, Any

import click

if TYPE_CHECKING:
    from sqlinfer import Connection

__all__ = ["ending"]

_EVERY_SECONDS = 0.1
_TERMINATED = 128 + signal.SIGTERM


@cache
def _sockets() -> tuple[socket.socket, socket.socket]:
    """They stay open: a listener that Ctrl-C took out of its way may yet give signals back to us."""
    hearing, telling = socket.socketpair()
    hearing.setblocking(False)
    telling.setblocking(False)
    return hearing, telling


class _Watch:
    """A thread that hears of SIGTERM as it arrives, and sends it where the time is up: Python's own handlers wait until
    DuckDB is done."""

    def __init__(self, con: Connection, seconds: float | None) -> None:
        self._con = con
        self._until = None if seconds is None else time.monotonic() + seconds
        self._hearing, self._telling = _sockets()
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self.late = self.told = False

    def __enter__(self) -> _Watch:
        with suppress(BlockingIOError):  # what was said to the one before
            self._hearing.recv(4096)
        self._handler = signal.signal(signal.SIGTERM, self._end)
        self._heard_before = signal.set_wakeup_fd(self._telling.fileno(), warn_on_full_buffer=False)
        self._thread.start()
        return self

    def __exit__(self, *error: object) -> None:
        self._done.set()
        signal.set_wakeup_fd(self._heard_before)
        signal.signal(signal.SIGTERM, self._handler)
        with suppress(OSError):
            self._telling.send(b"\0")
        self._thread.join()

    def _end(self, number: int, frame: Any) -> None:
        if not self.told:  # once: what cleans up is not to be ended, too
            self.told = True
            self._con.press()  # in a function of Python's, DuckDB makes an error of its own of the exception
            raise KeyboardInterrupt

    def _run(self) -> None:
        while not self._done.is_set():
            left = None if self._until is None else max(0.0, self._until - time.monotonic())
            ready, _, _ = select.select([self._hearing], [], [], left)
            if not ready:
                self.late, self._until = True, None
                os.kill(os.getpid(), signal.SIGTERM)
            elif signal.SIGTERM in self._hearing.recv(4096):
                break
        while not self._done.wait(_EVERY_SECONDS):  # it may be between two statements
            self._con.press()


@contextmanager
def ending(con: Connection, seconds: float | None) -> Iterator[None]:
    """While this is open, SIGTERM ends the query of ``con`` and this program, and so do ``seconds``. Ctrl-C is as ever.

    Raises ClickException when the time is up.
    """
    watch = _Watch(con, seconds)
    try:
        with watch:
            yield
    except KeyboardInterrupt:
        if watch.late:
            raise click.ClickException(
                f"the query did not end within {seconds:g} seconds; give it more with --timeout"
            ) from None
        if not watch.told:
            raise
        click.echo("terminated", err=True)
        raise SystemExit(_TERMINATED) from None

"""How far a long query has come, on stderr: DuckDB's own bar goes to stdout, where the data goes."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from sqlinfer import Connection

__all__ = ["EVERY_SECONDS", "bar", "is_looked_at", "progress", "share_done", "tell_share", "watched"]

EVERY_SECONDS = 0.25
_FIRST_SECONDS = 2.0
_WIDTH = 30


def is_looked_at() -> bool:
    """Whether there is somebody at stderr."""
    return sys.stderr is not None and sys.stderr.isatty()


def tell_share(con: Connection) -> None:
    """Let DuckDB find out how far its queries are, and draw nothing."""
    con.execute("SET enable_progress_bar = true; SET enable_progress_bar_print = false")


def share_done(con: Connection) -> float:
    """How much of its query is done, from 0 to 1."""
    return max(0.0, min(100.0, con.raw.query_progress())) / 100


def bar(share: float) -> str:
    return ("█" * round(share * _WIDTH)).ljust(_WIDTH, "░")


@contextmanager
def watched(watch: Callable[[threading.Event], None]) -> Iterator[None]:
    """``watch`` runs on another thread until what it is given is set, which is when this ends."""
    done = threading.Event()
    watcher = threading.Thread(target=watch, args=(done,), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


@contextmanager
def progress(con: Connection) -> Iterator[None]:
    """Show a bar while a query runs that takes longer than two seconds, if somebody is looking at stderr."""
    if not is_looked_at():
        con.execute("SET enable_progress_bar = false")
        yield
        return
    tell_share(con)
    with watched(partial(_watch, con)):
        yield


def _watch(con: Connection, done: threading.Event) -> None:
    shown = False
    wait = _FIRST_SECONDS
    while not done.wait(wait):
        wait = EVERY_SECONDS
        share = share_done(con)
        click.echo(f"\r{bar(share)} {100 * share:3.0f} %", err=True, nl=False)
        shown = True
    if shown:
        click.echo("\r" + " " * (_WIDTH + 8) + "\r", err=True, nl=False)

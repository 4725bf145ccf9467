"""How far a long query has come, on stderr: DuckDB's own bar goes to stdout, where the data goes."""

from __future__ import annotations

import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING

import click

if TYPE_CHECKING:
    from sqlinfer import Connection

__all__ = ["progress"]

_FIRST_SECONDS = 2.0
_EVERY_SECONDS = 0.25
_WIDTH = 30


@contextmanager
def progress(con: Connection) -> Iterator[None]:
    """Show a bar while a query runs that takes longer than two seconds, if somebody is looking at stderr."""
    if sys.stderr is None or not sys.stderr.isatty():
        con.execute("SET enable_progress_bar = false")
        yield
        return
    con.execute("SET enable_progress_bar = true; SET enable_progress_bar_print = false")
    done = threading.Event()
    watcher = threading.Thread(target=_watch, args=(con, done), daemon=True)
    watcher.start()
    try:
        yield
    finally:
        done.set()
        watcher.join()


def _watch(con: Connection, done: threading.Event) -> None:
    shown = False
    wait = _FIRST_SECONDS
    while not done.wait(wait):
        wait = _EVERY_SECONDS
        percent = max(0.0, min(100.0, con.raw.query_progress()))
        bar = ("█" * round(percent / 100 * _WIDTH)).ljust(_WIDTH, "░")
        click.echo(f"\r{bar} {percent:3.0f} %", err=True, nl=False)
        shown = True
    if shown:
        click.echo("\r" + " " * (_WIDTH + 8) + "\r", err=True, nl=False)

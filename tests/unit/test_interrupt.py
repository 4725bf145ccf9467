"""Ctrl-C reaches the statement that runs, and none that comes after."""

from __future__ import annotations

import signal
import sys

import pytest

import sqlinfer


@pytest.fixture
def handled(monkeypatch):
    """SIGINT is handled by the program, and the main thread keeps at work until it waits for DuckDB."""
    handler, interval = signal.getsignal(signal.SIGINT), sys.getswitchinterval()
    signal.signal(signal.SIGINT, lambda number, frame: None)
    sys.setswitchinterval(1000)
    yield
    sys.setswitchinterval(interval)
    signal.signal(signal.SIGINT, handler)


def test_a_signal_that_was_handled_before_ends_no_statement(registry, handled):
    with sqlinfer.connect(registry=registry) as con:
        con.execute("SELECT 1")
        for _ in range(20):
            signal.raise_signal(signal.SIGINT)
            assert con.execute("SELECT sum(i) FROM range(3_000_000) r(i)").fetchall() == [(4499998500000,)]

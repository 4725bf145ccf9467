"""Other processes at work: how far they are, on a machine that is as busy as it likes."""

from __future__ import annotations

import errno
import os
import subprocess
import time
from contextlib import suppress
from pathlib import Path

import psutil

__all__ = ["HANG", "Gate", "computes", "spent"]

# Seconds after which a test that hangs is ended. What a test finds out does not depend on it.
HANG = 900.0
_LOOK = 0.02


def spent(process: subprocess.Popen) -> float:
    """The seconds for which a process and its children have computed."""
    root = psutil.Process(process.pid)
    total = 0.0
    for one in (root, *root.children(recursive=True)):
        with suppress(psutil.NoSuchProcess):
            times = one.cpu_times()
            total += times.user + times.system
    return total


def computes(process: subprocess.Popen, seconds: float = 1.0) -> None:
    """Returns when the process, which goes on, has computed for so long."""
    started, until = spent(process), time.monotonic() + HANG
    while spent(process) < started + seconds:
        assert process.poll() is None, f"it ended with {process.returncode}"
        assert time.monotonic() < until, "it computes nothing"
        time.sleep(_LOOK)


class Gate:
    """A table of one row, which a query waits for: ``sql`` is what it reads in its FROM."""

    def __init__(self, path: Path) -> None:
        os.mkfifo(path)
        self._path = path
        self.sql = f"read_csv('{path}', columns = {{'gate': 'BIGINT'}}, header = false, auto_detect = false)"

    def open(self, process: subprocess.Popen) -> None:
        """Returns when the query of the process has come to the gate, and is let through."""
        until = time.monotonic() + HANG
        while True:
            try:
                writing = os.open(self._path, os.O_WRONLY | os.O_NONBLOCK)
                break
            except OSError as error:
                if error.errno != errno.ENXIO:  # nobody reads it yet
                    raise
            assert process.poll() is None, f"it ended with {process.returncode} before its query ran"
            assert time.monotonic() < until, "it does not come to its query"
            time.sleep(_LOOK)
        os.write(writing, b"1\n")
        os.close(writing)

"""A process of its own for untrusted files: such a file may crash it, hang it or ask for any memory.

The worker is a Python like this one. It starts when it is first needed, takes one call after the other (so the
packages load once), and leaves when nothing came for a minute, or when this process ends. It is no other user: what
it guards is this process, and the time and memory of the machine. Its time limit is the watchdog of `faulthandler`,
which needs neither the interpreter's lock nor a signal; its memory limit is RLIMIT_DATA, where the system has that.
"""

from __future__ import annotations

import atexit
import os
import pickle
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import IO, Any, TypeVar

from sqlinfer.errors import InvalidModel, SqlinferError
from sqlinfer.progress import step
from sqlinfer.registration.sandbox.limits import Limits

__all__ = ["Limits", "Worker", "worker"]

T = TypeVar("T")
_GRACE_SECONDS = 5.0
_START = """
import sys
sys.path[:] = sys.argv[2:]
from sqlinfer.registration.sandbox.serve import serve
serve(int(sys.argv[1]))
"""


class Worker:
    """``call`` may be used from any thread; the calls queue."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._owner = 0

    def call(self, function: Callable[..., T], *args: Any, about: str, limits: Limits) -> T:
        """``function(*args)``, as this process would call it now: in this folder, with this environment.

        The function is one of a module, and everything can be pickled. Raises what it raises, and InvalidModel when it
        took the process down or ran into a limit; ``about`` is the file that is then to blame.
        """
        request = pickle.dumps((str(Path.cwd()), dict(os.environ), limits, about, function, args), protocol=5)
        with self._lock:
            # before the worker's own clock starts: a busy machine may let it be late with its first word
            started = time.monotonic()
            try:
                kind, content = self._reply(self._begun(request), about, limits, started)
            except BaseException:
                self._stop()
                raise
        if kind == "failed":
            raise content
        answer: T = content
        return answer

    def close(self) -> None:
        """End the process now; the next call starts another."""
        self._stop()

    def _reply(self, replies: IO[bytes], about: str, limits: Limits, started: float) -> tuple[str, Any]:
        """The outcome. Raises InvalidModel when the process ends without one."""
        last = "starting"
        while True:
            try:
                kind, content = pickle.load(replies)
            except (EOFError, pickle.UnpicklingError):
                seconds = time.monotonic() - started
                raise InvalidModel(_end(about, last, self._ended(), seconds, limits)) from None
            if kind != "step":
                return kind, content
            last = content
            step(content)

    def _begun(self, request: bytes) -> IO[bytes]:
        """The stream of replies, once a worker has taken the request: one that was idle may just have left."""
        code = 0
        for fresh in (False, True):
            try:
                process = self._started(fresh=fresh)
                assert process.stdin is not None and process.stdout is not None
                process.stdin.write(request)
                process.stdin.flush()
                if pickle.load(process.stdout) == ("begun", None):
                    return process.stdout
            except (OSError, EOFError, pickle.UnpicklingError):
                code = self._ended()
        raise SqlinferError(
            f"a Python process for the file could not be started with {sys.executable!r} (it ended with code {code}); "
            "models in files are registered by a program that Python itself runs, such as the sqlinfer command"
        )

    def _started(self, *, fresh: bool) -> subprocess.Popen[bytes]:
        if fresh or self._process is None or self._owner != os.getpid() or self._process.poll() is not None:
            self._stop()
            command = [sys.executable or "python3", "-c", _START, str(os.getpid()), *sys.path]
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, start_new_session=True
            )
            self._owner = os.getpid()
        return self._process

    def _ended(self) -> int:
        """The exit code of a process that is on its way out: it has closed its end of the pipe."""
        with suppress(subprocess.TimeoutExpired):
            if self._process is not None:
                self._process.wait(_GRACE_SECONDS)
        return self._stop()

    def _stop(self) -> int:
        """End the process; its exit code, negative for a signal. After a fork it is the other process's: let it be."""
        process, self._process = self._process, None
        if process is None or self._owner != os.getpid():
            return 0
        process.kill()
        code = process.wait()
        for stream in (process.stdin, process.stdout):
            with suppress(OSError):  # what was not written yet has no reader
                stream.close()  # type: ignore[union-attr]
        return code


# faulthandler's own exit, and ours for one that hangs even then
_GIVEN_UP = (1, -9)

worker = Worker()
atexit.register(worker.close)


def _end(about: str, last: str, code: int, seconds: float, limits: Limits) -> str:
    """Why a process ended that had not answered yet."""
    if code in _GIVEN_UP and seconds >= limits.seconds:
        return (
            f"{about} was given up after {limits.seconds:g} seconds, while {last}; nothing was stored. "
            "Allow more with --time-limit SECONDS (time_limit=…)"
        )
    how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code:#x}"
    return (
        f"{about} took down the process that tried it ({how}), while {last}; nothing was stored. The file is damaged "
        f"or hits a fault of a library: export the model again; or {limits.memory / 1e9:.3g} GB of memory are too few: "
        "allow more with --memory-limit SIZE (memory_limit=…)"
    )

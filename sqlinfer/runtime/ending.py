"""Runs of models that can be told to end: ONNX Runtime looks at a flag of a run's options between nodes."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

import onnxruntime as ort

__all__ = ["Interrupted", "ended_by", "require_going_on", "run_options"]

_FATAL_ONLY = 4  # everything else comes back as an exception
_LOOK_EVERY = 0.02
# A shorter run ends by itself.
_SHORT = 0.05
# After so many seconds without a run the thread that looks waits to be woken.
_PATIENCE = 0.5

# Whether whoever asked for the runs of this context wants no answer any more.
ended_by: ContextVar[Callable[[], bool] | None] = ContextVar("ended_by", default=None)


class Interrupted(Exception):
    """A run was told to end."""


def require_going_on() -> None:
    """Between runs. Raises Interrupted."""
    is_ended = ended_by.get()
    if is_ended is not None and is_ended():
        raise Interrupted("interrupted")


@contextmanager
def run_options() -> Iterator[ort.RunOptions]:
    """The options of one run, which is ended when `ended_by` says so; it then raises Interrupted."""
    options = ort.RunOptions()
    options.log_severity_level = _FATAL_ONLY
    is_ended = ended_by.get()
    if is_ended is None:
        yield options
        return
    with _watch.over(_Run(options, is_ended)) as run:
        try:
            yield options
        except Exception as error:
            if run.ended:
                raise Interrupted("interrupted") from error
            raise


class _Run:
    __slots__ = ("began", "ended", "is_ended", "options")

    def __init__(self, options: ort.RunOptions, is_ended: Callable[[], bool]) -> None:
        self.options = options
        self.is_ended = is_ended
        self.began = time.monotonic()
        self.ended = False

    def look(self) -> None:
        if not self.ended and time.monotonic() - self.began > _SHORT and self.is_ended():
            self.ended = self.options.terminate = True


class _Watch:
    """One thread that looks after all runs."""

    def __init__(self) -> None:
        self._wake = threading.Condition()
        self._runs: set[_Run] = set()
        self._thread: threading.Thread | None = None
        self._waits = False

    @contextmanager
    def over(self, run: _Run) -> Iterator[_Run]:
        with self._wake:
            self._runs.add(run)
            if self._thread is None or not self._thread.is_alive():  # a thread does not live on in a forked child
                self._thread = threading.Thread(target=self._look, daemon=True)
                self._thread.start()
            elif self._waits:
                self._wake.notify()
        try:
            yield run
        finally:
            with self._wake:
                self._runs.discard(run)

    def _look(self) -> None:
        seen = time.monotonic()
        while True:
            time.sleep(_LOOK_EVERY)
            with self._wake:
                runs = list(self._runs)
            for run in runs:
                run.look()
            with self._wake:
                if self._runs:
                    seen = time.monotonic()
                elif time.monotonic() - seen > _PATIENCE:
                    self._waits = True
                    self._wake.wait_for(lambda: bool(self._runs))
                    self._waits = False
                    seen = time.monotonic()


_watch = _Watch()

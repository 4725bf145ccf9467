"""Processes that share the files of a job. One that dies fails the file that it had, and another takes its place."""

from __future__ import annotations

import os
import pickle
import queue
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, NoReturn

from sqlinfer.errors import SqlinferError
from sqlinfer.models.registry import Registry
from sqlinfer.scoring.files import InputFile
from sqlinfer.scoring.folder import OutputFolder
from sqlinfer.scoring.job import Job, Outcome, Scoring

__all__ = ["Work", "shared_out"]

_GRACE_SECONDS = 5.0
_START = """
import sys
sys.path[:] = sys.argv[1:]
from sqlinfer.scoring.workers import serve
serve()
"""


@dataclass(frozen=True, slots=True)
class Work:
    """What a process needs to know. ``options``: DuckDB's own."""

    job: Job
    home: Path
    engine: str
    folder: OutputFolder
    drafts: Path
    options: dict[str, Any]

    def begun(self) -> Scoring:
        return Scoring(self.job, Registry(self.home), self.engine, **self.options)


@contextmanager
def shared_out(work: Work, files: Sequence[InputFile], workers: int) -> Iterator[Iterator[Outcome]]:
    """The outcomes, as they come; when this ends, whatever ended it, so do the processes."""
    waiting: queue.SimpleQueue[InputFile | None] = queue.SimpleQueue()
    for file in files:
        waiting.put(file)
    outcomes: queue.SimpleQueue[Outcome | BaseException] = queue.SimpleQueue()
    processes = [_Process(work) for _ in range(min(workers, len(files)))]
    threads = [threading.Thread(target=p.run, args=(waiting, outcomes), daemon=True) for p in processes]
    for thread in threads:
        waiting.put(None)
        thread.start()
    try:
        yield (_outcome(outcomes) for _ in files)
    finally:
        for process in processes:
            process.stop()
        for thread in threads:
            thread.join()


def _outcome(outcomes: queue.SimpleQueue[Outcome | BaseException]) -> Outcome:
    found = outcomes.get()
    if isinstance(found, BaseException):
        raise found
    return found


class _Process:
    """A process, and the next one when it dies."""

    def __init__(self, work: Work) -> None:
        self._work = work
        self._process: subprocess.Popen[bytes] | None = None
        self._lock = threading.Lock()
        self._stopped = False

    def run(
        self, waiting: queue.SimpleQueue[InputFile | None], outcomes: queue.SimpleQueue[Outcome | BaseException]
    ) -> None:
        while (file := waiting.get()) is not None and not self._stopped:
            try:
                outcomes.put(self._score(file))
            except BaseException as error:  # what is wrong with all files, or with this program
                outcomes.put(error)
                return
        self.stop()

    def _score(self, file: InputFile) -> Outcome:
        try:
            process = self._started()
            assert process.stdin is not None and process.stdout is not None
            pickle.dump(file, process.stdin)
            process.stdin.flush()
            found = pickle.load(process.stdout)
        except (OSError, EOFError, pickle.UnpicklingError):
            return Outcome(file, error=_death(self._end()))
        if isinstance(found, BaseException):
            raise found
        assert isinstance(found, Outcome)
        return found

    def _started(self) -> subprocess.Popen[bytes]:
        with self._lock:
            if self._stopped:
                raise OSError
            if self._process is None:
                # a session of its own: a Ctrl-C is this process's affair
                self._process = subprocess.Popen(
                    [sys.executable or "python3", "-c", _START, *sys.path],
                    stdin=subprocess.PIPE,
                    stdout=subprocess.PIPE,
                    start_new_session=True,
                )
                assert self._process.stdin is not None
                pickle.dump(self._work, self._process.stdin)
            return self._process

    def stop(self) -> None:
        """End the process now: what it writes is nobody's yet."""
        with self._lock:
            self._stopped = True
            if self._process is not None:
                self._process.kill()
                self._process.wait()

    def _end(self) -> int:
        """The exit code of a process that is on its way out, negative for a signal."""
        with self._lock:
            process, self._process = self._process, None
        if process is None:
            return 0
        with suppress(subprocess.TimeoutExpired):
            process.wait(_GRACE_SECONDS)
        process.kill()
        with suppress(OSError):  # what it has not read
            process.communicate()
        return process.returncode


def _death(code: int) -> str:
    how = f"signal {signal.Signals(-code).name}" if code < 0 else f"exit code {code}"
    return (
        f"the process that scored it ended ({how}), maybe for want of memory: score it again with --resume, with fewer "
        "--workers"
    )


def serve() -> NoReturn:
    """Score what comes by stdin until nothing does, or the other end is gone: then at once, whatever is being done.
    Whatever prints goes to stderr."""
    files, answers = os.fdopen(0, "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)
    work: Work = pickle.load(files)
    given: queue.SimpleQueue[InputFile] = queue.SimpleQueue()

    def take() -> NoReturn:
        while True:
            try:
                given.put(pickle.load(files))
            except BaseException:
                os._exit(0)

    def answer(message: Outcome | BaseException) -> None:
        pickle.dump(message, answers)
        answers.flush()

    threading.Thread(target=take, daemon=True).start()
    try:
        scoring = work.begun()
    except SqlinferError as error:
        answer(error)
        os._exit(1)
    while True:
        answer(scoring.score(given.get(), work.folder, work.drafts))

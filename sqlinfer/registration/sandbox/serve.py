"""The worker's side: requests come by stdin, replies go by stdout, and whatever prints goes to stderr."""

from __future__ import annotations

import faulthandler
import logging
import os
import pickle
import threading
import time
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NoReturn

from sqlinfer.errors import InvalidModel, SqlinferError
from sqlinfer.registration.sandbox.limits import Limits

try:
    import resource
except ImportError:  # Windows has no such limit for a process that it did not put into a job
    resource = None  # type: ignore[assignment]

__all__ = ["serve"]

_IDLE_SECONDS = 60.0
_LOOK_SECONDS = 1.0
_OUT_OF_MEMORY = ("bad_alloc", "failed to allocate memory", "out of memory", "malloc of size")


def serve(parent: int) -> NoReturn:
    """Answer requests until there are no more, none came for a minute, or the process ``parent`` is gone."""
    if os.name == "posix":
        threading.Thread(target=_leave_after, args=(parent,), daemon=True).start()
    requests, replies = os.fdopen(0, "rb"), os.fdopen(os.dup(1), "wb")
    os.dup2(2, 1)

    def send(message: bytes) -> None:
        replies.write(message)
        replies.flush()

    log = logging.getLogger("sqlinfer")
    log.setLevel(logging.INFO)
    log.propagate = False
    log.addHandler(_Steps(send))
    with Path(os.devnull).open("wb") as nowhere:
        while True:
            faulthandler.dump_traceback_later(_IDLE_SECONDS, exit=True, file=nowhere)
            if not requests.peek(1):
                os._exit(0)
            # what is imported to read a request takes as long as the machine is busy
            faulthandler.cancel_dump_traceback_later()
            try:
                folder, environment, limits, about, function, args = pickle.load(requests)
            except EOFError:
                os._exit(0)
            faulthandler.dump_traceback_later(limits.seconds, exit=True, file=nowhere)
            send(_message("begun", None))
            os.chdir(folder)
            if os.environ != environment:
                os.environ.clear()
                os.environ.update(environment)
            with _limited_memory(limits):
                outcome = _outcome(function, args, about, limits)
            del args
            send(outcome)


def _leave_after(parent: int) -> NoReturn:
    """Nobody waits for what an orphan computes."""
    # the signal that Linux can send comes when the parent's thread ends, which is not the parent's end
    while os.getppid() == parent:
        time.sleep(_LOOK_SECONDS)
    os._exit(0)


def _message(kind: str, content: Any) -> bytes:
    return pickle.dumps((kind, content), protocol=5)


def _outcome(function: Callable[..., Any], args: Sequence[Any], about: str, limits: Limits) -> bytes:
    try:
        return _message("done", function(*args))
    except BaseException as error:  # whatever it is, it is the caller's
        if _is_out_of_memory(error):
            error = InvalidModel(
                f"{about} needs more than {limits.memory / 1e9:.3g} GB of memory to be tried; nothing was stored. "
                "Allow more with memory_limit (--memory-limit)"
            )
        elif not isinstance(error, SqlinferError):
            error.add_note(f"in the worker:\n{traceback.format_exc()}")
        return _message("failed", error if _is_picklable(error) else RuntimeError(f"{type(error).__name__}: {error}"))


def _is_out_of_memory(error: BaseException | None) -> bool:
    """ONNX Runtime and DuckDB say it in words only."""
    while error is not None:
        text = str(error).lower()
        if isinstance(error, MemoryError) or any(words in text for words in _OUT_OF_MEMORY):
            return True
        error = error.__cause__
    return False


def _is_picklable(error: BaseException) -> bool:
    try:
        pickle.loads(pickle.dumps(error))
    except Exception:  # a class of one's own may fail in any way
        return False
    return True


@contextmanager
def _limited_memory(limits: Limits) -> Iterator[None]:
    if resource is None:
        yield
        return
    soft, hard = resource.getrlimit(resource.RLIMIT_DATA)
    most = _memory_held() + limits.memory
    resource.setrlimit(resource.RLIMIT_DATA, (most if hard == resource.RLIM_INFINITY else min(most, hard), hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_DATA, (soft, hard))


def _memory_held() -> int:
    """Bytes that count for RLIMIT_DATA (proc(5), statm: data + stack), 0 where the system does not say."""
    try:
        pages = int(Path("/proc/self/statm").read_text(encoding="ascii").split()[5])
    except OSError:
        return 0
    return pages * os.sysconf("SC_PAGE_SIZE")


class _Steps(logging.Handler):
    """Sends on what is logged."""

    def __init__(self, send: Callable[[bytes], None]) -> None:
        super().__init__()
        self._send = send

    def emit(self, record: logging.LogRecord) -> None:
        self._send(_message("step", record.getMessage()))

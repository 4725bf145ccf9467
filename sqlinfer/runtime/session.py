"""ONNX Runtime sessions: one per model file, shared by all threads.

DuckDB already runs a query on every core, so a session computes on the thread that calls it. When a single thread
feeds a heavy model (a small table: DuckDB parallelises by row groups of 122,880 rows), a second session with a
pool of all cores takes over.
"""

from __future__ import annotations

import os
import re
import threading
import time
from collections import OrderedDict
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import onnxruntime as ort

from sqlinfer.errors import InvalidModel, MissingExtra, ModelFailed, RegistryError
from sqlinfer.models.registry import StoredModel
from sqlinfer.runtime.libraries import EXTENSION_FILE, EXTENSIONS, operators_library

__all__ = ["Session", "SessionCache", "interrupt_runs", "mistaken_output", "sessions"]

T = TypeVar("T")
# What its errors speak of when it does not open a model with the operators of the native extension.
_OWN = rf"TreeEnsemble|LinearRegressor|RegisterCustomOps|{re.escape(EXTENSION_FILE.name)}"
# What ONNX Runtime says of an operator that is not its own.
_STRANGE = "is not a registered function/op"
_MISTAKEN = re.compile(r"of output arg \((.*?)\) of node .*? does not match expected type \(tensor\((\w+)\)\)")
_FATAL_ONLY = 4  # everything else comes back as an exception
# A run that takes longer gains more from more threads than it loses by waking them.
_HEAVY_SECONDS = 0.002


# Of all runs: what ends one ends all.
_run_options = ort.RunOptions()
_run_options.log_severity_level = _FATAL_ONLY


def interrupt_runs(pressed: bool) -> None:
    """End the runs that go on, and those that begin, until ``pressed`` is False again."""
    _run_options.terminate = pressed


def _open(source: bytes | str, threads: int) -> ort.InferenceSession:
    """Trees are computed by the native extension, where it is there and knows their form; an operator that ONNX Runtime
    has not, by the library that was named for it."""
    libraries = [EXTENSION_FILE] if EXTENSION_FILE.exists() else []
    while True:
        try:
            return _opened(source, threads, libraries)
        except Exception as error:  # ONNX Runtime's exceptions share no base class but Exception
            if EXTENSION_FILE in libraries and re.search(_OWN, str(error)):
                libraries.remove(EXTENSION_FILE)
                continue
            library = operators_library()
            if _STRANGE not in str(error) or library in libraries:
                raise
            if library is None and any(domain in str(error) for domain in EXTENSIONS):
                raise MissingExtra.of("onnxruntime-extensions", "operators", "a model with its operators") from error
            if library is None:
                raise
            libraries.append(library)


def _opened(source: bytes | str, threads: int, operators: Sequence[Path]) -> ort.InferenceSession:
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _FATAL_ONLY
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    for library in operators:
        options.register_custom_ops_library(str(library))
    # without a GPU there is nothing to fall back from; it would print, and try the same again
    return ort.InferenceSession(source, options, providers=["CPUExecutionProvider"], enable_fallback=0)


class Session:
    """A loaded model. ``run`` may be called from any thread."""

    def __init__(self, source: Path | bytes, name: str, files: Mapping[str, bytes] | None = None) -> None:
        """``files``: what lies beside a graph that is not stored yet."""
        self.name = name
        self._files = files
        self._made: dict[str, Any] = {}
        self._source = source if isinstance(source, bytes) else str(source)
        self._wide: ort.InferenceSession | None = None
        self._lock = threading.Lock()
        self._running = 0
        self.seconds_per_row = 0.0
        try:
            self._narrow = _open(self._source, 1)
        except MissingExtra:
            raise
        except Exception as error:
            raise InvalidModel(f"ONNX Runtime {ort.__version__} cannot load {name!r}: {brief(error)}") from error

    @property
    def inputs(self) -> dict[str, tuple[str, list[int | str | None]]]:
        """As ONNX Runtime sees them: 'tensor(float)', and axes of which the free ones are names."""
        return {i.name: (i.type, i.shape) for i in self._narrow.get_inputs()}

    @property
    def outputs(self) -> list[str]:
        return [output.name for output in self._narrow.get_outputs()]

    @property
    def shapes(self) -> dict[str, list[int | str | None]]:
        """The axes of the outputs, as declared or as ONNX Runtime infers them."""
        return {output.name: output.shape for output in self._narrow.get_outputs()}

    def run(self, outputs: list[str], feeds: dict[str, np.ndarray], rows: int) -> list[np.ndarray]:
        """The outputs by name. Raises ModelFailed with what ONNX Runtime said."""
        alone = self._running == 0
        heavy = self.seconds_per_row * rows > _HEAVY_SECONDS
        session = self._widened() if alone and heavy else self._narrow
        self._running += 1
        started = time.perf_counter()
        try:
            result: list[np.ndarray] = session.run(outputs, feeds, _run_options)
        except Exception as error:
            raise ModelFailed(f"model {self.name!r} failed: {brief(error)}") from error
        finally:
            self._running -= 1
        seconds = (time.perf_counter() - started) / max(rows, 1)
        self.seconds_per_row = seconds if not self.seconds_per_row else 0.9 * self.seconds_per_row + 0.1 * seconds
        return result

    def file(self, name: str) -> bytes:
        """The content of a file beside the graph. Raises RegistryError."""
        if self._files is not None:
            return self._files[name]
        path = Path(str(self._source)).parent / name
        try:
            return path.read_bytes()
        except OSError as error:
            raise RegistryError(f"{path} cannot be read ({error}); register the model again") from error

    def once(self, what: str, make: Callable[[], T]) -> T:
        """What is made once for this model and kept as long as it is loaded."""
        with self._lock:
            if what not in self._made:
                self._made[what] = make()
            made: T = self._made[what]
        return made

    @contextmanager
    def shared(self, rows: int) -> Iterator[int]:
        """How many threads may share the runs of so many rows: all cores when nobody else runs the model, and it pays.
        Within, each run keeps to its own thread."""
        pays = not self.seconds_per_row or self.seconds_per_row * rows > _HEAVY_SECONDS
        threads = (os.cpu_count() or 1) if pays and self._running == 0 else 1
        self._running += threads > 1
        try:
            yield threads
        finally:
            self._running -= threads > 1

    def _widened(self) -> ort.InferenceSession:
        cores = os.cpu_count() or 1
        if cores == 1:
            return self._narrow
        if self._wide is None:
            with self._lock:
                if self._wide is None:
                    self._wide = _open(self._source, cores)
        return self._wide


class SessionCache:
    """The sessions of this process, the least recently used dropped first."""

    def __init__(self, most: int = 32) -> None:
        self._most = most
        self._lock = threading.Lock()
        self._sessions: OrderedDict[tuple[str, str], Session] = OrderedDict()

    def get(self, model: StoredModel) -> Session:
        """Raises RegistryError where the files are not those that were registered, InvalidModel."""
        key = str(model.onnx), model.manifest.sha256
        with self._lock:
            session = self._sessions.get(key)
            if session is None:
                model.require_intact()
                session = self._sessions[key] = Session(model.onnx, model.manifest.name)
            self._sessions.move_to_end(key)
            while len(self._sessions) > self._most:
                self._sessions.popitem(last=False)
            return session


sessions = SessionCache()


def mistaken_output(error: BaseException) -> tuple[str, str] | None:
    """Of a graph that declares a value of another element type than is made: the value, and its type, as ONNX calls
    it in capitals. ONNX Runtime loads no such graph."""
    found = _MISTAKEN.search(str(error.__cause__))
    return (found[1], found[2].upper()) if found else None


def brief(error: Exception) -> str:
    """ONNX Runtime's message without its numeric prefix: '[ONNXRuntimeError] : 2 : INVALID_ARGUMENT : …'."""
    text = str(error).split(" : ", 3)[-1] if str(error).startswith("[ONNXRuntimeError]") else str(error)
    return " ".join(text.split())[:600]

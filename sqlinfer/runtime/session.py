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
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import onnxruntime as ort

from sqlinfer.errors import InvalidModel, MissingExtra, ModelFailed, RegistryError
from sqlinfer.installation import EXTENSION_FILE, EXTENSIONS, operators_library
from sqlinfer.models.registry import MODEL_FILE, StoredModel
from sqlinfer.runtime.ending import run_options
from sqlinfer.runtime.trees import trees_of
from sqlinfer.telemetry import is_off

__all__ = ["PlainSession", "Session", "SessionCache", "mistaken_output", "plain_outputs", "sessions"]

if is_off():  # also where it was loaded before this package was
    ort.disable_telemetry_events()

T = TypeVar("T")
# What its errors speak of when it does not open a model with the operators of the native extension.
_OWN = rf"TreeEnsemble|LinearRegressor|RegisterCustomOps|{re.escape(EXTENSION_FILE.name)}"
# What ONNX Runtime says of an operator that is not its own.
_STRANGE = "is not a registered function/op"
_MISTAKEN = re.compile(r"of output arg \((.*?)\) of node .*? does not match expected type \(tensor\((\w+)\)\)")
# An older one loads the extension, which then gives it nothing.
_TAKES_OPERATORS = tuple(int(n) for n in re.findall(r"\d+", ort.__version__)[:2]) >= (1, 25)
# What a graph says of the rows that it refuses: a node that cannot run then has that for a name.
_REFUSAL = re.compile(r"Name:'refuses \d+: (.*)' Status Message: ", re.DOTALL)
_FATAL_ONLY = 4  # everything else comes back as an exception
# A run that takes longer gains more from more threads than it loses by waking them.
_HEAVY_SECONDS = 0.002


def _open(content: bytes, threads: int) -> tuple[ort.InferenceSession, bool]:
    """Trees are computed by the native extension, where it is there and knows their form: whether they are,
    is the second answer. An operator that ONNX Runtime has not, by the library that was named for it."""
    libraries = [EXTENSION_FILE] if EXTENSION_FILE.exists() else []
    while True:
        try:
            return _opened(content, threads, libraries), EXTENSION_FILE in libraries and _TAKES_OPERATORS
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


def _opened(content: bytes | str, threads: int, operators: Sequence[Path]) -> ort.InferenceSession:
    """``content``: of a graph, or the path of its file."""
    options = ort.SessionOptions()
    options.intra_op_num_threads = threads
    options.inter_op_num_threads = 1
    options.log_severity_level = _FATAL_ONLY
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    for library in operators:
        options.register_custom_ops_library(str(library))
    # without a GPU there is nothing to fall back from; it would print, and try the same again
    return ort.InferenceSession(content, options, providers=["CPUExecutionProvider"], enable_fallback=0)


def plain_outputs(graph: bytes, rows: np.ndarray) -> list[np.ndarray]:
    """What ONNX Runtime alone makes of the one input of a graph, on one thread."""
    session = _opened(graph, 1, [])
    outputs: list[np.ndarray] = session.run(None, {session.get_inputs()[0].name: rows})
    return outputs


class PlainSession:
    """A graph in ONNX Runtime alone, on one thread, without any kernel of ours."""

    def __init__(self, graph: Path | bytes) -> None:
        content = graph if isinstance(graph, bytes) else str(graph)
        try:
            self._session = _opened(content, 1, [])
        except Exception as error:
            library = operators_library()
            if library is None or _STRANGE not in str(error):
                raise
            self._session = _opened(content, 1, [library])

    @property
    def inputs(self) -> dict[str, tuple[str, list[int | str | None]]]:
        """As `Session.inputs`, with those that have a value in the file."""
        values = (*self._session.get_inputs(), *self._session.get_overridable_initializers())
        return {value.name: (value.type, value.shape) for value in values}

    @property
    def outputs(self) -> dict[str, str]:
        """By name, the type: 'tensor(float)', 'seq(map(string,tensor(float)))' …"""
        return {output.name: output.type for output in self._session.get_outputs()}

    def run(self, outputs: list[str], feeds: dict[str, np.ndarray]) -> list[Any]:
        """The outputs by name: arrays, or lists. Raises ModelFailed, Interrupted."""
        with run_options() as options:
            try:
                result: list[Any] = self._session.run(outputs, feeds, options)
            except Exception as error:
                raise ModelFailed(brief(error)) from error
        return result


class Session:
    """A loaded model. ``run`` may be called from any thread."""

    def __init__(self, content: bytes, name: str, files: Mapping[str, bytes] | None = None) -> None:
        """Of a graph that is not stored yet; ``files``: what lies beside it. Raises InvalidModel."""
        kept = dict(files or {})
        self._load(content, name, kept.__getitem__, lambda: content)

    @classmethod
    def of(cls, model: StoredModel) -> Session:
        """Of files as they were when they were registered. Raises RegistryError, InvalidModel."""
        session = cls.__new__(cls)
        session._load(
            model.file(MODEL_FILE),
            model.manifest.name,
            model.file,
            lambda: model.file(MODEL_FILE),
            one_thread=model.manifest.signature.batch.multiple > 1,
        )
        return session

    def _load(
        self,
        content: bytes,
        name: str,
        file: Callable[[str], bytes],
        content_again: Callable[[], bytes],
        *,
        one_thread: bool = False,
    ) -> None:
        self.name = name
        self.size = len(content)
        self.file = file
        self._content_again = content_again
        self._made: dict[str, Any] = {}
        self._making = threading.RLock()
        trees = trees_of(content, name)
        self._lock = threading.Lock()
        self._running = 0
        self._runs = 0
        # What a row has cost lately; 0 before the first run.
        self.seconds_per_row = 0.0
        try:
            self._narrow, own = _open(content, 1)
            # another number of threads would add in another order, or have each thread's part end elsewhere
            self._one_thread = one_thread or trees.classifier or (trees.any and not own)
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
        """The outputs by name. Raises ModelFailed with what ONNX Runtime said, Interrupted."""
        heavy = self.seconds_per_row * rows > _HEAVY_SECONDS
        with self._counted() as running, run_options() as options:
            session = self._widened() if running == 1 and heavy else self._narrow
            started = time.perf_counter()
            try:
                result: list[np.ndarray] = session.run(outputs, feeds, options)
            except Exception as error:
                raise ModelFailed(f"model {self.name!r} failed: {brief(error)}") from error
        self._learn((time.perf_counter() - started) / max(rows, 1), rows)
        return result

    def _learn(self, seconds: float, rows: int) -> None:
        """The first runs cost more than they should; later ones are averaged. In short runs the call costs more than
        the rows, so they count less; and a thread that was put aside in the middle of a run does not count for all of
        that time. As in the native engine."""
        before, runs = self.seconds_per_row, self._runs
        self._runs += 1
        if runs == 0:
            self.seconds_per_row = seconds
        elif runs < 4:
            self.seconds_per_row = min(before, seconds)
        else:
            weight = 0.1 * min(rows / 512, 1)
            self.seconds_per_row = (1 - weight) * before + weight * min(seconds, 4 * before)

    @contextmanager
    def _counted(self) -> Iterator[int]:
        """How many runs go on, with this one."""
        with self._lock:
            self._running += 1
            running = self._running
        try:
            yield running
        finally:
            with self._lock:
                self._running -= 1

    def once(self, what: str, make: Callable[[], T]) -> T:
        """What is made once for this model and kept as long as it is loaded."""
        made = self._made.get(what)
        if made is None:
            with self._making:
                made = self._made.get(what)
                if made is None:
                    made = self._made[what] = make()
        found: T = made
        return found

    @contextmanager
    def shared(self, rows: int) -> Iterator[int]:
        """How many threads may share the runs of so many rows: all cores when nobody else runs the model, and it pays.
        Within, each run keeps to its own thread."""
        pays = not self.seconds_per_row or self.seconds_per_row * rows > _HEAVY_SECONDS
        threads = (os.cpu_count() or 1) if pays and self._running == 0 else 1
        if threads == 1:
            yield 1
            return
        with self._counted():
            yield threads

    def _widened(self) -> ort.InferenceSession:
        """The same graph for all cores; what runs is what was verified, so only of a file that is still the same."""
        cores = os.cpu_count() or 1
        if cores == 1 or self._one_thread:
            return self._narrow
        wide: ort.InferenceSession = self.once("wide", lambda: self._opened_wide(cores))
        return wide

    def _opened_wide(self, cores: int) -> ort.InferenceSession:
        with suppress(RegistryError):
            return _open(self._content_again(), cores)[0]
        return self._narrow


# So many sessions stay however large they are, and more as long as all are small: one query may ask hundreds of models.
# As in the native engine.
_MOST_SESSIONS = 32
_MOST_SMALL = 1024
_MOST_BYTES = 128 << 20
# What a session takes beside what its file does, about.
_BYTES_OF_NONE = 128 << 10
_BYTES_PER_BYTE = 4


class SessionCache:
    """The sessions of this process, the least recently used dropped first. Two models may be loaded at once."""

    def __init__(self, most: int = _MOST_SESSIONS, most_small: int = _MOST_SMALL) -> None:
        self._most = most
        self._most_small = most_small
        self._bytes = 0
        self._lock = threading.Lock()
        self._slots: OrderedDict[tuple[Path, str], _Slot] = OrderedDict()

    def get(self, model: StoredModel) -> Session:
        """Raises RegistryError where the files are not those that were registered, InvalidModel."""
        # all that is known of a model is in its manifest: what makes its tensors, too
        key = model.folder, model.manifest.digest
        with self._lock:
            if key not in self._slots:
                self._make_room()
                self._slots[key] = _Slot()
            slot = self._slots[key]
            self._slots.move_to_end(key)
        with slot.lock:
            if slot.session is None:
                slot.session = Session.of(model)
                with self._lock:
                    slot.bytes = _BYTES_OF_NONE + _BYTES_PER_BYTE * slot.session.size
                    self._bytes += slot.bytes if self._slots.get(key) is slot else 0
            return slot.session

    def _make_room(self) -> None:
        """For another one."""
        while len(self._slots) >= self._most_small or (len(self._slots) >= self._most and self._bytes > _MOST_BYTES):
            _, slot = self._slots.popitem(last=False)
            self._bytes -= slot.bytes


class _Slot:
    __slots__ = ("bytes", "lock", "session")

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self.bytes = 0
        self.session: Session | None = None


sessions = SessionCache()


def mistaken_output(error: BaseException) -> tuple[str, str] | None:
    """Of a graph that declares a value of another element type than is made: the value, and its type, as ONNX calls
    it in capitals. ONNX Runtime loads no such graph."""
    found = _MISTAKEN.search(str(error.__cause__))
    return (found[1], found[2].upper()) if found else None


def brief(error: Exception) -> str:
    """ONNX Runtime's message without its numeric prefix, '[ONNXRuntimeError] : 2 : INVALID_ARGUMENT : …', or what the
    graph says of the rows that it refuses."""
    if refusal := _REFUSAL.search(str(error)):
        return refusal[1]
    text = str(error).split(" : ", 3)[-1] if str(error).startswith("[ONNXRuntimeError]") else str(error)
    return " ".join(text.split())[:600]

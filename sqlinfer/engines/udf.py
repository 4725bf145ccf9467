"""The Python functions that DuckDB calls on the Arrow engine, one for each call of each version of a model.

DuckDB may call a function for as long as any connection to its database lives, keeps it alive no longer than the
connection that made it, and does not say when a database is gone. So they are kept as long as the process, and
shared by all databases: there are no more of them than there are versions in use. What is large, the model and its
buffers, is not theirs.
"""

from __future__ import annotations

import threading
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

import duckdb
import pyarrow as pa

from sqlinfer.engines.interrupt import deferred
from sqlinfer.engines.running import everywhere, here
from sqlinfer.errors import CallError, MissingFeature, SqlinferError
from sqlinfer.models.calls import CallKind
from sqlinfer.models.files import FileState, state_of
from sqlinfer.models.reference import Reference
from sqlinfer.models.registry import Registry, StoredModel
from sqlinfer.runtime.by_model import score_by_model
from sqlinfer.runtime.ending import Interrupted, ended_by
from sqlinfer.runtime.predictor import open_predictor
from sqlinfer.sql.bind import Function

__all__ = ["Meanings", "RowsUdf", "Udf", "deciding_state", "failures", "rows_udf", "udf_of"]


class _Failures:
    """What functions raised lately: DuckDB keeps only the text, which is the same for whoever caused it."""

    _MOST = 64

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._by_text: dict[str, tuple[Function | None, BaseException]] = {}

    def add(self, function: Function | None, error: BaseException) -> None:
        with self._lock:
            text = f"{type(error).__name__}: {error}"
            self._by_text.pop(text, None)
            self._by_text[text] = function, error.with_traceback(None)
            while len(self._by_text) > self._MOST:
                del self._by_text[next(iter(self._by_text))]

    def behind(self, message: str) -> tuple[Function | None, BaseException] | None:
        """A copy of what was raised: whoever gets it may say where in its own SQL that was."""
        said = message.partition("Python exception occurred while executing the UDF: ")[2]
        with self._lock:
            found = self._by_text.get(said) or self._by_text.get(said.partition("\n\nAt:\n")[0])
        return (found[0], _copied(found[1])) if found else None


def _copied(error: BaseException) -> BaseException:
    copy = type(error).__new__(type(error), *error.args)
    copy.args = error.args
    copy.__dict__.update(error.__dict__)
    copy.__cause__ = error.__cause__
    return copy


failures = _Failures()


class Udf:
    """``model``: what answers, or why nothing does. DuckDB binds a function when it binds a statement, so a statement
    goes on with it, whatever an engine puts in its place meanwhile."""

    def __init__(self, function: Function, type: str, model: StoredModel | SqlinferError) -> None:
        self.function = function
        self.type = type
        self.model = model
        self.call = _variadic(self)

    def __call__(self, *args: pa.ChunkedArray) -> pa.Array:
        with _asked(self.function):
            if isinstance(self.model, SqlinferError):
                raise _copied(self.model)
            with deferred():
                predict = open_predictor(str(self.function.reference), self.model, self.function.call)
                return predict(*self._in_order(self.model, args))

    def _in_order(self, model: StoredModel, args: tuple[pa.ChunkedArray, ...]) -> Sequence[pa.ChunkedArray]:
        """The arguments in the order of the model's features."""
        if not self.function.names:
            return args
        features = model.manifest.signature.feature_names
        given = {name.lower(): arg for name, arg in zip(self.function.names, args, strict=True)}
        missing = [name for name in features if name.lower() not in given]
        if missing:
            raise MissingFeature.of(str(self.function.reference), missing, features)
        return [given[name.lower()] for name in features]


class RowsUdf:
    """What answers a call whose model each row names. What a reference means is looked up once: when it means something
    else, an engine puts another such function in its place, and the statements that have this one go on with it."""

    def __init__(self, call: CallKind, registry: Registry) -> None:
        self.kind = call
        self.call = _variadic(self)
        self._registry = registry
        self._found: dict[Reference, tuple[FileState | None, StoredModel]] = {}
        self._finding = threading.Lock()

    def __call__(self, *args: pa.ChunkedArray) -> pa.Array:
        with _asked(None), deferred():
            if not args:
                raise CallError.no_text_for_model(self.kind.name, "missing")
            named, *features = (arg.combine_chunks() for arg in args)
            return score_by_model(self.kind, self._find, named, features)

    def is_outdated(self) -> bool:
        """Whether a reference that it has looked up means something else by now."""
        return any(_state(self._registry, reference) != state for reference, (state, _) in tuple(self._found.items()))

    def _find(self, reference: Reference) -> StoredModel:
        with self._finding:
            if reference not in self._found:
                state = _state(self._registry, reference)
                self._found[reference] = state, self._registry.get(reference)
            return self._found[reference][1]


@contextmanager
def _asked(function: Function | None) -> Iterator[None]:
    """While DuckDB waits for an answer."""
    asked = here()
    token = ended_by.set(asked.is_interrupted if asked is not None else _all_interrupted)
    try:
        yield
    except Interrupted:
        error: BaseException = duckdb.InterruptException("INTERRUPT Error: Interrupted!")
        failures.add(function, error)
        raise error from None
    except BaseException as error:  # a KeyboardInterrupt comes through here, too
        failures.add(function, error)
        raise
    finally:
        ended_by.reset(token)


def _all_interrupted() -> bool:
    """On a thread of DuckDB's, which works for one of those that are inside."""
    asked = [running for running in everywhere() if running.engine == "arrow"]
    return bool(asked) and all(running.is_interrupted() for running in asked)


class Meanings:
    """What references mean now, each looked up once: a registry may change between two looks."""

    def __init__(self, registry: Registry) -> None:
        self._registry = registry
        self._found: dict[Reference, tuple[FileState | None, StoredModel | SqlinferError]] = {}

    def of(self, function: Function) -> tuple[FileState | None, StoredModel | SqlinferError]:
        """The state of the file that decides (see `deciding_state`), and what the function answers with, or why it
        cannot."""
        reference = function.reference
        if reference not in self._found:
            state = deciding_state(self._registry, function)
            try:
                self._found[reference] = state, self._registry.get(reference)
            except SqlinferError as error:
                self._found[reference] = state, error
        state, model = self._found[reference]
        if isinstance(model, StoredModel):
            try:
                model.call(function.call)
            except SqlinferError as error:
                return state, error
        return state, model


def deciding_state(registry: Registry, function: Function) -> FileState | None:
    """Of the file that is another one when the reference means another model."""
    return _state(registry, function.reference)


def _state(registry: Registry, reference: Reference) -> FileState | None:
    try:
        return state_of(registry.deciding(reference))
    except OSError:
        return None


_kept: dict[tuple[str, ...], Udf] = {}
_kept_of_rows: list[RowsUdf] = []
_keeping = threading.Lock()


def udf_of(function: Function, type: str, registry: Registry, model: StoredModel | SqlinferError) -> Udf:
    """The one of this process."""
    what = (str(model.folder), model.manifest.digest) if isinstance(model, StoredModel) else ("", str(model))
    key = (str(registry.home.absolute()), function.name, type, *what)
    with _keeping:
        if key not in _kept:
            _kept[key] = Udf(function, type, model)
        return _kept[key]


def rows_udf(call: CallKind, registry: Registry) -> RowsUdf:
    """A new one, which has looked up nothing."""
    udf = RowsUdf(call, registry)
    _kept_of_rows.append(udf)
    return udf


def _variadic(udf: Udf | RowsUdf) -> Callable[..., pa.Array]:
    # DuckDB reads the signature of a function, not of an object's __call__
    def function(*args: pa.ChunkedArray) -> pa.Array:
        return udf(*args)

    return function

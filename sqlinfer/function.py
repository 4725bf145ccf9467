"""One version of a model as a plain function, for engines that speak Arrow: Polars, Ray, Daft, DataFusion, Dask.

A pickle of one names the version, and what its files are; with ``embed=True`` it holds them. Who unpickles it opens
the model when the function is first called, once for each process.
"""

from __future__ import annotations

import os
import threading
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from sqlinfer import types
from sqlinfer.errors import FeatureCount, FeatureError, ModelNotFound, RegistryError
from sqlinfer.models.labels import label_of
from sqlinfer.models.packed import digest_of, pack, unpacked
from sqlinfer.models.registry import Registry, RegistryLike, StoredModel
from sqlinfer.models.sample import to_series, to_table
from sqlinfer.models.signature import Label
from sqlinfer.runtime.scorer import Scorer

__all__ = ["Udf", "udf"]

# Of models that are open in a process: as many as this stay so, those that were asked last.
_MOST_OPEN = 8


def udf(
    reference: str,
    *,
    call: str = "predict",
    class_: Label | None = None,
    registry: RegistryLike = None,
    embed: bool = False,
) -> Udf:
    """A function of rows that answers as ``predict('churn', …)`` does in SQL, by the version that ``reference`` means
    now, whatever is promoted later.

    ``call``: predict, predict_proba or infer. ``class_``: of predict_proba, the probability of this class alone.
    ``embed``: its pickle holds the model's files, for machines that do not see the registry. Raises ModelNotFound.
    """
    home = Registry.of(registry)
    stored = home.get(reference)
    stored.call(call)
    label = None if class_ is None else label_of(stored.manifest.name, stored.manifest.signature.labels, call, class_)
    packed = pack(stored) if embed else None
    name = f"{stored.manifest.name}/{stored.manifest.version}"
    made = Udf(_Source(str(home.home.absolute()), name, stored.manifest.digest, call), label, packed)
    made.scorer()  # what is wrong with the files is told here
    return made


@dataclass(frozen=True, slots=True)
class _Source:
    """``digest``: of all that the version's model.json says, the sha256 of its files included."""

    home: str
    reference: str
    digest: str
    call: str

    def find(self) -> tuple[Registry, StoredModel]:
        registry = Registry(self.home)
        try:
            return registry, self.require(registry)
        except (ModelNotFound, RegistryError) as error:
            raise RegistryError(
                f"the model {self.reference} of a udf is not to be had here: {error}. Let this machine see the folder "
                f"{self.home}, or send the files along: sqlinfer.udf({self.reference!r}, embed=True)"
            ) from error

    def require(self, registry: Registry) -> StoredModel:
        stored = registry.get(self.reference)
        if stored.manifest.digest != self.digest:
            raise RegistryError(
                f"{stored.folder} is another version than the one that the udf was made of (the sha256 of its "
                f"model.json is {stored.manifest.digest[:12]}…, not {self.digest[:12]}…)"
            )
        return stored


class Udf:
    """``churn(rows)``, with features found by name in a RecordBatch, a Table, an array of structs or a DataFrame, or
    ``churn(age, income, city)``, with a column for each feature, in order. Any thread may call it.

    What is Arrow's gets a pa.Array; what is pandas' or Polars' a Series of theirs.
    """

    # what wraps a function takes over its __dict__, and may be pickled, too
    __slots__ = ("__weakref__", "_class", "_own", "_packed", "_source")

    def __init__(self, source: _Source, class_: Label | None, packed: bytes | None) -> None:
        self._source = source
        self._class = class_
        self._packed = packed
        self._own: tuple[int, Scorer] | None = None

    @property
    def __name__(self) -> str:
        return f"{self._source.call}_{self._source.reference.partition('/')[0]}"

    @property
    def model(self) -> str:
        """The version that answers, as ``churn/3``."""
        return self._source.reference

    @property
    def sha256(self) -> str:
        """That of its model.onnx."""
        return self.scorer().model.manifest.sha256

    @property
    def takes(self) -> pa.Schema:
        """The features, in order, and their types."""
        return self.scorer().takes

    @property
    def gives(self) -> pa.DataType:
        """The type of the answers."""
        gives = self.scorer().gives
        return gives if self._class is None else gives.item_type

    def scorer(self) -> Scorer:
        """What answers, opened once for each process. Raises RegistryError where the model is not to be had."""
        if self._own is None or self._own[0] != os.getpid():
            self._own = os.getpid(), _open.scorer(self._source, self._packed)
        return self._own[1]

    def __call__(self, *given: Any) -> Any:
        """Raises FeatureError before any row is scored, or ModelFailed."""
        if not given:
            raise FeatureCount.of(self._source.reference, 0, self.takes.names)
        answers = self._answers(given)
        if self._class is not None:
            answers = pc.map_lookup(answers, pa.scalar(self._class, answers.type.key_type), "first")
        return _as_given(given[0], answers, self.__name__)

    def _answers(self, given: tuple[Any, ...]) -> pa.Array:
        scorer = self.scorer()
        if len(given) == 1 and (rows := _rows(given[0])) is not None:
            return scorer(rows)
        columns = [_column(one) for one in given]
        if len(columns) != len(scorer.features):
            raise FeatureCount.of(self._source.reference, len(columns), scorer.features)
        if len(lengths := {len(column) for column in columns}) > 1:
            raise FeatureCount(f"the columns have {' and '.join(map(str, sorted(lengths)))} rows; give as many of each")
        return scorer.columns(columns)

    def __reduce__(self) -> tuple[Any, ...]:
        return Udf, (self._source, self._class, self._packed)

    def __repr__(self) -> str:
        return f"<sqlinfer.udf {self._source.reference} {self._source.call}>"


class _Open:
    """The models that this process has opened for its functions."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._scorers: OrderedDict[tuple[int, _Source], Scorer] = OrderedDict()
        if hasattr(os, "register_at_fork"):
            os.register_at_fork(after_in_child=self._forked)

    def scorer(self, source: _Source, packed: bytes | None) -> Scorer:
        key = os.getpid(), source  # a process that was forked opens its own
        with self._lock:
            if key not in self._scorers:
                self._scorers[key] = _opened(source, packed)
            self._scorers.move_to_end(key)
            while len(self._scorers) > _MOST_OPEN:
                self._scorers.popitem(last=False)
            return self._scorers[key]

    def _forked(self) -> None:
        self._lock = threading.Lock()  # a thread that does not live on may have had it


_open = _Open()


def _opened(source: _Source, packed: bytes | None) -> Scorer:
    if packed is not None:
        registry = unpacked(packed, digest_of(packed))
        return Scorer(registry, source.require(registry), source.call)
    registry, stored = source.find()
    return Scorer(registry, stored, source.call)


def _rows(given: Any) -> pa.Table | pa.RecordBatch | None:
    """None of what is a column."""
    if isinstance(given, (pa.Table, pa.RecordBatch)):
        return given
    if isinstance(given, Mapping) or hasattr(given, "columns"):
        with _understood(given):
            return to_table(given)
    column = _column(given)
    if not pa.types.is_struct(column.type):
        return None
    # the fields of a row that is NULL are
    fields = [field.name for field in column.type]
    if isinstance(column, pa.ChunkedArray):
        return pa.table(column.flatten(), names=fields)
    return pa.RecordBatch.from_arrays(column.flatten(), names=fields)


def _column(given: Any) -> pa.Array | pa.ChunkedArray:
    if not isinstance(given, (pa.Array, pa.ChunkedArray)):
        with _understood(given):
            given = given.to_arrow() if hasattr(given, "to_arrow") else pa.array(given, from_pandas=True)
    return types.without_views(given)


@contextmanager
def _understood(given: Any) -> Iterator[None]:
    """Raises FeatureError for what Arrow makes no rows and no column of."""
    try:
        yield
    except (pa.ArrowException, AttributeError, LookupError, OverflowError, TypeError, ValueError) as error:
        if isinstance(error, FeatureError):
            raise
        raise FeatureError(
            f"a {type(given).__name__} is neither rows nor a column here ({error}); give a DataFrame, an Arrow table, "
            "or an array for each feature"
        ) from error


def _as_given(given: Any, answers: pa.Array, name: str) -> Any:
    """In the form of what was asked with."""
    library = type(given).__module__.partition(".")[0]
    if library == "pandas":
        return to_series(answers, given, name)
    if library == "polars":
        import polars

        return polars.Series(name, answers)
    return answers

"""One call of one version of a model, for whoever has rows and no SQL: Python, an endpoint, other engines."""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa

from sqlinfer import types
from sqlinfer.errors import MissingFeature
from sqlinfer.models.registry import Registry, StoredModel
from sqlinfer.models.sample import columns_of
from sqlinfer.runtime.core import CoreModel, core, in_core_form
from sqlinfer.runtime.outputs import answer_type
from sqlinfer.runtime.predictor import ROWS_PER_BATCH, Predictor, open_predictor

__all__ = ["Scorer"]


class Scorer:
    """Its answers are those of SQL, bit by bit: of the core where there is one, else of the reference in Python. Any
    thread may ask it."""

    def __init__(self, registry: Registry, model: StoredModel, call: str = "predict") -> None:
        """Raises ModelNotFound where the model has no such answer, RegistryError, InvalidModel, EngineError."""
        manifest = model.manifest
        self.model = model
        self.call = call
        self.features = manifest.signature.feature_names
        self._called = manifest.name
        self._gives = answer_type(manifest.signature, model.call(call))
        library = core()
        reference = f"{manifest.name}/{manifest.version}"
        self._core = None if library is None else library.open(registry.home, reference, manifest.name)
        self._reference = open_predictor(manifest.name, model, call) if library is None else None

    @property
    def takes(self) -> pa.Schema:
        """The features, in order, and the types that they were registered with."""
        features = self.model.manifest.signature.features
        return pa.schema([(f.name, pa.binary() if f.type == "BLOB" else types.arrow_type(f.type)) for f in features])

    @property
    def gives(self) -> pa.DataType:
        """The type of the answers."""
        return self._gives

    def __call__(self, rows: pa.RecordBatch | pa.Table) -> pa.Array:
        """The answers, one a row; features are found by name, other columns are ignored. Raises FeatureError before any
        row is scored, or ModelFailed."""
        found = columns_of(rows, self.features)
        missing = [name for name, column in zip(self.features, found, strict=True) if column is None]
        if missing:
            raise MissingFeature.of(self._called, missing, self.features)
        return self._answers([column for column in found if column is not None])

    def columns(self, columns: Sequence[pa.Array | pa.ChunkedArray]) -> pa.Array:
        """As a call, with one column for each feature, in order, or with one list for all of them."""
        is_list = len(columns) == 1 and self.model.manifest.signature.takes_list and types.is_list(columns[0].type)
        if is_list or len(columns) != len(self.features):  # the reference takes it, or says what is wrong
            return self._by_reference(columns)
        return self._answers(columns)

    def _answers(self, columns: Sequence[pa.Array | pa.ChunkedArray]) -> pa.Array:
        if self._core is not None:
            forms = [in_core_form(column) for column in columns]
            if all(form is not None for form in forms):
                return self._by_core(self._core, forms)
        return self._by_reference(columns)

    def _by_core(self, model: CoreModel, columns: Sequence[pa.Array | pa.ChunkedArray]) -> pa.Array:
        if all(isinstance(column, pa.Array) for column in columns):
            return model.answers(self.call, pa.RecordBatch.from_arrays(columns, names=self.features))
        rows = pa.table(dict(zip(self.features, columns, strict=True))).combine_chunks()
        batches = rows.to_batches() or [pa.RecordBatch.from_pylist([], rows.schema)]
        parts = [model.answers(self.call, batch) for batch in batches]
        return parts[0] if len(parts) == 1 else pa.concat_arrays(parts)

    def _by_reference(self, columns: Sequence[pa.Array | pa.ChunkedArray]) -> pa.Array:
        """Also of columns that the core does not read."""
        predict = self._reference or open_predictor(self._called, self.model, self.call)
        return _in_batches(predict, columns)


def _in_batches(predict: Predictor, columns: Sequence[pa.Array | pa.ChunkedArray]) -> pa.Array:
    starts = range(0, len(columns[0]), ROWS_PER_BATCH) or [0]
    parts = [predict(*(column.slice(start, ROWS_PER_BATCH) for column in columns)) for start in starts]
    return parts[0] if len(parts) == 1 else pa.concat_arrays(parts)

"""Sample rows: what a user gives to name and type the features, and to prove the model with."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np
import pyarrow as pa

from sqlinfer import types
from sqlinfer.errors import FeatureError, UnknownFeature, named
from sqlinfer.models.signature import Feature

__all__ = ["Sample", "columns_of", "table_of_rows", "to_series", "to_table"]

# Beyond it an integer is one without a sign.
_LARGEST_INT = 2**63 - 1
_PANDAS_INTEGERS = ("Int8", "Int16", "Int32", "Int64", "UInt8", "UInt16", "UInt32", "UInt64")


@dataclass(frozen=True, slots=True)
class Sample:
    """Rows as an Arrow table; ``as_array`` when the user's own form was a bare matrix, ``sparse`` when that was one of
    scipy, whose zeros are not stored. ``categories``: the values that a categorical column may have, in their order; in
    the table it is plain. ``renamed``: what the columns were called where they are given, before their user gave them
    other names. ``nones``: the columns of texts in which a missing one is None, not NaN. ``nullable``: those of pandas'
    Booleans that may be missing, which else are objects there."""

    table: pa.Table
    as_array: bool = False
    categories: dict[str, pa.Array] = field(default_factory=dict)
    renamed: tuple[str, ...] = ()
    sparse: bool = False
    nones: frozenset[str] = frozenset()
    nullable: frozenset[str] = frozenset()

    @classmethod
    def of(cls, data: Any, names: list[str] | None = None, target: str | None = None) -> Sample:
        """From a DataFrame, an Arrow table, a DuckDB relation or a matrix.

        ``names``: those of its columns that are meant, in this order; names for them, where it has others.
        ``target``: a column that is left out, where there is one of that name. Raises FeatureError.
        """
        as_array = isinstance(data, np.ndarray) or _is_sparse(data)
        table = _in_full_precision(_without(to_table(data, names if as_array else None), target))
        chosen, renamed = (table, ()) if as_array or not names else _chosen(table, names)
        table, categories = _without_categories(chosen)
        _require_plain(table.schema)
        called = dict(zip(table.column_names, renamed or table.column_names, strict=True))

        def here(found: frozenset[str]) -> frozenset[str]:
            lower = {name.lower() for name in found}
            return frozenset(name for name, given in called.items() if given.lower() in lower)

        return cls(table, as_array, categories, renamed, _is_sparse(data), here(_nones(data)), here(_nullable(data)))

    @property
    def names(self) -> list[str]:
        return list(self.table.column_names)

    def columns(self, names: Sequence[str]) -> Sample:
        """Those of these names, whatever their case, and so called. Raises FeatureError."""
        found = columns_of(self.table, names)
        missing = [name for name, column in zip(names, found, strict=True) if column is None]
        if missing:
            raise FeatureError(f"the sample has no column {missing[0]!r}; it has {named(self.names)}")
        return replace(self, table=pa.table(dict(zip(names, found, strict=True))))

    def head(self, rows: int) -> Sample:
        return replace(self, table=self.table.slice(0, rows))

    def spread(self, rows: int) -> Sample:
        """At most ``rows`` rows, taken evenly from the whole sample."""
        if len(self.table) <= rows:
            return self
        positions = np.linspace(0, len(self.table) - 1, rows).astype(np.int64)
        return replace(self, table=self.table.take(pa.array(positions)))

    def sql_type(self, name: str) -> str:
        """The SQL type of a column: a float stays what it is, other numbers are BIGINT, unless they have NULLs."""
        column = self.table.column(name)
        if pa.types.is_boolean(column.type):
            return "BOOLEAN" if not column.null_count else "DOUBLE"
        if pa.types.is_float32(column.type) or pa.types.is_float16(column.type):
            return "FLOAT"
        if pa.types.is_integer(column.type) and not column.null_count:
            return "BIGINT"
        return "DOUBLE" if types.is_numeric(column.type) else "VARCHAR"

    def native(self) -> Any:
        """The rows as the framework was given them: a matrix, or a pandas DataFrame."""
        if self.as_array:
            columns = [column.to_numpy(zero_copy_only=False) for column in self.table.columns]
            matrix = np.column_stack(columns)
            return _sparse(matrix) if self.sparse else matrix
        frame = self.table.to_pandas()
        for column in self.table.schema:
            # pandas 2 has texts as objects, and reads a missing one as NaN: pyarrow's None is another category
            if types.is_text(column.type) and frame[column.name].dtype == object:
                frame[column.name] = frame[column.name].where(frame[column.name].notna(), np.nan)
        for name in self.nullable.intersection(self.names):
            frame[name] = frame[name].astype("boolean") if frame[name].dtype in (object, bool) else frame[name]
        for name in self.nones.intersection(self.names):
            frame[name] = frame[name].astype(object).where(frame[name].notna(), None)
        if self.categories:
            import pandas

            for name, values in self.categories.items():
                known = values.to_pylist()
                given = frame[name] if not pa.types.is_integer(values.type) else _whole(frame[name])
                new = [value for value in given.dropna().unique().tolist() if value not in set(known)]
                frame[name] = pandas.Categorical(given, categories=[*known, *new])
        return frame


def _in_full_precision(table: pa.Table) -> pa.Table:
    """Half precision as single, which holds all of it: SQL has no smaller numbers."""
    for i, column in enumerate(table.schema):
        if pa.types.is_float16(column.type):
            table = table.set_column(i, column.name, table.column(i).cast(pa.float32()))
    return table


def _without(table: pa.Table, target: str | None) -> pa.Table:
    return table.select([i for i, name in enumerate(table.column_names) if name.lower() != (target or "").lower()])


def _without_categories(table: pa.Table) -> tuple[pa.Table, dict[str, pa.Array]]:
    """Categorical columns as the values that they stand for, and the categories of each."""
    categories = {}
    for i, column in enumerate(table.schema):
        if pa.types.is_dictionary(column.type):
            whole = table.column(i).unify_dictionaries().combine_chunks()
            whole = whole.chunk(0) if isinstance(whole, pa.ChunkedArray) else whole
            categories[column.name] = whole.dictionary
            table = table.set_column(i, column.name, whole.dictionary_decode())
    return table, categories


def to_table(data: Any, names: list[str] | None = None) -> pa.Table:
    """Any of the usual forms of rows as an Arrow table; a matrix has the columns ``names``, or f0, f1 …"""
    if _is_sparse(data):
        data = data.toarray()
    if isinstance(data, np.ndarray):
        matrix = data.reshape(len(data), -1) if data.ndim != 2 else data
        names = names or [f"f{i}" for i in range(matrix.shape[1])]
        if len(names) != matrix.shape[1]:
            raise FeatureError(f"{len(names)} feature names for {matrix.shape[1]} columns")
        return pa.table({name: matrix[:, i] for i, name in enumerate(names)})
    return _without_views(_from_frame(data))


def _without_views(table: pa.Table) -> pa.Table:
    for i, column in enumerate(table.schema):
        if types.without_view(column.type) != column.type:
            table = table.set_column(i, column.name, types.without_views(table.column(i)))
    return table


def columns_of(table: pa.Table | pa.RecordBatch, names: Sequence[str]) -> list[pa.ChunkedArray | None]:
    """By name, whatever the case; None where there is none. Raises UnknownFeature where there are several."""
    places: dict[str, list[int]] = {}
    for i, name in enumerate(table.schema.names):
        places.setdefault(name.lower(), []).append(i)
    for name in names:
        if len(places.get(name.lower(), ())) > 1:
            raise UnknownFeature.several(name, [table.schema.names[i] for i in places[name.lower()]])
    return [table.column(places[name.lower()][0]) if name.lower() in places else None for name in names]


def to_series(answers: pa.Array, given: Any, name: str) -> Any:
    """Answers as a Series of pandas, with the index of what was given; integers stay such beside a NULL."""
    import pandas

    whole = {getattr(pa, kind.lower())(): getattr(pandas, f"{kind}Dtype")() for kind in _PANDAS_INTEGERS}
    series = answers.to_pandas(types_mapper=whole.get if answers.null_count else None)
    if isinstance(given, (pandas.Series, pandas.DataFrame)):
        series.index = given.index
    series.name = name
    return series


def table_of_rows(features: Sequence[Feature], rows: Sequence[Sequence[Any]]) -> pa.Table:
    """Rows as model.json and background.json have them."""
    columns = list(zip(*rows, strict=True)) if rows else [() for _ in features]
    return pa.table({f.name: _column_of(f, column) for f, column in zip(features, columns, strict=True)})


def _column_of(feature: Feature, values: Sequence[Any]) -> pa.Array:
    if feature.type == "BLOB":
        return pa.array([None if value is None else bytes(value) for value in values], pa.binary())
    if float in map(type, values):  # Arrow puts no Booleans beside them
        values = [float(value) if isinstance(value, (bool, int)) else value for value in values]
    large = any(isinstance(value, int) and value > _LARGEST_INT for value in values)
    return pa.array(list(values), pa.uint64() if large else None)


def _chosen(table: pa.Table, names: Sequence[str]) -> tuple[pa.Table, tuple[str, ...]]:
    """The columns of these names, or all of them under these names, if none of these is theirs; and what they were
    called then."""
    known = {name.lower() for name in table.column_names}
    missing = [name for name in names if name.lower() not in known]
    if not missing:
        return pa.table(dict(zip(names, columns_of(table, names), strict=True))), ()
    if len(missing) == len(names) == table.num_columns:
        return table.rename_columns(list(names)), tuple(table.column_names)
    raise FeatureError(
        f"the sample has no column {missing[0]!r} for the feature of that name; it has {named(table.column_names)}"
    )


def _from_frame(data: Any) -> pa.Table:
    if isinstance(data, pa.Table):
        return data
    if isinstance(data, pa.RecordBatch):
        return pa.Table.from_batches([data])
    module = type(data).__module__.split(".")[0]
    if module == "pandas":
        frame = data.to_frame() if data.ndim == 1 else data
        frame = _dense(frame.rename(columns=str))
        try:
            return pa.Table.from_pandas(frame, preserve_index=False).replace_schema_metadata(None)
        except (pa.ArrowException, OverflowError) as error:
            raise _mixed(frame) from error
    for method in ("to_arrow_table", "to_arrow", "fetch_arrow_table"):
        if hasattr(data, method):
            return getattr(data, method)()
    if hasattr(data, "__arrow_c_stream__"):
        return pa.table(data)
    if isinstance(data, dict):
        return pa.table(data)
    if isinstance(data, list) and data and isinstance(data[0], dict):
        return pa.Table.from_pylist(data)
    raise FeatureError(
        f"rows cannot be read from a {type(data).__name__}: give a DataFrame, an Arrow table or a NumPy matrix"
    )


def _mixed(frame: Any) -> FeatureError:
    """What to do with the columns of objects that Arrow takes for no one type."""
    for name, column in frame.items():
        try:
            pa.Array.from_pandas(column)
        except (pa.ArrowException, OverflowError):
            kinds = named(sorted({type(value).__name__ for value in column}))
            return FeatureError(
                f"the sample's column {name!r} has values of no one type that SQL has ({kinds}): make them numbers, "
                "Booleans or texts first, as with .astype(float)"
            )
    return FeatureError("the sample's rows cannot be read: make each column numbers, Booleans or texts first")


def _require_plain(schema: pa.Schema) -> None:
    """Raises FeatureError with all of the columns that no feature can be."""
    others = [column for column in schema if not types.is_numeric(column.type) and not _is_plain(column.type)]
    if others:
        found = named(f"{column.name!r} is {types.sql_name(column.type)}" for column in others)
        raise FeatureError(
            f"the sample's column {found}, which no feature can be; leave {'it' if len(others) == 1 else 'them'} out, "
            "or turn into numbers or text first"
        )


def _is_plain(arrow: pa.DataType) -> bool:
    text = pa.types.is_dictionary(arrow) and types.is_text(arrow.value_type)
    return text or types.is_text(arrow) or types.is_list(arrow) or types.is_bytes(arrow)


def _is_sparse(data: Any) -> bool:
    return type(data).__module__.startswith("scipy.sparse")


def _sparse(matrix: np.ndarray) -> Any:
    from scipy import sparse

    return sparse.csr_matrix(matrix)


def _dense(frame: Any) -> Any:
    """pandas' sparse columns with all of their values. Raises FeatureError for two columns of one name."""
    import pandas

    if not frame.columns.is_unique:
        twice = frame.columns[frame.columns.duplicated()][0]
        raise FeatureError(f"two columns are called {twice!r}; give names that differ")
    sparse = [name for name, kind in frame.dtypes.items() if isinstance(kind, pandas.SparseDtype)]
    return frame.assign(**{name: frame[name].sparse.to_dense() for name in sparse}) if sparse else frame


def _whole(column: Any) -> Any:
    """Floats that are whole as integers: as which of them a category is found."""
    return column.astype(object).map(lambda x: int(x) if isinstance(x, float) and x.is_integer() else x)


def _nullable(data: Any) -> frozenset[str]:
    return frozenset(str(name) for name in _of_pandas(data) if data[name].dtype == "boolean")


def _of_pandas(data: Any) -> list[Any]:
    """The columns of a DataFrame of pandas; none of anything else."""
    is_frame = type(data).__module__.split(".")[0] == "pandas" and data.ndim == 2 and data.columns.is_unique
    return list(data) if is_frame else []


def _nones(data: Any) -> frozenset[str]:
    """pandas keeps None in columns of objects; in all others a missing text is NaN."""
    objects = [name for name in _of_pandas(data) if data[name].dtype == object]
    return frozenset(str(name) for name in objects if any(value is None for value in data[name]))

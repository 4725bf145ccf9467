"""Values as JSON has them → Arrow columns, with no more said of their types than SQL would be told.

An integer is a BIGINT (or UBIGINT, HUGEINT), another number a DOUBLE, a text is a VARCHAR and is never parsed. What a
feature makes of them is the scorer's to say.
"""

from __future__ import annotations

import base64
import binascii
from collections.abc import Sequence
from decimal import Decimal
from itertools import chain
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from sqlinfer.errors import FeatureCount, FeatureError, MissingFeature, UnknownFeature, named
from sqlinfer.models.signature import Feature, Signature
from sqlinfer.serve.errors import Refused

__all__ = ["column", "from_base64", "of_columns", "of_positions", "of_records", "of_rows", "one_batch", "values_of"]

# Integers beyond are not all doubles.
_EXACT = 2**53


def of_columns(model: str, signature: Signature, columns: dict[str, Any]) -> pa.RecordBatch:
    """The features among columns of values."""
    features = signature.features
    names = _found(model, features, list(columns))
    found = []
    for name in names:
        values = columns[name]
        if not isinstance(values, list):
            raise Refused.malformed(f"the column {name[:80]!r} is no list of values, one for each row")
        found.append(values)
    if len({len(values) for values in found}) > 1:
        longest = ", ".join(f"{name!r} {len(values)}" for name, values in zip(names[:8], found, strict=False))
        raise Refused.malformed(f"the columns have different numbers of values: {longest}")
    return _batch(features, found)


def of_records(model: str, signature: Signature, records: list[Any]) -> pa.RecordBatch:
    """The features of rows that are objects."""
    for number, record in enumerate(records):
        if not isinstance(record, dict):
            raise Refused.malformed(f'row {number} is no object, such as {{"age": 41}}')
    features = signature.features
    if not records:
        return _batch(features, [[] for _ in features])
    found = []
    for name in _found(model, features, list(dict.fromkeys(chain.from_iterable(records)))):
        try:
            found.append([record[name] for record in records])
        except KeyError:
            row = next(number for number, record in enumerate(records) if name not in record)
            raise MissingFeature(
                f"model {model!r}: row {row} has no {name!r}; give every row every feature, null where it is not known"
            ) from None
    return _batch(features, found)


def of_rows(model: str, signature: Signature, names: list[Any], rows: list[Any]) -> pa.RecordBatch:
    """The features of rows that are lists, whose columns have names."""
    if not all(isinstance(name, str) for name in names):
        raise Refused.malformed("the names of the columns are texts")
    _require_rows(rows, len(names), "there are {} columns")
    features = signature.features
    places = {name: i for i, name in enumerate(names)}
    if len(places) < len(names):
        _require_single(features, names)
    found = [places[name] for name in _found(model, features, names)]
    return _batch(features, [[row[i] for row in rows] for i in found])


def of_positions(model: str, signature: Signature, rows: list[Any]) -> pa.RecordBatch:
    """The features of rows without names: lists in the order of the features, or the values of the only one."""
    features = signature.features
    if len(features) > 1:
        for row in rows:
            given = len(row) if isinstance(row, list) else 1
            if given != len(features):
                raise FeatureCount.of(model, given, signature.feature_names)
        return _batch(features, list(zip(*rows, strict=True)) if rows else [[] for _ in features])
    levels = features[0].type.count("[")
    if rows and all(_levels(row) == levels + 1 and len(row) == 1 for row in rows):
        rows = [row[0] for row in rows]
    return _batch(features, [rows])


def one_batch(table: pa.Table) -> pa.RecordBatch:
    columns = [column.combine_chunks() for column in table.columns]
    return pa.RecordBatch.from_arrays(columns, names=table.column_names)


def column(feature: Feature, values: Sequence[Any]) -> pa.Array:
    """A column of what JSON has. Raises Refused for values of several kinds."""
    if _takes_bytes(feature):
        return from_base64(feature.name, values)
    found = values_of(feature.name, values)
    if feature.type in ("DOUBLE", "FLOAT") and pa.types.is_integer(found.type) and _are_exact(found):
        return found.cast(pa.float64())  # so that rows of several requests have one type
    return found


def values_of(name: str, values: Sequence[Any]) -> pa.Array:
    """An Arrow array of what is of one kind."""
    try:
        found = pa.array(values)
    except UnicodeEncodeError as error:
        raise Refused.malformed(f"{name!r}: a text has half of a surrogate pair, and is no Unicode") from error
    except (pa.ArrowException, OverflowError, TypeError, ValueError):
        return _large_numbers(name, values)
    if pa.types.is_floating(_innermost(found.type)):  # where Arrow takes True for 1.0
        _require_numbers(name, values)
    return found


def from_base64(name: str, values: Sequence[Any]) -> pa.Array:
    try:
        return pa.array([None if v is None else base64.b64decode(v, validate=True) for v in values], pa.binary())
    except (TypeError, ValueError, binascii.Error) as error:
        raise FeatureError(f"feature {name!r} takes bytes, which JSON has as a text in base64: {error}") from error


def _large_numbers(name: str, values: Sequence[Any]) -> pa.Array:
    """Integers that BIGINT does not hold, and beside fractions those that DOUBLE does."""
    given = [value for value in values if value is not None]
    kinds = {type(value) for value in given}
    if kinds == {int}:
        if min(given) >= 0 and max(given) < 2**64:
            return pa.array(values, pa.uint64())
        if max(abs(min(given)), max(given)) < 10**38:
            return pa.array([None if v is None else Decimal(v) for v in values], pa.decimal128(38, 0))
        raise FeatureError(f"feature {name!r}: an integer has more than 38 digits, which no number of SQL has")
    if kinds == {int, float}:
        inexact = next((v for v in given if isinstance(v, int) and (abs(v) >= 2**1023 or int(float(v)) != v)), None)
        if inexact is None:
            return pa.array([None if v is None else float(v) for v in values], pa.float64())
        raise FeatureError(
            f"feature {name!r}: {str(inexact)[:40]} stands beside fractions, and DOUBLE does not hold it; send such "
            "integers without fractions beside them"
        )
    raise _several_kinds(name, kinds)


def _require_numbers(name: str, values: Sequence[Any]) -> None:
    """Of numbers, and of lists of them."""
    kinds = set(map(type, values))
    if bool in kinds:
        raise _several_kinds(name, kinds - {type(None)})
    if list in kinds:
        _require_numbers(name, list(chain.from_iterable(value for value in values if value is not None)))


def _several_kinds(name: str, kinds: set[type]) -> FeatureError:
    kinds_of = named(sorted({_KINDS.get(kind, kind.__name__) for kind in kinds}))
    return FeatureError(f"feature {name!r} has values of several kinds: {kinds_of}; send one kind in a column")


def _innermost(type: pa.DataType) -> pa.DataType:
    while pa.types.is_list(type):
        type = type.value_type
    return type


_KINDS: dict[type, str] = {
    bool: "Booleans",
    int: "integers",
    float: "numbers",
    str: "texts",
    list: "lists",
    dict: "objects",
}


def _are_exact(integers: pa.Array) -> bool:
    if len(integers) < 8:
        return all(v is None or -_EXACT <= v <= _EXACT for v in integers.to_pylist())
    bounds = pc.min_max(integers).as_py()
    return bounds["min"] is None or (bounds["min"] >= -_EXACT and bounds["max"] <= _EXACT)


def _takes_bytes(feature: Feature) -> bool:
    return feature.type == "BLOB"


def _batch(features: Sequence[Feature], columns: Sequence[Sequence[Any]]) -> pa.RecordBatch:
    arrays = [column(feature, values) for feature, values in zip(features, columns, strict=True)]
    return pa.RecordBatch.from_arrays(arrays, [feature.name for feature in features])


def _found(model: str, features: Sequence[Feature], names: Sequence[str]) -> list[str]:
    """What each feature is called here, whatever the case. Raises MissingFeature, UnknownFeature."""
    exact = set(names)
    if all(feature.name in exact for feature in features) and len({name.lower() for name in names}) == len(names):
        return [feature.name for feature in features]
    _require_single(features, names)
    by_lower = {name.lower(): name for name in names}
    missing = [feature.name for feature in features if feature.name.lower() not in by_lower]
    if missing:
        raise MissingFeature.of(model, missing, [feature.name for feature in features])
    return [by_lower[feature.name.lower()] for feature in features]


def _require_single(features: Sequence[Feature], names: Sequence[str]) -> None:
    """No two columns may be one feature."""
    lower = [name.lower() for name in names]
    for feature in features:
        if lower.count(feature.name.lower()) > 1:
            same = [name for name in names if name.lower() == feature.name.lower()]
            raise UnknownFeature.several(feature.name, same)


def _require_rows(rows: list[Any], width: int, says: str) -> None:
    for number, row in enumerate(rows):
        if not isinstance(row, list):
            raise Refused.malformed(f"row {number} is no list of values")
        if len(row) != width:
            raise Refused.malformed(f"row {number} has {len(row)} values, and {says.format(width)}")


def _levels(value: Any) -> int:
    levels = 0
    while isinstance(value, list):
        levels += 1
        value = value[0] if value else None
    return levels

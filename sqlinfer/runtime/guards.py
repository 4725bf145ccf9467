"""Values that a feature refuses, found before a batch is scored. The extension does the same in core/guard.rs."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np
import pyarrow as pa

from sqlinfer import types
from sqlinfer.errors import FeatureError, shown
from sqlinfer.models.signature import Feature, Guard
from sqlinfer.runtime.batches import Plan
from sqlinfer.runtime.decimals import floats
from sqlinfer.runtime.nested import cells

__all__ = ["refuses", "require_allowed"]


def require_allowed(plan: Plan, args: Sequence[pa.Array]) -> None:
    """Raises FeatureError for rows with a value that a guard refuses. A NULL is what its policy makes of it."""
    if not any(feature.guards for feature in plan.signature.features):
        return
    for feature, column in _as_list(plan, args[0]) if plan.as_list else _by_feature(plan, args):
        found = _first(feature, _values(column))
        if found is not None:
            value, guard = found
            raise FeatureError.refused(plan.model, feature.name, shown(value), guard.says)


def refuses(guard: Guard, values: np.ndarray) -> np.ndarray:
    """Which of the values are refused: doubles, or texts."""
    if values.dtype == object:
        if guard.refuse in ("other", "these"):
            known = frozenset(guard.known)
            return np.array([(text in known) == (guard.refuse == "these") for text in values], bool)
        return np.array([_refuses_text(guard, text) for text in values], bool)
    if guard.refuse in ("below", "above"):
        bound = float(guard.bound or 0.0)
        return np.asarray(values < bound if guard.refuse == "below" else values > bound)
    if guard.refuse == "fraction":
        return np.asarray(np.isfinite(values) & (np.trunc(values) != values))
    if guard.refuse == "other":
        return np.asarray(~np.isin(values, np.array(guard.known, np.float64)))
    return np.asarray(np.isnan(values) if guard.refuse == "nan" else np.isinf(values))


def _by_feature(plan: Plan, args: Sequence[pa.Array]) -> Iterator[tuple[Feature, pa.Array]]:
    for feature, column in zip(plan.signature.features, plan.find(args), strict=True):
        if feature.guards:
            yield feature, column


def _as_list(plan: Plan, array: pa.Array) -> Iterator[tuple[Feature, pa.Array]]:
    """One list a row holds the values of all features. Lists of another length are refused when they are packed."""
    features = plan.signature.features
    leaves, lengths, _ = cells(array.drop_null())
    if (lengths == len(features)).all():
        for feature in features:
            if feature.guards:
                yield feature, leaves.take(pa.array(np.arange(feature.column or 0, len(leaves), len(features))))


def _values(column: pa.Array) -> np.ndarray:
    """What is no NULL, as doubles or as texts."""
    while types.is_list(column.type):
        column = column.flatten()
    if pa.types.is_dictionary(column.type):
        column = column.dictionary_decode()
    column = column.drop_null()
    if types.is_text(column.type):
        return np.array(column.to_pylist(), object)
    if pa.types.is_decimal128(column.type):
        return floats(column, np.dtype(np.float64))
    return np.asarray(column.cast(pa.float64(), safe=False))


def _first(feature: Feature, values: np.ndarray) -> tuple[float | str, Guard] | None:
    """The first value that is refused, and by which guard."""
    found: tuple[int, Guard] | None = None
    for guard in feature.guards:
        rows = np.flatnonzero(refuses(guard, values))
        if rows.size and (found is None or rows[0] < found[0]):
            found = int(rows[0]), guard
    return None if found is None else (values[found[0]], found[1])


def _refuses_text(guard: Guard, text: str) -> bool:
    if guard.refuse == "longer":
        return len(text) > (guard.bound or 0)
    if guard.refuse == "not_ascii":
        return not text.isascii()
    return text == "" if guard.refuse == "empty" else text.isspace()

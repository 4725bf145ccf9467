"""A call whose model each row names: the rows of a batch are grouped by model, and each group is answered by its own.
The same as in udfs/src/core/by_model.rs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from sqlinfer import types
from sqlinfer.errors import CallError, ModelFailed
from sqlinfer.models.calls import CallKind
from sqlinfer.models.reference import Reference
from sqlinfer.models.registry import StoredModel
from sqlinfer.runtime.ending import require_going_on
from sqlinfer.runtime.predictor import open_predictor

__all__ = ["score_by_model"]

# Up to here, doubles hold every integer.
_MOST_EXACT = 2**53
_TYPES = {
    "DOUBLE": pa.float64(),
    "VARCHAR": pa.string(),
    "MAP(VARCHAR, DOUBLE)": pa.map_(pa.string(), pa.float64()),
}


def score_by_model(
    call: CallKind, find: Callable[[Reference], StoredModel], named: pa.Array, features: Sequence[pa.Array]
) -> pa.Array:
    """The answers of type ``call.fixed``; ``named``: the models' names. NULL where no model is named.

    ``find``: what a reference means in this statement. Raises CallError, and what finding and asking a model raises; of
    several models that fail, the error of that which is named first.
    """
    answer_type = _TYPES[str(call.fixed)]
    texts = _texts(call, named)
    codes, names = texts.indices, texts.dictionary.to_pylist()
    places = np.asarray(pc.fill_null(codes, -1))
    if len(names) == 1 and not codes.null_count:
        return _score_one(call, find, names[0], features)
    order = np.argsort(places, kind="stable")
    bounds = np.searchsorted(places[order], np.arange(len(names) + 1))
    parts = [pa.nulls(int(bounds[0]), answer_type)]
    for name, first, end in zip(names, bounds, bounds[1:], strict=False):
        rows = pa.array(order[first:end])
        parts.append(_score_one(call, find, name, [column.take(rows) for column in features]))
    return pa.concat_arrays(parts).take(pa.array(np.argsort(order)))


def _texts(call: CallKind, named: pa.Array) -> pa.DictionaryArray:
    """Each name once, in the order in which they come first."""
    if pa.types.is_dictionary(named.type):
        named = named.dictionary_decode()
    if pa.types.is_null(named.type):
        named = named.cast(pa.string())
    if not types.is_text(named.type):
        raise CallError.no_text_for_model(call.name, types.sql_name(named.type))
    return named.cast(pa.string()).dictionary_encode()


def _score_one(
    call: CallKind, find: Callable[[Reference], StoredModel], name: str, features: Sequence[pa.Array]
) -> pa.Array:
    require_going_on()
    reference = Reference.parse(name)
    model = find(reference)
    own, answers = model.call(call.answers).type, str(call.fixed)
    is_plain = not own.endswith((")", "]"))
    if not (own.startswith("MAP(") if answers.startswith("MAP(") else is_plain):
        raise CallError.other_answer(call.name, str(reference), answers, own, is_plain)
    if answers == "DOUBLE" and own == "VARCHAR":
        raise CallError.other_answer(call.name, str(reference), answers, own, is_plain)
    predictor = open_predictor(str(reference), model, call.answers)
    if answers == "DOUBLE":
        return predictor(*features, then=partial(_doubles, str(reference)))
    return predictor(*features, then=_labels if answers == "VARCHAR" else _maps)


def _doubles(model: str, answers: pa.Array) -> pa.Array:
    if pa.types.is_boolean(answers.type):
        answers = answers.cast(pa.uint8())
    if pa.types.is_integer(answers.type):
        for value in (pc.min(answers), pc.max(answers)):
            if value.is_valid and abs(value.as_py()) > _MOST_EXACT:
                raise ModelFailed.inexact(model, value.as_py())
        return answers.cast(pa.float64(), safe=False)
    return answers.cast(pa.float64())


def _labels(answers: pa.Array) -> pa.Array:
    """As DuckDB casts them to VARCHAR."""
    if not pa.types.is_floating(answers.type):
        return answers.cast(pa.string())
    texts = [_text(number) for number in answers.to_numpy(zero_copy_only=False)]
    return pa.array(texts, pa.string(), mask=np.asarray(answers.is_null()))


def _text(number: np.floating[Any]) -> str:
    """The fewest digits that tell it from other numbers of its type."""
    if not np.isfinite(number) or number == 0 or 1e-4 <= abs(number) < 1e16:
        return np.format_float_positional(number, trim="0")
    return np.format_float_scientific(number, trim="-", exp_digits=2)


def _maps(answers: pa.MapArray) -> pa.Array:
    keys, values = answers.keys.cast(pa.string()), answers.items.cast(pa.float64())
    maps = pa.MapArray.from_arrays(answers.offsets, keys, values)
    return pc.if_else(answers.is_valid(), maps, pa.scalar(None, maps.type)) if answers.null_count else maps

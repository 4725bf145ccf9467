"""Flink's table function ML_PREDICT(TABLE t, MODEL m, DESCRIPTOR(a, b)[, MAP[…]]): the rows, and then the answer."""

from __future__ import annotations

from collections.abc import Sequence

from sqlglot.tokens import TokenType

from sqlinfer.errors import FeatureCount
from sqlinfer.sql.table_calls.bigquery import probabilities
from sqlinfer.sql.table_calls.reading import ROWS, Model, Reader, labelled

__all__ = ["predict"]

Part = tuple[int, int]
_NAMES = ("INPUT", "MODEL", "ARGS", "CONFIG")
_NAME = "ML_PREDICT"


def predict(reader: Reader, parts: Sequence[Part]) -> str:
    """The columns of DESCRIPTOR are the features, in their order."""
    given = _given(reader, parts)
    model = reader.model(given["MODEL"], _NAME)
    features = _columns(reader, model, given["ARGS"])
    columns = [f"{ROWS}.*", f"{model.call('predict', features)} AS {labelled('predicted_', model)}"]
    if model.has_probabilities:
        columns.append(f"{probabilities(model, features)} AS {labelled('predicted_', model, '_probs')}")
    return f"(SELECT {', '.join(columns)} FROM {reader.rows(given['INPUT'], _NAME)})"


def _given(reader: Reader, parts: Sequence[Part]) -> dict[str, Part]:
    """The parts by name, whether they are named or in their order. What CONFIG says is how a remote model is asked."""
    given: dict[str, Part] = {}
    for place, (first, last) in enumerate(parts):
        if last - first > 2 and reader.tokens[first + 1].token_type == TokenType.FARROW:
            name = reader.tokens[first].text.upper()
            first += 2
        else:
            name = _NAMES[place] if place < len(_NAMES) else ""
        if name not in _NAMES or name in given:
            reader.refuse(f"{_NAME} takes TABLE t, MODEL m, DESCRIPTOR(a, b)", reader.span(first, last))
        given[name] = first, last
    for name in _NAMES[:3]:
        if name not in given:
            whole = reader.span(parts[0][0], parts[-1][1])
            reader.refuse(f"{_NAME} lacks {name}: it takes TABLE t, MODEL m, DESCRIPTOR(a, b)", whole)
    return given


def _columns(reader: Reader, model: Model, part: Part) -> str:
    first, last = part
    if reader.words(first, first + 2) != ["DESCRIPTOR", "("]:
        reader.refuse(f"{_NAME} needs the features here: DESCRIPTOR(a, b)", reader.span(first, last))
    columns = [reader.span(*column) for column in reader.parts(first + 1, last - 1)]
    names = model.signature.feature_names
    if len(columns) != len(names):
        span = reader.span(first, last)
        raise FeatureCount.of(str(model.reference), len(columns), names).at(reader.sql, span.start, span.end)
    return ", ".join(f"{ROWS}.{column}" for column in columns)

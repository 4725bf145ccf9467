"""Other warehouses' words for models → the ordinary calls of sqlinfer, span by span.

BigQuery's ML.PREDICT(MODEL m, TABLE t) and its sisters, Flink's ML_PREDICT, Snowflake's MODEL(m)!PREDICT(…) and
Oracle's PREDICTION(m USING *). What they become holds predict() and the aggregates; calls and their features are found
in that as in any other text. Outside of the calls not a byte changes.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence

from sqlglot.tokens import TokenType

from sqlinfer.models.signature import quoted
from sqlinfer.sql.table_calls import bigquery, bigquery_data, flink, oracle, snowflake
from sqlinfer.sql.table_calls.pieces import Call, Span, Target, Translation
from sqlinfer.sql.table_calls.reading import ROWS, Catalogue, Reader
from sqlinfer.sql.tokens import matching, tokens_of

__all__ = ["ROWS", "Catalogue", "Target", "Translation", "may_speak_otherwise", "translate"]

_WORTH_READING = re.compile(r'\bml\s*\.\s*\w+\s*\(|\bml_predict\b|!\s*"?\w+"?\s*\(|\bprediction\w*\s*\(', re.IGNORECASE)
_SIGNS = ("ml", "!", "prediction")
_BIGQUERY: dict[str, Callable[[Reader, Sequence[tuple[int, int]]], tuple[str, Target | None]]] = {
    "PREDICT": bigquery.predict,
    "EVALUATE": bigquery.evaluate,
    "CONFUSION_MATRIX": bigquery.confusion_matrix,
    "ROC_CURVE": bigquery.roc_curve,
    "FEATURE_INFO": bigquery_data.feature_info,
    "DESCRIBE_DATA": bigquery_data.describe_data,
    "VALIDATE_DATA_SKEW": bigquery_data.validate_data_skew,
    "VALIDATE_DATA_DRIFT": bigquery_data.validate_data_drift,
}
_EXPLAINING = ("EXPLAIN_PREDICT", "GLOBAL_EXPLAIN")


def may_speak_otherwise(sql: str) -> bool:
    """Whether there may be a call in another warehouse's words, which DuckDB cannot parse: a look that costs little."""
    lower = sql.lower()  # much faster in a long text than the pattern
    return any(sign in lower for sign in _SIGNS) and _WORTH_READING.search(sql) is not None


def translate(sql: str, models: Catalogue) -> Translation | None:
    """None where there is nothing to translate. Raises SqlinferError with the place underlined."""
    if not may_speak_otherwise(sql):
        return None
    # among tokens `a` is "a", which has the same places
    reader = Reader(sql, tokens_of(sql.replace("`", '"')), models)
    calls = list(_calls(reader))
    return Translation(sql).build(calls, _Names(reader)) if calls else None


def _calls(reader: Reader) -> Iterator[Call]:
    tokens = reader.tokens
    versions: list[snowflake.Version] = []
    for i, token in enumerate(tokens):
        word = "" if token.token_type in (TokenType.IDENTIFIER, TokenType.STRING) else token.text.upper()
        if word == "MODEL" and (version := snowflake.version_at(reader, i)):
            versions.append(version)
            span = reader.span(version.first, version.last)
            yield Call(span.start, span.end, version.sql)
        elif token.token_type == TokenType.NOT and (method := snowflake.method_at(reader, i, versions)):
            sql, last = snowflake.method(reader, method)
            span = reader.span(method.first, last)
            yield Call(span.start, span.end, sql)
        elif i + 1 < len(tokens) and tokens[i + 1].token_type == TokenType.L_PAREN:
            yield from _function(reader, i, word)


def _function(reader: Reader, i: int, word: str) -> Iterator[Call]:
    """The call whose name is token i, if it is one of these functions."""
    close = matching(reader.tokens, range(i + 1, len(reader.tokens)))
    if close is None:
        return
    parts = reader.parts(i + 1, close)
    if reader.words(max(0, i - 2), i) == ["ML", "."] and parts and _is_of_models(reader, i, parts):
        span = reader.span(i - 2, close + 1)
        if translator := _BIGQUERY.get(word):
            sql, target = translator(reader, parts)
            yield Call(span.start, span.end, sql, target)
        elif word in _EXPLAINING:
            reader.refuse(f"ML.{word} needs explain(), which sqlinfer does not have yet", span)
        elif reader.is_model(parts[0]):
            known = ", ".join(f"ML.{name}" for name in _BIGQUERY)
            reader.refuse(f"ML.{word} is none of BigQuery's functions that sqlinfer has: {known}", span)
    elif word == "ML_PREDICT" and parts:
        first, last = _unwrapped(reader, i, close)
        span = reader.span(first, last)
        yield Call(span.start, span.end, flink.predict(reader, parts))
    elif word in oracle.FUNCTIONS and (using := oracle.using_at(reader, i + 1, close)) is not None:
        span = reader.span(i, close + 1)
        yield Call(span.start, span.end, oracle.scalar(reader, word, i + 1, using, close))


def _is_of_models(reader: Reader, i: int, parts: Sequence[tuple[int, int]]) -> bool:
    """Whether it is one of BigQuery's, and no function of a schema that the user calls ml."""
    is_table = reader.words(max(0, i - 3), max(0, i - 2)) in (["FROM"], ["JOIN"])
    return is_table or any(reader.words(first, first + 1) in (["MODEL"], ["TABLE"]) for first, _ in parts)


def _unwrapped(reader: Reader, i: int, close: int) -> tuple[int, int]:
    """With ``TABLE(…)`` and LATERAL around it."""
    first, last = i, close + 1
    if reader.words(max(0, i - 2), i) == ["TABLE", "("] and reader.words(close + 1, close + 2) == [")"]:
        first, last = i - 2, close + 2
        if reader.words(max(0, first - 1), first) == ["LATERAL"]:
            first -= 1
    return first, last


class _Names:
    """BigQuery's `a.b.c`, in a part of the text, as "a"."b"."c"."""

    def __init__(self, reader: Reader) -> None:
        self._ticked = [t for t in reader.tokens if t.token_type == TokenType.IDENTIFIER and reader.sql[t.start] == "`"]

    def __call__(self, span: Span) -> list[tuple[Span, str]]:
        inside = [token for token in self._ticked if span.start <= token.start and token.end < span.end]
        return [(Span(t.start, t.end + 1), ".".join(quoted(part) for part in t.text.split("."))) for t in inside]

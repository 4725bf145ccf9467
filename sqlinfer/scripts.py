"""A script is run statement by statement, so that each can be tried again alone when it cannot be bound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import duckdb

__all__ = ["Statement", "statements"]


@dataclass(frozen=True, slots=True)
class Statement:
    """``alone``: nothing else runs with it, so nothing has run when it cannot be bound."""

    text: str
    alone: bool = True


def statements(con: duckdb.DuckDBPyConnection, script: str) -> list[Statement]:
    """At least one; together they are the script, with its lines where they were, because errors name them."""
    if ";" not in script.rstrip("; \t\r\n"):
        return [Statement(script)]
    try:
        texts = [statement.query for statement in con.extract_statements(script)]
    except duckdb.Error:  # DuckDB says what is wrong, and DuckDB 2 runs what stands before it
        return [Statement(script, alone=False)]
    if len(texts) < 2:
        return [Statement(script)]
    starts = _starts(script, texts)
    if starts is None:
        return [Statement(script, alone=False)]
    return [Statement("\n" * script.count("\n", 0, start) + text) for start, text in zip(starts, texts, strict=True)]


def _starts(script: str, texts: Sequence[str]) -> list[int] | None:
    """Where each text stands; None where some do not: DuckDB writes a few statements, such as PIVOT, anew."""
    starts, end = [], 0
    for text in texts:
        start = script.find(text, end)
        if not text.strip() or start < 0 or script[end:start].strip(" ;\t\r\n"):
            return None
        starts.append(start)
        end = start + len(text)
    return starts

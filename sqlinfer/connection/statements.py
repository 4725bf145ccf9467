"""A script is run statement by statement, so that each can be tried again alone when it cannot be bound."""

from __future__ import annotations

from dataclasses import dataclass

import duckdb

from sqlinfer.sql.statements import split_statements

__all__ = ["Statement", "statements"]


@dataclass(frozen=True, slots=True)
class Statement:
    """``alone``: nothing else runs with it, so nothing has run when it cannot be bound."""

    text: str
    alone: bool = True


def statements(con: duckdb.DuckDBPyConnection, script: str) -> list[Statement]:
    """At least one, each on the lines on which it stands in the script, because errors name them. A script that DuckDB
    cannot parse is one statement: DuckDB says what is wrong, and DuckDB 2 runs what stands before it."""
    if ";" not in script.rstrip("; \t\r\n"):
        return [Statement(script)]
    spans = split_statements(script)
    if len(spans) == 1:
        return [Statement(script)]
    try:
        parsed = len(con.extract_statements(script))
    except duckdb.Error:
        parsed = 0
    if parsed < len(spans) or not spans:
        return [Statement(script, alone=False)]
    return [Statement("\n" * script.count("\n", 0, start) + script[start:end]) for start, end in spans]

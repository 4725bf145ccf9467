"""A script is run statement by statement, so that each can be tried again alone when it cannot be bound."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import duckdb

from sqlinfer.sql.commands import Command, commands_in
from sqlinfer.sql.statements import split_statements
from sqlinfer.sql.table_calls import may_speak_otherwise

__all__ = ["Statement", "statements"]


@dataclass(frozen=True, slots=True)
class Statement:
    """``alone``: nothing else runs with it, so nothing has run when it cannot be bound. ``[start, end)``: its place in
    the script. ``command``: what it says of models, in the script's own text."""

    text: str
    start: int
    end: int
    alone: bool = True
    command: Command | None = None


def statements(con: duckdb.DuckDBPyConnection, script: str) -> list[Statement]:
    """At least one, each on the lines on which it stands in the script, because errors name them. A script that DuckDB
    cannot parse is one statement: DuckDB says what is wrong, and DuckDB 2 runs what stands before it. Not so where
    other warehouses' words may be what it cannot parse: they are translated when their statement's turn has come."""
    whole = Statement(script, 0, len(script))
    if commands := commands_in(script):
        return _with_commands(con, script, commands)
    if ";" not in script.rstrip("; \t\r\n"):
        return [whole]
    spans = split_statements(script)
    if len(spans) == 1:
        return [whole]
    try:
        parsed = len(con.extract_statements(script))
    except duckdb.Error:
        parsed = len(spans) if may_speak_otherwise(script) else 0
    if parsed < len(spans) or not spans:
        return [replace(whole, alone=False)]
    return [Statement(_on_its_line(script, *span), *span) for span in spans]


def _with_commands(
    con: duckdb.DuckDBPyConnection, script: str, commands: Sequence[tuple[int, int, Command | None]]
) -> list[Statement]:
    """What DuckDB does not parse is an error before anything has run, but for other warehouses' words."""
    found = [Statement(_on_its_line(script, start, end), start, end, True, command) for start, end, command in commands]
    for statement in found:
        if statement.command is None and not may_speak_otherwise(statement.text):
            con.extract_statements(statement.text)
    return found


def _on_its_line(script: str, start: int, end: int) -> str:
    return "\n" * script.count("\n", 0, start) + script[start:end]

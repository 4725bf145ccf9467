"""DuckDB's errors in the user's words: as their cause raised them, underlined in the text that the user wrote."""

from __future__ import annotations

import re
from collections.abc import Sequence

import duckdb

from sqlinfer.engines import Engine
from sqlinfer.engines.resolver import Resolver
from sqlinfer.errors import CallError, EngineError, MissingFeature, SqlinferError, named, underline
from sqlinfer.models.calls import AGGREGATES
from sqlinfer.sql.bind import TypedCall
from sqlinfer.sql.excerpts import in_the_users_text
from sqlinfer.sql.table_calls import ROWS

__all__ = ["is_signal", "located", "translated"]

# What the extension says of a run that was told to end.
_INTERRUPTED = re.compile(r"Invalid Input Error: interrupted(\n\nLINE .*)?", re.DOTALL)


def translated(
    error: duckdb.Error, calls: Sequence[TypedCall], engine: Engine, models: Resolver, sql: str = ""
) -> BaseException:
    """``calls``: those that may have failed; ``sql``: the statement, as the user wrote it, where it is known."""
    message = str(error)
    if isinstance(error, duckdb.InvalidInputException) and _INTERRUPTED.fullmatch(message):
        return duckdb.InterruptException("INTERRUPT Error: Interrupted!")
    missing = re.search(r"Function with name (\w+) does not exist", message)
    if isinstance(error, duckdb.CatalogException) and missing and missing[1].lower() in AGGREGATES:
        return EngineError.no_aggregate(missing[1].lower(), engine.name)
    failure = engine.failure(message)
    if failure is not None:
        function, cause = failure
        if isinstance(cause, SqlinferError):
            # an engine that does not say which function failed names its model in the message, if anything
            blamed = [c for c in calls if c.function == function or f"'{c.function.reference}'" in message]
            return _underlined(cause, (blamed or calls)[:1])
        return cause
    packed = next((typed for typed in calls if typed.packed), None)
    if packed is not None and (refused := _refused_star(message, packed, models)):
        return _underlined(refused, [packed])
    for typed in calls:
        if refused := _of_call(message, typed, models):
            return _underlined(refused, [typed])
    if lacking := re.search(rf'"{ROWS}" does not have a column named "(.+?)"', message):
        return MissingFeature.column(lacking[1])
    written = calls[0].sql if calls else sql
    text = in_the_users_text(message, written) if written else message
    return error if text == message else type(error)(text)


def located(error: duckdb.Error, script: str, start: int, end: int) -> duckdb.Error:
    """The error of one statement of a script, with the place of that statement where it names none."""
    message = str(error)
    if re.search(r"^LINE \d+:", message, re.MULTILINE) or isinstance(error, duckdb.InterruptException):
        return error
    return type(error)(f"{message}\n\n{underline(script, start, end)}")


def is_signal(error: Exception) -> bool:
    """What DuckDB makes of a signal's exception where it sees that first, before whoever listens has pressed."""
    return type(error) is RuntimeError and str(error) == "Query interrupted"


def _underlined(error: SqlinferError, calls: Sequence[TypedCall]) -> SqlinferError:
    for typed in calls:
        error.at(typed.sql, typed.call.start, typed.call.end)
    return error


def _of_call(message: str, typed: TypedCall, models: Resolver) -> SqlinferError | None:
    """What DuckDB has against the function of a call, or against its arguments."""
    name, reference = typed.function.name, str(typed.function.reference)
    if f"Table Function with name {name} does not exist" in message:
        return CallError.no_table(typed.function.call, reference)
    if f"Function with name {name} does not exist" in message:
        return EngineError(f"this transaction began before {name}() was made: commit it or roll it back, and ask again")
    names = models.signature(typed.function).feature_names
    missing = _missing_column(message) if typed.by_name or typed.target else None
    if typed.target and missing == typed.target.column.lower():
        return CallError.no_target(reference, typed.target.column, known=typed.target.known)
    missing = missing if typed.by_name else None
    feature = next((name for name in names if name.lower() == missing), None)
    return None if feature is None else MissingFeature.of(reference, [feature], names)


def _missing_column(message: str) -> str | None:
    for pattern in (
        r'does not have a column named "(.+?)"',
        r'Referenced column "(.+?)" not found',
        r'Could not find key "(.+?)" in struct',
    ):
        found = re.search(pattern, message)
        if found:
            return found[1].lower()
    return None


def _refused_star(message: str, typed: TypedCall, models: Resolver) -> SqlinferError | None:
    """What DuckDB has against a struct of columns, which is not what the user wrote."""
    reference, names = str(typed.function.reference), models.signature(typed.function).feature_names
    if "resulted in an empty set of columns" in message:
        return MissingFeature.of(reference, names, names)
    if twice := re.search(r'Duplicate (?:named argument|struct entry name) "(.+?)"', message):
        return CallError(
            f"model {reference!r}: two of the columns are called {twice[1]!r}; give those of one table, such as t.*, "
            "or leave one out: * EXCLUDE (…)"
        )
    if re.search(r"\*COLUMNS\(\) can ?not be used|STAR expression is not supported here", message):
        return CallError(
            f"model {reference!r}: DuckDB does not tell the names of columns here; give the row of a table, such as t "
            f"or t.*, or every feature by name: {named(f'{name} := …' for name in names)}"
        )
    return None

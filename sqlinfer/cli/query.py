"""sqlinfer query: SQL with predict(), to the terminal, a pipe or a file."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import click

import sqlinfer
from sqlinfer.cli.options import FORMATS, chosen_format, existing_registry, print_rows, registry_option
from sqlinfer.cli.progress import progress

__all__ = ["query"]

_ROWS_AT_ONCE = 10_000
# What DuckDB writes itself, streaming.
_COPY = {
    "parquet": "(FORMAT parquet)",
    "csv": "(FORMAT csv, HEADER)",
    "jsonl": "(FORMAT json)",
    "json": "(FORMAT json, ARRAY true)",
}
_SUFFIXES = {".parquet": "parquet", ".csv": "csv", ".json": "json", ".jsonl": "jsonl", ".ndjson": "jsonl"}


@click.command(context_settings={"ignore_unknown_options": True})
@click.argument("sql")
@click.option("--db", default=":memory:", metavar="FILE", help="The DuckDB database (default: in memory).")
@click.option(
    "-f",
    "--format",
    "format_",
    type=click.Choice((*FORMATS, "parquet")),
    help="How to write (default: by the output's suffix; else table on a terminal, json when piped).",
)
@click.option(
    "-o",
    "--output",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Write to a file, in constant memory.",
)
@click.option("--engine", default="auto", show_default=True, help="auto, native or arrow.")
@registry_option
def query(sql: str, db: str, format_: str | None, output: Path | None, engine: str, registry: str | None) -> None:
    """Run SQL in which predict() is known. '-' reads it from standard input."""
    if sql.startswith("-") and sql != "-" and not any(map(str.isspace, sql)):  # SQL may begin with a comment
        raise click.UsageError(f"No such option: {sql}")
    sql = sys.stdin.read() if sql == "-" else sql
    if not sql.strip():
        raise click.UsageError("there is no SQL to run")
    import duckdb

    store = existing_registry(registry)
    try:
        with sqlinfer.connect(db, registry=store, engine=engine) as con:
            con.execute("SET python_enable_replacements = false")  # no table is a variable of this program
            if output is not None:
                _to_file(con, sql, output, format_)
            elif format_ == "parquet":
                raise click.UsageError("parquet goes to a file: add -o FILE")
            else:
                _to_terminal(con, sql, chosen_format(format_))
    except duckdb.Error as error:
        raise click.ClickException(str(error)) from error


def _to_terminal(con: sqlinfer.Connection, sql: str, format_: str) -> None:
    with progress(con):
        if format_ == "csv":
            sql = _with_texts(con, _last(con, sql))
        con.execute(sql)
    if con.description is None:
        return
    columns = [column[0] for column in con.description]
    print_rows(columns, _fetch(con), format_)


def _with_texts(con: sqlinfer.Connection, statement: str) -> str:
    """A query whose values are the texts that DuckDB writes into a CSV file; other statements as they are."""
    from duckdb import StatementType

    parts = con.extract_statements(statement)
    if [part.type for part in parts] != [StatementType.SELECT]:
        return statement
    return f"SELECT COLUMNS(*)::VARCHAR FROM ({statement}\n)"


def _fetch(con: sqlinfer.Connection) -> Iterator[tuple[Any, ...]]:
    while rows := con.fetchmany(_ROWS_AT_ONCE):
        yield from rows


def _to_file(con: sqlinfer.Connection, sql: str, output: Path, format_: str | None) -> None:
    form = format_ or _SUFFIXES.get(output.suffix.lower())
    if form not in _COPY:
        raise click.UsageError(
            f"{output.name}: the format is not known by its suffix; add -f {'|'.join(_COPY)}"
            if format_ is None
            else f"{form} is for the terminal; a file can be {', '.join(_COPY)}"
        )
    target = str(output).replace("'", "''")
    with progress(con):
        # on the line of the statement, which errors name
        counted = con.execute(f"COPY ({_last(con, sql)}\n) TO '{target}' {_COPY[form]}").fetchall()
    # DuckDB does not count what PIVOT gives
    click.echo(f"{counted[0][0]:,} rows → {output}" if counted else f"→ {output}", err=True)


def _last(con: sqlinfer.Connection, sql: str) -> str:
    """The last statement of the text, after those before it were run."""
    from sqlinfer.sql.statements import split_statements

    *before, last = split_statements(sql)
    for statement in before:
        con.execute(statement)
    return last

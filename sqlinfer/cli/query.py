"""sqlinfer query: SQL with predict(), to the terminal, a pipe or a file."""

from __future__ import annotations

import json
import shutil
import sys
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

import click

import sqlinfer
from sqlinfer.cli.ending import ending
from sqlinfer.cli.options import FORMATS, chosen_format, existing_registry, print_rows, registry_option
from sqlinfer.cli.progress import progress
from sqlinfer.sql.literals import text_literal

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


def _parameters(context: click.Context, option: click.Parameter, given: tuple[str, ...]) -> dict[str, Any]:
    pairs = [one.partition("=") for one in given]
    if not all(name and equals for name, equals, _ in pairs):
        raise click.BadParameter("write NAME=VALUE")
    return {name.lstrip("$").lower(): _value(text) for name, _, text in pairs}


def _value(text: str) -> Any:
    def no_number(name: str) -> Any:
        raise ValueError(f"{name} is not JSON's")

    try:
        return json.loads(text, parse_constant=no_number)
    except ValueError:
        return text


class _Script:
    """The statements of a text; each is given those of the parameters that it names."""

    def __init__(self, con: sqlinfer.Connection, sql: str, params: Mapping[str, Any]) -> None:
        self.con = con
        self._sql = sql
        self._params = params
        if params:
            self._require_used()

    def last(self) -> str:
        """The last statement, after those before it were run."""
        from sqlinfer.sql.statements import split_statements

        *before, last = split_statements(self._sql) or [(0, len(self._sql))]
        for start, end in before:
            self.execute(self._sql[start:end])
        return self._sql[slice(*last)]

    def answering(self) -> str:
        """The last statement in SQL of DuckDB's own, after those before it, and what it says of models, were done."""
        last = self.last()
        return self.con.perform(last, self._given(last))

    def run(self) -> None:
        self.execute(self.last() if self._params else self._sql)

    def execute(self, statement: str) -> sqlinfer.Connection:
        return self.con.execute(statement, self._given(statement))

    def _given(self, statement: str) -> dict[str, Any] | None:
        return {name: self._params[name.lower()] for name in self._named(statement)} if self._params else None

    def _named(self, sql: str) -> set[str]:
        from sqlinfer.sql.commands import commands_in

        parts = commands_in(sql) or [(0, len(sql), None)]
        plain = [sql[start:end] for start, end, command in parts if command is None]
        found = {name for text in plain for one in self.con.extract_statements(text) for name in one.named_parameters}
        return found.union(*(command.parameters for _, _, command in parts if command is not None))

    def _require_used(self) -> None:
        used = {name.lower() for name in self._named(self._sql)}
        if lost := sorted(used - set(self._params)):
            raise click.UsageError(f"the SQL has ${lost[0]}: give it with -p {lost[0]}=VALUE")
        if lost := sorted(set(self._params) - used):
            raise click.UsageError(f"-p {lost[0]}: the SQL has no ${lost[0]}")


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
@click.option(
    "-p",
    "--param",
    "params",
    multiple=True,
    metavar="NAME=VALUE",
    callback=_parameters,
    help="What $NAME is in the SQL: a value as JSON has it (3, 0.5, true, null, [1, 2], '\"3\"'), else text.",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="End the query, as an error, when it takes longer.",
)
@click.option("--engine", default="auto", show_default=True, help="auto, native or arrow.")
@click.option("--trust", is_flag=True, help="CREATE MODEL loads pickled estimators, which runs the code in them.")
@registry_option
def query(
    sql: str,
    db: str,
    format_: str | None,
    output: Path | None,
    params: dict[str, Any],
    timeout: float | None,
    engine: str,
    trust: bool,
    registry: str | None,
) -> None:
    """Run SQL in which predict() is known. '-' reads it from standard input."""
    if sql.startswith("-") and sql != "-" and not any(map(str.isspace, sql)):  # SQL may begin with a comment
        raise click.UsageError(f"No such option: {sql}")
    sql = sys.stdin.read() if sql == "-" else sql
    if not sql.strip():
        raise click.UsageError("there is no SQL to run")
    import duckdb

    store = sqlinfer.Registry(registry) if _creates_models(sql) else existing_registry(registry)
    if trust:
        sys.path.append(str(Path.cwd()))  # where a script has its own classes from
    try:
        with sqlinfer.connect(db, registry=store, engine=engine, trust=trust) as con:
            con.execute("SET python_enable_replacements = false")  # no table is a variable of this program
            with ending(con, timeout):
                if output is not None:
                    _to_file(_Script(con, sql, params), output, format_)
                elif format_ == "parquet":
                    raise click.UsageError("parquet goes to a file: add -o FILE")
                else:
                    _to_terminal(_Script(con, sql, params), chosen_format(format_))
    except duckdb.Error as error:
        raise click.ClickException(str(error)) from error


def _creates_models(sql: str) -> bool:
    """And so makes the registry, where there is none."""
    from sqlinfer.sql.commands import CreateModel, commands_in

    return any(isinstance(command, CreateModel) for _, _, command in commands_in(sql))


def _to_terminal(script: _Script, format_: str) -> None:
    con = script.con
    with progress(con):
        if format_ == "csv":
            script.execute(_with_texts(con, script.answering()))
        else:
            script.run()
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


def _to_file(script: _Script, output: Path, format_: str | None) -> None:
    form = format_ or _SUFFIXES.get(output.suffix.lower())
    if form not in _COPY:
        raise click.UsageError(
            f"{output.name}: the format is not known by its suffix; add -f {'|'.join(_COPY)}"
            if format_ is None
            else f"{form} is for the terminal; a file can be {', '.join(_COPY)}"
        )
    with progress(script.con), _whole(output) as place:
        # on the line of the statement, which errors name
        counted = script.execute(f"COPY ({script.answering()}\n) TO {text_literal(place)} {_COPY[form]}").fetchall()
    # DuckDB does not count what PIVOT gives
    click.echo(f"{counted[0][0]:,} rows → {output}" if counted else f"→ {output}", err=True)


@contextmanager
def _whole(output: Path) -> Iterator[Path]:
    """Where to write: beside the output, which it becomes when all of it is there, however this ends."""
    import duckdb

    if (output.exists() and not output.is_file()) or output.parts[:2] in (("/", "dev"), ("/", "proc")):
        yield output  # a pipe, or what a shell has opened
        return
    target = output.resolve()
    if not target.parent.is_dir():
        raise click.ClickException(f"{output}: there is no folder {target.parent}")
    draft = target.with_name(f".sqlinfer-{uuid.uuid4().hex[:12]}{''.join(target.suffixes)[-40:]}")
    try:
        yield draft
        if target.exists():
            shutil.copymode(target, draft)
        draft.replace(target)
    except duckdb.Error as error:
        raise click.ClickException(str(error).replace(str(draft), str(output))) from error
    finally:
        with suppress(FileNotFoundError):
            draft.unlink()

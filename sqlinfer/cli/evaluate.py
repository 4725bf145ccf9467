"""sqlinfer evaluate, sqlinfer drift: how good a model is on new rows, and how other they are than its sample."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

import sqlinfer
from sqlinfer.cli.ending import ending
from sqlinfer.cli.options import (
    chosen_format,
    existing_registry,
    format_option,
    print_object,
    print_rows,
    reference_argument,
    registry_option,
)
from sqlinfer.cli.progress import progress
from sqlinfer.errors import RegistryError

if TYPE_CHECKING:
    from sqlinfer import Registry
    from sqlinfer.evaluation import Evaluation

__all__ = ["drift", "evaluate"]

_MARKDOWN: dict[str, Any] = {"rule": "-", "bar": " | ", "edge": ("| ", " |")}
_ANOMALOUS = 3

_data_argument = click.argument("data", nargs=-1, required=True)
_db_option = click.option("--db", metavar="FILE", help="The DuckDB database that has the table, which is only read.")
_timeout_option = click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    metavar="SECONDS",
    help="End the query, as an error, when it takes longer.",
)


@click.command()
@reference_argument("model")
@_data_argument
@click.option("--target", metavar="COLUMN", help="The column with the right answers (default: the model's own target).")
@click.option(
    "--by", multiple=True, metavar="COLUMN", help="Judge each group of rows, too; may be given several times."
)
@click.option("--positive", metavar="CLASS", help="The class that precision, recall and F1 are about.")
@click.option(
    "--plot",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Draw a picture: .png, .svg or .pdf.",
)
@_db_option
@_timeout_option
@format_option()
@registry_option
def evaluate(
    model: str,
    data: tuple[str, ...],
    target: str | None,
    by: tuple[str, ...],
    positive: str | None,
    plot: Path | None,
    db: str | None,
    timeout: float | None,
    format_: str | None,
    registry: str | None,
) -> None:
    """Say how good MODEL is on the rows of DATA, whose right answers are known. DATA is one or more files, a table, or
    a query."""
    from sqlinfer.evaluation.judging import judge

    if plot is not None:
        _require_drawable(plot)
    store = existing_registry(registry)
    stored = store.get(model)
    with _asking(store, db, timeout) as con:
        found = judge(con, stored, _data(data), target=target, by=by, positive=positive, curves=plot is not None)
    if plot is not None:
        found.plot(plot)
        click.echo(f"→ {plot}", err=True)
    _print(found, chosen_format(format_))


@click.command()
@reference_argument("model")
@_data_argument
@_db_option
@_timeout_option
@format_option()
@registry_option
def drift(
    model: str,
    data: tuple[str, ...],
    db: str | None,
    timeout: float | None,
    format_: str | None,
    registry: str | None,
) -> None:
    """Say how other the rows of DATA are than the sample that MODEL was registered with, feature by feature. The exit
    code is 3 where one is other than its threshold allows."""
    from sqlinfer.evaluation.drift import COLUMNS, drifted

    store = existing_registry(registry)
    stored = store.get(model)
    with _asking(store, db, timeout) as con:
        rows = drifted(con, stored, _data(data))
    form = chosen_format(format_)
    values = [[row[column] for column in COLUMNS] for row in rows]
    print_rows(COLUMNS, values if form in ("json", "jsonl") else [list(map(_word, row)) for row in values], form)
    if other := [row["feature"] for row in rows if row["is_anomaly"]]:
        click.echo(f"anomalous: {', '.join(other)}", err=True)
        raise SystemExit(_ANOMALOUS)


@contextmanager
def _asking(store: Registry, db: str | None, timeout: float | None) -> Iterator[sqlinfer.Connection]:
    """A connection of the native engine, whose errors are the command's."""
    import duckdb

    if db is not None and not Path(db).is_file():
        raise RegistryError(f"there is no database {db}")
    try:
        with sqlinfer.connect(db or ":memory:", registry=store, engine="native", read_only=db is not None) as con:
            con.execute("SET python_enable_replacements = false")  # no table is a variable of this program
            with ending(con, timeout), progress(con):
                yield con
    except duckdb.Error as error:
        raise click.ClickException(str(error)) from error


def _data(given: Sequence[str]) -> Any:
    return given[0] if len(given) == 1 else list(given)


def _word(value: Any) -> Any:
    """A BOOLEAN as SQL writes it."""
    return str(value).lower() if isinstance(value, bool) else value


def _require_drawable(path: Path) -> None:
    """Before rows are scored for it."""
    from sqlinfer.evaluation.picture import require_matplotlib

    require_matplotlib()
    if path.suffix.lower() not in (".png", ".svg", ".pdf"):
        raise click.UsageError(f"--plot {path}: give a name that ends in .png, .svg or .pdf")
    if not path.absolute().parent.is_dir():
        raise click.ClickException(f"--plot {path}: there is no folder {path.absolute().parent}")


def _print(found: Evaluation, format_: str) -> None:
    if format_ == "json":
        print_object(found.to_dict())
    elif format_ in ("csv", "jsonl"):
        print_rows(*found.table(), format_)
    else:
        for note in (found.title(), *found.notes()):
            click.echo(note, err=True)
        for line in found.lines(**(_MARKDOWN if format_ == "markdown" else {})):
            click.echo(line)

"""Options that several commands share, and how rows are printed."""

from __future__ import annotations

import json
import math
import os
import sys
from collections.abc import Callable, Iterable, Mapping, Sequence
from decimal import Decimal
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

import sqlinfer
from sqlinfer.errors import RegistryError
from sqlinfer.models.reference import is_name
from sqlinfer.tables import table_lines

if TYPE_CHECKING:
    from sqlinfer import Registry

__all__ = [
    "FORMATS",
    "chosen_format",
    "existing_registry",
    "format_option",
    "limit_options",
    "outcome_option",
    "preparation_options",
    "print_object",
    "print_rows",
    "reference_argument",
    "registry_option",
]

F = TypeVar("F", bound=Callable[..., Any])
FORMATS = ("table", "json", "jsonl", "csv", "markdown")


def registry_option(function: F) -> F:
    return click.option(
        "--registry",
        metavar="DIR",
        envvar="SQLINFER_HOME",
        help="The folder of models (default: $SQLINFER_HOME, else ~/.sqlinfer).",
    )(function)


def existing_registry(named: str | None) -> Registry:
    """The registry that a command reads. Raises RegistryError where the one that was named is not there; the default
    one is made by the first registration, and empty until then."""
    store = sqlinfer.Registry(named)
    if named is not None and not store.home.is_dir():
        raise RegistryError.nowhere(store.home)
    return store


def outcome_option(function: F) -> F:
    """For a command that says in a sentence what it did."""
    return click.option(
        "-f",
        "--format",
        "format_",
        type=click.Choice(("text", "json")),
        default="text",
        show_default=True,
        help="How to say what was done; json goes to standard output.",
    )(function)


def print_object(fields: Mapping[str, Any]) -> None:
    click.echo(json.dumps(fields, ensure_ascii=False))


def _names(context: click.Context, argument: click.Parameter, begun: str) -> list[str]:
    """The models whose names begin so, for the shell's completion: the names of folders, with nothing read."""
    home = Path(context.params.get("registry") or os.environ.get("SQLINFER_HOME") or "~/.sqlinfer").expanduser()
    folders = home.joinpath("models").glob("[a-z_]*")
    return sorted(path.name for path in folders if path.name.startswith(begun.lower()) and is_name(path.name))


def reference_argument(name: str = "reference", *, required: bool = True) -> Callable[[F], F]:
    return click.argument(name, required=required, shell_complete=_names)


def format_option(formats: Sequence[str] = FORMATS) -> Callable[[F], F]:
    return click.option(
        "-f",
        "--format",
        "format_",
        type=click.Choice(formats),
        help="How to print (default: table on a terminal, json when piped).",
    )


def _numbers(context: click.Context, option: click.Parameter, text: str | None) -> tuple[float, ...] | None:
    try:
        return tuple(float(part) for part in text.split(",")) if text is not None else None
    except ValueError as error:
        raise click.BadParameter("give a number, or one for each channel: 0.485,0.456,0.406") from error


def limit_options(function: F) -> F:
    """Limits for untrusted files."""
    time_limit = click.option(
        "--time-limit",
        type=click.FloatRange(min=0, min_open=True),
        default=300,
        metavar="SECONDS",
        show_default=True,
        help="How long an .onnx file may take to be read and tried.",
    )
    memory_limit = click.option(
        "--memory-limit",
        default="8GB",
        metavar="SIZE",
        show_default=True,
        callback=_size,
        help="How much memory that may need.",
    )
    return time_limit(memory_limit(function))


def _size(context: click.Context, option: click.Parameter, text: str) -> str:
    from sqlinfer.registration.sandbox.limits import Limits

    try:
        Limits.of(1, text)
    except ValueError as error:
        raise click.BadParameter(str(error).removeprefix("memory_limit: ")) from error
    return text


_PREPARATION = (
    click.option("--tokenizer", metavar="FILE", help="A tokenizer.json: the model takes text."),
    click.option("--max-length", type=click.IntRange(min=1), metavar="N", help="Cut longer texts to so many tokens."),
    click.option(
        "--pool", type=click.Choice(("mean", "cls", "none")), help="How the vectors of tokens become one for the text."
    ),
    click.option("--normalize/--no-normalize", default=None, help="Answer vectors of length 1."),
    click.option("--softmax/--no-softmax", default=None, help="Make scores the probabilities of one class of many."),
    click.option(
        "--sigmoid/--no-sigmoid",
        default=None,
        help="Make each score a probability of its own; --no-sigmoid: one score is one.",
    ),
    click.option("--image", is_flag=True, default=None, help="The model takes PNG and JPEG files; values are 0 to 1."),
    click.option("--preprocessor", metavar="FILE", help="A preprocessor_config.json that says what follows."),
    click.option("--channels", type=click.Choice(("rgb", "bgr", "gray")), help="What the model was trained on."),
    click.option(
        "--resize", metavar="stretch|crop|N", help="Stretch to the model's size, or cut out the middle of N pixels."
    ),
    click.option(
        "--interpolation",
        type=click.Choice(("linear", "cubic", "nearest", "lanczos", "box", "hamming")),
        help="How to resize.",
    ),
    click.option("--scale", type=float, metavar="X", help="What a pixel's value (0 to 255) is multiplied by."),
    click.option("--mean", metavar="R,G,B", callback=_numbers, help="What is subtracted then."),
    click.option("--std", metavar="R,G,B", callback=_numbers, help="What it is divided by then."),
)


def preparation_options(function: F) -> F:
    """What stands between a text or an image and the model."""
    for option in reversed(_PREPARATION):
        function = option(function)
    return function


def chosen_format(format_: str | None) -> str:
    return format_ or ("table" if sys.stdout is not None and sys.stdout.isatty() else "json")  # None: it is closed


def print_rows(columns: Sequence[str], rows: Iterable[Sequence[Any]], format_: str) -> None:
    """Rows as they come; a table and markdown need all of them for the widths."""
    if format_ == "jsonl":
        names = _distinct(columns)
        for row in rows:
            click.echo(_json_object(names, row))
    elif format_ == "json":
        _print_json(_distinct(columns), rows)
    elif format_ == "csv":
        click.echo(_csv(_distinct(columns)))
        for row in rows:
            click.echo(_csv(row))
    else:
        _print_table(columns, [[_text(value) for value in row] for row in rows], markdown=format_ == "markdown")


def _distinct(names: Sequence[str]) -> list[str]:
    """``a, a`` → ``a, a_1``, as in the files that DuckDB writes: readers of JSON keep one value of a name."""
    taken: dict[str, int] = {}
    distinct = []
    for name in names:
        new = name
        while new.lower() in taken:
            new = f"{name}_{taken[name.lower()]}"
            taken[name.lower()] += 1
        taken[new.lower()] = 1
        distinct.append(new)
    return distinct


def _print_json(columns: Sequence[str], rows: Iterable[Sequence[Any]]) -> None:
    before = "["
    for row in rows:
        click.echo(f"{before}{_json_object(columns, row)}", nl=False)
        before = ",\n "
    click.echo("[]" if before == "[" else "]")


def _csv(values: Sequence[Any]) -> str:
    return ",".join("" if value is None else _csv_cell(_text(value, exact=True)) for value in values)


def _csv_cell(text: str) -> str:
    """Quoted where DuckDB's own CSV is; no text is another thing than no value."""
    plain = text and not text.startswith("#") and not any(sign in text for sign in ',"\r\n')
    return text if plain else '"' + text.replace('"', '""') + '"'


def _print_table(columns: Sequence[str], rows: list[list[str]], *, markdown: bool) -> None:
    marks = str.maketrans({"|": "\\|", "\n": "<br>", "\r": None} if markdown else {"\n": "\\n", "\r": "\\r"})
    head, *rows = [[value.translate(marks) for value in row] for row in (columns, *rows)]
    lines = table_lines(head, rows, rule="-", bar=" | ", edge=("| ", " |")) if markdown else table_lines(head, rows)
    for line in lines:
        click.echo(line)


def _text(value: Any, *, exact: bool = False) -> str:
    if value is None:
        return "NULL"
    if isinstance(value, float):
        return repr(value) if exact else f"{value:.6g}"
    if isinstance(value, list) and all(isinstance(item, str) for item in value):
        return ", ".join(value)
    if isinstance(value, (dict, list, tuple)):
        return _json(value)
    return str(value)


def _json(value: Any) -> str:
    """As DuckDB's own JSON has it: decimals are numbers with all their digits; what is no finite number is null."""
    if isinstance(value, dict):
        return _json_object([str(key) for key in value], value.values())
    if isinstance(value, (list, tuple, bytes)):
        return f"[{', '.join(map(_json, value))}]"
    if isinstance(value, Decimal):
        return format(value, "f")
    if isinstance(value, float) and not math.isfinite(value):
        return "null"
    known = isinstance(value, (str, int, float)) or value is None
    return json.dumps(value if known else str(value), ensure_ascii=False)


def _json_object(names: Iterable[str], values: Iterable[Any]) -> str:
    pairs = (
        f"{json.dumps(name, ensure_ascii=False)}: {_json(value)}" for name, value in zip(names, values, strict=True)
    )
    return f"{{{', '.join(pairs)}}}"

"""sqlinfer shell: the real duckdb program, with predict() loaded."""

from __future__ import annotations

import importlib.util
import os
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from sqlinfer.cli.options import existing_registry, registry_option
from sqlinfer.errors import MissingExtra, SqlinferError
from sqlinfer.version import __version__

__all__ = ["shell"]

# Options of duckdb's that another word belongs to.
_WITH_VALUE = {"c", "cmd", "f", "init", "newline", "nullvalue", "s", "separator", "storage-version"}


# With -h an option, click reads one in -noheader, too.
@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": ["--help"]})
@click.argument("words", metavar="[DATABASE] [OPTIONS]...", nargs=-1, type=click.UNPROCESSED)
@click.option("--print-setup", is_flag=True, help="Print how to set up and start duckdb by hand, and exit.")
@registry_option
def shell(words: tuple[str, ...], print_setup: bool, registry: str | None) -> None:
    """Start the duckdb program on DATABASE with predict() loaded. OPTIONS are duckdb's own, such as -c SQL."""
    if "-h" in words:
        click.echo(click.get_current_context().get_help())
        return
    from sqlinfer.engines.native import extension_path
    from sqlinfer.runtime.libraries import onnxruntime_library

    store = existing_registry(registry)
    database, options = _database(words)
    setup = [
        f"LOAD {_text(extension_path())};",
        f"SET GLOBAL sqlinfer_home = {_text(store.home.absolute())};",
        f"SET GLOBAL sqlinfer_onnxruntime = {_text(onnxruntime_library())};",
    ]
    if print_setup:
        click.echo("-- put this into ~/.duckdbrc")
        click.echo("\n".join(setup))
        start = ["duckdb", "-unsigned", *([] if database == ":memory:" else [database])]
        click.echo(f"-- and start the shell with: {shlex.join(start)}")
        return
    program = _program()
    _check_readable(program, database)
    if sys.stdin.isatty() and not {"-c", "-s", "-f"} & set(options):
        count = len(store.names())
        click.echo(f"sqlinfer {__version__}: {count} model{'' if count == 1 else 's'} in {store.home}", err=True)
        click.echo("SELECT * FROM sqlinfer_models(); shows them, predict_<model>(…) runs them", err=True)
    environment = {**os.environ, "SQLINFER_HOME": str(store.home.absolute())}
    command = [program, "-unsigned", "-cmd", " ".join(setup), database, *options]
    sys.stdout.flush()
    os.execve(program, command, environment)


def _database(words: Sequence[str]) -> tuple[str, list[str]]:
    """The database, which may stand after options as duckdb has it, and the other words."""
    value = False
    for i, word in enumerate(words):
        if not value and not word.startswith("-"):
            return word, [*words[:i], *words[i + 1 :]]
        value = not value and word.lstrip("-") in _WITH_VALUE
    return ":memory:", list(words)


def _program() -> str:
    spec = importlib.util.find_spec("duckdb_cli")
    if spec is not None and spec.origin:
        program = Path(spec.origin).parent / "duckdb"
        if program.exists():
            return str(program)
    import shutil

    found = shutil.which("duckdb")
    if found is None:
        raise MissingExtra.of("duckdb-cli", "shell", "sqlinfer shell")
    return found


def _check_readable(program: str, database: str) -> None:
    """DuckDB's own message about a newer file names numbers that users do not know."""
    if not Path(database).is_file():
        return
    import subprocess

    tried = subprocess.run([program, "-readonly", database, "-c", "SELECT 1"], capture_output=True, text=True)
    newer = re.search(r"version number (\d+)", tried.stderr)
    if newer:
        version = subprocess.run([program, "-version"], capture_output=True, text=True).stdout.split()[0]
        raise SqlinferError(
            f"{database} was written by a newer DuckDB than this shell's {version}. Copy it once, from Python: "
            f"duckdb.connect().execute(\"ATTACH '{database}' AS a; ATTACH 'older.duckdb' AS b "
            "(STORAGE_VERSION 'v1.2.0'); COPY FROM DATABASE a TO b\")"
        )


def _text(value: object) -> str:
    return "'" + str(value).replace("'", "''") + "'"

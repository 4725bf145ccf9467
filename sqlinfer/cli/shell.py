"""sqlinfer shell: the real duckdb program, with predict() loaded."""

from __future__ import annotations

import os
import re
import shlex
import sys
from collections.abc import Sequence
from pathlib import Path

import click

from sqlinfer.cli.options import existing_registry, registry_option
from sqlinfer.errors import MissingExtra, SqlinferError
from sqlinfer.sql.literals import text_literal
from sqlinfer.version import __version__

__all__ = ["shell"]

# Options of duckdb's that another word belongs to.
_WITH_VALUE = {"c", "cmd", "f", "init", "newline", "nullvalue", "s", "separator", "storage-version"}


# With -h an option, click reads one in -noheader, too.
@click.command(context_settings={"ignore_unknown_options": True, "help_option_names": ["--help"]})
@click.argument("words", metavar="[DATABASE] [OPTIONS]...", nargs=-1, type=click.UNPROCESSED)
@click.option("--print-setup", is_flag=True, help="Print how to set up and start duckdb by hand, and exit.")
@click.option(
    "--copy-to",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Copy a DATABASE that is too new for the program to FILE, and open that.",
)
@registry_option
def shell(words: tuple[str, ...], print_setup: bool, copy_to: Path | None, registry: str | None) -> None:
    """Start the duckdb program on DATABASE with predict() loaded. OPTIONS are duckdb's own, such as -c SQL."""
    if "-h" in words:
        click.echo(click.get_current_context().get_help())
        return
    from sqlinfer.engines.native import extension_path
    from sqlinfer.installation import onnxruntime_library

    store = existing_registry(registry)
    database, options = _database(words)
    setup = [
        f"LOAD {text_literal(extension_path())};",
        f"SET GLOBAL sqlinfer_home = {text_literal(store.home.absolute())};",
        f"SET GLOBAL sqlinfer_onnxruntime = {text_literal(onnxruntime_library())};",
    ]
    if print_setup:
        _print_setup(setup, store.home.absolute(), database, registry)
        return
    program = _program()
    database = _readable(program, database, copy_to)
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
    from sqlinfer.engines.installing import duckdb_programs

    found = next(iter(duckdb_programs()), None)
    if found is None:
        raise MissingExtra.of("duckdb-cli", "shell", "sqlinfer shell")
    return found


def _print_setup(setup: Sequence[str], home: Path, database: str, registry: str | None) -> None:
    """A file of its own for duckdb's -init: in ~/.duckdbrc, which duckdb reads without -unsigned as well, LOAD would be
    an error of every start."""
    file = home / "duckdbrc"
    again = ["sqlinfer", "shell", "--print-setup", *(["--registry", str(home)] if registry is not None else [])]
    start = ["duckdb", "-unsigned", "-init", str(file), *([] if database == ":memory:" else [database])]
    alias = shlex.quote(shlex.join(start))
    click.echo("-- put this into a file of its own:")
    click.echo(f"--   mkdir -p {shlex.quote(str(home))} && {shlex.join(again)} > {shlex.quote(str(file))}")
    click.echo("-- and start duckdb with it (in ~/.bashrc, to have it always):")
    click.echo(f"--   alias sqlduck={alias}")
    if (own := Path("~/.duckdbrc").expanduser()).is_file():  # which -init takes the place of
        click.echo(f".read {text_literal(own)}")
    click.echo("\n".join(setup))


def _readable(program: str, database: str, copy_to: Path | None) -> str:
    """The database, or its copy. DuckDB's own message about a newer file names numbers that users do not know."""
    import subprocess

    if not Path(database).is_file():
        return database
    tried = subprocess.run([program, "-readonly", database, "-c", "SELECT 1"], capture_output=True, text=True)
    if not re.search(r"version number (\d+)", tried.stderr):
        return database
    version = subprocess.run([program, "-version"], capture_output=True, text=True).stdout.split()[0]
    what = f"{database} was written by a newer DuckDB than this shell's {version}"
    other = copy_to or Path(database).with_suffix(f".for-{version}.duckdb")
    if copy_to is None and not (sys.stdin.isatty() and click.confirm(f"{what}. Copy it to {other}?", err=True)):
        yes = shlex.join(["sqlinfer", "shell", database, "--copy-to", str(other)])
        raise SqlinferError(f"{what}; copy it, for STORAGE_VERSION {_storage_version()}, and open the copy with: {yes}")
    _copy(database, other)
    return str(other)


def _storage_version() -> str:
    from sqlinfer.connection import STORAGE_VERSION

    return STORAGE_VERSION


def _copy(database: str, other: Path) -> None:
    """Raises SqlinferError; nothing is left at ``other`` then."""
    import duckdb

    if other.exists():
        raise SqlinferError(f"{other} is there already: open it, or give another --copy-to")
    draft = other.with_name(f".{other.name}.{os.getpid()}")
    try:
        with duckdb.connect() as con:
            con.execute(f"ATTACH {text_literal(database)} AS newer (READ_ONLY)")
            con.execute(f"ATTACH {text_literal(draft)} AS older (STORAGE_VERSION '{_storage_version()}')")
            con.execute("COPY FROM DATABASE newer TO older")
            con.execute("DETACH older")
        draft.rename(other)
    except duckdb.Error as error:
        raise SqlinferError(f"{database} cannot be copied: {str(error).splitlines()[0]}") from error
    finally:
        draft.unlink(missing_ok=True)
    click.echo(f"{database} → {other}", err=True)

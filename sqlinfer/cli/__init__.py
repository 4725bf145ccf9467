"""The sqlinfer command. Data goes to stdout, messages to stderr; it exits 0, 1 (it failed), 2 (asked
wrongly) or, where it was asked whether something is wrong with rows, 3 (it is)."""

from __future__ import annotations

import errno
import sys
from contextlib import suppress
from typing import Any

import click

from sqlinfer.cli.doctor import doctor
from sqlinfer.cli.evaluate import drift, evaluate
from sqlinfer.cli.extension import extension_path, install_extension
from sqlinfer.cli.help import completion, help_, other_words
from sqlinfer.cli.models import alias, list_, register, remove, show, verify
from sqlinfer.cli.query import query
from sqlinfer.cli.score import score
from sqlinfer.cli.serve import serve
from sqlinfer.cli.shell import shell
from sqlinfer.cli.words import for_the_terminal
from sqlinfer.errors import SqlinferError, suggest
from sqlinfer.version import __version__

__all__ = ["main"]


class _Group(click.Group):
    """Where the library's exceptions become a command's."""

    def resolve_command(
        self, context: click.Context, words: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        if words[0] not in self.commands:
            meant = other_words(words[0], words[1:])
            hint = f"it is: {meant}" if meant else suggest(words[0], self.commands, "commands")
            context.fail(f"No such command {words[0]!r}; {hint}")
        return super().resolve_command(context, words)

    def invoke(self, context: click.Context) -> Any:
        try:
            return super().invoke(context)
        except SqlinferError as error:
            raise click.ClickException(for_the_terminal(str(error))) from error
        except KeyboardInterrupt:
            click.echo("interrupted", err=True)
            sys.exit(130)
        except BrokenPipeError:
            # the reader of our output (head, less) has gone: nothing is wrong
            sys.stderr.close()
            sys.exit(0)
        except OSError as error:
            if error.errno != errno.ENOSPC:
                raise
            with suppress(OSError):  # it would be tried again at exit
                sys.stdout.close()
            raise click.ClickException("there is no space left for the output") from error


@click.group(cls=_Group, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="sqlinfer")
def main() -> None:
    """Your trained model becomes a SQL function inside DuckDB."""


for command in (
    register,
    list_,
    show,
    alias,
    verify,
    remove,
    evaluate,
    drift,
    query,
    score,
    shell,
    serve,
    doctor,
    help_,
    completion,
    extension_path,
    install_extension,
):
    main.add_command(command)

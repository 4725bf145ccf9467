"""sqlinfer help, sqlinfer completion, and what to type for a command that is called otherwise here."""

from __future__ import annotations

import os
import shlex
from pathlib import Path

import click
from click.shell_completion import get_completion_class

__all__ = ["completion", "help_", "other_words"]

_SHELLS = ("bash", "zsh", "fish")
_VARIABLE = "_SQLINFER_COMPLETE"
# What other tools call it → what it is here; {} is what was typed behind it.
_ELSEWHERE = {
    "add": "register {}",
    "create": "register {}",
    "import": "register {}",
    "models": "list",
    "ls": "list",
    "describe": "show {}",
    "info": "show {}",
    "inspect": "show {}",
    "rm": "remove {}",
    "delete": "remove {}",
    "drop": "remove {}",
    "unregister": "remove {}",
    "test": "verify {}",
    "check": "verify {}",
    "batch": "score {}",
    "eval": "evaluate {}",
    "skew": "drift {}",
    "monitor": "drift {}",
    "run": "query {}",
    "sql": "query {}",
    "predict": "query \"SELECT predict('NAME', …) FROM …\"",
    "repl": "shell {}",
    "version": "--version",
}
_DEFAULTS = ("rollback", "promote", "default", "switch", "use")


@click.command("help")
@click.argument("command", nargs=-1)
@click.pass_context
def help_(context: click.Context, command: tuple[str, ...]) -> None:
    """Explain sqlinfer, or one COMMAND: sqlinfer help register."""
    above = context.parent or context
    if not command:
        click.echo(above.get_help())
        return
    group = above.command
    assert isinstance(group, click.Group)
    name, found, _ = group.resolve_command(above, list(command))
    assert found is not None  # or resolve_command has failed
    with click.Context(found, info_name=name, parent=above) as inner:
        click.echo(found.get_help(inner))


@click.command()
@click.argument("shell", required=False, type=click.Choice(_SHELLS))
@click.pass_context
def completion(context: click.Context, shell: str | None) -> None:
    """Print what completes commands, options and names of models in SHELL (default: yours).

    bash, in ~/.bashrc: eval "$(sqlinfer completion bash)". zsh, in ~/.zshrc: eval "$(sqlinfer completion zsh)". fish:
    sqlinfer completion fish > ~/.config/fish/completions/sqlinfer.fish
    """
    found = shell or Path(os.environ.get("SHELL", "")).name
    if found not in _SHELLS:
        raise click.UsageError(f"say which shell: sqlinfer completion {'|'.join(_SHELLS)}")
    kind = get_completion_class(found)
    assert kind is not None  # click has all of them
    root = context.find_root()
    click.echo(kind(root.command, {}, "sqlinfer", _VARIABLE).source())


def other_words(command: str, arguments: list[str]) -> str | None:
    """What to type in the place of a command that does not exist; None for a word that means nothing."""
    command = command.lower()
    words = [word for word in arguments if not word.startswith("-")]
    if command in _DEFAULTS:
        name, _, version = (words[0] if words else "NAME").partition("/")
        version = version or next((word for word in words[1:] if word.isdecimal()), "VERSION")
        return f"sqlinfer alias {name} default {version}"
    if command not in _ELSEWHERE:
        return None
    return f"sqlinfer {_ELSEWHERE[command].format(shlex.join(arguments))}".rstrip()

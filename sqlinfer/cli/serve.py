"""sqlinfer serve: registered models behind HTTP."""

from __future__ import annotations

import errno
import re
import secrets
import socket
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

import click

from sqlinfer.cli.options import existing_registry, registry_option
from sqlinfer.errors import MissingExtra, SqlinferError, named
from sqlinfer.version import __version__

if TYPE_CHECKING:
    from sqlinfer import Registry

__all__ = ["serve"]

_MOST_SHOWN = 12


@click.command()
@click.argument("models", nargs=-1)
@click.option("--host", default="127.0.0.1", show_default=True, help="The address to listen at.")
@click.option("--port", type=click.IntRange(0, 65535), default=8080, show_default=True, help="0: any that is free.")
@click.option(
    "--token-file",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    metavar="FILE",
    help="A file with the token that requests must have; one is made up where --host is not this machine alone.",
)
@click.option(
    "--max-batch",
    type=click.IntRange(min=1),
    default=256,
    show_default=True,
    metavar="ROWS",
    help="Rows of several requests that are scored together.",
)
@click.option(
    "--max-wait",
    type=click.FloatRange(min=0, max=1000),
    default=0,
    show_default=True,
    metavar="MILLISECONDS",
    help="How long rows wait for those of other requests while none are scored.",
)
@click.option(
    "--max-queue",
    type=click.IntRange(min=1),
    default=1024,
    show_default=True,
    metavar="REQUESTS",
    help="More at a time are told to come again later (429).",
)
@click.option(
    "--timeout",
    type=click.FloatRange(min=0, min_open=True),
    default=30,
    show_default=True,
    metavar="SECONDS",
    help="A request that takes longer is given up (504).",
)
@click.option(
    "--max-request-size", default="64MB", show_default=True, metavar="SIZE", help="A larger request is refused (413)."
)
@registry_option
def serve(
    models: tuple[str, ...],
    host: str,
    port: int,
    token_file: Path | None,
    max_batch: int,
    max_wait: float,
    max_queue: int,
    timeout: float,
    max_request_size: str,
    registry: str | None,
) -> None:
    """Answer HTTP requests for MODELS (default: all of the registry): a name, name/3, or name@alias."""
    try:
        from sqlinfer.serve.app import Limits
        from sqlinfer.serve.guard import is_loopback
        from sqlinfer.serve.quick import look_for_pandas
        from sqlinfer.serve.server import Settings, application, bound, run
    except ModuleNotFoundError as error:
        package = (error.name or "").partition(".")[0]
        raise MissingExtra.of(package.replace("_", "-"), "serve", "sqlinfer serve") from error

    look_for_pandas()
    store = existing_registry(registry)
    for model in models:
        store.get(model)
    token = _token(token_file, needed=not is_loopback(host))
    limits = Limits(max_queue, _bytes(max_request_size), timeout)
    app, pool = application(store, models, Settings(token, max_batch, max_wait / 1000, limits))
    try:
        listening = bound(host, port)
    except (OSError, UnicodeError) as error:
        raise _not_bound(host, port, error) from error
    address = f"http://{f'[{host}]' if ':' in host else host}:{listening.getsockname()[1]}"
    run(app, pool, listening, lambda: _introduce(store, models, address, None if token_file else token))


def _introduce(store: Registry, models: tuple[str, ...], address: str, token: str | None) -> None:
    """What somebody wants to know who has just started it."""
    click.echo(f"sqlinfer {__version__} answers at {address}", err=True)
    names = list(models) or store.names()
    for name in names[:_MOST_SHOWN]:
        with suppress(SqlinferError):  # of one that is damaged, its requests say so
            model = store.get(name).manifest
            features = named((f"{feature.name} {feature.type}" for feature in model.signature.features), 6)
            click.echo(
                f"  {name} (version {model.version}): {features} → {model.signature.calls['predict'].type}", err=True
            )
    if len(names) > _MOST_SHOWN:
        click.echo(f"  … and {len(names) - _MOST_SHOWN} more", err=True)
    if not names:
        click.echo(f"  no models yet; they are seen when they are registered in {store.home}", err=True)
    if token is not None:
        click.echo(f"The token, which requests must have (Authorization: Bearer …): {token}", err=True)
    click.echo(f"Look at {address} in a browser, ask {address}/invocations as MLflow's,", err=True)
    click.echo(f"or {address}/v2 by Open Inference Protocol. Ctrl-C ends it.", err=True)


def _not_bound(host: str, port: int, error: OSError | UnicodeError) -> SqlinferError:
    why = (error.strerror if isinstance(error, OSError) else None) or error
    if isinstance(error, (socket.gaierror, UnicodeError)) or error.errno == errno.EADDRNOTAVAIL:
        return SqlinferError(
            f"{host!r} is no address of this machine ({why}); choose a --host that is, such as 127.0.0.1, or 0.0.0.0 "
            "for all of them"
        )
    return SqlinferError(f"{host}:{port} cannot be listened at ({why}); choose a --port that is free")


def _token(file: Path | None, *, needed: bool) -> str | None:
    if file is not None:
        token = file.read_text(encoding="utf-8", errors="replace").strip()
        if not token:
            raise SqlinferError(f"{file} holds no token")
        if not re.fullmatch("[!-~]+", token):
            raise SqlinferError(
                f"the token in {file} has a space, a line break, or what is not ASCII; "
                "write one word, such as of letters and digits"
            )
        return token
    return secrets.token_urlsafe(32) if needed else None


def _bytes(text: str) -> int:
    units = {"KB": 1000, "MB": 1000**2, "GB": 1000**3, "KIB": 1 << 10, "MIB": 1 << 20, "GIB": 1 << 30, "B": 1, "": 1}
    number = text.strip().rstrip("BbKkMmGgIi")
    unit = text.strip()[len(number) :].upper()
    try:
        return max(1, int(float(number) * units[unit]))
    except (ValueError, KeyError):
        raise click.BadParameter(f"{text!r} is no size, such as 64MB", param_hint="--max-request-size") from None

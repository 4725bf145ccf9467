"""sqlinfer extension-path, sqlinfer install-extension: for DuckDB in other programs."""

from __future__ import annotations

import json

import click

import sqlinfer
from sqlinfer.cli.options import outcome_option, print_object

__all__ = ["extension_path", "install_extension"]


@click.command("extension-path")
@outcome_option
def extension_path(format_: str) -> None:
    """Print where the DuckDB extension lies, for LOAD '…'."""
    path = str(sqlinfer.extension_path())
    if format_ == "json":
        print_object({"path": path})
    else:
        click.echo(path)


@click.command("install-extension")
@outcome_option
def install_extension(format_: str) -> None:
    """Put the extension where DuckDB looks for it: LOAD sqlinfer works from then on in each program of yours that
    allows unsigned extensions, such as duckdb -unsigned. Type it again after an upgrade."""
    from sqlinfer.engines.installing import install_extension

    installed = install_extension()
    if format_ == "json":
        click.echo(json.dumps([{"duckdb": version, "path": str(place)} for version, place in installed]))
        return
    for version, place in installed:
        click.echo(f"DuckDB {version}: {place}", err=True)
    click.echo("LOAD sqlinfer; finds it, where unsigned extensions are allowed: duckdb -unsigned", err=True)

"""sqlinfer doctor: what is installed, which engine runs, and what a model file would take and give."""

from __future__ import annotations

import importlib.metadata
import platform
from pathlib import Path

import click

import sqlinfer
from sqlinfer.cli.options import registry_option
from sqlinfer.engines.native import extension_path
from sqlinfer.errors import EngineError
from sqlinfer.models.describe import describe, features_of
from sqlinfer.models.inspect import inspect_file
from sqlinfer.models.registry import Registry
from sqlinfer.runtime.probe import observe
from sqlinfer.runtime.session import Session

__all__ = ["doctor"]

_NEEDED = ("duckdb", "onnxruntime", "pyarrow", "sqlglot", "click", "onnx")
_OPTIONAL = {
    "skl2onnx": "sklearn",
    "xgboost": "xgboost",
    "lightgbm": "lightgbm",
    "catboost": "catboost",
    "torch": "torch",
    "tokenizers": "text",
    "pillow": "image",
    "duckdb-cli": "shell",
    "ipython": "notebook",
}


@click.command()
@click.argument("model", type=click.Path(path_type=Path), required=False)
@registry_option
def doctor(model: Path | None, registry: str | None) -> None:
    """Say what is installed and which engine runs; or, given an .onnx file, what predict() would take and give."""
    if model is None:
        _installation(registry)
    else:
        _model(model)


def _installation(registry: str | None) -> None:
    store = Registry(registry)
    lines = [("python", f"{platform.python_version()} on {platform.machine()}"), ("sqlinfer", sqlinfer.__version__)]
    lines += [(name, _version(name) or "missing") for name in _NEEDED]
    lines += [
        (name, _version(name) or f"not installed: pip install 'sqlinfer[{extra}]'") for name, extra in _OPTIONAL.items()
    ]
    with sqlinfer.connect(registry=store) as con:
        lines.append(("engine", f"{con.engine}{_why(con.engine)}"))
    lines.append(("registry", f"{store.home} ({len(store.names())} models)"))
    width = max(len(name) for name, _ in lines)
    for name, text in lines:
        click.echo(f"{name.ljust(width)}  {text}")


def _why(engine: str) -> str:
    """Why it is not the fast one, and how to get that."""
    if engine == "native":
        return f" ({extension_path()})"
    try:
        with sqlinfer.connect(engine="native"):
            return ""
    except EngineError as error:
        return f": {error}"


def _model(path: Path) -> None:
    graph = inspect_file(path)
    click.echo(f"{path}: {graph.producer}")
    for tensor in graph.inputs:
        click.echo(f"  input   {tensor.name} {tensor.dtype} {_shape(tensor.shape)}")
    session = Session(graph.content, path.stem)
    signature = describe(graph, features_of(graph), observe(session, graph).outputs)
    for output in signature.outputs:
        click.echo(f"  output  {output.name} {output.dtype} {_shape(output.shape)} → {output.type}")
    names = signature.feature_names
    shown = ", ".join(names[:8]) + (f", … ({len(names)} in all)" if len(names) > 8 else "")
    click.echo(f"  predict({shown}) → {signature.calls['predict'].type}")
    click.echo(f"register it with: sqlinfer register {path.stem.replace('-', '_')} {path}")


def _shape(shape: tuple[int | None, ...]) -> str:
    inner = ["any" if axis is None else str(axis) for axis in shape[1:]]
    return "[" + ", ".join(["rows", *inner]) + "]"


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None

"""Your trained model becomes a SQL function inside DuckDB."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

import sqlinfer.telemetry  # noqa: F401  (before anything loads ONNX Runtime)
from sqlinfer.errors import SqlinferError
from sqlinfer.version import __version__

if TYPE_CHECKING:
    from sqlinfer.connection import Connection, attach, connect
    from sqlinfer.model import Model, load
    from sqlinfer.models.registry import Registry
    from sqlinfer.registration import register, verify

__all__ = [
    "Connection",
    "Model",
    "Registry",
    "SqlinferError",
    "__version__",
    "attach",
    "connect",
    "load",
    "register",
    "verify",
]

# Where the others are: DuckDB, ONNX and their like are imported when one of these is asked for, not for --help.
_HOMES = {
    "Connection": "sqlinfer.connection",
    "Model": "sqlinfer.model",
    "Registry": "sqlinfer.models.registry",
    "attach": "sqlinfer.connection",
    "connect": "sqlinfer.connection",
    "load": "sqlinfer.model",
    "register": "sqlinfer.registration",
    "verify": "sqlinfer.registration",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'sqlinfer' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def load_ipython_extension(shell: object) -> None:
    """Called by ``%load_ext sqlinfer`` in a notebook."""
    from sqlinfer.notebook import load_ipython_extension

    load_ipython_extension(shell)

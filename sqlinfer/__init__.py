"""Your trained model becomes a SQL function inside DuckDB."""

import sqlinfer.telemetry  # noqa: F401  (before anything loads ONNX Runtime)
from sqlinfer.connection import Connection, attach, connect
from sqlinfer.errors import SqlinferError
from sqlinfer.model import Model, load
from sqlinfer.models.registry import Registry
from sqlinfer.registration import register, verify
from sqlinfer.version import __version__

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


def load_ipython_extension(shell: object) -> None:
    """Called by ``%load_ext sqlinfer`` in a notebook."""
    from sqlinfer.notebook import load_ipython_extension

    load_ipython_extension(shell)

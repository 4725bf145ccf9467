"""Your trained model becomes a SQL function inside DuckDB."""

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

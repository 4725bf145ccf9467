"""Your trained model becomes a SQL function inside DuckDB."""

from __future__ import annotations

import sys
from importlib import import_module
from types import ModuleType
from typing import TYPE_CHECKING, Any

import sqlinfer.models
import sqlinfer.telemetry  # noqa: F401  (before anything loads ONNX Runtime)
from sqlinfer.errors import SqlinferError
from sqlinfer.version import __version__

if TYPE_CHECKING:
    from sqlinfer.connection import Connection, attach, connect
    from sqlinfer.engines.native import extension_path
    from sqlinfer.evaluation import evaluate
    from sqlinfer.function import udf
    from sqlinfer.model import Model, load, models
    from sqlinfer.models.registry import Registry
    from sqlinfer.registration.register import register, verify

__all__ = [
    "Connection",
    "Model",
    "Registry",
    "SqlinferError",
    "__version__",
    "attach",
    "connect",
    "evaluate",
    "extension_path",
    "load",
    "models",
    "register",
    "udf",
    "verify",
]

# Where the others are: DuckDB, ONNX and their like are imported when one of these is asked for, not for --help.
_HOMES = {
    "Connection": "sqlinfer.connection",
    "Model": "sqlinfer.model",
    "Registry": "sqlinfer.models.registry",
    "attach": "sqlinfer.connection",
    "connect": "sqlinfer.connection",
    "evaluate": "sqlinfer.evaluation",
    "extension_path": "sqlinfer.engines.native",
    "load": "sqlinfer.model",
    "register": "sqlinfer.registration.register",
    "udf": "sqlinfer.function",
    "verify": "sqlinfer.registration.register",
}


def __getattr__(name: str) -> Any:
    if name not in _HOMES:
        raise AttributeError(f"module 'sqlinfer' has no attribute {name!r}")
    value = globals()[name] = getattr(import_module(_HOMES[name]), name)
    return value


class _Models(ModuleType):
    """The package of that name, which is called for what is registered: ``sqlinfer.models()``."""

    def __call__(self, **options: Any) -> list[Model]:
        from sqlinfer.model import models

        return models(**options)


sys.modules["sqlinfer.models"].__class__ = _Models


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})


def load_ipython_extension(shell: object) -> None:
    """Called by ``%load_ext sqlinfer`` in a notebook."""
    from sqlinfer.notebook import load_ipython_extension

    load_ipython_extension(shell)

"""ONNX Runtime 1.32 and later write a device id into the user's cache and look up a host when a model runs, unless this
is said before the library is loaded. It is said here, and inherited by the processes that are started from here; who
has set the variable, to 0 say, is left alone.
"""

from __future__ import annotations

import os

__all__ = ["VARIABLE", "is_off"]

VARIABLE = "ORT_DISABLE_TELEMETRY"
os.environ.setdefault(VARIABLE, "1")


def is_off() -> bool:
    return os.environ.get(VARIABLE) != "0"

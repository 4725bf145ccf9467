"""Where the shared libraries are that run models; found without importing the packages that carry them."""

from __future__ import annotations

import ctypes
import importlib.util
import os
import sys
from pathlib import Path

from sqlinfer.errors import EngineError

__all__ = ["EXTENSIONS", "EXTENSION_FILE", "onnxruntime_library", "operators_library", "packaged_operators", "vectors"]

# The native extension, where this installation has it: DuckDB loads it, and ONNX Runtime takes operators from it.
EXTENSION_FILE = Path(__file__).parent / "sqlinfer.duckdb_extension"

# The domains of the operators of onnxruntime-extensions.
EXTENSIONS = ("ai.onnx.contrib", "com.microsoft.extensions")


def vectors() -> str | None:
    """What the native extension computes trees and linear models with, such as AVX2; None where it is not there."""
    if not EXTENSION_FILE.exists():
        return None
    tell = getattr(ctypes.CDLL(str(EXTENSION_FILE)), "sqlinfer_vectors", None)
    if tell is None:  # built from an older checkout
        return None
    tell.restype = ctypes.c_char_p
    name: bytes = tell()
    return name.decode()


def onnxruntime_library() -> Path:
    """libonnxruntime, inside the onnxruntime wheel. Raises EngineError."""
    folder = _folder("onnxruntime") / "capi"
    patterns = {"darwin": "libonnxruntime*.dylib", "win32": "onnxruntime.dll"}
    found = sorted(
        p for p in folder.glob(patterns.get(sys.platform, "libonnxruntime.so*")) if "providers" not in p.name
    )
    if not found:
        raise EngineError(f"no ONNX Runtime library in {folder}: pip install --force-reinstall onnxruntime")
    return found[-1]


def operators_library() -> Path | None:
    """A library of operators that ONNX Runtime itself has not: the one that $SQLINFER_OPERATORS names, else that of
    the package onnxruntime-extensions; None where neither is there."""
    named = os.environ.get("SQLINFER_OPERATORS")
    return Path(named) if named else packaged_operators()


def packaged_operators() -> Path | None:
    """The library of onnxruntime-extensions. It needs Python in the process."""
    found = sorted(_folder("onnxruntime_extensions").glob("_extensions_pydll*"))
    return next((path for path in found if path.suffix in (".so", ".pyd", ".dylib")), None)


def _folder(package: str) -> Path:
    spec = importlib.util.find_spec(package)
    return Path(spec.origin).parent if spec and spec.origin else Path("/nonexistent")

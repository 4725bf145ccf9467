"""PyArrow looks once whether pandas is there, by importing it, before it reads a first list: that takes longer than all
else until the first answer, and nothing here is a column of pandas."""

from __future__ import annotations

import sys
from importlib.abc import MetaPathFinder
from importlib.machinery import ModuleSpec

import pyarrow as pa

__all__ = ["look_for_pandas"]


def look_for_pandas() -> None:
    """Let PyArrow look now, and find it only if it is imported already."""
    if "pandas" in sys.modules:
        return
    hiding = _Hiding()
    sys.meta_path.insert(0, hiding)
    try:
        pa.array([0])
    finally:
        sys.meta_path.remove(hiding)


class _Hiding(MetaPathFinder):
    def find_spec(self, fullname: str, path: object = None, target: object = None) -> ModuleSpec | None:
        if fullname == "pandas":
            raise ModuleNotFoundError("pandas is not looked for", name=fullname)
        return None

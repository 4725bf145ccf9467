"""Missing texts, which ONNX does not have."""

from __future__ import annotations

__all__ = ["MISSING"]

# What stands for a missing text in a graph: a noncharacter of Unicode, which no text has a meaning for.
MISSING = "\uffff"

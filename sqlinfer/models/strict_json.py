"""JSON as both readers of a model take it: Python's own reader takes what the extension's does not."""

from __future__ import annotations

import json
import math
from typing import Any

__all__ = ["read_json"]

MOST_LEVELS = 64


def read_json(content: bytes) -> Any:
    """Raises ValueError for what is no JSON, or nested too deeply."""
    text = content.decode()
    try:
        value = json.loads(text, parse_constant=_constant, parse_float=_real, parse_int=_whole)
    except RecursionError:
        raise _too_deep() from None
    _require_shallow(value)
    if "\\u" in text:
        json.dumps(value, ensure_ascii=False).encode()  # half of a surrogate pair is no text
    return value


def _constant(name: str) -> Any:
    raise ValueError(f"{name} is not JSON")


def _real(text: str) -> float:
    value = float(text)
    if math.isinf(value):
        raise ValueError(f"{text[:40]} is no number that a double holds")
    return value


def _whole(text: str) -> int | float:
    """What no integer of 64 bits holds is a double."""
    value = int(text) if len(text) < 25 else 2**64
    return value if -(2**63) <= value < 2**64 and text != "-0" else _real(text)


def _require_shallow(value: Any) -> None:
    level, depth = [value], 0
    while level := [inner for one in level for inner in _inner(one)]:
        depth += 1
        if depth > MOST_LEVELS:
            raise _too_deep()


def _inner(value: Any) -> Any:
    return value.values() if isinstance(value, dict) else value if isinstance(value, list) else ()


def _too_deep() -> ValueError:
    return ValueError(f"it is nested more than {MOST_LEVELS} levels deep")
